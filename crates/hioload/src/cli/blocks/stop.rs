//! What ends a command before its end, and the lines it prints until then.

use std::io::{self, Write};

use super::access::Trouble;

/// Why a command goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It cannot work like this.
    Usage(String),
    /// It could not be done.
    Failed(String),
    /// Nobody reads what it prints.
    Unread,
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble.to_string())
    }
}

/// An error of stdout.
pub(super) fn unwritten(error: &io::Error) -> Stop {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Stop::Unread
    } else {
        Stop::Failed(format!("cannot write to stdout: {error}"))
    }
}

/// Prints a line.
pub(super) fn say(line: &str) -> Result<(), Stop> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").map_err(|error| unwritten(&error))
}
