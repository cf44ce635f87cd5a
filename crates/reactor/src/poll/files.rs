//! Reads and writes of files on a few threads of the driver's own: files know no readiness.
//!
//! ```text
//!  Op::Read ─▶ Job (owns the buffer) ─▶ jobs ─▶ thread: pread, pwrite ─▶ done ─▶ bell ─▶ Completion::Read
//! ```
//!
//! Threads start when operations wait for one, up to [`FILE_THREADS`], and are joined when the driver is
//! dropped: what runs then runs to its end, what waits is cancelled. A cancel before that comes too late. They
//! run where the thread that submits may run: a worker that is pinned shares its core with them.
//!
//! Invariants: a job is in exactly one place (`jobs`, a thread, `done`), and both queues hold as many as may
//! be in flight, so that neither is ever full. `rung` is set before the bell rings and cleared before `done` is
//! emptied: a job that is pushed while it is set was or will be seen.
//!
//! Sources: pread(2), pwrite(2).

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use crossbeam_queue::ArrayQueue;
use hioload_base::{Key, Slab};

use super::inbox::Inbox;
use super::{PollDriver, errno};
use crate::completion::Completions;
use crate::driver::StartError;
use crate::file::{FileHandle, FileOp, Memory, next_id, unfit};
use crate::id::{FileId, OpId};
use crate::op::Reject;

/// Threads of one driver that read and write files.
pub const FILE_THREADS: usize = 4;

/// Stack of such a thread: it calls the system and nothing else.
const STACK_SIZE: usize = 128 * 1024;

/// Files of a driver and what is in flight on them.
pub(super) struct Files {
    open: Vec<Arc<File>>,
    /// Names of the operations in flight; the operations themselves are with the crew.
    slots: Slab<()>,
    crew: Option<Crew>,
}

/// One operation, and what came of it.
struct Job {
    key: Key,
    file: Arc<File>,
    op: FileOp,
    result: Result<usize, i32>,
}

/// The threads and the two queues.
struct Crew {
    jobs: Sender<Job>,
    waiting: Receiver<Job>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    done: ArrayQueue<Job>,
    /// The bell was rung for what is in `done`.
    rung: AtomicBool,
    /// The driver is going: what has not begun is cancelled.
    stopping: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Files {
    pub(super) fn new(ops_max: usize) -> Self {
        Self {
            open: Vec::new(),
            slots: Slab::with_limit(ops_max),
            crew: None,
        }
    }

    /// Something is done and was not taken yet.
    pub(super) fn has_done(&self) -> bool {
        let crew = self.crew.as_ref();
        crew.is_some_and(|crew| !crew.shared.done.is_empty())
    }

    /// Cancels what waits, lets finish what runs.
    pub(super) fn stop(&mut self) {
        if let Some(crew) = self.crew.take() {
            crew.stop();
        }
    }
}

impl PollDriver {
    pub(super) fn take_file(&mut self, handle: FileHandle) -> Result<FileId, StartError> {
        let FileHandle::System(file) = handle else {
            return Err(unfit("poll", "files of the system"));
        };
        let id = next_id(self.files.open.len())?;
        self.files.open.push(Arc::new(file));
        Ok(id)
    }

    pub(super) fn start_file_op(&mut self, op: FileOp) -> Result<OpId, Reject> {
        let files = &mut self.files;
        let file = files
            .open
            .get(usize::from(op.file.0))
            .ok_or(Reject::Stale)?;
        let file = Arc::clone(file);
        let Ok(key) = files.slots.insert(()) else {
            self.stats.files.refused += 1;
            return Err(Reject::Full);
        };
        let (limit, wanted) = (files.slots.limit(), files.slots.len());
        let inbox = &self.inbox;
        let crew = files
            .crew
            .get_or_insert_with(|| Crew::new(limit, Arc::clone(inbox)));
        if let Err(error) = crew.hire(wanted) {
            files.slots.remove(key);
            return Err(Reject::System(errno(&error)));
        }
        let id = op.id(key);
        crew.give(Job {
            key,
            file,
            op,
            result: Ok(0),
        });
        self.stats.submitted += 1;
        self.stats.in_flight += 1;
        self.stats.files.start();
        Ok(id)
    }

