//! A connection that stands, whichever version of HTTP it speaks.
//!
//! ```text
//!   input ─▶ Wire::handle_input ─▶ WireEvent (of which request, what)
//!   start, body_changed, release ─▶ Wire ─▶ poll_output
//! ```
//!
//! Knows requests by their keys and, while it sends, their bodies; nothing of pools, redirects or time-outs.

use hioload_base::{Slab, Time};

use super::event::{Head, Protocol, RequestKey};
use super::exchange::Exchange;
use super::failure::Failure;
use super::wire_h1::H1;
use super::wire_h2::H2;
use crate::h1;
use crate::h2::{ErrorCode, Offence, StreamRef};

/// What came on a connection.
#[derive(Debug)]
pub(super) enum WireEvent<'a> {
    /// An answer before the one that counts, by its status.
    Interim(RequestKey, u16),
    Head(RequestKey, Head),
    /// Never empty.
    Body(RequestKey, &'a mut [u8]),
    End(RequestKey),
    /// The stream is over before its time.
    Reset(RequestKey, ErrorCode),
    /// How many requests it takes has changed, or which.
    Changed,
}

/// Why a connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireFault {
    /// What came is no answer.
    Response(h1::ResponseError),
    /// Something came that nobody had asked for.
    Unasked,
    /// More interim answers than allowed.
    Interim,
    /// The peer broke HTTP/2.
    Offence(Offence),
    /// It ended, or broke.
    Closed,
}

impl WireFault {
    /// What it is to a request that was under way.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Response(error) => Failure::Response(error),
            Self::Interim => Failure::TooManyInterim,
            Self::Offence(offence) => Failure::Offence(offence),
            Self::Unasked | Self::Closed => Failure::Closed,
        }
    }
}

/// Why a request was not sent on a connection. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartError {
    /// Not now: it takes no more requests.
    Busy,
    /// Never: it takes no tunnels.
    NoTunnel,
    /// The request cannot be said in this version.
    Unspeakable,
}

/// What a connection may do, and what it sends of its own accord.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) http1: &'a h1::Limits,
    pub(super) interim_max: u32,
    pub(super) streams_max: usize,
    pub(super) user_agent: &'a str,
}

/// A connection that stands.
pub(super) enum Wire {
    H1(H1),
    H2(Box<H2>),
}

impl Wire {
    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::H1(_) => Protocol::Http1,
            Self::H2(_) => Protocol::Http2,
        }
    }

    /// Another request can be sent now.
    pub(super) fn has_room(&self, terms: &Terms<'_>) -> bool {
        match self {
            Self::H1(wire) => wire.is_idle(),
            Self::H2(wire) => wire.has_room(terms.streams_max),
        }
    }

    /// No request is under way.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::H1(wire) => wire.is_idle(),
            Self::H2(wire) => wire.is_idle(),
        }
    }

    /// It takes no further request, and will be closed once none is under way.
    pub(super) fn is_spent(&self) -> bool {
        match self {
            Self::H1(_) => false,
            Self::H2(wire) => wire.is_draining(),
        }
    }

    pub(super) fn start(
        &mut self,
        now: Time,
        terms: &Terms<'_>,
        key: RequestKey,
        exchange: &mut Exchange,
    ) -> Result<Option<StreamRef>, StartError> {
        match self {
            Self::H1(wire) => wire.start(terms, key, exchange).map(|()| None),
            Self::H2(wire) => wire.start(now, terms, key, exchange).map(Some),
        }
    }

    pub(super) fn handle_input<'a>(
        &mut self,
        now: Time,
        terms: &Terms<'_>,
        input: &mut &'a mut [u8],
    ) -> Result<Option<WireEvent<'a>>, WireFault> {
        match self {
            Self::H1(wire) => wire.handle_input(terms, input),
            Self::H2(wire) => wire.handle_input(now, input),
        }
    }

    /// The peer sends no more. `End` if that ends an answer.
    pub(super) fn handle_eof(&mut self) -> Result<Option<WireEvent<'static>>, WireFault> {
        match self {
            Self::H1(wire) => wire.handle_eof(),
            Self::H2(_) => Err(WireFault::Closed),
        }
    }

    /// There is more of a body, or it may flow now.
    pub(super) fn body_changed(&mut self, stream: Option<StreamRef>, exchange: &mut Exchange) {
        if let (Self::H2(wire), Some(stream)) = (self, stream) {
            wire.queue_body(stream, exchange);
        }
    }

    /// So much of a body was used.
    pub(super) fn consumed(&mut self, stream: Option<StreamRef>, size: usize) {
        if let (Self::H2(wire), Some(stream)) = (self, stream) {
            wire.consumed(stream, size);
        }
    }

    /// The request is done with the connection. Whether the connection is of further use.
    pub(super) fn release(
        &mut self,
        stream: Option<StreamRef>,
        exchange: &Exchange,
        is_ended: bool,
    ) -> bool {
        match self {
            Self::H1(wire) => wire.release(exchange, is_ended),
            Self::H2(wire) => {
                if let Some(stream) = stream {
                    wire.release(stream, is_ended);
                }
                !(wire.is_draining() && wire.is_idle())
            }
        }
    }

    /// Moves what is to be sent to the end of `out`, until that is about as long as `size_max`.
    pub(super) fn poll_output(
        &mut self,
        now: Time,
        exchanges: &mut Slab<Exchange>,
        out: &mut Vec<u8>,
        size_max: usize,
    ) {
        match self {
            Self::H1(wire) => wire.poll_output(now, exchanges, out, size_max),
            Self::H2(wire) => wire.poll_output(now, exchanges, out, size_max),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::H1(_) => None,
            Self::H2(wire) => wire.poll_timeout(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) -> Result<(), WireFault> {
        match self {
            Self::H1(_) => Ok(()),
            Self::H2(wire) => wire.handle_timeout(now),
        }
    }

    /// Says goodbye, where the protocol has a word for it.
    pub(super) fn goodbye(&mut self, out: &mut Vec<u8>) {
        if let Self::H2(wire) = self {
            wire.goodbye(out);
        }
    }

    /// The requests under way.
    pub(super) fn requests(&self) -> Vec<RequestKey> {
        match self {
            Self::H1(wire) => wire.request().into_iter().collect(),
            Self::H2(wire) => wire.requests(),
        }
    }

    /// The one request whose bytes are the whole connection: its owner decides how fast it is read.
    pub(super) fn only_request(&self) -> Option<RequestKey> {
        match self {
            Self::H1(wire) => wire.request(),
            Self::H2(_) => None,
        }
    }
}
