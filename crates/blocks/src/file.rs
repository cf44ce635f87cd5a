//! The data file on a real file system: opened, made longer, synced.
//!
//! ```text
//!   FileDisk (controller)  grow: fallocate     sync: fdatasync     read, write: the journal, which is small
//!       └─ handle() ─▶ each worker's driver    reads and writes of whole units, aligned
//! ```
//!
//! Must not know what is in the file, nor who reads it. Invariant: the file never gets shorter; its size is a multiple of 1 MiB
//! once it was grown.
//!
//! The file is allocated before it is written, so that a write cannot meet a full disk, and a sync has little to say about
//! where things are. Where the file system cannot do that, or cannot be read past the page cache, [`FileDisk::fallbacks`] says
//! so.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::controller::Disk;
use crate::medium;

/// How to open the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Whether to read and write past the page cache where the file system can.
    pub is_direct: bool,
    /// Whether to write zeros to new space. Growing then takes as long as writing that much; the first sync of each block is
    /// faster, as the file system has nothing to say about it.
    pub writes_zeros: bool,
}

impl Default for FileOptions {
    fn default() -> FileOptions {
        FileOptions {
            is_direct: true,
            writes_zeros: false,
        }
    }
}

/// The data file.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    size: u64,
    options: FileOptions,
    is_direct: bool,
    /// Whether growing allocates. Found out when it is tried.
    allocates: bool,
    /// What is read and written here goes through it: buffers of callers are anywhere.
    buffer: medium::Aligned,
}

impl FileDisk {
    /// Opens the file at `path`; one that is made is empty, and its name is not durable yet.
    ///
    /// # Errors
    /// What the system refused.
    pub fn open(path: &Path, options: FileOptions) -> io::Result<FileDisk> {
        let mut to_make = OpenOptions::new();
        to_make.read(true).write(true).create(true).truncate(false);
        let buffered = to_make.open(path)?;
        let direct = if options.is_direct {
            match medium::open_direct(path) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
                opened => Some(opened?),
            }
        } else {
            None
        };
        let is_direct = direct.is_some();
        let file = direct.unwrap_or(buffered);
        let size = file.metadata()?.len();
        Ok(FileDisk {
            file,
            size,
            options,
            is_direct,
            allocates: true,
            buffer: medium::Aligned::default(),
        })
    }

    /// Another handle of the same open file, for a driver.
    ///
    /// # Errors
    /// What the system refused: no descriptor is left.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Whether reads and writes go past the page cache: then buffers, offsets and lengths are multiples of 4 KiB.
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// What the file system cannot do, and what is done instead: lines for a log.
    pub fn fallbacks(&self) -> Vec<&'static str> {
        let mut lines = Vec::new();
        if self.options.is_direct && !self.is_direct {
            lines.push(
                "the file system does not do unbuffered I/O (O_DIRECT): the page cache is used",
            );
        }
        if !self.allocates {
            lines.push(
                "the file system does not allocate ahead (fallocate): a write may find the disk full, and fails then",
            );
        }
        lines
    }
}

impl FileDisk {
    fn extend(&self, to: u64) -> io::Result<bool> {
        let allocates = medium::extend(&self.file, to)?;
        if self.options.writes_zeros {
            medium::write_zeros(&self.file, self.size..to)?;
        }
        Ok(allocates)
    }
}

impl Disk for FileDisk {
    fn size(&self) -> u64 {
        self.size
    }

    /// What is new is durable with the next sync. A size that is not larger changes nothing.
    fn grow(&mut self, to: u64) -> io::Result<()> {
        if to <= self.size {
            return Ok(());
        }
        match self.extend(to) {
            Ok(allocates) => self.allocates = allocates,
            Err(error) => {
                // Some allocate as much as there was. That is given back; if it is not, it is only room.
                let _ = self.file.set_len(self.size);
                return Err(error);
            }
        }
        self.size = to;
        Ok(())
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let buffer = self.buffer.bytes(into.len())?;
        medium::read_at(&self.file, offset, buffer)?;
        into.copy_from_slice(buffer);
        Ok(())
    }

