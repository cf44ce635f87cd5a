//! How the controller's thread waits when it has nothing to do: look again at once, let others run, or sleep.
//!
//! ```text
//!   work ─▶ idle: the usual gap is short? ─ spin ─▶ still nothing ─ yield ─▶ still nothing ─ park, until woken or due
//!                 └ long ──────────────────────────────────────────────────────────────────▲
//! ```
//!
//! A thread that sleeps has to be woken, which costs its wakers a system call and everybody time; one that looks again costs a
//! core. So it looks again for as long as work usually takes to come, and not at all when that is longer than it may. There
//! is no fixed sleep: an idle store costs nothing.
//!
//! Must not know threads or clocks: it is told the time and what happened, and says what to do. Limits: [`PauseConfig`].

use std::time::Duration;

use hioload_base::Time;

use crate::controller::Next;
use crate::stats::PauseStats;

/// How long it may look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseConfig {
    /// Without letting anybody else run. Zero on a machine where every core has a worker.
    pub spin_max: Duration,
    /// While others that are ready run first.
    pub yield_max: Duration,
}

impl Default for PauseConfig {
    fn default() -> PauseConfig {
        PauseConfig {
            spin_max: Duration::from_micros(5),
            yield_max: Duration::from_micros(50),
        }
    }
}

/// What the thread does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Work is waiting.
    Work,
    /// Look again at once.
    Spin,
    /// Look again after others have run.
    Yield,
    /// Sleep until woken, for at most so long.
    Park(Option<Duration>),
}

/// Decides how to wait.
///
/// ```
/// use hioload_base::Time;
/// use hioload_blocks::{Next, Pause, PauseConfig, Pauser};
///
/// let mut pauser = Pauser::new(PauseConfig::default());
/// assert_eq!(pauser.decide(Time::ZERO, true, Next::Idle), Pause::Work);
/// let much_later = Time::from_millis(10);
/// pauser.decide(Time::ZERO, false, Next::Idle);
/// assert_eq!(pauser.decide(much_later, false, Next::Idle), Pause::Park(None));
/// ```
#[derive(Clone, Debug)]
pub struct Pauser {
    config: PauseConfig,
    idle_since: Option<Time>,
    /// How long work usually takes to come, in nanoseconds: each time counts a quarter.
    gap_ns: u64,
    stats: PauseStats,
}

impl Pauser {
    /// Expects work to come soon until it learns otherwise.
    pub fn new(config: PauseConfig) -> Pauser {
        Pauser {
            config,
            idle_since: None,
            gap_ns: 0,
            stats: PauseStats::default(),
        }
    }

    /// After a look at the queues and a cycle: `had_work` if there was any, `next` as the controller said.
    pub fn decide(&mut self, now: Time, had_work: bool, next: Next) -> Pause {
        if had_work || next == Next::Again {
            self.learn(now);
            return Pause::Work;
        }
        let left = match next {
            Next::At(due) if due <= now => {
                // What is due is no work that came: nothing is learnt from it.
                self.idle_since = None;
                return Pause::Work;
            }
            Next::At(due) => Some(due - now),
            Next::Again | Next::Idle => None,
        };
        let since = *self.idle_since.get_or_insert(now);
        let idle = now - since;
        let gap = Duration::from_nanos(self.gap_ns);
        // Twice the usual time: what has not come by then is late, and nobody knows how late.
        let may = |max: Duration| gap <= max && idle < max.min(gap * 2 + Duration::from_nanos(1));
        if may(self.config.spin_max) {
            self.stats.spins += 1;
            Pause::Spin
        } else if may(self.config.yield_max)
            || left.is_some_and(|left| left <= self.config.yield_max)
        {
            // What is due sooner than a wake-up takes is not slept for.
            self.stats.yields += 1;
            Pause::Yield
        } else {
            self.stats.parks += 1;
            Pause::Park(left)
        }
    }

    /// How often it did what.
    pub fn stats(&self) -> PauseStats {
        self.stats
    }

    fn learn(&mut self, now: Time) {
        if let Some(since) = self.idle_since.take() {
            let gap = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
            // Bounded, so that a quiet night is forgotten after a few requests.
            let most = u64::try_from(self.config.yield_max.as_nanos() * 8).unwrap_or(u64::MAX);
            self.gap_ns = (self.gap_ns / 4 * 3).saturating_add(gap.min(most) / 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    /// Work comes every `gap`; what the pauser does from one to the next when it has learnt that, looking every microsecond.
    fn learnt(gap: Duration) -> Vec<Pause> {
        let mut pauser = Pauser::new(PauseConfig::default());
        let mut now = Time::ZERO;
        let mut last = Vec::new();
        for _ in 0..50 {
            last.clear();
            let work_at = now + gap;
            while now < work_at {
                let pause = pauser.decide(now, false, Next::Idle);
                now = if pause == Pause::Park(None) {
                    work_at
                } else {
                    now + MICRO
                };
                last.push(pause);
            }
            assert_eq!(pauser.decide(now, true, Next::Idle), Pause::Work);
        }
        last
    }

    #[test]
    fn short_gaps_are_spun_through_longer_ones_yielded_and_long_ones_slept() {
        assert!(learnt(3 * MICRO).iter().all(|pause| *pause == Pause::Spin));
        let middling = learnt(20 * MICRO);
        assert!(
            middling.iter().all(|pause| *pause == Pause::Yield),
            "{middling:?}"
        );
        assert_eq!(
            learnt(Duration::from_millis(5)),
            [Pause::Park(None)],
            "at once"
        );
    }

    #[test]
    fn what_is_late_is_slept_for() {
        let mut pauser = Pauser::new(PauseConfig::default());
        let mut now = Time::ZERO;
        for _ in 0..1000 {
            match pauser.decide(now, false, Next::Idle) {
                Pause::Park(None) => return assert!(now <= Time::ZERO + 60 * MICRO),
                _ => now += MICRO,
            }
        }
        panic!("it never slept");
    }

    #[test]
    fn a_quiet_night_is_forgotten() {
        let mut pauser = Pauser::new(PauseConfig::default());
        pauser.decide(Time::ZERO, false, Next::Idle);
        let mut now = Time::from_millis(1 << 30);
        pauser.decide(now, true, Next::Idle);
        for _ in 0..20 {
            pauser.decide(now, false, Next::Idle);
            now += MICRO;
            pauser.decide(now, true, Next::Idle);
        }
        assert_eq!(pauser.decide(now, false, Next::Idle), Pause::Spin);
    }

    #[test]
    fn what_is_due_is_never_slept_over() {
        let mut pauser = Pauser::new(PauseConfig {
            spin_max: Duration::ZERO,
            yield_max: 50 * MICRO,
        });
        pauser.decide(Time::ZERO, false, Next::Idle);
        let now = Time::from_millis(10);
        let due = |micros: u32| Next::At(now + micros * MICRO);
        assert_eq!(
            pauser.decide(now, false, due(1000)),
            Pause::Park(Some(1000 * MICRO))
        );
        assert_eq!(
            pauser.decide(now, false, due(51)),
            Pause::Park(Some(51 * MICRO))
        );
        assert_eq!(pauser.decide(now, false, due(50)), Pause::Yield);
        assert_eq!(pauser.decide(now, false, due(0)), Pause::Work);
        assert_eq!(pauser.decide(now, false, Next::Again), Pause::Work);
        let stats = pauser.stats();
        assert_eq!((stats.spins, stats.parks), (0, 2));
    }
}
