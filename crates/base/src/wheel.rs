//! A hierarchical timer wheel: six levels of 64 slots, insert and cancel in O(1).
//!
//! ```text
//!   level 0: 64 slots of 1 tick │ level 1: 64 slots of 64 ticks │ … │ level 5: 64^5 ticks
//! ```
//!
//! An entry sits in the level of the highest digit (base 64) in which its tick differs from the
//! wheel's. When the wheel reaches a slot of a higher level, its entries move down. An entry never
//! fires early and at most one tick late; deadlines past the horizon (64^6 ticks) stay correct
//! because each entry keeps its own tick.
//!
//! Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987.

use std::fmt;
use std::time::Duration;

use crate::key::Key;
use crate::slab::{Full, Slab};
use crate::time::Time;

const LEVELS: usize = 6;
const SLOTS: usize = 64;
const BITS: u32 = 6;
const HORIZON: u64 = 1 << (BITS * LEVELS as u32);
const NONE: u32 = u32::MAX;
/// `home` of entries in the list of those that are due.
const DUE: u16 = u16::MAX;

/// Names a timer.
pub type TimerKey = Key;

struct Node<T> {
    tick: u64,
    next: u32,
    previous: u32,
    /// Level times 64 plus slot, or [`DUE`].
    home: u16,
    value: T,
}

/// The wheel.
///
/// ```
/// use hioload_base::{Time, TimerWheel};
/// use std::time::Duration;
///
/// let ms = |n| Time::ZERO + Duration::from_millis(n);
/// let mut wheel = TimerWheel::new(Duration::from_millis(1), Time::ZERO, 1000);
/// let late = wheel.insert(ms(500), "late")?;
/// wheel.insert(ms(20), "soon")?;
/// assert_eq!(wheel.expire(ms(19)), None);
/// assert_eq!(wheel.expire(ms(20)), Some("soon"));
/// assert_eq!(wheel.cancel(late), Some("late"));
/// assert_eq!(wheel.next_deadline(), None);
/// # Ok::<(), hioload_base::Full<&str>>(())
/// ```
pub struct TimerWheel<T> {
    nodes: Slab<Node<T>>,
    heads: Box<[u32]>,
    occupied: [u64; LEVELS],
    due: u32,
    due_tail: u32,
    /// All ticks up to here have been dealt with.
    now_tick: u64,
    tick_nanos: u64,
}

impl<T> TimerWheel<T> {
    /// A wheel of `tick` resolution (at least 1 ns) for at most `limit` timers.
    #[must_use]
    pub fn new(tick: Duration, start: Time, limit: usize) -> Self {
        let tick_nanos = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self {
            nodes: Slab::with_limit(limit),
            heads: vec![NONE; LEVELS * SLOTS].into_boxed_slice(),
            occupied: [0; LEVELS],
            due: NONE,
            due_tail: NONE,
            now_tick: start.as_nanos() / tick_nanos,
            tick_nanos,
        }
    }

    /// Timers waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True when none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Lets `value` expire at `deadline`; a deadline in the past expires at once.
    ///
    /// # Errors
    /// The value, when the table of timers is full.
    pub fn insert(&mut self, deadline: Time, value: T) -> Result<TimerKey, Full<T>> {
        let tick = deadline.as_nanos().div_ceil(self.tick_nanos);
        let node = Node { tick, next: NONE, previous: NONE, home: DUE, value };
        let key = self.nodes.insert(node).map_err(|full| Full(full.0.value))?;
        self.link(key.index(), tick);
        Ok(key)
    }

