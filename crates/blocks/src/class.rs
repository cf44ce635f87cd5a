//! Size classes: a block has 4 KiB, or twice that, and so on up to 512 KiB.
//!
//! Must not know where blocks lie. A class is the order of the buddy allocator.

use std::fmt;

/// Bytes of the smallest block, and the alignment of every block: one unit of the data file.
pub const UNIT: u64 = 4096;

/// Bytes of the largest block and of the longest content.
pub const BLOCK_SIZE_MAX: u32 = 512 * 1024;

/// The size of a block: 4 KiB << class.
///
/// ```
/// use hioload_blocks::Class;
///
/// let class = Class::for_length(5000).expect("a length that fits");
/// assert_eq!(class.size(), 8192);
/// assert_eq!(Class::for_length(0), None);
/// assert_eq!(Class::for_length(512 * 1024 + 1), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u8);

impl Class {
    /// Number of classes.
    pub const COUNT: usize = 8;

    /// Every class, smallest first.
    pub const ALL: [Class; Class::COUNT] = [
        Class(0),
        Class(1),
        Class(2),
        Class(3),
        Class(4),
        Class(5),
        Class(6),
        Class(7),
    ];

    /// The smallest class: 4 KiB.
    pub const MIN: Class = Class(0);

    /// The largest class: 512 KiB.
    pub const MAX: Class = Class(7);

    /// The class with this number, from 0 to 7.
    pub const fn new(index: u8) -> Option<Class> {
        if index <= Class::MAX.0 {
            Some(Class(index))
        } else {
            None
        }
    }

    /// The smallest class that holds `length` bytes. `None` for nothing, and for more than [`BLOCK_SIZE_MAX`].
    pub const fn for_length(length: u32) -> Option<Class> {
        if length == 0 || length > BLOCK_SIZE_MAX {
            return None;
        }
        let units = length.div_ceil(UNIT as u32);
        Some(Class(units.next_power_of_two().trailing_zeros() as u8))
    }

    /// Its number, from 0 to 7.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of a block.
    #[inline]
    pub const fn size(self) -> u32 {
        (UNIT as u32) << self.0
    }

    /// Units of a block.
    #[inline]
    pub const fn units(self) -> u32 {
        1 << self.0
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB", self.size() / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_in_order_and_double() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
            assert_eq!(class.size(), 4096 << index);
            assert_eq!(u64::from(class.units()) * UNIT, u64::from(class.size()));
            assert_eq!(Class::new(index as u8), Some(class));
        }
        assert_eq!(Class::MAX.size(), BLOCK_SIZE_MAX);
        assert_eq!(Class::new(8), None);
        assert_eq!(Class::new(u8::MAX), None);
    }

    #[test]
    fn a_length_gets_the_smallest_class_that_holds_it() {
        for class in Class::ALL {
            let size = class.size();
            let below = if class == Class::MIN { 1 } else { size / 2 + 1 };
            assert_eq!(Class::for_length(below), Some(class));
            assert_eq!(Class::for_length(size), Some(class));
        }
        assert_eq!(Class::for_length(0), None);
        assert_eq!(Class::for_length(BLOCK_SIZE_MAX + 1), None);
        assert_eq!(Class::for_length(u32::MAX), None);
    }
}
