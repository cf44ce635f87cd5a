//! The load on one connection: tunnels with a message on its way in each, and uploads beside them.
//!
//! ```text
//! socket ─▶ Connection::input ─▶ tunnels, uploads ─▶ next messages, then at most one frame of an upload ─▶ socket
//! ```
//!
//! A message goes before anything of an upload that is not written yet. Its time begins when it is due, so a window
//! that uploads have used up counts against the server.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connection::{Connection, Event};
use crate::tunnel::Tunnel;
use crate::uploads::Uploads;
use crate::wire::{PAYLOAD_SIZE_MAX, broken};

/// Time for every tunnel to open, and for the last messages to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
const READ_SIZE: usize = 256 * 1024;

/// What is asked for.
pub(crate) struct Plan {
    pub(crate) addr: String,
    pub(crate) path: String,
    pub(crate) tunnels: usize,
    pub(crate) size: usize,
    /// What the first of two tunnels sends arrives in the second.
    pub(crate) is_relay: bool,
    /// Uploads at a time.
    pub(crate) uploads: usize,
    pub(crate) upload_size: usize,
}

/// What the load is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Running,
    Draining,
}

pub(crate) struct Load {
    stream: TcpStream,
    connection: Connection,
    state: State,
    buffer: Vec<u8>,
}

/// All but the bytes: what events are given to.
struct State {
    plan: Plan,
    phase: Phase,
    tunnels: Vec<Tunnel>,
    tunnels_open: usize,
    /// Tunnels whose message waits for a window.
    waiting: Vec<usize>,
    uploads: Uploads,
    latencies_ns: Vec<u32>,
    /// Time of what is being looked at.
    now: Instant,
}

/// What a measured window gave.
pub(crate) struct Measured {
    pub(crate) latencies_ns: Vec<u32>,
    pub(crate) uploaded: u64,
    pub(crate) time: Duration,
}

impl Load {
    /// Connects and opens every tunnel.
    pub(crate) async fn open(plan: Plan) -> io::Result<Self> {
        let stream = TcpStream::connect(&plan.addr).await?;
        stream.set_nodelay(true)?;
        let uploads = Uploads::new(plan.uploads, plan.upload_size);
        let mut load = Self {
            stream,
            connection: Connection::new(),
            state: State {
                phase: Phase::Opening,
                tunnels: (0..plan.tunnels).map(|_| Tunnel::new(plan.size)).collect(),
                tunnels_open: 0,
                waiting: Vec::new(),
                uploads,
                latencies_ns: Vec::new(),
                now: Instant::now(),
                plan,
            },
            buffer: vec![0; READ_SIZE],
        };
        let deadline = Instant::now() + PATIENCE;
        while load.state.tunnels_open < load.state.tunnels.len() {
            load.turn(deadline).await?;
            if Instant::now() > deadline {
                let open = load.state.tunnels_open;
                return Err(broken(&format!("{open} tunnels are open, no more")));
            }
        }
        load.state.phase = Phase::Running;
        for index in load.state.senders() {
            load.state.send(&mut load.connection, index);
        }
        Ok(load)
    }

    /// Runs for a while and gives what was measured.
    pub(crate) async fn run(&mut self, time: Duration) -> io::Result<Measured> {
        self.state.latencies_ns.clear();
        let uploaded = self.state.uploads.bytes_done();
        let start = Instant::now();
        let deadline = start + time;
        while Instant::now() < deadline {
            self.turn(deadline).await?;
        }
        Ok(Measured {
            latencies_ns: std::mem::take(&mut self.state.latencies_ns),
            uploaded: self.state.uploads.bytes_done() - uploaded,
            time: start.elapsed(),
        })
    }

    /// Waits for what is still on its way, and says how many messages never came.
    pub(crate) async fn drain(&mut self) -> io::Result<usize> {
        self.state.phase = Phase::Draining;
        let deadline = Instant::now() + PATIENCE;
        while self.state.outstanding() > 0 && Instant::now() < deadline {
            self.turn(deadline).await?;
        }
        Ok(self.state.outstanding())
    }

