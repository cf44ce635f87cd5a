//! One limit of the product as data: the rows of `docs/limits.md` and the bounds configuration checks.
//!
//! Must not know the current value: rooms export `pub const LIMITS: &[Limit]`, settings hold values.

use std::error::Error;
use std::fmt;

/// A bound, with the reason for it and what happens when it is reached.
///
/// ```
/// use hioload_base::Limit;
///
/// const BATCH: Limit = Limit {
///     name: "worker.batch",
///     unit: "completions",
///     default: 128,
///     min: 1,
///     max: 4096,
///     reason: "bounds the time one turn takes",
///     reached: "the rest waits one turn",
/// };
/// assert!(BATCH.check(4096).is_ok());
/// let refusal = BATCH.check(0).expect_err("below the minimum");
/// assert_eq!(
///     refusal.to_string(),
///     "worker.batch = 0 completions is out of range: it must be from 1 to 4096 (bounds the time one turn takes)",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Dotted name, equal to the configuration key where there is one.
    pub name: &'static str,
    /// What is counted: `bytes`, `ms`, `connections`.
    pub unit: &'static str,
    /// Value unless configured otherwise.
    pub default: u64,
    /// Smallest value accepted.
    pub min: u64,
    /// Largest value accepted.
    pub max: u64,
    /// Why there is a limit, and why this one.
    pub reason: &'static str,
    /// What happens to whoever reaches it.
    pub reached: &'static str,
}

impl Limit {
    /// The value itself when it is within bounds.
    ///
    /// # Errors
    /// [`LimitError`], whose text says which limit, which value and which range.
    pub const fn check(&self, value: u64) -> Result<u64, LimitError> {
        if self.min <= value && value <= self.max {
            Ok(value)
        } else {
            Err(LimitError {
                limit: *self,
                value,
            })
        }
    }
}

/// A value outside its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    limit: Limit,
    value: u64,
}

impl LimitError {
    /// The limit that was left.
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// The refused value.
    pub fn value(&self) -> u64 {
        self.value
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit {
            name,
            unit,
            min,
            max,
            reason,
            ..
        } = self.limit;
        let value = self.value;
        write!(
            f,
            "{name} = {value} {unit} is out of range: it must be from {min} to {max} ({reason})"
        )
    }
}

impl Error for LimitError {}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        name: "a.b",
        unit: "bytes",
        default: 5,
        min: 1,
        max: 9,
        reason: "why",
        reached: "what",
    };

    #[test]
    fn accepts_its_ends_and_nothing_beyond() {
        for (value, accepted) in [
            (0, false),
            (1, true),
            (9, true),
            (10, false),
            (u64::MAX, false),
        ] {
            assert_eq!(LIMIT.check(value).is_ok(), accepted, "{value}");
        }
        let refusal = LIMIT.check(10).expect_err("above the maximum");
        assert_eq!((refusal.value(), refusal.limit().name), (10, "a.b"));
    }
}
