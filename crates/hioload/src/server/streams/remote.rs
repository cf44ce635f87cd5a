//! Commands: sent to the worker a stream lives on, carried out there, answered.
//!
//! A command for a stream of this very worker takes the same way, but for the queue between workers.

use hioload_reactor::SocketId;
use hioload_streams::{
    AttachError, Command, End, Foreign, Refusal, Reply, Route, StreamInfo, StreamUid, Ticket,
};

use super::{Core, Cx, Deed};
use crate::server::message::Message;
use crate::session::SendError;
use crate::streams::{StreamError, StreamEvent};

/// Who waits for an answer.
#[derive(Debug)]
pub(super) enum Asker {
    /// The handler.
    Handler,
    /// The handler; and the owner, which has the stream noted as adopted already.
    Adopter { owner: StreamUid, uid: StreamUid },
    /// The handler, for the first half of a proxy; the second, of `peer`, is asked for with its own ticket.
    First { peer: StreamUid, second: Ticket },
    /// The handler, for the second half of a proxy; the first is that of `first`.
    Second { first: StreamUid },
    /// Half of a proxy: so many bytes of this stream are on their way.
    Half { uid: StreamUid, size: u64 },
    /// Another thread.
    Thread(std::sync::mpsc::SyncSender<Reply>),
}

/// A command as workers send it.
pub(crate) type StreamCommand = Command<Deed>;

impl Core {
    /// Sends a command to where its stream lives, or says that it cannot be sent now: then nothing was done.
    pub(super) fn command(
        &mut self,
        cx: &mut Cx<'_>,
        command: StreamCommand,
    ) -> Result<(), StreamError> {
        match self.manager.router.route(command.uid()) {
            Route::Here => {
                self.execute(cx, Some(cx.index()), command);
                Ok(())
            }
            Route::There(to) => {
                let stats = self.manager.registry.stats_mut();
                stats.cross_worker_lookups += 1;
                let sent = self.outlet.try_send(cx, to, Message::Stream(command));
                sent.map_err(|_unsent| {
                    self.manager.registry.stats_mut().commands_full += 1;
                    StreamError::Busy
                })
            }
            Route::Nowhere => {
                self.manager.registry.stats_mut().misses += 1;
                Err(StreamError::Refused(Refusal::Gone))
            }
        }
    }

    /// Sends a command that must not get lost: it waits when the queue is full. What leads to it is bounded by whoever
    /// calls: windows of proxies, lists of adopted streams.
    pub(super) fn command_later(&mut self, cx: &mut Cx<'_>, command: StreamCommand) {
        match self.manager.router.route(command.uid()) {
            // What no worker has is not here either, and that is told.
            Route::Here | Route::Nowhere => self.execute(cx, Some(cx.index()), command),
            Route::There(to) => self.outlet.send(cx, to, Message::Stream(command)),
        }
    }

    /// Carries out a command for a stream that lives here, if it does.
    pub(in crate::server) fn execute(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<usize>,
        command: StreamCommand,
    ) {
        let (uid, ticket) = (command.uid(), command.ticket());
        if self.manager.registry.find(uid).is_none() {
            self.count_refused(&command);
            return self.refuse_command(cx, from, ticket, uid, Refusal::Gone);
        }
        let done = match command {
            Command::Write { payload, .. } => {
                return self.take_deed(cx, from, ticket, uid, payload);
            }
            Command::Close {
                owner: Some(owner), ..
            } => {
                if self.manager.registry.is_owned_by(uid, owner) {
                    self.take_deed(cx, from, ticket, uid, Deed::Close(End::Owner));
                }
                return;
            }
            Command::Close { owner: None, .. } => {
                return self.take_deed(cx, from, ticket, uid, Deed::Close(End::Asked));
            }
            Command::Find { .. } => {
                let info = self
                    .manager
                    .registry
                    .peek(uid)
                    .map(|stream| stream.info(uid));
                let info = info.expect("invariant: it was just found");
                return self.reply(cx, from, found(ticket, info));
            }
            Command::Detach { .. } => {
                self.manager.registry.detach(uid, cx.now());
                Ok(())
            }
            Command::Attach { owner, .. } => {
                let attached = self.manager.registry.attach(uid, owner, cx.now());
                attached.map_err(|error| match error {
                    AttachError::Gone => Refusal::Gone,
                    AttachError::Taken { .. } | AttachError::TooMany => Refusal::Taken,
                })
            }
            Command::Join { peer, .. } => self.join(uid, peer),
            Command::Unjoin { peer, .. } => match self.unjoin(cx, uid, peer) {
                // Whom it is joined to has not ended.
                Err(_) if !ticket.wants_answer() => return,
                outcome => outcome,
            },
            Command::SetChannel {
                channel,
                is_enabled,
                ..
            } => {
                let stream = self.manager.registry.stream_mut(uid);
                let stream = stream.expect("invariant: it was just found");
                let changed = stream.channels_mut().set_enabled(channel, is_enabled);
                changed.map(|_| ()).map_err(|_| Refusal::NoChannel)
            }
        };
        match done {
            Ok(()) => self.done(cx, from, ticket, uid),
            Err(why) => self.refuse_command(cx, from, ticket, uid, why),
        }
    }

