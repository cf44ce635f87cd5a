//! Sessions that are polled: each answer to a request is what they have to say since the last one.
//!
//! ```text
//!   channel log, writes by UID ─▶ Core::send, pump ─▶ inbox ─▶ said, until it is seen ─┐
//!   GET /poll ─▶ exchange (any worker) ─ PollAsk ─▶ owner: waits, or is answered ◀─────┘
//!                    ◀─ PollAnswer ──────────────────┘        left: its client has gone, or waited long enough
//! ```
//!
//! To everything above, a poll is a socket of somebody who reads events ([`sse`](super::sse)): what a kernel would take
//! and keep until it is acknowledged is the inbox here. It outlives its exchanges, so that it lives by itself from its
//! birth on, and ends when nobody has asked for `streams.poll_linger`.
//!
//! # Invariants
//!
//! - An answer is kept until a request says that it was seen: asked again, it is the same. Nothing is lost between two
//!   polls, and nothing is said twice to who counts.
//! - An answer ends where an event does.
//! - One request waits at a time; the one before is told that it has been replaced.
//!
//! # Limits
//!
//! `streams.poll_backlog` bytes and one send of a session, `streams.poll_worker` bytes of all of a worker: then the
//! session is one whose peer does not read. `streams.long_poll_max` of them on a worker, whoever opened them: a session
//! outlives the connection it was opened on, so that who opens a connection for each would pass any bound of a
//! connection; and the other end's address is often that of a proxy with many behind it. How long sessions of nobody take room is `streams.poll_linger`.

use std::sync::Arc;

use hioload_base::{Key, Slab};
use hioload_reactor::{Completion, Payload, RecvEnd, SocketId};
use hioload_streams::{Route, StreamUid};

use super::core::{Core, Cx};
use super::hub::Hub;
use super::message::Message;
use super::streams::poll_slot;
use super::table::{is_poll, name_of_poll, poll_of_name};

/// Places for polls: a UID can name so many.
pub(super) const PLACES_MAX: usize = 1 << 18;

/// One of them.
pub(super) struct Poll {
    /// Who knows this may poll.
    token: u128,
    uid: Option<StreamUid>,
    /// What no answer has said.
    inbox: Vec<u8>,
    /// Bytes of it up to where its last event ends.
    complete: usize,
    /// What there was no room for.
    pending: Option<Payload>,
    /// What the last answer said, while nobody says that it was seen.
    said: Option<Arc<[u8]>>,
    /// Answers that said something.
    answer_count: u32,
    waiter: Option<Waiter>,
    is_listed: bool,
    /// Nothing more comes.
    is_shut: bool,
}

/// An exchange that waits for an answer: its worker, its carrier there, its number on that worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(super) worker: usize,
    pub(super) socket: SocketId,
    pub(super) number: u64,
}

/// To the worker of a poll: somebody asks.
#[derive(Debug)]
pub(crate) struct PollAsk {
    pub(super) uid: StreamUid,
    pub(super) token: u128,
    /// Answers it has seen.
    pub(super) seen: u32,
    pub(super) waiter: Waiter,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct PollAnswer {
    pub(super) socket: SocketId,
    pub(super) number: u64,
    pub(super) said: Said,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// Events; with them, so many answers have been seen.
    Events { count: u32, bytes: Arc<[u8]> },
    /// There is no such poll, or its end was told.
    Gone,
    /// Somebody else asks now.
    Replaced,
    /// It has not seen what it should have, or says it has seen what was never said.
    OutOfStep,
}

/// The polls of a worker.
pub(super) struct Polls {
    slab: Slab<Poll>,
    /// Bytes of all inboxes, and of what was said and not seen.
    size: usize,
    listed: Vec<SocketId>,
    /// For exchanges of this worker.
    answers: Vec<PollAnswer>,
    /// The last number given to an exchange.
    number: u64,
}

impl Polls {
    pub(super) fn new() -> Self {
        Self {
            slab: Slab::with_limit(PLACES_MAX),
            size: 0,
            listed: Vec::new(),
            answers: Vec::new(),
            number: 0,
        }
    }

