//! CRC-32 of each 4 KiB of a content: finds damage in any range without reading the whole block.
//!
//! Kept in the index, not beside the data: a misdirected read or write brings sums that do not match. Must not know where the
//! content comes from. Source of the CRC: ISO-HDLC, as in zlib, RFC 1952 section 8.

use std::error::Error;
use std::fmt;

use crate::class::{BLOCK_SIZE_MAX, UNIT};

/// Bytes covered by one sum, but for the last of a content.
pub const CHUNK_SIZE: usize = UNIT as usize;

/// Sums of the longest content.
pub const SUM_COUNT_MAX: usize = BLOCK_SIZE_MAX as usize / CHUNK_SIZE;

/// The sums of one content: one for each 4 KiB begun, the last of what remains.
///
/// ```
/// use hioload_blocks::Sums;
///
/// let content = vec![7; 10_000];
/// let sums = Sums::of(&content);
/// assert_eq!(sums.as_slice().len(), 3);
/// assert!(sums.check(1, &content[4096..]).is_ok());
/// assert!(sums.check(0, &content[..4095]).is_err());
/// ```
#[derive(Clone, Debug)]
pub enum Sums {
    /// Of at most 4 KiB: no allocation.
    One(u32),
    /// Of more.
    Many(Box<[u32]>),
}

impl Sums {
    /// The sums of a whole content.
    pub fn of(content: &[u8]) -> Sums {
        if content.len() <= CHUNK_SIZE {
            return Sums::One(crc32fast::hash(content));
        }
        Sums::Many(content.chunks(CHUNK_SIZE).map(crc32fast::hash).collect())
    }

    /// How many sums a content of `length` bytes has.
    #[inline]
    pub const fn count_for(length: u32) -> usize {
        if length == 0 {
            1
        } else {
            (length as usize).div_ceil(CHUNK_SIZE)
        }
    }

