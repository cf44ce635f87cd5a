//! Who has which block: the free map, the leases, and how the file grows.
//!
//! ```text
//!   free ─▶ leased ─▶ moving ─▶ stored ─▶ retired ─▶ free
//!                       └─▶ leased again, free, or suspect until the store is opened anew
//! ```
//!
//! Must not know the index nor requests. Invariants: every allocated block is in exactly one of these states, counted by
//! class; a block is occupied or returned only by the worker that holds its lease. Leases are in memory only: those of a
//! process that died are free space for the next one.
//!
//! Limits: leases of one worker; the size of the file. Growing is refused for a second after the system refused it, so that
//! a full file system is not asked for each lease.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use hioload_base::Time;

use super::disk::Disk;
use crate::block::Block;
use crate::buddy::{Buddy, BuddyError, FILE_SIZE_MAX, Inconsistency, MACRO};
use crate::class::Class;
use crate::config::ControllerConfig;
use crate::message::Leased;
use crate::stats::SpaceStats;

/// The least a file grows by, if the configured step allows it.
const GROW_MIN: u64 = 64 << 20;

/// A file grows by so much of its size, within the bounds.
const GROW_SHARE: u64 = 8;

/// How long growing is not tried again after a refusal.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Lease {
    worker: usize,
    class: Class,
}

type Counts = [u64; Class::COUNT];

#[derive(Debug)]
pub(super) struct Ledger {
    buddy: Buddy,
    /// By first unit.
    leases: HashMap<u32, Lease>,
    lease_counts: Vec<usize>,
    leases_max: usize,
    stored: Counts,
    leased: Counts,
    /// The lease has ended, what comes next is not decided.
    moving: Counts,
    retired: Counts,
    suspect: Counts,
    /// The journal's, which is nobody's else.
    journal: Counts,
    content_bytes: u64,
    size_max: u64,
    grow_step: u64,
    grow_after: Time,
    grown: u64,
    grow_refusals: u64,
    /// The file grew, and nobody has asked since.
    has_grown: bool,
}

impl Ledger {
    /// A ledger of the whole file, everything free.
    pub(super) fn new(size: u64, config: &ControllerConfig, workers: usize) -> Ledger {
        Ledger {
            buddy: Buddy::new(size),
            leases: HashMap::new(),
            lease_counts: vec![0; workers],
            leases_max: config.leases_max,
            stored: [0; Class::COUNT],
            leased: [0; Class::COUNT],
            moving: [0; Class::COUNT],
            retired: [0; Class::COUNT],
            suspect: [0; Class::COUNT],
            journal: [0; Class::COUNT],
            content_bytes: 0,
            size_max: config.size_max.min(FILE_SIZE_MAX) / MACRO * MACRO,
            grow_step: config.grow_step,
            grow_after: Time::ZERO,
            grown: 0,
            grow_refusals: 0,
            has_grown: false,
        }
    }

    /// A block that is in the index at the start.
    pub(super) fn reserve(&mut self, block: Block, length: u32) -> Result<(), BuddyError> {
        self.buddy.reserve(block)?;
        self.stored[block.class().index()] += 1;
        self.content_bytes += u64::from(length);
        Ok(())
    }

    /// The block of the journal, at the start.
    pub(super) fn reserve_journal(&mut self, block: Block) -> Result<(), BuddyError> {
        self.buddy.reserve(block)?;
        self.journal[block.class().index()] += 1;
        Ok(())
    }

    /// A block for a journal; none when there is no space.
    pub(super) fn place_journal(&mut self, disk: &mut dyn Disk, class: Class) -> Option<Block> {
        let mut block = self.buddy.alloc(class);
        if block.is_none() && self.grow(Time::ZERO, disk) {
            block = self.buddy.alloc(class);
        }
        self.journal[class.index()] += u64::from(block.is_some());
        block
    }

    /// There is no journal in the block after all.
    pub(super) fn free_journal(&mut self, block: Block) {
        self.journal[block.class().index()] -= 1;
        self.give(block);
    }

