//! The buddies of one macroblock in one cache line.
//!
//! A macroblock of 1 MiB is the root of a binary tree whose leaves are its 256 units of 4 KiB. The tree has 511 nodes, numbered
//! as in a heap, with one bit each. The bits of two buddies say together what they are:
//!
//! ```text
//!   node  1                  order 8: the macroblock             one of two set:  that buddy is free, as a whole
//!   node  2 3                order 7: 512 KiB                    both set:        their parent is allocated, as a whole
//!   node  4 5 6 7            order 6                             none set:        each is divided, or (units) allocated,
//!   …                                                                             or lies within something larger
//!   node  256 … 511          order 0: 4 KiB
//! ```
//!
//! Two free buddies are always merged, so that both bits set can mean something else. Must not know of other macroblocks.
//!
//! Invariant: below a node that is free, nothing is set; below one that is allocated, its two children and nothing else.
//! Source of the method: Knuth, "The Art of Computer Programming", volume 1, section 2.5.

use std::fmt;

/// Units in a macroblock.
pub(super) const UNIT_COUNT: u32 = 256;

/// The order of a whole macroblock.
pub(super) const ORDER_MAX: usize = 8;

/// The node that is the whole macroblock.
const ROOT: usize = 1;

/// The even one of each pair of buddies in a word.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// 511 bits. All zeros is a macroblock divided into allocated units.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Macroblock {
    words: [u64; 8],
}

/// How many blocks of each order there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) allocated: [u64; ORDER_MAX],
    pub(super) free: [u64; ORDER_MAX + 1],
}

/// The node of the block of `order` that begins at `unit`.
#[inline]
pub(super) fn node_of(unit: u32, order: usize) -> usize {
    (UNIT_COUNT + unit) as usize >> order
}

/// The first unit of a node of `order`.
#[inline]
pub(super) fn unit_of(node: usize, order: usize) -> u32 {
    (node << order) as u32 - UNIT_COUNT
}

impl Macroblock {
    /// One that is free as a whole.
    pub(super) const FREE: Macroblock = Macroblock {
        words: [1 << ROOT, 0, 0, 0, 0, 0, 0, 0],
    };

    #[inline]
    fn is_set(&self, node: usize) -> bool {
        self.words[node >> 6] >> (node & 63) & 1 == 1
    }

    #[inline]
    fn set(&mut self, node: usize) {
        self.words[node >> 6] |= 1 << (node & 63);
    }

    #[inline]
    fn clear(&mut self, node: usize) {
        self.words[node >> 6] &= !(1 << (node & 63));
    }

    /// Whether a node is free as a whole. Bit 0, the root's buddy, is never set.
    #[inline]
    pub(super) fn is_free(&self, node: usize) -> bool {
        self.is_set(node) && !self.is_set(node ^ 1)
    }

    /// Whether a node of `order` is allocated as a whole.
    #[inline]
    pub(super) fn is_allocated(&self, node: usize, order: usize) -> bool {
        if order > 0 {
            // Both children in one test: they are neighbours in one word.
            let children = node << 1;
            return self.words[children >> 6] >> (children & 63) & 3 == 3;
        }
        // A unit has no children to say so: it is allocated when nothing from it up to the root says something else.
        (0..=ORDER_MAX).all(|order| !self.is_set(node >> order))
    }

    /// The bits of nodes of `order` that are free, word by word from the lowest address.
    #[inline]
    fn free_words(&self, order: usize) -> impl Iterator<Item = (usize, u64)> {
        let (first, last, mask) = match order {
            0 => (4, 8, u64::MAX),
            1 => (2, 4, u64::MAX),
            2 => (1, 2, u64::MAX),
            // All larger orders share the first word, the root in bit 1.
            _ => {
                let begin = UNIT_COUNT as usize >> order;
                (0, 1, ((1 << begin) - 1) << begin)
            }
        };
        (first..last).map(move |index| {
            let word = self.words[index];
            let both = word & word >> 1 & EVEN;
            (index, word & !(both | both << 1) & mask)
        })
    }

    /// The free node of `order` with the lowest address.
    #[inline]
    pub(super) fn first_free(&self, order: usize) -> Option<usize> {
        let (index, word) = self.free_words(order).find(|(_, word)| *word != 0)?;
        Some(index << 6 | word.trailing_zeros() as usize)
    }

    /// The free node that `node` of `order` is, or lies in, and its order.
    pub(super) fn free_around(&self, node: usize, order: usize) -> Option<(usize, usize)> {
        let up = (order..=ORDER_MAX).map(|above| (node >> (above - order), above));
        up.into_iter().find(|(node, _)| self.is_free(*node))
    }

    /// Allocates `node` of `order`, which is, or lies in, the free node of order `from`. What is left of that is free.
    #[inline]
    pub(super) fn allocate(&mut self, node: usize, order: usize, from: usize) {
        debug_assert!(self.is_free(node >> (from - order)));
        self.clear(node >> (from - order));
        for divided in order..from {
            self.set(node >> (divided - order) ^ 1);
        }
        if order > 0 {
            self.set(node << 1);
            self.set(node << 1 | 1);
        }
    }

