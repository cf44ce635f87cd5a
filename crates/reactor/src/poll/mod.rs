//! The poll driver: readiness turned into completions, for every system without io_uring.
//!
//! ```text
//!  submit(op) ─▶ slot flags ─┬─▶ outgoing (send, cancel, half-close, close) ─▶ Completion
//!                            └─▶ interest ─▶ Selector::wait ─▶ incoming (read, accept) ─▶ Completion
//! ```
//!
//! One turn: rare events that are due, half of the outgoing queue, one wait, reads and accepts,
//! the rest of the outgoing queue. Sends are tried before the wait, so that an ordinary send costs
//! one system call and no readiness. Interest grows at once and shrinks only when readiness
//! arrives that nobody wants: a connection that waits for input costs no call per turn, and a
//! sender that blocks again and again does not switch its interest each time.
//!
//! Invariants: a slot lives until its `Closed`; a payload lives in its slot until the send's
//! completion; a descriptor leaves the selector before it is closed. Every queue holds keys with
//! generations, each socket at most once (a flag says so).
//!
//! Files know no readiness: a few threads read and write them, and what they finished rings the bell.
//!
//! Limits: `batch` events a turn, [`FILE_THREADS`] threads, [`READS_PER_TURN`] reads a socket, [`ACCEPTS_PER_TURN`] accepts
//! a listener.

mod files;
mod inbox;
mod input;
mod interest;
mod listener;
mod output;
mod selector;
mod socket;
mod submit;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use hioload_base::{Key, Slab, Time};

pub use self::files::FILE_THREADS;
use self::files::Files;
use self::inbox::Inbox;
use self::input::OpenBuffer;
use self::listener::Listener;
use self::selector::Selector;
use self::socket::{Flags, Socket};
use crate::completion::{Completion, Completions};
use crate::driver::{
    Address, Caps, Driver, DriverConfig, DriverKind, DriverStats, Reach, StartError, TurnError,
    Wait,
};
use crate::file::{FileHandle, FileOp};
use crate::id::{FileId, ListenerId, OpId, OpKind, SocketId};
use crate::net::{ListenSpec, listen_socket};
use crate::op::{Op, Reject};
use crate::recv_pool::RecvPool;
use crate::starved::Starved;

/// Reads of one socket in one turn, so that one busy peer does not starve the others.
pub const READS_PER_TURN: usize = 4;

/// Connections taken from one listener in one turn.
pub const ACCEPTS_PER_TURN: usize = 64;

/// Tokens of listeners; those of sockets are slot numbers below.
const LISTENER: usize = 1 << 31;

/// The poll driver of one worker.
pub struct PollDriver {
    // Dropped after `sockets` and `listeners` have left it (see `Drop`).
    selector: Selector,
    config: DriverConfig,
    caps: Caps,
    stats: DriverStats,
    sockets: Slab<Socket>,
    listeners: Vec<Listener>,
    pool: Rc<RecvPool>,
    /// The buffer being filled, piece by piece.
    open: Option<OpenBuffer>,
    /// Sockets to read from.
    incoming: VecDeque<Key>,
    /// Sockets with something to send, cancel, half-close or close.
    outgoing: VecDeque<Key>,
    /// Receives that found no buffer.
    starved: Starved,
    /// Sockets whose interest must grow.
    dirty: Vec<Key>,
    /// Rare events that are due.
    staged: VecDeque<Completion>,
    inbox: Arc<Inbox>,
    files: Files,
}

impl std::fmt::Debug for PollDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PollDriver")
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}

impl PollDriver {
    /// Opens a selector.
    ///
    /// # Errors
    /// When the system refuses one: as a rule no descriptor is left.
    ///
    /// # Examples
    /// ```
    /// use hioload_reactor::{Driver, DriverConfig, Wait, poll::PollDriver};
    ///
    /// let mut driver = PollDriver::new(DriverConfig::default()).expect("a selector");
    /// driver.address().waker().wake();
    /// let mut events = Vec::new();
    /// driver.turn(Wait::Forever, &mut events).expect("a turn");
    /// assert_eq!(events.len(), 1);
    /// ```
    pub fn new(config: DriverConfig) -> Result<Self, StartError> {
        Self::over(Selector::new(config.batch.max(2)), config)
    }

