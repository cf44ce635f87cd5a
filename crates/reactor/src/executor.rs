//! Threads for work that must not run on a reactor thread: it blocks, or it takes long.
//!
//! ```text
//!   worker ─ run(work, done) ─▶ bounded queue ─▶ thread: work() ─▶ done(Task) ─▶ mailbox, waker
//! ```
//!
//! Knows nothing of drivers: `done` runs on the executor's thread and carries the result home, as a
//! rule by a message to the worker. Handing in never blocks: a full queue gives the work back.
//!
//! Invariants: every job that was taken runs or is cancelled, and its `done` is called exactly once,
//! unless the process ends. A panic ends the job, never the thread.
//!
//! Limits: the queue's length, the number of threads; both in [`ExecutorConfig`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::affinity::Affinity;
use crate::task::{CancelFlag, Task};

/// Threads of one executor at most.
pub const THREADS_MAX: usize = 1024;

type Job = Box<dyn FnOnce(&Counters) + Send>;

/// An executor's settings.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// Threads at the start, 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// Jobs that may wait; one more is refused.
    pub queue_max: usize,
    /// Processors the threads run on, e.g. those of a NUMA node
    /// ([`node_cpus`](crate::affinity::node_cpus)); empty: anywhere.
    pub cpus: Vec<usize>,
    /// Names the threads.
    pub name: String,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            threads: 2,
            queue_max: 1024,
            cpus: Vec::new(),
            name: "executor".to_owned(),
        }
    }
}

/// Counts since start, and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutorStats {
    /// Threads asked for.
    pub threads: usize,
    /// Jobs waiting now.
    pub queued: usize,
    /// Jobs taken.
    pub submitted: u64,
    /// Jobs refused because the queue was full.
    pub refused: u64,
    /// Jobs that ran to their end.
    pub completed: u64,
    /// Jobs called off before they began.
    pub cancelled: u64,
    /// Panics contained, in work and in `done`.
    pub panicked: u64,
    /// Threads that could not be pinned and run anywhere.
    pub unpinned: u64,
}

/// Relaxed throughout: each counts by itself, nothing else is read on their strength.
#[derive(Debug, Default)]
struct Counters {
    submitted: AtomicU64,
    refused: AtomicU64,
    completed: AtomicU64,
    cancelled: AtomicU64,
    panicked: AtomicU64,
    unpinned: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Why work was not taken; it comes back.
#[derive(PartialEq, Eq)]
pub struct QueueFull<W>(pub W);

impl<W> fmt::Debug for QueueFull<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueFull(..)")
    }
}

impl<W> fmt::Display for QueueFull<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the executor's queue is full: try again later, or add threads")
    }
}

impl<W> std::error::Error for QueueFull<W> {}

/// Why an executor could not get the threads asked for.
#[derive(Debug)]
pub enum ExecutorError {
    /// Zero, or more than [`THREADS_MAX`].
    ThreadCount(usize),
    /// The system refused a thread.
    Spawn(std::io::Error),
}

impl fmt::Display for ExecutorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThreadCount(count) => {
                write!(f, "an executor has 1 to {THREADS_MAX} threads, not {count}")
            }
            Self::Spawn(error) => write!(
                f,
                "cannot start a thread ({error}): too many processes or too little memory; raise \
                 `ulimit -u` or ask for fewer threads"
            ),
        }
    }
}

impl std::error::Error for ExecutorError {}

/// A shutdown ran out of time; so many threads still work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Threads that have not ended; they end after their current job and what is queued.
    pub threads: usize,
}

/// A pool of threads. Shared by reference or in an `Arc`; dropping it lets queued jobs finish in
/// the background.
///
/// # Examples
/// ```
/// use hioload_reactor::executor::{Executor, ExecutorConfig};
/// use hioload_reactor::task::Task;
///
/// let executor = Executor::new(ExecutorConfig::default())?;
/// let (home, mailbox) = std::sync::mpsc::channel();
/// executor
///     .run(|_| 6 * 7, move |task| home.send(task).expect("somebody listens"))
///     .expect("room in the queue");
/// assert_eq!(mailbox.recv(), Ok(Task::Done(42)));
/// # Ok::<(), hioload_reactor::executor::ExecutorError>(())
/// ```
pub struct Executor {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
    /// A message for every thread that is to leave.
    leave: Sender<()>,
    /// Closed by the last thread that ends.
    ended: Receiver<()>,
    threads: Mutex<Threads>,
}

