//! Which request goes over which connection, and when one is opened or given up.
//!
//! ```text
//!   waiting ──room on a connection──▶ on it ──End──▶ gone
//!      │  └── none ─▶ one is made, for all who wait or for this one alone (Fresh, Http1)
//!      └◀── redirect; lost before a byte of the answer, on a connection that was used before ──┘
//! ```

use hioload_base::Time;

use super::{Agent, Connect, terms};
use crate::client::event::{ConnKey, Event, Protocol, RequestKey};
use crate::client::exchange::{Attempt, Need, Place};
use crate::client::failure::Failure;
use crate::client::pool::{ConnState, Offer};
use crate::client::url::Origin;
use crate::client::wire::{StartError, WireFault};
use crate::h1::ResponseError;
use crate::h2::ErrorCode;

impl Agent {
    /// Sends those who wait as far as there are connections, and has connections made for the others.
    pub(super) fn dispatch(&mut self, now: Time, origin: &Origin) {
        while let Some(request) = self.pool.first_waiting(origin) {
            let need = self.exchanges.get(request.0).map(|exchange| exchange.need);
            let goes_on = match need {
                None => {
                    self.pool.unwait(origin, request);
                    true
                }
                Some(Need::Any) => match self.pool.find_room(origin, &terms(&self.config)) {
                    Some(conn) => self.start_waiting(now, origin, conn, request),
                    None => self.open_for_all(now, origin),
                },
                Some(need) => self.open_for_one(now, origin, request, need),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Starts the first one of those who wait. False: it has to wait on.
    fn start_waiting(
        &mut self,
        now: Time,
        origin: &Origin,
        conn: ConnKey,
        request: RequestKey,
    ) -> bool {
        match self.start(now, conn, request) {
            Ok(()) => {
                self.pool.unwait(origin, request);
                true
            }
            Err(StartError::NoTunnel) => {
                self.need(request, Need::Http1);
                true
            }
            Err(StartError::Busy) => {
                let terms = terms(&self.config);
                // Most often the peer's settings are awaited. If it has become full or is going away: the next one.
                !self
                    .pool
                    .wire(conn)
                    .is_some_and(|wire| wire.has_room(&terms))
            }
            Err(StartError::Unspeakable) => {
                self.fail(now, request, Failure::Reset(ErrorCode::INTERNAL_ERROR));
                true
            }
        }
    }

    /// Has a connection made for whoever waits longest. False: enough are under way, or there may be no more.
    fn open_for_all(&mut self, now: Time, origin: &Origin) -> bool {
        let offer = self.offer(origin);
        let takes_all = match offer {
            Offer::Http1 => false,
            Offer::Http2 => true,
            // Until it is known, one connection is enough to ask.
            Offer::Any => self.pool.speaks(origin) != Some(Protocol::Http1),
        };
        let wanted = if takes_all {
            1
        } else {
            self.pool.waiting(origin)
        };
        self.pool.connecting(origin) < wanted && self.open(now, origin, offer, None)
    }

    /// Has a connection made for this request alone.
    fn open_for_one(
        &mut self,
        now: Time,
        origin: &Origin,
        request: RequestKey,
        need: Need,
    ) -> bool {
        let offer = match need {
            Need::Http1 => Offer::Http1,
            Need::Any | Need::Fresh => self.offer(origin),
        };
        self.open(now, origin, offer, Some(request))
    }

    fn offer(&self, origin: &Origin) -> Offer {
        match (origin.is_tls, self.config.clear) {
            (true, _) => self.config.tls,
            (false, Offer::Http2) => Offer::Http2,
            (false, Offer::Any | Offer::Http1) => Offer::Http1,
        }
    }

    fn open(
        &mut self,
        now: Time,
        origin: &Origin,
        offer: Offer,
        reserved: Option<RequestKey>,
    ) -> bool {
        if self.pool.count(origin) >= self.config.limits.connections_per_origin_max {
            return false;
        }
        let Some(conn) = self.pool.insert(now, origin, offer, reserved) else {
            if let Some(oldest) = self.pool.oldest_idle() {
                self.retire(oldest);
            }
            if !self.starved.contains(origin) {
                self.starved.push_back(origin.clone());
            }
            return false;
        };
        if let Some(request) = reserved {
            self.pool.unwait(origin, request);
            if let Some(exchange) = self.exchanges.get_mut(request.0) {
                exchange.place = Place::Reserved(conn);
            }
        }
        self.connects.push_back(Connect {
            conn,
            origin: origin.clone(),
            offer,
        });
        self.arm_conn(conn);
        true
    }

    /// Sends a request on a connection.
    fn start(&mut self, now: Time, conn: ConnKey, request: RequestKey) -> Result<(), StartError> {
        let terms = terms(&self.config);
        let (Some(entry), Some(exchange)) =
            (self.pool.get_mut(conn), self.exchanges.get_mut(request.0))
        else {
            return Err(StartError::Busy);
        };
        let ConnState::Open(wire) = &mut entry.state else {
            return Err(StartError::Busy);
        };
        let waits = exchange.request.expects_continue && !exchange.outgoing.is_done();
        exchange.attempt = Attempt {
            is_reused: entry.answer_count > 0,
            held_until: waits.then(|| now + self.config.limits.continue_timeout),
            ..Attempt::default()
        };
        let stream = wire.start(now, &terms, request, exchange)?;
        exchange.place = Place::On(conn, stream);
        exchange.progress_at = now;
        self.note(conn);
        self.arm_request(request);
        Ok(())
    }

    /// Sends the request that the connection was made for.
    pub(super) fn start_reserved(&mut self, now: Time, conn: ConnKey, request: RequestKey) {
        let outcome = self.start(now, conn, request);
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        let need = match outcome {
            Ok(()) => return,
            // The driver made another connection than was asked for: there is no other way.
            Err(_) if exchange.need == Need::Http1 => {
                return self.fail(now, request, Failure::Reset(ErrorCode::HTTP_1_1_REQUIRED));
            }
            Err(StartError::NoTunnel) => Need::Http1,
            Err(StartError::Busy) => Need::Any,
            Err(StartError::Unspeakable) => {
                return self.fail(now, request, Failure::Reset(ErrorCode::INTERNAL_ERROR));
            }
        };
        exchange.need = need;
        exchange.place = Place::Waiting;
        let origin = exchange.origin().clone();
        self.pool.wait(&origin, request, true);
    }

    fn need(&mut self, request: RequestKey, need: Need) {
        if let Some(exchange) = self.exchanges.get_mut(request.0) {
            exchange.need = need;
        }
    }

    /// A connection that is being made is given up: the request it was for fails; with the last one all who wait do.
    pub(super) fn give_up_connecting(&mut self, now: Time, conn: ConnKey, failure: &Failure) {
        let Some(entry) = self.pool.get_mut(conn) else {
            return;
        };
        let (origin, reserved) = (entry.origin.clone(), entry.reserved.take());
        self.retire(conn);
        if let Some(request) = reserved {
            self.fail(now, request, failure.clone());
        } else if let Some(request) = self.pool.first_waiting(&origin) {
            self.fail(now, request, failure.clone());
        }
        while self.pool.count(&origin) == 0
            && let Some(request) = self.pool.first_waiting(&origin)
        {
            self.pool.unwait(&origin, request);
            self.drop_request(request, failure.clone());
        }
        self.dispatch(now, &origin);
    }

    /// Takes a connection out of use, and has it closed.
    pub(super) fn retire(&mut self, conn: ConnKey) {
        if self.pool.retire(conn) {
            self.closes.push_back(conn);
        }
    }

    /// A connection is of no further use; what becomes of its requests depends on how far they are.
    pub(super) fn break_connection(&mut self, now: Time, conn: ConnKey, fault: WireFault) {
        let Some(entry) = self.pool.get(conn) else {
            return;
        };
        let origin = entry.origin.clone();
        match &entry.state {
            ConnState::Closing(_) => return,
            ConnState::Connecting => return self.give_up_connecting(now, conn, &Failure::Closed),
            ConnState::Open(wire) => {
                let requests = wire.requests();
                self.retire(conn);
                for request in requests {
                    self.lost(now, request, fault.failure(), false);
                }
            }
        }
        self.dispatch(now, &origin);
    }

    /// The connection of a request is gone, or its stream: it goes where it was sent to, or once more, or it fails.
    /// `is_untouched`: the peer says that it has not looked at it.
    pub(super) fn lost(
        &mut self,
        now: Time,
        request: RequestKey,
        failure: Failure,
        is_untouched: bool,
    ) {
        let retries_max = self.config.limits.retries_max;
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        if let Some(hop) = exchange.hop.take() {
            exchange.follow(hop);
            return self.wait_again(now, request);
        }
        let attempt = &exchange.attempt;
        // RFC 9112 9.3.1, RFC 9110 9.2.2: the connection may have been closed before the request reached the peer.
        let is_stale =
            attempt.is_reused && !attempt.is_answered && exchange.request.method.is_idempotent();
        let may_retry = is_untouched || (is_stale && exchange.retry_count == 0);
        if may_retry && exchange.retry_count < retries_max && exchange.outgoing.is_replayable() {
            exchange.retry_count += 1;
            exchange.need = if is_untouched {
                exchange.need
            } else {
                Need::Fresh
            };
            exchange.outgoing.rewind();
            exchange.restart();
            return self.wait_again(now, request);
        }
        let is_silent =
            failure == Failure::Response(ResponseError::Truncated) && !attempt.is_answered;
        self.drop_request(request, if is_silent { Failure::Closed } else { failure });
    }

    fn wait_again(&mut self, now: Time, request: RequestKey) {
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        let origin = exchange.origin().clone();
        self.pool.wait(&origin, request, true);
        self.arm_request(request);
        self.dispatch(now, &origin);
    }

    /// Ends a request wherever it is.
    pub(super) fn fail(&mut self, now: Time, request: RequestKey, failure: Failure) {
        let Some(exchange) = self.exchanges.get(request.0) else {
            return;
        };
        let origin = exchange.origin().clone();
        match exchange.place {
            Place::Waiting => self.pool.unwait(&origin, request),
            Place::Reserved(conn) => {
                if let Some(entry) = self.pool.get_mut(conn) {
                    entry.reserved = None;
                }
            }
            Place::On(..) => self.leave(now, request, false),
        }
        self.drop_request(request, failure);
        self.dispatch(now, &origin);
    }

    /// The request and its connection part. `is_ended`: the answer was read to its end.
    fn leave(&mut self, now: Time, request: RequestKey, is_ended: bool) {
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        let Place::On(conn, stream) = exchange.place else {
            return;
        };
        exchange.place = Place::Waiting;
        let Some(entry) = self.pool.get_mut(conn) else {
            return;
        };
        let ConnState::Open(wire) = &mut entry.state else {
            return;
        };
        entry.answer_count += u64::from(is_ended);
        let is_useful = wire.release(stream, exchange, is_ended);
        let is_idle = wire.is_idle();
        if !is_useful {
            self.retire(conn);
        } else if is_idle {
            self.pool.rest(now, conn);
            self.arm_conn(conn);
        }
        self.note(conn);
    }

    /// The answer was read to its end.
    pub(super) fn complete(&mut self, now: Time, request: RequestKey) -> Option<Event<'static>> {
        let exchange = self.exchanges.get_mut(request.0)?;
        let Place::On(conn, _) = exchange.place else {
            return None;
        };
        let origin = exchange.origin().clone();
        let body = std::mem::take(&mut exchange.collected);
        self.leave(now, request, true);
        let event = if self.follow(now, request) {
            None
        } else {
            self.forget(request);
            Some(Event::End { request, body })
        };
        self.note(conn);
        self.dispatch(now, &origin);
        event
    }

    /// What is left of the answer is not worth reading: the request goes where it was sent to.
    pub(super) fn abandon(&mut self, now: Time, request: RequestKey) {
        let Some(exchange) = self.exchanges.get(request.0) else {
            return;
        };
        let origin = exchange.origin().clone();
        self.leave(now, request, false);
        self.follow(now, request);
        self.dispatch(now, &origin);
    }

    /// Goes where the answer sent it. False: nowhere.
    fn follow(&mut self, now: Time, request: RequestKey) -> bool {
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return false;
        };
        let Some(hop) = exchange.hop.take() else {
            return false;
        };
        exchange.follow(hop);
        // What a retry, or the peer of before, asked for does not bind the next one.
        exchange.need = Need::Any;
        self.wait_again(now, request);
        true
    }

    /// A request that is nowhere any more has failed.
    fn drop_request(&mut self, request: RequestKey, failure: Failure) {
        if self.forget(request) {
            self.events.push_back(Event::Failed { request, failure });
        }
    }

    fn forget(&mut self, request: RequestKey) -> bool {
        let Some(exchange) = self.exchanges.remove(request.0) else {
            return false;
        };
        self.wanting_room -= usize::from(exchange.wants_room);
        if let Some((timer, _)) = exchange.timer {
            self.timers.cancel(timer);
        }
        true
    }
}
