//! What a file may hold, sector by sector, after any operations, faults and crashes.
//!
//! Every write fills its range with one value, so that a sector is described by the set of values its bytes
//! may have: seen by a reader now, and found after a crash.

use std::collections::BTreeSet;

use hioload_base::Prng;
use hioload_reactor::sim::{DiskConfig, SimDisk};

use crate::rig::Rig;

const SECTOR: usize = 512;
const SECTORS: usize = 256;

#[derive(Clone, Default)]
struct Sector {
    /// What a reader may see.
    seen: BTreeSet<u8>,
    /// What a crash may leave.
    left: BTreeSet<u8>,
    /// Written since the last sync.
    is_dirty: bool,
    /// A sync failed to make it durable, and no write has gone over all of it since.
    is_doomed: bool,
}

pub(crate) struct Model {
    rig: Rig,
    prng: Prng,
    sectors: Vec<Sector>,
    value: u8,
    /// Off: the operations alone.
    pub(crate) is_checked: bool,
}

impl Model {
    pub(crate) fn new(seed: u64, config: DiskConfig) -> Self {
        let rig = Rig::new(seed, config);
        while rig.file.grow((SECTORS * SECTOR) as u64).is_err() {}
        while rig.file.sync().is_err() {}
        let zero = BTreeSet::from([0]);
        let sector = Sector {
            seen: zero.clone(),
            left: zero,
            ..Sector::default()
        };
        Self {
            rig,
            prng: Prng::new(seed),
            sectors: vec![sector; SECTORS],
            value: 0,
            is_checked: true,
        }
    }

    pub(crate) fn disk(&self) -> &SimDisk {
        &self.rig.disk
    }

    pub(crate) fn fingerprint(&self) -> (u64, u64, Vec<u8>) {
        let mut bytes = vec![0; SECTORS * SECTOR];
        self.rig.file.peek(0, &mut bytes);
        (self.rig.trace(), self.rig.now().as_nanos(), bytes)
    }

    pub(crate) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.prng.below(20) {
                0..12 => self.write(),
                12..16 => self.read(),
                16..18 => self.sync(),
                18 => self.grow(),
                _ => self.crash(),
            }
        }
    }

    /// Some writes at once, each to a stretch of its own.
    fn write(&mut self) {
        let count = 1 + self.prng.below(4);
        let stretch = SECTORS / 4;
        let mut ranges = Vec::new();
        for token in 0..count {
            self.value = self.value % 250 + 1;
            let first = self.prng.below(stretch as u64) as usize;
            let len = 1 + self.prng.below((stretch - first) as u64) as usize;
            let first = first + token as usize * stretch;
            ranges.push((first, len, self.value));
            let bytes = vec![self.value; len * SECTOR];
            self.rig
                .submit_write(token, (first * SECTOR) as u64, &bytes);
        }
        for (token, result) in self.rig.finish() {
            let (first, len, value) = ranges[token as usize];
            self.wrote(first..first + len, value, result);
        }
    }

    fn wrote(&mut self, range: std::ops::Range<usize>, value: u8, result: Result<usize, i32>) {
        let written = match result {
            Ok(size) => size,
            Err(libc::ENOSPC) => 0,
            Err(_) => range.len() * SECTOR,
        };
        for (at, sector) in self.sectors[range].iter_mut().enumerate() {
            if at * SECTOR >= written {
                break;
            }
            let is_whole = result.is_ok() && (at + 1) * SECTOR <= written;
            if is_whole {
                sector.seen.clear();
                sector.is_doomed = false;
            }
            sector.seen.insert(value);
            sector.left.insert(value);
            sector.is_dirty = true;
        }
    }

    fn read(&mut self) {
        let first = self.prng.below(SECTORS as u64) as usize;
        let len = 1 + self.prng.below((SECTORS - first) as u64) as usize;
        if let Ok(bytes) = self.rig.read((first * SECTOR) as u64, len * SECTOR) {
            self.check(first, &bytes, |sector| &sector.seen);
        }
    }

    fn check(&self, first: usize, bytes: &[u8], may: impl Fn(&Sector) -> &BTreeSet<u8>) {
        for (at, byte) in bytes.iter().enumerate() {
            let sector = first + at / SECTOR;
            let set = may(&self.sectors[sector]);
            assert!(
                !self.is_checked || set.contains(byte),
                "sector {sector} holds {byte}, not one of {set:?}"
            );
        }
    }

    fn sync(&mut self) {
        let synced = self.rig.file.sync().is_ok();
        for sector in &mut self.sectors {
            if synced && !sector.is_doomed {
                sector.left = sector.seen.clone();
            }
            sector.is_doomed |= !synced && sector.is_dirty;
            sector.is_dirty = false;
        }
    }

    /// Beyond what the model looks at.
    fn grow(&mut self) {
        let _ = self.rig.file.grow(self.rig.file.size() + 4096);
    }

    fn crash(&mut self) {
        self.rig.restart(self.prng.next_u64());
        let mut bytes = vec![0; SECTORS * SECTOR];
        self.rig.file.peek(0, &mut bytes);
        self.check(0, &bytes, |sector| &sector.left);
        for (sector, bytes) in self.sectors.iter_mut().zip(bytes.chunks(SECTOR)) {
            let found: BTreeSet<u8> = bytes.iter().copied().collect();
            *sector = Sector {
                seen: found.clone(),
                left: found,
                ..Sector::default()
            };
        }
    }
}
