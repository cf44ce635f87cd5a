//! What workers want in the next cycle, by kind: the order of work is the order of these lists.
//!
//! Must not know how it is done. Limit: the batch; one request that names many blocks counts as many, and may exceed it.

use std::collections::VecDeque;

use hioload_base::Time;

use crate::block::Block;
use crate::class::Class;
use crate::fault::{Damage, Fault};
use crate::hash::Hash;
use crate::message::{Refer, RequestId, Unrefer};
use crate::sums::Sums;

/// Who asked, and which of its requests it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) worker: usize,
    pub(super) id: RequestId,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) asker: Asker,
    pub(super) class: Class,
    pub(super) count: u8,
    /// So many of them PUTs wait for.
    pub(super) needed: u8,
    /// Until when it waits for readers, and for what is recalled, when there is no other space; set when it was tried.
    pub(super) until: Option<Time>,
}

impl Lease {
    /// PUTs wait for it, and it has found no space yet.
    pub(super) fn is_starving(&self) -> bool {
        self.needed > 0 && self.until.is_some()
    }
}

#[derive(Debug)]
pub(super) struct Promise {
    pub(super) asker: Asker,
    pub(super) hashes: Box<[Hash]>,
    pub(super) until: Time,
}

/// A content was found damaged, or sound.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) hash: Hash,
    pub(super) block: Block,
    pub(super) damage: Option<Damage>,
}

#[derive(Debug)]
pub(super) enum Release {
    One(Asker, Hash),
    Many(Asker, Box<[Hash]>),
}

#[derive(Debug)]
pub(super) enum Reference {
    Keep(Asker, Box<Refer>),
    Forget(Asker, Box<Unrefer>),
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) asker: Asker,
    pub(super) hash: Hash,
    /// What was written; `None` asks whether the content is still there.
    pub(super) written: Option<Written>,
}

#[derive(Debug)]
pub(super) struct Written {
    pub(super) block: Block,
    pub(super) length: u32,
    pub(super) sums: Sums,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) lookups: Vec<(Asker, Hash)>,
    pub(super) promises: Vec<Promise>,
    pub(super) leases: VecDeque<Lease>,
    pub(super) changes: Changes,
    /// Requests that no honest worker makes.
    pub(super) refused: Vec<(Asker, Fault)>,
    /// Requests taken in since the last batch, blocks of those that name many.
    pub(super) count: usize,
}

/// What opens a batch of the index.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) releases: Vec<Release>,
    pub(super) references: Vec<Reference>,
    pub(super) stores: Vec<Store>,
}

impl Changes {
    pub(super) fn len(&self) -> usize {
        self.verdicts.len() + self.releases.len() + self.references.len() + self.stores.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everybody who waits for a reply.
    pub(super) fn askers(&self) -> impl Iterator<Item = Asker> {
        let releases = self.releases.iter().map(|release| match release {
            Release::One(asker, _) | Release::Many(asker, _) => *asker,
        });
        let references = self.references.iter().map(|reference| match reference {
            Reference::Keep(asker, _) | Reference::Forget(asker, _) => *asker,
        });
        let stores = self.stores.iter().map(|store| store.asker);
        releases.chain(references).chain(stores)
    }

    pub(super) fn clear(&mut self) {
        self.verdicts.clear();
        self.releases.clear();
        self.references.clear();
        self.stores.clear();
    }
}
