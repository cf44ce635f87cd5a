//! Bridges of [`Segment`]: to slices, to `bytes::Bytes` and back, without copying.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::raw::Segment;

impl Segment {
    /// A segment with its own copy of `bytes`, outside any pool.
    #[must_use]
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self::from_vec(bytes.to_vec())
    }

    /// A segment over a vector's memory, outside any pool.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self::foreign(bytes)
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
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Segment {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Segment {}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({} bytes)", self.len())
    }
}

impl From<Segment> for Bytes {
    /// Shares the memory; it goes home when the last `Bytes` is dropped.
    fn from(segment: Segment) -> Self {
        Self::from_owner(segment)
    }
}

impl From<Bytes> for Segment {
    /// Shares the memory.
    fn from(bytes: Bytes) -> Self {
        Self::foreign(bytes)
    }
}
