//! Byte buffers of one size: one size class of a [`BufferPool`], for users that need no other.
//!
//! Must not know classes beyond its own size. Limit: the budget of the pool behind it.

use crate::buffer::Buffer;
use crate::pool::BufferPool;

/// Gives and takes buffers of one size. Shares the memory of the pool it was made from.
///
/// ```
/// use hioload_mem::{BufferPool, BytePool, PoolConfig};
///
/// let bytes = BytePool::new(BufferPool::new(PoolConfig::with_budget(1 << 20))?, 4096);
/// let buffer = bytes.get().expect("budget is free");
/// assert_eq!(buffer.capacity(), 4096);
/// bytes.put(buffer);
/// # Ok::<(), hioload_mem::PoolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BytePool {
    pool: BufferPool,
    size: usize,
}

impl BytePool {
    /// Buffers that hold at least `size` bytes, from `pool`.
    pub fn new(pool: BufferPool, size: usize) -> BytePool {
        BytePool { pool, size }
    }

    /// Bytes a buffer holds at least.
    pub fn size(&self) -> usize {
        self.size
    }

    /// An empty buffer; `None` when the budget is spent.
    #[inline]
    pub fn get(&self) -> Option<Buffer> {
        self.pool.take(self.size)
    }

    /// Gives a buffer back. Dropping it does the same, on any thread and for a buffer of any pool.
    #[inline]
    pub fn put(&self, buffer: Buffer) {
        drop(buffer);
    }
}
