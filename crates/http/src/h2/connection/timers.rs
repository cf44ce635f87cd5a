//! What time brings: peers that are silent, blocks that do not end, streams that stand still; and how a connection ends
//! in order.
//!
//! ```text
//!   shutdown ─▶ GOAWAY(2^31-1), PING ── answer, or 1 s ──▶ GOAWAY(last) ── streams end, or time-out ──▶ drained
//! ```
//!
//! Spec: RFC 9113 6.5.3, 6.7, 6.8, 10.5.

use std::time::Duration;

use hioload_base::Time;

use super::{Connection, Reset, Role};
use crate::h2::abuse::Reason;
use crate::h2::error_code::ErrorCode;
use crate::h2::event::{Event, StreamRef};
use crate::h2::frame::{self, STREAM_ID_MAX};
use crate::h2::limits::{ABANDONED_TIMEOUT, Limits};
use crate::h2::offence::Offence;

/// How long the peer has to answer the PING that goes with the first GOAWAY.
const WARNING: Duration = Duration::from_secs(1);

/// The content of that PING; others are numbered.
const WARNING_PING: u64 = u64::from_be_bytes(*b"goingway");

/// Deadlines; [`Time::MAX`]: none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    /// When anything came last.
    pub(super) heard: Time,
    settings: Time,
    block: Time,
    /// When to look for streams that stand still.
    stalls: Time,
    /// Since when too little was sent on all streams together, and how much since then.
    sent_since: Time,
    sent: u32,
    /// The PING that is under way, and when it was sent.
    ping: Option<(u64, Time)>,
    /// Its answer is for the owner.
    is_ping_asked: bool,
    ping_next: u64,
    /// When the first GOAWAY becomes the second.
    last: Time,
    /// When streams that are left are reset.
    drain: Time,
    /// When to look for streams that were abandoned.
    abandoned: Time,
}

impl Timers {
    pub(super) fn new(limits: &Limits, now: Time) -> Self {
        Self {
            heard: now,
            settings: now + limits.settings_timeout,
            block: Time::MAX,
            stalls: Time::MAX,
            sent_since: now,
            sent: 0,
            ping: None,
            is_ping_asked: false,
            ping_next: 0,
            last: Time::MAX,
            drain: Time::MAX,
            abandoned: Time::MAX,
        }
    }

    /// A stream was abandoned.
    pub(super) fn watch_abandoned(&mut self, now: Time) {
        self.abandoned = self.abandoned.min(now + ABANDONED_TIMEOUT);
    }

    pub(super) fn settings_sent(&mut self, limits: &Limits, now: Time) {
        self.settings = now + limits.settings_timeout;
    }

    pub(super) fn settings_acked(&mut self) {
        self.settings = Time::MAX;
    }

    pub(super) fn begin_block(&mut self, limits: &Limits, now: Time) {
        self.block = now + limits.header_block_timeout;
    }

    pub(super) fn end_block(&mut self) {
        self.block = Time::MAX;
    }

    /// There is content to send.
    pub(super) fn watch_stalls(&mut self, limits: &Limits, now: Time) {
        if self.stalls == Time::MAX {
            self.stalls = now + limits.stall_timeout;
            self.sent_since = now;
            self.sent = 0;
        }
    }

    pub(super) fn sent(&mut self, len: usize, limits: &Limits, now: Time) {
        self.sent = self.sent.saturating_add(len as u32);
        if self.sent >= limits.stall_progress_min {
            self.sent = 0;
            self.sent_since = now;
        }
    }

    /// When the peer is asked whether it is there, or given up.
    fn ping_deadline(&self, limits: &Limits) -> Time {
        match self.ping {
            Some((_, sent)) => sent.max(self.heard) + limits.ping_timeout,
            None if limits.ping_interval.is_zero() => Time::MAX,
            None => self.heard + limits.ping_interval,
        }
    }

    fn next(&self, limits: &Limits) -> Time {
        [
            self.settings,
            self.block,
            self.stalls,
            self.last,
            self.drain,
            self.abandoned,
        ]
        .into_iter()
        .fold(self.ping_deadline(limits), Time::min)
    }
}

