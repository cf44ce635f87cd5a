//! A running server, and clients that are nothing but a socket: one of text, one of HTTP/2 frames.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test takes what it needs"
)]

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hioload::client::Client;
use hioload::streams::{Filter, Kind, StreamRow, StreamUid, Streams};
use hioload::{Control, DriverChoice, RunError, Server, ServerBuilder, Stats};
use hioload_base::Time;
use hioload_http::h2;

/// For what is to happen: long enough for the slowest machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// All drivers that work here.
pub(super) fn on_each_driver(test: impl Fn(DriverChoice)) {
    test(DriverChoice::Poll);
    let uring = Server::builder()
        .addr(SocketAddr::from(([127, 0, 0, 1], 0)))
        .workers(1)
        .memory(96 << 20)
        .driver(DriverChoice::Uring);
    if uring.build().is_ok() {
        test(DriverChoice::Uring);
    }
}

/// A server on a thread of its own; it stops when it is dropped.
pub(super) struct Running {
    pub(super) addr: SocketAddr,
    pub(super) addr_clear: Option<SocketAddr>,
    pub(super) control: Control,
    pub(super) streams: Streams,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Running {
    pub(super) fn start(builder: ServerBuilder) -> Running {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = builder
            .addr(addr)
            .memory(96 << 20)
            .build()
            .expect("a server");
        Running {
            addr: server.local_addr(),
            addr_clear: server.local_addr_clear(),
            control: server.control(),
            streams: server.control().streams(),
            thread: Some(std::thread::spawn(|| server.run())),
        }
    }

    /// A WebSocket session of the path `/`.
    pub(super) fn websocket(&self) -> Client {
        let builder = Client::builder().read_timeout(Some(PATIENCE));
        let url = format!("ws://{}/", self.addr);
        builder.connect(&url).expect("it listens")
    }

    /// The streams of a kind.
    pub(super) fn list(&self, kind: Kind) -> Vec<StreamRow> {
        let filter = Filter {
            kind: Some(kind),
            ..Filter::default()
        };
        let list = self.streams.list(&filter, 1000, PATIENCE);
        assert!(list.is_complete);
        list.streams
    }

    /// Waits until a stream is there no more.
    pub(super) fn wait_gone(&self, uid: StreamUid) {
        let deadline = Instant::now() + PATIENCE;
        while self.streams.exists(uid, PATIENCE) == Ok(true) {
            assert!(Instant::now() < deadline, "{uid} lives");
            std::thread::yield_now();
        }
    }

    /// Waits for figures.
    pub(super) fn wait(&self, what: &str, is_so: impl Fn(&Stats) -> bool) -> Stats {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.control.totals();
            if is_so(&stats) {
                return stats;
            }
            assert!(Instant::now() < deadline, "{what}: {stats:?}");
            std::thread::yield_now();
        }
    }

    /// Shuts down, and says what came of it. Peers that are still there and say nothing are waited for.
    pub(super) fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.control.shutdown();
            let ended = thread.join().expect("no panic");
            ended.expect("no worker fails");
        }
    }

    /// Shuts down while this thread goes on: its peers may read what they are told, and close.
    pub(super) fn stopping(mut self) -> JoinHandle<()> {
        std::thread::spawn(move || self.stop())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// An answer: status, head, content.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(this, _)| this.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("text")
    }
}

fn read(socket: &mut TcpStream, part: &mut [u8]) -> usize {
    loop {
        match socket.read(part) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome.expect("in time"),
        }
    }
}

/// A connection that speaks text.
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    bytes: Vec<u8>,
}

impl Socket {
    pub(super) fn connect(addr: SocketAddr) -> Socket {
        let stream = TcpStream::connect(addr).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let bytes = Vec::new();
        Socket { stream, bytes }
    }

    pub(super) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("open");
    }

    /// Asks for a path without waiting for the answer.
    pub(super) fn ask(&mut self, target: &str, fields: &str) {
        self.write(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    }

    /// Asks for a path.
    pub(super) fn get(&mut self, target: &str, fields: &str) -> Answer {
        self.ask(target, fields);
        self.answer()
    }

    /// False at the end.
    fn more(&mut self) -> bool {
        let mut part = [0; 4096];
        let size = read(&mut self.stream, &mut part);
        self.bytes.extend_from_slice(&part[..size]);
        size > 0
    }

    /// The next answer, with as much content as its length says.
    pub(super) fn answer(&mut self) -> Answer {
        let end = loop {
            let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
            assert!(self.more(), "the end instead of an answer");
        };
        let head: Vec<u8> = self.bytes.drain(..end).collect();
        let head = String::from_utf8(head).expect("text");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        let length = answer.field("Content-Length").unwrap_or("0");
        answer.body = self.take(length.parse().expect("a length"));
        answer
    }

    /// So many bytes.
    pub(super) fn take(&mut self, size: usize) -> Vec<u8> {
        while self.bytes.len() < size {
            assert!(self.more(), "the end after {:?}", self.bytes);
        }
        self.bytes.drain(..size).collect()
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
                let line = self.take(end + 1);
                return String::from_utf8_lossy(&line).trim_end().to_owned();
            }
            assert!(self.more(), "the end instead of a line");
        }
    }

    /// All that comes until the end.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.bytes)
    }
}

/// What came on a stream.
#[derive(Default)]
struct Incoming {
    head: Option<(u16, String)>,
    bytes: Vec<u8>,
    has_ended: bool,
    reset: Option<h2::ErrorCode>,
}

