//! The one module with `unsafe`: chunks of memory, their reference counts, and the stack on which
//! any thread puts a chunk back.
//!
//! ```text
//!   pool ──take──▶ Buffer (unique) ──split_seal──▶ Segment, Segment, … (shared)
//!     ▲                                                │ last reference, any thread
//!     └──────── local free lists ◀── take all ── return stack (one CAS)
//! ```
//!
//! Ownership: a chunk's bytes `[..sealed)` are shared and immutable, `[sealed..capacity)` belong to
//! the one [`Buffer`] of that chunk (if it still exists). Headers lie apart from data.
//!
//! Invariants: a chunk is in exactly one place: a free list of its pool, the return stack, or out
//! with `refs > 0`. A chunk that is out holds its home alive, and the home its memory.

use std::any::Any;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

use crate::region::Region;

/// Header of a chunk.
pub(crate) struct Chunk {
    refs: AtomicUsize,
    data: NonNull<u8>,
    capacity: u32,
    /// Index of the size class and of the slab, for the pool.
    class: u16,
    slab: u16,
    /// Next chunk of the list it is in. Written only by whoever owns the chunk then.
    next: AtomicPtr<Chunk>,
    /// Null for memory that came from elsewhere.
    home: *const Home,
    /// Keeps foreign memory alive.
    _owner: Option<Box<dyn Any + Send + Sync>>,
}

// SAFETY: a header is shared by handles on several threads; they touch `refs` and `next` atomically,
// and all other fields are written before the chunk is first handed out and only read while it is
// out. The bytes follow the ownership rule in the module header. `owner` is Send + Sync.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

/// What outlives a pool while chunks of it are out: the memory and the return stack.
pub(crate) struct Home {
    returned: AtomicPtr<Chunk>,
    slabs: std::sync::Mutex<Vec<Option<Slab>>>,
}

/// One region cut into chunks of one class. Never moved or freed while a chunk of it is out.
struct Slab {
    chunks: Box<[Chunk]>,
    _region: Region,
}

// SAFETY: the raw pointers in the headers point into regions owned by the same home.
unsafe impl Send for Slab {}

impl Home {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            returned: AtomicPtr::new(ptr::null_mut()),
            slabs: std::sync::Mutex::new(Vec::new()),
        })
    }

    /// Cuts `region` into chunks of `size` bytes and gives them, free, to the caller: the pool.
    pub(crate) fn add_slab(
        self: &Arc<Self>,
        mut region: Region,
        size: usize,
        class: u16,
    ) -> Vec<FreeChunk> {
        let mut slabs = self.slabs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let vacant = slabs.iter().position(Option::is_none).unwrap_or(slabs.len());
        let count = region.len() / size;
        let base = region.as_mut_ptr();
        let chunks: Box<[Chunk]> = (0..count)
            .map(|index| Chunk {
                refs: AtomicUsize::new(0),
                // SAFETY: index * size + size <= region.len(), so the pointer is inside the region.
                data: unsafe { NonNull::new_unchecked(base.add(index * size)) },
                capacity: size as u32,
                class,
                slab: vacant as u16,
                next: AtomicPtr::new(ptr::null_mut()),
                home: Arc::as_ptr(self),
                _owner: None,
            })
            .collect();
        let free = chunks.iter().map(|chunk| FreeChunk(NonNull::from(chunk))).collect();
        let slab = Slab { chunks, _region: region };
        if vacant == slabs.len() {
            slabs.push(Some(slab));
        } else {
            slabs[vacant] = Some(slab);
        }
        free
    }

    /// Frees a slab. The caller holds every chunk of it as free and drops those handles.
    pub(crate) fn remove_slab(&self, index: u16, all: &[FreeChunk]) {
        let mut slabs = self.slabs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(slot) = slabs.get_mut(usize::from(index)) else { return };
        let whole = slot.as_ref().is_some_and(|slab| slab.chunks.len() == all.len());
        assert!(whole, "invariant: only a slab with all chunks free is removed");
        *slot = None;
    }

    /// Everything that came back since the last call.
    pub(crate) fn take_returned(&self) -> Returned {
        // Acquire pairs with the Release of the pushes: what other threads did with the chunks
        // happened before.
        Returned(self.returned.swap(ptr::null_mut(), Ordering::Acquire))
    }

    fn push(&self, chunk: NonNull<Chunk>) {
        let mut head = self.returned.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller owns the chunk (its last reference just went), and its slab lives as
            // long as this home.
            unsafe { chunk.as_ref() }.next.store(head, Ordering::Relaxed);
            // Release pairs with the Acquire of `take_returned`.
            match self.returned.compare_exchange_weak(
                head,
                chunk.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

/// A list of chunks taken off the return stack.
pub(crate) struct Returned(*mut Chunk);

impl Iterator for Returned {
    type Item = FreeChunk;

    fn next(&mut self) -> Option<FreeChunk> {
        let chunk = NonNull::new(self.0)?;
        // SAFETY: chunks on the list are owned by it, and their slab lives as long as the home, which
        // the pool that called `take_returned` holds.
        self.0 = unsafe { chunk.as_ref() }.next.load(Ordering::Relaxed);
        Some(FreeChunk(chunk))
    }
}

/// A chunk that nobody uses. Only its pool has these, and its pool holds the home.
pub(crate) struct FreeChunk(NonNull<Chunk>);

impl FreeChunk {
    pub(crate) fn class(&self) -> u16 {
        // SAFETY: the pool that holds this handle holds the home, and the home the header.
        unsafe { self.0.as_ref() }.class
    }

    pub(crate) fn slab(&self) -> u16 {
        // SAFETY: as in `class`.
        unsafe { self.0.as_ref() }.slab
    }

    /// Hands the chunk out as a buffer.
    pub(crate) fn into_buffer(self) -> Buffer {
        // SAFETY: as in `class`; the chunk is free, so nobody else looks at the header.
        let chunk = unsafe { self.0.as_ref() };
        chunk.refs.store(1, Ordering::Relaxed);
        // SAFETY: `home` is the pointer of a live Arc (the pool holds one); the count added here is
        // given up by `release`.
        unsafe { Arc::increment_strong_count(chunk.home) };
        Buffer { chunk: self.0, sealed: 0, end: 0 }
    }
}

/// Gives up one reference; the last one sends the chunk home.
fn release(chunk: NonNull<Chunk>) {
    // SAFETY: the caller's handle counts in `refs`, so the header is alive.
    let header = unsafe { chunk.as_ref() };
    // Release: what this handle did happens before the reuse. Pairs with the fence below.
    if header.refs.fetch_sub(1, Ordering::Release) != 1 {
        return;
    }
    fence(Ordering::Acquire);
    if header.home.is_null() {
        // SAFETY: foreign chunks come from Box::into_raw in `foreign`, and this was the last handle.
        drop(unsafe { Box::from_raw(chunk.as_ptr()) });
        return;
    }
    let home = header.home;
    // SAFETY: `into_buffer` added one count for this life of the chunk; it is taken over here, so the
    // home is alive for the push and given up after it.
    let home = unsafe { Arc::from_raw(home) };
    home.push(chunk);
}

/// Unique, writable memory of one size class, filled from front to back.
///
/// What was written since the last seal is the buffer's content; the room behind it can still be
/// written. Dropping it gives the memory back to its pool once no segment of it is left.
pub struct Buffer {
    chunk: NonNull<Chunk>,
    sealed: u32,
    end: u32,
}

// SAFETY: a buffer is the only handle to the unsealed bytes; the header is Sync.
unsafe impl Send for Buffer {}
// SAFETY: `&Buffer` gives only reads of its own bytes.
unsafe impl Sync for Buffer {}

/// What was to be written does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl std::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the buffer has no room for that: seal it and take a new one")
    }
}

