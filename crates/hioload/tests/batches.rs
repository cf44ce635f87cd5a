//! What arrives together is answered together, however the receive buffers cut it up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hioload::{DriverChoice, Echo, Server, Stats};
use hioload_reactor::DriverConfig;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
/// Messages of one batch, and their payload.
const COUNT: usize = 16;
const SIZE: u8 = 20;
const ROUNDS: u64 = 50;

fn client(addr: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("the server listens");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("an option");
    stream.write_all(REQUEST).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    stream
}

/// A batch of masked frames; the mask is zero.
fn batch() -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | SIZE, 0, 0, 0, 0];
    frame.resize(frame.len() + usize::from(SIZE), 7);
    frame.repeat(COUNT)
}

fn batches_are_answered_whole(driver: DriverChoice) {
    // A batch fills three buffers and a part of the fourth.
    let config = DriverConfig {
        recv_buffer_size: 128,
        recv_buffer_count: 8,
        ..DriverConfig::default()
    };
    let server = Server::builder()
        .addr(([127, 0, 0, 1], 0).into())
        .workers(1)
        .driver(driver)
        .driver_config(config)
        .handler(|_| Echo)
        .build()
        .expect("a server");
    let (addr, handle) = (server.local_addr(), server.handle());
    let running = std::thread::spawn(move || server.run());
    let mut stream = client(addr);
    let mut answer = vec![0; COUNT * (2 + usize::from(SIZE))];
    for _ in 0..ROUNDS {
        stream.write_all(&batch()).expect("sent");
        stream.read_exact(&mut answer).expect("answers");
    }
    // Figures are shown now and then.
    let start = Instant::now();
    let mut stats = Stats::default();
    while stats.messages_sent < ROUNDS * COUNT as u64 {
        assert!(start.elapsed() < Duration::from_secs(20), "{stats:?}");
        std::thread::sleep(Duration::from_millis(10));
        stats = handle.stats();
    }
    drop(stream);
    handle.shutdown();
    running.join().expect("no panic").expect("an end in order");
    // One for the handshake and one for each batch. io_uring pauses a multishot receive after every
    // 32 buffers that it filled one after the other; what is left then comes a turn later.
    let pauses = ROUNDS * 3 / 32 + 1;
    let sends = stats.sends - 1;
    assert!((ROUNDS..=ROUNDS + pauses).contains(&sends), "{sends}");
}

#[test]
fn poll_answers_batches_whole() {
    batches_are_answered_whole(DriverChoice::Poll);
}

#[test]
fn uring_answers_batches_whole() {
    if let Err(refusal) = hioload_reactor::uring::probe() {
        println!("skipped: {refusal}");
        return;
    }
    batches_are_answered_whole(DriverChoice::Uring);
}
