//! Things to do later: timeouts, retries, idle timers, periodic work.
//!
//! Knows no clock (time is an argument) and not what a task means (it holds a `T`). One thread.
//!
//! ```text
//!   timeout ─┐
//!   retry   ─┤▶ slab of tasks ◀──key── timer wheel ─▶ poll(now) ─▶ Due
//!   idle    ─┤       ▲
//!   periodic─┘       └─ touch: notes the time, moves no timer
//! ```
//!
//! Invariants: nothing fires early; a cancelled task never fires; a name is good until its task
//! ends, and never names another. An idle timer that is touched costs a store: its timer is moved
//! only when it runs out.
//!
//! Limits: tasks at most, set at the start; one call of `poll` moves at most [`TOUCHED_MAX`] touched
//! timers.

use std::time::Duration;

use hioload_base::{Full, Key, Prng, Slab, Time, TimerKey, TimerWheel};

/// Touched idle timers one call of [`Scheduler::poll`] puts off; more wait for the next call.
pub const TOUCHED_MAX: usize = 256;

/// Names a scheduled task, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cancel(Key);

/// How the pauses between attempts grow: doubling from `first` to `max`, each shortened by a random
/// part of up to one half, so that many that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause before the first retry.
    pub first: Duration,
    /// Longest pause.
    pub max: Duration,
    /// Retries at most.
    pub attempts_max: u32,
}

impl Backoff {
    /// The pause before retry number `attempt` (from 1) without jitter.
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

/// A task whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due<T> {
    /// Its name. Still good for periodic tasks and for retries, not for the others.
    pub task: Cancel,
    /// What was scheduled.
    pub value: T,
    /// For a retry: which one, from 1. Otherwise 1.
    pub attempt: u32,
    /// For a periodic task: beats that were skipped because nobody polled in time.
    pub missed: u64,
}

/// A retry that has used up its attempts; the task is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaveUp<T> {
    /// What was scheduled.
    pub value: T,
    /// Retries that were made.
    pub attempts: u32,
}

enum Kind {
    Once,
    Every(Duration),
    Idle { after: Duration, touched: Time },
    Retry { backoff: Backoff, attempt: u32 },
}

struct Entry<T> {
    kind: Kind,
    /// `None` while a retry is under way.
    timer: Option<TimerKey>,
    deadline: Time,
    value: T,
}

/// Tasks by time.
///
/// # Examples
/// ```
/// use hioload_base::Time;
/// use hioload_reactor::scheduler::Scheduler;
/// use std::time::Duration;
///
/// let start = Time::ZERO;
/// let mut scheduler = Scheduler::new(start, 100, 7);
/// let idle = scheduler.idle(start, Duration::from_secs(60), "close it").expect("room");
/// scheduler.touch(idle, start + Duration::from_secs(50));
/// assert_eq!(scheduler.poll(start + Duration::from_secs(61)), None);
/// let due = scheduler.poll(start + Duration::from_secs(111)).expect("idle for a minute");
/// assert_eq!(due.value, "close it");
/// ```
pub struct Scheduler<T> {
    wheel: TimerWheel<Key>,
    tasks: Slab<Entry<T>>,
    prng: Prng,
}

impl<T: Clone> Scheduler<T> {
    /// Ticks of a millisecond from `start`, at most `limit` tasks; `seed` decides the jitter.
    #[must_use]
    pub fn new(start: Time, limit: usize, seed: u64) -> Self {
        Self {
            wheel: TimerWheel::new(Duration::from_millis(1), start, limit),
            tasks: Slab::with_limit(limit),
            prng: Prng::new(seed),
        }
    }

    /// Tasks now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// No task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Fires once, `after` from now.
    ///
    /// # Errors
    /// The table is full; the value comes back.
    pub fn timeout(&mut self, now: Time, after: Duration, value: T) -> Result<Cancel, Full<T>> {
        self.add(Kind::Once, now + after, value)
    }

