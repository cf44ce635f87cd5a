//! A slot number together with the generation of what lives there.
//!
//! Must not know what lives there. A key is plain data: it may cross threads, be kept after the
//! entry is gone, or travel as 64 bits through `user_data` of a kernel request.
//!
//! Invariant: a key handed out by a container has a generation other than zero, so that
//! [`Key::to_bits`] of a real key is never zero.

use std::fmt;

/// Names one entry of a [`Slab`](crate::Slab), and only while that entry lives.
///
/// ```
/// use hioload_base::{Key, Slab};
///
/// let mut slab = Slab::with_limit(1);
/// let old = slab.insert('a').expect("room for one");
/// slab.remove(old);
/// let new = slab.insert('b').expect("room for one");
/// assert_eq!(old.index(), new.index());
/// assert_eq!(slab.get(old), None, "a reused slot does not answer to the old key");
/// assert_eq!(Key::from_bits(new.to_bits()), new);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// A key of these parts. Nothing says that such an entry exists.
    #[inline]
    pub const fn new(index: u32, generation: u32) -> Key {
        Key { index, generation }
    }

    /// Slot number, dense from zero.
    #[inline]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How often the slot was given out, modulo 2³², never zero for a key of a container.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// Generation in the upper half, index in the lower.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The reverse of [`Key::to_bits`]; every value is taken, a foreign one merely finds nothing.
    #[inline]
    pub const fn from_bits(bits: u64) -> Key {
        Key {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.index, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_keep_both_parts_at_their_extremes() {
        for index in [0, 1, u32::MAX - 1, u32::MAX] {
            for generation in [0, 1, u32::MAX - 1, u32::MAX] {
                let key = Key::new(index, generation);
                let back = Key::from_bits(key.to_bits());
                assert_eq!((back.index(), back.generation()), (index, generation));
            }
        }
        assert_eq!(Key::new(7, 1).to_bits(), 1 << 32 | 7);
    }
}
