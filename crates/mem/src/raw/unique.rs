//! The writable piece: a range of a chunk that was split off a writer and has one owner.
//!
//! Must not be cloned: uniqueness is what makes writing sound.

use std::slice;

use super::view::View;

/// A range of a chunk that this handle alone covers. Empty ones hold no chunk.
pub(crate) struct Unique(View);

impl Unique {
    /// `view` was just split off a writer: nobody else has ever seen these bytes.
    #[inline]
    pub(super) fn new(view: View) -> Unique {
        Unique(view)
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.0.len();
        if len == 0 {
            return &mut [];
        }
        // SAFETY: the range is alive and initialised while the view lives. It was split off its writer, which never
        // goes back, and a view is only cloned by `seal` and `split_to`, which give those bytes up: no other handle
        // covers them, and `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.0.as_mut_ptr(), len) }
    }

    /// Gives up the first `n` bytes.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize) {
        let len = self.0.len();
        self.0.narrow(n..len);
    }

    /// Seals the first `n` bytes; this handle goes on behind them.
    #[inline]
    pub(crate) fn seal_to(&mut self, n: usize) -> View {
        let head = self.0.part(0..n);
        self.advance(n);
        head
    }

    /// Seals all of it.
    #[inline]
    pub(crate) fn seal(self) -> View {
        self.0
    }
}
