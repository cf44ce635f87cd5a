//! Encoding class: which of the encoded forms of a publication a subscriber takes.
//!
//! The room does not know what a class means. By convention of the server 0 is the plain frame;
//! others are made only while somebody subscribes to them (deflate by window bits, SSE, …).

/// One encoded form of the publications of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Class(u8);

impl Class {
    /// How many classes there can be.
    pub const COUNT_MAX: usize = 16;
    /// Class 0, the plain form.
    pub const PLAIN: Class = Class(0);

    /// The class with this number, if it is below [`Class::COUNT_MAX`].
    #[must_use]
    pub const fn new(number: u8) -> Option<Class> {
        if (number as usize) < Class::COUNT_MAX {
            Some(Class(number))
        } else {
            None
        }
    }

    /// Its number, below [`Class::COUNT_MAX`].
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A set of classes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Classes(u16);

impl Classes {
    /// No class.
    pub const NONE: Classes = Classes(0);
    /// The plain class alone.
    pub const PLAIN: Classes = Classes(1);

    /// This set and one class more.
    #[must_use]
    pub const fn with(self, class: Class) -> Classes {
        Classes(self.0 | 1 << class.0)
    }

    /// Whether the class is in the set.
    #[must_use]
    pub const fn contains(self, class: Class) -> bool {
        self.0 & (1 << class.0) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Class> {
        (0..Class::COUNT_MAX as u8)
            .map(Class)
            .filter(move |class| self.contains(*class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_numbers_end_at_the_limit() {
        assert_eq!(Class::new(0), Some(Class::PLAIN));
        assert_eq!(Class::new(1).map(Class::number), Some(1));
        assert_eq!(Class::new(15).map(Class::number), Some(15));
        assert_eq!(Class::new(16), None);
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let nine = Class::new(9).expect("below 16");
        let set = Classes::PLAIN.with(nine);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Class::PLAIN, nine]);
        assert!(!Classes::NONE.contains(Class::PLAIN));
    }
}
