//! Buffers by size class within a budget; one pool per worker.
//!
//! Each class has a free list; an empty one is refilled from the return stack, then by mapping a
//! slab (while the budget lasts), then by taking a fully free slab from another class. Memory that
//! was mapped is kept until another class needs it.
//!
//! Limit: [`PoolConfig::budget`]. When it is reached, [`BufferPool::take`] gives `None` and counts
//! a refusal: the caller holds back whoever wants the memory.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::raw::{Buffer, FreeChunk, Home};
use crate::region::{Region, RegionConfig};

/// Sizes of the classes, in bytes.
pub const CLASS_SIZES: [usize; 7] =
    [256, 1024, 4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024];

/// A slab holds at least this much, so that small classes do not map often.
const SLAB_SIZE_MIN: usize = 64 * 1024;

/// A pool's settings.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Bytes mapped at most.
    pub budget: usize,
    /// Ask for huge pages.
    pub hugepages: bool,
    /// Place memory on this NUMA node.
    pub numa_node: Option<u32>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { budget: 64 << 20, hugepages: false, numa_node: None }
    }
}

/// A pool's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes mapped.
    pub mapped: usize,
    /// Bytes in buffers and segments that are out (not yet known to be back).
    pub in_use: usize,
    /// Times a buffer was refused.
    pub refusals: u64,
    /// Slabs mapped.
    pub slabs: usize,
}

/// Hands out buffers. Clones share it; it stays on its thread, the buffers need not.
///
/// ```
/// use hioload_mem::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig::default());
/// let mut buffer = pool.take(100).expect("within the budget");
/// buffer.extend_from_slice(b"hello ")?;
/// let hello = buffer.split_seal();
/// buffer.extend_from_slice(b"world")?;
/// let mut both = hello.clone();
/// assert!(both.try_join(&buffer.seal()), "adjacent in one buffer");
/// assert_eq!(&both[..], b"hello world");
/// assert_eq!(&hello[..], b"hello ");
/// # Ok::<(), hioload_mem::NoRoom>(())
/// ```
#[derive(Clone)]
pub struct BufferPool(Rc<RefCell<State>>);

struct State {
    home: Arc<Home>,
    free: [Vec<FreeChunk>; CLASS_SIZES.len()],
    /// Chunks of each slab, by slab; 0 for a vacant place.
    slabs: Vec<SlabInfo>,
    config: PoolConfig,
    stats: PoolStats,
    notes: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct SlabInfo {
    chunks: usize,
    class: u16,
    size: usize,
}

impl BufferPool {
    /// An empty pool; memory is mapped as it is asked for.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        Self(Rc::new(RefCell::new(State {
            home: Home::new(),
            free: Default::default(),
            slabs: Vec::new(),
            config,
            stats: PoolStats::default(),
            notes: Vec::new(),
        })))
    }

    /// A buffer of the smallest class that holds `size` bytes. `None` when `size` is above 1 MiB
    /// or the budget is spent.
    #[must_use]
    pub fn take(&self, size: usize) -> Option<Buffer> {
        let class = class_of(size)?;
        let mut state = self.0.borrow_mut();
        let chunk = match state.free[class].pop() {
            Some(chunk) => Some(chunk),
            None => state.refill(class),
        };
        let Some(chunk) = chunk else {
            state.stats.refusals += 1;
            return None;
        };
        state.stats.in_use += CLASS_SIZES[class];
        Some(chunk.into_buffer())
    }

    /// The budget in bytes.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.0.borrow().config.budget
    }

    /// Counters; collects what other threads gave back first.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let mut state = self.0.borrow_mut();
        state.collect();
        state.stats
    }

    /// Wishes (huge pages, NUMA node) that the system refused, once each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.0.borrow().notes.clone()
    }
}

/// The class for `size` bytes.
fn class_of(size: usize) -> Option<usize> {
    CLASS_SIZES.iter().position(|&class_size| size <= class_size)
}

impl State {
    /// Takes the return stack into the free lists.
    fn collect(&mut self) {
        let home = Arc::clone(&self.home);
        for chunk in home.take_returned() {
            let class = usize::from(chunk.class());
            self.stats.in_use -= CLASS_SIZES[class];
            self.free[class].push(chunk);
        }
    }

    #[inline(never)]
    fn refill(&mut self, class: usize) -> Option<FreeChunk> {
        self.collect();
        if self.free[class].is_empty() && !self.map_slab(class) && self.reclaim(class) {
            self.map_slab(class);
        }
        self.free[class].pop()
    }

