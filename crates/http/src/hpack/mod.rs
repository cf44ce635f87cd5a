//! HPACK (RFC 7541): field lists as the bytes of HTTP/2's header blocks, both ways.
//!
//! ```text
//!   block ─▶ Decoder ─▶ Field, Field, …  ─▶ sink (limits are its matter)
//!               │ static table, dynamic table, Huffman, prefix integers
//!   fields ─▶ Encoder ─▶ block
//! ```
//!
//! Must not know what the fields mean: pseudo fields, forbidden names and limits on lists are HTTP/2's.
//! It is fed whole blocks, in the order they have on the wire: the tables of both sides are the same
//! only then, and each block changes them. Any error is therefore the end of the connection
//! (`COMPRESSION_ERROR`, RFC 9113 4.3).
//!
//! Memory: a decoder's table takes at most twice the size announced to the peer, an encoder's at most
//! 8 KiB and its index; both grow with what is put in.

mod decoder;
mod dynamic_table;
mod encoder;
mod field;
mod huffman;
mod indexed_table;
mod integer;
mod lookup;
mod malformed;
mod name;
mod static_table;
#[cfg(test)]
mod tests;

pub use decoder::{DecodeError, Decoder};
pub use encoder::{Block, ENCODER_TABLE_SIZE_MAX, Encoder, Indexing};
pub use field::Field;
pub use malformed::Malformed;
pub use name::Name;

/// Size of both dynamic tables at the beginning of an HTTP/2 connection (RFC 9113 6.5.2).
pub const TABLE_SIZE_INITIAL: u32 = 4096;