    /// The same through the `polling` crate on every system. [`PollDriver::new`] uses it wherever
    /// there is no selector of our own, which is everywhere but on Linux.
    ///
    /// # Errors
    /// As [`PollDriver::new`].
    pub fn portable(config: DriverConfig) -> Result<Self, StartError> {
        Self::over(Selector::portable(config.batch.max(2)), config)
    }

    fn over(selector: io::Result<Selector>, mut config: DriverConfig) -> Result<Self, StartError> {
        config.batch = config.batch.max(2);
        let selector = selector.map_err(|error| refused(&error))?;
        let sockets_max = config.sockets_max.min(descriptor_limit()).min(LISTENER);
        Ok(Self {
            inbox: Arc::new(Inbox::new(selector.bell())),
            selector,
            caps: Caps {
                kind: DriverKind::Poll,
                direct: false,
                incremental: true,
                zero_copy: false,
                msg_ring: false,
                gather: false,
                sockets_max,
                file_ops_max: config.file_ops_max,
            },
            stats: DriverStats::default(),
            sockets: Slab::with_limit(sockets_max),
            listeners: Vec::new(),
            pool: RecvPool::new(config.recv_buffer_size, config.recv_buffer_count),
            open: None,
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            starved: Starved::default(),
            dirty: Vec::new(),
            staged: VecDeque::new(),
            files: Files::new(config.file_ops_max),
            config,
        })
    }

    fn queue_out(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.flags.has(Flags::OUT_QUEUE) {
            socket.flags.set(Flags::OUT_QUEUE);
            self.outgoing.push_back(key);
        }
    }

    fn queue_in(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.flags.has(Flags::IN_QUEUE) {
            socket.flags.set(Flags::IN_QUEUE);
            self.incoming.push_back(key);
        }
    }

    fn wait(&mut self, wait: Wait, produced: bool) -> Result<(), TurnError> {
        let busy = produced
            || !self.staged.is_empty()
            || self.files.has_done()
            || !self.incoming.is_empty()
            || !self.outgoing.is_empty()
            || self
                .listeners
                .iter()
                .any(|listener| listener.ready || listener.cancelled);
        let time = match wait {
            _ if busy => Some(std::time::Duration::ZERO),
            Wait::None => Some(std::time::Duration::ZERO),
            Wait::For(time) => Some(time),
            Wait::Forever => None,
        };
        self.stats.enters += 1;
        match self.selector.wait(time) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.stats.interrupted += 1;
                Ok(())
            }
            Err(error) => Err(TurnError {
                what: "waiting for readiness failed",
                error,
            }),
        }
    }
}

impl Driver for PollDriver {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn stats(&self) -> DriverStats {
        self.stats
    }

    fn now(&self) -> Time {
        self.config.clock.now()
    }

    fn listen(&mut self, spec: &ListenSpec) -> Result<ListenerId, StartError> {
        let file = listen_socket(spec)?;
        let addr = file
            .local_addr()
            .ok()
            .and_then(|addr| addr.as_socket())
            .unwrap_or(spec.addr);
        let id = u16::try_from(self.listeners.len()).expect("invariant: a handful of listeners");
        self.listeners.push(Listener::new(file, addr));
        Ok(ListenerId(id))
    }

    fn local_addr(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.listeners
            .get(usize::from(listener.0))
            .map(|listener| listener.addr)
    }

    fn peer_addr(&mut self, socket: SocketId) -> Option<SocketAddr> {
        let file = self.sockets.get(socket.key())?.file.as_ref()?;
        file.peer_addr().ok()?.as_socket()
    }

    fn open_file(&mut self, handle: FileHandle) -> Result<FileId, StartError> {
        self.take_file(handle)
    }

