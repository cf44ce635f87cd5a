//! What a handler holds: one session during a call, or the worker.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use hioload_base::Time;
use hioload_reactor::SocketId;
use hioload_ws::CloseCode;

use crate::context::Context;
use crate::handler::{CloseReason, Message};
use crate::recovery::Since;
use crate::server::core::{Core, Cx};
use crate::streams::{StreamError, StreamOps, StreamUid};

/// Names a session while it lives: the worker it is on and its slot there, with a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    worker: u32,
    slot: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.worker, self.slot)
    }
}

/// Why a message was not sent. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The session is closing or closed.
    Closed,
    /// The session has as much output waiting as it may: `drained` will tell when there is room.
    Full,
    /// The worker's memory for output is spent: `drained` will tell when to try again.
    NoMemory,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the session is closed",
            Self::Full => "the session's output is full: wait for `drained`",
            Self::NoMemory => "the worker has no memory for output: wait for `drained`",
        })
    }
}

impl std::error::Error for SendError {}

/// Why a publication was refused. Nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The session is closing or closed.
    Closed,
    /// The channel's name is not allowed, or there are too many channels.
    Channel(hioload_live::ChannelError),
    /// It would have to wait, and cannot: this session has too many publications waiting already or has ended, or
    /// the worker has no memory for one more to wait.
    Busy,
    /// It does not fit the channel's budget, or no buffer is so large: it can never be taken.
    TooLarge,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the session is closed"),
            Self::Channel(error) => error.fmt(f),
            Self::Busy => f.write_str("no room, and none to wait for it"),
            Self::TooLarge => f.write_str("the message is larger than the channel can ever hold"),
        }
    }
}

impl std::error::Error for PublishError {}

/// Why a subscription was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The session is closing or closed.
    Closed,
    /// The channel's name is not allowed, or there are too many channels.
    Channel(hioload_live::ChannelError),
    /// The session has as many subscriptions as it may.
    TooMany {
        /// How many it may have.
        max: usize,
    },
    /// The channel has as many subscribers as it may on this worker.
    Full,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the session is closed"),
            Self::Channel(error) => error.fmt(f),
            Self::TooMany { max } => write!(f, "a session has at most {max} subscriptions"),
            Self::Full => f.write_str("the channel has no room for another subscriber"),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// One session, for the length of one call of a handler.
pub struct Session<'a> {
    core: &'a mut Core,
    cx: Cx<'a>,
    socket: SocketId,
}

impl<'a> Session<'a> {
    #[inline]
    pub(crate) fn new(core: &'a mut Core, cx: Cx<'a>, socket: SocketId) -> Self {
        Self { core, cx, socket }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        SessionId {
            worker: self.cx.index() as u32,
            slot: self.socket.key().to_bits(),
        }
    }

    /// The time, as of this turn.
    #[must_use]
    pub fn now(&self) -> Time {
        self.cx.now()
    }

    /// The path of the request that opened it.
    #[must_use]
    pub fn path(&self) -> &str {
        self.core.path(self.socket)
    }

    /// The subprotocol agreed on, as an index into the server's list.
    #[must_use]
    pub fn protocol(&self) -> Option<usize> {
        self.core.protocol(self.socket)
    }

    /// It reads server-sent events, over `GET`: nothing comes from it, what is sent to it are events, and it has
    /// one channel, in which [`subscribe`](Session::subscribe) goes on where the client was.
    #[must_use]
    pub fn reads_events(&self) -> bool {
        self.core.reads_events(self.socket)
    }

    /// Sends a message to this session. Messages of one call leave together.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    #[inline]
    pub fn send(&mut self, message: Message<'_>) -> Result<(), SendError> {
        self.core.send(self.socket, message.kind, message.payload)
    }

    /// Publishes to a channel. When the channel is held back by a subscriber that makes progress,
    /// the message keeps its place and this session is not read from until there is room. Should its frames,
    /// one for each encoding in use, turn out not to fit the channel then, or at an owner on another worker, the
    /// session is closed with 1009.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was published.
    pub fn publish(&mut self, channel: &str, message: Message<'_>) -> Result<(), PublishError> {
        self.core.publish(
            &mut self.cx,
            self.socket,
            channel,
            message.kind,
            message.payload,
        )
    }

