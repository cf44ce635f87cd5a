//! The io_uring driver: one ring per worker, completions in batches, one `enter` per turn and
//! one more where the worker wants what it submitted begun at once.
//!
//! ```text
//!  submit(op) ─▶ SQ ──┐                        ┌─▶ Completion
//!                     ├─ io_uring_enter ─▶ CQ ─┤
//!  starved receives ──┘   (with each turn)     └─▶ re-arm, return buffers, free slots
//! ```
//!
//! Invariants: a slot lives until everything in flight on it has completed; `in_flight` counts
//! submitted entries whose last completion has not come; vectors given to the kernel live until
//! they were consumed by an `enter` (`IORING_FEAT_SUBMIT_STABLE`, Linux 5.5); a file operation's memory is
//! its slot's until its completion.
//!
//! Sources: io_uring(7), io_uring_multishot(7), io_uring_provided_buffers(7).

mod arena;
mod buffers;
mod complete;
mod files;
mod peer;
mod setup;
mod socket;
mod submit;
mod tag;
mod wake;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hioload_base::{Key, Slab, Time};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use self::arena::Arena;
use self::buffers::Buffers;
use self::socket::{Flags, Socket};
use self::tag::{Kind, plain};
use self::wake::Doorbell;
use crate::completion::Completions;
use crate::driver::{
    Address, Caps, Driver, DriverConfig, DriverKind, DriverStats, Reach, StartError, TurnError,
    Wait,
};
use crate::file::{FileHandle, FileOp};
use crate::id::{FileId, ListenerId, OpId, SocketId};
use crate::net::{ListenSpec, listen_socket};
use crate::op::{Op, Payload, Reject};
use crate::recv_pool::RecvPool;
use crate::starved::Starved;

/// How long a dropped driver waits for what is in flight before it leaks the memory.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Sends from which on waiting past them is worth a timer: for one alone the timer costs more than the turn it saves.
const GATHER_SENDS_MIN: usize = 2;

/// The io_uring driver of one worker. Lives and dies on the thread that made it
/// (`SINGLE_ISSUER`).
pub struct UringDriver {
    ring: IoUring,
    config: DriverConfig,
    caps: Caps,
    stats: DriverStats,
    sockets: Slab<Socket>,
    listeners: Vec<Listener>,
    buffers: Option<Buffers>,
    pool: Rc<RecvPool>,
    /// Receives that ran out of buffers; re-armed when there are some.
    starved: Starved,
    /// Receives cancelled while they were not in flight: their end is due.
    ended: VecDeque<Key>,
    /// Entries that found the submission queue full even after a flush.
    deferred: VecDeque<squeue::Entry>,
    /// Completions reaped early to make room; handled first.
    staged: VecDeque<cqueue::Entry>,
    arena: Arena,
    zero_copy: Slab<ZeroCopy>,
    /// Open until the ring is gone.
    files: Vec<std::fs::File>,
    /// The kernel makes ordinary descriptors of direct ones.
    can_install: bool,
    /// The number of the last one that was asked for.
    installs: u32,
    /// Reads and writes of files in flight.
    file_ops: Slab<FileOp>,
    doorbell: Arc<Doorbell>,
    /// Drivers that messages were sent to, to be woken another way when one does not arrive.
    wake_peers: Vec<Arc<dyn Reach>>,
    /// Where the kernel puts the doorbell's count; stable while the read is in flight.
    doorbell_value: Box<u64>,
    /// Sends submitted since the enter of the last turn: they complete at once as a rule.
    quick: u32,
    draining: bool,
}

struct Listener {
    socket: socket2::Socket,
    addr: SocketAddr,
    accepting: bool,
}

/// A zero-copy send: the pages stay shared with the kernel until the notification.
struct ZeroCopy {
    socket: Key,
    _payload: Payload,
}

impl std::fmt::Debug for UringDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UringDriver")
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}

/// Tries to open a ring as a driver would; says why not.
///
/// # Errors
/// What is missing, the likely cause and the remedy.
pub fn probe() -> Result<(), StartError> {
    setup::build(&DriverConfig {
        entries: 8,
        ..DriverConfig::default()
    })
    .map(drop)
}

