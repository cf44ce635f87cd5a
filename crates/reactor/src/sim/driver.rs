//! A driver over the virtual network. Shaped like the io_uring driver: submissions take effect in
//! order at the next turn, the virtual kernel posts completions with a due time, a turn reaps what
//! is due.
//!
//! Faults live here where they concern operations (short, late, reordered, starved, cancelled too
//! late, interrupted) and in the network where they concern connections.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hioload_base::{Key, Slab, Time};

use super::fault::Fault;
use super::net::{Net, Note};
use super::reach::SimReach;
use super::socket::Socket;
use super::stream::{End, Owner, Readable};
use crate::completion::{Completion, Completions, RecvEnd};
use crate::driver::{
    Address, Caps, Driver, DriverConfig, DriverKind, DriverStats, Reach, StartError, TurnError,
    Wait,
};
use crate::id::{ListenerId, OpId, OpKind, SocketId};
use crate::net::{ListenSpec, listen_error};
use crate::op::{Connect, Op, Payload, Reject};
use crate::recv_pool::RecvPool;

/// Pieces one receive brings in one go; more wait for the next note.
const PIECES_MAX: usize = 64;

/// Completions of different sockets overtake each other within so long.
const REORDER_MAX: Duration = Duration::from_micros(20);

/// A submission that takes effect at the next turn.
#[derive(Debug)]
enum Entry {
    Accept(u16),
    Recv(Key),
    Send(Key),
    Shutdown(Key),
    Close(Key),
    CancelAccept(u16),
    /// `true`: it has been put off once.
    CancelRecv(Key, bool),
    CancelSend(Key, bool),
    CancelConnect(Key),
    Woken(Address),
}

struct Listener {
    addr: SocketAddr,
    /// An accept is in flight.
    accepting: bool,
    /// The virtual kernel accepts.
    live: bool,
}

/// A driver of a [`SimNet`](super::SimNet); made by [`SimNet::driver`](super::SimNet::driver).
pub struct SimDriver {
    net: Rc<RefCell<Net>>,
    number: usize,
    config: DriverConfig,
    caps: Caps,
    stats: DriverStats,
    sockets: Slab<Socket>,
    listeners: Vec<Listener>,
    pool: Rc<RecvPool>,
    submissions: VecDeque<Entry>,
    /// By due time, then in order of posting.
    completions: BTreeMap<(Time, u64), Completion>,
    starved: VecDeque<Key>,
    /// The latest posted of the reaped: what is reaped after it was overtaken.
    reaped_seq: u64,
    reach: Arc<SimReach>,
}

