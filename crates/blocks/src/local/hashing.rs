//! What is to be hashed: contents of PUTs and GETs, of several at the same time.
//!
//! ```text
//!   bytes of a body, a read ─▶ line of owners ─▶ up to four lanes ─▶ each owner is told how far its hash has got
//!                                                ▲ who has no more bytes makes room for the next
//! ```
//!
//! One content is hashed at half the speed of four ([`lanes`](crate::lanes)), so nothing is hashed when it comes: its owner
//! stands in line, once. When four have much to hash they are served at once, while it is in the nearer caches. At the end of
//! the turn everybody is served, but that the last few, if nothing else waits for their hashes, stay for the company that
//! the next turn may bring. No content goes out to a socket before it is hashed.
//!
//! Must not know what a PUT or a GET is. Invariant: the bytes of one content are hashed in order, for its hasher says where the
//! next one is. Limit: bytes in line are bytes of buffers that their owners count.

use std::collections::VecDeque;

use super::desk::Owner;
use crate::hash::Hasher;
use crate::lanes::LANES_MAX;

/// Bytes in line from which four lanes are served at once: about what stays in the second cache beside all else.
const FULL_SIZE: usize = 256 * 1024;

/// Bytes in line that are worth waiting a turn for company.
const WAIT_MIN: usize = 32 * 1024;

/// Who is to be hashed.
#[derive(Debug, Default)]
pub(super) struct Hashing {
    line: VecDeque<Owner>,
    /// About so many bytes are in line: what went meanwhile is counted until the line is empty.
    bytes: usize,
    /// Who stayed in line at the end of the last turn.
    stayed: Vec<Owner>,
    /// Owners in lanes, and their hashers beside.
    owners: Vec<Owner>,
    hashers: Vec<Hasher>,
}

/// Whose contents are hashed.
pub(super) trait Contents {
    /// The hasher of an owner that still wants one.
    fn hasher(&self, owner: Owner) -> Option<&Hasher>;

    /// The bytes that are there from `at` in its content on, up to the end of their buffer; none when all were hashed.
    fn bytes(&self, owner: Owner, at: u64) -> &[u8];

    /// So far it is hashed: all there is, or a part, and the owner stays in line.
    fn hashed(&mut self, owner: Owner, hasher: Hasher, is_all: bool);

    /// Nothing waits for its hash alone.
    fn may_wait(&self, owner: Owner) -> bool;
}

impl Hashing {
    /// An owner that is not in line has bytes to be hashed, or one that is has more.
    pub(super) fn add(&mut self, owner: Owner, is_in_line: &mut bool, size: usize) {
        self.bytes += size;
        if !std::mem::replace(is_in_line, true) {
            self.line.push_back(owner);
        }
    }

