//! The machine a store lies on: a virtual disk and an index in memory that lose their unsynced parts together,
//! at the moment the power goes.
//!
//! ```text
//!   Controller ── Disk: grow, write, sync ┐
//!              └─ Index: commit, sync ────┴─▶ Machine: is the power to go here? ─▶ SimFile, MemoryIndex
//! ```
//!
//! The controller syncs and commits within one turn, so the moments in between are reached from inside: before and
//! after each of its calls ([`Moment`]). From the cut on every call fails; the world drops the server before any
//! reply of that turn is read, and starts it anew on what has survived.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use hioload_base::Prng;
use hioload_blocks::{
    Disk, EachBlock, EachReference, Hash, Index, IndexError, IndexReader, MemoryIndex, MetaKey,
    Record, recover,
};
use hioload_reactor::sim::{DiskConfig, DiskFault, DiskFaultCounts, SimDisk, SimFile};

use crate::event::Event;

/// Where the power may go within a turn of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    BeforeGrow,
    AfterGrow,
    BeforeJournal,
    AfterJournal,
    BeforeSync,
    AfterSync,
    BeforeCommit,
    AfterCommit,
    BeforeIndexSync,
    AfterIndexSync,
}

impl Moment {
    pub(super) const ALL: [Self; 10] = [
        Self::BeforeGrow,
        Self::AfterGrow,
        Self::BeforeJournal,
        Self::AfterJournal,
        Self::BeforeSync,
        Self::AfterSync,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::BeforeIndexSync,
        Self::AfterIndexSync,
    ];

    pub(super) fn event(self) -> Event {
        match self {
            Self::BeforeGrow => Event::CutBeforeGrow,
            Self::AfterGrow => Event::CutAfterGrow,
            Self::BeforeJournal => Event::CutBeforeJournal,
            Self::AfterJournal => Event::CutAfterJournal,
            Self::BeforeSync => Event::CutBeforeSync,
            Self::AfterSync => Event::CutAfterSync,
            Self::BeforeCommit => Event::CutBeforeCommit,
            Self::AfterCommit => Event::CutAfterCommit,
            Self::BeforeIndexSync => Event::CutBeforeIndexSync,
            Self::AfterIndexSync => Event::CutAfterIndexSync,
        }
    }
}

/// A machine. Clones are the same one.
#[derive(Clone)]
pub(super) struct Machine(Arc<Mutex<State>>);

struct State {
    disk: SimDisk,
    file: SimFile,
    index: MemoryIndex,
    /// The moment the power is to go at, and how many of its kind pass before.
    cut: Option<(Moment, u64)>,
    /// Where it went, until the machine is started again.
    cut_at: Option<Moment>,
    is_off: bool,
    /// A sync, commit or sync of the index failed since the start.
    has_failed: bool,
    commits_failed: u64,
    commits_refused: u64,
    prng: Prng,
}

const EIO: i32 = 5;

