//! A million timers in one slot of the timer wheel: how long the turns take that move them closer. Once all in one
//! turn, once as the wheel does it by itself. Prints turns, the longest, and all together, of the best of some rounds:
//! whatever else runs on the machine makes turns longer.
//!
//! `cargo run --release -p hioload-bench --bin timers`

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use hioload_base::{Prng, Time, TimerWheel};

const TIMERS: usize = 1_000_000;
/// Timers a turn deals with, as workers do.
const BATCH: usize = 256;
const ROUNDS: usize = 5;
/// Ticks of a slot of level 2 and of level 3, of 1 ms.
const SLOTS: [(u32, u64); 2] = [(2, 1 << 12), (3, 1 << 18)];

/// Prime to the number of timers.
const STRIDE: usize = 618_033;

struct Figures {
    turns: usize,
    longest: Duration,
    all: Duration,
}

/// Turns, of which each begins a tick later than the one before, until the timers of a slot have moved and expired.
fn play(wheel: &mut TimerWheel<u64>, slot_ticks: u64) -> Figures {
    let mut prng = Prng::new(1);
    let mut deadline = || Time::from_millis(slot_ticks + prng.below(slot_ticks));
    let keys: Vec<_> = (0..TIMERS as u64)
        .map(|number| {
            let key = wheel.insert(deadline(), number);
            key.expect("there is room")
        })
        .collect();
    // In a wheel that has run for a while, those that are neighbours in a slot are not so in memory.
    for place in 0..TIMERS {
        let key = keys[place * STRIDE % TIMERS];
        assert!(wheel.reschedule(key, deadline()));
    }
    let mut figures = Figures {
        turns: 0,
        longest: Duration::ZERO,
        all: Duration::ZERO,
    };
    let mut now = Time::from_millis(slot_ticks);
    while !wheel.is_empty() {
        let started = Instant::now();
        let expired = (0..BATCH).take_while(|_| wheel.expire(now).is_some());
        let is_all = expired.count() < BATCH;
        let took = started.elapsed();
        figures.turns += 1;
        figures.longest = figures.longest.max(took);
        figures.all += took;
        if is_all {
            now += Duration::from_millis(1);
        }
    }
    figures
}

fn main() {
    for (level, slot_ticks) in SLOTS {
        for (how, moves_max) in [("at once", Some(usize::MAX)), ("as it is", None)] {
            let round = |_| {
                let wheel = TimerWheel::new(Duration::from_millis(1), Time::ZERO, TIMERS);
                let mut wheel = match moves_max {
                    Some(max) => wheel.with_moves_max(max),
                    None => wheel,
                };
                play(&mut wheel, slot_ticks)
            };
            let best = (0..ROUNDS).map(round).min_by_key(|figures| figures.longest);
            let Figures {
                turns,
                longest,
                all,
            } = best.expect("there are rounds");
            println!(
                "level {level}, {how:8}: {turns:7} turns, the longest {longest:>10.1?}, all {all:.1?}"
            );
        }
    }
}
