//! Receive buffers: a driver's own pool of equal buffers, lent to the service as [`RecvBuf`] and
//! returned by dropping it.
//!
//! A buffer is lent whole (io_uring without incremental rings, simulation) or piece by piece from
//! front to back: pieces of one buffer never overlap. Its slot is free again when the last piece is
//! dropped and the kernel is done with it.
//!
//! Large input can be *shared* instead of copied: the bytes become a [`Segment`] that keeps its
//! memory, and the slot gets other memory from the spare buffers. There are as many spares as
//! buffers; when they are all held by segments, sharing is refused and the caller copies. So
//! whoever holds received bytes for long never starves the kernel of buffers.
//!
//! Invariant: memory in use = slots in use + buffers held by segments alone (at most the spares).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use hioload_mem::{Buffer, BufferPool, CLASS_SIZES, Piece, PoolConfig, Segment};

/// The buffers and their book-keeping. One thread.
pub struct RecvPool {
    memory: BufferPool,
    buffer_size: usize,
    /// Bytes of the memory behind one buffer.
    memory_size: usize,
    slots: Box<[Slot]>,
    free: RefCell<Vec<u16>>,
}

/// State of one slot.
#[derive(Default)]
struct Slot {
    /// The memory, from the claim until the kernel is done.
    buffer: RefCell<Option<Buffer>>,
    /// Pieces lent out.
    pieces: Cell<u32>,
}

impl RecvPool {
    /// `count` buffers of `buffer_size` bytes each and as many spares; memory is touched on first
    /// use.
    ///
    /// # Panics
    /// When `count` or `buffer_size` is zero, `buffer_size` is above 1 MiB, or the system has no
    /// address space left.
    #[must_use]
    pub fn new(buffer_size: usize, count: u16) -> Rc<Self> {
        assert!(
            count > 0 && buffer_size > 0,
            "misuse: an empty receive pool"
        );
        let class = class_of(buffer_size).expect("misuse: a receive buffer above 1 MiB");
        let config = config_of(class, count);
        Rc::new(Self {
            memory: BufferPool::new(config).expect("misuse: no address space for receive buffers"),
            buffer_size,
            memory_size: class,
            slots: (0..count).map(|_| Slot::default()).collect(),
            free: RefCell::new((0..count).rev().collect()),
        })
    }

    /// Bytes that `count` buffers of `buffer_size` bytes and their spares take at most. For the memory plan.
    #[must_use]
    pub fn bytes_max(buffer_size: usize, count: u16) -> u64 {
        class_of(buffer_size).map_or(u64::MAX, |class| config_of(class, count).bytes_max())
    }

    /// Touches the memory of all buffers (not of the spares), so that receiving takes no page faults
    /// and the process does not seem to grow while it warms up.
    pub(crate) fn warm_up(&self) {
        let all: Vec<Buffer> = std::iter::from_fn(|| self.memory.take(self.buffer_size))
            .take(self.count())
            .map(|mut buffer| {
                buffer.spare_mut().fill(0);
                buffer
            })
            .collect();
        drop(all);
    }

