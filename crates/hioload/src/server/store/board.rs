//! Figures of the store: written by the controller and each worker a few times a second, read by
//! whoever asks.

use std::sync::{Mutex, PoisonError, TryLockError};

use hioload_blocks::{ControllerStats, LocalStats};

/// The newest figures of all parts.
pub(crate) struct Board {
    controller: Mutex<ControllerStats>,
    workers: Box<[Mutex<LocalStats>]>,
}

impl Board {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            controller: Mutex::default(),
            workers: (0..workers).map(|_| Mutex::default()).collect(),
        }
    }

    /// Never waits: figures somebody is reading just now are written next time.
    pub(crate) fn set_worker(&self, index: usize, stats: impl FnOnce() -> LocalStats) {
        set(&self.workers[index], stats);
    }

    /// Never waits.
    pub(crate) fn set_controller(&self, stats: impl FnOnce() -> ControllerStats) {
        set(&self.controller, stats);
    }

    /// Never waits: nothing while they are being written.
    pub(crate) fn try_controller(&self) -> Option<ControllerStats> {
        self.controller.try_lock().ok().map(|stats| stats.clone())
    }

    pub(crate) fn controller(&self) -> ControllerStats {
        self.controller
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn workers(&self) -> Vec<LocalStats> {
        let read =
            |slot: &Mutex<LocalStats>| slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.workers.iter().map(read).collect()
    }
}

fn set<T>(slot: &Mutex<T>, value: impl FnOnce() -> T) {
    let mut place = match slot.try_lock() {
        Ok(place) => place,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    *place = value();
}
