//! What workers and the controller tell each other.
//!
//! ```text
//!   worker ── Request ─▶ controller        each with a `RequestId` has exactly one Reply
//!   worker ◀── Reply ─── controller        `Retire` and `Recall` come unasked, at most one of each a worker unanswered
//! ```
//!
//! Fixed in size and passed by value; the rare large ones have a box. A carrier has to keep the order of one worker's
//! requests and of one worker's replies, and must not lose one: the number of requests a worker has unanswered is bounded by
//! its own tables, so a reply always finds room in a queue of that size.
//!
//! Must not know queues or threads.

use hioload_base::Time;

use crate::block::Block;
use crate::class::Class;
use crate::fault::{Damage, Fault};
use crate::hash::Hash;
use crate::record::Record;
use crate::sums::Sums;

/// Names a request among those its worker has unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u32);

/// What a worker wants of the controller.
#[derive(Debug)]
pub enum Request {
    /// Where is this block? [`Reply::Found`] or [`Reply::Missing`]: the newest committed state.
    Lookup {
        /// Of the reply.
        id: RequestId,
        /// Its name.
        hash: Hash,
    },
    /// Blocks to write to. [`Reply::Leased`] with at least one and at most `count`, or [`Reply::Failed`]. For PUTs that wait
    /// blocks are recalled that others have at hand, and waited for; to have some at hand, what is free has to do.
    Lease {
        /// Of the reply.
        id: RequestId,
        /// Of which size.
        class: Class,
        /// How many, at most [`Leased::COUNT_MAX`].
        count: u8,
        /// So many of them PUTs wait for; the others are to be at hand.
        needed: u8,
    },
    /// A leased block that is not needed. No reply.
    Return {
        /// The block.
        block: Block,
        /// A write to it failed: it is not given out again before the store is opened anew.
        is_suspect: bool,
    },
    /// Leased blocks that [`Reply::Recall`] asks for. No reply.
    ReturnMany {
        /// The blocks.
        blocks: Leased,
    },
    /// Whatever was at hand when [`Reply::Recall`] came is returned, and so is what comes to hand from now on, until a lease
    /// brings more than was needed. No reply.
    Recalled,
    /// The content is written: name it. [`Reply::Stored`] or [`Reply::Failed`].
    Occupy {
        /// Of the reply.
        id: RequestId,
        /// Its name.
        hash: Hash,
        /// Where the leased block begins; its class follows from the length.
        unit: u32,
        /// Bytes.
        length: u32,
        /// Sums of the content.
        sums: Sums,
    },
    /// The same content came again and was not written: is it still there? [`Reply::Stored`] or [`Reply::Missing`].
    Confirm {
        /// Of the reply.
        id: RequestId,
        /// Its name.
        hash: Hash,
    },
    /// Forget a block. [`Reply::Released`].
    Release {
        /// Of the reply.
        id: RequestId,
        /// Its name.
        hash: Hash,
    },
    /// Forget many. [`Reply::ReleasedMany`].
    ReleaseMany {
        /// Of the reply.
        id: RequestId,
        /// Their names.
        hashes: Box<[Hash]>,
    },
    /// Somebody was told that these are there: do not release them before `until`. [`Reply::Promised`].
    Promise {
        /// Of the reply.
        id: RequestId,
        /// Their names.
        hashes: Box<[Hash]>,
        /// The end of the promise.
        until: Time,
    },
    /// Keep a named reference. [`Reply::Referred`].
    Refer {
        /// Of the reply.
        id: RequestId,
        /// What to keep.
        call: Box<Refer>,
    },
    /// Forget a named reference. [`Reply::Unreferred`].
    Unrefer {
        /// Of the reply.
        id: RequestId,
        /// Which.
        call: Box<Unrefer>,
    },
    /// The content in this block is damaged. No reply.
    Damaged {
        /// Its name.
        hash: Hash,
        /// Where it was read: the record may have changed since.
        block: Block,
        /// What was found.
        damage: Damage,
    },
    /// The content in this block is on record as damaged and was read whole and right. No reply.
    Sound {
        /// Its name.
        hash: Hash,
        /// Where it was read.
        block: Block,
    },
    /// No read begun before [`Reply::Retire`] of this epoch is in flight. No reply.
    Retired {
        /// The epoch.
        epoch: u64,
    },
}

/// A reference to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refer {
    /// Of which block.
    pub hash: Hash,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its value.
    pub value: Box<[u8]>,
    /// Refuse if there is one of that name: what makes it a lock.
    pub only_new: bool,
}

/// A reference to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrefer {
    /// Of which block.
    pub hash: Hash,
    /// Its name.
    pub name: Box<[u8]>,
}