    /// There is much to do in all lanes.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FULL_SIZE && self.line.len() >= LANES_MAX
    }

    /// There is enough in line to let the medium begin before it is hashed.
    pub(super) fn is_long(&self) -> bool {
        self.bytes >= WAIT_MIN
    }

    /// The end of a turn: serves everybody, but for a few that may wait for the next one. True when there are any.
    pub(super) fn end_turn(&mut self, contents: &mut impl Contents) -> bool {
        self.run(contents, LANES_MAX);
        let may_stay = |owner: &Owner| contents.may_wait(*owner) && !self.stayed.contains(owner);
        let stay = self.is_long() && self.line.iter().all(may_stay);
        self.stayed.clear();
        if stay {
            self.stayed.extend(&self.line);
        } else {
            self.run(contents, 1);
        }
        !self.line.is_empty()
    }

    /// Serves who is in line, as long as there are enough of them for `lanes_min` lanes.
    pub(super) fn run(&mut self, contents: &mut impl Contents, lanes_min: usize) {
        loop {
            self.fill(contents);
            if self.owners.len() < lanes_min.max(1) {
                break;
            }
            self.step(contents);
            for n in (0..self.owners.len()).rev() {
                let at = self.hashers[n].length();
                if contents.bytes(self.owners[n], at).is_empty() {
                    let owner = self.owners.swap_remove(n);
                    contents.hashed(owner, self.hashers.swap_remove(n), true);
                }
            }
        }
        while let (Some(owner), Some(hasher)) = (self.owners.pop(), self.hashers.pop()) {
            contents.hashed(owner, hasher, false);
            self.line.push_front(owner);
        }
        if self.line.is_empty() {
            self.bytes = 0;
        }
    }

    /// Gives free lanes to the first in line. Some ended while they stood there.
    fn fill(&mut self, contents: &impl Contents) {
        while self.owners.len() < LANES_MAX
            && let Some(owner) = self.line.pop_front()
        {
            if let Some(hasher) = contents.hasher(owner) {
                self.owners.push(owner);
                self.hashers.push(hasher.clone());
            }
        }
    }

    /// Hashes on in all lanes, as far as the lane goes that has the fewest bytes in one buffer.
    fn step(&mut self, contents: &impl Contents) {
        let mut pieces = [&[][..]; LANES_MAX];
        let pieces = &mut pieces[..self.owners.len()];
        let mut size = 0;
        for (n, piece) in pieces.iter_mut().enumerate() {
            *piece = contents.bytes(self.owners[n], self.hashers[n].length());
            size += piece.len();
        }
        Hasher::update_all(&mut self.hashers, pieces);
        size -= pieces.iter().map(|piece| piece.len()).sum::<usize>();
        self.bytes = self.bytes.saturating_sub(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;
    use hioload_base::{Key, Prng, Slab};

    /// Contents in buffers of `piece` bytes, of which `come` are there.
    struct Fake {
        slots: Slab<One>,
        piece: u64,
    }

    struct One {
        content: Vec<u8>,
        come: u64,
        hasher: Option<Hasher>,
        is_in_line: bool,
        may_wait: bool,
    }

    impl Fake {
        fn new(piece: u64) -> Fake {
            Fake {
                slots: Slab::with_limit(100),
                piece,
            }
        }

        fn add(&mut self, content: Vec<u8>) -> Key {
            let one = One {
                content,
                come: 0,
                hasher: Some(Hasher::new()),
                is_in_line: false,
                may_wait: false,
            };
            self.slots.insert(one).expect("room")
        }

        fn comes(&mut self, hashing: &mut Hashing, key: Key, size: usize) {
            let one = self.slots.get_mut(key).expect("added");
            one.come += size as u64;
            hashing.add(Owner::Get(key), &mut one.is_in_line, size);
        }

        fn one(&self, owner: Owner) -> Option<&One> {
            let (Owner::Get(key) | Owner::Put(key)) = owner;
            self.slots.get(key)
        }

        fn hashed_of(&self, key: Key) -> u64 {
            let hasher = self
                .one(Owner::Get(key))
                .and_then(|one| one.hasher.as_ref());
            hasher.map_or(0, Hasher::length)
        }
    }

    impl Contents for Fake {
        fn hasher(&self, owner: Owner) -> Option<&Hasher> {
            self.one(owner)?.hasher.as_ref()
        }

        fn bytes(&self, owner: Owner, at: u64) -> &[u8] {
            let Some(one) = self.one(owner) else {
                return &[];
            };
            let end = ((at / self.piece + 1) * self.piece).min(one.come);
            &one.content[at as usize..end as usize]
        }

        fn hashed(&mut self, owner: Owner, hasher: Hasher, is_all: bool) {
            let (Owner::Get(key) | Owner::Put(key)) = owner;
            let one = self.slots.get_mut(key).expect("only who has a hasher");
            assert!(!is_all || hasher.length() == one.come);
            one.is_in_line = !is_all;
            one.hasher = Some(hasher);
        }

        fn may_wait(&self, owner: Owner) -> bool {
            self.one(owner).is_none_or(|one| one.may_wait)
        }
    }

    #[test]
    fn contents_that_come_in_any_order_have_their_hashes() {
        let mut prng = Prng::new(3);
        for round in 0..100 {
            let mut hashing = Hashing::default();
            let mut fake = Fake::new([64, 100, 4096][round % 3]);
            let mut keys = Vec::new();
            for _ in 0..1 + prng.below(12) {
                let mut content = vec![0; prng.below(10_000) as usize];
                prng.fill(&mut content);
                keys.push(fake.add(content));
            }
            for _ in 0..60 {
                let key = keys[prng.below(keys.len() as u64) as usize];
                if let Some(one) = fake.slots.get(key) {
                    let rest = one.content.len() as u64 - one.come;
                    let size = prng.below(rest + 1) as usize;
                    fake.comes(&mut hashing, key, size);
                }
                match prng.below(20) {
                    0 => drop(fake.slots.remove(key)),
                    1..=4 => hashing.run(&mut fake, 1 + prng.below(4) as usize),
                    _ => {}
                }
            }
            for key in &keys {
                if let Some(one) = fake.slots.get(*key) {
                    let rest = one.content.len() - one.come as usize;
                    fake.comes(&mut hashing, *key, rest);
                }
            }
            hashing.run(&mut fake, 1);
            assert_eq!((hashing.line.len(), hashing.bytes), (0, 0));
            for key in keys {
                if let Some(one) = fake.slots.remove(key) {
                    let hasher = one.hasher.expect("kept");
                    assert_eq!(hasher.finish(), Hash::of(&one.content), "round {round}");
                }
            }
        }
    }

    #[test]
    fn with_too_few_for_the_lanes_the_rest_waits_in_its_order() {
        let mut hashing = Hashing::default();
        let mut fake = Fake::new(1000);
        let sizes = [1000, 5000, 2000, 3000, 4000];
        let keys = sizes.map(|size| fake.add(vec![1; size]));
        for (key, size) in keys.into_iter().zip(sizes) {
            fake.comes(&mut hashing, key, size);
        }
        hashing.run(&mut fake, LANES_MAX);
        // The shortest made room for the last; when the next one ended, three were left.
        let hashed = keys.map(|key| fake.hashed_of(key));
        assert_eq!((hashed[0], hashed[2]), (1000, 2000));
        assert!(
            hashed[1] < 5000 && hashed[3] < 3000 && hashed[4] < 4000,
            "{hashed:?}"
        );
        assert!(
            hashed[1] >= 1900 && hashed[3] >= 1900 && hashed[4] >= 900,
            "{hashed:?}"
        );
        assert_eq!(hashing.line.len(), 3);
        assert_eq!(hashing.bytes, 15_000 - hashed.iter().sum::<u64>() as usize);
        hashing.run(&mut fake, 1);
        assert_eq!(keys.map(|key| fake.hashed_of(key) as usize), sizes);
        assert_eq!(hashing.bytes, 0);
    }

    #[test]
    fn few_wait_a_turn_for_company_unless_one_of_them_may_not() {
        // Whether the second may wait, bytes of each, and who is left at the end of the first turn.
        for (may_wait, size, left) in [
            (true, WAIT_MIN / 2, 2),
            (true, WAIT_MIN / 2 - 1, 0),
            (false, WAIT_MIN, 0),
        ] {
            let mut hashing = Hashing::default();
            let mut fake = Fake::new(1 << 20);
            let keys = [true, may_wait].map(|may_wait| {
                let key = fake.add(vec![5; 1 << 20]);
                fake.slots.get_mut(key).expect("added").may_wait = may_wait;
                key
            });
            for key in keys {
                fake.comes(&mut hashing, key, size);
            }
            assert_eq!(hashing.end_turn(&mut fake), left > 0);
            assert_eq!(hashing.line.len(), left, "{may_wait}, {size}");
            assert_eq!(fake.hashed_of(keys[0]) == 0, left > 0);
            // Nobody waits twice.
            assert!(!hashing.end_turn(&mut fake));
            assert_eq!(keys.map(|key| fake.hashed_of(key)), [size as u64; 2]);
            // What comes later waits again.
            fake.comes(&mut hashing, keys[0], WAIT_MIN);
            assert!(hashing.end_turn(&mut fake));
            let company = [(); LANES_MAX - 1].map(|()| fake.add(vec![6; 1 << 20]));
            for key in company {
                fake.comes(&mut hashing, key, WAIT_MIN);
            }
            assert!(!hashing.end_turn(&mut fake), "enough for all lanes");
        }
    }

    #[test]
    fn it_is_full_with_much_to_do_in_all_lanes() {
        for (count, size, is_full) in [
            (LANES_MAX, FULL_SIZE / LANES_MAX, true),
            (LANES_MAX, FULL_SIZE / LANES_MAX - 1, false),
            (LANES_MAX - 1, FULL_SIZE, false),
            (1, 2 * FULL_SIZE, false),
            (0, 0, false),
        ] {
            let mut hashing = Hashing::default();
            let mut fake = Fake::new(4096);
            for _ in 0..count {
                let key = fake.add(vec![0; size]);
                // Twice in line would be a lane too many.
                fake.comes(&mut hashing, key, 0);
                fake.comes(&mut hashing, key, size);
            }
            assert_eq!(hashing.is_full(), is_full, "{count} of {size}");
        }
    }
}
