//! What the clients and the server of a run did besides the network's faults. Each must happen
//! somewhere in a whole set of seeds: what never happened was not tested.

use std::cell::RefCell;
use std::fmt;
use std::ops::AddAssign;
use std::rc::Rc;

/// One kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A message between workers found its queue full.
    MailboxFull,
    /// A buffer was refused: the pool's budget was spent.
    PoolEmpty,
    /// A worker stood still while the others went on.
    WorkerStalled,
    /// A session was not read from, because its output or a channel was backed up.
    Held,
    /// A message was echoed.
    Echoed,
    /// A publication reached a subscriber.
    Delivered,
    /// A message went in several fragments.
    Fragmented,
    /// A message came or went compressed.
    Deflated,
    /// A ping was sent between the fragments of a message.
    PingInside,
    /// A client read little by little.
    ReadSlowly,
    /// A client stopped reading for a while.
    ReadPaused,
    /// A client stopped reading until the end of the storm.
    NeverRead,
    /// A client left with a close frame.
    Left,
    /// A client left with a reset.
    ClientReset,
    /// A client came back after its connection was lost.
    CameBack,
    /// A client joined or left a channel in mid-stream.
    Moved,
    /// A subscriber was disconnected because it was stalled (1013).
    Stalled,
    /// A stalled subscriber missed publications and went on.
    Skipped,
    /// A hostile client cut its connection after some byte of a legal conversation.
    Cut,
    /// A hostile client sent bytes of chance, before or after its handshake.
    Garbage,
    /// A hostile client broke the framing in a chosen way.
    BadFrame,
    /// A hostile client sent its request head byte by byte, or never all of it.
    SlowHead,
    /// A hostile client sent pings or empty fragments without end, and read nothing.
    Flood,
    /// The server shut down with sessions open.
    ShutdownBusy,
    /// The server shut down at a pace.
    ShutdownPaced,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::MailboxFull,
        Self::PoolEmpty,
        Self::WorkerStalled,
        Self::Held,
        Self::Echoed,
        Self::Delivered,
        Self::Fragmented,
        Self::Deflated,
        Self::PingInside,
        Self::ReadSlowly,
        Self::ReadPaused,
        Self::NeverRead,
        Self::Left,
        Self::ClientReset,
        Self::CameBack,
        Self::Moved,
        Self::Stalled,
        Self::Skipped,
        Self::Cut,
        Self::Garbage,
        Self::BadFrame,
        Self::SlowHead,
        Self::Flood,
        Self::ShutdownBusy,
        Self::ShutdownPaced,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MailboxFull => "mailbox full",
            Self::PoolEmpty => "pool empty",
            Self::WorkerStalled => "worker stands still",
            Self::Held => "session held back",
            Self::Echoed => "message echoed",
            Self::Delivered => "publication delivered",
            Self::Fragmented => "message in fragments",
            Self::Deflated => "message deflated",
            Self::PingInside => "ping between fragments",
            Self::ReadSlowly => "client reads slowly",
            Self::ReadPaused => "client stops reading for a while",
            Self::NeverRead => "client stops reading for good",
            Self::Left => "client leaves in order",
            Self::ClientReset => "client resets",
            Self::CameBack => "client comes back",
            Self::Moved => "subscription changes in mid-stream",
            Self::Stalled => "stalled subscriber disconnected",
            Self::Skipped => "stalled subscriber misses publications",
            Self::Cut => "hostile: cut at a byte",
            Self::Garbage => "hostile: garbage",
            Self::BadFrame => "hostile: illegal frame",
            Self::SlowHead => "hostile: slow head",
            Self::Flood => "hostile: flood",
            Self::ShutdownBusy => "shutdown with sessions open",
            Self::ShutdownPaced => "shutdown at a pace",
        }
    }
}

/// How often each event happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts([u64; Event::ALL.len()]);

impl EventCounts {
    /// Times this happened.
    #[must_use]
    pub fn of(&self, event: Event) -> u64 {
        self.0[event as usize]
    }

    /// What never happened.
    pub fn never_happened(&self) -> impl Iterator<Item = Event> + '_ {
        Event::ALL.into_iter().filter(|event| self.of(*event) == 0)
    }
}

impl AddAssign for EventCounts {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for EventCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in Event::ALL {
            writeln!(f, "{:>10}  {}", self.of(event), event.name())?;
        }
        Ok(())
    }
}

/// Where all parts of one run note what happens. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Rc<RefCell<EventCounts>>);

impl Notes {
    pub(crate) fn add(&self, event: Event) {
        self.add_many(event, 1);
    }

    pub(crate) fn add_many(&self, event: Event, count: u64) {
        self.0.borrow_mut().0[event as usize] += count;
    }

    pub(crate) fn counts(&self) -> EventCounts {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_its_own_place() {
        for (at, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, at);
            let notes = Notes::default();
            notes.add(event);
            assert_eq!(notes.counts().of(event), 1);
            assert_eq!(
                notes.counts().never_happened().count(),
                Event::ALL.len() - 1
            );
        }
    }
}
