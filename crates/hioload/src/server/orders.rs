//! What other threads order a worker to do: take new settings, shut down.
//!
//! Not a queue, so never full: a newer order takes the place of an older one that was not obeyed yet. Whoever gives one
//! wakes the worker; the worker looks once a turn, and takes the lock only when there is something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::settings::Settings;

/// What a worker has been told and has not done yet.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// New settings, all at once.
    pub(super) settings: Option<Arc<Settings>>,
    /// Close all sessions within this time, so many a second, then stop.
    pub(super) shutdown: Option<(Duration, u32)>,
}

/// Where one worker is told.
#[derive(Debug, Default)]
pub(super) struct Orders {
    is_waiting: AtomicBool,
    order: Mutex<Order>,
}

impl Orders {
    /// Adds to what waits; the worker has to be woken after that.
    pub(super) fn give(&self, add: impl FnOnce(&mut Order)) {
        let mut order = self.lock();
        add(&mut order);
        // Pairs with the acquire in `take`.
        self.is_waiting.store(true, Ordering::Release);
    }

    /// What waits, if anything does.
    #[inline]
    pub(super) fn take(&self) -> Option<Order> {
        // Pairs with the release in `give`.
        if !self.is_waiting.load(Ordering::Acquire) {
            return None;
        }
        let mut order = self.lock();
        // Relaxed: written under the lock only.
        self.is_waiting.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut *order))
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        // Nothing under it panics.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_each_waits_until_it_is_taken() {
        let orders = Orders::default();
        assert!(orders.take().is_none());
        for pace in 0..10_000 {
            orders.give(|order| order.shutdown = Some((Duration::ZERO, pace)));
        }
        orders.give(|order| order.settings = Some(Arc::default()));
        let order = orders.take().expect("two of them");
        assert_eq!(order.shutdown, Some((Duration::ZERO, 9_999)));
        assert!(order.settings.is_some());
        assert!(orders.take().is_none());
    }
}
