//! The figures of `GET /stats`: plain numbers, gathered where things happen.
//!
//! ```text
//!   Controller::stats ─▶ ControllerStats          LocalStore::stats ─▶ LocalStats (one a worker)
//! ```
//!
//! Must not know how they are shown. Whatever has a distribution is a [`Tally`]: count, sum, maximum and powers of two, which
//! add up over workers and make a histogram.

use std::time::Duration;

use crate::class::Class;
use crate::durability::Durability;
use crate::fault::Damage;
use crate::hash::Hash;

/// Values counted by size.
///
/// ```
/// use hioload_blocks::Tally;
///
/// let mut tally = Tally::default();
/// [1, 2, 3, 100].into_iter().for_each(|value| tally.add(value));
/// assert_eq!((tally.count, tally.sum, tally.max), (4, 106, 100));
/// assert_eq!(tally.mean(), 26);
/// assert_eq!(tally.quantile_bound(1, 2), 3, "half are at most 2, which shares its bucket with 3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The largest.
    pub max: u64,
    /// How many have so many bits: bucket 0 is zero, bucket `n` is from 2^(n-1) to 2^n - 1, the last is all beyond.
    pub buckets: [u64; Tally::BUCKET_COUNT],
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            count: 0,
            sum: 0,
            max: 0,
            buckets: [0; Tally::BUCKET_COUNT],
        }
    }
}

impl Tally {
    /// Number of buckets: 2^38 ns are over four minutes.
    pub const BUCKET_COUNT: usize = 40;

    /// Counts a value.
    #[inline]
    pub fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
        let bits = (u64::BITS - value.leading_zeros()) as usize;
        self.buckets[bits.min(Tally::BUCKET_COUNT - 1)] += 1;
    }

    /// Counts a duration in nanoseconds.
    #[inline]
    pub fn add_time(&mut self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Takes in what another one counted.
    pub fn merge(&mut self, other: &Tally) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
    }

    /// The mean, 0 of nothing.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// A value that `numerator` of `denominator` are not above: at most twice the true one.
    pub fn quantile_bound(&self, numerator: u64, denominator: u64) -> u64 {
        let wanted = (self.count * numerator).div_ceil(denominator.max(1));
        let mut below = 0;
        for (bits, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= wanted && below > 0 {
                return ((1u64 << bits) - 1).min(self.max);
            }
        }
        self.max
    }
}

/// A damaged block on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedBlock {
    /// Its name.
    pub hash: Hash,
    /// Where it is in the data file, in bytes.
    pub offset: u64,
    /// What was found, `None` when it was on record already at the start.
    pub damage: Option<Damage>,
    /// When it was found, in milliseconds since the epoch of Unix; at the start for those on record.
    pub found_ms: u64,
}

/// Space of the data file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpaceStats {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes it may have.
    pub size_max: u64,
    /// Blocks in the index, by class.
    pub stored: [u64; Class::COUNT],
    /// Bytes of their contents.
    pub content_bytes: u64,
    /// Blocks leased to workers, by class.
    pub leased: [u64; Class::COUNT],
    /// Freed blocks that wait for readers or for a sync, by class.
    pub retired: [u64; Class::COUNT],
    /// Blocks that are not given out again before the store is opened anew, by class.
    pub suspect: [u64; Class::COUNT],
    /// Blocks of the journal, by class.
    pub journal: [u64; Class::COUNT],
    /// Free pieces by class, then whole free megabytes.
    pub free: [u64; Class::COUNT + 1],
    /// Bytes free.
    pub free_bytes: u64,
    /// Bytes of the largest free piece.
    pub largest_free: u64,
    /// The share of the free bytes in pieces too small for the largest class, from 0 to 1.
    pub fragmentation: f64,
    /// Times the file grew.
    pub grown: u64,
    /// Times it was refused to grow.
    pub grow_refusals: u64,
}

impl SpaceStats {
    /// Bytes in blocks, however they are used.
    pub fn used_bytes(&self) -> u64 {
        let bytes = |counts: &[u64; Class::COUNT]| -> u64 {
            let sizes = Class::ALL.map(|class| u64::from(class.size()));
            counts
                .iter()
                .zip(sizes)
                .map(|(count, size)| count * size)
                .sum()
        };
        let counts = [
            &self.stored,
            &self.leased,
            &self.retired,
            &self.suspect,
            &self.journal,
        ];
        counts.into_iter().map(bytes).sum()
    }
}

