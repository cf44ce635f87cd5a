//! What a connection hands to its owner.

use std::time::Duration;

use super::error_code::ErrorCode;
use super::header_list::HeadKind;

/// A stream of one connection, until it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamRef {
    /// Its number on the wire; never used again on this connection.
    pub id: u32,
    /// Its place in the table, from 0: given to another stream only after [`Connection::release`].
    ///
    /// [`Connection::release`]: super::Connection::release
    pub slot: u16,
}

/// What came.
#[derive(Debug)]
pub enum Event<'a> {
    /// A header list: it is in the caller's [`HeaderList`](super::HeaderList) until the next call.
    Head {
        /// Whose.
        stream: StreamRef,
        /// Of what.
        kind: HeadKind,
        /// Nothing more comes.
        end_stream: bool,
    },
    /// Content, or the end of it. It may be a part of a frame; it is nowhere but here.
    Data {
        /// Whose.
        stream: StreamRef,
        /// Where it lies in the input. Empty only at the end.
        bytes: &'a mut [u8],
        /// What is to be given back to the stream's window by [`Connection::consumed`](super::Connection::consumed) once
        /// the content is done with. (Padding was given back already.)
        flow: u32,
        /// Nothing more comes.
        end_stream: bool,
    },
    /// The stream is over: whoever works for it ends, and then releases it. What came before was handed out before.
    Reset {
        /// Which.
        stream: StreamRef,
        /// Why.
        code: ErrorCode,
        /// By the peer, not by us for what the peer did.
        by_peer: bool,
    },
    /// The peer's settings are in force.
    Settings,
    /// The peer answered a PING.
    Pong {
        /// How long that took.
        round_trip: Duration,
    },
    /// The peer takes no more streams than those up to `last`; those of ours beyond it are reset by events of their own.
    GoAway {
        /// The last stream that the peer may have worked on.
        last: u32,
        /// Why.
        code: ErrorCode,
    },
}

/// Leave to send the next DATA frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Of which stream.
    pub stream: StreamRef,
    /// So many bytes of its content; none only at the end.
    pub len: usize,
    /// It is the last one.
    pub end_stream: bool,
}

/// The pseudo fields of a request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// `:method`.
    pub method: &'a str,
    /// `:scheme`: `http` or `https`; left out of a plain CONNECT.
    pub scheme: &'a str,
    /// `:authority`: host, and port if it is not the scheme's own.
    pub authority: &'a str,
    /// `:path`, query included; left out of a plain CONNECT.
    pub path: &'a str,
    /// `:protocol` of extended CONNECT, whose method is `CONNECT`.
    pub protocol: Option<&'a str>,
}
