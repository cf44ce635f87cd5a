//! The virtual kernel behind a driver: submissions take effect, sockets that became ready are served,
//! and what is done is posted as a completion with a due time.
//!
//! Faults of operations fire here; those of connections in the network.

use std::time::Duration;

use hioload_base::Key;

use super::driver::{Entry, Posted, SimDriver};
use super::fault::Fault;
use super::net::Note;
use super::socket::Socket;
use super::stream::{End, Readable};
use crate::completion::{Completion, RecvEnd};
use crate::id::{ListenerId, SocketId};
use crate::starved::is_share;

/// Pieces one receive brings in one go; more wait for the next note.
const PIECES_MAX: usize = 64;

/// Completions of different sockets overtake each other within so long.
const REORDER_MAX: Duration = Duration::from_micros(20);

impl SimDriver {
    /// Puts a completion where the worker will find it: now, or late if the dice say so.
    pub(super) fn post(&mut self, socket: Option<Key>, event: Completion) {
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
        self.completions.insert((due, seq), Posted::Event(event));
    }

    /// Submissions take effect, in order.
    pub(super) fn flush(&mut self) {
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
                Entry::File(key) => self.begin_file_op(key),
                Entry::CancelFile(key) => self.cancel_file_op(key),
                Entry::Woken(to) => to.0.wake(),
            }
        }
    }

    pub(super) fn cancel_accept(&mut self, number: u16) {
        let listener = &mut self.listeners[usize::from(number)];
        if std::mem::take(&mut listener.live) {
            self.end_accept(number, libc::ECANCELED);
        } else {
            self.stats.cancel_late += 1;
        }
    }

    pub(super) fn cancel_recv(&mut self, key: Key, again: bool) {
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

    pub(super) fn cancel_send(&mut self, key: Key, again: bool) {
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

    pub(super) fn close_now(&mut self, key: Key) {
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

    pub(super) fn take_notes(&mut self) {
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

    pub(super) fn connect_over(&mut self, key: Key, result: Result<(), i32>) {
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

    pub(super) fn try_accept(&mut self, number: u16) {
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

    pub(super) fn end_accept(&mut self, number: u16, errno: i32) {
        self.post(
            None,
            Completion::AcceptEnded {
                listener: ListenerId(number),
                errno,
            },
        );
    }

    pub(super) fn adopt(&mut self, number: u16, end: End) {
        if self.sockets.is_full() {
            self.stats.accept_refused += 1;
            self.net.borrow_mut().close(end);
        } else {
            self.admit(number, end);
        }
    }

    pub(super) fn admit(&mut self, number: u16, end: End) {
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
    pub(super) fn try_recv(&mut self, key: Key) {
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

    pub(super) fn recv_piece(&mut self, key: Key, end: End, there: usize) -> bool {
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
        if is_share(size, size < there, self.pool.buffer_size())
            && let Some(socket) = self.sockets.get_mut(key)
        {
            socket.owed = false;
        }
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

    pub(super) fn starve(&mut self, key: Key) {
        self.stats.no_buffers += 1;
        if let Some(socket) = self.sockets.get_mut(key)
            && !socket.starved
        {
            socket.starved = true;
            self.starved.push(key, socket.owed);
        }
    }

    /// Receives that found no buffer are armed again.
    pub(super) fn revive_starved(&mut self) {
        for _ in 0..self.starved.begin_round() {
            if self.pool.free_count() == 0 {
                return;
            }
            let Some(key) = self.starved.pop() else {
                return;
            };
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.starved = false;
                socket.owed = true;
                self.try_recv(key);
            }
        }
    }

    /// Sends what the connection takes now.
    pub(super) fn try_send(&mut self, key: Key) {
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
    pub(super) fn end_send(&mut self, key: Key, result: Result<usize, i32>) {
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
}
