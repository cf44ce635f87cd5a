//! How a task ends: passed, failed, unable to run here, or misused.

use std::io;
use std::process::ExitCode;

/// Exit code of a task that could not run on this machine: the convention of test harnesses.
pub(crate) const SKIPPED_CODE: u8 = 77;

/// Why a task did not pass.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What was checked does not hold.
    Failed(String),
    /// This machine, or the project as it stands, lacks what the task needs.
    Skipped(String),
    /// The command line is wrong.
    Usage(String),
}

/// Result of a task.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

impl Stop {
    /// The environment refused `what`.
    pub(crate) fn io(what: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }
}

/// Prints why a task stopped and gives the exit code that says the same.
pub(crate) fn report(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Failed(why)) => {
            eprintln!("xtask: FAILED: {why}");
            ExitCode::FAILURE
        }
        Err(Stop::Skipped(why)) => {
            eprintln!("xtask: SKIPPED, NOT CHECKED: {why}");
            ExitCode::from(SKIPPED_CODE)
        }
        Err(Stop::Usage(why)) => {
            eprintln!("xtask: {why}");
            ExitCode::from(2)
        }
    }
}
