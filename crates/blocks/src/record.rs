//! What the index keeps of a block, and its bytes. Layout: `docs/ondisk.md`.
//!
//! ```text
//!   0      1     2      4     8       12         16        24
//!   │format│class│flags │unit │length │record sum│created  │ sums: one u32 for each 4 KiB begun …
//! ```
//!
//! All numbers are little-endian. The record sum is CRC-32 of the key and of everything else in the row, so that a row that is
//! damaged, or that stands under another key, is found and told. Must not know where rows are kept.
//!
//! Invariant: what [`Record::decode_into`] accepts is a legal record. It never panics, whatever the bytes.

use crate::block::Block;
use crate::class::{BLOCK_SIZE_MAX, Class};
use crate::hash::Hash;
use crate::index::IndexError;
use crate::sums::{SUM_COUNT_MAX, Sums};

/// Bytes of a record before its sums.
const HEADER_SIZE: usize = 24;

/// Where the record sum is.
const RECORD_SUM: std::ops::Range<usize> = 12..16;

/// Bytes of the longest record.
pub const RECORD_SIZE_MAX: usize = HEADER_SIZE + SUM_COUNT_MAX * size_of::<u32>();

/// The format of records that this code writes and reads.
pub const RECORD_FORMAT: u8 = 1;

/// What is known of a block beside its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// Nothing special.
    pub const NONE: Flags = Flags(0);

    /// The content was found damaged: it is never served, and the next PUT of it repairs it.
    pub const DAMAGED: Flags = Flags(1);

    /// Every flag of this format.
    const ALL: u16 = 1;

    /// Flags from their bits; `None` when one is unknown.
    pub const fn from_bits(bits: u16) -> Option<Flags> {
        if bits & !Flags::ALL == 0 {
            Some(Flags(bits))
        } else {
            None
        }
    }

    /// Their bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// What the index keeps of a block.
///
/// ```
/// use hioload_blocks::{Block, Class, Flags, Hash, Record, Sums};
///
/// let content = b"content";
/// let record = Record {
///     block: Block::new(0, Class::MIN).expect("aligned"),
///     length: content.len() as u32,
///     created: 1_700_000_000_000,
///     flags: Flags::NONE,
///     sums: Sums::of(content),
/// };
/// let mut bytes = Vec::new();
/// record.encode(&Hash::of(content), &mut bytes);
///
/// assert_eq!(Record::decode(&Hash::of(content), &bytes), Ok(record));
/// bytes[20] ^= 1;
/// assert!(Record::decode(&Hash::of(content), &bytes).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the content is.
    pub block: Block,
    /// Bytes of the content: from 1 to the size of the block.
    pub length: u32,
    /// When it was stored, in milliseconds since the epoch of Unix.
    pub created: u64,
    /// What else is known.
    pub flags: Flags,
    /// Sums of the content.
    pub sums: Sums,
}

impl Record {
    /// A legal record of no particular block, to be read into.
    pub fn blank() -> Record {
        Record {
            block: Block::new(0, Class::MIN).expect("invariant: unit 0 is aligned"),
            length: 1,
            created: 0,
            flags: Flags::NONE,
            sums: Sums::One(0),
        }
    }

    /// Whether it could be read back: the content fits the block, and there is a sum for each 4 KiB of it.
    pub fn is_legal(&self) -> bool {
        (1..=self.block.size()).contains(&self.length)
            && self.sums.as_slice().len() == Sums::count_for(self.length)
    }

    /// Whether the content was found damaged.
    pub fn is_damaged(&self) -> bool {
        self.flags.contains(Flags::DAMAGED)
    }

    /// Puts the bytes of the record in place of what is in `row`.
    ///
    /// # Panics
    /// When the record is not legal: it could not be read again.
    pub fn encode(&self, hash: &Hash, row: &mut Vec<u8>) {
        assert!(self.is_legal(), "a record that could not be read again");
        row.clear();
        row.reserve(HEADER_SIZE + size_of_val(self.sums.as_slice()));
        row.extend_from_slice(&[RECORD_FORMAT, self.block.class().index() as u8]);
        row.extend_from_slice(&self.flags.bits().to_le_bytes());
        row.extend_from_slice(&self.block.unit().to_le_bytes());
        row.extend_from_slice(&self.length.to_le_bytes());
        row.extend_from_slice(&[0; 4]);
        row.extend_from_slice(&self.created.to_le_bytes());
        for sum in self.sums.as_slice() {
            row.extend_from_slice(&sum.to_le_bytes());
        }
        let sum = record_sum(hash, row);
        row[RECORD_SUM].copy_from_slice(&sum.to_le_bytes());
    }

