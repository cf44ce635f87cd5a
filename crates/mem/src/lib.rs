//! Buffers, segments, size-class pools and the memory plan.
//!
//! ```text
//!  Plan ── fits Machine? ──▶ BufferPool (one per worker, budget in bytes)
//!                              │ take(size)                    ▲ one CAS, from any thread
//!                              ▼                               │
//!                            Buffer ── seal / split_seal ──▶ Segment ── clone, slice, send ── last drop
//!                            unique, mutable                 shared, immutable, 16 bytes
//! ```
//!
//! A [`BufferPool`] carves [`Region`]s (mapped memory, on request huge pages and one NUMA node) into chunks of seven size
//! classes. A [`Buffer`] is one chunk with one owner; sealing turns what was written into a [`Segment`], which is shared,
//! sliced and sent between threads without a copy. The last reference gives the chunk back to its pool.
//!
//! Knows `hioload-base` only. Must not know who uses the memory, nor sockets, clocks or protocols.
//!
//! Invariants: the bytes mapped by a pool never exceed its budget; in steady state neither taking, sealing, cloning nor
//! dropping allocates; memory stays mapped while any segment of it lives, even after its pool is gone. All `unsafe` code
//! is in the module `raw`; everything above it relies on types whose misuse cannot break memory safety.

#![deny(unsafe_code)]

mod buffer;
mod byte_pool;
mod config;
mod machine;
mod numa;
mod object_pool;
mod piece;
mod plan;
mod pool;
#[expect(
    unsafe_code,
    reason = "the one module that owns chunks, counts and mappings"
)]
mod raw;
#[cfg(all(test, not(loom)))]
mod scratch;
mod segment;

pub use buffer::{Buffer, Full};
pub use byte_pool::BytePool;
pub use config::{CLASS_COUNT, CLASS_SIZES, LIMITS, PoolConfig, PoolError};
pub use machine::Machine;
pub use numa::{NumaPools, Topology};
pub use object_pool::{ObjectPool, ObjectPoolStats};
pub use piece::Piece;
pub use plan::{Plan, PlanError, PlanLine};
pub use pool::{BufferPool, ClassStats, PoolStats};
pub use raw::region::{Region, RegionConfig, RegionError};
pub use segment::{Segment, TooLong};
