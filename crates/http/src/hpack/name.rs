//! A field name, and what the encoder wants to know of it: looked up once where it is known when this is compiled.

use super::lookup::Hash;
use super::static_table::{self, Habit};

/// A field name in lower case.
///
/// ```
/// use hioload_http::hpack::{Encoder, Name, TABLE_SIZE_INITIAL};
///
/// static SERVER: Name<'_> = Name::new("server");
/// let mut encoder = Encoder::new(TABLE_SIZE_INITIAL);
/// let mut out = Vec::new();
/// encoder.block(&mut out).known(&SERVER, b"hioload");
/// assert_eq!(out[0], 0b0100_0000 | 54);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    pub(super) text: &'a [u8],
    pub(super) hash: Hash,
    /// Its first index in the static table.
    pub(super) index: Option<u32>,
    pub(super) habit: Habit,
    /// Its values are written as they are.
    pub(super) is_plain: bool,
}

impl Name<'static> {
    /// A name that is known when this is compiled. How its values behave is as [`Indexing::Auto`](super::Indexing::Auto)
    /// has it.
    ///
    /// # Panics
    /// It is not in lower case.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut place = 0;
        while place < bytes.len() {
            assert!(!bytes[place].is_ascii_uppercase(), "RFC 9113 8.2");
            place += 1;
        }
        let index = static_table::find(text);
        Self::with(bytes, Hash::of_name(bytes), index)
    }

    /// Each message has a value of its own, and the value is a digest. It is not indexed, but for the first one where that is
    /// how the name gets into the table; and it is written as it is: Huffman's code would save a quarter of it, and takes both
    /// sides longer than the bytes are worth.
    ///
    /// # Panics
    /// Values of this name are secrets.
    #[must_use]
    pub const fn of_digests(mut self) -> Self {
        assert!(
            matches!(self.habit, Habit::Repeats | Habit::Changes),
            "RFC 7541 7.1.3"
        );
        self.habit = Habit::Changes;
        self.is_plain = true;
        self
    }
}

impl<'a> Name<'a> {
    pub(crate) const fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Any name.
    pub(super) fn of(text: &'a [u8]) -> Self {
        let hash = Hash::of_name(text);
        Self::with(text, hash, static_table::find_name(hash, text))
    }

    const fn with(text: &'a [u8], hash: Hash, index: Option<u32>) -> Self {
        let habit = match index {
            Some(index) => static_table::habit(index),
            None => Habit::Repeats,
        };
        Self {
            text,
            hash,
            index,
            habit,
            is_plain: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::{Decoder, Encoder, TABLE_SIZE_INITIAL};

    #[test]
    fn what_is_known_early_is_what_is_found_late() {
        for index in 1..=static_table::LEN {
            let (text, _) = static_table::entry(index).expect("within");
            let text = str::from_utf8(text).expect("ASCII");
            let (early, late) = (Name::new(text), Name::of(text.as_bytes()));
            assert_eq!(
                (early.hash, early.index, early.habit),
                (late.hash, late.index, late.habit),
                "{text}"
            );
            assert!(early.index.is_some());
        }
        assert_eq!(Name::new("repr-digest").index, None);
    }

    /// The name is learned once, values never take the place of what repeats, and all is as it was when it is read.
    #[test]
    fn digests_are_plain_and_not_indexed() {
        static DIGEST: Name<'_> = Name::new("repr-digest").of_digests();
        static SERVER: Name<'_> = Name::new("server");
        let mut encoder = Encoder::new(TABLE_SIZE_INITIAL);
        let mut decoder = Decoder::new(TABLE_SIZE_INITIAL);
        for round in 0..100 {
            let digest = format!("sha-256=:{round:044}:");
            let mut out = Vec::new();
            let mut block = encoder.block(&mut out);
            block.known(&SERVER, b"hioload");
            block.known(&DIGEST, digest.as_bytes());
            let mut fields = Vec::new();
            let read = decoder.decode(&out, |field| {
                fields.push((field.name.to_vec(), field.value.to_vec()));
                Ok::<_, ()>(())
            });
            assert_eq!(read, Ok(()));
            let expected = [("server", "hioload"), ("repr-digest", &digest)]
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            assert_eq!(fields, expected);
            if round > 0 {
                // One byte for the server, two for the name, one for the length.
                assert_eq!(out.len(), 1 + 2 + 1 + digest.len(), "round {round}");
                assert_eq!(encoder.table.table().len(), 2);
            }
        }
    }
}