    /// How many more blocks the worker may have.
    pub(super) fn leases_left(&self, worker: usize) -> usize {
        self.leases_max.saturating_sub(self.lease_counts[worker])
    }

    /// The worker has blocks, whatever it does with them.
    pub(super) fn has_leases(&self, worker: usize) -> bool {
        self.lease_counts[worker] > 0
    }

    /// Up to `count` blocks for the worker; the file grows for the first one if it must.
    pub(super) fn lease(
        &mut self,
        now: Time,
        disk: &mut dyn Disk,
        worker: usize,
        class: Class,
        count: usize,
    ) -> Leased {
        let mut leased = Leased::new(class);
        for _ in 0..count.min(Leased::COUNT_MAX).min(self.leases_left(worker)) {
            let mut block = self.buddy.alloc(class);
            if block.is_none() && leased.is_empty() && self.grow(now, disk) {
                block = self.buddy.alloc(class);
            }
            let Some(block) = block else {
                break;
            };
            self.leased[class.index()] += 1;
            self.lease_counts[worker] += 1;
            self.leases.insert(block.unit(), Lease { worker, class });
            leased.push(block);
        }
        leased
    }

    /// Takes the lease of a block away from its worker. False when the worker has none.
    pub(super) fn end_lease(&mut self, worker: usize, block: Block) -> bool {
        let is_held = |lease: &Lease| lease.worker == worker && lease.class == block.class();
        if !self.leases.get(&block.unit()).is_some_and(is_held) {
            return false;
        }
        self.leases.remove(&block.unit());
        self.lease_counts[worker] -= 1;
        self.leased[block.class().index()] -= 1;
        self.moving[block.class().index()] += 1;
        true
    }

    /// Gives a lease back to its worker.
    pub(super) fn renew_lease(&mut self, worker: usize, block: Block) {
        let class = block.class();
        self.leases.insert(block.unit(), Lease { worker, class });
        self.lease_counts[worker] += 1;
        self.moving[class.index()] -= 1;
        self.leased[class.index()] += 1;
    }

    /// A block whose lease has ended is the place of a content.
    pub(super) fn occupied(&mut self, block: Block, length: u32) {
        self.moving[block.class().index()] -= 1;
        self.stored[block.class().index()] += 1;
        self.content_bytes += u64::from(length);
    }

    /// A block is no content's place any more; readers may still hold it.
    pub(super) fn retired(&mut self, block: Block, length: u32) {
        self.stored[block.class().index()] -= 1;
        self.retired[block.class().index()] += 1;
        self.content_bytes -= u64::from(length);
    }

    /// No reader holds it any more.
    pub(super) fn freed(&mut self, block: Block) {
        self.retired[block.class().index()] -= 1;
        self.give(block);
    }

    /// A block whose lease has ended was not used.
    pub(super) fn returned(&mut self, block: Block, is_suspect: bool) {
        self.moving[block.class().index()] -= 1;
        if is_suspect {
            self.suspect[block.class().index()] += 1;
        } else {
            self.give(block);
        }
    }

    /// A block whose lease has ended may be in the index or not: only opening the store again tells.
    pub(super) fn doubted(&mut self, block: Block) {
        self.moving[block.class().index()] -= 1;
        self.suspect[block.class().index()] += 1;
    }

    fn give(&mut self, block: Block) {
        let given = self.buddy.free(block);
        // Going on would hand out space that is in use.
        assert!(
            given.is_ok(),
            "invariant: a block in the ledger is allocated"
        );
    }

