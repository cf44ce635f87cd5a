//! How long a test asks again: in time that was its own.
//!
//! A machine that stops a test and its server for seconds, together, leaves the state of a moment before behind. Taken for
//! the last word, that looks like a server that keeps what it should let go of. So whatever passes between two questions
//! counts for at most [`STEP_MAX`]: there are always many questions before patience is over.

use std::time::{Duration, Instant};

use crate::TIME_MAX;

/// What one step between two questions counts for at most.
const STEP_MAX: Duration = Duration::from_millis(100);

/// Some time, counted in steps.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
    asked: Instant,
}

impl Patience {
    /// Begins now, and has [`TIME_MAX`].
    #[must_use]
    pub fn new() -> Self {
        Self::of(TIME_MAX)
    }

    /// Begins now, and has so long.
    #[must_use]
    pub fn of(time: Duration) -> Self {
        Self {
            left: time,
            asked: Instant::now(),
        }
    }

    /// To be called between two questions: whether there is to be no further one.
    pub fn is_over(&mut self) -> bool {
        self.is_over_at(Instant::now())
    }

    fn is_over_at(&mut self, now: Instant) -> bool {
        let step = now.duration_since(self.asked).min(STEP_MAX);
        self.asked = now;
        self.left = self.left.saturating_sub(step);
        self.left.is_zero()
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_after_its_time() {
        let mut patience = Patience::new();
        let (start, step) = (patience.asked, Duration::from_millis(10));
        let steps = (TIME_MAX.as_millis() / step.as_millis()) as u32;
        let over = (1..).find(|count| patience.is_over_at(start + step * *count));
        assert_eq!(over, Some(steps));
    }

    #[test]
    fn a_pause_of_the_machine_is_one_step() {
        let mut patience = Patience::new();
        let mut now = patience.asked;
        for _ in 1..TIME_MAX.as_millis() / STEP_MAX.as_millis() {
            now += TIME_MAX * 3;
            assert!(!patience.is_over_at(now));
        }
        assert!(patience.is_over_at(now + TIME_MAX));
    }
}
