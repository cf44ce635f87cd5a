//! One listener of the poll driver.

use std::net::SocketAddr;

use socket2::Socket;

/// A bound, listening, non-blocking descriptor.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) file: Socket,
    pub(super) addr: SocketAddr,
    /// A multishot accept is in flight.
    pub(super) accepting: bool,
    /// Its cancel was asked for.
    pub(super) cancelled: bool,
    /// The selector reports it.
    pub(super) armed: bool,
    /// Known to the selector.
    pub(super) registered: bool,
    /// Connections may be waiting.
    pub(super) ready: bool,
}

impl Listener {
    pub(super) fn new(file: Socket, addr: SocketAddr) -> Self {
        Self {
            file,
            addr,
            accepting: false,
            cancelled: false,
            armed: false,
            registered: false,
            ready: false,
        }
    }

    /// The next connection, non-blocking and closed on exec.
    pub(super) fn accept(&self) -> std::io::Result<Socket> {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        return self
            .file
            .accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
            .map(|(socket, _)| socket);
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        {
            let (socket, _) = self.file.accept()?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        }
    }
}
