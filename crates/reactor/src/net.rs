//! Opening sockets: options shared by all drivers of real systems.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::driver::StartError;
use crate::op::Connect;

/// How to open a listener.
#[derive(Clone, Debug)]
pub struct ListenSpec {
    /// Where; port 0 lets the system choose.
    pub addr: SocketAddr,
    /// Connections the kernel keeps ready (`listen(2)`); the system caps it (`somaxconn`).
    pub backlog: u32,
    /// Several listeners share the address (`SO_REUSEPORT`).
    pub share_port: bool,
    /// Kernel send buffer per connection, bytes; `None`: the system's own tuning.
    pub send_buffer: Option<usize>,
    /// Kernel receive buffer per connection, bytes; `None`: the system's own tuning.
    pub recv_buffer: Option<usize>,
}

impl ListenSpec {
    /// A listener at `addr` with a backlog of 4,096 and shared port.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            backlog: 4096,
            share_port: true,
            send_buffer: None,
            recv_buffer: None,
        }
    }
}

/// Opens, binds and listens; accepted sockets inherit `TCP_NODELAY` and the buffer sizes.
///
/// # Errors
/// What the system refused, the likely cause and what to do.
pub fn listen_socket(spec: &ListenSpec) -> Result<Socket, StartError> {
    open_listener(spec).map_err(|error| listen_error(spec.addr, &error))
}

fn open_listener(spec: &ListenSpec) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(spec.addr),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    if spec.share_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_tcp_nodelay(true)?;
    if let Some(size) = spec.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    if let Some(size) = spec.recv_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.bind(&SockAddr::from(spec.addr))?;
    socket.listen(i32::try_from(spec.backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub(crate) fn listen_error(addr: SocketAddr, error: &io::Error) -> StartError {
    let (cause, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "another process listens there already".to_owned(),
            format!(
                "Stop it (`ss -ltnp 'sport = :{}'` names it) or choose another --addr",
                addr.port()
            ),
        ),
        io::ErrorKind::PermissionDenied => (
            "ports below 1024 need privileges".to_owned(),
            "Choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE".to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => (
            "no interface of this machine has that address".to_owned(),
            "Use 127.0.0.1, 0.0.0.0 or an address that `ip addr` lists".to_owned(),
        ),
        _ => (
            error.to_string(),
            "See listen(2) and bind(2) for the cause".to_owned(),
        ),
    };
    StartError {
        what: format!("cannot listen on {addr}"),
        cause,
        remedy,
        errno: error.raw_os_error(),
    }
}

/// Opens a non-blocking socket for an outgoing connection, bound when a source is given.
///
/// # Errors
/// The system's own.
pub fn connect_socket(connect: &Connect) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(connect.to),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(size) = connect.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    if let Some(size) = connect.recv_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(from) = connect.from {
        #[cfg(target_os = "linux")]
        if from.port() == 0 {
            bind_address_no_port(&socket)?;
        }
        socket.bind(&SockAddr::from(from))?;
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn bind_address_no_port(socket: &Socket) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the borrow's length and the option value is a live int
    // of the length given (ip(7): IP_BIND_ADDRESS_NO_PORT takes an int).
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