impl UringDriver {
    /// Opens a ring on the calling thread.
    ///
    /// # Errors
    /// What is missing, the likely cause and the remedy.
    pub fn new(config: DriverConfig) -> Result<Self, StartError> {
        let built = setup::build(&config)?;
        let ring = built.ring;
        let refused = |error: io::Error| setup::refused(&error);
        let (direct, sockets_max) = register_files(&ring, &config);
        let pool = RecvPool::new(config.recv_buffer_size, config.recv_buffer_count);
        pool.warm_up();
        let buffers =
            Buffers::register(&ring.submitter(), Rc::clone(&pool), true).map_err(refused)?;
        let doorbell = Arc::new(Doorbell::new(ring.as_raw_fd()).map_err(refused)?);
        let caps = Caps {
            kind: DriverKind::Uring,
            direct,
            incremental: buffers.is_incremental(),
            zero_copy: built.zero_copy,
            msg_ring: built.msg_ring,
            gather: built.gather,
            sockets_max,
            file_ops_max: config.file_ops_max,
        };
        let mut driver = Self {
            ring,
            caps,
            stats: DriverStats::default(),
            sockets: Slab::with_limit(sockets_max),
            listeners: Vec::new(),
            buffers: Some(buffers),
            pool,
            starved: Starved::default(),
            ended: VecDeque::new(),
            deferred: VecDeque::new(),
            staged: VecDeque::new(),
            arena: Arena::new(),
            zero_copy: Slab::with_limit(sockets_max),
            files: Vec::new(),
            can_install: built.can_install,
            installs: 0,
            file_ops: Slab::with_limit(config.file_ops_max),
            doorbell,
            wake_peers: Vec::new(),
            doorbell_value: Box::new(0),
            quick: 0,
            draining: false,
            config,
        };
        driver.listen_for_wakes();
        Ok(driver)
    }

