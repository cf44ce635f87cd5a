//! A virtual disk: files whose bytes go through a volatile cache, with every fault that real disks are known
//! for, from one seed.
//!
//! ```text
//!   SimDriver ── Op::Read, Op::Write ──┐
//!                                      ├─▶ SimFile ─▶ SimDisk: cache, medium, faults
//!   whoever owns the file: grow, sync ─┘
//! ```
//!
//! Fault model. Operations take a time of their own and overtake each other; a read sees every write that
//! completed before it was reaped. Reads and writes may be short or fail; a failed write may have written
//! any of its sectors. There may be no space. A sync makes durable what completed before it; it may fail, and
//! then nobody writes again what it was to write. A read may bring bytes from elsewhere, and bits rot. A
//! crash keeps or loses each 512-byte sector of each write since the last sync, whatever the order they
//! were made in, and may take back a growth. Synced sectors always survive: a drive that lies about its cache
//! is beyond what software can mend. See [`DiskFault`]; each counts how often it fired.
//!
//! The disk has its own dice, so that it does not matter to the network when operations happen.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hioload_base::Prng;

use super::config::CHANCE_OF;
use super::disk_fault::{DiskConfig, DiskFault, DiskFaultCounts};
use super::volume::Volume;
use crate::file::{FileOp, Memory};

/// A misdirected read is off by a multiple of so many bytes.
const STRIDE: u64 = 4096;

/// A virtual disk. Cheap to clone; all clones are the same disk, from any thread.
///
/// # Examples
/// ```
/// use hioload_base::Prng;
/// use hioload_reactor::sim::{DiskConfig, SimConfig, SimDisk, SimNet};
/// use hioload_reactor::{Completion, Driver, DriverConfig, FileHandle, Op, Wait};
/// use hioload_mem::{BufferPool, PoolConfig};
///
/// let disk = SimDisk::new(42, DiskConfig::calm());
/// let file = disk.create();
/// let mut driver = SimNet::new(42, SimConfig::calm()).driver(DriverConfig::default());
/// let id = driver.open_file(FileHandle::Sim(file.clone())).unwrap();
/// let pool = BufferPool::new(PoolConfig::with_budget(1 << 20)).unwrap();
/// let mut buffer = pool.take(4096).unwrap();
/// buffer.extend_from_slice(b"hello").unwrap();
/// driver.submit(Op::Write { file: id, token: 1, offset: 0, content: buffer.seal() }).unwrap();
/// let mut events = Vec::new();
/// while events.is_empty() {
///     driver.turn(Wait::Forever, &mut events).unwrap();
/// }
/// assert!(matches!(events[0], Completion::Written { token: 1, result: Ok(5), .. }));
/// file.sync().unwrap();
/// disk.crash(&mut Prng::new(7));
/// let mut bytes = [0; 5];
/// file.peek(0, &mut bytes);
/// assert_eq!(&bytes, b"hello", "what is synced survives");
/// ```
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Disk>>);

/// A file of a [`SimDisk`]. Cheap to clone; all clones are the same file, before and after a crash.
#[derive(Clone)]
pub struct SimFile {
    disk: SimDisk,
    number: usize,
}

struct Disk {
    prng: Prng,
    config: DiskConfig,
    counts: DiskFaultCounts,
    /// Faults that are to fire at a certain chance: how many to let pass.
    armed: [Option<u64>; DiskFault::ALL.len()],
    volumes: Vec<Volume>,
    /// Crashes so far: operations begun before the last have come to nothing.
    epoch: u64,
    /// Writes begun so far.
    write_count: u64,
    sync_count: u64,
}

/// An operation that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    epoch: u64,
    number: u64,
    outcome: Result<usize, i32>,
}