    pub(super) fn insert(&mut self, token: u128) -> Option<SocketId> {
        let poll = Poll {
            token,
            uid: None,
            inbox: Vec::new(),
            complete: 0,
            pending: None,
            said: None,
            answer_count: 0,
            waiter: None,
            is_listed: false,
            is_shut: false,
        };
        let key: Key = self.slab.insert(poll).ok()?;
        Some(name_of_poll(key))
    }

    pub(super) fn remove(&mut self, socket: SocketId) {
        if let Some(poll) = self.slab.remove(poll_of_name(socket)) {
            self.size -= poll.kept_size();
        }
    }

    fn get_mut(&mut self, socket: SocketId) -> Option<&mut Poll> {
        self.slab.get_mut(poll_of_name(socket))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// There is something for the end of the next turn.
    pub(super) fn has_work(&self) -> bool {
        !self.listed.is_empty() || !self.answers.is_empty()
    }

    /// A number for an exchange.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn list(&mut self, socket: SocketId) {
        if let Some(poll) = self.slab.get_mut(poll_of_name(socket))
            && !std::mem::replace(&mut poll.is_listed, true)
        {
            self.listed.push(socket);
        }
    }
}

impl Poll {
    fn kept_size(&self) -> usize {
        self.inbox.len() + self.said.as_ref().map_or(0, |said| said.len())
    }

    /// Takes what is sent. Returns how many bytes that is.
    fn take(&mut self, payload: &Payload) -> usize {
        let before = self.inbox.len();
        for piece in payload.pieces() {
            self.inbox.extend_from_slice(piece.as_slice());
        }
        // An event ends with an empty line (and has none in it); the first break of two may have been there before.
        let from = before.saturating_sub(1);
        let mut pairs = self.inbox[from..].windows(2);
        if let Some(at) = pairs.rposition(|pair| pair == b"\n\n") {
            self.complete = from + at + 2;
        }
        self.inbox.len() - before
    }

    /// The events that are complete; what has begun stays.
    fn events(&mut self) -> Arc<[u8]> {
        let bytes: Arc<[u8]> = self.inbox[..self.complete].into();
        self.inbox.drain(..self.complete);
        self.complete = 0;
        if self.inbox.is_empty() {
            // It may be a long while until there is more.
            self.inbox = Vec::new();
        }
        bytes
    }
}

impl Core {
    /// Takes what is sent, if there is room; else when there is.
    pub(super) fn poll_send(&mut self, socket: SocketId, payload: Payload) -> bool {
        let polls = &mut self.polls;
        let Some(poll) = polls.slab.get_mut(poll_of_name(socket)) else {
            return false;
        };
        if poll.is_shut {
            return false;
        }
        let settings = &self.settings.streams;
        let has_room = poll.kept_size() < settings.poll_backlog
            && polls.size + payload.len() <= settings.poll_worker;
        if has_room {
            polls.size += poll.take(&payload);
            self.h2.tell(sent(socket, payload));
        } else {
            poll.pending = Some(payload);
        }
        polls.list(socket);
        true
    }

    pub(super) fn poll_cancel_send(&mut self, socket: SocketId) {
        let poll = self.polls.get_mut(socket);
        if let Some(payload) = poll.and_then(|poll| poll.pending.take()) {
            let result = Err(libc::ECANCELED);
            self.h2.tell(Completion::Sent {
                socket,
                result,
                payload,
            });
        }
    }

    /// Nothing more is sent: it ends when what was is seen.
    pub(super) fn poll_shutdown(&mut self, socket: SocketId) {
        if let Some(poll) = self.polls.get_mut(socket) {
            poll.is_shut = true;
            self.polls.list(socket);
        }
    }

    /// It ends, whatever was not seen.
    pub(super) fn poll_close(&mut self, socket: SocketId) {
        self.poll_cancel_send(socket);
        let Some(poll) = self.polls.get_mut(socket) else {
            return;
        };
        poll.is_shut = true;
        self.h2.tell(Completion::Closed { socket });
    }

