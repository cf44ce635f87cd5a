//! What the selector is asked to report, and where its reports go.
//!
//! Interest grows before the wait and shrinks only when readiness arrives that nobody wants.

use std::io;

use hioload_base::Key;

use super::selector::{Interest, Ready};
use super::socket::Flags;
use super::{LISTENER, PollDriver, errno};
use crate::completion::{Completion, RecvEnd};
use crate::id::SocketId;

impl PollDriver {
    pub(super) fn mark_dirty(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.flags.has(Flags::DIRTY) {
            socket.flags.set(Flags::DIRTY);
            self.dirty.push(key);
        }
    }

    /// Tells the selector of interest that has grown.
    pub(super) fn arm_dirty(&mut self) {
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

    pub(super) fn arm(&mut self, key: Key, interest: Interest) -> io::Result<()> {
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
    pub(super) fn forget(&mut self, key: Key) {
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
    pub(super) fn fail_all(&mut self, key: Key, errno: i32) {
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

    /// Sorts what the wait found into the queues.
    pub(super) fn sort_ready(&mut self) {
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

    pub(super) fn listener_ready(&mut self, number: usize) {
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

    pub(super) fn socket_ready(&mut self, ready: Ready) {
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
    pub(super) fn shrink(&mut self, key: Key, wanted: Interest) {
        if wanted.is_none() {
            self.forget(key);
        } else if let Err(error) = self.arm(key, wanted) {
            self.fail_all(key, errno(&error));
        }
    }
}
