//! SHA-256 of a block's content: its name.
//!
//! Must not know where the content comes from, nor where it is kept. Source: FIPS 180-4.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::lanes::{self, BLOCK, LANES_MAX};

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
        let mut hasher = Hasher::new();
        hasher.update(content);
        hasher.finish()
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
        let text: &[u8; 2 * HASH_SIZE] = text.as_ref().try_into().map_err(|_| HashSyntax)?;
        // All digits, whatever the first ones are: several at a time.
        if !text
            .iter()
            .fold(true, |so_far, &byte| so_far & is_digit(byte))
        {
            return Err(HashSyntax);
        }
        let values = text.map(value_of_digit);
        let mut bytes = [0; HASH_SIZE];
        for (byte, pair) in bytes.iter_mut().zip(values.as_chunks().0) {
            let [high, low] = pair;
            *byte = high << 4 | low;
        }
        Ok(Hash(bytes))
    }

    /// Its 64 hexadecimal digits, in lower case.
    #[must_use]
    pub fn to_hex(self) -> [u8; 2 * HASH_SIZE] {
        // Letters come 39 behind where they would go on from the digits: without a table, several at a time.
        let digit = |value: u8| value + b'0' + if value > 9 { 39 } else { 0 };
        let mut digits = [0; 2 * HASH_SIZE];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        digits
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

fn is_digit(byte: u8) -> bool {
    let letter = byte | 0x20;
    byte.is_ascii_digit() | (b'a'..=b'f').contains(&letter)
}

/// Of a hexadecimal digit.
fn value_of_digit(byte: u8) -> u8 {
    // Letters begin at 1 in their column, and are worth 9 more.
    (byte & 15) + 9 * (byte >> 6)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.to_hex();
        f.pad(std::str::from_utf8(&digits).expect("invariant: hexadecimal digits are ASCII"))
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
#[derive(Clone, Debug)]
pub struct Hasher {
    state: lanes::State,
    length: u64,
    /// The beginning of a block, `length % 64` bytes of it.
    open: [u8; BLOCK],
}

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher::new()
    }
}

impl Hasher {
    /// A hasher of nothing yet.
    pub fn new() -> Hasher {
        Hasher {
            state: lanes::START,
            length: 0,
            open: [0; BLOCK],
        }
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        Hasher::update_all(std::slice::from_mut(self), &mut [piece]);
    }

    /// Bytes taken so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Takes from each piece, which is the next of its hasher, about as much as the shortest has, and cuts what was taken: of one
    /// at least nothing is left. That takes far less time than one after the other.
    ///
    /// # Panics
    /// With another number of hashers than pieces, or more than [`LANES_MAX`].
    pub(crate) fn update_all(hashers: &mut [Hasher], pieces: &mut [&[u8]]) {
        let mut states = [lanes::START; LANES_MAX];
        let mut blocks = [&[][..]; LANES_MAX];
        for ((hasher, piece), (state, blocks)) in
            (hashers.iter_mut().zip(pieces.iter_mut())).zip(states.iter_mut().zip(&mut blocks))
        {
            hasher.close(piece);
            *blocks = piece.as_chunks().0;
            *state = hasher.state;
        }
        let lane_count = hashers.len();
        let count = blocks[..lane_count].iter().map(|blocks| blocks.len()).min();
        lanes::compress(&mut states[..lane_count], &blocks[..pieces.len()]);
        let size = count.unwrap_or(0) * BLOCK;
        for ((hasher, piece), state) in hashers.iter_mut().zip(pieces).zip(states) {
            hasher.state = state;
            hasher.length += size as u64;
            *piece = &piece[size..];
            if piece.len() < BLOCK {
                hasher.begin(piece);
            }
        }
    }

    /// The hash of all pieces.
    pub fn finish(mut self) -> Hash {
        // FIPS 180-4 5.1.1: a one, zeros, and the length in bits at the end of a block.
        let bits = self.length * 8;
        let mut padding = [0; 2 * BLOCK];
        padding[0] = 0x80;
        let open_len = self.open_len();
        let len = if open_len < BLOCK - 8 {
            BLOCK
        } else {
            2 * BLOCK
        } - open_len;
        padding[len - 8..len].copy_from_slice(&bits.to_be_bytes());
        self.update(&padding[..len]);
        let mut bytes = [0; HASH_SIZE];
        for (word, bytes) in self.state.iter().zip(bytes.as_chunks_mut().0) {
            *bytes = word.to_be_bytes();
        }
        Hash(bytes)
    }

    fn open_len(&self) -> usize {
        self.length as usize % BLOCK
    }

