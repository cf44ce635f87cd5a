//! Frames that carry nothing for the owner of a stream: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, priorities.
//!
//! Spec: RFC 9113 6.3 to 6.9; RFC 9218 7.1.

use std::time::Duration;

use super::{Connection, Reset, Role};
use crate::h2::abuse::Reason;
use crate::h2::error_code::ErrorCode;
use crate::h2::event::Event;
use crate::h2::frame::{self, FrameHeader, flag};
use crate::h2::limits::{EARLY_PRIORITIES_MAX, PRIORITIES_PER_STREAM, WINDOW_UPDATES_BASE};
use crate::h2::offence::Offence;
use crate::h2::priority::Priority;
use crate::h2::stream::{Cause, State};

/// A stream that is reset so soon was not asked for its answer.
const EARLY: Duration = Duration::from_secs(1);

impl Connection {
    pub(super) fn take_settings<'a>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event<'a>>, Offence> {
        if header.has(flag::ACK) {
            return self.settings_acked().map(|()| None);
        }
        self.ledger.add(Reason::Settings);
        let (burst, per_s) = (self.limits.settings_burst, self.limits.settings_per_s);
        if !self.buckets.settings.take(1, burst, per_s, self.now) {
            return Err(Offence::SettingsFlood);
        }
        let before = self.peer;
        for (id, value) in frame::settings(payload) {
            self.peer.apply(id, value, self.role == Role::Client)?;
        }
        if self.peer.header_table_size != before.header_table_size {
            self.encoder
                .set_peer_table_size(self.peer.header_table_size);
        }
        if self.peer.initial_window_size != before.initial_window_size {
            self.shift_send_windows(before.initial_window_size)?;
        }
        // RFC 9113 6.5.3: once all of it is in force.
        frame::write_settings_ack(&mut self.out);
        self.count_reply()?;
        Ok(Some(Event::Settings))
    }

    /// RFC 9113 6.9.2: all windows of streams change by the difference.
    fn shift_send_windows(&mut self, before: u32) -> Result<(), Offence> {
        let difference = i64::from(self.peer.initial_window_size) - i64::from(before);
        for (reference, stream) in self.streams.iter_mut() {
            stream
                .send
                .grow(difference)
                .map_err(|_| Offence::SettingWindow)?;
            if stream.is_ready() {
                let Priority {
                    urgency,
                    is_incremental,
                } = stream.priority;
                self.scheduler
                    .insert(reference.slot, urgency, is_incremental);
            } else if stream.is_blocked() {
                self.scheduler.remove(reference.slot);
            }
        }
        Ok(())
    }

    /// Our settings are in force.
    fn settings_acked(&mut self) -> Result<(), Offence> {
        let Some(difference) = self.pacing.acknowledged(self.now) else {
            return self.count_glitch(1);
        };
        self.timers.settings_acked();
        self.decoder
            .set_table_size_max(u32::from(self.limits.decoder_table_size));
        self.shift_receive_windows(difference);
        self.pace();
        Ok(())
    }

    pub(super) fn take_ping<'a>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event<'a>>, Offence> {
        let payload: [u8; 8] = payload.try_into().map_err(|_| Offence::FrameSize)?;
        if header.has(flag::ACK) {
            return self.take_pong(u64::from_be_bytes(payload));
        }
        self.ledger.add(Reason::Ping);
        let (burst, per_s) = (self.limits.ping_burst, self.limits.ping_per_s);
        if !self.buckets.pings.take(1, burst, per_s, self.now) {
            return Err(Offence::PingFlood);
        }
        frame::write_ping(&mut self.out, payload, true);
        self.count_reply()?;
        Ok(None)
    }

    pub(super) fn take_goaway<'a>(&mut self, payload: &[u8]) -> Result<Event<'a>, Offence> {
        let (last, code) = frame::goaway(payload)?;
        // One warns, one says which is the last; more are of no use.
        if self.going.peer_last.is_some() {
            self.count_glitch(1)?;
        }
        // RFC 9113 6.8: it never rises; if it does, what was said first holds.
        let last = self.going.peer_last.map_or(last, |before| before.min(last));
        self.going.peer_last = Some(last);
        if self.role == Role::Client {
            // RFC 9113 6.8: nothing was done for those above; they may be sent again.
            for (reference, stream) in self.streams.iter_mut() {
                if reference.id > last && !stream.state.is_closed() {
                    stream.state = State::Closed(Cause::ResetByPeer);
                    stream.queued = 0;
                    stream.ends = false;
                    self.scheduler.remove(reference.slot);
                    self.resets.push_back(Reset {
                        stream: reference,
                        code: ErrorCode::REFUSED_STREAM,
                        by_peer: true,
                    });
                }
            }
        }
        Ok(Event::GoAway { last, code })
    }

