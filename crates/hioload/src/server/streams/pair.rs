//! Proxies: two sessions joined, wherever they live.
//!
//! ```text
//!   worker of a: Half { peer: b } ── Write, with a ticket ─▶ backlog of b ─▶ output of b
//!        ▲ read, until a window is on its way                        │
//!        └───────────────────────── Done ◀──────────────────────────┘
//! ```
//!
//! Each side's worker keeps one half: what came on its session and was not yet taken by the other. The other is not
//! asked how it is doing: no answer is the answer. The window counts as the backlog does, and is within what may wait
//! for a stream: alone, a half is never refused as full. When others fill the backlog and it is, both sides end.
//!
//! A WebSocket has no half-close (RFC 6455 7.1.2): when one side ends, the other is closed behind what was on its way.

use std::collections::HashMap;

use hioload_mem::Segment;
use hioload_reactor::SocketId;
use hioload_streams::{Action, Backlog, Command, End, Proxy, Refusal, Side, StreamUid, Ticket};
use hioload_ws::Kind;

use super::remote::Asker;
use super::{Core, Cx, Deed};
use crate::server::connection::Facts;

/// What comes on one session goes to another.
struct Half {
    peer: StreamUid,
    /// Used one way only: from [`Side::A`], the session here.
    flow: Proxy,
}

/// The halves whose session is here.
#[derive(Default)]
pub(super) struct Pairs {
    halves: HashMap<StreamUid, Half>,
}

impl Pairs {
    pub(super) fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    #[inline]
    pub(super) fn has(&self, uid: StreamUid) -> bool {
        !self.halves.is_empty() && self.halves.contains_key(&uid)
    }

    pub(super) fn is_paused(&self, uid: StreamUid) -> bool {
        self.halves
            .get(&uid)
            .is_some_and(|half| half.flow.is_paused(Side::A))
    }
}

impl Core {
    /// What comes on `uid` goes to `peer` from now on.
    pub(super) fn join(&mut self, uid: StreamUid, peer: StreamUid) -> Result<(), Refusal> {
        if self.manager.pairs.has(uid) {
            return Err(Refusal::Taken);
        }
        let streams = &self.settings.streams;
        let window = streams.proxy_window.min(streams.foreign_stream as u64);
        let flow = Proxy::with_window(window);
        self.manager.pairs.halves.insert(uid, Half { peer, flow });
        Ok(())
    }

    /// A message came on a session that is joined to another.
    pub(super) fn forward(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        uid: StreamUid,
        kind: Kind,
        payload: &[u8],
    ) {
        let size = (payload.len() + Backlog::<Deed>::WRITE_COST) as u64;
        let asked = self.issue_ticket(Asker::Half { uid, size }).ok();
        let (Some(ticket), Some(payload)) = (asked, self.share(payload)) else {
            // Nothing may be left out in silence.
            self.close_stream(cx, uid, End::Reset);
            return;
        };
        let Some(half) = self.manager.pairs.halves.get_mut(&uid) else {
            return;
        };
        let peer = half.peer;
        half.flow.received(Side::A, size);
        let pauses = half.flow.poll() == Some(Action::Pause(Side::A));
        let payload = Deed::Message {
            kind,
            payload,
            is_proxied: true,
        };
        let write = Command::Write {
            uid: peer,
            ticket,
            payload,
        };
        self.command_later(cx, write);
        if pauses {
            self.hold(cx, socket);
        }
    }

    /// A copy of a message that can be sent on.
    pub(super) fn share(&self, payload: &[u8]) -> Option<Segment> {
        if payload.is_empty() {
            return Some(Segment::from_static(b""));
        }
        let mut buffer = self.pool.take(payload.len())?;
        buffer.extend_from_slice(payload).ok()?;
        Some(buffer.seal())
    }

    /// The other side has taken a message, or never will.
    pub(super) fn half_answered(
        &mut self,
        cx: &mut Cx<'_>,
        uid: StreamUid,
        size: u64,
        is_done: bool,
    ) {
        let Some(half) = self.manager.pairs.halves.get_mut(&uid) else {
            return;
        };
        if !is_done {
            self.close_stream(cx, uid, End::Closed);
            return;
        }
        half.flow.written(Side::B, size);
        let resumes = half.flow.poll() == Some(Action::Resume(Side::A));
        let Some(socket) = self.manager.socket_of(uid).filter(|_| resumes) else {
            return;
        };
        let Some(connection) = self.table.get_mut(socket) else {
            return;
        };
        if connection.facts.has(Facts::HELD) && !connection.facts.has(Facts::RESUMING) {
            connection.facts.set(Facts::RESUMING);
            self.resume.push(socket);
        }
    }

    /// The session is gone: the other side ends behind what is on its way to it.
    pub(super) fn unpair(&mut self, cx: &mut Cx<'_>, uid: StreamUid) {
        let Some(half) = self.manager.pairs.halves.remove(&uid) else {
            return;
        };
        let close = Command::Close {
            uid: half.peer,
            ticket: Ticket::NONE,
            owner: None,
        };
        self.command_later(cx, close);
    }
}
