//! All requests of one client, and the connections they go over.
//!
//! ```text
//!   commands: submit, write_body, finish_body, consumed, cancel, shutdown
//!   driver:   connected, connect_failed, handle_input, handle_eof, connection_lost, closed, handle_timeout
//!   polls:    poll_connect, poll_ready ─▶ poll_output and wants_input, poll_close, poll_event, poll_timeout
//! ```
//!
//! After any call of the first two kinds the polls may have something new; all of them say `None` when they have not.
//! Of a connection that [`Agent::poll_close`] names, [`Agent::poll_output`] still gives the last words; it counts until
//! the driver says [`Agent::closed`].
//!
//! Invariants: a request ends with exactly one `End` or `Failed`; a request is on one connection at most; an HTTP/1.1
//! connection has one request at most; what a request holds is bounded by its limits.

mod dispatch;
mod input;
mod timers;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use hioload_base::{Slab, Time, TimerWheel};

use super::event::{ConnKey, Event, Progress, Protocol, RequestKey};
use super::exchange::{Exchange, Place};
use super::failure::{ConnectStage, Failure};
use super::limits::Limits;
use super::outgoing::UploadMisuse;
use super::pool::{ConnState, Offer, Pool};
use super::redirect::RedirectPolicy;
use super::request::Request;
use super::url::{Origin, Url};
use super::wire::{Terms, Wire, WireFault};
use super::wire_h1::H1;
use super::wire_h2::H2;
use crate::{h1, h2};

/// How fine deadlines are.
const TICK: Duration = Duration::from_millis(1);

/// What an agent is to be like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Limits and time-outs.
    pub limits: Limits,
    /// Sizes of heads on HTTP/1.1.
    pub http1: h1::Limits,
    /// Limits of HTTP/2 connections.
    pub http2: h2::Limits,
    /// Which redirects are followed, unless a request says otherwise.
    pub redirects: RedirectPolicy,
    /// How long a request may take in all, unless it says otherwise.
    pub total_timeout: Option<Duration>,
    /// What is spoken in clear. [`Offer::Any`] is HTTP/1.1.
    pub clear: Offer,
    /// What is offered over TLS.
    pub tls: Offer,
    /// `User-Agent`, unless a request has its own; empty for none.
    pub user_agent: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            http1: h1::Limits::default(),
            http2: h2::Limits::default(),
            redirects: RedirectPolicy::default(),
            total_timeout: None,
            clear: Offer::Http1,
            tls: Offer::Any,
            user_agent: concat!("hioload/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A connection to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Its name from now on.
    pub conn: ConnKey,
    /// Whom to.
    pub origin: Origin,
    /// What may be spoken on it.
    pub offer: Offer,
}

/// As many requests are under way as may be. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitError;

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as many requests are under way as may be: wait for one to end")
    }
}

impl std::error::Error for SubmitError {}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
enum Timer {
    Request(RequestKey),
    Conn(ConnKey),
}

/// All requests of one client, and their connections. See the module for the order of calls.
///
/// ```
/// use hioload_base::Time;
/// use hioload_http::client::{Agent, Config, Event, Method, Protocol, Request};
///
/// let now = Time::ZERO;
/// let mut agent = Agent::new(Config::default(), now);
/// let request = agent.submit(now, Request::new(Method::GET, "http://h/a".parse()?))?;
/// let connect = agent.poll_connect().expect("there is no connection yet");
/// assert_eq!(connect.origin.to_string(), "h:80");
/// agent.connected(now, connect.conn, Protocol::Http1);
/// let mut out = Vec::new();
/// agent.poll_output(now, connect.conn, &mut out, 4096);
/// assert!(out.starts_with(b"GET /a HTTP/1.1\r\nHost: h\r\n"));
/// let mut input = *b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// let mut input = &mut input[..];
/// let mut body = Vec::new();
/// while let Some(event) = agent.handle_input(now, connect.conn, &mut input) {
///     if let Event::End { request: which, body: whole } = event {
///         assert_eq!(which, request);
///         body = whole;
///     }
/// }
/// assert_eq!(body, b"hi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Agent {
    config: Config,
    exchanges: Slab<Exchange>,
    pool: Pool,
    timers: TimerWheel<Timer>,
    events: VecDeque<Event<'static>>,
    connects: VecDeque<Connect>,
    closes: VecDeque<ConnKey>,
    /// Connections whose owner is to look after them.
    ready: VecDeque<ConnKey>,
    /// Origins whose requests wait for a connection of another origin to go.
    starved: VecDeque<Origin>,
    /// Requests whose owner waits for room for a body.
    wanting_room: usize,
    is_shut: bool,
}

