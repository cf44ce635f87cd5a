//! Middleware: a [`Layer`] wraps a handler in another.
//!
//! Order: layers see an event in the order in which they were added to the builder, the first one
//! outermost, the application last; what they do after calling on happens in reverse.
//!
//! ```text
//!   event ─▶ first layer ─▶ second layer ─▶ handler
//! ```

mod logging;
mod metrics;
mod rate_limit;
mod recovery;

pub use logging::Logging;
pub use metrics::{Metrics, MetricsSnapshot};
pub use rate_limit::{Excess, RateLimit};
pub use recovery::Recovery;

use crate::handler::Handler;

/// Wraps handlers, once per worker.
pub trait Layer: Send + Sync + 'static {
    /// A handler that does this layer's part and calls `inner`.
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler>;
}