/// What the threads share.
struct Shared {
    jobs: Receiver<Job>,
    leave: Receiver<()>,
    counters: Counters,
    /// Threads that have not ended.
    alive: AtomicUsize,
    config: ExecutorConfig,
}

/// What only resizing and shutting down touch.
struct Threads {
    wanted: usize,
    spawned: usize,
    handles: Vec<JoinHandle<()>>,
    ended: Sender<()>,
}

impl Executor {
    /// Starts the threads.
    ///
    /// # Errors
    /// A number of threads out of range, or the system refused one.
    pub fn new(config: ExecutorConfig) -> Result<Self, ExecutorError> {
        let (jobs, jobs_out) = crossbeam_channel::bounded(config.queue_max.max(1));
        let (leave, leave_out) = crossbeam_channel::unbounded();
        let (ended, ended_out) = crossbeam_channel::bounded(0);
        let count = config.threads;
        let executor = Self {
            jobs,
            leave,
            ended: ended_out,
            shared: Arc::new(Shared {
                jobs: jobs_out,
                leave: leave_out,
                counters: Counters::default(),
                alive: AtomicUsize::new(0),
                config,
            }),
            threads: Mutex::new(Threads {
                wanted: 0,
                spawned: 0,
                handles: Vec::new(),
                ended,
            }),
        };
        executor.resize(count)?;
        Ok(executor)
    }

    /// Runs `work` on a thread of the pool, then `done` with how it ended. The flag calls it off as
    /// long as it has not begun; `work` sees it too.
    ///
    /// # Errors
    /// The queue is full: `work` comes back (`done` is dropped).
    pub fn run<T, W, D>(&self, work: W, done: D) -> Result<CancelFlag, QueueFull<W>>
    where
        W: FnOnce(&CancelFlag) -> T + Send + 'static,
        D: FnOnce(Task<T>) + Send + 'static,
    {
        // A hint that spares the boxing; the queue itself decides below.
        if self.jobs.is_full() {
            count(&self.shared.counters.refused);
            return Err(QueueFull(work));
        }
        let flag = CancelFlag::new();
        let parcel = Arc::new(Mutex::new(Some(work)));
        let job: Job = {
            let (flag, parcel) = (flag.clone(), Arc::clone(&parcel));
            Box::new(move |counters| {
                let work = lock(&parcel).take();
                perform(counters, &flag, work, done);
            })
        };
        match self.jobs.try_send(job) {
            Ok(()) => {
                count(&self.shared.counters.submitted);
                Ok(flag)
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                count(&self.shared.counters.refused);
                let work = lock(&parcel).take();
                Err(QueueFull(
                    work.expect("invariant: a job that was not queued has not run"),
                ))
            }
        }
    }

    /// Sets the number of threads: more start at once, surplus ones leave after their current job.
    /// Called from a control thread, not from a worker.
    ///
    /// # Errors
    /// A number out of range, or the system refused a thread; those that were started stay.
    pub fn resize(&self, count: usize) -> Result<(), ExecutorError> {
        if !(1..=THREADS_MAX).contains(&count) {
            return Err(ExecutorError::ThreadCount(count));
        }
        let mut threads = lock(&self.threads);
        while threads.wanted > count {
            threads.wanted -= 1;
            self.leave
                .send(())
                .expect("invariant: the pool holds the other end");
        }
        while threads.wanted < count {
            let handle = self.spawn(&threads).map_err(ExecutorError::Spawn)?;
            threads.handles.push(handle);
            threads.wanted += 1;
            threads.spawned += 1;
        }
        threads.handles.retain(|handle| !handle.is_finished());
        Ok(())
    }

    fn spawn(&self, threads: &Threads) -> std::io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let ended = threads.ended.clone();
        let name = format!("{}-{}", self.shared.config.name, threads.spawned);
        // Relaxed: only told to people.
        shared.alive.fetch_add(1, Ordering::Relaxed);
        let result = std::thread::Builder::new().name(name).spawn(move || {
            shared.work();
            shared.alive.fetch_sub(1, Ordering::Relaxed);
            drop(ended);
        });
        if result.is_err() {
            self.shared.alive.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> ExecutorStats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ExecutorStats {
            threads: lock(&self.threads).wanted,
            queued: self.jobs.len(),
            submitted: read(&counters.submitted),
            refused: read(&counters.refused),
            completed: read(&counters.completed),
            cancelled: read(&counters.cancelled),
            panicked: read(&counters.panicked),
            unpinned: read(&counters.unpinned),
        }
    }

