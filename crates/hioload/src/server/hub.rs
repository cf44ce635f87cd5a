//! A worker's service: from completions to protocol events to the handler, and back.
//!
//! ```text
//!   Received ─▶ handshake | frames ─▶ handler ─▶ Session (Core) ─▶ cork ─▶ one Send
//! ```
//!
//! A connection's input is taken only while there is room for what it may lead to: output above
//! the mark, or a held channel, ends reading until that is over; what was already read is stashed.

use std::sync::Arc;
use std::time::Duration;

use hioload_base::Key;
use hioload_mem::BufferPool;
use hioload_net::tls::{Acceptor, Reason};
use hioload_reactor::{Completion, ListenerId, Op, RecvEnd, Service, SocketId};
use hioload_streams::Upgrades;
use hioload_ws::{CloseCode, Event, Kind, Limits, Offence, Role, Session as Protocol, header_size};

use super::connection::{Connection, Facts, Phase};
use super::core::{Core, Cx};
use super::http::Writer;
use super::input::Input;
use super::message::Message;
use super::meters::Meters;
use super::orders::Order;
use super::recovery::What;
use super::send::{FORWARD_MIN, place_of};
use super::settings::Settings;
use super::shared::Shared;
use super::store::Store;
use super::streams::Arrival;
use super::table::{is_poll, is_stream};
use crate::handler::{self, CloseReason, Handler};
use crate::protocol::Protocol as AppProtocol;
use crate::session::{Session, WorkerContext};

/// Timers that belong to no connection: slot numbers that no table reaches.
const TIMER_ACCEPT: u64 = u32::MAX as u64;
const TIMER_SWEEP: u64 = TIMER_ACCEPT + (1 << 32);
pub(super) const TIMER_DRAIN: u64 = TIMER_ACCEPT + (2 << 32);
pub(super) const TIMER_DRAINED: u64 = TIMER_ACCEPT + (3 << 32);
pub(super) const TIMER_STORE: u64 = TIMER_ACCEPT + (4 << 32);

/// How long to wait before accepting again after descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Vectors kept for messages of several pieces, and the bytes of one at most.
pub(super) const SPARE_COUNT_MAX: usize = 64;
pub(super) const SPARE_SIZE_MAX: usize = 64 << 10;

/// One worker of a server.
pub(crate) struct Hub {
    pub(super) handler: Box<dyn Handler>,
    /// Those of the application.
    pub(super) protocols: Upgrades<dyn AppProtocol>,
    pub(super) core: Core,
    pub(super) listener: Option<ListenerId>,
    /// Where connections come in clear, when those of the other one speak TLS.
    pub(super) listener_clear: Option<ListenerId>,
    /// Makes the sessions of connections that speak TLS.
    tls: Option<Acceptor>,
    /// This worker's part of the block store, if there is one.
    pub(super) store: Option<Store>,
    pub(super) http: Writer,
    shared: Arc<Shared>,
    pub(super) meters: Option<Meters>,
    messages: usize,
    /// Whose output is still in the cork: more of its input may come with the next event.
    corked: Option<SocketId>,
    /// Where a paced shutdown is, and how many sessions it closes per tick.
    pub(super) drain_from: u32,
    pub(super) drain_step: u32,
}

impl Hub {
    pub(crate) fn new(
        handler: Box<dyn Handler>,
        settings: Arc<Settings>,
        pool: BufferPool,
        shared: Arc<Shared>,
        workers: usize,
        seed: u64,
    ) -> Self {
        Self {
            handler,
            protocols: Upgrades::default(),
            core: Core::new(settings, pool, workers, seed),
            listener: None,
            listener_clear: None,
            tls: None,
            store: None,
            http: Writer::default(),
            shared,
            meters: None,
            messages: 0,
            corked: None,
            drain_from: 0,
            drain_step: 0,
        }
    }

    /// The listener this worker accepts from, opened on its driver before it starts.
    pub(crate) fn listen_on(&mut self, listener: ListenerId) {
        self.listener = Some(listener);
    }

    /// Connections may ask for this protocol.
    pub(crate) fn speak(&mut self, protocol: Box<dyn AppProtocol>) {
        self.protocols.add(protocol);
    }

    /// Its connections speak TLS; those of the other listener, if there is one, do not.
    pub(crate) fn speak_tls(&mut self, acceptor: Acceptor, clear: Option<ListenerId>) {
        self.tls = Some(acceptor);
        self.listener_clear = clear;
    }

