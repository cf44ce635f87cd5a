//! The damaged blocks, for `GET /stats`.
//!
//! Must not know how damage is found. Limits: the length of the list; what is beyond it is counted.

use crate::block::Block;
use crate::fault::Damage;
use crate::hash::Hash;
use crate::stats::DamagedBlock;

#[derive(Debug)]
pub(super) struct DamageList {
    listed: Vec<DamagedBlock>,
    max: usize,
    /// Damaged blocks that found no place.
    beyond: u64,
}

impl DamageList {
    pub(super) fn new(max: usize) -> DamageList {
        DamageList {
            listed: Vec::new(),
            max,
            beyond: 0,
        }
    }

    /// A block was found damaged, or is on record as such. `is_new` when the record did not say so before.
    pub(super) fn add(
        &mut self,
        hash: &Hash,
        block: Block,
        damage: Option<Damage>,
        found_ms: u64,
        is_new: bool,
    ) {
        let entry = DamagedBlock {
            hash: *hash,
            offset: block.offset(),
            damage,
            found_ms,
        };
        if let Some(known) = self.listed.iter_mut().find(|listed| listed.hash == *hash) {
            *known = entry;
        } else if self.listed.len() < self.max {
            self.listed.push(entry);
        } else {
            self.beyond += u64::from(is_new);
        }
    }

    /// It was repaired, released, or found sound.
    pub(super) fn remove(&mut self, hash: &Hash) {
        match self.listed.iter().position(|listed| listed.hash == *hash) {
            Some(at) => {
                self.listed.swap_remove(at);
            }
            None => self.beyond = self.beyond.saturating_sub(1),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.listed.len() as u64 + self.beyond
    }

    pub(super) fn listed(&self) -> &[DamagedBlock] {
        &self.listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Class;

    #[test]
    fn each_block_is_listed_once_and_those_beyond_are_counted() {
        let block = Block::new(3, Class::MIN).expect("aligned");
        let hash = |n: u8| Hash::of(&[n]);
        let mut list = DamageList::new(2);
        for n in [1, 1, 2, 3] {
            list.add(&hash(n), block, None, 5, true);
        }
        assert_eq!((list.listed().len(), list.count()), (2, 3));
        list.add(&hash(1), block, Some(Damage::Hash), 6, false);
        assert_eq!(list.listed()[0].damage, Some(Damage::Hash));
        assert_eq!(list.listed()[0].offset, 3 * 4096);
        list.remove(&hash(1));
        assert_eq!((list.listed().len(), list.count()), (1, 2));
        list.remove(&hash(3));
        list.remove(&hash(2));
        assert_eq!(list.count(), 0);
    }
}
