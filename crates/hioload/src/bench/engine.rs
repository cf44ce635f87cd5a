//! A run from the first connect to the last close: phases, handshakes, control frames.
//!
//! ```text
//!  Connecting ─▶ Settling ─▶ WarmUp ─▶ Window ─▶ Draining ─▶ Closing
//!                                      └ figures ┘
//! ```
//!
//! What flows in between is a [`Work`]'s affair. One thread, one driver: a load generator that
//! shared its core with another thread would measure the scheduler.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_mem::Segment;
use hioload_reactor::{Completion, Completions, Connect, Driver, RecvBuf, RecvEnd, Reject};
use hioload_ws::handshake::{ClientRequest, HandshakeLimits};
use hioload_ws::{CloseCode, Event, Limits, Role, Session};

use super::BenchError;
use super::frames::mask_key;
use super::io::{Io, State};
use super::options::Options;
use super::process::Account;
use super::report::{Snapshot, Window};
use super::secure::{Opened, Trust};
use super::tally::Tally;

/// Nothing happened for so long while connecting: nothing will.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// Nothing came for so long after the end: nothing will. A server may hold publishers back for some
/// seconds until it has judged who is stalled.
const DRAIN_SILENCE: Duration = Duration::from_secs(10);

/// How long peers may take to answer our close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Longest wait of a turn.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Part of a message, in place in the receive buffer.
pub(super) struct Piece<'a> {
    /// Bytes of the message before this piece.
    pub(super) offset: usize,
    pub(super) payload: &'a [u8],
    /// The message ends here.
    pub(super) is_last: bool,
}

/// What a load does with its connections.
pub(super) trait Work {
    /// Whether connecting itself is what is measured; otherwise a window after it is.
    const MEASURES_CONNECTING: bool = false;

    /// Bytes the kernel keeps of a link in each direction; `None`: as it tunes it.
    const KERNEL_BUFFER: Option<usize> = None;

    /// Handshakes under way at the same time.
    fn connects_in_flight(&self) -> usize {
        128
    }

    /// Links that may be opened by now.
    fn link_target(&mut self, io: &Io, open_count: usize) -> Result<usize, BenchError> {
        let _ = open_count;
        Ok(io.link_count())
    }

    /// A handshake is done; it took so long.
    fn connected(&mut self, tally: &mut Tally, latency_ns: u64) {
        let _ = (tally, latency_ns);
    }

    /// All links stand.
    fn start(&mut self, io: &mut Io);

    /// What is to be proven holds from now on: the warm-up may begin.
    fn is_ready(&self, io: &Io) -> bool {
        let _ = io;
        true
    }

    /// Part of a message came.
    fn data(&mut self, io: &mut Io, tally: &mut Tally, link: usize, piece: Piece<'_>);

    /// A buffer is used up: the place to send.
    fn received(&mut self, io: &mut Io, link: usize) {
        let _ = (io, link);
    }

    /// The link may send again.
    fn sent(&mut self, io: &mut Io, tally: &mut Tally, link: usize) {
        let _ = (io, tally, link);
    }

    /// Once a turn. Returns when it wants to be called at the latest.
    fn tick(&mut self, io: &mut Io, tally: &mut Tally) -> Option<Time> {
        let _ = (io, tally);
        None
    }

    /// Send nothing new.
    fn stop(&mut self) {}

    /// All that is owed has come.
    fn is_drained(&self, io: &Io) -> bool {
        let _ = io;
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Settling,
    WarmUp,
    Window,
    Draining,
    Closing,
    Done,
}

/// What a run is made from.
pub(super) struct Setup<'a> {
    pub(super) options: &'a Options,
    pub(super) addr: SocketAddr,
    /// The server's account, where its process is known.
    pub(super) server: Option<Account>,
    pub(super) driver: Box<dyn Driver>,
    /// Of links that speak TLS.
    pub(super) trust: Option<Trust>,
    /// For mask keys and names: not secret, but different from run to run.
    pub(super) seed: u64,
    /// Set from outside to end the run early.
    pub(super) stop: &'a AtomicBool,
}

/// A run in progress.
pub(super) struct Engine<'a, W> {
    options: &'a Options,
    addr: SocketAddr,
    host: String,
    server: Option<Account>,
    work: W,
    io: Io,
    tally: Tally,
    sessions: Vec<Session>,
    /// Bytes of the open message that came already, per link.
    offsets: Vec<usize>,
    limits: Limits,
    random: Prng,
    key: [u8; 16],
    phase: Phase,
    /// When the phase is over at the latest.
    deadline: Time,
    /// The last time something came that the phase waits for.
    progress: Time,
    /// Links whose connect was asked for.
    begun_count: usize,
    pending_count: usize,
    /// Whose input is being taken.
    received_on: Option<usize>,
    /// What records held.
    plain: Vec<u8>,
    open_count: usize,
    /// Most links open at the same time.
    open_count_max: usize,
    window: Window,
    is_drained: bool,
    stop: &'a AtomicBool,
}

