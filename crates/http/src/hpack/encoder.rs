//! Fields to blocks.
//!
//! ```text
//!   name ─hash─▶ static table ─▶ with this value, too: an index
//!     └─ with the value ─hash─▶ dynamic table: an index
//!                                └─ not there: a literal, its name an index where one is known
//! ```

use super::field::size_of_field;
use super::indexed_table::IndexedTable;
use super::lookup::Hash;
use super::name::Name;
use super::static_table::{self, Habit};
use super::{TABLE_SIZE_INITIAL, huffman, integer};

/// Bytes of the table an encoder uses at most, whatever the peer offers: what a peer makes us keep.
pub const ENCODER_TABLE_SIZE_MAX: u32 = 4096;

/// A cookie of fewer bytes could be guessed (RFC 7541 7.1.3).
const COOKIE_SIZE_GUESSABLE: usize = 20;

/// First bits and size of the prefix of each representation (RFC 7541 6).
const INDEXED: (u8, u32) = (0b1000_0000, 7);
const INCREMENTAL: (u8, u32) = (0b0100_0000, 6);
const WITHOUT: (u8, u32) = (0b0000_0000, 4);
const NEVER: (u8, u32) = (0b0001_0000, 4);
const SIZE_UPDATE: (u8, u32) = (0b0010_0000, 5);

/// What becomes of a field in the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indexing {
    /// By name: credentials are never indexed, what differs from message to message is not indexed
    /// (`content-length`, `etag`, `:path`), all else is.
    #[default]
    Auto,
    /// Put into the table, for the blocks to come.
    Incremental,
    /// Not put into the table.
    Without,
    /// Not put into any table, here or further on (RFC 7541 6.2.3).
    Never,
}

/// One direction of a connection, the sending end.
///
/// ```
/// use hioload_http::hpack::{Encoder, Indexing, TABLE_SIZE_INITIAL};
///
/// let mut encoder = Encoder::new(TABLE_SIZE_INITIAL);
/// let mut sizes = Vec::new();
/// for _ in 0..2 {
///     let mut out = Vec::new();
///     let mut block = encoder.block(&mut out);
///     block.status(200);
///     block.field(b"content-type", b"text/html", Indexing::Auto);
///     sizes.push(out.len());
/// }
/// // The second time, each field is an index.
/// assert_eq!(sizes, [10, 2]);
/// ```
#[derive(Debug)]
pub struct Encoder {
    pub(super) table: IndexedTable,
    /// What we use at most.
    size_max: u32,
    /// What the table is to be from the next block on.
    size: u32,
    /// The smallest it was to be since the last block: the peer evicts what does not fit into that.
    size_low: u32,
}

impl Encoder {
    /// An encoder that uses a table of `table_size_max` bytes, at most [`ENCODER_TABLE_SIZE_MAX`].
    ///
    /// Until its first block says otherwise, the peer's table is one of [`TABLE_SIZE_INITIAL`] bytes.
    #[must_use]
    pub fn new(table_size_max: u32) -> Encoder {
        let size_max = table_size_max.min(ENCODER_TABLE_SIZE_MAX);
        Encoder {
            table: IndexedTable::new(TABLE_SIZE_INITIAL),
            size_max,
            size: size_max,
            size_low: size_max,
        }
    }

    /// The peer's `SETTINGS_HEADER_TABLE_SIZE`: from the next block on, the table is no larger.
    pub fn set_peer_table_size(&mut self, table_size: u32) {
        self.size = table_size.min(self.size_max);
        self.size_low = self.size_low.min(self.size);
    }

    /// Begins a block at the end of `out`.
    ///
    /// All blocks must go to the peer, whole and in this order.
    pub fn block<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Block<'a> {
        // RFC 7541 4.2: the smallest size, when that is neither the one it was nor the one it is to be;
        // then the last.
        if self.size_low < self.size && (self.size_low as usize) < self.table.size_max() {
            self.resize(self.size_low, out);
        }
        if self.table.size_max() != self.size as usize {
            self.resize(self.size, out);
        }
        self.size_low = self.size;
        Block { encoder: self, out }
    }

    /// Writes a whole block to the end of `out`.
    pub fn encode<'f>(
        &mut self,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8], Indexing)>,
        out: &mut Vec<u8>,
    ) {
        let mut block = self.block(out);
        for (name, value, indexing) in fields {
            block.field(name, value, indexing);
        }
    }

    fn resize(&mut self, size: u32, out: &mut Vec<u8>) {
        write_integer(size, SIZE_UPDATE, out);
        self.table.set_size_max(size);
    }
}

/// A block that is being written.
#[derive(Debug)]
pub struct Block<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

