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

use hioload_http::client::{Failure, Method, Request};
use hioload_http::sse::{Limits, MEDIA_TYPE, Overlong, Parser, Reconnect, Verdict};

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

/// Why there are no more events.
#[derive(Debug)]
#[non_exhaustive]
pub enum EventsError {
    /// The request cannot be made, or the client has ended.
    Http(HttpError),
    /// The answer is no stream, by this status; asking again would not help.
    Refused(u16),
    /// A part of the stream is longer than allowed.
    Overlong(Overlong),
}

impl std::fmt::Display for EventsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Refused(status) => write!(
                f,
                "there are no events there: the server answered {status}, or another type of content"
            ),
            Self::Overlong(overlong) => overlong.fmt(f),
        }
    }
}

impl std::error::Error for EventsError {}

impl HttpClient {
    /// The events of a URL, from after the one with this id; from now on, if it is empty. Nothing is asked yet.
    ///
    /// # Errors
    /// The URL is none.
    pub fn events(&self, url: &str, last_id: &str) -> Result<Events, EventsError> {
        let request = request(Method::GET, url).map_err(EventsError::Http)?;
        self.events_of(request.read_timeout(SILENCE_MAX), last_id)
    }

    /// The same with a request of one's own: its read time-out is how long the stream may be silent.
    ///
    /// # Errors
    /// The id is too long.
    pub fn events_of(&self, request: Request, last_id: &str) -> Result<Events, EventsError> {
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
            was_open: false,
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
    was_open: bool,
}

impl Events {
    /// The id to come back with; empty: none.
    #[must_use]
    pub fn last_id(&self) -> &str {
        self.parser.last_id()
    }

    /// Waits for the next event, whatever happens to the connection meanwhile. `None`: the server wants no more
    /// requests.
    ///
    /// # Errors
    /// Asking again would not help.
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
                if self.connect()? {
                    continue;
                }
                return Ok(None);
            };
            match stream.read_some(&mut self.input) {
                Ok(size @ 1..) => self.unread = 0..size,
                Ok(0) | Err(HttpError::Failed { .. }) => self.stream = None,
                Err(error) => return Err(EventsError::Http(error)),
            }
        }
    }

    /// Asks for the stream, after a pause if it is not the first time. False: the server wants no more requests.
    fn connect(&mut self) -> Result<bool, EventsError> {
        if std::mem::replace(&mut self.was_open, true) {
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
            // Nobody there, for now.
            Err(HttpError::Failed { failure, .. }) if failure != Failure::Cancelled => {
                return Ok(true);
            }
            Err(error) => return Err(EventsError::Http(error)),
        };
        let content_type = stream.head().field("content-type");
        match self.reconnect.judge(stream.status(), content_type) {
            Verdict::Read => self.stream = Some(stream),
            Verdict::Again => {}
            Verdict::Stop => return Ok(false),
            Verdict::Refused => return Err(EventsError::Refused(stream.status())),
        }
        Ok(true)
    }
}

fn failed(error: hioload_http::client::RequestError) -> EventsError {
    EventsError::Http(HttpError::Request(error))
}
