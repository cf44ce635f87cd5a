//! Blocks that somebody was told are there: they are not released before that ends.
//!
//! Without it, a client that asks which blocks are missing and then sends only those could find the others deleted. In
//! memory only: a promise does not survive the process, nor does the connection of who asked. Must not know who asked.
//!
//! Limits: the number of blocks. At it promises are refused until older ones end.

use std::collections::HashMap;

use hioload_base::Time;

use crate::hash::Hash;

#[derive(Debug)]
pub(super) struct Promises {
    ends: HashMap<Hash, Time>,
    max: usize,
    /// No promise ends before: looking through all of them is not worth it earlier.
    earliest: Time,
}

impl Promises {
    pub(super) fn new(max: usize) -> Promises {
        Promises {
            ends: HashMap::new(),
            max,
            earliest: Time::MAX,
        }
    }

    /// Whether `count` more can be made.
    pub(super) fn has_room(&mut self, now: Time, count: usize) -> bool {
        if self.ends.len() + count > self.max && now >= self.earliest {
            self.ends.retain(|_, end| *end > now);
            self.earliest = self.ends.values().copied().min().unwrap_or(Time::MAX);
        }
        self.ends.len() + count <= self.max
    }

    /// Makes or prolongs a promise. The caller has asked for room.
    pub(super) fn make(&mut self, hash: &Hash, until: Time) {
        let end = self.ends.entry(*hash).or_insert(until);
        *end = until.max(*end);
        self.earliest = self.earliest.min(until);
    }

    /// The end of a promise that still holds.
    pub(super) fn until(&self, now: Time, hash: &Hash) -> Option<Time> {
        self.ends.get(hash).copied().filter(|end| *end > now)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> Hash {
        Hash::of(&[n])
    }

    #[test]
    fn a_promise_holds_until_its_end_and_is_never_shortened() {
        let mut promises = Promises::new(10);
        let at = Time::from_millis;
        promises.make(&hash(1), at(100));
        promises.make(&hash(1), at(50));
        assert_eq!(promises.until(at(99), &hash(1)), Some(at(100)));
        assert_eq!(promises.until(at(100), &hash(1)), None);
        assert_eq!(promises.until(at(0), &hash(2)), None);
        promises.make(&hash(1), at(200));
        assert_eq!(promises.until(at(199), &hash(1)), Some(at(200)));
    }

    #[test]
    fn the_table_has_room_up_to_its_limit_and_again_when_promises_end() {
        let mut promises = Promises::new(2);
        let at = Time::from_millis;
        assert!(promises.has_room(at(0), 2));
        assert!(!promises.has_room(at(0), 3));
        promises.make(&hash(1), at(10));
        promises.make(&hash(2), at(20));
        assert!(promises.has_room(at(9), 0));
        assert!(!promises.has_room(at(9), 1));
        assert!(promises.has_room(at(10), 1));
        assert!(!promises.has_room(at(10), 2));
        assert_eq!(promises.len(), 1);
        assert!(promises.has_room(at(20), 2));
    }
}