    /// Bytes of one buffer.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        self.buffer_size
    }

    /// Buffers in all, without the spares.
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
        let mut free = self.free.borrow_mut();
        let id = *free.last()?;
        let buffer = self.memory.take(self.buffer_size)?;
        free.pop();
        *self.slots[usize::from(id)].buffer.borrow_mut() = Some(buffer);
        Some(id)
    }

    /// Where the part of a claimed buffer begins that was not lent yet.
    pub(crate) fn start(&self, id: u16) -> *mut u8 {
        let mut buffer = self.slots[usize::from(id)].buffer.borrow_mut();
        let buffer = buffer.as_mut().expect("invariant: the buffer is claimed");
        buffer.spare_mut().as_mut_ptr()
    }

    /// Lets `read` fill the part of a claimed buffer that was not lent yet.
    pub(crate) fn fill<T>(&self, id: u16, read: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut buffer = self.slots[usize::from(id)].buffer.borrow_mut();
        let buffer = buffer.as_mut().expect("invariant: the buffer is claimed");
        let used = buffer.capacity() - buffer.room();
        read(&mut buffer.spare_mut()[..self.buffer_size - used])
    }

    /// Lends the next `len` bytes of a claimed buffer. `more`: the kernel may fill more of it.
    pub(crate) fn lend(self: &Rc<Self>, id: u16, len: usize, more: bool) -> RecvBuf {
        let slot = &self.slots[usize::from(id)];
        let mut place = slot.buffer.borrow_mut();
        let buffer = place
            .as_mut()
            .expect("invariant: a finished buffer is lent no more");
        let used = buffer.capacity() - buffer.room();
        assert!(
            len <= self.buffer_size - used,
            "invariant: a piece stays inside its buffer"
        );
        buffer.advance(len);
        let piece = buffer.split_piece();
        if !more {
            *place = None;
        }
        slot.pieces.set(slot.pieces.get() + 1);
        RecvBuf {
            piece,
            id,
            pool: Rc::clone(self),
        }
    }

    fn give_back(&self, id: u16) {
        let slot = &self.slots[usize::from(id)];
        let pieces = slot.pieces.get() - 1;
        slot.pieces.set(pieces);
        if pieces == 0 && slot.buffer.borrow().is_none() {
            self.free.borrow_mut().push(id);
        }
    }

    /// One more buffer may be held by segments alone.
    fn may_share(&self) -> bool {
        let slots_in_use = self.count() - self.free_count();
        self.memory.bytes_in_use() < (slots_in_use + self.count()) * self.memory_size
    }
}

/// Bytes of the memory behind a buffer.
fn class_of(buffer_size: usize) -> Option<usize> {
    CLASS_SIZES.into_iter().find(|&size| size >= buffer_size)
}

fn config_of(class: usize, count: u16) -> PoolConfig {
    let slab = class.max(64 * 1024);
    let budget = (class * usize::from(count) * 2).next_multiple_of(slab);
    PoolConfig {
        slab_size: Some(slab),
        ..PoolConfig::with_budget(budget)
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
    piece: Piece,
    id: u16,
    pool: Rc<RecvPool>,
}

impl RecvBuf {
    /// Drops the first `count` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.piece.advance(count);
    }

    /// Whether [`RecvBuf::share`] may be called now: there is a spare buffer to replace the memory.
    #[must_use]
    pub fn may_share(&self) -> bool {
        self.pool.may_share()
    }

    /// Takes the first `count` bytes out, shared, without copying. Ask [`RecvBuf::may_share`] first.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn share(&mut self, count: usize) -> Segment {
        self.piece.seal_to(count)
    }
}

impl Deref for RecvBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.piece
    }
}

impl DerefMut for RecvBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.piece
    }
}

impl Drop for RecvBuf {
    fn drop(&mut self) {
        self.pool.give_back(self.id);
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvBuf({} bytes)", self.len())
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

    #[test]
    fn shared_bytes_outlive_the_slot_and_are_bounded_by_the_spares() {
        let pool = RecvPool::new(64 * 1024, 2);
        let mut held = Vec::new();
        while held.len() < 10 {
            let id = pool.claim().expect("a slot, and memory for it");
            let mut buffer = pool.lend(id, 5, false);
            buffer.copy_from_slice(b"hello");
            if !buffer.may_share() {
                break;
            }
            held.push(buffer.share(5));
        }
        assert_eq!(held.len(), 2, "as many as there are spares");
        assert!(held.iter().all(|segment| &segment[..] == b"hello"));
        assert_eq!(pool.free_count(), 2, "slots are free all the same");
        held.pop();
        let id = pool.claim().expect("a slot");
        assert!(pool.lend(id, 5, false).may_share());
    }
}