    /// A request waits for what it has to say.
    pub(super) fn is_polled(&self, socket: SocketId) -> bool {
        is_poll(socket)
            && self
                .polls
                .slab
                .get(poll_of_name(socket))
                .is_some_and(|poll| poll.waiter.is_some())
    }

    /// The server shuts down: what nobody waits for now is not kept.
    pub(super) fn drain_poll(&mut self, socket: SocketId) {
        if is_poll(socket) {
            self.polls.list(socket);
        }
    }

    /// Its name, and the exchange it was born with.
    pub(super) fn begin_poll(&mut self, socket: SocketId, uid: StreamUid, waiter: Waiter) {
        if let Some(poll) = self.polls.get_mut(socket) {
            poll.uid = Some(uid);
            poll.waiter = Some(waiter);
        }
    }

    /// Asks the worker of a poll.
    ///
    /// # Errors
    /// There is no such worker, or its queue is full.
    pub(super) fn ask_poll(&mut self, cx: &mut Cx<'_>, ask: PollAsk) -> Result<(), Said> {
        match self.manager.route(ask.uid) {
            Route::Here => self.poll_asked(cx, &ask),
            Route::There(to) => {
                let message = Message::PollAsk(Box::new(ask));
                let sent = self.outlet.try_send(cx, to, message);
                return sent.map_err(|_| Said::Replaced);
            }
            Route::Nowhere => return Err(Said::Gone),
        }
        Ok(())
    }

    /// An exchange does not wait any more.
    pub(super) fn leave_poll(&mut self, cx: &mut Cx<'_>, uid: StreamUid, waiter: Waiter) {
        match self.manager.route(uid) {
            Route::Here => self.poll_left(cx, uid, waiter),
            Route::There(to) => {
                let message = Message::PollLeft(Box::new((uid, waiter)));
                self.outlet.send(cx, to, message);
            }
            Route::Nowhere => {}
        }
    }

    /// The poll of this name; also one whose session is over, and whose last words were not heard.
    fn poll_named(&self, uid: StreamUid) -> Option<SocketId> {
        let slab = &self.polls.slab;
        let key = slab.key_at(poll_slot(uid)?)?;
        let poll = slab.get(key)?;
        (poll.uid == Some(uid)).then(|| name_of_poll(key))
    }

    pub(super) fn poll_left(&mut self, cx: &mut Cx<'_>, uid: StreamUid, waiter: Waiter) {
        let Some(socket) = self.poll_named(uid) else {
            return;
        };
        self.polled(cx, socket, uid);
        if let Some(poll) = self.polls.get_mut(socket)
            && poll.waiter == Some(waiter)
        {
            poll.waiter = None;
        }
    }

    /// Somebody was here: it is not forgotten yet.
    fn polled(&mut self, cx: &mut Cx<'_>, socket: SocketId, uid: StreamUid) {
        let now = cx.now();
        self.manager.registry.activity(uid, 0, 0, now);
        if let Some(connection) = self.table.get_mut(socket) {
            connection.keepalive.heard(now);
        }
    }

    pub(super) fn poll_asked(&mut self, cx: &mut Cx<'_>, ask: &PollAsk) {
        let PollAsk {
            uid,
            token,
            seen,
            waiter,
        } = *ask;
        let is_its = |core: &mut Self, socket| {
            let poll = core.polls.get_mut(socket);
            poll.is_some_and(|poll| poll.token == token)
        };
        let socket = self.poll_named(uid);
        let Some(socket) = socket.filter(|socket| is_its(self, *socket)) else {
            return self.answer_poll(cx, waiter, Said::Gone);
        };
        self.polled(cx, socket, uid);
        let polls = &mut self.polls;
        let Some(poll) = polls.slab.get_mut(poll_of_name(socket)) else {
            return;
        };
        let before = poll.waiter.take();
        let count = poll.answer_count;
        let answer = if seen == count {
            // It was seen: there is room.
            polls.size -= poll.said.take().map_or(0, |said| said.len());
            poll.waiter = Some(waiter);
            polls.list(socket);
            None
        } else {
            let again = poll.said.clone().filter(|_| seen.wrapping_add(1) == count);
            Some(again.map_or(Said::OutOfStep, |bytes| Said::Events { count, bytes }))
        };
        if let Some(before) = before {
            self.answer_poll(cx, before, Said::Replaced);
        }
        if let Some(said) = answer {
            self.answer_poll(cx, waiter, said);
        }
    }

