//! Drivers under test, and one end of a conversation.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hioload_mem::{Buffer, BufferPool, PoolConfig, Segment};
use hioload_reactor::poll::PollDriver;
use hioload_reactor::sim::{DiskConfig, SimConfig, SimDisk, SimNet};
use hioload_reactor::{
    Clock, Completion, Connect, Driver, DriverConfig, DriverKind, FileHandle, FileId, ListenSpec,
    ListenerId, Op, Payload, RecvBuf, RecvEnd, SocketId, Wait,
};

/// Turns of both ends after which a script has failed. Each waits at most [`PATIENCE`].
const ROUNDS_MAX: usize = 5_000;
const PATIENCE: Duration = Duration::from_millis(1);

/// Makes drivers of one kind that can reach each other.
pub(crate) struct Kit {
    pub(crate) kind: DriverKind,
    /// Poll over the `polling` crate, where poll has a selector of its own.
    portable: bool,
    /// Every send with zero copy.
    zero_copy: bool,
    clock: Clock,
    net: SimNet,
    disk: SimDisk,
}

impl Kit {
    /// `None`, with a printed reason, where io_uring is refused.
    #[cfg(target_os = "linux")]
    pub(crate) fn uring() -> Option<Self> {
        match hioload_reactor::uring::probe() {
            Ok(()) => Some(Self::of(DriverKind::Uring)),
            Err(refusal) => {
                println!("skipped: {refusal}");
                None
            }
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn zero_copy() -> Option<Self> {
        let zero_copy = true;
        Self::uring().map(|kit| Self { zero_copy, ..kit })
    }

    pub(crate) fn poll() -> Self {
        Self::of(DriverKind::Poll)
    }

    pub(crate) fn portable() -> Self {
        Self {
            portable: true,
            ..Self::of(DriverKind::Poll)
        }
    }

    pub(crate) fn sim() -> Self {
        Self::of(DriverKind::Sim)
    }

    fn of(kind: DriverKind) -> Self {
        Self {
            kind,
            portable: false,
            zero_copy: false,
            clock: Clock::start(),
            net: SimNet::new(1, SimConfig::calm()),
            disk: SimDisk::new(1, DiskConfig::calm()),
        }
    }

    pub(crate) fn is_sim(&self) -> bool {
        self.kind == DriverKind::Sim
    }

    pub(crate) fn end(&self) -> End {
        self.end_with(|_| {})
    }

    /// A driver with a small default configuration, changed by `tweak`.
    pub(crate) fn end_with(&self, tweak: impl FnOnce(&mut DriverConfig)) -> End {
        let mut config = DriverConfig {
            entries: 64,
            batch: 64,
            sockets_max: 1024,
            recv_buffer_size: 16 * 1024,
            recv_buffer_count: 16,
            zero_copy_min: self.zero_copy.then_some(1),
            clock: self.clock,
            ..DriverConfig::default()
        };
        tweak(&mut config);
        let driver: Box<dyn Driver> = match self.kind {
            #[cfg(target_os = "linux")]
            DriverKind::Uring => Box::new(
                hioload_reactor::uring::UringDriver::new(config).expect("io_uring was probed"),
            ),
            DriverKind::Sim => Box::new(self.net.driver(config)),
            _ if self.portable => Box::new(PollDriver::portable(config).expect("a selector")),
            _ => Box::new(PollDriver::new(config).expect("a selector")),
        };
        End {
            driver,
            seen: Vec::new(),
            held: None,
        }
    }

    /// A new, empty file: of the simulated disk, or a temporary one that is gone when its handles are.
    pub(crate) fn file(&self) -> FileHandle {
        if self.is_sim() {
            FileHandle::Sim(self.disk.create())
        } else {
            FileHandle::System(TempFile::new().open(|_| {}))
        }
    }

    /// Two connected ends: the accepting one, the connecting one, and the socket on each.
    pub(crate) fn pair(&self) -> Pair {
        self.pair_with(|_| {}, |_| {})
    }

    pub(crate) fn pair_with(
        &self,
        tweak: impl FnOnce(&mut DriverConfig),
        spec: impl FnOnce(&mut ListenSpec),
    ) -> Pair {
        let mut server = self.end_with(tweak);
        let mut client = self.end();
        let listener = server.listen_with(spec);
        let addr = server.addr(listener);
        server.submit(Op::Accept { listener });
        let client_socket = client.connect(addr);
        let server_socket = server.accepted(&mut client);
        both(&mut server, &mut client, |_, client| {
            client.saw(&Event::Connected(client_socket))
        });
        Pair {
            server,
            client,
            listener,
            addr,
            server_socket,
            client_socket,
        }
    }
}

/// A connection and both its ends.
pub(crate) struct Pair {
    pub(crate) server: End,
    pub(crate) client: End,
    pub(crate) listener: ListenerId,
    pub(crate) addr: SocketAddr,
    pub(crate) server_socket: SocketId,
    pub(crate) client_socket: SocketId,
}

impl Pair {
    /// Turns both ends until the condition holds.
    pub(crate) fn until(&mut self, done: impl FnMut(&mut End, &mut End) -> bool) {
        both(&mut self.server, &mut self.client, done);
    }

    /// Turns both ends a while, to give what must not happen the chance to happen.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20 {
            self.server.turn();
            self.client.turn();
        }
    }

