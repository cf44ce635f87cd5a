//! Streams from any thread: what [`StreamOps`](super::StreamOps) does from a handler, and waiting for the answer.
//!
//! Must not know what streams are made of: it sends messages to workers, and gets values back. A worker does a
//! bounded step for each; a list of many streams is many questions.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use hioload_mem::Segment;
use hioload_reactor::Waker;
use hioload_ring::Remote;
use hioload_streams::{
    Command, Cursor, Filter, Kind as StreamKind, Refusal, Reply, Stats, StreamInfo, StreamUid,
    Ticket,
};

use super::asks::{Ask, Page, Unticketed};
use super::remote::StreamCommand;
use super::{Deed, age};
use crate::handler::Message;
use crate::server::message::Message as ToWorker;
use crate::streams::StreamError;

/// The streams of a server, for any thread. Clones share them.
#[derive(Clone)]
pub struct Streams {
    remote: Remote<ToWorker>,
    wakers: Arc<[Waker]>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streams({} workers)", self.wakers.len())
    }
}

/// Streams, as of when each worker was asked.
#[derive(Clone, Debug, Default)]
pub struct StreamList {
    /// By worker, then by place.
    pub streams: Vec<StreamRow>,
    /// All that match are there: no worker was late, and there are no more than were asked for.
    pub is_complete: bool,
}

/// A stream and how old it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Its name.
    pub uid: StreamUid,
    /// What it carries.
    pub kind: StreamKind,
    /// The other end, if it is known.
    pub peer: Option<SocketAddr>,
    /// It lives by itself.
    pub is_autonomous: bool,
    /// Whoever adopted it.
    pub owner: Option<StreamUid>,
    /// For how long it has had its UID.
    pub age: Duration,
    /// For how long nothing came or went.
    pub idle: Duration,
    /// Payload bytes that came.
    pub bytes_in: u64,
    /// Payload bytes that went.
    pub bytes_out: u64,
}

impl Streams {
    pub(in crate::server) fn new(remote: Remote<ToWorker>, wakers: Arc<[Waker]>) -> Self {
        Self { remote, wakers }
    }

    /// Writes a message to a stream, and does not wait: taken is what its worker's mailbox takes. Messages of one
    /// thread to one stream arrive in order. Whether the stream took it, [`Streams::write`] tells.
    ///
    /// # Errors
    /// [`StreamError::Busy`]: the mailbox is full; nothing was sent.
    pub fn try_write(&self, uid: StreamUid, message: Message<'_>) -> Result<(), StreamError> {
        let ticket = Ticket::NONE;
        let payload = deed(message);
        self.send(
            uid,
            ToWorker::Stream(Command::Write {
                uid,
                ticket,
                payload,
            }),
        )
    }