impl Agent {
    /// An agent without connections.
    #[must_use]
    pub fn new(config: Config, now: Time) -> Self {
        let limits = &config.limits;
        let timers_max = limits.requests_max.saturating_add(limits.connections_max);
        Self {
            exchanges: Slab::with_limit(limits.requests_max),
            pool: Pool::new(limits.connections_max),
            timers: TimerWheel::new(TICK, now, timers_max),
            events: VecDeque::new(),
            connects: VecDeque::new(),
            closes: VecDeque::new(),
            ready: VecDeque::new(),
            starved: VecDeque::new(),
            wanting_room: 0,
            is_shut: false,
            config,
        }
    }

    /// Takes a request. It ends with one [`Event::End`] or [`Event::Failed`].
    ///
    /// # Errors
    /// There are too many, or the agent was shut down.
    pub fn submit(&mut self, now: Time, request: Request) -> Result<RequestKey, SubmitError> {
        if self.is_shut {
            return Err(SubmitError);
        }
        let config = &self.config;
        let exchange = Exchange::new(
            request,
            now,
            config.redirects,
            &config.limits,
            config.total_timeout,
        );
        let origin = exchange.origin().clone();
        let key = RequestKey(self.exchanges.insert(exchange).map_err(|_| SubmitError)?);
        self.pool.wait(&origin, key, false);
        self.arm_request(key);
        self.dispatch(now, &origin);
        Ok(key)
    }

    /// Ends a request with [`Failure::Cancelled`]; false when it is over. An HTTP/1.1 connection that it was on is
    /// closed, a stream of HTTP/2 is reset.
    pub fn cancel(&mut self, now: Time, request: RequestKey) -> bool {
        let is_there = self.exchanges.contains(request.0);
        self.fail(now, request, Failure::Cancelled);
        is_there
    }

    /// Hands over a part of a request's body; says how much of it was taken. When that is not all,
    /// [`Event::BodyWanted`] tells when there is room.
    ///
    /// # Errors
    /// The body is not as it was announced, or the request is over.
    pub fn write_body(
        &mut self,
        now: Time,
        request: RequestKey,
        bytes: &[u8],
    ) -> Result<usize, UploadMisuse> {
        let size_max = self.config.limits.upload_buffer_size;
        let exchange = self
            .exchanges
            .get_mut(request.0)
            .ok_or(UploadMisuse::NoUpload)?;
        let was_empty = exchange.outgoing.available() == 0;
        let taken = exchange.outgoing.write(bytes, size_max)?;
        if taken < bytes.len() && !exchange.wants_room {
            exchange.wants_room = true;
            self.wanting_room += 1;
        }
        if was_empty && taken > 0 {
            exchange.progress_at = now;
        }
        self.body_changed(request);
        Ok(taken)
    }

    /// Bytes of a request's body that are taken now.
    #[must_use]
    pub fn body_room(&self, request: RequestKey) -> usize {
        let exchange = self.exchanges.get(request.0);
        exchange.map_or(0, |exchange| {
            exchange
                .outgoing
                .room(self.config.limits.upload_buffer_size)
        })
    }

    /// The body that was handed over is complete.
    ///
    /// # Errors
    /// It is shorter than it was announced, or the request is over.
    pub fn finish_body(&mut self, now: Time, request: RequestKey) -> Result<(), UploadMisuse> {
        let exchange = self
            .exchanges
            .get_mut(request.0)
            .ok_or(UploadMisuse::NoUpload)?;
        exchange.outgoing.finish()?;
        exchange.progress_at = now;
        self.body_changed(request);
        Ok(())
    }

    /// So many bytes of [`Event::Body`] were used: the peer may send more.
    pub fn consumed(&mut self, now: Time, request: RequestKey, size: usize) {
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        let was_full = exchange.is_full(&self.config.limits);
        exchange.outstanding = exchange.outstanding.saturating_sub(size);
        if was_full && !exchange.is_full(&self.config.limits) {
            exchange.progress_at = now;
        }
        let Place::On(conn, stream) = exchange.place else {
            return;
        };
        if let Some(wire) = self.pool.wire(conn) {
            wire.consumed(stream, size);
        }
        self.note(conn);
        self.arm_request(request);
    }