    /// Lets a message, or the end, wait for the end of the turn.
    pub(super) fn take_deed(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<usize>,
        ticket: Ticket,
        uid: StreamUid,
        deed: Deed,
    ) {
        let size = match &deed {
            Deed::Message { payload, .. } => payload.len(),
            Deed::Close(_) => 0,
        };
        let was_waiting = self.manager.backlog.is_waiting(uid);
        let write = Foreign {
            from,
            ticket,
            payload: deed,
            size,
        };
        let is_proxied = matches!(
            write.payload,
            Deed::Message {
                is_proxied: true,
                ..
            }
        );
        // A close that nobody is told about comes from here, once for each owner and each half of a proxy: refused, it
        // would be lost.
        let is_own = matches!(write.payload, Deed::Close(_)) && !ticket.wants_answer();
        let backlog = &mut self.manager.backlog;
        let pushed = if is_own {
            backlog.push_past(uid, write);
            Ok(())
        } else {
            backlog.push(uid, write)
        };
        match pushed {
            Ok(()) if was_waiting => {}
            Ok(()) => self.manager.listed.push(uid),
            Err(_full) => {
                self.manager.registry.stats_mut().writes_refused += 1;
                self.refuse_command(cx, from, ticket, uid, Refusal::Full);
                if is_proxied {
                    // What is on its way behind it must not pass: it ends where the hole is.
                    self.take_deed(cx, None, Ticket::NONE, uid, Deed::Close(End::Reset));
                }
            }
        }
    }

    /// Gives the listed streams what waits for them, as far as there is room.
    pub(in crate::server) fn serve_backlog(&mut self, cx: &mut Cx<'_>) {
        let count = self.manager.listed.len();
        for place in 0..count {
            let uid = self.manager.listed[place];
            match self.manager.socket_of(uid) {
                Some(socket) => self.serve_stream(cx, uid, socket),
                None => self.refuse_backlog(cx, uid),
            }
        }
        self.manager.listed.drain(..count);
    }

    fn serve_stream(&mut self, cx: &mut Cx<'_>, uid: StreamUid, socket: SocketId) {
        while let Some(write) = self.manager.backlog.front(uid) {
            let sent = match &write.payload {
                Deed::Message { kind, payload, .. } => {
                    let (kind, payload) = (*kind, payload.clone());
                    self.send(socket, kind, payload.as_slice())
                        .map(|()| payload.len())
                }
                Deed::Close(end) => {
                    let end = *end;
                    self.flush(cx, socket);
                    let closes = self.close_stream(cx, uid, end);
                    if closes {
                        Ok(0)
                    } else {
                        Err(SendError::Closed)
                    }
                }
            };
            let size = match sent {
                Ok(size) => size,
                // Its session is marked: `stream_relieved` lists it again.
                Err(SendError::Full) => break,
                Err(SendError::NoMemory) => {
                    self.manager.starved.push(uid);
                    break;
                }
                Err(SendError::Closed) => {
                    self.refuse_backlog(cx, uid);
                    break;
                }
            };
            let write = self.manager.backlog.pop(uid);
            let write = write.expect("invariant: it was just seen");
            let registry = &mut self.manager.registry;
            registry.activity(uid, 0, size as u64, cx.now());
            let is_message = matches!(write.payload, Deed::Message { .. });
            registry.stats_mut().writes_taken += u64::from(is_message);
            self.done(cx, write.from, write.ticket, uid);
        }
        self.flush(cx, socket);
    }

