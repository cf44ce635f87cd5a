//! The Huffman code of RFC 7541 Appendix B, both ways.
//!
//! The code is canonical: codes of one size follow each other in the order of their symbols, and shorter
//! ones come before longer ones. So the sizes say it all, and the tables below are made from them when
//! this is compiled.
//!
//! ```text
//!   12 bits ─▶ STEPS: one or two symbols (all that headers are usually made of)
//!      └─ no code is that short ─▶ CANONICAL: the size by comparing, the symbol by counting
//! ```

use super::Malformed;

/// Bits of the code of each symbol (RFC 7541 Appendix B). The last is EOS.
#[rustfmt::skip]
const CODE_SIZES: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30,
];

/// Bits of the longest code.
const CODE_SIZE_MAX: usize = 30;
/// Bits of the shortest one.
const CODE_SIZE_MIN: usize = 5;
/// Bits looked at in one step: two digits or small letters, whichever they are.
const STEP_BITS: usize = 12;
/// Not a byte.
const EOS: u16 = 256;

/// Code and size of each byte.
static CODES: [(u32, u8); 256] = CODE.codes;
static CANONICAL: Canonical = CODE.canonical;
static STEPS: [Step; 1 << STEP_BITS] = steps();

/// The code as it is computed from its sizes.
struct Code {
    codes: [(u32, u8); 256],
    canonical: Canonical,
}

/// Per size of code, what tells a code of that size and its symbol.
struct Canonical {
    /// The code after the last one of this size, as the highest bits of 32.
    ends: [u32; CODE_SIZE_MAX + 1],
    /// What a code, as a number, and its symbol's place in `symbols` differ by.
    offsets: [u32; CODE_SIZE_MAX + 1],
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
}

/// What [`STEP_BITS`] bits begin with.
#[derive(Clone, Copy)]
struct Step {
    symbols: [u8; 2],
    /// Bits of the first symbol; 0 when its code is longer than what was looked at.
    size_first: u8,
    /// Bits of all symbols; as `size_first` when there is but one.
    size: u8,
}

