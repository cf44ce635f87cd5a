//! Who published: travels beside each publication so that the sender's own worker can leave it out
//! of what the sender gets.
//!
//! ```text
//!  63      56 55    52 51              28 27                          0
//! ┌──────────┬────────┬──────────────────┬─────────────────────────────┐
//! │ worker   │ class  │ index + 1        │ tag                         │
//! └──────────┴────────┴──────────────────┴─────────────────────────────┘
//! ```
//!
//! The class is part of it because each class has a feed, and keys, of its own. The tag mixes the life
//! of the feed and the generation of the key: who comes later to the same slot is somebody else, also when the
//! feed has been made anew. Two who share a slot share a tag once in 2^28.

use crate::{Class, SubscriberKey};

/// The publisher of a publication, as a subscriber of the same channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Origin(u64);

const TAG_BITS: u32 = 28;
const INDEX_BITS: u32 = 24;

impl Origin {
    /// Published by somebody who does not subscribe here.
    pub const NONE: Origin = Origin(0);
    /// How many workers an origin can tell apart.
    pub(crate) const WORKER_COUNT_MAX: usize = 256;
    /// How many subscribers of one feed an origin can tell apart.
    pub(crate) const SUBSCRIBER_COUNT_MAX: usize = (1 << INDEX_BITS) - 1;

    /// The subscriber with `key` in the feed with this `life` of `class` on `worker`.
    pub(crate) fn new(worker: usize, class: Class, life: u64, key: SubscriberKey) -> Origin {
        let index = u64::from(key.index()) + 1;
        let mixed = (life ^ u64::from(key.generation()) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Origin(
            (worker as u64) << 56
                | u64::from(class.number()) << 52
                | index << TAG_BITS
                | mixed >> (64 - TAG_BITS),
        )
    }

    /// As it stands in a record or a message.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Back from a record or a message.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Origin {
        Origin(bits)
    }

    /// The slot of the subscriber, if it belongs to the feed of `class` on `worker`.
    pub(crate) fn slot_in(self, worker: usize, class: Class) -> Option<u32> {
        let home = (worker as u64) << 4 | u64::from(class.number());
        let index = (self.0 >> TAG_BITS) & ((1 << INDEX_BITS) - 1);
        (self.0 >> 52 == home && index > 0).then(|| index as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32, generation: u32) -> SubscriberKey {
        SubscriberKey::from_bits(hioload_base::Key::new(index, generation).to_bits())
    }

    #[test]
    fn an_origin_belongs_to_one_feed_and_slot() {
        let nine = Class::new(9).expect("below 16");
        let last = Origin::SUBSCRIBER_COUNT_MAX as u32 - 1;
        for index in [0, 1, last] {
            let origin = Origin::new(255, nine, 1, key(index, 1));
            assert_eq!(origin.slot_in(255, nine), Some(index));
            assert_eq!(origin.slot_in(254, nine), None);
            assert_eq!(origin.slot_in(255, Class::PLAIN), None);
            assert_eq!(Origin::from_bits(origin.to_bits()), origin);
        }
        assert_eq!(Origin::NONE.slot_in(0, Class::PLAIN), None);
    }

    #[test]
    fn later_users_of_a_slot_are_somebody_else() {
        let origin = |life, generation| Origin::new(0, Class::PLAIN, life, key(0, generation));
        assert_ne!(origin(1, 1), origin(1, 2));
        assert_ne!(origin(1, 1), origin(2, 1));
        assert_ne!(origin(0, 0), Origin::NONE);
    }
}
