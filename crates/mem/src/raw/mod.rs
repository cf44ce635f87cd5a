//! The unsafe core: chunk headers, reference counts, the return stack, mapped regions.
//!
//! ```text
//!  Owner (thread of the pool)                          any thread
//!  ├─ Slab: Region + headers[] ── take ──▶ Writer ── split ──▶ View ── clone / drop
//!  └─ pending ◀── swap(head) ── Home { head } ◀── CAS push ── last reference
//! ```
//!
//! What the types guarantee, whatever safe code does with them:
//!
//! - `Writer` is the only handle that can write, and only to bytes no `View` covers (`end..capacity` after a split).
//! - A `Unique` covers bytes that no other handle covers; it may write them until it is sealed.
//! - A `View` covers bytes that are never written again; a view of length zero holds no chunk.
//! - A chunk is free, out (counted in `Slab::out`), on the return stack, or in the hands of the owner as `Returned`;
//!   never two of these at once.
//! - Mapping and headers live until every chunk is back: a `Slab` dropped too early leaks, it never dangles.
//!
//! Must not know size classes, budgets or policies: those are the pool's, in safe code.

mod header;
mod home;
pub(crate) mod region;
mod slab;
mod unique;
mod view;
mod writer;

pub(crate) use home::{Owner, Returned};
pub(crate) use slab::Slab;
pub(crate) use unique::Unique;
pub(crate) use view::{ForeignBytes, View};
pub(crate) use writer::Writer;

/// Atomics and cells: loom's under `--cfg loom`, otherwise the standard library's.
mod sync {
    #[cfg(loom)]
    pub(super) use loom::cell::UnsafeCell;
    #[cfg(loom)]
    pub(super) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};
    #[cfg(not(loom))]
    pub(super) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};

    /// The standard cell with the interface of loom's.
    #[cfg(not(loom))]
    pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        pub(super) fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        pub(super) fn with_mut<R>(&self, work: impl FnOnce(*mut T) -> R) -> R {
            work(self.0.get())
        }
    }
}