impl Block<'_> {
    /// Adds `:status`, of three digits.
    pub fn status(&mut self, status: u16) {
        if let Some(index) = static_table::status(status) {
            return write_integer(index, INDEXED, self.out);
        }
        let digits = [status / 100, status / 10, status].map(|number| b'0' + (number % 10) as u8);
        self.field(b":status", &digits, Indexing::Auto);
    }

    /// Adds a field, its name as it is: that it is in lower case is HTTP/2's matter.
    pub fn field(&mut self, name: &[u8], value: &[u8], indexing: Indexing) {
        let name = Name::of(name);
        let indexing = match indexing {
            Indexing::Auto => by_habit(&name, value),
            told => told,
        };
        self.add(&name, value, indexing);
    }

    /// Adds a field whose name is known when this is compiled, as [`Indexing::Auto`] has it.
    pub fn known(&mut self, name: &Name<'static>, value: &[u8]) {
        if name.habit == Habit::Changes && name.index.is_none() {
            return self.changing(name, value);
        }
        self.add(name, value, by_habit(name, value));
    }

    /// A value that is not indexed, its name in no table but the dynamic one: the first value brings it there.
    fn changing(&mut self, name: &Name<'static>, value: &[u8]) {
        let index = self.encoder.table.find_name(name.hash, name.text);
        if index.is_some() {
            self.literal(WITHOUT, index, name, value);
        } else {
            self.add(name, value, Indexing::Incremental);
        }
    }

    fn add(&mut self, name: &Name<'_>, value: &[u8], indexing: Indexing) {
        if indexing == Indexing::Never {
            return self.literal(NEVER, self.index_of(name), name, value);
        }
        if let Some(index) = name
            .index
            .and_then(|first| static_table::find_value(first, value))
        {
            return write_integer(index, INDEXED, self.out);
        }
        let table = &mut self.encoder.table;
        // What takes more than half of the table would drive out what others need.
        let is_small = size_of_field(name.text, value) <= table.size_max() / 2;
        if indexing == Indexing::Without || !is_small {
            return self.literal(WITHOUT, self.index_of(name), name, value);
        }
        let of_field = Hash::of_field(name.hash, value);
        if let Some(index) = table.find_field(of_field, name.text, value) {
            return write_integer(index, INDEXED, self.out);
        }
        self.literal(INCREMENTAL, self.index_of(name), name, value);
        self.encoder
            .table
            .insert(name.hash, name.text, of_field, value);
    }

    /// RFC 7541 6.2: an index for the name, or 0 and the name; then the value.
    fn literal(&mut self, kind: (u8, u32), index: Option<u32>, name: &Name<'_>, value: &[u8]) {
        write_integer(index.unwrap_or(0), kind, self.out);
        if index.is_none() {
            write_string(name.text, self.out);
        }
        if name.is_plain {
            write_plain(value, self.out);
        } else {
            write_string(value, self.out);
        }
    }

    /// An index for the name.
    fn index_of(&self, name: &Name<'_>) -> Option<u32> {
        let table = &self.encoder.table;
        name.index.or_else(|| table.find_name(name.hash, name.text))
    }
}

fn by_habit(name: &Name<'_>, value: &[u8]) -> Indexing {
    match name.habit {
        Habit::Repeats => Indexing::Incremental,
        Habit::Changes => Indexing::Without,
        Habit::Guessable if value.len() >= COOKIE_SIZE_GUESSABLE => Indexing::Incremental,
        Habit::Guessable | Habit::Secret => Indexing::Never,
    }
}

fn write_integer(value: u32, (flags, prefix_bits): (u8, u32), out: &mut Vec<u8>) {
    integer::encode(value, prefix_bits, flags, out);
}

/// RFC 7541 5.2: encoded where that is shorter.
fn write_string(plain: &[u8], out: &mut Vec<u8>) {
    // Nearly all are so short that their size takes one byte, which is filled in when it is known.
    if plain.len() < 127 {
        let start = out.len();
        out.push(0);
        huffman::encode(plain, out);
        let size = out.len() - start - 1;
        if size < plain.len() {
            out[start] = 0b1000_0000 | size as u8;
        } else {
            out.truncate(start);
            write_plain(plain, out);
        }
        return;
    }
    let size = huffman::encoded_size(plain);
    if size < plain.len() {
        integer::encode(size as u32, 7, 0b1000_0000, out);
        huffman::encode(plain, out);
    } else {
        write_plain(plain, out);
    }
}

fn write_plain(plain: &[u8], out: &mut Vec<u8>) {
    integer::encode(plain.len() as u32, 7, 0, out);
    out.extend_from_slice(plain);
}
