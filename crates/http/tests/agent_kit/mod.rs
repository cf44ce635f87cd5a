//! An agent on virtual time, and servers that do as they are told.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use hioload_base::Time;
use hioload_http::client::{
    Agent, Config, ConnKey, Connect, Event, Failure, Protocol, Request, RequestKey,
};
use hioload_http::h1;

/// What the owner of an agent was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Redirected(u16, String),
    Head(u16),
    Body(Vec<u8>),
    Progress(u64, Option<u64>),
    Wanted,
    End(Vec<u8>),
    Failed(Failure),
}

/// What a server does once it has a request.
#[derive(Clone, Debug)]
pub enum Act {
    Send(Vec<u8>),
    Eof,
    Reset,
}

/// A request as a server took it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    pub conn: usize,
    pub host: String,
    pub line: String,
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub is_whole: bool,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

type Answer = Box<dyn FnMut(&Asked) -> Vec<Act>>;

struct Peer {
    number: usize,
    key: ConnKey,
    server: h1::Server,
    kept: Vec<u8>,
    asked: Asked,
    is_open: bool,
}

/// An agent, its connections, and the servers behind them.
pub struct Lab {
    pub agent: Agent,
    pub now: Time,
    /// Bytes given to the agent at a time.
    pub piece_size: usize,
    pub connects: Vec<Connect>,
    /// Connections are made when the test says so.
    pub is_manual: bool,
    pub asked: Vec<Asked>,
    pub events: Vec<(RequestKey, Seen)>,
    pub closed_count: usize,
    /// The owner uses bodies at once.
    pub consumes: bool,
    peers: Vec<Peer>,
    answer: Answer,
}

impl Lab {
    pub fn new(config: Config, answer: impl FnMut(&Asked) -> Vec<Act> + 'static) -> Self {
        Self {
            agent: Agent::new(config, Time::ZERO),
            now: Time::ZERO,
            piece_size: usize::MAX,
            connects: Vec::new(),
            is_manual: false,
            asked: Vec::new(),
            events: Vec::new(),
            closed_count: 0,
            consumes: true,
            peers: Vec::new(),
            answer: Box::new(answer),
        }
    }

    pub fn submit(&mut self, request: Request) -> RequestKey {
        let key = self.agent.submit(self.now, request).expect("room");
        self.run();
        key
    }

    /// Sends a request and tells all that came of it.
    pub fn ask(&mut self, request: Request) -> Vec<Seen> {
        let key = self.submit(request);
        self.of(key)
    }

    pub fn of(&self, key: RequestKey) -> Vec<Seen> {
        let own = self.events.iter().filter(|(of, _)| *of == key);
        own.map(|(_, seen)| seen.clone()).collect()
    }

    pub fn open_connections(&self) -> usize {
        self.peers.iter().filter(|peer| peer.is_open).count()
    }

    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// The connection with this number, counted from 0 in the order in which they were made.
    pub fn conn(&self, number: usize) -> ConnKey {
        self.peers[number].key
    }

    pub fn connect(&mut self, connect: &Connect) {
        self.peers.push(Peer {
            number: self.peers.len(),
            key: connect.conn,
            server: h1::Server::new(),
            kept: Vec::new(),
            asked: Asked::default(),
            is_open: true,
        });
        self.agent
            .connected(self.now, connect.conn, Protocol::Http1);
    }

    /// The server on a connection sends something, asked or not.
    pub fn send(&mut self, number: usize, bytes: &[u8]) {
        self.act(number, Act::Send(bytes.to_vec()));
        self.run();
    }

    pub fn act(&mut self, number: usize, act: Act) {
        let key = self.peers[number].key;
        match act {
            Act::Send(bytes) => {
                for piece in bytes.chunks(self.piece_size.min(bytes.len().max(1))) {
                    let mut piece = piece.to_vec();
                    let mut input = &mut piece[..];
                    while let Some(event) = self.agent.handle_input(self.now, key, &mut input) {
                        let size = record(&mut self.events, event);
                        if let Some((request, size)) = size.filter(|_| self.consumes) {
                            self.agent.consumed(self.now, request, size);
                        }
                    }
                    assert!(input.is_empty(), "all input is taken");
                }
            }
            Act::Eof => self.agent.handle_eof(self.now, key),
            Act::Reset => self.agent.connection_lost(self.now, key),
        }
    }