    /// Frees `node` of `order`, which is allocated, and merges it with its buddies as far as they are free. Returns the order
    /// of what is free now.
    #[inline]
    pub(super) fn free(&mut self, mut node: usize, mut order: usize) -> usize {
        debug_assert!(self.is_allocated(node, order));
        if order > 0 {
            self.clear(node << 1);
            self.clear(node << 1 | 1);
        }
        // The node's own bit is clear, so its buddy's bit alone says that the buddy is free.
        while node > ROOT && self.is_set(node ^ 1) {
            self.clear(node ^ 1);
            node >>= 1;
            order += 1;
        }
        self.set(node);
        order
    }

    /// Counts what there is, or says which rule is broken.
    pub(super) fn check(&self, counts: &mut Counts) -> Result<(), &'static str> {
        if self.is_set(0) {
            return Err("the bit that is no node is set");
        }
        self.check_node(ROOT, ORDER_MAX, counts)
    }

    fn check_node(
        &self,
        node: usize,
        order: usize,
        counts: &mut Counts,
    ) -> Result<(), &'static str> {
        if self.is_free(node) {
            counts.free[order] += 1;
            return self.check_below(node, order, "something is set below a free block");
        }
        if order == 0 {
            counts.allocated[0] += 1;
            return Ok(());
        }
        let children = node << 1;
        if !self.is_allocated(node, order) {
            self.check_node(children, order - 1, counts)?;
            return self.check_node(children + 1, order - 1, counts);
        }
        if order == ORDER_MAX {
            return Err("a whole macroblock is allocated, which no class is");
        }
        counts.allocated[order] += 1;
        self.check_below(
            children,
            order - 1,
            "something is set below an allocated block",
        )?;
        self.check_below(
            children + 1,
            order - 1,
            "something is set below an allocated block",
        )
    }

    fn check_below(
        &self,
        node: usize,
        order: usize,
        rule: &'static str,
    ) -> Result<(), &'static str> {
        let is_set = (1..=order).any(|depth| {
            let first = node << depth;
            (first..first + (1 << depth)).any(|node| self.is_set(node))
        });
        if is_set { Err(rule) } else { Ok(()) }
    }

    /// Turns one bit around, to see that [`Macroblock::check`] sees it.
    #[cfg(test)]
    pub(super) fn damage(&mut self, node: usize) {
        self.words[node >> 6] ^= 1 << (node & 63);
    }
}

impl fmt::Debug for Macroblock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x?}", self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(macroblock: &Macroblock) -> Result<Counts, &'static str> {
        let mut counts = Counts::default();
        macroblock.check(&mut counts).map(|()| counts)
    }

    #[test]
    fn is_one_cache_line() {
        assert_eq!(size_of::<Macroblock>(), 64);
        assert_eq!(align_of::<Macroblock>(), 64);
    }

    #[test]
    fn every_node_can_be_allocated_and_comes_back() {
        for order in 0..ORDER_MAX {
            for node in node_of(0, order)..node_of(0, order) * 2 {
                let mut macroblock = Macroblock::FREE;
                assert_eq!(macroblock.free_around(node, order), Some((ROOT, ORDER_MAX)));
                macroblock.allocate(node, order, ORDER_MAX);
                assert!(macroblock.is_allocated(node, order));
                assert_eq!(macroblock.free_around(node, order), None);
                let counts = check(&macroblock).expect("consistent");
                // What is left are the buddies on the way up, one of each order.
                assert_eq!(counts.allocated.iter().sum::<u64>(), 1);
                assert_eq!(counts.free.iter().sum::<u64>() as usize, ORDER_MAX - order);
                assert_eq!(unit_of(node, order) % (1 << order), 0);
                assert_eq!(node_of(unit_of(node, order), order), node);
                assert_eq!(macroblock.free(node, order), ORDER_MAX);
                assert_eq!(macroblock, Macroblock::FREE);
            }
        }
    }

    #[test]
    fn allocated_is_exact_about_the_order() {
        for order in 0..ORDER_MAX {
            let mut macroblock = Macroblock::FREE;
            let node = node_of(0, order);
            macroblock.allocate(node, order, ORDER_MAX);
            for other in 0..ORDER_MAX {
                for candidate in node_of(0, other)..node_of(0, other) * 2 {
                    let expected = (candidate, other) == (node, order);
                    assert_eq!(
                        macroblock.is_allocated(candidate, other),
                        expected,
                        "{order} {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_lowest_free_node_of_each_order_is_found() {
        let mut macroblock = Macroblock::FREE;
        assert_eq!(macroblock.first_free(ORDER_MAX), Some(ROOT));
        macroblock.allocate(node_of(0, 0), 0, ORDER_MAX);
        for order in 0..ORDER_MAX {
            assert_eq!(
                macroblock.first_free(order),
                Some(node_of(1 << order, order))
            );
        }
        assert_eq!(macroblock.first_free(ORDER_MAX), None);
        // An allocated buddy of the same order is not taken for a free one.
        macroblock.allocate(node_of(128, 7), 7, 7);
        assert_eq!(macroblock.first_free(6), Some(node_of(64, 6)));
        assert_eq!(macroblock.first_free(7), None);
    }

    #[test]
    fn a_flipped_bit_is_seen_or_is_another_legal_state() {
        let mut macroblock = Macroblock::FREE;
        macroblock.allocate(node_of(0, 3), 3, ORDER_MAX);
        macroblock.allocate(node_of(8, 0), 0, 3);
        macroblock.allocate(node_of(128, 7), 7, 7);
        let good = check(&macroblock).expect("consistent");
        for node in 0..512 {
            let mut damaged = macroblock;
            damaged.damage(node);
            assert_ne!(check(&damaged), Ok(good), "node {node}");
        }
    }
}
