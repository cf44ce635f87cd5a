//! Timers by deadline: a hierarchical wheel over a slab.
//!
//! Must not know a clock (the caller says what time it is) nor what a timer means (it holds a `T`).
//!
//! ```text
//! level 0   64 slots of 1 tick       ─┐ a slot is a ring of entries linked by index, oldest first
//! level 1   64 slots of 64 ticks      │ one bit a slot says whether it has any
//! level 2   64 slots of 4,096 ticks   │ when time reaches a slot above level 0, its entries move down
//! ...                                 │
//! level 10  the rest of 64 bits      ─┘
//! moving    what is left of a slot whose entries move down, some at a time
//! due       entries whose tick has come, handed out one at a time by `expire`
//! ```
//!
//! The level of an entry is where its tick and the wheel's tick first differ, in digits of base 64. So
//! all entries of a level come before all entries of the levels above, the lowest set bit of the lowest
//! level with any is what happens next, and an entry need not remember where it is linked.
//!
//! Invariants: an entry never expires before its deadline, and at the first `expire` a tick or more
//! after it, unless more has to move down than one turn of the caller may move: then some turns later.
//! Entries come out in order of their ticks; those of one tick in the order they went in. A tick that
//! the wheel has reached counts as the one it is at.
//!
//! While a slot moves, whatever starts within it goes behind what still has to move, or it would
//! overtake. Nothing is handed out for a later tick, and the wheel stands where the slot begins.
//!
//! Limits: the number of entries (a slab's limit). Insert, cancel and reschedule are O(1). An entry
//! moves down at most ten times in its life, in practice once or twice, some 30 ns to 100 ns each time;
//! `MOVES_MAX` of them before `expire` says `None`, so that a million timers in one slot cost a turn
//! 0.5 ms and not 35 ms (`bench/src/bin/timers.rs`).
//!
//! Source: Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987.

use crate::time::saturating_nanos;
use crate::{Full, Key, Slab, Time};
use std::time::Duration;

const DIGIT_BITS: u32 = 6;
const SLOT_COUNT: usize = 1 << DIGIT_BITS;
const LEVEL_COUNT: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;
const NONE: u32 = u32::MAX;

/// Entries that move down before `expire` says `None`: well below a millisecond.
const MOVES_MAX: usize = 4096;

/// Names one timer of a [`TimerWheel`], and only until it has expired or was cancelled.
pub type TimerKey = Key;

struct Entry<T> {
    /// First tick at which the deadline has passed.
    tick: u64,
    previous: u32,
    next: u32,
    value: T,
}

/// A list of entries: its first, whose `previous` is the last.
type Head = u32;

#[derive(Clone, Copy)]
enum List {
    Due,
    Moving,
    Slot { level: usize, slot: usize },
}

/// A set of timers; the caller asks what has expired.
///
/// ```
/// use hioload_base::{Time, TimerWheel};
/// use std::time::Duration;
///
/// let start = Time::ZERO;
/// let mut wheel = TimerWheel::new(Duration::from_millis(1), start, 1000);
/// let ping = wheel.insert(start + Duration::from_secs(20), "ping").expect("room for a thousand");
/// wheel.insert(start + Duration::from_secs(5), "close").expect("room for a thousand");
///
/// let now = start + Duration::from_secs(6);
/// assert_eq!(wheel.expire(now), Some("close"));
/// assert_eq!(wheel.expire(now), None);
/// assert_eq!(wheel.cancel(ping), Some("ping"));
/// assert_eq!(wheel.next_deadline(), None);
/// ```
pub struct TimerWheel<T> {
    tick_ns: u64,
    start: Time,
    /// Every entry whose tick is at most this one is due, or moves, and no other is due.
    elapsed: u64,
    due: Head,
    moving: Head,
    /// The last tick of the slot that moves.
    moving_tick_last: u64,
    /// Entries that moved since `expire` said `None`.
    moves: usize,
    moves_max: usize,
    levels_occupied: u16,
    slots_occupied: [u64; LEVEL_COUNT],
    heads: Box<[[Head; SLOT_COUNT]; LEVEL_COUNT]>,
    entries: Slab<Entry<T>>,
}

impl<T> TimerWheel<T> {
    /// A wheel of this resolution for at most `limit` timers, which starts turning at `start`.
    ///
    /// # Panics
    /// When `tick` is zero, or `limit` is more than 2³² − 1.
    pub fn new(tick: Duration, start: Time, limit: usize) -> TimerWheel<T> {
        assert!(!tick.is_zero(), "a tick has a length");
        TimerWheel {
            tick_ns: saturating_nanos(tick),
            start,
            elapsed: 0,
            due: NONE,
            moving: NONE,
            moving_tick_last: 0,
            moves: 0,
            moves_max: MOVES_MAX,
            levels_occupied: 0,
            slots_occupied: [0; LEVEL_COUNT],
            heads: Box::new([[NONE; SLOT_COUNT]; LEVEL_COUNT]),
            entries: Slab::with_limit(limit),
        }
    }

