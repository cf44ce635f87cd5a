//! Masking: XOR with a four-byte key, in place, at the speed of memory.
//!
//! Blocks of words are what LLVM turns into vector code; `pulp` chooses the width of registers at run
//! time for all but short input. The OR of all bytes is kept on the way, which answers "is it ASCII"
//! without a second pass.
//!
//! Spec: RFC 6455 5.3.

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Masks or unmasks `bytes` in place (the operation is its own inverse). `phase` is how many bytes
/// of the frame's payload came before; only its value modulo 4 matters.
///
/// ```
/// let mut hello = *b"Hello";
/// hioload_ws::mask(&mut hello[..2], [0x37, 0xFA, 0x21, 0x3D], 0);
/// hioload_ws::mask(&mut hello[2..], [0x37, 0xFA, 0x21, 0x3D], 2);
/// assert_eq!(hello, [0x7F, 0x9F, 0x4D, 0x51, 0x58]);
/// ```
pub fn mask(bytes: &mut [u8], key: [u8; 4], phase: usize) {
    // Clients that want no masking send the key 0; so do peers behind a trusted proxy.
    if key != [0; 4] {
        apply(bytes, rotate(key, phase));
    }
}

/// Unmasks `bytes` in place and tells whether they are ASCII.
#[inline]
pub(crate) fn unmask_is_ascii(bytes: &mut [u8], key: [u8; 4]) -> bool {
    apply(bytes, key) & HIGH_BITS == 0
}

/// The key as it applies `phase` bytes further into the payload.
#[inline]
pub(crate) fn rotate(key: [u8; 4], phase: usize) -> [u8; 4] {
    let bits = 8 * (phase % 4) as u32;
    u32::from_le_bytes(key).rotate_right(bits).to_le_bytes()
}

/// From here on choosing the widest registers of this machine costs less than it gains.
const WIDE_MIN: usize = 256;

/// XORs and returns the OR of the results, folded into eight bytes.
#[inline]
fn apply(bytes: &mut [u8], key: [u8; 4]) -> u64 {
    if bytes.len() < WIDE_MIN {
        return apply_in_blocks::<4>(bytes, key);
    }
    apply_wide(bytes, key)
}

/// Apart, so that the way of short input is short where it is inlined.
#[inline(never)]
fn apply_wide(bytes: &mut [u8], key: [u8; 4]) -> u64 {
    pulp::Arch::new().dispatch(Wide { bytes, key })
}

/// [`apply`], compiled once for each width of registers.
struct Wide<'a> {
    bytes: &'a mut [u8],
    key: [u8; 4],
}

impl pulp::NullaryFnOnce for Wide<'_> {
    type Output = u64;

    #[inline(always)]
    fn call(self) -> u64 {
        apply_in_blocks::<16>(self.bytes, self.key)
    }
}

/// `N` words at a time.
#[inline(always)]
fn apply_in_blocks<const N: usize>(bytes: &mut [u8], key: [u8; 4]) -> u64 {
    let twice = u64::from(u32::from_le_bytes(key)) * 0x1_0000_0001;
    let (len, last) = (bytes.len(), bytes.last_chunk().copied());
    let mut seen = [0u64; N];

    let (words, rest) = bytes.as_chunks_mut::<8>();
    let (blocks, words) = words.as_chunks_mut::<N>();
    for block in blocks {
        for (word, seen) in block.iter_mut().zip(&mut seen) {
            *seen |= apply_to_word(word, *word, twice);
        }
    }
    let mut seen = seen.into_iter().fold(0, |all, some| all | some);
    for word in words {
        seen |= apply_to_word(word, *word, twice);
    }
    if rest.is_empty() {
        return seen;
    }
    match (last, bytes.last_chunk_mut()) {
        // The last word overlaps the one before it: it was read before that was changed.
        (Some(last), Some(word)) => {
            let turned = twice.rotate_right(8 * (len % 4) as u32);
            seen |= apply_to_word(word, last, turned);
        }
        _ => {
            for (byte, key) in bytes.iter_mut().zip(key.into_iter().cycle()) {
                *byte ^= key;
                seen |= u64::from(*byte);
            }
        }
    }
    seen
}

/// Puts the plain form of `word` in its place, and returns it.
#[inline(always)]
fn apply_to_word(to: &mut [u8; 8], word: [u8; 8], key: u64) -> u64 {
    let plain = u64::from_le_bytes(word) ^ key;
    *to = plain.to_le_bytes();
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    #[test]
    fn equals_byte_by_byte_at_every_length_and_phase() {
        let key = [0x01, 0x80, 0xFE, 0x33];
        for len in (0..200).chain(WIDE_MIN - 9..WIDE_MIN + 300) {
            for phase in 0..9 {
                let mut bytes = sample(len);
                let expected: Vec<u8> = bytes
                    .iter()
                    .enumerate()
                    .map(|(n, b)| b ^ key[(n + phase) % 4])
                    .collect();
                mask(&mut bytes, key, phase);
                assert_eq!(bytes, expected, "{len} bytes, phase {phase}");
            }
        }
    }

    #[test]
    fn any_byte_that_is_not_ascii_is_seen() {
        let key = [0x01, 0x80, 0xFE, 0x33];
        for len in (1..100).chain(WIDE_MIN..WIDE_MIN + 160) {
            for at in 0..len {
                let mut bytes = vec![b'a'; len];
                mask(&mut bytes, key, 0);
                assert!(unmask_is_ascii(&mut bytes.clone(), key));
                bytes[at] ^= 0x80;
                assert!(!unmask_is_ascii(&mut bytes, key), "byte {at} of {len}");
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn wide_registers_are_used_where_there_are_any() {
        let has_wide = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let is_narrow = matches!(pulp::Arch::new(), pulp::Arch::Scalar);
        assert!(!(has_wide && is_narrow), "a feature of `pulp` is off");
    }

    #[test]
    fn the_key_zero_changes_nothing() {
        let mut bytes = sample(77);
        mask(&mut bytes, [0; 4], 3);
        assert_eq!(bytes, sample(77));
    }
}