    /// Takes no more work, lets everything queued run, and waits for the threads to end.
    ///
    /// # Errors
    /// Not all of them ended in time; they go on in the background.
    pub fn shutdown(self, within: Duration) -> Result<(), Unfinished> {
        let Self {
            jobs,
            shared,
            leave,
            ended,
            threads,
        } = self;
        // Without senders the threads leave when the queue is empty.
        drop(jobs);
        let Threads {
            handles,
            ended: last,
            ..
        } = threads.into_inner().unwrap_or_else(PoisonError::into_inner);
        drop(last);
        let in_time = !matches!(ended.recv_timeout(within), Err(RecvTimeoutError::Timeout));
        drop(leave);
        if !in_time {
            return Err(Unfinished {
                threads: shared.alive.load(Ordering::Relaxed),
            });
        }
        for handle in handles {
            // A thread contains every panic of its jobs.
            let _ = handle.join();
        }
        Ok(())
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// A thread's life: jobs until it is told to leave or there will be no more.
    fn work(&self) {
        if !self.config.cpus.is_empty()
            && let Err(error) = Affinity::pin(&self.config.cpus)
        {
            tracing::warn!(%error, "executor thread runs anywhere");
            count(&self.counters.unpinned);
        }
        loop {
            crossbeam_channel::select_biased! {
                recv(self.leave) -> told => match told {
                    Ok(()) => return,
                    // Shutting down: the queue ends too.
                    Err(_) => break,
                },
                recv(self.jobs) -> job => match job {
                    Ok(job) => self.perform(job),
                    Err(_) => return,
                },
            }
        }
        while let Ok(job) = self.jobs.recv() {
            self.perform(job);
        }
    }

    fn perform(&self, job: Job) {
        // `done` may panic as well; the thread goes on.
        if catch_unwind(AssertUnwindSafe(|| job(&self.counters))).is_err() {
            count(&self.counters.panicked);
        }
    }
}

fn perform<T, W, D>(counters: &Counters, flag: &CancelFlag, work: Option<W>, done: D)
where
    W: FnOnce(&CancelFlag) -> T,
    D: FnOnce(Task<T>),
{
    let work = work.filter(|_| !flag.is_cancelled());
    let task = match work {
        None => {
            count(&counters.cancelled);
            Task::Cancelled
        }
        Some(work) => match catch_unwind(AssertUnwindSafe(|| work(flag))) {
            Ok(value) => {
                count(&counters.completed);
                Task::Done(value)
            }
            Err(panic) => {
                count(&counters.panicked);
                Task::Panicked(message(&*panic))
            }
        },
    };
    done(task);
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks; what it guards is whole in any case.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const LONG: Duration = Duration::from_secs(60);

    fn executor(threads: usize, queue_max: usize) -> Executor {
        Executor::new(ExecutorConfig {
            threads,
            queue_max,
            ..ExecutorConfig::default()
        })
        .expect("threads")
    }

    /// Occupies one thread until the returned sender is dropped.
    fn occupy(executor: &Executor) -> std::sync::mpsc::Sender<()> {
        let (release, wait) = channel::<()>();
        let (started, running) = channel();
        let work = move |_: &CancelFlag| {
            started.send(()).expect("the test waits");
            let _ = wait.recv();
        };
        executor.run(work, |_| {}).expect("room");
        running.recv().expect("it runs");
        release
    }

    #[test]
    fn results_come_home_by_closure() {
        let executor = executor(3, 100);
        let (home, mailbox) = channel();
        for n in 0..100u64 {
            let home = home.clone();
            executor
                .run(move |_| n * n, move |task| home.send(task).expect("open"))
                .expect("room");
        }
        let mut sum = 0;
        for _ in 0..100 {
            sum += mailbox
                .recv()
                .expect("a result")
                .into_result()
                .expect("done");
        }
        assert_eq!(sum, (0..100).map(|n| n * n).sum::<u64>());
        assert_eq!(executor.stats().submitted, 100);
        executor.shutdown(LONG).expect("idle");
    }

    #[test]
    fn a_full_queue_gives_the_work_back() {
        let executor = executor(1, 2);
        let release = occupy(&executor);
        for _ in 0..2 {
            executor.run(|_| 1, |_| {}).expect("room for two");
        }
        let refused = executor
            .run(|_| 7, |_| {})
            .expect_err("no room for a third");
        assert_eq!(
            (refused.0)(&CancelFlag::new()),
            7,
            "the work itself came back"
        );
        let stats = executor.stats();
        assert_eq!((stats.queued, stats.refused, stats.submitted), (2, 1, 3));
        drop(release);
        executor.shutdown(LONG).expect("everything queued runs");
    }

    #[test]
    fn a_panic_is_contained_and_told() {
        let executor = executor(1, 8);
        let (home, mailbox) = channel();
        let done = move |task: Task<()>| {
            home.send(task).expect("open");
            panic!("in done too");
        };
        executor.run(|_| panic!("in work"), done).expect("room");
        assert_eq!(mailbox.recv(), Ok(Task::Panicked("in work".to_owned())));
        let (home, mailbox) = channel();
        executor
            .run(|_| 5, move |task| home.send(task).expect("open"))
            .expect("room");
        assert_eq!(mailbox.recv(), Ok(Task::Done(5)), "the thread lives");
        assert_eq!(executor.stats().panicked, 2);
    }

    #[test]
    fn work_is_called_off_before_it_begins() {
        let executor = executor(1, 8);
        let release = occupy(&executor);
        let (home, mailbox) = channel();
        let flag = executor
            .run(
                |_| unreachable!("called off"),
                move |task: Task<()>| home.send(task).expect("open"),
            )
            .expect("room");
        flag.cancel();
        drop(release);
        assert_eq!(mailbox.recv(), Ok(Task::Cancelled));
        assert_eq!(executor.stats().cancelled, 1);
    }

    #[test]
    fn the_pool_grows_and_shrinks_while_it_works() {
        let executor = executor(1, 64);
        let first = occupy(&executor);
        executor.resize(3).expect("more threads");
        let others = [occupy(&executor), occupy(&executor)];
        assert_eq!(
            executor.stats().threads,
            3,
            "three jobs at once need three threads"
        );
        executor.resize(1).expect("fewer");
        drop((first, others));
        // Two leave; the one that stays does everything.
        let (home, mailbox) = channel();
        for n in 0..20 {
            let home = home.clone();
            executor
                .run(move |_| n, move |task| home.send(task).expect("open"))
                .expect("room");
        }
        for _ in 0..20 {
            mailbox.recv().expect("a result");
        }
        while executor.shared.alive.load(Ordering::Relaxed) > 1 {
            std::thread::yield_now();
        }
        executor.shutdown(LONG).expect("idle");
    }

    #[test]
    fn the_number_of_threads_has_limits() {
        for count in [0, THREADS_MAX + 1] {
            let config = ExecutorConfig {
                threads: count,
                ..ExecutorConfig::default()
            };
            let error = Executor::new(config).expect_err("out of range");
            assert!(error.to_string().contains(&count.to_string()), "{error}");
        }
        let executor = executor(1, 1);
        assert!(executor.resize(0).is_err());
        assert_eq!(executor.stats().threads, 1);
    }

    #[test]
    fn a_shutdown_that_runs_out_of_time_says_so() {
        let executor = executor(2, 8);
        let release = occupy(&executor);
        let alive = executor
            .shutdown(Duration::ZERO)
            .expect_err("one thread is busy")
            .threads;
        assert!((1..=2).contains(&alive), "{alive}");
        drop(release);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn threads_run_where_they_are_told() {
        let cpu = *crate::affinity::allowed_cpus().last().expect("a processor");
        let config = ExecutorConfig {
            cpus: vec![cpu],
            ..ExecutorConfig::default()
        };
        let executor = Executor::new(config).expect("threads");
        let (home, mailbox) = channel();
        executor
            .run(
                |_| crate::affinity::allowed_cpus(),
                move |task| home.send(task).expect("open"),
            )
            .expect("room");
        assert_eq!(mailbox.recv(), Ok(Task::Done(vec![cpu])));
        let config = ExecutorConfig {
            cpus: vec![usize::MAX],
            ..ExecutorConfig::default()
        };
        let executor = Executor::new(config).expect("threads run anywhere");
        let _ = occupy(&executor);
        assert!(executor.stats().unpinned > 0);
    }
}