    /// Sends from the accepting end until nothing more is taken; that last send stays in flight.
    /// Returns the bytes taken.
    pub(crate) fn fill(&mut self, payload: &Segment) -> usize {
        let mut taken = 0;
        loop {
            self.server.send(self.server_socket, payload.clone());
            for _ in 0..20 {
                self.server.turn();
                self.client.turn();
            }
            match self.server.take_sent(self.server_socket) {
                Some(result) => taken += result.expect("bytes taken"),
                None => return taken,
            }
        }
    }
}

/// A file of the system, removed when dropped; whoever opened it goes on.
pub(crate) struct TempFile(pub(crate) PathBuf);

impl TempFile {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("driver-{}-{number}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// Opened to read and write, and made if need be.
    pub(crate) fn open(&self, tweak: impl FnOnce(&mut OpenOptions)) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        tweak(&mut options);
        options.open(&self.0).expect("a temporary file")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Buffers for files.
pub(crate) fn buffers() -> BufferPool {
    BufferPool::new(PoolConfig::with_budget(16 << 20)).expect("a pool")
}

/// A buffer of `pool` that holds a pattern.
pub(crate) fn filled(pool: &BufferPool, len: usize, seed: u8) -> Buffer {
    let mut buffer = pool.take(len).expect("budget");
    buffer.extend_from_slice(&pattern(len, seed)).expect("room");
    buffer
}

/// What an end saw, without the driver's buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Accepted(ListenerId, SocketId),
    AcceptEnded(ListenerId, i32),
    Connected(SocketId),
    ConnectFailed(SocketId, i32),
    Received(SocketId, Vec<u8>),
    RecvEnded(SocketId, RecvEnd),
    Sent(SocketId, Result<usize, i32>),
    Closed(SocketId),
    HandOverFailed(SocketId, i32),
    /// With what was read.
    Read(u64, Result<usize, i32>, Vec<u8>),
    Written(u64, Result<usize, i32>),
    Woken,
}

impl Event {
    /// The socket it belongs to.
    pub(crate) fn socket(&self) -> Option<SocketId> {
        match self {
            Self::Accepted(_, socket)
            | Self::Connected(socket)
            | Self::ConnectFailed(socket, _)
            | Self::Received(socket, _)
            | Self::RecvEnded(socket, _)
            | Self::Sent(socket, _)
            | Self::Closed(socket)
            | Self::HandOverFailed(socket, _) => Some(*socket),
            Self::AcceptEnded(..) | Self::Read(..) | Self::Written(..) | Self::Woken => None,
        }
    }
}

/// A driver and what it has reported.
pub(crate) struct End {
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) seen: Vec<Event>,
    /// `Some`: received buffers are kept instead of given back at once.
    pub(crate) held: Option<Vec<RecvBuf>>,
}

