//! A client that waits for server-sent events: a [`Source`] over one `TcpStream` after another.
//!
//! ```text
//!   connect ─▶ next_event … ─▶ lost ─▶ pause ─▶ connect with the last id ─▶ next_event …
//! ```
//!
//! In clear only: `https://` is refused with an error.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;

use hioload_http::client::{Scheme, Url, UrlFault};
use hioload_http::sse::{
    Limits, Overlong, Source, SourceError, SourceEvent, Verdict, decode_base64,
};

/// Bytes read from the socket at a time.
const INPUT_SIZE: usize = 64 * 1024;

/// An event, with memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// What to come back with to get what follows; empty if the server gives none.
    pub id: String,
    /// Its type: `message` unless it was named.
    pub name: String,
    /// What it carries.
    pub data: String,
}

impl ServerEvent {
    /// The bytes of a binary message, as this server sends it: an event `binary` in Base64. `None` for any other.
    #[must_use]
    pub fn as_binary(&self) -> Option<Vec<u8>> {
        (self.name == "binary")
            .then(|| decode_base64(&self.data))
            .flatten()
    }
}

/// Why there are no more events.
#[derive(Debug)]
#[non_exhaustive]
pub enum SseError {
    /// The URL cannot be connected to.
    Url {
        /// As it was given.
        url: String,
        /// What is wrong; `None`: it is sound, and not `http://`.
        fault: Option<UrlFault>,
    },
    /// No connection to the server.
    Connect {
        /// Host and port.
        to: String,
        /// The system's error.
        error: io::Error,
    },
    /// The server gives no events, or breaks a protocol.
    Source(SourceError),
    /// The connection ended; `None`: in good order.
    Lost(Option<io::Error>),
    /// Nothing came for so long, not even a comment.
    Silent(Duration),
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, fault: None } => {
                write!(
                    f,
                    "cannot read events of {url}: write http://HOST:PORT/PATH"
                )
            }
            Self::Url {
                url,
                fault: Some(fault),
            } => write!(f, "cannot read events of {url}: {fault}"),
            Self::Connect { to, error } => write!(
                f,
                "cannot connect to {to}: {error}. Check host and port, and that the server runs"
            ),
            Self::Source(error) => write!(f, "no events: {error}"),
            Self::Lost(Some(error)) => write!(f, "the connection broke: {error}"),
            Self::Lost(None) => f.write_str("the server ended the stream"),
            Self::Silent(after) => write!(f, "nothing came for {} s", after.as_secs_f32()),
        }
    }
}

impl std::error::Error for SseError {}

/// What a reader of events is to be like. Made by [`SseClient::builder`].
#[derive(Clone, Debug)]
pub struct SseClientBuilder {
    fields: Vec<(String, String)>,
    last_id: String,
    limits: Limits,
    connect_timeout: Duration,
    silence_max: Option<Duration>,
    is_resuming: bool,
}

impl Default for SseClientBuilder {
    fn default() -> Self {
        Self {
            fields: Vec::new(),
            last_id: String::new(),
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(10),
            silence_max: Some(Duration::from_secs(45)),
            is_resuming: true,
        }
    }
}

impl SseClientBuilder {
    /// Adds a header to each request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Goes on behind the event with this id.
    #[must_use]
    pub fn last_id(mut self, id: impl Into<String>) -> Self {
        self.last_id = id.into();
        self
    }

    /// Sizes of lines and events that are taken.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a connection may take to stand. 10 seconds unless told.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long nothing may come, not even a comment, before the connection counts as lost; `None`: forever.
    /// 45 seconds unless told: servers send a comment every 15.
    #[must_use]
    pub fn silence_max(mut self, silence: Option<Duration>) -> Self {
        self.silence_max = silence;
        self
    }

    /// Whether to connect again when the connection is lost, and to go on where it was. So it is unless told.
    #[must_use]
    pub fn resume(mut self, is_resuming: bool) -> Self {
        self.is_resuming = is_resuming;
        self
    }

    /// Connects, and waits for the server's answer.
    ///
    /// # Errors
    /// The URL, the network, or the server refuses; the error says which.
    pub fn connect(self, url: &str) -> Result<SseClient, SseError> {
        let refused = |fault| SseError::Url {
            url: url.to_owned(),
            fault,
        };
        let parsed: Url = url.parse().map_err(|fault| refused(Some(fault)))?;
        if parsed.scheme() != Scheme::Http {
            return Err(refused(None));
        }
        let mut source = Source::new(&parsed, &self.fields, self.limits);
        source
            .set_last_id(&self.last_id)
            .map_err(|error: Overlong| SseError::Source(SourceError::Overlong(error)))?;
        let mut client = SseClient {
            url: parsed,
            source,
            socket: None,
            events: VecDeque::new(),
            input: vec![0; INPUT_SIZE].into_boxed_slice(),
            is_over: false,
            builder: self,
        };
        client.open()?;
        while !client.source.is_open() && client.events.is_empty() {
            client.step()?;
        }
        Ok(client)
    }
}

