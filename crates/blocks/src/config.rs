//! How a store is run: what the controller and what each worker may take.
//!
//! Must not know where the values come from. [`LIMITS`](crate::LIMITS) has bounds, reasons and what happens at each limit.

use std::time::Duration;

use hioload_base::{Limit, LimitError};

use crate::class::{BLOCK_SIZE_MAX, Class, UNIT};
use crate::durability::Durability;
use crate::limits;
use crate::pools::ASKS_MAX;

/// What the controller may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerConfig {
    /// When a change is acknowledged.
    pub durability: Durability,
    /// Requests of one batch.
    pub batch_max: usize,
    /// Bytes the data file has at least from the start.
    pub size_initial: u64,
    /// Bytes the data file may have.
    pub size_max: u64,
    /// Bytes it grows by at most.
    pub grow_step: u64,
    /// Blocks that somebody was told are there.
    pub promises_max: usize,
    /// References of one block.
    pub references_max: usize,
    /// Damaged blocks that are listed.
    pub damaged_max: usize,
    /// Blocks leased to one worker.
    pub leases_max: usize,
    /// Freed blocks that wait for readers.
    pub retired_max: usize,
    /// Time between two syncs of the index at most; of data and index in relaxed mode.
    pub relaxed_sync: Duration,
    /// How long a lease waits for readers to finish with freed blocks, and for workers to return what they have at hand, when
    /// there is no other space.
    pub lease_wait: Duration,
    /// Milliseconds since the epoch of Unix at [`Time::ZERO`](hioload_base::Time::ZERO).
    pub wall_zero_ms: u64,
}

impl Default for ControllerConfig {
    fn default() -> ControllerConfig {
        ControllerConfig {
            durability: Durability::default(),
            batch_max: limits::BATCH.default as usize,
            size_initial: limits::SIZE_INITIAL.default,
            size_max: limits::SIZE_MAX.default,
            grow_step: limits::GROW_STEP.default,
            promises_max: limits::PROMISES.default as usize,
            references_max: limits::REFERENCES.default as usize,
            damaged_max: limits::DAMAGED_LISTED.default as usize,
            leases_max: limits::LEASES.default as usize,
            retired_max: limits::RETIRED.default as usize,
            relaxed_sync: Duration::from_millis(limits::RELAXED_SYNC.default),
            lease_wait: Duration::from_millis(limits::LEASE_WAIT.default),
            wall_zero_ms: 0,
        }
    }
}

impl ControllerConfig {
    /// Whether every value is within its limit.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), LimitError> {
        let rows = [
            (&limits::BATCH, self.batch_max as u64),
            (&limits::SIZE_INITIAL, self.size_initial),
            (&limits::SIZE_MAX, self.size_max),
            (&limits::GROW_STEP, self.grow_step),
            (&limits::PROMISES, self.promises_max as u64),
            (&limits::REFERENCES, self.references_max as u64),
            (&limits::DAMAGED_LISTED, self.damaged_max as u64),
            (&limits::LEASES, self.leases_max as u64),
            (&limits::RETIRED, self.retired_max as u64),
            (&limits::RELAXED_SYNC, millis(self.relaxed_sync)),
            (&limits::LEASE_WAIT, millis(self.lease_wait)),
        ];
        check(&rows)
    }
}

/// How what is read is verified before it is given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// By the checksum of each 4 KiB.
    Sums,
    /// A whole block by its hash: the last piece of it, or any when all is read at once, is not given out before it agrees.
    /// What goes out earlier, and a part of a block, by the checksums.
    #[default]
    Full,
}

/// Where a worker looks up the address of a block to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LookupBy {
    /// In a view of the index of its own.
    #[default]
    Reader,
    /// By asking the controller.
    Controller,
}

/// What one worker may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// When a change is acknowledged: shown, not decided here.
    pub durability: Durability,
    /// What is verified.
    pub verify: Verify,
    /// Who looks up addresses.
    pub lookup_by: LookupBy,
    /// PUTs at a time.
    pub puts_max: usize,
    /// GETs at a time.
    pub gets_max: usize,
    /// Other calls at a time.
    pub calls_max: usize,
    /// Reads and writes in flight.
    pub file_ops_max: usize,
    /// Requests that wait for the controller's queue before bodies are held back.
    pub requests_max: usize,
    /// Bytes of one read or write, a power of two.
    pub piece_size: u32,
    /// Reads or writes in flight for one request.
    pub depth: usize,
    /// Bytes of buffers of bodies being written.
    pub write_memory: usize,
    /// Bytes of bodies held whole.
    pub gather_memory: usize,
    /// Bytes of buffers being read into.
    pub read_memory: usize,
    /// Bytes of verified contents kept.
    pub cache_size: usize,
    /// Bytes of the longest content kept.
    pub cache_block_max: u32,
    /// Hashes one call may name.
    pub hashes_max: usize,
    /// Leased blocks kept of each class, smallest first, when there is no load.
    pub pool_targets: [u16; Class::COUNT],
    /// Times its target a pool grows to under load.
    pub pool_factor: u16,
}

