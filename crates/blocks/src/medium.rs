//! What the store asks of a file system beyond reading and writing: room that is promised, unbuffered access, durable names.
//!
//! The one file with calls that differ between systems. Must not know what files hold. Whatever a system lacks is told as
//! such, so that callers can say what they do instead.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::ops::Range;
use std::path::Path;

use crate::class::UNIT;

/// Whether a number of the system says that a disk, or a quota on it, is full.
pub(crate) fn is_out_of_room(code: i32) -> bool {
    use rustix::io::Errno;
    [Errno::NOSPC, Errno::DQUOT]
        .iter()
        .any(|errno| errno.raw_os_error() == code)
}

/// Allocates a file up to `size` without making it longer; false when there is no room. A file system that cannot promise room
/// is taken to have it: whoever writes is told.
pub(crate) fn reserve(file: &File, size: u64) -> bool {
    !matches!(system::allocate(file, size, true), Err(error) if error.kind() != io::ErrorKind::Unsupported)
}

/// Makes a file `size` bytes long, allocated. Returns false when the file system can only make it longer.
///
/// # Errors
/// What the system refused: no room above all. The file is as it was.
pub(crate) fn extend(file: &File, size: u64) -> io::Result<bool> {
    match system::allocate(file, size, false) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            file.set_len(size).map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// Makes names in a directory durable: a file that was made is found again.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        // Elsewhere directories cannot be opened, and names need no help.
        Ok(())
    }
}

/// Opens a file past the page cache. `Unsupported` when the file system does not do that, or not for one unit.
pub(crate) fn open_direct(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let file = system::open_direct(&mut options, path)?;
    // Some only refuse the first read.
    match read_unit(&file) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(io::ErrorKind::Unsupported.into())
        }
        Err(error) => Err(error),
        Ok(()) => Ok(file),
    }
}

/// Reads one unit, as aligned as a block is.
fn read_unit(mut file: &File) -> io::Result<()> {
    let unit = UNIT as usize;
    with_aligned(unit, |buffer| io::Read::read(&mut file, buffer).map(|_| ()))
}

/// Writes zeros to a range of whole units, past the page cache or not.
pub(crate) fn write_zeros(mut file: &File, range: Range<u64>) -> io::Result<()> {
    const PIECE_SIZE: u64 = 1 << 20;
    with_aligned(PIECE_SIZE as usize, |zeros| {
        file.seek(io::SeekFrom::Start(range.start))?;
        let mut left = range.end - range.start;
        while left > 0 {
            let size = left.min(PIECE_SIZE);
            file.write_all(&zeros[..size as usize])?;
            left -= size;
        }
        Ok(())
    })
}

/// Reads the beginning of a file once, in order, so that what follows finds it in the page cache. Only a help: whoever needs
/// the bytes is told what is wrong with them.
pub(crate) fn read_ahead(mut file: &File, size: u64) {
    let mut piece = vec![0; 1 << 20];
    let mut left = size;
    if file.rewind().is_err() {
        return;
    }
    while left > 0 {
        match io::Read::read(&mut file, &mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => left = left.saturating_sub(read as u64),
        }
    }
}

/// Memory at an address that is a multiple of a unit: what unbuffered access asks for.
#[derive(Debug, Default)]
pub(crate) struct Aligned(Vec<u8>);

impl Aligned {
    /// So many bytes of it; what is in them is left from before.
    ///
    /// # Errors
    /// `Unsupported`: the standard library may decline to align, though not here.
    pub(crate) fn bytes(&mut self, size: usize) -> io::Result<&mut [u8]> {
        let unit = UNIT as usize;
        if self.0.len() < size + unit {
            self.0.resize(size + unit, 0);
        }
        let skipped = self.0.as_ptr().align_offset(unit);
        let aligned = self.0.get_mut(skipped..);
        let aligned = aligned.and_then(|rest| rest.get_mut(..size));
        aligned.ok_or(io::ErrorKind::Unsupported.into())
    }
}

/// Calls `with` with zeros at an address that is a multiple of a unit.
fn with_aligned(size: usize, with: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<()> {
    with(Aligned::default().bytes(size)?)
}

/// Fills `into` from a place of a file, wherever others read it.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, offset)
}

/// Writes all of `bytes` to a place of a file, wherever others write it.
#[cfg(unix)]
pub(crate) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

/// Fills `into` from a place of a file.
#[cfg(windows)]
pub(crate) fn read_at(file: &File, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, into, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += count as u64;
        into = &mut into[count..];
    }
    Ok(())
}

/// Writes all of `bytes` to a place of a file.
#[cfg(windows)]
pub(crate) fn write_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset += count as u64;
        bytes = &bytes[count..];
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;

    use rustix::fs::{FallocateFlags, OFlags, fallocate};
    use rustix::io::Errno;

    pub(super) fn allocate(file: &File, size: u64, keeps_size: bool) -> io::Result<()> {
        let flags = if keeps_size {
            FallocateFlags::KEEP_SIZE
        } else {
            FallocateFlags::empty()
        };
        match fallocate(file, flags, 0, size) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            done => Ok(done?),
        }
    }

    pub(super) fn open_direct(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        let opened = options
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(path);
        match opened {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            opened => opened,
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) fn allocate(_: &File, _: u64, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn open_direct(_: &mut OpenOptions, _: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
