//! Reaping: from completion queue entries to events. Nothing is called back from here.

use hioload_base::Key;
use io_uring::types::Fixed;
use io_uring::{cqueue, opcode};

use super::UringDriver;
use super::buffers::Buffers;
use super::peer::installed;
use super::socket::{File, Flags, Socket};
use super::tag::{Kind, matches, plain, untag};
use crate::completion::{Completion, Completions, RecvEnd};
use crate::id::{ListenerId, SocketId};
use crate::starved::is_share;

/// `IORING_NOTIF_USAGE_ZC_COPIED`: the kernel copied the pages all the same.
const COPIED: u32 = 1 << 31;

impl UringDriver {
    /// Appends at most `batch` events.
    pub(super) fn reap(&mut self, out: &mut Completions) {
        let mut budget = self.config.batch;
        while budget > 0
            && let Some(key) = self.ended.pop_front()
        {
            budget -= usize::from(self.end_cancelled_recv(key, out));
        }
        while budget > 0
            && let Some(entry) = self.next_entry()
        {
            budget -= 1;
            self.stats.completions += 1;
            self.complete(&entry, out);
        }
    }

    /// A receive was cancelled while it waited for buffers. Silent when it is wanted again.
    fn end_cancelled_recv(&mut self, key: Key, out: &mut Completions) -> bool {
        let Some(socket) = self.sockets.get(key) else {
            return false;
        };
        if socket
            .flags
            .has(Flags::WANTS_INPUT | Flags::RECEIVING | Flags::CLOSING)
        {
            return false;
        }
        out.push(Completion::RecvEnded {
            socket: SocketId(key),
            end: RecvEnd::Cancelled,
        });
        true
    }

    fn next_entry(&mut self) -> Option<cqueue::Entry> {
        self.staged
            .pop_front()
            .or_else(|| self.ring.completion().next())
    }

    fn complete(&mut self, entry: &cqueue::Entry, out: &mut Completions) {
        let (result, flags) = (entry.result(), entry.flags());
        let last = !cqueue::more(flags);
        let Some((kind, index, generation)) = untag(entry.user_data()) else {
            self.stats.stale += 1;
            return;
        };
        // Messages from other rings were never submitted here.
        if last && !matches!(kind, Kind::WakeMessage | Kind::Arrived) {
            self.stats.in_flight -= 1;
        }
        match kind {
            Kind::Accept => self.accepted(index, result, last, out),
            Kind::Arrived => self.arrived(index, result, out),
            Kind::WakeRead => self.woken(out),
            Kind::WakeMessage => {
                self.stats.woken += 1;
                out.push(Completion::Woken);
            }
            Kind::Quiet => {
                if matches!(-result, libc::ENOENT | libc::EALREADY) {
                    self.stats.cancel_late += 1;
                }
            }
            // The message did not arrive: the peer is out of memory, or ending.
            Kind::Wake if result < 0 => {
                if let Some(peer) = self.wake_peers.get(index as usize) {
                    peer.wake();
                }
            }
            Kind::Wake | Kind::CloseStray => {}
            Kind::Install => drop(installed(result)),
            Kind::FileRead | Kind::FileWrite => self.file_op_over(index, generation, result, out),
            Kind::ZeroCopy => self.zero_copied(index, generation, entry, out),
            Kind::Recv => match self.live_key(index, generation) {
                Some(key) => self.received(key, entry, out),
                None => self.drop_stale(entry),
            },
            Kind::Connect | Kind::Send | Kind::Shutdown | Kind::Close | Kind::HandOver => {
                let Some(key) = self.live_key(index, generation) else {
                    self.stats.stale += 1;
                    return;
                };
                match kind {
                    Kind::Connect => self.connected(key, result, out),
                    Kind::Send => self.sent(key, result, out),
                    Kind::Shutdown => self.half_closed(key),
                    Kind::Close => self.closed(key, out),
                    _ => self.handed_over(key, result, out),
                }
            }
        }
    }

    fn live_key(&self, index: u32, generation: u32) -> Option<Key> {
        self.sockets
            .key_at(index)
            .filter(|key| matches(*key, generation))
    }

    /// A late completion of a slot's former owner: only its buffer is looked at.
    fn drop_stale(&mut self, entry: &cqueue::Entry) {
        self.stats.stale += 1;
        self.discard_buffer(entry);
    }

