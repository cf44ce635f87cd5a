//! How the requests of a connection are framed: as text on a socket, or by a stream of HTTP/2.

use hioload_http::h1;

/// One or the other.
pub(super) enum Machine {
    /// HTTP/1.1: request after request.
    Socket(h1::Server),
    /// HTTP/2: one request, whose head has been read.
    Stream(StreamBody),
}

/// The body of the one request of a stream; HTTP/2 has framed it, and knows that its length is right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamBody {
    /// More may come.
    Open,
    /// All of it has come.
    Ended,
    /// That has been said.
    Over,
}

impl Machine {
    /// Takes what belongs to one event off the front of `input`, of a body at most `room` bytes.
    pub(super) fn handle_input<'a>(
        &mut self,
        limits: &h1::Limits,
        input: &mut &'a mut [u8],
        room: usize,
    ) -> Result<Option<h1::Event<'a>>, h1::Refusal> {
        match self {
            Self::Socket(server) => server.handle_input_within(limits, input, room),
            Self::Stream(body) if input.is_empty() => {
                let ends = *body == StreamBody::Ended;
                if ends {
                    *body = StreamBody::Over;
                }
                Ok(ends.then_some(h1::Event::End))
            }
            Self::Stream(_) if room == 0 => Ok(None),
            Self::Stream(_) => {
                let here = input.len().min(room);
                let (data, rest) = std::mem::take(input).split_at_mut(here);
                *input = rest;
                Ok(Some(h1::Event::Body(data)))
            }
        }
    }

    /// What has come is all there is.
    pub(super) fn end_of_input(&mut self) {
        if let Self::Stream(body) = self
            && *body == StreamBody::Open
        {
            *body = StreamBody::Ended;
        }
    }

    /// Whether there can be another request after the answer that is complete.
    pub(super) fn response_done(&mut self) -> bool {
        match self {
            Self::Socket(server) => server.response_done(),
            Self::Stream(body) => {
                *body = StreamBody::Over;
                false
            }
        }
    }

    /// A head is next.
    pub(super) fn is_at_head(&self) -> bool {
        matches!(self, Self::Socket(server) if server.is_at_head())
    }

    /// What the answer has to say of the connection: a whole line, or nothing.
    pub(super) fn connection_line(&self, is_last: bool) -> &'static str {
        match self {
            Self::Socket(server) => server.connection_line(is_last),
            // RFC 9113 8.2.2: nothing.
            Self::Stream(_) => "",
        }
    }
}
