//! The provided-buffer ring: hands free buffers of a [`RecvPool`] to the kernel and turns a
//! completion's buffer id into a lent piece.
//!
//! With `IOU_PBUF_RING_INC` (Linux 6.12) the kernel fills one buffer bit by bit, so that a
//! buffer holds the input of many small messages; without it each receive takes a whole buffer.

use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::recv_pool::{RecvBuf, RecvPool};

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// `IOU_PBUF_RING_INC`.
const INCREMENTAL: u16 = 2;

/// The ring of provided buffers. One thread; the kernel reads entries up to `tail`.
pub(super) struct Buffers {
    pool: Rc<RecvPool>,
    entries: *mut BufRingEntry,
    layout: std::alloc::Layout,
    mask: u16,
    tail: u16,
    provided: u16,
    incremental: bool,
}

impl Buffers {
    /// Registers a ring for all buffers of `pool`; tries incremental first when asked.
    pub(super) fn register(
        submitter: &Submitter<'_>,
        pool: Rc<RecvPool>,
        incremental: bool,
    ) -> io::Result<Self> {
        let count = u16::try_from(pool.count()).expect("invariant: the pool counts in u16");
        assert!(
            count.is_power_of_two(),
            "misuse: receive buffers must be a power of two"
        );
        let size = usize::from(count) * size_of::<BufRingEntry>();
        let layout = std::alloc::Layout::from_size_align(size, 4096)
            .expect("invariant: a page-aligned ring of at most 512 KiB");
        // SAFETY: the layout has a size above zero.
        let entries = unsafe { std::alloc::alloc_zeroed(layout) }.cast::<BufRingEntry>();
        if entries.is_null() {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        let register = |flags| {
            // SAFETY: `entries` is page-aligned, zeroed and `count` entries long; it is freed only
            // in `release`, after the ring is gone or the group is unregistered.
            unsafe { submitter.register_buf_ring_with_flags(entries as u64, count, GROUP, flags) }
        };
        let mut kept = incremental;
        let mut result = register(if incremental { INCREMENTAL } else { 0 });
        if incremental && result.is_err() {
            kept = false;
            result = register(0);
        }
        if let Err(error) = result {
            // SAFETY: allocated above with this layout, and the kernel refused it.
            unsafe { std::alloc::dealloc(entries.cast(), layout) };
            return Err(error);
        }
        let mut buffers = Self {
            pool,
            entries,
            layout,
            mask: count - 1,
            tail: 0,
            provided: 0,
            incremental: kept,
        };
        buffers.provide();
        Ok(buffers)
    }

    /// Buffers are filled bit by bit.
    pub(super) fn is_incremental(&self) -> bool {
        self.incremental
    }

    /// Buffers the kernel has now.
    pub(super) fn provided(&self) -> u16 {
        self.provided
    }

    /// Hands every free buffer to the kernel.
    pub(super) fn provide(&mut self) {
        let before = self.tail;
        while let Some(id) = self.pool.claim() {
            // SAFETY: index ≤ mask < count; the slot is ours: at most `count` buffers exist, so
            // the tail never catches up with entries the kernel has not consumed.
            let entry = unsafe { &mut *self.entries.add(usize::from(self.tail & self.mask)) };
            entry.set_addr(self.pool.start(id) as u64);
            entry.set_len(u32::try_from(self.pool.buffer_size()).expect("invariant: below 4 GiB"));
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            self.provided += 1;
        }
        if self.tail != before {
            // SAFETY: `entries` is the base of a live, initialised ring; its tail is a u16 that the
            // kernel only reads. Release pairs with the kernel's acquire load of the tail.
            let tail = unsafe { &*BufRingEntry::tail(self.entries).cast::<AtomicU16>() };
            tail.store(self.tail, Ordering::Release);
        }
    }

    /// The bytes a completion brought: `more` as the completion's `F_BUF_MORE`.
    pub(super) fn take(&mut self, id: u16, len: usize, more: bool) -> RecvBuf {
        let more = more && self.incremental;
        if !more {
            self.provided -= 1;
        }
        self.pool.lend(id, len, more)
    }

    /// A completion named a buffer but brought nothing to keep.
    pub(super) fn discard(&mut self, id: u16, len: usize, more: bool) {
        drop(self.take(id, len, more));
    }

    /// Frees the ring's own memory. Only after the kernel has let go of it.
    pub(super) fn release(self) {
        // SAFETY: allocated in `register` with this layout; the caller guarantees the ring is closed
        // or the group unregistered.
        unsafe { std::alloc::dealloc(self.entries.cast(), self.layout) };
    }
}