    /// Fires every `period` from now on, on the beat: a late poll skips beats, it does not shift them.
    ///
    /// # Errors
    /// The table is full; the value comes back.
    ///
    /// # Panics
    /// When the period is zero.
    pub fn periodic(&mut self, now: Time, period: Duration, value: T) -> Result<Cancel, Full<T>> {
        assert!(!period.is_zero(), "misuse: a period of zero");
        self.add(Kind::Every(period), now + period, value)
    }

    /// Fires once when it was not touched for `after`.
    ///
    /// # Errors
    /// The table is full; the value comes back.
    pub fn idle(&mut self, now: Time, after: Duration, value: T) -> Result<Cancel, Full<T>> {
        self.add(
            Kind::Idle {
                after,
                touched: now,
            },
            now + after,
            value,
        )
    }

    /// Fires after the first pause; then [`Scheduler::failed`] asks for the next attempt, and a
    /// success is told by [`Scheduler::cancel`].
    ///
    /// # Errors
    /// The table is full; the value comes back.
    pub fn retry(&mut self, now: Time, backoff: Backoff, value: T) -> Result<Cancel, Full<T>> {
        let pause = self.jittered(backoff.pause(1));
        self.add(
            Kind::Retry {
                backoff,
                attempt: 1,
            },
            now + pause,
            value,
        )
    }

    /// The attempt that was due has failed: when the next one is.
    /// `Ok(None)`: no attempt of this name is under way.
    ///
    /// # Errors
    /// All attempts are used up; the task is over.
    pub fn failed(&mut self, task: Cancel, now: Time) -> Result<Option<Time>, GaveUp<T>> {
        let Some(entry) = self.tasks.get_mut(task.0) else {
            return Ok(None);
        };
        let (Kind::Retry { backoff, attempt }, None) = (&mut entry.kind, entry.timer) else {
            return Ok(None);
        };
        if *attempt >= backoff.attempts_max {
            let attempts = *attempt;
            let entry = self
                .tasks
                .remove(task.0)
                .expect("invariant: looked up above");
            return Err(GaveUp {
                value: entry.value,
                attempts,
            });
        }
        *attempt += 1;
        let pause = backoff.pause(*attempt);
        let deadline = now + self.jittered(pause);
        self.arm(task.0, deadline);
        Ok(Some(deadline))
    }

    /// Something happened: the idle time begins anew. False when there is no such idle timer.
    pub fn touch(&mut self, task: Cancel, now: Time) -> bool {
        match self.tasks.get_mut(task.0) {
            Some(Entry {
                kind: Kind::Idle { touched, .. },
                ..
            }) => {
                *touched = now.max(*touched);
                true
            }
            _ => false,
        }
    }

    /// Takes a task back; `None` when it is over.
    pub fn cancel(&mut self, task: Cancel) -> Option<T> {
        let entry = self.tasks.remove(task.0)?;
        if let Some(timer) = entry.timer {
            self.wheel.cancel(timer);
        }
        Some(entry.value)
    }

    /// The next task whose time has come; call it until there is none, or as often as the turn
    /// allows.
    pub fn poll(&mut self, now: Time) -> Option<Due<T>> {
        for _ in 0..TOUCHED_MAX {
            let key = self.wheel.expire(now)?;
            let due = self.fire(key, now);
            if due.is_some() {
                return due;
            }
        }
        None
    }

