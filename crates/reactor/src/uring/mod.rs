//! The io_uring driver: one ring per worker, completions in batches, one `enter` per turn.
//!
//! ```text
//!  submit(op) ─▶ SQ ──┐                        ┌─▶ Completion
//!                     ├─ io_uring_enter ─▶ CQ ─┤
//!  starved receives ──┘   (once per turn)      └─▶ re-arm, return buffers, free slots
//! ```
//!
//! Invariants: a slot lives until everything in flight on it has completed; `in_flight` counts
//! submitted entries whose last completion has not come; vectors given to the kernel live until
//! they were consumed by an `enter` (`IORING_FEAT_SUBMIT_STABLE`, Linux 5.5).
//!
//! Sources: io_uring(7), io_uring_multishot(7), io_uring_provided_buffers(7).

mod arena;
mod buffers;
mod complete;
mod setup;
mod socket;
mod tag;
mod wake;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hioload_base::{Key, Slab, Time};
use io_uring::types::{Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use self::arena::Arena;
use self::buffers::Buffers;
use self::socket::{File, Flags, Socket, on_file};
use self::tag::{Kind, plain, tag};
use self::wake::Doorbell;
use crate::completion::Completions;
use crate::driver::{
    Address, Caps, Driver, DriverConfig, DriverKind, DriverStats, Reach, StartError, TurnError,
    Wait,
};
use crate::file::{self, FileHandle};
use crate::id::{FileId, ListenerId, OpId, OpKind, SocketId};
use crate::net::{ListenSpec, connect_socket, listen_socket};
use crate::op::{Connect, Op, Payload, Reject};
use crate::recv_pool::RecvPool;

/// How long a dropped driver waits for what is in flight before it leaks the memory.
const DRAIN_TIME: Duration = Duration::from_secs(1);

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
    starved: VecDeque<Key>,
    /// Receives cancelled while they were not in flight: their end is due.
    ended: VecDeque<Key>,
    /// Entries that found the submission queue full even after a flush.
    deferred: VecDeque<squeue::Entry>,
    /// Completions reaped early to make room; handled first.
    staged: VecDeque<cqueue::Entry>,
    arena: Arena,
    zero_copy: Slab<ZeroCopy>,
    doorbell: Arc<Doorbell>,
    /// Where the kernel puts the doorbell's count; stable while the read is in flight.
    doorbell_value: Box<u64>,
    /// Sends submitted since the last enter: they complete at once as a rule.
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
            starved: VecDeque::new(),
            ended: VecDeque::new(),
            deferred: VecDeque::new(),
            staged: VecDeque::new(),
            arena: Arena::new(),
            zero_copy: Slab::with_limit(sockets_max),
            doorbell,
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

    fn socket(&mut self, id: SocketId) -> Result<&mut Socket, Reject> {
        let socket = self.sockets.get_mut(id.0).ok_or(Reject::Stale)?;
        if socket.flags.has(Flags::CLOSING | Flags::HANDING) {
            return Err(Reject::Closing);
        }
        Ok(socket)
    }

    fn accept(&mut self, listener: ListenerId) -> Result<OpId, Reject> {
        let direct = self.caps.direct;
        let entry = self
            .listeners
            .get_mut(usize::from(listener.0))
            .ok_or(Reject::Stale)?;
        if entry.accepting {
            return Err(Reject::Busy);
        }
        entry.accepting = true;
        let fd = Fd(entry.socket.as_raw_fd());
        let flags = libc::SOCK_NONBLOCK | if direct { 0 } else { libc::SOCK_CLOEXEC };
        let accept = opcode::AcceptMulti::new(fd)
            .allocate_file_index(direct)
            .flags(flags);
        self.push(
            accept
                .build()
                .user_data(plain(Kind::Accept, u32::from(listener.0))),
        );
        Ok(OpId::accept(listener))
    }

    fn connect(&mut self, connect: &Connect) -> Result<OpId, Reject> {
        let system = |error: io::Error| Reject::System(error.raw_os_error().unwrap_or(libc::EIO));
        let socket = connect_socket(connect).map_err(system)?;
        let fd = Fd(socket.as_raw_fd());
        let mut flags = Flags::default();
        flags.set(Flags::CONNECTING);
        let file = File::Plain(OwnedFd::from(socket));
        let slot = Socket {
            file,
            flags,
            payload: None,
            pages: None,
        };
        let key = self.sockets.insert(slot).map_err(|_| Reject::Full)?;
        let (addr, len) = self.arena.address(connect.to);
        let entry = opcode::Connect::new(fd, addr, len).build();
        self.push(entry.user_data(tag(Kind::Connect, key)));
        Ok(OpId {
            kind: OpKind::Connect,
            key,
        })
    }

    fn recv(&mut self, id: SocketId) -> Result<OpId, Reject> {
        let socket = self.socket(id)?;
        if socket.flags.has(Flags::WANTS_INPUT) {
            return Err(Reject::Busy);
        }
        socket.flags.set(Flags::WANTS_INPUT);
        if !socket.flags.has(Flags::RECEIVING) {
            self.arm_recv(id.0);
        }
        Ok(OpId::recv(id))
    }

    /// Starts a multishot receive on a slot that wants input and has none in flight.
    fn arm_recv(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if self.draining {
            return;
        }
        socket.flags.set(Flags::RECEIVING);
        socket.flags.clear(Flags::FED);
        let entry = on_file!(&socket.file, |fd| opcode::RecvMulti::new(
            fd,
            buffers::GROUP
        )
        .build());
        self.push(entry.user_data(tag(Kind::Recv, key)));
    }

    fn send(&mut self, id: SocketId, payload: Payload) -> Result<OpId, Reject> {
        let size = payload.len();
        if size == 0 || payload.pieces().len() > Payload::PIECES_MAX {
            return Err(Reject::Payload);
        }
        let zero_copy = self.config.zero_copy_min.is_some_and(|min| size >= min);
        let socket = self.socket(id)?;
        if socket.flags.has(Flags::SENDING) {
            return Err(Reject::Busy);
        }
        let zero_copy = zero_copy && !socket.flags.has(Flags::COPIES);
        socket.flags.set(Flags::SENDING);
        if zero_copy && self.caps.zero_copy {
            self.send_zero_copy(id.0, payload);
        } else {
            self.send_copied(id.0, payload);
        }
        Ok(OpId::send(id))
    }

    fn send_copied(&mut self, key: Key, payload: Payload) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let entry = match &payload {
            Payload::One(segment) => {
                let (start, len) = (segment.as_ptr(), segment.len() as u32);
                on_file!(&socket.file, |fd| opcode::Send::new(fd, start, len)
                    .flags(libc::MSG_NOSIGNAL)
                    .build())
            }
            Payload::Many(segments) => {
                let message = self.arena.message(segments);
                let flags = libc::MSG_NOSIGNAL as u32;
                on_file!(&socket.file, |fd| opcode::SendMsg::new(fd, message)
                    .flags(flags)
                    .build())
            }
        };
        socket.payload = Some(payload);
        self.quick += 1;
        self.push(entry.user_data(tag(Kind::Send, key)));
    }

    fn send_zero_copy(&mut self, key: Key, payload: Payload) {
        let slot = ZeroCopy {
            socket: key,
            _payload: payload.clone(),
        };
        let Ok(pages) = self.zero_copy.insert(slot) else {
            return self.send_copied(key, payload);
        };
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let report = 1 << 3; // IORING_SEND_ZC_REPORT_USAGE
        let entry = match &payload {
            Payload::One(segment) => {
                let (start, len) = (segment.as_ptr(), segment.len() as u32);
                on_file!(&socket.file, |fd| opcode::SendZc::new(fd, start, len)
                    .flags(libc::MSG_NOSIGNAL)
                    .zc_flags(report)
                    .build())
            }
            Payload::Many(segments) => {
                let message = self.arena.message(segments);
                let flags = libc::MSG_NOSIGNAL as u32;
                on_file!(&socket.file, |fd| opcode::SendMsgZc::new(fd, message)
                    .flags(flags)
                    .ioprio(report)
                    .build())
            }
        };
        socket.payload = Some(payload);
        socket.pages = Some(pages);
        self.stats.zero_copy += 1;
        self.push(entry.user_data(tag(Kind::ZeroCopy, pages)));
    }

    fn shutdown(&mut self, id: SocketId) -> Result<OpId, Reject> {
        let socket = self.socket(id)?;
        if !socket.flags.has(Flags::SHUTTING) {
            socket.flags.set(Flags::SHUTTING);
            let entry = on_file!(&socket.file, |fd| opcode::Shutdown::new(fd, libc::SHUT_WR)
                .build());
            self.push(entry.user_data(tag(Kind::Shutdown, id.0)));
        }
        Ok(OpId {
            kind: OpKind::Shutdown,
            key: id.0,
        })
    }

    fn close(&mut self, id: SocketId) -> Result<OpId, Reject> {
        let socket = self.socket(id)?;
        socket.flags.set(Flags::CLOSING);
        socket.flags.clear(Flags::WANTS_INPUT);
        if socket.flags.is_in_flight() {
            let cancel = socket.file.cancel_all();
            self.push(cancel.user_data(plain(Kind::Quiet, 0)));
        } else {
            self.close_now(id.0);
        }
        Ok(OpId {
            kind: OpKind::Close,
            key: id.0,
        })
    }

    /// Closes the descriptor of a slot with nothing in flight.
    fn close_now(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        debug_assert!(
            !socket.flags.is_in_flight(),
            "a descriptor in use is not closed"
        );
        if socket.flags.has(Flags::CLOSE_SENT) {
            return;
        }
        socket.flags.set(Flags::CLOSE_SENT);
        let entry = match &socket.file {
            File::Direct(index) => opcode::Close::new(Fixed(*index)).build(),
            // The descriptor itself closes when the slot is dropped; a no-op keeps the order of
            // events the same for both kinds.
            File::Plain(_) => opcode::Nop::new().build(),
        };
        self.push(entry.user_data(tag(Kind::Close, key)));
    }

    fn hand_over(
        &mut self,
        id: SocketId,
        listener: ListenerId,
        to: &Address,
    ) -> Result<OpId, Reject> {
        let msg_ring = self.caps.msg_ring;
        let socket = self.socket(id)?;
        if socket.flags.is_in_flight() {
            return Err(Reject::Busy);
        }
        let (File::Direct(index), Some(ring_fd), true) = (&socket.file, to.0.ring_fd(), msg_ring)
        else {
            return Err(Reject::Unsupported);
        };
        let entry = opcode::MsgRingSendFd::new(
            Fd(ring_fd),
            Fixed(*index),
            io_uring::types::DestinationSlot::auto_target(),
            plain(Kind::Arrived, u32::from(listener.0)),
        )
        .build();
        socket.flags.set(Flags::HANDING);
        self.push(entry.user_data(tag(Kind::HandOver, id.0)));
        Ok(OpId {
            kind: OpKind::HandOver,
            key: id.0,
        })
    }

    fn wake(&mut self, to: &Address) -> OpId {
        match to.0.ring_fd() {
            Some(fd) if self.caps.msg_ring => {
                let data = plain(Kind::WakeMessage, 0);
                let entry = opcode::MsgRingData::new(Fd(fd), 0, data, None).build();
                self.push(entry.user_data(plain(Kind::Quiet, 0)));
            }
            _ => to.0.wake(),
        }
        OpId {
            kind: OpKind::HandOver,
            key: Key::from_bits(0),
        }
    }

    /// Re-arms receives that ran out of buffers, as many as there are buffers.
    fn rearm_starved(&mut self) {
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        buffers.provide();
        let mut room = buffers.provided();
        while room > 0
            && let Some(key) = self.starved.pop_front()
        {
            let wants = self.sockets.get(key).is_some_and(|socket| {
                socket.flags.has(Flags::WANTS_INPUT) && !socket.flags.has(Flags::RECEIVING)
            });
            if wants {
                self.arm_recv(key);
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
        if self.config.gather.is_zero() || !self.caps.gather {
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

    fn open_file(&mut self, _: FileHandle) -> Result<FileId, StartError> {
        Err(file::unfit("io_uring", "sockets"))
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
            Op::Read { .. } | Op::Write { .. } => Err(Reject::Unsupported),
            Op::Wake { to } => Ok(self.wake(&to)),
        }
    }

    fn cancel(&mut self, op: OpId) {
        let user_data = match op.kind {
            OpKind::Accept => {
                let accepting = self.listeners.get(op.key.index() as usize);
                if !accepting.is_some_and(|listener| listener.accepting) {
                    return;
                }
                plain(Kind::Accept, op.key.index())
            }
            OpKind::Recv => {
                let Some(socket) = self.sockets.get_mut(op.key) else {
                    return;
                };
                let wanted = socket.flags.has(Flags::WANTS_INPUT);
                socket.flags.clear(Flags::WANTS_INPUT);
                if !socket.flags.has(Flags::RECEIVING) {
                    if wanted {
                        self.ended.push_back(op.key);
                    }
                    return;
                }
                tag(Kind::Recv, op.key)
            }
            OpKind::Send => {
                let Some(socket) = self.sockets.get(op.key) else {
                    return;
                };
                if !socket.flags.has(Flags::SENDING) {
                    return;
                }
                match socket.pages {
                    Some(pages) => tag(Kind::ZeroCopy, pages),
                    None => tag(Kind::Send, op.key),
                }
            }
            OpKind::Connect => tag(Kind::Connect, op.key),
            OpKind::Shutdown | OpKind::Close | OpKind::HandOver | OpKind::Read | OpKind::Write => {
                return;
            }
        };
        let target = io_uring::types::CancelBuilder::user_data(user_data);
        let entry = opcode::AsyncCancel2::new(target).build();
        self.push(entry.user_data(plain(Kind::Quiet, 0)));
    }

    fn turn(&mut self, wait: Wait, out: &mut Completions) -> Result<(), TurnError> {
        self.stats.turns += 1;
        self.rearm_starved();
        self.push_deferred();
        self.enter(wait)?;
        self.reap(out);
        Ok(())
    }

    fn address(&self) -> Address {
        Address(Arc::clone(&self.doorbell) as Arc<dyn Reach>)
    }
}

impl Drop for UringDriver {
    fn drop(&mut self) {
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
