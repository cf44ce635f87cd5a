//! Server-sent events for those who wait for them: read, and read on after a break.
//!
//! ```text
//!   GET, Last-Event-ID ─▶ AnswerStream ─▶ sse::Parser ─▶ ServerEvent
//!        ▲────── pause ◀── sse::Reconnect ◀── the end, or a failure
//! ```
//!
//! Knows no format: that is `hioload_http::sse`'s.
//!
//! Spec: WHATWG HTML 9.2.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use hioload_http::client::{Failure, Method, Request, Scheme};
use hioload_http::sse::{Limits, MEDIA_TYPE, Overlong, Parser, Reconnect, Verdict, decode_base64};

use super::client::{AnswerStream, HttpClient, request};
use super::error::HttpError;

/// Bytes read at a time.
const INPUT_SIZE: usize = 16 << 10;

/// How long a stream may be silent, unless told: servers send something at least every minute or so.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// The last id the stream has named; empty if there was none.
    pub id: String,
    /// Its type: `message` unless it was named.
    pub name: String,
    /// Its data.
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
pub enum EventsError {
    /// The URL is one of a WebSocket.
    Scheme {
        /// As it was given.
        url: String,
    },
    /// The request cannot be made, or the client has ended.
    Http(HttpError),
    /// The answer is no stream, by this status; asking again would not help.
    Refused(u16),
    /// A part of the stream is longer than allowed.
    Overlong(Overlong),
    /// The server ended the stream in good order, and it is not to be read on.
    Ended,
}

impl std::fmt::Display for EventsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Refused(status) => write!(
                f,
                "there are no events there: the server answered {status}, or another type of content"
            ),
            Self::Scheme { url } => write!(
                f,
                "cannot read events of {url}: write http:// or https://HOST:PORT/PATH"
            ),
            Self::Overlong(overlong) => overlong.fmt(f),
            Self::Ended => f.write_str("the server ended the stream"),
        }
    }
}

impl std::error::Error for EventsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Http(error) => Some(error),
            Self::Overlong(overlong) => Some(overlong),
            Self::Scheme { .. } | Self::Refused(_) | Self::Ended => None,
        }
    }
}

impl HttpClient {
    /// The events of a URL, from after the one with this id; from now on, if it is empty. Nothing is asked yet.
    ///
    /// ```no_run
    /// use hioload::HttpClient;
    ///
    /// let mut events = HttpClient::new()?.events("https://example.org/events", "")?;
    /// while let Some(event) = events.next_event()? {
    ///     println!("{} {}: {}", event.id, event.name, event.data);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The URL is none, or of a WebSocket; the id is too long.
    pub fn events(&self, url: &str, last_id: &str) -> Result<Events, EventsError> {
        let request = request(Method::GET, url).map_err(EventsError::Http)?;
        self.events_of(request.read_timeout(SILENCE_MAX), last_id)
    }

    /// The same with a request of one's own: its read time-out is how long the stream may be silent.
    ///
    /// # Errors
    /// As [`HttpClient::events`].
    pub fn events_of(&self, request: Request, last_id: &str) -> Result<Events, EventsError> {
        if !matches!(request.url().scheme(), Scheme::Http | Scheme::Https) {
            let url = request.url().to_string();
            return Err(EventsError::Scheme { url });
        }
        let mut parser = Parser::new(Limits::default());
        parser.set_last_id(last_id).map_err(EventsError::Overlong)?;
        Ok(Events {
            client: self.clone(),
            request,
            parser,
            reconnect: Reconnect::default(),
            stream: None,
            input: vec![0; INPUT_SIZE].into_boxed_slice(),
            unread: 0..0,
            was_asked: false,
            is_resuming: true,
        })
    }
}

/// Events as they come, over as many connections as it takes. Made by [`HttpClient::events`].
#[derive(Debug)]
pub struct Events {
    client: HttpClient,
    request: Request,
    parser: Parser,
    reconnect: Reconnect,
    stream: Option<AnswerStream>,
    input: Box<[u8]>,
    /// The part of `input` that was read and not used yet.
    unread: Range<usize>,
    was_asked: bool,
    is_resuming: bool,
}

