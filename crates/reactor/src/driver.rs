//! The seam between workers and the world: [`Driver`].
//!
//! Contract, the same for every driver:
//! - `submit` never blocks and calls nobody back. What it starts shows in a later `turn`.
//! - `turn` submits, waits as told, and appends at most `batch` events. Nothing is called back.
//! - An operation's slot owns its payload and descriptor until its final completion.
//! - `cancel` is a request: the operation still completes, cancelled or not.
//! - `Close` may be submitted at any time; `Closed` is the last event of a socket.
//! - Reads and writes of files complete in any order, whatever was done with sockets meanwhile.
//! - Dropping a driver cancels and drains; what cannot be drained is leaked, never freed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hioload_base::Time;

use crate::completion::Completions;
use crate::file::{FileHandle, FileStats};
use crate::id::{FileId, ListenerId, OpId, SocketId};
use crate::net::ListenSpec;
use crate::op::{Op, Reject};

/// Which driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// io_uring (Linux 6.1 or later).
    Uring,
    /// Readiness, turned into completions: epoll on Linux, the `polling` crate elsewhere.
    Poll,
    /// Virtual network and time.
    Sim,
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Poll => "poll",
            Self::Sim => "sim",
        })
    }
}

/// How long a turn may wait when nothing has completed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    None,
    /// At most this long.
    For(Duration),
    /// Until something completes or the driver is woken.
    Forever,
}

/// A driver's settings. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// Submission queue entries (power of two).
    pub entries: u32,
    /// Events reaped in one turn.
    pub batch: usize,
    /// Sockets at most; for io_uring with direct descriptors also bounded by `RLIMIT_NOFILE`.
    pub sockets_max: usize,
    /// Bytes of one receive buffer.
    pub recv_buffer_size: usize,
    /// Receive buffers (power of two).
    pub recv_buffer_count: u16,
    /// Payloads of at least so many bytes go out with zero copy; `None`: never.
    pub zero_copy_min: Option<usize>,
    /// With io_uring: wait up to this long for more than one event when the worker is about to
    /// sleep (`min_wait_usec`, Linux 6.12). Zero: return with the first event.
    pub gather: Duration,
    /// Reads and writes of files in flight at most; zero: none is taken.
    pub file_ops_max: usize,
    /// Keep accepted sockets as ring-private direct descriptors where the driver can.
    pub direct: bool,
    /// The clock every driver of the process shares.
    pub clock: Clock,
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            entries: 2048,
            batch: 512,
            sockets_max: 1 << 20,
            recv_buffer_size: 256 * 1024,
            recv_buffer_count: 8,
            zero_copy_min: None,
            gather: Duration::from_micros(50),
            file_ops_max: 1024,
            direct: true,
            clock: Clock::start(),
        }
    }
}

/// The real monotonic clock, counted from a common start.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What a driver found it can do.
#[derive(Clone, Debug)]
pub struct Caps {
    /// Which driver.
    pub kind: DriverKind,
    /// Accepted sockets use no process descriptor.
    pub direct: bool,
    /// Receive buffers are consumed bit by bit (`IOU_PBUF_RING_INC`, Linux 6.12).
    pub incremental: bool,
    /// Zero-copy send is there.
    pub zero_copy: bool,
    /// A driver can wake another by message (`MSG_RING`).
    pub msg_ring: bool,
    /// Waiting can gather events (`min_wait_usec`, Linux 6.12).
    pub gather: bool,
    /// Sockets at most.
    pub sockets_max: usize,
    /// Reads and writes of files in flight at most.
    pub file_ops_max: usize,
}

/// Counters since start; all count events.
#[derive(Clone, Copy, Debug, Default)]
pub struct DriverStats {
    /// Turns taken.
    pub turns: u64,
    /// System calls that submit or wait.
    pub enters: u64,
    /// Operations submitted to the system.
    pub submitted: u64,
    /// Completions reaped.
    pub completions: u64,
    /// Completions whose generation did not match: counted and dropped.
    pub stale: u64,
    /// Receives that ran out of buffers and were re-armed.
    pub no_buffers: u64,
    /// Times the submission queue was full and was flushed early.
    pub queue_full: u64,
    /// Times the completion queue overflowed or the kernel asked to reap first.
    pub queue_overflow: u64,
    /// Waits interrupted by a signal.
    pub interrupted: u64,
    /// Operations that had to wait for the socket (`EAGAIN`), poll driver only.
    pub would_block: u64,
    /// Accepts refused for want of descriptors or table room.
    pub accept_refused: u64,
    /// Cancels that found their operation already complete.
    pub cancel_late: u64,
    /// Sends submitted with zero copy.
    pub zero_copy: u64,
    /// Zero-copy sends that the kernel copied all the same: their sockets' next sends are ordinary.
    pub zero_copy_copied: u64,
    /// Times another thread woke this driver.
    pub woken: u64,
    /// Operations in flight now, those on files too.
    pub in_flight: u64,
    /// Operations on files.
    pub files: FileStats,
}

