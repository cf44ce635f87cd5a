//! Changes of the index as bytes: what an entry says.
//!
//! ```text
//!   0      1   2            4            6     6 + key        … + value
//!   │ kind │ 0 │ key length │ value length │ key │ value │ the next change …
//! ```
//!
//! Kinds: 1 keeps a block (its hash, its record as in the index), 2 forgets one (its hash), 3 keeps a reference (hash and
//! name, its value), 4 forgets one (hash and name). Must not know where it is kept.
//!
//! Limit: the largest block. What is noted beyond it is dropped, for a log that long fits no journal.

use std::io;

use super::JournalError;
use crate::class::BLOCK_SIZE_MAX;
use crate::hash::{HASH_SIZE, Hash};
use crate::index::{Index, IndexError};
use crate::record::Record;

const HEADER_SIZE: usize = 6;

const PUT_BLOCK: u8 = 1;
const DELETE_BLOCK: u8 = 2;
const PUT_REFERENCE: u8 = 3;
const DELETE_REFERENCE: u8 = 4;

/// Changes, in the order they were made.
#[derive(Debug, Default)]
pub(crate) struct Log {
    bytes: Vec<u8>,
    row: Vec<u8>,
}

impl Log {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// # Panics
    /// When the record is not legal.
    pub(crate) fn put_block(&mut self, hash: &Hash, record: &Record) {
        let mut row = std::mem::take(&mut self.row);
        record.encode(hash, &mut row);
        self.add(PUT_BLOCK, hash, &[], &row);
        self.row = row;
    }

    pub(crate) fn delete_block(&mut self, hash: &Hash) {
        self.add(DELETE_BLOCK, hash, &[], &[]);
    }

    pub(crate) fn put_reference(&mut self, hash: &Hash, name: &[u8], value: &[u8]) {
        self.add(PUT_REFERENCE, hash, name, value);
    }

    pub(crate) fn delete_reference(&mut self, hash: &Hash, name: &[u8]) {
        self.add(DELETE_REFERENCE, hash, name, &[]);
    }

    /// Lengths fit: the index has taken the change, and its bounds are narrower.
    fn add(&mut self, kind: u8, hash: &Hash, name: &[u8], value: &[u8]) {
        if self.bytes.len() > BLOCK_SIZE_MAX as usize {
            return;
        }
        let (key_size, value_size) = ((HASH_SIZE + name.len()) as u16, value.len() as u16);
        self.bytes.extend_from_slice(&[kind, 0]);
        self.bytes.extend_from_slice(&key_size.to_le_bytes());
        self.bytes.extend_from_slice(&value_size.to_le_bytes());
        self.bytes.extend_from_slice(hash.as_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
    }
}

/// Makes the changes in `bytes`, but for blocks that `is_kept` does not take.
///
/// # Errors
/// [`IndexError::Corrupt`] for what is no change, what kept the index from making one, or what `is_kept` returned.
pub(super) fn apply(
    mut bytes: &[u8],
    index: &mut dyn Index,
    is_kept: &mut dyn FnMut(&Hash, &Record) -> io::Result<bool>,
) -> Result<(), JournalError> {
    while !bytes.is_empty() {
        let (change, rest) = split(bytes).ok_or_else(|| corrupt(bytes))?;
        bytes = rest;
        let Change {
            kind,
            hash,
            name,
            value,
        } = change;
        match kind {
            PUT_BLOCK => {
                let record = Record::decode(&hash, value)?;
                if is_kept(&hash, &record)? {
                    index.put_block(&hash, &record)?;
                }
            }
            DELETE_BLOCK => _ = index.delete_block(&hash)?,
            PUT_REFERENCE => _ = index.put_reference(&hash, name, value)?,
            DELETE_REFERENCE => _ = index.delete_reference(&hash, name)?,
            _ => return Err(corrupt(&[kind]).into()),
        }
    }
    Ok(())
}

struct Change<'a> {
    kind: u8,
    hash: Hash,
    name: &'a [u8],
    value: &'a [u8],
}

fn split(bytes: &[u8]) -> Option<(Change<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_SIZE>()?;
    let [kind, 0, k0, k1, v0, v1] = *header else {
        return None;
    };
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([k0, k1])))?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([v0, v1])))?;
    let (hash, name) = key.split_first_chunk::<HASH_SIZE>()?;
    let change = Change {
        kind,
        hash: Hash::from_bytes(*hash),
        name,
        value,
    };
    Some((change, rest))
}

fn corrupt(bytes: &[u8]) -> IndexError {
    let found = format!("{:02x?}", &bytes[..bytes.len().min(HEADER_SIZE)]);
    IndexError::corrupt("journal", "entry", "a change", found)
}
