//! Blocks leased to one worker in advance, so that a PUT writes at once.
//!
//! ```text
//!   PUT ─▶ take ─▶ a block          free < target ─▶ ask the controller ─▶ leased ─▶ who waits, then the pool
//!            └ none: wait, the target doubles        nobody waits for a while ─▶ target back, surplus returned
//!                                                    recalled: all that is ready returned, and nothing kept
//! ```
//!
//! The same code fills a pool at the start and at run time. Must not know the controller's queues: what to ask for and what to
//! return is answered, the caller sends it.
//!
//! Limits: a pool never wants more than its target times `factor`, [`ASKS_MAX`] requests for each class are unanswered, and a
//! block is ready, with a PUT, or gone. After a refusal or a recall the pool asks again only after [`REFUSAL_PAUSE`], or for a
//! PUT that waits. Recalled, it keeps no block before an answer brings more than was needed: then there is space again, and
//! the controller, which knows what it gave, recalls again when it wants that back.

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

/// How long a pool whose worker has as many blocks as it may does not ask, whoever waits.
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// How long nobody may have waited before a target shrinks.
const CALM: Duration = Duration::from_secs(1);

/// A request for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refill {
    pub(crate) count: u8,
    /// So many of them PUTs wait for.
    pub(crate) needed: u8,
}

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
    /// Requests without an answer, the blocks they are for, and those of them that were said to be needed.
    asks: usize,
    asked_for: usize,
    needed: usize,
    /// It was worth a message, and is not full since.
    is_filling: bool,
    ask_after: Time,
    /// Until then not even PUTs that wait ask.
    busy_until: Time,
    /// Until then PUTs need not ask for what was refused just now.
    exhausted_until: Time,
    /// What was ready was recalled, and there was never more than needed since: nothing is kept.
    is_short: bool,
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

    /// When it may ask for what is missing: at once for a PUT that nobody was told of yet.
    fn may_ask_at(&self) -> Time {
        if self.waiting.len() > self.needed {
            self.busy_until
        } else {
            self.busy_until.max(self.ask_after)
        }
    }

    /// A request has its answer.
    fn done(&mut self, refill: Refill) {
        self.asks -= 1;
        self.asked_for -= usize::from(refill.count);
        self.needed -= usize::from(refill.needed);
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
                needed: 0,
                is_filling: false,
                ask_after: Time::ZERO,
                busy_until: Time::ZERO,
                exhausted_until: Time::ZERO,
                is_short: false,
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
        pool.free.is_empty() && now < pool.exhausted_until
    }

    /// A block came back that was not used.
    pub(crate) fn give(&mut self, block: Block) -> Given {
        let pool = &mut self.0[block.class().index()];
        if let Some(put) = pool.waiting.pop_front() {
            return Given::To(put);
        }
        if pool.is_short || pool.free.len() >= pool.target {
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
    pub(crate) fn ask(&mut self, now: Time, class: Class) -> Option<Refill> {
        let pool = &mut self.0[class.index()];
        if pool.asks == ASKS_MAX || now < pool.may_ask_at() {
            return None;
        }
        let missing = pool.missing();
        pool.is_filling = missing > 0;
        if missing == 0 {
            return None;
        }
        let count = missing.min(Leased::COUNT_MAX);
        let needed = pool.waiting.len().saturating_sub(pool.needed).min(count);
        pool.asks += 1;
        pool.asked_for += count;
        pool.needed += needed;
        pool.stats.refills += 1;
        Some(Refill {
            count: count as u8,
            needed: needed as u8,
        })
    }

    /// A request is answered with so many blocks: [`Pools::arrived`] for each of them follows.
    pub(crate) fn answered(&mut self, class: Class, refill: Refill, given: usize) {
        let pool = &mut self.0[class.index()];
        pool.done(refill);
        pool.exhausted_until = Time::ZERO;
        pool.has_grown = false;
        if given > usize::from(refill.needed) {
            pool.is_short = false;
        }
    }

    /// A block that was asked for.
    pub(crate) fn arrived(&mut self, block: Block) -> Given {
        let pool = &mut self.0[block.class().index()];
        if let Some(put) = pool.waiting.pop_front() {
            return Given::To(put);
        }
        if pool.is_short {
            return Given::Surplus;
        }
        pool.free.push(block);
        Given::Kept
    }

    /// The request is refused: these PUTs, which wait, have to be told. When it was for none, those that wait since go on
    /// waiting: nobody has looked for what they need.
    pub(crate) fn refused(&mut self, now: Time, class: Class, refill: Refill) -> VecDeque<Key> {
        let pool = &mut self.0[class.index()];
        pool.done(refill);
        pool.ask_after = now + REFUSAL_PAUSE;
        pool.has_grown = false;
        pool.stats.refusals += 1;
        if refill.needed == 0 {
            return VecDeque::new();
        }
        pool.exhausted_until = now + REFUSAL_PAUSE;
        std::mem::take(&mut pool.waiting)
    }

    /// The worker has as many blocks as it may: those that wait go on waiting, for one that comes back above all.
    pub(crate) fn postponed(&mut self, now: Time, class: Class, refill: Refill) {
        let pool = &mut self.0[class.index()];
        pool.done(refill);
        pool.ask_after = now + REFUSAL_PAUSE;
        pool.busy_until = now + BUSY_PAUSE;
    }

    /// Others need the space: blocks that are ready, as many as one message holds, and no more is kept. Call again until
    /// there are none.
    pub(crate) fn recall(&mut self, now: Time, class: Class) -> Leased {
        let pool = &mut self.0[class.index()];
        pool.is_short = true;
        pool.free_min = 0;
        pool.ask_after = now + REFUSAL_PAUSE;
        let mut blocks = Leased::new(class);
        while blocks.len() < Leased::COUNT_MAX
            && let Some(block) = pool.free.pop()
        {
            blocks.push(block);
        }
        blocks
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
            let asks = asks.then(|| pool.may_ask_at());
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

    fn refill(count: u8, needed: u8) -> Refill {
        Refill { count, needed }
    }

    /// Gives what is asked for until nothing is.
    fn fill(pools: &mut Pools, now: Time, next: &mut u32) {
        while let Some(refill) = pools.ask(now, CLASS) {
            pools.answered(CLASS, refill, usize::from(refill.count));
            for _ in 0..refill.count {
                *next += 1;
                assert_eq!(pools.arrived(block(*next)), Given::Kept);
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
            std::iter::from_fn(|| pools.ask(Time::ZERO, CLASS))
                .map(|refill| refill.count)
                .collect()
        };
        assert_eq!(counts(&mut pools), [12, 12, 12, 12, 12, 12, 12, 12, 4]);
        // Blocks come for those who wait; the target has doubled for them.
        for n in 0..50 {
            pools.wait(Time::ZERO, CLASS, keys.insert(n).expect("room"));
        }
        let more = counts(&mut pools);
        assert_eq!(more.len(), ASKS_MAX - 9, "as many requests as may be");
        pools.answered(CLASS, refill(12, 0), 12);
        for unit in 0..12 {
            assert!(matches!(pools.arrived(block(unit)), Given::To(_)));
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
            Some(refill(6, 2)),
            "two wait, and the target has doubled"
        );
        pools.answered(CLASS, refill(6, 2), 6);
        assert_eq!(pools.arrived(block(1)), Given::To(a));
        assert_eq!(pools.give(block(2)), Given::To(c));
        assert_eq!(pools.arrived(block(3)), Given::Kept);
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
        let mut keys = Slab::with_limit(2);
        let [key, other] = [0, 1].map(|n| keys.insert(n).expect("room"));
        let mut pools = pools(2, 8);
        let now = Time::from_millis(5);
        pools.wait(now, CLASS, key);
        let asked = pools.ask(now, CLASS).expect("a PUT waits");
        assert_eq!(asked, refill(5, 1));
        pools.wait(now, CLASS, other);
        assert!(!pools.is_exhausted(now, CLASS));
        assert_eq!(pools.refused(now, CLASS, asked), [key, other]);
        assert!(pools.is_exhausted(now, CLASS));
        assert!(!pools.is_exhausted(now + REFUSAL_PAUSE, CLASS), "who knows");
        assert_eq!(pools.ask(now, CLASS), None);
        let later = pools.deadline().expect("it asks again");
        assert_eq!(later, now + REFUSAL_PAUSE);
        pools.wait(now, CLASS, key);
        let asked = pools.ask(now, CLASS).expect("a PUT asks at once");
        pools.postponed(now, CLASS, asked);
        // A worker at its limit does not ask with every poll.
        assert_eq!(pools.ask(now, CLASS), None);
        assert_eq!(pools.deadline(), Some(now + BUSY_PAUSE));
        let asked = pools.ask(now + BUSY_PAUSE, CLASS).expect("it still waits");
        pools.postponed(now, CLASS, asked);
        pools.forget(CLASS, key);
        assert_eq!(pools.deadline(), Some(later));
        assert!(pools.ask(later, CLASS).is_some());
    }

    #[test]
    fn a_refusal_of_what_nobody_waited_for_is_nobodys() {
        let key = Slab::with_limit(1).insert(0).expect("room");
        let mut pools = pools(2, 8);
        let now = Time::from_millis(5);
        assert_eq!(pools.ask(now, CLASS), Some(refill(2, 0)));
        pools.wait(now, CLASS, key);
        let again = pools.ask(now, CLASS).expect("the target has doubled");
        assert_eq!(again.needed, 1, "it is said of what is asked for since");
        assert_eq!(pools.refused(now, CLASS, refill(2, 0)), []);
        assert!(!pools.is_exhausted(now, CLASS), "nobody has looked for it");
        assert_eq!(pools.refused(now, CLASS, again), [key]);
    }

    #[test]
    fn what_is_wanted_beside_a_put_is_not_asked_for_again_and_again() {
        let key = Slab::with_limit(1).insert(0).expect("room");
        let mut pools = pools(20, 8);
        let now = Time::from_millis(5);
        pools.wait(now, CLASS, key);
        let needed: Vec<u8> = std::iter::from_fn(|| pools.ask(now, CLASS))
            .map(|refill| refill.needed)
            .collect();
        assert_eq!(needed, [1, 0, 0, 0]);
        // The first waits for space; nobody gets more than is needed meanwhile.
        assert_eq!(pools.refused(now, CLASS, refill(12, 0)), []);
        assert_eq!(pools.ask(now, CLASS), None);
        assert_eq!(pools.deadline(), Some(now + REFUSAL_PAUSE));
    }

    #[test]
    fn what_is_recalled_goes_and_nothing_is_kept_until_there_is_more_than_needed() {
        let key = Slab::with_limit(1).insert(0).expect("room");
        let (mut pools, mut next) = (pools(13, 8), 0);
        let now = Time::from_millis(5);
        fill(&mut pools, now, &mut next);
        let used = pools.take(CLASS).expect("ready");
        let counts: Vec<usize> = (0..2).map(|_| pools.recall(now, CLASS).len()).collect();
        assert_eq!(counts, [Leased::COUNT_MAX, 0], "all but what a PUT has");
        assert_eq!(pools.give(used), Given::Surplus);
        assert_eq!(pools.ask(now, CLASS), None, "not at once");
        pools.wait(now, CLASS, key);
        let asked = pools.ask(now, CLASS).expect("a PUT asks at once");
        assert_eq!(asked.needed, 1);
        pools.forget(CLASS, key);
        pools.answered(CLASS, asked, 1);
        assert_eq!(pools.arrived(used), Given::Surplus, "its PUT is gone");
        let now = pools.deadline().expect("it asks again");
        assert_eq!(now, Time::from_millis(5) + REFUSAL_PAUSE);
        let asked = pools.ask(now, CLASS).expect("to have some ready");
        pools.answered(CLASS, asked, 1);
        assert_eq!(pools.arrived(used), Given::Kept, "there is space again");
    }

    #[test]
    fn surplus_goes_back() {
        let (mut pools, mut next) = (pools(2, 1), 0);
        fill(&mut pools, Time::ZERO, &mut next);
        assert_eq!(pools.give(block(99)), Given::Surplus);
        assert_eq!(pools.drain().count(), 2);
    }
}