    /// Operations that are done, at most `count` and as many as `out` takes before it has `end`.
    pub(super) fn take_done(&mut self, count: usize, end: usize, out: &mut Completions) {
        let Some(crew) = &self.files.crew else {
            return;
        };
        // Acquire and release pair with the swap in `Shared::put`.
        crew.shared.rung.swap(false, Ordering::AcqRel);
        let end = end.min(out.len() + count);
        while out.len() < end
            && let Some(job) = crew.shared.done.pop()
        {
            self.files.slots.remove(job.key);
            self.stats.in_flight -= 1;
            self.stats.files.finish(&job.op, job.result);
            out.push(job.op.finish(job.result));
        }
    }
}

impl Crew {
    fn new(ops_max: usize, inbox: Arc<Inbox>) -> Self {
        let (jobs, waiting) = crossbeam_channel::bounded(ops_max);
        Self {
            jobs,
            waiting,
            shared: Arc::new(Shared {
                done: ArrayQueue::new(ops_max),
                rung: AtomicBool::new(false),
                stopping: AtomicBool::new(false),
                inbox,
            }),
            threads: Vec::new(),
        }
    }

    /// One more thread when there are fewer than operations, unless there are enough.
    fn hire(&mut self, wanted: usize) -> io::Result<()> {
        let count = self.threads.len();
        if count >= wanted.min(FILE_THREADS) {
            return Ok(());
        }
        let (waiting, shared) = (self.waiting.clone(), Arc::clone(&self.shared));
        let thread = std::thread::Builder::new()
            .name(format!("hioload-file-{count}"))
            .stack_size(STACK_SIZE)
            .spawn(move || work(&waiting, &shared));
        match thread {
            Ok(thread) => self.threads.push(thread),
            // The others do it, later.
            Err(_) if count > 0 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn give(&self, job: Job) {
        let full = self.jobs.try_send(job).is_err();
        assert!(
            !full,
            "invariant: the queue holds as many as may be in flight"
        );
    }

    fn stop(self) {
        // Release pairs with the acquire in `work`.
        self.shared.stopping.store(true, Ordering::Release);
        drop(self.jobs);
        for thread in self.threads {
            // A thread that panicked has dropped its job already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn put(&self, job: Job) {
        let full = self.done.push(job).is_err();
        assert!(
            !full,
            "invariant: the queue holds as many as may be in flight"
        );
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.inbox.ring();
        }
    }
}

/// One thread: until no sender is left and nothing waits.
fn work(waiting: &Receiver<Job>, shared: &Shared) {
    while let Ok(mut job) = waiting.recv() {
        job.result = loop {
            if shared.stopping.load(Ordering::Acquire) {
                break Err(libc::ECANCELED);
            }
            match job.run() {
                Ok(size) => break Ok(size),
                Err(error) if job.op.goes_on(errno(&error)) => {}
                Err(error) => break Err(errno(&error)),
            }
        };
        shared.put(job);
    }
}

impl Job {
    fn run(&mut self) -> io::Result<usize> {
        let op = &mut self.op;
        match &mut op.memory {
            Memory::From(content) => write_at(&self.file, content, op.offset),
            Memory::Into(buffer) => {
                let target = &mut buffer.spare_mut()[..op.len];
                read_at(&self.file, target, op.offset)
            }
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, offset)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

#[cfg(all(test, unix))]
mod tests {
    use hioload_mem::{BufferPool, PoolConfig};

    use super::*;
    use crate::driver::{Driver, DriverConfig, Wait};
    use crate::op::Op;

    #[test]
    fn threads_start_on_first_use_and_are_joined() {
        let pool = BufferPool::new(PoolConfig::with_budget(1 << 20)).expect("a pool");
        let mut driver = PollDriver::new(DriverConfig::default()).expect("a selector");
        let null = File::options().read(true).write(true).open("/dev/null");
        let handle = FileHandle::System(null.expect("a device"));
        let file = driver.open_file(handle).expect("room");
        assert!(driver.files.crew.is_none());
        for count in 1..=10 {
            let mut buffer = pool.take(4096).expect("budget");
            buffer.advance(4096);
            let write = Op::Write {
                file,
                token: 0,
                offset: 0,
                content: buffer.seal(),
            };
            driver.submit(write).expect("taken");
            let crew = driver.files.crew.as_ref().expect("an operation was taken");
            assert_eq!(crew.threads.len(), count.min(FILE_THREADS));
        }
        let mut events = Vec::new();
        while events.len() < 10 {
            driver.turn(Wait::Forever, &mut events).expect("a turn");
        }
        let crew = driver.files.crew.as_ref().expect("it stays");
        let shared = Arc::downgrade(&crew.shared);
        drop(driver);
        assert!(shared.upgrade().is_none(), "no thread has it any more");
    }
}
