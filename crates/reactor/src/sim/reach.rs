//! How workers of a simulation wake each other.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::driver::Reach;

/// A wake flag. The network finds the driver by the address of this value.
pub(super) struct SimReach {
    pub(super) woken: AtomicBool,
}

impl SimReach {
    pub(super) fn new() -> Self {
        Self {
            woken: AtomicBool::new(false),
        }
    }

    /// Acquire pairs with the release in `wake`.
    pub(super) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::Acquire)
    }
}

impl Reach for SimReach {
    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
    }
}