    /// Makes the file larger by a step; by less where the system refuses. False when it did not grow.
    pub(super) fn grow(&mut self, now: Time, disk: &mut dyn Disk) -> bool {
        let size = disk.size() / MACRO * MACRO;
        if size >= self.size_max || now < self.grow_after {
            return false;
        }
        let mut step = (size / GROW_SHARE).max(GROW_MIN).min(self.grow_step) / MACRO * MACRO;
        step = step.clamp(MACRO, self.size_max - size);
        loop {
            match disk.grow(size + step) {
                Ok(()) => {
                    self.grown += 1;
                    self.has_grown = true;
                    self.buddy.grow(disk.size().min(self.size_max));
                    return true;
                }
                Err(_) if step > MACRO => step = (step / 2 / MACRO * MACRO).max(MACRO),
                Err(_) => {
                    self.grow_refusals += 1;
                    self.grow_after = now + REFUSAL_PAUSE;
                    return false;
                }
            }
        }
    }

    /// The file grew since this was asked last.
    pub(super) fn take_growth(&mut self) -> bool {
        std::mem::take(&mut self.has_grown)
    }

    /// Makes the file at least `size` bytes long, durably.
    pub(super) fn grow_to(&mut self, disk: &mut dyn Disk, size: u64) -> io::Result<()> {
        let size = size.min(self.size_max).next_multiple_of(MACRO);
        if disk.size() < size {
            disk.grow(size)?;
            disk.sync()?;
        }
        self.buddy.grow(disk.size());
        Ok(())
    }

    /// Blocks that wait for readers.
    pub(super) fn has_retired(&self) -> bool {
        self.retired.iter().any(|count| *count > 0)
    }

    pub(super) fn stored_count(&self) -> u64 {
        self.stored.iter().sum()
    }

    pub(super) fn stats(&self) -> SpaceStats {
        let space = self.buddy.space();
        SpaceStats {
            size: space.size,
            size_max: self.size_max,
            stored: self.stored,
            content_bytes: self.content_bytes,
            leased: self.leased,
            retired: self.retired,
            suspect: self.suspect,
            journal: self.journal,
            free: space.free,
            free_bytes: space.free_bytes(),
            largest_free: space.largest_free(),
            fragmentation: space.fragmentation(),
            grown: self.grown,
            grow_refusals: self.grow_refusals,
        }
    }

