//! What is wrong with a block.

use std::error::Error;
use std::fmt;

/// How a peer broke RFC 7541. Each is `COMPRESSION_ERROR` and ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The block ends within a field.
    Truncated,
    /// An integer beyond 32 bits, or written with more bytes than such a one takes (5.1).
    Integer,
    /// Index 0, or one that no table has (2.3.3, 6.1).
    Index,
    /// A string with the code of EOS in it (5.2).
    HuffmanEos,
    /// Padding of a string of more than seven bits, or not the beginning of EOS (5.2).
    HuffmanPadding,
    /// A size update after a field, or a third one (4.2).
    SizeUpdateMisplaced,
    /// A size update beyond what we have announced (6.3).
    SizeUpdateTooLarge,
    /// What we have announced became less, and the block does not begin with a size update that says
    /// so (4.2, RFC 9113 4.3.1).
    SizeUpdateMissing,
    /// An earlier block failed: the tables of both sides are not the same any more.
    AfterError,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Truncated => "the header block ends within a field (RFC 7541 6)",
            Malformed::Integer => "an integer of the header block is too large (RFC 7541 5.1)",
            Malformed::Index => {
                "the header block refers to a field that does not exist (RFC 7541 2.3.3)"
            }
            Malformed::HuffmanEos => "a string of the header block has EOS within (RFC 7541 5.2)",
            Malformed::HuffmanPadding => {
                "a string of the header block is padded wrongly (RFC 7541 5.2)"
            }
            Malformed::SizeUpdateMisplaced => {
                "a table size update where none may be (RFC 7541 4.2)"
            }
            Malformed::SizeUpdateTooLarge => {
                "a table size update beyond what was announced (RFC 7541 6.3)"
            }
            Malformed::SizeUpdateMissing => {
                "no table size update after a smaller one was announced (RFC 9113 4.3.1)"
            }
            Malformed::AfterError => "an earlier header block could not be decoded",
        })
    }
}

impl Error for Malformed {}