const CODE: Code = {
    let mut codes = [(0, 0); 256];
    let mut symbols = [0; 257];
    let (mut ends, mut offsets) = ([0; CODE_SIZE_MAX + 1], [0; CODE_SIZE_MAX + 1]);
    let (mut place, mut code, mut size) = (0, 0_u32, 1);
    while size <= CODE_SIZE_MAX {
        offsets[size] = code.wrapping_sub(place as u32);
        let mut symbol = 0;
        while symbol < CODE_SIZES.len() {
            if CODE_SIZES[symbol] as usize == size {
                if symbol < 256 {
                    codes[symbol] = (code, size as u8);
                }
                symbols[place] = symbol as u16;
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        // After the last code, EOS, there is nothing: its end is beyond 32 bits.
        ends[size] = if size == CODE_SIZE_MAX {
            u32::MAX
        } else {
            code << (32 - size)
        };
        code <<= 1;
        size += 1;
    }
    assert!(
        place == 257 && code == 1 << (CODE_SIZE_MAX + 1),
        "the code is complete"
    );
    let canonical = Canonical {
        ends,
        offsets,
        symbols,
    };
    Code { codes, canonical }
};

const fn steps() -> [Step; 1 << STEP_BITS] {
    let mut steps = [Step {
        symbols: [0; 2],
        size_first: 0,
        size: 0,
    }; 1 << STEP_BITS];
    let mut bits = 0;
    while bits < steps.len() {
        let window = (bits as u32) << (32 - STEP_BITS);
        let (first, size_first) = CODE.canonical.symbol(window);
        if size_first <= STEP_BITS {
            let (second, size_second) = CODE.canonical.symbol(window << size_first);
            let is_pair = size_first + size_second <= STEP_BITS;
            steps[bits] = Step {
                symbols: [first as u8, if is_pair { second as u8 } else { 0 }],
                size_first: size_first as u8,
                size: if is_pair {
                    size_first + size_second
                } else {
                    size_first
                } as u8,
            };
        }
        bits += 1;
    }
    steps
}

impl Canonical {
    /// The symbol that the highest bits of `window` are, and the size of its code.
    const fn symbol(&self, window: u32) -> (u16, usize) {
        let mut size = CODE_SIZE_MIN;
        while size < CODE_SIZE_MAX && window >= self.ends[size] {
            size += 1;
        }
        let code = window >> (32 - size);
        let place = code.wrapping_sub(self.offsets[size]);
        (self.symbols[place as usize], size)
    }
}

/// Bytes there must be room for to decode `size` bytes.
pub(super) fn decoded_size_max(size: usize) -> usize {
    size * 8 / CODE_SIZE_MIN
}

/// Decodes a string to the beginning of `out`; returns its size.
///
/// There must be room for [`decoded_size_max`].
pub(super) fn decode(mut input: &[u8], out: &mut [u8]) -> Result<usize, Malformed> {
    // Bits not yet decoded are the highest ones of the window. Those below are zero or already what
    // comes next in the input.
    let (mut window, mut bits, mut size) = (0_u64, 0_usize, 0);
    while let Some(chunk) = input.first_chunk::<8>() {
        window |= u64::from_be_bytes(*chunk) >> bits;
        let taken = (63 - bits) / 8;
        input = &input[taken..];
        bits += taken * 8;
        // With as many bits as the longest code has, whatever is found is whole.
        while bits >= CODE_SIZE_MAX {
            let step = STEPS[(window >> (64 - STEP_BITS)) as usize];
            let used = if step.size == 0 {
                let (symbol, used) = CANONICAL.symbol((window >> 32) as u32);
                // RFC 7541 5.2: EOS within a string is an error.
                out[size] = byte_of(symbol)?;
                size += 1;
                used
            } else {
                // The second may be none: there is room for what is left of the window, six symbols or more.
                out[size..size + 2].copy_from_slice(&step.symbols);
                size += 1 + usize::from(step.size > step.size_first);
                usize::from(step.size)
            };
            window <<= used;
            bits -= used;
        }
    }
    loop {
        while bits < 56
            && let Some((&byte, rest)) = input.split_first()
        {
            window |= u64::from(byte) << (56 - bits);
            bits += 8;
            input = rest;
        }
        if bits >= STEP_BITS {
            let step = STEPS[(window >> (64 - STEP_BITS)) as usize];
            if step.size > 0 {
                // There is room for two: so many bits count for two in `decoded_size_max`.
                out[size..size + 2].copy_from_slice(&step.symbols);
                size += 1 + usize::from(step.size > step.size_first);
                window <<= step.size;
                bits -= usize::from(step.size);
                continue;
            }
        }
        // Behind the end there are ones: padding, even that of none, is then the beginning of EOS.
        let padded = window | (u64::MAX >> bits);
        let (symbol, used) = CANONICAL.symbol((padded >> 32) as u32);
        if used > bits {
            // RFC 7541 5.2: padding is less than a byte, and ones.
            let is_padding = bits < 8 && padded == u64::MAX;
            return if is_padding {
                Ok(size)
            } else {
                Err(Malformed::HuffmanPadding)
            };
        }
        out[size] = byte_of(symbol)?;
        size += 1;
        window <<= used;
        bits -= used;
    }
}

fn byte_of(symbol: u16) -> Result<u8, Malformed> {
    u8::try_from(symbol).map_err(|_| {
        debug_assert_eq!(symbol, EOS);
        Malformed::HuffmanEos
    })
}

/// Bytes that `plain` takes when encoded.
pub(super) fn encoded_size(plain: &[u8]) -> usize {
    let bits: usize = plain
        .iter()
        .map(|&byte| usize::from(CODES[usize::from(byte)].1))
        .sum();
    bits.div_ceil(8)
}

/// Writes `plain`, encoded, to the end of `out`.
pub(super) fn encode(plain: &[u8], out: &mut Vec<u8>) {
    // Bits not yet written are the lowest ones of the window, less than 32.
    let (mut window, mut bits) = (0_u64, 0);
    for &byte in plain {
        let (code, size) = CODES[usize::from(byte)];
        window = window << size | u64::from(code);
        bits += u32::from(size);
        if bits >= 32 {
            bits -= 32;
            out.extend_from_slice(&((window >> bits) as u32).to_be_bytes());
        }
    }
    // RFC 7541 5.2: padded with the beginning of EOS.
    let padded = (window << (32 - bits)) as u32 | (u64::from(u32::MAX) >> bits) as u32;
    out.extend_from_slice(&padded.to_be_bytes()[..bits.div_ceil(8) as usize]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(plain, &mut out);
        assert_eq!(out.len(), encoded_size(plain));
        out
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = vec![0; decoded_size_max(bytes.len())];
        let size = decode(bytes, &mut out)?;
        out.truncate(size);
        Ok(out)
    }

    /// Bits as text, filled up with ones, to bytes.
    fn bytes_of(bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().map(|bit| bit - b'0').collect();
        bits.chunks(8)
            .map(|byte| {
                (0..8).fold(0, |sum, index| {
                    sum << 1 | byte.get(index).copied().unwrap_or(1)
                })
            })
            .collect()
    }

    /// Some codes as they stand in RFC 7541 Appendix B, the first and the last of several sizes.
    #[test]
    fn codes_of_the_appendix() {
        for (symbol, code, size) in [
            (b'0', 0x0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b'u', 0x2d, 6),
            (b':', 0x5c, 7),
            (b'&', 0xf8, 8),
            (b'?', 0x3fc, 10),
            (b'|', 0x7fc, 11),
            (b'{', 0x7ffe, 15),
            (b'\\', 0x7fff0, 19),
            (0x01, 0x7f_ffd8, 23),
            (0xff, 0x3ff_ffee, 26),
            (b'\n', 0x3fff_fffc, 30),
            (0x16, 0x3fff_fffe, 30),
        ] {
            assert_eq!(CODES[usize::from(symbol)], (code, size), "{symbol:#x}");
        }
    }

    #[test]
    fn every_symbol_alone_and_beside_every_other() {
        for first in 0..=255 {
            assert_eq!(decoded(&encoded(&[first])), Ok(vec![first]));
            for second in 0..=255 {
                // Long enough for both loops to see both symbols at many places.
                let plain = [first, second].repeat(9);
                assert_eq!(decoded(&encoded(&plain)), Ok(plain));
            }
        }
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(encoded(b""), b"");
        assert_eq!(decoded(b""), Ok(Vec::new()));
    }

    /// What there is room for is never too little: the shortest code, over and over.
    #[test]
    fn shortest_codes_fit() {
        for count in 0..100 {
            let plain = vec![b'0'; count];
            assert_eq!(decoded(&encoded(&plain)), Ok(plain));
        }
    }

    #[test]
    fn eos_is_refused_wherever_it_is() {
        for before in 0..30 {
            for after in 0..20 {
                let bits = [
                    &"00000".repeat(before),
                    &"1".repeat(30)[..],
                    &"00000".repeat(after),
                ];
                assert_eq!(
                    decoded(&bytes_of(&bits.concat())),
                    Err(Malformed::HuffmanEos)
                );
            }
        }
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        for count in 0..30 {
            let symbols = "00000".repeat(count);
            let whole = symbols.len().next_multiple_of(8);
            assert_eq!(decoded(&bytes_of(&symbols)), Ok(vec![b'0'; count]));
            // A byte more of ones, and two.
            for more in 1..=2 {
                let bits = format!("{symbols:1<width$}", width = whole + 8 * more);
                assert_eq!(
                    decoded(&bytes_of(&bits)),
                    Err(Malformed::HuffmanPadding),
                    "{count}"
                );
            }
        }
    }

    /// Bit by bit, against the list of codes.
    fn decoded_slowly(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let (mut plain, mut code, mut size) = (Vec::new(), 0, 0);
        for bit in bytes
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        {
            (code, size) = (code << 1 | u32::from(bit), size + 1);
            if let Some(symbol) = CODES.iter().position(|&known| known == (code, size)) {
                plain.push(symbol as u8);
                (code, size) = (0, 0);
            } else if usize::from(size) == CODE_SIZE_MAX {
                return Err(Malformed::HuffmanEos);
            }
        }
        let is_padding = size < 8 && code == (1 << size) - 1;
        if is_padding {
            Ok(plain)
        } else {
            Err(Malformed::HuffmanPadding)
        }
    }

    #[test]
    fn every_two_bytes() {
        for first in 0..=255 {
            assert_eq!(decoded(&[first]), decoded_slowly(&[first]));
            for second in 0..=255 {
                let bytes = [first, second];
                assert_eq!(decoded(&bytes), decoded_slowly(&bytes), "{bytes:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40), ones in 0..7_usize) {
            // Long codes begin with ones.
            let mut bytes = bytes;
            let at = bytes.len() / 2;
            bytes.splice(at..at, vec![0xff; ones]);
            prop_assert_eq!(decoded(&bytes), decoded_slowly(&bytes));
        }

        #[test]
        fn any_text(plain in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = encoded(&plain);
            prop_assert_eq!(decoded_slowly(&bytes), Ok(plain.clone()));
            prop_assert_eq!(decoded(&bytes), Ok(plain));
        }
    }

    #[test]
    fn a_symbol_cut_short_is_wrong_padding() {
        let mut whole = encoded(b"www.example.com\n");
        assert!(decoded(&whole).is_ok());
        whole.pop();
        assert_eq!(decoded(&whole), Err(Malformed::HuffmanPadding));
    }
}