/// What the controller answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::Lookup`].
    Found {
        /// Of the request.
        id: RequestId,
        /// Where it is.
        record: Box<Record>,
    },
    /// To [`Request::Lookup`] and [`Request::Confirm`]: there is no such block, or none that can be relied on.
    Missing {
        /// Of the request.
        id: RequestId,
    },
    /// To [`Request::Lease`].
    Leased {
        /// Of the request.
        id: RequestId,
        /// The blocks.
        blocks: Leased,
    },
    /// To [`Request::Occupy`] and [`Request::Confirm`].
    Stored {
        /// Of the request.
        id: RequestId,
        /// What it meant.
        outcome: Stored,
        /// Whether it has survived a power failure.
        is_durable: bool,
    },
    /// To [`Request::Release`].
    Released {
        /// Of the request.
        id: RequestId,
        /// What it meant.
        outcome: Released,
    },
    /// To [`Request::ReleaseMany`].
    ReleasedMany {
        /// Of the request.
        id: RequestId,
        /// In the order of the request.
        outcomes: Box<[Released]>,
    },
    /// To [`Request::Promise`].
    Promised {
        /// Of the request.
        id: RequestId,
        /// Those that were gone already: no promise holds for them.
        gone: Box<[Hash]>,
    },
    /// To [`Request::Refer`].
    Referred {
        /// Of the request.
        id: RequestId,
        /// What it meant.
        outcome: Referred,
    },
    /// To [`Request::Unrefer`].
    Unreferred {
        /// Of the request.
        id: RequestId,
        /// Whether there was one.
        was_there: bool,
    },
    /// To any request: nothing of it was done.
    Failed {
        /// Of the request.
        id: RequestId,
        /// Why.
        fault: Fault,
    },
    /// Say [`Request::Retired`] when no read begun before this is in flight: freed blocks wait for it.
    Retire {
        /// The epoch, higher each time.
        epoch: u64,
    },
    /// A PUT waits for space: return the blocks at hand, whatever their class, and say [`Request::Recalled`]. Blocks that PUTs
    /// have stay with them.
    Recall,
}

/// Blocks given to a worker, or returned by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leased {
    units: [u32; Leased::COUNT_MAX],
    class: Class,
    count: u8,
}

impl Leased {
    /// Blocks in one reply at most: what fits into a message.
    pub const COUNT_MAX: usize = 12;

    /// None yet.
    pub fn new(class: Class) -> Leased {
        Leased {
            units: [0; Leased::COUNT_MAX],
            class,
            count: 0,
        }
    }

    /// Adds a block.
    ///
    /// # Panics
    /// When it is of another class, or there are [`Leased::COUNT_MAX`] already.
    pub fn push(&mut self, block: Block) {
        assert!(
            block.class() == self.class,
            "invariant: one reply, one class"
        );
        self.units[usize::from(self.count)] = block.unit();
        self.count += 1;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The blocks.
    pub fn iter(&self) -> impl Iterator<Item = Block> {
        let units = &self.units[..self.len()];
        units
            .iter()
            .filter_map(|unit| Block::new(*unit, self.class))
    }
}

/// What came of a stored content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was not there; the leased block is its place now.
    New,
    /// It was there and damaged; the leased block is its place now.
    Repaired,
    /// It was there; the leased block stays with the worker.
    Present,
}

/// What came of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It is gone.
    Released,
    /// It was not there.
    Missing,
    /// References hold it.
    Referenced,
    /// Somebody was told that it is there.
    Promised {
        /// When the promise ends.
        until: Time,
    },
    /// The environment is in the way.
    Failed(Fault),
}

/// What came of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referred {
    /// It is kept, there was none.
    New,
    /// It is kept in place of the one there was.
    Replaced,
    /// There is one, and it was not to be replaced.
    Exists,
    /// The block has as many as it may.
    TooMany,
    /// There is no such block.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_fills_at_most_one_cache_line() {
        assert!(size_of::<Request>() <= 64, "{}", size_of::<Request>());
        assert!(size_of::<Reply>() <= 64, "{}", size_of::<Reply>());
    }

    #[test]
    fn a_lease_holds_its_limit() {
        for count in [0, 1, Leased::COUNT_MAX] {
            let mut leased = Leased::new(Class::MAX);
            let blocks: Vec<Block> = (0..count as u32)
                .filter_map(|n| Block::new(n * 128, Class::MAX))
                .collect();
            blocks.iter().for_each(|block| leased.push(*block));
            assert_eq!((leased.len(), leased.is_empty()), (count, count == 0));
            assert_eq!(leased.iter().collect::<Vec<_>>(), blocks);
        }
    }

    #[test]
    #[should_panic(expected = "one reply, one class")]
    fn a_lease_is_of_one_class() {
        Leased::new(Class::MAX).push(Block::new(0, Class::MIN).expect("aligned"));
    }
}