impl Connection {
    /// When [`Connection::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if !self.is_open() {
            return None;
        }
        let next = self.timers.next(&self.limits);
        (next != Time::MAX).then_some(next)
    }

    /// Does what is due. Resets of streams are events of the next [`Connection::handle_input`].
    ///
    /// # Errors
    /// As [`Connection::handle_input`].
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), Offence> {
        self.now = now;
        if !self.is_open() || self.timers.next(&self.limits) > now {
            return Ok(());
        }
        self.do_due(now).inspect_err(|&offence| self.fail(offence))
    }

    fn do_due(&mut self, now: Time) -> Result<(), Offence> {
        if self.timers.settings <= now {
            return Err(Offence::SettingsTimeout);
        }
        if self.timers.block <= now {
            return Err(Offence::HeaderBlockTimeout);
        }
        if self.timers.ping_deadline(&self.limits) <= now {
            if self.timers.ping.is_some() {
                return Err(Offence::PingTimeout);
            }
            self.ping(now);
        }
        if self.timers.stalls <= now {
            self.look_for_stalls(now)?;
        }
        if self.timers.last <= now {
            self.say_last();
        }
        if self.timers.abandoned <= now {
            self.look_for_abandoned(now);
        }
        if self.timers.drain <= now {
            self.timers.drain = Time::MAX;
            self.reset_all();
        }
        Ok(())
    }

    /// Streams that have something to send, and a peer that leaves no room for it (CVE-2019-9511, CVE-2019-9517).
    fn look_for_stalls(&mut self, now: Time) -> Result<(), Offence> {
        let timeout = self.limits.stall_timeout;
        let is_late = |since: Time| now - since >= timeout;
        if self.send.room() == 0 && !self.scheduler.is_empty() && is_late(self.timers.sent_since) {
            return Err(Offence::Stalled);
        }
        let mut next = Time::MAX;
        let mut stalled: Vec<StreamRef> = Vec::new();
        for (reference, stream) in self
            .streams
            .iter_mut()
            .filter(|(_, stream)| stream.queued > 0)
        {
            if stream.is_blocked() && is_late(stream.stalled_since) {
                stalled.push(reference);
            } else {
                next = now + timeout / 4;
            }
        }
        self.timers.stalls = next;
        for stream in stalled {
            self.ledger.add(Reason::Stalled);
            self.stream_offence(stream.id, Offence::Stalled)?;
        }
        Ok(())
    }

    /// Streams whose request has had its time to end.
    fn look_for_abandoned(&mut self, now: Time) {
        let mut next = Time::MAX;
        let mut late: Vec<StreamRef> = Vec::new();
        for (reference, stream) in self
            .streams
            .iter_mut()
            .filter(|(_, stream)| stream.is_abandoned)
        {
            let due = stream.stalled_since + ABANDONED_TIMEOUT;
            if due <= now {
                late.push(reference);
            } else {
                next = next.min(due);
            }
        }
        self.timers.abandoned = next;
        for stream in late {
            self.remove(stream, ErrorCode::NO_ERROR);
        }
    }

    /// Sends a PING, unless one is under way; the answer is [`Event::Pong`].
    pub fn ping(&mut self, now: Time) {
        self.timers.is_ping_asked = true;
        self.measure(now);
    }

    /// The same, and nobody is told.
    pub(super) fn measure(&mut self, now: Time) {
        if self.timers.ping.is_some() || !self.is_open() {
            return;
        }
        let number = self.timers.ping_next;
        self.timers.ping_next += 1;
        self.timers.ping = Some((number, now));
        frame::write_ping(&mut self.out, number.to_be_bytes(), false);
    }

    pub(super) fn take_pong<'a>(&mut self, number: u64) -> Result<Option<Event<'a>>, Offence> {
        if number == WARNING_PING && self.timers.last != Time::MAX {
            self.say_last();
            return Ok(None);
        }
        match self.timers.ping {
            Some((sent_number, sent)) if sent_number == number => {
                self.timers.ping = None;
                let round_trip = self.now - sent;
                self.pacing.answered(round_trip);
                self.pace();
                let is_asked = std::mem::take(&mut self.timers.is_ping_asked);
                Ok(is_asked.then_some(Event::Pong { round_trip }))
            }
            _ => self.count_glitch(1).map(|()| None),
        }
    }

    /// Ends the connection in order: no more streams, those that are there go on for a while (RFC 9113 6.8).
    pub fn shutdown(&mut self, now: Time) {
        self.now = now;
        if !self.is_open() || self.going.is_warned {
            return;
        }
        self.going.is_warned = true;
        self.timers.drain = now + self.limits.drain_timeout;
        if self.role == Role::Client {
            // A server opens no streams that it would have to be warned for.
            self.say_last();
            return;
        }
        frame::write_goaway(&mut self.out, STREAM_ID_MAX, ErrorCode::NO_ERROR, "");
        frame::write_ping(&mut self.out, WARNING_PING.to_be_bytes(), false);
        self.timers.last = now + WARNING.min(self.limits.drain_timeout);
    }

    /// Says which stream is the last; those above it are ignored from now on.
    fn say_last(&mut self) {
        self.timers.last = Time::MAX;
        if self.going.last.is_none() {
            self.going.last = Some(self.peer_last);
            frame::write_goaway(&mut self.out, self.peer_last, ErrorCode::NO_ERROR, "");
        }
    }

    /// Streams that are left have had their time.
    fn reset_all(&mut self) {
        let left: Vec<StreamRef> = self
            .streams
            .iter_mut()
            .filter(|(_, stream)| !stream.state.is_closed())
            .map(|(reference, _)| reference)
            .collect();
        for stream in left {
            if self.streams.at(stream.slot).is_abandoned {
                self.remove(stream, ErrorCode::NO_ERROR);
                continue;
            }
            self.reset(stream, ErrorCode::CANCEL);
            self.resets.push_back(Reset {
                stream,
                code: ErrorCode::CANCEL,
                by_peer: false,
            });
        }
    }

    /// No stream is left after [`Connection::shutdown`] or the peer's GOAWAY: the connection may be closed.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let takes_none = self.going.last.is_some()
            || (self.role == Role::Client && self.going.peer_last.is_some());
        takes_none && self.streams.len() == 0
    }
}
