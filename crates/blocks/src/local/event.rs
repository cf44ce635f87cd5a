//! What the store of a worker tells whoever carries its requests: keys, file operations, events.
//!
//! Must not know connections: `user` is what the caller gave when the request began, and comes back with each event.

use hioload_base::{Key, Time};
use hioload_mem::{Buffer, Segment};

use crate::fault::{Damage, Fault, PutError};
use crate::hash::Hash;
use crate::message::{Referred, Released, Stored};

/// A PUT that goes on. Stale after its last event, or after it was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PutKey(pub(super) Key);

/// A GET that goes on. Stale after its last event, its last byte, or after it was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GetKey(pub(super) Key);

/// An operation on the data file, for the worker's driver. Exactly one [`LocalStore::handle_read`](crate::LocalStore::handle_read)
/// or [`LocalStore::handle_written`](crate::LocalStore::handle_written) has to follow.
#[derive(Debug)]
pub enum FileOp {
    /// Read `len` bytes into the empty buffer.
    Read {
        /// Names the operation.
        token: u64,
        /// Where in the file; a multiple of 4 KiB.
        offset: u64,
        /// Bytes; a multiple of 4 KiB.
        len: usize,
        /// Has room for them; its memory is aligned to 4 KiB.
        buffer: Buffer,
    },
    /// Write what is in the buffer.
    Write {
        /// Names the operation.
        token: u64,
        /// Where in the file; a multiple of 4 KiB.
        offset: u64,
        /// Whole units of 4 KiB, aligned so.
        content: Segment,
    },
}

/// What is known of a block before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetHead {
    /// Bytes of the content.
    pub length: u32,
    /// When it was stored, in milliseconds since the epoch of Unix.
    pub created_ms: u64,
    /// The content was found damaged. It may be read all the same: nothing wrong is given out.
    pub is_damaged: bool,
}

/// How a GET begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetBegin {
    /// There is no such block.
    Missing,
    /// It is there: say what part of it is wanted, or abort.
    Found(GetKey, GetHead),
    /// The controller is asked: [`Event::GetFound`], [`Event::GetMissing`] or [`Event::GetFailed`] follows.
    Asked(GetKey),
}

/// What [`LocalStore::get_poll`](crate::LocalStore::get_poll) left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetPoll {
    /// There is more, and room for it was left: [`Event::GetReady`], [`Event::Damaged`] or [`Event::Broken`] follows.
    Waiting,
    /// There is more, verified or being read: poll again when the socket has room.
    More,
    /// That was all; the key is stale.
    Done,
    /// The key is stale.
    Gone,
}

/// Something happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A PUT whose body was held back has room again.
    PutReady {
        /// Which.
        key: PutKey,
        /// Whose.
        user: u64,
    },
    /// There is a content that was not there, or was damaged: once for each, also when who sent it is gone.
    Added {
        /// Its name.
        hash: Hash,
    },
    /// The content is stored. The last event of a PUT.
    Stored {
        /// Which.
        key: PutKey,
        /// Whose.
        user: u64,
        /// Its name.
        hash: Hash,
        /// Bytes.
        length: u32,
        /// Whether it was there.
        outcome: Stored,
        /// Whether it has survived a power failure.
        is_durable: bool,
    },
    /// Nothing is stored. What still comes of the body is dropped. The last event of a PUT.
    PutFailed {
        /// Which.
        key: PutKey,
        /// Whose.
        user: u64,
        /// Why.
        error: PutError,
    },
    /// The block is there.
    GetFound {
        /// Which.
        key: GetKey,
        /// Whose.
        user: u64,
        /// What is known of it.
        head: GetHead,
    },
    /// The block is not there. The last event of a GET.
    GetMissing {
        /// Which.
        key: GetKey,
        /// Whose.
        user: u64,
    },
    /// The GET could not begin. The last event of a GET.
    GetFailed {
        /// Which.
        key: GetKey,
        /// Whose.
        user: u64,
        /// Why.
        fault: Fault,
    },
    /// More is verified: poll.
    GetReady {
        /// Which.
        key: GetKey,
        /// Whose.
        user: u64,
    },
    /// The content is damaged, and no byte of it was given out. The last event of a GET.
    Damaged {
        /// Which.
        key: GetKey,
        /// Whose.
        user: u64,
        /// What was found.
        damage: Damage,
    },
    /// The content is damaged, and a part before that was given out: the connection must be cut, so that nobody takes the
    /// part for the whole. The last event of a GET.
    Broken {
        /// Which.
        key: GetKey,
        /// Whose.
        user: u64,
        /// What was found.
        damage: Damage,
    },
    /// A delete is done.
    Deleted {
        /// Whose.
        user: u64,
        /// What came of it.
        outcome: Released,
    },
    /// A delete of many is done.
    DeletedMany {
        /// Whose.
        user: u64,
        /// In the order of the call.
        outcomes: Box<[Released]>,
    },
    /// A question for many is answered: these are missing; the others are there, and stay until the end of the promise.
    Missing {
        /// Whose.
        user: u64,
        /// In the order of the call, but for those that were deleted while it was answered.
        hashes: Box<[Hash]>,
        /// The end of the promise.
        until: Time,
    },
    /// A reference is kept, or not.
    Referred {
        /// Whose.
        user: u64,
        /// What came of it.
        outcome: Referred,
    },
    /// A reference is forgotten.
    Unreferred {
        /// Whose.
        user: u64,
        /// Whether there was one.
        was_there: bool,
    },
    /// A call that is neither PUT nor GET was not done.
    CallFailed {
        /// Whose.
        user: u64,
        /// Why.
        fault: Fault,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_stay_small() {
        assert!(size_of::<Event>() <= 80, "{}", size_of::<Event>());
        assert!(size_of::<FileOp>() <= 56, "{}", size_of::<FileOp>());
    }
}
