//! What a driver reports.

use hioload_mem::Buffer;

use crate::id::{ListenerId, SocketId};
use crate::op::Payload;
use crate::recv_pool::RecvBuf;

/// One event. Events of one socket come in the order in which they happened; operations on files
/// complete in any order.
#[derive(Debug)]
pub enum Completion {
    /// A connection arrived, by accept or handed over by another driver.
    Accepted {
        /// Where it came in.
        listener: ListenerId,
        /// Its name here.
        socket: SocketId,
    },
    /// The accept operation is over: cancelled (`ECANCELED`) or refused (`EMFILE`, `ENFILE`, …).
    /// Submit it again, later when descriptors ran out.
    AcceptEnded {
        /// The listener.
        listener: ListenerId,
        /// The system's error number.
        errno: i32,
    },
    /// The connection stands.
    Connected {
        /// The socket.
        socket: SocketId,
    },
    /// The connection could not be made; `Closed` follows.
    ConnectFailed {
        /// The socket.
        socket: SocketId,
        /// The system's error number.
        errno: i32,
    },
    /// Bytes arrived; never empty.
    Received {
        /// The socket.
        socket: SocketId,
        /// The bytes; dropping it gives the room back to the driver.
        buffer: RecvBuf,
    },
    /// The receive operation is over.
    RecvEnded {
        /// The socket.
        socket: SocketId,
        /// Why.
        end: RecvEnd,
    },
    /// The send operation is over.
    Sent {
        /// The socket.
        socket: SocketId,
        /// Bytes the kernel took (maybe fewer than the payload has), or its error number.
        result: Result<usize, i32>,
        /// What was to be sent.
        payload: Payload,
    },
    /// Nothing is in flight on the socket any more and its descriptor is closed (or handed
    /// over). The name is stale from now on.
    Closed {
        /// The socket.
        socket: SocketId,
    },
    /// The other driver could not take the socket; it stays here.
    HandOverFailed {
        /// The socket.
        socket: SocketId,
        /// The system's error number.
        errno: i32,
    },
    /// The read from a file is over.
    Read {
        /// As submitted.
        token: u64,
        /// Bytes read, fewer than asked for at the end of the file and now and then elsewhere; or the error
        /// number.
        result: Result<usize, i32>,
        /// Holds what was read.
        buffer: Buffer,
    },
    /// The write to a file is over. What it wrote survives a power failure only after a later sync.
    Written {
        /// As submitted.
        token: u64,
        /// Bytes written, maybe fewer than all; or the error number, and then any part may be written.
        result: Result<usize, i32>,
    },
    /// Somebody woke this driver.
    Woken,
}

/// Why a receive operation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvEnd {
    /// The peer will send no more (FIN).
    Eof,
    /// It was cancelled; the socket stands.
    Cancelled,
    /// The system's error number (`ECONNRESET`, …).
    Failed(i32),
}

/// The events of one turn, in order.
pub type Completions = Vec<Completion>;
