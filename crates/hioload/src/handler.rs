//! What an application implements: [`Handler`], one instance per worker.
//!
//! A handler lives on its worker's thread: it is never called from two threads, needs no locks,
//! and must not block (use the executor for that).

use std::fmt;

pub use hioload_ws::{CloseCode, Kind};

use crate::recovery::{Gap, Recovery};
use crate::session::{PublishError, Session, WorkerContext};
use crate::streams::StreamEvent;

/// A whole message, in place in the receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Text (valid UTF-8) or binary.
    pub kind: Kind,
    /// The payload, unmasked and inflated.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// A text message.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self {
            kind: Kind::Text,
            payload: text.as_bytes(),
        }
    }

    /// A binary message.
    #[must_use]
    pub fn binary(payload: &'a [u8]) -> Self {
        Self {
            kind: Kind::Binary,
            payload,
        }
    }

    /// The payload as text; `None` for a binary message.
    #[must_use]
    pub fn as_text(&self) -> Option<&'a str> {
        match self.kind {
            // Checked by the protocol already; the second look costs less than unsafe would.
            Kind::Text => std::str::from_utf8(self.payload).ok(),
            Kind::Binary => None,
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed, with this code (1005: none given).
    Peer(CloseCode),
    /// This side closed, with this code.
    Local(CloseCode),
    /// The peer broke the protocol and was told this code.
    Offence(CloseCode),
    /// The connection broke without a close frame (RFC 6455 code 1006).
    Lost,
    /// It sent nothing, not even pongs, for too long.
    Idle,
    /// It did not take what it subscribed to (told 1013).
    Stalled,
    /// The server is shutting down (told 1001).
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(code) => write!(f, "closed by the peer ({})", code.number()),
            Self::Local(code) => write!(f, "closed here ({})", code.number()),
            Self::Offence(code) => write!(f, "protocol broken by the peer ({})", code.number()),
            Self::Lost => f.write_str("connection lost"),
            Self::Idle => f.write_str("idle for too long"),
            Self::Stalled => f.write_str("did not keep up"),
            Self::Shutdown => f.write_str("server shutdown"),
        }
    }
}

/// An application on one worker, or a layer around one. Every method has a default that does nothing, or leaves it to
/// [`inner`](Self::inner) where there is one.
pub trait Handler: 'static {
    /// The handler that this one is around: it gets every event that this one does not look at.
    fn inner(&mut self) -> Option<&mut dyn Handler> {
        None
    }

    /// A session is open.
    fn open(&mut self, session: &mut Session<'_>) {
        if let Some(inner) = self.inner() {
            inner.open(session);
        }
    }

    /// A whole message came.
    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        if let Some(inner) = self.inner() {
            inner.message(session, message);
        }
    }

    /// The session is over; nothing can be sent any more.
    fn close(&mut self, session: &mut Session<'_>, reason: CloseReason) {
        if let Some(inner) = self.inner() {
            inner.close(session, reason);
        }
    }

    /// What [`Session::send`] had to hold back has gone out: there is room again.
    fn drained(&mut self, session: &mut Session<'_>) {
        if let Some(inner) = self.inner() {
            inner.drained(session);
        }
    }

    /// A subscription begins, with [`Session::subscribe`] or [`Session::subscribe_since`]: this is where.
    /// Called once for each, in the turn or a little later; what is sent here goes out before
    /// the first publication.
    fn recovered(&mut self, session: &mut Session<'_>, channel: &str, recovery: Recovery) {
        if let Some(inner) = self.inner() {
            inner.recovered(session, channel, recovery);
        }
    }

    /// The session did not keep up, and by the channel's policy (skip or latest) misses these
    /// publications. One that came before them may still be on its way out.
    fn skipped(&mut self, session: &mut Session<'_>, channel: &str, gap: Gap) {
        if let Some(inner) = self.inner() {
            inner.skipped(session, channel, gap);
        }
    }

    /// A stream of this worker was born, let go, adopted or ended; or what was asked of streams from here
    /// is answered. Called at the end of the turn.
    fn stream(&mut self, worker: &mut WorkerContext<'_>, event: &StreamEvent) {
        if let Some(inner) = self.inner() {
            inner.stream(worker, event);
        }
    }

    /// The end of a turn in which `messages` came on this worker: the place for work that is
    /// cheaper done once for many.
    fn batch(&mut self, worker: &mut WorkerContext<'_>, messages: usize) {
        if let Some(inner) = self.inner() {
            inner.batch(worker, messages);
        }
    }
}

impl Handler for Box<dyn Handler> {
    fn inner(&mut self) -> Option<&mut dyn Handler> {
        Some(&mut **self)
    }
}

/// Sends every message back to its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        // A reply that cannot be sent is never left out in silence.
        if session.send(message).is_err() {
            session.close(CloseCode::TRY_AGAIN, "no room for the reply");
        }
    }
}

/// Sends every message to all other subscribers of one channel: the broadcast server.
#[derive(Clone, Debug)]
pub struct Broadcast {
    channel: String,
}

impl Broadcast {
    /// A broadcast over `channel`, which every session joins when it opens.
    #[must_use]
    pub fn new(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
        }
    }
}

impl Default for Broadcast {
    fn default() -> Self {
        Self::new("default")
    }
}

impl Handler for Broadcast {
    fn open(&mut self, session: &mut Session<'_>) {
        if session.subscribe(&self.channel).is_err() {
            session.close(CloseCode::TRY_AGAIN, "no room in the channel");
        }
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        // A message that cannot be passed on is never left out in silence.
        match session.publish(&self.channel, message) {
            Ok(()) | Err(PublishError::Closed) => {}
            Err(PublishError::TooLarge) => {
                session.close(CloseCode::TOO_BIG, "the message is too large");
            }
            Err(PublishError::Busy | PublishError::Channel(_)) => {
                session.close(CloseCode::TRY_AGAIN, "no room for the message");
            }
        }
    }
}
