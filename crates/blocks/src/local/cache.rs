//! Verified contents of small blocks that are asked for again and again.
//!
//! ```text
//!   hash ─▶ place ─▶ [ content, was it asked for? ] …        the hand goes round: asked for? once more. If not: out
//! ```
//!
//! CLOCK: an answer sets one bit, nothing is moved. Must not know the index: whoever asks has looked there first, so that a
//! deleted block is never served from here. A content is named by its hash, so an entry is never out of date.
//!
//! A long content takes the place of many: it is kept when it is asked for a second time among the last
//! [`ASKED_MAX`] long ones, so that a walk over all blocks leaves the cache as it is.
//!
//! Limits: the bytes of all contents, and of one. Memory is the cache's own: an entry holds no buffer of a pool. A content that
//! is being sent cannot make room, for its memory would stay until a slow reader has it all: what cannot be freed counts, and
//! while there is nothing else, nothing more is kept.

use std::collections::HashMap;

use hioload_mem::Segment;

use crate::hash::Hash;

/// Bytes an entry costs beside its content: hash twice, place, header of the segment.
const OVERHEAD: usize = 160;

/// Long contents of which it is known that they were asked for.
const ASKED_MAX: usize = 256;

/// Entries the hand passes at most to make room for one content. If they are all needed there is none, and it is further next time.
const STEPS_MAX: usize = 1024;

#[derive(Debug)]
struct Entry {
    hash: Hash,
    content: Segment,
    was_hit: bool,
}

#[derive(Debug)]
pub(super) struct Cache {
    /// Where the entry of a hash is. One that was removed while it was lent is an entry still, and has no place here.
    places: HashMap<Hash, usize>,
    entries: Vec<Entry>,
    hand: usize,
    /// Long contents asked for lately, and where the next one is noted.
    asked: Vec<Hash>,
    asked_next: usize,
    /// Of all entries, and of what is reserved.
    bytes: usize,
    bytes_max: usize,
    content_max: usize,
    evictions: u64,
}

impl Cache {
    /// At most `bytes_max` in all, contents of at most `content_max`.
    pub(super) fn new(bytes_max: usize, content_max: usize) -> Cache {
        Cache {
            places: HashMap::new(),
            entries: Vec::new(),
            hand: 0,
            asked: Vec::new(),
            asked_next: 0,
            bytes: 0,
            bytes_max,
            content_max,
            evictions: 0,
        }
    }

    /// Whether a content of so many bytes may be kept.
    pub(super) fn takes(&self, length: usize) -> bool {
        length <= self.content_max && length + OVERHEAD <= self.bytes_max
    }

    pub(super) fn get(&mut self, hash: &Hash) -> Option<Segment> {
        let entry = &mut self.entries[*self.places.get(hash)?];
        entry.was_hit = true;
        Some(entry.content.clone())
    }

    /// Whether a long content that was asked for just now is worth keeping.
    pub(super) fn admits(&mut self, hash: &Hash, length: usize) -> bool {
        if !self.takes(length) {
            return false;
        }
        if self.asked.contains(hash) {
            return true;
        }
        if self.asked.len() < ASKED_MAX {
            self.asked.push(*hash);
        } else {
            self.asked[self.asked_next] = *hash;
            self.asked_next = (self.asked_next + 1) % ASKED_MAX;
        }
        false
    }

    /// Makes room for a content that is not there yet, if it may be kept and others can be let go for it. [`Cache::insert`] or
    /// [`Cache::give_back`] follows.
    pub(super) fn reserve(&mut self, hash: &Hash, length: usize) -> bool {
        if !self.takes(length) || self.places.contains_key(hash) {
            return false;
        }
        let cost = length + OVERHEAD;
        for _ in 0..STEPS_MAX {
            if self.bytes + cost <= self.bytes_max {
                self.bytes += cost;
                return true;
            }
            if self.entries.is_empty() {
                break;
            }
            self.step();
        }
        false
    }

