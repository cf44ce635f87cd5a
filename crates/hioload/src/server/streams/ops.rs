//! What a handler does with streams: [`StreamOps`], of a session or of the worker.

use hioload_streams::{
    AttachError, ChannelError, Command, Cursor, Dispatch, Filter, Refusal, Step, StreamInfo,
    StreamUid, Ticket,
};

use super::remote::Asker;
use super::{Core, Cx, Deed};
use crate::handler::Message;
use crate::streams::StreamError;

/// Acts on streams by their UID, wherever they live. Nothing here waits: an answer comes as
/// [`StreamEvent::Answer`](crate::streams::StreamEvent::Answer) to
/// [`Handler::stream`](crate::Handler::stream) of this worker, by the ticket.
pub struct StreamOps<'a> {
    core: &'a mut Core,
    cx: Cx<'a>,
}

impl std::fmt::Debug for StreamOps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "StreamOps({} streams here)",
            self.core.manager.registry.len()
        )
    }
}

impl<'a> StreamOps<'a> {
    pub(crate) fn new(core: &'a mut Core, cx: Cx<'a>) -> Self {
        Self { core, cx }
    }

    /// Writes a message to a stream. Messages from here to one stream arrive in order. Should the stream's worker
    /// refuse it, that is told; if it is done, nothing is.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was sent.
    pub fn write(&mut self, uid: StreamUid, message: Message<'_>) -> Result<(), StreamError> {
        let payload = self.deed(message)?;
        let ticket = Ticket::NONE;
        let write = Command::Write {
            uid,
            ticket,
            payload,
        };
        self.core.command(&mut self.cx, write)
    }

    /// Writes a message to a stream, and will be told when it is in the stream's output, or why it never will be.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was sent.
    pub fn write_told(
        &mut self,
        uid: StreamUid,
        message: Message<'_>,
    ) -> Result<Ticket, StreamError> {
        let payload = self.deed(message)?;
        self.question(|ticket| Command::Write {
            uid,
            ticket,
            payload,
        })
    }

    /// Closes a stream, behind what was written to it before.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was asked.
    pub fn close(&mut self, uid: StreamUid) -> Result<Ticket, StreamError> {
        let owner = None;
        self.question(|ticket| Command::Close { uid, ticket, owner })
    }

    /// Asks whether a stream is there, and what it is.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was asked.
    pub fn find(&mut self, uid: StreamUid) -> Result<Ticket, StreamError> {
        self.question(|ticket| Command::Find { uid, ticket })
    }

    /// A stream of this worker, at once.
    #[must_use]
    pub fn local(&mut self, uid: StreamUid) -> Option<StreamInfo> {
        let found = self.core.manager.registry.find(uid);
        found.map(|stream| stream.info(uid))
    }

    /// From now on the stream lives by itself: whoever has it may go.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was asked.
    pub fn detach(&mut self, uid: StreamUid) -> Result<Ticket, StreamError> {
        self.question(|ticket| Command::Detach { uid, ticket })
    }

    /// Gives an autonomous stream to `owner`, a stream of this worker: it ends when the owner does. Only one
    /// can have it; the answer tells.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was asked.
    pub fn attach(&mut self, owner: StreamUid, uid: StreamUid) -> Result<Ticket, StreamError> {
        let adopted = self.core.manager.registry.adopt(owner, uid);
        let is_new = adopted.map_err(|error| match error {
            AttachError::TooMany => StreamError::TooMany,
            AttachError::Gone | AttachError::Taken { .. } => StreamError::Refused(Refusal::Gone),
        })?;
        self.core.manager.adoptions.ask(owner, uid, is_new);
        let asker = Asker::Adopter { owner, uid };
        let asked = self
            .core
            .question(&mut self.cx, asker, |ticket| Command::Attach {
                uid,
                ticket,
                owner,
            });
        asked.inspect_err(|_| self.core.manager.adoption_answered(owner, uid, false))
    }

