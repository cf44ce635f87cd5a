//! How a command ends: 0 done, 1 something failed, 2 the command or its surroundings cannot work.

use std::fmt::Display;
use std::process::ExitCode;

/// It could not be done.
pub(crate) fn failure(error: &dyn Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// It cannot be done like this: a wrong value, a port in use, too little memory.
pub(crate) fn usage(error: &dyn Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(2)
}

/// Settings that are refused: each with its place, why, and what to do.
pub(crate) fn misconfigured(error: &hioload_control::ConfigError) -> ExitCode {
    for problem in error.problems() {
        eprintln!("error: {problem}");
    }
    ExitCode::from(2)
}
