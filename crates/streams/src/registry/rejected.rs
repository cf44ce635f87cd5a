//! Why a stream is not born, and why one is not adopted.

use std::fmt;

use crate::{Kind, StreamUid};

/// Which limit rejected a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejected {
    /// Its socket has as many as it may.
    Socket,
    /// Its worker has.
    Worker,
    /// All workers together have.
    Total,
    /// There are as many of its kind on the worker as may be.
    Kind(Kind),
    /// Its socket slot is beyond what a UID can name.
    Slot,
    /// All UIDs of its socket are used up while some of them live.
    Uids,
}

impl Rejected {
    /// Reasons there are.
    pub const COUNT: usize = 6;
    /// Their names, by [`Rejected::index`].
    pub const NAMES: [&'static str; Self::COUNT] =
        ["socket", "worker", "total", "kind", "slot", "uids"];

    /// Which reason it is.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Rejected::Socket => 0,
            Rejected::Worker => 1,
            Rejected::Total => 2,
            Rejected::Kind(_) => 3,
            Rejected::Slot => 4,
            Rejected::Uids => 5,
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::Socket => f.write_str("the connection has as many streams as it may"),
            Rejected::Worker => f.write_str("the worker has as many streams as it may"),
            Rejected::Total => f.write_str("there are as many streams as there may be"),
            Rejected::Kind(kind) => write!(f, "there are as many {kind} streams as there may be"),
            Rejected::Slot => f.write_str("the socket's slot is beyond what a UID can name"),
            Rejected::Uids => f.write_str("all UIDs of the connection are used up"),
        }
    }
}

impl std::error::Error for Rejected {}

/// Why a stream is not adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// There is no such stream.
    Gone,
    /// It is not autonomous: whoever opened it has it, or this one.
    Taken {
        /// Whoever adopted it; `None`: whoever opened it never let go.
        owner: Option<StreamUid>,
    },
    /// The adopter has as many as it may.
    TooMany,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Gone => f.write_str("there is no such stream"),
            AttachError::Taken { owner: Some(owner) } => write!(f, "stream {owner} has it"),
            AttachError::Taken { owner: None } => f.write_str("whoever opened the stream has it"),
            AttachError::TooMany => f.write_str("the adopter has as many streams as it may"),
        }
    }
}

impl std::error::Error for AttachError {}