/// What the controller did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerStats {
    /// When a change is acknowledged.
    pub durability: Durability,
    /// A sync or commit failed: nothing is changed any more.
    pub is_poisoned: bool,
    /// Blocks in the index.
    pub blocks: u64,
    /// Space of the data file.
    pub space: SpaceStats,
    /// Cycles with work.
    pub cycles: u64,
    /// Cycles without.
    pub cycles_idle: u64,
    /// Requests that waited at the start of a cycle.
    pub queue_depth: Tally,
    /// Changes of one batch.
    pub batch: Tally,
    /// Nanoseconds of a sync of the data file.
    pub sync_ns: Tally,
    /// Nanoseconds of changes and commit of a batch, syncing the index included.
    pub commit_ns: Tally,
    /// Batches that were made durable by the journal.
    pub journaled: u64,
    /// Nanoseconds of a sync of the index: of each batch without the journal, of many with it.
    pub index_sync_ns: Tally,
    /// Lookups answered.
    pub lookups: u64,
    /// Blocks leased.
    pub leases: u64,
    /// Leases refused for want of space that PUTs waited for.
    pub leases_refused: u64,
    /// Of these, leases refused before every worker had returned what it had at hand.
    pub leases_refused_late: u64,
    /// Times a worker was asked for the blocks it has at hand.
    pub recalls: u64,
    /// Blocks that were returned then.
    pub recalled: u64,
    /// Contents stored that were not there.
    pub stored: u64,
    /// Contents that were there already.
    pub present: u64,
    /// Damaged contents that came again.
    pub repaired: u64,
    /// Blocks released.
    pub released: u64,
    /// Releases refused because of references or promises.
    pub releases_refused: u64,
    /// Batches of which nothing was done, because of a sync, a commit or the index.
    pub batches_failed: u64,
    /// Batches done without what needs room in the index.
    pub batches_index_full: u64,
    /// Damaged blocks found or on record, those beyond the list included.
    pub damaged: u64,
    /// The list of them, bounded.
    pub damaged_list: Vec<DamagedBlock>,
    /// Rows of the index that could not be read at the start: their blocks are lost, their space is free.
    pub rows_corrupt: u64,
    /// Blocks promised to be there.
    pub promises: u64,
    /// The last epoch of freed blocks.
    pub epoch: u64,
    /// How the thread waited.
    pub pause: PauseStats,
}

/// How the controller's thread waited for work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseStats {
    /// Times it looked again at once.
    pub spins: u64,
    /// Times it let others run first.
    pub yields: u64,
    /// Times it slept.
    pub parks: u64,
}

/// One pool of leased blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Blocks ready.
    pub free: u64,
    /// Blocks wanted now.
    pub target: u64,
    /// Requests for more.
    pub refills: u64,
    /// PUTs that had to wait for one.
    pub waits: u64,
    /// Refusals for want of space.
    pub refusals: u64,
}

/// What one worker did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalStats {
    /// Pools of leased blocks, smallest class first.
    pub pools: [PoolStats; Class::COUNT],
    /// PUTs going on.
    pub puts: u64,
    /// GETs going on.
    pub gets: u64,
    /// Other calls that wait for the controller.
    pub calls: u64,
    /// Requests that wait for the controller's queue.
    pub requests_queued: u64,
    /// Reads in flight.
    pub reads_in_flight: u64,
    /// Writes in flight.
    pub writes_in_flight: u64,
    /// Bytes of buffers of bodies being written.
    pub write_memory: u64,
    /// Bytes reserved for bodies held whole.
    pub gather_memory: u64,
    /// Bytes of buffers being read into.
    pub read_memory: u64,
    /// Contents stored that were not there.
    pub stored: u64,
    /// Contents that were there already.
    pub present: u64,
    /// Of these, contents that were not even written.
    pub unwritten: u64,
    /// PUTs that stored nothing.
    pub puts_failed: u64,
    /// Bytes of contents received.
    pub bytes_received: u64,
    /// Bytes of contents given out.
    pub bytes_sent: u64,
    /// GETs of blocks that are there.
    pub found: u64,
    /// GETs of blocks that are not.
    pub missing: u64,
    /// Reads done.
    pub reads: u64,
    /// Writes done.
    pub writes: u64,
    /// Reads and writes that did less than asked for, or nothing, and were repeated.
    pub short_ops: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Reads that failed or brought something else than was stored, and were repeated.
    pub suspicious_reads: u64,
    /// Contents found damaged.
    pub damaged: u64,
    /// Times a read or write waited for memory, a buffer or a place in the disk's queue.
    pub memory_waits: u64,
    /// GETs answered from the cache.
    pub cache_hits: u64,
    /// GETs of blocks small enough for it that were not.
    pub cache_misses: u64,
    /// GETs of contents that another GET was reading: read and verified once for all of them. Counted as misses, too.
    pub shared_reads: u64,
    /// Contents that made room for others.
    pub cache_evictions: u64,
    /// Bytes in the cache.
    pub cache_bytes: u64,
    /// Contents in the cache.
    pub cache_entries: u64,
    /// Nanoseconds from a request to the controller until its reply.
    pub reply_ns: Tally,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_takes_every_value() {
        let mut tally = Tally::default();
        assert_eq!((tally.mean(), tally.quantile_bound(99, 100)), (0, 0));
        for value in [0, 1, u64::MAX] {
            tally.add(value);
        }
        assert_eq!((tally.count, tally.sum, tally.max), (3, u64::MAX, u64::MAX));
        assert_eq!(tally.buckets[0], 1);
        assert_eq!(tally.buckets[1], 1);
        assert_eq!(tally.buckets[Tally::BUCKET_COUNT - 1], 1);
        let mut sum = tally;
        sum.merge(&tally);
        assert_eq!((sum.count, sum.max, sum.buckets[0]), (6, u64::MAX, 2));
    }

    #[test]
    fn quantiles_are_at_most_twice_the_true_value() {
        let mut tally = Tally::default();
        (1..=1000).for_each(|value| tally.add(value));
        for (numerator, denominator, true_value) in
            [(1, 2, 500), (99, 100, 990), (1, 1, 1000), (0, 1, 1)]
        {
            let bound = tally.quantile_bound(numerator, denominator);
            assert!(
                (true_value..2 * true_value).contains(&bound),
                "{numerator}/{denominator}: {bound}"
            );
        }
    }
}