/// What came of asking for the stream.
enum Asked {
    Open,
    /// The server wants no more requests.
    Over,
    /// Another time, perhaps.
    Failed(EventsError),
}

impl Events {
    /// Whether to ask again when the stream is lost, and to go on where it was. So it is unless told.
    #[must_use]
    pub fn resume(mut self, is_resuming: bool) -> Self {
        self.is_resuming = is_resuming;
        self
    }

    /// The id to come back with, in another life of this program; empty: none.
    #[must_use]
    pub fn last_id(&self) -> &str {
        self.parser.last_id()
    }

    /// Asks for the stream now, once, and waits for the answer; no effect while there is one. False: the server wants
    /// no more requests (204). Whoever does not call this learns the same from [`Events::next_event`].
    ///
    /// # Errors
    /// There is no stream.
    pub fn connect(&mut self) -> Result<bool, EventsError> {
        if self.stream.is_some() {
            return Ok(true);
        }
        match self.ask()? {
            Asked::Open => Ok(true),
            Asked::Over => Ok(false),
            Asked::Failed(error) => Err(error),
        }
    }

    /// Waits for the next event, whatever happens to the connection meanwhile. `None`: the server wants no more
    /// requests (204).
    ///
    /// # Errors
    /// Asking again would not help; or the stream is lost, and is not to be resumed. What came before was given.
    pub fn next_event(&mut self) -> Result<Option<ServerEvent>, EventsError> {
        loop {
            let mut input = &self.input[self.unread.clone()];
            let event = self.parser.handle_input(&mut input);
            self.unread.start = self.unread.end - input.len();
            let event = event.map_err(EventsError::Overlong)?;
            if let Some(event) = event {
                return Ok(Some(ServerEvent {
                    id: event.id.to_owned(),
                    name: event.name.to_owned(),
                    data: event.data.to_owned(),
                }));
            }
            let Some(stream) = &mut self.stream else {
                match self.ask()? {
                    Asked::Open => continue,
                    Asked::Over => return Ok(None),
                    Asked::Failed(error) => self.lost(error)?,
                }
                continue;
            };
            match stream.read_some(&mut self.input) {
                Ok(size @ 1..) => self.unread = 0..size,
                Ok(0) => self.lost(EventsError::Ended)?,
                Err(error @ HttpError::Failed { .. }) => self.lost(EventsError::Http(error))?,
                Err(error) => return Err(EventsError::Http(error)),
            }
        }
    }

    /// There is no stream, or no longer.
    fn lost(&mut self, error: EventsError) -> Result<(), EventsError> {
        self.stream = None;
        if self.is_resuming { Ok(()) } else { Err(error) }
    }

    /// Asks for the stream, after a pause if it is not the first time.
    fn ask(&mut self) -> Result<Asked, EventsError> {
        if std::mem::replace(&mut self.was_asked, true) {
            self.parser.restart();
            self.unread = 0..0;
            // Without randomness they come at once: no reason to fail.
            let random = getrandom::u32().unwrap_or(0);
            thread::sleep(self.reconnect.pause(self.parser.retry(), random));
        }
        let request = self.request.clone();
        let mut request = request.field("Accept", MEDIA_TYPE).map_err(failed)?;
        if !self.parser.last_id().is_empty() {
            request = request
                .field("Last-Event-ID", self.parser.last_id())
                .map_err(failed)?;
        }
        let stream = match self.client.open(request) {
            Ok(stream) => stream,
            Err(HttpError::Failed { failure, url }) if failure != Failure::Cancelled => {
                let error = HttpError::Failed { failure, url };
                return Ok(Asked::Failed(EventsError::Http(error)));
            }
            Err(error) => return Err(EventsError::Http(error)),
        };
        let (status, content_type) = (stream.status(), stream.head().field("content-type"));
        match self.reconnect.judge(status, content_type) {
            Verdict::Read => {
                self.stream = Some(stream);
                Ok(Asked::Open)
            }
            Verdict::Again => Ok(Asked::Failed(EventsError::Refused(status))),
            Verdict::Stop => Ok(Asked::Over),
            Verdict::Refused => Err(EventsError::Refused(status)),
        }
    }
}

fn failed(error: hioload_http::client::RequestError) -> EventsError {
    EventsError::Http(HttpError::Request(error))
}
