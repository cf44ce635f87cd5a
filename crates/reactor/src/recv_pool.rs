//! Receive buffers: one region per driver, cut into equal buffers, lent to the service as
//! [`RecvBuf`] and returned by dropping it.
//!
//! A buffer is lent whole (poll, plain io_uring rings) or piece by piece from front to back
//! (incremental io_uring rings): pieces of one buffer never overlap. It is free again when the
//! last piece is dropped and the kernel is done with it.
//!
//! Invariant: every byte of the region belongs to exactly one of: the free list, the kernel
//! (provided), one `RecvBuf`, or the used-up front of a buffer with pieces out.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;

/// The region and the book-keeping of its buffers. One thread.
pub struct RecvPool {
    base: NonNull<u8>,
    buffer_size: usize,
    slots: Box<[Slot]>,
    free: RefCell<Vec<u16>>,
}

/// State of one buffer.
#[derive(Default)]
struct Slot {
    /// Pieces lent out.
    pieces: Cell<u32>,
    /// Bytes handed out from the front.
    used: Cell<u32>,
    /// The kernel will write into it no more.
    done: Cell<bool>,
}

impl RecvPool {
    /// `count` buffers of `buffer_size` bytes each, zeroed; memory is touched on first use.
    ///
    /// # Panics
    /// When `count` or `buffer_size` is zero or the product overflows.
    #[must_use]
    pub fn new(buffer_size: usize, count: u16) -> Rc<Self> {
        assert!(
            count > 0 && buffer_size > 0,
            "misuse: an empty receive pool"
        );
        assert!(
            u32::try_from(buffer_size).is_ok(),
            "misuse: receive buffer above 4 GiB"
        );
        let size = buffer_size
            .checked_mul(usize::from(count))
            .expect("misuse: pool size overflow");
        let region = Box::into_raw(vec![0u8; size].into_boxed_slice());
        let base = NonNull::new(region.cast::<u8>()).expect("invariant: boxes are not null");
        Rc::new(Self {
            base,
            buffer_size,
            slots: (0..count).map(|_| Slot::default()).collect(),
            free: RefCell::new((0..count).rev().collect()),
        })
    }

    /// Bytes of one buffer.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        self.buffer_size
    }

    /// Buffers in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Buffers free now.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.free.borrow().len()
    }

    /// Takes a free buffer for the kernel (or a read call) to fill.
    pub(crate) fn claim(&self) -> Option<u16> {
        let id = self.free.borrow_mut().pop()?;
        let slot = &self.slots[usize::from(id)];
        slot.pieces.set(0);
        slot.used.set(0);
        slot.done.set(false);
        Some(id)
    }

    /// Where a claimed buffer begins.
    pub(crate) fn start(&self, id: u16) -> *mut u8 {
        assert!(
            usize::from(id) < self.slots.len(),
            "invariant: buffer id within the pool"
        );
        // SAFETY: id < slots.len() and the region has slots.len() * buffer_size bytes, so the
        // result stays inside the allocation.
        unsafe { self.base.as_ptr().add(usize::from(id) * self.buffer_size) }
    }

    /// Lets `read` fill a claimed buffer that nothing was lent of yet.
    pub(crate) fn fill<T>(&self, id: u16, read: impl FnOnce(&mut [u8]) -> T) -> T {
        let slot = &self.slots[usize::from(id)];
        assert!(
            slot.used.get() == 0 && !slot.done.get(),
            "invariant: only a fresh claim is filled"
        );
        // SAFETY: the buffer is claimed (not in the free list, no piece lent), and its one claimer
        // is in this call, so no other slice of it exists.
        read(unsafe { std::slice::from_raw_parts_mut(self.start(id), self.buffer_size) })
    }

    /// Lends the next `len` bytes of a claimed buffer. `more`: the kernel may fill more of it.
    pub(crate) fn lend(self: &Rc<Self>, id: u16, len: usize, more: bool) -> RecvBuf {
        let slot = &self.slots[usize::from(id)];
        let offset = slot.used.get() as usize;
        assert!(
            !slot.done.get(),
            "invariant: a finished buffer is lent no more"
        );
        assert!(
            len <= self.buffer_size - offset,
            "invariant: a piece stays inside its buffer"
        );
        slot.used
            .set(u32::try_from(offset + len).expect("invariant: below the buffer size"));
        slot.pieces.set(slot.pieces.get() + 1);
        slot.done.set(!more);
        // SAFETY: offset + len <= buffer_size, so the pointer stays inside buffer `id`.
        let start = unsafe { NonNull::new_unchecked(self.start(id).add(offset)) };
        RecvBuf {
            start,
            len: u32::try_from(len).expect("invariant: below the buffer size"),
            id,
            pool: Rc::clone(self),
        }
    }

    fn give_back(&self, id: u16) {
        let slot = &self.slots[usize::from(id)];
        let pieces = slot.pieces.get() - 1;
        slot.pieces.set(pieces);
        if pieces == 0 && slot.done.get() {
            self.free.borrow_mut().push(id);
        }
    }
}

