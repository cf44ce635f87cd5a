//! The timer wheel against a sorted list, and the promises it makes about time.

use hioload_base::{Full, Time, TimerKey, TimerWheel};
use proptest::prelude::*;
use std::time::Duration;

/// A timer of the model: tick, order of arrival in its tick, key, name.
type Running = (u64, u64, TimerKey, u64);

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Cancel(prop::sample::Index),
    Reschedule(prop::sample::Index, u64),
    Advance(u64),
    /// Jump to what the wheel says comes next.
    Wait,
}

/// Distances that reach every level, with a bias towards the edges of slots.
fn distance_ns() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..5,
        0u64..2000,
        (0u32..64, 0u64..3).prop_map(|(bits, more)| (1u64 << bits).saturating_add(more)),
        (0u32..64, 0u64..3).prop_map(|(bits, less)| (1u64 << bits).saturating_sub(less)),
        Just(u64::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => distance_ns().prop_map(Step::Insert),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => (any::<prop::sample::Index>(), distance_ns()).prop_map(|(key, ns)| Step::Reschedule(key, ns)),
        1 => distance_ns().prop_map(Step::Advance),
        2 => Just(Step::Wait),
    ]
}

struct Model {
    wheel: TimerWheel<u64>,
    running: Vec<Running>,
    given: Vec<TimerKey>,
    start: Time,
    now: Time,
    /// The latest tick asked for: time never goes back, and earlier deadlines count as this tick.
    tick_now: u64,
    tick_ns: u64,
    arrivals: u64,
}

impl Model {
    fn new(tick_ns: u64, start: Time, limit: usize) -> Model {
        Model {
            wheel: TimerWheel::new(Duration::from_nanos(tick_ns), start, limit),
            running: Vec::new(),
            given: Vec::new(),
            start,
            now: start,
            tick_now: 0,
            tick_ns,
            arrivals: 0,
        }
    }

    fn tick_of(&self, deadline: Time) -> u64 {
        let since_start =
            u64::try_from((deadline - self.start).as_nanos()).expect("64 bits of nanoseconds");
        since_start.div_ceil(self.tick_ns).max(self.tick_now)
    }

    fn insert(&mut self, deadline: Time) -> Result<(), TestCaseError> {
        self.arrivals += 1;
        let name = self.arrivals;
        match self.wheel.insert(deadline, name) {
            Ok(key) => {
                self.running
                    .push((self.tick_of(deadline), self.arrivals, key, name));
                self.given.push(key);
            }
            Err(Full(back)) => {
                prop_assert_eq!((back, self.running.len()), (name, self.wheel.limit()));
            }
        }
        Ok(())
    }

    fn position(&self, key: TimerKey) -> Option<usize> {
        self.running.iter().position(|timer| timer.2 == key)
    }

    fn cancel(&mut self, key: TimerKey) -> Result<(), TestCaseError> {
        let expected = self.position(key).map(|at| self.running.remove(at).3);
        prop_assert_eq!(self.wheel.cancel(key), expected);
        prop_assert_eq!(self.wheel.get(key), None);
        Ok(())
    }

    fn reschedule(&mut self, key: TimerKey, deadline: Time) -> Result<(), TestCaseError> {
        let position = self.position(key);
        prop_assert_eq!(self.wheel.reschedule(key, deadline), position.is_some());
        if let Some(at) = position {
            self.arrivals += 1;
            (self.running[at].0, self.running[at].1) = (self.tick_of(deadline), self.arrivals);
        }
        Ok(())
    }

    /// Takes out everything that has expired, in the same order as the model.
    fn expire(&mut self) -> Result<(), TestCaseError> {
        let since_start =
            u64::try_from((self.now - self.start).as_nanos()).expect("64 bits of nanoseconds");
        self.tick_now = since_start / self.tick_ns;
        self.running.sort_unstable();
        let count = self
            .running
            .iter()
            .take_while(|timer| timer.0 <= self.tick_now)
            .count();
        for (_, _, _, name) in self.running.drain(..count) {
            prop_assert_eq!(self.wheel.expire(self.now), Some(name));
        }
        prop_assert_eq!(self.wheel.expire(self.now), None);
        Ok(())
    }

    fn check_next(&self) -> Result<(), TestCaseError> {
        let next = self.wheel.next_deadline();
        let Some(first) = self.running.iter().map(|timer| timer.0).min() else {
            prop_assert_eq!(next, None);
            return Ok(());
        };
        let nanos =
            u128::from(first) * u128::from(self.tick_ns) + u128::from(self.start.as_nanos());
        let latest = Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        prop_assert!(
            next.is_some_and(|next| next <= latest),
            "{next:?} is later than {latest:?}"
        );
        Ok(())
    }
}

