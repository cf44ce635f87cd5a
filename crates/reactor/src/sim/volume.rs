//! One virtual file: what is durable, what a reader sees, and the writes between the two.
//!
//! ```text
//!  start ─▶ running ── finish ─▶ seen + unsynced ── sync ─▶ durable
//!              │                        │
//!              └──────── crash ─────────┴─▶ each sector kept or lost
//! ```
//!
//! Invariants: `seen` is `durable` with every finished write since the last crash on top, in the order in
//! which they finished. A sync makes durable what had finished before it, and nothing else: a write that is
//! still running stays unsynced, whenever it began. A sync that failed dooms what it was to make durable: seen
//! until the machine stops, and no later sync's business.

use std::collections::BTreeMap;

use hioload_base::Prng;

use super::disk_fault::{DiskFault, DiskFaultCounts};
use super::image::Image;

/// What a disk writes as a whole, whatever happens meanwhile.
pub(super) const SECTOR_SIZE: u64 = 512;

/// Unsynced bytes of one file above which the oldest writes become durable unasked, as page caches do.
const UNSYNCED_MAX: usize = 64 << 20;

/// A write on its way.
#[derive(Debug)]
struct Write {
    offset: u64,
    bytes: Vec<u8>,
    /// A sync failed that was to make it durable.
    is_doomed: bool,
}

/// One virtual file.
#[derive(Debug, Default)]
pub(super) struct Volume {
    durable: Image,
    seen: Image,
    size: u64,
    size_durable: u64,
    running: BTreeMap<u64, Write>,
    /// In the order in which they finished.
    unsynced: Vec<Write>,
    unsynced_bytes: usize,
}

/// What a crash does to one write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    /// Each sector for itself.
    Torn,
}

impl Volume {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn set_size(&mut self, size: u64) {
        self.size = size;
    }