impl Machine {
    pub(super) fn new(prng: &mut Prng, config: DiskConfig) -> Self {
        let disk = SimDisk::new(prng.next_u64(), config);
        let file = disk.create();
        Self(Arc::new(Mutex::new(State {
            disk,
            file,
            index: MemoryIndex::new(),
            cut: None,
            cut_at: None,
            is_off: false,
            has_failed: false,
            commits_failed: 0,
            commits_refused: 0,
            prng: prng.fork(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("invariant: nobody panics with the machine locked")
    }

    pub(super) fn file(&self) -> SimFile {
        self.lock().file.clone()
    }

    pub(super) fn index(&self) -> MemoryIndex {
        self.lock().index.clone()
    }

    /// The index as the next start will find it, its journal applied, and how many entries that were. The machine's own is
    /// left as it is.
    pub(super) fn recovered(&self) -> (MemoryIndex, u64) {
        let mut state = self.lock();
        let State {
            index, prng, file, ..
        } = &mut *state;
        // Everything survives that came through the end of the last life: this is a copy.
        let mut index = index.crash(prng);
        let replayed = recover(&mut index, &mut Audit(file)).expect("a sound journal");
        (index, replayed.entries)
    }

    pub(super) fn faults(&self) -> DiskFaultCounts {
        self.lock().disk.faults()
    }

    pub(super) fn commits_failed(&self) -> u64 {
        self.lock().commits_failed
    }

    /// Commits that found no room.
    pub(super) fn commits_refused(&self) -> u64 {
        self.lock().commits_refused
    }

    /// Something failed that poisons a store.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// No more faults of disk and index, but by cuts.
    pub(super) fn heal(&self) {
        let mut state = self.lock();
        state.cut = None;
        state.disk.heal();
        // Failures that were ordered and have not come.
        state.index.fail_commit_after(u64::MAX);
        state.index.refuse_commit_after(u64::MAX);
    }

    /// The next growth, or the next write, finds no space.
    pub(super) fn refuse_space(&self) {
        self.lock().disk.arm(DiskFault::NoSpace, 0);
    }

    /// The power is to go when that moment comes for the `after`-th time from now, 0 being the next.
    pub(super) fn cut_at(&self, moment: Moment, after: u64) {
        self.lock().cut = Some((moment, after));
    }

    /// The power goes now.
    pub(super) fn cut(&self) {
        self.lock().cut_power();
    }

    pub(super) fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// Starts again, after a cut or the end of a process; the moment of the cut, if it was one of [`Moment`].
    pub(super) fn restart(&self) -> Option<Moment> {
        let mut state = self.lock();
        if !state.is_off {
            // The process alone has ended: what the file has stays.
            let State { index, prng, .. } = &mut *state;
            *index = index.crash(prng);
        }
        state.is_off = false;
        state.has_failed = false;
        state.cut = None;
        state.cut_at.take()
    }
}

impl State {
    fn cut_power(&mut self) {
        let Self {
            disk, index, prng, ..
        } = self;
        disk.crash(prng);
        *index = index.crash(prng);
        self.is_off = true;
    }

    /// A moment comes; false when the power is off.
    fn passes(&mut self, moment: Moment) -> bool {
        match &mut self.cut {
            Some((at, 0)) if *at == moment => {
                self.cut = None;
                self.cut_at = Some(moment);
                self.cut_power();
            }
            Some((at, left)) if *at == moment => *left -= 1,
            _ => {}
        }
        !self.is_off
    }
}

impl Disk for Machine {
    fn size(&self) -> u64 {
        self.lock().file.size()
    }

    fn grow(&mut self, to: u64) -> io::Result<()> {
        let mut state = self.lock();
        if !state.passes(Moment::BeforeGrow) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        state.file.grow(to)?;
        state.passes(Moment::AfterGrow);
        Ok(())
    }

    /// Without faults: entries are read once, at the start, and there is nobody to ask again.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.lock().file.peek(offset, into);
        Ok(())
    }

    fn write(&mut self, offset: u64, units: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if !state.passes(Moment::BeforeJournal) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let written = state.file.write(offset, units);
        state.has_failed |= written.is_err();
        written?;
        state.passes(Moment::AfterJournal);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.lock();
        if !state.passes(Moment::BeforeSync) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let synced = state.file.sync();
        state.has_failed |= synced.is_err();
        synced?;
        state.passes(Moment::AfterSync);
        Ok(())
    }
}

/// The data file of somebody who only looks, without faults.
struct Audit<'a>(&'a SimFile);

impl Disk for Audit<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn grow(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.peek(offset, into);
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The index of a machine, as its controller sees it.
pub(super) struct MachineIndex {
    machine: Machine,
    inner: MemoryIndex,
}

impl MachineIndex {
    pub(super) fn new(machine: &Machine) -> Self {
        Self {
            machine: machine.clone(),
            inner: machine.index(),
        }
    }

    /// Does it, unless the power is off or goes just before.
    fn through(
        &mut self,
        before: Moment,
        after: Moment,
        act: impl FnOnce(&mut MemoryIndex) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut state = self.machine.lock();
        if !state.passes(before) {
            return Err(IndexError::Poisoned);
        }
        let result = act(&mut self.inner);
        if matches!(result, Err(IndexError::System { .. })) {
            state.has_failed = true;
            state.commits_failed += 1;
        }
        state.commits_refused += u64::from(matches!(result, Err(IndexError::Full)));
        if result.is_ok() {
            state.passes(after);
        }
        result
    }
}

impl Index for MachineIndex {
    fn block(&mut self, hash: &Hash) -> Result<Option<Record>, IndexError> {
        self.inner.block(hash)
    }

    fn put_block(&mut self, hash: &Hash, record: &Record) -> Result<(), IndexError> {
        self.inner.put_block(hash, record)
    }

    fn delete_block(&mut self, hash: &Hash) -> Result<bool, IndexError> {
        self.inner.delete_block(hash)
    }

    fn reference(&mut self, hash: &Hash, name: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.inner.reference(hash, name)
    }

    fn put_reference(
        &mut self,
        hash: &Hash,
        name: &[u8],
        value: &[u8],
    ) -> Result<bool, IndexError> {
        self.inner.put_reference(hash, name, value)
    }

    fn delete_reference(&mut self, hash: &Hash, name: &[u8]) -> Result<bool, IndexError> {
        self.inner.delete_reference(hash, name)
    }

    fn delete_references(&mut self, hash: &Hash) -> Result<u64, IndexError> {
        self.inner.delete_references(hash)
    }

    fn delete_damaged(&mut self, count_max: usize) -> Result<usize, IndexError> {
        self.inner.delete_damaged(count_max)
    }

    fn reference_count(&mut self, hash: &Hash, count_max: u64) -> Result<u64, IndexError> {
        self.inner.reference_count(hash, count_max)
    }

    fn meta(&mut self, key: MetaKey) -> Result<Option<Vec<u8>>, IndexError> {
        self.inner.meta(key)
    }

    fn put_meta(&mut self, key: MetaKey, value: &[u8]) -> Result<(), IndexError> {
        self.inner.put_meta(key, value)
    }

    fn delete_meta(&mut self, key: MetaKey) -> Result<bool, IndexError> {
        self.inner.delete_meta(key)
    }

    fn commit(&mut self, sync: bool) -> Result<(), IndexError> {
        self.through(Moment::BeforeCommit, Moment::AfterCommit, |index| {
            index.commit(sync)
        })
    }

    fn sync(&mut self) -> Result<(), IndexError> {
        self.through(Moment::BeforeIndexSync, Moment::AfterIndexSync, |index| {
            index.sync()
        })
    }

    fn begin_flush(&mut self) {
        self.inner.begin_flush();
    }

    fn rollback(&mut self) {
        self.inner.rollback();
    }

    fn scan_from(
        &mut self,
        from: &Hash,
        count_max: u64,
        each: EachBlock<'_>,
    ) -> Result<Option<Hash>, IndexError> {
        self.inner.scan_from(from, count_max, each)
    }

    fn scan_references(
        &mut self,
        from: &[u8],
        count_max: u64,
        each: EachReference<'_>,
    ) -> Result<Option<Vec<u8>>, IndexError> {
        self.inner.scan_references(from, count_max, each)
    }

    fn reader(&self) -> Result<Box<dyn IndexReader>, IndexError> {
        self.inner.reader()
    }
}
