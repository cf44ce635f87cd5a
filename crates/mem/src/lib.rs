//! Buffers, segments, size-class pools and the memory plan.
//!
//! ```text
//!   BufferPool::take ─▶ Buffer (unique, writable) ─▶ seal ─▶ Segment (shared, immutable) ─▶ home
//! ```
//!
//! Knows nobody who uses them. `unsafe` lives in `raw` alone.

#![deny(unsafe_code)]

mod numa;
mod pool;
#[expect(unsafe_code, reason = "the one module that handles raw memory")]
mod raw;
mod region;
mod segment;

pub use pool::{BufferPool, CLASS_SIZES, PoolConfig, PoolStats};
pub use raw::{Buffer, NoRoom, Segment};
pub use region::{Region, RegionConfig};