    /// Puts an entry on the queue. Never loses it: a full queue is flushed, and what still does
    /// not fit waits for the next turn.
    fn push(&mut self, entry: squeue::Entry) {
        self.stats.in_flight += 1;
        if self.deferred.is_empty() && self.try_push(&entry) {
            return;
        }
        self.stats.queue_full += 1;
        if self.deferred.is_empty() {
            self.flush();
            if self.try_push(&entry) {
                return;
            }
        }
        self.deferred.push_back(entry);
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: everything an entry points to is owned by its slot (payloads), by the arena (vectors
        // and addresses, until submitted), or by the driver (doorbell value), and is kept until the
        // operation's last completion; on failure to drain it is leaked.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    /// Submits what is queued without waiting. When the kernel wants completions reaped first,
    /// they are staged.
    fn flush(&mut self) {
        for _ in 0..4 {
            let count = self.ring.submission().len();
            if count == 0 {
                break;
            }
            self.stats.enters += 1;
            // SAFETY: no argument pointer is passed.
            match unsafe { self.ring.submitter().enter::<()>(count as u32, 0, 0, None) } {
                Ok(submitted) => self.stats.submitted += submitted as u64,
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {
                    self.stats.interrupted += 1;
                }
                Err(_) => {
                    self.stats.queue_overflow += 1;
                    self.stage();
                }
            }
        }
    }

    fn stage(&mut self) {
        let mut queue = self.ring.completion();
        queue.sync();
        self.staged.extend(&mut queue);
    }

    /// Keeps one read on the doorbell.
    fn listen_for_wakes(&mut self) {
        let target = std::ptr::from_mut(&mut *self.doorbell_value).cast::<u8>();
        let fd = Fd(self.doorbell.event_fd());
        let entry = opcode::Read::new(fd, target, 8).build();
        self.push(entry.user_data(plain(Kind::WakeRead, 0)));
    }

    /// Re-arms receives that ran out of buffers, as many as there are buffers.
    fn rearm_starved(&mut self) {
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        buffers.provide();
        let mut room = buffers.provided();
        self.starved.begin_round();
        while room > 0
            && let Some(key) = self.starved.pop()
        {
            let wants = self.sockets.get(key).is_some_and(|socket| {
                socket.flags.has(Flags::WANTS_INPUT) && !socket.flags.has(Flags::RECEIVING)
            });
            if wants {
                self.arm_recv(key);
                if let Some(socket) = self.sockets.get_mut(key) {
                    socket.flags.set(Flags::OWED);
                }
                room -= 1;
            }
        }
    }

    /// One `io_uring_enter`: submits everything queued, runs deferred task work, waits as told.
    fn enter(&mut self, wait: Wait) -> Result<(), TurnError> {
        let count = self.ring.submission().len() as u32;
        let nothing_ready =
            self.staged.is_empty() && self.deferred.is_empty() && self.ended.is_empty();
        let quick = std::mem::take(&mut self.quick) as usize;
        self.stats.enters += 1;
        let result = match wait {
            Wait::None => self.enter_now(count),
            _ if !nothing_ready => self.enter_now(count),
            Wait::For(time) if time.is_zero() => self.enter_now(count),
            Wait::For(time) => {
                let timespec = Timespec::from(time);
                let args = SubmitArgs::new().timespec(&timespec);
                let (want, args) = self.gather(quick, args);
                self.ring.submitter().submit_with_args(want, &args)
            }
            Wait::Forever if self.config.gather.is_zero() => {
                self.ring.submitter().submit_and_wait(1)
            }
            Wait::Forever => {
                let timespec = Timespec::new().sec(3600);
                let args = SubmitArgs::new().timespec(&timespec);
                let (want, args) = self.gather(quick, args);
                self.ring.submitter().submit_with_args(want, &args)
            }
        };
        match result {
            Ok(submitted) => self.stats.submitted += submitted as u64,
            Err(error) => match error.raw_os_error() {
                // The time is up; entries were submitted before the wait began.
                Some(libc::ETIME) => {}
                Some(libc::EINTR) => self.stats.interrupted += 1,
                // The completion queue is over-full: reap, then submit again next turn.
                Some(libc::EBUSY | libc::EAGAIN) => self.stats.queue_overflow += 1,
                _ => {
                    return Err(TurnError {
                        what: "io_uring_enter failed",
                        error,
                    });
                }
            },
        }
        if self.ring.submission().is_empty() && self.deferred.is_empty() {
            self.arena.clear();
        }
        Ok(())
    }

    fn enter_now(&self, count: u32) -> io::Result<usize> {
        const GETEVENTS: u32 = 1;
        // SAFETY: no argument pointer is passed.
        unsafe { self.ring.submitter().enter::<()>(count, 0, GETEVENTS, None) }
    }

    /// Sends complete within the enter as a rule: wait past them, but no longer than `gather`.
    fn gather<'a, 'b>(
        &self,
        quick: usize,
        args: SubmitArgs<'a, 'b>,
    ) -> (usize, SubmitArgs<'a, 'b>) {
        if quick < GATHER_SENDS_MIN || self.config.gather.is_zero() || !self.caps.gather {
            return (1, args);
        }
        let micros = u32::try_from(self.config.gather.as_micros()).unwrap_or(u32::MAX);
        (quick + 1, args.min_wait_usec(micros))
    }

    fn push_deferred(&mut self) {
        while let Some(entry) = self.deferred.pop_front() {
            if !self.try_push(&entry) {
                self.deferred.push_front(entry);
                return;
            }
        }
    }

    /// Cancels everything and waits for the last completions, up to [`DRAIN_TIME`].
    fn drain(&mut self) {
        self.draining = true;
        let cancel = opcode::AsyncCancel2::new(io_uring::types::CancelBuilder::any()).build();
        self.push(cancel.user_data(plain(Kind::Quiet, 0)));
        let end = Instant::now() + DRAIN_TIME;
        let mut events = Vec::new();
        while self.stats.in_flight > 0 && Instant::now() < end {
            if self
                .turn(Wait::For(Duration::from_millis(20)), &mut events)
                .is_err()
            {
                break;
            }
            events.clear();
        }
    }
}

impl Driver for UringDriver {
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
        let socket = listen_socket(spec)?;
        let addr = socket
            .local_addr()
            .ok()
            .and_then(|a| a.as_socket())
            .unwrap_or(spec.addr);
        let id = u16::try_from(self.listeners.len()).expect("invariant: a handful of listeners");
        self.listeners.push(Listener {
            socket,
            addr,
            accepting: false,
        });
        Ok(ListenerId(id))
    }

    fn local_addr(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.listeners
            .get(usize::from(listener.0))
            .map(|entry| entry.addr)
    }

    fn peer_addr(&mut self, socket: SocketId) -> Option<SocketAddr> {
        self.peer_of(socket)
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
            Op::Wake { to } => Ok(self.wake(&to)),
        }
    }

