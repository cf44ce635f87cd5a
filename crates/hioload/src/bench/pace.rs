//! When things are due in an open loop: the n-th at `start + n / rate`, whatever happened before.

use hioload_base::Time;
use std::time::Duration;

/// A schedule that never slips.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    start: Time,
    rate: f64,
    count: u64,
}

impl Pace {
    /// `rate` a second, the first one at `start`.
    pub(super) fn new(start: Time, rate: f64) -> Self {
        Self {
            start,
            rate,
            count: 0,
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Time {
        self.start + Duration::from_nanos((self.count as f64 * 1e9 / self.rate) as u64)
    }

    /// Takes the next one if it is due; says when it was.
    pub(super) fn take(&mut self, now: Time) -> Option<Time> {
        let due = self.next();
        (due <= now).then(|| {
            self.count += 1;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_does_not_move_the_schedule() {
        let start = Time::from_nanos(1_000);
        let mut pace = Pace::new(start, 1_000.0);
        assert_eq!(pace.take(Time::from_nanos(999)), None);
        assert_eq!(pace.take(start), Some(start));
        assert_eq!(pace.take(start), None);
        let late = start + Duration::from_millis(5);
        let due: Vec<_> = std::iter::from_fn(|| pace.take(late)).collect();
        let expected: Vec<_> = (1..=5).map(|n| start + Duration::from_millis(n)).collect();
        assert_eq!(due, expected);
        assert_eq!(pace.next(), start + Duration::from_millis(6));
    }

    #[test]
    fn a_long_run_drifts_less_than_a_microsecond() {
        let mut pace = Pace::new(Time::ZERO, 30_000.0);
        pace.count = 30_000 * 3_600;
        let error = pace.next().as_nanos().abs_diff(3_600_000_000_000);
        assert!(error < 1_000, "{error} ns");
    }
}
