//! What comes on connections, turned into what its owner has to know of.
//!
//! Spec: RFC 9110 10.1.1, 15; RFC 9112 9.3, 9.5; RFC 9113 8.1, 8.7.

use hioload_base::Time;

use super::{Agent, Step, terms};
use crate::client::event::{ConnKey, Event, Head, Protocol, RequestKey};
use crate::client::exchange::Place;
use crate::client::failure::Failure;
use crate::client::pool::ConnState;
use crate::client::redirect::{Hop, RedirectFault};
use crate::client::wire::{WireEvent, WireFault};
use crate::fields::values;
use crate::h2::ErrorCode;

/// Bytes that a body which is gathered gets at once, whatever length is stated.
const COLLECT_AHEAD: u64 = 64 << 10;

impl Agent {
    /// Takes at most one event off the input.
    pub(super) fn step<'a>(
        &mut self,
        now: Time,
        conn: ConnKey,
        input: &mut &'a mut [u8],
    ) -> Step<'a> {
        let terms = terms(&self.config);
        let Some(ConnState::Open(wire)) = self.pool.get_mut(conn).map(|entry| &mut entry.state)
        else {
            *input = &mut [];
            return Step::Done;
        };
        let only = wire.only_request().filter(|_| !input.is_empty());
        if let Some(exchange) = only.and_then(|key| self.exchanges.get_mut(key.0)) {
            exchange.attempt.is_answered = true;
        }
        match wire.handle_input(now, &terms, input) {
            Ok(None) => Step::Done,
            Ok(Some(event)) => match self.translate(now, conn, event) {
                Some(event) => Step::Event(event),
                None => Step::More,
            },
            Err(fault) => {
                *input = &mut [];
                self.break_connection(now, conn, fault);
                Step::Done
            }
        }
    }

    pub(super) fn translate<'a>(
        &mut self,
        now: Time,
        conn: ConnKey,
        event: WireEvent<'a>,
    ) -> Option<Event<'a>> {
        // HTTP/2 may have something to say to whatever came.
        self.note(conn);
        match event {
            WireEvent::Interim(request, status) => {
                self.interim(now, request, status);
                None
            }
            WireEvent::Head(request, head) => self.head(now, conn, request, head),
            WireEvent::Body(request, bytes) => self.body(now, request, bytes),
            WireEvent::End(request) => self.complete(now, request),
            WireEvent::Reset(request, code) => {
                self.reset(now, request, code);
                None
            }
            WireEvent::Changed => {
                self.changed(now, conn);
                None
            }
        }
    }

    fn interim(&mut self, now: Time, request: RequestKey, status: u16) {
        let interim_max = self.config.limits.interim_max;
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        exchange.attempt.is_answered = true;
        exchange.attempt.interim_count += 1;
        exchange.progress_at = now;
        if exchange.attempt.interim_count > interim_max {
            return self.fail(now, request, Failure::TooManyInterim);
        }
        if status == 100 && exchange.attempt.held_until.take().is_some() {
            self.body_changed(request);
        }
    }

    fn head(
        &mut self,
        now: Time,
        conn: ConnKey,
        request: RequestKey,
        head: Head,
    ) -> Option<Event<'static>> {
        let exchange = self.exchanges.get_mut(request.0)?;
        exchange.progress_at = now;
        exchange.attempt.is_answered = true;
        exchange.attempt.held_until = None;
        let status = head.status;
        exchange.attempt.is_tunnel = exchange.is_tunnel_request()
            && match head.protocol {
                Protocol::Http1 => status == 101,
                Protocol::Http2 => (200..300).contains(&status),
            };
        if status == 101 && !exchange.attempt.is_tunnel {
            self.fail(now, request, Failure::Upgraded);
            self.break_connection(now, conn, WireFault::Unasked);
            return None;
        }
        let locations = values(&head.fields(), "location");
        let hop = exchange
            .redirects
            .follow(status, locations)
            .and_then(|hop| match hop {
                Some(hop) if !hop.drops_body && !exchange.outgoing.is_replayable() => {
                    Err(RedirectFault::BodyGone)
                }
                hop => Ok(hop),
            });
        match hop {
            Err(fault) => {
                self.fail(now, request, Failure::Redirect(fault));
                None
            }
            Ok(Some(hop)) => Some(self.redirected(now, request, &head, hop)),
            Ok(None) => self.answered(now, request, head),
        }
    }

    /// The body of a redirect is read on when that is cheaper than another connection.
    fn redirected(
        &mut self,
        now: Time,
        request: RequestKey,
        head: &Head,
        hop: Hop,
    ) -> Event<'static> {
        let (status, to) = (head.status, hop.url.clone());
        let drain_max = self.config.limits.drain_size_max;
        if let Some(exchange) = self.exchanges.get_mut(request.0) {
            let is_long = has_content(exchange.request.method.as_str(), status)
                && head.length.is_some_and(|length| length > drain_max);
            exchange.hop = Some(hop);
            // The body of the request is not wanted here any more.
            if is_long || !exchange.attempt.is_sent {
                self.abandon(now, request);
            }
        }
        Event::Redirected {
            request,
            status,
            to,
        }
    }

    fn answered(&mut self, now: Time, request: RequestKey, head: Head) -> Option<Event<'static>> {
        let limits = &self.config.limits;
        let exchange = self.exchanges.get_mut(request.0)?;
        exchange.attempt.has_head = true;
        // RFC 9112 9.5: a client that is told of an error stops sending. A tunnel that is refused never had a body.
        exchange.attempt.is_stopped = !exchange.attempt.is_sent
            && !exchange.attempt.is_tunnel
            && (head.status >= 300 || exchange.is_tunnel_request());
        let has_content = has_content(exchange.request.method.as_str(), head.status);
        exchange.total = head
            .length
            .filter(|_| has_content && !exchange.attempt.is_tunnel);
        if let Some(size_max) = exchange.collect_max(limits) {
            if exchange.total.is_some_and(|total| total > size_max) {
                self.fail(now, request, Failure::BodyTooLong { size_max });
                return None;
            }
            let ahead = exchange.total.unwrap_or(0).min(COLLECT_AHEAD);
            exchange.collected.reserve_exact(ahead as usize);
        }
        self.body_changed(request);
        Some(Event::Head { request, head })
    }

    fn body<'a>(
        &mut self,
        now: Time,
        request: RequestKey,
        bytes: &'a mut [u8],
    ) -> Option<Event<'a>> {
        let limits = &self.config.limits;
        let exchange = self.exchanges.get_mut(request.0)?;
        let size = bytes.len();
        exchange.progress_at = now;
        let Place::On(conn, stream) = exchange.place else {
            return None;
        };
        if exchange.hop.is_some() {
            exchange.attempt.drained += size as u64;
            let is_enough = exchange.attempt.drained > limits.drain_size_max;
            if let Some(wire) = self.pool.wire(conn) {
                wire.consumed(stream, size);
            }
            if is_enough {
                self.abandon(now, request);
            }
            return None;
        }
        exchange.received += size as u64;
        let Some(size_max) = exchange.collect_max(limits) else {
            exchange.outstanding += size;
            self.arm_request(request);
            return Some(Event::Body { request, bytes });
        };
        if exchange.received > size_max {
            self.fail(now, request, Failure::BodyTooLong { size_max });
            return None;
        }
        exchange.collected.extend_from_slice(bytes);
        let progress = exchange.progress();
        if let Some(wire) = self.pool.wire(conn) {
            wire.consumed(stream, size);
        }
        Some(Event::Progress { request, progress })
    }

    fn reset(&mut self, now: Time, request: RequestKey, code: ErrorCode) {
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        let origin = exchange.origin().clone();
        if let Place::On(conn, Some(stream)) = exchange.place
            && let Some(wire) = self.pool.wire(conn)
            && !wire.release(Some(stream), exchange, false)
        {
            self.retire(conn);
        }
        // RFC 9113 8.7: it was not looked at, and may be sent again whatever its method.
        let is_untouched = code == ErrorCode::REFUSED_STREAM;
        self.lost(now, request, Failure::Reset(code), is_untouched);
        self.dispatch(now, &origin);
    }

    /// The peer takes more requests than before, or fewer.
    fn changed(&mut self, now: Time, conn: ConnKey) {
        let Some(entry) = self.pool.get(conn) else {
            return;
        };
        let origin = entry.origin.clone();
        if let ConnState::Open(wire) = &entry.state
            && wire.is_spent()
            && wire.is_idle()
        {
            self.retire(conn);
        }
        self.dispatch(now, &origin);
    }
}

/// RFC 9112 6.3, 1 and 2.
fn has_content(method: &str, status: u16) -> bool {
    method != "HEAD" && !matches!(status, 204 | 304)
}
