//! A worker's part of the stream manager: which sessions have a UID, and what is done to them from elsewhere.
//!
//! ```text
//!   StreamOps (handler) ─┬─ here ──▶ execute ─▶ registry, or backlog ─▶ end of the turn ─▶ Core::send
//!   Streams (any thread) │                                                 ▲ room again
//!   other workers ───────┴─ Message::Stream ─▶ execute                     └─ resume
//!                            Message::StreamReply ◀─ answers ─▶ Handler::stream, halves of proxies
//! ```
//!
//! # Invariants
//!
//! - A UID is in the registry from when it is given until the handler was told that its session closed.
//! - Writes of one sender to one stream, and closes behind them, are done in the order they were asked for. An
//!   answer says `Done` only when the message is in the session's output, behind everything before it.
//! - What waits for a stream is in the backlog, and the stream either listed for the end of the turn, or marked to be
//!   told of room, or in `starved` until the next sweep.
//!
//! # Limits
//!
//! Those of [`hioload_streams`]; what this worker asked of others and was not answered is bounded by tickets.

mod adoptions;
mod asks;
mod handle;
mod ops;
mod pair;
mod remote;
mod settings;

use std::collections::VecDeque;
use std::net::SocketAddr;

use hioload_base::Time;
use hioload_mem::Segment;
use hioload_reactor::SocketId;
use hioload_streams::{
    Backlog, Command, Dispatch, End, Kind as StreamKind, New, Registry, Rejected, Route, Router,
    StreamUid, Ticket, Tickets, Total,
};
use hioload_ws::{CloseCode, Kind};

pub(crate) use self::asks::Ask;
pub use self::handle::{StreamList, StreamRow, Streams};
pub use self::ops::StreamOps;
pub use self::settings::StreamSettings;

use self::adoptions::Adoptions;
use self::pair::Pairs;
use self::remote::Asker;
pub(crate) use self::remote::StreamCommand;
use super::connection::{Facts, Phase};
use super::core::{Core, Cx};
use super::hub::Hub;
use super::table::{is_poll, is_stream, poll_of_name, stream_of_name};
use crate::handler::CloseReason;
use crate::session::WorkerContext;
use crate::streams::{StreamError, StreamEvent};

/// Places a sweep for idle streams looks at: well below a millisecond.
const SWEEP_VISITS_MAX: usize = 4096;

/// A quarter of the socket slots of a UID.
const QUARTER: u32 = StreamUid::SOCKETS / 4;

/// A message, or the end, for a stream.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Send this.
    Message {
        kind: Kind,
        payload: Segment,
        /// Of a proxy: without it nothing that comes after it may be sent.
        is_proxied: bool,
    },
    /// Close, after everything before.
    Close(End),
}

/// What one worker knows of streams.
pub(crate) struct Manager {
    pub(super) registry: Registry,
    router: Router,
    backlog: Backlog<Deed>,
    /// Streams to be given what waits for them, at the end of the turn.
    listed: Vec<StreamUid>,
    /// Streams that found no memory; tried again at the next sweep.
    starved: Vec<StreamUid>,
    tickets: Tickets<Asker>,
    /// Answers for the handler.
    told: VecDeque<StreamEvent>,
    pairs: Pairs,
    adoptions: Adoptions,
    /// Why streams end that are closed from here.
    ending: Vec<(StreamUid, End)>,
    /// Silent ones, as a sweep found them.
    idle: Vec<StreamUid>,
}

impl Manager {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            registry: Registry::new(0, StreamSettings::default().registry(), Total::new(0)),
            router: Router::new(0, workers),
            backlog: Backlog::default(),
            listed: Vec::new(),
            starved: Vec::new(),
            tickets: Tickets::default(),
            told: VecDeque::new(),
            pairs: Pairs::default(),
            adoptions: Adoptions::default(),
            ending: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// Becomes the part of worker `here`; `total` is shared by all.
    pub(super) fn start(&mut self, here: usize, total: Total, settings: &StreamSettings) {
        let worker = u8::try_from(here).expect("invariant: there are at most 255 workers");
        self.registry = Registry::new(worker, settings.registry(), total);
        self.registry.observe(true);
        self.router = Router::new(here, self.router.workers());
        self.apply(settings);
    }

