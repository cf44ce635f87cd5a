//! Whole contents that are being read, and the GETs that wait for them: of many who ask for the same, one reads.
//!
//! ```text
//!   GET ─ nobody reads it ─▶ leads: reads, verifies, keeps it in the cache ─▶ lands ─┐
//!   GET ─ somebody does ───▶ follows ◀──────────────────── goes on from the cache ───┘
//! ```
//!
//! Must not know contents, memory or the cache. Who leads has to read everything at once, whatever its socket takes, so that
//! nobody waits for a slow reader. Limit: so many followers in all, those included that have ended meanwhile; who comes
//! later reads for itself.

use std::collections::HashMap;

use hioload_base::Key;

use crate::hash::Hash;

#[derive(Debug)]
pub(super) struct Flights {
    followers: HashMap<Hash, Vec<Key>>,
    count: usize,
    count_max: usize,
}

impl Flights {
    pub(super) fn new(count_max: usize) -> Flights {
        Flights {
            followers: HashMap::new(),
            count: 0,
            count_max,
        }
    }

    /// Somebody reads all of it now. False when somebody else does already.
    pub(super) fn lead(&mut self, hash: &Hash) -> bool {
        if self.followers.contains_key(hash) {
            return false;
        }
        self.followers.insert(*hash, Vec::new());
        true
    }

    /// `key` waits for who reads it. False when nobody does, or too many wait.
    pub(super) fn follow(&mut self, hash: &Hash, key: Key) -> bool {
        if self.count == self.count_max {
            return false;
        }
        let Some(followers) = self.followers.get_mut(hash) else {
            return false;
        };
        followers.push(key);
        self.count += 1;
        true
    }

    /// Nobody reads it any more. Returns who waited.
    pub(super) fn land(&mut self, hash: &Hash) -> Vec<Key> {
        let followers = self.followers.remove(hash).unwrap_or_default();
        self.count -= followers.len();
        followers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leads_and_a_bounded_number_follows() {
        let (a, b) = (Hash::of(b"a"), Hash::of(b"b"));
        let key = |n| Key::from_bits(n);
        let mut flights = Flights::new(3);
        assert!(!flights.follow(&a, key(1)), "nobody leads");
        assert!(flights.lead(&a) && flights.lead(&b));
        assert!(!flights.lead(&a), "one does");
        assert!(flights.follow(&a, key(1)) && flights.follow(&b, key(2)));
        assert!(flights.follow(&a, key(3)));
        assert!(!flights.follow(&b, key(4)), "too many");
        assert_eq!(flights.land(&a), [key(1), key(3)]);
        assert!(flights.land(&a).is_empty() && !flights.follow(&a, key(5)));
        assert!(flights.follow(&b, key(5)));
        assert_eq!(flights.land(&b), [key(2), key(5)]);
        assert!(flights.followers.is_empty() && flights.count == 0);
    }
}
