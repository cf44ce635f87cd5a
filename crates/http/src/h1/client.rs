//! The client's side of a connection: responses to requests that were sent, in their order.
//!
//! ```text
//!   sent(is_head) … ─▶ Head ─▶ Body (length, chunks, or to the end of the connection) ─▶ End ─▶ Head
//! ```
//!
//! Knows neither what was asked nor the time. Interim responses are passed over; a 101 is the last response,
//! and what follows it is left in the input.
//!
//! Spec: RFC 9112 6.3, 8, 9.3; RFC 9110 15.2.

use std::collections::VecDeque;

use super::chunked::{ChunkError, Chunked, Step};
use super::head::{HeadEnd, HeadSearch};
use super::limits::Limits;
use super::response::{Response, ResponseError};

/// What came.
#[derive(Debug)]
pub enum ClientEvent<'a> {
    /// A response. `End` follows, after its body if it has one.
    Head(Response<'a>),
    /// A part of its body, never empty.
    Body(&'a mut [u8]),
    /// The response is complete.
    End,
}

/// One connection. It owns no bytes.
#[derive(Debug, Default)]
pub struct Client {
    state: State,
    /// Requests without a response: whether each was a HEAD.
    waiting: VecDeque<bool>,
    is_last: bool,
    /// Interim responses before the one that is due or under way.
    interim_count: u32,
    is_continued: bool,
}

#[derive(Debug)]
enum State {
    Head(HeadSearch),
    Length(u64),
    Chunked(Chunked),
    /// Up to the end of the connection.
    All,
    Over,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(HeadSearch::default())
    }
}

impl Client {
    /// A connection that has just been opened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request went out; HEAD is never answered with a body.
    pub fn sent(&mut self, is_head: bool) {
        self.waiting.push_back(is_head);
    }

    /// Requests that wait for the end of their response.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Another request may be sent on this connection.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        !self.is_last && !matches!(self.state, State::Over | State::All)
    }

    /// Interim responses that were passed over before the response that is due or under way.
    #[must_use]
    pub fn interim_count(&self) -> u32 {
        self.interim_count
    }

    /// One of them was `100 Continue`: the body is wanted (RFC 9110 10.1.1).
    #[must_use]
    pub fn is_continued(&self) -> bool {
        self.is_continued
    }

    /// Takes what belongs to one event off the front of `input`. `None`: more has to come.
    ///
    /// # Errors
    /// What came is no response, or nothing was asked; the connection is of no further use.
    pub fn handle_input<'a>(
        &mut self,
        limits: &Limits,
        input: &mut &'a mut [u8],
    ) -> Result<Option<ClientEvent<'a>>, ResponseError> {
        let outcome = match &mut self.state {
            State::Head(_) => self.head(limits, input),
            State::Length(0) => Ok(Some(self.end())),
            State::Length(_) | State::All if input.is_empty() => Ok(None),
            State::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                let (data, rest) = std::mem::take(input).split_at_mut(here);
                *input = rest;
                *left -= here as u64;
                Ok(Some(ClientEvent::Body(data)))
            }
            State::Chunked(chunked) => match chunked.step(limits, input, usize::MAX) {
                Ok(Step::Data(data)) => Ok(Some(ClientEvent::Body(data))),
                Ok(Step::NeedMore) => Ok(None),
                Ok(Step::End) => Ok(Some(self.end())),
                Err(ChunkError::Syntax) => Err(ResponseError::Malformed),
                Err(_) => Err(ResponseError::TooLong),
            },
            State::All => Ok(Some(ClientEvent::Body(std::mem::take(input)))),
            State::Over => Ok(None),
        };
        if outcome.is_err() {
            self.state = State::Over;
        }
        outcome
    }

    /// The server sends no more. `End` if that ends a response.
    ///
    /// # Errors
    /// A response was under way or due.
    pub fn handle_eof(&mut self) -> Result<Option<ClientEvent<'static>>, ResponseError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        match state {
            State::All => {
                self.waiting.pop_front();
                Ok(Some(ClientEvent::End))
            }
            State::Head(_) | State::Over if self.waiting.is_empty() => Ok(None),
            _ => Err(ResponseError::Truncated),
        }
    }

    fn end(&mut self) -> ClientEvent<'static> {
        self.waiting.pop_front();
        (self.interim_count, self.is_continued) = (0, false);
        self.state = if self.is_last {
            State::Over
        } else {
            State::default()
        };
        ClientEvent::End
    }

    fn head<'a>(
        &mut self,
        limits: &Limits,
        input: &mut &'a mut [u8],
    ) -> Result<Option<ClientEvent<'a>>, ResponseError> {
        loop {
            let State::Head(search) = &mut self.state else {
                return Ok(None);
            };
            let end = match search.find(input, limits.head_size_max) {
                HeadEnd::Complete { skip: 0, end } => end,
                HeadEnd::Complete { .. } => return Err(ResponseError::Malformed),
                HeadEnd::Partial => return Ok(None),
                HeadEnd::TooLong(_) => return Err(ResponseError::TooLong),
            };
            *search = HeadSearch::default();
            let (head, rest) = std::mem::take(input).split_at_mut(end);
            *input = rest;
            let response = Response::parse(head, limits)?;
            let Some(&is_head) = self.waiting.front() else {
                return Err(ResponseError::Malformed);
            };
            // RFC 9110 15.2: interim responses come before the one that counts.
            if (100..200).contains(&response.status()) && response.status() != 101 {
                self.interim_count = self.interim_count.saturating_add(1);
                self.is_continued |= response.status() == 100;
                continue;
            }
            // RFC 9110 15.2.2: after 101, what follows is not HTTP's.
            self.is_last = !response.keep_alive || response.status() == 101;
            let has_none = is_head || matches!(response.status(), 101 | 204 | 304);
            // RFC 9112 6.3, in its order.
            self.state = if has_none {
                State::Length(0)
            } else if response.is_chunked {
                State::Chunked(Chunked::new())
            } else if let Some(length) = response.length {
                State::Length(length)
            } else {
                self.is_last = true;
                State::All
            };
            return Ok(Some(ClientEvent::Head(response)));
        }
    }
}