    /// Joins two streams: what comes on one goes to the other, with backpressure, and they end together. There
    /// are two answers, one for each way, in the order of the tickets. When `a` is refused, `b` is for the same reason,
    /// and nothing has happened to it; when `b` is, `a` is closed: what comes on it would lead nowhere.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was asked.
    pub fn proxy(&mut self, a: StreamUid, b: StreamUid) -> Result<[Ticket; 2], StreamError> {
        if a == b {
            return Err(StreamError::Refused(Refusal::Unfit));
        }
        // Half a proxy is none: there are tickets for both halves before the first is asked for, and the second waits
        // if it must.
        let second = self.core.issue_ticket(Asker::Second { first: a })?;
        let asker = Asker::First { peer: b, second };
        let first = self
            .core
            .question(&mut self.cx, asker, |ticket| Command::Join {
                uid: a,
                ticket,
                peer: b,
            });
        let first = first.inspect_err(|_| {
            self.core.manager.tickets.redeem(second);
        })?;
        Ok([first, second])
    }

    /// Lets a channel of a stream through, or not.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was asked.
    pub fn set_channel(
        &mut self,
        uid: StreamUid,
        channel: u8,
        is_enabled: bool,
    ) -> Result<Ticket, StreamError> {
        self.question(|ticket| Command::SetChannel {
            uid,
            ticket,
            channel,
            is_enabled,
        })
    }

    /// Adds a channel to a stream of this worker. From the first one on, binary messages that come on it begin with the
    /// number of their channel; those of channels that are not there, or not let through, are dropped and counted.
    ///
    /// # Errors
    /// [`ChannelError`]; there is no such stream here: [`ChannelError::Missing`].
    pub fn add_channel(
        &mut self,
        uid: StreamUid,
        channel: u8,
        tag: u32,
    ) -> Result<(), ChannelError> {
        let stream = self.core.manager.registry.stream_mut(uid);
        let channels = stream.ok_or(ChannelError::Missing)?.channels_mut();
        channels.add(channel, tag).map(|_| ())
    }

    /// Removes a channel from a stream of this worker.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn remove_channel(&mut self, uid: StreamUid, channel: u8) -> Result<(), ChannelError> {
        let stream = self.core.manager.registry.stream_mut(uid);
        let channels = stream.ok_or(ChannelError::Missing)?.channels_mut();
        channels.remove(channel).map(|_| ())
    }

    /// Where messages on a channel of a stream of this worker go: the channel's tag.
    #[must_use]
    pub fn dispatch(&self, uid: StreamUid, channel: u8) -> Dispatch<u32> {
        let stream = self.core.manager.registry.peek(uid);
        let channels = stream.and_then(|stream| stream.channels());
        channels.map_or(Dispatch::Missing, |channels| channels.dispatch(channel))
    }

    /// Up to `visit_max` places of this worker's streams, from `cursor` on.
    pub fn list(
        &self,
        filter: &Filter,
        cursor: &mut Cursor,
        visit_max: usize,
        mut meet: impl FnMut(StreamInfo) -> std::ops::ControlFlow<()>,
    ) -> Step {
        let now = self.cx.now();
        self.core
            .manager
            .registry
            .list(now, filter, cursor, visit_max, &mut meet)
    }

    /// Gives UIDs to the sessions that have none, from slot `from` on, `max` of them at most; where to go on.
    pub(super) fn name_from(&mut self, from: u32, max: usize) -> Option<u32> {
        let mut from = from;
        for _ in 0..max {
            let socket = self.core.table.next_from(from)?;
            from = socket.key().index() + 1;
            // Those that are no sessions, or too many, stay as they are.
            let _ = self.core.name_stream(&mut self.cx, socket);
        }
        Some(from)
    }

    fn question(
        &mut self,
        command: impl FnOnce(Ticket) -> super::remote::StreamCommand,
    ) -> Result<Ticket, StreamError> {
        self.core.question(&mut self.cx, Asker::Handler, command)
    }

    fn deed(&self, message: Message<'_>) -> Result<Deed, StreamError> {
        let payload = self
            .core
            .share(message.payload)
            .ok_or(StreamError::NoMemory)?;
        let kind = message.kind;
        Ok(Deed::Message {
            kind,
            payload,
            is_proxied: false,
        })
    }
}
