//! HTTP/1.1 on a connection: requests in, one at a time, answers out in order.
//!
//! ```text
//!   input ─▶ h1::Server ─▶ Head ─▶ route ─▶ answer at once ──────────────┐
//!                           │               └▶ GET: pieces as they come ──┤
//!                           └▶ Body, End ─▶ PUT, or a list kept whole ────┴▶ cork, outbox
//! ```
//!
//! What a request means is in `hioload_blocks::api`, how it is framed in `hioload_http`; this is the
//! connection between them. Requests that come before an answer is complete wait in the stash, and the
//! socket is not read.
//!
//! Limits: one request at a time; [`WINDOW`] bytes of an answer ahead of the socket; a list of
//! [`LIST_SIZE_MAX`] bytes.

mod answer;
mod calls;
mod events;
mod exchange;
mod machine;
mod own_names;
mod page;
mod poll;
mod stream;

use std::time::{SystemTime, UNIX_EPOCH};

use hioload_base::Time;
use hioload_http::h2::HeaderList;
use hioload_http::{FieldList, FieldName, Request, h1, http_date, names};
use hioload_mem::Segment;
use hioload_reactor::SocketId;

use self::answer::Answer;
pub(super) use self::exchange::{Asked, Exchange, Work};
use super::connection::{Facts, Phase};
use super::core::Cx;
use super::hub::Hub;
use super::input::Input;
use super::table::is_stream;
use crate::handler::CloseReason;

/// Bytes of an answer that are read ahead of the socket.
pub(super) const WINDOW: usize = 512 * 1024;
/// Bytes of a body that is kept whole: ten thousand hashes in JSON, and then some.
const LIST_SIZE_MAX: usize = 1024 * 1024;

/// What all connections of a worker write with.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The head at hand.
    head: String,
    /// Fields of the head at hand.
    fields: FieldList,
    /// `Date` alone.
    pub(super) date: FieldList,
    /// Pieces of the content at hand.
    pieces: Vec<Segment>,
    /// The head that a stream of HTTP/2 brought.
    pub(super) headers: HeaderList,
}

/// What to do after a piece of input.
pub(super) enum Next {
    /// Take more.
    Go,
    /// There is nothing more to take now.
    Wait,
    /// There is more, and nothing may be taken now.
    Hold,
    /// The connection is on its way out.
    Stop,
}

impl Hub {
    /// A connection's first request is HTTP and nothing else.
    pub(super) fn begin_http(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let now = cx.now();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.phase = Phase::Http;
        connection.cold().http = Some(Box::new(Exchange::new(now)));
        self.rearm_http(cx, socket);
    }

