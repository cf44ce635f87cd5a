//! One batch: every change in turn, then all of them or nothing.
//!
//! ```text
//!   verdicts ─▶ releases ─▶ references ─▶ stores     each reads what the ones before it left
//!        └─────────┴── Index ──┴──────────┘  + effects and replies, which count only after the commit
//! ```
//!
//! The order within a batch is one in which its requests could have come: none of them has its answer yet. Releases come before
//! stores, so that the same content released and stored in one batch is there afterwards. Must not know disks or workers.
//!
//! A full index never keeps releases from happening: the batch is then done again without what needs room.

use hioload_base::Time;

use super::inbox::{Asker, Changes, Reference, Release, Store, Verdict};
use super::promises::Promises;
use crate::block::Block;
use crate::fault::{Damage, Fault};
use crate::hash::Hash;
use crate::index::{Index, IndexError};
use crate::journal::Log;
use crate::message::{Refer, Referred, Released, Reply, Stored, Unrefer};
use crate::record::{Flags, Record};

/// What a batch may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    /// Nothing that needs room in the index: references and stores are refused, releases are done.
    Releases,
}

/// What becomes true with the commit.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) replies: Vec<(usize, Reply)>,
    /// Blocks that have a content now, and its length.
    pub(super) occupied: Vec<(Block, u32)>,
    /// Leased blocks that were not needed: they stay with their workers.
    pub(super) unused: Vec<(usize, Block)>,
    /// Blocks that have no content any more, and the length of what they had.
    pub(super) freed: Vec<(Block, u32)>,
    /// Contents that are found damaged; true when the record did not say so before.
    pub(super) damaged: Vec<(Hash, Block, Damage, bool)>,
    /// Contents on record as damaged that are so no more.
    pub(super) mended: Vec<Hash>,
    pub(super) stored: u64,
    pub(super) present: u64,
    pub(super) repaired: u64,
    pub(super) released: u64,
    pub(super) refused: u64,
    /// The index was changed.
    pub(super) is_change: bool,
}

impl Effects {
    pub(super) fn clear(&mut self) {
        let Effects {
            replies,
            occupied,
            unused,
            freed,
            damaged,
            mended,
            stored,
            present,
            repaired,
            released,
            refused,
            is_change,
        } = self;
        replies.clear();
        occupied.clear();
        unused.clear();
        freed.clear();
        damaged.clear();
        mended.clear();
        (*stored, *present, *repaired, *released, *refused) = (0, 0, 0, 0, 0);
        *is_change = false;
    }

    fn reply(&mut self, asker: Asker, reply: Reply) {
        self.replies.push((asker.worker, reply));
    }
}

pub(super) struct Batch<'a> {
    pub(super) index: &'a mut dyn Index,
    /// Where changes are noted for the journal.
    pub(super) log: Option<&'a mut Log>,
    pub(super) promises: &'a Promises,
    pub(super) effects: &'a mut Effects,
    pub(super) now: Time,
    /// Now, in milliseconds since the epoch of Unix.
    pub(super) now_ms: u64,
    /// Freed blocks there is still room for in the table of those that wait.
    pub(super) freed_max: usize,
    /// References that one block may have.
    pub(super) references_max: u64,
    pub(super) is_durable: bool,
}

