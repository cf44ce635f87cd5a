//! Everything of a worker but the application: connections, memory, channels, counters. What a
//! [`Session`](crate::Session) acts on.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hioload_base::{Key, Prng};
use hioload_live::{Budget, Channels, ChannelsConfig, Feed};
use hioload_mem::{BufferPool, Segment};
use hioload_reactor::{Context, Payload, SocketId};
use hioload_ws::CloseCode;
use hioload_ws::deflate::Inflater;

use super::channel::Channel;
use super::connection::{Connection, Facts, Phase};
use super::encoder::Encoder;
use super::fanout::{Rest, WALK_MAX};
use super::h2::{OUTPUT_HIGH, Streams};
use super::http::{WINDOW, Work};
use super::message::Message;
use super::outlet::Outlet;
use super::output::Cork;
use super::poll::Polls;
use super::recovery::{News, Ticket};
use super::settings::Settings;
use super::spares::Spares;
use super::stats::Stats;
use super::streams::Manager;
use super::table::{Table, is_poll, is_stream};
use super::tls::Secure;
use crate::context::Context as AppContext;
use crate::handler::CloseReason;

/// The reactor's context with this server's messages.
pub(crate) type Cx<'a> = Context<'a, Message>;

/// The state of a worker.
pub(crate) struct Core {
    pub(super) settings: Arc<Settings>,
    /// Workers in all; others may have a port beside them.
    pub(super) workers: usize,
    pub(super) table: Table<Connection>,
    /// Streams of HTTP/2 connections.
    pub(super) h2: Streams,
    /// Sessions that are polled.
    pub(super) polls: Polls,
    pub(super) pool: BufferPool,
    pub(super) cork: Cork,
    pub(super) stats: Stats,
    pub(super) channels: Channels<Channel>,
    /// Channels with work for the end of the turn.
    pub(super) listed: Vec<hioload_live::ChannelKey>,
    /// Subscribers served per turn at most.
    pub(super) walk_max: usize,
    pub(super) budget: Budget,
    /// For private copies of what stalled subscribers are owed.
    pub(super) owed: Budget,
    /// Feeds made so far: tells the lives of a channel's feed apart.
    pub(super) feeds_made: u64,
    pub(super) encoder: Encoder,
    pub(super) inflater: Inflater,
    pub(super) scratch: Vec<u8>,
    /// Empty vectors for payloads of several pieces.
    pub(super) vectors: Vec<Vec<Segment>>,
    /// Connections whose hold is over, and whose end is to be told: at the end of the turn.
    pub(super) resume: Vec<SocketId>,
    pub(super) ended: Vec<SocketId>,
    /// Sessions that found no memory for a message: they try again at the next sweep.
    pub(super) starved: BTreeSet<u64>,
    /// What connections began with the store and cannot end; the store is told at the end of the turn.
    pub(super) given_up: Vec<Work>,
    /// Whose page of names is not complete, in the order they asked.
    pub(super) pages: VecDeque<SocketId>,
    /// What sessions are to be told of their channels, at the end of the turn.
    pub(super) news: Vec<News>,
    /// The last one given out.
    pub(super) ticket: Ticket,
    pub(super) outlet: Outlet,
    /// Sessions that are known by their UID.
    pub(super) manager: Manager,
    /// The sessions of connections that speak TLS.
    pub(super) secure: Secure,
    /// Bytes of all input that is not dealt with yet: unfinished messages and heads, what came for
    /// held connections, publications to be repeated. At most `assembly_max`.
    pub(super) assembly_size: usize,
    /// Empty vectors for messages of several pieces.
    pub(super) spares: Vec<Vec<u8>>,
    /// Boxes of streams that ended.
    pub(super) stream_spares: Spares,
    pub(super) is_draining: bool,
    /// The payload at hand, when it may be shared instead of copied: where it lies.
    pub(super) shareable: Option<(usize, usize)>,
    spare_context: AppContext,
}

