//! Refused settings, told to an operator.

use super::Origin;
use serde_json::Value;
use std::error::Error;
use std::fmt;

/// One thing that is wrong: where, what, why, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Where it was set.
    pub origin: Origin,
    /// The key, empty when a whole source could not be read.
    pub key: String,
    /// The refused value, where there is one.
    pub value: Option<Value>,
    /// Why it is refused.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}; {}", self.why, self.remedy)
    }
}

/// All that is wrong with a configuration; nothing of it took effect.
///
/// The text has one line for each problem.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn new(problems: Vec<Problem>) -> ConfigError {
        assert!(!problems.is_empty(), "an error has a cause");
        ConfigError { problems }
    }

    /// Each thing that is wrong; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}
