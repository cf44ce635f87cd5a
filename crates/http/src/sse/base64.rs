//! Base64 (RFC 4648 4), in which binary data crosses a stream of text.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes of the text of so many bytes.
#[must_use]
pub const fn base64_size(size: usize) -> usize {
    size.div_ceil(3) * 4
}

/// Writes the text of `bytes` to the front of `out`, which has [`base64_size`] bytes of room.
pub(super) fn encode_base64(bytes: &[u8], out: &mut [u8]) -> usize {
    let size = base64_size(bytes.len());
    let digit = |bits: u32| ALPHABET[(bits & 63) as usize];
    for (three, four) in bytes.chunks(3).zip(out[..size].chunks_exact_mut(4)) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        four[0] = digit(bits >> 18);
        four[1] = digit(bits >> 12);
        four[2] = if three.len() > 1 {
            digit(bits >> 6)
        } else {
            b'='
        };
        four[3] = if three.len() > 2 { digit(bits) } else { b'=' };
    }
    size
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
    let (fours, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(fours.len() * 3);
    for (place, four) in fours.iter().enumerate() {
        let padding = four.iter().rev().take_while(|&&byte| byte == b'=').count();
        if padding > 2 || (padding > 0 && place + 1 < fours.len()) {
            return None;
        }
        let mut bits = 0;
        for &byte in &four[..4 - padding] {
            bits = bits << 6 | value_of(byte)?;
        }
        bits <<= 6 * padding;
        let three = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        let (kept, cut) = three.split_at(3 - padding);
        // RFC 4648 3.5: bits that stand for nothing are zero.
        if cut.iter().any(|&byte| byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

fn value_of(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
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