    /// When to poll next; may be early, never late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.wheel.next_deadline()
    }

    fn add(&mut self, kind: Kind, deadline: Time, value: T) -> Result<Cancel, Full<T>> {
        let entry = Entry {
            kind,
            timer: None,
            deadline,
            value,
        };
        let key = self
            .tasks
            .insert(entry)
            .map_err(|full| Full(full.0.value))?;
        self.arm(key, deadline);
        Ok(Cancel(key))
    }

    fn arm(&mut self, key: Key, deadline: Time) {
        let timer = self.wheel.insert(deadline, key);
        let entry = self
            .tasks
            .get_mut(key)
            .expect("invariant: armed tasks are in the table");
        entry.timer = Some(timer.expect("invariant: one timer a task, and equal limits"));
        entry.deadline = deadline;
    }

    /// A task's timer ran out. `None`: it was touched, and its time has not come.
    fn fire(&mut self, key: Key, now: Time) -> Option<Due<T>> {
        let entry = self
            .tasks
            .get_mut(key)
            .expect("invariant: a timer's task is in the table");
        entry.timer = None;
        let (mut attempt, mut missed) = (1, 0);
        let mut again = None;
        match &entry.kind {
            Kind::Idle { after, touched } if *touched + *after > now => {
                let deadline = *touched + *after;
                self.arm(key, deadline);
                return None;
            }
            Kind::Retry {
                attempt: number, ..
            } => attempt = *number,
            Kind::Every(period) => {
                let late = now - entry.deadline;
                missed = u64::try_from(late.as_nanos() / period.as_nanos()).unwrap_or(u64::MAX);
                let beats = u32::try_from(missed + 1).unwrap_or(u32::MAX);
                again = Some(entry.deadline + period.saturating_mul(beats));
            }
            Kind::Idle { .. } | Kind::Once => {
                let entry = self.tasks.remove(key).expect("invariant: looked up above");
                return Some(Due {
                    task: Cancel(key),
                    value: entry.value,
                    attempt,
                    missed,
                });
            }
        }
        let value = entry.value.clone();
        if let Some(deadline) = again {
            self.arm(key, deadline);
        }
        Some(Due {
            task: Cancel(key),
            value,
            attempt,
            missed,
        })
    }

    /// Between half of the pause and all of it.
    fn jittered(&mut self, pause: Duration) -> Duration {
        let half = pause / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX - 1);
        pause - Duration::from_nanos(self.prng.below(nanos + 1))
    }
}

