//! A subscriber: 48 bytes, a cursor and what is needed to judge its progress.

use crate::pace::{Pace, stamp};
use hioload_base::{Key, Time};

/// Names a subscriber of one feed. Valid until it unsubscribes; never names another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SubscriberKey(pub(crate) Key);

impl SubscriberKey {
    /// As one number, to be kept where a key does not fit.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0.to_bits()
    }

    /// Back from the number.
    #[must_use]
    pub fn from_bits(bits: u64) -> SubscriberKey {
        SubscriberKey(Key::from_bits(bits))
    }

    pub(crate) fn index(self) -> u32 {
        self.0.index()
    }

    pub(crate) fn generation(self) -> u32 {
        self.0.generation()
    }
}

/// What a subscriber is in. Bits, because most subscribers are in none of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    /// `next` gave bytes and `sent` has not come yet.
    pub(crate) const IN_FLIGHT: Flags = Flags(1);
    /// A drain window is running.
    pub(crate) const WINDOW: Flags = Flags(2);
    /// Stalled: the cursor is not counted and holds nothing of the log.
    pub(crate) const PARKED: Flags = Flags(4);
    /// A private copy of (the rest of) one frame goes out before anything else.
    pub(crate) const OWED: Flags = Flags(8);
    /// Parked for good: to be disconnected.
    pub(crate) const DROPPED: Flags = Flags(16);
    /// The caller has been told to cancel its send.
    pub(crate) const CANCEL: Flags = Flags(32);

    pub(crate) fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn set(&mut self, flag: Flags) {
        self.0 |= flag.0;
    }

    pub(crate) fn clear(&mut self, flag: Flags) {
        self.0 &= !flag.0;
    }

    pub(crate) const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    /// The caller's name for it.
    pub(crate) user: u64,
    /// Position of the next byte in the class log.
    pub(crate) position: u64,
    /// End of the latest own publication: below `position` there is nothing to leave out.
    pub(crate) own_until: u64,
    /// Bytes still to drain in the window.
    pub(crate) need: u32,
    /// When the window began, in milliseconds.
    pub(crate) since: u32,
    /// Number of the chunk which counts this cursor.
    pub(crate) chunk: u32,
    /// Publications dropped. Stays at its maximum.
    pub(crate) dropped: u32,
    pub(crate) flags: Flags,
}

const _: () = assert!(size_of::<Subscriber>() <= 48);

impl Subscriber {
    pub(crate) fn new(user: u64, position: u64, chunk: u32) -> Subscriber {
        Subscriber {
            user,
            position,
            own_until: 0,
            need: 0,
            since: 0,
            chunk,
            dropped: 0,
            flags: Flags::default(),
        }
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.flags.has(Flags::PARKED)
    }

    pub(crate) fn start_window(&mut self, pace: &Pace, lag: u64, now: Time) {
        self.flags.set(Flags::WINDOW);
        self.flags.clear(Flags::CANCEL);
        self.since = stamp(now);
        self.need = pace.need(lag);
    }

    pub(crate) fn end_window(&mut self) {
        self.flags.clear(Flags::WINDOW.or(Flags::CANCEL));
    }

    pub(crate) fn count_dropped(&mut self, publications: u64) {
        let publications = u32::try_from(publications).unwrap_or(u32::MAX);
        self.dropped = self.dropped.saturating_add(publications);
    }
}
