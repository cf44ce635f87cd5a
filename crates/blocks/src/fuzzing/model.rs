//! What must be true of each content, as far as its clients can know.
//!
//! An answered PUT makes it present, an answered DELETE absent. When both were under way at once, or one of them was never
//! answered, nobody can know which came last: then anything but a wrong byte is right, until somebody looks.

use hioload_base::Time;

use crate::hash::Hash;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Present,
    Unknown,
}

/// One of the contents that clients put, get and delete.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) hash: Hash,
    pub(super) bytes: Vec<u8>,
    pub(super) state: State,
    puts: u32,
    deletes: u32,
    /// PUTs and DELETEs were under way at once.
    is_raced: bool,
    /// Several DELETEs were under way at once: which of them did it nobody knows.
    is_contested: bool,
    /// PUTs that nobody waits for, which may still be done.
    ghosts: u32,
    /// Counts whatever may change it.
    pub(super) version: u64,
    /// The medium has changed it since it was written, or lost a part of it: damage is no surprise.
    pub(super) is_rotten: bool,
    /// When that was: clients of later numbers came after it.
    pub(super) rotten_at: u64,
    /// Somebody was told it is there; not deleted before that.
    pub(super) promised: Time,
}

impl Content {
    pub(super) fn new(bytes: Vec<u8>) -> Content {
        Content {
            hash: Hash::of(&bytes),
            bytes,
            state: State::Absent,
            puts: 0,
            deletes: 0,
            is_raced: false,
            is_contested: false,
            ghosts: 0,
            version: 0,
            is_rotten: false,
            rotten_at: 0,
            promised: Time::ZERO,
        }
    }

    pub(super) fn put_begins(&mut self) {
        self.version += 1;
        self.puts += 1;
        self.is_raced |= self.deletes > 0;
    }

    pub(super) fn delete_begins(&mut self) {
        self.version += 1;
        self.is_contested |= self.deletes > 0;
        self.deletes += 1;
        self.is_raced |= self.puts + self.ghosts > 0;
    }

    pub(super) fn put_ends(&mut self, is_stored: bool) {
        self.version += 1;
        self.puts -= 1;
        if is_stored {
            self.state = if self.is_raced {
                State::Unknown
            } else {
                State::Present
            };
        }
        self.calm();
    }

    /// The PUT was answered by an error, or its client went away: it may have been done all the same, or be done yet.
    pub(super) fn put_is_lost(&mut self) {
        self.puts -= 1;
        self.ghosts += 1;
        self.doubt_put();
    }

    /// Deleted, or found to be missing already.
    pub(super) fn delete_ends(&mut self, is_absent: bool) {
        self.version += 1;
        self.deletes -= 1;
        if is_absent {
            self.state = if self.is_raced {
                State::Unknown
            } else {
                State::Absent
            };
        }
        self.calm();
    }

    pub(super) fn delete_is_lost(&mut self) {
        self.version += 1;
        self.deletes -= 1;
        if self.state == State::Present {
            self.state = State::Unknown;
        }
        self.calm();
    }

    /// Nothing is under way any more: what was not answered has been done or not.
    pub(super) fn settles(&mut self) {
        assert_eq!((self.puts, self.deletes), (0, 0), "everybody was answered");
        self.ghosts = 0;
        self.calm();
    }

    /// The machine went down: nobody who waits is answered.
    pub(super) fn crashes(&mut self) {
        while self.puts > 0 {
            self.put_is_lost();
        }
        while self.deletes > 0 {
            self.delete_is_lost();
        }
        self.settles();
        self.promised = Time::ZERO;
    }

    fn doubt_put(&mut self) {
        self.version += 1;
        if self.state == State::Absent {
            self.state = State::Unknown;
        }
        self.calm();
    }

    fn calm(&mut self) {
        if self.puts + self.deletes + self.ghosts == 0 {
            self.is_raced = false;
            self.is_contested = false;
        }
    }

    /// A DELETE cannot have found it.
    pub(super) fn cannot_be_deleted(&self) -> bool {
        let is_alone = !self.is_raced && !self.is_contested;
        is_alone && self.state == State::Absent
    }

    /// What a lookup has to find now, if that is certain.
    pub(super) fn is_there(&self) -> Option<bool> {
        match self.state {
            State::Present if self.deletes == 0 => Some(true),
            State::Absent if self.puts + self.ghosts == 0 => Some(false),
            _ => None,
        }
    }

    /// A lookup found it, or not: if nothing is under way, that is how it is. Not so when a commit failed, of which the next
    /// start may find more than can be seen now.
    pub(super) fn is_seen(&mut self, is_there: bool, is_poisoned: bool) {
        if self.state == State::Unknown
            && !is_poisoned
            && self.puts + self.deletes + self.ghosts == 0
        {
            self.state = if is_there {
                State::Present
            } else {
                State::Absent
            };
        }
    }
}