    /// What a reader sees; zero behind the end.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) {
        self.seen.read(offset, into);
    }

    /// A write begins; it is named `number` until it finishes.
    pub(super) fn start(&mut self, number: u64, offset: u64, bytes: &[u8]) {
        let write = Write {
            offset,
            bytes: bytes.to_vec(),
            is_doomed: false,
        };
        self.running.insert(number, write);
    }

    /// A write is over and did all it was to do.
    pub(super) fn finish(&mut self, number: u64) {
        if let Some(write) = self.running.remove(&number) {
            self.apply(write);
        }
    }

    /// A write is over and may have done any part of its work.
    pub(super) fn tear(&mut self, number: u64, prng: &mut Prng) {
        let Some(write) = self.running.remove(&number) else {
            return;
        };
        for (offset, piece) in sectors(&write) {
            if prng.chance(1, 2) {
                self.apply(Write {
                    offset,
                    bytes: piece.to_vec(),
                    is_doomed: false,
                });
            }
        }
    }

    fn apply(&mut self, write: Write) {
        self.seen.write(write.offset, &write.bytes);
        self.size = self.size.max(write.offset + write.bytes.len() as u64);
        self.unsynced_bytes += write.bytes.len();
        self.unsynced.push(write);
        if self.unsynced_bytes > UNSYNCED_MAX {
            self.write_back();
        }
    }

    /// The older half becomes durable.
    fn write_back(&mut self) {
        let rest = self.unsynced.split_off(self.unsynced.len().div_ceil(2));
        for write in std::mem::replace(&mut self.unsynced, rest) {
            self.unsynced_bytes -= write.bytes.len();
            self.settle(&write);
        }
    }

    /// Everything finished becomes durable.
    pub(super) fn sync(&mut self) {
        for write in std::mem::take(&mut self.unsynced) {
            self.settle(&write);
        }
        self.unsynced_bytes = 0;
        self.size_durable = self.size;
    }

    fn settle(&mut self, write: &Write) {
        if !write.is_doomed {
            self.durable.write(write.offset, &write.bytes);
        }
    }

    /// A sync failed: the system believes it has written what it has not.
    pub(super) fn doom(&mut self) {
        for write in &mut self.unsynced {
            write.is_doomed = true;
        }
    }

    /// Flips one bit for good.
    pub(super) fn rot(&mut self, offset: u64, bit: u8) {
        let flip = 1 << (bit % 8);
        for image in [&mut self.seen, &mut self.durable] {
            let mut byte = [0];
            image.read(offset, &mut byte);
            image.write(offset, &[byte[0] ^ flip]);
        }
        // What is not durable yet must not mend it.
        for write in &mut self.unsynced {
            let at = offset.checked_sub(write.offset);
            if let Some(byte) = at.and_then(|at| write.bytes.get_mut(at as usize)) {
                *byte ^= flip;
            }
        }
    }

    /// The machine stops: of what was not durable each sector is kept or lost.
    pub(super) fn crash(&mut self, prng: &mut Prng, counts: &mut DiskFaultCounts) {
        let mut has_lost = false;
        for write in std::mem::take(&mut self.unsynced) {
            let (kept, lost) = self.keep_some(&write, prng, counts);
            if kept > 0 && has_lost {
                counts.add(DiskFault::Reordered);
            }
            has_lost |= lost > 0;
        }
        self.unsynced_bytes = 0;
        for write in std::mem::take(&mut self.running).into_values() {
            self.keep_some(&write, prng, counts);
        }
        if self.size != self.size_durable && prng.chance(1, 2) {
            counts.add(DiskFault::LostGrowth);
            self.size = self.size_durable;
        }
        // What lies behind the end is gone with it.
        self.durable.truncate(self.size);
        self.size_durable = self.size;
        self.seen = self.durable.clone();
    }

    /// Sectors kept and lost.
    fn keep_some(
        &mut self,
        write: &Write,
        prng: &mut Prng,
        counts: &mut DiskFaultCounts,
    ) -> (u64, u64) {
        let fate = [Fate::Kept, Fate::Lost, Fate::Torn][prng.below(3) as usize];
        let (mut kept, mut lost) = (0, 0);
        for (offset, piece) in sectors(write) {
            if fate == Fate::Kept || (fate == Fate::Torn && prng.chance(1, 2)) {
                self.durable.write(offset, piece);
                kept += 1;
            } else {
                lost += 1;
            }
        }
        if lost > 0 {
            counts.add(if kept > 0 {
                DiskFault::Torn
            } else {
                DiskFault::Lost
            });
        }
        (kept, lost)
    }
}

/// The parts of a write in each sector: where, and the bytes.
fn sectors(write: &Write) -> impl Iterator<Item = (u64, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let offset = write.offset + done as u64;
        let room = (SECTOR_SIZE - offset % SECTOR_SIZE) as usize;
        let rest = &write.bytes[done..];
        let piece = &rest[..room.min(rest.len())];
        done += piece.len();
        (!piece.is_empty()).then_some((offset, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_cut_at_sector_borders() {
        let cut = |offset, len| {
            let write = Write {
                offset,
                bytes: vec![1; len],
                is_doomed: false,
            };
            let pieces: Vec<_> = sectors(&write)
                .map(|(at, piece)| (at, piece.len()))
                .collect();
            pieces
        };
        assert_eq!(cut(0, 512), [(0, 512)]);
        assert_eq!(cut(0, 513), [(0, 512), (512, 1)]);
        assert_eq!(cut(511, 2), [(511, 1), (512, 1)]);
        assert_eq!(cut(100, 1000), [(100, 412), (512, 512), (1024, 76)]);
        assert_eq!(cut(7, 0), []);
    }

    #[test]
    fn what_is_never_synced_does_not_pile_up() {
        let mut volume = Volume::default();
        let bytes = vec![5; 1 << 20];
        for number in 0..200 {
            volume.start(number, (number % 4) << 20, &bytes);
            volume.finish(number);
            assert!(volume.unsynced_bytes <= UNSYNCED_MAX);
        }
        let mut byte = [0];
        volume.durable.read(0, &mut byte);
        assert_eq!(byte, [5]);
    }
}