    /// Takes new settings.
    pub(super) fn apply(&mut self, settings: &StreamSettings) {
        self.registry.set_config(settings.registry());
        self.backlog.set_config(settings.backlog());
    }

    /// The UID of the session on this socket, if it has one.
    pub(super) fn uid_of(&self, socket: SocketId) -> Option<StreamUid> {
        let uid = self.registry.first_of(place_of(socket))?;
        let stream = self.registry.peek(uid)?;
        (stream.handle() == socket.key().to_bits()).then_some(uid)
    }

    /// The worker that has a stream.
    pub(super) fn route(&self, uid: StreamUid) -> Route {
        self.router.route(uid)
    }

    /// The session a UID names.
    pub(super) fn socket_of(&self, uid: StreamUid) -> Option<SocketId> {
        let handle = self.registry.peek(uid)?.handle();
        Some(SocketId::from_key(hioload_base::Key::from_bits(handle)))
    }

    /// A question of `owner` for `uid` is answered: what it does not have it need not end.
    fn adoption_answered(&mut self, owner: StreamUid, uid: StreamUid, is_done: bool) {
        if self.adoptions.answer(owner, uid, is_done) {
            self.registry.disown(owner, uid);
        }
    }

    /// There is something for the end of the next turn.
    fn has_work(&self) -> bool {
        !self.listed.is_empty()
    }
}

/// The socket slot of a UID: the lower half of them is for sockets of the driver, a quarter each for streams of HTTP/2
/// connections and for polls. What is beyond gets no UID.
fn place_of(socket: SocketId) -> u32 {
    let (from, max, slot) = if is_poll(socket) {
        (3 * QUARTER, QUARTER, poll_of_name(socket).index())
    } else if is_stream(socket) {
        (2 * QUARTER, QUARTER, stream_of_name(socket).index())
    } else {
        (0, 2 * QUARTER, socket.key().index())
    };
    if slot < max { from + slot } else { u32::MAX }
}

/// The slot of the poll that a UID names, if it names one.
pub(super) fn poll_slot(uid: StreamUid) -> Option<u32> {
    uid.socket().checked_sub(3 * QUARTER)
}

/// Where a message that came goes.
pub(super) enum Arrival {
    /// To the handler.
    Handler,
    /// Nowhere: it is dealt with, or its channel is not let through.
    Taken,
}

impl Core {
    /// The UID of the session on this socket; it gets one if it has none.
    pub(crate) fn name_stream(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
    ) -> Result<StreamUid, StreamError> {
        if let Some(uid) = self.manager.uid_of(socket) {
            return Ok(uid);
        }
        let connection = self.table.get(socket).ok_or(StreamError::Closed)?;
        if connection.phase != Phase::Open {
            return Err(StreamError::Closed);
        }
        let kind = if connection.facts.has(Facts::EVENTS) {
            StreamKind::Sse
        } else {
            StreamKind::WebSocket
        };
        let named = self.register_stream(cx, socket, kind);
        named.map_err(StreamError::Rejected)
    }

    /// Gives what this socket carries a UID.
    pub(super) fn register_stream(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        kind: StreamKind,
    ) -> Result<StreamUid, Rejected> {
        self.register_polled(cx, socket, socket, kind)
    }

    /// The same for what is carried elsewhere than where its client is.
    pub(super) fn register_polled(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        client: SocketId,
        kind: StreamKind,
    ) -> Result<StreamUid, Rejected> {
        // Streams of a connection have a slot each: only here is it known whose they are.
        if let Some(parent) = self.h2.parent_of(socket) {
            let siblings = self.streams_of(parent);
            let named = siblings
                .iter()
                .filter(|one| self.manager.uid_of(**one).is_some());
            if named.count() >= self.settings.streams.socket_max as usize {
                let rejected = Rejected::Socket;
                self.manager.registry.count_rejected(rejected);
                return Err(rejected);
            }
        }
        let new = New {
            kind,
            peer: self.peer_addr(cx, client),
            handle: socket.key().to_bits(),
        };
        let registry = &mut self.manager.registry;
        registry.register(place_of(socket), new, cx.now())
    }