impl std::error::Error for NoRoom {}

impl Buffer {
    fn header(&self) -> &Chunk {
        // SAFETY: this handle counts in `refs`.
        unsafe { self.chunk.as_ref() }
    }

    /// Bytes it can hold in all, sealed ones included.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.header().capacity as usize
    }

    /// Bytes written and not sealed.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.sealed) as usize
    }

    /// True when nothing was written since the last seal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == self.sealed
    }

    /// Bytes that can still be written.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity() - self.end as usize
    }

    /// The bytes written and not sealed.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: sealed <= end <= capacity; these bytes belong to this buffer alone, and all memory
        // is initialised (regions start zeroed).
        unsafe { std::slice::from_raw_parts(self.at(self.sealed), self.len()) }
    }

    /// The bytes written and not sealed, to change.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.at(self.sealed), self.len()) }
    }

    /// The room behind what was written; [`Buffer::advance`] says how much of it now counts.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        // SAFETY: [end..capacity) belongs to this buffer alone and is initialised.
        unsafe { std::slice::from_raw_parts_mut(self.at(self.end), self.room()) }
    }

    /// Counts `count` bytes of the spare room as written.
    ///
    /// # Panics
    /// When that is more than the room.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.room(), "misuse: advanced past the buffer's room");
        self.end += count as u32;
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`NoRoom`], and nothing was written.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let spare = self.spare_mut().get_mut(..bytes.len()).ok_or(NoRoom)?;
        spare.copy_from_slice(bytes);
        self.end += bytes.len() as u32;
        Ok(())
    }

    /// Keeps the first `len` unsealed bytes; no effect when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.end = self.sealed + len as u32;
        }
    }

    /// Shares all that was written since the last seal; gives up the rest of the room.
    #[must_use]
    pub fn seal(self) -> Segment {
        let segment =
            Segment { chunk: self.chunk, offset: self.sealed, len: self.end - self.sealed };
        // The segment takes over this handle's reference.
        std::mem::forget(self);
        segment
    }

    /// Shares all that was written since the last seal; the room behind it stays writable.
    /// Consecutive segments are adjacent and can be joined.
    #[must_use]
    pub fn split_seal(&mut self) -> Segment {
        // Relaxed: the new handle is made from one that exists.
        self.header().refs.fetch_add(1, Ordering::Relaxed);
        let segment =
            Segment { chunk: self.chunk, offset: self.sealed, len: self.end - self.sealed };
        self.sealed = self.end;
        segment
    }

    fn at(&self, offset: u32) -> *mut u8 {
        debug_assert!(offset <= self.header().capacity);
        // SAFETY: offsets never exceed the capacity of the chunk's memory.
        unsafe { self.header().data.as_ptr().add(offset as usize) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        release(self.chunk);
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.len(), self.capacity())
    }
}