    /// Writes a message to a stream, and waits until it is in the stream's output.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn write(
        &self,
        uid: StreamUid,
        message: Message<'_>,
        timeout: Duration,
    ) -> Result<(), StreamError> {
        let payload = deed(message);
        let write = move |ticket| Command::Write {
            uid,
            ticket,
            payload,
        };
        self.ask(uid, timeout, write).map(|_| ())
    }

    /// What the stream is, if it lives.
    ///
    /// # Errors
    /// [`StreamError`]: a worker that is busy or late does not say that there is none.
    pub fn find(
        &self,
        uid: StreamUid,
        timeout: Duration,
    ) -> Result<Option<StreamInfo>, StreamError> {
        match self.ask(uid, timeout, move |ticket| Command::Find { uid, ticket }) {
            Ok(Reply::Found { info, .. }) => Ok(Some(*info)),
            Ok(Reply::Done { .. } | Reply::Refused { .. })
            | Err(StreamError::Refused(Refusal::Gone)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The stream lives.
    ///
    /// # Errors
    /// [`StreamError`], as for [`Streams::find`].
    pub fn exists(&self, uid: StreamUid, timeout: Duration) -> Result<bool, StreamError> {
        self.find(uid, timeout).map(|found| found.is_some())
    }

    /// Closes a stream, behind what was written to it before.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn close(&self, uid: StreamUid, timeout: Duration) -> Result<(), StreamError> {
        let owner = None;
        let close = move |ticket| Command::Close { uid, ticket, owner };
        self.ask(uid, timeout, close).map(|_| ())
    }

    /// From now on the stream lives by itself.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn detach(&self, uid: StreamUid, timeout: Duration) -> Result<(), StreamError> {
        let detach = move |ticket| Command::Detach { uid, ticket };
        self.ask(uid, timeout, detach).map(|_| ())
    }

    /// Lets a channel of a stream through, or not.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn set_channel(
        &self,
        uid: StreamUid,
        channel: u8,
        is_enabled: bool,
        timeout: Duration,
    ) -> Result<(), StreamError> {
        let set = move |ticket| Command::SetChannel {
            uid,
            ticket,
            channel,
            is_enabled,
        };
        self.ask(uid, timeout, set).map(|_| ())
    }

    /// Joins two streams: what comes on one goes to the other, with backpressure, and they end together.
    ///
    /// # Errors
    /// [`StreamError`]. When only the second could not be joined, the first is closed: what comes on it would lead
    /// nowhere.
    pub fn proxy(&self, a: StreamUid, b: StreamUid, timeout: Duration) -> Result<(), StreamError> {
        if a == b {
            return Err(StreamError::Refused(Refusal::Unfit));
        }
        let join = |uid, peer| move |ticket| Command::Join { uid, ticket, peer };
        self.ask(a, timeout, join(a, b))?;
        let second = self.ask(b, timeout, join(b, a));
        if second.is_err() {
            let unjoin = move |ticket| Command::Unjoin {
                uid: a,
                ticket,
                peer: b,
            };
            let _ = self.ask(a, timeout, unjoin);
        }
        second.map(|_| ())
    }

    /// Up to `max` streams that match, asked of one worker after the other in steps that hold none of them up.
    #[must_use]
    pub fn list(&self, filter: &Filter, max: usize, timeout: Duration) -> StreamList {
        let mut list = StreamList::default();
        let is_complete = self.for_each(filter, timeout, |row| {
            if list.streams.len() == max {
                return false;
            }
            list.streams.push(*row);
            true
        });
        list.is_complete = is_complete;
        list
    }

    /// Meets the streams that match until `meet` says false; true when it met all.
    pub fn for_each(
        &self,
        filter: &Filter,
        timeout: Duration,
        mut meet: impl FnMut(&StreamRow) -> bool,
    ) -> bool {
        let deadline = Instant::now() + timeout;
        let filter = *filter;
        let mut is_complete = true;
        for worker in 0..self.wakers.len() {
            let mut next = Some(Cursor::START);
            while let Some(cursor) = next {
                let ask = |answer| Ask::Page {
                    filter,
                    cursor,
                    answer,
                };
                let Ok(page) = self.ask_worker::<Page>(worker, deadline, ask) else {
                    is_complete = false;
                    break;
                };
                for info in &page.streams {
                    if !meet(&row(info, &page)) {
                        return false;
                    }
                }
                next = page.next;
            }
        }
        is_complete
    }

    /// Gives a UID to every open session that has none, as far as limits allow; true when each worker answered.
    pub fn name_all(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        (0..self.wakers.len()).all(|worker| {
            let mut next = Some(0);
            while let Some(from) = next {
                let ask = |answer| Ask::Name { from, answer };
                match self.ask_worker(worker, deadline, ask) {
                    Ok(more) => next = more,
                    Err(_) => return false,
                }
            }
            true
        })
    }

    /// The counters of each worker that answers in time.
    #[must_use]
    pub fn stats(&self, timeout: Duration) -> Vec<Stats> {
        let deadline = Instant::now() + timeout;
        let workers = 0..self.wakers.len();
        workers
            .filter_map(|worker| self.ask_worker(worker, deadline, Ask::Stats).ok())
            .collect()
    }

    fn ask(
        &self,
        uid: StreamUid,
        timeout: Duration,
        command: impl FnOnce(Ticket) -> StreamCommand + Send + 'static,
    ) -> Result<Reply, StreamError> {
        let worker = usize::from(uid.worker());
        if worker >= self.wakers.len() {
            return Err(StreamError::Refused(Refusal::Gone));
        }
        let deadline = Instant::now() + timeout;
        let reply = self.ask_worker(worker, deadline, |answer| Ask::Command {
            command: Unticketed(Box::new(command)),
            answer,
        })?;
        match reply {
            Reply::Refused { why, .. } => Err(StreamError::Refused(why)),
            reply => Ok(reply),
        }
    }

    fn ask_worker<T>(
        &self,
        worker: usize,
        deadline: Instant,
        ask: impl FnOnce(mpsc::SyncSender<T>) -> Ask,
    ) -> Result<T, StreamError> {
        let (answer, answers) = mpsc::sync_channel(1);
        self.tell(worker, ToWorker::StreamAsk(Box::new(ask(answer))))?;
        let left = deadline.saturating_duration_since(Instant::now());
        answers.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => StreamError::TimedOut,
            // Nobody holds the other end: the worker has no ticket left, or has ended.
            RecvTimeoutError::Disconnected => StreamError::TooMany,
        })
    }

    fn send(&self, uid: StreamUid, message: ToWorker) -> Result<(), StreamError> {
        let worker = usize::from(uid.worker());
        if worker >= self.wakers.len() {
            return Err(StreamError::Refused(Refusal::Gone));
        }
        self.tell(worker, message)
    }

    fn tell(&self, worker: usize, message: ToWorker) -> Result<(), StreamError> {
        let sent = self
            .remote
            .try_send(worker, message)
            .map_err(|_| StreamError::Busy)?;
        if sent.wake {
            self.wakers[worker].wake();
        }
        Ok(())
    }
}

fn deed(message: Message<'_>) -> Deed {
    let payload = Segment::copy_from(message.payload);
    let kind = message.kind;
    Deed::Message {
        kind,
        payload,
        is_proxied: false,
    }
}

fn row(info: &StreamInfo, page: &Page) -> StreamRow {
    StreamRow {
        uid: info.uid,
        kind: info.kind,
        peer: info.peer,
        is_autonomous: info.is_autonomous,
        owner: info.owner,
        age: age(page.now, info.created),
        idle: age(page.now, info.active),
        bytes_in: info.bytes_in,
        bytes_out: info.bytes_out,
    }
}
