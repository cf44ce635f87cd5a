//! The record beside each frame of a chunk: 16 bytes, little endian, in a segment parallel to the
//! frames, so that a log is two runs of bytes and crossing workers costs two references.
//!
//! ```text
//!  0        4         8                16
//! ┌────────┬─────────┬─────────────────┐
//! │ end    │ time    │ origin          │
//! └────────┴─────────┴─────────────────┘
//! ```
//!
//! `end` is where the frame ends, in bytes from the start of the owner's chunk; `time` is
//! milliseconds since that chunk was opened. Both only grow inside a chunk. Being relative to the chunk
//! and not to a message, records stay true however the chunk is cut into appends and joined again.

use crate::Origin;

pub(crate) const RECORD_SIZE: usize = 16;

#[derive(Clone, Copy)]
pub(crate) struct Record {
    pub(crate) end: u32,
    pub(crate) time_ms: u32,
    pub(crate) origin: Origin,
}

impl Record {
    pub(crate) fn to_bytes(self) -> [u8; RECORD_SIZE] {
        let mut bytes = [0; RECORD_SIZE];
        bytes[0..4].copy_from_slice(&self.end.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.time_ms.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.origin.to_bits().to_le_bytes());
        bytes
    }
}

/// Records as they lie in a segment.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a>(&'a [[u8; RECORD_SIZE]]);

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Records<'a> {
        let (records, rest) = bytes.as_chunks::<RECORD_SIZE>();
        debug_assert!(rest.is_empty(), "half a record");
        Records(records)
    }

    pub(crate) fn count(self) -> usize {
        self.0.len()
    }

    pub(crate) fn end(self, index: usize) -> u32 {
        let [a, b, c, d, ..] = self.0[index];
        u32::from_le_bytes([a, b, c, d])
    }

    pub(crate) fn origin(self, index: usize) -> Origin {
        let [.., a, b, c, d, e, f, g, h] = self.0[index];
        Origin::from_bits(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    fn time_ms(self, index: usize) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = self.0[index];
        u32::from_le_bytes([a, b, c, d])
    }

    /// The record of the frame which holds the byte at `offset` from the start of the owner's chunk.
    pub(crate) fn index_at(self, offset: u32) -> usize {
        self.partition(|records, index| records.end(index) <= offset)
    }

    /// The first record of `time_ms` or later.
    pub(crate) fn index_since(self, time_ms: u32) -> usize {
        self.partition(|records, index| records.time_ms(index) < time_ms)
    }

    fn partition(self, is_before: impl Fn(Records<'a>, usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(self, middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_what_was_written() {
        let mut bytes = Vec::new();
        for (end, time_ms) in [(3, 0), (10, 5), (11, 5)] {
            let origin = Origin::from_bits(u64::from(end) << 32);
            bytes.extend_from_slice(
                &Record {
                    end,
                    time_ms,
                    origin,
                }
                .to_bytes(),
            );
        }
        let records = Records::new(&bytes);
        assert_eq!(records.count(), 3);
        assert_eq!(records.end(1), 10);
        assert_eq!(records.origin(2).to_bits(), 11 << 32);
        let at: Vec<_> = [0, 2, 3, 9, 10, 11]
            .map(|offset| records.index_at(offset))
            .into();
        assert_eq!(at, [0, 0, 1, 1, 2, 3]);
        assert_eq!(
            [0, 1, 5, 6].map(|time| records.index_since(time)),
            [0, 1, 1, 3]
        );
    }
}
