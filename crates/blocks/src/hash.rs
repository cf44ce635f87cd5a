//! SHA-256 of a block's content: its name.
//!
//! Must not know where the content comes from, nor where it is kept. Source: FIPS 180-4.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Bytes of a SHA-256.
pub const HASH_SIZE: usize = 32;

/// The name of a block: SHA-256 of its content.
///
/// ```
/// use hioload_blocks::Hash;
///
/// let name = Hash::of(b"abc");
/// let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// assert_eq!(name.to_string(), text);
/// assert_eq!(Hash::from_hex(text), Ok(name));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_SIZE]);

impl Hash {
    /// The smallest name: where a walk over all blocks starts.
    pub const MIN: Hash = Hash([0; HASH_SIZE]);

    /// The hash of `content`.
    pub fn of(content: &[u8]) -> Hash {
        Hash(Sha256::digest(content).into())
    }

    /// A hash from its bytes.
    pub const fn from_bytes(bytes: [u8; HASH_SIZE]) -> Hash {
        Hash(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_SIZE] {
        &self.0
    }

    /// Reads exactly 64 hexadecimal digits of either case.
    ///
    /// # Errors
    /// [`HashSyntax`]: another length, or something that is no digit.
    pub fn from_hex(text: impl AsRef<[u8]>) -> Result<Hash, HashSyntax> {
        let text = text.as_ref();
        if text.len() != 2 * HASH_SIZE {
            return Err(HashSyntax);
        }
        let mut bytes = [0; HASH_SIZE];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Hash(bytes))
    }

    /// The next larger hash; `None` after the last.
    pub fn next(&self) -> Option<Hash> {
        let mut bytes = self.0;
        for byte in bytes.iter_mut().rev() {
            let (sum, overflows) = byte.overflowing_add(1);
            *byte = sum;
            if !overflows {
                return Some(Hash(bytes));
            }
        }
        None
    }

    /// The next smaller hash; `None` before the first.
    pub fn previous(&self) -> Option<Hash> {
        let mut bytes = self.0;
        for byte in bytes.iter_mut().rev() {
            let (difference, overflows) = byte.overflowing_sub(1);
            *byte = difference;
            if !overflows {
                return Some(Hash(bytes));
            }
        }
        None
    }
}

fn digit(byte: u8) -> Result<u8, HashSyntax> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(HashSyntax),
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 2 * HASH_SIZE];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).expect("invariant: hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashSyntax;

    fn from_str(text: &str) -> Result<Hash, HashSyntax> {
        Hash::from_hex(text)
    }
}

/// A text is not the name of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashSyntax;

impl fmt::Display for HashSyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a block is named by the 64 hexadecimal digits of its SHA-256")
    }
}

impl Error for HashSyntax {}

/// SHA-256 of content that comes in pieces.
///
/// ```
/// use hioload_blocks::{Hash, Hasher};
///
/// let mut hasher = Hasher::new();
/// hasher.update(b"a");
/// hasher.update(b"bc");
/// assert_eq!(hasher.finish(), Hash::of(b"abc"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher of nothing yet.
    pub fn new() -> Hasher {
        Hasher::default()
    }

    /// Takes the next piece.
    #[inline]
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all pieces.
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_vectors_of_the_standard() {
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Hash::of(b"").to_string(), of_nothing);
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(Hash::of(&[b'a'; 1_000_000]).to_string(), million);
    }

    #[test]
    fn pieces_of_any_length_give_the_hash_of_the_whole() {
        let content: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
        for piece_len in [1, 7, 63, 64, 65, 1000] {
            let mut hasher = Hasher::new();
            content
                .chunks(piece_len)
                .for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.finish(), Hash::of(&content), "{piece_len}");
        }
    }

    #[test]
    fn reads_both_cases_and_writes_the_lower() {
        let hash = Hash::from_bytes(std::array::from_fn(|n| (n * 9) as u8));
        let text = hash.to_string();
        assert_eq!(text, text.to_lowercase());
        assert_eq!(Hash::from_hex(&text), Ok(hash));
        assert_eq!(text.to_uppercase().parse(), Ok(hash));
    }

    #[test]
    fn other_lengths_and_other_characters_are_refused() {
        let text = "0".repeat(64);
        assert!(Hash::from_hex(&text).is_ok());
        for wrong in [
            String::new(),
            "0".repeat(63),
            "0".repeat(65),
            "0".repeat(128),
        ] {
            assert_eq!(Hash::from_hex(&wrong), Err(HashSyntax), "{wrong}");
        }
        for byte in 0..=u8::MAX {
            for at in [0, 1, 63] {
                let mut text = text.clone().into_bytes();
                text[at] = byte;
                assert_eq!(
                    Hash::from_hex(&text).is_ok(),
                    byte.is_ascii_hexdigit(),
                    "{byte}"
                );
            }
        }
    }

    #[test]
    fn neighbours_carry_and_end() {
        let mut bytes = [0; HASH_SIZE];
        bytes[30..].copy_from_slice(&[4, 255]);
        let next = Hash::from_bytes(bytes).next().expect("not the last");
        assert_eq!(next.as_bytes()[30..], [5, 0]);
        assert!(Hash::from_bytes(bytes) < next);
        assert_eq!(next.previous(), Some(Hash::from_bytes(bytes)));
        assert_eq!(Hash::from_bytes([255; HASH_SIZE]).next(), None);
        assert_eq!(Hash::MIN.previous(), None);
    }
}
