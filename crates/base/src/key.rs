//! A slot and its generation: a name that goes stale when its slot is used again.

/// Names one life of one slot.
///
/// ```
/// use hioload_base::Key;
///
/// let key = Key::new(7, 3);
/// assert_eq!((key.index(), key.generation()), (7, 3));
/// assert_eq!(Key::from_bits(key.to_bits()), key);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// A key of slot `index` in its life `generation`.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The slot.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Which life of the slot.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// Both in one word: generation above, slot below.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The inverse of [`Key::to_bits`].
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}
