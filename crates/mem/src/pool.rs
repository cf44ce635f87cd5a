//! The pool of one worker: size classes over slabs, within a budget.
//!
//! ```text
//!  take(size) ─▶ class ─▶ slab with free chunks ─▶ Buffer
//!                  │ none: chunks that came back ▶ another slab ▶ a free slab of another class ▶ a chunk of a larger class
//!                  └ nothing: None, counted
//! ```
//!
//! Must not know who uses the buffers. Must not hold `unsafe`: chunks, counts and the way back are `raw`.
//!
//! Invariants: slabs mapped never exceed the budget; a slab is listed with its class if and only if it may have a free
//! chunk; `slabs_empty` counts the cut slabs with no chunk out. Lists are as long at the start as they can become, so
//! nothing here allocates but mapping a slab and cutting it anew.
//!
//! Starvation: when the budget is spent, a class gets a slab of another class as soon as one is fully free. A class that
//! must never wait for others has slabs reserved ([`PoolConfig::slabs_reserved`]).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::buffer::Buffer;
use crate::config::{CLASS_COUNT, CLASS_SIZES, PoolConfig, PoolError, class_of};
use crate::raw::region::{Region, RegionConfig, RegionError};
use crate::raw::{Owner, Returned, Slab, Writer};

/// Chunks that came back and are sorted in at least at a time, so that their cost is spread over takes.
const RETURNED_BATCH: usize = 64;

/// Buffers of one worker. Clones share the same memory; neither leaves its thread, while buffers and segments do.
///
/// ```
/// use hioload_mem::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig::with_budget(1 << 20))?;
/// let buffer = pool.take(1000).expect("budget is free");
/// assert_eq!(buffer.capacity(), 1024);
/// assert_eq!(pool.stats().classes[1].in_use, 1);
/// drop(buffer);
/// assert_eq!(pool.stats().classes[1].in_use, 0);
/// # Ok::<(), hioload_mem::PoolError>(())
/// ```
#[derive(Clone)]
pub struct BufferPool {
    state: Rc<RefCell<State>>,
}

impl BufferPool {
    /// A pool with its first slab mapped.
    ///
    /// # Errors
    ///
    /// The configuration is out of its limits or the system has no memory.
    pub fn new(config: PoolConfig) -> Result<BufferPool, PoolError> {
        config.check()?;
        let mut state = State::new(config);
        // The first slab is mapped at once, so that what the system refuses is known at the start.
        state.map_slab().map_err(PoolError::Region)?;
        Ok(BufferPool {
            state: Rc::new(RefCell::new(state)),
        })
    }

    /// An empty buffer that holds at least `size` bytes, of the smallest class that has one; `None`, and counted, when the
    /// budget is spent or `size` is above the largest class ([`BufferPool::size_max`]).
    #[inline]
    pub fn take(&self, size: usize) -> Option<Buffer> {
        self.state.borrow_mut().take(size).map(Buffer::new)
    }

    /// Largest size served: 1 MiB, or the largest class that fits a slab.
    pub fn size_max(&self) -> usize {
        self.state.borrow().config.size_max()
    }

    /// Unmaps the slabs without a buffer in use that are not reserved; returns their bytes.
    pub fn trim(&self) -> usize {
        self.state.borrow_mut().trim()
    }

    /// Counts as of now. Sorts in what came back, so they are exact.
    pub fn stats(&self) -> PoolStats {
        self.state.borrow_mut().stats()
    }

    /// Bytes of buffers and segments in use, as in [`PoolStats::bytes_in_use`], without walking the slabs.
    #[inline]
    pub fn bytes_in_use(&self) -> usize {
        let mut state = self.state.borrow_mut();
        state.sort_in(None);
        state.counts.bytes_in_use
    }

    /// What the system refused when slabs were mapped, and what is done instead; each reason once.
    pub fn fallbacks(&self) -> Vec<String> {
        self.state.borrow().fallbacks.clone()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("config", &self.state.borrow().config)
            .finish_non_exhaustive()
    }
}

/// Counts of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes that are mapped at most.
    pub budget: usize,
    /// Bytes mapped.
    pub bytes_mapped: usize,
    /// Bytes of buffers and segments in use, counted by whole chunks.
    pub bytes_in_use: usize,
    /// Bytes of one slab.
    pub slab_size: usize,
    /// Per size class, ascending.
    pub classes: [ClassStats; CLASS_COUNT],
    /// Takes refused because the budget was spent.
    pub refusals: u64,
    /// Takes refused because no class is that large.
    pub refusals_too_large: u64,
    /// Takes served by a larger class because their own could not grow.
    pub upsized: u64,
    /// Slabs given from one class to another.
    pub slabs_moved: u64,
    /// Times the system refused to map a slab within the budget.
    pub map_failures: u64,
}