    /// Blocks are stored and served here.
    pub(crate) fn keep_store(&mut self, store: Store) {
        self.store = Some(store);
    }

    fn obey(&mut self, cx: &mut Cx<'_>, order: Order) {
        if let Some(settings) = order.settings {
            self.shared.streams.set_max(settings.streams.total_max);
            self.core.apply(settings);
        }
        if let Some((timeout, pace)) = order.shutdown {
            self.start_drain(cx, timeout, pace);
        }
    }

    /// Where this worker's figures are shown, besides [`Shared`].
    pub(super) fn show_on(&mut self, meters: Meters) {
        self.meters = Some(meters);
    }

    fn accept(&mut self, cx: &mut Cx<'_>) {
        if self.core.is_draining {
            return;
        }
        for listener in [self.listener, self.listener_clear].into_iter().flatten() {
            let _ = cx.submit(Op::Accept { listener });
        }
    }

    fn accepted(&mut self, cx: &mut Cx<'_>, listener: ListenerId, socket: SocketId) {
        if self.core.is_draining || self.core.table.len() >= self.core.settings.sessions_max {
            self.core.stats.accept_refused += 1;
            let _ = cx.submit(Op::Close { socket });
            return;
        }
        if Some(listener) == self.listener_clear {
            return self.admit(cx, socket, None);
        }
        if let Some(to) = self.shared.balance(cx.index(), self.core.table.len()) {
            let peer = cx.peer(to);
            if cx
                .submit(Op::HandOver {
                    socket,
                    listener,
                    to: peer,
                })
                .is_ok()
            {
                self.core.stats.handed_over += 1;
                return;
            }
        }
        let tls = self.tls.clone();
        self.admit(cx, socket, tls.as_ref());
    }

    fn admit(&mut self, cx: &mut Cx<'_>, socket: SocketId, tls: Option<&Acceptor>) {
        self.core.stats.accepted += 1;
        let connection = Connection::new(Protocol::new(Role::Server, false), cx.now());
        self.core.table.insert(socket, connection);
        self.shared
            .set_connections(cx.index(), self.core.table.len());
        let deadline = cx.now() + self.core.settings.handshake_timeout;
        self.core.set_timer(cx, socket, deadline);
        let session = tls.map(Acceptor::accept).transpose();
        let is_ready = session.is_ok();
        if let Ok(Some(session)) = session {
            self.core.secure(socket, session);
        }
        if !is_ready || !self.core.carrier_recv(cx, socket) {
            self.core.close_socket(cx, socket);
        }
    }

