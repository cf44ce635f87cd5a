//! A client that waits: a [`ClientSession`] over a `TcpStream`, with TLS where the URL says so.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hioload_net::tls::{Connector, ConnectorConfig, Identity, Roots};
use hioload_ws::deflate::DeflateOffer;
use hioload_ws::{CloseCode, Kind, Limits};

use super::error::{ClientError, Closing};
use super::options::ClientOptions;
use super::session::{ClientEvent, ClientSession};
use super::stream::{ShakeError, Stream};
use super::url::Url;
use crate::handler::Message;

/// Bytes read from the socket at a time.
const INPUT_SIZE: usize = 64 * 1024;

/// What the server sent, with memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The answer to a ping: who sends none gets none, as a rule.
    Pong(Vec<u8>),
}

impl Incoming {
    pub(crate) fn message(kind: Kind, payload: Vec<u8>) -> Self {
        match kind {
            Kind::Text => Self::Text(
                String::from_utf8(payload).expect("invariant: the session checked the text"),
            ),
            Kind::Binary => Self::Binary(payload),
        }
    }

    /// The message as it would be sent; `None` for a pong.
    #[must_use]
    pub fn as_message(&self) -> Option<Message<'_>> {
        match self {
            Self::Text(text) => Some(Message::text(text)),
            Self::Binary(payload) => Some(Message::binary(payload)),
            Self::Pong(_) => None,
        }
    }
}

/// What a client is to be like. Made by [`Client::builder`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    options: ClientOptions,
    tls: ConnectorConfig,
    connector: Option<Connector>,
    connect_timeout: Duration,
    handshake_timeout: Duration,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    close_timeout: Duration,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            options: ClientOptions::default(),
            tls: ConnectorConfig {
                // RFC 8441 4 needs HTTP/2; this client speaks HTTP/1.1.
                alpn: vec!["http/1.1".to_owned()],
                ..ConnectorConfig::default()
            },
            connector: None,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            read_timeout: None,
            write_timeout: Some(Duration::from_secs(30)),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl ClientBuilder {
    /// Offers a subprotocol, after those offered before.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.options.protocols.push(protocol.into());
        self
    }

    /// Adds a header to the request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the `Origin` header.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.options.origin = Some(origin.into());
        self
    }

    /// Offers compression.
    #[must_use]
    pub fn deflate(mut self, offer: DeflateOffer) -> Self {
        self.options.deflate = Some(offer);
        self
    }

    /// Sizes of frames and messages that are taken.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Trusts the authorities in this PEM file, and no others; for `wss://`. Whom the machine trusts unless told.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.roots = Roots::File(path.into());
        self
    }

    /// Trusts anybody: for a self-signed server on a network of one's own. Whoever is between can read and write.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.tls.roots = Roots::Insecure;
        self
    }

    /// Shows this certificate to servers that ask for one.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.tls.identity = Some(identity);
        self
    }

    /// Uses this connector for `wss://`: clients that share one resume each other's sessions.
    #[must_use]
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = Some(connector);
        self
    }

    /// How long a connection may take to stand. 10 seconds unless told.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may take to answer the request. 10 seconds unless told.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// How long [`Client::recv`] waits for a message; without, for ever.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long a send may wait for the server to take it. 30 seconds unless told.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How long [`Client::close`] waits for the server's answer. 5 seconds unless told.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The URL, the network, or the server refuses; the error says which.
    pub fn connect(self, url: &str) -> Result<Client, ClientError> {
        let url: Url = url.parse()?;
        // Whom to trust is known before anybody is asked.
        let connector = match self.connector {
            connector @ Some(_) => connector,
            None if url.is_secure() => Some(Connector::new(&self.tls)?),
            None => None,
        };
        let socket = open(&url, self.connect_timeout)?;
        let wait = Wait::new("answer to the handshake", Some(self.handshake_timeout));
        socket
            .set_write_timeout(positive(self.write_timeout))
            .map_err(lost)?;
        let stream = match connector.filter(|_| url.is_secure()) {
            Some(connector) => {
                let session = connector.connect(url.host())?;
                secure(Stream::secure(socket, session), &wait)?
            }
            None => Stream::clear(socket),
        };
        let mut client = Client {
            stream,
            session: ClientSession::new(&url, self.options)?,
            input: vec![0; INPUT_SIZE].into_boxed_slice(),
            unread: 0..0,
            closing: None,
            read_timeout: self.read_timeout,
            close_timeout: self.close_timeout,
        };
        client.flush()?;
        client.step(&wait).map(|_| client)
    }
}

