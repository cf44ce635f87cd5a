//! Why the store did not do what was asked: what is nobody's fault but the environment's, and what is wrong with a content.
//!
//! Must not know HTTP. All of it is small and copied: no text is built on the way of a request.

use std::fmt;

use crate::hash::Hash;
use crate::index::IndexError;

/// The environment is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The data file is at its largest, or its file system is full. Deleting blocks makes room.
    NoSpace,
    /// The index is at its largest. Deleting blocks makes room.
    IndexFull,
    /// A sync or commit failed, so that it is not certain what the medium has. Nothing is changed any more until the store is
    /// opened again; reads go on.
    Poisoned,
    /// A table or a budget of the store is at its limit. Try again.
    Busy,
    /// The same, and it is known for how long at least.
    BusyFor {
        /// Try again after so many seconds.
        seconds: u32,
    },
    /// The index could not be read or changed; the rest of the store goes on.
    Index,
    /// The system refused to read or write the data file; its error number.
    Io(i32),
    /// The caller broke a rule of the protocol between worker and controller.
    Misuse,
}

impl Fault {
    /// Seconds after which the same request may succeed without anybody doing something.
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Fault::Busy => Some(1),
            Fault::BusyFor { seconds } => Some(seconds),
            _ => None,
        }
    }
}

impl From<&IndexError> for Fault {
    fn from(error: &IndexError) -> Fault {
        match error {
            IndexError::Full => Fault::IndexFull,
            IndexError::Poisoned => Fault::Poisoned,
            IndexError::Limit(_) => Fault::Misuse,
            _ => Fault::Index,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoSpace => f.write_str(
                "no space left for data: delete blocks or raise the size of the data file",
            ),
            Fault::IndexFull => {
                f.write_str("no space left in the index: delete blocks or raise its map size")
            }
            Fault::Poisoned => f.write_str(
                "a sync failed earlier: the store changes nothing until it is opened again",
            ),
            Fault::Busy | Fault::BusyFor { .. } => {
                f.write_str("the store is at one of its limits: try again")
            }
            Fault::Index => f.write_str("the index could not be read or changed"),
            Fault::Io(code) => {
                let error = std::io::Error::from_raw_os_error(*code);
                write!(f, "the data file could not be read or written: {error}")
            }
            Fault::Misuse => f.write_str("a rule between worker and controller was broken"),
        }
    }
}

impl std::error::Error for Fault {}

/// A PUT stored nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// The content is not what its name says.
    Mismatch {
        /// The hash of what came.
        found: Hash,
    },
    /// There was no content: nothing has no block.
    Empty,
    /// More than [`BLOCK_SIZE_MAX`](crate::BLOCK_SIZE_MAX).
    TooLong,
    /// Another length than the one announced.
    Length {
        /// Bytes announced.
        expected: u32,
        /// Bytes that came.
        received: u32,
    },
    /// The environment.
    Fault(Fault),
}

impl From<Fault> for PutError {
    fn from(fault: Fault) -> PutError {
        PutError::Fault(fault)
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Mismatch { found } => write!(f, "the content has the hash {found}"),
            PutError::Empty => f.write_str("a block has at least one byte"),
            PutError::TooLong => write!(f, "a block has at most {} bytes", crate::BLOCK_SIZE_MAX),
            PutError::Length { expected, received } => {
                write!(f, "{received} bytes came instead of {expected}")
            }
            PutError::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for PutError {}

/// What was found wrong with a stored content, after it was read twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A chunk of 4 KiB does not have the checksum on record.
    Sum {
        /// Which one, from 0.
        chunk: u32,
    },
    /// Every chunk has its checksum, and the whole has another hash than its name.
    Hash,
    /// The medium does not give it back; the system's error number.
    Unreadable {
        /// The first chunk of what was read.
        chunk: u32,
        /// The number.
        code: i32,
    },
}

impl Damage {
    /// The first chunk in doubt, from 0.
    pub const fn chunk(self) -> u32 {
        match self {
            Damage::Sum { chunk } | Damage::Unreadable { chunk, .. } => chunk,
            Damage::Hash => 0,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Sum { chunk } => write!(f, "the checksum of chunk {chunk} does not match"),
            Damage::Hash => f.write_str("the content does not have the hash it is named by"),
            Damage::Unreadable { chunk, code } => {
                let error = std::io::Error::from_raw_os_error(*code);
                write!(f, "chunk {chunk} cannot be read: {error}")
            }
        }
    }
}
