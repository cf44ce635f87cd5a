//! The one place where the store changes: the only writer of the index, and who gives out space.
//!
//! ```text
//!   requests of all workers ─▶ push ─▶ inbox, by kind
//!                                        │ cycle
//!      lookups, promises, leases ────────┤ answered from memory and the committed state, first
//!      verdicts, releases, refs, stores ─┴▶ one batch ─▶ journal ─▶ ONE sync of the data file ─▶ published ─▶ replies
//!                                                                                  └▶ freed blocks: Retire, then free
//! ```
//!
//! Releases do not wait for leases nor leases for releases: a freed block is free only when no reader can hold it any more,
//! which is later than the batch in any order. A lease that finds no space waits for such blocks a little, then it is refused.
//! One that PUTs wait for has blocks recalled that workers have at hand ([`Recalls`](recalls::Recalls)); meanwhile nobody gets
//! more than PUTs need.
//!
//! # Invariants
//!
//! - A reply to a change is given after readers see what it says, and it is durable unless the mode is relaxed.
//! - Data is on the medium before the index that names it is.
//! - What the index has not durably the journal has, durably, or a commit of the index syncs it all
//!   ([`Journal`](crate::journal::Journal)); but in relaxed mode.
//! - After a failed sync or commit nothing is acknowledged and nothing is changed any more: what the medium has is known only
//!   to the next start. Lookups go on, of the last state that was committed.
//! - A block has one state at a time ([`Ledger`](ledger::Ledger)), and is given out again only when it is in no committed
//!   state, durable if the mode can lose commits, and no reader is left ([`Retirement`](retirement::Retirement)).
//! - A full data file or index refuses what needs room and nothing else.
//!
//! Must not know threads, queues or clocks: requests are pushed, replies are carried away, time is asked of the caller, which
//! also sees how long syncs take. All state but the index is rebuilt at the start from the index.

mod batch;
mod damage_list;
mod disk;
mod inbox;
mod leasing;
mod ledger;
mod promises;
mod recalls;
mod retirement;
mod start;
#[cfg(test)]
mod tests;

use hioload_base::Time;

use self::batch::{Batch, Effects, Scope};
use self::damage_list::DamageList;
use self::inbox::{Asker, Inbox, Lease, Promise, Reference, Release, Store, Verdict, Written};
use self::ledger::Ledger;
use self::promises::Promises;
use self::recalls::Recalls;
use self::retirement::Retirement;
use crate::block::Block;
use crate::buddy::Inconsistency;
use crate::class::Class;
use crate::config::ControllerConfig;
use crate::fault::Fault;
use crate::index::{Index, IndexError, IndexReader, MetaKey};
use crate::journal::Journal;
use crate::message::{Reply, Request};
use crate::stats::{ControllerStats, PauseStats};

pub use self::disk::Disk;
pub use self::start::StartError;

/// Replies with the worker each is for, in order.
pub type Replies = Vec<(usize, Reply)>;

/// When to call [`Controller::cycle`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once, after the replies are carried away: a batch waits.
    Again,
    /// Then, or when a request comes.
    At(Time),
    /// When a request comes.
    Idle,
}

/// The controller.
pub struct Controller {
    index: Box<dyn Index>,
    disk: Box<dyn Disk>,
    /// What makes commits durable before the index is; none in relaxed mode, or without space.
    journal: Option<Journal>,
    config: ControllerConfig,
    inbox: Inbox,
    effects: Effects,
    ledger: Ledger,
    retirement: Retirement,
    recalls: Recalls,
    promises: Promises,
    damage: DamageList,
    is_poisoned: bool,
    /// Since when a batch is open for more.
    gathers_since: Option<Time>,
    /// Quick requests were answered, and the caller had a chance to carry the replies away.
    has_answered: bool,
    /// When to sync what was committed and is not durable in the index: with the journal, or in relaxed mode.
    sync_at: Option<Time>,
    /// In relaxed mode: blocks of which a crash could bring the content back.
    unsynced_freed: Vec<Block>,
    stats: ControllerStats,
}

