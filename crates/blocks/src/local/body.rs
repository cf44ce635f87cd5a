//! The body of one PUT: socket bytes copied once into buffers, and summed while they are in the cache.
//!
//! ```text
//!   bytes ─▶ Buffer (a piece) ─▶ full ─▶ written, or held
//!        └─▶ CRC-32 of each 4 KiB   └─▶ SHA-256, beside those of other bodies
//! ```
//!
//! Must not know where pieces go. Invariants: every piece but the last is whole units; the last is padded with zeros to
//! 4 KiB, which neither hash nor sums see.

use hioload_mem::{Buffer, CLASS_SIZES};

use crate::class::UNIT;
use crate::hash::{Hash, Hasher};
use crate::sums::{Sums, SumsBuilder};

#[derive(Debug)]
pub(super) struct Body {
    hasher: Hasher,
    sums: SumsBuilder,
    filling: Option<Buffer>,
    /// Bytes the piece will have that is being filled.
    piece_size: usize,
}

impl Body {
    /// `length` is what will come, or the most that may.
    pub(super) fn new(length: u32) -> Body {
        Body {
            hasher: Hasher::new(),
            sums: SumsBuilder::with_length(length),
            filling: None,
            piece_size: 0,
        }
    }

    /// Bytes the current piece still takes; 0 when there is none.
    pub(super) fn room(&self) -> usize {
        let room = |buffer: &Buffer| self.piece_size - buffer.len();
        self.filling.as_ref().map_or(0, room)
    }

    /// Begins a piece of `size` bytes in an empty buffer with room for them.
    pub(super) fn begin_piece(&mut self, buffer: Buffer, size: usize) {
        debug_assert!(self.filling.is_none() && buffer.room() >= size);
        self.filling = Some(buffer);
        self.piece_size = size;
    }

    /// Takes `bytes`, which fit the room. Returns the piece if that made it full.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Option<Buffer> {
        let buffer = self.filling.as_mut()?;
        let start = buffer.len();
        buffer
            .extend_from_slice(bytes)
            .expect("invariant: no more is added than there is room for");
        // From the copy, which is in the nearest cache now.
        self.sums.update(&buffer.as_slice()[start..]);
        if buffer.len() == self.piece_size {
            return self.filling.take();
        }
        None
    }

    /// How far its hash has got.
    pub(super) fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Bytes of the content that are hashed.
    pub(super) fn hashed(&self) -> u32 {
        self.hasher.length() as u32
    }

    /// Its hash has got further.
    pub(super) fn set_hasher(&mut self, hasher: Hasher) {
        self.hasher = hasher;
    }

    /// The piece that has begun, so far.
    pub(super) fn begun(&self) -> &[u8] {
        self.filling.as_ref().map_or(&[], Buffer::as_slice)
    }

    /// Nothing more comes: the last piece, padded, if one has begun. It is empty if the body ended where the one before did.
    pub(super) fn end(&mut self) -> Option<Buffer> {
        let mut last = self.filling.take()?;
        pad(&mut last);
        Some(last)
    }

    /// Drops what has begun and returns it.
    pub(super) fn drop_piece(&mut self) -> Option<Buffer> {
        self.filling.take()
    }

    /// Name and sums, when all is hashed.
    pub(super) fn finish(self) -> (Hash, Sums) {
        (self.hasher.finish(), self.sums.finish())
    }
}

/// Zeros up to the next 4 KiB: whole units are written.
fn pad(buffer: &mut Buffer) {
    let size = buffer.len().next_multiple_of(UNIT as usize);
    let missing = size - buffer.len();
    buffer.spare_mut()[..missing].fill(0);
    buffer.advance(missing);
}

/// Bytes of memory a buffer for `size` takes.
pub(super) fn buffer_cost(size: usize) -> usize {
    CLASS_SIZES
        .into_iter()
        .find(|class| *class >= size)
        .unwrap_or(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_mem::{BufferPool, PoolConfig};

    #[test]
    fn pieces_are_the_content_padded_to_units() {
        let pool = BufferPool::new(PoolConfig::with_budget(8 << 20)).expect("8 MiB");
        for length in [1, 4095, 4096, 4097, 8191, 8192, 8193, 30_000] {
            for step in [1, 100, 4096, 8192, 30_000] {
                let content: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
                let mut body = Body::new(length);
                let mut stored = Vec::new();
                let mut rest = &content[..];
                while !rest.is_empty() {
                    if body.room() == 0 {
                        let mut buffer = pool.take(8192).expect("free");
                        buffer.spare_mut().fill(0xff);
                        body.begin_piece(buffer, 8192);
                    }
                    let (now, later) = rest.split_at(rest.len().min(step).min(body.room()));
                    let piece = body.add(now);
                    let mut hasher = body.hasher().clone();
                    hasher.update(now);
                    body.set_hasher(hasher);
                    if let Some(piece) = piece {
                        assert_eq!(piece.len(), 8192);
                        stored.extend_from_slice(piece.as_slice());
                    }
                    rest = later;
                }
                if let Some(last) = body.end() {
                    stored.extend_from_slice(last.as_slice());
                }
                let (hash, sums) = body.finish();
                assert_eq!(hash, Hash::of(&content));
                assert_eq!(sums, Sums::of(&content));
                assert_eq!(stored.len(), (length as usize).next_multiple_of(4096));
                assert_eq!(stored[..length as usize], content);
                assert!(stored[length as usize..].iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn the_cost_of_a_buffer_is_that_of_its_class() {
        for (size, cost) in [
            (0, 256),
            (4096, 4096),
            (4097, 16 << 10),
            (64 << 10, 64 << 10),
            (512 << 10, 1 << 20),
        ] {
            assert_eq!(buffer_cost(size), cost, "{size}");
        }
    }
}
