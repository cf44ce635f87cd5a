//! Integers that begin in the low bits of a byte (RFC 7541 5.1).
//!
//! Bounded: at most 32 bits, which is what a `SETTINGS` value has, in at most five bytes after the first.

use super::Malformed;

/// Bytes after the first that 32 bits can take: seven bits in each.
const CONTINUATION_MAX: u32 = 5;

/// Takes an integer whose first byte has `prefix_bits` of it, from the front of `input`.
pub(super) fn decode(prefix_bits: u32, input: &mut &[u8]) -> Result<u32, Malformed> {
    let (&first, mut rest) = input.split_first().ok_or(Malformed::Truncated)?;
    let prefix_max = 0xff_u8 >> (8 - prefix_bits);
    let prefix = first & prefix_max;
    if prefix < prefix_max {
        *input = rest;
        return Ok(u32::from(prefix));
    }
    let mut value = u64::from(prefix);
    for index in 0..CONTINUATION_MAX {
        let (&byte, behind) = rest.split_first().ok_or(Malformed::Truncated)?;
        rest = behind;
        value += u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *input = rest;
            return u32::try_from(value).map_err(|_| Malformed::Integer);
        }
    }
    Err(Malformed::Integer)
}

/// Writes `value` with `prefix_bits` in the first byte, whose other bits are those of `flags`.
pub(super) fn encode(value: u32, prefix_bits: u32, flags: u8, out: &mut Vec<u8>) {
    let prefix_max = 0xff_u8 >> (8 - prefix_bits);
    match u8::try_from(value) {
        Ok(small) if small < prefix_max => out.push(flags | small),
        _ => {
            out.push(flags | prefix_max);
            let mut rest = value - u32::from(prefix_max);
            while rest >= 0x80 {
                out.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: u32, prefix_bits: u32) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, prefix_bits, 0, &mut out);
        out
    }

    /// RFC 7541 C.1.
    #[test]
    fn as_in_the_appendix() {
        assert_eq!(encoded(10, 5), [0b0000_1010]);
        assert_eq!(encoded(1337, 5), [0b0001_1111, 0b1001_1010, 0b0000_1010]);
        assert_eq!(encoded(42, 8), [0b0010_1010]);
    }

    #[test]
    fn each_prefix_at_its_edges() {
        for prefix_bits in 1..=8 {
            let edge = (1 << prefix_bits) - 1;
            let values = [0, 1, edge - 1, edge, edge + 1, edge + 127, edge + 128];
            for value in values.into_iter().chain([u32::MAX - 1, u32::MAX]) {
                let mut bytes = encoded(value, prefix_bits);
                let size = bytes.len();
                assert_eq!(size > 1, value >= edge);
                assert!(size <= 6);
                bytes.push(0xaa);
                let mut input = &bytes[..];
                assert_eq!(decode(prefix_bits, &mut input), Ok(value));
                assert_eq!(input, [0xaa]);
                for len in 0..size {
                    let mut input = &bytes[..len];
                    assert_eq!(decode(prefix_bits, &mut input), Err(Malformed::Truncated));
                }
            }
        }
    }

    #[test]
    fn flags_stay() {
        let mut out = Vec::new();
        encode(5, 4, 0b0101_0000, &mut out);
        encode(15, 4, 0b0101_0000, &mut out);
        assert_eq!(out, [0b0101_0101, 0b0101_1111, 0]);
    }

    #[test]
    fn beyond_32_bits() {
        // 2^32 - 1 and 2^32 after a prefix of 8 bits.
        let most = [0xff, 0x80, 0xfe, 0xff, 0xff, 0x0f];
        assert_eq!(decode(8, &mut &most[..]), Ok(u32::MAX));
        let more = [0xff, 0x81, 0xfe, 0xff, 0xff, 0x0f];
        assert_eq!(decode(8, &mut &more[..]), Err(Malformed::Integer));
        // Zeros that lead nowhere, as few as there may be and one more.
        let zeros = [0x1f, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(decode(5, &mut &zeros[..]), Ok(31));
        let zeros = [0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(decode(5, &mut &zeros[..]), Err(Malformed::Integer));
        assert_eq!(decode(5, &mut &[0xff; 100][..]), Err(Malformed::Integer));
    }
}
