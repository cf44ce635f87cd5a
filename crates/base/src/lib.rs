//! Plain values every other room is built from: ids with generations, slab, timer wheel, time,
//! batch, byte sizes, limits, pseudo-random numbers.
//!
//! This room knows nothing: no I/O, no threads, no clock, no randomness of its own. Time and
//! seeds come in as arguments, so that the same code runs in production and in simulation.
//!
//! | type | what it is |
//! |---|---|
//! | [`Time`] | a point on the process's monotonic clock, in nanoseconds |
//! | [`Key`] | a slot number and its generation: reuse of the slot is seen |
//! | [`Slab`] | paged storage by [`Key`]: entries never move, the limit is part of it |
//! | [`TimerWheel`] | timers with O(1) insert and cancel |
//! | [`Batch`] | a group of items of fixed capacity |
//! | [`Prng`] | reproducible pseudo-random numbers |
//! | [`ByteSize`] | `64KiB`, as people write it |
//! | [`Limit`] | one row of `docs/limits.md` |
//! | [`Full`] | what a bounded container answers: the item comes back |
#![forbid(unsafe_code)]

mod batch;
mod byte_size;
mod full;
mod key;
mod limit;
mod prng;
mod slab;
mod time;
mod timer_wheel;

pub use batch::Batch;
pub use byte_size::{ByteSize, ByteSizeError};
pub use full::Full;
pub use key::Key;
pub use limit::{Limit, LimitError};
pub use prng::Prng;
pub use slab::{Iter, IterMut, Slab};
pub use time::Time;
pub use timer_wheel::{TimerKey, TimerWheel};
