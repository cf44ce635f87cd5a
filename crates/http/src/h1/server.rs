//! The server's side of a connection: requests in their order, one at a time.
//!
//! Knows neither what a request means nor the time: whoever feeds it says when an answer is complete, and
//! gives up on a peer that is too slow.
//!
//! ```text
//!   Head ──▶ Body (length or chunks) ──▶ Answering ── response_done ──▶ Head
//!     └─ no body ───────────────────────────▲      └─ refused, or the peer wants no more ──▶ Over
//! ```
//!
//! Invariants: a refusal is the last thing that comes; no byte is taken between the end of a request and
//! `response_done`; a body that was not taken to its end is the last one.
//!
//! Spec: RFC 9112 2.2, 6, 7.1, 9.3.

use super::chunked::{ChunkError, Chunked, Step};
use super::head::{HeadEnd, HeadSearch, TooLong};
use super::limits::Limits;
use super::refusal::Refusal;
use crate::request::{Body, Facts, Request};

/// What came.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request. Without a body the answer is due; otherwise `Body` and `End` follow.
    Head(Request<'a>),
    /// A part of its body, never empty.
    Body(&'a mut [u8]),
    /// The end of its body: the answer is due.
    End,
}

/// One connection. It owns no bytes.
#[derive(Debug)]
pub struct Server {
    state: State,
    is_1_0: bool,
    keep_alive: bool,
}

#[derive(Debug)]
enum State {
    Head(HeadSearch),
    Length(u64),
    Chunked(Chunked),
    Answering,
    Over,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Head(HeadSearch::default()),
            is_1_0: false,
            keep_alive: true,
        }
    }

    /// Takes what belongs to one event off the front of `input`. `None`: more has to come first, or the
    /// answer is due ([`Server::response_done`]); input is then left where it is.
    ///
    /// ```
    /// use hioload_http::h1::{Event, Limits, Server};
    ///
    /// let mut bytes = *b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    /// let (mut server, mut input) = (Server::new(), &mut bytes[..]);
    /// let limits = Limits::default();
    /// let event = server.handle_input(&limits, &mut input)?;
    /// assert!(matches!(event, Some(Event::Head(head)) if head.path() == "/a"));
    /// let event = server.handle_input(&limits, &mut input)?;
    /// assert!(matches!(event, Some(Event::Body(body)) if body == b"hi"));
    /// assert!(matches!(server.handle_input(&limits, &mut input)?, Some(Event::End)));
    /// assert!(server.response_done(), "another request may come");
    /// # Ok::<(), hioload_http::h1::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// The message is malformed or above a limit: answer with the status, and close.
    pub fn handle_input<'a>(
        &mut self,
        limits: &Limits,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Event<'a>>, Refusal> {
        self.handle_input_within(limits, input, usize::MAX)
    }

    /// The same for somebody who has room for `body_max` bytes of a body now: with none, heads and ends are
    /// taken, and content is left where it is.
    ///
    /// # Errors
    /// As [`Server::handle_input`].
    pub fn handle_input_within<'a>(
        &mut self,
        limits: &Limits,
        input: &mut &'a mut [u8],
        body_max: usize,
    ) -> Result<Option<Event<'a>>, Refusal> {
        let outcome = match &mut self.state {
            State::Head(_) => self.head(limits, input),
            State::Length(0) => {
                self.state = State::Answering;
                Ok(Some(Event::End))
            }
            State::Length(_) if input.is_empty() || body_max == 0 => Ok(None),
            State::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len())
                    .min(body_max);
                let (data, rest) = std::mem::take(input).split_at_mut(here);
                *input = rest;
                *left -= here as u64;
                Ok(Some(Event::Body(data)))
            }
            State::Chunked(chunked) => match chunked.step(limits, input, body_max) {
                Ok(Step::Data(data)) => Ok(Some(Event::Body(data))),
                Ok(Step::NeedMore) => Ok(None),
                Ok(Step::End) => {
                    self.state = State::Answering;
                    Ok(Some(Event::End))
                }
                Err(error) => Err(refusal_of(error)),
            },
            State::Answering | State::Over => Ok(None),
        };
        if outcome.is_err() {
            self.state = State::Over;
        }
        outcome
    }

    fn head<'a>(
        &mut self,
        limits: &Limits,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Event<'a>>, Refusal> {
        let State::Head(search) = &mut self.state else {
            return Ok(None);
        };
        let (skip, end) = match search.find(input, limits.head_size_max) {
            HeadEnd::Complete { skip, end } => (skip, end),
            HeadEnd::Partial => return Ok(None),
            HeadEnd::TooLong(place) => return Err(refusal_of_length(place)),
        };
        let (head, rest) = std::mem::take(input).split_at_mut(end);
        *input = rest;
        let head: &'a [u8] = head;
        let request = Request::parse(&head[skip..], limits)?;
        let Facts {
            body,
            is_1_0,
            keep_alive,
            ..
        } = request.facts;
        self.is_1_0 = is_1_0;
        self.keep_alive = keep_alive;
        self.state = match body {
            Body::None => State::Answering,
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Chunked(Chunked::new()),
        };
        Ok(Some(Event::Head(request)))
    }

    /// The answer is complete. Whether the connection can take another request: the peer wants it, and
    /// the body was taken to its end.
    pub fn response_done(&mut self) -> bool {
        let goes_on = self.keep_alive && matches!(self.state, State::Answering);
        self.state = if goes_on {
            State::Head(HeadSearch::default())
        } else {
            State::Over
        };
        goes_on
    }

    /// A head is next, or has begun to come in.
    #[must_use]
    pub fn is_at_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// What the answer has to say of the connection (RFC 9112 9.3): a whole line, or nothing. `is_last`:
    /// the server closes it after this answer.
    #[must_use]
    pub fn connection_line(&self, is_last: bool) -> &'static str {
        let is_taken = matches!(self.state, State::Answering);
        match (is_last || !self.keep_alive || !is_taken, self.is_1_0) {
            (true, _) => "Connection: close\r\n",
            (false, true) => "Connection: keep-alive\r\n",
            (false, false) => "",
        }
    }
}

fn refusal_of_length(place: TooLong) -> Refusal {
    match place {
        // RFC 9112 3: 501 for a method that is longer than any, 414 for such a target.
        TooLong::FirstWord => Refusal::new(501, "the method is longer than any that there is"),
        TooLong::FirstLine => Refusal::new(414, "the target is too long"),
        // RFC 6585 5.
        TooLong::Fields => Refusal::new(431, "the head is too long"),
    }
}

fn refusal_of(error: ChunkError) -> Refusal {
    match error {
        ChunkError::Syntax => Refusal::new(400, "the chunked body is malformed"),
        ChunkError::LineTooLong => Refusal::new(400, "the size line of a chunk is too long"),
        ChunkError::ExtensionsTooLong => {
            Refusal::new(400, "the extensions of the chunks are too long")
        }
        ChunkError::TrailersTooLong => Refusal::new(431, "the trailers are too long"),
    }
}
