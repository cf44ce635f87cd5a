//! What arrives: connections, bytes, sockets handed over.
//!
//! Bytes are read into the buffers of the receive pool, piece after piece: what one socket leaves
//! of a buffer the next one uses, so that many small messages of a turn share one.

use std::io;
use std::mem::MaybeUninit;

use hioload_base::Key;

use super::socket::{Flags, Socket};
use super::{ACCEPTS_PER_TURN, PollDriver, READS_PER_TURN, errno};
use crate::completion::{Completion, Completions, RecvEnd};
use crate::id::{ListenerId, SocketId};
use crate::recv_pool::{RecvBuf, RecvPool};
use crate::starved::is_share;

/// A claimed buffer with room left at its end.
#[derive(Debug)]
pub(super) struct OpenBuffer {
    id: u16,
    used: usize,
}

/// How one read ended.
enum Read {
    Piece(RecvBuf, Room),
    Blocked,
    Starved,
    Ended(RecvEnd),
}

/// Whether a read filled the room it had: then there may be more.
#[derive(PartialEq, Eq)]
enum Room {
    Left,
    Filled,
}

impl PollDriver {
    pub(super) fn take_arrivals(&mut self, end: usize, out: &mut Completions) {
        if out.len() < end && self.inbox.take_woken() {
            self.stats.woken += 1;
            out.push(Completion::Woken);
        }
        #[cfg(unix)]
        {
            while out.len() < end
                && let Some((listener, fd)) = self.inbox.next_arrival()
            {
                self.admit(listener, fd.into(), out);
            }
            // The bell rang for them already: no wait until they are taken.
            if self.inbox.has_arrivals() {
                self.inbox.ring();
            }
        }
    }

    /// A new connection: a slot for it, or an immediate close when the table is full.
    fn admit(&mut self, listener: ListenerId, file: socket2::Socket, out: &mut Completions) {
        match self.sockets.insert(Socket::new(file)) {
            Ok(key) => out.push(Completion::Accepted {
                listener,
                socket: SocketId(key),
            }),
            Err(_) => self.stats.accept_refused += 1,
        }
    }

    pub(super) fn accept_ready(&mut self, end: usize, out: &mut Completions) {
        for number in 0..self.listeners.len() {
            if self.listeners[number].ready {
                self.accept_some(number, end, out);
            }
        }
    }

