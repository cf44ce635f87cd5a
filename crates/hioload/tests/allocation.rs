//! In steady state nothing is allocated: no message costs the heap anything, on either driver.
//!
//! A program of its own, and one test in it: the counting allocator sees every thread, so nobody
//! else may run. The clients here allocate nothing either: plain sockets and arrays.

use std::alloc::System;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hioload::{
    Broadcast, DriverChoice, Echo, Server, ServerBuilder, ServerHandle, Settings, StoreConfig,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SIZE_MAX: usize = 20_000;

/// A client that sends and takes frames of one size.
struct Client {
    stream: TcpStream,
    /// A masked frame; the mask is zero, so that the payload is what it is.
    frame: Vec<u8>,
    /// The size of the frame that comes back.
    answer_size: usize,
    input: Box<[u8]>,
}

impl Client {
    fn open(addr: SocketAddr, size: usize) -> Self {
        let mut stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_nodelay(true).expect("an option");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("an option");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        let mut frame = vec![0x82];
        let length_size = if size < 126 {
            frame.push(0x80 | size as u8);
            0
        } else {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(size as u16).to_be_bytes());
            2
        };
        frame.extend_from_slice(&[0; 4]);
        frame.resize(frame.len() + size, 7);
        let answer_size = 2 + length_size + size;
        Self {
            stream,
            frame,
            answer_size,
            input: vec![0; SIZE_MAX].into_boxed_slice(),
        }
    }

    fn send(&mut self) {
        self.stream.write_all(&self.frame).expect("sent");
    }

    fn receive(&mut self) {
        let answer = &mut self.input[..self.answer_size];
        self.stream.read_exact(answer).expect("an answer");
        assert!(answer[0] == 0x82 && answer.last() == Some(&7));
    }
}

/// Runs a server, and `work` with its address until the counts stand.
fn steady(name: &str, builder: ServerBuilder, work: impl FnOnce(SocketAddr) -> Box<dyn FnMut()>) {
    let server = builder.build().unwrap_or_else(|error| panic!("{error}"));
    let (addr, handle) = (server.local_addr(), server.handle());
    let thread = std::thread::spawn(move || server.run());
    let mut round = work(addr);
    // Long enough for every pool and queue to have grown to its size.
    for _ in 0..2000 {
        round();
    }
    // What a message costs shows in every stretch. A queue that grows once more, because threads
    // happened to meet in a new way, shows in one.
    let mut changes = Vec::new();
    let is_free = (0..5).any(|_| {
        let region = Region::new(COUNTING);
        for _ in 0..1000 {
            round();
        }
        let change = region.change();
        changes.push(change);
        change.allocations + change.reallocations == 0
    });
    stop(&handle, round, thread);
    assert!(is_free, "{name}: in stretches of 1,000 rounds: {changes:?}");
    println!(
        "{name}: no allocation in 1,000 rounds (stretch {})",
        changes.len()
    );
}

fn stop(
    handle: &ServerHandle,
    round: Box<dyn FnMut()>,
    thread: std::thread::JoinHandle<Result<(), hioload::RunError>>,
) {
    drop(round);
    handle.shutdown();
    thread.join().expect("no panic").expect("it ends in order");
}

fn builder(driver: DriverChoice, workers: usize) -> ServerBuilder {
    let mut settings = Settings {
        sessions_max: 1000,
        ..Settings::default()
    };
    // The periodic work is part of it: several times within the test.
    settings.channel.window = Duration::from_millis(160);
    Server::builder()
        .addr(SocketAddr::from(([127, 0, 0, 1], 0)))
        .driver(driver)
        .workers(workers)
        .shutdown(Duration::from_millis(300), 0)
        .settings(settings)
}

/// 8 connections of different sizes, 1 to 16 messages in flight.
fn echo(addr: SocketAddr) -> Box<dyn FnMut()> {
    let mut clients: Vec<Client> = [0, 1, 20, 125, 126, 512, 4096, 16_384]
        .into_iter()
        .map(|size| Client::open(addr, size.max(1)))
        .collect();
    Box::new(move || {
        for (number, client) in clients.iter_mut().enumerate() {
            (0..16 >> (number / 2)).for_each(|_| client.send());
        }
        for (number, client) in clients.iter_mut().enumerate() {
            (0..16 >> (number / 2)).for_each(|_| client.receive());
        }
    })
}