impl Core {
    pub(super) fn new(
        settings: Arc<Settings>,
        pool: BufferPool,
        workers: usize,
        seed: u64,
    ) -> Self {
        let channels = ChannelsConfig {
            count_max: settings.channel.count_max,
            linger: settings.channel.linger,
            ..ChannelsConfig::default()
        };
        Self {
            table: Table::new(),
            h2: Streams::new(settings.streams_max),
            polls: Polls::new(),
            pool,
            cork: Cork::default(),
            stats: Stats::default(),
            channels: Channels::new(channels, Prng::new(seed)),
            listed: Vec::new(),
            walk_max: WALK_MAX,
            budget: Budget::new(settings.channel.budget_worker),
            owed: Budget::new(settings.channel.owed_worker()),
            feeds_made: 0,
            encoder: Encoder::new(&settings),
            inflater: Inflater::new(15),
            scratch: Vec::new(),
            vectors: Vec::new(),
            resume: Vec::new(),
            ended: Vec::new(),
            starved: BTreeSet::new(),
            given_up: Vec::new(),
            pages: VecDeque::new(),
            news: Vec::new(),
            ticket: Ticket::NONE,
            outlet: Outlet::new(workers),
            manager: Manager::new(workers),
            secure: Secure::default(),
            assembly_size: 0,
            spares: Vec::new(),
            stream_spares: Spares::default(),
            is_draining: false,
            shareable: None,
            spare_context: AppContext::new(),
            settings,
            workers,
        }
    }

    /// Takes new settings for everything that comes; channels and HTTP/2 connections keep the bounds
    /// they were made with.
    pub(super) fn apply(&mut self, settings: Arc<Settings>) {
        self.budget.set_max(settings.channel.budget_worker);
        self.owed.set_max(settings.channel.owed_worker());
        self.encoder.set(&settings);
        self.manager.apply(&settings.streams);
        self.settings = settings;
    }