impl SimDisk {
    /// A disk without files.
    #[must_use]
    pub fn new(seed: u64, config: DiskConfig) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            prng: Prng::new(seed),
            config,
            counts: DiskFaultCounts::default(),
            armed: [None; DiskFault::ALL.len()],
            volumes: Vec::new(),
            epoch: 0,
            write_count: 0,
            sync_count: 0,
        })))
    }

    /// A new, empty file.
    #[must_use]
    pub fn create(&self) -> SimFile {
        let mut disk = self.lock();
        disk.volumes.push(Volume::default());
        SimFile {
            disk: self.clone(),
            number: disk.volumes.len() - 1,
        }
    }

    /// The machine stops. Of every write that is not durable each sector is kept or lost; files show what is
    /// left from now on. Drivers with operations in flight are to be dropped: those operations fail.
    pub fn crash(&self, prng: &mut Prng) {
        let mut disk = self.lock();
        let disk = &mut *disk;
        disk.epoch += 1;
        for volume in &mut disk.volumes {
            volume.crash(prng, &mut disk.counts);
        }
    }

    /// Lets `fault` fire once, when it could for the `after`-th time from now (0: the next time), besides its
    /// chance.
    ///
    /// # Panics
    /// When only a crash does that.
    pub fn arm(&self, fault: DiskFault, after: u64) {
        assert!(!fault.is_by_crash(), "misuse: only a crash does that");
        self.lock().armed[fault as usize] = Some(after);
    }

    /// How often each fault fired so far.
    #[must_use]
    pub fn faults(&self) -> DiskFaultCounts {
        self.lock().counts
    }

    /// Syncs asked for so far, failed ones too.
    #[must_use]
    pub fn sync_count(&self) -> u64 {
        self.lock().sync_count
    }

    /// No more faults from now on but by [`SimDisk::crash`].
    pub fn heal(&self) {
        let mut disk = self.lock();
        disk.config.heal();
        disk.armed = [None; DiskFault::ALL.len()];
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
        self.with(|_, volume| volume.size())
    }

    /// Makes the file `to` bytes long, the space for it reserved; no effect when it is as long already. Durable
    /// with the next sync.
    ///
    /// # Errors
    /// `ENOSPC`: the disk is full, or the fault fired.
    pub fn grow(&self, to: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let size = disk.volumes[self.number].size();
        if to <= size {
            return Ok(());
        }
        if to - size > disk.bytes_free() || disk.fires(DiskFault::NoSpace) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        disk.volumes[self.number].set_size(to);
        Ok(())
    }

    /// Makes durable what completed so far, as fdatasync(2) does.
    ///
    /// # Errors
    /// `EIO`. What this sync was to make durable is lost with the next crash or not, but no later sync
    /// changes that.
    pub fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.sync_count += 1;
        if disk.fires(DiskFault::SyncFailed) {
            disk.volumes[self.number].doom();
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        disk.volumes[self.number].sync();
        Ok(())
    }

    /// What a reader would see from `offset` on, without any fault; zero behind the end.
    pub fn peek(&self, offset: u64, into: &mut [u8]) {
        self.with(|_, volume| volume.read(offset, into));
    }

    /// Writes at once; the caller waits, as with pwrite(2). Durable with the next sync.
    ///
    /// # Errors
    /// `EIO`: any of the sectors may have been written.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let disk = &mut *disk;
        let number = disk.write_count;
        disk.write_count += 1;
        let has_failed = disk.fires(DiskFault::WriteFailed);
        let volume = &mut disk.volumes[self.number];
        volume.start(number, offset, bytes);
        if has_failed {
            volume.tear(number, &mut disk.prng);
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        volume.finish(number);
        Ok(())
    }

    /// Flips one bit of the byte at `offset` for good.
    pub fn rot(&self, offset: u64, bit: u8) {
        self.with(|counts, volume| {
            counts.add(DiskFault::BitRot);
            volume.rot(offset, bit);
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut DiskFaultCounts, &mut Volume) -> T) -> T {
        let mut disk = self.disk.lock();
        let disk = &mut *disk;
        act(&mut disk.counts, &mut disk.volumes[self.number])
    }

    /// An operation begins: what will come of it, and how long it takes.
    pub(super) fn start(&self, op: &FileOp) -> (Ticket, Duration) {
        let mut disk = self.disk.lock();
        let outcome = if op.is_write() {
            disk.write_outcome(self.number, op)
        } else {
            disk.read_outcome(self.number, op)
        };
        let ticket = Ticket {
            epoch: disk.epoch,
            number: disk.write_count,
            outcome,
        };
        let size = match outcome {
            Ok(size) => size,
            // Any of its sectors may get written.
            Err(libc::EIO) => op.len,
            Err(_) => 0,
        };
        if let Memory::From(content) = &op.memory {
            disk.write_count += 1;
            if size > 0 {
                disk.volumes[self.number].start(ticket.number, op.offset, &content[..size]);
            }
        }
        let latency = disk.latency();
        (ticket, latency)
    }

    /// An operation takes effect: a read fills the buffer's room.
    pub(super) fn finish(&self, ticket: Ticket, op: &mut FileOp) -> Result<usize, i32> {
        let mut disk = self.disk.lock();
        let disk = &mut *disk;
        if ticket.epoch != disk.epoch {
            return Err(libc::EIO);
        }
        match (ticket.outcome, &mut op.memory) {
            (Ok(_), Memory::From(_)) => disk.volumes[self.number].finish(ticket.number),
            (Ok(size), Memory::Into(buffer)) => {
                disk.read(self.number, op.offset, &mut buffer.spare_mut()[..size]);
            }
            (Err(_), Memory::From(_)) => {
                disk.volumes[self.number].tear(ticket.number, &mut disk.prng);
            }
            (Err(_), Memory::Into(_)) => {}
        }
        ticket.outcome
    }

    /// An operation ends before its time, cancelled or with its process: a write may have done any part.
    pub(super) fn abandon(&self, ticket: Ticket, op: &FileOp) {
        let mut disk = self.disk.lock();
        let disk = &mut *disk;
        if op.is_write() && ticket.epoch == disk.epoch {
            disk.volumes[self.number].tear(ticket.number, &mut disk.prng);
        }
    }
}

