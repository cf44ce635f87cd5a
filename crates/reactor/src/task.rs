//! How a piece of work that was started elsewhere ended, and how to call it off.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a piece of work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task<T> {
    /// With this result.
    Done(T),
    /// It was called off before it began.
    Cancelled,
    /// It panicked, with this message.
    Panicked(String),
}

impl<T> Task<T> {
    /// The result.
    ///
    /// # Errors
    /// Why there is none.
    pub fn into_result(self) -> Result<T, TaskError> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Cancelled => Err(TaskError::Cancelled),
            Self::Panicked(message) => Err(TaskError::Panicked(message)),
        }
    }

    /// The same end with another result.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Task<U> {
        match self {
            Self::Done(value) => Task::Done(change(value)),
            Self::Cancelled => Task::Cancelled,
            Self::Panicked(message) => Task::Panicked(message),
        }
    }
}

/// Why a piece of work has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// It was called off before it began.
    Cancelled,
    /// It panicked, with this message.
    Panicked(String),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the work was cancelled"),
            Self::Panicked(message) => write!(f, "the work panicked: {message}"),
        }
    }
}

impl std::error::Error for TaskError {}

/// Calls work off from any thread. Clones are the same flag. Work that has begun may look at it and
/// end early; what it then returns counts as done.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises it.
    pub fn cancel(&self) {
        // Release pairs with the acquire in `is_cancelled`.
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_result() {
        assert_eq!(Task::Done(2).map(|n| n * 2).into_result(), Ok(4));
        let cancelled: Task<u8> = Task::Cancelled;
        assert_eq!(
            cancelled.map(u16::from).into_result(),
            Err(TaskError::Cancelled)
        );
        let panicked: Task<u8> = Task::Panicked("why".to_owned());
        let error = panicked.map(u16::from).into_result().expect_err("panicked");
        assert_eq!(error.to_string(), "the work panicked: why");
    }

    #[test]
    fn clones_of_a_flag_are_one() {
        let flag = CancelFlag::new();
        let other = flag.clone();
        assert!(!other.is_cancelled());
        flag.cancel();
        assert!(other.is_cancelled());
    }
}
