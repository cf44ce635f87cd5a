//! What a peer did that costs us and brings it nothing: counted by reason, and bounded by rate.
//!
//! Knows no frame: whoever sees one says what it is for.

use std::fmt;
use std::time::Duration;

use hioload_base::Time;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// A stream above the limit of streams.
    StreamRefused,
    /// A tunnel above the limit of tunnels.
    TunnelRefused,
    /// A stream that the peer reset.
    ResetByPeer,
    /// Of these, one that was reset within a second of its beginning.
    ResetEarly,
    /// A stream that we had to reset for what the peer did.
    ResetByUs,
    /// A header list above its limits.
    HeaderListTooBig,
    /// A CONTINUATION frame.
    Continuation,
    /// A PING.
    Ping,
    /// A SETTINGS frame.
    Settings,
    /// A change of priority.
    Priority,
    /// A WINDOW_UPDATE.
    WindowUpdate,
    /// DATA or a part of a header block without content or an end.
    EmptyFrame,
    /// DATA of a few bytes, of a stream that is no tunnel.
    TinyData,
    /// A frame of a kind nobody knows, or for a stream that is closed.
    Glitch,
    /// A stream that the peer left no room for, for too long.
    Stalled,
}

/// Of each reason, its name.
const NAMES: [&str; Reason::COUNT] = [
    "stream_refused",
    "tunnel_refused",
    "reset_by_peer",
    "reset_early",
    "reset_by_us",
    "header_list_too_big",
    "continuation",
    "ping",
    "settings",
    "priority",
    "window_update",
    "empty_frame",
    "tiny_data",
    "glitch",
    "stalled",
];

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::Stalled as usize + 1;

    /// Its name, as it stands in statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// How often each reason was seen on a connection.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    counts: [u32; Reason::COUNT],
}

impl Ledger {
    /// How often this was seen.
    #[must_use]
    pub const fn count(&self, reason: Reason) -> u32 {
        self.counts[reason as usize]
    }

    /// Names and counts of all reasons.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        NAMES.into_iter().zip(self.counts)
    }

    pub(super) fn add(&mut self, reason: Reason) -> u32 {
        let count = &mut self.counts[reason as usize];
        *count = count.saturating_add(1);
        *count
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().filter(|(_, count)| *count > 0))
            .finish()
    }
}

/// A token bucket: so many at once, and so many more every second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Thousandths of tokens that are left.
    left_milli: u64,
    /// When it was last filled.
    filled: Time,
}

impl Bucket {
    pub(super) fn full(burst: u32, now: Time) -> Self {
        Self {
            left_milli: u64::from(burst) * 1000,
            filled: now,
        }
    }

    /// Takes `weight` tokens; `false`: there are not so many.
    pub(super) fn take(&mut self, weight: u32, burst: u32, per_s: u32, now: Time) -> bool {
        let weight_milli = u64::from(weight) * 1000;
        // Only an empty bucket has to know the time.
        if self.left_milli < weight_milli {
            self.fill(burst, per_s, now);
        }
        match self.left_milli.checked_sub(weight_milli) {
            Some(left_milli) => {
                self.left_milli = left_milli;
                true
            }
            None => false,
        }
    }

    fn fill(&mut self, burst: u32, per_s: u32, now: Time) {
        let elapsed_ms = (now - self.filled).as_millis();
        let elapsed_ms = u64::try_from(elapsed_ms).unwrap_or(u64::MAX);
        let new_milli = elapsed_ms.saturating_mul(u64::from(per_s));
        let left_milli = self.left_milli.saturating_add(new_milli);
        self.left_milli = left_milli.min(u64::from(burst) * 1000);
        // What is left of a millisecond counts the next time.
        self.filled += Duration::from_millis(elapsed_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_name() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.add(Reason::Stalled), 1);
        assert_eq!(ledger.add(Reason::Stalled), 2);
        assert_eq!(ledger.count(Reason::Stalled), 2);
        assert_eq!(Reason::Stalled.name(), "stalled");
        assert_eq!(Reason::ResetByUs.name(), "reset_by_us");
        assert_eq!(ledger.iter().map(|(_, count)| count).sum::<u32>(), 2);
        assert_eq!(format!("{ledger:?}"), r#"{"stalled": 2}"#);
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let at = Time::from_millis;
        let mut bucket = Bucket::full(3, at(5));
        for outcome in [true, true, true, false] {
            assert_eq!(bucket.take(1, 3, 2, at(5)), outcome);
        }
        assert!(!bucket.take(1, 3, 2, at(504)));
        assert!(bucket.take(1, 3, 2, at(505)));
        assert!(!bucket.take(1, 3, 2, at(505)));
        // It never holds more than its burst.
        assert!(!bucket.take(4, 3, 2, at(1_000_000)));
        assert!(bucket.take(3, 3, 2, at(1_000_000)));
        assert!(!bucket.take(1, 3, 2, at(1_000_000)));
        // A clock that stands still, or a rate of nothing, gives nothing.
        assert!(!bucket.take(1, 3, 0, Time::MAX));
        assert!(bucket.take(0, 3, 0, at(0)));
    }

    #[test]
    fn parts_of_a_millisecond_are_not_lost() {
        let mut bucket = Bucket::full(1, Time::ZERO);
        assert!(bucket.take(1, 1, 1000, Time::ZERO));
        let given = (1..=20)
            .filter(|tick| bucket.take(1, 1, 1000, Time::from_nanos(tick * 500_000)))
            .count();
        assert_eq!(given, 10);
    }
}