/// Counts of one size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Bytes of a buffer.
    pub size: usize,
    /// Chunks in use by buffers and segments.
    pub in_use: usize,
    /// Chunks free in its slabs.
    pub free: usize,
    /// Slabs.
    pub slabs: usize,
}

/// One size class.
#[derive(Default)]
struct Class {
    /// Slabs of this class that may have a free chunk, by index.
    available: Vec<u32>,
    slab_count: usize,
}

/// What the pool knows of a slot for slabs.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// The class its slab is cut for.
    class: Option<u8>,
    /// It is in `available` of its class.
    is_listed: bool,
}

struct State {
    config: PoolConfig,
    owner: Owner,
    classes: [Class; CLASS_COUNT],
    slots: Vec<Slot>,
    /// Slabs mapped.
    slabs_mapped: usize,
    /// Slabs cut for a class with no chunk out.
    slabs_empty: usize,
    fallbacks: Vec<String>,
    /// Counters; the rest is filled in by `stats`.
    counts: PoolStats,
}

impl State {
    fn new(config: PoolConfig) -> State {
        let slab_count_max = config.slab_count_max();
        let mut owner = Owner::new();
        owner.slabs.resize_with(slab_count_max, || None);
        let class = || Class {
            available: Vec::with_capacity(slab_count_max),
            slab_count: 0,
        };
        State {
            config,
            owner,
            classes: std::array::from_fn(|_| class()),
            slots: vec![Slot::default(); slab_count_max],
            slabs_mapped: 0,
            slabs_empty: 0,
            fallbacks: Vec::new(),
            counts: PoolStats::default(),
        }
    }

    #[inline]
    fn take(&mut self, size: usize) -> Option<Writer> {
        match class_of(size) {
            Some(class) => {
                // What came back last is in the cache; memory never touched is the last resort.
                self.sort_in(Some(class));
                match self.pop(class) {
                    Some(writer) => Some(writer),
                    None => self.take_slowly(class),
                }
            }
            None => {
                self.counts.refusals_too_large += 1;
                None
            }
        }
    }

    /// A free chunk of the class that is at hand.
    #[inline]
    fn pop(&mut self, class: usize) -> Option<Writer> {
        loop {
            let index = *self.classes[class].available.last()? as usize;
            let slab = self.owner.slabs[index]
                .as_mut()
                .expect("invariant: listed slabs are mapped");
            let was_empty = slab.out() == 0;
            if let Some(writer) = slab.take() {
                self.slabs_empty -= usize::from(was_empty);
                self.counts.bytes_in_use += CLASS_SIZES[class];
                return Some(writer);
            }
            self.classes[class].available.pop();
            self.slots[index].is_listed = false;
        }
    }

    #[cold]
    fn take_slowly(&mut self, class: usize) -> Option<Writer> {
        if CLASS_SIZES[class] > self.config.size_max() {
            self.counts.refusals_too_large += 1;
            return None;
        }
        self.sort_in(Some(class));
        if let Some(writer) = self.pop(class) {
            return Some(writer);
        }
        if self.grow(class) {
            return self.pop(class);
        }
        for larger in class + 1..CLASS_COUNT {
            if let Some(writer) = self.pop(larger) {
                self.counts.upsized += 1;
                return Some(writer);
            }
        }
        self.counts.refusals += 1;
        None
    }

    /// Gives chunks that came back to their slabs: a batch, and on until `wanted` has one; all if nothing is wanted.
    #[inline]
    fn sort_in(&mut self, wanted: Option<usize>) {
        let mut count = 0;
        while let Some(returned) = self.owner.take_returned() {
            self.give(returned);
            count += 1;
            let is_served = wanted.is_some_and(|class| !self.classes[class].available.is_empty());
            if is_served && count >= RETURNED_BATCH {
                return;
            }
        }
    }

    fn give(&mut self, returned: Returned) {
        let index = returned.slab_index();
        let slab = self.owner.slabs[index]
            .as_mut()
            .expect("invariant: slabs stay until chunks are back");
        slab.give(returned);
        self.slabs_empty += usize::from(slab.out() == 0);
        let class = self.slots[index]
            .class
            .expect("invariant: only cut slabs have chunks");
        self.counts.bytes_in_use -= CLASS_SIZES[usize::from(class)];
        self.list(index);
    }

    /// Lists a slab with its class if it is not yet.
    fn list(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if !slot.is_listed {
            slot.is_listed = true;
            let class = slot.class.expect("invariant: only cut slabs have chunks");
            self.classes[usize::from(class)]
                .available
                .push(index as u32);
        }
    }

