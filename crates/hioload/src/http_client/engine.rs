//! An [`Agent`] on a completion driver: sockets, TLS and time for what it asks.
//!
//! ```text
//!   submit, write_body, … ─▶ Agent ◀── plain bytes ── Link (socket, TLS) ◀── Completion
//!                              │                                                  ▲
//!        Event ◀───────────────┴── connect, output, close ─▶ Link ─▶ Op ─▶ Driver ─┘
//! ```
//!
//! Runs on a reactor worker, or on the thread of an [`HttpClient`](super::HttpClient). Nothing in here blocks: names
//! are looked up by whoever owns the engine, since no system does that without waiting.
//!
//! A turn: [`Engine::settle`]; look up what [`Engine::poll_resolve`] names; `Driver::turn`, no longer than
//! [`Engine::poll_timeout`]; [`Engine::handle`] each completion.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hioload_base::Time;
use hioload_http::client::{
    Agent, Config, ConnKey, ConnectStage, Event, Offer, Origin, Protocol, Request, RequestKey,
    SubmitError, UploadMisuse,
};
use hioload_net::tls;
use hioload_reactor::{Completion, Connect, Driver, Op, RecvBuf, RecvEnd, SocketId};

use super::link::{Link, Opened, State};
use super::trust::Trust;

/// How long last words may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes handed to the system at a time.
const SEND_SIZE: usize = 64 << 10;

/// A name to be looked up: answer by [`Engine::resolved`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// For which connection.
    pub conn: ConnKey,
    /// Whose name, and which port.
    pub origin: Origin,
}

/// All requests of one client on one driver.
///
/// ```no_run
/// use hioload::http_client::{Config, Engine, Event, Method, Request, Trust};
/// use hioload_reactor::poll::PollDriver;
/// use hioload_reactor::{Driver as _, DriverConfig, Wait};
///
/// let mut driver = PollDriver::new(DriverConfig::default())?;
/// let mut engine = Engine::new(Config::default(), Trust::default(), driver.now());
/// let url = "http://127.0.0.1:8080/".parse()?;
/// engine.submit(driver.now(), Request::new(Method::GET, url))?;
/// let mut completions = Vec::new();
/// loop {
///     let mut sink = |event: Event<'_>| println!("{event:?}");
///     engine.settle(&mut driver, &mut sink);
///     if engine.agent().request_count() == 0 {
///         break;
///     }
///     let due = engine.poll_timeout();
///     let wait = due.map_or(Wait::Forever, |due| Wait::For(due - driver.now()));
///     driver.turn(wait, &mut completions)?;
///     for completion in completions.drain(..) {
///         engine.handle(&mut driver, completion, &mut sink);
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    agent: Agent,
    trust: Trust,
    /// By the index of the connection.
    links: Vec<Option<Link>>,
    by_socket: HashMap<SocketId, ConnKey>,
    lookups: VecDeque<Lookup>,
    opened: Opened,
}

impl Engine {
    /// An engine without connections. `trust` says whom TLS believes; it is set up with the first connection that
    /// needs it.
    #[must_use]
    pub fn new(config: Config, trust: Trust, now: Time) -> Self {
        Self {
            agent: Agent::new(config, now),
            trust,
            links: Vec::new(),
            by_socket: HashMap::new(),
            lookups: VecDeque::new(),
            opened: Opened::default(),
        }
    }

    /// The requests themselves: what can be asked of them.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// As [`Agent::submit`]. To be followed by [`Engine::settle`], as are all of these.
    ///
    /// # Errors
    /// There are too many.
    pub fn submit(&mut self, now: Time, request: Request) -> Result<RequestKey, SubmitError> {
        self.agent.submit(now, request)
    }

    /// As [`Agent::cancel`].
    pub fn cancel(&mut self, now: Time, request: RequestKey) -> bool {
        self.agent.cancel(now, request)
    }

    /// As [`Agent::write_body`].
    ///
    /// # Errors
    /// The body is not as it was announced, or the request is over.
    pub fn write_body(
        &mut self,
        now: Time,
        request: RequestKey,
        bytes: &[u8],
    ) -> Result<usize, UploadMisuse> {
        self.agent.write_body(now, request, bytes)
    }

    /// As [`Agent::finish_body`].
    ///
    /// # Errors
    /// The body is shorter than was announced, or the request is over.
    pub fn finish_body(&mut self, now: Time, request: RequestKey) -> Result<(), UploadMisuse> {
        self.agent.finish_body(now, request)
    }

    /// As [`Agent::consumed`].
    pub fn consumed(&mut self, now: Time, request: RequestKey, size: usize) {
        self.agent.consumed(now, request, size);
    }