/// Where another driver can be reached: for wake-ups and for handing over sockets.
#[derive(Clone)]
pub struct Address(pub(crate) Arc<dyn Reach>);

impl Address {
    /// An address for a driver outside this crate.
    #[must_use]
    pub fn new(reach: Arc<dyn Reach>) -> Self {
        Self(reach)
    }

    /// A waker for this driver.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address")
    }
}

/// What an [`Address`] offers; implemented once per driver.
pub trait Reach: Send + Sync {
    /// Wake the driver from any thread.
    fn wake(&self);
    /// The ring's descriptor, when the driver is io_uring.
    fn ring_fd(&self) -> Option<i32> {
        None
    }
    /// Take over a connected descriptor that arrived at `listener`. Gives it back when it cannot.
    ///
    /// # Errors
    /// The descriptor, when this driver takes none or its inbox is full.
    #[cfg(unix)]
    fn adopt(
        &self,
        listener: ListenerId,
        fd: std::os::fd::OwnedFd,
    ) -> Result<(), std::os::fd::OwnedFd> {
        let _ = listener;
        Err(fd)
    }
}

/// Wakes one driver from any thread. Cheap to clone; outlives the driver.
#[derive(Clone)]
pub struct Waker(Arc<dyn Reach>);

impl Waker {
    /// Ends the driver's wait, now or the next one.
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// Speaks completions. See the module for the contract.
pub trait Driver {
    /// What it can do, probed once at start.
    fn caps(&self) -> &Caps;

    /// Counters.
    fn stats(&self) -> DriverStats;

    /// The time; the same for all drivers of a process. Monotonic.
    fn now(&self) -> Time;

    /// Opens a listener. Accepting starts with [`Op::Accept`].
    ///
    /// # Errors
    /// What the system refused, with its likely cause and remedy.
    fn listen(&mut self, spec: &ListenSpec) -> Result<ListenerId, StartError>;

    /// The address a listener is bound to.
    fn local_addr(&self, listener: ListenerId) -> Option<std::net::SocketAddr>;

    /// The other end of a socket, if the driver can tell: a descriptor that is private to a ring has a name from Linux 6.8
    /// on, and asking for it takes a moment.
    fn peer_addr(&mut self, socket: SocketId) -> Option<std::net::SocketAddr> {
        let _ = socket;
        None
    }

    /// Takes a file to read from and write to. It is closed when the driver is dropped.
    ///
    /// # Errors
    /// The file is simulated and the driver is not, or the reverse; or the driver has
    /// [`FILES_MAX`](crate::FILES_MAX) files.
    fn open_file(&mut self, handle: FileHandle) -> Result<FileId, StartError>;

    /// Starts an operation.
    ///
    /// # Errors
    /// Nothing was started; a payload is dropped.
    fn submit(&mut self, op: Op) -> Result<OpId, Reject>;

    /// Asks for an operation to end early. Unknown or finished operations are ignored.
    fn cancel(&mut self, op: OpId);

    /// Submits what is pending, waits as told when nothing is ready, and appends at most `batch`
    /// events to `out`.
    ///
    /// # Errors
    /// Only when the driver itself is broken; interruptions and full queues are handled.
    fn turn(&mut self, wait: Wait, out: &mut Completions) -> Result<(), TurnError>;

    /// Begins what was submitted, where that takes a call of the system: a disk works while the caller goes on. The next
    /// [`turn`](Driver::turn) does it in any case.
    fn submit_pending(&mut self) {}

    /// Where other threads reach this driver.
    fn address(&self) -> Address;
}

/// A driver or listener could not start. Reads as: what, why, what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct StartError {
    /// What was refused.
    pub what: String,
    /// The likely cause.
    pub cause: String,
    /// What to do.
    pub remedy: String,
    /// The system's error number, if it gave one.
    pub errno: Option<i32>,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.what, self.cause, self.remedy)
    }
}

impl std::error::Error for StartError {}

/// The driver failed for good: the worker must stop.
#[derive(Debug)]
pub struct TurnError {
    /// What failed.
    pub what: &'static str,
    /// The system's error.
    pub error: std::io::Error,
}

impl fmt::Display for TurnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for TurnError {}