    fn accept_some(&mut self, number: usize, end: usize, out: &mut Completions) {
        let id = ListenerId(u16::try_from(number).expect("invariant: numbered in u16"));
        for _ in 0..ACCEPTS_PER_TURN {
            let listener = &mut self.listeners[number];
            if !listener.accepting || listener.cancelled {
                listener.ready = false;
                return;
            }
            if out.len() >= end {
                return;
            }
            if self.sockets.is_full() {
                // What waits in the kernel's queue waits on, until there is room again.
                listener.ready = false;
                self.end_accept(number, libc::ENFILE, out);
                return;
            }
            self.stats.submitted += 1;
            match listener.accept() {
                Ok(file) => self.admit(id, file, out),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        listener.ready = false;
                        return;
                    }
                    io::ErrorKind::Interrupted => self.stats.interrupted += 1,
                    // The peer went away before it was accepted (accept(2)): the next one.
                    io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        listener.ready = false;
                        self.end_accept(number, errno(&error), out);
                        return;
                    }
                },
            }
        }
    }

    pub(super) fn end_cancelled_accept(&mut self, number: usize, out: &mut Completions) {
        if self.listeners[number].cancelled {
            self.end_accept(number, libc::ECANCELED, out);
        }
    }

    fn end_accept(&mut self, number: usize, errno: i32, out: &mut Completions) {
        let listener = &mut self.listeners[number];
        listener.accepting = false;
        listener.cancelled = false;
        self.stats.in_flight -= 1;
        if errno != libc::ECANCELED {
            self.stats.accept_refused += 1;
        }
        let listener = ListenerId(u16::try_from(number).expect("invariant: numbered in u16"));
        out.push(Completion::AcceptEnded { listener, errno });
    }

    /// Receives that found no buffer go on, as many as there are buffers now; before those that had some, or one busy peer
    /// would take them all again.
    pub(super) fn revive_starved(&mut self) {
        let served = self.incoming.len();
        self.starved.begin_round();
        let mut room = self.pool.free_count() + usize::from(self.open.is_some());
        while room > 0
            && let Some(key) = self.starved.pop()
        {
            let Some(socket) = self.sockets.get_mut(key) else {
                continue;
            };
            socket.flags.clear(Flags::STARVED);
            if socket.flags.has(Flags::RECEIVING) {
                socket.flags.set(Flags::OWED);
                room -= 1;
                self.queue_in(key);
                // The selector may have dropped it meanwhile.
                self.mark_dirty(key);
            }
        }
        self.incoming.rotate_left(served);
    }

    /// Reads from the sockets that have something, until `out` has `end` events.
    pub(super) fn read_ready(&mut self, end: usize, out: &mut Completions) {
        let mut waiting = self.incoming.len();
        while waiting > 0
            && out.len() < end
            && let Some(key) = self.incoming.pop_front()
        {
            waiting -= 1;
            self.read_some(key, end, out);
        }
    }

    fn read_some(&mut self, key: Key, end: usize, out: &mut Completions) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.flags.clear(Flags::IN_QUEUE);
        if !socket.flags.has(Flags::RECEIVING) {
            return;
        }
        let id = SocketId(key);
        for _ in 0..READS_PER_TURN {
            if out.len() >= end {
                break;
            }
            match self.read(key) {
                Read::Piece(buffer, room) => {
                    let is_cut = room == Room::Filled;
                    if is_share(buffer.len(), is_cut, self.pool.buffer_size())
                        && let Some(socket) = self.sockets.get_mut(key)
                    {
                        socket.flags.clear(Flags::OWED);
                    }
                    out.push(Completion::Received { socket: id, buffer });
                    if room == Room::Left {
                        return;
                    }
                }
                Read::Blocked => return,
                Read::Starved => {
                    self.starve(key);
                    return;
                }
                Read::Ended(reason) => {
                    self.end_recv(key);
                    out.push(Completion::RecvEnded {
                        socket: id,
                        end: reason,
                    });
                    return;
                }
            }
        }
        // There may be more, but the others come first.
        self.queue_in(key);
    }

    fn starve(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.flags.has(Flags::STARVED) {
            let is_owed = socket.flags.has(Flags::OWED);
            socket.flags.set(Flags::STARVED);
            self.stats.no_buffers += 1;
            self.starved.push(key, is_owed);
        }
    }

    fn end_recv(&mut self, key: Key) {
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.flags.clear(Flags::RECEIVING);
            self.stats.in_flight -= 1;
        }
    }

    /// One read into the open buffer.
    fn read(&mut self, key: Key) -> Read {
        let Some(file) = self
            .sockets
            .get(key)
            .and_then(|socket| socket.file.as_ref())
        else {
            return Read::Blocked;
        };
        let Some(open) = claim(&self.pool, &mut self.open) else {
            return Read::Starved;
        };
        let room = self.pool.buffer_size() - open.used;
        loop {
            self.stats.submitted += 1;
            return match file.recv(spare(&self.pool, open)) {
                Ok(0) => Read::Ended(RecvEnd::Eof),
                Ok(size) => {
                    let buffer = lend(&self.pool, &mut self.open, size);
                    Read::Piece(
                        buffer,
                        if size == room {
                            Room::Filled
                        } else {
                            Room::Left
                        },
                    )
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {
                        self.stats.interrupted += 1;
                        continue;
                    }
                    io::ErrorKind::WouldBlock => Read::Blocked,
                    _ => Read::Ended(RecvEnd::Failed(errno(&error))),
                },
            };
        }
    }
}

/// The open buffer, or a fresh one.
fn claim<'a>(pool: &RecvPool, open: &'a mut Option<OpenBuffer>) -> Option<&'a mut OpenBuffer> {
    if open.is_none() {
        *open = pool.claim().map(|id| OpenBuffer { id, used: 0 });
    }
    open.as_mut()
}

/// The room at the end of the open buffer.
fn spare<'a>(pool: &RecvPool, open: &'a mut OpenBuffer) -> &'a mut [MaybeUninit<u8>] {
    let room = pool.buffer_size() - open.used;
    // SAFETY: the buffer is claimed and only its first `used` bytes have been lent, so these bytes
    // belong to nobody else; they lie inside the buffer, and `open` is borrowed for as long as
    // the slice lives, which keeps `lend` away.
    unsafe { std::slice::from_raw_parts_mut(pool.start(open.id).cast(), room) }
}

/// Lends what was just read. A buffer with less than a quarter left is given up: small rooms
/// would cut large messages into many pieces.
fn lend(pool: &std::rc::Rc<RecvPool>, open: &mut Option<OpenBuffer>, size: usize) -> RecvBuf {
    let buffer = open.as_mut().expect("invariant: read into the open buffer");
    buffer.used += size;
    let (id, used) = (buffer.id, buffer.used);
    let more = pool.buffer_size() - used > pool.buffer_size() / 4;
    if !more {
        *open = None;
    }
    pool.lend(id, size, more)
}