/// A blocking client.
///
/// Messages that the server sends while nobody receives wait in the system's buffers; once those
/// are full the server is held back. So a client that only sends to a server that answers has to
/// receive now and then.
///
/// ```no_run
/// use hioload::client::{Client, Incoming};
///
/// let mut client = Client::connect("ws://127.0.0.1:9002")?;
/// client.send_text("hello")?;
/// while let Some(Incoming::Text(text)) = client.recv()? {
///     println!("{text}");
/// }
/// # Ok::<(), hioload::client::ClientError>(())
/// ```
pub struct Client {
    stream: Stream,
    session: ClientSession,
    input: Box<[u8]>,
    /// The part of `input` that was read and not used yet.
    unread: Range<usize>,
    /// How the connection was closed, once it was.
    closing: Option<Closing>,
    read_timeout: Option<Duration>,
    close_timeout: Duration,
}

/// What one step brought.
enum Step {
    Open,
    Incoming(Incoming),
    Closed,
}

impl Client {
    /// Connects with default options.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect(url: &str) -> Result<Self, ClientError> {
        Self::builder().connect(url)
    }

    /// Options, to be filled in.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.session.protocol()
    }

    /// Whether compression was agreed.
    #[must_use]
    pub fn is_deflate_agreed(&self) -> bool {
        self.session.is_deflate_agreed()
    }

    /// How the connection was closed, once it was.
    #[must_use]
    pub fn closing(&self) -> Option<&Closing> {
        self.closing.as_ref()
    }

    /// Sends a message. Returns when the system has taken it.
    ///
    /// # Errors
    /// [`ClientError::Timeout`]: the server takes nothing; the message is kept, and goes out with
    /// the next call. [`ClientError::Misuse`] after a close; [`ClientError::Lost`].
    pub fn send(&mut self, message: Message<'_>) -> Result<(), ClientError> {
        self.session.send(message)?;
        self.flush()
    }

    /// Sends a text message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_text(&mut self, text: &str) -> Result<(), ClientError> {
        self.send(Message::text(text))
    }

    /// Sends a binary message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_binary(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.send(Message::binary(payload))
    }

    /// Sends a ping of at most 125 bytes; [`recv`](Self::recv) brings the pong.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.session.ping(payload)?;
        self.flush()
    }

    /// Waits for the next message. `None` once the connection was closed in good order. Pings are
    /// answered on the way.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] after the read timeout; call again to wait on. All others end the
    /// connection.
    pub fn recv(&mut self) -> Result<Option<Incoming>, ClientError> {
        self.recv_until(&Wait::new("message", self.read_timeout))
    }

    /// Waits for the next message, at most so long.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Incoming>, ClientError> {
        self.recv_until(&Wait::new("message", Some(timeout)))
    }

    fn recv_until(&mut self, wait: &Wait) -> Result<Option<Incoming>, ClientError> {
        loop {
            match self.step(wait)? {
                Step::Incoming(incoming) => return Ok(Some(incoming)),
                Step::Closed => return Ok(None),
                Step::Open => {}
            }
        }
    }

    /// The messages to come, until the connection is closed or fails.
    pub fn messages(&mut self) -> Messages<'_> {
        Messages {
            client: self,
            is_over: false,
        }
    }

    /// Closes, and waits for the server's answer; messages that come before it are dropped.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] when the answer does not come in time; [`ClientError::Misuse`] for
    /// a code that must not be sent; [`ClientError::Lost`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<Closing, ClientError> {
        let wait = Wait::new("answer to the close", Some(self.close_timeout));
        if self.session.is_open() {
            self.session.close(code, reason)?;
            self.flush()?;
        }
        loop {
            if let Step::Closed = self.step(&wait)? {
                let closing = self.closing.clone();
                return Ok(closing.expect("invariant: set with the step"));
            }
        }
    }

    /// The next thing the session has to tell.
    fn step(&mut self, wait: &Wait) -> Result<Step, ClientError> {
        loop {
            if self.closing.is_some() {
                return Ok(Step::Closed);
            }
            let mut input = &mut self.input[self.unread.clone()];
            let result = self.session.handle_input(&mut input);
            self.unread.start = self.unread.end - input.len();
            let step = match result {
                Ok(None) => None,
                Ok(Some(ClientEvent::Open)) => Some(Step::Open),
                Ok(Some(ClientEvent::Message(kind, payload))) => {
                    Some(Step::Incoming(Incoming::message(kind, payload.into_vec())))
                }
                Ok(Some(ClientEvent::Pong(payload))) => {
                    Some(Step::Incoming(Incoming::Pong(payload.into_vec())))
                }
                Ok(Some(ClientEvent::Closed(closing))) => {
                    self.closing = Some(closing);
                    Some(Step::Closed)
                }
                Err(error) => {
                    // What is left to say is said if the server still listens.
                    let _ = self.flush();
                    return Err(error);
                }
            };
            match step {
                // RFC 6455 7.1.1: the server closes the socket first; ours follows the answer.
                Some(Step::Closed) => {
                    let _ = self.flush();
                    return Ok(Step::Closed);
                }
                Some(step) => return Ok(step),
                None if self.session.is_over() => return Err(ClientError::Lost(None)),
                None => {
                    self.flush()?;
                    self.read(wait)?;
                }
            }
        }
    }

    /// Waits for bytes.
    fn read(&mut self, wait: &Wait) -> Result<(), ClientError> {
        loop {
            let socket = &self.stream.socket;
            socket.set_read_timeout(wait.left()?).map_err(lost)?;
            match self.stream.read(&mut self.input) {
                Ok(0) => return self.session.handle_eof(),
                Ok(size) => {
                    self.unread = 0..size;
                    return Ok(());
                }
                Err(error) if is_timeout(&error) => wait.check()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let _ = self.session.handle_eof();
                    return Err(lost(error));
                }
            }
        }
    }

    /// Writes all output.
    fn flush(&mut self) -> Result<(), ClientError> {
        loop {
            let is_last = self.session.output().is_empty();
            let outcome = if is_last {
                self.stream.flush().map(|()| 0)
            } else {
                self.stream.write(self.session.output())
            };
            match outcome {
                Ok(_) if is_last => return Ok(()),
                Ok(size) => self.session.advance_output(size),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    let after = self.stream.socket.write_timeout().ok().flatten();
                    return Err(ClientError::Timeout {
                        what: "room for a message",
                        after: after.unwrap_or_default(),
                    });
                }
                Err(error) => return Err(lost(error)),
            }
        }
    }
}