    /// Reads what is there, answers it, writes what can be written; waits when there was nothing to do.
    async fn turn(&mut self, deadline: Instant) -> io::Result<()> {
        let has_read = self.read()?;
        let Self {
            connection, state, ..
        } = self;
        for index in std::mem::take(&mut state.waiting) {
            state.send_due(connection, index);
        }
        if state.phase != Phase::Opening && connection.out().len() < PAYLOAD_SIZE_MAX {
            let may_begin = state.phase == Phase::Running;
            state
                .uploads
                .advance(connection, &state.plan.addr, may_begin);
        }
        let has_written = self.write()?;
        if !has_read && !has_written {
            let interest = if self.connection.out().is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let left = deadline.saturating_duration_since(Instant::now());
            // Time that is up is for the caller to see.
            if let Ok(ready) = timeout(left, self.stream.ready(interest)).await {
                ready?;
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<bool> {
        match self.stream.try_read(&mut self.buffer) {
            Ok(0) => Err(broken("the server has closed the connection")),
            Ok(size) => {
                self.state.now = Instant::now();
                let state = &mut self.state;
                let mut take =
                    |connection: &mut Connection, event: Event<'_>| state.take(connection, event);
                self.connection.input(&self.buffer[..size], &mut take)?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self) -> io::Result<bool> {
        let out = self.connection.out();
        if out.is_empty() {
            return Ok(false);
        }
        match self.stream.try_write(out) {
            Ok(size) => {
                out.drain(..size);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl State {
    /// Tunnels that messages go out in.
    fn senders(&self) -> std::ops::Range<usize> {
        0..if self.plan.is_relay {
            1
        } else {
            self.tunnels.len()
        }
    }

    fn outstanding(&self) -> usize {
        let is_out = |tunnel: &&Tunnel| tunnel.sent.is_some();
        self.tunnels.iter().filter(is_out).count()
    }

    fn take(&mut self, connection: &mut Connection, event: Event<'_>) -> io::Result<()> {
        match event {
            Event::Settings { has_tunnels } => self.request_tunnels(connection, has_tunnels),
            Event::Answer { stream, status } => {
                if self.tunnel(stream).is_none() {
                    return self.uploads.answered(stream, status);
                }
                if status != Some(200) {
                    return Err(broken(&format!("a tunnel is refused: {status:?}")));
                }
                self.tunnels_open += 1;
                Ok(())
            }
            Event::Data { stream, bytes } => match self.tunnel(stream) {
                Some(index) => self.message(connection, index, bytes),
                None => Ok(()),
            },
            Event::End { stream, is_reset } => {
                if self.tunnel(stream).is_some() {
                    return Err(broken("a tunnel is closed"));
                }
                connection.forget(stream);
                self.uploads.ended(stream, is_reset)
            }
        }
    }

    fn request_tunnels(&self, connection: &mut Connection, has_tunnels: bool) -> io::Result<()> {
        if self.tunnels_open > 0 || self.phase != Phase::Opening {
            return Ok(());
        }
        if !has_tunnels {
            return Err(broken("the server takes no extended CONNECT"));
        }
        for _ in &self.tunnels {
            connection.request(&[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":path", &self.plan.path),
                (":authority", &self.plan.addr),
                ("sec-websocket-version", "13"),
            ]);
        }
        Ok(())
    }

    /// Tunnels are the first streams of the connection.
    fn tunnel(&self, stream: u32) -> Option<usize> {
        let index = (stream / 2) as usize;
        (index < self.tunnels.len()).then_some(index)
    }

    fn stream(index: usize) -> u32 {
        index as u32 * 2 + 1
    }

    fn message(
        &mut self,
        connection: &mut Connection,
        index: usize,
        bytes: &[u8],
    ) -> io::Result<()> {
        let sender = if self.plan.is_relay { 0 } else { index };
        let number = self.tunnels[sender].number();
        if !self.tunnels[index].receive(bytes, number)? {
            return Ok(());
        }
        let sent = self.tunnels[sender].sent.take();
        let sent = sent.ok_or_else(|| broken("a message twice"))?;
        let latency = self.now.saturating_duration_since(sent).as_nanos();
        self.latencies_ns
            .push(u32::try_from(latency).unwrap_or(u32::MAX));
        if self.phase == Phase::Running {
            self.send(connection, sender);
        }
        Ok(())
    }

    /// The next message of a tunnel is due.
    fn send(&mut self, connection: &mut Connection, index: usize) {
        let now = self.now;
        self.tunnels[index].next(now);
        self.send_due(connection, index);
    }

    fn send_due(&mut self, connection: &mut Connection, index: usize) {
        let (stream, frame) = (Self::stream(index), self.tunnels[index].frame());
        if connection.room(stream) < frame.len() {
            self.waiting.push(index);
        } else {
            connection.data(stream, frame, false);
        }
    }
}
