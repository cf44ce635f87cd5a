//! Blocks leased to one worker in advance, so that a PUT writes at once.
//!
//! ```text
//!   PUT ─▶ take ─▶ a block          free < target ─▶ ask the controller ─▶ leased ─▶ who waits, then the pool
//!            └ none: wait, the target doubles        nobody waits for a while ─▶ target back, surplus returned
//! ```
//!
//! The same code fills a pool at the start and at run time. Must not know the controller's queues: what to ask for and what to
//! return is answered, the caller sends it.
//!
//! Limits: a pool never wants more than its target times `factor`, [`ASKS_MAX`] requests for each class are unanswered, and a
//! block is ready, with a PUT, or gone. After a refusal the pool asks again only after [`REFUSAL_PAUSE`], or for a PUT that
//! waits.

use std::collections::VecDeque;
use std::time::Duration;

use hioload_base::{Key, Time};

use crate::block::Block;
use crate::class::Class;
use crate::message::Leased;
use crate::stats::PoolStats;

/// Requests for blocks of one class that are unanswered at most. The controller answers between two batches: all the PUTs of
/// a batch have to find their blocks there.
pub(crate) const ASKS_MAX: usize = 16;

/// How long a pool does without after it was refused.
pub(crate) const REFUSAL_PAUSE: Duration = Duration::from_millis(100);

/// How long nobody may have waited before a target shrinks.
const CALM: Duration = Duration::from_secs(1);

/// What to do with a block that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// This PUT waits for it.
    To(Key),
    /// The pool has it.
    Kept,
    /// Nobody wants it: return it.
    Surplus,
}

#[derive(Debug)]
struct Pool {
    free: Vec<Block>,
    waiting: VecDeque<Key>,
    base: usize,
    target: usize,
    target_max: usize,
    /// Requests without an answer, and the blocks they are for.
    asks: usize,
    asked_for: usize,
    /// It was worth a message, and is not full since.
    is_filling: bool,
    /// The last answer was a refusal.
    is_refused: bool,
    ask_after: Time,
    /// Somebody waited since the last answer: the target has doubled for it.
    has_grown: bool,
    /// The target may shrink then.
    calm_at: Time,
    /// The fewest blocks ready since the target changed: what nobody needed.
    free_min: usize,
    stats: PoolStats,
}

impl Pool {
    /// Blocks to ask for. Not for each single one: a quarter of the pool, or a PUT that waits, is worth a message; then the
    /// pool is filled.
    fn missing(&self) -> usize {
        let wanted = self.target + self.waiting.len();
        let missing = wanted.saturating_sub(self.free.len() + self.asked_for);
        let has_to_wait = self.waiting.len() > self.asked_for;
        let is_worth_it = self.is_filling || has_to_wait || missing * 4 >= self.target;
        if is_worth_it { missing } else { 0 }
    }
}

/// The pools of one worker.
#[derive(Debug)]
pub(crate) struct Pools([Pool; Class::COUNT]);

impl Pools {
    /// Empty pools that want `targets` blocks, and up to `factor` times as many under load.
    pub(crate) fn new(targets: [u16; Class::COUNT], factor: u16) -> Pools {
        Pools(targets.map(|target| {
            let base = usize::from(target);
            Pool {
                free: Vec::new(),
                waiting: VecDeque::new(),
                base,
                target: base,
                // A class without a target of its own serves its PUTs all the same.
                target_max: base.max(1) * usize::from(factor),
                asks: 0,
                asked_for: 0,
                is_filling: false,
                is_refused: false,
                ask_after: Time::ZERO,
                has_grown: false,
                calm_at: Time::ZERO,
                free_min: 0,
                stats: PoolStats::default(),
            }
        }))
    }

    /// A block that is ready.
    #[inline]
    pub(crate) fn take(&mut self, class: Class) -> Option<Block> {
        let pool = &mut self.0[class.index()];
        let block = pool.free.pop()?;
        pool.free_min = pool.free_min.min(pool.free.len());
        Some(block)
    }

