//! Keys and values of the tables as bytes, other than block records. Layout: `docs/ondisk.md`.
//!
//! ```text
//!   refs  key = hash (32) name (1..=256)     value = format, 0, 0, 0, row sum (4), value
//!   meta  key = number (1)                   the same
//! ```
//!
//! The row sum is CRC-32 of the key, the first four bytes and the value. Must not know where rows are kept. Every key and value
//! that reaches a database has been made or checked here: libmdbx aborts the process on lengths it cannot store.

use crate::hash::{HASH_SIZE, Hash};
use crate::index::IndexError;
use crate::record::Record;

/// Bytes of the longest name of a reference.
pub const REFERENCE_NAME_SIZE_MAX: usize = 256;

/// Bytes of the longest value of a reference: who holds it and why, not a document.
pub const REFERENCE_VALUE_SIZE_MAX: usize = 1024;

/// Bytes of the longest thing the store says of itself.
pub(crate) const META_VALUE_SIZE_MAX: usize = 1024;

/// Bytes of the longest key.
pub(crate) const KEY_SIZE_MAX: usize = HASH_SIZE + REFERENCE_NAME_SIZE_MAX;

/// Bytes of a row before its value.
const HEADER_SIZE: usize = 8;

/// The format of these rows.
const ROW_FORMAT: u8 = 1;

/// What the store says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MetaKey {
    /// The superblock: format and identity of the store.
    Superblock = 0,
    /// Where the journal is, and how far it has been applied.
    Journal = 2,
}

impl MetaKey {
    /// The key of its row.
    pub(crate) const fn key(self) -> [u8; 1] {
        [self as u8]
    }
}

/// The key of a reference, on the stack.
pub(crate) struct ReferenceKey {
    bytes: [u8; KEY_SIZE_MAX],
    size: usize,
}