    fn write(&mut self, offset: u64, units: &[u8]) -> io::Result<()> {
        let buffer = self.buffer.bytes(units.len())?;
        buffer.copy_from_slice(units);
        medium::write_at(&self.file, offset, buffer)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::buddy::MACRO;

    fn open(path: &Path, is_direct: bool) -> FileDisk {
        let options = FileOptions {
            is_direct,
            ..FileOptions::default()
        };
        FileDisk::open(path, options).expect("opens")
    }

    #[test]
    fn grows_and_never_shrinks() {
        let directory = tempfile::tempdir().expect("a place for files");
        let path = directory.path().join("blocks.dat");
        let mut disk = open(&path, false);
        assert_eq!(disk.size(), 0);
        for (to, size) in [
            (MACRO, MACRO),
            (0, MACRO),
            (3 * MACRO, 3 * MACRO),
            (MACRO, 3 * MACRO),
        ] {
            disk.grow(to).expect("room");
            assert_eq!(disk.size(), size);
            assert_eq!(path.metadata().expect("a file").len(), size);
        }
        disk.sync().expect("syncs");
        assert_eq!(open(&path, false).size(), 3 * MACRO);
    }

    #[test]
    fn what_one_handle_writes_another_reads() {
        let directory = tempfile::tempdir().expect("a place for files");
        let path = directory.path().join("blocks.dat");
        let mut disk = open(&path, false);
        disk.grow(MACRO).expect("room");
        let handle = disk.handle().expect("a descriptor");
        handle.write_all_at(b"content", 4096).expect("writes");
        disk.sync().expect("syncs");
        let mut read = [0; 7];
        open(&path, false)
            .handle()
            .expect("a descriptor")
            .read_exact_at(&mut read, 4096)
            .expect("reads");
        assert_eq!(&read, b"content");
    }

    #[test]
    fn new_space_can_be_written_and_old_is_not() {
        for is_direct in [false, true] {
            let directory = tempfile::tempdir().expect("a place for files");
            let options = FileOptions {
                is_direct,
                writes_zeros: true,
            };
            let mut disk =
                FileDisk::open(&directory.path().join("blocks.dat"), options).expect("opens");
            disk.grow(MACRO).expect("room");
            let path = directory.path().join("blocks.dat");
            let other = open(&path, false).handle().expect("a descriptor");
            other
                .write_all_at(&[7; 4096], MACRO - 4096)
                .expect("writes");
            disk.grow(4 * MACRO).expect("room");
            disk.sync().expect("syncs");
            let mut read = vec![9; 3 * MACRO as usize + 4096];
            other.read_exact_at(&mut read, MACRO - 4096).expect("reads");
            assert!(read[..4096].iter().all(|byte| *byte == 7));
            assert!(read[4096..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn unbuffered_or_told_why_not() {
        let directory = tempfile::tempdir().expect("a place for files");
        let disk = open(&directory.path().join("blocks.dat"), true);
        let is_told = disk
            .fallbacks()
            .iter()
            .any(|line| line.contains("O_DIRECT"));
        assert_ne!(disk.is_direct(), is_told);
        let disk = open(&directory.path().join("blocks.dat"), false);
        assert!(!disk.is_direct());
        assert!(disk.fallbacks().is_empty());
    }

    #[test]
    fn a_disk_without_room_is_an_error_and_changes_nothing() {
        let directory = tempfile::tempdir().expect("a place for files");
        let mut disk = open(&directory.path().join("blocks.dat"), false);
        disk.grow(MACRO).expect("room");
        // No file system is as large.
        assert!(disk.grow(1 << 62).is_err());
        assert_eq!(disk.size(), MACRO);
        disk.sync().expect("syncs");
    }
}