    pub(super) fn received(&mut self, cx: &mut Cx<'_>, socket: SocketId, mut input: Input<'_>) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        match connection.phase {
            // Whoever reads events has nothing to say.
            Phase::Open if connection.facts.has(Facts::EVENTS) => {}
            Phase::Open if connection.facts.has(Facts::HELD) => {
                self.stash(cx, socket, input.rest());
            }
            Phase::Open if connection.facts.has(Facts::CUSTOM) => {
                self.corked = Some(socket);
                self.take_bytes(cx, socket, input);
            }
            Phase::Open => {
                self.corked = Some(socket);
                self.take_frames(cx, socket, input);
            }
            Phase::Http if connection.facts.has(Facts::HELD) => {
                self.keep_input(cx, socket, input.rest());
            }
            Phase::Http => self.http_input(cx, socket, input),
            Phase::H2 if connection.facts.has(Facts::HELD) => {
                self.keep_input(cx, socket, input.rest());
            }
            Phase::H2 => self.h2_input(cx, socket, input),
            Phase::Handshake => self.head(cx, socket, input),
            Phase::Closing | Phase::Lingering => {}
        }
    }

    pub(super) fn fail_closed(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        code: CloseCode,
        text: &str,
    ) {
        self.core
            .close(cx, socket, code, text, CloseReason::Local(code));
        self.end_after_flush(cx, socket, CloseReason::Local(code));
    }

    /// Takes what an open session was sent off the input, and sends what it led to.
    pub(super) fn frames(&mut self, cx: &mut Cx<'_>, socket: SocketId, input: Input<'_>) {
        if self.core.is_custom(socket) {
            self.take_bytes(cx, socket, input);
        } else {
            self.take_frames(cx, socket, input);
        }
        self.core.flush(cx, socket);
    }

    /// Sends what the last input led to. A batch that did not fit into one receive buffer comes as
    /// two events, one after the other: what they led to leaves in one send, or the client would
    /// answer twice, and its batches would fall apart for good.
    pub(super) fn uncork(&mut self, cx: &mut Cx<'_>) {
        if let Some(socket) = self.corked.take() {
            self.core.flush(cx, socket);
        }
    }

    /// The cork holds what another session sends.
    pub(super) fn is_corked_by_other(&self, socket: SocketId) -> bool {
        self.corked.is_some_and(|corked| corked != socket)
    }

    /// Takes frames off the input until it is used up, the session ends or is held.
    fn take_frames(&mut self, cx: &mut Cx<'_>, socket: SocketId, mut input: Input<'_>) {
        let limits = self.core.settings.ws;
        let output_high = self.core.settings.output_high;
        loop {
            let Some(connection) = self.core.table.get_mut(socket) else {
                return;
            };
            let has_room = connection.phase == Phase::Open
                && !connection.facts.has(Facts::HELD)
                && self.core.cork.len() + connection.output_size() < output_high;
            if !has_room {
                if self.make_room(cx, socket, &mut input) {
                    continue;
                }
                return;
            }
            // The payload can be sent on from where it lies if its header lies before it.
            let may_share = input.rest().len() >= FORWARD_MIN && input.may_share();
            let share_from = may_share.then(|| input.rest().as_ptr() as usize);
            let mut rest = input.rest();
            let before = rest.len();
            let outcome = connection.protocol.handle_input(&limits, &mut rest);
            let taken = before - rest.len();
            match outcome {
                // Taken apart where it is: moving the event costs more than all the rest here.
                Ok(Some(Event::Data {
                    kind,
                    payload,
                    first: true,
                    last: true,
                    compressed: false,
                })) => {
                    if connection.takes_message(cx.now()) {
                        let (start, len) = place_of(payload);
                        let has_header = |from| start - from >= header_size(len, false);
                        self.core.shareable =
                            share_from.is_some_and(has_header).then_some((start, len));
                        self.deliver(cx, socket, kind, payload);
                    }
                }
                Ok(Some(event)) => self.event(cx, socket, &limits, event),
                Ok(None) => break,
                Err(offence) => {
                    self.offence(cx, socket, offence);
                    break;
                }
            }
            self.core.shareable = None;
            if !self.core.cork.take_forward(&mut input, taken) {
                input.advance(taken);
            }
        }
    }

    /// All but a whole message in one frame.
    #[inline(never)]
    fn event(&mut self, cx: &mut Cx<'_>, socket: SocketId, limits: &Limits, event: Event<'_>) {
        match event {
            Event::Data {
                kind,
                payload,
                last,
                compressed,
                ..
            } => {
                self.piece(cx, socket, limits, kind, payload, last, compressed);
            }
            Event::Ping(payload) => {
                self.core.stats.pings += 1;
                let Some(connection) = self.core.table.get_mut(socket) else {
                    return;
                };
                connection.keepalive.pong(cx.now());
                // RFC 6455 5.5.3: one pong may answer several pings; the next ping asks again.
                if let Ok(frame) = connection.protocol.pong(&payload, None)
                    && self.core.cork.write(&self.core.pool, &frame, &[]).is_err()
                {
                    self.core.stats.no_memory += 1;
                }
            }
            Event::Pong(_) => {
                let Some(connection) = self.core.table.get_mut(socket) else {
                    return;
                };
                let round_trip = connection.keepalive.pong(cx.now());
                if let (Some(meters), Some(round_trip)) = (&self.meters, round_trip) {
                    meters.observe_round_trip(round_trip);
                }
            }
            Event::Close(frame) => {
                let code = frame.map_or(CloseCode::NO_STATUS, |frame| frame.code());
                self.peer_closed(cx, socket, code);
            }
        }
    }

    /// A message that came in pieces.
    fn message(&mut self, cx: &mut Cx<'_>, socket: SocketId, kind: Kind, payload: &[u8]) {
        let connection = self.core.table.get_mut(socket);
        if connection.is_some_and(|connection| connection.takes_message(cx.now())) {
            self.deliver(cx, socket, kind, payload);
        }
    }

    /// Gives a message to whom it is for.
    #[inline(always)]
    fn deliver(&mut self, cx: &mut Cx<'_>, socket: SocketId, kind: Kind, payload: &[u8]) {
        self.messages += 1;
        self.core.stats.messages_received += 1;
        self.core.stats.bytes_received += payload.len() as u64;
        if let Arrival::Taken = self.core.stream_message(cx, socket, kind, payload) {
            return;
        }
        let message = handler::Message { kind, payload };
        self.handler.message(
            &mut Session::new(&mut self.core, cx.reborrow(), socket),
            message,
        );
    }

    /// A piece of a message: joined with the others; inflated and checked when it is the last.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "the parts of one event")]
    fn piece(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        limits: &Limits,
        kind: Kind,
        payload: &[u8],
        last: bool,
        compressed: bool,
    ) {
        if self.core.assembly_size + payload.len() > self.core.settings.assembly_max {
            self.core.stats.no_memory += 1;
            return self.fail_closed(
                cx,
                socket,
                CloseCode::TRY_AGAIN,
                "no memory for the message",
            );
        }
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        let assembly = &mut connection.cold().assembly;
        if last && assembly.is_empty() && !compressed {
            return self.message(cx, socket, kind, payload);
        }
        if assembly.capacity() == 0 {
            *assembly = self.core.spares.pop().unwrap_or_default();
        }
        if !last {
            assembly.extend_from_slice(payload);
            self.core.assembly_size += payload.len();
            connection.keepalive.heard(cx.now());
            return;
        }
        let mut whole = std::mem::take(assembly);
        self.core.assembly_size -= whole.len();
        whole.extend_from_slice(payload);
        if compressed {
            match self.inflate(socket, limits, kind, &whole) {
                Ok(inflated) => {
                    self.message(cx, socket, kind, &inflated);
                    self.core.scratch = inflated;
                }
                Err(offence) => self.offence(cx, socket, offence),
            }
        } else {
            self.message(cx, socket, kind, &whole);
        }
        // Its memory serves somebody's next message, unless it was a large one.
        whole.clear();
        if whole.capacity() <= SPARE_SIZE_MAX && self.core.spares.len() < SPARE_COUNT_MAX {
            self.core.spares.push(whole);
        }
    }

    fn inflate(
        &mut self,
        socket: SocketId,
        limits: &Limits,
        kind: Kind,
        whole: &[u8],
    ) -> Result<Vec<u8>, Offence> {
        let mut inflated = std::mem::take(&mut self.core.scratch);
        inflated.clear();
        let size_max = limits.message_size_max;
        let connection = self.core.table.get_mut(socket);
        let own = connection
            .and_then(|connection| connection.cold.as_mut())
            .and_then(|cold| cold.deflate.as_mut())
            .and_then(|deflate| deflate.inflater.as_mut());
        match own {
            Some(inflater) => inflater.inflate(whole, &mut inflated, size_max, true)?,
            None => self
                .core
                .inflater
                .inflate(whole, &mut inflated, size_max, false)?,
        }
        if kind == Kind::Text && !hioload_ws::utf8::is_valid(&inflated) {
            return Err(Offence {
                kind: hioload_ws::OffenceKind::TextNotUtf8,
            });
        }
        Ok(inflated)
    }

    /// The peer broke the protocol: told the code, then gone.
    fn offence(&mut self, cx: &mut Cx<'_>, socket: SocketId, offence: Offence) {
        let code = offence.code();
        tracing::debug!(
            code = code.number(),
            rfc = offence.rfc(),
            "{}",
            offence.reason()
        );
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.reason.get_or_insert(CloseReason::Offence(code));
        if let Ok(frame) = connection.protocol.close(code, offence.reason(), None) {
            self.core.cork.write_last(&self.core.pool, &frame);
        }
        self.end_after_flush(cx, socket, CloseReason::Offence(code));
    }

    fn peer_closed(&mut self, cx: &mut Cx<'_>, socket: SocketId, code: CloseCode) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        if !connection.protocol.close_sent() {
            // RFC 6455 5.5.1: the answer echoes the code.
            let frame = if code.is_sendable() {
                connection.protocol.close(code, "", None)
            } else {
                connection.protocol.close_empty(None)
            };
            if let Ok(frame) = frame {
                self.core.cork.write_last(&self.core.pool, &frame);
            }
        }
        self.end_after_flush(cx, socket, CloseReason::Peer(code));
    }

    /// What is in the cork belongs in front of the FIN.
    pub(super) fn end_after_flush(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        reason: CloseReason,
    ) {
        self.core.flush(cx, socket);
        self.core.end(cx, socket, reason);
    }

    pub(super) fn recv_ended(&mut self, cx: &mut Cx<'_>, socket: SocketId, end: RecvEnd) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        match (end, connection.phase) {
            (RecvEnd::Cancelled, _) => {}
            (RecvEnd::Failed(_), _) | (RecvEnd::Eof, Phase::Handshake) => {
                self.core.lost(cx, socket);
            }
            // The request has ended, as all that read events do.
            (RecvEnd::Eof, Phase::Open)
                if is_stream(socket) && connection.facts.has(Facts::EVENTS) => {}
            (RecvEnd::Eof, Phase::Open) => {
                connection.facts.set(Facts::EOF);
                // Input may still be waiting to be taken.
                if !connection.facts.has(Facts::HELD) {
                    self.session_eof(cx, socket);
                }
            }
            (RecvEnd::Eof, Phase::Http) => self.http_eof(cx, socket),
            (RecvEnd::Eof, Phase::H2) => self.h2_eof(cx, socket),
            (RecvEnd::Eof, Phase::Closing) => connection.facts.set(Facts::EOF),
            (RecvEnd::Eof, Phase::Lingering) => self.core.close_socket(cx, socket),
        }
    }

    pub(super) fn closed(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        self.lose_streams(cx, socket);
        self.core.end(cx, socket, CloseReason::Lost);
        self.tell_ended(cx);
        self.core.forget_secure(socket);
        if let Some(mut connection) = self.core.table.remove(socket) {
            if let Some(timer) = connection.timer.take() {
                cx.cancel_timer(timer);
            }
            if let Some(cold) = connection.cold.take() {
                self.core.assembly_size -= cold.unfinished_size();
                if is_stream(socket) {
                    self.core.stream_spares.keep_cold(cold);
                }
            }
        }
        if is_poll(socket) {
            self.core.forget_poll(cx, socket);
        } else if is_stream(socket) {
            self.stream_closed(cx, socket);
        } else {
            self.shared
                .set_connections(cx.index(), self.core.table.len());
        }
    }

    /// Tells the handler of sessions that ended.
    pub(super) fn tell_ended(&mut self, cx: &mut Cx<'_>) {
        while let Some(socket) = self.core.ended.pop() {
            let Some(connection) = self.core.table.get(socket) else {
                continue;
            };
            let reason = connection.reason.unwrap_or(CloseReason::Lost);
            self.tell_closed(cx, socket, reason);
            self.core.stream_ended(cx, socket, reason);
        }
    }

    /// Tells sessions where they stand in their channels; then what waits for them goes out.
    fn tell_news(&mut self, cx: &mut Cx<'_>) {
        let count = self.core.news.len();
        for place in 0..count {
            let Some((socket, channel, what)) = self.core.news_at(place) else {
                continue;
            };
            self.core.tell_events(socket, &channel, &what);
            let session = &mut Session::new(&mut self.core, cx.reborrow(), socket);
            match what {
                What::Recovered(recovery) => self.handler.recovered(session, &channel, recovery),
                What::Skipped(gap) => self.handler.skipped(session, &channel, gap),
            }
            self.core.flush(cx, socket);
        }
        self.core.end_news(cx, count);
    }

    fn publish_stats(&mut self, cx: &mut Cx<'_>) {
        let driver = cx.driver().stats();
        let stats = self.stats(&driver);
        self.shared.set_stats(cx.index(), &stats);
        if let Some(meters) = &self.meters {
            meters.publish(&stats);
        }
    }

    pub(super) fn sweep_interval(&self) -> Duration {
        (self.core.settings.channel.window_min() / 8)
            .clamp(Duration::from_millis(20), Duration::from_millis(250))
    }
}