impl Batch<'_> {
    /// Does everything in `changes` that is in scope, up to the commit.
    ///
    /// # Errors
    /// The batch cannot go on: nothing of it has happened after a rollback.
    pub(super) fn run(&mut self, changes: &Changes, scope: Scope) -> Result<(), IndexError> {
        if scope == Scope::Everything {
            for verdict in &changes.verdicts {
                self.judge(verdict)?;
            }
        }
        for release in &changes.releases {
            self.release(release)?;
        }
        for reference in &changes.references {
            self.reference(reference, scope)?;
        }
        for store in &changes.stores {
            self.store(store, scope)?;
        }
        Ok(())
    }

    fn judge(&mut self, verdict: &Verdict) -> Result<(), IndexError> {
        let Verdict {
            hash,
            block,
            damage,
        } = verdict;
        let record = match self.index.block(hash) {
            Ok(Some(record)) if record.block == *block => record,
            // Repaired or released since: it is about something that is no more.
            Ok(_) | Err(IndexError::Corrupt { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let flags = match damage {
            Some(_) => record.flags.with(Flags::DAMAGED),
            None => record.flags.without(Flags::DAMAGED),
        };
        let is_new = flags != record.flags;
        if is_new {
            self.put_block(hash, &Record { flags, ..record })?;
        }
        match damage {
            Some(damage) => self.effects.damaged.push((*hash, *block, *damage, is_new)),
            None if is_new => self.effects.mended.push(*hash),
            None => {}
        }
        Ok(())
    }

    fn release(&mut self, release: &Release) -> Result<(), IndexError> {
        match release {
            Release::One(asker, hash) => {
                let outcome = self.release_one(hash)?;
                let id = asker.id;
                self.effects.reply(*asker, Reply::Released { id, outcome });
            }
            Release::Many(asker, hashes) => {
                let outcomes: Result<_, IndexError> =
                    hashes.iter().map(|hash| self.release_one(hash)).collect();
                let (id, outcomes) = (asker.id, outcomes?);
                self.effects
                    .reply(*asker, Reply::ReleasedMany { id, outcomes });
            }
        }
        Ok(())
    }

    fn release_one(&mut self, hash: &Hash) -> Result<Released, IndexError> {
        // A row that cannot be read names no block: there is only the row to forget.
        let record = match self.index.block(hash) {
            Ok(Some(record)) => Some(record),
            Ok(None) => return Ok(Released::Missing),
            Err(IndexError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(until) = self.promises.until(self.now, hash) {
            self.effects.refused += 1;
            return Ok(Released::Promised { until });
        }
        if self.index.reference_count(hash, 1)? > 0 {
            self.effects.refused += 1;
            return Ok(Released::Referenced);
        }
        if self.effects.freed.len() >= self.freed_max {
            return Ok(Released::Failed(Fault::Busy));
        }
        self.index.delete_block(hash)?;
        self.note(|log| log.delete_block(hash));
        self.effects.released += 1;
        if let Some(record) = record {
            self.effects.freed.push((record.block, record.length));
            if record.is_damaged() {
                self.effects.mended.push(*hash);
            }
        }
        Ok(Released::Released)
    }

    fn reference(&mut self, reference: &Reference, scope: Scope) -> Result<(), IndexError> {
        match reference {
            Reference::Keep(asker, call) => {
                let id = asker.id;
                let reply = match scope {
                    Scope::Everything => self
                        .refer(call)
                        .map(|outcome| Reply::Referred { id, outcome }),
                    Scope::Releases => Ok(Reply::Failed {
                        id,
                        fault: Fault::IndexFull,
                    }),
                };
                self.answer(*asker, reply)
            }
            Reference::Forget(asker, call) => {
                let Unrefer { hash, name } = &**call;
                let was_there = self.index.delete_reference(hash, name);
                if matches!(was_there, Ok(true)) {
                    self.note(|log| log.delete_reference(hash, name));
                }
                let id = asker.id;
                let reply = was_there.map(|was_there| Reply::Unreferred { id, was_there });
                self.answer(*asker, reply)
            }
        }
    }

    fn refer(&mut self, call: &Refer) -> Result<Referred, IndexError> {
        let Refer {
            hash,
            name,
            value,
            only_new,
        } = call;
        if self.index.block(hash)?.is_none() {
            return Ok(Referred::Missing);
        }
        let is_there = match self.index.reference(hash, name) {
            Ok(known) => known.is_some(),
            Err(IndexError::Corrupt { .. }) if !only_new => true,
            Err(error) => return Err(error),
        };
        if *only_new && is_there {
            return Ok(Referred::Exists);
        }
        let count_max = self.references_max;
        if !is_there && self.index.reference_count(hash, count_max)? >= count_max {
            return Ok(Referred::TooMany);
        }
        let is_replaced = self.index.put_reference(hash, name, value)?;
        self.note(|log| log.put_reference(hash, name, value));
        Ok(if is_replaced {
            Referred::Replaced
        } else {
            Referred::New
        })
    }

    /// A reply, or what only this request has to hear of.
    fn answer(&mut self, asker: Asker, reply: Result<Reply, IndexError>) -> Result<(), IndexError> {
        let reply = match reply {
            Ok(reply) => reply,
            Err(error @ (IndexError::Corrupt { .. } | IndexError::Limit(_))) => Reply::Failed {
                id: asker.id,
                fault: Fault::from(&error),
            },
            Err(error) => return Err(error),
        };
        self.effects.reply(asker, reply);
        Ok(())
    }

    fn store(&mut self, store: &Store, scope: Scope) -> Result<(), IndexError> {
        let Store {
            asker,
            hash,
            written,
        } = store;
        let id = asker.id;
        // A row that cannot be read is replaced like a damaged content; which block it named nobody knows.
        let (known, is_corrupt) = match self.index.block(hash) {
            Ok(known) => (known, false),
            Err(IndexError::Corrupt { .. }) => (None, true),
            Err(error) => return Err(error),
        };
        let is_present = known.as_ref().is_some_and(|record| !record.is_damaged());
        let outcome = match written {
            _ if is_present => Stored::Present,
            None => {
                self.effects.reply(*asker, Reply::Missing { id });
                return Ok(());
            }
            Some(_) if scope == Scope::Releases => {
                let fault = Fault::IndexFull;
                self.unused(store);
                self.effects.reply(*asker, Reply::Failed { id, fault });
                return Ok(());
            }
            Some(written) => {
                let record = Record {
                    block: written.block,
                    length: written.length,
                    created: self.now_ms,
                    flags: Flags::NONE,
                    sums: written.sums.clone(),
                };
                self.put_block(hash, &record)?;
                self.effects.occupied.push((written.block, written.length));
                if let Some(old) = &known {
                    self.effects.freed.push((old.block, old.length));
                    self.effects.mended.push(*hash);
                }
                if known.is_some() || is_corrupt {
                    Stored::Repaired
                } else {
                    Stored::New
                }
            }
        };
        match outcome {
            Stored::Present => {
                self.effects.present += 1;
                self.unused(store);
            }
            Stored::Repaired => self.effects.repaired += 1,
            Stored::New => self.effects.stored += 1,
        }
        let is_durable = self.is_durable;
        self.effects.reply(
            *asker,
            Reply::Stored {
                id,
                outcome,
                is_durable,
            },
        );
        Ok(())
    }

    fn put_block(&mut self, hash: &Hash, record: &Record) -> Result<(), IndexError> {
        self.index.put_block(hash, record)?;
        self.note(|log| log.put_block(hash, record));
        Ok(())
    }

    /// The index was changed.
    fn note(&mut self, note: impl FnOnce(&mut Log)) {
        self.effects.is_change = true;
        if let Some(log) = &mut self.log {
            note(log);
        }
    }

    /// The leased block of a store stays with its worker.
    fn unused(&mut self, store: &Store) {
        let Store { asker, written, .. } = store;
        self.effects.unused.extend(
            written
                .as_ref()
                .map(|written| (asker.worker, written.block)),
        );
    }
}
