//! HTTP/2 on a connection: many streams on one socket, each of them a carrier of its own.
//!
//! ```text
//!   socket ─▶ h2::Connection ─▶ Head ─▶ a new connection in the table, named by its stream
//!                            └▶ Data ─▶ received(stream), as if it came from a socket
//!   send(stream) ─▶ payload waits here ─▶ pump: DATA frames under windows and priorities ─▶ outbox of the socket
//! ```
//!
//! To everything above, a stream is a socket: a WebSocket session or an HTTP exchange runs on it with the
//! same code. What a socket would be asked (receive, send, shut down, close) is answered in
//! [`carrier`](super::carrier), and what it would complete is told by the same events.
//!
//! Limits: those of `hioload_http::h2`, [`OUTPUT_HIGH`] bytes of frames ahead of the socket, and [`FETCH_MAX`]
//! of blocks ahead of the frames.

mod carry;
mod fetch;
mod input;
mod output;
mod request;
mod stream;

use std::collections::VecDeque;

use hioload_base::Time;
use hioload_http::h2;
use hioload_reactor::SocketId;

pub(super) use self::request::text_fields;
pub(super) use self::stream::{Stream, Streams};

/// Frames ahead of the socket; with so many, no DATA is framed and nothing is read; bytes.
pub(super) const OUTPUT_HIGH: usize = 256 * 1024;

/// Bytes of blocks that are read ahead of one connection, whatever its streams ask for: who takes nothing does
/// not take the memory of all.
const FETCH_MAX: usize = 2 << 20;

/// What a client sends first (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Its length.
pub(super) const PREFACE_SIZE: usize = PREFACE.len();

/// Whether bytes go on as the preface does from `from` on, as far as either goes.
pub(super) fn is_preface_part(from: usize, bytes: &[u8]) -> bool {
    let rest = PREFACE.get(from..).unwrap_or_default();
    let len = bytes.len().min(rest.len());
    bytes[..len] == rest[..len]
}

/// The state of one connection.
pub(super) struct Multiplex {
    pub(super) machine: h2::Connection,
    /// The streams by the machine's slots.
    names: Vec<Option<SocketId>>,
    /// In the list of those with output.
    is_listed: bool,
    /// When its timer fires, if one is set.
    due: Option<Time>,
    /// When the last stream ended, or the connection began.
    idle_since: Time,
    /// Bytes of blocks that are read, or being read, and not framed.
    fetched: usize,
    /// Streams whose block is not read yet for that, in the order of their requests.
    waiting: VecDeque<SocketId>,
}

impl Multiplex {
    fn new(machine: h2::Connection, now: Time) -> Self {
        Self {
            machine,
            names: Vec::new(),
            is_listed: false,
            due: None,
            idle_since: now,
            fetched: 0,
            waiting: VecDeque::new(),
        }
    }

    fn name(&self, stream: h2::StreamRef) -> Option<SocketId> {
        self.names.get(usize::from(stream.slot)).copied().flatten()
    }

    fn set_name(&mut self, stream: h2::StreamRef, name: Option<SocketId>) {
        let slot = usize::from(stream.slot);
        if slot >= self.names.len() {
            self.names.resize(slot + 1, None);
        }
        self.names[slot] = name;
    }

    /// Its streams.
    fn streams(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.names.iter().copied().flatten()
    }
}
