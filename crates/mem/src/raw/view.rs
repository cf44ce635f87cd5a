//! The shared, reading handle: a range of a chunk that is never written again.
//!
//! Also home of foreign memory: bytes that came from outside of any pool, with a header of their own.

use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

use bytes::Bytes;

use super::header::{Header, release};

/// A range of sealed bytes. Invariant: a view of length zero holds no reference and its header pointer dangles.
pub(crate) struct View {
    header: NonNull<Header>,
    offset: u32,
    len: u32,
}

// SAFETY: the bytes of a view are immutable while it lives and the count is atomic; the last drop may happen on any thread,
// for pool chunks by the return stack, for foreign memory because its owners are Send.
unsafe impl Send for View {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for View {}

impl View {
    /// No bytes, no chunk.
    pub(crate) const EMPTY: View = View {
        header: NonNull::dangling(),
        offset: 0,
        len: 0,
    };

    /// # Safety
    ///
    /// `len` is above zero; the caller gives one reference of the live `header` to the view; the bytes
    /// `offset..offset + len` of its chunk are initialised and are not written while that reference lives.
    #[inline]
    pub(super) unsafe fn new(header: NonNull<Header>, offset: u32, len: u32) -> View {
        View {
            header,
            offset,
            len,
        }
    }

    /// Foreign bytes as a view; `None` if they are longer than a view can be.
    pub(crate) fn from_foreign(owner: ForeignBytes) -> Option<View> {
        let len = u32::try_from(owner.as_slice().len()).ok()?;
        if len == 0 {
            return Some(View::EMPTY);
        }
        let header = Foreign::leak(owner);
        // SAFETY: a fresh header has one reference; the owner keeps all its bytes unchanged until freed.
        Some(unsafe { View::new(header, 0, len) })
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: not empty, so we hold a reference: header and bytes are alive, the range is inside the chunk, initialised
        // and never written while we hold it.
        unsafe {
            let data = self.header.as_ref().data().as_ptr();
            slice::from_raw_parts(data.add(self.offset as usize), self.len as usize)
        }
    }

    /// Where a view that is not empty begins. Writing there is for [`Unique`](super::Unique) alone.
    #[inline]
    pub(super) fn as_mut_ptr(&self) -> *mut u8 {
        debug_assert!(self.len > 0, "an empty view has no place");
        // SAFETY: not empty, so the header is alive and the offset is inside the chunk.
        unsafe {
            self.header
                .as_ref()
                .data()
                .as_ptr()
                .add(self.offset as usize)
        }
    }

    /// Part of this view, with a reference of its own.
    ///
    /// # Panics
    ///
    /// If the range is not inside `0..len`.
    #[inline]
    pub(crate) fn part(&self, range: Range<usize>) -> View {
        let Range { start, end } = range;
        assert!(
            start <= end && end <= self.len(),
            "range {start}..{end} of a segment of {}",
            self.len
        );
        if start == end {
            return View::EMPTY;
        }
        // SAFETY: not empty, so we hold a reference and the header is alive.
        unsafe { self.header.as_ref() }.add(1);
        // SAFETY: the reference just added is the new view's; its range is part of ours.
        unsafe {
            View::new(
                self.header,
                self.offset + start as u32,
                (end - start) as u32,
            )
        }
    }

    /// Keeps only part of this view. With nothing left the chunk is let go.
    ///
    /// # Panics
    ///
    /// If the range is not inside `0..len`.
    #[inline]
    pub(crate) fn narrow(&mut self, range: Range<usize>) {
        let Range { start, end } = range;
        assert!(
            start <= end && end <= self.len(),
            "range {start}..{end} of a segment of {}",
            self.len
        );
        if start == end {
            *self = View::EMPTY;
        } else {
            self.offset += start as u32;
            self.len = (end - start) as u32;
        }
    }

    /// The chunk has another reference.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: not empty, so we hold a reference and the header is alive.
        self.len > 0 && unsafe { self.header.as_ref() }.is_shared()
    }

    /// Grows over `next` if it begins where this view ends, in the same chunk. `next` keeps its reference.
    #[inline]
    pub(crate) fn try_join(&mut self, next: &View) -> bool {
        if next.len == 0 {
            return true;
        }
        if self.len == 0 {
            *self = next.clone();
            return true;
        }
        let adjacent = self.header == next.header && self.offset + self.len == next.offset;
        if adjacent {
            // The bytes of `next` stay sealed as long as any reference of the chunk lives: writers never go back.
            self.len += next.len;
        }
        adjacent
    }
}

impl Clone for View {
    #[inline]
    fn clone(&self) -> View {
        if self.len > 0 {
            // SAFETY: not empty, so we hold a reference and the header is alive.
            unsafe { self.header.as_ref() }.add(1);
        }
        View {
            header: self.header,
            offset: self.offset,
            len: self.len,
        }
    }
}

impl Drop for View {
    #[inline]
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: not empty, so one reference is ours; it ends here.
            unsafe { release(self.header, 1) };
        }
    }
}

/// Memory from outside of any pool that a view can keep alive.
pub(crate) enum ForeignBytes {
    Vec(Vec<u8>),
    Bytes(Bytes),
    Static(&'static [u8]),
}

impl ForeignBytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            ForeignBytes::Vec(vec) => vec,
            ForeignBytes::Bytes(bytes) => bytes,
            ForeignBytes::Static(slice) => slice,
        }
    }
}

/// A header and what keeps its bytes alive, in one allocation. The header is first, so a pointer to it is one to both.
#[repr(C)]
pub(super) struct Foreign {
    header: Header,
    owner: ForeignBytes,
}

impl Foreign {
    /// A header with one reference for the bytes of `owner`.
    fn leak(owner: ForeignBytes) -> NonNull<Header> {
        // None of the three owners keeps its bytes inside itself, so the pointer stays good when the owner moves.
        let data = NonNull::from(owner.as_slice()).cast();
        let foreign = Foreign {
            header: Header::new(u32::MAX, data, None),
            owner,
        };
        NonNull::from(Box::leak(Box::new(foreign))).cast()
    }

    /// # Safety
    ///
    /// `header` came from [`Foreign::leak`], has not been freed, and no view of it is left.
    pub(super) unsafe fn free(header: NonNull<Header>) {
        // SAFETY: by the caller's word this is the box leaked in `leak`, and ours alone.
        let foreign = unsafe { Box::from_raw(header.cast::<Foreign>().as_ptr()) };
        drop(foreign);
    }
}
