//! What happened to a stream, for whoever observes them.

use crate::{StreamInfo, StreamUid};

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// In order, from either side.
    Closed,
    /// Its connection broke, or it was reset.
    Reset,
    /// It was autonomous and silent for too long.
    Idle,
    /// Whoever had adopted it ended.
    Owner,
    /// An operator, or another stream, asked for it.
    Asked,
    /// The server ends.
    Shutdown,
}

impl End {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Reset => "reset",
            End::Idle => "idle",
            End::Owner => "owner",
            End::Asked => "asked",
            End::Shutdown => "shutdown",
        }
    }
}

/// What happened to a stream. Each carries what was known of it at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was registered.
    Created(StreamInfo),
    /// It lives on by itself from now on.
    Detached(StreamInfo),
    /// It was adopted.
    Attached(StreamInfo),
    /// It is gone; its UID names nothing any more.
    Destroyed(StreamInfo, End),
}

impl Event {
    /// The stream.
    #[must_use]
    pub fn uid(&self) -> StreamUid {
        self.info().uid
    }

    /// The stream as it was.
    #[must_use]
    pub fn info(&self) -> &StreamInfo {
        match self {
            Event::Created(info)
            | Event::Detached(info)
            | Event::Attached(info)
            | Event::Destroyed(info, _) => info,
        }
    }
}