impl std::fmt::Debug for SimDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDriver")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl SimDriver {
    pub(super) fn new(net: Rc<RefCell<Net>>, mut config: DriverConfig) -> Self {
        config.batch = config.batch.max(1);
        let reach = Arc::new(SimReach::new());
        let number = net.borrow_mut().add_driver(Arc::clone(&reach));
        Self {
            net,
            number,
            caps: Caps {
                kind: DriverKind::Sim,
                direct: false,
                incremental: false,
                zero_copy: false,
                msg_ring: false,
                gather: false,
                sockets_max: config.sockets_max,
            },
            stats: DriverStats::default(),
            sockets: Slab::with_limit(config.sockets_max),
            listeners: Vec::new(),
            pool: RecvPool::new(config.recv_buffer_size, config.recv_buffer_count),
            submissions: VecDeque::new(),
            completions: BTreeMap::new(),
            starved: VecDeque::new(),
            reaped_seq: 0,
            reach,
            config,
        }
    }

    fn socket(&mut self, id: SocketId) -> Result<&mut Socket, Reject> {
        let socket = self.sockets.get_mut(id.0).ok_or(Reject::Stale)?;
        if socket.closing {
            Err(Reject::Closing)
        } else {
            Ok(socket)
        }
    }

    fn owner(&self, socket: Key) -> Owner {
        Owner::Socket {
            driver: self.number,
            socket,
        }
    }

    /// Puts a completion where the worker will find it: now, or late if the dice say so.
    fn post(&mut self, socket: Option<Key>, event: Completion) {
        let mut net = self.net.borrow_mut();
        let mut due = net.now;
        if net.fires(Fault::Late) {
            let late_max = net.config.late_max;
            due += net.up_to(late_max);
        } else if net.draws(Fault::Reordered) {
            due += net.up_to(REORDER_MAX);
        }
        if let Some(socket) = socket.and_then(|key| self.sockets.get_mut(key)) {
            due = due.max(socket.last_due);
            socket.last_due = due;
        }
        let seq = net.next_seq();
        self.completions.insert((due, seq), event);
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
        self.submissions.push_back(Entry::Accept(id.0));
        Ok(OpId::accept(id))
    }

    fn connect(&mut self, connect: &Connect) -> Result<OpId, Reject> {
        if self.sockets.is_full() {
            return Err(Reject::Full);
        }
        // The owner is told below: its key is not known yet.
        let end = self
            .net
            .borrow_mut()
            .connect(Owner::Nobody, connect.to)
            .ok_or(Reject::Full)?;
        let mut socket = Socket::new(end);
        socket.connecting = true;
        let key = self.sockets.insert(socket).map_err(|_| Reject::Full)?;
        let owner = self.owner(key);
        self.net.borrow_mut().set_owner(end, owner);
        self.stats.in_flight += 1;
        Ok(OpId {
            kind: OpKind::Connect,
            key,
        })
    }

    fn recv(&mut self, id: SocketId) -> Result<OpId, Reject> {
        let socket = self.socket(id)?;
        if socket.wanted {
            return Err(Reject::Busy);
        }
        socket.wanted = true;
        if !socket.receiving {
            socket.receiving = true;
            self.stats.in_flight += 1;
            self.submissions.push_back(Entry::Recv(id.0));
        }
        Ok(OpId::recv(id))
    }

    fn send(&mut self, id: SocketId, payload: Payload) -> Result<OpId, Reject> {
        if payload.is_empty() || payload.pieces().len() > Payload::PIECES_MAX {
            return Err(Reject::Payload);
        }
        let socket = self.socket(id)?;
        if socket.sending {
            return Err(Reject::Busy);
        }
        socket.sending = true;
        socket.send_cancelled = false;
        socket.payload = Some(payload);
        self.stats.in_flight += 1;
        self.submissions.push_back(Entry::Send(id.0));
        Ok(OpId::send(id))
    }

    fn close(&mut self, id: SocketId) -> Result<OpId, Reject> {
        self.socket(id)?.closing = true;
        self.submissions.push_back(Entry::Close(id.0));
        Ok(OpId {
            kind: OpKind::Close,
            key: id.0,
        })
    }

    fn hand_over(
        &mut self,
        id: SocketId,
        listener: ListenerId,
        to: &Address,
    ) -> Result<OpId, Reject> {
        let number = self.number;
        let socket = self.socket(id)?;
        if socket.in_flight() > 0 {
            return Err(Reject::Busy);
        }
        let end = socket.end;
        let mut net = self.net.borrow_mut();
        let heir = net
            .drivers
            .iter()
            .position(|state| std::ptr::addr_eq(Arc::as_ptr(&state.reach), Arc::as_ptr(&to.0)));
        let heir = heir
            .filter(|heir| *heir != number)
            .ok_or(Reject::Unsupported)?;
        net.set_owner(end, Owner::Nobody);
        net.note(heir, Note::Adopted(listener.0, end));
        drop(net);
        self.socket(id)?.closing = true;
        self.post(Some(id.0), Completion::Closed { socket: id });
        Ok(OpId {
            kind: OpKind::HandOver,
            key: id.0,
        })
    }

    /// Submissions take effect, in order.
    fn flush(&mut self) {
        for _ in 0..self.submissions.len() {
            let Some(entry) = self.submissions.pop_front() else {
                return;
            };
            self.stats.submitted += 1;
            match entry {
                Entry::Accept(number) => {
                    self.listeners[usize::from(number)].live = true;
                    self.try_accept(number);
                }
                Entry::Recv(key) => {
                    if let Some(socket) = self.sockets.get_mut(key) {
                        socket.recv_live = true;
                    }
                    self.try_recv(key);
                }
                Entry::Send(key) => {
                    if let Some(socket) = self.sockets.get_mut(key) {
                        socket.send_live = true;
                    }
                    self.try_send(key);
                }
                Entry::Shutdown(key) => {
                    if let Some(socket) = self.sockets.get(key) {
                        self.net.borrow_mut().shutdown(socket.end);
                    }
                    self.try_send(key);
                }
                Entry::Close(key) => self.close_now(key),
                Entry::CancelAccept(number) => self.cancel_accept(number),
                Entry::CancelRecv(key, again) => self.cancel_recv(key, again),
                Entry::CancelSend(key, again) => self.cancel_send(key, again),
                Entry::CancelConnect(key) => self.connect_over(key, Err(libc::ECANCELED)),
                Entry::Woken(to) => to.0.wake(),
            }
        }
    }

    fn cancel_accept(&mut self, number: u16) {
        let listener = &mut self.listeners[usize::from(number)];
        if std::mem::take(&mut listener.live) {
            self.end_accept(number, libc::ECANCELED);
        } else {
            self.stats.cancel_late += 1;
        }
    }

    fn cancel_recv(&mut self, key: Key, again: bool) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.recv_live {
            self.stats.cancel_late += 1;
            return;
        }
        if socket.wanted {
            // Wanted again meanwhile: it goes on.
            return;
        }
        if !again && self.net.borrow_mut().draws(Fault::CancelLost) {
            self.submissions.push_back(Entry::CancelRecv(key, true));
            return;
        }
        socket.recv_live = false;
        let end = RecvEnd::Cancelled;
        self.post(
            Some(key),
            Completion::RecvEnded {
                socket: SocketId(key),
                end,
            },
        );
    }

    fn cancel_send(&mut self, key: Key, again: bool) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.send_live {
            self.stats.cancel_late += 1;
            return;
        }
        if !again && self.net.borrow_mut().draws(Fault::CancelLost) {
            self.submissions.push_back(Entry::CancelSend(key, true));
            return;
        }
        self.end_send(key, Err(libc::ECANCELED));
    }

    fn close_now(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.recv_live = false;
        socket.send_live = false;
        self.net.borrow_mut().close(socket.end);
        self.post(
            Some(key),
            Completion::Closed {
                socket: SocketId(key),
            },
        );
    }

    fn take_notes(&mut self) {
        loop {
            let note = self.net.borrow_mut().drivers[self.number].notes.pop_front();
            match note {
                None => return,
                Some(Note::Ready(key)) => {
                    self.try_recv(key);
                    self.try_send(key);
                }
                Some(Note::Connected(key, result)) => self.connect_over(key, result),
                Some(Note::Knock(number)) => self.try_accept(number),
                Some(Note::Adopted(number, end)) => self.adopt(number, end),
            }
        }
    }

    fn connect_over(&mut self, key: Key, result: Result<(), i32>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.connecting || socket.closing {
            return;
        }
        let id = SocketId(key);
        match result {
            Ok(()) => self.post(Some(key), Completion::Connected { socket: id }),
            Err(errno) => {
                // Nothing more is accepted for it; the event itself still has to get through.
                self.net.borrow_mut().close(socket.end);
                self.post(Some(key), Completion::ConnectFailed { socket: id, errno });
            }
        }
    }

    fn try_accept(&mut self, number: u16) {
        loop {
            let listener = &self.listeners[usize::from(number)];
            let addr = listener.addr;
            let mut net = self.net.borrow_mut();
            if !listener.live || !net.is_somebody_waiting(self.number, addr) {
                return;
            }
            let refused = if net.fires(Fault::NoDescriptors) {
                Some(libc::EMFILE)
            } else {
                self.sockets.is_full().then_some(libc::ENFILE)
            };
            if let Some(errno) = refused {
                drop(net);
                self.listeners[usize::from(number)].live = false;
                self.stats.accept_refused += 1;
                self.end_accept(number, errno);
                return;
            }
            let Some(end) = net.accept(self.number, addr) else {
                return;
            };
            drop(net);
            self.admit(number, end);
        }
    }

    fn end_accept(&mut self, number: u16, errno: i32) {
        self.post(
            None,
            Completion::AcceptEnded {
                listener: ListenerId(number),
                errno,
            },
        );
    }

    fn adopt(&mut self, number: u16, end: End) {
        if self.sockets.is_full() {
            self.stats.accept_refused += 1;
            self.net.borrow_mut().close(end);
        } else {
            self.admit(number, end);
        }
    }

    fn admit(&mut self, number: u16, end: End) {
        let key = self
            .sockets
            .insert(Socket::new(end))
            .expect("invariant: room was checked");
        let owner = self.owner(key);
        self.net.borrow_mut().set_owner(end, owner);
        let listener = ListenerId(number);
        self.post(
            Some(key),
            Completion::Accepted {
                listener,
                socket: SocketId(key),
            },
        );
    }

    /// Receives what is there, piece by piece, into free buffers.
    fn try_recv(&mut self, key: Key) {
        for _ in 0..PIECES_MAX {
            let Some(socket) = self.sockets.get(key) else {
                return;
            };
            if !socket.recv_live || socket.connecting {
                return;
            }
            let end = socket.end;
            let readable = self.net.borrow_mut().readable(end);
            let over = match readable {
                Readable::Nothing => return,
                Readable::Bytes(there) => {
                    if !self.recv_piece(key, end, there) {
                        return;
                    }
                    continue;
                }
                Readable::Eof => RecvEnd::Eof,
                Readable::Failed(errno) => RecvEnd::Failed(errno),
            };
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.recv_live = false;
            }
            self.post(
                Some(key),
                Completion::RecvEnded {
                    socket: SocketId(key),
                    end: over,
                },
            );
            return;
        }
        // The others come first; then this one goes on.
        self.net.borrow_mut().note(self.number, Note::Ready(key));
    }

    fn recv_piece(&mut self, key: Key, end: End, there: usize) -> bool {
        let mut net = self.net.borrow_mut();
        let buffer = if net.fires(Fault::NoBuffers) {
            None
        } else {
            self.pool.claim()
        };
        let Some(buffer) = buffer else {
            drop(net);
            self.starve(key);
            return false;
        };
        let mut size = there.min(self.pool.buffer_size());
        if size > 1 && net.fires(Fault::ShortRead) {
            size = 1 + net.prng.below(size as u64 - 1) as usize;
        }
        let size = self
            .pool
            .fill(buffer, |bytes| net.read(end, &mut bytes[..size]));
        drop(net);
        let buffer = self.pool.lend(buffer, size, false);
        self.post(
            Some(key),
            Completion::Received {
                socket: SocketId(key),
                buffer,
            },
        );
        true
    }

    fn starve(&mut self, key: Key) {
        self.stats.no_buffers += 1;
        if let Some(socket) = self.sockets.get_mut(key)
            && !socket.starved
        {
            socket.starved = true;
            self.starved.push_back(key);
        }
    }

    /// Receives that found no buffer are armed again.
    fn revive_starved(&mut self) {
        for _ in 0..self.starved.len() {
            if self.pool.free_count() == 0 {
                return;
            }
            let Some(key) = self.starved.pop_front() else {
                return;
            };
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.starved = false;
                self.try_recv(key);
            }
        }
    }

    /// Sends what the connection takes now.
    fn try_send(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else {
            return;
        };
        let (true, Some(payload)) = (socket.send_live, &socket.payload) else {
            return;
        };
        let end = socket.end;
        let mut net = self.net.borrow_mut();
        let room = match net.writable(end) {
            Ok(0) => return,
            Ok(room) => room,
            Err(errno) => {
                drop(net);
                self.end_send(key, Err(errno));
                return;
            }
        };
        let mut size = room.min(payload.len());
        if size > 1 && net.fires(Fault::ShortWrite) {
            size = 1 + net.prng.below(size as u64 - 1) as usize;
        }
        let mut rest = size;
        for piece in payload.pieces() {
            let part = piece.len().min(rest);
            net.write(end, &piece[..part]);
            rest -= part;
        }
        drop(net);
        self.end_send(key, Ok(size));
    }

    /// The payload stays with its slot until the completion is reaped.
    fn end_send(&mut self, key: Key, result: Result<usize, i32>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.send_live = false;
        let payload = socket
            .payload
            .clone()
            .expect("invariant: a live send has its payload");
        self.post(
            Some(key),
            Completion::Sent {
                socket: SocketId(key),
                result,
                payload,
            },
        );
    }

    /// Appends at most `batch` events that are due.
    fn reap(&mut self, out: &mut Completions) -> usize {
        let mut count = 0;
        if self.reach.take_woken() {
            self.stats.woken += 1;
            out.push(Completion::Woken);
            count += 1;
        }
        while count < self.config.batch
            && let Some(entry) = self.completions.first_entry()
            && entry.key().0 <= self.net.borrow().now
        {
            let ((_, seq), event) = entry.remove_entry();
            self.stats.completions += 1;
            if let Some(event) = self.settle(event) {
                self.trace(seq, &event);
                out.push(event);
                count += 1;
            }
        }
        count
    }

    /// Ends the operation for the worker. `None`: the event is of no interest any more.
    fn settle(&mut self, event: Completion) -> Option<Completion> {
        match &event {
            Completion::AcceptEnded { listener, .. } => {
                self.listeners[usize::from(listener.0)].accepting = false;
                self.stats.in_flight -= 1;
            }
            Completion::Connected { socket } => {
                let slot = self
                    .sockets
                    .get_mut(socket.0)
                    .filter(|slot| !slot.closing)?;
                slot.connecting = false;
                self.stats.in_flight -= 1;
            }
            Completion::ConnectFailed { socket, .. } => {
                let slot = self
                    .sockets
                    .get_mut(socket.0)
                    .filter(|slot| !slot.closing)?;
                slot.connecting = false;
                slot.closing = true;
                self.stats.in_flight -= 1;
                self.post(Some(socket.0), Completion::Closed { socket: *socket });
            }
            Completion::Received { socket, .. } => {
                let slot = self.sockets.get(socket.0).filter(|slot| !slot.closing)?;
                if !slot.wanted {
                    self.net.borrow_mut().counts.add(Fault::CancelLost);
                }
            }
            Completion::RecvEnded { socket, end } => {
                let slot = self
                    .sockets
                    .get_mut(socket.0)
                    .filter(|slot| !slot.closing)?;
                if *end == RecvEnd::Cancelled && slot.wanted {
                    self.submissions.push_back(Entry::Recv(socket.0));
                    return None;
                }
                slot.wanted = false;
                slot.receiving = false;
                self.stats.in_flight -= 1;
            }
            Completion::Sent { socket, result, .. } => {
                let slot = self
                    .sockets
                    .get_mut(socket.0)
                    .filter(|slot| !slot.closing)?;
                slot.sending = false;
                slot.payload = None;
                self.stats.in_flight -= 1;
                if slot.send_cancelled && result.is_ok() {
                    self.net.borrow_mut().counts.add(Fault::CancelLost);
                }
            }
            Completion::Closed { socket } => {
                let slot = self.sockets.remove(socket.0)?;
                self.stats.in_flight -= slot.in_flight();
            }
            Completion::Accepted { .. } | Completion::HandOverFailed { .. } | Completion::Woken => {
            }
        }
        Some(event)
    }

    fn trace(&mut self, seq: u64, event: &Completion) {
        let words = match event {
            Completion::Accepted { listener, socket } => {
                [1, u64::from(listener.0), socket.0.to_bits()]
            }
            Completion::AcceptEnded { listener, errno } => {
                [2, u64::from(listener.0), *errno as u64]
            }
            Completion::Connected { socket } => [3, socket.0.to_bits(), 0],
            Completion::ConnectFailed { socket, errno } => [4, socket.0.to_bits(), *errno as u64],
            Completion::Received { socket, buffer } => [5, socket.0.to_bits(), buffer.len() as u64],
            Completion::RecvEnded { socket, .. } => [6, socket.0.to_bits(), 0],
            Completion::Sent { socket, result, .. } => [
                7,
                socket.0.to_bits(),
                result.map_or_else(|errno| errno as u64, |size| size as u64),
            ],
            Completion::Closed { socket } => [8, socket.0.to_bits(), 0],
            Completion::HandOverFailed { socket, .. } => [9, socket.0.to_bits(), 0],
            Completion::Woken => [10, 0, 0],
        };
        let mut net = self.net.borrow_mut();
        if seq < self.reaped_seq {
            net.counts.add(Fault::Reordered);
        }
        self.reaped_seq = self.reaped_seq.max(seq);
        let (now, number) = (net.now.as_nanos(), self.number as u64);
        net.trace.add(&[now, number, words[0], words[1], words[2]]);
    }

    /// Something will happen at the next turn without anybody's doing.
    fn has_work(&self) -> bool {
        !self.submissions.is_empty() || (!self.starved.is_empty() && self.pool.free_count() > 0)
    }
}

