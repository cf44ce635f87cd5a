//! One mapping cut into chunks of one size, with the headers beside it.
//!
//! Headers are written when a chunk is taken for the first time, so a fresh slab costs address space only.
//! A chunk starts at a multiple of its size, or of the page size where that is less: the mapping starts at a page and all
//! sizes are powers of two.
//! Invariant: `out` counts the chunks that are in use, on the return stack or `Returned`; the mapping and the headers are
//! freed or cut anew only when it is zero.

use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};

use super::header::Header;
use super::home::{Home, Owner, Returned};
use super::region::Region;
use super::sync::Ordering;
use super::writer::Writer;

/// Bytes of the smallest page of any system.
const PAGE_SIZE: usize = 4096;

/// A region and its chunks. Once cut, neither mapping nor headers are reached through a reference to the whole: other
/// threads use parts of them at the same time.
pub(crate) struct Slab {
    region: ManuallyDrop<Region>,
    base: NonNull<u8>,
    size: usize,
    /// Array of `chunk_count` headers, of which the first `carved` are written.
    headers: NonNull<Header>,
    home: NonNull<Home>,
    free: Option<NonNull<Header>>,
    index: u32,
    chunk_size: u32,
    chunk_count: u32,
    carved: u32,
    out: u32,
}

impl Slab {
    /// A slab at `index` of `owner`, not yet cut: it holds no chunk before [`Slab::carve`].
    pub(crate) fn new(owner: &Owner, index: u32, mut region: Region) -> Slab {
        let bytes = region.as_mut_slice();
        let size = bytes.len();
        assert!(
            u32::try_from(size).is_ok(),
            "invariant: a slab is below 4 GiB"
        );
        let base = NonNull::from(bytes).cast();
        assert!(
            base.addr().get().is_multiple_of(PAGE_SIZE),
            "invariant: a mapping starts at a page"
        );
        Slab {
            region: ManuallyDrop::new(region),
            base,
            size,
            headers: NonNull::dangling(),
            home: owner.home(),
            free: None,
            index,
            chunk_size: 0,
            chunk_count: 0,
            carved: 0,
            out: 0,
        }
    }

    /// Cuts the slab into chunks of `chunk_size` bytes.
    ///
    /// # Panics
    ///
    /// If a chunk is out, or `chunk_size` is zero.
    pub(crate) fn carve(&mut self, chunk_size: u32) {
        assert!(
            self.out == 0,
            "invariant: only a slab without chunks out is cut anew"
        );
        self.free_headers();
        let count = self.size / chunk_size as usize;
        let headers = Box::<[Header]>::new_uninit_slice(count);
        self.headers = NonNull::from(Box::leak(headers)).cast();
        self.chunk_size = chunk_size;
        self.chunk_count = count as u32; // below the size, which fits
    }

    /// Throws the headers away; with no chunk out nobody refers to them: free chunks are only in the free list.
    fn free_headers(&mut self) {
        assert!(
            self.out == 0,
            "invariant: headers outlive chunks that are out"
        );
        let headers =
            ptr::slice_from_raw_parts_mut(self.headers.as_ptr(), self.chunk_count as usize);
        self.free = None;
        self.chunk_count = 0;
        self.carved = 0;
        // SAFETY: for a count of zero this is the empty box, dangling by right; otherwise the array leaked in `carve`,
        // whose count was just set to zero so that it is freed once. Headers need no drop.
        drop(unsafe { Box::from_raw(headers as *mut [MaybeUninit<Header>]) });
    }

    /// Chunks that are not back.
    pub(crate) fn out(&self) -> usize {
        self.out as usize
    }

    /// Chunks the slab is cut into.
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunk_count as usize
    }

    /// Bytes mapped.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn home(&self) -> NonNull<Home> {
        self.home
    }

    /// One free chunk to write to.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Writer> {
        let header = match self.free {
            Some(header) => {
                // SAFETY: chunks of the free list are ours alone and their headers live in `self.headers`.
                let next = unsafe { header.as_ref() }.next.load(Ordering::Relaxed);
                self.free = NonNull::new(next);
                header
            }
            None => self.carve_next()?,
        };
        self.out += 1;
        // SAFETY: the chunk is free and ours alone; it was `chunk_size` bytes of the mapping when its header was written,
        // and headers are thrown away when that changes. `out` keeps mapping and headers alive.
        Some(unsafe { Writer::new(header, self.chunk_size) })
    }

    /// Writes the next header that was never written.
    fn carve_next(&mut self) -> Option<NonNull<Header>> {
        if self.carved == self.chunk_count {
            return None;
        }
        let offset = self.carved as usize * self.chunk_size as usize;
        // SAFETY: carved < chunk_count = size / chunk_size, so this is inside the mapping.
        let data = unsafe { self.base.add(offset) };
        // SAFETY: carved < chunk_count, the length of the array.
        let slot = unsafe { self.headers.add(self.carved as usize) };
        // SAFETY: inside the array, and nobody refers to a header that was never written.
        unsafe { slot.write(Header::new(self.index, data, Some(self.home))) };
        self.carved += 1;
        Some(slot)
    }

    /// Takes back a chunk of this slab.
    ///
    /// # Panics
    ///
    /// If the chunk belongs to another slab.
    #[expect(clippy::needless_pass_by_value, reason = "the token ends here")]
    pub(crate) fn give(&mut self, returned: Returned) {
        let header = returned.header;
        let place = (header.addr().get()).wrapping_sub(self.headers.addr().get());
        let inside = place < self.chunk_count as usize * size_of::<Header>();
        assert!(
            inside,
            "invariant: a chunk is given to the slab it came from"
        );
        let rest = self.free.map_or(ptr::null_mut(), NonNull::as_ptr);
        // SAFETY: `Returned` is the only handle of the chunk, and its header is in `self.headers`.
        unsafe { header.as_ref() }
            .next
            .store(rest, Ordering::Relaxed);
        self.free = Some(header);
        self.out -= 1;
    }

    /// Says that every chunk is back, on behalf of the home that counted them.
    pub(super) fn all_returned(&mut self) {
        self.out = 0;
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // A chunk is out: its mapping must stay. The owner hands its slabs to the home instead of dropping them, so this
        // is a leak by mistake, never by design.
        if self.out > 0 {
            return;
        }
        self.free_headers();
        // SAFETY: dropped once, here; no chunk is out, so nothing refers to the mapping.
        unsafe { ManuallyDrop::drop(&mut self.region) };
    }
}