/// A blocking reader of events, which comes back by itself and goes on where it was.
///
/// ```no_run
/// use hioload::client::SseClient;
///
/// let mut events = SseClient::connect("http://127.0.0.1:9002/")?;
/// while let Some(event) = events.next_event()? {
///     println!("{} {}: {}", event.id, event.name, event.data);
/// }
/// # Ok::<(), hioload::client::SseError>(())
/// ```
pub struct SseClient {
    url: Url,
    source: Source,
    socket: Option<TcpStream>,
    events: VecDeque<ServerEvent>,
    input: Box<[u8]>,
    /// The server wants no more requests.
    is_over: bool,
    builder: SseClientBuilder,
}

impl fmt::Debug for SseClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseClient")
            .field("url", &self.url.as_str())
            .field("last_id", &self.last_id())
            .finish_non_exhaustive()
    }
}

impl SseClient {
    /// Connects as [`SseClientBuilder`] does by default.
    ///
    /// # Errors
    /// As [`SseClientBuilder::connect`].
    pub fn connect(url: &str) -> Result<Self, SseError> {
        Self::builder().connect(url)
    }

    /// A reader's settings, to be filled in.
    #[must_use]
    pub fn builder() -> SseClientBuilder {
        SseClientBuilder::default()
    }

    /// What to come back with, in another life of this program.
    #[must_use]
    pub fn last_id(&self) -> &str {
        self.events
            .front()
            .map_or(self.source.last_id(), |_| &self.builder.last_id)
    }

    /// Waits for the next event, over as many connections as it takes. `None`: the server wants no more requests
    /// (204).
    ///
    /// # Errors
    /// The server refuses, or the connection is lost and is not to be resumed. What came before was given.
    pub fn next_event(&mut self) -> Result<Option<ServerEvent>, SseError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                event.id.clone_into(&mut self.builder.last_id);
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            let outcome = match self.socket {
                Some(_) => self.step(),
                None => self.open(),
            };
            let Err(error) = outcome else { continue };
            self.socket = None;
            match &error {
                SseError::Source(SourceError::Answered {
                    verdict: Verdict::Stop,
                    ..
                }) => self.is_over = true,
                SseError::Source(fault) if !fault.may_come_again() => return Err(error),
                _ if !self.builder.is_resuming => return Err(error),
                // Without randomness clients come at once: no reason to fail.
                _ => thread::sleep(self.source.pause(getrandom::u32().unwrap_or(0))),
            }
        }
    }

    /// Connects and asks.
    fn open(&mut self) -> Result<(), SseError> {
        let origin = self.url.origin();
        let to = format!("{}:{}", origin.host, origin.port);
        let refused = |error| SseError::Connect {
            to: to.clone(),
            error,
        };
        let addrs = (&*origin.host, origin.port)
            .to_socket_addrs()
            .map_err(refused)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let timeout = self.builder.connect_timeout.max(Duration::from_micros(1));
        for addr in addrs {
            match TcpStream::connect_timeout(&addr, timeout) {
                Ok(socket) => return self.ask(socket).map_err(lost),
                Err(error) => last = error,
            }
        }
        Err(refused(last))
    }

    fn ask(&mut self, mut socket: TcpStream) -> io::Result<()> {
        let mut request = Vec::new();
        self.source.connect(&mut request);
        let silence = self.builder.silence_max;
        // Zero means none to the system.
        let silence = silence.map(|silence| silence.max(Duration::from_micros(1)));
        socket.set_read_timeout(silence)?;
        socket.set_write_timeout(silence)?;
        socket.write_all(&request)?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Reads once.
    fn step(&mut self) -> Result<(), SseError> {
        let Some(socket) = &mut self.socket else {
            return Err(SseError::Lost(None));
        };
        let size = match socket.read(&mut self.input) {
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => {
                let is_silent = matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                );
                let silence = self.builder.silence_max.filter(|_| is_silent);
                return Err(silence.map_or_else(|| lost(error), SseError::Silent));
            }
        };
        if size == 0 {
            let ended = self.source.handle_eof();
            return Err(ended.map_or_else(SseError::Source, |()| SseError::Lost(None)));
        }
        let events = &mut self.events;
        let mut sink = |event: SourceEvent<'_>| {
            if let SourceEvent::Event(event) = event {
                events.push_back(ServerEvent {
                    id: event.id.to_owned(),
                    name: event.name.to_owned(),
                    data: event.data.to_owned(),
                });
            }
        };
        self.source
            .handle_input(&mut self.input[..size], &mut sink)
            .map_err(SseError::Source)
    }
}

fn lost(error: io::Error) -> SseError {
    SseError::Lost(Some(error))
}
