//! Points in time as plain numbers.
//!
//! Must not know a clock: drivers make `Time` values (from the kernel's monotonic clock, or from the
//! simulation's virtual one) and everybody else gets them as an argument.
//!
//! All arithmetic saturates: a deadline beyond the end of the clock is the end of the clock
//! (584 years after the start), a duration never is negative.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Monotonic nanoseconds since the start of the process; virtual in simulation.
///
/// ```
/// use hioload_base::Time;
/// use std::time::Duration;
///
/// let start = Time::ZERO;
/// let later = start + Duration::from_millis(5);
/// assert_eq!(later - start, Duration::from_millis(5));
/// assert_eq!(start - later, Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The start of the process.
    pub const ZERO: Time = Time(0);

    /// The end of the clock; as a deadline: never.
    pub const MAX: Time = Time(u64::MAX);

    /// `nanos` nanoseconds after the start.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// `millis` milliseconds after the start, saturating.
    #[inline]
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start, rounded down.
    #[inline]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// `duration` in nanoseconds, saturating at 584 years.
#[inline]
pub(crate) fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Time {
    type Output = Time;

    #[inline]
    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(saturating_nanos(duration)))
    }
}

impl AddAssign<Duration> for Time {
    #[inline]
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Time> for Time {
    type Output = Duration;

    #[inline]
    fn sub(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    #[inline]
    fn sub(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(saturating_nanos(duration)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let nano = Duration::from_nanos(1);
        assert_eq!(Time::ZERO - nano, Time::ZERO);
        assert_eq!(Time::MAX + nano, Time::MAX);
        assert_eq!(Time::ZERO + Duration::MAX, Time::MAX);
        assert_eq!(Time::MAX - Duration::MAX, Time::ZERO);
        assert_eq!(Time::ZERO - Time::MAX, Duration::ZERO);
        assert_eq!((Time::MAX - Time::ZERO).as_nanos(), u128::from(u64::MAX));
        assert_eq!(Time::from_millis(u64::MAX), Time::MAX);
    }

    #[test]
    fn milliseconds_round_down() {
        assert_eq!(Time::from_nanos(999_999).as_millis(), 0);
        assert_eq!(Time::from_nanos(1_000_000).as_millis(), 1);
        let mut time = Time::from_millis(2);
        time += Duration::from_nanos(1);
        assert_eq!((time.as_millis(), time.as_nanos()), (2, 2_000_001));
    }
}
