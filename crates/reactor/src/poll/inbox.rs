//! Where other threads reach a poll driver: a wake flag, and a bounded inbox for handed-over
//! descriptors.

use std::sync::atomic::{AtomicBool, Ordering};

use super::selector::Bell;
use crate::driver::Reach;

/// Descriptors that may wait for the driver; a full inbox gives them back.
pub(super) const INBOX_MAX: usize = 1024;

/// Shared with every `Address` and `Waker`; outlives the driver.
pub(super) struct Inbox {
    bell: Bell,
    /// Set by `wake`, taken by the driver after each wait.
    woken: AtomicBool,
    #[cfg(unix)]
    arrivals: crossbeam_queue::ArrayQueue<(crate::id::ListenerId, std::os::fd::OwnedFd)>,
    /// The driver is gone: nothing is adopted any more.
    closed: AtomicBool,
}

impl Inbox {
    pub(super) fn new(bell: Bell) -> Self {
        Self {
            bell,
            woken: AtomicBool::new(false),
            #[cfg(unix)]
            arrivals: crossbeam_queue::ArrayQueue::new(INBOX_MAX),
            closed: AtomicBool::new(false),
        }
    }

    /// Ends the next wait: something is left to take.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// Takes the wake flag. Acquire pairs with the release in `wake`: what the waker wrote before
    /// is visible to whoever handles `Woken`.
    pub(super) fn take_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::AcqRel)
    }

    #[cfg(unix)]
    pub(super) fn next_arrival(&self) -> Option<(crate::id::ListenerId, std::os::fd::OwnedFd)> {
        self.arrivals.pop()
    }

    #[cfg(unix)]
    pub(super) fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty()
    }

    /// Refuses what comes from now on and closes what waits.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        #[cfg(unix)]
        while self.arrivals.pop().is_some() {}
    }
}

impl Reach for Inbox {
    fn wake(&self) {
        // Only the first of several wakes rings: the flag is taken after the wait, so a wake that
        // finds it set is covered by the `Woken` still to come.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }

    #[cfg(unix)]
    fn adopt(
        &self,
        listener: crate::id::ListenerId,
        fd: std::os::fd::OwnedFd,
    ) -> Result<(), std::os::fd::OwnedFd> {
        // Acquire pairs with the release in `close`.
        if self.closed.load(Ordering::Acquire) {
            return Err(fd);
        }
        self.arrivals.push((listener, fd)).map_err(|(_, fd)| fd)?;
        self.bell.ring();
        Ok(())
    }
}
