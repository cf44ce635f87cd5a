//! The unique, writing handle of a chunk.
//!
//! ```text
//!  0 ......... start ......... end ......... capacity
//!    sealed          written       room
//! ```
//!
//! A writer starts with many references (`CREDITS`) and hands one out per sealed view, so splitting is no atomic
//! operation; the unused ones are given back together when the writer ends.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::slice;

use super::header::{Header, give_back, release};
use super::unique::Unique;
use super::view::View;

/// References a writer holds when it is made or filled up. Far below the largest count, so leaks are found in time.
const CREDITS: u32 = 1 << 16;

/// Write access to the part of a chunk that no view covers.
pub(crate) struct Writer {
    header: NonNull<Header>,
    start: u32,
    end: u32,
    capacity: u32,
    /// References this writer owns, at least 1. `CREDITS` exactly while it has never split.
    credits: u32,
}

// SAFETY: a writer is the only handle that writes its chunk; views of it only cover other bytes; the count is atomic and
// the return stack takes chunks from any thread. Without this every Buffer would be stuck on the thread of its pool.
unsafe impl Send for Writer {}
// SAFETY: through a shared reference bytes are only read.
unsafe impl Sync for Writer {}

impl Writer {
    /// # Safety
    ///
    /// `header` is alive, its chunk is free and the caller's alone, and `capacity` bytes from its data pointer on are
    /// initialised memory that stays mapped until the chunk has come back.
    #[inline]
    pub(super) unsafe fn new(header: NonNull<Header>, capacity: u32) -> Writer {
        // SAFETY: alive by the caller's word.
        unsafe { header.as_ref() }.reset(CREDITS);
        Writer {
            header,
            start: 0,
            end: 0,
            capacity,
            credits: CREDITS,
        }
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Bytes written and not split off.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Bytes that can still be written.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        (self.capacity - self.end) as usize
    }

    #[inline]
    fn at(&self, offset: u32) -> *mut u8 {
        // SAFETY: we own a reference, so the header is alive; offsets are at most `capacity`, so the place is inside the
        // chunk or one past its end.
        unsafe { self.header.as_ref().data().as_ptr().add(offset as usize) }
    }

    #[inline]
    pub(crate) fn written(&self) -> &[u8] {
        // SAFETY: start..end is inside the chunk and initialised; only `&mut self` writes there.
        unsafe { slice::from_raw_parts(self.at(self.start), self.len()) }
    }

    #[inline]
    pub(crate) fn written_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `written`; no view covers bytes from `start` on, and `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.at(self.start), self.len()) }
    }

    #[inline]
    pub(crate) fn spare_mut(&mut self) -> &mut [u8] {
        // SAFETY: end..capacity is inside the chunk; chunks come from zeroed mappings and are only ever written with whole
        // bytes, so they are initialised; no view covers bytes from `start` on.
        unsafe { slice::from_raw_parts_mut(self.at(self.end), self.room()) }
    }

    /// Counts `n` bytes of the room as written.
    ///
    /// # Panics
    ///
    /// If there is less room.
    #[inline(always)]
    pub(crate) fn advance(&mut self, n: usize) {
        assert!(
            n <= self.room(),
            "advance by {n} with room for {}",
            self.room()
        );
        self.end += n as u32;
    }

    /// Forgets what was written beyond `len` bytes.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.end = self.start + len as u32;
        }
    }

    /// Seals what was written since the last split; the writer goes on behind it.
    #[inline]
    pub(crate) fn split(&mut self) -> View {
        let len = self.end - self.start;
        if len == 0 {
            return View::EMPTY;
        }
        if self.credits == 1 {
            // SAFETY: we own a reference, so the header is alive.
            unsafe { self.header.as_ref() }.add(CREDITS - 1);
            self.credits = CREDITS;
        }
        self.credits -= 1;
        // SAFETY: one credit becomes the view's reference; start..end is initialised and, as `start` moves to `end` and
        // never back, not written again while a reference lives.
        let view = unsafe { View::new(self.header, self.start, len) };
        self.start = self.end;
        view
    }

    /// Splits off what was written since the last split, still writable, for one owner of its own.
    #[inline]
    pub(crate) fn split_unique(&mut self) -> Unique {
        Unique::new(self.split())
    }

    /// Seals what was written and ends the writer.
    #[inline]
    pub(crate) fn seal(self) -> View {
        let mut this = ManuallyDrop::new(self);
        let len = this.end - this.start;
        if len == 0 {
            drop(ManuallyDrop::into_inner(this));
            return View::EMPTY;
        }
        // SAFETY: we own a reference, so the header is alive.
        let header = unsafe { this.header.as_ref() };
        if this.credits == CREDITS {
            header.reset(1); // never split: nobody else counts
        } else if this.credits > 1 {
            // SAFETY: these credits are ours and one stays, so this is never the last reference.
            unsafe { release(this.header, this.credits - 1) };
        }
        this.credits = 1;
        // SAFETY: the credit left becomes the view's reference; the writer has ended, so nothing is written again.
        unsafe { View::new(this.header, this.start, len) }
    }
}

impl Drop for Writer {
    #[inline]
    fn drop(&mut self) {
        if self.credits == CREDITS {
            // SAFETY: never split, so this writer is the only handle there ever was, and it ends here.
            unsafe { give_back(self.header) };
        } else {
            // SAFETY: the credits are ours and end here.
            unsafe { release(self.header, self.credits) };
        }
    }
}