    /// Maps a slab for the class; false when the budget or the system has no room.
    fn map_slab(&mut self, class: usize) -> bool {
        let size = CLASS_SIZES[class].max(SLAB_SIZE_MIN);
        if self.stats.mapped + size > self.config.budget {
            return false;
        }
        let config =
            RegionConfig { hugepages: self.config.hugepages, numa_node: self.config.numa_node };
        let Ok(region) = Region::map(size, config) else { return false };
        for note in region.notes() {
            if !self.notes.contains(note) {
                self.notes.push(note.clone());
            }
        }
        let free = self.home.add_slab(region, CLASS_SIZES[class], class as u16);
        let slab = free.first().map_or(0, |chunk| usize::from(chunk.slab()));
        if slab >= self.slabs.len() {
            self.slabs.resize(slab + 1, SlabInfo::default());
        }
        self.slabs[slab] = SlabInfo { chunks: free.len(), class: class as u16, size };
        // Room for all chunks of the class, so that collecting never allocates.
        let total: usize = self.slabs.iter().filter(|s| usize::from(s.class) == class).map(|s| s.chunks).sum();
        let list = &mut self.free[class];
        list.reserve(total.saturating_sub(list.len()));
        list.extend(free);
        self.stats.mapped += size;
        self.stats.slabs += 1;
        true
    }

    /// Unmaps fully free slabs of other classes until one slab of `class` fits the budget.
    fn reclaim(&mut self, class: usize) -> bool {
        let wanted = CLASS_SIZES[class].max(SLAB_SIZE_MIN);
        for other in 0..CLASS_SIZES.len() {
            if other == class || self.free[other].is_empty() {
                continue;
            }
            let mut counts = vec![0usize; self.slabs.len()];
            for chunk in &self.free[other] {
                counts[usize::from(chunk.slab())] += 1;
            }
            for (slab, count) in counts.into_iter().enumerate() {
                let info = self.slabs[slab];
                if count == 0 || count != info.chunks {
                    continue;
                }
                self.unmap_slab(other, slab);
                if self.stats.mapped + wanted <= self.config.budget {
                    return true;
                }
            }
        }
        false
    }

    fn unmap_slab(&mut self, class: usize, slab: usize) {
        let list = std::mem::take(&mut self.free[class]);
        let (all, rest): (Vec<_>, Vec<_>) =
            list.into_iter().partition(|chunk| usize::from(chunk.slab()) == slab);
        self.free[class] = rest;
        self.home.remove_slab(slab as u16, &all);
        self.stats.mapped -= self.slabs[slab].size;
        self.stats.slabs -= 1;
        self.slabs[slab] = SlabInfo::default();
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({:?})", self.stats())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;

    #[test]
    fn classes_at_their_edges() {
        assert_eq!(class_of(0), Some(0));
        assert_eq!(class_of(256), Some(0));
        assert_eq!(class_of(257), Some(1));
        assert_eq!(class_of(1 << 20), Some(6));
        assert_eq!(class_of((1 << 20) + 1), None);
    }

    #[test]
    fn the_budget_holds_and_everything_comes_back() {
        let pool = BufferPool::new(PoolConfig { budget: 256 * 1024, ..PoolConfig::default() });
        let all: Vec<_> = std::iter::from_fn(|| pool.take(64 * 1024)).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(pool.stats().refusals, 1);
        drop(all);
        assert_eq!(pool.stats().in_use, 0);
        assert!(pool.take(256 * 1024).is_some(), "free slabs of another class are given up");
        assert_eq!(pool.stats().mapped, 256 * 1024);
    }

    #[test]
    fn segments_outlive_the_pool_and_come_back_from_other_threads() {
        let pool = BufferPool::new(PoolConfig::default());
        let mut buffer = pool.take(4096).expect("budget");
        buffer.extend_from_slice(b"shared").expect("room");
        let segment = buffer.split_seal();
        let other = segment.clone();
        std::thread::spawn(move || assert_eq!(&other[..], b"shared")).join().expect("no panic");
        drop(buffer);
        assert_eq!(pool.stats().in_use, 4096);
        drop(pool);
        assert_eq!(&segment[..], b"shared");
    }

    #[test]
    fn a_segment_is_two_words() {
        assert_eq!(size_of::<Segment>(), 16);
        assert_eq!(size_of::<Option<Segment>>(), 16);
    }

    #[test]
    fn bytes_share_the_memory_both_ways() {
        let segment = Segment::copy_from(b"abc");
        let start = segment.as_ptr();
        let bytes = bytes::Bytes::from(segment);
        assert_eq!(bytes.as_ptr(), start);
        assert_eq!(Segment::from(bytes).as_ptr(), start);
    }
}
