//! The header of one chunk: count of references, where the bytes are, where they go back to.
//!
//! Headers live in an array per slab, apart from the data, so that the data stays page aligned. 32 bytes each; neighbours
//! share a cache line, which is the price for spending an eighth of the smallest chunk instead of a quarter.
//!
//! Orderings: `count` is incremented relaxed (who increments holds a reference already), decremented with release; the
//! decrement to zero is followed by an acquire fence, its partner, so the next writer of the chunk comes after every
//! reader. `next` is written only by whoever has the chunk to itself and is published by the return stack.

use std::ptr::{self, NonNull};

use super::home::Home;
use super::sync::{AtomicPtr, AtomicU32, Ordering, fence};
use super::view::Foreign;

/// A count above this means handles were leaked in a loop: the process is stopped before the count can wrap.
const COUNT_MAX: u32 = i32::MAX as u32;

/// What stands behind every chunk.
#[repr(C)]
pub(super) struct Header {
    /// References: live views plus the credits of the writer. Meaningless while the chunk is free.
    count: AtomicU32,
    /// Index of the slab in its owner; meaningless for foreign memory.
    slab_index: u32,
    /// Next chunk of the free list or return stack; meaningless while the chunk is in use.
    pub(super) next: AtomicPtr<Header>,
    /// First byte of the chunk.
    data: NonNull<u8>,
    /// Where the chunk goes back to; `None` for memory that came from outside of any pool.
    home: Option<NonNull<Home>>,
}

impl Header {
    pub(super) fn new(slab_index: u32, data: NonNull<u8>, home: Option<NonNull<Home>>) -> Header {
        Header {
            count: AtomicU32::new(1),
            slab_index,
            next: AtomicPtr::new(ptr::null_mut()),
            data,
            home,
        }
    }

    pub(super) fn data(&self) -> NonNull<u8> {
        self.data
    }

    pub(super) fn slab_index(&self) -> u32 {
        self.slab_index
    }

    /// Sets the count of a chunk nobody else refers to.
    #[inline]
    pub(super) fn reset(&self, count: u32) {
        self.count.store(count, Ordering::Relaxed);
    }

    /// There is more than the one reference that the caller holds. Relaxed: nothing is done to the chunk because of it.
    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 1
    }

    /// Adds `n` references on behalf of somebody who holds one.
    #[inline]
    pub(super) fn add(&self, n: u32) {
        if self.count.fetch_add(n, Ordering::Relaxed) > COUNT_MAX {
            std::process::abort();
        }
    }
}

/// Takes `n` references away; with the last one the chunk goes home.
///
/// # Safety
///
/// `header` points to a live header and the caller owns `n` of its references, which end here: the caller must use
/// neither `header` nor the bytes afterwards.
#[inline]
pub(super) unsafe fn release(header: NonNull<Header>, n: u32) {
    // SAFETY: the caller owns references, so the header is alive until the count reaches zero, which only the
    // subtraction below can bring about.
    let before = unsafe { header.as_ref() }
        .count
        .fetch_sub(n, Ordering::Release);
    if before == n {
        fence(Ordering::Acquire);
        // SAFETY: the count has just become zero by our subtraction, so nobody else refers to this chunk.
        unsafe { give_back(header) };
    }
}

/// Sends a chunk nobody refers to any more to where it came from.
///
/// # Safety
///
/// `header` points to a live header, no view or writer of it is left, and all accesses to the chunk happened before.
#[cold]
#[inline(never)]
pub(super) unsafe fn give_back(header: NonNull<Header>) {
    // SAFETY: alive by the caller's word.
    match unsafe { header.as_ref() }.home {
        // SAFETY: a home outlives every chunk that is out, and this one is out until pushed.
        Some(home) => unsafe { Home::push(home, header) },
        // SAFETY: a header without a home is the first field of a boxed `Foreign` (only `Foreign::leak` makes them), and
        // nobody else refers to it.
        None => unsafe { Foreign::free(header) },
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn header_is_32_bytes() {
        assert_eq!(size_of::<Header>(), 32);
    }
}
