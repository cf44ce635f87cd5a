//! What must be true of each content, as far as clients can know.
//!
//! An answered PUT makes it present, an answered DELETE absent. When both were under way at once, or a request
//! was never answered, nobody can know which came last: then anything but a wrong byte is right, until somebody
//! looks while nothing is under way. A lost request is a ghost: it may be done any time until the server starts
//! anew or has come to rest.

use hioload_base::{Prng, Time};
use hioload_blocks::{BLOCK_SIZE_MAX, Hash};

use crate::plan::{pick, size};

/// What is known of a content or a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Present,
    Unknown,
}

/// One of the contents that clients put, get and delete.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) hash: Hash,
    pub(super) bytes: Vec<u8>,
    pub(super) state: State,
    puts: u32,
    deletes: u32,
    /// Requests that nobody waits for, which may still be done.
    ghost_puts: u32,
    ghost_deletes: u32,
    /// PUTs and DELETEs were under way at once.
    is_raced: bool,
    /// Counts whatever may change it.
    pub(super) version: u64,
    /// Somebody was told that it is there: not deleted before that, by who asks from `promised_from` on.
    pub(super) promised: Time,
    pub(super) promised_from: Time,
    /// The one reference to it, kept by one client alone.
    pub(super) reference: State,
    /// Requests that change the reference and are under way, or were lost.
    pub(super) reference_moves: u32,
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            hash: Hash::of(&bytes),
            bytes,
            state: State::Absent,
            puts: 0,
            deletes: 0,
            ghost_puts: 0,
            ghost_deletes: 0,
            is_raced: false,
            version: 0,
            promised: Time::ZERO,
            promised_from: Time::ZERO,
            reference: State::Absent,
            reference_moves: 0,
        }
    }

    /// Contents of every size, no two alike.
    pub(super) fn draw(prng: &mut Prng, count: usize, size_max: usize) -> Vec<Self> {
        let content = |number: usize| {
            let borders = [
                1,
                4095,
                4096,
                4097,
                65_536,
                65_537,
                131_072,
                BLOCK_SIZE_MAX as usize,
            ];
            let length = if prng.chance(1, 3) {
                pick(prng, &borders).min(size_max)
            } else {
                size(prng, size_max).max(1)
            };
            let mut bytes = vec![0; length];
            prng.fill(&mut bytes);
            // Short ones could be alike by chance.
            bytes[0] = number as u8;
            Self::new(bytes)
        };
        (0..count).map(content).collect()
    }

    pub(super) fn put_begins(&mut self) {
        self.version += 1;
        self.puts += 1;
        self.is_raced |= self.deletes + self.ghost_deletes > 0;
    }

    pub(super) fn delete_begins(&mut self) {
        self.version += 1;
        self.deletes += 1;
        self.is_raced |= self.puts + self.ghost_puts > 0;
    }

    /// The PUT was answered: stored, or surely not.
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

    /// The PUT was never answered, or by an error that leaves it open.
    pub(super) fn put_is_lost(&mut self) {
        self.version += 1;
        self.puts -= 1;
        self.ghost_puts += 1;
        if self.state == State::Absent {
            self.state = State::Unknown;
        }
    }

    /// The DELETE was answered: gone or not there; or surely not done.
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

    /// The DELETE was never answered, or by an error that leaves it open.
    pub(super) fn delete_is_lost(&mut self) {
        self.version += 1;
        self.deletes -= 1;
        self.ghost_deletes += 1;
        if self.state == State::Present {
            self.state = State::Unknown;
        }
    }

    /// Nothing is under way any more: what was not answered has been done or not.
    pub(super) fn settles(&mut self) {
        assert_eq!((self.puts, self.deletes), (0, 0), "somebody still waits");
        self.version += 1;
        self.ghost_puts = 0;
        self.ghost_deletes = 0;
        self.reference_moves = 0;
        self.calm();
    }

    /// What is known only as long as nothing goes down is forgotten.
    pub(super) fn doubt(&mut self) {
        self.version += 1;
        self.state = State::Unknown;
        self.reference = State::Unknown;
    }

    fn calm(&mut self) {
        if !self.is_moving() {
            self.is_raced = false;
        }
    }

    fn is_moving(&self) -> bool {
        self.puts + self.deletes + self.ghost_puts + self.ghost_deletes > 0
    }

    /// What a look has to find now, if that is certain.
    pub(super) fn is_there(&self) -> Option<bool> {
        match self.state {
            State::Present if self.deletes + self.ghost_deletes == 0 => Some(true),
            State::Absent if self.puts + self.ghost_puts == 0 => Some(false),
            _ => None,
        }
    }

    /// A look found it, or not: if nothing is under way, that is how it is.
    pub(super) fn is_seen(&mut self, is_there: bool) {
        if self.state == State::Unknown && !self.is_moving() {
            self.state = if is_there {
                State::Present
            } else {
                State::Absent
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content::new(vec![1])
    }

    #[test]
    fn answers_are_known_and_lost_requests_are_not() {
        let mut it = content();
        assert_eq!(it.is_there(), Some(false));
        it.put_begins();
        assert_eq!(it.is_there(), None, "it may be there any time now");
        it.put_ends(true);
        assert_eq!(it.is_there(), Some(true));
        it.delete_begins();
        it.delete_is_lost();
        it.is_seen(true);
        assert_eq!(it.is_there(), None, "the lost DELETE may still be done");
        it.settles();
        it.is_seen(true);
        assert_eq!(it.is_there(), Some(true));
    }

    #[test]
    fn what_raced_is_open() {
        let mut it = content();
        it.put_begins();
        it.delete_begins();
        it.put_ends(true);
        it.delete_ends(true);
        assert_eq!(it.is_there(), None);
        it.is_seen(false);
        assert_eq!(it.is_there(), Some(false));
    }

    #[test]
    fn contents_differ() {
        let contents = Content::draw(&mut Prng::new(1), 60, 600_000);
        let hashes: std::collections::BTreeSet<Hash> = contents.iter().map(|it| it.hash).collect();
        assert_eq!(hashes.len(), 60);
        assert!(
            contents
                .iter()
                .any(|it| it.bytes.len() == BLOCK_SIZE_MAX as usize)
        );
    }
}