    /// The free map agrees with itself, and with what is known of it.
    pub(super) fn check(&self) -> Result<(), Inconsistency> {
        self.buddy.check()?;
        let used = self.buddy.space().used;
        let offset = self.buddy.size();
        for (index, used) in used.into_iter().enumerate() {
            let known = self.stored[index]
                + self.leased[index]
                + self.moving[index]
                + self.retired[index]
                + self.suspect[index]
                + self.journal[index];
            if known != used {
                let rule = "what is allocated is not what is stored, leased, moving, retired, suspect and the journal";
                return Err(Inconsistency { offset, rule });
            }
        }
        if self.leases.len() as u64 != self.leased.iter().sum::<u64>() {
            let rule = "the leases are not as many as were counted";
            return Err(Inconsistency { offset, rule });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that grows up to a size.
    struct Room {
        size: u64,
        size_max: u64,
        calls: u32,
    }

    impl Disk for Room {
        fn size(&self) -> u64 {
            self.size
        }

        fn grow(&mut self, to: u64) -> io::Result<()> {
            self.calls += 1;
            if to > self.size_max {
                return Err(io::Error::from_raw_os_error(28));
            }
            self.size = to;
            Ok(())
        }

        fn read(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }

        fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn room(size_max: u64) -> Room {
        Room {
            size: 0,
            size_max,
            calls: 0,
        }
    }

    fn config(size_max: u64, grow_step: u64) -> ControllerConfig {
        ControllerConfig {
            size_max,
            grow_step,
            leases_max: 16,
            ..ControllerConfig::default()
        }
    }

    #[test]
    fn the_file_grows_by_an_eighth_within_bounds() {
        const MIB: u64 = 1 << 20;
        let mut disk = room(u64::MAX);
        let mut ledger = Ledger::new(0, &config(5 << 30, 256 * MIB), 1);
        let mut sizes = Vec::new();
        while ledger.grow(Time::ZERO, &mut disk) {
            sizes.push(disk.size / MIB);
        }
        assert_eq!(sizes[..9], [64, 128, 192, 256, 320, 384, 448, 512, 576]);
        assert!(
            sizes.windows(2).all(|pair| pair[1] - pair[0] <= 256),
            "{sizes:?}"
        );
        assert_eq!(sizes.last(), Some(&5120), "up to its largest size");
        assert_eq!(ledger.stats().size, 5 << 30);
    }

    #[test]
    fn what_the_system_refuses_is_tried_smaller_and_then_not_at_once() {
        let mut disk = room(3 * MACRO);
        let mut ledger = Ledger::new(0, &config(1 << 40, 1 << 30), 1);
        let now = Time::from_millis(1);
        assert!(ledger.grow(now, &mut disk));
        assert_eq!(disk.size, 2 * MACRO, "64, 32, 16, 8, 4 were refused");
        assert!(ledger.grow(now, &mut disk));
        assert!(!ledger.grow(now, &mut disk));
        let calls = disk.calls;
        assert!(!ledger.grow(now, &mut disk));
        assert_eq!(disk.calls, calls, "not asked again");
        disk.size_max = 4 * MACRO;
        assert!(ledger.grow(now + REFUSAL_PAUSE, &mut disk));
        assert_eq!(ledger.stats().grow_refusals, 1);
    }

    #[test]
    fn a_block_goes_round_and_each_state_is_counted() {
        let mut disk = room(MACRO);
        let mut ledger = Ledger::new(0, &config(MACRO, MACRO), 2);
        let leased = ledger.lease(Time::ZERO, &mut disk, 0, Class::MAX, 12);
        let blocks: Vec<Block> = leased.iter().collect();
        assert_eq!(blocks.len(), 2, "all there is");
        assert!(
            ledger
                .lease(Time::ZERO, &mut disk, 0, Class::MIN, 1)
                .is_empty()
        );
        assert!(!ledger.end_lease(1, blocks[0]), "another worker's");
        assert!(
            !ledger.end_lease(0, Block::new(0, Class::MIN).expect("aligned")),
            "another size"
        );
        assert!(ledger.end_lease(0, blocks[0]));
        assert!(!ledger.end_lease(0, blocks[0]), "twice");
        ledger.occupied(blocks[0], 300_000);
        ledger.check().expect("all is known");
        assert_eq!(
            (ledger.stored_count(), ledger.stats().content_bytes),
            (1, 300_000)
        );
        ledger.retired(blocks[0], 300_000);
        assert!(ledger.has_retired());
        assert!(
            ledger
                .lease(Time::ZERO, &mut disk, 0, Class::MIN, 1)
                .is_empty(),
            "a reader may hold it"
        );
        ledger.freed(blocks[0]);
        ledger.check().expect("all is known");
        assert_eq!(
            ledger.lease(Time::ZERO, &mut disk, 1, Class::MIN, 1).len(),
            1
        );
        assert!(ledger.end_lease(0, blocks[1]));
        ledger.returned(blocks[1], true);
        ledger.check().expect("all is known");
        assert_eq!(ledger.stats().suspect[Class::MAX.index()], 1);
        assert_eq!(
            ledger.stats().used_bytes() + ledger.stats().free_bytes,
            MACRO
        );
    }

    #[test]
    fn a_worker_has_at_most_its_leases() {
        let mut disk = room(MACRO);
        let mut ledger = Ledger::new(0, &config(MACRO, MACRO), 2);
        assert_eq!(
            ledger.lease(Time::ZERO, &mut disk, 0, Class::MIN, 12).len(),
            12
        );
        assert_eq!(
            ledger.lease(Time::ZERO, &mut disk, 0, Class::MIN, 12).len(),
            4
        );
        assert_eq!(ledger.leases_left(0), 0);
        assert_eq!(
            ledger.lease(Time::ZERO, &mut disk, 1, Class::MIN, 12).len(),
            12
        );
    }
}
