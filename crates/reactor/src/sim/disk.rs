//! A virtual disk.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::image::Image;

/// A virtual disk. Cheap to clone; all clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Disk>>);

/// A file of a [`SimDisk`]. Cheap to clone; all clones are the same file.
#[derive(Clone)]
pub struct SimFile {
    disk: SimDisk,
    number: usize,
}

#[derive(Default)]
struct Disk {
    files: Vec<(Image, u64)>,
}

impl SimDisk {
    /// A disk without files.
    #[must_use]
    pub fn new(_seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk::default())))
    }

    /// A new, empty file.
    #[must_use]
    pub fn create(&self) -> SimFile {
        let mut disk = self.lock();
        disk.files.push((Image::default(), 0));
        SimFile {
            disk: self.clone(),
            number: disk.files.len() - 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0
            .lock()
            .expect("invariant: nobody panics with the disk locked")
    }
}

impl SimFile {
    /// Bytes there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.disk.lock().files[self.number].1
    }

    /// Makes the file `to` bytes long, the space for it reserved.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn grow(&self, to: u64) -> io::Result<()> {
        self.disk.lock().files[self.number].1 = to;
        Ok(())
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// `EIO`.
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SimFile").field(&self.number).finish()
    }
}
