//! What the worker asks for: checked, noted in the socket's slot, and put on the submission queue.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use hioload_base::Key;
use io_uring::opcode;
use io_uring::types::{Fd, Fixed};

use super::socket::{File, Flags, Socket, on_file};
use super::tag::{Kind, plain, tag};
use super::{UringDriver, ZeroCopy, buffers};
use crate::driver::Address;
use crate::id::{ListenerId, OpId, OpKind, SocketId};
use crate::net::connect_socket;
use crate::op::{Connect, Payload, Reject};

impl UringDriver {
    pub(super) fn socket(&mut self, id: SocketId) -> Result<&mut Socket, Reject> {
        let socket = self.sockets.get_mut(id.0).ok_or(Reject::Stale)?;
        if socket.flags.has(Flags::CLOSING | Flags::HANDING) {
            return Err(Reject::Closing);
        }
        Ok(socket)
    }

    pub(super) fn accept(&mut self, listener: ListenerId) -> Result<OpId, Reject> {
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

    pub(super) fn connect(&mut self, connect: &Connect) -> Result<OpId, Reject> {
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

    pub(super) fn recv(&mut self, id: SocketId) -> Result<OpId, Reject> {
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
    pub(super) fn arm_recv(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if self.draining {
            return;
        }
        socket.flags.set(Flags::RECEIVING);
        socket.flags.clear(Flags::OWED);
        let entry = on_file!(&socket.file, |fd| opcode::RecvMulti::new(
            fd,
            buffers::GROUP
        )
        .build());
        self.push(entry.user_data(tag(Kind::Recv, key)));
    }

    pub(super) fn send(&mut self, id: SocketId, payload: Payload) -> Result<OpId, Reject> {
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

    pub(super) fn send_copied(&mut self, key: Key, payload: Payload) {
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

    pub(super) fn send_zero_copy(&mut self, key: Key, payload: Payload) {
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

    pub(super) fn shutdown(&mut self, id: SocketId) -> Result<OpId, Reject> {
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

    pub(super) fn close(&mut self, id: SocketId) -> Result<OpId, Reject> {
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
    pub(super) fn close_now(&mut self, key: Key) {
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

    pub(super) fn hand_over(
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

    pub(super) fn wake(&mut self, to: &Address) -> OpId {
        match to.0.ring_fd() {
            Some(fd) if self.caps.msg_ring => {
                let peer = self.wake_peer(to);
                let data = plain(Kind::WakeMessage, 0);
                let entry = opcode::MsgRingData::new(Fd(fd), 0, data, None).build();
                self.push(entry.user_data(plain(Kind::Wake, peer)));
            }
            _ => to.0.wake(),
        }
        OpId {
            kind: OpKind::HandOver,
            key: Key::from_bits(0),
        }
    }

    /// Where a driver stands that a message is sent to. As many as there are workers: they are never forgotten.
    fn wake_peer(&mut self, to: &Address) -> u32 {
        let known = self
            .wake_peers
            .iter()
            .position(|peer| Arc::ptr_eq(peer, &to.0));
        let place = known.unwrap_or_else(|| {
            self.wake_peers.push(Arc::clone(&to.0));
            self.wake_peers.len() - 1
        });
        place as u32
    }

    /// Asks the kernel to end one operation early.
    pub(super) fn cancel_op(&mut self, op: OpId) {
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
            OpKind::Read | OpKind::Write => match self.file_op_tag(op.key) {
                Some(tag) => tag,
                None => return,
            },
            OpKind::Shutdown | OpKind::Close | OpKind::HandOver => return,
        };
        let target = io_uring::types::CancelBuilder::user_data(user_data);
        let entry = opcode::AsyncCancel2::new(target).build();
        self.push(entry.user_data(plain(Kind::Quiet, 0)));
    }
}
