//! What a message costs in this room alone. `cargo bench -p hioload-ws`; look at "fastest".

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use hioload_ws::deflate::{DeflatePolicy, Deflater, Inflater};
use hioload_ws::handshake::{AcceptPolicy, HandshakeLimits, Request, accept};
use hioload_ws::{Event, Kind, Limits, Outgoing, Role, Session, encode_header, mask};

fn main() {
    divan::main();
}

/// Frames of printable text whose key keeps it ASCII, so that the same input can be unmasked again
/// and again.
fn frames(kind: Kind, len: usize, count: usize) -> Vec<u8> {
    let header = encode_header(Outgoing {
        mask: Some([1, 2, 3, 4]),
        ..Outgoing::message(kind, len)
    });
    [&header, &vec![b'p'; len][..]].concat().repeat(count)
}

/// Takes and answers every message, as an echo server does.
fn echo(session: &mut Session, limits: &Limits, mut input: &mut [u8], out: &mut Vec<u8>) {
    out.clear();
    while let Ok(Some(event)) = session.handle_input(limits, &mut input) {
        if let Event::Data { kind, payload, .. } = event {
            let header = session.frame_header(Outgoing::message(kind, payload.len()));
            out.extend_from_slice(&header.expect("legal"));
            out.extend_from_slice(payload);
        }
    }
}

#[divan::bench(args = [(20, 16), (20, 1), (125, 16), (512, 1), (16_384, 1)])]
fn echo_text(bencher: Bencher, (len, count): (usize, usize)) {
    bench_echo(bencher, Kind::Text, len, count);
}

#[divan::bench(args = [(20, 16), (512, 1), (16_384, 1)])]
fn echo_binary(bencher: Bencher, (len, count): (usize, usize)) {
    bench_echo(bencher, Kind::Binary, len, count);
}

fn bench_echo(bencher: Bencher, kind: Kind, len: usize, count: usize) {
    let mut input = frames(kind, len, count);
    let mut session = Session::new(Role::Server, false);
    let mut out = Vec::with_capacity(input.len());
    let limits = Limits::default();
    bencher
        .counter(ItemsCount::new(count))
        .counter(BytesCount::new(len * count))
        .bench_local(|| {
            echo(
                &mut session,
                black_box(&limits),
                black_box(&mut input),
                &mut out,
            );
            assert!(!out.is_empty());
        });
}

#[divan::bench(args = [20, 512, 16_384, 1 << 20])]
fn unmask(bencher: Bencher, len: usize) {
    let mut bytes = vec![7; len];
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| mask(black_box(&mut bytes), black_box([1, 2, 3, 4]), 0));
}

#[divan::bench(args = [20, 512, 16_384])]
fn utf8_of_no_ascii(bencher: Bencher, len: usize) {
    let text = "é".repeat(len / 2);
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| hioload_ws::utf8::is_valid(black_box(text.as_bytes())));
}

fn json(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len)
        .flat_map(|n| format!("{{\"price\":{}}}", n * 7919 % 10_007).into_bytes())
        .collect();
    bytes.truncate(len);
    bytes
}

#[divan::bench(args = [64, 1024, 16_384])]
fn deflate(bencher: Bencher, len: usize) {
    let message = json(len);
    let mut deflater = Deflater::new(15, 1);
    let mut out = Vec::new();
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        out.clear();
        deflater.compress(black_box(&message), &mut out, false);
    });
}

#[divan::bench(args = [64, 1024, 16_384])]
fn inflate(bencher: Bencher, len: usize) {
    let mut compressed = Vec::new();
    Deflater::new(15, 1).compress(&json(len), &mut compressed, false);
    let mut inflater = Inflater::new(15);
    let mut out = Vec::new();
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        out.clear();
        inflater
            .inflate(black_box(&compressed), &mut out, len, false)
            .expect("legal");
    });
}

#[divan::bench]
fn handshake(bencher: Bencher) {
    let head = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate; \
        client_max_window_bits\r\n\r\n";
    let policy = AcceptPolicy {
        deflate: Some(DeflatePolicy::default()),
        ..Default::default()
    };
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        let parsed = Request::parse(black_box(head), &HandshakeLimits::default());
        let (request, _) = parsed.expect("legal").expect("complete");
        accept(&request, &policy, &mut out).expect("welcome");
    });
}
