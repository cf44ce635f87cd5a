//! A block of the data file: where it begins and how large it is.
//!
//! Must not know what is in it. Invariant: a block is aligned to its size and ends at most at unit 2^32 (16 TiB).

use std::fmt;

use crate::class::{Class, UNIT};

/// A piece of the data file, aligned to its size.
///
/// ```
/// use hioload_blocks::{Block, Class};
///
/// let class = Class::for_length(8192).expect("a length that fits");
/// let block = Block::new(6, class).expect("a multiple of two units");
/// assert_eq!((block.offset(), block.size()), (24576, 8192));
/// assert_eq!(Block::new(7, class), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    unit: u32,
    class: Class,
}

impl Block {
    /// The block of `class` that begins at `unit`; `None` when that is no multiple of the block's size.
    #[inline]
    pub const fn new(unit: u32, class: Class) -> Option<Block> {
        if unit & (class.units() - 1) == 0 {
            Some(Block { unit, class })
        } else {
            None
        }
    }

    /// Its first unit of 4 KiB.
    #[inline]
    pub const fn unit(self) -> u32 {
        self.unit
    }

    /// Its size class.
    #[inline]
    pub const fn class(self) -> Class {
        self.class
    }

    /// Where it begins in the data file, in bytes.
    #[inline]
    pub const fn offset(self) -> u64 {
        self.unit as u64 * UNIT
    }

    /// Its bytes.
    #[inline]
    pub const fn size(self) -> u32 {
        self.class.size()
    }

    /// Where it ends in the data file, in bytes.
    #[inline]
    pub const fn end(self) -> u64 {
        self.offset() + self.size() as u64
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.class, self.offset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small_and_aligned() {
        assert_eq!(size_of::<Block>(), 8);
        for class in Class::ALL {
            for unit in [0, 1, 2, 64, 127, 128, u32::MAX] {
                let block = Block::new(unit, class);
                assert_eq!(
                    block.is_some(),
                    unit % class.units() == 0,
                    "{unit}, {class}"
                );
                assert!(block.is_none_or(|block| block.offset() % u64::from(block.size()) == 0));
            }
        }
    }

    #[test]
    fn the_last_block_ends_at_16_tib() {
        for class in Class::ALL {
            let last = Block::new(u32::MAX - (class.units() - 1), class).expect("aligned");
            assert_eq!(last.end(), 1 << 44);
        }
    }
}
