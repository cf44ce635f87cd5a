//! Progress decides who is stalled, never the size of a queue.
//!
//! A subscriber with something unsent has a window: within it, it must drain the bytes the minimum rate
//! asks for, or all that was there to drain when the window began, whichever is less. Done: the next
//! window begins. Caught up: no window. Window over and not done: stalled.

use hioload_base::Time;
use std::time::Duration;

/// The minimum rate over a window, in the terms of a subscriber entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    window_ms: u32,
    /// Bytes to drain in one window.
    quota: u32,
}

/// Millisecond stamp. Comes round after 49 days; windows are far shorter.
pub(crate) fn stamp(now: Time) -> u32 {
    now.as_millis() as u32
}

impl Pace {
    pub(crate) fn new(rate_min: u32, window: Duration) -> Pace {
        let window_ms = window.as_millis().clamp(1, i32::MAX as u128) as u32;
        let quota = (u64::from(rate_min) * u64::from(window_ms)).div_ceil(1000);
        Pace {
            window_ms,
            quota: quota.clamp(1, u64::from(u32::MAX)) as u32,
        }
    }

    /// What a window that starts with `lag` bytes unsent asks for. At least 1.
    pub(crate) fn need(&self, lag: u64) -> u32 {
        lag.clamp(1, u64::from(self.quota)) as u32
    }

    /// Whether a window which began at `since` is over.
    pub(crate) fn is_over(&self, since: u32, now: u32) -> bool {
        now.wrapping_sub(since) >= self.window_ms
    }

    /// Whether `need` bytes still to drain are no more than the rate leaves for the rest of the window.
    pub(crate) fn is_kept(&self, need: u32, since: u32, now: u32) -> bool {
        let left_ms = self.window_ms.saturating_sub(now.wrapping_sub(since));
        u64::from(need) * u64::from(self.window_ms) <= u64::from(self.quota) * u64::from(left_ms)
    }

    /// How long one sign of progress under a big lag counts as pressure.
    pub(crate) fn pressure_hold(&self) -> Duration {
        Duration::from_millis(u64::from((self.window_ms / 4).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_is_rate_times_window_or_what_there_is() {
        let pace = Pace::new(1000, Duration::from_secs(5));
        assert_eq!(
            [0, 1, 4999, 5000, 5001].map(|lag| pace.need(lag)),
            [1, 1, 4999, 5000, 5000]
        );
        let none = Pace::new(0, Duration::ZERO);
        assert_eq!((none.quota, none.window_ms), (1, 1));
        let most = Pace::new(u32::MAX, Duration::MAX);
        assert_eq!((most.quota, most.window_ms), (u32::MAX, i32::MAX as u32));
    }

    #[test]
    fn windows_end_on_time_and_across_the_wrap_of_the_stamp() {
        let pace = Pace::new(1000, Duration::from_millis(10));
        assert_eq!(
            [0, 9, 10, 11].map(|now| pace.is_over(0, now)),
            [false, false, true, true]
        );
        assert!(!pace.is_over(u32::MAX - 3, 5));
        assert!(pace.is_over(u32::MAX - 3, 6));
    }

    #[test]
    fn pace_is_kept_while_enough_of_the_window_is_left() {
        let pace = Pace::new(1000, Duration::from_millis(10));
        assert!(pace.is_kept(10, 0, 0));
        assert!(!pace.is_kept(10, 0, 1));
        assert!(pace.is_kept(5, 0, 5) && !pace.is_kept(6, 0, 5));
        assert!(!pace.is_kept(1, 0, 10));
    }
}
