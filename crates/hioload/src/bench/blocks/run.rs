//! A run over blocks, from the first connect to the last answer.
//!
//! ```text
//!  Connecting ─▶ Storing ─▶ WarmUp ─▶ Window ─▶ Draining
//!                (what is    └ the work ┘
//!                read later)   figures
//! ```

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_http::h1::Limits;
use hioload_reactor::{Completion, Completions, Connect, RecvEnd};
use hioload_ws::CloseCode;

use super::super::BenchError;
use super::super::engine::{Setup, nanos};
use super::super::io::{Io, State};
use super::super::options::{Options, Work};
use super::super::process::Account;
use super::super::report::{Report, Snapshot, Window};
use super::super::sizes::Sizes;
use super::super::tally::Tally;
use super::contents::Contents;
use super::figures::{Counts, Method};
use super::known::{Blocks, Known};
use super::lane::{Asked, Lane, Requests, Verdict};

/// Nothing came for so long: nothing will.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longest wait of a turn.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Of so many contents that come back, one is compared byte by byte.
const THOROUGH_EVERY: u64 = 16;

/// Of a hundred requests of the mixed work: GETs, and PUTs; the rest are DELETEs.
const MIXED_GETS: u64 = 70;
const MIXED_PUTS: u64 = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Connecting,
    Storing,
    WarmUp,
    Window,
    Draining,
    Done,
}

/// A run in progress.
pub(in super::super) struct Run<'a> {
    options: &'a Options,
    sizes: Sizes,
    server: Option<Account>,
    io: Io,
    lanes: Vec<Lane>,
    requests: Requests,
    limits: Limits,
    contents: Contents,
    blocks: Blocks,
    random: Prng,
    /// The number of the next content.
    number_next: u64,
    /// Requests so far.
    asked_count: u64,
    tally: Tally,
    counts: Counts,
    phase: Phase,
    deadline: Time,
    /// The last time an answer came.
    progress: Time,
    open_count: usize,
    stored_before: usize,
    lost: u64,
    window: Window,
    stop: &'a AtomicBool,
}

impl<'a> Run<'a> {
    pub(in super::super) fn new(setup: Setup<'a>) -> Self {
        let Setup {
            options,
            addr,
            server,
            driver,
            seed,
            stop,
            ..
        } = setup;
        let mut random = Prng::new(seed);
        let sizes = options.block_sizes();
        let io = Io::new(driver, options.connections);
        let now = io.now();
        Self {
            options,
            sizes,
            server,
            lanes: (0..options.connections).map(|_| Lane::default()).collect(),
            requests: Requests::new(&addr.to_string()),
            limits: Limits::default(),
            contents: Contents::new(sizes.max, &mut random),
            blocks: Blocks::default(),
            random,
            number_next: 0,
            asked_count: 0,
            tally: Tally::new(),
            counts: Counts::new(),
            phase: Phase::Connecting,
            deadline: now,
            progress: now,
            open_count: 0,
            stored_before: 0,
            lost: 0,
            window: Window::default(),
            stop,
            io,
        }
    }

    /// Runs to the end.
    pub(in super::super) fn run(
        mut self,
        addr: std::net::SocketAddr,
    ) -> Result<Report, BenchError> {
        if let Some(root) = &self.options.static_files {
            self.write_files(root)?;
        }
        for link in 0..self.lanes.len() {
            let connect = Connect {
                from: self.options.source(link, addr),
                ..Connect::new(addr)
            };
            self.io
                .connect(link, connect)
                .map_err(|reject| unreachable_server(&reject.to_string()))?;
        }
        let mut events = Completions::new();
        while self.phase != Phase::Done {
            // Set by a signal; nothing is read in its wake, so no ordering is needed.
            if self.stop.load(Ordering::Relaxed) {
                return Err(BenchError::interrupted());
            }
            let now = self.io.now();
            let left = self.deadline.max(now) - now;
            let wait = if left.is_zero() {
                WAIT_MAX
            } else {
                left.min(WAIT_MAX)
            };
            self.io.turn(wait, &mut events).map_err(|error| {
                BenchError::failed(error.to_string(), "the driver broke", "Try --driver poll")
            })?;
            for event in events.drain(..) {
                self.handle(event)?;
            }
            self.advance()?;
        }
        self.report()
    }

    fn report(mut self) -> Result<Report, BenchError> {
        let is_drained = self.lanes.iter().all(|lane| lane.asked.is_none());
        let under_way = self.lanes.iter().filter(|lane| lane.asked.is_some());
        let lost = self.lost + under_way.count() as u64;
        let report = Report::new(self.options, &self.window, &mut self.tally);
        let mut figures = self.counts.figures(report.seconds);
        figures.size_min = self.sizes.min;
        figures.stored_before = self.stored_before;
        figures.server_rss_beside_index = self
            .server
            .map(|server| server.rss_beside("index.mdbx"))
            .transpose()?;
        Ok(Report {
            lost,
            drained: is_drained,
            connections_held: self.lanes.len(),
            blocks: Some(figures),
            ..report
        })
    }