    /// Gives the class one more slab, if it may have one and there is one.
    fn grow(&mut self, class: usize) -> bool {
        let index = if self.may_grow(class) {
            self.uncut_slab()
        } else {
            None
        };
        let Some(index) = index.or_else(|| self.release_empty_slab(class)) else {
            return false;
        };
        let slab = self.owner.slabs[index]
            .as_mut()
            .expect("invariant: a mapped slab was chosen");
        slab.carve(CLASS_SIZES[class] as u32);
        self.slots[index] = Slot {
            class: Some(class as u8),
            is_listed: false,
        };
        self.classes[class].slab_count += 1;
        self.slabs_empty += 1;
        self.list(index);
        true
    }

    /// Whether the class may take a slab that no class has: its own reserve, or one beyond what others have reserved.
    fn may_grow(&self, class: usize) -> bool {
        let wanting = |class: usize| {
            usize::from(self.config.slabs_reserved[class])
                .saturating_sub(self.classes[class].slab_count)
        };
        let cut: usize = self.classes.iter().map(|class| class.slab_count).sum();
        let kept: usize = (0..CLASS_COUNT).map(wanting).sum();
        wanting(class) > 0 || cut + kept < self.config.slab_count_max()
    }

    /// A slab that is mapped and cut for no class, mapped now if need be.
    fn uncut_slab(&mut self) -> Option<usize> {
        let is_cut = |slot: &Slot| slot.class.is_some();
        let cut = self.slots.iter().filter(|slot| is_cut(slot)).count();
        if self.slabs_mapped > cut {
            let mut slabs = self.owner.slabs.iter().zip(&self.slots);
            return slabs.position(|(slab, slot)| slab.is_some() && !is_cut(slot));
        }
        if self.slabs_mapped == self.config.slab_count_max() {
            return None;
        }
        match self.map_slab() {
            Ok(index) => Some(index),
            Err(error) => {
                self.counts.map_failures += 1;
                self.note(error.to_string());
                None
            }
        }
    }

    /// Maps a slab into a vacant slot.
    fn map_slab(&mut self) -> Result<usize, RegionError> {
        let vacant = self.owner.slabs.iter().position(Option::is_none);
        let index = vacant.expect("invariant: mapped only below the budget");
        let region = Region::map(RegionConfig {
            size: self.config.slab_size(),
            hugepages: self.config.hugepages,
            numa_node: self.config.numa_node,
        })?;
        for reason in region.fallbacks() {
            self.note(reason.clone());
        }
        self.owner.slabs[index] = Some(Slab::new(&self.owner, index as u32, region));
        self.slabs_mapped += 1;
        Ok(index)
    }

    fn note(&mut self, reason: String) {
        if !self.fallbacks.contains(&reason) {
            self.fallbacks.push(reason);
        }
    }

    /// Takes a fully free slab from a class that has more than its reserve.
    fn release_empty_slab(&mut self, for_class: usize) -> Option<usize> {
        if self.slabs_empty == 0 {
            return None;
        }
        let index = (0..self.slots.len()).find(|index| {
            let class = self.slots[*index].class.map(usize::from);
            class.is_some_and(|class| class != for_class) && self.is_spare(*index)
        })?;
        self.uncut(index);
        self.counts.slabs_moved += 1;
        Some(index)
    }

    /// A slab that its class can do without: no chunk out, and not one of its reserve.
    fn is_spare(&self, index: usize) -> bool {
        let Some(slab) = &self.owner.slabs[index] else {
            return false;
        };
        let Some(class) = self.slots[index].class.map(usize::from) else {
            return true;
        };
        let reserved = usize::from(self.config.slabs_reserved[class]);
        slab.out() == 0 && self.classes[class].slab_count > reserved
    }

    /// Takes a slab without chunks out away from its class.
    fn uncut(&mut self, index: usize) {
        let slot = std::mem::take(&mut self.slots[index]);
        if let Some(class) = slot.class {
            let class = &mut self.classes[usize::from(class)];
            class.available.retain(|listed| *listed as usize != index);
            class.slab_count -= 1;
            self.slabs_empty -= 1;
        }
    }

    fn trim(&mut self) -> usize {
        self.sort_in(None);
        let mut bytes = 0;
        for index in 0..self.slots.len() {
            if self.is_spare(index) {
                self.uncut(index);
                bytes += self.owner.slabs[index].take().map_or(0, |slab| slab.size());
                self.slabs_mapped -= 1;
            }
        }
        bytes
    }

    fn stats(&mut self) -> PoolStats {
        self.sort_in(None);
        let mut stats = self.counts;
        stats.budget = self.config.budget;
        stats.slab_size = self.config.slab_size();
        for (class, size) in stats.classes.iter_mut().zip(CLASS_SIZES) {
            class.size = size;
        }
        for (slab, slot) in self.owner.slabs.iter().zip(&self.slots) {
            let Some(slab) = slab else { continue };
            stats.bytes_mapped += slab.size();
            if let Some(class) = slot.class {
                let class = &mut stats.classes[usize::from(class)];
                class.slabs += 1;
                class.in_use += slab.out();
                class.free += slab.chunk_count() - slab.out();
            }
        }
        stats
    }
}