impl Drop for Client {
    /// Tells the server that nobody is here any more, if that can be done without waiting.
    fn drop(&mut self) {
        if self.session.is_open()
            && self.session.close(CloseCode::GOING_AWAY, "").is_ok()
            && self.stream.socket.set_nonblocking(true).is_ok()
        {
            let _ = self.flush();
        }
        self.stream.end();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.stream.socket.peer_addr().ok())
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// The messages of a client, as they come. Made by [`Client::messages`].
#[derive(Debug)]
pub struct Messages<'a> {
    client: &'a mut Client,
    is_over: bool,
}

impl Iterator for Messages<'_> {
    type Item = Result<Incoming, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self.client.recv().transpose();
        self.is_over = !matches!(item, Some(Ok(_) | Err(ClientError::Timeout { .. })));
        item
    }
}

/// A deadline, and what it is for.
struct Wait {
    what: &'static str,
    after: Option<Duration>,
    deadline: Option<Instant>,
}

impl Wait {
    fn new(what: &'static str, after: Option<Duration>) -> Self {
        // A deadline beyond the clock's end is none.
        let deadline = after.and_then(|after| Instant::now().checked_add(after));
        Self {
            what,
            after,
            deadline,
        }
    }

    /// How long a read may take; `None`: for ever.
    fn left(&self) -> Result<Option<Duration>, ClientError> {
        self.check()?;
        let left = self.deadline.map(|deadline| deadline - Instant::now());
        // The system takes zero for "for ever".
        Ok(left.map(|left| left.max(Duration::from_micros(1))))
    }

    fn check(&self) -> Result<(), ClientError> {
        match (self.after, self.deadline) {
            (Some(after), Some(deadline)) if Instant::now() >= deadline => {
                Err(ClientError::Timeout {
                    what: self.what,
                    after,
                })
            }
            _ => Ok(()),
        }
    }
}

/// A timeout the system understands: zero means none there.
fn positive(timeout: Option<Duration>) -> Option<Duration> {
    timeout.map(|timeout| timeout.max(Duration::from_micros(1)))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn lost(error: io::Error) -> ClientError {
    ClientError::Lost(Some(error))
}

/// Shakes hands until plain bytes may flow.
fn secure(mut stream: Stream, wait: &Wait) -> Result<Stream, ClientError> {
    while stream.is_handshaking() {
        stream.socket.set_read_timeout(wait.left()?).map_err(lost)?;
        match stream.shake() {
            Ok(()) => {}
            Err(ShakeError::Tls(failure)) => return Err(ClientError::Tls(failure)),
            Err(ShakeError::Socket(error)) if is_timeout(&error) => wait.check()?,
            Err(ShakeError::Socket(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(ShakeError::Socket(error)) => return Err(lost(error)),
        }
    }
    Ok(stream)
}

/// A connection to the first of the host's addresses that answers.
fn open(url: &Url, timeout: Duration) -> Result<TcpStream, ClientError> {
    let refused = |error| ClientError::Connect {
        to: format!("{}:{}", url.host(), url.port()),
        error,
    };
    let addrs = (url.host(), url.port())
        .to_socket_addrs()
        .map_err(refused)?;
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut last = none();
    for addr in addrs {
        match TcpStream::connect_timeout(&addr, timeout.max(Duration::from_micros(1))) {
            Ok(stream) => {
                // Small messages go at once.
                stream.set_nodelay(true).map_err(refused)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(refused(last))
}
