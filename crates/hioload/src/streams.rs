//! Streams by their UID: found, written to, listed, let go, adopted, joined and closed, from any worker and any
//! thread.
//!
//! A [`StreamUid`] names a session (or another long-lived stream) exactly while it lives. A session
//! gets one when it asks ([`Session::uid`](crate::Session::uid)), when it is listed, or when it opens if
//! [`StreamSettings::name_all`] is set. What a UID names is only ever touched by the worker it lives on:
//!
//! - a handler acts through [`StreamOps`], of its session or worker, and is told what came of it by
//!   [`Handler::stream`](crate::Handler::stream);
//! - any other thread acts through [`Streams`], of the server's handle, and may wait for the answer.
//!
//! ```no_run
//! use hioload::streams::StreamUid;
//! use hioload::{Handler, Message, Server, Session};
//!
//! /// Sends what comes to the stream whose UID the path ends with.
//! struct Relay;
//!
//! impl Handler for Relay {
//!     fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
//!         let uid = session.path().trim_start_matches('/').parse::<StreamUid>();
//!         if let Ok(uid) = uid {
//!             let _ = session.streams().write(uid, message);
//!         }
//!     }
//! }
//!
//! let server = Server::builder().handler(|_worker| Relay).build()?;
//! let streams = server.handle().streams();
//! std::thread::spawn(move || {
//!     let list = streams.list(&Default::default(), 100, std::time::Duration::from_secs(1));
//!     for stream in list.streams {
//!         println!("{} from {:?}", stream.uid, stream.peer);
//!     }
//! });
//! server.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

pub use hioload_streams::{
    ChannelError, ChannelUid, Cursor, Dispatch, End, Event, Filter, Kind, ParseUidError,
    PeerFilter, Refusal, Rejected, Reply, Stats as StreamStats, Step, StreamInfo, StreamUid,
    Ticket,
};

pub use crate::server::streams::{StreamList, StreamOps, StreamRow, StreamSettings, Streams};

/// Why nothing was asked of a stream, or nothing came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The session itself is closing or closed.
    Closed,
    /// The session gets no UID: this limit is reached.
    Rejected(Rejected),
    /// The mailbox of the stream's worker is full: try again later.
    Busy,
    /// As many questions as may be are unanswered, or streams are adopted: try again later.
    TooMany,
    /// No buffer is that large, or the worker's memory is spent.
    NoMemory,
    /// The stream's worker refused it.
    Refused(Refusal),
    /// No answer came in time; it may still be done.
    TimedOut,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the session is closed"),
            Self::Rejected(rejected) => rejected.fmt(f),
            Self::Busy => f.write_str("the stream's worker has too many messages waiting"),
            Self::TooMany => f.write_str("too many questions are unanswered"),
            Self::NoMemory => f.write_str("there is no memory for the message"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::TimedOut => f.write_str("no answer came in time"),
        }
    }
}

impl std::error::Error for StreamError {}

/// What a handler is told of streams; see [`Handler::stream`](crate::Handler::stream).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// A stream of this worker was born, let go, adopted, or ended.
    Life(Event),
    /// The answer to what a handler of this worker asked: by its ticket; a refused write also without one.
    Answer(Reply),
}