    /// `put` waits for a block: [`Given::To`] or [`Pools::refused`] names it.
    pub(crate) fn wait(&mut self, now: Time, class: Class, put: Key) {
        let pool = &mut self.0[class.index()];
        pool.waiting.push_back(put);
        pool.stats.waits += 1;
        pool.calm_at = now + CALM;
        if !std::mem::replace(&mut pool.has_grown, true) {
            pool.target = (pool.target * 2).clamp(1, pool.target_max);
            pool.free_min = 0;
        }
    }

    /// `put` does not wait any more.
    pub(crate) fn forget(&mut self, class: Class, put: Key) {
        self.0[class.index()]
            .waiting
            .retain(|waiting| *waiting != put);
    }

    /// True when a PUT of this class would have to wait for what was refused just now: it may be told at once.
    pub(crate) fn is_exhausted(&self, now: Time, class: Class) -> bool {
        let pool = &self.0[class.index()];
        pool.free.is_empty() && pool.is_refused && now < pool.ask_after
    }

    /// A block came back that was not used.
    pub(crate) fn give(&mut self, block: Block) -> Given {
        let pool = &mut self.0[block.class().index()];
        if let Some(put) = pool.waiting.pop_front() {
            return Given::To(put);
        }
        if pool.free.len() >= pool.target {
            return Given::Surplus;
        }
        pool.free.push(block);
        Given::Kept
    }

    /// Nobody waits any more. Returns those who did.
    pub(crate) fn forget_all(&mut self, class: Class) -> VecDeque<Key> {
        std::mem::take(&mut self.0[class.index()].waiting)
    }

    /// How many blocks to ask for now, if any; the answer is then awaited. Call again until there are none.
    pub(crate) fn ask(&mut self, now: Time, class: Class) -> Option<u8> {
        let pool = &mut self.0[class.index()];
        if pool.asks == ASKS_MAX || (now < pool.ask_after && pool.waiting.is_empty()) {
            return None;
        }
        let missing = pool.missing();
        pool.is_filling = missing > 0;
        if missing == 0 {
            return None;
        }
        let count = missing.min(Leased::COUNT_MAX);
        pool.asks += 1;
        pool.asked_for += count;
        pool.stats.refills += 1;
        Some(count as u8)
    }

    /// A request for `count` blocks is answered: [`Pools::arrived`] for each that came follows.
    pub(crate) fn answered(&mut self, class: Class, count: u8) {
        let pool = &mut self.0[class.index()];
        pool.asks -= 1;
        pool.asked_for -= usize::from(count);
        pool.is_refused = false;
        pool.has_grown = false;
    }

    /// A block that was asked for. The PUT it is for, if one waits.
    pub(crate) fn arrived(&mut self, block: Block) -> Option<Key> {
        let pool = &mut self.0[block.class().index()];
        let put = pool.waiting.pop_front();
        if put.is_none() {
            pool.free.push(block);
        }
        put
    }

    /// The request is refused: every PUT that waits has to be told.
    pub(crate) fn refused(&mut self, now: Time, class: Class, count: u8) -> VecDeque<Key> {
        let pool = &mut self.0[class.index()];
        pool.asks -= 1;
        pool.asked_for -= usize::from(count);
        pool.is_refused = true;
        pool.has_grown = false;
        pool.ask_after = now + REFUSAL_PAUSE;
        pool.stats.refusals += 1;
        std::mem::take(&mut pool.waiting)
    }

    /// The same for a table at its limit: those that wait go on waiting.
    pub(crate) fn postponed(&mut self, now: Time, class: Class, count: u8) {
        let pool = &mut self.0[class.index()];
        pool.asks -= 1;
        pool.asked_for -= usize::from(count);
        pool.ask_after = now + REFUSAL_PAUSE;
    }

