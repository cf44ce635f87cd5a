//! Where a value was set.

use std::fmt;
use std::path::PathBuf;

/// The place an operator has to look at to change a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Nowhere: built in.
    Default,
    /// A line of the configuration file, counted from one.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line the value stands on, zero for the file as a whole.
        line: usize,
    },
    /// An environment variable, by name.
    Environment(String),
    /// A flag of the command line, as it is written there.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line: 0 } => write!(f, "{}", path.display()),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}
