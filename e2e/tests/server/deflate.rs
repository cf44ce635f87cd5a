//! permessage-deflate (RFC 7692) against zlib, used here without the server's own wrapping.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use hioload::{DriverChoice, Echo};
use hioload_e2e::{Running, Wire, frame_bytes};
use hioload_ws::deflate::DeflatePolicy;

const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// RFC 7692 7.2.1.
pub(crate) fn deflate_with(engine: &mut Compress, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    let start = engine.total_in();
    loop {
        let done = (engine.total_in() - start) as usize;
        engine
            .compress_vec(&payload[done..], &mut out, FlushCompress::Sync)
            .expect("deflates");
        if out.len() < out.capacity() && engine.total_in() - start == payload.len() as u64 {
            break;
        }
        out.reserve(1024);
    }
    assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

/// RFC 7692 7.2.2.
pub(crate) fn inflate_with(engine: &mut Decompress, payload: &[u8]) -> Vec<u8> {
    let input = [payload, &TAIL].concat();
    let mut out = Vec::with_capacity(1 << 21);
    let start = engine.total_in();
    while engine.total_in() - start < input.len() as u64 {
        let done = (engine.total_in() - start) as usize;
        engine
            .decompress_vec(&input[done..], &mut out, FlushDecompress::Sync)
            .expect("inflates");
        assert!(out.len() < out.capacity(), "larger than any test sends");
    }
    out
}

pub(crate) fn deflate(payload: &[u8]) -> Vec<u8> {
    deflate_with(&mut Compress::new(Compression::default(), false), payload)
}

pub(crate) fn inflate(payload: &[u8]) -> Vec<u8> {
    inflate_with(&mut Decompress::new(false), payload)
}

fn server(driver: DriverChoice, policy: Option<DeflatePolicy>) -> Running {
    let mut settings = Running::settings();
    settings.accept.deflate = policy;
    Running::start(
        Running::builder(driver, 1)
            .settings(settings)
            .handler(|_| Echo),
    )
}

fn open(server: &Running, offer: &str) -> (Wire, String) {
    let mut wire = Wire::dial(server.addr());
    let head = wire.upgrade("/", &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
    (wire, head)
}

/// A message of `number` that shrinks, more so when the ones before are remembered.
fn message(number: u32) -> Vec<u8> {
    let line = format!("message {number}: the quick brown fox jumps over the lazy dog; ");
    let noise = crate::echo::noise(400);
    [line.repeat(3).as_bytes(), &noise].concat()
}

/// No context kept on either side: every message stands for itself.
pub(crate) fn without_takeover_every_message_stands_alone(driver: DriverChoice) {
    let server = server(driver, Some(DeflatePolicy::default()));
    let (mut wire, head) = open(&server, "permessage-deflate");
    assert!(head.contains("server_no_context_takeover"), "{head}");
    assert!(head.contains("client_no_context_takeover"), "{head}");
    for number in 0..20 {
        let payload = message(number % 2);
        wire.send(&frame_bytes(0xC2, &deflate(&payload)));
        let answer = wire.next();
        assert_eq!(answer.first, 0xC2, "compressed");
        assert!(inflate(&answer.payload) == payload);
    }
    // Small messages go out as they are; compressed ones come in whatever their size.
    wire.send(&frame_bytes(0xC1, &deflate(b"hi")));
    let answer = wire.next();
    assert_eq!((answer.first, &answer.payload[..]), (0x81, &b"hi"[..]));
    // Not compressed is allowed as well (RFC 7692 6).
    wire.send(&frame_bytes(0x82, &message(7)));
    assert!(inflate(&wire.next().payload) == message(7));
    // The empty message.
    wire.send(&frame_bytes(0xC1, &[0]));
    let answer = wire.next();
    assert_eq!((answer.first, answer.payload.len()), (0x81, 0));
}

/// Context kept on both sides: repetition over messages pays.
pub(crate) fn with_takeover_the_context_is_kept(driver: DriverChoice) {
    let policy = DeflatePolicy {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflatePolicy::default()
    };
    let server = server(driver, Some(policy));
    let (mut wire, head) = open(&server, "permessage-deflate");
    assert!(!head.contains("no_context_takeover"), "{head}");
    let mut out = Compress::new(Compression::default(), false);
    let mut back = Decompress::new(false);
    let mut sizes = Vec::new();
    for number in 0..20 {
        let payload = message(number);
        wire.send(&frame_bytes(0xC2, &deflate_with(&mut out, &payload)));
        let answer = wire.next();
        assert_eq!(answer.first, 0xC2);
        sizes.push(answer.payload.len());
        assert!(
            inflate_with(&mut back, &answer.payload) == payload,
            "message {number}"
        );
    }
    // The noise in it is the same each time: only a kept context makes that small.
    assert!(
        sizes[0] > 400 && sizes[1..].iter().all(|size| *size < 100),
        "{sizes:?}"
    );
}

pub(crate) fn windows_are_negotiated(driver: DriverChoice) {
    let server = server(driver, Some(DeflatePolicy::default()));
    let (mut wire, head) = open(&server, "permessage-deflate; server_max_window_bits=9");
    assert!(head.contains("server_max_window_bits=9"), "{head}");
    // A window of 512 bytes does not reach back over 1,000 bytes of noise.
    let noise = crate::echo::noise(1000);
    let payload = [&noise[..], &noise].concat();
    wire.send(&frame_bytes(0xC2, &deflate(&payload)));
    let answer = wire.next();
    let body = if answer.first == 0xC2 {
        inflate(&answer.payload)
    } else {
        answer.payload.clone()
    };
    assert!(
        body == payload && answer.payload.len() > 1500,
        "{} bytes",
        answer.payload.len()
    );
    // A small-window inflater of the client's takes it all.
    let mut engine = Decompress::new_with_window_bits(false, 9);
    let text = b"abc ".repeat(2000);
    wire.send(&frame_bytes(0xC2, &deflate(&text)));
    assert!(inflate_with(&mut engine, &wire.next().payload) == text);
}

pub(crate) fn what_is_not_offered_or_not_allowed_is_not_used(driver: DriverChoice) {
    let on = server(driver, Some(DeflatePolicy::default()));
    let (mut wire, head) = open(&on, "x-webkit-deflate-frame");
    assert!(!head.contains("Extensions"), "{head}");
    // RSV1 without the extension is an offence (RFC 6455 5.2).
    wire.send(&frame_bytes(0xC1, &deflate(b"hi")));
    assert_eq!(wire.closed(), Some(1002));
    let off = server(driver, None);
    let (mut wire, head) = open(&off, "permessage-deflate");
    assert!(!head.contains("Extensions"), "{head}");
    wire.send(&frame_bytes(0x81, b"plain"));
    assert_eq!(wire.next().payload, b"plain");
}

pub(crate) fn fragments_are_compressed_as_one_message(driver: DriverChoice) {
    let server = server(driver, Some(DeflatePolicy::default()));
    let (mut wire, _) = open(&server, "permessage-deflate");
    let payload = message(1).repeat(100);
    let compressed = deflate(&payload);
    let (first, rest) = compressed.split_at(compressed.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    // RSV1 on the first fragment only (RFC 7692 6.1).
    wire.send(&frame_bytes(0x42, first));
    wire.send(&frame_bytes(0x89, b"between"));
    wire.send(&frame_bytes(0x00, second));
    wire.send(&frame_bytes(0x80, third));
    assert_eq!(wire.next().payload, b"between");
    assert!(inflate(&wire.next().payload) == payload);
    // RSV1 on a later fragment is an offence.
    wire.send(&[frame_bytes(0x42, first), frame_bytes(0x40, second)].concat());
    assert_eq!(wire.closed(), Some(1002));
}