    /// After a calm second a target loses a quarter of what it has above its base. A block that is too many then, if any: call
    /// again until there is none.
    pub(crate) fn shrink(&mut self, now: Time, class: Class) -> Option<Block> {
        let pool = &mut self.0[class.index()];
        if pool.target > pool.base && now >= pool.calm_at {
            pool.calm_at = now + CALM;
            let unused = (pool.target - pool.base).div_ceil(4).min(pool.free_min);
            pool.target -= unused;
            pool.free_min = pool.free.len();
        }
        if pool.free.len() > pool.target.max(pool.base) {
            pool.free_min = pool.free_min.min(pool.free.len() - 1);
            return pool.free.pop();
        }
        None
    }

    /// When [`Pools::ask`] or [`Pools::shrink`] may have something to do that they have not now.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let wakes = self.0.iter().filter_map(|pool| {
            let asks = pool.asks < ASKS_MAX && pool.missing() > 0;
            let shrinks = pool.target > pool.base;
            let asks = asks.then_some(pool.ask_after);
            let shrinks = shrinks.then_some(pool.calm_at);
            asks.into_iter().chain(shrinks).min()
        });
        wakes.min()
    }

    /// Blocks ready, of all classes: what the worker returns when it stops.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Block> {
        self.0.iter_mut().flat_map(|pool| pool.free.drain(..))
    }

    /// The figures of each pool.
    pub(crate) fn stats(&self) -> [PoolStats; Class::COUNT] {
        std::array::from_fn(|index| {
            let pool = &self.0[index];
            PoolStats {
                free: pool.free.len() as u64,
                target: pool.target as u64,
                ..pool.stats
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_base::Slab;

    const CLASS: Class = Class::MIN;

    fn block(unit: u32) -> Block {
        Block::new(unit, CLASS).expect("aligned")
    }

    fn pools(target: u16, factor: u16) -> Pools {
        let mut targets = [0; Class::COUNT];
        targets[CLASS.index()] = target;
        Pools::new(targets, factor)
    }

    /// Gives what is asked for until nothing is.
    fn fill(pools: &mut Pools, now: Time, next: &mut u32) {
        while let Some(count) = pools.ask(now, CLASS) {
            pools.answered(CLASS, count);
            for _ in 0..count {
                *next += 1;
                assert_eq!(pools.arrived(block(*next)), None);
            }
        }
    }

    #[test]
    fn a_pool_is_filled_to_its_target_and_again() {
        for target in [0, 1, 2, 10, 12, 13, 100] {
            let (mut pools, mut next) = (pools(target, 8), 0);
            fill(&mut pools, Time::ZERO, &mut next);
            assert_eq!(pools.stats()[0].free, u64::from(target));
            for _ in 0..target {
                assert!(pools.take(CLASS).is_some());
            }
            assert_eq!(pools.take(CLASS), None);
            fill(&mut pools, Time::ZERO, &mut next);
            assert_eq!(pools.stats()[0].free, u64::from(target));
        }
    }

    #[test]
    fn what_is_on_its_way_is_not_asked_for_again() {
        let mut keys = Slab::with_limit(1000);
        let mut pools = pools(100, 8);
        let counts = |pools: &mut Pools| -> Vec<u8> {
            std::iter::from_fn(|| pools.ask(Time::ZERO, CLASS)).collect()
        };
        assert_eq!(counts(&mut pools), [12, 12, 12, 12, 12, 12, 12, 12, 4]);
        // Blocks come for those who wait; the target has doubled for them.
        for n in 0..50 {
            pools.wait(Time::ZERO, CLASS, keys.insert(n).expect("room"));
        }
        let more = counts(&mut pools);
        assert_eq!(more.len(), ASKS_MAX - 9, "as many requests as may be");
        pools.answered(CLASS, 12);
        for unit in 0..12 {
            assert!(pools.arrived(block(unit)).is_some());
        }
        assert_eq!(counts(&mut pools), [12], "one was answered");
    }

    #[test]
    fn who_waits_is_served_first_and_in_order() {
        let mut keys = Slab::with_limit(10);
        let [a, b, c] = [0, 1, 2].map(|n| keys.insert(n).expect("room"));
        let mut pools = pools(2, 8);
        for key in [a, b, c] {
            pools.wait(Time::ZERO, CLASS, key);
        }
        pools.forget(CLASS, b);
        assert_eq!(
            pools.ask(Time::ZERO, CLASS),
            Some(6),
            "two wait, and the target has doubled"
        );
        pools.answered(CLASS, 6);
        assert_eq!(pools.arrived(block(1)), Some(a));
        assert_eq!(pools.give(block(2)), Given::To(c));
        assert_eq!(pools.arrived(block(3)), None);
        assert_eq!(pools.take(CLASS), Some(block(3)));
    }

    #[test]
    fn waiting_doubles_a_target_once_an_answer_and_calm_takes_it_back() {
        let mut keys = Slab::with_limit(100);
        let (mut pools, mut next) = (pools(10, 8), 0);
        let mut now = Time::from_millis(1);
        for expected in [20, 40, 80, 80] {
            for _ in 0..3 {
                let key = keys.insert(0).expect("room");
                pools.wait(now, CLASS, key);
                pools.forget(CLASS, key);
            }
            assert_eq!(pools.stats()[0].target, expected);
            fill(&mut pools, now, &mut next);
            assert_eq!(pools.stats()[0].free, expected);
        }
        assert_eq!(pools.shrink(now, CLASS), None, "not at once");
        let mut returned = 0;
        for _ in 0..60 {
            now = pools.deadline().expect("the target is above its base");
            while pools.shrink(now, CLASS).is_some() {
                returned += 1;
            }
            if pools.stats()[0].target == 10 {
                break;
            }
        }
        assert_eq!((pools.stats()[0].free, returned), (10, 70));
        assert_eq!(pools.deadline(), None);
    }

    #[test]
    fn what_is_in_use_does_not_shrink() {
        let (mut pools, mut next) = (pools(10, 8), 0);
        let key = Slab::with_limit(1).insert(0).expect("room");
        pools.wait(Time::ZERO, CLASS, key);
        pools.forget(CLASS, key);
        fill(&mut pools, Time::ZERO, &mut next);
        for second in 1..10 {
            let now = Time::from_millis(second * 1000);
            let taken: Vec<_> = (0..20).map(|_| pools.take(CLASS).expect("ready")).collect();
            assert_eq!(pools.shrink(now, CLASS), None);
            for block in taken {
                assert_eq!(pools.give(block), Given::Kept);
            }
            assert_eq!(pools.stats()[0].target, 20);
        }
    }

    #[test]
    fn a_refusal_is_told_to_all_and_not_repeated_at_once() {
        let key = Slab::with_limit(1).insert(0).expect("room");
        let mut pools = pools(2, 8);
        let now = Time::from_millis(5);
        assert_eq!(pools.ask(now, CLASS), Some(2));
        pools.wait(now, CLASS, key);
        assert!(!pools.is_exhausted(now, CLASS));
        assert_eq!(pools.refused(now, CLASS, 2), [key]);
        assert!(pools.is_exhausted(now, CLASS));
        assert!(!pools.is_exhausted(now + REFUSAL_PAUSE, CLASS), "who knows");
        assert_eq!(pools.ask(now, CLASS), None);
        let later = pools.deadline().expect("it asks again");
        assert_eq!(later, now + REFUSAL_PAUSE);
        pools.wait(now, CLASS, key);
        let count = pools.ask(now, CLASS).expect("a PUT asks at once");
        pools.postponed(now, CLASS, count);
        pools.forget(CLASS, key);
        assert!(pools.ask(later, CLASS).is_some());
    }

    #[test]
    fn surplus_goes_back() {
        let (mut pools, mut next) = (pools(2, 1), 0);
        fill(&mut pools, Time::ZERO, &mut next);
        assert_eq!(pools.give(block(99)), Given::Surplus);
        assert_eq!(pools.drain().count(), 2);
    }
}
