//! How fast a client reads.

use std::time::Duration;

use hioload_base::{Prng, Time};

use crate::event::{Event, Notes};
use crate::plan::pick;

/// A habit of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Whatever is there, at every step.
    Fast,
    /// A few bytes a step.
    Slow(usize),
    /// Stops now and then, for at most so long.
    Pausing(Duration),
    /// Not at all until the end of the storm.
    Never,
}

/// One client's reading.
#[derive(Debug)]
pub(crate) struct Reader {
    habit: Habit,
    paused_until: Time,
    /// It has never made the server wait.
    is_fair: bool,
}

impl Reader {
    /// Reads all there is.
    pub(crate) fn fast() -> Self {
        Self {
            habit: Habit::Fast,
            paused_until: Time::ZERO,
            is_fair: true,
        }
    }

    /// One client in two is slow in one way or another.
    pub(crate) fn draw(prng: &mut Prng, notes: &Notes) -> Self {
        let habit = match prng.below(6) {
            0 => Habit::Slow(pick(prng, &[1, 16, 256])),
            1 => Habit::Pausing(Duration::from_millis(pick(prng, &[20, 300, 2000]))),
            2 => Habit::Never,
            _ => Habit::Fast,
        };
        match habit {
            Habit::Slow(_) => notes.add(Event::ReadSlowly),
            Habit::Never => notes.add(Event::NeverRead),
            Habit::Fast | Habit::Pausing(_) => {}
        }
        Self {
            habit,
            paused_until: Time::ZERO,
            is_fair: habit == Habit::Fast,
        }
    }

    /// It has never made the server wait.
    pub(crate) fn is_fair(&self) -> bool {
        self.is_fair
    }

    /// From now on it reads all there is.
    pub(crate) fn calm_down(&mut self) {
        self.habit = Habit::Fast;
    }

    /// Bytes to read in this step.
    pub(crate) fn read_max(&mut self, now: Time, prng: &mut Prng, notes: &Notes) -> usize {
        match self.habit {
            Habit::Fast => usize::MAX,
            Habit::Slow(size) => size,
            Habit::Never => 0,
            Habit::Pausing(max) => {
                if now < self.paused_until {
                    return 0;
                }
                if prng.chance(1, 200) {
                    let pause = prng.below(max.as_nanos() as u64);
                    self.paused_until = now + Duration::from_nanos(pause);
                    notes.add(Event::ReadPaused);
                }
                usize::MAX
            }
        }
    }
}