/// Shared, immutable bytes: a piece of a sealed buffer, 16 bytes itself, at most 4 GiB long.
///
/// Cloning adds one reference; the last one gives the memory back to its pool, from any thread.
pub struct Segment {
    chunk: NonNull<Chunk>,
    offset: u32,
    len: u32,
}

// SAFETY: a segment only reads sealed bytes, which nobody writes; the header is Sync.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// A segment over memory that somebody else allocated, without copying.
    ///
    /// # Panics
    /// When it is longer than 4 GiB.
    pub(crate) fn foreign<T: AsRef<[u8]> + Send + Sync + 'static>(owner: T) -> Self {
        let owner = Box::new(owner);
        // The box keeps the owner in place, so the slice stays valid while the box lives.
        let bytes = (*owner).as_ref();
        let len = u32::try_from(bytes.len()).expect("misuse: a segment is at most 4 GiB");
        let data = NonNull::from(bytes).cast::<u8>();
        let chunk = Box::new(Chunk {
            refs: AtomicUsize::new(1),
            data,
            capacity: len,
            class: 0,
            slab: 0,
            next: AtomicPtr::new(ptr::null_mut()),
            home: ptr::null(),
            _owner: Some(owner),
        });
        let chunk = NonNull::from(Box::leak(chunk));
        Self { chunk, offset: 0, len }
    }

    /// Length in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// True without bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: offset + len lies within sealed, initialised memory that this handle keeps alive.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// Where the bytes begin; valid while any handle to this memory lives.
    #[inline]
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        // SAFETY: this handle counts in `refs`; offset is within the chunk's memory.
        unsafe { self.chunk.as_ref().data.as_ptr().add(self.offset as usize) }
    }

    /// Drops the first `count` bytes from view.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "misuse: advanced past the end of a segment");
        self.offset += count as u32;
        self.len -= count as u32;
    }

    /// Splits off the first `count` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn split_to(&mut self, count: usize) -> Self {
        let head = self.slice(0..count);
        self.advance(count);
        head
    }

    /// A piece of it, sharing the memory.
    ///
    /// # Panics
    /// When the range is not within the segment.
    #[inline]
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "misuse: slice out of a segment's range"
        );
        let mut piece = self.clone();
        piece.offset += range.start as u32;
        piece.len = (range.end - range.start) as u32;
        piece
    }

    /// Extends this segment by `next` when that follows it in the same buffer; true when it did.
    #[inline]
    pub fn try_join(&mut self, next: &Self) -> bool {
        let adjacent = self.chunk == next.chunk && self.offset + self.len == next.offset;
        if adjacent {
            self.len += next.len;
        }
        adjacent
    }

    /// Bytes of memory this segment keeps from being used again.
    #[must_use]
    pub fn held_size(&self) -> usize {
        // SAFETY: this handle counts in `refs`.
        unsafe { self.chunk.as_ref() }.capacity as usize
    }
}

impl Clone for Segment {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: this handle counts in `refs`.
        let header = unsafe { self.chunk.as_ref() };
        // Relaxed: the new handle is made from one that exists.
        let before = header.refs.fetch_add(1, Ordering::Relaxed);
        assert!(before < usize::MAX / 2, "invariant: fewer references than memory could hold");
        Self { chunk: self.chunk, offset: self.offset, len: self.len }
    }
}

impl Drop for Segment {
    #[inline]
    fn drop(&mut self) {
        release(self.chunk);
    }
}

/// `mbind(2)` with `MPOL_PREFERRED`.
#[cfg(target_os = "linux")]
pub(crate) fn mbind_preferred(start: *mut u8, len: usize, node: u32) -> std::io::Result<()> {
    const MPOL_PREFERRED: libc::c_int = 1;
    if node >= 64 {
        return Err(std::io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mask = 1u64 << node;
    // SAFETY: the range is one live mapping of the caller and the mask a live word of 64 bits; the
    // call changes where pages will come from, not their contents.
    let result = unsafe {
        libc::syscall(libc::SYS_mbind, start, len, MPOL_PREFERRED, &raw const mask, 65usize, 0u32)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// No NUMA placement on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn mbind_preferred(_: *mut u8, _: usize, _: u32) -> std::io::Result<()> {
    Err(std::io::Error::from(std::io::ErrorKind::Unsupported))
}