    /// How far a request has come; `None` when it is over.
    #[must_use]
    pub fn progress(&self, request: RequestKey) -> Option<Progress> {
        self.exchanges.get(request.0).map(Exchange::progress)
    }

    /// What a request is for by now: redirects change it. `None` when it is over.
    #[must_use]
    pub fn url(&self, request: RequestKey) -> Option<&Url> {
        self.exchanges
            .get(request.0)
            .map(|exchange| &exchange.request.url)
    }

    /// Requests that wait or are under way.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.exchanges.len()
    }

    /// Connections, those that are being made or closed included.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.pool.conns.len()
    }

    /// A connection to be made: answer by [`Agent::connected`] or [`Agent::connect_failed`].
    pub fn poll_connect(&mut self) -> Option<Connect> {
        // One may have been given up meanwhile.
        loop {
            let connect = self.connects.pop_front()?;
            let conn = self.pool.get(connect.conn);
            if conn.is_some_and(|conn| matches!(conn.state, ConnState::Connecting)) {
                return Some(connect);
            }
        }
    }

    /// The connection stands, and this is spoken on it.
    pub fn connected(&mut self, now: Time, conn: ConnKey, protocol: Protocol) {
        let Some(entry) = self.pool.get_mut(conn) else {
            return;
        };
        if !matches!(entry.state, ConnState::Connecting) {
            return;
        }
        entry.state = ConnState::Open(match protocol {
            Protocol::Http1 => Wire::H1(H1::default()),
            Protocol::Http2 => Wire::H2(Box::new(H2::new(&self.config.http2, now))),
        });
        entry.since = now;
        let (origin, offer, reserved) = (entry.origin.clone(), entry.offer, entry.reserved.take());
        if offer == Offer::Any {
            self.pool.set_speaks(&origin, protocol);
        }
        if let Some(request) = reserved {
            self.start_reserved(now, conn, request);
        }
        self.note(conn);
        self.dispatch(now, &origin);
        self.arm_conn(conn);
    }

    /// The connection could not be made; its key is gone. Who was to go over it fails.
    pub fn connect_failed(&mut self, now: Time, conn: ConnKey, stage: ConnectStage, detail: &str) {
        let Some(entry) = self.pool.get(conn) else {
            return;
        };
        let failure = Failure::Connect {
            to: entry.origin.clone(),
            stage,
            detail: detail.into(),
        };
        self.give_up_connecting(now, conn, &failure);
        self.closed(now, conn);
    }

    /// Takes what belongs to one event off the front of `input`; `None`: all of it was taken. Of a connection that is
    /// being closed, everything is dropped.
    pub fn handle_input<'a>(
        &mut self,
        now: Time,
        conn: ConnKey,
        input: &mut &'a mut [u8],
    ) -> Option<Event<'a>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match self.step(now, conn, input) {
                Step::Event(event) => return Some(event),
                Step::More => {}
                Step::Done => return self.events.pop_front(),
            }
        }
    }

    /// The peer sends no more. (Over TLS: and said so. Otherwise it is [`Agent::connection_lost`].)
    pub fn handle_eof(&mut self, now: Time, conn: ConnKey) {
        let Some(wire) = self.pool.wire(conn) else {
            return;
        };
        match wire.handle_eof() {
            Ok(Some(event)) => {
                if let Some(event) = self.translate(now, conn, event) {
                    self.events.push_back(event);
                }
                self.break_connection(now, conn, WireFault::Closed);
            }
            Ok(None) => self.break_connection(now, conn, WireFault::Closed),
            Err(fault) => self.break_connection(now, conn, fault),
        }
    }

    /// The connection broke.
    pub fn connection_lost(&mut self, now: Time, conn: ConnKey) {
        self.break_connection(now, conn, WireFault::Closed);
    }

    /// A connection that may have output, or is to be read again: [`Agent::poll_output`], [`Agent::wants_input`].
    pub fn poll_ready(&mut self) -> Option<ConnKey> {
        loop {
            let conn = self.ready.pop_front()?;
            if let Some(entry) = self.pool.get_mut(conn) {
                entry.is_noted = false;
                return Some(conn);
            }
        }
    }

    /// Moves what is to be sent to the end of `out`, until that is about as long as `size_max`. To be called again
    /// when all of it was sent, until it brings nothing.
    pub fn poll_output(&mut self, now: Time, conn: ConnKey, out: &mut Vec<u8>, size_max: usize) {
        let Some(entry) = self.pool.get_mut(conn) else {
            return;
        };
        match &mut entry.state {
            ConnState::Connecting => {}
            ConnState::Open(wire) => wire.poll_output(now, &mut self.exchanges, out, size_max),
            ConnState::Closing(words) => out.append(words),
        }
        if self.wanting_room > 0 {
            self.offer_room(conn);
        }
        self.arm_conn(conn);
    }

    /// Whether the connection is to be read. Not while the owner of its one request does not use what came.
    #[must_use]
    pub fn wants_input(&self, conn: ConnKey) -> bool {
        let Some(ConnState::Open(wire)) = self.pool.get(conn).map(|entry| &entry.state) else {
            return false;
        };
        let exchange = wire
            .only_request()
            .and_then(|key| self.exchanges.get(key.0));
        !exchange
            .is_some_and(|exchange| exchange.hop.is_none() && exchange.is_full(&self.config.limits))
    }

    /// A connection to be closed, after what it has for output. Answer by [`Agent::closed`].
    pub fn poll_close(&mut self) -> Option<ConnKey> {
        self.closes.pop_front()
    }

    /// The connection is closed; its key is gone.
    pub fn closed(&mut self, now: Time, conn: ConnKey) {
        self.break_connection(now, conn, WireFault::Closed);
        self.closes.retain(|&closing| closing != conn);
        let Some(entry) = self.pool.remove(conn) else {
            return;
        };
        if let Some((timer, _)) = entry.timer {
            self.timers.cancel(timer);
        }
        for _ in 0..self.starved.len() {
            if let Some(origin) = self.starved.pop_front() {
                self.dispatch(now, &origin);
            }
        }
    }

    /// What happened that no input brought.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        self.events.pop_front()
    }

    /// Cancels every request and closes every connection; nothing is taken any more.
    pub fn shutdown(&mut self, now: Time) {
        self.is_shut = true;
        let requests: Vec<RequestKey> = self
            .exchanges
            .iter()
            .map(|(key, _)| RequestKey(key))
            .collect();
        for request in requests {
            self.fail(now, request, Failure::Cancelled);
        }
        let conns: Vec<ConnKey> = self
            .pool
            .conns
            .iter()
            .map(|(key, _)| ConnKey(key))
            .collect();
        for conn in conns {
            self.retire(conn);
        }
    }

    /// There is more of a body, or it may flow.
    fn body_changed(&mut self, request: RequestKey) {
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        if let Place::On(conn, stream) = exchange.place {
            if let Some(wire) = self.pool.wire(conn) {
                wire.body_changed(stream, exchange);
            }
            self.note(conn);
        }
        self.arm_request(request);
    }

    /// Tells those who wait for room that there is some.
    fn offer_room(&mut self, conn: ConnKey) {
        let Some(wire) = self.pool.wire(conn) else {
            return;
        };
        let size_max = self.config.limits.upload_buffer_size;
        for request in wire.requests() {
            if let Some(exchange) = self.exchanges.get_mut(request.0)
                && exchange.wants_room
                && exchange.outgoing.room(size_max) > 0
            {
                exchange.wants_room = false;
                self.wanting_room -= 1;
                self.events.push_back(Event::BodyWanted { request });
            }
        }
    }

    /// Has the owner look after a connection.
    fn note(&mut self, conn: ConnKey) {
        if let Some(entry) = self.pool.get_mut(conn)
            && !entry.is_noted
        {
            entry.is_noted = true;
            self.ready.push_back(conn);
        }
    }
}

/// What one step of a connection brought.
enum Step<'a> {
    Event(Event<'a>),
    /// Nothing for the owner; there may be more.
    More,
    Done,
}

/// What connections are held to.
fn terms(config: &Config) -> Terms<'_> {
    Terms {
        http1: &config.http1,
        interim_max: config.limits.interim_max,
        streams_max: config.limits.streams_per_connection_max,
        user_agent: &config.user_agent,
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("requests", &self.exchanges.len())
            .field("connections", &self.pool.conns.len())
            .finish_non_exhaustive()
    }
}