impl Controller {
    /// Takes a request. Always possible; a caller that stops at [`Controller::is_full`] bounds the batch.
    ///
    /// # Panics
    /// When there is no such worker.
    pub fn push(&mut self, worker: usize, request: Request) {
        let inbox = &mut self.inbox;
        inbox.count += 1;
        let asker = |id| Asker { worker, id };
        match request {
            Request::Lookup { id, hash } => inbox.lookups.push((asker(id), hash)),
            Request::Lease {
                id,
                class,
                count,
                needed,
            } => inbox.leases.push_back(Lease {
                asker: asker(id),
                class,
                count,
                needed: needed.min(count),
                until: None,
            }),
            Request::Promise { id, hashes, until } => {
                inbox.count += hashes.len();
                inbox.promises.push(Promise {
                    asker: asker(id),
                    hashes,
                    until,
                });
            }
            Request::Return { block, is_suspect } => {
                self.take_back(worker, block, is_suspect);
            }
            Request::ReturnMany { blocks } => {
                for block in blocks.iter() {
                    self.stats.recalled += u64::from(self.take_back(worker, block, false));
                }
            }
            Request::Recalled => self.recalls.answered(worker),
            Request::Retired { epoch } => self.retirement.answered(worker, epoch),
            Request::Occupy {
                id,
                hash,
                unit,
                length,
                sums,
            } => {
                let block = Class::for_length(length).and_then(|class| Block::new(unit, class));
                match block.filter(|block| self.ledger.end_lease(worker, *block)) {
                    Some(block) => inbox.changes.stores.push(Store {
                        asker: asker(id),
                        hash,
                        written: Some(Written {
                            block,
                            length,
                            sums,
                        }),
                    }),
                    None => inbox.refused.push((asker(id), Fault::Misuse)),
                }
            }
            Request::Confirm { id, hash } => inbox.changes.stores.push(Store {
                asker: asker(id),
                hash,
                written: None,
            }),
            Request::Release { id, hash } => {
                inbox.changes.releases.push(Release::One(asker(id), hash));
            }
            Request::ReleaseMany { id, hashes } => {
                inbox.count += hashes.len();
                inbox
                    .changes
                    .releases
                    .push(Release::Many(asker(id), hashes));
            }
            Request::Refer { id, call } => inbox
                .changes
                .references
                .push(Reference::Keep(asker(id), call)),
            Request::Unrefer { id, call } => {
                inbox
                    .changes
                    .references
                    .push(Reference::Forget(asker(id), call));
            }
            Request::Damaged {
                hash,
                block,
                damage,
            } => inbox.changes.verdicts.push(Verdict {
                hash,
                block,
                damage: Some(damage),
            }),
            Request::Sound { hash, block } => inbox.changes.verdicts.push(Verdict {
                hash,
                block,
                damage: None,
            }),
        }
    }

    /// The batch is at its limit: leave further requests in their queues until the next cycle.
    pub fn is_full(&self) -> bool {
        self.inbox.count >= self.config.batch_max
    }

    /// Does what is due: answers what is quick, or makes a batch. Asks `clock` for the time, again after what takes long.
    pub fn cycle(&mut self, clock: &mut dyn FnMut() -> Time, replies: &mut Replies) -> Next {
        let now = clock();
        let has_work = self.inbox.count > 0;
        self.stats.cycles += u64::from(has_work);
        self.stats.cycles_idle += u64::from(!has_work);
        if has_work {
            self.stats.queue_depth.add(self.inbox.count as u64);
        }
        let answered_before = replies.len();
        self.free_retired();
        self.answer_lookups(replies);
        self.answer_promises(now, replies);
        self.answer_leases(now, replies);
        self.secure_growth(clock);
        let has_replies = replies.len() > answered_before;
        match self.due(now) {
            Some(due) if now >= due || self.is_full() => {
                // What is quick need not wait for the sync of what is not.
                if has_replies && !std::mem::replace(&mut self.has_answered, true) {
                    return Next::Again;
                }
                self.run_batch(now, clock, replies);
            }
            due => {
                // Nothing of a batch is in here: what is left are leases, and changes that gather.
                if due.is_none() {
                    self.inbox.count = 0;
                }
            }
        }
        self.sync_index(clock(), clock);
        self.free_retired();
        self.retirement
            .ask(|worker, epoch| replies.push((worker, Reply::Retire { epoch })));
        self.next()
    }

    /// A view of the index for one worker.
    ///
    /// # Errors
    /// [`IndexError::ReadersFull`].
    pub fn reader(&self) -> Result<Box<dyn IndexReader>, IndexError> {
        self.index.reader()
    }

    /// A sync or commit failed: nothing is changed any more before the store is opened again.
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// Makes everything committed durable in the index, for an orderly end.
    ///
    /// # Errors
    /// [`Fault::Poisoned`].
    pub fn finish(&mut self, clock: &mut dyn FnMut() -> Time) -> Result<(), Fault> {
        if self.sync_at.is_some() {
            self.sync_index(Time::MAX, clock);
        }
        if self.is_poisoned {
            Err(Fault::Poisoned)
        } else {
            Ok(())
        }
    }

