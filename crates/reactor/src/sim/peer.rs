//! A test client at the byte level: connects to a simulated listener and does as it is told.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use super::net::Net;
use super::stream::{End, Owner, Readable};
use crate::completion::RecvEnd;

/// One end of a virtual connection without a driver. Nothing happens by itself: bytes wait until
/// they are read, and a peer that never reads holds the other end back. Time moves by the turns
/// of the drivers.
///
/// Dropping it closes the connection.
pub struct SimPeer {
    net: Rc<RefCell<Net>>,
    end: End,
    over: bool,
}

impl SimPeer {
    pub(super) fn connect(net: Rc<RefCell<Net>>, to: SocketAddr) -> Self {
        let end = net.borrow_mut().connect(Owner::Peer, to);
        Self {
            net,
            end: end.expect("misuse: more than a million connections"),
            over: false,
        }
    }

    /// The answer to the connect, once it is there: stands, or the error number.
    #[must_use]
    pub fn connected(&self) -> Option<Result<(), i32>> {
        self.net
            .borrow()
            .connections
            .get(self.end.connection)
            .and_then(|stream| stream.answer)
    }

    /// Writes what the connection takes, as `write(2)` would; the number of bytes taken.
    ///
    /// # Errors
    /// The error number: `EPIPE`, `ECONNRESET`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, i32> {
        let mut net = self.net.borrow_mut();
        let size = net.writable(self.end)?.min(bytes.len());
        net.write(self.end, &bytes[..size]);
        Ok(size)
    }

    /// Reads what has arrived, at most `size` bytes; empty when there is nothing now.
    ///
    /// # Errors
    /// How the other direction ended, once everything before the end has been read.
    pub fn read(&mut self, size: usize) -> Result<Vec<u8>, RecvEnd> {
        let mut net = self.net.borrow_mut();
        match net.readable(self.end) {
            Readable::Bytes(there) => {
                let mut bytes = vec![0; there.min(size)];
                net.read(self.end, &mut bytes);
                Ok(bytes)
            }
            Readable::Nothing => Ok(Vec::new()),
            Readable::Eof => Err(RecvEnd::Eof),
            Readable::Failed(errno) => Err(RecvEnd::Failed(errno)),
        }
    }

    /// True when the network let this peer read never again ([`Fault::DeadReader`](super::Fault)).
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.net.borrow_mut().is_deaf(self.end)
    }

    /// Bytes the other side may have under way towards this one from now on.
    pub fn set_window(&mut self, size: usize) {
        self.net.borrow_mut().set_window(self.end, size);
    }

    /// Half-close: writes no more, still reads.
    pub fn shutdown(&mut self) {
        self.net.borrow_mut().shutdown(self.end);
    }

    /// Closes both directions; with unread input the other side is reset.
    pub fn close(mut self) {
        self.over = true;
        self.net.borrow_mut().close(self.end);
    }

    /// Ends the connection at once with a reset.
    pub fn reset(mut self) {
        self.over = true;
        self.net.borrow_mut().reset(self.end);
    }
}

impl Drop for SimPeer {
    fn drop(&mut self) {
        if !self.over {
            self.net.borrow_mut().close(self.end);
        }
    }
}

impl std::fmt::Debug for SimPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimPeer")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
