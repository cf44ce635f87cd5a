//! What leaves: sends, half-closes, closes, and the completions of cancels and connects.
//!
//! Each socket in the outgoing queue takes one step at a time, in the order of submission among
//! sockets: connect result, send, end of a cancelled receive, half-close, close.

use std::io::{self, IoSlice};
use std::net::Shutdown;

use hioload_base::Key;

use super::socket::{Flags, Socket};
use super::{PollDriver, errno};
use crate::completion::{Completion, Completions, RecvEnd};
use crate::id::SocketId;
use crate::op::Payload;

/// A peer that has gone is an error number, not a signal. Systems without the flag have a socket
/// option for it, which `socket2` sets.
#[cfg(not(any(target_vendor = "apple", windows)))]
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;
#[cfg(any(target_vendor = "apple", windows))]
const SEND_FLAGS: i32 = 0;

/// Sends interrupted by signals are tried again so often; then they count as blocked.
const INTERRUPTS_MAX: usize = 8;

impl PollDriver {
    /// Rare events that are due.
    pub(super) fn take_staged(&mut self, end: usize, out: &mut Completions) {
        while out.len() < end
            && let Some(event) = self.staged.pop_front()
        {
            out.push(event);
        }
        for number in 0..self.listeners.len() {
            if out.len() < end {
                self.end_cancelled_accept(number, out);
            }
        }
    }

    /// Takes steps until the queue is empty or `out` has `end` events.
    pub(super) fn drain_outgoing(&mut self, end: usize, out: &mut Completions) {
        while out.len() < end
            && let Some(key) = self.outgoing.pop_front()
        {
            let Some(socket) = self.sockets.get_mut(key) else {
                continue;
            };
            socket.flags.clear(Flags::OUT_QUEUE);
            if let Some(event) = self.step(key) {
                out.push(event);
                // What else is due on this socket (a close after a send) waits its turn.
                self.queue_out_again(key);
            }
        }
    }

    fn queue_out_again(&mut self, key: Key) {
        let due = Flags::RECV_CANCELLED | Flags::SHUTTING | Flags::CLOSING;
        if self
            .sockets
            .get(key)
            .is_some_and(|socket| socket.flags.has(due))
        {
            self.queue_out(key);
        }
    }

    /// Does what is due on a socket up to its first event.
    fn step(&mut self, key: Key) -> Option<Completion> {
        let socket = self.sockets.get_mut(key)?;
        let id = SocketId(key);
        if socket.flags.has(Flags::CONNECTING) {
            return self.finish_connect(key);
        }
        if socket.flags.has(Flags::SENDING)
            && let Some(event) = self.step_send(key)
        {
            return Some(event);
        }
        let socket = self.sockets.get_mut(key)?;
        if socket.flags.has(Flags::RECV_CANCELLED) {
            socket.flags.clear(Flags::RECV_CANCELLED);
            self.stats.in_flight -= 1;
            return Some(Completion::RecvEnded {
                socket: id,
                end: RecvEnd::Cancelled,
            });
        }
        if socket.flags.has(Flags::SHUTTING) {
            socket.flags.clear(Flags::SHUTTING);
            half_close(socket);
        }
        if socket.flags.has(Flags::CLOSING) {
            return Some(self.close_now(key));
        }
        None
    }

    /// Tries a send that is not known to block. No event while the socket closes.
    fn step_send(&mut self, key: Key) -> Option<Completion> {
        let socket = self.sockets.get_mut(key)?;
        let blocked = socket.flags.has(Flags::BLOCKED);
        let result = if blocked { None } else { self.try_send(key) };
        let socket = self.sockets.get_mut(key)?;
        let closing = socket.flags.has(Flags::CLOSING);
        let result = match result {
            Some(result) => result,
            // Tried, and cancelled before the socket took a byte.
            None if closing || socket.flags.has(Flags::SEND_CANCELLED) => Err(libc::ECANCELED),
            None => {
                if !blocked {
                    self.stats.would_block += 1;
                    socket.flags.set(Flags::BLOCKED);
                    self.mark_dirty(key);
                }
                return None;
            }
        };
        socket
            .flags
            .clear(Flags::SENDING | Flags::BLOCKED | Flags::SEND_CANCELLED);
        self.stats.in_flight -= 1;
        let payload = socket
            .payload
            .take()
            .expect("invariant: a send in flight has its payload");
        if closing {
            return None;
        }
        Some(Completion::Sent {
            socket: SocketId(key),
            result,
            payload,
        })
    }

    /// One write. `None`: the socket takes nothing now.
    fn try_send(&mut self, key: Key) -> Option<Result<usize, i32>> {
        let socket = self.sockets.get(key)?;
        let (Some(file), Some(payload)) = (&socket.file, &socket.payload) else {
            return None;
        };
        for _ in 0..INTERRUPTS_MAX {
            self.stats.submitted += 1;
            match write(file, payload) {
                Ok(size) => return Some(Ok(size)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => self.stats.interrupted += 1,
                    io::ErrorKind::WouldBlock => return None,
                    _ => return Some(Err(errno(&error))),
                },
            }
        }
        None
    }

    /// The descriptor is writable while it connects: it stands, or it failed.
    fn finish_connect(&mut self, key: Key) -> Option<Completion> {
        let socket = self.sockets.get_mut(key)?;
        let file = socket.file.as_ref()?;
        let id = SocketId(key);
        let failed = match file.take_error() {
            Ok(None) if file.peer_addr().is_err() => {
                // Not yet: wait on.
                self.mark_dirty(key);
                return None;
            }
            Ok(None) => None,
            Ok(Some(error)) | Err(error) => Some(errno(&error)),
        };
        socket.flags.clear(Flags::CONNECTING);
        self.stats.in_flight -= 1;
        let Some(errno) = failed else {
            return Some(Completion::Connected { socket: id });
        };
        socket.flags.set(Flags::CLOSING);
        Some(Completion::ConnectFailed { socket: id, errno })
    }

    fn close_now(&mut self, key: Key) -> Completion {
        self.forget(key);
        self.sockets.remove(key);
        Completion::Closed {
            socket: SocketId(key),
        }
    }
}

/// No more will be sent. A socket that is gone already has nothing to tell.
pub(super) fn half_close(socket: &Socket) {
    if let Some(file) = &socket.file {
        let _ = file.shutdown(Shutdown::Write);
    }
}

fn write(file: &socket2::Socket, payload: &Payload) -> io::Result<usize> {
    match payload {
        Payload::One(segment) => file.send_with_flags(segment, SEND_FLAGS),
        Payload::Many(segments) => {
            let mut slices = [IoSlice::new(&[]); Payload::PIECES_MAX];
            for (slice, segment) in slices.iter_mut().zip(segments) {
                *slice = IoSlice::new(segment);
            }
            file.send_vectored_with_flags(&slices[..segments.len()], SEND_FLAGS)
        }
    }
}
