//! Blocks to fields.

use std::error::Error;
use std::fmt;

use super::dynamic_table::DynamicTable;
use super::{Field, Malformed, huffman, integer, static_table};

/// Size updates at the beginning of a block (RFC 7541 4.2).
const SIZE_UPDATES_MAX: u32 = 2;
/// Bytes kept for strings to be decoded to, from one block to the next.
const SCRATCH_SIZE_KEPT: usize = 4096;

/// Why a block was not decoded to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError<E> {
    /// The peer's mistake.
    Malformed(Malformed),
    /// The sink wanted no more.
    Sink(E),
}

impl<E: fmt::Display> fmt::Display for DecodeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Malformed(malformed) => malformed.fmt(f),
            DecodeError::Sink(error) => error.fmt(f),
        }
    }
}

impl<E: Error> Error for DecodeError<E> {}

impl<E> From<Malformed> for DecodeError<E> {
    fn from(malformed: Malformed) -> Self {
        DecodeError::Malformed(malformed)
    }
}

/// One direction of a connection, the receiving end.
///
/// ```
/// use hioload_http::hpack::{Decoder, Field, TABLE_SIZE_INITIAL};
///
/// let mut decoder = Decoder::new(TABLE_SIZE_INITIAL);
/// let mut size = 0;
/// // `:method: GET`, `:path: /`
/// let result = decoder.decode(&[0x82, 0x84], |field: Field<'_>| {
///     size += field.size();
///     if size <= 16 * 1024 { Ok(()) } else { Err("too large a list") }
/// });
/// assert_eq!((result, size), (Ok(()), 42 + 38));
/// ```
#[derive(Debug)]
pub struct Decoder {
    pub(super) table: DynamicTable,
    /// What the peer may make its table: what we have announced and it has acknowledged.
    size_max: u32,
    /// The next block must begin with a size update to at most this.
    size_update_due: Option<u32>,
    /// Names and values of the field at hand that are not in the block as they are.
    name: Vec<u8>,
    value: Vec<u8>,
    is_broken: bool,
}

impl Decoder {
    /// A decoder whose peer has a table of `table_size_max` bytes from the first block on: in HTTP/2 that
    /// is [`TABLE_SIZE_INITIAL`](super::TABLE_SIZE_INITIAL), until our settings are acknowledged.
    #[must_use]
    pub fn new(table_size_max: u32) -> Decoder {
        Decoder {
            table: DynamicTable::new(table_size_max),
            size_max: table_size_max,
            size_update_due: None,
            name: Vec::new(),
            value: Vec::new(),
            is_broken: false,
        }
    }

    /// Our `SETTINGS_HEADER_TABLE_SIZE` is in force: the peer has acknowledged it.
    pub fn set_table_size_max(&mut self, table_size_max: u32) {
        self.size_max = table_size_max;
        // RFC 9113 4.3.1: the peer has to say that its table became smaller.
        let low = self.size_update_due.unwrap_or(u32::MAX).min(table_size_max);
        if self.table.size_max() > low as usize {
            self.size_update_due = Some(low);
        }
    }

    /// Decodes a whole block, giving each field to `sink`.
    ///
    /// A sink that has had enough, but wants to keep the connection, returns `Ok` and drops the rest.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`], or what the sink returned. Either way the decoder is of no further use.
    pub fn decode<E>(
        &mut self,
        block: &[u8],
        sink: impl FnMut(Field<'_>) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        if self.is_broken {
            return Err(Malformed::AfterError.into());
        }
        let result = self.decode_block(block, sink);
        self.is_broken = result.is_err();
        for scratch in [&mut self.name, &mut self.value] {
            if scratch.len() > SCRATCH_SIZE_KEPT {
                *scratch = Vec::new();
            }
        }
        result
    }