proptest! {
    #[test]
    fn expires_what_a_sorted_list_does_in_the_same_order(
        tick_ns in prop_oneof![Just(1u64), Just(7), Just(1_000_000)],
        start in prop_oneof![Just(0u64), 0u64..10_000_000, Just(u64::MAX - 1000)],
        limit in prop_oneof![0usize..4, Just(1000)],
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut model = Model::new(tick_ns, Time::from_nanos(start), limit);
        for step in steps {
            match step {
                Step::Insert(distance) => model.insert(model.now + Duration::from_nanos(distance))?,
                Step::Cancel(pick) if !model.given.is_empty() => model.cancel(*pick.get(&model.given))?,
                Step::Reschedule(pick, distance) if !model.given.is_empty() => {
                    let deadline = model.now + Duration::from_nanos(distance);
                    model.reschedule(*pick.get(&model.given), deadline)?;
                }
                Step::Advance(distance) => model.now += Duration::from_nanos(distance / 1000),
                Step::Wait => model.now = model.wheel.next_deadline().unwrap_or(model.now).max(model.now),
                Step::Cancel(_) | Step::Reschedule(..) => {}
            }
            model.check_next()?;
            model.expire()?;
            prop_assert_eq!(model.wheel.len(), model.running.len());
        }
    }
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn is_never_early_and_at_most_one_tick_late() {
    for offset_ns in [0, 1, 499_999, 999_999] {
        for distance_ns in [
            0, 1, 999_999, 1_000_000, 1_000_001, 63_999_999, 64_000_000, 64_000_001,
        ] {
            let start = Time::from_nanos(offset_ns);
            let mut wheel = TimerWheel::new(MS, start, 1);
            let deadline = start + Duration::from_nanos(distance_ns);
            wheel.insert(deadline, ()).expect("below limit");
            if deadline > start {
                assert_eq!(
                    wheel.expire(deadline - Duration::from_nanos(1)),
                    None,
                    "{distance_ns}"
                );
            }
            assert_eq!(wheel.expire(deadline + MS), Some(()), "{distance_ns}");
        }
    }
}

#[test]
fn a_deadline_in_the_past_expires_at_once() {
    let now = Time::from_millis(5000);
    let mut wheel = TimerWheel::new(MS, Time::ZERO, 2);
    assert_eq!(wheel.expire(now), None);
    wheel
        .insert(Time::from_millis(1), 'a')
        .expect("below limit");
    wheel.insert(now, 'b').expect("below limit");
    assert_eq!(wheel.next_deadline(), Some(now));
    assert_eq!(wheel.expire(now), Some('a'));
    assert_eq!(wheel.expire(now), Some('b'));
}

#[test]
fn time_that_goes_back_is_the_time_it_was() {
    let mut wheel = TimerWheel::new(MS, Time::ZERO, 1);
    assert_eq!(wheel.expire(Time::from_millis(100)), None);
    wheel
        .insert(Time::from_millis(101), ())
        .expect("below limit");
    assert_eq!(wheel.expire(Time::from_millis(50)), None);
    assert_eq!(wheel.expire(Time::from_millis(100)), None);
    assert_eq!(wheel.expire(Time::from_millis(101)), Some(()));
}

#[test]
fn never_is_a_deadline_too() {
    let mut wheel = TimerWheel::new(MS, Time::ZERO, 1);
    let key = wheel.insert(Time::MAX, ()).expect("below limit");
    assert_eq!(wheel.expire(Time::from_nanos(u64::MAX / 2)), None);
    assert!(wheel.next_deadline().is_some());
    assert_eq!(wheel.cancel(key), Some(()));
}

#[test]
fn a_wake_up_at_each_deadline_reaches_a_far_timer_in_few_steps() {
    let mut wheel = TimerWheel::new(MS, Time::ZERO, 1);
    let year = Time::ZERO + Duration::from_secs(31_536_000);
    wheel.insert(year, ()).expect("below limit");
    let mut steps = 0;
    loop {
        let now = wheel.next_deadline().expect("one timer runs");
        steps += 1;
        if wheel.expire(now).is_some() {
            assert_eq!(now, year);
            break;
        }
    }
    assert!(steps <= 7, "{steps} steps for 2^35 ticks");
}

#[test]
#[should_panic(expected = "a tick has a length")]
fn a_tick_of_nothing_is_refused() {
    TimerWheel::<()>::new(Duration::ZERO, Time::ZERO, 1);
}

#[test]
fn a_timer_costs_at_most_24_bytes_more_than_its_value() {
    assert!(TimerWheel::<u64>::entry_size() <= 8 + 24);
}