    fn discard_buffer(&mut self, entry: &cqueue::Entry) {
        let (Some(id), Some(buffers)) =
            (cqueue::buffer_select(entry.flags()), self.buffers.as_mut())
        else {
            return;
        };
        let len = usize::try_from(entry.result()).unwrap_or(0);
        buffers.discard(id, len, cqueue::buffer_more(entry.flags()));
    }

    fn accepted(&mut self, listener: u32, result: i32, last: bool, out: &mut Completions) {
        let id = ListenerId(listener as u16);
        if result >= 0 {
            self.admit(id, result, out);
        }
        if !last {
            return;
        }
        if let Some(entry) = self.listeners.get_mut(listener as usize) {
            entry.accepting = false;
        }
        if result >= 0 && !self.draining {
            // The kernel ended the multishot without an error (completion queue pressure).
            let _ = self.accept(id);
        } else if result < 0 {
            if result != -libc::ECANCELED {
                self.stats.accept_refused += 1;
            }
            out.push(Completion::AcceptEnded {
                listener: id,
                errno: -result,
            });
        }
    }

    fn arrived(&mut self, listener: u32, result: i32, out: &mut Completions) {
        if result >= 0 {
            self.admit(ListenerId(listener as u16), result, out);
        } else {
            self.stats.accept_refused += 1;
        }
    }

    /// A new connection: a slot for it, or an immediate close when the table is full.
    fn admit(&mut self, listener: ListenerId, file: i32, out: &mut Completions) {
        let file = self.own(file);
        let slot = Socket {
            file,
            flags: Flags::default(),
            payload: None,
            pages: None,
        };
        match self.sockets.insert(slot) {
            Ok(key) => out.push(Completion::Accepted {
                listener,
                socket: SocketId(key),
            }),
            Err(refused) => {
                self.stats.accept_refused += 1;
                if let File::Direct(index) = refused.0.file {
                    let close = opcode::Close::new(Fixed(index)).build();
                    self.push(close.user_data(plain(Kind::CloseStray, 0)));
                }
            }
        }
    }

    fn own(&self, file: i32) -> File {
        use std::os::fd::{FromRawFd, OwnedFd};
        if self.caps.direct {
            File::Direct(file as u32)
        } else {
            // SAFETY: the accept that just completed opened this descriptor for us alone.
            File::Plain(unsafe { OwnedFd::from_raw_fd(file) })
        }
    }

    fn woken(&mut self, out: &mut Completions) {
        if self.draining {
            return;
        }
        self.stats.woken += 1;
        self.listen_for_wakes();
        out.push(Completion::Woken);
    }