    /// Takes a timer back; `None` when it has expired or was cancelled.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.nodes.get(key)?;
        self.unlink(key.index());
        self.nodes.remove(key).map(|node| node.value)
    }

    /// One timer whose deadline is at or before `now`; call it until it gives `None`, or as often
    /// as one turn may take.
    pub fn expire(&mut self, now: Time) -> Option<T> {
        let target = now.as_nanos() / self.tick_nanos;
        loop {
            if self.due != NONE {
                let index = self.due;
                self.unlink(index);
                let key = self.nodes.key_at(index).expect("invariant: linked nodes exist");
                return self.nodes.remove(key).map(|node| node.value);
            }
            match self.next_slot() {
                Some((level, slot, tick)) if tick <= target => self.turn_to(level, slot, tick),
                _ => {
                    self.now_tick = self.now_tick.max(target);
                    return None;
                }
            }
        }
    }

    /// When to look again: never later than the first deadline, maybe earlier.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let tick = if self.due == NONE { self.next_slot()?.2 } else { self.now_tick };
        Some(Time::from_nanos(tick.saturating_mul(self.tick_nanos)))
    }

    /// The first occupied slot in time: the lowest level that has one, because a level's slots all
    /// come before the next level's next slot.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let shift = BITS * level as u32;
            let here = (self.now_tick >> shift) as u32 % SLOTS as u32;
            let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
            let slot = (here + ahead) as usize % SLOTS;
            let round = SLOTS as u64;
            let digit = self.now_tick >> shift;
            let mut start = (digit - digit % round + slot as u64) << shift;
            if start < self.now_tick {
                // The slot lies in the next round; only past the horizon does that happen.
                start = start.saturating_add(round << shift);
            }
            return Some((level, slot, start.max(self.now_tick)));
        }
        None
    }

    /// Moves the wheel to `tick` and the slot's entries down, or to the due list.
    fn turn_to(&mut self, level: usize, slot: usize, tick: u64) {
        self.now_tick = tick;
        let home = level * SLOTS + slot;
        let mut index = std::mem::replace(&mut self.heads[home], NONE);
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let node = self.node(index);
            let (next, tick) = (node.next, node.tick);
            self.link(index, tick);
            index = next;
        }
    }

    fn link(&mut self, index: u32, tick: u64) {
        if tick <= self.now_tick {
            return self.link_due(index);
        }
        // Past the horizon: as far out as the wheel reaches; it comes round and moves on.
        let seen = tick.min(self.now_tick.saturating_add(HORIZON - 1));
        let differing = (seen ^ self.now_tick) | (SLOTS as u64 - 1);
        let level = ((63 - differing.leading_zeros()) / BITS) as usize;
        let level = level.min(LEVELS - 1);
        let slot = (seen >> (BITS * level as u32)) as usize % SLOTS;
        let home = level * SLOTS + slot;
        let head = std::mem::replace(&mut self.heads[home], index);
        self.occupied[level] |= 1 << slot;
        let node = self.node(index);
        node.home = home as u16;
        node.previous = NONE;
        node.next = head;
        if head != NONE {
            self.node(head).previous = index;
        }
    }

    fn link_due(&mut self, index: u32) {
        let tail = std::mem::replace(&mut self.due_tail, index);
        let node = self.node(index);
        node.home = DUE;
        node.next = NONE;
        node.previous = tail;
        if tail == NONE {
            self.due = index;
        } else {
            self.node(tail).next = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let node = self.node(index);
        let (previous, next, home) = (node.previous, node.next, node.home);
        if previous != NONE {
            self.node(previous).next = next;
        } else if home == DUE {
            self.due = next;
        } else {
            self.heads[usize::from(home)] = next;
            if next == NONE {
                self.occupied[usize::from(home) / SLOTS] &= !(1 << (usize::from(home) % SLOTS));
            }
        }
        if next != NONE {
            self.node(next).previous = previous;
        } else if home == DUE {
            self.due_tail = previous;
        }
    }

    fn node(&mut self, index: u32) -> &mut Node<T> {
        let key = self.nodes.key_at(index).expect("invariant: linked nodes exist");
        self.nodes.get_mut(key).expect("invariant: linked nodes exist")
    }
}

impl<T> fmt::Debug for TimerWheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerWheel({} timers)", self.len())
    }
}
