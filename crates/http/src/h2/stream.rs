//! One stream: what may still come, and what may still go.
//!
//! Knows no frame and no connection.
//!
//! ```text
//!                       ┌──────── HEADERS (either side) ────────┐
//!                     idle                                      ▼
//!                              END_STREAM sent ┌────────────── open ──────────────┐ END_STREAM received
//!                                              ▼                │                 ▼
//!                                    half-closed (local)        │       half-closed (remote)
//!                                              │                │                 │
//!                        END_STREAM received,  │                │ RST_STREAM,     │  END_STREAM sent,
//!                        RST_STREAM            └───────────▶ closed ◀─────────────┘  RST_STREAM
//! ```
//!
//! A stream that is idle has no entry: its number is above all that were used. There is no push here, and so nothing is
//! ever reserved. A stream that is closed keeps its entry until its owner has released it.
//!
//! Spec: RFC 9113 5.1, 8.1.

use hioload_base::Time;

use super::flow::{ReceiveWindow, SendWindow};
use super::priority::Priority;

/// Where a stream stands in the diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// We have ended.
    HalfClosedLocal,
    /// The peer has ended.
    HalfClosedRemote,
    Closed(Cause),
}

/// What closed a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Both sides ended.
    Ended,
    ResetByPeer,
    /// What the peer has sent before it knows may still come, and is dropped.
    ResetByUs,
}

impl State {
    /// The peer may send content or trailers.
    pub(super) fn can_receive(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedLocal)
    }

    /// We may send.
    pub(super) fn can_send(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedRemote)
    }

    pub(super) fn is_closed(self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The peer ends; it may.
    pub(super) fn end_remote(&mut self) {
        *self = match *self {
            Self::Open => Self::HalfClosedRemote,
            Self::HalfClosedLocal => Self::Closed(Cause::Ended),
            ended => ended,
        };
    }

    /// We end; we may.
    pub(super) fn end_local(&mut self) {
        *self = match *self {
            Self::Open => Self::HalfClosedLocal,
            Self::HalfClosedRemote => Self::Closed(Cause::Ended),
            ended => ended,
        };
    }
}

/// One stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// 0: the slot is free.
    pub(super) id: u32,
    pub(super) state: State,
    pub(super) priority: Priority,
    /// The head of the message that we send was sent.
    pub(super) is_head_sent: bool,
    /// The head of the message that we receive came.
    pub(super) is_head_received: bool,
    /// Both sides send what they like, until they end.
    pub(super) is_tunnel: bool,
    /// It asks for a head alone: no content comes, whatever `content-length` says.
    pub(super) is_head_request: bool,
    /// What is queued is the last.
    pub(super) ends: bool,
    /// Its owner has answered and released it; what still comes of the request is dropped.
    pub(super) is_abandoned: bool,
    /// Its window is what its owner set.
    pub(super) has_own_window: bool,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    /// Content that is ready at the owner.
    pub(super) queued: usize,
    /// Content that has to come yet, if the head said how much.
    pub(super) content_left: Option<u64>,
    pub(super) opened: Time,
    /// Since when there is something to send and too little was; or it is abandoned.
    pub(super) stalled_since: Time,
    /// Bytes sent, or dropped, since then.
    pub(super) progress: u32,
}

impl Stream {
    pub(super) fn new(id: u32, send: u32, receive: u32, now: Time) -> Self {
        Self {
            id,
            state: State::Open,
            priority: Priority::default(),
            is_head_sent: false,
            is_head_received: false,
            is_tunnel: false,
            is_head_request: false,
            ends: false,
            is_abandoned: false,
            has_own_window: false,
            send: SendWindow::new(send),
            receive: ReceiveWindow::new(receive),
            queued: 0,
            content_left: None,
            opened: now,
            stalled_since: now,
            progress: 0,
        }
    }

    /// It has something to send, and room for it.
    pub(super) fn is_ready(&self) -> bool {
        self.queued > 0 && self.send.room() > 0
    }

    /// It has something to send, and no room for it.
    pub(super) fn is_blocked(&self) -> bool {
        self.queued > 0 && self.send.room() == 0
    }

    /// So much content came. `false`: not what the head said (RFC 9113 8.1.1).
    pub(super) fn take_content(&mut self, size: u32, is_end: bool) -> bool {
        let Some(left) = &mut self.content_left else {
            return true;
        };
        match left.checked_sub(u64::from(size)) {
            Some(rest) => *left = rest,
            None => return false,
        }
        !is_end || *left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_end_on_their_own() {
        let mut state = State::Open;
        state.end_remote();
        assert_eq!(
            (state, state.can_receive(), state.can_send()),
            (State::HalfClosedRemote, false, true)
        );
        state.end_local();
        assert_eq!(state, State::Closed(Cause::Ended));
        let mut state = State::Open;
        state.end_local();
        assert_eq!(
            (state, state.can_receive(), state.can_send()),
            (State::HalfClosedLocal, true, false)
        );
        state.end_remote();
        assert_eq!(state, State::Closed(Cause::Ended));
        assert!(state.is_closed() && !state.can_receive() && !state.can_send());
    }

    #[test]
    fn content_is_as_long_as_its_head_said() {
        let mut stream = Stream::new(1, 0, 0, Time::ZERO);
        assert!(stream.take_content(u32::MAX, true), "nothing was said");
        stream.content_left = Some(3);
        assert!(stream.take_content(2, false));
        assert!(!stream.take_content(0, true));
        assert!(stream.take_content(1, true));
        assert!(stream.take_content(0, true));
        assert!(!stream.take_content(1, false));
    }
}