    fn handle(&mut self, event: Completion) -> Result<(), BenchError> {
        match event {
            Completion::Received { socket, mut buffer } => {
                if let Some(link) = self.io.find(socket) {
                    self.received(link, &mut buffer)?;
                }
            }
            Completion::Sent {
                socket,
                result,
                payload,
            } => {
                if let Some(link) = self.io.find(socket)
                    && let Ok(taken) = result
                {
                    self.io.sent(link, taken, payload);
                }
            }
            Completion::Connected { socket } => {
                if let Some(link) = self.io.find(socket) {
                    self.io.link(link).state = State::Open;
                    self.io.receive(link);
                    self.open_count += 1;
                    self.progress = self.io.now();
                }
            }
            Completion::ConnectFailed { errno, .. } => {
                let why = std::io::Error::from_raw_os_error(errno).to_string();
                return Err(unreachable_server(&why));
            }
            Completion::RecvEnded { socket, end } => {
                if let Some(link) = self.io.find(socket)
                    && end != RecvEnd::Cancelled
                {
                    self.ended(link)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The server hung up.
    fn ended(&mut self, link: usize) -> Result<(), BenchError> {
        self.io.close(link);
        self.open_count -= 1;
        self.tally.loss(CloseCode::ABNORMAL.number());
        self.lost += u64::from(self.lanes[link].asked.take().is_some());
        if self.open_count == 0 || self.phase <= Phase::Storing {
            return Err(BenchError::failed(
                "the server hung up".to_owned(),
                "it ended, or it does not keep connections open",
                "See its own log; allow as many requests on a connection as there may be",
            ));
        }
        Ok(())
    }

    /// Bytes of answers.
    fn received(&mut self, link: usize, input: &mut [u8]) -> Result<(), BenchError> {
        let mut spill = std::mem::take(&mut self.lanes[link].spill);
        if spill.is_empty() {
            let left = self.answers(link, input)?;
            spill.extend_from_slice(&input[input.len() - left..]);
        } else {
            spill.extend_from_slice(input);
            let left = self.answers(link, &mut spill)?;
            spill.drain(..spill.len() - left);
        }
        self.lanes[link].spill = spill;
        Ok(())
    }

    /// Takes what is whole; returns how many bytes at the end are not.
    fn answers(&mut self, link: usize, mut input: &mut [u8]) -> Result<usize, BenchError> {
        loop {
            let lane = &mut self.lanes[link];
            let event = lane.client.handle_input(&self.limits, &mut input);
            match event {
                Ok(None) => return Ok(input.len()),
                Ok(Some(event)) => {
                    if lane.take(&self.contents, &event) {
                        self.answered(link)?;
                    }
                }
                Err(error) => {
                    return Err(BenchError::failed(
                        format!("the server broke the protocol: {error}"),
                        "a bug of the server, or no HTTP server at all",
                        "Find out with `curl -v`",
                    ));
                }
            }
        }
    }

    /// An answer is complete: it is judged, and the next request goes out.
    fn answered(&mut self, link: usize) -> Result<(), BenchError> {
        let now = self.io.now();
        self.progress = now;
        let Some(asked) = self.lanes[link].asked.take() else {
            return Ok(());
        };
        self.counts.status(asked.status());
        match asked.verdict() {
            Verdict::Right => {
                let latency_ns = nanos(now - asked.started);
                self.tally.message(latency_ns);
                let bytes = match asked.method {
                    Method::Delete => 0,
                    Method::Get | Method::Put => u64::from(asked.length),
                };
                self.counts.done(asked.method, bytes, latency_ns);
                if asked.method == Method::Put && self.is_remembered() {
                    self.blocks.extend(asked.known());
                }
            }
            Verdict::Gone => {}
            Verdict::Damaged => self.tally.corrupted += 1,
            Verdict::Unexpected(status) => {
                self.tally.unexpected += 1;
                if self.phase == Phase::Storing {
                    return Err(BenchError::failed(
                        format!("a content was refused with status {status}"),
                        "the server has no block store, or no space",
                        "See its own log; `hioload serve --data DIR` has a store",
                    ));
                }
            }
        }
        self.ask(link);
        Ok(())
    }

    /// Whether blocks are asked for again.
    fn is_remembered(&self) -> bool {
        self.phase == Phase::Storing || self.options.work == Work::BlocksMixed
    }

    /// Sends the next request, if there is one.
    fn ask(&mut self, link: usize) {
        if !self.io.is_open(link) {
            return;
        }
        let method = match self.phase {
            Phase::Storing if self.number_next < self.options.blocks => Method::Put,
            Phase::WarmUp | Phase::Window => self.method(),
            _ => return,
        };
        let known = match method {
            Method::Put => None,
            Method::Get => self.blocks.any(&mut self.random),
            Method::Delete => self.blocks.take_any(&mut self.random),
        };
        match (method, known) {
            (Method::Get, Some(known)) => self.ask_plain(link, method, "GET", known),
            (Method::Delete, Some(known)) => {
                for lane in &mut self.lanes {
                    if let Some(asked) = &mut lane.asked {
                        asked.may_be_gone |= asked.number == known.number;
                    }
                }
                self.ask_plain(link, method, "DELETE", known);
            }
            _ => self.ask_put(link),
        }
    }

    fn method(&mut self) -> Method {
        match self.options.work {
            Work::BlocksGet => Method::Get,
            Work::BlocksMixed => match self.random.below(100) {
                part if part < MIXED_GETS => Method::Get,
                part if part < MIXED_GETS + MIXED_PUTS => Method::Put,
                _ => Method::Delete,
            },
            _ => Method::Put,
        }
    }

    fn ask_plain(&mut self, link: usize, method: Method, word: &str, known: Known) {
        self.asked_count += 1;
        let is_thorough = self.asked_count.is_multiple_of(THOROUGH_EVERY);
        let payload = self.requests.plain(word, &known.name());
        let asked = Asked::new(
            method,
            known.number,
            known.length,
            self.io.now(),
            is_thorough,
        );
        self.send(link, asked, payload);
    }

    fn ask_put(&mut self, link: usize) {
        let number = self.number_next;
        self.number_next += 1;
        let length = self.sizes.draw(&mut self.random);
        let payload = self.requests.put(&self.contents, number, length);
        let length = u32::try_from(length).expect("invariant: sizes of blocks were checked");
        let asked = Asked::new(Method::Put, number, length, self.io.now(), false);
        self.send(link, asked, payload);
    }

    fn send(&mut self, link: usize, asked: Asked, payload: hioload_reactor::Payload) {
        let lane = &mut self.lanes[link];
        lane.client.sent(false);
        lane.asked = Some(asked);
        self.io.send(link, payload);
    }

    /// Goes on to the next phase when the present one is over.
    fn advance(&mut self) -> Result<(), BenchError> {
        let now = self.io.now();
        let is_quiet = self.lanes.iter().all(|lane| lane.asked.is_none());
        match self.phase {
            Phase::Connecting if self.open_count == self.lanes.len() => {
                let stores = self.options.static_files.is_none()
                    && self.options.work != Work::BlocksPut
                    && self.options.blocks > 0;
                if stores {
                    self.phase = Phase::Storing;
                    self.ask_all();
                } else {
                    self.begin(Phase::WarmUp, self.options.warmup);
                }
            }
            Phase::Storing if is_quiet => self.begin(Phase::WarmUp, self.options.warmup),
            Phase::WarmUp if now >= self.deadline => {
                self.window.start = Snapshot::take(self.server, self.io.now())?;
                self.set_open(true);
                self.begin(Phase::Window, self.options.seconds);
            }
            Phase::Window if now >= self.deadline => {
                self.set_open(false);
                self.window.end = Snapshot::take(self.server, self.io.now())?;
                self.begin(Phase::Draining, self.options.drain);
            }
            Phase::Draining if is_quiet || now >= self.deadline => self.phase = Phase::Done,
            Phase::Connecting | Phase::Storing if now - self.progress > PATIENCE => {
                return Err(unreachable_server("the server does not answer"));
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, phase: Phase, seconds: f64) {
        let was = std::mem::replace(&mut self.phase, phase);
        self.deadline = self.io.now() + Duration::from_secs_f64(seconds);
        if phase == Phase::WarmUp && was != phase {
            self.stored_before = self.blocks.count();
            self.ask_all();
        }
    }

    fn ask_all(&mut self) {
        for link in 0..self.lanes.len() {
            self.ask(link);
        }
    }

    fn set_open(&mut self, is_open: bool) {
        self.tally.is_open = is_open;
        self.counts.open(is_open);
    }

    /// The contents as files, for a server of files.
    fn write_files(&mut self, root: &Path) -> Result<(), BenchError> {
        let failed = |path: &Path, error: std::io::Error| {
            BenchError::failed(
                format!("cannot write {}", path.display()),
                error.to_string(),
                "Name a directory with room for --blocks times --size",
            )
        };
        let directory = root.join("blocks");
        fs::create_dir_all(&directory).map_err(|error| failed(&directory, error))?;
        for number in 0..self.options.blocks {
            let length = self.sizes.draw(&mut self.random);
            let known = Known::numbered(
                number,
                u32::try_from(length).expect("invariant: sizes of blocks were checked"),
            );
            let mut content = self.contents.stamp(number).to_vec();
            content.extend_from_slice(self.contents.rest(length).as_slice());
            let path = directory.join(String::from_utf8_lossy(&known.name()).as_ref());
            fs::write(&path, content).map_err(|error| failed(&path, error))?;
            self.blocks.extend([known]);
        }
        Ok(())
    }
}

fn unreachable_server(why: &str) -> BenchError {
    BenchError::failed(
        "the server cannot be reached".to_owned(),
        why,
        "Check the address, `ulimit -n` of both sides, and the server's own log",
    )
}
