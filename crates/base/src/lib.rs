//! Ids, slab, units, time, timer wheel, batch and PRNG: plain values, no I/O, no clock.
//!
//! Time and randomness are arguments: [`Time`] comes from whoever runs the loop, [`Prng`] from a
//! seed. Every table has a limit and gives the value back when it is full.

#![forbid(unsafe_code)]

mod batch;
mod byte_size;
mod key;
mod limit;
mod prng;
mod slab;
mod time;
mod wheel;

pub use batch::Batch;
pub use byte_size::{BadSize, ByteSize};
pub use key::Key;
pub use limit::Limit;
pub use prng::Prng;
pub use slab::{Full, Slab};
pub use time::Time;
pub use wheel::{TimerKey, TimerWheel};