    /// The sums in order.
    #[inline]
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Sums::One(sum) => std::slice::from_ref(sum),
            Sums::Many(sums) => sums,
        }
    }

    /// Checks a piece of the content that begins with chunk `first_chunk_index` and ends where a chunk or the content does.
    ///
    /// # Errors
    /// The first chunk that is not what it was.
    pub fn check(&self, first_chunk_index: u32, piece: &[u8]) -> Result<(), SumMismatch> {
        let sums = self.as_slice();
        for (n, chunk) in piece.chunks(CHUNK_SIZE).enumerate() {
            let chunk_index = first_chunk_index.saturating_add(n as u32);
            let expected = sums.get(chunk_index as usize).copied();
            let found = crc32fast::hash(chunk);
            if expected != Some(found) {
                return Err(SumMismatch {
                    chunk_index,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}

impl PartialEq for Sums {
    fn eq(&self, other: &Sums) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Sums {}

/// A chunk is not what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumMismatch {
    /// Which 4 KiB of the content, from 0.
    pub chunk_index: u32,
    /// The sum on record; `None` when the content has no such chunk.
    pub expected: Option<u32>,
    /// The sum of what was read.
    pub found: u32,
}

impl fmt::Display for SumMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SumMismatch {
            chunk_index, found, ..
        } = self;
        match self.expected {
            Some(expected) => write!(
                f,
                "chunk {chunk_index}: CRC-32 {found:08x}, expected {expected:08x}"
            ),
            None => write!(f, "chunk {chunk_index}: beyond the content"),
        }
    }
}

impl Error for SumMismatch {}

/// Sums of content that comes in pieces of any length.
///
/// ```
/// use hioload_blocks::{Sums, SumsBuilder};
///
/// let content = vec![7; 10_000];
/// let mut builder = SumsBuilder::new();
/// content.chunks(333).for_each(|piece| builder.update(piece));
/// assert_eq!(builder.finish(), Sums::of(&content));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SumsBuilder {
    whole: Vec<u32>,
    open: crc32fast::Hasher,
    open_size: usize,
}

impl SumsBuilder {
    /// Of nothing yet.
    pub fn new() -> SumsBuilder {
        SumsBuilder::default()
    }

    /// The same, with room for a content of `length` bytes: it does not allocate again before the end.
    pub fn with_length(length: u32) -> SumsBuilder {
        let count = Sums::count_for(length.min(BLOCK_SIZE_MAX));
        SumsBuilder {
            // A content of one chunk needs no list.
            whole: Vec::with_capacity(if count == 1 { 0 } else { count }),
            ..SumsBuilder::default()
        }
    }

    /// Takes the next piece.
    pub fn update(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            // A full chunk is only closed when more comes: a content of exactly one needs no list.
            if self.open_size == CHUNK_SIZE {
                self.close();
            }
            let (now, later) = piece.split_at(piece.len().min(CHUNK_SIZE - self.open_size));
            self.open.update(now);
            self.open_size += now.len();
            piece = later;
        }
    }

    /// The sums of all pieces.
    pub fn finish(mut self) -> Sums {
        if self.whole.is_empty() {
            return Sums::One(self.open.finalize());
        }
        self.close();
        Sums::Many(self.whole.into_boxed_slice())
    }

    fn close(&mut self) {
        self.whole.push(std::mem::take(&mut self.open).finalize());
        self.open_size = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n * 31 + n / 251) as u8).collect()
    }

    #[test]
    fn the_crc_is_that_of_zlib() {
        assert_eq!(Sums::of(b"123456789"), Sums::One(0xcbf4_3926));
        assert_eq!(Sums::of(b""), Sums::One(0));
    }

    #[test]
    fn there_is_one_sum_for_each_chunk_begun() {
        for (len, count) in [
            (0, 1),
            (1, 1),
            (4095, 1),
            (4096, 1),
            (4097, 2),
            (8192, 2),
            (524_288, 128),
        ] {
            let sums = Sums::of(&content(len));
            assert_eq!(sums.as_slice().len(), count, "{len}");
            assert_eq!(Sums::count_for(len as u32), count, "{len}");
            assert_eq!(matches!(sums, Sums::One(_)), count == 1);
        }
        assert_eq!(SUM_COUNT_MAX, 128);
    }

    #[test]
    fn pieces_give_the_sums_of_the_whole() {
        for len in [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 20_000] {
            let content = content(len);
            for piece_len in [1, 7, 4095, 4096, 4097, 20_000] {
                let mut builder = SumsBuilder::with_length(len as u32);
                content
                    .chunks(piece_len)
                    .for_each(|piece| builder.update(piece));
                assert_eq!(builder.finish(), Sums::of(&content), "{len} by {piece_len}");
            }
        }
    }

    #[test]
    fn each_flipped_bit_of_a_chunk_is_found_where_it_is() {
        let good = content(3 * CHUNK_SIZE - 5);
        let sums = Sums::of(&good);
        for first in 0..3 {
            assert_eq!(
                sums.check(first, &good[first as usize * CHUNK_SIZE..]),
                Ok(())
            );
        }
        for at in [0, 1, 4095, 4096, 8191, 8192, good.len() - 1] {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let mismatch = sums.check(0, &bad).expect_err("damaged");
                assert_eq!(mismatch.chunk_index as usize, at / CHUNK_SIZE);
            }
        }
    }

    #[test]
    fn another_place_and_another_end_are_found() {
        let good = content(3 * CHUNK_SIZE);
        let sums = Sums::of(&good);
        let expect = |first: u32, piece: &[u8]| sums.check(first, piece).expect_err("misplaced");
        assert_eq!(expect(1, &good[..CHUNK_SIZE]).chunk_index, 1);
        assert_eq!(expect(0, &good[..CHUNK_SIZE - 1]).chunk_index, 0);
        let beyond = expect(2, &good[CHUNK_SIZE..]);
        assert_eq!(beyond.chunk_index, 2);
        assert_eq!(expect(3, &good[..1]).expected, None);
        assert_eq!(expect(u32::MAX, &good[..1]).expected, None);
        assert_eq!(sums.check(3, b""), Ok(()));
    }
}
