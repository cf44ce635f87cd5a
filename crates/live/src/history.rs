//! How much of the past a channel keeps for those who come back.

use std::time::Duration;

/// Limits of the history of a channel. A publication is kept while it is within all three, and
/// while the budget of the log has room for it: history never makes a publisher wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HistoryConfig {
    /// Publications kept.
    pub count: u64,
    /// Bytes of encoded frames kept, for each class.
    pub size: usize,
    /// How long a publication is kept. Up to 24 days.
    pub age: Duration,
}

impl HistoryConfig {
    /// No history.
    pub const OFF: HistoryConfig = HistoryConfig {
        count: 0,
        size: 0,
        age: Duration::ZERO,
    };

    /// Whether anything can be kept at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.count > 0 && self.size > 0 && self.age > Duration::ZERO
    }
}
