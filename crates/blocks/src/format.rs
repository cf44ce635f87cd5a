//! The superblock: what a store says of itself, so that no other program takes it for something else.
//!
//! ```text
//!   0          8        12     16          32        40     41    42            64
//!   │"HIOBLOCK"│ format │ unit │ store id  │ created │ name │ sum │ zeros        │
//! ```
//!
//! One row of the index, which keeps it atomic and durable. Must not know where rows are kept. Layout: `docs/ondisk.md`.

use std::fmt;

use crate::class::UNIT;
use crate::index::IndexError;

/// The format of stores that this code makes. Stores of format 1 are opened as well; they have no journal.
pub const STORE_FORMAT: u32 = 2;

/// The first format.
const FIRST_FORMAT: u32 = 1;

/// Where the format is.
const FORMAT: std::ops::Range<usize> = 8..12;

/// Bytes of a superblock.
const SIZE: usize = 64;

/// How each begins.
const MAGIC: &[u8; 8] = b"HIOBLOCK";

/// Blocks are named by SHA-256.
const NAME_SHA256: u8 = 1;

/// Chunks are summed by CRC-32.
const SUM_CRC32: u8 = 1;

/// What tells one store from another: random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a store says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Which store it is.
    pub id: StoreId,
    /// When it was made, in milliseconds since the epoch of Unix.
    pub created: u64,
}

/// Why a superblock is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// It is of another format.
    Other {
        /// Which.
        found: u32,
    },
    /// It is none, or damaged.
    Corrupt(IndexError),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Other { found } => {
                write!(
                    f,
                    "the store has format {found}, this program reads formats {FIRST_FORMAT} to {STORE_FORMAT}"
                )
            }
            FormatError::Corrupt(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for FormatError {}

impl Superblock {
    /// Its bytes.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[FORMAT].copy_from_slice(&STORE_FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&(UNIT as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(&self.id.0);
        bytes[32..40].copy_from_slice(&self.created.to_le_bytes());
        bytes[40..42].copy_from_slice(&[NAME_SHA256, SUM_CRC32]);
        bytes
    }

    /// The superblock in `bytes`.
    ///
    /// # Errors
    /// [`FormatError::Other`] for a store that a later program made, [`FormatError::Corrupt`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Superblock, FormatError> {
        let corrupt = |place, expected: &str, found: String| {
            FormatError::Corrupt(IndexError::corrupt("superblock", place, expected, found))
        };
        // Magic and format come first: another format may have another length.
        let Some((magic, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(corrupt(
                "magic",
                "HIOBLOCK",
                format!("{} bytes", bytes.len()),
            ));
        };
        if magic != MAGIC {
            return Err(corrupt(
                "magic",
                "HIOBLOCK",
                magic.escape_ascii().to_string(),
            ));
        }
        let Some((format, _)) = rest.split_first_chunk::<4>() else {
            return Err(corrupt(
                "format",
                "4 bytes",
                format!("{} bytes", rest.len()),
            ));
        };
        let found = u32::from_le_bytes(*format);
        if !(FIRST_FORMAT..=STORE_FORMAT).contains(&found) {
            return Err(FormatError::Other { found });
        }
        let Ok(bytes) = <&[u8; SIZE]>::try_from(bytes) else {
            return Err(corrupt(
                "length",
                "64 bytes",
                format!("{} bytes", bytes.len()),
            ));
        };
        let (mut id, mut created) = ([0; 16], [0; 8]);
        id.copy_from_slice(&bytes[16..32]);
        created.copy_from_slice(&bytes[32..40]);
        let superblock = Superblock {
            id: StoreId(id),
            created: u64::from_le_bytes(created),
        };
        // Everything else has one legal value in these formats.
        let mut expected = superblock.encode();
        expected[FORMAT].copy_from_slice(&bytes[FORMAT]);
        if expected != *bytes {
            return Err(corrupt(
                "fields",
                "units of 4096 bytes, SHA-256, CRC-32",
                format!("{bytes:02x?}"),
            ));
        }
        Ok(superblock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPERBLOCK: Superblock = Superblock {
        id: StoreId(*b"0123456789abcdef"),
        created: 0x0102_0304_0506_0708,
    };

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Superblock::decode(&SUPERBLOCK.encode()), Ok(SUPERBLOCK));
        assert_eq!(
            SUPERBLOCK.id.to_string(),
            "30313233343536373839616263646566"
        );
    }

    #[test]
    fn the_first_format_is_read() {
        let mut bytes = SUPERBLOCK.encode();
        bytes[FORMAT].copy_from_slice(&FIRST_FORMAT.to_le_bytes());
        assert_eq!(Superblock::decode(&bytes), Ok(SUPERBLOCK));
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let mut bytes = SUPERBLOCK.encode().to_vec();
        bytes[8] = 3;
        assert_eq!(
            Superblock::decode(&bytes),
            Err(FormatError::Other { found: 3 })
        );
        bytes.truncate(12);
        assert_eq!(
            Superblock::decode(&bytes),
            Err(FormatError::Other { found: 3 })
        );
        bytes.extend_from_slice(&[0; 100]);
        assert_eq!(
            Superblock::decode(&bytes),
            Err(FormatError::Other { found: 3 })
        );
    }

    #[test]
    fn what_is_no_superblock_is_refused() {
        let good = SUPERBLOCK.encode();
        for len in 0..good.len() {
            let cut = Superblock::decode(&good[..len]);
            assert!(matches!(cut, Err(FormatError::Corrupt(_))), "{len}");
        }
        for at in (0..8).chain(12..16).chain(40..64) {
            let mut bytes = good;
            bytes[at] ^= 1;
            let changed = Superblock::decode(&bytes);
            assert!(matches!(changed, Err(FormatError::Corrupt(_))), "{at}");
        }
        assert!(Superblock::decode(&[&good[..], &[0]].concat()).is_err());
    }
}
