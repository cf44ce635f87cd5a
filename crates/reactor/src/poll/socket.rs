//! One socket of the poll driver: descriptor, what is in flight, what the selector was told.

use socket2::Socket as Descriptor;

use super::selector::Interest;
use crate::op::Payload;

/// A socket's slot. Lives until `Closed`.
#[derive(Debug)]
pub(super) struct Socket {
    /// `None` once handed over to another driver.
    pub(super) file: Option<Descriptor>,
    pub(super) flags: Flags,
    /// Present exactly while a send is in flight.
    pub(super) payload: Option<Payload>,
}

impl Socket {
    pub(super) fn new(file: Descriptor) -> Self {
        Self {
            file: Some(file),
            flags: Flags::default(),
            payload: None,
        }
    }
}

/// What is in flight, what waits in which queue, what is armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    /// A multishot receive is in flight.
    pub(super) const RECEIVING: u16 = 1 << 0;
    /// Its cancel was asked for.
    pub(super) const RECV_CANCELLED: u16 = 1 << 1;
    /// A send is in flight.
    pub(super) const SENDING: u16 = 1 << 2;
    /// The send was tried and waits until the socket takes bytes.
    pub(super) const BLOCKED: u16 = 1 << 3;
    /// The send's cancel was asked for.
    pub(super) const SEND_CANCELLED: u16 = 1 << 4;
    /// A connect is in flight.
    pub(super) const CONNECTING: u16 = 1 << 5;
    /// A half-close is to follow what is being sent.
    pub(super) const SHUTTING: u16 = 1 << 6;
    /// Close was asked for.
    pub(super) const CLOSING: u16 = 1 << 7;
    /// In the queue of sockets to read from.
    pub(super) const IN_QUEUE: u16 = 1 << 8;
    /// In the queue of sockets with something to do (send, cancel, half-close, close).
    pub(super) const OUT_QUEUE: u16 = 1 << 9;
    /// In the queue of receives that found no buffer.
    pub(super) const STARVED: u16 = 1 << 10;
    /// In the queue of sockets whose interest must grow.
    pub(super) const DIRTY: u16 = 1 << 11;
    /// Known to the selector.
    pub(super) const REGISTERED: u16 = 1 << 12;
    /// The selector reports readability.
    pub(super) const ARMED_READ: u16 = 1 << 13;
    /// The selector reports writability.
    pub(super) const ARMED_WRITE: u16 = 1 << 14;
    /// Went on when there were buffers again; its share of them has not come.
    pub(super) const OWED: u16 = 1 << 15;

    /// Any of these bits.
    pub(super) fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    pub(super) fn set(&mut self, bits: u16) {
        self.0 |= bits;
    }

    pub(super) fn clear(&mut self, bits: u16) {
        self.0 &= !bits;
    }

    /// An operation that will still complete uses the descriptor.
    pub(super) fn is_in_flight(self) -> bool {
        self.has(Self::RECEIVING | Self::RECV_CANCELLED | Self::SENDING | Self::CONNECTING)
    }

    /// What the selector should report.
    pub(super) fn wanted(self) -> Interest {
        Interest {
            readable: self.has(Self::RECEIVING) && !self.has(Self::STARVED),
            writable: self.has(Self::BLOCKED | Self::CONNECTING),
        }
    }

    /// What the selector was told to report.
    pub(super) fn armed(self) -> Interest {
        Interest {
            readable: self.has(Self::ARMED_READ),
            writable: self.has(Self::ARMED_WRITE),
        }
    }

    pub(super) fn set_armed(&mut self, interest: Interest) {
        self.clear(Self::ARMED_READ | Self::ARMED_WRITE);
        if interest.readable {
            self.set(Self::ARMED_READ);
        }
        if interest.writable {
            self.set(Self::ARMED_WRITE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_slot_stays_small() {
        assert!(size_of::<Socket>() <= 40, "{} bytes", size_of::<Socket>());
    }

    #[test]
    fn a_starved_receive_wants_no_readiness() {
        let mut flags = Flags::default();
        flags.set(Flags::RECEIVING);
        assert!(flags.wanted().readable);
        flags.set(Flags::STARVED);
        assert_eq!(flags.wanted(), Interest::default());
    }
}
