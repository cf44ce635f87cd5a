//! What the controller needs of the data file: its size, more of it, the journal in it, and that it is on the medium.
//!
//! Must not know who reads and writes contents: workers do, through their drivers.

use std::io;

/// The data file as the controller sees it.
pub trait Disk: Send {
    /// Bytes there are.
    fn size(&self) -> u64;

    /// Makes the file `to` bytes long, the space for it reserved.
    ///
    /// # Errors
    /// What the system says; the size is then what it was.
    fn grow(&mut self, to: u64) -> io::Result<()>;

    /// Reads whole units at a multiple of a unit.
    ///
    /// # Errors
    /// What the system says; what was read is then nobody's.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes whole units at a multiple of a unit.
    ///
    /// # Errors
    /// What the system says; any part of it may have been written.
    fn write(&mut self, offset: u64, units: &[u8]) -> io::Result<()>;

    /// Returns when everything written so far is on the medium.
    ///
    /// # Errors
    /// What the system says. What was not synced may be lost, and a later success says nothing about it.
    fn sync(&mut self) -> io::Result<()>;
}
