//! From a field to its place in a table: hashes, and an index of numbers by hash.
//!
//! Invariant: an entry that is indexed is found by stepping from the slot of its hash without meeting an
//! empty one. At most half of the slots are taken. Who chooses fields so that their hashes collide makes
//! a search as long as the table, at most [`ENTRIES_MAX`] steps.

use std::num::NonZeroU32;

use super::ENCODER_TABLE_SIZE_MAX;

/// Entries of a table at most: each counts for at least 32 bytes.
const ENTRIES_MAX: usize = ENCODER_TABLE_SIZE_MAX as usize / 32;
const SLOTS_LEN: usize = ENTRIES_MAX * 2;
const MASK: usize = SLOTS_LEN - 1;
const _: () = assert!(SLOTS_LEN.is_power_of_two());

/// A hash, of which the lowest bits are the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(NonZeroU32);

impl Hash {
    /// Of a name.
    pub(super) const fn of_name(name: &[u8]) -> Hash {
        hash(0x9e37_79b9_7f4a_7c15, name)
    }

    /// Of a field with this value and a name whose hash is `name`.
    pub(super) const fn of_field(name: Hash, value: &[u8]) -> Hash {
        hash(name.0.get() as u64, value)
    }

    /// One of `slots`, a power of two.
    pub(super) const fn slot(self, slots: usize) -> usize {
        self.0.get() as usize & (slots - 1)
    }

    const fn new(bits: u32) -> Hash {
        // One bit less is no loss: it makes an empty slot one whose hash is zero.
        match NonZeroU32::new(bits | 1 << 31) {
            Some(bits) => Hash(bits),
            None => unreachable!(),
        }
    }
}

const fn hash(seed: u64, bytes: &[u8]) -> Hash {
    let mut state = mix(seed, bytes.len() as u64);
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        state = mix(state, u64::from_le_bytes(*chunk));
        rest = behind;
    }
    let mut last = 0;
    if let Some((chunk, behind)) = rest.split_first_chunk::<4>() {
        last = u32::from_le_bytes(*chunk) as u64;
        rest = behind;
    }
    while let Some((&byte, behind)) = rest.split_first() {
        last = last << 8 | byte as u64;
        rest = behind;
    }
    Hash::new(mix(state, last) as u32)
}

/// Both halves of a product: each bit of either number has a say in every bit.
const fn mix(state: u64, word: u64) -> u64 {
    let product = ((state ^ word) as u128) * 0xa076_1d64_78bd_642f_u128;
    (product as u64) ^ ((product >> 64) as u64)
}

/// Numbers of entries by hash.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// None, or [`SLOTS_LEN`]: an encoder that indexes nothing takes no memory for it.
    slots: Vec<Option<Slot>>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: Hash,
    number: u32,
}

impl Index {
    /// The entry with this hash of which `is_it` holds.
    pub(super) fn find(&self, hash: Hash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = hash.slot(SLOTS_LEN);
        while let Some(slot) = self.slots.get(at).copied().flatten() {
            if slot.hash == hash && is_it(slot.number) {
                return Some(slot.number);
            }
            at = (at + 1) & MASK;
        }
        None
    }

    fn slot_of(&self, hash: Hash, number: u32) -> Option<usize> {
        let mut at = hash.slot(SLOTS_LEN);
        while let Some(slot) = self.slots.get(at).copied().flatten() {
            if slot.number == number {
                return Some(at);
            }
            at = (at + 1) & MASK;
        }
        None
    }

    /// Adds an entry, of which there are less than [`ENTRIES_MAX`].
    pub(super) fn insert(&mut self, hash: Hash, number: u32) {
        if self.slots.is_empty() {
            self.slots = vec![None; SLOTS_LEN];
        }
        let mut at = hash.slot(SLOTS_LEN);
        while self.slots[at].is_some() {
            at = (at + 1) & MASK;
        }
        self.slots[at] = Some(Slot { hash, number });
    }

    /// Lets one entry have the place of another one with the same hash.
    pub(super) fn replace(&mut self, hash: Hash, old: u32, new: u32) {
        if let Some(at) = self.slot_of(hash, old) {
            self.slots[at] = Some(Slot { hash, number: new });
        }
    }

    /// Removes an entry, if it is there.
    pub(super) fn remove(&mut self, hash: Hash, number: u32) {
        let Some(at) = self.slot_of(hash, number) else {
            return;
        };
        // Those behind move up, where that brings them no further than to their own slot.
        let (mut empty, mut next) = (at, (at + 1) & MASK);
        while let Some(slot) = self.slots[next] {
            let steps = next.wrapping_sub(slot.hash.slot(SLOTS_LEN)) & MASK;
            if steps >= next.wrapping_sub(empty) & MASK {
                self.slots[empty] = Some(slot);
                empty = next;
            }
            next = (next + 1) & MASK;
        }
        self.slots[empty] = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hashes_tell_lengths_and_zeros_apart() {
        let hashes = (0..40).map(|len| Hash::of_name(&vec![0; len]).0);
        let mut distinct: Vec<_> = hashes.collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 40);
        // Name and value are no text in one piece.
        let (ab, a) = (Hash::of_name(b"ab"), Hash::of_name(b"a"));
        assert_ne!(Hash::of_field(ab, b"c"), Hash::of_field(a, b"bc"));
    }

    /// Against a map, with so few hashes that most of them collide and some runs go round the end.
    fn model(steps: Vec<(bool, u32)>) {
        let mut index = Index::default();
        let mut model = BTreeMap::new();
        for (number, (is_insert, pick)) in steps.into_iter().enumerate() {
            let number = number as u32;
            if is_insert && model.len() < ENTRIES_MAX {
                // Runs begin at the last slots, and some hashes differ though their slots do not.
                let bits = (SLOTS_LEN as u32 - 4 + pick % 9) + (pick % 2) * SLOTS_LEN as u32;
                let hash = Hash::new(bits);
                index.insert(hash, number);
                model.insert(number, hash);
            } else if let Some((&number, &hash)) =
                model.iter().nth(pick as usize % model.len().max(1))
            {
                index.remove(hash, number);
                model.remove(&number);
                assert_eq!(index.find(hash, |found| found == number), None);
            }
            for (&number, &hash) in &model {
                assert_eq!(index.find(hash, |found| found == number), Some(number));
            }
            let taken = index.slots.iter().flatten().count();
            assert_eq!(taken, model.len());
        }
    }

    proptest! {
        #[test]
        fn finds_what_a_map_finds(steps in prop::collection::vec((prop::bool::weighted(0.6), 0..1000_u32), 1..400)) {
            model(steps);
        }
    }

    #[test]
    fn one_in_the_place_of_another() {
        let (mut index, seven) = (Index::default(), Hash::new(7));
        index.remove(seven, 0);
        assert_eq!(index.find(seven, |_| true), None);
        index.insert(seven, 1);
        index.replace(seven, 1, 2);
        assert_eq!(index.find(seven, |_| true), Some(2));
        // The older one goes, and the younger one stays.
        index.remove(seven, 1);
        assert_eq!(index.find(seven, |_| true), Some(2));
        index.remove(seven, 2);
        assert_eq!(index.find(seven, |_| true), None);
    }

    /// As many as there can be still leave empty slots, at which searches end.
    #[test]
    fn full_of_collisions() {
        let (mut index, five) = (Index::default(), Hash::new(5));
        for number in 0..ENTRIES_MAX as u32 {
            index.insert(five, number);
        }
        assert_eq!(index.find(five, |number| number == 127), Some(127));
        assert_eq!(index.find(five, |_| false), None);
    }
}
