//! Who published: travels beside each publication so that the sender's own worker can leave it out
//! of what the sender gets.
//!
//! ```text
//!  63      56 55    52 51              28 27                          0
//! ┌──────────┬────────┬──────────────────┬─────────────────────────────┐
//! │ worker   │ class  │ index + 1        │ generation, low 28 bits     │
//! └──────────┴────────┴──────────────────┴─────────────────────────────┘
//! ```
//!
//! The class is part of it because each class has a feed, and keys, of its own. A generation
//! comes round after 2^28 subscribers in one slot: far longer than a publication lives.

use crate::{Class, SubscriberKey};

/// The publisher of a publication, as a subscriber of the same channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Origin(u64);

const GENERATION_BITS: u32 = 28;
const INDEX_BITS: u32 = 24;

impl Origin {
    /// Published by somebody who does not subscribe here.
    pub const NONE: Origin = Origin(0);
    /// How many workers an origin can tell apart.
    pub(crate) const WORKER_COUNT_MAX: usize = 256;
    /// How many subscribers of one feed an origin can tell apart.
    pub(crate) const SUBSCRIBER_COUNT_MAX: usize = (1 << INDEX_BITS) - 1;

    /// The subscriber with `key` in the feed of `class` on `worker`.
    ///
    /// # Panics
    ///
    /// If `worker` is 256 or more.
    #[must_use]
    pub fn new(worker: usize, class: Class, key: SubscriberKey) -> Origin {
        assert!(
            worker < Origin::WORKER_COUNT_MAX,
            "worker {worker} does not fit an origin"
        );
        let index = u64::from(key.index()) + 1;
        let generation = u64::from(key.generation()) & ((1 << GENERATION_BITS) - 1);
        Origin(
            (worker as u64) << 56
                | u64::from(class.number()) << 52
                | (index & ((1 << INDEX_BITS) - 1)) << GENERATION_BITS
                | generation,
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
        let index = (self.0 >> GENERATION_BITS) & ((1 << INDEX_BITS) - 1);
        (self.0 >> 52 == home && index > 0).then(|| index as u32 - 1)
    }
}