    /// Receives what is published to the channel from now on. Doing it twice is doing it once.
    /// [`Handler::recovered`](crate::Handler::recovered) tells the position a client has to
    /// remember to come back.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&mut self, channel: &str) -> Result<(), SubscribeError> {
        self.core.subscribe(&mut self.cx, self.socket, channel)
    }

    /// Receives what was published to the channel since a place in its history, then what is published
    /// from now on: in order, nothing twice.
    /// [`Handler::recovered`](crate::Handler::recovered) tells whether anything is missing; until
    /// then nothing of the channel comes. How much is kept is up to
    /// [`ChannelSettings::history`](crate::ChannelSettings::history), or to a rule for the channel. No effect when it receives from
    /// the channel already.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_since(&mut self, channel: &str, since: Since) -> Result<(), SubscribeError> {
        self.core
            .subscribe_since(&mut self.cx, self.socket, channel, since)
    }

    /// Stops receiving from the channel; true when it did before.
    pub fn unsubscribe(&mut self, channel: &str) -> bool {
        self.core.unsubscribe(&mut self.cx, self.socket, channel)
    }

    /// Closes with a code and a short text (at most 123 bytes; more is cut). What was sent before
    /// still goes out; channels are left. No effect when it is closing already.
    pub fn close(&mut self, code: CloseCode, text: &str) {
        self.core.close(
            &mut self.cx,
            self.socket,
            code,
            text,
            CloseReason::Local(code),
        );
    }

    /// Bytes sent to this session alone that have not gone out.
    #[must_use]
    pub fn buffered_size(&self) -> usize {
        self.core.buffered_size(self.socket)
    }

    /// The other end's address: of its connection, so of a proxy where there is one in front. A session that is polled has
    /// none of its own, and io_uring knows it from Linux 6.8 on. The system is asked each time; who needs it often keeps it
    /// in the [`context`](Session::context).
    pub fn peer_addr(&mut self) -> Option<SocketAddr> {
        self.core.peer_addr(&mut self.cx, self.socket)
    }

    /// Its name for everybody, on any worker and any thread: it gets one if it has none.
    ///
    /// # Errors
    /// [`StreamError`]: it is closed, or a limit rejects it.
    pub fn uid(&mut self) -> Result<StreamUid, StreamError> {
        self.core.name_stream(&mut self.cx, self.socket)
    }

    /// From now on it lives by itself: who opened or adopted it may go, and it ends when it is silent for
    /// [`StreamSettings::idle_timeout`](crate::streams::StreamSettings::idle_timeout).
    ///
    /// # Errors
    /// [`StreamError`]: it is closed, or a limit rejects it.
    pub fn detach(&mut self) -> Result<StreamUid, StreamError> {
        let uid = self.uid()?;
        self.core.detach_stream(&self.cx, uid);
        Ok(uid)
    }

    /// Acts on streams by their UID.
    pub fn streams(&mut self) -> StreamOps<'_> {
        StreamOps::new(self.core, self.cx.reborrow())
    }

    /// Values that belong to this session.
    pub fn context(&mut self) -> &mut Context {
        self.core.context(self.socket)
    }

    pub(crate) fn count_panic(&mut self) {
        self.core.count_panic();
    }

    pub(crate) fn count_rate_limited(&mut self) {
        self.core.count_rate_limited();
    }
}

/// The worker, for the length of one call of a handler.
pub struct WorkerContext<'a> {
    core: &'a mut Core,
    cx: Cx<'a>,
}

impl<'a> WorkerContext<'a> {
    pub(crate) fn new(core: &'a mut Core, cx: Cx<'a>) -> Self {
        Self { core, cx }
    }

    /// Its number, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.cx.index()
    }

    /// The time, as of this turn.
    #[must_use]
    pub fn now(&self) -> Time {
        self.cx.now()
    }

    /// Acts on streams by their UID, from this worker.
    pub fn streams(&mut self) -> StreamOps<'_> {
        StreamOps::new(self.core, self.cx.reborrow())
    }

    /// How long ago `earlier` was.
    #[must_use]
    pub fn since(&self, earlier: Time) -> Duration {
        self.now() - earlier
    }

    pub(crate) fn count_panic(&mut self) {
        self.core.count_panic();
    }
}
