//! Names of sockets, listeners and operations. A stale name never reaches a new owner: each
//! carries the generation of its slot.

use hioload_base::Key;

/// A socket of one driver. Valid from `Accepted`, `Connected` (or the submit of a connect) until
/// `Closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub(crate) Key);

impl SocketId {
    /// The slot and its generation.
    #[must_use]
    pub fn key(self) -> Key {
        self.0
    }

    /// A name from a key, for drivers outside this crate and for tests.
    #[must_use]
    pub fn from_key(key: Key) -> Self {
        Self(key)
    }
}

/// A listener of one driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u16);

/// A file of one driver, by [`Driver::open_file`](crate::Driver::open_file).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(pub u16);

/// What an operation does; part of its [`OpId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpKind {
    /// Multishot accept on a listener.
    Accept = 1,
    /// Outgoing connection.
    Connect = 2,
    /// Multishot receive on a socket.
    Recv = 3,
    /// One send on a socket.
    Send = 4,
    /// Half-close.
    Shutdown = 5,
    /// Final close.
    Close = 6,
    /// Hand a socket to another driver.
    HandOver = 7,
    /// Read from a file.
    Read = 8,
    /// Write to a file.
    Write = 9,
}

/// Names one submitted operation, for [`Driver::cancel`](crate::Driver::cancel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpId {
    /// What it does.
    pub kind: OpKind,
    /// The slot of the socket or file operation (or the listener's number) and its generation.
    pub key: Key,
}

impl OpId {
    /// The receive of `socket`: there is at most one.
    #[must_use]
    pub fn recv(socket: SocketId) -> Self {
        Self {
            kind: OpKind::Recv,
            key: socket.0,
        }
    }

    /// The send of `socket`: there is at most one.
    #[must_use]
    pub fn send(socket: SocketId) -> Self {
        Self {
            kind: OpKind::Send,
            key: socket.0,
        }
    }

    /// The accept of `listener`: there is at most one.
    #[must_use]
    pub fn accept(listener: ListenerId) -> Self {
        Self {
            kind: OpKind::Accept,
            key: Key::from_bits(u64::from(listener.0)),
        }
    }
}
