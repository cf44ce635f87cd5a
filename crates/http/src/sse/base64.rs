//! Base64 (RFC 4648 4), in which binary data crosses a stream of text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of the text of so many bytes.
#[must_use]
pub const fn base64_size(size: usize) -> usize {
    size.div_ceil(3) * 4
}

/// Writes the text of `bytes` to the front of `out`, which has [`base64_size`] bytes of room.
pub(super) fn encode_base64(bytes: &[u8], out: &mut [u8]) -> usize {
    let size = STANDARD.encode_slice(bytes, out);
    size.expect("invariant: the caller has made room")
}

/// The bytes of a text as the writer makes it: padded, without breaks. `None` for any other text.
///
/// ```
/// use hioload_http::sse::decode_base64;
///
/// assert_eq!(decode_base64("AP8="), Some(vec![0, 255]));
/// assert_eq!(decode_base64("AP8"), None);
/// ```
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut out = vec![0; base64_size(bytes.len())];
        let size = encode_base64(bytes, &mut out);
        assert_eq!(size, out.len());
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn the_examples_of_the_specification() {
        // RFC 4648 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(bytes.as_bytes()), text);
            assert_eq!(decode_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(encoded(&[0xFB, 0xFF]), "+/8=");
    }

    #[test]
    fn all_bytes_come_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        for end in 0..bytes.len() {
            assert_eq!(
                decode_base64(&encoded(&bytes[..end])).as_deref(),
                Some(&bytes[..end])
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "A", "AA", "AAA", "A===", "====", "AA==AAAA", "A=AA", "AB==", "AAB=", "A A=", "AA\n=",
            "AA-_",
        ] {
            assert_eq!(decode_base64(text), None, "{text:?}");
        }
    }
}