    /// What was reserved is not needed.
    pub(super) fn give_back(&mut self, length: usize) {
        self.bytes -= length + OVERHEAD;
    }

    /// Keeps a verified content for which there is room reserved. Its memory has to be its own, not a buffer's that others
    /// wait for.
    pub(super) fn insert(&mut self, hash: &Hash, content: Segment) {
        if self.places.contains_key(hash) {
            return self.give_back(content.len());
        }
        self.places.insert(*hash, self.entries.len());
        self.entries.push(Entry {
            hash: *hash,
            content,
            was_hit: false,
        });
    }

    pub(super) fn remove(&mut self, hash: &Hash) {
        if let Some(place) = self.places.remove(hash) {
            let entry = &mut self.entries[place];
            entry.was_hit = false;
            if !entry.content.is_shared() {
                self.remove_at(place);
            }
        }
    }

    /// Bytes kept, and contents.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.bytes, self.entries.len())
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// The hand passes an entry, and takes it out if it was not asked for since the hand was there, and is not lent.
    fn step(&mut self) {
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        let entry = &mut self.entries[self.hand];
        if std::mem::take(&mut entry.was_hit) || entry.content.is_shared() {
            self.hand += 1;
        } else {
            self.remove_at(self.hand);
            self.evictions += 1;
        }
    }