    /// The same for a record that may be illegal.
    ///
    /// # Errors
    /// [`IndexError::Limit`]: it could not be read again.
    pub(crate) fn try_encode(&self, hash: &Hash, row: &mut Vec<u8>) -> Result<(), IndexError> {
        if !self.is_legal() {
            let limit =
                "a record has a content that fits its block, and a sum for each 4 KiB of it";
            return Err(IndexError::Limit(limit));
        }
        self.encode(hash, row);
        Ok(())
    }

    /// The record in `row`, which stands under `hash`.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`]: what is wrong, and where.
    pub fn decode(hash: &Hash, row: &[u8]) -> Result<Record, IndexError> {
        let mut record = Record::blank();
        record.decode_into(hash, row)?;
        Ok(record)
    }

    /// The same in place: nothing is allocated when the record had as many sums before. After an error it is legal, and
    /// nobody's.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`]: what is wrong, and where.
    pub fn decode_into(&mut self, hash: &Hash, row: &[u8]) -> Result<(), IndexError> {
        let corrupt =
            |expected: &str, found: String| IndexError::corrupt(OBJECT, hash, expected, found);
        let Some((header, sums)) = row.split_first_chunk::<HEADER_SIZE>() else {
            return Err(corrupt("at least 24 bytes", format!("{} bytes", row.len())));
        };
        // The format comes first: nothing else is known of the bytes of another one.
        if header[0] != RECORD_FORMAT {
            return Err(corrupt("record format 1", format!("format {}", header[0])));
        }
        let (expected, found) = (u32_at(header, RECORD_SUM.start), record_sum(hash, row));
        if expected != found {
            let expected = format!("record sum {expected:08x}");
            return Err(corrupt(&expected, format!("{found:08x}")));
        }
        let flags = u16::from_le_bytes([header[2], header[3]]);
        let flags = Flags::from_bits(flags)
            .ok_or_else(|| corrupt("known flags", format!("{flags:04x}")))?;
        let class = Class::new(header[1])
            .ok_or_else(|| corrupt("a class from 0 to 7", header[1].to_string()))?;
        let unit = u32_at(header, 4);
        let block = Block::new(unit, class).ok_or_else(|| {
            corrupt(
                "a block aligned to its size",
                format!("{class} at unit {unit}"),
            )
        })?;
        let length = u32_at(header, 8);
        if !(1..=block.size().min(BLOCK_SIZE_MAX)).contains(&length) {
            let expected = format!("a content of 1 to {} bytes", block.size());
            return Err(corrupt(&expected, length.to_string()));
        }
        let count = Sums::count_for(length);
        if sums.len() != count * size_of::<u32>() {
            let expected = format!("{count} sums for {length} bytes");
            return Err(corrupt(&expected, format!("{} bytes of sums", sums.len())));
        }
        let created = header[16..]
            .try_into()
            .expect("invariant: eight bytes are left");
        read_sums(&mut self.sums, sums);
        (self.block, self.length, self.flags) = (block, length, flags);
        self.created = u64::from_le_bytes(created);
        Ok(())
    }
}

/// What errors of this file are about.
const OBJECT: &str = "block record";

fn record_sum(hash: &Hash, row: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(hash.as_bytes());
    crc.update(&row[..RECORD_SUM.start]);
    crc.update(&row[RECORD_SUM.end..]);
    crc.finalize()
}

fn read_sums(into: &mut Sums, bytes: &[u8]) {
    let sums = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|sum| u32::from_le_bytes(*sum));
    let count = sums.len();
    match into {
        Sums::Many(place) if place.len() == count => {
            place
                .iter_mut()
                .zip(sums)
                .for_each(|(place, sum)| *place = sum);
        }
        place if count == 1 => *place = Sums::One(sums.sum()),
        place => *place = Sums::Many(sums.collect()),
    }
}

