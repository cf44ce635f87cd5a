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
    /// The tick the wheel is at: time never goes back, and earlier deadlines count as this tick.
    tick_now: u64,
    tick_ns: u64,
    arrivals: u64,
}

impl Model {
    fn new(tick_ns: u64, start: Time, limit: usize, moves_max: usize) -> Model {
        let wheel = TimerWheel::new(Duration::from_nanos(tick_ns), start, limit);
        Model {
            wheel: wheel.with_moves_max(moves_max),
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

    fn tick_at(&self, now: Time) -> u64 {
        let since_start = (now - self.start).as_nanos();
        u64::try_from(since_start).expect("64 bits of nanoseconds") / self.tick_ns
    }

    /// One turn: takes out what has expired, in the same order as the model, until the wheel says that this is all,
    /// or all for now. True when it is all.
    fn expire(&mut self) -> Result<bool, TestCaseError> {
        let target = self.tick_at(self.now);
        self.running.sort_unstable();
        let mut taken = 0;
        while let Some(name) = self.wheel.expire(self.now) {
            let expected = self.running.get(taken);
            let expected = expected.filter(|timer| timer.0 <= target);
            prop_assert_eq!(expected.map(|timer| timer.3), Some(name));
            taken += 1;
        }
        self.running.drain(..taken);
        let next = self.wheel.next_deadline();
        if let Some(next) = next.filter(|next| *next <= self.now && *next < Time::MAX) {
            self.tick_now = self.tick_at(next).max(self.tick_now);
            return Ok(false);
        }
        self.tick_now = target;
        let due = self.running.iter().find(|timer| timer.0 <= target);
        // At the end of time, what is to come next is now whether it comes or not.
        prop_assert!(due.is_none() || next == Some(Time::MAX), "{:?}", due);
        Ok(due.is_none())
    }

    /// Turns until there is nothing left: each entry moves ten times at most.
    fn expire_all(&mut self, moves_max: usize) -> Result<(), TestCaseError> {
        let turns_max = self.running.len() * 10 / moves_max + 1;
        for _ in 0..turns_max {
            if self.expire()? {
                return Ok(());
            }
        }
        prop_assert!(false, "not done after {} turns", turns_max);
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
        moves_max in prop_oneof![1usize..4, Just(1000)],
        is_patient in any::<bool>(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut model = Model::new(tick_ns, Time::from_nanos(start), limit, moves_max);
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
            if is_patient {
                model.expire_all(moves_max)?;
            } else {
                model.expire()?;
            }
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

/// In one slot of level 2, and some ticks beside: other timers go on meanwhile, and order is kept.
#[test]
fn a_slot_of_many_is_moved_in_many_turns() {
    let at = |millis: u64| Time::from_millis(millis);
    let mut wheel = TimerWheel::new(MS, Time::ZERO, 1000).with_moves_max(10);
    for number in 0..100 {
        wheel.insert(at(4096 + 5), number).expect("below limit");
    }
    let cancelled = wheel.insert(at(4096 + 5), 100).expect("below limit");
    let moved = wheel.insert(at(4096 + 5), 101).expect("below limit");
    let now = at(4096 + 7);
    let mut turns = 0;
    assert_eq!(wheel.expire(now), None, "ten have moved");
    assert_eq!(wheel.next_deadline(), Some(at(4096)), "it does not wait");
    wheel.insert(at(4096 + 5), 102).expect("below limit");
    assert_eq!(wheel.cancel(cancelled), Some(100));
    assert!(wheel.reschedule(moved, at(4096 + 6)));
    wheel.insert(at(1), -1).expect("below limit");
    let mut seen = Vec::new();
    while !wheel.is_empty() {
        turns += 1;
        seen.extend(std::iter::from_fn(|| wheel.expire(now)));
    }
    // The tick in the past counts as the one that the wheel is at: 4096.
    let expected = [-1].into_iter().chain(0..100).chain([102, 101]);
    assert!(seen.iter().copied().eq(expected), "{seen:?}");
    assert!(turns >= 10, "{turns} turns for 103 moves");
}

#[test]
#[should_panic(expected = "time moves on")]
fn a_wheel_that_may_move_nothing_is_refused() {
    let _ = TimerWheel::<()>::new(MS, Time::ZERO, 1).with_moves_max(0);
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
