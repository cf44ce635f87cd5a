//! A disk in memory that forgets what was not synced.
//!
//! Fault model. Between two syncs every sector of 512 bytes that was written may be on the medium or not, each by itself and
//! in any order: a crash keeps some and loses the others. A sync that fails leaves that open for ever: what it was to write is
//! dropped from the list of what is still to be written, as kernels do, so that a later sync does not bring it back.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use hioload_base::Prng;

use crate::controller::Disk;

const SECTOR: usize = 512;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[derive(Clone, Debug, Default)]
struct Image {
    /// What a read brings.
    now: Vec<u8>,
    /// What a crash leaves for certain.
    durable: Vec<u8>,
    unsynced: BTreeSet<usize>,
    /// Bytes the file system has.
    room: u64,
    fails_sync: bool,
    /// A sync failed.
    has_failed: bool,
}

/// The disk; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Medium(Arc<Mutex<Image>>);

impl Medium {
    pub(crate) fn new(room: u64) -> Medium {
        let image = Image {
            room,
            ..Image::default()
        };
        Medium(Arc::new(Mutex::new(image)))
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().expect("invariant: nobody panics with it")
    }

    /// What is found after a crash, of each unsynced sector the old or the new; and how many are old.
    pub(crate) fn crash(&self, prng: &mut Prng) -> (Medium, usize) {
        let image = self.image();
        let mut after = image.durable.clone();
        let mut lost = 0;
        for sector in &image.unsynced {
            if prng.chance(1, 2) {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                after[range.clone()].copy_from_slice(&image.now[range]);
            } else {
                lost += 1;
            }
        }
        let image = Image {
            now: after.clone(),
            durable: after,
            room: image.room,
            ..Image::default()
        };
        (Medium(Arc::new(Mutex::new(image))), lost)
    }

    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) {
        let offset = offset as usize;
        into.copy_from_slice(&self.image().now[offset..offset + into.len()]);
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        assert_eq!(
            (offset % 4096, bytes.len() % 4096),
            (0, 0),
            "writes are whole units"
        );
        let mut image = self.image();
        let offset = offset as usize;
        image.now[offset..offset + bytes.len()].copy_from_slice(bytes);
        let sectors = offset / SECTOR..(offset + bytes.len()) / SECTOR;
        image.unsynced.extend(sectors);
    }

    /// Flips a bit, on the medium for good.
    pub(crate) fn rot(&self, offset: u64, bit: u8) {
        let mut image = self.image();
        let offset = offset as usize;
        image.now[offset] ^= 1 << (bit % 8);
        image.durable[offset] ^= 1 << (bit % 8);
    }

    /// The next sync fails.
    pub(crate) fn fail_sync(&self) {
        self.image().fails_sync = true;
    }

    /// A sync has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.image().has_failed
    }
}

impl Disk for Medium {
    fn size(&self) -> u64 {
        self.image().now.len() as u64
    }

    fn grow(&mut self, to: u64) -> io::Result<()> {
        let mut image = self.image();
        if to > image.room {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        image.now.resize(to as usize, 0);
        image.durable.resize(to as usize, 0);
        Ok(())
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        Medium::read(self, offset, into);
        Ok(())
    }

    fn write(&mut self, offset: u64, units: &[u8]) -> io::Result<()> {
        Medium::write(self, offset, units);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut image = self.image();
        let Image {
            now,
            durable,
            unsynced,
            fails_sync,
            has_failed,
            ..
        } = &mut *image;
        let unsynced = std::mem::take(unsynced);
        if std::mem::take(fails_sync) {
            *has_failed = true;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        for sector in unsynced {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            durable[range.clone()].copy_from_slice(&now[range]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
        let mut medium = Medium::new(1 << 20);
        medium.grow(8192).expect("room");
        medium.write(0, &[1; 4096]);
        medium.sync().expect("no fault");
        medium.write(0, &[2; 4096]);
        let mut prng = Prng::new(1);
        let mut bytes = [0; 4096];
        let (after, lost) = medium.crash(&mut prng);
        after.read(0, &mut bytes);
        assert_eq!(
            bytes.iter().filter(|byte| **byte == 1).count(),
            lost * SECTOR
        );
        assert!(
            bytes
                .chunks(SECTOR)
                .all(|sector| sector == [1; 512] || sector == [2; 512])
        );
        assert!(
            bytes.contains(&1) && bytes.contains(&2),
            "eight sectors, each by itself"
        );
    }

    #[test]
    fn a_failed_sync_is_not_mended_by_a_later_one() {
        let mut medium = Medium::new(1 << 20);
        medium.grow(4096).expect("room");
        medium.write(0, &[1; 4096]);
        medium.fail_sync();
        assert!(medium.sync().is_err());
        assert!(medium.sync().is_ok());
        let mut bytes = [9; 4096];
        medium.crash(&mut Prng::new(1)).0.read(0, &mut bytes);
        assert_eq!(bytes, [0; 4096]);
        assert!(medium.grow((1 << 20) + 1).is_err());
    }
}