fn u32_at(bytes: &[u8; HEADER_SIZE], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(class: Class, length: u32) -> Record {
        Record {
            block: Block::new(class.units() * 5, class).expect("aligned"),
            length,
            created: 0x0102_0304_0506_0708,
            flags: Flags::DAMAGED,
            sums: Sums::of(&vec![9; length as usize]),
        }
    }

    fn encode(hash: &Hash, record: &Record) -> Vec<u8> {
        let mut row = Vec::new();
        record.encode(hash, &mut row);
        row
    }

    /// The row with another byte at `at`, and a record sum that fits.
    fn forge(hash: &Hash, mut row: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        row[at] = byte;
        let sum = record_sum(hash, &row);
        row[RECORD_SUM].copy_from_slice(&sum.to_le_bytes());
        row
    }

    fn is_corrupt(hash: &Hash, row: &[u8]) -> bool {
        matches!(Record::decode(hash, row), Err(IndexError::Corrupt { .. }))
    }

    #[test]
    fn what_is_written_is_read_back() {
        for class in Class::ALL {
            for length in [1, 4095, 4096, 4097, class.size() - 1, class.size()] {
                let record = record(class, length.min(class.size()));
                let hash = Hash::of(&length.to_le_bytes());
                let row = encode(&hash, &record);
                assert!(row.len() <= RECORD_SIZE_MAX);
                assert_eq!(Record::decode(&hash, &row), Ok(record));
            }
        }
        let longest = encode(&Hash::MIN, &record(Class::MAX, BLOCK_SIZE_MAX));
        assert_eq!(longest.len(), RECORD_SIZE_MAX);
    }

    #[test]
    fn every_flipped_bit_and_every_other_key_is_found() {
        let hash = Hash::of(b"key");
        let row = encode(&hash, &record(Class::ALL[2], 9000));
        for at in 0..row.len() {
            for bit in 0..8 {
                let mut damaged = row.clone();
                damaged[at] ^= 1 << bit;
                assert!(is_corrupt(&hash, &damaged), "byte {at}, bit {bit}");
            }
        }
        assert!(is_corrupt(&Hash::of(b"other key"), &row));
    }

    #[test]
    fn every_other_length_of_a_row_is_found() {
        let hash = Hash::of(b"key");
        let row = encode(&hash, &record(Class::ALL[2], 9000));
        for len in 0..row.len() {
            assert!(is_corrupt(&hash, &row[..len]), "{len}");
        }
        assert!(is_corrupt(&hash, &[&row[..], &[0; 4]].concat()));
    }

    #[test]
    fn illegal_numbers_are_found_behind_a_right_sum() {
        let hash = Hash::of(b"key");
        let row = encode(&hash, &record(Class::ALL[1], 8192));
        assert_eq!(
            forge(&hash, row.clone(), 1, 1),
            row,
            "the forger leaves a good row alone"
        );
        for (at, byte, what) in [
            (0, 0, "format 0"),
            (0, 2, "format 2"),
            (1, 8, "class 8"),
            (1, 0, "a class too small for the length"),
            (1, 2, "a class to which the unit is not aligned"),
            (2, 3, "an unknown flag"),
            (3, 1, "an unknown flag"),
            (4, 11, "a unit not aligned to the class"),
            (9, 0, "no content"),
            (9, 0x10, "fewer sums than the length says"),
            (9, 0x40, "a length beyond the block"),
            (11, 1, "a length beyond every block"),
        ] {
            let forged = forge(&hash, row.clone(), at, byte);
            assert!(is_corrupt(&hash, &forged), "{what}");
        }
    }

    #[test]
    fn reading_in_place_keeps_the_memory_of_sums_of_the_same_count() {
        let hash = Hash::of(b"key");
        let mut read = Record::blank();
        let (short, long) = (record(Class::MIN, 7), record(Class::ALL[1], 8000));
        read.decode_into(&hash, &encode(&hash, &long))
            .expect("good");
        let before = read.sums.as_slice().as_ptr();
        read.decode_into(&hash, &encode(&hash, &long))
            .expect("good");
        assert_eq!(read.sums.as_slice().as_ptr(), before);
        assert_eq!(read, long);
        read.decode_into(&hash, &encode(&hash, &short))
            .expect("good");
        assert_eq!(read, short);
        assert!(matches!(read.sums, Sums::One(_)));
    }

    #[test]
    #[should_panic(expected = "could not be read again")]
    fn an_illegal_record_is_not_written() {
        let illegal = Record {
            length: 0,
            ..record(Class::MIN, 1)
        };
        encode(&Hash::MIN, &illegal);
    }

    #[test]
    fn flags_are_a_set() {
        let flags = Flags::NONE.with(Flags::DAMAGED);
        assert!(flags.contains(Flags::DAMAGED) && flags.contains(Flags::NONE));
        assert!(!Flags::NONE.contains(Flags::DAMAGED));
        assert_eq!(flags.without(Flags::DAMAGED), Flags::NONE);
        assert_eq!(Flags::from_bits(1), Some(Flags::DAMAGED));
        assert_eq!(Flags::from_bits(2), None);
    }
}
