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
///
/// ```
/// use hioload::{Handler, Layer, Message, Session};
///
/// /// Keeps empty messages from the application, and hands on everything else.
/// struct Sieve;
///
/// struct Sieved(Box<dyn Handler>);
///
/// impl Layer for Sieve {
///     fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler> {
///         Box::new(Sieved(inner))
///     }
/// }
///
/// impl Handler for Sieved {
///     fn inner(&mut self) -> Option<&mut dyn Handler> {
///         Some(&mut *self.0)
///     }
///
///     fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
///         if !message.payload.is_empty() {
///             self.0.message(session, message);
///         }
///     }
/// }
/// ```
pub trait Layer: Send + Sync + 'static {
    /// A handler that does this layer's part and calls `inner`, and names it as [`Handler::inner`]: then whatever the
    /// layer does not look at goes there.
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler>;
}
