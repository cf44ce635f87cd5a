//! Entries in units of the data file: each unit says what it is part of, and has a sum of its own.
//!
//! ```text
//!   0      4     8        16     18      20       22   24                           4096
//!   │"HIOJ"│ sum │ number │ part │ parts │ length │ 0  │ changes …            zeros  │
//! ```
//!
//! No byte of a change stands at the beginning of a unit, so that nothing that clients send is taken for an entry. Must not
//! know what changes are.

use crate::class::UNIT;

const SIZE: usize = UNIT as usize;

/// How each unit begins.
const MAGIC: &[u8; 4] = b"HIOJ";

/// Bytes of a unit before its changes.
const HEADER_SIZE: usize = 24;

/// Bytes of changes in one unit.
const ROOM: usize = SIZE - HEADER_SIZE;

/// Units of an entry that says `changes`.
pub(super) fn count(changes: &[u8]) -> u64 {
    changes.len().div_ceil(ROOM).max(1) as u64
}

/// Puts the units of an entry in place of what is in `units`.
pub(super) fn encode(number: u64, changes: &[u8], units: &mut Vec<u8>) {
    let parts = count(changes);
    units.clear();
    units.resize(parts as usize * SIZE, 0);
    let pieces = changes.chunks(ROOM).chain(std::iter::repeat(&[][..]));
    for ((part, unit), piece) in units.chunks_mut(SIZE).enumerate().zip(pieces) {
        unit[..4].copy_from_slice(MAGIC);
        unit[8..16].copy_from_slice(&number.to_le_bytes());
        unit[16..18].copy_from_slice(&(part as u16).to_le_bytes());
        unit[18..20].copy_from_slice(&(parts as u16).to_le_bytes());
        unit[20..22].copy_from_slice(&(piece.len() as u16).to_le_bytes());
        unit[HEADER_SIZE..][..piece.len()].copy_from_slice(piece);
        let sum = crc32fast::hash(&unit[8..]);
        unit[4..8].copy_from_slice(&sum.to_le_bytes());
    }
}

/// A unit that was written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit<'a> {
    pub(super) number: u64,
    part: u16,
    parts: u16,
    changes: &'a [u8],
}

/// The unit at place `at` of a journal; none when there is no whole one.
pub(super) fn decode(journal: &[u8], at: u64) -> Option<Unit<'_>> {
    let unit = journal.chunks_exact(SIZE).nth(at as usize)?;
    let u16_at = |at: usize| u16::from_le_bytes([unit[at], unit[at + 1]]);
    let (magic, rest) = unit.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    let unit = Unit {
        number: u64::from_le_bytes(*number),
        part: u16_at(16),
        parts: u16_at(18),
        changes: unit[HEADER_SIZE..].get(..usize::from(u16_at(20)))?,
    };
    let is_whole = magic == MAGIC && crc32fast::hash(rest) == u32::from_le_bytes(*sum);
    is_whole.then_some(unit)
}

/// The changes of entry `number` if it is whole at place `at`, and its units.
pub(super) fn entry(journal: &[u8], at: u64, number: u64) -> Option<(Vec<u8>, u64)> {
    let parts = decode(journal, at)?.parts;
    let mut changes = Vec::new();
    for part in 0..parts {
        let unit = decode(journal, at + u64::from(part))?;
        if (unit.number, unit.part, unit.parts) != (number, part, parts) {
            return None;
        }
        changes.extend_from_slice(unit.changes);
    }
    (parts > 0).then_some((changes, u64::from(parts)))
}
