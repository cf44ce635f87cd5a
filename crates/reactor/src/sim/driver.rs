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

use super::disk::SimFile;
use super::fault::Fault;
use super::files::Slot;
use super::net::{Net, Note};
use super::reach::SimReach;
use super::socket::Socket;
use super::stream::Owner;
use crate::completion::{Completion, Completions, RecvEnd};
use crate::driver::{
    Address, Caps, Driver, DriverConfig, DriverKind, DriverStats, Reach, StartError, TurnError,
    Wait,
};
use crate::file::{FileHandle, FileOp};
use crate::id::{FileId, ListenerId, OpId, OpKind, SocketId};
use crate::net::{ListenSpec, listen_error};
use crate::op::{Connect, Op, Payload, Reject};
use crate::recv_pool::RecvPool;
use crate::starved::Starved;

/// A submission that takes effect at the next turn.
#[derive(Debug)]
pub(super) enum Entry {
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
    File(Key),
    CancelFile(Key),
    Woken(Address),
}

/// What waits for its time.
pub(super) enum Posted {
    Event(Completion),
    /// A file operation: its slot has the rest.
    File(Key),
}

pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    /// An accept is in flight.
    pub(super) accepting: bool,
    /// The virtual kernel accepts.
    pub(super) live: bool,
}

/// A driver of a [`SimNet`](super::SimNet); made by [`SimNet::driver`](super::SimNet::driver).
pub struct SimDriver {
    pub(super) net: Rc<RefCell<Net>>,
    pub(super) number: usize,
    pub(super) config: DriverConfig,
    pub(super) caps: Caps,
    pub(super) stats: DriverStats,
    pub(super) sockets: Slab<Socket>,
    pub(super) listeners: Vec<Listener>,
    pub(super) pool: Rc<RecvPool>,
    pub(super) submissions: VecDeque<Entry>,
    /// By due time, then in order of posting.
    pub(super) completions: BTreeMap<(Time, u64), Posted>,
    pub(super) starved: Starved,
    /// The latest posted of the reaped: what is reaped after it was overtaken.
    pub(super) reaped_seq: u64,
    pub(super) reach: Arc<SimReach>,
    pub(super) files: Vec<SimFile>,
    pub(super) file_ops: Slab<Slot>,
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
                file_ops_max: config.file_ops_max,
            },
            stats: DriverStats::default(),
            sockets: Slab::with_limit(config.sockets_max),
            listeners: Vec::new(),
            pool: RecvPool::new(config.recv_buffer_size, config.recv_buffer_count),
            submissions: VecDeque::new(),
            completions: BTreeMap::new(),
            starved: Starved::default(),
            reaped_seq: 0,
            reach,
            files: Vec::new(),
            file_ops: Slab::with_limit(config.file_ops_max),
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

    pub(super) fn owner(&self, socket: Key) -> Owner {
        Owner::Socket {
            driver: self.number,
            socket,
        }
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
            let ((_, seq), posted) = entry.remove_entry();
            self.stats.completions += 1;
            let event = match posted {
                Posted::Event(event) => self.settle(event).inspect(|_| self.note_order(seq)),
                Posted::File(key) => self.end_file_op(key),
            };
            if let Some(event) = event {
                self.trace(&event);
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
            Completion::Accepted { .. }
            | Completion::HandOverFailed { .. }
            | Completion::Read { .. }
            | Completion::Written { .. }
            | Completion::Woken => {}
        }
        Some(event)
    }

    /// Counts an event that was overtaken.
    fn note_order(&mut self, seq: u64) {
        if seq < self.reaped_seq {
            self.net.borrow_mut().counts.add(Fault::Reordered);
        }
        self.reaped_seq = self.reaped_seq.max(seq);
    }

    fn trace(&self, event: &Completion) {
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
            Completion::Sent { socket, result, .. } => [7, socket.0.to_bits(), word(*result)],
            Completion::Closed { socket } => [8, socket.0.to_bits(), 0],
            Completion::HandOverFailed { socket, .. } => [9, socket.0.to_bits(), 0],
            Completion::Woken => [10, 0, 0],
            Completion::Read { token, result, .. } => [11, *token, word(*result)],
            Completion::Written { token, result } => [12, *token, word(*result)],
        };
        let mut net = self.net.borrow_mut();
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

    fn open_file(&mut self, handle: FileHandle) -> Result<FileId, StartError> {
        self.take_file(handle)
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
            OpKind::Read | OpKind::Write => Entry::CancelFile(op.key),
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
        self.abandon_file_ops();
        let mut net = self.net.borrow_mut();
        for (_, socket) in &self.sockets {
            net.close(socket.end);
        }
        net.remove_driver(self.number);
    }
}

/// A result in one word of the trace.
fn word(result: Result<usize, i32>) -> u64 {
    result.map_or_else(|errno| errno as u64, |size| size as u64)
}
