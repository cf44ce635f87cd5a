//! What the worker asks for: checked, noted in the socket's slot, and put into a queue. The work is done
//! in the turn.

use hioload_base::Key;

use super::socket::{Flags, Socket};
use super::{PollDriver, errno, is_in_progress, output};
use crate::completion::Completion;
use crate::driver::Address;
use crate::id::{ListenerId, OpId, OpKind, SocketId};
use crate::net::connect_socket;
use crate::op::{Connect, Payload, Reject};

impl PollDriver {
    pub(super) fn socket(&mut self, id: SocketId) -> Result<&mut Socket, Reject> {
        let socket = self.sockets.get_mut(id.0).ok_or(Reject::Stale)?;
        if socket.flags.has(Flags::CLOSING) {
            return Err(Reject::Closing);
        }
        Ok(socket)
    }

    pub(super) fn accept(&mut self, id: ListenerId) -> Result<OpId, Reject> {
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

    pub(super) fn connect(&mut self, connect: &Connect) -> Result<OpId, Reject> {
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

    pub(super) fn connect_failed(&mut self, key: Key, errno: i32) {
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

    pub(super) fn recv(&mut self, id: SocketId) -> Result<OpId, Reject> {
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

    pub(super) fn send(&mut self, id: SocketId, payload: Payload) -> Result<OpId, Reject> {
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

    pub(super) fn shutdown(&mut self, id: SocketId) -> Result<OpId, Reject> {
        self.socket(id)?.flags.set(Flags::SHUTTING);
        self.queue_out(id.0);
        Ok(OpId {
            kind: OpKind::Shutdown,
            key: id.0,
        })
    }

    pub(super) fn close(&mut self, id: SocketId) -> Result<OpId, Reject> {
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
    pub(super) fn hand_over(
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
    pub(super) fn hand_over(
        &mut self,
        _: SocketId,
        _: ListenerId,
        _: &Address,
    ) -> Result<OpId, Reject> {
        Err(Reject::Unsupported)
    }

    pub(super) fn cancel_recv(&mut self, key: Key) {
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

    pub(super) fn cancel_send(&mut self, key: Key) {
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

    pub(super) fn cancel_connect(&mut self, key: Key) {
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
