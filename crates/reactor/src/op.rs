//! What a worker asks of its driver.

use std::net::SocketAddr;

use hioload_mem::{Buffer, Segment};

use crate::driver::Address;
use crate::id::{FileId, ListenerId, SocketId};

/// An operation. Its slot in the driver owns what the operation needs until its final
/// completion.
#[derive(Debug)]
pub enum Op {
    /// Accept connections until cancelled (`Accepted` each time, `AcceptEnded` once).
    Accept {
        /// The listener.
        listener: ListenerId,
    },
    /// Open a connection (`Connected` or `ConnectFailed`).
    Connect(Connect),
    /// Receive until the peer ends, an error or a cancel (`Received` each time, `RecvEnded` once).
    Recv {
        /// The socket.
        socket: SocketId,
    },
    /// Send once; the kernel may take less than all (`Sent` tells how much). One send at a time.
    Send {
        /// The socket.
        socket: SocketId,
        /// The bytes, shared and sealed.
        payload: Payload,
    },
    /// Half-close: no more will be sent. No completion.
    Shutdown {
        /// The socket.
        socket: SocketId,
    },
    /// Cancel what is in flight, then close (`Closed` once nothing is in flight any more).
    Close {
        /// The socket.
        socket: SocketId,
    },
    /// Give the socket to another driver, which sees it as `Accepted`; here `Closed` follows.
    HandOver {
        /// The socket; nothing may be in flight on it.
        socket: SocketId,
        /// The listener the other driver is told.
        listener: ListenerId,
        /// Where it goes.
        to: Address,
    },
    /// Read from a file once (`Completion::Read`); the system may bring less than asked for. Operations on
    /// files complete in any order.
    Read {
        /// The file.
        file: FileId,
        /// Comes back with the completion.
        token: u64,
        /// Where in the file, bytes from its start.
        offset: u64,
        /// Bytes to read, above zero and no more than the buffer has room for.
        len: usize,
        /// Where they go; empty.
        buffer: Buffer,
    },
    /// Write to a file once (`Completion::Written`); the system may take less than all.
    Write {
        /// The file.
        file: FileId,
        /// Comes back with the completion.
        token: u64,
        /// Where in the file, bytes from its start.
        offset: u64,
        /// The bytes, at least one. Whoever shares them may read them meanwhile.
        content: Segment,
    },
    /// Wake the driver at `to` out of its wait. No completion here.
    Wake {
        /// Whom.
        to: Address,
    },
}

/// Where to connect to, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// The peer.
    pub to: SocketAddr,
    /// The source address, when the system shall not choose it. Port 0 is chosen late
    /// (`IP_BIND_ADDRESS_NO_PORT`), so that one source address reaches many peers.
    pub from: Option<SocketAddr>,
    /// Bytes the kernel keeps for what arrived and was not received; `None`: as the system tunes it.
    pub recv_buffer: Option<usize>,
    /// Bytes the kernel keeps for what was sent and is not acknowledged; `None`: as the system tunes it.
    pub send_buffer: Option<usize>,
}

impl Connect {
    /// From any address, as the system tunes it.
    #[must_use]
    pub fn new(to: SocketAddr) -> Self {
        Self {
            to,
            from: None,
            recv_buffer: None,
            send_buffer: None,
        }
    }
}

/// The bytes of one send: segments that stay alive until the send's final completion.
#[derive(Clone, Debug)]
pub enum Payload {
    /// One contiguous piece.
    One(Segment),
    /// Several pieces, sent as one vector, in order. At most [`Payload::PIECES_MAX`].
    Many(Vec<Segment>),
}

impl Payload {
    /// Largest number of pieces in one send. The kernel's own bound is 1,024 (`UIO_MAXIOV`).
    pub const PIECES_MAX: usize = 64;

    /// Bytes in all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::One(segment) => segment.len(),
            Self::Many(segments) => segments.iter().map(|segment| segment.len()).sum(),
        }
    }

    /// True when there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in order.
    #[must_use]
    pub fn pieces(&self) -> &[Segment] {
        match self {
            Self::One(segment) => std::slice::from_ref(segment),
            Self::Many(segments) => segments,
        }
    }
}

impl From<Segment> for Payload {
    fn from(segment: Segment) -> Self {
        Self::One(segment)
    }
}

/// Why a submit was refused. Nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The socket, listener or file is gone or was never there.
    Stale,
    /// The socket is closing.
    Closing,
    /// Such an operation is in flight already.
    Busy,
    /// The table of sockets is full, or as many file operations as may be are in flight.
    Full,
    /// The system refused at once, with this error number.
    System(i32),
    /// The payload is empty or has too many pieces; a read asks for nothing or for more than its empty buffer
    /// holds.
    Payload,
    /// This driver cannot do that.
    Unsupported,
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stale => f.write_str("the socket or file is gone"),
            Self::Closing => f.write_str("the socket is closing"),
            Self::Busy => f.write_str("an operation of this kind is in flight on the socket"),
            Self::Full => f.write_str(
                "the table is full: raise the limit on connections or on file operations in flight",
            ),
            Self::System(errno) => std::io::Error::from_raw_os_error(*errno).fmt(f),
            Self::Payload => f.write_str(
                "the payload is empty or has more than 64 pieces, or does not fit its buffer",
            ),
            Self::Unsupported => f.write_str("this driver does not support the operation"),
        }
    }
}

impl std::error::Error for Reject {}