    fn submit(&mut self, op: Op) -> Result<OpId, Reject> {
        match op {
            Op::Accept { listener } => self.accept(listener),
            Op::Connect(connect) => self.connect(&connect),
            Op::Recv { socket } => self.recv(socket),
            Op::Send { socket, payload } => self.send(socket, payload),
            Op::Shutdown { socket } => self.shutdown(socket),
            Op::Close { socket } => self.close(socket),
            Op::HandOver {
                socket,
                listener,
                to,
            } => self.hand_over(socket, listener, &to),
            Op::Read {
                file,
                token,
                offset,
                len,
                buffer,
            } => self.start_file_op(FileOp::read(file, token, offset, len, buffer)?),
            Op::Write {
                file,
                token,
                offset,
                content,
            } => self.start_file_op(FileOp::write(file, token, offset, content)?),
            Op::Wake { to } => {
                to.0.wake();
                Ok(OpId {
                    kind: OpKind::HandOver,
                    key: Key::from_bits(0),
                })
            }
        }
    }

    fn cancel(&mut self, op: OpId) {
        match op.kind {
            OpKind::Accept => {
                let listener = self.listeners.get_mut(op.key.index() as usize);
                if let Some(listener) = listener.filter(|listener| listener.accepting) {
                    listener.cancelled = true;
                }
            }
            OpKind::Recv => self.cancel_recv(op.key),
            OpKind::Send => self.cancel_send(op.key),
            OpKind::Connect => self.cancel_connect(op.key),
            // A thread may have it already: it goes on.
            OpKind::Read | OpKind::Write => self.stats.cancel_late += 1,
            OpKind::Shutdown | OpKind::Close | OpKind::HandOver => {}
        }
    }

    fn turn(&mut self, wait: Wait, out: &mut Completions) -> Result<(), TurnError> {
        self.stats.turns += 1;
        let start = out.len();
        let end = start + self.config.batch;
        self.take_staged(end, out);
        self.drain_outgoing(start + self.config.batch / 2, out);
        self.revive_starved();
        self.arm_dirty();
        self.wait(wait, out.len() > start)?;
        self.sort_ready();
        self.take_arrivals(end, out);
        self.accept_ready(end, out);
        self.take_done((self.config.batch / 2).max(1), end, out);
        self.read_ready(end, out);
        self.drain_outgoing(end, out);
        self.stats.completions += (out.len() - start) as u64;
        Ok(())
    }

    fn address(&self) -> Address {
        Address(Arc::clone(&self.inbox) as Arc<dyn Reach>)
    }
}

impl Drop for PollDriver {
    fn drop(&mut self) {
        self.files.stop();
        self.inbox.close();
        for (_, socket) in &self.sockets {
            if let Some(file) = &socket.file
                && socket.flags.has(Flags::REGISTERED)
            {
                self.selector.remove(file);
            }
        }
        for listener in self.listeners.iter().filter(|listener| listener.registered) {
            self.selector.remove(&listener.file);
        }
    }
}

/// The system's number, or `EIO` for an error that has none.
fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// A non-blocking connect goes on in the background.
fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    let in_progress = error.raw_os_error() == Some(libc::EINPROGRESS);
    #[cfg(not(unix))]
    let in_progress = false;
    in_progress || error.kind() == io::ErrorKind::WouldBlock
}

fn refused(error: &io::Error) -> StartError {
    StartError {
        what: format!("the system's selector is not available ({error})"),
        cause: "the process has no descriptor left, or the system none".to_owned(),
        remedy: "Raise `ulimit -n` (LimitNOFILE= in systemd) or lower --workers".to_owned(),
        errno: error.raw_os_error(),
    }
}

/// `RLIMIT_NOFILE`: every socket needs a descriptor.
#[cfg(unix)]
fn descriptor_limit() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes into a live struct of the type that getrlimit(2) takes.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result == 0 {
        usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
    } else {
        1024
    }
}

#[cfg(not(unix))]
fn descriptor_limit() -> usize {
    usize::MAX
}
