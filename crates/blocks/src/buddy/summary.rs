//! A set of macroblocks that finds its smallest member in four steps, however many there are.
//!
//! ```text
//!   level 3  one word         a bit: this word of level 2 is not zero
//!   level 2  64 words
//!   level 1  4,096 words
//!   level 0  262,144 words    a bit: this macroblock is a member         2^24 macroblocks are 16 TiB
//! ```
//!
//! Must not know what membership means. Invariant: a bit above level 0 is set exactly when its word below is not zero.

/// Words of the set; a level that is not needed yet has one.
const LEVEL_COUNT: usize = 4;

/// Largest number of macroblocks.
pub(super) const COUNT_MAX: usize = 1 << (6 * LEVEL_COUNT);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    levels: [Vec<u64>; LEVEL_COUNT],
}

impl Summary {
    pub(super) fn new() -> Summary {
        Summary {
            levels: std::array::from_fn(|_| vec![0]),
        }
    }

    /// Makes room for members below `count`.
    pub(super) fn grow(&mut self, count: usize) {
        debug_assert!(count <= COUNT_MAX);
        let mut count = count;
        for level in &mut self.levels {
            count = count.div_ceil(64).max(1);
            if level.len() < count {
                level.reserve_exact(count - level.len());
                level.resize(count, 0);
            }
        }
    }

    #[inline]
    pub(super) fn insert(&mut self, mut member: usize) {
        for level in &mut self.levels {
            let word = &mut level[member >> 6];
            let was_zero = *word == 0;
            *word |= 1 << (member & 63);
            if !was_zero {
                return;
            }
            member >>= 6;
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, mut member: usize) {
        for level in &mut self.levels {
            let word = &mut level[member >> 6];
            *word &= !(1 << (member & 63));
            if *word != 0 {
                return;
            }
            member >>= 6;
        }
    }

    #[inline]
    pub(super) fn contains(&self, member: usize) -> bool {
        self.levels[0][member >> 6] >> (member & 63) & 1 == 1
    }

    /// The smallest member.
    #[inline]
    pub(super) fn first(&self) -> Option<usize> {
        if self.levels[LEVEL_COUNT - 1][0] == 0 {
            return None;
        }
        let descend =
            |index: usize, level: &Vec<u64>| index << 6 | level[index].trailing_zeros() as usize;
        Some(self.levels.iter().rev().fold(0, descend))
    }

    /// Whether the levels agree.
    pub(super) fn is_consistent(&self) -> bool {
        self.levels.windows(2).all(|pair| {
            let (below, above) = (&pair[0], &pair[1]);
            let stated = |index: usize| above[index >> 6] >> (index & 63) & 1 == 1;
            let agree = below
                .iter()
                .enumerate()
                .all(|(index, word)| stated(index) == (*word != 0));
            let stated_count: u32 = above.iter().map(|word| word.count_ones()).sum();
            agree && stated_count as usize == below.iter().filter(|word| **word != 0).count()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hioload_base::Prng;

    use super::*;

    #[test]
    fn finds_what_a_tree_finds() {
        for count in [1, 63, 64, 65, 4096, 4097, 300_000] {
            let mut prng = Prng::new(count as u64);
            let (mut summary, mut model) = (Summary::new(), BTreeSet::new());
            summary.grow(count);
            assert_eq!(summary.first(), None);
            for _ in 0..2000 {
                let member = prng.below(count as u64) as usize;
                if prng.chance(1, 2) {
                    summary.insert(member);
                    model.insert(member);
                } else {
                    let member = model
                        .first()
                        .copied()
                        .filter(|_| prng.chance(1, 2))
                        .unwrap_or(member);
                    summary.remove(member);
                    model.remove(&member);
                }
                assert_eq!(summary.first(), model.first().copied());
                assert_eq!(summary.contains(member), model.contains(&member));
            }
            assert!(summary.is_consistent());
        }
    }

    #[test]
    fn growing_keeps_the_members() {
        let mut summary = Summary::new();
        summary.grow(1);
        summary.insert(0);
        for count in [64, 65, 5000, 300_000, COUNT_MAX] {
            summary.grow(count);
            summary.insert(count - 1);
            assert!(summary.is_consistent());
            assert_eq!(summary.first(), Some(0));
        }
        for member in [0, 63, 64, 4999, 299_999] {
            summary.remove(member);
        }
        assert_eq!(summary.first(), Some(COUNT_MAX - 1));
    }

    #[test]
    fn levels_that_disagree_are_seen() {
        let mut summary = Summary::new();
        summary.grow(5000);
        summary.insert(4999);
        summary.levels[1][1] = 0;
        assert!(!summary.is_consistent());
        let mut summary = Summary::new();
        summary.grow(5000);
        summary.levels[3][0] = 1;
        assert!(!summary.is_consistent());
    }
}