    /// As [`Agent::shutdown`]; over when [`Engine::is_idle`].
    pub fn shutdown(&mut self, now: Time) {
        self.agent.shutdown(now);
    }

    /// No connection is left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.agent.connection_count() == 0 && self.by_socket.is_empty()
    }

    /// When [`Engine::settle`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let links = self.links.iter().flatten();
        let own = links.filter_map(|link| match link.state {
            State::Closing(until) => Some(until),
            State::Connecting => link.race.due(),
            _ => None,
        });
        own.filter(|&due| due != Time::MAX)
            .chain(self.agent.poll_timeout())
            .min()
    }

    /// A name to be looked up.
    pub fn poll_resolve(&mut self) -> Option<Lookup> {
        self.lookups.pop_front()
    }

    /// A name was looked up: where to try, the preferred first; or what the system said. Families take turns, and several
    /// are tried at a time (RFC 8305).
    pub fn resolved(
        &mut self,
        driver: &mut dyn Driver,
        conn: ConnKey,
        outcome: Result<Vec<SocketAddr>, String>,
    ) {
        let Some(link) = find(&mut self.links, conn).filter(|link| link.state == State::Resolving)
        else {
            return;
        };
        match outcome {
            Ok(addresses) => {
                link.race.enter(addresses);
                self.try_next(driver, conn, ConnectStage::Resolve);
            }
            Err(error) => {
                self.links[conn.index()] = None;
                let now = driver.now();
                self.agent
                    .connect_failed(now, conn, ConnectStage::Resolve, &error);
            }
        }
    }

    /// Does all that can be done now. Events go to `sink`.
    pub fn settle(&mut self, driver: &mut dyn Driver, sink: &mut dyn FnMut(Event<'_>)) {
        let now = driver.now();
        self.expire(driver, now);
        loop {
            let mut has_moved = false;
            if self.agent.poll_timeout().is_some_and(|due| due <= now) {
                self.agent.handle_timeout(now);
            }
            while let Some(event) = self.agent.poll_event() {
                sink(event);
                has_moved = true;
            }
            while let Some(connect) = self.agent.poll_connect() {
                self.begin(driver, connect.conn, connect.origin, connect.offer);
                has_moved = true;
            }
            while let Some(conn) = self.agent.poll_ready() {
                self.pump(driver, conn);
                has_moved = true;
            }
            while let Some(conn) = self.agent.poll_close() {
                self.end(driver, conn);
                has_moved = true;
            }
            if !has_moved {
                break;
            }
        }
    }

    /// Gives up what has taken too long.
    fn expire(&mut self, driver: &mut dyn Driver, now: Time) {
        let mut late = Vec::new();
        for link in self.links.iter_mut().flatten() {
            match link.state {
                State::Closing(until) if until <= now => {
                    link.close(driver);
                    link.state = State::Closing(Time::MAX);
                }
                State::Connecting if link.race.due().is_some_and(|due| due <= now) => {
                    if let Some(socket) = link.race.give_way() {
                        "it does not answer".clone_into(&mut link.last_error);
                        abandon(driver, socket);
                    }
                    late.push(link.conn);
                }
                _ => {}
            }
        }
        for conn in late {
            self.try_next(driver, conn, ConnectStage::Tcp);
        }
    }

    /// Takes a completion. One of somebody else's socket comes back. To be followed by [`Engine::settle`].
    pub fn handle(
        &mut self,
        driver: &mut dyn Driver,
        completion: Completion,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Option<Completion> {
        let socket = match &completion {
            Completion::Connected { socket }
            | Completion::ConnectFailed { socket, .. }
            | Completion::Received { socket, .. }
            | Completion::RecvEnded { socket, .. }
            | Completion::Sent { socket, .. }
            | Completion::Closed { socket } => *socket,
            _ => return Some(completion),
        };
        let Some(&conn) = self.by_socket.get(&socket) else {
            return Some(completion);
        };
        // A socket of an attempt that was given up, or of a connection that is gone.
        let link = find(&mut self.links, conn).filter(|link| link.has(socket));
        let Some(link) = link else {
            if matches!(completion, Completion::Closed { .. }) {
                self.by_socket.remove(&socket);
            }
            return None;
        };
        match completion {
            Completion::Connected { .. } => {
                link.race.over(socket);
                for loser in link.race.end() {
                    abandon(driver, loser);
                }
                link.socket = Some(socket);
                self.connected(driver, conn);
            }
            Completion::ConnectFailed { errno, .. } => {
                link.last_error = std::io::Error::from_raw_os_error(errno).to_string();
                link.race.over(socket);
                self.try_next(driver, conn, ConnectStage::Tcp);
            }
            Completion::Received { buffer, .. } => self.received(driver, conn, buffer, sink),
            Completion::RecvEnded { end, .. } => {
                link.is_receiving = false;
                self.ended(driver, conn, end);
            }
            Completion::Sent {
                result, payload, ..
            } => match result {
                Ok(taken) => {
                    link.sent(driver, taken, payload);
                    self.pump(driver, conn);
                }
                Err(_) => {
                    link.is_sending = false;
                    self.lost(driver, conn);
                }
            },
            Completion::Closed { .. } => {
                self.by_socket.remove(&socket);
                self.gone(driver, conn);
            }
            _ => {}
        }
        None
    }

    fn begin(&mut self, driver: &mut dyn Driver, conn: ConnKey, origin: Origin, offer: Offer) {
        if conn.index() >= self.links.len() {
            self.links.resize_with(conn.index() + 1, || None);
        }
        let mut link = Link::new(conn, origin.clone(), offer);
        let literal = origin.host.parse::<IpAddr>().ok();
        let address = literal.map(|ip| SocketAddr::new(ip, origin.port));
        link.race.enter(address.into_iter().collect());
        self.links[conn.index()] = Some(link);
        match literal {
            Some(_) => self.try_next(driver, conn, ConnectStage::Tcp),
            None => self.lookups.push_back(Lookup { conn, origin }),
        }
    }

    /// Tries the next address beside those that are tried; without any the connection has failed.
    fn try_next(&mut self, driver: &mut dyn Driver, conn: ConnKey, stage: ConnectStage) {
        let Some(link) = find(&mut self.links, conn) else {
            return;
        };
        let now = driver.now();
        while let Some(address) = link.race.next() {
            match driver.submit(Op::Connect(Connect::new(address))) {
                Ok(op) => {
                    let socket = SocketId::from_key(op.key);
                    link.race.begun(socket, now);
                    link.state = State::Connecting;
                    self.by_socket.insert(socket, conn);
                    return;
                }
                Err(reject) => link.last_error = reject.to_string(),
            }
        }
        if link.race.is_on() {
            return;
        }
        let error = std::mem::take(&mut link.last_error);
        self.links[conn.index()] = None;
        self.agent.connect_failed(now, conn, stage, &error);
    }

    fn connected(&mut self, driver: &mut dyn Driver, conn: ConnKey) {
        let Some(link) = find(&mut self.links, conn) else {
            return;
        };
        if matches!(link.state, State::Closing(_)) {
            return;
        }
        if link.origin.is_tls {
            match self.trust.connect(&link.origin.host, link.offer) {
                Ok(session) => link.tls = Some(Box::new(session)),
                Err(error) => return self.refuse(driver, conn, &error.to_string()),
            }
            link.state = State::Securing;
            link.receive(driver, true);
            link.send(driver, Vec::new());
            return;
        }
        link.state = State::Open;
        let protocol = match link.offer {
            Offer::Http2 => Protocol::Http2,
            Offer::Any | Offer::Http1 => Protocol::Http1,
        };
        let now = driver.now();
        self.agent.connected(now, conn, protocol);
        self.pump(driver, conn);
    }

    fn received(
        &mut self,
        driver: &mut dyn Driver,
        conn: ConnKey,
        mut buffer: RecvBuf,
        sink: &mut dyn FnMut(Event<'_>),
    ) {
        let now = driver.now();
        let mut input = &mut buffer[..];
        let Some(link) = find(&mut self.links, conn) else {
            return;
        };
        if matches!(link.state, State::Closing(_)) {
            return;
        }
        let Some(session) = &mut link.tls else {
            while let Some(event) = self.agent.handle_input(now, conn, &mut input) {
                sink(event);
            }
            return self.pump(driver, conn);
        };
        loop {
            match session.handle_input(&mut input, &mut self.opened) {
                Ok(None) => break,
                Ok(Some(tls::Event::Handshake(_))) => {
                    let is_http2 = session.alpn() == Some(Protocol::Http2.alpn().as_bytes());
                    if link.offer == Offer::Http2 && !is_http2 {
                        return self.refuse(driver, conn, "the server does not speak HTTP/2");
                    }
                    link.state = State::Open;
                    let protocol = if is_http2 {
                        Protocol::Http2
                    } else {
                        Protocol::Http1
                    };
                    self.agent.connected(now, conn, protocol);
                }
                Ok(Some(tls::Event::Data(mut plain))) => {
                    while let Some(event) = self.agent.handle_input(now, conn, &mut plain) {
                        sink(event);
                    }
                }
                Ok(Some(tls::Event::Closed)) => self.agent.handle_eof(now, conn),
                Err(failure) if link.state == State::Securing => {
                    let failure = failure.to_string();
                    // The alert that says why.
                    link.send(driver, Vec::new());
                    return self.refuse(driver, conn, &failure);
                }
                Err(_) => {
                    link.send(driver, Vec::new());
                    return self.lost(driver, conn);
                }
            }
        }
        self.pump(driver, conn);
    }

    fn ended(&mut self, driver: &mut dyn Driver, conn: ConnKey, end: RecvEnd) {
        let now = driver.now();
        let Some(link) = find(&mut self.links, conn) else {
            return;
        };
        match end {
            RecvEnd::Cancelled => return self.pump(driver, conn),
            RecvEnd::Eof => link.is_ended = true,
            RecvEnd::Failed(_) => {
                link.is_ended = true;
                return self.lost(driver, conn);
            }
        }
        if matches!(link.state, State::Closing(_)) {
            return;
        }
        // Over TLS the peer has to say that this is the end (RFC 8446 6.1): what is missing may have been cut off.
        let is_end = link.tls.as_mut().is_none_or(|tls| tls.handle_eof().is_ok());
        match (link.state, is_end) {
            (State::Securing, _) => self.refuse(driver, conn, "the peer ended the connection"),
            (_, true) => self.agent.handle_eof(now, conn),
            (_, false) => self.agent.connection_lost(now, conn),
        }
    }

    /// Sends and reads what the agent wants.
    fn pump(&mut self, driver: &mut dyn Driver, conn: ConnKey) {
        let Some(link) = find(&mut self.links, conn) else {
            return;
        };
        match link.state {
            State::Resolving | State::Connecting => return,
            State::Securing => {
                if !link.is_sending {
                    link.send(driver, Vec::new());
                }
                return;
            }
            State::Closing(_) => {
                if !link.is_sending {
                    link.close(driver);
                }
                return;
            }
            State::Open => {}
        }
        link.receive(driver, self.agent.wants_input(conn));
        if !link.is_sending {
            let mut plain = Vec::new();
            let now = driver.now();
            self.agent.poll_output(now, conn, &mut plain, SEND_SIZE);
            link.send(driver, plain);
        }
    }

    /// No TLS on this connection.
    fn refuse(&mut self, driver: &mut dyn Driver, conn: ConnKey, why: &str) {
        let now = driver.now();
        let Some(link) = find(&mut self.links, conn) else {
            return;
        };
        // The socket closes behind the back of the connection, whose key is gone.
        link.close(driver);
        self.links[conn.index()] = None;
        self.agent.connect_failed(now, conn, ConnectStage::Tls, why);
    }

    fn lost(&mut self, driver: &mut dyn Driver, conn: ConnKey) {
        let now = driver.now();
        if let Some(link) = find(&mut self.links, conn) {
            link.state = State::Closing(now);
            link.close(driver);
        }
        self.agent.connection_lost(now, conn);
    }

    /// The agent is done with a connection: what it has left to say goes out, then the socket is closed.
    fn end(&mut self, driver: &mut dyn Driver, conn: ConnKey) {
        let now = driver.now();
        let Some(link) = find(&mut self.links, conn) else {
            return self.agent.closed(now, conn);
        };
        for attempt in link.race.end() {
            abandon(driver, attempt);
        }
        if link.socket.is_none() {
            return self.gone(driver, conn);
        }
        if link.state == State::Open && !link.is_sending {
            let mut words = Vec::new();
            self.agent.poll_output(now, conn, &mut words, SEND_SIZE);
            link.send_last(driver, words);
        }
        let was_closing = matches!(link.state, State::Closing(_));
        link.state = State::Closing(now + CLOSE_TIMEOUT);
        if !link.is_sending || was_closing {
            link.close(driver);
        }
    }

    /// The socket is closed.
    fn gone(&mut self, driver: &mut dyn Driver, conn: ConnKey) {
        if find(&mut self.links, conn).is_some() {
            self.links[conn.index()] = None;
            let now = driver.now();
            self.agent.closed(now, conn);
        }
    }
}

/// A socket that closes behind the back of its connection.
fn abandon(driver: &mut dyn Driver, socket: SocketId) {
    // Refused when it is closing already.
    let _ = driver.submit(Op::Close { socket });
}

fn find(links: &mut [Option<Link>], conn: ConnKey) -> Option<&mut Link> {
    let link = links.get_mut(conn.index())?.as_mut();
    link.filter(|link| link.conn == conn)
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
