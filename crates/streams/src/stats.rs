//! What one worker counts of its streams.

use crate::Kind;
use crate::registry::Rejected;

/// Counters and gauges of one registry and of the commands beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Streams registered.
    pub created: u64,
    /// Streams that ended.
    pub destroyed: u64,
    /// Streams now, by [`Kind::index`].
    pub active: [u64; Kind::COUNT],
    /// Autonomous streams now.
    pub autonomous: u64,
    /// Times a stream became autonomous.
    pub detached: u64,
    /// Times an autonomous stream was adopted.
    pub attached: u64,
    /// Streams found here.
    pub local_hits: u64,
    /// UIDs that another worker was asked about.
    pub cross_worker_lookups: u64,
    /// UIDs that name nothing.
    pub misses: u64,
    /// Streams rejected, by [`Rejected::index`].
    pub rejected: [u64; Rejected::COUNT],
    /// Autonomous streams ended because they were silent.
    pub idle_closed: u64,
    /// Socket slots that had used up all their UIDs and began again.
    pub slots_reused: u64,
    /// Events that nobody took in time.
    pub events_lost: u64,
    /// Writes from elsewhere that were taken.
    pub writes_taken: u64,
    /// Writes from elsewhere that were refused.
    pub writes_refused: u64,
    /// Commands that found the mailbox of the other worker full.
    pub commands_full: u64,
}

impl Stats {
    /// Streams now.
    #[must_use]
    pub fn active_count(&self) -> u64 {
        self.active.iter().sum()
    }

    /// Streams rejected, for whatever reason.
    #[must_use]
    pub fn rejected_count(&self) -> u64 {
        self.rejected.iter().sum()
    }
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Stats) {
        self.created += other.created;
        self.destroyed += other.destroyed;
        for (sum, more) in self.active.iter_mut().zip(other.active) {
            *sum += more;
        }
        self.autonomous += other.autonomous;
        self.detached += other.detached;
        self.attached += other.attached;
        self.local_hits += other.local_hits;
        self.cross_worker_lookups += other.cross_worker_lookups;
        self.misses += other.misses;
        for (sum, more) in self.rejected.iter_mut().zip(other.rejected) {
            *sum += more;
        }
        self.idle_closed += other.idle_closed;
        self.slots_reused += other.slots_reused;
        self.events_lost += other.events_lost;
        self.writes_taken += other.writes_taken;
        self.writes_refused += other.writes_refused;
        self.commands_full += other.commands_full;
    }
}