/// A connection that speaks HTTP/2.
pub(super) struct Multiplexed {
    socket: TcpStream,
    machine: h2::Connection,
    headers: h2::HeaderList,
    streams: HashMap<u32, Incoming>,
    has_settings: bool,
}

impl Multiplexed {
    pub(super) fn connect(addr: SocketAddr) -> Multiplexed {
        let socket = TcpStream::connect(addr).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut peer = Multiplexed {
            socket,
            machine: h2::Connection::client(&h2::Limits::default(), Time::ZERO),
            headers: h2::HeaderList::default(),
            streams: HashMap::new(),
            has_settings: false,
        };
        while !peer.has_settings {
            peer.turn();
        }
        peer
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    fn flush(&mut self) {
        let output = self.machine.output().to_vec();
        self.machine.clear_output();
        self.socket.write_all(&output).expect("open");
    }

    /// Sends what is due, and takes what has come: some of it, if none was.
    fn turn(&mut self) {
        self.flush();
        let mut part = vec![0; 65_536];
        let size = read(&mut self.socket, &mut part);
        assert!(size > 0, "the connection ended");
        let mut input = &mut part[..size];
        loop {
            let event = self
                .machine
                .handle_input(Time::ZERO, &mut input, &mut self.headers);
            let Some(event) = event.expect("no offence") else {
                break;
            };
            match event {
                h2::Event::Head {
                    stream, end_stream, ..
                } => {
                    let incoming = self.streams.entry(stream.id).or_default();
                    if let Some(status) = self.headers.status() {
                        let lines = self.headers.lines().to_vec();
                        let head = String::from_utf8(lines).expect("text");
                        incoming.head = Some((status, head));
                    }
                    incoming.has_ended |= end_stream;
                }
                h2::Event::Data {
                    stream,
                    bytes,
                    flow,
                    end_stream,
                } => {
                    let incoming = self.streams.entry(stream.id).or_default();
                    incoming.bytes.extend_from_slice(bytes);
                    incoming.has_ended |= end_stream;
                    self.machine.consumed(stream, flow);
                }
                h2::Event::Reset { stream, code, .. } => {
                    self.streams.entry(stream.id).or_default().reset = Some(code);
                    self.machine.release(stream);
                }
                h2::Event::Settings => self.has_settings = true,
                h2::Event::Pong { .. } | h2::Event::GoAway { .. } => {}
            }
        }
        self.flush();
    }

    /// Asks for a path.
    pub(super) fn ask(&mut self, path: &str) -> h2::StreamRef {
        self.open("GET", path, None, &[], true)
    }

    pub(super) fn open(
        &mut self,
        method: &str,
        path: &str,
        protocol: Option<&str>,
        fields: &[(&str, &str)],
        end_stream: bool,
    ) -> h2::StreamRef {
        let head = h2::RequestHead {
            method,
            scheme: "http",
            authority: "a",
            path,
            protocol,
        };
        let fields = fields
            .iter()
            .map(|&(name, value)| (name.into(), value.as_bytes()));
        let stream = self.machine.open(Time::ZERO, &head, fields, end_stream);
        let stream = stream.expect("it may be opened");
        self.streams.insert(stream.id, Incoming::default());
        self.flush();
        stream
    }

    pub(super) fn send(&mut self, stream: h2::StreamRef, bytes: &[u8], end_stream: bool) {
        let mut rest = bytes;
        let queued = self.machine.queue(stream, bytes.len(), end_stream);
        queued.expect("it is open");
        loop {
            while let Some(grant) = self.machine.poll_send() {
                let header = h2::Connection::data_header(&grant);
                self.flush();
                let (now, later) = rest.split_at(grant.len);
                let frame = [&header[..], now].concat();
                self.socket.write_all(&frame).expect("open");
                rest = later;
                if rest.is_empty() && (grant.end_stream || !end_stream) {
                    return;
                }
            }
            self.turn();
        }
    }

    pub(super) fn reset(&mut self, stream: h2::StreamRef) {
        self.machine.reset(stream, h2::ErrorCode::CANCEL);
        self.machine.release(stream);
        self.flush();
    }

    fn of(&self, stream: h2::StreamRef) -> &Incoming {
        &self.streams[&stream.id]
    }

    /// Status and fields of an answer.
    pub(super) fn head(&mut self, stream: h2::StreamRef) -> (u16, String) {
        loop {
            if let Some(head) = &self.of(stream).head {
                return head.clone();
            }
            assert_eq!(self.of(stream).reset, None);
            self.turn();
        }
    }

    /// The whole answer.
    pub(super) fn answer(&mut self, stream: h2::StreamRef) -> Answer {
        let (status, head) = self.head(stream);
        let body = self.rest(stream);
        Answer { status, head, body }
    }

    /// So many bytes of a stream.
    pub(super) fn take(&mut self, stream: h2::StreamRef, size: usize) -> Vec<u8> {
        loop {
            let incoming = self.streams.get_mut(&stream.id).expect("it was opened");
            if incoming.bytes.len() >= size {
                return incoming.bytes.drain(..size).collect();
            }
            assert!(!incoming.has_ended && incoming.reset.is_none());
            self.turn();
        }
    }

    /// All that comes on a stream until its end.
    pub(super) fn rest(&mut self, stream: h2::StreamRef) -> Vec<u8> {
        while !self.of(stream).has_ended {
            assert_eq!(self.of(stream).reset, None);
            self.turn();
        }
        let incoming = self.streams.get_mut(&stream.id).expect("it was opened");
        std::mem::take(&mut incoming.bytes)
    }
}
