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
//! The second half is asked for when the first is there. Refused, the first ends, and whoever refused is none of its
//! business: it may be joined to another.
//!
//! A WebSocket has no half-close (RFC 6455 7.1.2): when one side ends, the other is closed behind what was on its way.

use std::collections::HashMap;

use hioload_mem::Segment;
use hioload_reactor::SocketId;
use hioload_streams::{
    Action, Backlog, Command, End, Proxy, Refusal, Reply, Side, StreamUid, Ticket,
};
use hioload_ws::Kind;

use super::remote::Asker;
use super::{Core, Cx, Deed};
use crate::server::connection::Facts;
use crate::streams::StreamEvent;

/// What comes on one session goes to another.
struct Half {
    peer: StreamUid,
    /// The peer has ended, or would not be joined: nothing goes there any more, and this one ends, alone.
    is_alone: bool,
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
        let half = Half {
            peer,
            is_alone: false,
            flow,
        };
        self.manager.pairs.halves.insert(uid, half);
        Ok(())
    }

    /// `peer` has ended, or would not be joined to `uid`, which ends unless it is joined to another.
    pub(super) fn unjoin(
        &mut self,
        cx: &mut Cx<'_>,
        uid: StreamUid,
        peer: StreamUid,
    ) -> Result<(), Refusal> {
        match self.manager.pairs.halves.get_mut(&uid) {
            Some(half) if half.peer != peer => return Err(Refusal::Unfit),
            Some(half) => half.is_alone = true,
            // It was just to be joined.
            None => {}
        }
        self.take_deed(cx, None, Ticket::NONE, uid, Deed::Close(End::Asked));
        Ok(())
    }

    /// The first half of a proxy of the handler's is there, and the second is asked for; or there is no proxy.
    pub(super) fn first_answered(
        &mut self,
        cx: &mut Cx<'_>,
        reply: &Reply,
        peer: StreamUid,
        second: Ticket,
    ) {
        let first = reply.uid();
        self.manager
            .told
            .push_back(StreamEvent::Answer(reply.clone()));
        if let Reply::Refused { why, .. } = *reply {
            self.manager.tickets.redeem(second);
            let (ticket, uid) = (second, peer);
            let refused = Reply::Refused { ticket, uid, why };
            return self.manager.told.push_back(StreamEvent::Answer(refused));
        }
        let (uid, ticket, peer) = (peer, second, first);
        self.command_later(cx, Command::Join { uid, ticket, peer });
    }

    /// The second half of a proxy of the handler's is there, too, or the first is to end.
    pub(super) fn second_answered(&mut self, cx: &mut Cx<'_>, reply: &Reply, first: StreamUid) {
        self.manager
            .told
            .push_back(StreamEvent::Answer(reply.clone()));
        if matches!(reply, Reply::Refused { .. }) {
            let (uid, ticket, peer) = (first, Ticket::NONE, reply.uid());
            self.command_later(cx, Command::Unjoin { uid, ticket, peer });
        }
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
        let half = self.manager.pairs.halves.get(&uid);
        if half.is_some_and(|half| half.is_alone) {
            // Its end is under way, behind what was written to it.
            return;
        }
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

    /// The session is gone: if nobody knows yet, the other side ends behind what is on its way to it.
    pub(super) fn unpair(&mut self, cx: &mut Cx<'_>, uid: StreamUid) {
        let Some(half) = self.manager.pairs.halves.remove(&uid) else {
            return;
        };
        if half.is_alone {
            return;
        }
        let (ticket, peer) = (Ticket::NONE, uid);
        let uid = half.peer;
        self.command_later(cx, Command::Unjoin { uid, ticket, peer });
    }
}