    /// To an exchange, wherever it is.
    fn answer_poll(&mut self, cx: &mut Cx<'_>, waiter: Waiter, said: Said) {
        let answer = PollAnswer {
            socket: waiter.socket,
            number: waiter.number,
            said,
        };
        if waiter.worker == cx.index() {
            self.polls.answers.push(answer);
        } else {
            let message = Message::PollAnswer(Box::new(answer));
            self.outlet.send(cx, waiter.worker, message);
        }
    }

    fn serve_poll(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let is_draining = self.is_draining;
        let polls = &mut self.polls;
        let Some(poll) = polls.slab.get_mut(poll_of_name(socket)) else {
            return;
        };
        poll.is_listed = false;
        let has_room = poll.kept_size() < self.settings.streams.poll_backlog;
        if (poll.waiter.is_some() || has_room || is_draining)
            && let Some(payload) = poll.pending.take()
        {
            if poll.waiter.is_some() || has_room {
                polls.size += poll.take(&payload);
            }
            self.h2.tell(sent(socket, payload));
        }
        let mut answer = None;
        if poll.complete > 0
            && let Some(waiter) = poll.waiter.take()
        {
            poll.answer_count = poll.answer_count.wrapping_add(1);
            let (count, bytes) = (poll.answer_count, poll.events());
            poll.said = Some(Arc::clone(&bytes));
            answer = Some((waiter, Said::Events { count, bytes }));
        }
        // Nobody comes to a server that shuts down.
        let is_heard = poll.pending.is_none() && poll.complete == 0 && poll.said.is_none();
        let is_over = poll.is_shut && (is_heard || is_draining);
        if is_over {
            let end = RecvEnd::Eof;
            self.h2.tell(Completion::RecvEnded { socket, end });
        }
        if let Some((waiter, said)) = answer {
            self.answer_poll(cx, waiter, said);
        }
    }

    /// The carrier is gone: whoever still waits is told.
    pub(super) fn forget_poll(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let poll = self.polls.get_mut(socket);
        if let Some(waiter) = poll.and_then(|poll| poll.waiter.take()) {
            self.answer_poll(cx, waiter, Said::Gone);
        }
        self.polls.remove(socket);
    }
}

impl Hub {
    /// Answers those that have something to hear.
    pub(super) fn serve_polls(&mut self, cx: &mut Cx<'_>) {
        let count = self.core.polls.listed.len();
        for place in 0..count {
            let socket = self.core.polls.listed[place];
            self.core.serve_poll(cx, socket);
        }
        self.core.polls.listed.drain(..count);
        for answer in std::mem::take(&mut self.core.polls.answers) {
            self.poll_answered(cx, answer);
        }
    }
}

fn sent(socket: SocketId, payload: Payload) -> Completion {
    let result = Ok(payload.len());
    Completion::Sent {
        socket,
        result,
        payload,
    }
}

#[cfg(test)]
mod tests {
    use hioload_mem::Segment;

    use super::*;

    #[test]
    fn an_answer_ends_where_an_event_does() {
        let text = b"id: 1\ndata: a\n\ndata: b\n\ndata: c\n";
        for cut in 0..=text.len() {
            let mut polls = Polls::new();
            let socket = polls.insert(7).expect("room");
            let poll = polls.get_mut(socket).expect("it was just put in");
            for part in [&text[..cut], &text[cut..]] {
                let size = poll.take(&Payload::One(Segment::copy_from(part)));
                assert_eq!(size, part.len());
            }
            assert_eq!(&*poll.events(), b"id: 1\ndata: a\n\ndata: b\n\n", "{cut}");
            assert_eq!(&*poll.events(), b"", "the rest has not ended");
            poll.take(&Payload::One(Segment::copy_from(b"\n")));
            assert_eq!(&*poll.events(), b"data: c\n\n", "{cut}");
            assert_eq!(poll.kept_size(), 0);
        }
    }
}