    /// Completes the block that has begun, as far as the piece goes, and cuts the piece.
    fn close(&mut self, piece: &mut &[u8]) {
        let open_len = self.open_len();
        if open_len == 0 {
            return;
        }
        let (now, later) = piece.split_at(piece.len().min(BLOCK - open_len));
        self.open[open_len..open_len + now.len()].copy_from_slice(now);
        self.length += now.len() as u64;
        if open_len + now.len() == BLOCK {
            lanes::compress(std::slice::from_mut(&mut self.state), &[&[self.open]]);
        }
        *piece = later;
    }

    /// Begins a block with the rest of a piece, if there is one.
    fn begin(&mut self, piece: &mut &[u8]) {
        if !piece.is_empty() {
            self.open[..piece.len()].copy_from_slice(piece);
            self.length += piece.len() as u64;
            *piece = &[];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_base::Prng;
    use sha2::Digest as _;

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

    /// The hash by another implementation.
    fn by_sha2(content: &[u8]) -> Hash {
        Hash(sha2::Sha256::digest(content).into())
    }

    #[test]
    fn every_length_agrees_with_another_implementation() {
        let content: Vec<u8> = (0..5000u32).map(|n| (n * 7 + n / 250) as u8).collect();
        for len in (0..=300).chain([4095, 4096, 5000]) {
            assert_eq!(Hash::of(&content[..len]), by_sha2(&content[..len]), "{len}");
            // Both sides of each boundary between two pieces.
            let (first, second) = content[..len].split_at(len / 3);
            let mut hasher = Hasher::new();
            hasher.update(first);
            hasher.update(b"");
            hasher.update(second);
            assert_eq!(hasher.length(), len as u64);
            assert_eq!(hasher.finish(), by_sha2(&content[..len]), "{len} in two");
        }
    }

    /// Hashes contents in `lanes` lanes, each in pieces of random length; the next content takes the lane of one that ended.
    fn in_lanes(prng: &mut Prng, lanes: usize, contents: &[Vec<u8>]) -> Vec<Hash> {
        let mut hashes = vec![Hash::MIN; contents.len()];
        let (mut open, mut hashers) = (Vec::new(), Vec::new());
        let mut next = 0;
        loop {
            while open.len() < lanes && next < contents.len() {
                open.push(next);
                hashers.push(Hasher::new());
                next += 1;
            }
            if open.is_empty() {
                return hashes;
            }
            let mut pieces: Vec<&[u8]> = Vec::new();
            for (n, hasher) in open.iter().zip(&hashers) {
                let content: &Vec<u8> = &contents[*n];
                let rest = &content[hasher.length() as usize..];
                let len = prng.below(rest.len() as u64 + 1) as usize;
                pieces.push(&rest[..if prng.chance(1, 3) { len } else { rest.len() }]);
            }
            let before: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
            Hasher::update_all(&mut hashers, &mut pieces);
            let shortest = before.iter().min().expect("not empty");
            assert!(pieces.iter().any(|piece| piece.is_empty()), "one is whole");
            for (before, piece) in before.iter().zip(&pieces) {
                assert!(
                    before - piece.len() + 2 * BLOCK > *shortest,
                    "about as much of all"
                );
            }
            for n in (0..open.len()).rev() {
                if hashers[n].length() as usize == contents[open[n]].len() {
                    hashes[open.swap_remove(n)] = hashers.swap_remove(n).finish();
                }
            }
        }
    }

    #[test]
    fn lanes_of_any_mix_agree_with_another_implementation() {
        let mut prng = Prng::new(16);
        for round in 0..300 {
            let contents: Vec<Vec<u8>> = (0..prng.below(9))
                .map(|_| {
                    let longest = [1, 64, 300, 5000][prng.below(4) as usize];
                    let mut content = vec![0; prng.below(longest + 1) as usize];
                    prng.fill(&mut content);
                    content
                })
                .collect();
            let lanes = 1 + prng.below(LANES_MAX as u64) as usize;
            let expected: Vec<Hash> = contents.iter().map(|content| by_sha2(content)).collect();
            assert_eq!(
                in_lanes(&mut prng, lanes, &contents),
                expected,
                "round {round}"
            );
        }
    }

    #[test]
    fn lanes_of_equal_length_agree_at_every_length() {
        let mut prng = Prng::new(17);
        for len in 0..=300 {
            let contents: Vec<Vec<u8>> = (0..LANES_MAX)
                .map(|_| {
                    let mut content = vec![0; len];
                    prng.fill(&mut content);
                    content
                })
                .collect();
            let mut hashers = vec![Hasher::new(); LANES_MAX];
            let mut pieces: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
            Hasher::update_all(&mut hashers, &mut pieces);
            for (hasher, content) in hashers.into_iter().zip(&contents) {
                assert_eq!(hasher.finish(), by_sha2(content), "{len}");
            }
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