    /// The stream is gone, or takes nothing any more: whoever wrote to it is told.
    pub(super) fn refuse_backlog(&mut self, cx: &mut Cx<'_>, uid: StreamUid) {
        while let Some(write) = self.manager.backlog.pop(uid) {
            self.manager.registry.stats_mut().writes_refused += 1;
            self.refuse_command(cx, write.from, write.ticket, uid, Refusal::Gone);
        }
    }

    fn count_refused(&mut self, command: &StreamCommand) {
        if matches!(command, Command::Write { .. }) {
            self.manager.registry.stats_mut().writes_refused += 1;
        }
    }

    fn done(&mut self, cx: &mut Cx<'_>, from: Option<usize>, ticket: Ticket, uid: StreamUid) {
        if ticket.wants_answer() {
            self.reply(cx, from, Reply::Done { ticket, uid });
        }
    }

    /// A refusal is told even if no answer is wanted: another thread without a ticket can not be told.
    fn refuse_command(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<usize>,
        ticket: Ticket,
        uid: StreamUid,
        why: Refusal,
    ) {
        self.reply(cx, from, Reply::Refused { ticket, uid, why });
    }

    fn reply(&mut self, cx: &mut Cx<'_>, from: Option<usize>, reply: Reply) {
        match from {
            Some(from) if from != cx.index() => {
                self.outlet.send(cx, from, Message::StreamReply(reply));
            }
            Some(_) => self.stream_answered(cx, reply),
            None if reply.ticket().wants_answer() => self.stream_answered(cx, reply),
            None => {}
        }
    }

    /// An answer to what was asked from here.
    pub(in crate::server) fn stream_answered(&mut self, cx: &mut Cx<'_>, reply: Reply) {
        let ticket = reply.ticket();
        if !ticket.wants_answer() {
            return self.manager.told.push_back(StreamEvent::Answer(reply));
        }
        match self.manager.tickets.redeem(ticket) {
            Some(Asker::Handler) => self.manager.told.push_back(StreamEvent::Answer(reply)),
            Some(Asker::Adopter { owner, uid }) => {
                let is_done = !matches!(reply, Reply::Refused { .. });
                self.manager.adoption_answered(owner, uid, is_done);
                if is_done && !self.manager.registry.exists(owner) {
                    // It ended while the question was under way: so does what it adopted.
                    let (ticket, owner) = (Ticket::NONE, Some(owner));
                    self.command_later(cx, Command::Close { uid, ticket, owner });
                }
                self.manager.told.push_back(StreamEvent::Answer(reply));
            }
            Some(Asker::First { peer, second }) => {
                self.first_answered(cx, &reply, peer, second);
            }
            Some(Asker::Second { first }) => self.second_answered(cx, &reply, first),
            Some(Asker::Half { uid, size }) => {
                self.half_answered(cx, uid, size, matches!(reply, Reply::Done { .. }));
            }
            // Whoever asked may have given up.
            Some(Asker::Thread(answer)) => drop(answer.try_send(reply)),
            None => {}
        }
    }

    /// A ticket for a question of the handler's.
    pub(super) fn issue_ticket(&mut self, asker: Asker) -> Result<Ticket, StreamError> {
        self.manager
            .tickets
            .issue(asker)
            .map_err(|_| StreamError::TooMany)
    }

    /// Sends a question; the ticket is no use if it cannot be sent.
    pub(super) fn question(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        command: impl FnOnce(Ticket) -> StreamCommand,
    ) -> Result<Ticket, StreamError> {
        let ticket = self.issue_ticket(asker)?;
        self.command(cx, command(ticket)).inspect_err(|_| {
            self.manager.tickets.redeem(ticket);
        })?;
        Ok(ticket)
    }
}

fn found(ticket: Ticket, info: StreamInfo) -> Reply {
    let info = Box::new(info);
    Reply::Found { ticket, info }
}