/// 16 subscribers; each of them publishes in turn, a few at a time.
fn broadcast(addr: SocketAddr) -> Box<dyn FnMut()> {
    let mut clients: Vec<Client> = (0..16).map(|_| Client::open(addr, 64)).collect();
    let mut turn = 0;
    Box::new(move || {
        turn = (turn + 1) % clients.len();
        let count = 1 + turn % 4;
        (0..count).for_each(|_| clients[turn].send());
        for (number, client) in clients.iter_mut().enumerate() {
            if number != turn {
                (0..count).for_each(|_| client.receive());
            }
        }
    })
}

/// Reads events, each as it comes.
struct Reader {
    stream: TcpStream,
    input: Box<[u8]>,
}

impl Reader {
    fn open(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("an option");
        let request = format!("GET /events HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut head = Vec::new();
        // The head, how long to wait, and where it stands.
        while !(head.windows(4).any(|end| end == b"id: ") && head.ends_with(b"\n\n")) {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        Self {
            stream,
            input: vec![0; SIZE_MAX].into_boxed_slice(),
        }
    }

    /// Reads so many events.
    fn receive(&mut self, count: usize) {
        let mut size = 0;
        let ends = |input: &[u8]| input.windows(2).filter(|end| end == b"\n\n").count();
        while ends(&self.input[..size]) < count {
            match self.stream.read(&mut self.input[size..]) {
                // A ring of this thread has work to do in between.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                more => {
                    let more = more.expect("events");
                    assert!(more > 0, "the stream ended");
                    size += more;
                }
            }
        }
        assert!(self.input[..size].ends_with(b"\n\n"));
    }
}

/// 8 readers of events, and a session that publishes, a few messages at a time.
fn events(addr: SocketAddr) -> Box<dyn FnMut()> {
    let mut readers: Vec<Reader> = (0..8).map(|_| Reader::open(addr)).collect();
    let mut publisher = Client::open(addr, 64);
    let mut turn = 0;
    Box::new(move || {
        turn += 1;
        let count = 1 + turn % 4;
        (0..count).for_each(|_| publisher.send());
        readers.iter_mut().for_each(|reader| reader.receive(count));
    })
}

/// Blocks of two sizes, again and again.
fn get(addr: SocketAddr) -> Box<dyn FnMut()> {
    let mut stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_nodelay(true).expect("an option");
    let mut input = vec![0; SIZE_MAX].into_boxed_slice();
    let requests: Vec<(Vec<u8>, usize)> = [1, 4096]
        .into_iter()
        .map(|size| {
            let put = format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
            stream.write_all(put.as_bytes()).expect("sent");
            stream.write_all(&vec![7; size]).expect("sent");
            let (head_size, body_size) = response(&mut stream, &mut input);
            let hash = std::str::from_utf8(&input[head_size..head_size + body_size]);
            let hash = hash.expect("hexadecimal digits");
            let get = format!("GET /{hash} HTTP/1.1\r\nHost: h\r\n\r\n");
            (get.into_bytes(), size)
        })
        .collect();
    Box::new(move || {
        for (request, size) in &requests {
            stream.write_all(request).expect("sent");
            assert_eq!(response(&mut stream, &mut input).1, *size);
        }
    })
}

/// Blocks of two sizes over HTTP/2, both at once, again and again.
fn get_over_http_2(addr: SocketAddr) -> Box<dyn FnMut()> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const SIZES: [usize; 2] = [1, 4096];
    let (mut stream, mut input) = (
        TcpStream::connect(addr).expect("the server listens"),
        [0; 8192],
    );
    stream.set_nodelay(true).expect("an option");
    let paths = SIZES.map(|size| {
        let put = format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(put.as_bytes()).expect("sent");
        stream.write_all(&vec![7; size]).expect("sent");
        let (head, body) = response(&mut stream, &mut input);
        [b"/", &input[head..head + body]].concat()
    });
    let mut stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_nodelay(true).expect("an option");
    stream.write_all(PREFACE).expect("sent");
    let mut requests = Vec::new();
    for (path, size) in paths.iter().zip(SIZES) {
        // RFC 7541: GET, http, a path as it is, an authority as it is.
        let block = [b"\x82\x86\x04", &[path.len() as u8][..], path, b"\x01\x01h"].concat();
        requests.extend_from_slice(&[0, 0, block.len() as u8, 1, 0x05, 0, 0, 0, 0]);
        requests.extend_from_slice(&block);
        // The connection's window is given back.
        requests.extend_from_slice(&[0, 0, 4, 8, 0, 0, 0, 0, 0]);
        requests.extend_from_slice(&(size as u32).to_be_bytes());
    }
    let second = requests.len() / 2;
    let mut next = 1_u32;
    Box::new(move || {
        for at in [0, second] {
            requests[at + 5..at + 9].copy_from_slice(&next.to_be_bytes());
            next += 2;
        }
        stream.write_all(&requests).expect("sent");
        let (mut ended, mut size) = (0, 0);
        while ended < SIZES.len() {
            stream.read_exact(&mut input[..9]).expect("a frame");
            let length = usize::from(input[1]) << 8 | usize::from(input[2]);
            let (kind, flags) = (input[3], input[4]);
            stream.read_exact(&mut input[..length]).expect("a payload");
            assert!(kind != 3 && kind != 7, "reset, or going away");
            if kind == 0 {
                size += length;
                ended += usize::from(flags & 1);
            }
        }
        assert_eq!(size, SIZES.iter().sum::<usize>());
    })
}