    /// How the thread waited, for the figures: it is not the controller that waits.
    pub fn note_pause(&mut self, pause: PauseStats) {
        self.stats.pause = pause;
    }

    /// What was done.
    pub fn stats(&self) -> ControllerStats {
        ControllerStats {
            durability: self.config.durability,
            is_poisoned: self.is_poisoned,
            blocks: self.ledger.stored_count(),
            space: self.ledger.stats(),
            damaged: self.damage.count(),
            damaged_list: self.damage.listed().to_vec(),
            promises: self.promises.len() as u64,
            epoch: self.retirement.epoch(),
            ..self.stats.clone()
        }
    }

    /// Free map, leases and counts agree. Takes time in proportion to the file.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), Inconsistency> {
        self.ledger.check()
    }

    // What is answered at once.

    fn answer_lookups(&mut self, replies: &mut Replies) {
        for (asker, fault) in self.inbox.refused.drain(..) {
            let id = asker.id;
            replies.push((asker.worker, Reply::Failed { id, fault }));
        }
        for (asker, hash) in self.inbox.lookups.drain(..) {
            let id = asker.id;
            let reply = match self.index.block(&hash) {
                Ok(Some(record)) => Reply::Found {
                    id,
                    record: Box::new(record),
                },
                Ok(None) => Reply::Missing { id },
                Err(error) => Reply::Failed {
                    id,
                    fault: Fault::from(&error),
                },
            };
            self.stats.lookups += 1;
            replies.push((asker.worker, reply));
        }
    }

    fn answer_promises(&mut self, now: Time, replies: &mut Replies) {
        for promise in self.inbox.promises.drain(..) {
            let id = promise.asker.id;
            let mut gone = Vec::new();
            let has_room = self.promises.has_room(now, &promise.hashes);
            if has_room {
                for hash in &promise.hashes {
                    // It was there when the worker looked; since then it may have been released.
                    let known = self.index.block(hash);
                    if matches!(known, Ok(Some(record)) if !record.is_damaged()) {
                        self.promises.make(hash, promise.until);
                    } else {
                        gone.push(*hash);
                    }
                }
            }
            let reply = if has_room {
                let gone = gone.into_boxed_slice();
                Reply::Promised { id, gone }
            } else {
                let seconds = self.promises.seconds_to_room(now);
                let fault = Fault::BusyFor { seconds };
                Reply::Failed { id, fault }
            };
            replies.push((promise.asker.worker, reply));
        }
    }

    /// Where no sync comes before a commit, the index could outlive the space it names: new space is made durable at once.
    fn secure_growth(&mut self, clock: &mut dyn FnMut() -> Time) {
        let has_grown = self.ledger.take_growth();
        if has_grown && !self.config.durability.is_durable() {
            self.sync_disk(clock);
        }
    }

    fn free_retired(&mut self) {
        while let Some(block) = self.retirement.next_free() {
            self.ledger.freed(block);
        }
    }

    // The batch.

    /// When the batch is due, if there is one.
    fn due(&mut self, now: Time) -> Option<Time> {
        if self.inbox.changes.is_empty() {
            return None;
        }
        let since = *self.gathers_since.get_or_insert(now);
        Some(since + self.config.durability.gather())
    }

    fn run_batch(&mut self, now: Time, clock: &mut dyn FnMut() -> Time, replies: &mut Replies) {
        self.has_answered = false;
        self.gathers_since = None;
        self.inbox.count = 0;
        let changes = std::mem::take(&mut self.inbox.changes);
        self.stats.batch.add(changes.len() as u64);
        let result = if self.is_poisoned {
            Err(Fault::Poisoned)
        } else {
            self.apply(now, &changes, clock)
        };
        match result {
            Ok(()) => self.settle(now),
            Err(fault) => {
                self.stats.batches_failed += 1;
                self.fail_all(&changes, fault);
            }
        }
        replies.append(&mut self.effects.replies);
        // The lists keep their memory for the next batch.
        self.inbox.changes = changes;
        self.inbox.changes.clear();
    }

    /// All of it up to the commit, or nothing.
    fn apply(
        &mut self,
        now: Time,
        changes: &inbox::Changes,
        clock: &mut dyn FnMut() -> Time,
    ) -> Result<(), Fault> {
        let begun = clock();
        let mut result = self.attempt(now, changes, Scope::Everything, clock);
        if matches!(result, Err(IndexError::Full)) && self.sync_for_room(clock) {
            result = self.attempt(now, changes, Scope::Everything, clock);
        }
        if matches!(result, Err(IndexError::Full)) {
            self.stats.batches_index_full += 1;
            result = self.attempt(now, changes, Scope::Releases, clock);
        }
        result.map_err(|error| {
            if self.is_poisoned {
                Fault::Poisoned
            } else {
                Fault::from(&error)
            }
        })?;
        self.stats.commit_ns.add_time(clock() - begun);
        Ok(())
    }

    fn attempt(
        &mut self,
        now: Time,
        changes: &inbox::Changes,
        scope: Scope,
        clock: &mut dyn FnMut() -> Time,
    ) -> Result<(), IndexError> {
        let is_durable = self.config.durability.is_durable();
        self.effects.clear();
        let journal = self.journal.as_mut().filter(|_| is_durable);
        let log = journal.map(Journal::begin);
        let mut batch = Batch {
            index: self.index.as_mut(),
            log,
            promises: &self.promises,
            effects: &mut self.effects,
            now,
            now_ms: self.config.wall_zero_ms + now.as_millis(),
            freed_max: self
                .config
                .retired_max
                .saturating_sub(self.retirement.len() + self.unsynced_freed.len()),
            references_max: self.config.references_max as u64,
            is_durable,
        };
        if let Err(error) = batch.run(changes, scope) {
            self.index.rollback();
            self.is_poisoned |= error == IndexError::Poisoned;
            return Err(error);
        }
        if !self.effects.is_change {
            return Ok(());
        }
        // What is left of a full index is for deleting, not for saying how far the journal is.
        let with_journal = scope == Scope::Everything;
        if !is_durable {
            self.commit(false)?;
        } else if let Some(mut journal) = self
            .journal
            .take_if(|journal| with_journal && journal.has_room())
        {
            let committed = self.commit_journaled(&mut journal, clock);
            self.journal = Some(journal);
            committed?;
        } else {
            self.commit_synced(clock)?;
        }
        if !is_durable || self.journal.is_some() {
            self.sync_at.get_or_insert(now + self.config.relaxed_sync);
        }
        Ok(())
    }

    /// Durable with two syncs: of the contents, then of the index.
    fn commit_synced(&mut self, clock: &mut dyn FnMut() -> Time) -> Result<(), IndexError> {
        if !self.effects.occupied.is_empty() && !self.sync_disk(clock) {
            self.index.rollback();
            return Err(IndexError::Poisoned);
        }
        let begun = clock();
        self.commit(true)?;
        self.stats.index_sync_ns.add_time(clock() - begun);
        if let Some(journal) = &mut self.journal {
            journal.synced();
        }
        Ok(())
    }

    /// Durable with one sync, of the contents and the journal.
    fn commit_journaled(
        &mut self,
        journal: &mut Journal,
        clock: &mut dyn FnMut() -> Time,
    ) -> Result<(), IndexError> {
        if let Err(error) = self.index.put_meta(MetaKey::Journal, &journal.row()) {
            self.index.rollback();
            self.is_poisoned |= error == IndexError::Poisoned;
            return Err(error);
        }
        let is_written = journal.write(self.disk.as_mut()).is_ok();
        if !(is_written && self.sync_disk(clock)) {
            self.is_poisoned = true;
            self.index.rollback();
            return Err(IndexError::Poisoned);
        }
        // The journal has it: the index need not write it at once.
        let is_flushed = journal.takes_flush();
        let ended = if is_flushed {
            self.commit(false)
        } else {
            self.end_batch(|index| index.publish())
        };
        match ended {
            Ok(()) => {
                journal.written();
                if is_flushed {
                    self.index.begin_flush();
                }
                self.stats.journaled += 1;
                Ok(())
            }
            // The next start must not do what was refused.
            Err(IndexError::Full) => {
                let is_void = journal.void(self.disk.as_mut()).is_ok();
                self.is_poisoned |= !is_void;
                if is_void && self.sync_disk(clock) {
                    Err(IndexError::Full)
                } else {
                    Err(IndexError::Poisoned)
                }
            }
            Err(error) => Err(error),
        }
    }

    fn commit(&mut self, sync: bool) -> Result<(), IndexError> {
        self.end_batch(|index| index.commit(sync))
    }

    fn end_batch(
        &mut self,
        end: impl FnOnce(&mut dyn Index) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        end(self.index.as_mut()).inspect_err(|error| {
            if *error == IndexError::Full {
                // Nothing of it is kept, and that is certain.
                self.index.rollback();
            } else {
                self.is_poisoned = true;
            }
        })
    }

    /// Commits that are not durable keep the index from using pages again: true when that was changed.
    fn sync_for_room(&mut self, clock: &mut dyn FnMut() -> Time) -> bool {
        self.sync_at.is_some() && self.sync_commits(clock)
    }

    /// Everything committed becomes durable in the index, and in relaxed mode freed blocks reusable; false when that is not
    /// certain, which poisons.
    fn sync_commits(&mut self, clock: &mut dyn FnMut() -> Time) -> bool {
        self.sync_at = None;
        // With the journal, contents are durable before anything is committed.
        if !self.config.durability.is_durable() && !self.sync_disk(clock) {
            return false;
        }
        let begun = clock();
        let result = self.index.sync();
        self.stats.index_sync_ns.add_time(clock() - begun);
        if result.is_err() {
            self.is_poisoned = true;
            return false;
        }
        if let Some(journal) = &mut self.journal {
            journal.synced();
        }
        self.retirement.retire(self.unsynced_freed.drain(..));
        true
    }

    /// The data is on the medium; false when that is not certain, which poisons.
    fn sync_disk(&mut self, clock: &mut dyn FnMut() -> Time) -> bool {
        let begun = clock();
        let result = self.disk.sync();
        self.stats.sync_ns.add_time(clock() - begun);
        self.is_poisoned |= result.is_err();
        result.is_ok()
    }

    /// The batch is committed: what it did becomes true.
    fn settle(&mut self, now: Time) {
        let found_ms = self.config.wall_zero_ms + now.as_millis();
        let effects = &mut self.effects;
        for (block, length) in effects.occupied.drain(..) {
            self.ledger.occupied(block, length);
        }
        for (worker, block) in effects.unused.drain(..) {
            self.ledger.renew_lease(worker, block);
        }
        for (block, length) in &effects.freed {
            self.ledger.retired(*block, *length);
        }
        let freed = effects.freed.drain(..).map(|(block, _)| block);
        if self.config.durability.is_durable() {
            self.retirement.retire(freed);
        } else {
            self.unsynced_freed.extend(freed);
        }
        for (hash, block, damage, is_new) in effects.damaged.drain(..) {
            self.damage
                .add(&hash, block, Some(damage), found_ms, is_new);
        }
        for hash in effects.mended.drain(..) {
            self.damage.remove(&hash);
        }
        self.stats.stored += effects.stored;
        self.stats.present += effects.present;
        self.stats.repaired += effects.repaired;
        self.stats.released += effects.released;
        self.stats.releases_refused += effects.refused;
    }

    /// Nothing of the batch happened, or nobody knows.
    fn fail_all(&mut self, changes: &inbox::Changes, fault: Fault) {
        self.effects.clear();
        for asker in changes.askers() {
            let id = asker.id;
            self.effects
                .replies
                .push((asker.worker, Reply::Failed { id, fault }));
        }
        for store in &changes.stores {
            let Some(written) = &store.written else {
                continue;
            };
            if fault == Fault::Poisoned {
                self.ledger.doubted(written.block);
            } else {
                self.ledger.renew_lease(store.asker.worker, written.block);
            }
        }
    }

    /// Syncs the index when it is time, or when the journal needs room.
    fn sync_index(&mut self, now: Time, clock: &mut dyn FnMut() -> Time) {
        if self.is_poisoned {
            // Nobody is to come back for it, again and again.
            self.sync_at = None;
        }
        let is_short = self.journal.as_ref().is_some_and(Journal::is_half_full);
        if self.sync_at.is_none_or(|at| now < at && !is_short) {
            return;
        }
        self.sync_commits(clock);
    }

    fn next(&self) -> Next {
        let gather = self.config.durability.gather();
        let batch = self.gathers_since.map(|since| since + gather);
        let leases = self.inbox.leases.iter().filter_map(|lease| lease.until);
        let wakes = batch.into_iter().chain(self.sync_at).chain(leases);
        wakes.min().map_or(Next::Idle, Next::At)
    }
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller")
            .field("blocks", &self.ledger.stored_count())
            .field("requests", &self.inbox.count)
            .field("is_poisoned", &self.is_poisoned)
            .finish_non_exhaustive()
    }
}
