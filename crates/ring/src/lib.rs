//! Bounded queues between threads and the wake protocol around them.
//!
//! Must not know who uses it, what the messages mean, nor how a sleeping thread is woken: it only says
//! *that* somebody has to be.
//!
//! ```text
//!  worker 0 ──spsc──▶ ┌────────┐
//!  worker 1 ──spsc──▶ │ Port 2 │ ──pop──▶ worker 2        one queue for each ordered pair of workers:
//!  worker 2 ──spsc──▶ │        │                          no two threads ever push the same one
//!  others ────mpsc──▶ └────────┘
//!     └── WakeFlag: Sent { wake: true } to exactly one sender, and only when worker 2 sleeps
//! ```
//!
//! Rooms: [`mesh`], [`Port`] and [`Remote`] are the queues; [`WakeFlag`] is the protocol alone.
//!
//! The atomics of the protocol are checked by [loom](https://docs.rs/loom) in every interleaving, with
//! queues that order memory no more than the real ones do:
//! `RUSTFLAGS="--cfg loom" cargo test -p hioload-ring --release --lib`.
#![forbid(unsafe_code)]

mod mesh;
mod wake_flag;

#[cfg(not(loom))]
mod queue;
#[cfg(loom)]
#[path = "queue_model.rs"]
mod queue;

#[cfg(all(test, loom))]
mod loom_tests;

pub use mesh::{Port, Remote, Sent, mesh, mesh_size};
pub use wake_flag::WakeFlag;

/// The atomics in use: those of the machine, or those of the model checker.
mod atomic {
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{AtomicU8, Ordering, fence};
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::{AtomicU8, Ordering, fence};
}