/// Reads one response; the bytes of its head and of its body.
fn response(stream: &mut TcpStream, input: &mut [u8]) -> (usize, usize) {
    let mut count = 0;
    loop {
        count += stream.read(&mut input[count..]).expect("an answer");
        let end = input[..count].windows(4).position(|end| end == b"\r\n\r\n");
        let Some(end) = end else { continue };
        let head = &input[..end];
        assert!(head.starts_with(b"HTTP/1.1 20"), "{}", head.escape_ascii());
        let name = b"Content-Length: ";
        let start = head.windows(name.len()).position(|part| part == name);
        let digits = &head[start.expect("a length") + name.len()..];
        let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
        let size = digits.fold(0, |size, digit| size * 10 + usize::from(digit - b'0'));
        if count == end + 4 + size {
            return (end + 4, size);
        }
    }
}

#[test]
fn no_message_allocates() {
    // The count counts.
    let region = Region::new(COUNTING);
    drop(std::hint::black_box(vec![1]));
    assert_eq!(region.change().allocations, 1);

    let has_uring = builder(DriverChoice::Uring, 1).build().map(drop);
    let mut drivers = vec![DriverChoice::Poll];
    match has_uring {
        Ok(()) => drivers.push(DriverChoice::Uring),
        Err(error) => println!("NOT RUN on io_uring: {error}"),
    }
    for driver in drivers {
        steady(
            &format!("echo, {driver:?}"),
            builder(driver, 1).handler(|_| Echo),
            echo,
        );
        for workers in [1, 2] {
            let name = format!("broadcast on {workers} workers, {driver:?}");
            let make = |_| Broadcast::default();
            steady(&name, builder(driver, workers).handler(make), broadcast);
            let name = format!("events on {workers} workers, {driver:?}");
            steady(&name, builder(driver, workers).handler(make), events);
        }
        let dir = tempfile::tempdir().expect("a directory");
        let store = StoreConfig {
            grow: 16 << 20,
            ..StoreConfig::new(dir.path().join("data"))
        };
        let name = format!("blocks, {driver:?}");
        steady(&name, builder(driver, 1).store(Some(store.clone())), get);
        let name = format!("blocks over HTTP/2, {driver:?}");
        steady(
            &name,
            builder(driver, 1).store(Some(store)),
            get_over_http_2,
        );
    }
}