impl Disk {
    /// Draws whether a fault fires, and counts it when it does.
    fn fires(&mut self, fault: DiskFault) -> bool {
        let chance = u64::from(self.config.chance(fault));
        let mut fires = self.prng.chance(chance, u64::from(CHANCE_OF));
        if let Some(left) = &mut self.armed[fault as usize] {
            if *left == 0 {
                self.armed[fault as usize] = None;
                fires = true;
            } else {
                *left -= 1;
            }
        }
        if fires {
            self.counts.add(fault);
        }
        fires
    }

    fn up_to(&mut self, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.prng.below(nanos + 1))
    }

    fn latency(&mut self) -> Duration {
        if self.fires(DiskFault::Slow) {
            return self.up_to(self.config.slow_max);
        }
        let spread = self
            .config
            .latency_max
            .saturating_sub(self.config.latency_min);
        self.config.latency_min + self.up_to(spread)
    }

    fn bytes_free(&self) -> u64 {
        let used: u64 = self.volumes.iter().map(Volume::size).sum();
        self.config.capacity.saturating_sub(used)
    }

    /// Between one and all but one.
    fn part_of(&mut self, size: usize) -> usize {
        1 + self.prng.below(size as u64 - 1) as usize
    }

    fn write_outcome(&mut self, number: usize, op: &FileOp) -> Result<usize, i32> {
        if self.fires(DiskFault::WriteFailed) {
            return Err(libc::EIO);
        }
        if self.fires(DiskFault::NoSpace) {
            return Err(libc::ENOSPC);
        }
        // A write behind the end makes the file longer, as far as there is space.
        let end_max = self.volumes[number].size() + self.bytes_free();
        let size = end_max.saturating_sub(op.offset).min(op.len as u64) as usize;
        if size == 0 {
            return Err(libc::ENOSPC);
        }
        if size > 1 && self.fires(DiskFault::ShortWrite) {
            return Ok(self.part_of(size));
        }
        Ok(size)
    }

    fn read_outcome(&mut self, number: usize, op: &FileOp) -> Result<usize, i32> {
        if self.fires(DiskFault::ReadFailed) {
            return Err(libc::EIO);
        }
        let there = self.volumes[number].size().saturating_sub(op.offset);
        let size = there.min(op.len as u64) as usize;
        if size > 1 && self.fires(DiskFault::ShortRead) {
            return Ok(self.part_of(size));
        }
        Ok(size)
    }

    fn read(&mut self, number: usize, offset: u64, into: &mut [u8]) {
        if into.is_empty() {
            return;
        }
        if self.fires(DiskFault::BitRot) {
            let at = offset + self.prng.below(into.len() as u64);
            let bit = self.prng.below(8) as u8;
            self.volumes[number].rot(at, bit);
        }
        let strides = self.volumes[number].size().div_ceil(STRIDE);
        let mut from = offset;
        if strides > 1 && self.fires(DiskFault::Misdirected) {
            let stride = offset / STRIDE;
            let elsewhere = (stride + 1 + self.prng.below(strides - 1)) % strides;
            from = elsewhere * STRIDE + offset % STRIDE;
        }
        self.volumes[number].read(from, into);
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimFile")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
