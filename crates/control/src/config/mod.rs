//! Settings from layers of sources, kept as an immutable snapshot that is swapped as a whole.

mod error;
mod layers;
mod live;
mod origin;
mod report;
mod settings;
mod sources;
mod tree;

pub use error::{ConfigError, Problem};
pub use live::{Change, Config};
pub use origin::Origin;
pub use report::{KeyChange, KeyReport, Report};
pub use settings::{Invalid, Settings};
pub use sources::Sources;