impl Drop for RecvPool {
    fn drop(&mut self) {
        let size = self.buffer_size * self.slots.len();
        let region = std::ptr::slice_from_raw_parts_mut(self.base.as_ptr(), size);
        // SAFETY: `base` came from Box::into_raw of a slice of exactly `size` bytes, and every
        // RecvBuf holds an Rc of this pool, so none is left. A driver that could not drain leaks
        // its Rc, and this never runs.
        drop(unsafe { Box::from_raw(region) });
    }
}

impl fmt::Debug for RecvPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvPool")
            .field("buffer_size", &self.buffer_size)
            .field("count", &self.count())
            .field("free", &self.free_count())
            .finish()
    }
}

/// Received bytes, writable in place. Dropping it gives the room back; hold it no longer than
/// the turn it came in.
pub struct RecvBuf {
    start: NonNull<u8>,
    len: u32,
    id: u16,
    pool: Rc<RecvPool>,
}

impl Deref for RecvBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `lend` gave this piece alone these bytes, initialised (the region starts zeroed),
        // and the Rc keeps the region alive.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len as usize) }
    }
}

impl DerefMut for RecvBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; pieces do not overlap and the kernel has left these bytes.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len as usize) }
    }
}

impl Drop for RecvBuf {
    fn drop(&mut self) {
        self.pool.give_back(self.id);
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_buffer_returns_when_dropped() {
        let pool = RecvPool::new(64, 2);
        let id = pool.claim().expect("free");
        let mut buffer = pool.lend(id, 5, false);
        buffer.copy_from_slice(b"hello");
        assert_eq!(&*buffer, b"hello");
        assert_eq!(pool.free_count(), 1);
        drop(buffer);
        assert_eq!(pool.free_count(), 2);
    }

    #[test]
    fn pieces_do_not_overlap_and_the_last_frees() {
        let pool = RecvPool::new(64, 1);
        let id = pool.claim().expect("free");
        let mut first = pool.lend(id, 10, true);
        let mut second = pool.lend(id, 20, true);
        first.fill(1);
        second.fill(2);
        assert!(first.iter().all(|&b| b == 1));
        drop(first);
        drop(second);
        assert_eq!(pool.free_count(), 0, "the kernel may still fill the rest");
        drop(pool.lend(id, 34, false));
        assert_eq!(pool.free_count(), 1);
        assert!(pool.claim().is_some());
        assert!(pool.claim().is_none());
    }

    #[test]
    #[should_panic(expected = "inside its buffer")]
    fn a_piece_past_the_end_is_refused() {
        let pool = RecvPool::new(64, 1);
        let id = pool.claim().expect("free");
        drop(pool.lend(id, 65, false));
    }
}
