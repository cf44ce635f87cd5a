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

    /// Whether all of these can be promised. Those that are promised already take no room.
    pub(super) fn has_room(&mut self, now: Time, hashes: &[Hash]) -> bool {
        if self.fits(hashes) {
            return true;
        }
        if now < self.earliest {
            return false;
        }
        self.ends.retain(|_, end| *end > now);
        self.earliest = self.ends.values().copied().min().unwrap_or(Time::MAX);
        self.fits(hashes)
    }

    fn fits(&self, hashes: &[Hash]) -> bool {
        let room = self.max - self.ends.len();
        let is_new = |hash: &&Hash| !self.ends.contains_key(*hash);
        hashes.len() <= room || hashes.iter().filter(is_new).nth(room).is_none()
    }

    /// Whole seconds until there may be room again, at least one.
    pub(super) fn seconds_to_room(&self, now: Time) -> u32 {
        if self.ends.is_empty() {
            return 1;
        }
        let seconds = (self.earliest - now).as_millis().div_ceil(1000);
        u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
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
        let [one, two, three, four] = [1, 2, 3, 4].map(hash);
        assert!(promises.has_room(at(0), &[one, two]));
        assert!(!promises.has_room(at(0), &[one, two, three]));
        promises.make(&one, at(10));
        promises.make(&two, at(20));
        assert!(promises.has_room(at(9), &[]));
        assert!(!promises.has_room(at(9), &[three]));
        assert!(promises.has_room(at(10), &[three]));
        assert!(!promises.has_room(at(10), &[three, four]));
        assert_eq!(promises.len(), 1);
        assert!(promises.has_room(at(20), &[three, four]));
    }

    #[test]
    fn what_is_promised_already_takes_no_room() {
        let mut promises = Promises::new(2);
        let at = Time::from_millis;
        let [one, two, three] = [1, 2, 3].map(hash);
        promises.make(&one, at(10));
        assert!(promises.has_room(at(9), &[two, one]));
        assert!(!promises.has_room(at(9), &[two, one, three]));
        promises.make(&two, at(10));
        assert!(promises.has_room(at(9), &[two, one, two]));
        // What has ended is made anew: that takes room.
        assert!(promises.has_room(at(10), &[one, two]));
        assert!(!promises.has_room(at(10), &[one, two, three]));
    }

    #[test]
    fn who_finds_no_room_is_told_when_there_may_be_some() {
        let mut promises = Promises::new(1);
        let at = Time::from_millis;
        assert_eq!(promises.seconds_to_room(at(0)), 1);
        promises.make(&hash(1), at(5000));
        for (now, seconds) in [(0, 5), (1, 5), (1000, 4), (4999, 1), (5000, 1)] {
            assert_eq!(promises.seconds_to_room(at(now)), seconds, "at {now} ms");
        }
    }
}
