//! The shared, immutable end of a chunk: cloned, sliced and sent between threads without a copy.
//!
//! Must not know pools: the last reference finds home by itself. Limit: a segment is at most 4 GiB - 1 (32-bit length).

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Bound, Deref, RangeBounds};

use bytes::Bytes;

use crate::raw::{ForeignBytes, View};

/// Sealed bytes, shared by reference count. 16 bytes; at most 4 GiB - 1 long.
///
/// A clone is one relaxed atomic increment, a drop one decrement. An empty segment holds no memory: one that is advanced
/// or split to nothing lets go of its chunk at once.
///
/// ```
/// use hioload_mem::Segment;
///
/// let mut rest = Segment::copy_from(b"GET / HTTP/1.1");
/// let method = rest.split_to(3);
/// rest.advance(1);
/// assert_eq!(method, *b"GET");
/// assert_eq!(rest.slice(..1), *b"/");
/// ```
#[derive(Clone)]
pub struct Segment(View);

impl Segment {
    /// Longest segment: 4 GiB - 1 bytes.
    pub const LEN_MAX: usize = u32::MAX as usize;

    #[inline]
    pub(crate) fn new(view: View) -> Segment {
        Segment(view)
    }

    /// No bytes, no memory held.
    #[inline]
    pub const fn empty() -> Segment {
        Segment(View::EMPTY)
    }

    /// A copy of `bytes` in memory of its own, outside of any pool. Allocates.
    ///
    /// # Panics
    ///
    /// If `bytes` is longer than [`Segment::LEN_MAX`].
    pub fn copy_from(bytes: &[u8]) -> Segment {
        Segment::from_vec(bytes.to_vec())
    }

    /// The bytes of a vector, not copied; its memory lives as long as the segment. Allocates a header.
    ///
    /// # Panics
    ///
    /// If the vector is longer than [`Segment::LEN_MAX`]; `TryFrom` refuses instead.
    pub fn from_vec(vec: Vec<u8>) -> Segment {
        Segment::try_from(vec).expect("a segment is at most 4 GiB - 1")
    }

    /// Bytes that live for ever, not copied. Allocates a header.
    ///
    /// # Panics
    ///
    /// If `bytes` is longer than [`Segment::LEN_MAX`].
    pub fn from_static(bytes: &'static [u8]) -> Segment {
        Segment::foreign(ForeignBytes::Static(bytes), bytes.len())
            .expect("a segment is at most 4 GiB - 1")
    }

    fn foreign(owner: ForeignBytes, len: usize) -> Result<Segment, TooLong> {
        View::from_foreign(owner)
            .map(Segment)
            .ok_or(TooLong { len })
    }

    /// Bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Part of the segment, sharing its memory.
    ///
    /// # Panics
    ///
    /// If the range is not inside the segment, like a slice.
    #[inline]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Segment {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.len(),
        };
        Segment(self.0.part(start..end))
    }

    /// Takes the first `n` bytes off as a segment of their own.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[inline]
    pub fn split_to(&mut self, n: usize) -> Segment {
        if n == self.len() {
            return std::mem::take(self);
        }
        let front = self.0.part(0..n);
        self.advance(n);
        Segment(front)
    }

    /// Drops the first `n` bytes.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.0.narrow(n..self.0.len());
    }

    /// Keeps the first `len` bytes; no effect if there are fewer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.0.narrow(0..len.min(self.0.len()));
    }

    /// Others hold the same memory, so that letting go of this segment frees nothing. What holds none is not shared. Others may
    /// let go at any time; nobody but who holds this one can make it shared again.
    ///
    /// ```
    /// use hioload_mem::Segment;
    ///
    /// let content = Segment::copy_from(b"abc");
    /// let part = content.slice(1..2);
    /// assert!(content.is_shared());
    /// drop(part);
    /// assert!(!content.is_shared());
    /// ```
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    /// Grows over `next` if that begins where this segment ends, in the same buffer, and says whether it did. An empty
    /// segment joins with anything. `next` stays valid; drop it if it is not needed.
    ///
    /// ```
    /// use hioload_mem::Segment;
    ///
    /// let mut tail = Segment::copy_from(b"abcdef");
    /// let mut head = tail.split_to(2);
    /// assert!(head.try_join(&tail));
    /// assert_eq!(head, *b"abcdef");
    /// assert!(!head.try_join(&Segment::copy_from(b"g")), "other memory");
    /// ```
    #[inline]
    pub fn try_join(&mut self, next: &Segment) -> bool {
        self.0.try_join(&next.0)
    }
}

impl Default for Segment {
    fn default() -> Segment {
        Segment::empty()
    }
}

impl Deref for Segment {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Segment {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Borrow<[u8]> for Segment {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Segment {
    fn eq(&self, other: &Segment) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Segment {}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<&T> for Segment {
    fn eq(&self, other: &&T) -> bool {
        self.as_slice() == (*other).as_ref()
    }
}

impl PartialEq<[u8]> for Segment {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_slice() == other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Segment {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.as_slice() == other
    }
}

impl Hash for Segment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Segment {
    /// Length and the first bytes: a segment may be large and its content private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let shown = &self.as_slice()[..self.len().min(SHOWN)];
        let more = if self.len() > SHOWN { "…" } else { "" };
        write!(
            f,
            "Segment({}, \"{}{more}\")",
            self.len(),
            shown.escape_ascii()
        )
    }
}

impl TryFrom<Vec<u8>> for Segment {
    type Error = TooLong;

    /// Not copied, see [`Segment::from_vec`].
    fn try_from(vec: Vec<u8>) -> Result<Segment, TooLong> {
        let len = vec.len();
        Segment::foreign(ForeignBytes::Vec(vec), len)
    }
}

impl TryFrom<Bytes> for Segment {
    type Error = TooLong;

    /// Not copied: the segment keeps the `Bytes` alive.
    fn try_from(bytes: Bytes) -> Result<Segment, TooLong> {
        let len = bytes.len();
        Segment::foreign(ForeignBytes::Bytes(bytes), len)
    }
}

impl From<Segment> for Bytes {
    /// Not copied: the `Bytes` keeps the segment alive. Allocates the handle that `bytes` needs.
    fn from(segment: Segment) -> Bytes {
        if segment.is_empty() {
            Bytes::new()
        } else {
            Bytes::from_owner(segment)
        }
    }
}

/// Bytes longer than a segment can be ([`Segment::LEN_MAX`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Their length.
    pub len: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes are more than a segment can hold ({})",
            self.len,
            Segment::LEN_MAX
        )
    }
}

impl std::error::Error for TooLong {}