impl<T> std::fmt::Debug for Scheduler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn scheduler(limit: usize) -> Scheduler<&'static str> {
        Scheduler::new(Time::ZERO, limit, 1)
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn fired(scheduler: &mut Scheduler<&'static str>, now: Time) -> Vec<&'static str> {
        std::iter::from_fn(|| scheduler.poll(now))
            .map(|due| due.value)
            .collect()
    }

    #[test]
    fn a_timeout_fires_once_and_never_early() {
        let mut scheduler = scheduler(10);
        let late = scheduler.timeout(at(0), SECOND * 5, "late").expect("room");
        scheduler.timeout(at(0), SECOND, "soon").expect("room");
        scheduler
            .timeout(at(0), Duration::ZERO, "now")
            .expect("room");
        assert_eq!(fired(&mut scheduler, at(0)), ["now"]);
        assert_eq!(
            fired(&mut scheduler, Time::from_nanos(999_999_999)),
            [""; 0]
        );
        assert!(scheduler.next_deadline().expect("two left") <= at(1));
        assert_eq!(fired(&mut scheduler, at(1)), ["soon"]);
        assert_eq!(fired(&mut scheduler, at(9)), ["late"]);
        assert_eq!(scheduler.cancel(late), None, "over");
        assert!(scheduler.is_empty());
    }

    #[test]
    fn every_kind_can_be_cancelled() {
        let mut scheduler = scheduler(10);
        let backoff = Backoff {
            first: SECOND,
            max: SECOND,
            attempts_max: 3,
        };
        let all = [
            scheduler.timeout(at(0), SECOND, "timeout").expect("room"),
            scheduler.periodic(at(0), SECOND, "periodic").expect("room"),
            scheduler.idle(at(0), SECOND, "idle").expect("room"),
            scheduler.retry(at(0), backoff, "retry").expect("room"),
        ];
        for task in all {
            assert!(scheduler.cancel(task).is_some());
            assert_eq!(scheduler.cancel(task), None);
            assert!(!scheduler.touch(task, at(0)));
            assert_eq!(scheduler.failed(task, at(0)), Ok(None));
        }
        assert_eq!(fired(&mut scheduler, at(100)), [""; 0]);
        assert_eq!((scheduler.len(), scheduler.next_deadline()), (0, None));
    }

    #[test]
    fn an_idle_timer_counts_from_the_last_touch() {
        let mut scheduler = scheduler(2);
        let idle = scheduler.idle(at(0), SECOND * 10, "idle").expect("room");
        for second in (1..100).step_by(7) {
            assert!(scheduler.touch(idle, at(second)));
            assert_eq!(fired(&mut scheduler, at(second)), [""; 0]);
        }
        // Touched last at 99.
        assert_eq!(fired(&mut scheduler, at(108)), [""; 0]);
        assert_eq!(fired(&mut scheduler, at(109)), ["idle"]);
        assert!(!scheduler.touch(idle, at(109)), "over");
    }

    #[test]
    fn a_periodic_task_keeps_its_beat() {
        let mut scheduler = scheduler(2);
        let beat = scheduler
            .periodic(at(0), SECOND * 10, "beat")
            .expect("room");
        assert_eq!(scheduler.poll(at(9)), None);
        assert_eq!(scheduler.poll(at(13)).expect("one beat").missed, 0);
        assert_eq!(scheduler.poll(at(19)), None);
        let due = scheduler.poll(at(55)).expect("late");
        assert_eq!(
            (due.missed, due.task),
            (3, beat),
            "30, 40 and 50 were skipped"
        );
        assert_eq!(scheduler.poll(at(55)), None);
        assert_eq!(scheduler.poll(at(60)).expect("on the beat").missed, 0);
    }

    #[test]
    fn retries_back_off_and_give_up() {
        let mut scheduler = scheduler(2);
        let backoff = Backoff {
            first: SECOND,
            max: SECOND * 3,
            attempts_max: 4,
        };
        let task = scheduler.retry(at(0), backoff, "dial").expect("room");
        let mut now = at(0);
        for (attempt, pause) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
            let half = now + SECOND * pause / 2;
            assert_eq!(
                scheduler.poll(Time::from_nanos(half.as_nanos() - 1)),
                None,
                "too early"
            );
            now += SECOND * pause;
            let due = scheduler.poll(now).expect("due within the pause");
            assert_eq!((due.attempt, due.task), (attempt, task));
            assert_eq!(scheduler.poll(now), None, "an attempt under way is not due");
            if attempt < 4 {
                let next = scheduler
                    .failed(task, now)
                    .expect("attempts left")
                    .expect("armed");
                assert!(next > now);
                assert_eq!(scheduler.failed(task, now), Ok(None), "told twice");
            }
        }
        let over = scheduler.failed(task, now).expect_err("used up");
        assert_eq!(
            over,
            GaveUp {
                value: "dial",
                attempts: 4
            }
        );
        assert!(scheduler.is_empty());
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff {
            first: SECOND,
            max: SECOND * 60,
            attempts_max: u32::MAX,
        };
        let pauses: Vec<u64> = [0, 1, 2, 3, 6, 7, 8, u32::MAX]
            .map(|n| backoff.pause(n).as_secs())
            .to_vec();
        assert_eq!(pauses, [1, 1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn the_table_has_a_limit() {
        for limit in [0, 1, 2] {
            let mut scheduler = scheduler(limit);
            for _ in 0..limit {
                scheduler.timeout(at(0), SECOND, "in").expect("room");
            }
            assert_eq!(scheduler.idle(at(0), SECOND, "out"), Err(Full("out")));
            assert_eq!(fired(&mut scheduler, at(2)).len(), limit);
        }
    }

    #[test]
    fn a_crowd_of_touched_timers_is_put_off_in_steps() {
        let count = TOUCHED_MAX + 10;
        let mut scheduler = Scheduler::new(Time::ZERO, count, 1);
        for n in 0..count {
            let task = scheduler.idle(at(0), SECOND, n).expect("room");
            scheduler.touch(task, at(1));
        }
        assert_eq!(scheduler.poll(at(1)), None);
        assert!(
            scheduler.next_deadline().expect("all of them") <= at(1),
            "some are left"
        );
        assert_eq!(scheduler.poll(at(1)), None);
        assert!(scheduler.next_deadline().expect("all of them") > at(1));
        let all = std::iter::from_fn(|| scheduler.poll(at(2))).count();
        assert_eq!(all, count);
    }
}