    /// The other end's address, if the driver can tell; that of a stream is its connection's.
    pub(crate) fn peer_addr(&self, cx: &mut Cx<'_>, socket: SocketId) -> Option<SocketAddr> {
        let carrier = self.h2.parent_of(socket).unwrap_or(socket);
        cx.driver().peer_addr(carrier)
    }

    /// From now on the stream, which is here, lives by itself.
    pub(crate) fn detach_stream(&mut self, cx: &Cx<'_>, uid: StreamUid) {
        self.manager.registry.detach(uid, cx.now());
    }

    /// A message came on a session: it is counted, and goes where its stream says.
    #[inline(always)]
    pub(super) fn stream_message(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        kind: Kind,
        payload: &[u8],
    ) -> Arrival {
        if self.manager.registry.is_empty() {
            return Arrival::Handler;
        }
        self.named_message(cx, socket, kind, payload)
    }

    fn named_message(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        kind: Kind,
        payload: &[u8],
    ) -> Arrival {
        let Some(uid) = self.manager.uid_of(socket) else {
            return Arrival::Handler;
        };
        let registry = &mut self.manager.registry;
        registry.activity(uid, payload.len() as u64, 0, cx.now());
        let stream = registry.peek(uid);
        // Bytes without messages have no channels: they may be cut anywhere.
        let stream = stream.filter(|stream| stream.kind() != StreamKind::Custom);
        let channels = stream.and_then(|stream| stream.channels());
        if let Some(channels) = channels
            && !channels.is_empty()
            && kind == Kind::Binary
            && let Some(&channel) = payload.first()
            && matches!(
                channels.dispatch(channel),
                Dispatch::Disabled | Dispatch::Missing
            )
        {
            self.stats.stream_channel_drops += 1;
            return Arrival::Taken;
        }
        if self.manager.pairs.has(uid) {
            self.forward(cx, socket, uid, kind, payload);
            return Arrival::Taken;
        }
        Arrival::Handler
    }

    /// There is room in the session's output again.
    pub(super) fn stream_relieved(&mut self, socket: SocketId) {
        if self.manager.backlog.is_empty() {
            return;
        }
        if let Some(uid) = self.manager.uid_of(socket)
            && self.manager.backlog.is_waiting(uid)
        {
            self.manager.listed.push(uid);
        }
    }

    /// The session is not to be read from, whatever else allows it.
    pub(super) fn is_stream_paused(&self, socket: SocketId) -> bool {
        let pairs = &self.manager.pairs;
        !pairs.is_empty()
            && self
                .manager
                .uid_of(socket)
                .is_some_and(|uid| pairs.is_paused(uid))
    }

    /// The session is over and its handler knows: its UID names nothing from here on.
    pub(super) fn stream_ended(&mut self, cx: &mut Cx<'_>, socket: SocketId, reason: CloseReason) {
        if self.manager.registry.is_empty() {
            return;
        }
        let Some(uid) = self.manager.uid_of(socket) else {
            return;
        };
        let ending = &mut self.manager.ending;
        let asked = ending.iter().position(|(ending, _)| *ending == uid);
        let end = asked.map(|place| ending.swap_remove(place).1);
        let end = end.unwrap_or(match reason {
            CloseReason::Peer(_) | CloseReason::Local(_) => End::Closed,
            CloseReason::Offence(_) | CloseReason::Lost | CloseReason::Stalled => End::Reset,
            CloseReason::Idle => End::Idle,
            CloseReason::Shutdown => End::Shutdown,
        });
        let removed = self.manager.registry.unregister(uid, end);
        self.refuse_backlog(cx, uid);
        self.unpair(cx, uid);
        for adopted in removed.map_or_else(Vec::new, |removed| removed.adopted) {
            let (ticket, owner) = (Ticket::NONE, Some(uid));
            let close = Command::Close {
                uid: adopted,
                ticket,
                owner,
            };
            self.command_later(cx, close);
        }
    }