impl Driver for SimDriver {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn stats(&self) -> DriverStats {
        self.stats
    }

    fn now(&self) -> Time {
        self.net.borrow().now
    }

    fn listen(&mut self, spec: &ListenSpec) -> Result<ListenerId, StartError> {
        let number =
            u16::try_from(self.listeners.len()).expect("invariant: a handful of listeners");
        let Some(addr) = self.net.borrow_mut().listen(self.number, number, spec) else {
            let error = std::io::Error::from_raw_os_error(libc::EADDRINUSE);
            return Err(listen_error(spec.addr, &error));
        };
        self.listeners.push(Listener {
            addr,
            accepting: false,
            live: false,
        });
        Ok(ListenerId(number))
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
            Op::Shutdown { socket } => {
                self.socket(socket)?;
                self.submissions.push_back(Entry::Shutdown(socket.0));
                Ok(OpId {
                    kind: OpKind::Shutdown,
                    key: socket.0,
                })
            }
            Op::Close { socket } => self.close(socket),
            Op::HandOver {
                socket,
                listener,
                to,
            } => self.hand_over(socket, listener, &to),
            Op::Wake { to } => {
                self.submissions.push_back(Entry::Woken(to));
                Ok(OpId {
                    kind: OpKind::HandOver,
                    key: Key::from_bits(0),
                })
            }
        }
    }

    fn cancel(&mut self, op: OpId) {
        let entry = match op.kind {
            OpKind::Accept => {
                let listener = self.listeners.get(op.key.index() as usize);
                if !listener.is_some_and(|listener| listener.accepting) {
                    return;
                }
                Entry::CancelAccept(op.key.index() as u16)
            }
            OpKind::Recv => {
                let Some(socket) = self.sockets.get_mut(op.key) else {
                    return;
                };
                if !std::mem::take(&mut socket.wanted) {
                    return;
                }
                Entry::CancelRecv(op.key, false)
            }
            OpKind::Send => {
                let Some(socket) = self.sockets.get_mut(op.key) else {
                    return;
                };
                if !socket.sending {
                    return;
                }
                socket.send_cancelled = true;
                Entry::CancelSend(op.key, false)
            }
            OpKind::Connect => Entry::CancelConnect(op.key),
            OpKind::Shutdown | OpKind::Close | OpKind::HandOver => return,
        };
        self.submissions.push_back(entry);
    }

    fn turn(&mut self, wait: Wait, out: &mut Completions) -> Result<(), TurnError> {
        self.stats.turns += 1;
        self.stats.enters += 1;
        if self.net.borrow_mut().fires(Fault::Interrupted) {
            self.stats.interrupted += 1;
            self.net.borrow_mut().busy(self.number);
            return Ok(());
        }
        self.net.borrow_mut().run_due();
        self.flush();
        self.revive_starved();
        self.take_notes();
        let mut count = self.reap(out);
        if count == 0 && !self.has_work() {
            let wait = match wait {
                Wait::None => Some(Duration::ZERO),
                Wait::For(time) => Some(time),
                Wait::Forever => None,
            };
            self.set_next_due();
            self.net.borrow_mut().idle(self.number, wait);
            self.take_notes();
            count = self.reap(out);
        }
        if count > 0 || self.has_work() {
            self.net.borrow_mut().busy(self.number);
        }
        self.set_next_due();
        Ok(())
    }

    fn address(&self) -> Address {
        Address(Arc::clone(&self.reach) as Arc<dyn Reach>)
    }
}

impl SimDriver {
    fn set_next_due(&mut self) {
        let due = self.completions.keys().next().map(|(due, _)| *due);
        self.net.borrow_mut().set_next_due(self.number, due);
    }
}

impl Drop for SimDriver {
    fn drop(&mut self) {
        let mut net = self.net.borrow_mut();
        for (_, socket) in &self.sockets {
            net.close(socket.end);
        }
        net.remove_driver(self.number);
    }
}