impl End {
    pub(crate) fn listen(&mut self) -> ListenerId {
        self.listen_with(|_| {})
    }

    pub(crate) fn listen_with(&mut self, tweak: impl FnOnce(&mut ListenSpec)) -> ListenerId {
        let mut spec = ListenSpec::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        tweak(&mut spec);
        self.driver.listen(&spec).expect("a free port")
    }

    pub(crate) fn addr(&self, listener: ListenerId) -> SocketAddr {
        self.driver.local_addr(listener).expect("a bound listener")
    }

    pub(crate) fn submit(&mut self, op: Op) {
        self.driver.submit(op).expect("taken");
    }

    pub(crate) fn connect(&mut self, to: SocketAddr) -> SocketId {
        self.connect_with(Connect::new(to))
    }

    pub(crate) fn connect_with(&mut self, connect: Connect) -> SocketId {
        let op = self.driver.submit(Op::Connect(connect)).expect("taken");
        SocketId::from_key(op.key)
    }

    pub(crate) fn recv(&mut self, socket: SocketId) {
        self.submit(Op::Recv { socket });
    }

    pub(crate) fn send(&mut self, socket: SocketId, payload: impl Into<Payload>) {
        self.submit(Op::Send {
            socket,
            payload: payload.into(),
        });
    }

    pub(crate) fn open(&mut self, handle: FileHandle) -> FileId {
        self.driver.open_file(handle).expect("room for a file")
    }

    pub(crate) fn write(&mut self, file: FileId, token: u64, offset: u64, buffer: Buffer) {
        self.submit(Op::Write {
            file,
            token,
            offset,
            content: buffer.seal(),
        });
    }

    /// A read of `len` bytes into a buffer of just that size or the next class.
    pub(crate) fn read(&mut self, pool: &BufferPool, file: FileId, token: u64, at: (u64, usize)) {
        let (offset, len) = at;
        self.submit(Op::Read {
            file,
            token,
            offset,
            len,
            buffer: pool.take(len).expect("budget"),
        });
    }

    /// Turns until `count` operations on files are over; takes them out of the record.
    pub(crate) fn file_events(&mut self, count: usize) -> Vec<Event> {
        let is_file = |event: &Event| matches!(event, Event::Read(..) | Event::Written(..));
        for _ in 0..ROUNDS_MAX {
            if self.count(is_file) >= count {
                let (files, rest) = self.seen.drain(..).partition(is_file);
                self.seen = rest;
                return files;
            }
            self.turn();
        }
        panic!("nothing more happens; the end saw {}", tail(self));
    }

    pub(crate) fn close(&mut self, socket: SocketId) {
        self.submit(Op::Close { socket });
    }

    /// One turn with a short wait.
    pub(crate) fn turn(&mut self) {
        self.turn_for(Wait::For(PATIENCE));
    }

    /// One turn; returns the number of events.
    pub(crate) fn turn_for(&mut self, wait: Wait) -> usize {
        let mut events = Vec::new();
        self.driver
            .turn(wait, &mut events)
            .expect("a driver that works");
        let count = events.len();
        for event in events {
            let seen = self.note(event);
            self.seen.push(seen);
        }
        count
    }

    fn note(&mut self, event: Completion) -> Event {
        match event {
            Completion::Accepted { listener, socket } => Event::Accepted(listener, socket),
            Completion::AcceptEnded { listener, errno } => Event::AcceptEnded(listener, errno),
            Completion::Connected { socket } => Event::Connected(socket),
            Completion::ConnectFailed { socket, errno } => Event::ConnectFailed(socket, errno),
            Completion::Received { socket, buffer } => {
                assert!(!buffer.is_empty(), "a receive event is never empty");
                let bytes = buffer.to_vec();
                if let Some(held) = &mut self.held {
                    held.push(buffer);
                }
                Event::Received(socket, bytes)
            }
            Completion::RecvEnded { socket, end } => Event::RecvEnded(socket, end),
            Completion::Sent { socket, result, .. } => Event::Sent(socket, result),
            Completion::Closed { socket } => Event::Closed(socket),
            Completion::HandOverFailed { socket, errno } => Event::HandOverFailed(socket, errno),
            Completion::Read {
                token,
                result,
                buffer,
            } => Event::Read(token, result, buffer.as_slice().to_vec()),
            Completion::Written { token, result } => Event::Written(token, result),
            Completion::Woken => Event::Woken,
        }
    }