impl Default for LocalConfig {
    fn default() -> LocalConfig {
        LocalConfig {
            durability: Durability::default(),
            verify: Verify::default(),
            lookup_by: LookupBy::default(),
            puts_max: limits::PUTS.default as usize,
            gets_max: limits::GETS.default as usize,
            calls_max: limits::CALLS.default as usize,
            file_ops_max: limits::FILE_OPS.default as usize,
            requests_max: limits::REQUESTS.default as usize,
            piece_size: limits::PIECE.default as u32,
            depth: limits::DEPTH.default as usize,
            write_memory: limits::WRITE_MEMORY.default as usize,
            gather_memory: limits::GATHER_MEMORY.default as usize,
            read_memory: limits::READ_MEMORY.default as usize,
            cache_size: limits::CACHE.default as usize,
            cache_block_max: limits::CACHE_BLOCK.default as u32,
            hashes_max: limits::HASHES_PER_CALL.default as usize,
            pool_targets: [10, 10, 10, 5, 5, 3, 2, 2],
            pool_factor: limits::POOL_FACTOR.default as u16,
        }
    }
}

impl LocalConfig {
    /// Whether every value is within its limit; a piece is rounded down to a power of two by nobody, so that is checked too.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), LimitError> {
        let piece_size = u64::from(self.piece_size);
        let rows = [
            (&limits::PUTS, self.puts_max as u64),
            (&limits::GETS, self.gets_max as u64),
            (&limits::CALLS, self.calls_max as u64),
            (&limits::FILE_OPS, self.file_ops_max as u64),
            (&limits::REQUESTS, self.requests_max as u64),
            // What is no power of two is shown as 0: outside the limit, whose reason names the rule.
            (
                &limits::PIECE,
                if piece_size.is_power_of_two() {
                    piece_size
                } else {
                    0
                },
            ),
            (&limits::DEPTH, self.depth as u64),
            (&limits::WRITE_MEMORY, self.write_memory as u64),
            (&limits::GATHER_MEMORY, self.gather_memory as u64),
            (&limits::READ_MEMORY, self.read_memory as u64),
            (&limits::CACHE, self.cache_size as u64),
            (&limits::CACHE_BLOCK, u64::from(self.cache_block_max)),
            (&limits::HASHES_PER_CALL, self.hashes_max as u64),
            (&limits::POOL_FACTOR, u64::from(self.pool_factor)),
        ];
        check(&rows)
    }

    /// Requests a worker has unanswered at most: the queue of replies to it needs so many places, two for
    /// [`Reply::Retire`](crate::Reply::Retire) and one for [`Reply::Recall`](crate::Reply::Recall).
    pub fn unanswered_max(&self) -> usize {
        self.puts_max + self.gets_max + self.calls_max + Class::COUNT * ASKS_MAX
    }

    /// Bytes of memory one worker takes at most, buffers of the pool and cache included: for the memory plan.
    pub fn bytes_max(&self) -> u64 {
        const SLOT: usize = 512;
        let slots = (self.puts_max + self.gets_max + self.calls_max + self.file_ops_max) * SLOT;
        (self.write_memory + self.gather_memory + self.read_memory + self.cache_size + slots) as u64
    }

    /// Bytes of a piece of a content of `length` bytes, from its start: whole units.
    pub(crate) fn piece_size_of(&self, length: u32) -> u32 {
        length
            .min(BLOCK_SIZE_MAX)
            .next_multiple_of(UNIT as u32)
            .min(self.piece_size)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn check(rows: &[(&Limit, u64)]) -> Result<(), LimitError> {
    rows.iter()
        .try_for_each(|(limit, value)| limit.check(*value).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_legal_and_bounds_are_kept() {
        assert_eq!(ControllerConfig::default().check(), Ok(()));
        assert_eq!(LocalConfig::default().check(), Ok(()));
        for (piece_size, is_legal) in [
            (0, false),
            (4095, false),
            (4096, true),
            (65_536, true),
            (65_537, false),
            (524_288, true),
            (1 << 20, false),
        ] {
            let config = LocalConfig {
                piece_size,
                ..LocalConfig::default()
            };
            assert_eq!(config.check().is_ok(), is_legal, "{piece_size}");
        }
        for (batch_max, is_legal) in [
            (0, false),
            (1, true),
            (1 << 20, true),
            ((1 << 20) + 1, false),
        ] {
            let config = ControllerConfig {
                batch_max,
                ..ControllerConfig::default()
            };
            assert_eq!(config.check().is_ok(), is_legal, "{batch_max}");
        }
    }

    #[test]
    fn a_piece_is_whole_units_and_no_longer_than_asked_for() {
        let config = LocalConfig::default();
        for (length, size) in [
            (1, 4096),
            (4096, 4096),
            (4097, 8192),
            (65_535, 65_536),
            (65_537, 65_536),
            (u32::MAX, 65_536),
        ] {
            assert_eq!(config.piece_size_of(length), size, "{length}");
        }
    }
}
