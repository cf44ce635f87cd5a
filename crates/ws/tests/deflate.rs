//! The engines against each other, against raw `flate2`, and against hostile input.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use hioload_ws::deflate::{Deflater, Inflater};
use hioload_ws::{Offence, OffenceKind};

const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Text with repetitions near and far.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 7u32;
    let mut bytes = Vec::with_capacity(len + 32);
    while bytes.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 30 == 0 {
            bytes.extend_from_slice(&state.to_be_bytes());
        } else {
            bytes.extend_from_slice(format!("{{\"price\":{}}}", state >> 22).as_bytes());
        }
    }
    bytes.truncate(len);
    bytes
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(len)
    .collect()
}

fn messages() -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = [0, 1, 2, 20, 125, 1000, 16_384, 40_000, 100_000]
        .map(sample)
        .into();
    messages.extend([1, 100, 20_000, 65_536].map(noise));
    messages.push(vec![0; 300_000]);
    messages
}

fn compress(deflater: &mut Deflater, message: &[u8], takeover: bool) -> Vec<u8> {
    let mut out = b"before".to_vec();
    deflater.compress(message, &mut out, takeover);
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

fn inflate(input: &[u8], size_max: usize) -> Result<Vec<u8>, OffenceKind> {
    let mut out = Vec::new();
    match Inflater::new(15).inflate(input, &mut out, size_max, false) {
        Ok(()) => Ok(out),
        Err(offence) => {
            assert!(out.is_empty());
            Err(offence.kind)
        }
    }
}

#[test]
fn round_trip_at_each_window_and_level() {
    for bits in 9..=15 {
        for (level, takeover) in [(1, false), (6, true), (9, false), (0, true)] {
            let mut deflater = Deflater::new(bits, level);
            // The receiver's window is exactly the sender's: a reference further back would fail.
            let mut inflater = Inflater::new(bits);
            for message in messages().iter().chain(&messages()) {
                let compressed = compress(&mut deflater, message, takeover);
                let mut out = b"before".to_vec();
                let result = inflater.inflate(&compressed, &mut out, message.len(), takeover);
                assert_eq!(result, Ok(()));
                assert!(
                    out[6..] == **message,
                    "{bits} bits, {} bytes",
                    message.len()
                );
            }
        }
    }
}

#[test]
fn raw_flate2_reads_what_we_write() {
    for bits in 9..=15 {
        let mut deflater = Deflater::new(bits, 6);
        for message in messages() {
            let mut compressed = compress(&mut deflater, &message, false);
            assert!(!compressed.ends_with(&TAIL));
            compressed.extend_from_slice(&TAIL);
            let mut out = Vec::with_capacity(message.len() + 1);
            let mut engine = Decompress::new_with_window_bits(false, bits);
            engine
                .decompress_vec(&compressed, &mut out, FlushDecompress::Sync)
                .expect("legal");
            assert!(out == message, "{bits} bits, {} bytes", message.len());
        }
    }
}

#[test]
fn we_read_what_raw_flate2_writes() {
    for bits in 9..=15 {
        let mut engine = Compress::new_with_window_bits(Compression::new(6), false, bits);
        let mut inflater = Inflater::new(bits);
        for message in messages().into_iter().filter(|message| !message.is_empty()) {
            let mut compressed = Vec::with_capacity(message.len() * 2 + 100);
            engine
                .compress_vec(&message, &mut compressed, FlushCompress::Sync)
                .expect("legal");
            let compressed = compressed.strip_suffix(&TAIL).expect("a flush ends so");
            let mut out = Vec::new();
            assert_eq!(
                inflater.inflate(compressed, &mut out, usize::MAX, true),
                Ok(())
            );
            assert!(out == message);
        }
    }
}

#[test]
fn takeover_makes_repetition_cheap_and_no_takeover_does_not_leak() {
    let message = sample(200);
    let mut deflater = Deflater::new(15, 6);
    let first = compress(&mut deflater, &message, true);
    let second = compress(&mut deflater, &message, true);
    assert!(second.len() * 4 < first.len());
    assert_eq!(
        inflate(&second, 1000),
        Err(OffenceKind::DeflateData),
        "refers to the first"
    );
    assert_eq!(
        compress(&mut deflater, &message, false),
        first,
        "the context is gone"
    );
}

/// The examples of RFC 7692 7.2.3.
#[test]
fn examples_of_the_rfc() {
    let hello = |bytes: &[u8]| assert_eq!(inflate(bytes, 5).as_deref(), Ok(&b"Hello"[..]));
    let one_block = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    hello(&one_block);
    // 7.2.3.2: the second message refers to the first.
    let mut inflater = Inflater::new(15);
    let mut out = Vec::new();
    assert_eq!(inflater.inflate(&one_block, &mut out, 5, true), Ok(()));
    assert_eq!(
        inflater.inflate(&[0xF2, 0x00, 0x11, 0x00, 0x00], &mut out, 5, true),
        Ok(())
    );
    assert_eq!(out, b"HelloHello");
    // 7.2.3.3: a block without compression.
    hello(&[
        0x00, 0x05, 0x00, 0xFA, 0xFF, b'H', b'e', b'l', b'l', b'o', 0x00,
    ]);
    // 7.2.3.4: a block with BFINAL set.
    hello(&[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]);
    // 7.2.3.5: two blocks in one message.
    hello(&[
        0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
    ]);
    // 7.2.3.6: an empty message.
    assert_eq!(inflate(&[0x00], 0), Ok(Vec::new()));
    assert_eq!(compress(&mut Deflater::new(15, 6), b"", false), [0x00]);
}

#[test]
fn blocks_after_a_final_one_are_read() {
    let final_hello = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let twice = [&final_hello[..], &final_hello, &[0x00]].concat();
    assert_eq!(inflate(&twice, 10).as_deref(), Ok(&b"HelloHello"[..]));
    let without_the_empty_block = inflate(&final_hello, 5);
    assert_eq!(without_the_empty_block.as_deref(), Ok(&b"Hello"[..]));
}

#[test]
fn final_blocks_are_limited() {
    let empty_final = [0x03, 0x00];
    assert_eq!(inflate(&empty_final.repeat(16), 0), Ok(Vec::new()));
    assert_eq!(
        inflate(&empty_final.repeat(17), 0),
        Err(OffenceKind::DeflateData)
    );
}

#[test]
fn an_empty_payload_is_an_empty_message() {
    let mut inflater = Inflater::new(15);
    let mut out = Vec::new();
    for takeover in [false, true] {
        assert_eq!(inflater.inflate(&[], &mut out, 0, takeover), Ok(()));
    }
    let hello = compress(&mut Deflater::new(15, 6), b"Hello", false);
    assert_eq!(inflater.inflate(&hello, &mut out, 5, true), Ok(()));
    assert_eq!(out, b"Hello");
}

#[test]
fn inflated_size_limit() {
    for message in [b"a".to_vec(), vec![b'a'; 3000], noise(3000), sample(50_000)] {
        let compressed = compress(&mut Deflater::new(15, 6), &message, false);
        let len = message.len();
        for size_max in [0, 1, len - 1, len, len + 1] {
            let expected = if size_max < len {
                Err(OffenceKind::InflatedTooBig)
            } else {
                Ok(message.clone())
            };
            assert!(
                inflate(&compressed, size_max) == expected,
                "{len} bytes, limit {size_max}"
            );
        }
    }
}

#[test]
fn a_bomb_is_not_allocated() {
    let bomb = compress(&mut Deflater::new(15, 9), &vec![0; 64 << 20], false);
    assert!(bomb.len() < 100_000);
    let mut out = Vec::new();
    let size_max = 1 << 20;
    let result = Inflater::new(15).inflate(&bomb, &mut out, size_max, false);
    assert_eq!(
        result,
        Err(Offence {
            kind: OffenceKind::InflatedTooBig
        })
    );
    assert!(
        out.capacity() <= size_max,
        "{} bytes allocated",
        out.capacity()
    );
}

#[test]
fn a_message_cut_off_is_refused() {
    for message in [sample(10), sample(3000), noise(3000)] {
        let compressed = compress(&mut Deflater::new(15, 6), &message, false);
        // One byte may be the start of a stored block, which is what an empty message looks like.
        for len in 2..compressed.len() {
            assert_eq!(
                inflate(&compressed[..len], 5000),
                Err(OffenceKind::DeflateData),
                "{len}"
            );
        }
    }
}

#[test]
fn a_message_cut_off_is_refused_with_takeover_too() {
    let stored = [
        0x00, 0x05, 0x00, 0xFA, 0xFF, b'H', b'e', b'l', b'l', b'o', 0x00,
    ];
    for len in 5..10 {
        let mut out = Vec::new();
        let result = Inflater::new(15).inflate(&stored[..len], &mut out, 100, true);
        assert_eq!(
            result,
            Err(Offence {
                kind: OffenceKind::DeflateData
            }),
            "{len}"
        );
        assert!(out.is_empty());
    }
}

#[test]
fn an_inflater_is_good_again_after_a_refusal() {
    let mut inflater = Inflater::new(15);
    let hello = compress(&mut Deflater::new(15, 6), b"Hello", false);
    let mut out = Vec::new();
    for bad in [&[0xFF, 0xFF][..], &hello[..3], &[0x06]] {
        assert!(inflater.inflate(bad, &mut out, 100, false).is_err());
        assert_eq!(inflater.inflate(&hello, &mut out, 5, false), Ok(()));
    }
    assert!(inflater.inflate(&hello, &mut out, 4, true).is_err());
    assert_eq!(inflater.inflate(&hello, &mut out, 5, true), Ok(()));
    assert_eq!(out, b"Hello".repeat(4));
}