    /// Bytes for the request at hand, or for the next one.
    pub(super) fn http_input(&mut self, cx: &mut Cx<'_>, socket: SocketId, mut input: Input<'_>) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        // The start of a head that came before belongs in front.
        let stash = connection
            .cold
            .as_mut()
            .map(|cold| std::mem::take(&mut cold.stash))
            .unwrap_or_default();
        let now = cx.now();
        if let Some(exchange) = self.exchange(socket)
            && exchange.is_idle()
            && stash.is_empty()
        {
            // The time for a head begins with its first byte.
            exchange.touch(now);
        }
        if stash.is_empty() {
            return self.take_http(cx, socket, input);
        }
        self.core.assembly_size -= stash.len();
        let mut whole = stash;
        whole.extend_from_slice(input.rest());
        self.take_http(cx, socket, Input::Bytes(&mut whole));
    }

    /// Takes requests off the input until it is used up, has to wait, or the connection ends.
    fn take_http(&mut self, cx: &mut Cx<'_>, socket: SocketId, mut input: Input<'_>) {
        loop {
            match self.take_http_event(cx, socket, &mut input) {
                Next::Go => {}
                Next::Wait => {
                    if !self.keep_input(cx, socket, input.rest()) {
                        return;
                    }
                    break;
                }
                Next::Hold => {
                    self.core.hold(cx, socket);
                    if !self.keep_input(cx, socket, input.rest()) {
                        return;
                    }
                    break;
                }
                Next::Stop => return,
            }
        }
        self.core.flush(cx, socket);
        self.rearm_http(cx, socket);
    }

    fn take_http_event(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        input: &mut Input<'_>,
    ) -> Next {
        let (now, limits) = (cx.now(), self.core.settings.http);
        let cork = self.core.cork.len();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return Next::Stop;
        };
        if connection.phase != Phase::Http {
            return Next::Stop;
        }
        let is_backed_up = cork + connection.output_size() >= WINDOW / 2;
        let Some(exchange) = connection.cold.as_mut().and_then(|cold| cold.http.as_mut()) else {
            return Next::Stop;
        };
        let room = match &exchange.work {
            Work::Idle if !is_backed_up => usize::MAX,
            // Nothing has come of it.
            Work::Offered { .. } if input.rest().is_empty() => 0,
            Work::Offered { .. } => return self.begin_put(cx, socket),
            Work::List { .. } => usize::MAX,
            Work::Put { key, .. } => match &mut self.store {
                // A buffer for it is taken, but not for nothing.
                Some(_) if input.rest().is_empty() => 0,
                Some(store) => store.local.put_room(*key),
                None => return Next::Stop,
            },
            // One request at a time.
            Work::Idle | Work::Asked(_) | Work::Get { .. } | Work::Page(_) | Work::Poll(_) => {
                return if input.rest().is_empty() {
                    Next::Wait
                } else {
                    Next::Hold
                };
            }
        };
        let mut rest = input.rest();
        let before = rest.len();
        let outcome = exchange.machine.handle_input(&limits, &mut rest, room);
        let left = rest.len();
        let is_held = room == 0 && left > 0 && matches!(outcome, Ok(None));
        if is_held {
            exchange.hold(now);
        }
        let next = match outcome {
            Ok(Some(h1::Event::Head(request))) => self.http_head(cx, socket, &request),
            Ok(Some(h1::Event::Body(bytes))) => self.http_body(cx, socket, bytes),
            Ok(Some(h1::Event::End)) => self.http_end(cx, socket),
            Ok(None) if is_held => Next::Hold,
            Ok(None) => Next::Wait,
            Err(refusal) => {
                self.core.stats.requests_refused += 1;
                // A body that breaks off here is known to the store.
                self.give_up(socket);
                let answer = Answer::text(refusal.status, refusal.reason).last();
                self.answer(cx, socket, &answer)
            }
        };
        input.advance(before - left);
        next
    }

    /// Keeps what was not taken. False when there is no memory for it: the connection is gone then.
    pub(super) fn keep_input(&mut self, cx: &mut Cx<'_>, socket: SocketId, input: &[u8]) -> bool {
        if input.is_empty() {
            return true;
        }
        let has_room = self.core.keep(input.len());
        let Some(connection) = self.core.table.get_mut(socket) else {
            return false;
        };
        if has_room {
            connection.cold().stash.extend_from_slice(input);
        } else {
            self.core.lost(cx, socket);
        }
        has_room
    }

    /// The one request of a stream.
    pub(super) fn http_request(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
    ) {
        let next = self.http_head(cx, socket, request);
        if !matches!(next, Next::Stop) {
            self.core.flush(cx, socket);
            self.rearm_http(cx, socket);
        }
    }

    /// The answer to a request of a stream that is not served.
    pub(super) fn http_refuse(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        status: u16,
        line: &str,
    ) {
        self.core.stats.requests_refused += 1;
        self.answer(cx, socket, &Answer::text(status, line).last());
    }

    pub(super) fn exchange(&mut self, socket: SocketId) -> Option<&mut Exchange> {
        let connection = self.core.table.get_mut(socket)?;
        if connection.phase != Phase::Http {
            // What goes out still is not to be added to.
            return None;
        }
        connection.cold.as_mut()?.http.as_deref_mut()
    }

    /// Sends an answer whose body is at hand, and is ready for the next request.
    fn answer(&mut self, cx: &mut Cx<'_>, socket: SocketId, answer: &Answer) -> Next {
        // RFC 9110 8.6: those two have no content, and no length of it.
        let has_content = !matches!(answer.status, 204 | 304);
        let length = has_content.then_some(answer.body.len() as u64);
        let Some(exchange) = self.exchange(socket) else {
            return Next::Stop;
        };
        exchange.is_last |= answer.is_last;
        let body: &[u8] = if exchange.is_head || !has_content {
            &[]
        } else {
            &answer.body
        };
        let status = answer.status;
        if !self.write_head(cx, socket, status, &answer.fields, length, body) {
            return Next::Stop;
        }
        self.answered(cx, socket)
    }

    /// Writes a head, and behind it what there is of the body. False when there is no memory for it: the
    /// connection is gone then.
    fn write_head(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        status: u16,
        fields: &FieldList,
        length: Option<u64>,
        body: &[u8],
    ) -> bool {
        let is_draining = self.core.is_draining;
        let Some(exchange) = self.exchange(socket) else {
            return false;
        };
        exchange.is_last |= is_draining;
        if is_stream(socket) {
            let is_end = exchange.is_head || matches!(status, 204 | 304) || length == Some(0);
            return self.write_stream_head(cx, socket, status, fields, length, body, is_end);
        }
        let line = exchange.machine.connection_line(exchange.is_last);
        let head = &mut self.http.head;
        let parts = [self.http.date.lines(), fields.lines(), line];
        h1::write_response_head(head, status, &parts, length);
        let written = self.core.cork.write(&self.core.pool, head.as_bytes(), body);
        if written.is_err() {
            self.core.stats.no_memory += 1;
            self.core.lost(cx, socket);
            return false;
        }
        self.core.stats.responses += 1;
        true
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one answer")]
    fn write_stream_head(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        status: u16,
        fields: &FieldList,
        length: Option<u64>,
        body: &[u8],
        is_end: bool,
    ) -> bool {
        let mut digits = itoa::Buffer::new();
        let length = length.map(|length| {
            let name = FieldName::Known(&names::CONTENT_LENGTH);
            (name, digits.format(length).as_bytes())
        });
        let fields = self.http.date.iter().chain(fields.iter()).chain(length);
        let core = &mut self.core;
        let is_begun = core.stream_respond(socket, status, fields, is_end);
        let is_written =
            is_begun && (body.is_empty() || core.cork.write(&core.pool, &[], body).is_ok());
        if !is_written {
            core.stats.no_memory += u64::from(is_begun);
            core.lost(cx, socket);
            return false;
        }
        core.stats.responses += 1;
        true
    }

    /// The answer is complete.
    fn answered(&mut self, cx: &mut Cx<'_>, socket: SocketId) -> Next {
        let now = cx.now();
        let Some(exchange) = self.exchange(socket) else {
            return Next::Stop;
        };
        exchange.touch(now);
        if !exchange.end() {
            self.end_after_flush(cx, socket, CloseReason::Lost);
            return Next::Stop;
        }
        Next::Go
    }

    /// The answer to a request that waited: what the peer sent meanwhile is next.
    fn answer_later(&mut self, cx: &mut Cx<'_>, socket: SocketId, answer: &Answer) {
        let next = self.answer(cx, socket, answer);
        self.go_on(cx, socket, &next);
    }

    pub(super) fn go_on(&mut self, cx: &mut Cx<'_>, socket: SocketId, next: &Next) {
        if matches!(next, Next::Stop) {
            return;
        }
        self.core.flush(cx, socket);
        self.rearm_http(cx, socket);
        self.resume_soon(socket);
    }

    /// At the end of the turn, what was stashed is taken and the socket is read again.
    pub(super) fn resume_soon(&mut self, socket: SocketId) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        if connection.facts.has(Facts::HELD | Facts::FULL) && !connection.facts.has(Facts::RESUMING)
        {
            connection.facts.set(Facts::RESUMING);
            self.core.resume.push(socket);
        }
    }

    /// Sets the timer to when this connection has waited long enough.
    pub(super) fn rearm_http(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(deadline) = self.http_deadline(socket) else {
            return;
        };
        // A timer that fires too early is set again then: cheaper than moving it with every request.
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        if exchange.due.is_none_or(|due| deadline < due) {
            exchange.due = Some(deadline);
            self.core.set_timer(cx, socket, deadline);
        }
    }

    fn http_deadline(&mut self, socket: SocketId) -> Option<Time> {
        let settings = std::sync::Arc::clone(&self.core.settings);
        let has_stash = self
            .core
            .table
            .get(socket)?
            .cold
            .as_ref()
            .is_some_and(|cold| !cold.stash.is_empty());
        let exchange = self.exchange(socket)?;
        let patience = if matches!(exchange.work, Work::Poll(_)) {
            settings.streams.poll_timeout
        } else if !exchange.is_idle() {
            settings.body_timeout
        } else if has_stash {
            settings.handshake_timeout
        } else {
            settings.http_idle_timeout
        };
        Some(exchange.touched() + patience)
    }

    /// The timer fired. Whoever has made progress since it was set has more time.
    pub(super) fn http_due(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(deadline) = self.http_deadline(socket) else {
            return;
        };
        let has_stash = self
            .core
            .table
            .get(socket)
            .and_then(|connection| connection.cold.as_ref())
            .is_some_and(|cold| !cold.stash.is_empty());
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        exchange.due = None;
        if cx.now() < deadline {
            return self.rearm_http(cx, socket);
        }
        if matches!(exchange.work, Work::Asked(_) | Work::Page(_)) {
            // The store always answers.
            exchange.touch(cx.now());
            return self.rearm_http(cx, socket);
        }
        if matches!(exchange.work, Work::Poll(_)) {
            return self.end_poll(cx, socket);
        }
        if exchange.is_held() {
            self.core.stats.requests_refused += 1;
            self.give_up(socket);
            let answer = Answer::text(503, "there was no memory for the body in time");
            let answer = answer.field(&names::RETRY_AFTER, "1").last();
            self.answer(cx, socket, &answer);
            return;
        }
        if exchange.is_in_body() || (exchange.is_idle() && has_stash) {
            self.core.stats.requests_late += 1;
            self.give_up(socket);
            let answer = Answer::text(408, "the request took too long to come").last();
            self.answer(cx, socket, &answer);
            return;
        }
        self.core.lost(cx, socket);
    }

    /// What was read meanwhile is taken; an answer that waited for room goes on.
    pub(super) fn http_resume(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.facts.clear(Facts::FULL);
        let is_held = connection.facts.has(Facts::HELD);
        self.send_content(cx, socket);
        if !is_held {
            return;
        }
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        if connection.phase != Phase::Http {
            return;
        }
        let is_waiting = connection
            .cold
            .as_ref()
            .and_then(|cold| cold.http.as_ref())
            .is_some_and(|exchange| !exchange.is_idle() && !exchange.is_in_body());
        if is_waiting {
            return;
        }
        connection.facts.clear(Facts::HELD);
        self.http_input(cx, socket, Input::Bytes(&mut []));
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        if connection.facts.has(Facts::HELD) {
            return;
        }
        if connection.facts.has(Facts::EOF) {
            return self.http_eof(cx, socket);
        }
        // Even if what was stashed has ended it: the peer's FIN is still to be seen.
        self.core.carrier_recv(cx, socket);
    }

    /// The peer sends no more. What it asked for is still answered.
    pub(super) fn http_eof(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.facts.set(Facts::EOF);
        if connection.facts.has(Facts::HELD) {
            return;
        }
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        exchange.is_last = true;
        // Whoever waits for something that may never come has to be there.
        let is_poll = matches!(exchange.work, Work::Poll(_));
        if exchange.is_idle() || exchange.is_in_body() || is_poll {
            self.core.lost(cx, socket);
        }
    }

    /// Keeps `Date` up to date; called at the start and a few times a second.
    pub(super) fn tick_http(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let date = http_date(now.map_or(0, |now| now.as_secs()));
        let field = &mut self.http.date;
        field.clear();
        field.write(&names::DATE, |value| {
            value.extend(date.iter().map(|&byte| char::from(byte)));
        });
    }

    /// What the connection began is given up: it is answered all the same.
    fn give_up(&mut self, socket: SocketId) {
        if let Some(exchange) = self.exchange(socket) {
            let work = std::mem::replace(&mut exchange.work, Work::Asked(Asked::Other));
            self.core.given_up.push(work);
        }
    }

    /// Tells the store what was given up since the last turn.
    pub(super) fn tell_given_up(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        while let Some(work) = self.core.given_up.pop() {
            if let Work::Poll(waiting) = work {
                self.core.leave_poll(cx, waiting.uid, waiting.waiter);
                continue;
            }
            let Some(store) = &mut self.store else {
                continue;
            };
            match work {
                Work::Put { key, .. } => store.local.put_abort(now, key),
                Work::Get { key, .. } => store.local.get_abort(now, key),
                Work::List { body, .. } => self.core.assembly_size -= body.len(),
                Work::Idle
                | Work::Offered { .. }
                | Work::Asked(_)
                | Work::Page(_)
                | Work::Poll(_) => {}
            }
        }
    }

    /// The server shuts down: a connection without a request ends now, others with their answer.
    pub(super) fn drain_http(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(exchange) = self.exchange(socket) else {
            return;
        };
        exchange.is_last = true;
        if exchange.is_idle() {
            self.end_after_flush(cx, socket, CloseReason::Shutdown);
        }
    }
}