    /// Until nothing moves any more.
    pub fn run(&mut self) {
        loop {
            let mut has_moved = false;
            while let Some(event) = self.agent.poll_event() {
                record(&mut self.events, event);
                has_moved = true;
            }
            while let Some(connect) = self.agent.poll_connect() {
                self.connects.push(connect.clone());
                has_moved = true;
                if !self.is_manual {
                    self.connect(&connect);
                }
            }
            while let Some(conn) = self.agent.poll_ready() {
                has_moved |= self.flush(conn);
            }
            while let Some(conn) = self.agent.poll_close() {
                has_moved = true;
                self.closed_count += 1;
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.key == conn) {
                    peer.is_open = false;
                }
                self.agent.closed(self.now, conn);
            }
            if !has_moved {
                return;
            }
        }
    }

    pub fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.agent.poll_timeout().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            self.agent.handle_timeout(self.now);
            self.run();
        }
        self.now = until;
        self.run();
    }

    fn flush(&mut self, conn: ConnKey) -> bool {
        let mut has_moved = false;
        loop {
            let mut out = Vec::new();
            self.agent.poll_output(self.now, conn, &mut out, 1024);
            if out.is_empty() {
                return has_moved;
            }
            has_moved = true;
            let place = self.peers.iter().position(|peer| peer.key == conn);
            let number = place.expect("output needs a connection");
            let acts = self.serve(number, &out);
            for act in acts {
                self.act(number, act);
            }
        }
    }

    fn serve(&mut self, number: usize, bytes: &[u8]) -> Vec<Act> {
        let peer = &mut self.peers[number];
        peer.kept.extend_from_slice(bytes);
        let mut whole = std::mem::take(&mut peer.kept);
        let mut rest = &mut whole[..];
        let mut acts = Vec::new();
        loop {
            let event = peer.server.handle_input(&h1::Limits::default(), &mut rest);
            match event.expect("agents send what is legal") {
                Some(h1::Event::Head(head)) => {
                    let mut fields = BTreeMap::new();
                    for (name, value) in head.fields() {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        fields.insert(text(name).to_lowercase(), text(value));
                    }
                    peer.asked = Asked {
                        conn: peer.number,
                        host: fields.get("host").cloned().unwrap_or_default(),
                        line: format!("{} {}", head.method(), head.target()),
                        fields,
                        body: Vec::new(),
                        is_whole: false,
                    };
                    if head.body() == h1::Body::None {
                        peer.asked.is_whole = true;
                        self.asked.push(peer.asked.clone());
                        peer.server.response_done();
                    }
                    // With a body: what is waited for, or refused, before it.
                    acts.extend((self.answer)(&peer.asked));
                }
                Some(h1::Event::Body(bytes)) => peer.asked.body.extend_from_slice(bytes),
                Some(h1::Event::End) => {
                    peer.asked.is_whole = true;
                    self.asked.push(peer.asked.clone());
                    acts.extend((self.answer)(&peer.asked));
                    peer.server.response_done();
                }
                None => break,
            }
        }
        peer.kept = rest.to_vec();
        acts
    }
}

fn record(events: &mut Vec<(RequestKey, Seen)>, event: Event<'_>) -> Option<(RequestKey, usize)> {
    let (key, seen, size) = match event {
        Event::Redirected {
            request,
            status,
            to,
        } => (request, Seen::Redirected(status, to.to_string()), None),
        Event::Head { request, head } => (request, Seen::Head(head.status()), None),
        Event::Body { request, bytes } => {
            assert!(!bytes.is_empty());
            let size = bytes.len();
            (request, Seen::Body(bytes.to_vec()), Some((request, size)))
        }
        Event::Progress { request, progress } => (
            request,
            Seen::Progress(progress.received, progress.total),
            None,
        ),
        Event::BodyWanted { request } => (request, Seen::Wanted, None),
        Event::End { request, body } => (request, Seen::End(body), None),
        Event::Failed { request, failure } => (request, Seen::Failed(failure), None),
    };
    events.push((key, seen));
    size
}

/// What came at the end, without progress on the way.
pub fn outcome(seen: &[Seen]) -> Vec<Seen> {
    let is_step = |seen: &&Seen| !matches!(seen, Seen::Progress(..) | Seen::Wanted);
    seen.iter().filter(is_step).cloned().collect()
}

pub fn ok(body: &str) -> Vec<Act> {
    vec![Act::Send(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )]
}

pub fn send(text: &str) -> Vec<Act> {
    vec![Act::Send(text.as_bytes().to_vec())]
}

pub fn redirect(status: u16, location: &str) -> Vec<Act> {
    let text =
        format!("HTTP/1.1 {status} R\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\ngone");
    send(&text)
}