    /// Closes autonomous streams that were silent for too long, a few at a time, and tries those again that found no
    /// memory.
    pub(super) fn sweep_streams(&mut self, cx: &mut Cx<'_>) {
        let starved = std::mem::take(&mut self.manager.starved);
        self.manager.listed.extend(starved);
        let mut idle = std::mem::take(&mut self.manager.idle);
        self.manager
            .registry
            .sweep(cx.now(), SWEEP_VISITS_MAX, &mut idle);
        for uid in idle.drain(..) {
            self.close_stream(cx, uid, End::Idle);
        }
        self.manager.idle = idle;
    }

    /// Begins the end of a session that is known by its UID. False when there is none, or it ends already.
    fn close_stream(&mut self, cx: &mut Cx<'_>, uid: StreamUid, end: End) -> bool {
        let Some(socket) = self.manager.socket_of(uid) else {
            return false;
        };
        let connection = self.table.get(socket);
        if connection
            .is_none_or(|connection| connection.phase != Phase::Open || connection.reason.is_some())
        {
            return false;
        }
        let (code, text, reason) = match end {
            End::Idle => (
                CloseCode::GOING_AWAY,
                "idle for too long",
                CloseReason::Idle,
            ),
            End::Owner => {
                let code = CloseCode::GOING_AWAY;
                (code, "its owner has ended", CloseReason::Local(code))
            }
            _ => {
                let code = CloseCode::NORMAL;
                (code, "", CloseReason::Local(code))
            }
        };
        self.manager.ending.push((uid, end));
        self.close(cx, socket, code, text, reason);
        self.flush(cx, socket);
        true
    }

    /// Nothing is open here any more.
    pub(super) fn is_unused(&self) -> bool {
        self.table.len() == 0 && self.polls.is_empty()
    }

    /// How a stream that is in nobody's way is doing: for figures.
    pub(super) fn show_streams(&mut self) {
        let streams = *self.manager.registry.stats();
        let stats = &mut self.stats;
        stats.streams = streams.active_count();
        stats.streams_autonomous = streams.autonomous;
        stats.streams_created = streams.created;
        stats.streams_destroyed = streams.destroyed;
        stats.streams_rejected = streams.rejected_count();
        let rejected = |why: Rejected| streams.rejected[why.index()];
        stats.streams_rejected_socket = rejected(Rejected::Socket);
        stats.streams_rejected_worker = rejected(Rejected::Worker);
        stats.streams_rejected_total = rejected(Rejected::Total);
        stats.streams_rejected_kind = rejected(Rejected::Kind(StreamKind::Http));
        stats.streams_idle_closed = streams.idle_closed;
        stats.stream_hits = streams.local_hits;
        stats.stream_lookups_elsewhere = streams.cross_worker_lookups;
        stats.stream_misses = streams.misses;
        stats.stream_writes = streams.writes_taken;
        stats.stream_writes_refused = streams.writes_refused;
        stats.stream_commands_full = streams.commands_full;
    }
}

impl Hub {
    /// Tells the handler what happened to streams, and what was answered. True when something is left for the next turn.
    pub(super) fn tell_streams(&mut self, cx: &mut Cx<'_>) -> bool {
        loop {
            let manager = &mut self.core.manager;
            let event = manager.registry.next_event().map(StreamEvent::Life);
            let Some(event) = event.or_else(|| manager.told.pop_front()) else {
                break;
            };
            let worker = &mut WorkerContext::new(&mut self.core, cx.reborrow());
            self.handler.stream(worker, &event);
        }
        // Answers that found a mailbox full must not wait until somebody calls.
        self.core.outlet.flush(cx) || self.core.manager.has_work()
    }

    /// This worker's part begins.
    pub(super) fn start_streams(&mut self, here: usize, total: Total) {
        let settings = self.core.settings.streams;
        // Each worker says the same.
        total.set_max(settings.total_max);
        self.core.manager.start(here, total, &settings);
    }
}

/// Silent for so long, as of now.
pub(super) fn age(now: Time, then: Time) -> std::time::Duration {
    now - then
}