impl Service for Hub {
    type Message = Message;

    fn start(&mut self, cx: &mut Cx<'_>) {
        self.tick_http();
        self.start_streams(cx.index(), self.shared.streams.clone());
        self.accept(cx);
        cx.timer(cx.now() + self.sweep_interval(), TIMER_SWEEP);
    }

    fn completion(&mut self, cx: &mut Cx<'_>, event: Completion) {
        let goes_on =
            matches!(&event, Completion::Received { socket, .. } if self.corked == Some(*socket));
        if !goes_on {
            self.uncork(cx);
        }
        match event {
            Completion::Received { socket, mut buffer } if self.core.is_secure(socket) => {
                self.received_secure(cx, socket, &mut buffer);
            }
            Completion::Received { socket, mut buffer } => {
                self.received(cx, socket, Input::Buffer(&mut buffer));
            }
            Completion::Sent {
                socket,
                result,
                payload,
            } => self.core.delivered(cx, socket, result, payload),
            Completion::RecvEnded { socket, end } => {
                if end != RecvEnd::Cancelled {
                    self.core.count_unfinished(socket, Reason::Truncated);
                }
                self.recv_ended(cx, socket, end);
            }
            Completion::Accepted { listener, socket } => self.accepted(cx, listener, socket),
            Completion::HandOverFailed { socket, .. } => {
                let tls = self.tls.clone();
                self.admit(cx, socket, tls.as_ref());
            }
            Completion::Closed { socket } => self.closed(cx, socket),
            Completion::AcceptEnded { errno, .. } => {
                if errno != libc::ECANCELED {
                    self.core.stats.accept_refused += 1;
                    cx.timer(cx.now() + ACCEPT_PAUSE, TIMER_ACCEPT);
                }
            }
            Completion::Read {
                token,
                result,
                buffer,
            } => self.store_read(cx, token, result, buffer),
            Completion::Written { token, result } => self.store_written(cx, token, result),
            Completion::Connected { .. } | Completion::ConnectFailed { .. } | Completion::Woken => {
            }
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, token: u64) {
        self.uncork(cx);
        match token {
            TIMER_ACCEPT => self.accept(cx),
            TIMER_SWEEP => {
                self.core.sweep_channels(cx);
                self.core.sweep_streams(cx);
                self.core.feed_starved(cx);
                self.core.relieve_starved();
                self.publish_stats(cx);
                self.tick_http();
                if self.store.is_some() {
                    self.show_store(cx.index());
                }
                cx.timer(cx.now() + self.sweep_interval(), TIMER_SWEEP);
            }
            TIMER_STORE => self.store_timer(),
            TIMER_DRAIN => self.drain(cx),
            TIMER_DRAINED => self.end_drain(cx),
            _ => self.due(cx, SocketId::from_key(Key::from_bits(token))),
        }
    }

    fn message(&mut self, cx: &mut Cx<'_>, from: Option<usize>, message: Message) {
        self.uncork(cx);
        match message {
            Message::Stream(command) => self.core.execute(cx, from, command),
            Message::StreamReply(reply) => self.core.stream_answered(cx, reply),
            Message::PollAsk(ask) => self.core.poll_asked(cx, &ask),
            Message::PollAnswer(answer) => self.poll_answered(cx, *answer),
            Message::PollLeft(left) => self.core.poll_left(cx, left.0, left.1),
            Message::StreamAsk(ask) => self.core.stream_ask(cx, *ask),
            Message::Answer(reply) => self.store_reply(cx, reply),
            // Whoever asked may have gone meanwhile.
            Message::Inspect(answer) => drop(answer.try_send(self.core.inspect())),
            message => {
                if let Some(from) = from {
                    self.core.channel_message(cx, from, message);
                }
            }
        }
    }

    fn turn_end(&mut self, cx: &mut Cx<'_>) -> bool {
        self.uncork(cx);
        if let Some(order) = self.shared.orders(cx.index()).take() {
            self.obey(cx, order);
        }
        if self.messages > 0 {
            let messages = std::mem::take(&mut self.messages);
            self.handler.batch(
                &mut WorkerContext::new(&mut self.core, cx.reborrow()),
                messages,
            );
        }
        self.resume(cx);
        if !self.core.news.is_empty() {
            self.tell_news(cx);
        }
        let is_behind = self.serve_store(cx);
        let is_left = self.core.serve_channels(cx) || is_behind;
        self.core.serve_backlog(cx);
        self.serve_polls(cx);
        self.serve_h2(cx);
        self.tell_ended(cx);
        let is_left = self.tell_streams(cx) || is_left;
        // Until the last session of all has ended, others may have messages for this worker.
        if self.core.is_draining && self.core.is_unused() && self.shared.is_empty() {
            self.publish_stats(cx);
            cx.stop();
        }
        let is_left = is_left || self.core.polls.has_work();
        is_left || !self.core.resume.is_empty() || !self.core.news.is_empty()
    }
}
