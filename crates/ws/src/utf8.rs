//! UTF-8, checked at once or piece by piece.
//!
//! [`Utf8Check`] fails at the first byte that cannot continue a legal sequence, whatever the
//! borders of the pieces are: it keeps the at most three bytes of a sequence that a piece ended in.
//!
//! Spec: RFC 3629; RFC 6455 8.1; fail-fast is what the groups 6.3 and 6.4 of the Autobahn test
//! suite ask for.

/// The bytes are not UTF-8, or can no longer become UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

/// Whether `bytes` are UTF-8. For messages that were inflated, whose pieces nobody could check
/// before.
#[inline]
#[must_use]
pub fn is_valid(bytes: &[u8]) -> bool {
    // The vector code starts to pay at 64 bytes; below, ASCII is by far the commonest and is
    // cheapest told by itself.
    if bytes.len() < 64 {
        std::str::from_utf8(bytes).is_ok()
    } else {
        simdutf8::basic::from_utf8(bytes).is_ok()
    }
}

/// A check that goes on from piece to piece. Four bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Check {
    /// The start of a sequence that the last piece ended in, `partial_len` bytes of it.
    partial: [u8; 3],
    partial_len: u8,
}

impl Utf8Check {
    /// A check at the start of a text.
    #[must_use]
    pub const fn new() -> Utf8Check {
        Utf8Check {
            partial: [0; 3],
            partial_len: 0,
        }
    }

    /// Whether no sequence is open: the text could end here.
    #[inline]
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.partial_len == 0
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`NotUtf8`] when no continuation could make what was seen so far legal. The check is spent
    /// then.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), NotUtf8> {
        let mut rest = piece;
        while self.partial_len > 0 {
            let Some((&byte, after)) = rest.split_first() else {
                return Ok(());
            };
            rest = after;
            self.push_to_partial(byte)?;
        }
        match simdutf8::compat::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotUtf8),
            Err(error) => {
                let open = &rest[error.valid_up_to()..];
                self.partial[..open.len()].copy_from_slice(open);
                self.partial_len = open.len() as u8;
                Ok(())
            }
        }
    }

    /// Ends the text.
    ///
    /// # Errors
    /// [`NotUtf8`] when it ends inside of a sequence.
    pub const fn finish(&self) -> Result<(), NotUtf8> {
        if self.is_complete() {
            Ok(())
        } else {
            Err(NotUtf8)
        }
    }

    #[cold]
    fn push_to_partial(&mut self, byte: u8) -> Result<(), NotUtf8> {
        let len = usize::from(self.partial_len);
        let mut sequence = [0; 4];
        sequence[..len].copy_from_slice(&self.partial[..len]);
        sequence[len] = byte;
        match std::str::from_utf8(&sequence[..=len]) {
            Ok(_) => self.partial_len = 0,
            Err(error) if error.error_len().is_some() => return Err(NotUtf8),
            Err(_) => {
                self.partial[len] = byte;
                self.partial_len += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Legal and illegal sequences at all borders of the encoding.
    const SAMPLES: &[&[u8]] = &[
        b"",
        b"plain",
        "κόσμε €".as_bytes(),
        "\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}".as_bytes(),
        b"\xC0\xAF",
        b"\xC1\xBF",
        b"\xE0\x9F\xBF",
        b"\xED\x9F\xBF",
        b"\xED\xA0\x80",
        b"\xF0\x8F\xBF\xBF",
        b"\xF4\x8F\xBF\xBF",
        b"\xF4\x90\x80\x80",
        b"\xF5\x80\x80\x80",
        b"\x80",
        b"a\xC3",
        b"a\xE2\x82",
        b"a\xF0\x9F\x98",
        b"\xC3\xC3",
        b"\xE2\x82a",
    ];

    fn check(pieces: &[&[u8]]) -> Result<(), NotUtf8> {
        let mut check = Utf8Check::new();
        for piece in pieces {
            check.push(piece)?;
        }
        check.finish()
    }

    #[test]
    fn agrees_with_std_at_every_cut() {
        for sample in SAMPLES {
            for prefix in ["", "aé€😀", &"x".repeat(100)] {
                let bytes = [prefix.as_bytes(), sample].concat();
                let expected = std::str::from_utf8(&bytes).is_ok();
                assert_eq!(is_valid(&bytes), expected, "{bytes:x?}");
                for cut in 0..=bytes.len() {
                    let (left, right) = bytes.split_at(cut);
                    assert_eq!(
                        check(&[left, right]).is_ok(),
                        expected,
                        "{bytes:x?} at {cut}"
                    );
                }
                let single: Vec<&[u8]> = bytes.chunks(1).collect();
                assert_eq!(check(&single).is_ok(), expected, "{bytes:x?}");
            }
        }
    }

    #[test]
    fn fails_at_the_first_byte_that_cannot_be() {
        for (good, bad) in [
            (&b"\xED"[..], 0xA0),
            (b"\xF4", 0x90),
            (b"\xE0", 0x9F),
            (b"", 0xC0),
            (b"\xE2\x82", b'a'),
        ] {
            let mut check = Utf8Check::new();
            for byte in good {
                assert_eq!(check.push(&[*byte]), Ok(()));
            }
            assert_eq!(check.push(&[bad]), Err(NotUtf8));
        }
    }
}
