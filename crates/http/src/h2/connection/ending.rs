//! What is done with: content that was consumed, streams that are reset, slots that are released.
//!
//! Spec: RFC 9113 5.1, 5.4.2, 6.4, 6.9, 8.1.

use super::{Connection, Reset, Role};
use crate::h2::abuse::Reason;
use crate::h2::error_code::ErrorCode;
use crate::h2::event::StreamRef;
use crate::h2::frame;
use crate::h2::limits::ABANDONED_SIZE_MAX;
use crate::h2::offence::Offence;
use crate::h2::stream::{Cause, State};

impl Connection {
    /// Content of [`Event::Data`](crate::h2::Event::Data) is done with: the peer may send so much more of this stream.
    /// (What it may send of all together it was told when the content came.)
    pub fn consumed(&mut self, stream: StreamRef, flow: u32) {
        let Some(entry) = self.streams.get_mut(stream) else {
            return;
        };
        entry.receive.consume(flow);
        // RFC 9113 6.9: a stream that the peer has ended needs no window.
        if entry.state.can_receive()
            && let Some(increment) = entry.receive.announce()
        {
            frame::write_window_update(&mut self.out, stream.id, increment);
        }
    }

    pub(super) fn announce_connection(&mut self) {
        if let Some(increment) = self.receive.announce() {
            frame::write_window_update(&mut self.out, 0, increment);
        }
    }

    /// How many bytes of the stream the peer may send ahead.
    pub fn set_receive_window(&mut self, stream: StreamRef, bytes: u32) {
        let Some(entry) = self.streams.get_mut(stream) else {
            return;
        };
        entry.has_own_window = true;
        entry.receive.set_target(bytes);
        if entry.state.can_receive()
            && let Some(increment) = entry.receive.announce()
        {
            frame::write_window_update(&mut self.out, stream.id, increment);
        }
    }

    /// Ends the stream at once, in both directions. It still has to be released. One that has ended stays as it is.
    pub fn reset(&mut self, stream: StreamRef, code: ErrorCode) {
        let Some(entry) = self.streams.get_mut(stream) else {
            return;
        };
        entry.queued = 0;
        entry.ends = false;
        self.scheduler.remove(stream.slot);
        if entry.state.is_closed() {
            return;
        }
        entry.state = State::Closed(Cause::ResetByUs);
        frame::write_reset(&mut self.out, stream.id, code);
    }

    /// Nobody works for the stream any more. One that has not ended is reset by CANCEL; its slot is free. But one that was
    /// answered in full while its request still comes is not: many a client takes a reset for a failure. What comes is
    /// dropped for a while, and only then it is reset, by NO_ERROR (RFC 9113 8.1); its slot is free after that.
    pub fn release(&mut self, stream: StreamRef) {
        let may_wait = self.role == Role::Server && self.is_open();
        let Some(entry) = self.streams.get_mut(stream) else {
            return;
        };
        if entry.is_abandoned {
            return;
        }
        if may_wait && entry.state == State::HalfClosedLocal {
            entry.is_abandoned = true;
            entry.stalled_since = self.now;
            entry.progress = 0;
            self.timers.watch_abandoned(self.now);
            return;
        }
        self.remove(stream, ErrorCode::CANCEL);
    }

    /// Frees the slot of a stream, reset if it has not ended.
    pub(super) fn remove(&mut self, stream: StreamRef, code: ErrorCode) {
        let Some(entry) = self.streams.get(stream) else {
            return;
        };
        let is_tunnel = entry.is_tunnel;
        self.reset(stream, code);
        self.streams.remove(stream);
        if self.is_peers(stream.id) {
            self.peer_streams -= 1;
            self.tunnels -= u16::from(is_tunnel);
            if is_tunnel && self.tunnels == 0 {
                self.pace();
            }
        }
    }

    /// Content of a request that was answered already: taken for a while, so that the answer is read.
    pub(super) fn drop_content(&mut self, stream: StreamRef, size: u32, is_end: bool) {
        let Some(entry) = self.streams.get_mut(stream) else {
            return;
        };
        entry.progress = entry.progress.saturating_add(size);
        let is_enough = entry.progress >= ABANDONED_SIZE_MAX;
        self.consumed(stream, size);
        if is_end || is_enough {
            self.remove(stream, ErrorCode::NO_ERROR);
        }
    }

    fn is_peers(&self, id: u32) -> bool {
        (id % 2 == 1) == (self.role == Role::Server)
    }

    /// The peer broke a rule of the stream (RFC 9113 5.4.2). Its owner is told by the next event.
    pub(super) fn stream_offence(&mut self, id: u32, offence: Offence) -> Result<(), Offence> {
        self.count_error_reset()?;
        self.count_reply()?;
        let Some(stream) = self.streams.find(id) else {
            frame::write_reset(&mut self.out, id, offence.code());
            return Ok(());
        };
        let entry = self.streams.at(stream.slot);
        if entry.is_abandoned {
            self.remove(stream, offence.code());
        } else if !entry.state.is_closed() {
            self.reset(stream, offence.code());
            self.resets.push_back(Reset {
                stream,
                code: offence.code(),
                by_peer: false,
            });
        }
        Ok(())
    }

    /// The peer sends on a stream that it has closed: it is told so, without anybody else being.
    pub(super) fn reset_gone(&mut self, id: u32, code: ErrorCode) -> Result<(), Offence> {
        self.count_error_reset()?;
        frame::write_reset(&mut self.out, id, code);
        self.count_reply()
    }

    /// A reset of ours that the peer brought about (CVE-2025-8671).
    pub(super) fn count_error_reset(&mut self) -> Result<(), Offence> {
        if self.ledger.add(Reason::ResetByUs) > self.limits.error_resets_max {
            return Err(Offence::ErrorFlood);
        }
        Ok(())
    }
}