    fn decode_block<E>(
        &mut self,
        block: &[u8],
        mut sink: impl FnMut(Field<'_>) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        let mut rest = self.take_size_updates(block)?;
        while let Some(&first) = rest.first() {
            // RFC 7541 6: the first bits that are set say what it is.
            match first.leading_zeros() {
                0 => {
                    let index = integer::decode(7, &mut rest)?;
                    let (name, value) = self.entry(index).ok_or(Malformed::Index)?;
                    let field = Field {
                        name,
                        value,
                        is_sensitive: false,
                    };
                    sink(field).map_err(DecodeError::Sink)?;
                }
                1 => self.literal(6, true, &mut rest, &mut sink)?,
                2 => return Err(Malformed::SizeUpdateMisplaced.into()),
                _ => self.literal(4, false, &mut rest, &mut sink)?,
            }
        }
        Ok(())
    }

    /// RFC 7541 4.2, 6.3. Returns what is behind the updates.
    fn take_size_updates<'a>(&mut self, block: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let (mut rest, mut count) = (block, 0);
        while rest.first().is_some_and(|first| first.leading_zeros() == 2)
            && count < SIZE_UPDATES_MAX
        {
            let size = integer::decode(5, &mut rest)?;
            if size > self.size_max {
                return Err(Malformed::SizeUpdateTooLarge);
            }
            self.table.set_size_max(size);
            self.size_update_due = self.size_update_due.filter(|&low| size > low);
            count += 1;
        }
        match self.size_update_due {
            None => Ok(rest),
            Some(_) => Err(Malformed::SizeUpdateMissing),
        }
    }

    /// RFC 7541 6.2: an index for the name, or 0 and the name; then the value.
    fn literal<E>(
        &mut self,
        prefix_bits: u32,
        is_indexed: bool,
        rest: &mut &[u8],
        sink: &mut impl FnMut(Field<'_>) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        let is_sensitive =
            !is_indexed && rest.first().is_some_and(|first| first & 0b0001_0000 != 0);
        let index = integer::decode(prefix_bits, rest)?;
        let name = if index == 0 {
            string(rest, &mut self.name)?
        } else if let Some((name, _)) = static_table::entry(index) {
            name
        } else {
            // RFC 7541 4.4: the entry may be evicted for this very field.
            let (name, _) = entry_of(&self.table, index).ok_or(Malformed::Index)?;
            if self.name.len() < name.len() {
                self.name.resize(name.len(), 0);
            }
            self.name[..name.len()].copy_from_slice(name);
            &self.name[..name.len()]
        };
        let value = string(rest, &mut self.value)?;
        if is_indexed {
            self.table.insert(name, value);
        }
        sink(Field {
            name,
            value,
            is_sensitive,
        })
        .map_err(DecodeError::Sink)
    }

    /// RFC 7541 2.3.3: the static table, and behind it the dynamic one.
    fn entry(&self, index: u32) -> Option<(&[u8], &[u8])> {
        static_table::entry(index).or_else(|| entry_of(&self.table, index))
    }
}

fn entry_of(table: &DynamicTable, index: u32) -> Option<(&[u8], &[u8])> {
    table.entry(index.checked_sub(static_table::LEN + 1)? as usize)
}

/// RFC 7541 5.2. What is not there as it is, is decoded to `scratch`.
fn string<'a, 'b: 'a>(
    rest: &mut &'b [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], Malformed> {
    let is_encoded = rest.first().is_some_and(|first| first & 0b1000_0000 != 0);
    let size = integer::decode(7, rest)? as usize;
    let (bytes, behind) = rest.split_at_checked(size).ok_or(Malformed::Truncated)?;
    *rest = behind;
    if !is_encoded {
        return Ok(bytes);
    }
    let size_max = huffman::decoded_size_max(size);
    if scratch.len() < size_max {
        scratch.resize(size_max, 0);
    }
    let size = huffman::decode(bytes, scratch)?;
    Ok(&scratch[..size])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::{Encoder, Indexing, TABLE_SIZE_INITIAL};

    /// What one message needed is not kept for all that follow.
    #[test]
    fn room_for_long_strings_is_given_back() {
        let mut decoder = Decoder::new(TABLE_SIZE_INITIAL);
        for (size, is_kept) in [(2000, true), (10_000, false)] {
            let long = vec![b'a'; size];
            let mut block = Vec::new();
            let mut encoder = Encoder::new(TABLE_SIZE_INITIAL);
            encoder.encode([(&long[..], &long[..], Indexing::Without)], &mut block);
            let result = decoder.decode(&block, |field| {
                let is_same = field.name == long && field.value == long;
                if is_same { Ok(()) } else { Err(()) }
            });
            assert_eq!(result, Ok(()));
            let kept = decoder.name.capacity() + decoder.value.capacity();
            assert_eq!(kept > 0, is_kept);
        }
    }
}
