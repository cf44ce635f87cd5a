//! The unique, mutable piece of a buffer: changed in place, then sealed bit by bit.
//!
//! Must not know pools: like a segment it finds home by itself. It cannot grow: what is behind it is the buffer's.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::raw::Unique;
use crate::segment::Segment;

/// Written bytes with one owner, split off a [`Buffer`](crate::Buffer).
///
/// ```
/// use hioload_mem::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig::with_budget(1 << 20))?;
/// let mut buffer = pool.take(4096).expect("budget is free");
/// buffer.extend_from_slice(b"head body tail").expect("room");
/// let mut piece = buffer.split_piece();
/// piece[5] = b'B';
/// piece.advance(5);
/// let body = piece.seal_to(4);
/// assert_eq!((&body[..], &piece[..]), (&b"Body"[..], &b" tail"[..]));
/// # Ok::<(), hioload_mem::PoolError>(())
/// ```
pub struct Piece(Unique);

impl Piece {
    #[inline]
    pub(crate) fn new(unique: Unique) -> Piece {
        Piece(unique)
    }

    /// Drops the first `n` bytes.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.0.advance(n);
    }

    /// Seals the first `n` bytes and shares them; the rest stays here, writable.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[inline]
    pub fn seal_to(&mut self, n: usize) -> Segment {
        Segment::new(self.0.seal_to(n))
    }

    /// Seals and shares all of it.
    #[inline]
    pub fn seal(self) -> Segment {
        Segment::new(self.0.seal())
    }
}

impl Deref for Piece {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl DerefMut for Piece {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::{BufferPool, PoolConfig};

    #[test]
    fn pieces_of_one_buffer_do_not_touch_each_other() {
        let pool = BufferPool::new(PoolConfig::with_budget(1 << 20)).expect("memory");
        let mut buffer = pool.take(256).expect("budget");
        buffer.extend_from_slice(&[1; 10]).expect("room");
        let mut first = buffer.split_piece();
        buffer.extend_from_slice(&[2; 10]).expect("room");
        let mut second = buffer.split_piece();
        first.fill(7);
        second.advance(4);
        second.fill(8);
        buffer.extend_from_slice(&[3; 10]).expect("room");
        assert_eq!(buffer.as_slice(), [3; 10]);
        assert_eq!(&*first, [7; 10]);
        assert_eq!(&*second, [8; 6]);
    }

    #[test]
    fn memory_goes_home_with_the_last_piece() {
        let pool = BufferPool::new(PoolConfig::with_budget(1 << 20)).expect("memory");
        let mut buffer = pool.take(256).expect("budget");
        buffer.extend_from_slice(b"abcd").expect("room");
        let mut piece = buffer.split_piece();
        drop(buffer);
        let head = piece.seal_to(2);
        let empty = piece.seal_to(0);
        assert!(empty.is_empty());
        let tail = piece.seal();
        assert_eq!(pool.stats().bytes_in_use, 256);
        drop((head, tail));
        assert_eq!(pool.stats().bytes_in_use, 0);
    }
}