    /// Sends a close frame, once; the session ends when the peer answers or time is up. Its channels
    /// are left: no data may follow (RFC 6455 5.5.1).
    pub(crate) fn close(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        code: CloseCode,
        text: &str,
        reason: CloseReason,
    ) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        let is_ending = connection.facts.has(Facts::ENDING);
        if connection.phase != Phase::Open || (connection.reason.is_some() && !is_ending) {
            return;
        }
        connection.facts.clear(Facts::ENDING);
        connection.reason.get_or_insert(reason);
        self.leave_all(cx, socket);
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if connection.facts.has(Facts::EVENTS) {
            self.write_close_event(code, text);
        } else if connection.facts.has(Facts::CUSTOM) {
            // The end of its bytes is all that is said.
        } else if let Ok(frame) = connection.protocol.close(code, text, None) {
            self.cork.write_last(&self.pool, &frame);
        }
        // RFC 6455 5.5.1: no data follows the close frame.
        self.leave_all(cx, socket);
        let deadline = cx.now() + self.settings.close_timeout;
        self.set_timer(cx, socket, deadline);
    }

    /// Closes for a shutdown once everything that was published to the session has gone out.
    /// Nothing more is taken from it.
    pub(super) fn end_when_sent(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if connection.phase != Phase::Open || connection.reason.is_some() {
            return;
        }
        connection.reason = Some(CloseReason::Shutdown);
        connection.facts.set(Facts::ENDING);
        if let Some(timer) = connection.timer.take() {
            cx.cancel_timer(timer);
        }
        self.pump(cx, socket);
    }

    pub(crate) fn path(&self, socket: SocketId) -> &str {
        let cold = self
            .table
            .get(socket)
            .and_then(|connection| connection.cold.as_ref());
        cold.and_then(|cold| cold.path.as_deref()).unwrap_or("/")
    }

    pub(crate) fn protocol(&self, socket: SocketId) -> Option<usize> {
        self.table.get(socket)?.cold.as_ref()?.protocol
    }

    pub(crate) fn buffered_size(&self, socket: SocketId) -> usize {
        self.cork.len() + self.table.get(socket).map_or(0, Connection::output_size)
    }

    pub(crate) fn context(&mut self, socket: SocketId) -> &mut AppContext {
        match self.table.get_mut(socket) {
            Some(connection) => connection.cold().context.get_or_insert_default(),
            // A session handed to a handler always exists; this one is thrown away.
            None => &mut self.spare_context,
        }
    }

    pub(crate) fn count_panic(&mut self) {
        self.stats.panics += 1;
    }

    pub(crate) fn count_rate_limited(&mut self) {
        self.stats.rate_limited += 1;
    }

    /// Counts input that has to be kept, if there is memory for it.
    pub(super) fn keep(&mut self, size: usize) -> bool {
        let has_room = self.assembly_size + size <= self.settings.assembly_max;
        if has_room {
            self.assembly_size += size;
        } else {
            self.stats.no_memory += 1;
        }
        has_room
    }

    /// Moves the connection's one timer.
    pub(super) fn set_timer(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        deadline: hioload_base::Time,
    ) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if let Some(timer) = connection.timer.take() {
            cx.cancel_timer(timer);
        }
        connection
            .timer
            .set(cx.timer(deadline, socket.key().to_bits()));
    }

    /// Seals what was written for the session at hand and gets it going.
    #[inline]
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.table.get_mut(socket) else {
            self.cork.take_all();
            return;
        };
        let is_queued = connection
            .cold
            .as_ref()
            .is_some_and(|cold| !cold.outbox.is_empty());
        let idle = !connection.facts.has(Facts::SENDING | Facts::CLOSED)
            && !is_queued
            && self.cork.len() > 0
            && !self.is_inside_frame(socket);
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if idle && let Some(piece) = self.cork.take_one() {
            connection.own_in_flight = piece.len() as u32;
            connection.facts.set(Facts::SENDING);
            connection.facts.clear(Facts::CHANNEL_FIRST);
            self.submit(cx, socket, Payload::One(piece));
            return;
        }
        if idle && self.cork.len() > 0 && self.cork.piece_count() < Payload::PIECES_MAX {
            let mut pieces = self.vectors.pop().unwrap_or_default();
            pieces.extend(self.cork.take_all());
            connection.own_in_flight = pieces.iter().map(|piece| piece.len() as u32).sum();
            connection.facts.set(Facts::SENDING);
            connection.facts.clear(Facts::CHANNEL_FIRST);
            self.submit(cx, socket, Payload::Many(pieces));
            return;
        }
        if self.cork.len() > 0 {
            self.queue(socket);
        }
        self.pump(cx, socket);
    }

    /// Moves the cork into the connection's outbox.
    fn queue(&mut self, socket: SocketId) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        let cold = connection.cold();
        for piece in self.cork.take_all() {
            cold.outbox_size += piece.len();
            if !cold
                .outbox
                .back_mut()
                .is_some_and(|last| last.try_join(&piece))
            {
                cold.outbox.push_back(piece);
            }
        }
    }

    pub(super) fn submit(&mut self, cx: &mut Cx<'_>, socket: SocketId, payload: Payload) {
        if self.is_secure(socket) {
            return self.submit_secure(cx, socket, payload);
        }
        if !self.carrier_send(cx, socket, payload) {
            // The carrier has closed the socket meanwhile; its last event is on the way.
            self.forget_send(socket);
        }
    }

    /// Nothing is in flight after all.
    pub(super) fn forget_send(&mut self, socket: SocketId) {
        if let Some(connection) = self.table.get_mut(socket) {
            connection.facts.clear(Facts::SENDING);
            connection.own_in_flight = 0;
        }
    }

    /// Sends what is due, if nothing is in flight: own frames first (they are small and may be
    /// pings), but never inside a channel's frame; then the channel from the cursor on.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if connection
            .facts
            .has(Facts::SENDING | Facts::CLOSED | Facts::UNTOLD)
        {
            return;
        }
        if connection.cold.is_none() && connection.subscription.is_none() {
            return self.nothing_to_send(cx, socket);
        }
        let mut pieces = self.vectors.pop().unwrap_or_default();
        let (own, channel_first) = self.gather(socket, &mut pieces);
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        let payload = match pieces.len() {
            0 => {
                self.vectors.push(pieces);
                return self.nothing_to_send(cx, socket);
            }
            1 => {
                let piece = pieces.pop().expect("invariant: one piece");
                self.vectors.push(pieces);
                Payload::One(piece)
            }
            _ => Payload::Many(pieces),
        };
        connection.own_in_flight = own;
        connection.facts.set(Facts::SENDING);
        if channel_first {
            connection.facts.set(Facts::CHANNEL_FIRST);
        } else {
            connection.facts.clear(Facts::CHANNEL_FIRST);
        }
        self.submit(cx, socket, payload);
    }

    /// Collects pieces; returns how many bytes of them are the connection's own, and whether a
    /// channel's rest goes first.
    fn gather(&mut self, socket: SocketId, pieces: &mut Vec<Segment>) -> (u32, bool) {
        let Some(connection) = self.table.get_mut(socket) else {
            return (0, false);
        };
        let has_own = connection
            .cold
            .as_ref()
            .is_some_and(|cold| !cold.outbox.is_empty());
        let mut channel_first = false;
        if has_own && connection.subscription.is_some() {
            match self.gather_rest(socket, pieces) {
                Rest::None => {}
                Rest::Given => channel_first = true,
                Rest::Withheld => return (0, false),
            }
        }
        let own = self.gather_own(socket, pieces);
        if !channel_first && pieces.len() + Feed::SEGMENTS_MAX <= Payload::PIECES_MAX {
            self.gather_channel(socket, pieces);
        }
        (own, channel_first)
    }

    fn gather_own(&mut self, socket: SocketId, pieces: &mut Vec<Segment>) -> u32 {
        let Some(connection) = self.table.get_mut(socket) else {
            return 0;
        };
        let Some(cold) = &mut connection.cold else {
            return 0;
        };
        let mut own = 0;
        while pieces.len() < Payload::PIECES_MAX
            && let Some(piece) = cold.outbox.pop_front()
        {
            own += piece.len();
            pieces.push(piece);
        }
        cold.outbox_size -= own;
        own as u32
    }

    /// Nothing is left to send: an ending session gets its close frame, a closing connection goes
    /// on to its FIN.
    fn nothing_to_send(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if connection.facts.has(Facts::ENDING) && connection.phase == Phase::Open {
            self.close(
                cx,
                socket,
                CloseCode::GOING_AWAY,
                "server shutdown",
                CloseReason::Shutdown,
            );
            return self.flush(cx, socket);
        }
        if connection.facts.has(Facts::EVENTS | Facts::CUSTOM)
            && connection.phase == Phase::Open
            && let Some(reason) = connection.reason
        {
            // No close frame is answered: the end of the stream says it all.
            return self.end(cx, socket, reason);
        }
        if connection.phase != Phase::Closing {
            return;
        }
        connection.phase = Phase::Lingering;
        // On a stream, what is left of a request need not be waited for once it is answered.
        let is_answer = !connection.facts.has(Facts::OPENED) || connection.facts.has(Facts::EVENTS);
        let is_answered = is_stream(socket) && is_answer;
        let is_over = connection.facts.has(Facts::EOF) || is_answered;
        self.parted(cx, socket);
        self.finish(cx, socket, is_over);
    }

    /// The kernel took some of what was in flight.
    pub(super) fn sent(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        result: Result<usize, i32>,
        payload: Payload,
    ) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        connection.facts.clear(Facts::SENDING);
        if connection
            .facts
            .has(Facts::HELD | Facts::EVENTS | Facts::CUSTOM)
            && result.is_ok()
            && !is_poll(socket)
        {
            // It is not read from, or sends nothing: that it takes something is the sign of life there is.
            connection.keepalive.heard(cx.now());
        }
        if connection.facts.has(Facts::EVENTS) && result.is_ok() {
            // Also within the millisecond of the comment.
            connection.keepalive.pong(cx.now());
        }
        if let Some(cold) = &mut connection.cold
            && let Some(exchange) = &mut cold.http
        {
            exchange.moved(cx.now(), *result.as_ref().unwrap_or(&0));
        }
        let own = std::mem::take(&mut connection.own_in_flight) as usize;
        let channel_first = connection.facts.has(Facts::CHANNEL_FIRST);
        let total = payload.len();
        let count = result.unwrap_or(0);
        self.stats.sends += 1;
        self.stats.bytes_sent += count as u64;
        let channel_total = total - own;
        let own_sent = if channel_first {
            count.saturating_sub(channel_total)
        } else {
            count.min(own)
        };
        if own_sent < own {
            let skip = if channel_first { channel_total } else { 0 } + own_sent;
            put_back(connection, payload.pieces(), skip, own - own_sent);
        }
        if channel_total > 0 {
            self.channel_sent(cx, socket, count - own_sent);
        }
        self.recycle(payload);
        if let Err(errno) = result
            && errno != libc::ECANCELED
        {
            return self.lost(cx, socket);
        }
        self.pump(cx, socket);
        self.list_multiplex(socket);
        self.relieve(socket);
    }

    /// Below the mark again: read on, and tell the handler that there is room.
    fn relieve(&mut self, socket: SocketId) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        let mark = match connection.phase {
            Phase::Http => WINDOW / 2,
            Phase::H2 => OUTPUT_HIGH / 2,
            _ => self.settings.output_high,
        };
        if connection.facts.has(Facts::HELD | Facts::FULL)
            && !connection.facts.has(Facts::RESUMING)
            && connection.output_size() < mark
        {
            connection.facts.set(Facts::RESUMING);
            self.resume.push(socket);
        }
    }

    /// Lets those go on that found no memory. Who has nothing in flight would be told by nothing else.
    pub(super) fn relieve_starved(&mut self) {
        for bits in std::mem::take(&mut self.starved) {
            self.relieve(SocketId::from_key(Key::from_bits(bits)));
        }
    }

    fn recycle(&mut self, payload: Payload) {
        if let Payload::Many(mut pieces) = payload
            && self.vectors.len() < 4096
        {
            pieces.clear();
            self.vectors.push(pieces);
        }
    }

    /// Stops reading from a connection until what holds it is over.
    pub(super) fn hold(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if !connection.facts.has(Facts::HELD) {
            connection.facts.set(Facts::HELD);
            self.stats.held += 1;
            self.carrier_pause(cx, socket);
        }
    }

    /// The connection broke: nothing can be sent or said any more.
    pub(super) fn lost(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        self.close_socket(cx, socket);
        self.end(cx, socket, CloseReason::Lost);
    }

    /// The session is over: no more input, leave all channels, tell the handler (at the end of the
    /// turn), let out what is queued.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>, socket: SocketId, reason: CloseReason) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if matches!(connection.phase, Phase::Closing | Phase::Lingering) {
            return;
        }
        let reason = *connection.reason.get_or_insert(reason);
        let was_open = connection.facts.has(Facts::OPENED);
        self.stats.event_streams -= u64::from(connection.facts.has(Facts::EVENTS));
        self.leave_all(cx, socket);
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        // Its last answers may be taken as slowly as those before.
        let is_answer = matches!(connection.phase, Phase::Http | Phase::H2) && !is_stream(socket);
        connection.phase = Phase::Closing;
        if let Some(cold) = &mut connection.cold {
            self.assembly_size -= cold.unfinished_size();
            cold.assembly = Vec::new();
            cold.stash = Vec::new();
            self.stats.publications_refused += cold.blocked.len() as u64;
            cold.blocked.clear();
            if is_answer {
                self.given_up.push(cold.end_http(cx.now()));
            } else if let Some(mut exchange) = cold.http.take() {
                self.given_up.push(std::mem::take(&mut exchange.work));
                self.stream_spares.keep_exchange(exchange);
            }
        }
        if connection.facts.has(Facts::HELD) {
            // Input is only waited for now, to see the peer's FIN.
            connection.facts.clear(Facts::HELD);
            self.carrier_recv(cx, socket);
        }
        if was_open {
            self.count_end(reason);
            self.ended.push(socket);
        }
        // The last of an answer on a stream is waited for by its connection.
        if was_open || !is_stream(socket) {
            self.rearm_end(cx, socket);
        }
        self.pump(cx, socket);
        self.end_with_send(socket);
    }

    /// The end of a stream goes out with the last of what is being sent on it.
    fn end_with_send(&mut self, socket: SocketId) {
        if !is_stream(socket) {
            return;
        }
        let is_all = self.table.get(socket).is_some_and(|connection| {
            let cold = connection.cold.as_ref();
            connection.phase == Phase::Closing
                && cold.is_none_or(|cold| cold.outbox.is_empty())
                && !connection.facts.has(Facts::CHANNEL | Facts::CLOSED)
        });
        if is_all {
            self.stream_shutdown(socket);
        }
    }

    fn count_end(&mut self, reason: CloseReason) {
        self.stats.sessions -= 1;
        let counter = match reason {
            CloseReason::Peer(_) => &mut self.stats.closed_by_peer,
            CloseReason::Local(_) | CloseReason::Shutdown => &mut self.stats.closed_here,
            CloseReason::Offence(_) => &mut self.stats.closed_offence,
            CloseReason::Lost => &mut self.stats.closed_lost,
            CloseReason::Idle => &mut self.stats.closed_idle,
            CloseReason::Stalled => &mut self.stats.closed_stalled,
        };
        *counter += 1;
    }

    /// Closes the descriptor, whatever is in flight, and leaves what was to be left later.
    pub(super) fn close_socket(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if !connection.facts.has(Facts::CLOSED) {
            connection.facts.set(Facts::CLOSED);
            let is_orderly = connection.phase == Phase::Lingering;
            self.carrier_close(cx, socket, is_orderly);
            self.leave_all(cx, socket);
        }
    }
}

/// Puts own bytes that the kernel did not take back to the front of the outbox: of `pieces`, the
/// `rest` bytes after the first `skip`.
fn put_back(connection: &mut Connection, pieces: &[Segment], mut skip: usize, mut rest: usize) {
    let cold = connection.cold();
    cold.outbox_size += rest;
    let mut place = 0;
    for piece in pieces {
        if skip >= piece.len() {
            skip -= piece.len();
            continue;
        }
        let end = piece.len().min(skip + rest);
        rest -= end - skip;
        cold.outbox.insert(place, piece.slice(skip..end));
        place += 1;
        skip = 0;
        if rest == 0 {
            break;
        }
    }
}