    /// The same, where at most so many timers move closer before [`TimerWheel::expire`] says `None`.
    ///
    /// # Panics
    /// When `max` is zero: time would stand still.
    #[must_use]
    pub fn with_moves_max(mut self, max: usize) -> TimerWheel<T> {
        assert!(max > 0, "time moves on");
        self.moves_max = max;
        self
    }

    /// Starts a timer. A deadline in the past expires at the next [`TimerWheel::expire`].
    ///
    /// # Errors
    /// [`Full`] with the value when `limit` timers are running.
    #[inline]
    pub fn insert(&mut self, deadline: Time, value: T) -> Result<TimerKey, Full<T>> {
        let tick = self.tick_at_or_after(deadline);
        let entry = Entry {
            tick,
            previous: NONE,
            next: NONE,
            value,
        };
        let key = self
            .entries
            .insert(entry)
            .map_err(|Full(entry)| Full(entry.value))?;
        self.link(key.index(), tick);
        Ok(key)
    }

    /// Stops a timer; `None` when it has expired or was cancelled before.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.remove(key)?;
        self.unlink(key.index(), entry.tick, entry.previous, entry.next);
        Some(entry.value)
    }

    /// Gives a running timer another deadline; false when it is not running any more.
    #[inline]
    pub fn reschedule(&mut self, key: TimerKey, deadline: Time) -> bool {
        let tick = self.tick_at_or_after(deadline);
        let Some(entry) = self.entries.get_mut(key) else {
            return false;
        };
        let old = std::mem::replace(&mut entry.tick, tick);
        let (previous, next) = (entry.previous, entry.next);
        self.unlink(key.index(), old, previous, next);
        self.link(key.index(), tick);
        true
    }

    /// What a running timer holds.
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Takes out one timer that has expired by `now`; `None` when there is no other, or so many timers moved
    /// closer that the rest is left for the next turn: then [`TimerWheel::next_deadline`] is not after `now`.
    ///
    /// Each call hands out one, so the caller bounds how many a turn deals with. Time never goes
    /// back: a `now` before that of an earlier call counts as that one.
    #[inline]
    pub fn expire(&mut self, now: Time) -> Option<T> {
        if self.due == NONE {
            self.advance(self.tick_at_or_before(now));
        }
        if self.due == NONE {
            self.moves = 0;
            return None;
        }
        let index = self.due;
        let key = self
            .entries
            .key_at(index)
            .expect("invariant: a linked entry is occupied");
        self.cancel(key)
    }

    /// When [`TimerWheel::expire`] has something to do, `None` when no timer runs.
    ///
    /// Never later than the next timer expires. May be earlier: far timers first move closer. A caller
    /// that wakes then finds nothing expired and asks again.
    #[inline]
    pub fn next_deadline(&self) -> Option<Time> {
        if self.due != NONE || self.moving != NONE {
            return Some(self.time_of(self.elapsed));
        }
        self.next_slot().map(|(_, _, tick)| self.time_of(tick))
    }

    /// Number of running timers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when no timer runs.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Most timers that may run.
    pub fn limit(&self) -> usize {
        self.entries.limit()
    }

    /// Bytes of one timer, for memory plans.
    pub const fn entry_size() -> usize {
        Slab::<Entry<T>>::entry_size()
    }

    /// Moves the wheel towards `target` until something is due, the target is reached, or enough has moved.
    fn advance(&mut self, target: u64) {
        while self.due == NONE {
            self.move_down();
            if self.due != NONE || self.moving != NONE {
                return;
            }
            match self.next_slot() {
                Some((level, slot, tick)) if tick <= target => {
                    self.elapsed = tick;
                    self.empty_slot(level, slot);
                }
                _ => {
                    // Nothing starts before the target, so no entry changes its level by this.
                    self.elapsed = self.elapsed.max(target);
                    return;
                }
            }
        }
    }

    /// Takes out the entries of a slot that starts now.
    fn empty_slot(&mut self, level: usize, slot: usize) {
        let first = std::mem::replace(&mut self.heads[level][slot], NONE);
        self.clear_occupied(level, slot);
        if level == 0 {
            // One slot of level 0 is one tick: the whole ring is due.
            self.due = first;
            return;
        }
        self.moving = first;
        self.moving_tick_last = self.elapsed | ((1 << (level as u32 * DIGIT_BITS)) - 1);
    }

    /// Links entries that move where they belong from here on, as many as may.
    fn move_down(&mut self) {
        while self.moving != NONE && self.moves < self.moves_max {
            self.moves += 1;
            let index = self.moving;
            let &mut Entry {
                tick,
                previous,
                next,
                ..
            } = self.entries.value_at_mut(index);
            self.unlink(index, tick, previous, next);
            self.append(self.list_of(tick), index);
        }
    }

    /// The slot that starts next: its level, its number, its first tick.
    #[inline]
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        if self.levels_occupied == 0 {
            return None;
        }
        let level = self.levels_occupied.trailing_zeros() as usize;
        let slot = self.slots_occupied[level].trailing_zeros() as usize;
        let shift = level as u32 * DIGIT_BITS;
        // Digits above this level are those of the wheel, digits below are zero.
        let above = self.elapsed.checked_shr(shift + DIGIT_BITS).unwrap_or(0);
        let above = above.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        Some((level, slot, above | (slot as u64) << shift))
    }

    #[inline]
    fn list_of(&self, tick: u64) -> List {
        if tick <= self.elapsed {
            return List::Due;
        }
        let level = (tick ^ self.elapsed).ilog2() / DIGIT_BITS;
        let slot = (tick >> (level * DIGIT_BITS)) as usize % SLOT_COUNT;
        List::Slot {
            level: level as usize,
            slot,
        }
    }

    /// Appends the entry to the list its tick belongs to.
    #[inline]
    fn link(&mut self, index: u32, tick: u64) {
        let list = if self.moving != NONE && tick <= self.moving_tick_last {
            List::Moving
        } else {
            self.list_of(tick)
        };
        self.append(list, index);
    }

    #[inline]
    fn append(&mut self, list: List, index: u32) {
        let head = self.head_of(list);
        if head == NONE {
            let entry = self.entries.value_at_mut(index);
            (entry.previous, entry.next) = (index, index);
            self.set_head(list, index);
            return;
        }
        let last = std::mem::replace(&mut self.entries.value_at_mut(head).previous, index);
        self.entries.value_at_mut(last).next = index;
        let entry = self.entries.value_at_mut(index);
        (entry.previous, entry.next) = (last, head);
    }

    /// Takes the entry out of its list, by its tick: the list matters only where the entry is the first, and the
    /// first of those that move is known. The entry itself may be gone already.
    #[inline]
    fn unlink(&mut self, index: u32, tick: u64, previous: u32, next: u32) {
        let list = if self.moving == index {
            List::Moving
        } else {
            self.list_of(tick)
        };
        if next == index {
            self.set_head(list, NONE);
            return;
        }
        self.entries.value_at_mut(previous).next = next;
        self.entries.value_at_mut(next).previous = previous;
        if self.head_of(list) == index {
            self.set_head(list, next);
        }
    }

    #[inline]
    fn head_of(&self, list: List) -> Head {
        match list {
            List::Due => self.due,
            List::Moving => self.moving,
            List::Slot { level, slot } => self.heads[level][slot],
        }
    }

    #[inline]
    fn set_head(&mut self, list: List, head: Head) {
        match list {
            List::Due => self.due = head,
            List::Moving => self.moving = head,
            List::Slot { level, slot } => {
                self.heads[level][slot] = head;
                if head == NONE {
                    self.clear_occupied(level, slot);
                } else {
                    self.slots_occupied[level] |= 1 << slot;
                    self.levels_occupied |= 1 << level;
                }
            }
        }
    }

    #[inline]
    fn clear_occupied(&mut self, level: usize, slot: usize) {
        self.slots_occupied[level] &= !(1 << slot);
        if self.slots_occupied[level] == 0 {
            self.levels_occupied &= !(1 << level);
        }
    }

    /// Rounded up, so that nothing expires early.
    #[inline]
    fn tick_at_or_after(&self, deadline: Time) -> u64 {
        deadline
            .as_nanos()
            .saturating_sub(self.start.as_nanos())
            .div_ceil(self.tick_ns)
    }

    /// Rounded down, so that nothing expires early.
    #[inline]
    fn tick_at_or_before(&self, now: Time) -> u64 {
        now.as_nanos().saturating_sub(self.start.as_nanos()) / self.tick_ns
    }

    #[inline]
    fn time_of(&self, tick: u64) -> Time {
        let since_start = tick.saturating_mul(self.tick_ns);
        Time::from_nanos(self.start.as_nanos().saturating_add(since_start))
    }
}

impl<T> std::fmt::Debug for TimerWheel<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimerWheel")
            .field("len", &self.len())
            .field("next_deadline", &self.next_deadline())
            .finish_non_exhaustive()
    }
}
