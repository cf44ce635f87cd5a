//! Deadlines: of requests (reading, all of it, `100 Continue`) and of connections (making, idling, HTTP/2's own).
//!
//! One timer each. A deadline that moves away leaves its timer where it is: when that expires there is nothing to do,
//! and it is started anew. Moving it with every byte would cost more.

use hioload_base::Time;

use super::{Agent, Step, Timer};
use crate::client::event::{ConnKey, RequestKey};
use crate::client::failure::{Failure, Phase};
use crate::client::pool::ConnState;

impl Agent {
    /// When [`Agent::handle_timeout`] has something to do. It may be earlier than that; never later.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next_deadline()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Request(request) => self.request_due(now, request),
                Timer::Conn(conn) => self.conn_due(now, conn),
            }
        }
    }

    fn request_due(&mut self, now: Time, request: RequestKey) {
        let limits = &self.config.limits;
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        exchange.timer = None;
        if exchange.is_read_overdue(limits, now) {
            return self.fail(now, request, Failure::Timeout(Phase::Read));
        }
        if exchange.is_overdue(now) {
            return self.fail(now, request, Failure::Timeout(Phase::Total));
        }
        if exchange
            .attempt
            .held_until
            .is_some_and(|until| until <= now)
        {
            exchange.attempt.held_until = None;
            self.body_changed(request);
        }
        self.arm_request(request);
    }

    fn conn_due(&mut self, now: Time, conn: ConnKey) {
        let limits = &self.config.limits;
        let Some(entry) = self.pool.get_mut(conn) else {
            return;
        };
        entry.timer = None;
        match &mut entry.state {
            ConnState::Connecting if entry.since + limits.connect_timeout <= now => {
                self.give_up_connecting(now, conn, &Failure::Timeout(Phase::Connect));
            }
            ConnState::Open(wire) if wire.is_idle() && entry.since + limits.idle_timeout <= now => {
                self.retire(conn);
            }
            ConnState::Open(wire) => {
                if wire.poll_timeout().is_some_and(|due| due <= now) {
                    match wire.handle_timeout(now) {
                        Ok(()) => self.settle(now, conn),
                        Err(fault) => self.break_connection(now, conn, fault),
                    }
                    self.note(conn);
                }
            }
            ConnState::Connecting | ConnState::Closing(_) => {}
        }
        self.arm_conn(conn);
    }

    /// Takes the events that the time has brought.
    fn settle(&mut self, now: Time, conn: ConnKey) {
        let mut nothing: &'static mut [u8] = &mut [];
        loop {
            match self.step(now, conn, &mut nothing) {
                Step::Event(event) => self.events.push_back(event),
                Step::More => {}
                Step::Done => return,
            }
        }
    }

    /// Has the timer of a request expire no later than something is due.
    pub(super) fn arm_request(&mut self, request: RequestKey) {
        let Some(exchange) = self.exchanges.get_mut(request.0) else {
            return;
        };
        let Some(due) = exchange.next_deadline(&self.config.limits) else {
            return;
        };
        match exchange.timer {
            Some((_, at)) if at <= due => {}
            Some((timer, _)) => {
                self.timers.reschedule(timer, due);
                exchange.timer = Some((timer, due));
            }
            None => {
                let timer = self.timers.insert(due, Timer::Request(request));
                exchange.timer = Some((timer.expect("invariant: room for each request"), due));
            }
        }
    }

    /// The same for a connection.
    pub(super) fn arm_conn(&mut self, conn: ConnKey) {
        let limits = &self.config.limits;
        let Some(entry) = self.pool.get_mut(conn) else {
            return;
        };
        let due = match &entry.state {
            ConnState::Connecting => Some(entry.since + limits.connect_timeout),
            ConnState::Open(wire) => {
                let idle = wire.is_idle().then(|| entry.since + limits.idle_timeout);
                [idle, wire.poll_timeout()].into_iter().flatten().min()
            }
            ConnState::Closing(_) => None,
        };
        let Some(due) = due else { return };
        match entry.timer {
            Some((_, at)) if at <= due => {}
            Some((timer, _)) => {
                self.timers.reschedule(timer, due);
                entry.timer = Some((timer, due));
            }
            None => {
                let timer = self.timers.insert(due, Timer::Conn(conn));
                entry.timer = Some((timer.expect("invariant: room for each connection"), due));
            }
        }
    }
}
