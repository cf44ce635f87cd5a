//! The unique, mutable end of a chunk: written here, sealed into segments.
//!
//! ```text
//!  0 ............... sealed ............... written ............... capacity
//!    in segments            as_slice, len            spare_mut, room
//! ```
//!
//! Must not know pools or classes: a buffer knows its capacity and finds home by itself when dropped.

use std::fmt;

use crate::piece::Piece;
use crate::raw::Writer;
use crate::segment::Segment;

/// A piece of pool memory with one owner. It may move to another thread; dropped there, it goes home all the same.
///
/// A buffer of 4,096 bytes or more starts at a multiple of 4,096, as reading and writing files past the page cache
/// (`O_DIRECT`, open(2)) demands; a smaller one starts at a multiple of its capacity.
///
/// A fresh buffer holds what its last user left: `spare_mut` shows old bytes, never uninitialised ones. Only what was
/// written is ever sealed.
///
/// ```
/// use hioload_mem::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig::with_budget(1 << 20))?;
/// let mut buffer = pool.take(4096).expect("budget is free");
/// buffer.extend_from_slice(b"hello ").expect("room");
/// let hello = buffer.split_seal();
/// buffer.extend_from_slice(b"world").expect("room");
/// let world = buffer.seal();
/// assert_eq!((&hello[..], &world[..]), (&b"hello "[..], &b"world"[..]));
/// # Ok::<(), hioload_mem::PoolError>(())
/// ```
pub struct Buffer(Writer);

impl Buffer {
    #[inline]
    pub(crate) fn new(writer: Writer) -> Buffer {
        Buffer(writer)
    }

    /// Bytes the buffer could hold when it was taken.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Bytes written and not yet sealed away.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing is written that is not sealed away.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that can still be written.
    #[inline]
    pub fn room(&self) -> usize {
        self.0.room()
    }

    /// Bytes written and not yet sealed away.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.0.written()
    }

    /// Bytes written and not yet sealed away, to change in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.0.written_mut()
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`Full`] if they do not fit into the room; nothing is written then.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = self.room();
        let Some(target) = self.0.spare_mut().get_mut(..bytes.len()) else {
            return Err(Full {
                wanted: bytes.len(),
                room,
            });
        };
        target.copy_from_slice(bytes);
        self.0.advance(bytes.len());
        Ok(())
    }

    /// The room, to write into; [`Buffer::advance`] then says how much was written. Its content is arbitrary. Memory does
    /// not move while the buffer lives.
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.0.spare_mut()
    }

    /// Counts the first `n` bytes of the room as written.
    ///
    /// # Panics
    ///
    /// If `n` is above [`Buffer::room`].
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.0.advance(n);
    }

    /// Keeps the first `len` written bytes; no effect if there are fewer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Forgets what is written and not sealed away.
    #[inline]
    pub fn clear(&mut self) {
        self.0.truncate(0);
    }

    /// Seals all that is written and gives up the room behind it.
    #[inline]
    pub fn seal(self) -> Segment {
        Segment::new(self.0.seal())
    }

    /// Seals what was written since the last split; the rest of the room stays writable. All segments of one buffer share
    /// its memory, which goes home when the buffer and all of them are dropped. Nothing written gives an empty segment.
    #[inline]
    pub fn split_seal(&mut self) -> Segment {
        Segment::new(self.0.split())
    }

    /// Splits off what was written since the last split as a piece of its own, still writable; the rest of the room stays
    /// here. The memory goes home when the buffer and all pieces and segments of it are dropped.
    #[inline]
    pub fn split_piece(&mut self) -> Piece {
        Piece::new(self.0.split_unique())
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.len())
            .field("room", &self.room())
            .field("capacity", &self.capacity())
            .finish()
    }
}

impl fmt::Write for Buffer {
    /// Appends text; fails without writing if it does not fit.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend_from_slice(text.as_bytes())
            .map_err(|_| fmt::Error)
    }
}

/// Bytes did not fit into the room of a buffer. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Bytes that were to be written.
    pub wanted: usize,
    /// Bytes there was room for.
    pub room: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes do not fit into a room of {}",
            self.wanted, self.room
        )
    }
}

impl std::error::Error for Full {}
