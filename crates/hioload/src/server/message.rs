//! What workers tell each other: by value, over bounded queues.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use hioload_blocks::{Reply, Request};
use hioload_live::{Append, Ask, Attached, Class, Origin, Progress};
use hioload_mem::Segment;
use hioload_streams::{Reply as StreamReply, StreamUid};
use hioload_ws::CloseCode;

use super::inspect::Inspection;
use super::poll::{PollAnswer, PollAsk, Waiter};
use super::recovery::Ticket;
use super::streams::{Ask as StreamAsk, StreamCommand};

/// A message to a worker.
#[derive(Debug)]
pub(crate) enum Message {
    /// To a channel's owner: this worker has subscribers of a class, or one of them wants history.
    Attach(Box<Attach>),
    /// From the owner: where to start.
    Attached {
        key: u64,
        ticket: Ticket,
        attached: Box<Attached>,
    },
    /// From the owner: it has no room for the channel.
    Refused {
        key: u64,
        class: Class,
        ticket: Ticket,
    },
    /// To the owner: no subscribers of `class` are left here.
    Detach { name: Arc<str>, class: Class },
    /// From the owner: what comes next in the log.
    Append { key: u64, append: Append },
    /// To the owner: how far this worker is.
    Progress { name: Arc<str>, progress: Progress },
    /// To the owner: publish this. It counts against the sender's credit until `Taken`.
    Publish(Publication),
    /// From the owner: so many publications of this worker were taken.
    Taken { key: u64, count: u32 },
    /// From the owner: it cannot take what this session published, and it is closed with this code.
    Unpublished { publisher: u64, code: CloseCode },
    /// To the controller of the store, from a worker.
    Ask(Request),
    /// From the controller.
    Answer(Reply),
    /// To the worker a stream lives on: do this to it.
    Stream(StreamCommand),
    /// The answer to that.
    StreamReply(StreamReply),
    /// To the worker of a session that is polled: somebody asks.
    PollAsk(Box<PollAsk>),
    /// The answer to that.
    PollAnswer(Box<PollAnswer>),
    /// The exchange that waits for one waits no more.
    PollLeft(Box<(StreamUid, Waiter)>),
    /// Say something of the streams here; from another thread.
    StreamAsk(Box<StreamAsk>),
    /// Say what is under way here; from another thread.
    Inspect(SyncSender<Inspection>),
}

/// A question on its way to the owner.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) name: Arc<str>,
    pub(crate) ask: Ask,
    /// The asking worker's own key of the channel, for all that comes back.
    pub(crate) key: u64,
    /// Who wants history, if anybody: for the answer.
    pub(crate) ticket: Ticket,
}

/// A publication on its way to the owner.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) name: Arc<str>,
    /// The sender's own key of the channel, for the acknowledgement.
    pub(crate) key: u64,
    pub(crate) kind: u8,
    pub(crate) payload: Segment,
    pub(crate) origin: Origin,
    /// The session at the sender; [`NOBODY`]: the server itself.
    pub(crate) publisher: u64,
}

/// The bits of no session: no table has so many slots.
pub(crate) const NOBODY: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_small() {
        // An append is the largest; a publication by value is no larger, and costs no allocation.
        let size = size_of::<Message>();
        assert!(size <= 72, "{size} bytes");
    }
}