    pub(crate) fn saw(&self, event: &Event) -> bool {
        self.seen.contains(event)
    }

    pub(crate) fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.seen.iter().filter(|event| is(event)).count()
    }

    /// Everything received on a socket so far.
    pub(crate) fn bytes(&self, socket: SocketId) -> Vec<u8> {
        self.seen
            .iter()
            .filter_map(|event| match event {
                Event::Received(from, bytes) if *from == socket => Some(bytes.as_slice()),
                _ => None,
            })
            .collect::<Vec<_>>()
            .concat()
    }

    pub(crate) fn byte_count(&self, socket: SocketId) -> usize {
        self.seen
            .iter()
            .map(|event| match event {
                Event::Received(from, bytes) if *from == socket => bytes.len(),
                _ => 0,
            })
            .sum()
    }

    /// How the receive on a socket ended, if it did.
    pub(crate) fn recv_end(&self, socket: SocketId) -> Option<RecvEnd> {
        self.seen.iter().rev().find_map(|event| match event {
            Event::RecvEnded(from, end) if *from == socket => Some(*end),
            _ => None,
        })
    }

    /// A send on this socket is over and not yet taken out of the record.
    pub(crate) fn saw_sent(&self, socket: SocketId) -> bool {
        self.seen
            .iter()
            .any(|event| matches!(event, Event::Sent(from, _) if *from == socket))
    }

    /// Takes the first send result of a socket out of the record.
    pub(crate) fn take_sent(&mut self, socket: SocketId) -> Option<Result<usize, i32>> {
        let at = self
            .seen
            .iter()
            .position(|event| matches!(event, Event::Sent(from, _) if *from == socket))?;
        match self.seen.remove(at) {
            Event::Sent(_, result) => Some(result),
            _ => None,
        }
    }

    /// The sockets accepted so far.
    pub(crate) fn all_accepted(&self) -> Vec<SocketId> {
        self.seen
            .iter()
            .filter_map(|event| match event {
                Event::Accepted(_, socket) => Some(*socket),
                _ => None,
            })
            .collect()
    }

    /// Turns both ends until this one has accepted; the latest socket.
    pub(crate) fn accepted(&mut self, other: &mut End) -> SocketId {
        let before = self.all_accepted().len();
        both(self, other, |this, _| this.all_accepted().len() > before);
        *self.all_accepted().last().expect("accepted above")
    }
}

/// Turns two ends until the condition holds; fails with what they saw.
pub(crate) fn both(a: &mut End, b: &mut End, mut done: impl FnMut(&mut End, &mut End) -> bool) {
    for _ in 0..ROUNDS_MAX {
        if done(a, b) {
            return;
        }
        a.turn();
        b.turn();
    }
    panic!(
        "nothing more happens; one end saw {}; the other {}",
        tail(a),
        tail(b)
    );
}

fn tail(end: &End) -> String {
    let from = end.seen.len().saturating_sub(12);
    let events: Vec<String> = end.seen[from..].iter().map(short).collect();
    format!("{events:?} {:?}", end.driver.stats())
}

fn short(event: &Event) -> String {
    match event {
        Event::Received(socket, bytes) => format!("Received({socket:?}, {} bytes)", bytes.len()),
        other => format!("{other:?}"),
    }
}

/// Recognisable bytes: position and seed decide each.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|at| (at as u32).wrapping_mul(31).to_le_bytes()[0] ^ (at >> 8) as u8 ^ seed)
        .collect()
}

pub(crate) fn segment(len: usize, seed: u8) -> Segment {
    Segment::from_vec(pattern(len, seed))
}
