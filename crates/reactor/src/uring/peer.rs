//! Who is at the other end of a socket. A direct descriptor has no name that a system call takes, so the ring makes an
//! ordinary one of it for a moment.
//!
//! Source: io_uring_enter(2), `IORING_OP_FIXED_FD_INSTALL` (Linux 6.8; earlier: nobody knows).

use std::net::SocketAddr;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::types::Fixed;
use socket2::SockRef;

use super::UringDriver;
use super::socket::{File, Flags};
use super::tag::{Kind, plain};
use crate::id::SocketId;

impl UringDriver {
    /// Asked for rarely: for a direct descriptor it costs two system calls more than for another.
    pub(super) fn peer_of(&mut self, socket: SocketId) -> Option<SocketAddr> {
        let socket = self.sockets.get(socket.key())?;
        let index = match &socket.file {
            File::Plain(file) => return name(file),
            // Its place in the table may be another's already.
            File::Direct(_) if socket.flags.has(Flags::CLOSING) => return None,
            File::Direct(index) => *index,
        };
        name(&self.install(index)?)
    }

    /// An ordinary descriptor for a direct one. It needs no wait: the operation is over when it is submitted.
    fn install(&mut self, index: u32) -> Option<OwnedFd> {
        if !self.can_install {
            return None;
        }
        // One that found the queue full completes later, and is not taken for the next.
        self.installs = self.installs.wrapping_add(1);
        let tag = plain(Kind::Install, self.installs);
        let entry = opcode::FixedFdInstall::new(Fixed(index), 0).build();
        self.push(entry.user_data(tag));
        self.flush();
        self.stage();
        let mut staged = self.staged.iter();
        let place = staged.position(|entry| entry.user_data() == tag)?;
        let entry = self.staged.remove(place)?;
        self.stats.completions += 1;
        self.stats.in_flight -= 1;
        installed(entry.result())
    }
}

/// The descriptor that an installation came to. One that nobody waits for any more is closed by dropping it.
pub(super) fn installed(result: i32) -> Option<OwnedFd> {
    // SAFETY: a result that is no error is a new descriptor of this process, which nobody else was told of.
    (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) })
}

fn name(file: &impl AsFd) -> Option<SocketAddr> {
    SockRef::from(file).peer_addr().ok()?.as_socket()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::completion::Completion;
    use crate::driver::{Driver, DriverConfig, Wait};
    use crate::net::ListenSpec;
    use crate::op::Op;

    #[test]
    fn a_direct_descriptor_has_a_peer() {
        let Ok(mut driver) = UringDriver::new(DriverConfig::default()) else {
            println!("skipped: no io_uring");
            return;
        };
        if !driver.can_install || !driver.caps.direct {
            println!("skipped: this kernel makes no ordinary descriptors of direct ones");
            return;
        }
        let spec = ListenSpec::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = driver.listen(&spec).expect("a free port");
        driver.submit(Op::Accept { listener }).expect("taken");
        let to = driver.local_addr(listener).expect("bound");
        let mut events = Vec::new();
        let mut sockets = Vec::new();
        let clients: Vec<_> = (0..3)
            .map(|_| TcpStream::connect(to).expect("listens"))
            .collect();
        while sockets.len() < clients.len() {
            driver.turn(Wait::Forever, &mut events).expect("a turn");
            for event in events.drain(..) {
                if let Completion::Accepted { socket, .. } = event {
                    driver.submit(Op::Recv { socket }).expect("taken");
                    sockets.push(socket);
                }
            }
        }
        let in_flight = driver.stats.in_flight;
        let peers: Vec<_> = sockets
            .iter()
            .map(|socket| driver.peer_of(*socket))
            .collect();
        let names: Vec<_> = clients
            .iter()
            .map(|client| client.local_addr().ok())
            .collect();
        assert_eq!(peers, names);
        assert_eq!(driver.stats.in_flight, in_flight);
        // What had completed meanwhile is not lost.
        drop(clients);
        let mut ended = 0;
        driver.peer_of(sockets[0]);
        while ended < sockets.len() {
            driver.turn(Wait::Forever, &mut events).expect("a turn");
            let is_end = |event: &Completion| matches!(event, Completion::RecvEnded { .. });
            ended += events.drain(..).filter(|event| is_end(event)).count();
        }
        driver
            .submit(Op::Close { socket: sockets[0] })
            .expect("taken");
        assert_eq!(driver.peer_of(sockets[0]), None);
    }
}