    pub(super) fn take_reset<'a>(
        &mut self,
        id: u32,
        payload: &[u8],
    ) -> Result<Option<Event<'a>>, Offence> {
        let code = ErrorCode(frame::number(payload)?);
        if self.is_idle(id) {
            return Err(Offence::StreamIdle);
        }
        let Some(reference) = self.streams.find(id) else {
            // RFC 9113 5.1: it may have been sent before the peer saw the end.
            return self.count_glitch(1).map(|()| None);
        };
        let stream = self.streams.at(reference.slot);
        let (was, opened) = (stream.state, stream.opened);
        if was.is_closed() {
            return self.count_glitch(1).map(|()| None);
        }
        stream.state = State::Closed(Cause::ResetByPeer);
        stream.queued = 0;
        stream.ends = false;
        self.scheduler.remove(reference.slot);
        let is_abandoned = stream.is_abandoned;
        if is_abandoned {
            self.remove(reference, ErrorCode::NO_ERROR);
        }
        if self.role == Role::Server {
            self.count_reset(opened)?;
        }
        if is_abandoned {
            return Ok(None);
        }
        Ok(Some(Event::Reset {
            stream: reference,
            code,
            by_peer: true,
        }))
    }

    /// The peer asked for something and takes it back (CVE-2023-44487).
    fn count_reset(&mut self, opened: hioload_base::Time) -> Result<(), Offence> {
        self.ledger.add(Reason::ResetByPeer);
        let half = self.limits.reset_half_streams;
        if self.now - opened < EARLY {
            self.ledger.add(Reason::ResetEarly);
            self.buckets.reset_early += 1;
            if self.buckets.opened >= half && self.buckets.reset_early * 2 > self.buckets.opened {
                return Err(Offence::ResetFlood);
            }
        }
        // What was long ago counts for less and less.
        if self.buckets.opened >= half.saturating_mul(4) {
            self.buckets.opened /= 2;
            self.buckets.reset_early /= 2;
        }
        let (burst, per_s) = (self.limits.reset_burst, self.limits.reset_per_s);
        if self.buckets.resets.take(1, burst, per_s, self.now) {
            Ok(())
        } else {
            Err(Offence::ResetFlood)
        }
    }

    pub(super) fn take_window_update(&mut self, id: u32, payload: &[u8]) -> Result<(), Offence> {
        // RFC 9113 6.9: the highest bit is reserved.
        let increment = frame::number(payload)? & frame::STREAM_ID_MAX;
        self.count_window_update()?;
        if id == 0 {
            if increment == 0 {
                return Err(Offence::ConnectionWindowZero);
            }
            return self
                .send
                .grow(i64::from(increment))
                .map_err(|_| Offence::ConnectionWindowOverflow);
        }
        if self.is_idle(id) {
            return Err(Offence::StreamIdle);
        }
        let Some(reference) = self.streams.find(id) else {
            // RFC 9113 5.1: it may have been sent before the peer saw the end.
            return Ok(());
        };
        let stream = self.streams.at(reference.slot);
        if stream.state.is_closed() {
            return Ok(());
        }
        if increment == 0 {
            return Err(Offence::StreamWindowZero);
        }
        stream
            .send
            .grow(i64::from(increment))
            .map_err(|_| Offence::StreamWindowOverflow)?;
        if stream.is_ready() {
            let Priority {
                urgency,
                is_incremental,
            } = stream.priority;
            self.scheduler
                .insert(reference.slot, urgency, is_incremental);
        }
        Ok(())
    }

    /// More of them than streams and DATA can be the reason for.
    fn count_window_update(&mut self) -> Result<(), Offence> {
        let count = u64::from(self.ledger.add(Reason::WindowUpdate));
        let good =
            WINDOW_UPDATES_BASE + 2 * (self.buckets.streams_seen + 10 * self.buckets.data_sent);
        if count > good {
            Err(Offence::WindowUpdateFlood)
        } else {
            Ok(())
        }
    }

    /// A change of priority, by whichever frame.
    fn count_priority(&mut self) -> Result<(), Offence> {
        let count = u64::from(self.ledger.add(Reason::Priority));
        let good = PRIORITIES_PER_STREAM * (1 + self.buckets.streams_seen);
        if count > good {
            Err(Offence::PriorityFlood)
        } else {
            Ok(())
        }
    }

    /// The scheme of old (RFC 9113 5.3.2): checked and dropped.
    pub(super) fn take_priority(&mut self, id: u32, payload: &[u8]) -> Result<(), Offence> {
        self.count_priority()?;
        let priority = payload.try_into().map_err(|_| Offence::PrioritySize)?;
        if frame::dependency(priority) == id {
            Err(Offence::PrioritySelf)
        } else {
            Ok(())
        }
    }

    pub(super) fn take_priority_update(&mut self, payload: &[u8]) -> Result<(), Offence> {
        self.count_priority()?;
        let (id, value) = frame::priority_update(payload)?;
        // RFC 9218 7.1: of a request, and from a client.
        if self.role == Role::Client || id % 2 == 0 {
            return Err(Offence::PriorityUpdate);
        }
        let priority = Priority::parse(value);
        match self.streams.find(id) {
            Some(stream) => self.set_priority(stream, priority),
            None if id > self.peer_last => {
                self.early_priorities.retain(|(early, _)| *early != id);
                if self.early_priorities.len() == EARLY_PRIORITIES_MAX {
                    self.early_priorities.remove(0);
                }
                self.early_priorities.push((id, priority));
            }
            None => {}
        }
        Ok(())
    }

    /// What was said of a stream before it came.
    pub(super) fn take_early_priority(&mut self, id: u32) -> Option<Priority> {
        if self.early_priorities.is_empty() {
            return None;
        }
        let found = self.early_priorities.iter().find(|(early, _)| *early == id);
        let priority = found.map(|(_, priority)| *priority);
        // Those that were passed over never come.
        self.early_priorities.retain(|(early, _)| *early > id);
        priority
    }
}
