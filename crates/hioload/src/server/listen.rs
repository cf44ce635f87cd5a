//! How every worker listens, and what the kernel keeps of a connection.

use std::net::SocketAddr;

use hioload_reactor::ListenSpec;

/// Bytes the kernel keeps for one connection; `None`: as the system tunes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KernelBuffers {
    /// Sent, and not acknowledged.
    pub(crate) send: Option<usize>,
    /// Arrived, and not received.
    pub(crate) recv: Option<usize>,
}

/// How every worker listens.
pub(crate) fn listen_spec(
    addr: SocketAddr,
    share_port: bool,
    buffers: KernelBuffers,
) -> ListenSpec {
    ListenSpec {
        share_port,
        send_buffer: buffers.send,
        recv_buffer: buffers.recv,
        ..ListenSpec::new(addr)
    }
}
