//! A stream of events over HTTP/1.1, from its first request through every connection it takes.
//!
//! ```text
//!   connect ─▶ request ─▶ handle_input… ─▶ Open, Event… ─▶ handle_eof ─▶ pause ─▶ connect ─▶ …
//! ```
//!
//! Knows neither sockets nor time: its owner connects, writes what [`Source::connect`] gives, passes on what is
//! read, and waits as long as [`Source::pause`] says. Redirects are not followed.

use std::fmt;
use std::time::Duration;

use super::limits::Limits;
use super::parser::{Event, Overlong, Parser};
use super::reconnect::{Reconnect, Verdict};
use crate::client::Url;
use crate::h1::{self, Body, ClientEvent, ResponseError, write_request_head};

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceEvent<'a> {
    /// The server has answered with a stream.
    Open,
    /// An event.
    Event(Event<'a>),
}

/// Why a connection gives no more events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// The server answered with another status, or with something else than events.
    Answered {
        /// Its status.
        status: u16,
        /// Whether to come again.
        verdict: Verdict,
    },
    /// What came is no HTTP response, or was cut off in its framing.
    Response(ResponseError),
    /// Something in the stream is longer than it may be.
    Overlong(Overlong),
}

impl SourceError {
    /// Whether another connection may do better.
    #[must_use]
    pub fn may_come_again(&self) -> bool {
        match self {
            Self::Answered { verdict, .. } => *verdict == Verdict::Again,
            Self::Response(error) => *error == ResponseError::Truncated,
            Self::Overlong(_) => false,
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status: 204, .. } => {
                f.write_str("the server has no more events (204)")
            }
            Self::Answered { status: 200, .. } => {
                f.write_str("the server answered with something else than text/event-stream")
            }
            Self::Answered { status, .. } => write!(f, "the server answered with status {status}"),
            Self::Response(error) => error.fmt(f),
            Self::Overlong(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SourceError {}

/// The events of one URL.
///
/// ```
/// use hioload_http::client::Url;
/// use hioload_http::sse::{Limits, Source, SourceEvent};
///
/// let url: Url = "http://localhost/news".parse()?;
/// let mut source = Source::new(&url, &[], Limits::default());
/// let mut output = Vec::new();
/// source.connect(&mut output);
/// assert!(output.starts_with(b"GET /news HTTP/1.1\r\nHost: localhost\r\n"));
///
/// let mut answer = *b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hi\n\n";
/// let mut seen = Vec::new();
/// source.handle_input(&mut answer, &mut |event| {
///     if let SourceEvent::Event(event) = event {
///         seen.push(event.data.to_owned());
///     }
/// })?;
/// assert_eq!(seen, ["hi"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Source {
    target: String,
    authority: String,
    /// Fields of every request, as whole lines.
    fields: String,
    machine: h1::Client,
    /// The start of a response's head.
    kept: Vec<u8>,
    parser: Parser,
    reconnect: Reconnect,
    /// The answer at hand is a stream.
    is_open: bool,
}

impl Source {
    /// Asks for `url` with these fields beside its own. Fields that no line can hold are left out.
    #[must_use]
    pub fn new(url: &Url, fields: &[(String, String)], limits: Limits) -> Self {
        let is_line = |text: &str| !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        let mut lines = String::from("Accept: text/event-stream\r\nCache-Control: no-store\r\n");
        for (name, value) in fields {
            if is_line(name) && is_line(value) {
                lines.extend([name, ": ", value, "\r\n"]);
            }
        }
        Self {
            target: url.target().to_owned(),
            authority: url.authority(),
            fields: lines,
            machine: h1::Client::new(),
            kept: Vec::new(),
            parser: Parser::new(limits),
            reconnect: Reconnect::default(),
            is_open: false,
        }
    }

    /// Begins with an id remembered from before.
    ///
    /// # Errors
    /// [`Overlong`].
    pub fn set_last_id(&mut self, id: &str) -> Result<(), Overlong> {
        self.parser.set_last_id(id)
    }

    /// The id the next request asks to go on from; empty: none.
    #[must_use]
    pub fn last_id(&self) -> &str {
        self.parser.last_id()
    }

    /// A connection stands: appends the request to `output`.
    pub fn connect(&mut self, output: &mut Vec<u8>) {
        self.machine = h1::Client::new();
        self.machine.sent(false);
        self.kept.clear();
        self.parser.restart();
        self.is_open = false;
        let id = self.parser.last_id();
        let (name, end) = if id.is_empty() {
            ("", "")
        } else {
            ("Last-Event-ID: ", "\r\n")
        };
        let mut head = String::new();
        let fields = [&*self.fields, name, id, end];
        write_request_head(
            &mut head,
            "GET",
            &self.target,
            &self.authority,
            &fields,
            Body::None,
        );
        output.extend_from_slice(head.as_bytes());
    }

    /// Takes all of `input` and passes on what it brings.
    ///
    /// # Errors
    /// [`SourceError`]: the connection is of no further use.
    pub fn handle_input(
        &mut self,
        input: &mut [u8],
        sink: &mut impl FnMut(SourceEvent<'_>),
    ) -> Result<(), SourceError> {
        if self.kept.is_empty() {
            let left = self.take(input, sink)?;
            let start = input.len() - left;
            self.kept.extend_from_slice(&input[start..]);
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.kept);
        whole.extend_from_slice(input);
        let left = self.take(&mut whole, sink)?;
        whole.drain(..whole.len() - left);
        self.kept = whole;
        Ok(())
    }

    /// How many bytes at the end are left.
    fn take(
        &mut self,
        input: &mut [u8],
        sink: &mut impl FnMut(SourceEvent<'_>),
    ) -> Result<usize, SourceError> {
        let mut rest = input;
        while let Some(event) = self
            .machine
            .handle_input(&h1::Limits::default(), &mut rest)
            .map_err(SourceError::Response)?
        {
            match event {
                ClientEvent::Head(response) => {
                    let status = response.status();
                    let content_type = response.header("Content-Type");
                    let verdict = self.reconnect.judge(status, content_type);
                    if verdict != Verdict::Read {
                        return Err(SourceError::Answered { status, verdict });
                    }
                    self.is_open = true;
                    sink(SourceEvent::Open);
                }
                ClientEvent::Body(bytes) => {
                    let mut bytes = &*bytes;
                    while let Some(event) = self
                        .parser
                        .handle_input(&mut bytes)
                        .map_err(SourceError::Overlong)?
                    {
                        sink(SourceEvent::Event(event));
                    }
                }
                ClientEvent::End => {}
            }
        }
        Ok(rest.len())
    }

    /// The connection has ended. An event that was cut off is dropped: the server sends it again.
    ///
    /// # Errors
    /// [`SourceError`]: it ended within its framing, or without an answer. To come again is right in any case.
    pub fn handle_eof(&mut self) -> Result<(), SourceError> {
        let ended = self.machine.handle_eof().map_err(SourceError::Response);
        self.is_open = false;
        ended.map(drop)
    }

    /// The server has answered with a stream, and it goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open && self.machine.waiting() > 0
    }

    /// How long to wait before the next connection; `random` spreads clients.
    pub fn pause(&mut self, random: u32) -> Duration {
        let retry = self.parser.retry();
        self.reconnect.pause(retry, random)
    }
}
