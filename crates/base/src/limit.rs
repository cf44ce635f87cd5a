//! One row of the table of limits: what is bounded, why, and what happens at the bound.

/// A limit as `docs/limits.md` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name, dotted: room and setting.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// Unless set otherwise.
    pub default: u64,
    /// The smallest value that makes sense.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// Why it is there and why so large.
    pub reason: &'static str,
    /// What happens when it is reached.
    pub reached: &'static str,
}