    fn cancel(&mut self, op: OpId) {
        self.cancel_op(op);
    }

    fn turn(&mut self, wait: Wait, out: &mut Completions) -> Result<(), TurnError> {
        self.stats.turns += 1;
        self.rearm_starved();
        self.push_deferred();
        self.enter(wait)?;
        self.reap(out);
        Ok(())
    }

    fn submit_pending(&mut self) {
        self.push_deferred();
        let count = self.ring.submission().len() as u32;
        if count == 0 {
            return;
        }
        self.stats.enters += 1;
        // SAFETY: no argument pointer is passed.
        let result = unsafe { self.ring.submitter().enter::<()>(count, 0, 0, None) };
        // What was not taken is still in the queue: the next turn submits it, and tells what is wrong.
        self.stats.submitted += result.unwrap_or(0) as u64;
    }

    fn address(&self) -> Address {
        Address(Arc::clone(&self.doorbell) as Arc<dyn Reach>)
    }
}

impl Drop for UringDriver {
    fn drop(&mut self) {
        self.doorbell.close();
        self.drain();
        let Some(buffers) = self.buffers.take() else {
            return;
        };
        if self.stats.in_flight == 0 {
            let _ = self.ring.submitter().unregister_buf_ring(buffers::GROUP);
            buffers.release();
        } else {
            // The kernel may still write: leak what it could touch rather than free it.
            tracing::warn!(
                in_flight = self.stats.in_flight,
                "ring not drained: memory is leaked"
            );
            std::mem::forget(buffers);
            std::mem::forget(Rc::clone(&self.pool));
            std::mem::forget(std::mem::replace(&mut self.sockets, Slab::with_limit(0)));
            std::mem::forget(std::mem::replace(&mut self.zero_copy, Slab::with_limit(0)));
            std::mem::forget(std::mem::replace(&mut self.file_ops, Slab::with_limit(0)));
            std::mem::forget(std::mem::replace(&mut self.arena, Arena::new()));
            std::mem::forget(std::mem::replace(&mut self.doorbell_value, Box::new(0)));
        }
    }
}

/// Registers a sparse file table as large as the descriptor limit allows.
fn register_files(ring: &IoUring, config: &DriverConfig) -> (bool, usize) {
    let limit = descriptor_limit();
    let wanted = config.sockets_max.min(limit);
    let count = u32::try_from(wanted).unwrap_or(u32::MAX);
    let direct = config.direct && ring.submitter().register_files_sparse(count).is_ok();
    (direct, wanted)
}

/// `RLIMIT_NOFILE`: bounds the file table of each ring as well as ordinary descriptors.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::Completion;
    use crate::op::Connect;

    #[test]
    fn a_drained_ring_has_nothing_in_flight() {
        if let Err(refusal) = probe() {
            println!("skipped: {refusal}");
            return;
        }
        let mut driver = UringDriver::new(DriverConfig::default()).expect("probed");
        let spec = ListenSpec::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = driver.listen(&spec).expect("a free port");
        driver.submit(Op::Accept { listener }).expect("taken");
        let to = driver.local_addr(listener).expect("bound");
        driver.submit(Op::Connect(Connect::new(to))).expect("taken");
        let mut events = Vec::new();
        while events.len() < 2 {
            driver.turn(Wait::Forever, &mut events).expect("a turn");
        }
        for event in &events {
            if let Completion::Accepted { socket, .. } | Completion::Connected { socket } = event {
                driver.submit(Op::Recv { socket: *socket }).expect("taken");
            }
        }
        driver.turn(Wait::None, &mut events).expect("a turn");
        assert_eq!(
            driver.stats.in_flight, 4,
            "accept, two receives, the doorbell"
        );
        driver.drain();
        assert_eq!(driver.stats.in_flight, 0);
    }
}
