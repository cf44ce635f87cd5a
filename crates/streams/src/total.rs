//! The bound on streams of all workers together: one counter, moved when a stream is born and when it ends.
//!
//! A counter and not a share for each worker: streams are never spread evenly, and a share refuses while
//! there is room elsewhere. It costs one atomic addition at each end of a stream's life, and no lock.
//!
//! Invariant: `used` never exceeds `max`, whatever the workers do at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Streams of all workers together, and how many there may be. Clones share it.
///
/// ```
/// use hioload_streams::Total;
///
/// let total = Total::new(1);
/// assert!(total.take());
/// assert!(!total.clone().take(), "a clone shares the bound");
/// total.give_back();
/// assert_eq!(total.used(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Total {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    used: AtomicU64,
    max: AtomicU64,
}

impl Total {
    /// Room for `max` streams.
    #[must_use]
    pub fn new(max: u64) -> Total {
        let (used, max) = (AtomicU64::new(0), AtomicU64::new(max));
        Total {
            inner: Arc::new(Inner { used, max }),
        }
    }

    /// Takes room for one; false when there is none.
    #[must_use]
    pub fn take(&self) -> bool {
        // Relaxed: the number itself is all that is shared; nothing is read because of it.
        let max = self.inner.max.load(Ordering::Relaxed);
        let before = self
            .inner
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < max).then_some(used + 1)
            });
        before.is_ok()
    }

    /// Gives back the room of one.
    pub fn give_back(&self) {
        let before = self.inner.used.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "invariant: room is given back once");
    }

    /// How many there are.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.inner.used.load(Ordering::Relaxed)
    }

    /// How many there may be from now on; those above it live on.
    pub fn set_max(&self, max: u64) {
        self.inner.max.store(max, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_its_bound() {
        for max in [0, 1, 5] {
            let total = Total::new(max);
            for _ in 0..max {
                assert!(total.take());
            }
            assert!(!total.take(), "{max}");
            assert_eq!(total.used(), max);
        }
    }

    #[test]
    fn threads_share_the_bound() {
        let total = Total::new(1000);
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..600).filter(|_| total.take()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum()
        });
        assert_eq!((taken, total.used()), (1000, 1000));
    }

    #[test]
    fn a_lower_bound_ends_nothing() {
        let total = Total::new(2);
        assert!(total.take() && total.take());
        total.set_max(1);
        total.give_back();
        assert!(!total.take());
        total.give_back();
        assert!(total.take());
    }
}
