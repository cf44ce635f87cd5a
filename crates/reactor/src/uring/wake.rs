//! Waking a ring from other threads: an eventfd that the ring keeps a read on.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::driver::Reach;

/// Shared with every [`Waker`](crate::Waker): stays valid after the ring is gone.
pub(super) struct Doorbell {
    event: OwnedFd,
    ring_fd: i32,
}

impl Doorbell {
    pub(super) fn new(ring_fd: i32) -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; the result is checked before use.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event, ring_fd })
    }

    pub(super) fn event_fd(&self) -> i32 {
        self.event.as_raw_fd()
    }
}

impl Reach for Doorbell {
    fn wake(&self) {
        let one = 1u64;
        // SAFETY: writes eight bytes from a live u64 to an open eventfd. It fails only when the
        // counter is at its maximum (the ring is being woken anyway) or on a signal before
        // anything was written, which `EFD` writes of this size do not suffer.
        let _ = unsafe {
            libc::write(
                self.event.as_raw_fd(),
                std::ptr::from_ref(&one).cast(),
                size_of::<u64>(),
            )
        };
    }

    fn ring_fd(&self) -> Option<i32> {
        Some(self.ring_fd)
    }
}
