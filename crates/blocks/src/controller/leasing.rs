//! Leases given, waited for and refused.
//!
//! ```text
//!   free space ─▶ Leased, as many as asked for          none: blocks in retirement, or at hand of workers? ─▶ waits, a little
//!                                                        └ neither, or too late ─▶ NoSpace
//! ```
//!
//! A lease that PUTs wait for is refused in time only when there is no free block of its class or larger and no worker has any
//! block at hand. What comes back goes to who has waited longest. Must not know the index.

use hioload_base::Time;

use super::inbox::{Asker, Lease};
use super::{Controller, Replies};
use crate::block::Block;
use crate::fault::Fault;
use crate::message::Reply;

impl Controller {
    pub(super) fn answer_leases(&mut self, now: Time, replies: &mut Replies) {
        let mut is_short = self.inbox.leases.iter().any(Lease::is_starving);
        for _ in 0..self.inbox.leases.len() {
            let Some(mut lease) = self.inbox.leases.pop_front() else {
                break;
            };
            let worker = lease.asker.worker;
            match self.answer_lease(now, &mut lease, is_short) {
                Some(reply) => replies.push((worker, reply)),
                None => {
                    is_short |= lease.is_starving();
                    self.inbox.leases.push_back(lease);
                }
            }
        }
        if self.inbox.leases.iter().any(Lease::is_starving) {
            let (ledger, stats) = (&self.ledger, &mut self.stats);
            let holds = |worker| ledger.has_leases(worker);
            self.recalls.ask(holds, |worker| {
                stats.recalls += 1;
                replies.push((worker, Reply::Recall));
            });
        }
    }

    /// `None`: it waits. While others starve, nobody gets more than PUTs wait for.
    fn answer_lease(&mut self, now: Time, lease: &mut Lease, is_short: bool) -> Option<Reply> {
        let Asker { worker, id } = lease.asker;
        let failed = |fault| Some(Reply::Failed { id, fault });
        if self.is_poisoned {
            return failed(Fault::Poisoned);
        }
        if self.ledger.leases_left(worker) == 0 {
            return failed(Fault::Busy);
        }
        let count = usize::from(if is_short { lease.needed } else { lease.count });
        let blocks = self
            .ledger
            .lease(now, self.disk.as_mut(), worker, lease.class, count);
        if !blocks.is_empty() {
            self.stats.leases += blocks.len() as u64;
            if blocks.len() > usize::from(lease.needed) {
                self.recalls.given_more(worker);
            }
            return Some(Reply::Leased { id, blocks });
        }
        let until = *lease.until.get_or_insert(now + self.config.lease_wait);
        let may_be_at_hand = lease.needed > 0
            && self
                .recalls
                .may_bring(|worker| self.ledger.has_leases(worker));
        let awaits_space = self.awaits_space();
        if (awaits_space || may_be_at_hand) && now < until {
            if awaits_space {
                // Blocks that cannot be reused before a sync are worth one now.
                self.sync_at = self.sync_at.map(|_| now);
            }
            return None;
        }
        self.stats.leases_refused += u64::from(lease.needed > 0);
        self.stats.leases_refused_late += u64::from(may_be_at_hand);
        failed(Fault::NoSpace)
    }

    /// A worker returns a block. False when it had none there.
    pub(super) fn take_back(&mut self, worker: usize, block: Block, is_suspect: bool) -> bool {
        let was_leased = self.ledger.end_lease(worker, block);
        debug_assert!(was_leased, "invariant: a worker returns what it leased");
        if was_leased {
            self.ledger.returned(block, is_suspect);
        }
        was_leased
    }

    /// Blocks are about to become free.
    fn awaits_space(&self) -> bool {
        self.ledger.has_retired() || !self.inbox.changes.releases.is_empty()
    }
}
