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
//! Limits: `batch` events a turn, [`READS_PER_TURN`] reads a socket, [`ACCEPTS_PER_TURN`] accepts
//! a listener.

mod inbox;
mod input;
mod listener;
mod output;
mod selector;
mod socket;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use hioload_base::{Key, Slab, Time};

use self::inbox::Inbox;
use self::input::OpenBuffer;
use self::listener::Listener;
use self::selector::{Interest, Ready, Selector};
use self::socket::{Flags, Socket};
use crate::completion::{Completion, Completions, RecvEnd};
use crate::driver::{
    Address, Caps, Driver, DriverConfig, DriverKind, DriverStats, Reach, StartError, TurnError,
    Wait,
};
use crate::id::{ListenerId, OpId, OpKind, SocketId};
use crate::net::{ListenSpec, connect_socket, listen_socket};
use crate::op::{Connect, Op, Payload, Reject};
use crate::recv_pool::RecvPool;

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
    starved: VecDeque<Key>,
    /// Sockets whose interest must grow.
    dirty: Vec<Key>,
    /// Rare events that are due.
    staged: VecDeque<Completion>,
    inbox: Arc<Inbox>,
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
    pub fn new(mut config: DriverConfig) -> Result<Self, StartError> {
        config.batch = config.batch.max(2);
        let selector = Selector::new(config.batch).map_err(|error| refused(&error))?;
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
            },
            stats: DriverStats::default(),
            sockets: Slab::with_limit(sockets_max),
            listeners: Vec::new(),
            pool: RecvPool::new(config.recv_buffer_size, config.recv_buffer_count),
            open: None,
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            starved: VecDeque::new(),
            dirty: Vec::new(),
            staged: VecDeque::new(),
            config,
        })
    }

    fn socket(&mut self, id: SocketId) -> Result<&mut Socket, Reject> {
        let socket = self.sockets.get_mut(id.0).ok_or(Reject::Stale)?;
        if socket.flags.has(Flags::CLOSING) {
            return Err(Reject::Closing);
        }
        Ok(socket)
    }

    fn accept(&mut self, id: ListenerId) -> Result<OpId, Reject> {
        let listener = self
            .listeners
            .get_mut(usize::from(id.0))
            .ok_or(Reject::Stale)?;
        if listener.accepting {
            return Err(Reject::Busy);
        }
        listener.accepting = true;
        self.stats.in_flight += 1;
        Ok(OpId::accept(id))
    }

    fn connect(&mut self, connect: &Connect) -> Result<OpId, Reject> {
        let file = connect_socket(connect).map_err(|error| Reject::System(errno(&error)))?;
        let outcome = file.connect(&socket2::SockAddr::from(connect.to));
        let key = self
            .sockets
            .insert(Socket::new(file))
            .map_err(|_| Reject::Full)?;
        let socket = self
            .sockets
            .get_mut(key)
            .expect("invariant: inserted above");
        socket.flags.set(Flags::CONNECTING);
        self.stats.in_flight += 1;
        self.stats.submitted += 1;
        match outcome {
            Ok(()) => self.queue_out(key),
            Err(error) if is_in_progress(&error) => self.mark_dirty(key),
            Err(error) => self.connect_failed(key, errno(&error)),
        }
        Ok(OpId {
            kind: OpKind::Connect,
            key,
        })
    }

    fn connect_failed(&mut self, key: Key, errno: i32) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.flags.clear(Flags::CONNECTING);
        socket.flags.set(Flags::CLOSING);
        self.stats.in_flight -= 1;
        self.staged.push_back(Completion::ConnectFailed {
            socket: SocketId(key),
            errno,
        });
        self.queue_out(key);
    }

    fn recv(&mut self, id: SocketId) -> Result<OpId, Reject> {
        let socket = self.socket(id)?;
        if socket.flags.has(Flags::RECEIVING) {
            return Err(Reject::Busy);
        }
        // A receive that is cancelled and wanted again in the same turn goes on without an event.
        let goes_on = socket.flags.has(Flags::RECV_CANCELLED);
        socket.flags.clear(Flags::RECV_CANCELLED);
        socket.flags.set(Flags::RECEIVING);
        if !goes_on {
            self.stats.in_flight += 1;
        }
        self.mark_dirty(id.0);
        Ok(OpId::recv(id))
    }

    fn send(&mut self, id: SocketId, payload: Payload) -> Result<OpId, Reject> {
        if payload.is_empty() || payload.pieces().len() > Payload::PIECES_MAX {
            return Err(Reject::Payload);
        }
        let socket = self.socket(id)?;
        if socket.flags.has(Flags::SENDING) {
            return Err(Reject::Busy);
        }
        if socket.flags.has(Flags::SHUTTING) {
            // Submitted before this send: it happens first.
            socket.flags.clear(Flags::SHUTTING);
            output::half_close(socket);
        }
        socket.flags.set(Flags::SENDING);
        socket.payload = Some(payload);
        self.stats.in_flight += 1;
        self.queue_out(id.0);
        Ok(OpId::send(id))
    }

    fn shutdown(&mut self, id: SocketId) -> Result<OpId, Reject> {
        self.socket(id)?.flags.set(Flags::SHUTTING);
        self.queue_out(id.0);
        Ok(OpId {
            kind: OpKind::Shutdown,
            key: id.0,
        })
    }

    fn close(&mut self, id: SocketId) -> Result<OpId, Reject> {
        let flags = &mut self.socket(id)?.flags;
        flags.set(Flags::CLOSING);
        let mut ended = 0;
        for bits in [Flags::RECEIVING | Flags::RECV_CANCELLED, Flags::CONNECTING] {
            if flags.has(bits) {
                flags.clear(bits);
                ended += 1;
            }
        }
        self.stats.in_flight -= ended;
        self.queue_out(id.0);
        Ok(OpId {
            kind: OpKind::Close,
            key: id.0,
        })
    }

    #[cfg(unix)]
    fn hand_over(
        &mut self,
        id: SocketId,
        listener: ListenerId,
        to: &Address,
    ) -> Result<OpId, Reject> {
        let key = id.0;
        let flags = self.socket(id)?.flags;
        if to.0.ring_fd().is_some() {
            return Err(Reject::Unsupported);
        }
        if flags.is_in_flight() || flags.has(Flags::SHUTTING) {
            return Err(Reject::Busy);
        }
        self.forget(key);
        let socket = self.sockets.get_mut(key).ok_or(Reject::Stale)?;
        let file = socket.file.take().ok_or(Reject::Stale)?;
        match to.0.adopt(listener, file.into()) {
            Ok(()) => {
                socket.flags.set(Flags::CLOSING);
                self.queue_out(key);
            }
            Err(fd) => {
                socket.file = Some(fd.into());
                let errno = libc::EAGAIN;
                self.staged
                    .push_back(Completion::HandOverFailed { socket: id, errno });
            }
        }
        Ok(OpId {
            kind: OpKind::HandOver,
            key,
        })
    }

    #[cfg(not(unix))]
    fn hand_over(&mut self, _: SocketId, _: ListenerId, _: &Address) -> Result<OpId, Reject> {
        Err(Reject::Unsupported)
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

    fn mark_dirty(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.flags.has(Flags::DIRTY) {
            socket.flags.set(Flags::DIRTY);
            self.dirty.push(key);
        }
    }

    /// Tells the selector of interest that has grown.
    fn arm_dirty(&mut self) {
        for at in 0..self.dirty.len() {
            let key = self.dirty[at];
            let Some(socket) = self.sockets.get_mut(key) else {
                continue;
            };
            socket.flags.clear(Flags::DIRTY);
            let wanted = socket.flags.wanted();
            if !socket.flags.armed().covers(wanted)
                && let Err(error) = self.arm(key, wanted)
            {
                self.fail_all(key, errno(&error));
            }
        }
        self.dirty.clear();
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            if !listener.accepting || listener.armed || listener.ready {
                continue;
            }
            self.stats.enters += 1;
            let token = LISTENER | number;
            let armed = if listener.registered {
                self.selector
                    .modify(&listener.file, token, Interest::READABLE)
            } else {
                self.selector.add(&listener.file, token, Interest::READABLE)
            };
            // Refused (too many watches): tried again next turn.
            listener.armed = armed.is_ok();
            listener.registered |= armed.is_ok();
        }
    }

    fn arm(&mut self, key: Key, interest: Interest) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Ok(());
        };
        let Some(file) = &socket.file else {
            return Ok(());
        };
        self.stats.enters += 1;
        if socket.flags.has(Flags::REGISTERED) {
            self.selector.modify(file, key.index() as usize, interest)?;
        } else {
            self.selector.add(file, key.index() as usize, interest)?;
            socket.flags.set(Flags::REGISTERED);
        }
        socket.flags.set_armed(interest);
        Ok(())
    }

    /// Takes a socket out of the selector.
    fn forget(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.flags.has(Flags::REGISTERED)
            && let Some(file) = &socket.file
        {
            self.stats.enters += 1;
            self.selector.remove(file);
        }
        socket
            .flags
            .clear(Flags::REGISTERED | Flags::ARMED_READ | Flags::ARMED_WRITE);
    }

    /// The selector refused the socket: what is in flight on it cannot go on.
    fn fail_all(&mut self, key: Key, errno: i32) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let id = SocketId(key);
        if socket.flags.has(Flags::CONNECTING) {
            self.connect_failed(key, errno);
            return;
        }
        if socket.flags.has(Flags::RECEIVING) {
            socket.flags.clear(Flags::RECEIVING);
            self.stats.in_flight -= 1;
            let end = RecvEnd::Failed(errno);
            self.staged
                .push_back(Completion::RecvEnded { socket: id, end });
        }
        if let Some(payload) = socket.payload.take() {
            socket
                .flags
                .clear(Flags::SENDING | Flags::BLOCKED | Flags::SEND_CANCELLED);
            self.stats.in_flight -= 1;
            self.staged.push_back(Completion::Sent {
                socket: id,
                result: Err(errno),
                payload,
            });
        }
    }

    fn wait(&mut self, wait: Wait, produced: bool) -> Result<(), TurnError> {
        let busy = produced
            || !self.staged.is_empty()
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

    /// Sorts what the wait found into the queues.
    fn sort_ready(&mut self) {
        // The iterator borrows the selector: swap the list out while the queues change.
        let mut found = std::mem::take(&mut self.selector.found);
        for ready in found.drain(..) {
            if ready.token & LISTENER != 0 {
                self.listener_ready(ready.token & !LISTENER);
            } else {
                self.socket_ready(ready);
            }
        }
        self.selector.found = found;
    }

    fn listener_ready(&mut self, number: usize) {
        let Some(listener) = self.listeners.get_mut(number) else {
            return;
        };
        if self.selector.is_oneshot() {
            listener.armed = false;
        }
        if listener.accepting {
            listener.ready = true;
            return;
        }
        // Nobody accepts: connections wait in the kernel's queue without waking us.
        self.stats.enters += 1;
        self.selector.remove(&listener.file);
        listener.armed = false;
        listener.registered = false;
    }

    fn socket_ready(&mut self, ready: Ready) {
        let key = u32::try_from(ready.token)
            .ok()
            .and_then(|index| self.sockets.key_at(index));
        let Some(key) = key else {
            self.stats.stale += 1;
            return;
        };
        let oneshot = self.selector.is_oneshot();
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if oneshot {
            socket.flags.set_armed(Interest::default());
        }
        let wanted = socket.flags.wanted();
        let read = ready.readable && wanted.readable;
        let write = ready.writable && wanted.writable;
        if write {
            socket.flags.clear(Flags::BLOCKED);
        }
        if write {
            self.queue_out(key);
        }
        if read {
            self.queue_in(key);
        }
        if oneshot {
            self.mark_dirty(key);
        } else if !read && !write {
            self.shrink(key, wanted);
        }
    }

    /// Readiness came that nobody wants: without this it would come again at once. A source of
    /// no interest still reports hang-ups, so it leaves the selector altogether.
    fn shrink(&mut self, key: Key, wanted: Interest) {
        if wanted.is_none() {
            self.forget(key);
        } else if let Err(error) = self.arm(key, wanted) {
            self.fail_all(key, errno(&error));
        }
    }

    fn cancel_recv(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.flags.has(Flags::RECEIVING) {
            self.stats.cancel_late += 1;
            return;
        }
        socket.flags.clear(Flags::RECEIVING);
        socket.flags.set(Flags::RECV_CANCELLED);
        self.queue_out(key);
    }

    fn cancel_send(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.flags.has(Flags::SENDING) || socket.flags.has(Flags::CLOSING) {
            self.stats.cancel_late += 1;
            return;
        }
        socket.flags.set(Flags::SEND_CANCELLED);
        self.queue_out(key);
    }

    fn cancel_connect(&mut self, key: Key) {
        let connecting = self
            .sockets
            .get(key)
            .is_some_and(|socket| socket.flags.has(Flags::CONNECTING));
        if connecting {
            self.connect_failed(key, libc::ECANCELED);
        } else {
            self.stats.cancel_late += 1;
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
