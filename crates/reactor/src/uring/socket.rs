//! One socket of a ring: its descriptor, what is in flight, and the payload the kernel reads.

use std::os::fd::OwnedFd;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, Fixed};

use crate::op::Payload;
use hioload_base::Key;

/// A descriptor: private to the ring, or the process's own.
#[derive(Debug)]
pub(super) enum File {
    /// Index in the ring's file table.
    Direct(u32),
    /// An ordinary descriptor, closed on drop.
    Plain(OwnedFd),
}

/// Builds an entry for either kind of descriptor.
macro_rules! on_file {
    ($file:expr, |$fd:ident| $build:expr) => {
        match $file {
            File::Direct(index) => {
                let $fd = Fixed(*index);
                $build
            }
            File::Plain(owned) => {
                let $fd = Fd(std::os::fd::AsRawFd::as_raw_fd(owned));
                $build
            }
        }
    };
}
pub(super) use on_file;

impl File {
    /// Cancels everything in flight on this descriptor.
    pub(super) fn cancel_all(&self) -> Entry {
        use io_uring::opcode::AsyncCancel2;
        use io_uring::types::CancelBuilder;
        on_file!(self, |fd| AsyncCancel2::new(CancelBuilder::fd(fd).all())
            .build())
    }
}

/// A socket's slot. Lives until the last completion of everything in flight on it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) file: File,
    pub(super) flags: Flags,
    /// What the kernel may be reading: present exactly while a send is in flight.
    pub(super) payload: Option<Payload>,
    /// The slot that keeps the pages of the zero-copy send in flight.
    pub(super) pages: Option<Key>,
}

/// What is in flight and what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    /// A multishot receive is in flight.
    pub(super) const RECEIVING: u16 = 1;
    /// The service wants to receive: re-arm when the kernel ends the multishot on its own.
    pub(super) const WANTS_INPUT: u16 = 2;
    /// A send is in flight.
    pub(super) const SENDING: u16 = 4;
    /// A connect is in flight.
    pub(super) const CONNECTING: u16 = 8;
    /// Close was asked for.
    pub(super) const CLOSING: u16 = 16;
    /// The close itself is in flight.
    pub(super) const CLOSE_SENT: u16 = 32;
    /// A hand-over is in flight.
    pub(super) const HANDING: u16 = 64;
    /// Armed when there were buffers again; its share of them has not come.
    pub(super) const OWED: u16 = 128;
    /// A half-close is in flight. The kernel does it on a thread of its own and looks a direct
    /// descriptor up only then: after a close it would hit the next owner's connection.
    pub(super) const SHUTTING: u16 = 256;
    /// The kernel copied what was to go out with zero copy: loopback and some devices always do,
    /// and the second completion is not worth it.
    pub(super) const COPIES: u16 = 512;

    pub(super) fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    pub(super) fn set(&mut self, bits: u16) {
        self.0 |= bits;
    }

    pub(super) fn clear(&mut self, bits: u16) {
        self.0 &= !bits;
    }

    /// Something that will still complete uses the descriptor.
    pub(super) fn is_in_flight(self) -> bool {
        self.has(
            Self::RECEIVING | Self::SENDING | Self::CONNECTING | Self::HANDING | Self::SHUTTING,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_slot_stays_small() {
        assert!(size_of::<Socket>() <= 48, "{} bytes", size_of::<Socket>());
    }
}