    fn connected(&mut self, key: Key, result: i32, out: &mut Completions) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.flags.clear(Flags::CONNECTING);
        let closing = socket.flags.has(Flags::CLOSING);
        if result >= 0 && !closing {
            out.push(Completion::Connected {
                socket: SocketId(key),
            });
            return;
        }
        if !closing {
            out.push(Completion::ConnectFailed {
                socket: SocketId(key),
                errno: -result,
            });
            socket.flags.set(Flags::CLOSING);
        }
        self.close_when_idle(key);
    }

    fn received(&mut self, key: Key, entry: &cqueue::Entry, out: &mut Completions) {
        let result = entry.result();
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let last = !cqueue::more(entry.flags());
        if last {
            socket.flags.clear(Flags::RECEIVING);
        }
        let closing = socket.flags.has(Flags::CLOSING);
        let wanted = socket.flags.has(Flags::WANTS_INPUT);
        let id = SocketId(key);
        if result > 0 {
            if socket.flags.has(Flags::OWED) {
                let (size, buffer_size) = (result as usize, self.pool.buffer_size());
                let is_incremental = self.buffers.as_ref().is_some_and(Buffers::is_incremental);
                let is_cut = match is_incremental {
                    true => !cqueue::buffer_more(entry.flags()),
                    false => size == buffer_size,
                };
                if is_share(size, is_cut, buffer_size) {
                    socket.flags.clear(Flags::OWED);
                }
            }
            self.deliver(id, entry, closing, out);
            if last && wanted {
                self.arm_recv(key);
            } else if last && !closing {
                out.push(Completion::RecvEnded {
                    socket: id,
                    end: RecvEnd::Cancelled,
                });
            }
        } else {
            self.discard_buffer(entry);
            self.recv_over(key, result, wanted, closing, out);
        }
        if closing && last {
            self.close_when_idle(key);
        }
    }

    fn deliver(
        &mut self,
        id: SocketId,
        entry: &cqueue::Entry,
        closing: bool,
        out: &mut Completions,
    ) {
        let (Some(buffer_id), Some(buffers)) =
            (cqueue::buffer_select(entry.flags()), self.buffers.as_mut())
        else {
            return;
        };
        let more = cqueue::buffer_more(entry.flags());
        let buffer = buffers.take(buffer_id, entry.result() as usize, more);
        if !closing {
            out.push(Completion::Received { socket: id, buffer });
        }
    }

    /// The multishot receive ended without bytes.
    fn recv_over(
        &mut self,
        key: Key,
        result: i32,
        wanted: bool,
        closing: bool,
        out: &mut Completions,
    ) {
        let end = match -result {
            0 => RecvEnd::Eof,
            libc::ENOBUFS if wanted => {
                self.stats.no_buffers += 1;
                let socket = self.sockets.get(key);
                let is_owed = socket.is_some_and(|socket| socket.flags.has(Flags::OWED));
                self.starved.push(key, is_owed);
                return;
            }
            // Cancelled and wanted again in the same turn.
            libc::ECANCELED | libc::EINTR | libc::EAGAIN if wanted && !closing => {
                self.arm_recv(key);
                return;
            }
            libc::ECANCELED | libc::ENOBUFS => RecvEnd::Cancelled,
            errno => RecvEnd::Failed(errno),
        };
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.flags.clear(Flags::WANTS_INPUT);
        }
        if !closing {
            out.push(Completion::RecvEnded {
                socket: SocketId(key),
                end,
            });
        }
    }

    fn sent(&mut self, key: Key, result: i32, out: &mut Completions) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.flags.clear(Flags::SENDING);
        let closing = socket.flags.has(Flags::CLOSING);
        let payload = socket.payload.take();
        if closing {
            self.close_when_idle(key);
        } else if let Some(payload) = payload {
            let result = usize::try_from(result).map_err(|_| -result);
            out.push(Completion::Sent {
                socket: SocketId(key),
                result,
                payload,
            });
        }
    }

    /// First the result, which ends the send for the service; then the notification, which frees
    /// the pages.
    fn zero_copied(
        &mut self,
        index: u32,
        generation: u32,
        entry: &cqueue::Entry,
        out: &mut Completions,
    ) {
        let key = self
            .zero_copy
            .key_at(index)
            .filter(|key| matches(*key, generation));
        let Some(key) = key else {
            self.stats.stale += 1;
            return;
        };
        let socket = self.zero_copy.get(key).map(|slot| slot.socket);
        if cqueue::notif(entry.flags()) {
            if entry.result() as u32 & COPIED != 0 {
                self.stats.zero_copy_copied += 1;
                if let Some(socket) = socket.and_then(|key| self.sockets.get_mut(key)) {
                    socket.flags.set(Flags::COPIES);
                }
            }
            self.zero_copy.remove(key);
            return;
        }
        if !cqueue::more(entry.flags()) {
            self.zero_copy.remove(key);
        }
        let Some(key) = socket else { return };
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.pages = None;
        }
        match -entry.result() {
            libc::ENOBUFS | libc::ENOMEM | libc::EOPNOTSUPP => self.send_again(key, out),
            _ => self.sent(key, entry.result(), out),
        }
    }

    /// Pages that cannot be pinned (`RLIMIT_MEMLOCK`), or a socket that knows no zero copy: the
    /// bytes are copied.
    fn send_again(&mut self, key: Key, out: &mut Completions) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.flags.set(Flags::COPIES);
        match socket.payload.take() {
            Some(payload) if !socket.flags.has(Flags::CLOSING) => self.send_copied(key, payload),
            _ => self.sent(key, -libc::ECANCELED, out),
        }
    }

    fn handed_over(&mut self, key: Key, result: i32, out: &mut Completions) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.flags.clear(Flags::HANDING);
        if result >= 0 {
            socket.flags.set(Flags::CLOSING);
            self.close_now(key);
        } else {
            out.push(Completion::HandOverFailed {
                socket: SocketId(key),
                errno: -result,
            });
        }
    }

    fn half_closed(&mut self, key: Key) {
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.flags.clear(Flags::SHUTTING);
            if socket.flags.has(Flags::CLOSING) {
                self.close_when_idle(key);
            }
        }
    }

    fn close_when_idle(&mut self, key: Key) {
        if self
            .sockets
            .get(key)
            .is_some_and(|socket| !socket.flags.is_in_flight())
        {
            self.close_now(key);
        }
    }

    fn closed(&mut self, key: Key, out: &mut Completions) {
        self.sockets.remove(key);
        out.push(Completion::Closed {
            socket: SocketId(key),
        });
    }
}
