//! One direction of a virtual connection.
//!
//! ```text
//!   write ─▶ outbox ─▶ wire (latency) ─▶ inbox ─▶ read
//!            ≤ send buffer     └── together ≤ receive buffer ──┘
//! ```

use std::collections::VecDeque;

use hioload_base::Time;

/// How far the end of the stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fin {
    None,
    /// To follow what is in the outbox.
    Wanted,
    OnWire,
    Arrived,
}

#[derive(Debug)]
pub(super) struct Pipe {
    outbox: VecDeque<u8>,
    pub(super) outbox_max: usize,
    wire: usize,
    inbox: VecDeque<u8>,
    /// What the reader lets the sender have under way.
    pub(super) window: usize,
    pub(super) fin: Fin,
    /// The reader takes nothing off the wire until then.
    pub(super) stopped_until: Time,
    /// Segments keep their order: none arrives before this.
    pub(super) last_arrival: Time,
    /// A write found no room.
    pub(super) blocked: bool,
}

impl Pipe {
    pub(super) fn new(outbox_max: usize, window: usize) -> Self {
        Self {
            outbox: VecDeque::new(),
            outbox_max: outbox_max.max(1),
            wire: 0,
            inbox: VecDeque::new(),
            window: window.max(1),
            fin: Fin::None,
            stopped_until: Time::ZERO,
            last_arrival: Time::ZERO,
            blocked: false,
        }
    }

    /// Bytes a write could take.
    pub(super) fn room(&self) -> usize {
        self.outbox_max.saturating_sub(self.outbox.len())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.outbox.extend(bytes);
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The next segment for the wire, at most `most` bytes: as the reader's window allows.
    pub(super) fn next_segment(&mut self, now: Time, most: usize) -> Option<Vec<u8>> {
        if now < self.stopped_until {
            return None;
        }
        let open = self.window.saturating_sub(self.wire + self.inbox.len());
        let size = self.outbox.len().min(open).min(most);
        if size == 0 {
            return None;
        }
        self.wire += size;
        Some(self.outbox.drain(..size).collect())
    }

    pub(super) fn arrive(&mut self, bytes: &[u8]) {
        self.wire -= bytes.len();
        self.inbox.extend(bytes);
    }

    /// Bytes that left the wire without arriving.
    pub(super) fn lose(&mut self, size: usize) {
        self.wire -= size;
    }

    /// Bytes waiting to be read.
    pub(super) fn readable(&self) -> usize {
        self.inbox.len()
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> usize {
        let size = into.len().min(self.inbox.len());
        for (to, from) in into.iter_mut().zip(self.inbox.drain(..size)) {
            *to = from;
        }
        size
    }

    /// What is not on the wire yet will never be.
    pub(super) fn drop_outbox(&mut self) {
        self.outbox.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_the_sender_back_until_the_reader_reads() {
        let mut pipe = Pipe::new(10, 4);
        assert_eq!(pipe.room(), 10);
        pipe.write(b"abcdefgh");
        assert_eq!(pipe.room(), 2);
        let segment = pipe
            .next_segment(Time::ZERO, 100)
            .expect("within the window");
        assert_eq!(segment, b"abcd");
        assert_eq!(pipe.next_segment(Time::ZERO, 100), None);
        pipe.arrive(&segment);
        assert_eq!(
            pipe.next_segment(Time::ZERO, 100),
            None,
            "arrived is not read"
        );
        let mut bytes = [0; 3];
        assert_eq!(pipe.read(&mut bytes), 3);
        assert_eq!(
            pipe.next_segment(Time::ZERO, 2).expect("the window opened"),
            b"ef"
        );
    }

    #[test]
    fn a_stopped_reader_takes_nothing_off_the_wire() {
        let mut pipe = Pipe::new(10, 10);
        pipe.write(b"x");
        pipe.stopped_until = Time::from_nanos(5);
        assert_eq!(pipe.next_segment(Time::from_nanos(4), 1), None);
        assert!(pipe.next_segment(Time::from_nanos(5), 1).is_some());
    }
}