    fn remove_at(&mut self, place: usize) {
        let entry = self.entries.swap_remove(place);
        self.bytes -= entry.content.len() + OVERHEAD;
        if self.places.get(&entry.hash) == Some(&place) {
            self.places.remove(&entry.hash);
        }
        let last = self.entries.len();
        if let Some(moved) = self.entries.get(place)
            && let Some(known) = self.places.get_mut(&moved.hash)
            && *known == last
        {
            *known = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_base::Prng;

    fn keep(cache: &mut Cache, hash: &Hash, content: &[u8]) {
        if cache.reserve(hash, content.len()) {
            cache.insert(hash, Segment::copy_from(content));
        }
    }

    fn content(n: u8) -> (Hash, Vec<u8>) {
        let content = vec![n; 1000 - OVERHEAD];
        (Hash::of(&content), content)
    }

    #[test]
    fn what_is_asked_for_stays() {
        let mut cache = Cache::new(3000, 1000);
        let contents: Vec<_> = (0..5).map(content).collect();
        for (hash, content) in &contents[..3] {
            keep(&mut cache, hash, content);
        }
        assert!(cache.get(&contents[0].0).is_some());
        keep(&mut cache, &contents[3].0, &contents[3].1);
        keep(&mut cache, &contents[4].0, &contents[4].1);
        assert!(cache.get(&contents[0].0).is_some(), "asked for");
        assert_eq!(cache.get(&contents[1].0), None);
        assert_eq!(cache.size(), (3000, 3));
        assert_eq!(cache.evictions(), 2);
    }

    #[test]
    fn what_is_lent_counts_until_it_is_back() {
        let mut cache = Cache::new(2000, 1000);
        let contents: Vec<_> = (0..4).map(content).collect();
        for (hash, content) in &contents[..2] {
            keep(&mut cache, hash, content);
        }
        let mut lent: Vec<_> = contents[..2]
            .iter()
            .map(|(hash, _)| cache.get(hash))
            .collect();
        cache.remove(&contents[1].0);
        assert_eq!(cache.get(&contents[1].0), None, "removed");
        assert_eq!(cache.size().0, 2000, "and its memory is in use");
        assert!(!cache.reserve(&contents[2].0, 840), "all is lent");
        lent.pop();
        keep(&mut cache, &contents[2].0, &contents[2].1);
        assert!(cache.get(&contents[2].0).is_some());
        assert!(cache.get(&contents[0].0).is_some(), "lent, and stays");
        // What is reserved counts as well, and can be given back.
        lent.clear();
        assert!(cache.reserve(&contents[3].0, 840));
        assert!(!cache.reserve(&contents[1].0, 841), "one can go");
        cache.give_back(840);
        assert!(cache.reserve(&contents[1].0, 840));
        cache.insert(&contents[1].0, Segment::copy_from(&contents[1].1));
        assert!(cache.size().0 <= 2000);
    }

    #[test]
    fn the_hand_passes_no_more_than_so_many_for_one() {
        let count = 3 * STEPS_MAX;
        let mut cache = Cache::new(count * (OVERHEAD + 8), 1000);
        let hashes: Vec<Hash> = (0..count).map(|n| Hash::of(&n.to_le_bytes())).collect();
        for hash in &hashes {
            keep(&mut cache, hash, &[1; 8]);
            assert!(cache.get(hash).is_some());
        }
        let one_more = Hash::of(b"one more");
        for _ in 0..3 {
            assert!(!cache.reserve(&one_more, 8), "all were asked for");
        }
        assert!(cache.reserve(&one_more, 8), "not since");
        assert_eq!(cache.evictions(), 1);
    }

    #[test]
    fn limits_of_all_and_of_one() {
        for (bytes_max, content_max, length, is_kept) in [
            (0, 1000, 0, false),
            (OVERHEAD, 1000, 0, true),
            (OVERHEAD + 9, 1000, 10, false),
            (OVERHEAD + 10, 1000, 10, true),
            (5000, 10, 10, true),
            (5000, 10, 11, false),
        ] {
            let mut cache = Cache::new(bytes_max, content_max);
            let content = vec![1; length];
            keep(&mut cache, &Hash::of(&content), &content);
            assert_eq!(
                cache.get(&Hash::of(&content)).is_some(),
                is_kept,
                "{bytes_max} {length}"
            );
        }
    }

    #[test]
    fn agrees_with_a_map_and_stays_within_its_bytes() {
        let mut prng = Prng::new(7);
        let mut cache = Cache::new(20_000, 4000);
        let contents: Vec<(Hash, Vec<u8>)> = (0..100u8)
            .map(|n| {
                let content = vec![n; prng.below(4500) as usize];
                (Hash::of(&content), content)
            })
            .collect();
        let mut lent: Vec<Segment> = Vec::new();
        for _ in 0..20_000 {
            let (hash, content) = &contents[prng.below(100) as usize];
            match prng.below(4) {
                0 => keep(&mut cache, hash, content),
                1 => cache.remove(hash),
                2 => lent.extend(cache.get(hash)),
                _ => assert!(cache.get(hash).is_none_or(|found| found == content[..])),
            }
            if lent.len() > 3 {
                lent.remove(prng.below(4) as usize);
            }
            let (bytes, count) = cache.size();
            assert!(bytes <= 20_000);
            assert_eq!(cache.entries.len(), count);
            // Those that were removed while they were lent, and are not yet back, have no place.
            assert!(cache.places.len() <= count && count <= cache.places.len() + 25);
            assert!(
                cache
                    .places
                    .iter()
                    .all(|(hash, at)| cache.entries[*at].hash == *hash)
            );
            let sum: usize = cache
                .entries
                .iter()
                .map(|entry| entry.content.len() + OVERHEAD)
                .sum();
            assert_eq!(sum, bytes);
        }
        assert!(cache.evictions() > 100);
    }

    #[test]
    fn a_long_content_is_admitted_when_it_is_asked_for_again() {
        let mut cache = Cache::new(1 << 20, 1 << 19);
        let hash = |n: usize| Hash::of(&n.to_le_bytes());
        assert!(!cache.admits(&hash(0), 1 << 19), "the first time");
        assert!(cache.admits(&hash(0), 1 << 19), "the second");
        assert!(
            !cache.admits(&hash(0), (1 << 19) + 1),
            "longer than it takes"
        );
        for n in 1..ASKED_MAX {
            assert!(!cache.admits(&hash(n), 100_000));
        }
        assert!(cache.admits(&hash(0), 100_000), "one of the last");
        assert!(!cache.admits(&hash(ASKED_MAX), 100_000));
        assert!(!cache.admits(&hash(0), 100_000), "forgotten by now");
    }
}
