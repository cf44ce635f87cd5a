//! Objects that are dear to make, kept for the next user.
//!
//! Must not know threads: one owner; who shares it wraps it in a lock. Limit: objects kept idle; one put back beyond that
//! is dropped and counted.

use std::fmt;

/// A pool of values of one type.
///
/// ```
/// use hioload_mem::ObjectPool;
///
/// let mut scratch = ObjectPool::new(2, || Vec::<u8>::with_capacity(4096), Vec::clear);
/// let mut vec = scratch.get();
/// vec.extend_from_slice(b"some work");
/// scratch.put(vec);
/// let again = scratch.get();
/// assert!(again.is_empty() && again.capacity() >= 4096);
/// ```
pub struct ObjectPool<T> {
    idle: Vec<T>,
    limit: usize,
    make: Box<dyn FnMut() -> T + Send>,
    reset: Box<dyn FnMut(&mut T) + Send>,
    stats: ObjectPoolStats,
}

/// Counts of an [`ObjectPool`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectPoolStats {
    /// Objects made because none was idle.
    pub made: u64,
    /// Objects given out again.
    pub reused: u64,
    /// Objects put back and dropped because the limit was reached.
    pub dropped: u64,
}

impl<T> ObjectPool<T> {
    /// A pool that keeps at most `limit` idle objects; 0 keeps none. `reset` readies an object for its next user when it
    /// is put back, so idle objects hold nothing of the last one.
    pub fn new(
        limit: usize,
        make: impl FnMut() -> T + Send + 'static,
        reset: impl FnMut(&mut T) + Send + 'static,
    ) -> ObjectPool<T> {
        ObjectPool {
            idle: Vec::new(),
            limit,
            make: Box::new(make),
            reset: Box::new(reset),
            stats: ObjectPoolStats::default(),
        }
    }

    /// An idle object, the one put back last; a new one if none is idle.
    pub fn get(&mut self) -> T {
        match self.idle.pop() {
            Some(object) => {
                self.stats.reused += 1;
                object
            }
            None => {
                self.stats.made += 1;
                (self.make)()
            }
        }
    }

    /// Resets an object and keeps it for the next user, or drops it if the limit is reached.
    pub fn put(&mut self, mut object: T) {
        if self.idle.len() == self.limit {
            self.stats.dropped += 1;
            return;
        }
        (self.reset)(&mut object);
        self.idle.push(object);
    }

    /// Objects idle now.
    pub fn idle_count(&self) -> usize {
        self.idle.len()
    }

    /// Objects kept idle at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Counts since the start.
    pub fn stats(&self) -> ObjectPoolStats {
        self.stats
    }
}

impl<T> fmt::Debug for ObjectPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectPool")
            .field("idle", &self.idle.len())
            .field("limit", &self.limit)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn pool(limit: usize) -> ObjectPool<Vec<u8>> {
        ObjectPool::new(limit, Vec::new, Vec::clear)
    }

    #[test]
    fn keeps_as_many_as_the_limit_says() {
        for limit in [0, 1, 3] {
            let mut pool = pool(limit);
            for count in 0..=limit + 1 {
                assert_eq!(pool.idle_count(), count.min(limit));
                pool.put(vec![1]);
            }
            assert_eq!(pool.idle_count(), limit);
            assert_eq!(pool.stats().dropped, 2);
            assert_eq!(pool.limit(), limit);
        }
    }

    #[test]
    fn resets_on_the_way_in_and_reuses_the_last() {
        let mut pool = pool(2);
        pool.put(Vec::with_capacity(8));
        pool.put(vec![7; 100]);
        assert!(
            pool.idle.iter().all(Vec::is_empty),
            "idle objects hold nothing"
        );
        assert!(pool.get().capacity() >= 100);
        assert!(pool.get().capacity() >= 8);
        assert_eq!(pool.get().capacity(), 0);
        assert_eq!(
            pool.stats(),
            ObjectPoolStats {
                made: 1,
                reused: 2,
                dropped: 0
            }
        );
    }
}