impl ReferenceKey {
    /// # Errors
    /// [`IndexError::Limit`]: no name, or one that is too long.
    pub(crate) fn new(hash: &Hash, name: &[u8]) -> Result<ReferenceKey, IndexError> {
        if name.is_empty() || name.len() > REFERENCE_NAME_SIZE_MAX {
            return Err(IndexError::Limit(
                "the name of a reference has 1 to 256 bytes",
            ));
        }
        let mut bytes = [0; KEY_SIZE_MAX];
        bytes[..HASH_SIZE].copy_from_slice(hash.as_bytes());
        bytes[HASH_SIZE..][..name.len()].copy_from_slice(name);
        Ok(ReferenceKey {
            bytes,
            size: HASH_SIZE + name.len(),
        })
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

/// Bytes of the longest key that a database of pages of 4 KiB can hold: a damaged one may have any.
const PLACE_SIZE_MAX: usize = 2022;

/// # Errors
/// [`IndexError::Limit`]: it cannot be a place in a table.
pub(crate) fn check_place(place: &[u8]) -> Result<(), IndexError> {
    if place.len() > PLACE_SIZE_MAX {
        return Err(IndexError::Limit(
            "a place to go on from is one that was returned",
        ));
    }
    Ok(())
}

/// Hash and name in the key of a reference.
pub(crate) fn split_reference_key(key: &[u8]) -> Result<(Hash, &[u8]), IndexError> {
    match key.split_first_chunk::<HASH_SIZE>() {
        Some((hash, name)) if (1..=REFERENCE_NAME_SIZE_MAX).contains(&name.len()) => {
            Ok((Hash::from_bytes(*hash), name))
        }
        _ => Err(IndexError::corrupt(
            REFERENCE,
            hex(key),
            "a key of 33 to 288 bytes",
            format!("{} bytes", key.len()),
        )),
    }
}

/// Whether a row of a block can be read.
pub(crate) fn is_block(key: &[u8], row: &[u8]) -> bool {
    block_key(key).is_ok_and(|hash| Record::decode(&hash, row).is_ok())
}

/// Whether a row of a reference can be read.
pub(crate) fn is_reference(key: &[u8], row: &[u8]) -> bool {
    decode_reference(key, row).is_ok()
}

/// The hash that is the key of a block.
pub(crate) fn block_key(key: &[u8]) -> Result<Hash, IndexError> {
    match key.try_into() {
        Ok(bytes) => Ok(Hash::from_bytes(bytes)),
        Err(_) => Err(IndexError::corrupt(
            "block record",
            hex(key),
            "a key of 32 bytes",
            format!("{} bytes", key.len()),
        )),
    }
}

/// What errors about references are about.
pub(crate) const REFERENCE: &str = "reference";
/// What errors about meta rows are about.
pub(crate) const META: &str = "meta row";

/// Puts the row of `value` in place of what is in `row`.
///
/// # Errors
/// [`IndexError::Limit`]: the value is longer than `size_max`.
pub(crate) fn encode(
    key: &[u8],
    value: &[u8],
    size_max: usize,
    row: &mut Vec<u8>,
) -> Result<(), IndexError> {
    if value.len() > size_max {
        return Err(IndexError::Limit(
            "the value of a reference has at most 1024 bytes",
        ));
    }
    row.clear();
    row.extend_from_slice(&[ROW_FORMAT, 0, 0, 0]);
    row.extend_from_slice(&row_sum(key, &[ROW_FORMAT, 0, 0, 0], value).to_le_bytes());
    row.extend_from_slice(value);
    Ok(())
}

/// The value in a row.
pub(crate) fn decode<'a>(
    object: &'static str,
    key: &[u8],
    row: &'a [u8],
) -> Result<&'a [u8], IndexError> {
    let corrupt =
        |expected: String, found: String| IndexError::corrupt(object, hex(key), expected, found);
    let Some((header, value)) = row.split_first_chunk::<HEADER_SIZE>() else {
        return Err(corrupt(
            "at least 8 bytes".to_owned(),
            format!("{} bytes", row.len()),
        ));
    };
    let [head @ .., s0, s1, s2, s3] = *header;
    if head[0] != ROW_FORMAT {
        return Err(corrupt(
            "row format 1".to_owned(),
            format!("format {}", head[0]),
        ));
    }
    let (expected, found) = (
        u32::from_le_bytes([s0, s1, s2, s3]),
        row_sum(key, &head, value),
    );
    if expected != found {
        return Err(corrupt(
            format!("row sum {expected:08x}"),
            format!("{found:08x}"),
        ));
    }
    let size_max = REFERENCE_VALUE_SIZE_MAX.max(META_VALUE_SIZE_MAX);
    if head[1..] != [0; 3] || value.len() > size_max {
        return Err(corrupt(
            format!("at most {size_max} bytes"),
            format!("{} bytes", value.len()),
        ));
    }
    Ok(value)
}

/// Hash, name and value of a row of references.
pub(crate) fn decode_reference<'a>(
    key: &'a [u8],
    row: &'a [u8],
) -> Result<(Hash, &'a [u8], &'a [u8]), IndexError> {
    let (hash, name) = split_reference_key(key)?;
    Ok((hash, name, decode(REFERENCE, key, row)?))
}

/// The first hash after a key of the table of blocks, whatever its length: where a walk goes on.
pub(crate) fn hash_after(key: &[u8]) -> Option<Hash> {
    let mut bytes = [0; HASH_SIZE];
    let size = key.len().min(HASH_SIZE);
    bytes[..size].copy_from_slice(&key[..size]);
    let hash = Hash::from_bytes(bytes);
    // A shorter key sorts before its continuation with zeros.
    if key.len() < HASH_SIZE {
        Some(hash)
    } else {
        hash.next()
    }
}

fn row_sum(key: &[u8], head: &[u8; 4], value: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(head);
    crc.update(value);
    crc.finalize()
}

/// A key for people.
pub(crate) fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