/// What a run ended with.
pub(super) struct Finished<W> {
    pub(super) work: W,
    pub(super) tally: Tally,
    pub(super) window: Window,
    /// Most links open at the same time.
    pub(super) connections_held: usize,
    /// Everything that was under way at the end arrived, or nothing more came for a while.
    pub(super) is_drained: bool,
}

impl<'a, W: Work> Engine<'a, W> {
    pub(super) fn new(setup: Setup<'a>, link_count: usize, work: W) -> Self {
        let Setup {
            options,
            addr,
            server,
            driver,
            seed,
            stop,
            trust,
        } = setup;
        let mut random = Prng::new(seed);
        let mut key = [0; 16];
        random.fill(&mut key);
        let mut io = Io::new(driver, link_count);
        if let Some(trust) = trust {
            io.speak_tls(trust);
        }
        let now = io.now();
        Self {
            options,
            addr,
            host: addr.to_string(),
            server,
            work,
            tally: Tally::new(),
            sessions: (0..link_count)
                .map(|_| Session::new(Role::Client, false))
                .collect(),
            offsets: vec![0; link_count],
            limits: Limits {
                message_size_max: options.message_size().max(1 << 20),
                frame_size_max: options.message_size().max(1 << 20),
                ..Limits::default()
            },
            random,
            key,
            phase: Phase::Connecting,
            deadline: now,
            progress: now,
            begun_count: 0,
            pending_count: 0,
            received_on: None,
            plain: Vec::new(),
            open_count: 0,
            open_count_max: 0,
            window: Window::default(),
            is_drained: false,
            stop,
            io,
        }
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Result<Finished<W>, BenchError> {
        if W::MEASURES_CONNECTING {
            self.open_window()?;
        }
        let mut events = Completions::new();
        while self.phase != Phase::Done {
            // Set by a signal; nothing is read in its wake, so no ordering is needed.
            if self.stop.load(Ordering::Relaxed) {
                return Err(BenchError::interrupted());
            }
            self.open_links()?;
            let due = self.work.tick(&mut self.io, &mut self.tally);
            let mut wait = WAIT_MAX.min(self.io.now().max(self.deadline) - self.io.now());
            if matches!(
                self.phase,
                Phase::Connecting | Phase::Settling | Phase::Closing
            ) || wait.is_zero()
            {
                wait = Duration::from_millis(10);
            }
            if let Some(due) = due {
                wait = wait.min(due - self.io.now());
            }
            self.io.turn(wait, &mut events).map_err(|error| {
                BenchError::failed(error.to_string(), "the driver broke", "Try --driver poll")
            })?;
            for event in events.drain(..) {
                self.handle(event)?;
            }
            self.tell_received();
            self.advance()?;
        }
        Ok(Finished {
            work: self.work,
            tally: self.tally,
            window: self.window,
            connections_held: self.open_count_max,
            is_drained: self.is_drained,
        })
    }

    /// Opens as many links as may be under way.
    fn open_links(&mut self) -> Result<(), BenchError> {
        if self.phase != Phase::Connecting {
            return Ok(());
        }
        let target = self.work.link_target(&self.io, self.open_count)?;
        while self.begun_count < target && self.pending_count < self.work.connects_in_flight() {
            let link = self.begun_count;
            let connect = Connect {
                to: self.addr,
                from: self.options.source(link, self.addr),
                recv_buffer: W::KERNEL_BUFFER,
                send_buffer: W::KERNEL_BUFFER,
            };
            self.begun_count += 1;
            match self.io.connect(link, connect) {
                Ok(()) => self.pending_count += 1,
                Err(reject) => self.failed(link, &describe(reject))?,
            }
        }
        Ok(())
    }

    /// A link could not be opened: fatal, unless opening links is what is measured.
    fn failed(&mut self, link: usize, why: &str) -> Result<(), BenchError> {
        let text = format!(
            "connection {} of {} to {}: {why}",
            link + 1,
            self.io.link_count(),
            self.addr
        );
        self.io.link(link).state = State::Gone;
        self.tally.failure(|| text.clone());
        self.progress = self.io.now();
        if W::MEASURES_CONNECTING {
            return Ok(());
        }
        Err(BenchError::failed(
            text,
            "the server does not listen there, refuses, or one side is out of descriptors",
            "Check the address, `ulimit -n` of both sides, and the server's own log",
        ))
    }

    /// Input of one link may come as several events, one after the other: it is answered when all of
    /// it was taken.
    fn tell_received(&mut self) {
        if let Some(link) = self.received_on.take()
            && self.io.is_open(link)
        {
            self.work.received(&mut self.io, link);
        }
    }

    fn handle(&mut self, event: Completion) -> Result<(), BenchError> {
        let goes_on = matches!(&event, Completion::Received { socket, .. }
            if self.received_on.is_some() && self.io.find(*socket) == self.received_on);
        if !goes_on {
            self.tell_received();
        }
        match event {
            Completion::Received { socket, buffer } => {
                if let Some(link) = self.io.find(socket) {
                    return self.received(link, buffer);
                }
            }
            Completion::Sent {
                socket,
                result,
                payload,
            } => {
                if let Some(link) = self.io.find(socket) {
                    match result {
                        Ok(taken) => {
                            if self.io.sent(link, taken, payload) && self.io.is_open(link) {
                                self.work.sent(&mut self.io, &mut self.tally, link);
                            }
                        }
                        Err(_) => self.ended(link, CloseCode::ABNORMAL)?,
                    }
                }
            }
            Completion::Connected { socket } => {
                if let Some(link) = self.io.find(socket) {
                    self.io.link(link).state = State::Handshake;
                    self.io.receive(link);
                    if !self.io.begin_tls(link) {
                        let request = self.request(link);
                        self.io.send(link, request);
                    }
                }
            }
            Completion::ConnectFailed { socket, errno } => {
                if let Some(link) = self.io.find(socket) {
                    self.pending_count -= 1;
                    self.failed(link, &std::io::Error::from_raw_os_error(errno).to_string())?;
                }
            }
            Completion::RecvEnded { socket, end } => {
                if let Some(link) = self.io.find(socket)
                    && end != RecvEnd::Cancelled
                {
                    self.ended(link, CloseCode::ABNORMAL)?;
                    self.io.close(link);
                }
            }
            Completion::Closed { socket } => {
                if let Some(link) = self.io.find(socket) {
                    self.ended(link, CloseCode::ABNORMAL)?;
                    self.io.closed(link);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The link is over; only its first cause counts.
    fn ended(&mut self, link: usize, code: CloseCode) -> Result<(), BenchError> {
        match self.io.link(link).state {
            State::Open => {
                self.open_count -= 1;
                self.io.link(link).state = State::Closing;
                if self.phase != Phase::Closing {
                    self.tally.loss(code.number());
                } else if self.io.link(link).is_paused {
                    self.tally.stalled_end(code.number());
                }
            }
            State::Handshake => {
                self.pending_count -= 1;
                self.io.link(link).state = State::Closing;
                self.failed(link, "the server hung up during the handshake")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn request_for(&self, link: usize) -> ClientRequest<'_> {
        let mut key = self.key;
        for (byte, change) in key.iter_mut().zip(link.to_le_bytes()) {
            *byte ^= change;
        }
        ClientRequest {
            host: &self.host,
            path: &self.options.path,
            key,
            ..ClientRequest::default()
        }
    }

    fn request(&self, link: usize) -> Segment {
        let mut bytes = Vec::with_capacity(256);
        self.request_for(link)
            .encode(&mut bytes)
            .expect("invariant: the path was checked before the run");
        Segment::from_vec(bytes)
    }

    fn received(&mut self, link: usize, mut buffer: RecvBuf) -> Result<(), BenchError> {
        if !self.io.is_secure() {
            return self.plain(link, &mut buffer);
        }
        let mut input: &mut [u8] = &mut buffer;
        let mut plain = std::mem::take(&mut self.plain);
        loop {
            match self.io.open_records(link, &mut input, &mut plain) {
                Ok(Opened::Nothing) => break,
                Ok(Opened::Data) => self.plain(link, &mut plain)?,
                Ok(Opened::Ready) => {
                    let request = self.request(link);
                    self.io.send_first(link, request);
                }
                Err(failure) => {
                    self.pending_count -= usize::from(self.io.link(link).state == State::Handshake);
                    self.io.close(link);
                    self.failed(link, &failure.to_string())?;
                    break;
                }
            }
        }
        self.plain = plain;
        Ok(())
    }

    fn plain(&mut self, link: usize, bytes: &mut [u8]) -> Result<(), BenchError> {
        match self.io.link(link).state {
            State::Open | State::Closing => self.frames(link, bytes),
            State::Handshake => self.response(link, bytes),
            _ => Ok(()),
        }
    }

    /// Bytes of the response's head, and maybe frames behind it.
    fn response(&mut self, link: usize, input: &mut [u8]) -> Result<(), BenchError> {
        let before = self.io.head(link).len();
        self.io.head(link).extend_from_slice(input);
        let head = std::mem::take(self.io.head(link));
        let limits = HandshakeLimits::default();
        match self.request_for(link).check_response(&head, &limits) {
            Ok(None) => {
                *self.io.head(link) = head;
                Ok(())
            }
            Ok(Some((_, size))) => {
                self.io.drop_head(link);
                self.io.link(link).state = State::Open;
                self.pending_count -= 1;
                self.open_count += 1;
                self.open_count_max = self.open_count_max.max(self.open_count);
                self.progress = self.io.now();
                let latency = self.io.now() - self.io.link(link).started;
                self.work.connected(&mut self.tally, nanos(latency));
                self.frames(link, &mut input[size - before..])
            }
            Err(error) => {
                self.pending_count -= 1;
                self.io.close(link);
                self.failed(link, &error.to_string())
            }
        }
    }

    /// Bytes of frames.
    fn frames(&mut self, link: usize, mut input: &mut [u8]) -> Result<(), BenchError> {
        let session = &mut self.sessions[link];
        loop {
            match session.handle_input(&self.limits, &mut input) {
                Ok(None) => break,
                Ok(Some(Event::Data { payload, last, .. })) => {
                    let offset = self.offsets[link];
                    self.offsets[link] = if last { 0 } else { offset + payload.len() };
                    let piece = Piece {
                        offset,
                        payload,
                        is_last: last,
                    };
                    self.work.data(&mut self.io, &mut self.tally, link, piece);
                }
                Ok(Some(Event::Ping(payload))) => {
                    let key = Some(mask_key(&mut self.random));
                    if let Ok(pong) = session.pong(&payload, key) {
                        self.io.send_control(link, &pong);
                    }
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(frame))) => {
                    let code = frame.map_or(CloseCode::NO_STATUS, |frame| frame.code());
                    let key = Some(mask_key(&mut self.random));
                    // Refused when ours was sent before: then this is the answer.
                    if let Ok(close) = session.close(CloseCode::NORMAL, "", key) {
                        self.io.send_control(link, &close);
                    }
                    return self.ended(link, code);
                }
                Err(offence) => {
                    return Err(BenchError::failed(
                        format!("the server broke the protocol: {offence}"),
                        "a bug of the server, or no WebSocket server at all",
                        "Find out with `hioload sub`",
                    ));
                }
            }
        }
        self.progress = self.io.now();
        self.received_on = Some(link);
        Ok(())
    }

    /// Goes on to the next phase when the present one is over.
    fn advance(&mut self) -> Result<(), BenchError> {
        let now = self.io.now();
        match self.phase {
            Phase::Connecting => self.end_connecting(now)?,
            Phase::Settling => {
                if self.work.is_ready(&self.io) {
                    self.begin(Phase::WarmUp, self.options.warmup);
                } else if now - self.progress > CONNECT_PATIENCE {
                    return Err(BenchError::failed(
                        "publications do not reach every subscriber".to_owned(),
                        "the server does not broadcast what one client sends to all others",
                        "Use `hioload serve` or a server that does",
                    ));
                }
            }
            Phase::WarmUp if now >= self.deadline => {
                self.open_window()?;
                self.begin(Phase::Window, self.options.seconds);
            }
            Phase::Window if now >= self.deadline => {
                self.close_window()?;
                self.work.stop();
                self.begin(Phase::Draining, self.options.drain);
                self.progress = now;
            }
            Phase::Draining => {
                let is_silent = now - self.progress > DRAIN_SILENCE;
                self.is_drained = self.work.is_drained(&self.io) || is_silent;
                if self.is_drained || now >= self.deadline {
                    self.close_all();
                    self.begin(Phase::Closing, CLOSE_PATIENCE.as_secs_f64());
                }
            }
            Phase::Closing
                if self.open_count + self.io.count(State::Closing) == 0 || now >= self.deadline =>
            {
                self.phase = Phase::Done;
            }
            _ => {}
        }
        Ok(())
    }

    fn end_connecting(&mut self, now: Time) -> Result<(), BenchError> {
        let is_stuck = now - self.progress > CONNECT_PATIENCE;
        if is_stuck && !W::MEASURES_CONNECTING {
            return Err(BenchError::failed(
                format!(
                    "{} of {} connections stand, and no more come",
                    self.open_count,
                    self.io.link_count()
                ),
                "the server does not answer",
                "See its log; try fewer --connections",
            ));
        }
        let is_complete = self.begun_count == self.io.link_count()
            && self.pending_count == 0
            && (!W::MEASURES_CONNECTING || self.work.is_ready(&self.io));
        if is_complete || is_stuck {
            self.work.start(&mut self.io);
            if W::MEASURES_CONNECTING {
                self.begin(Phase::Window, self.options.hold_seconds());
            } else {
                self.phase = Phase::Settling;
                self.progress = now;
            }
        }
        Ok(())
    }

    fn begin(&mut self, phase: Phase, seconds: f64) {
        self.phase = phase;
        self.deadline = self.io.now() + Duration::from_secs_f64(seconds);
    }

    fn open_window(&mut self) -> Result<(), BenchError> {
        self.window.start = Snapshot::take(self.server, self.io.now())?;
        self.tally.is_open = true;
        Ok(())
    }

    fn close_window(&mut self) -> Result<(), BenchError> {
        self.tally.is_open = false;
        self.window.end = Snapshot::take(self.server, self.io.now())?;
        Ok(())
    }

    /// Says goodbye to every peer.
    fn close_all(&mut self) {
        for link in 0..self.io.link_count() {
            if self.io.link(link).is_paused {
                // Whether it was thrown out shows only to one who reads.
                self.io.receive(link);
                self.io.link(link).is_paused = true;
            } else if self.io.is_open(link) {
                let key = Some(mask_key(&mut self.random));
                if let Ok(close) = self.sessions[link].close(CloseCode::NORMAL, "", key) {
                    self.io.send_control(link, &close);
                }
            }
        }
    }
}

/// Whole nanoseconds.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn describe(reject: Reject) -> String {
    match reject {
        Reject::System(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        other => other.to_string(),
    }
}
