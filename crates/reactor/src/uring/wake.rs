//! Waking a ring from other threads: an eventfd that the ring keeps a read on.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use crate::driver::Reach;

/// No ring any more.
const CLOSED: i32 = -1;

/// Shared with every [`Waker`](crate::Waker): stays valid after the ring is gone.
pub(super) struct Doorbell {
    event: OwnedFd,
    /// The ring's descriptor, not owned; [`CLOSED`] once the ring is gone, for the number may be another's then.
    ring_fd: AtomicI32,
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
        Ok(Self {
            event,
            ring_fd: AtomicI32::new(ring_fd),
        })
    }

    /// The ring is about to be closed: nobody sends to it any more.
    pub(super) fn close(&self) {
        self.ring_fd.store(CLOSED, Ordering::Release);
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
        let ring_fd = self.ring_fd.load(Ordering::Acquire);
        (ring_fd != CLOSED).then_some(ring_fd)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::driver::{Address, Driver, DriverConfig, Wait};
    use crate::op::Op;
    use crate::uring::UringDriver;

    /// A driver whose ring cannot be reached.
    #[derive(Default)]
    struct Deaf(AtomicU32);

    impl Reach for Deaf {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn ring_fd(&self) -> Option<i32> {
            Some(i32::MAX)
        }
    }

    #[test]
    fn a_wake_message_that_does_not_arrive_is_sent_another_way() {
        let Ok(mut driver) = UringDriver::new(DriverConfig::default()) else {
            println!("skipped: no io_uring");
            return;
        };
        let deaf = [Arc::new(Deaf::default()), Arc::new(Deaf::default())];
        for count in 1..3 {
            for deaf in &deaf {
                let to = Address::new(Arc::<Deaf>::clone(deaf));
                driver.submit(Op::Wake { to }).expect("taken");
            }
            driver.turn(Wait::None, &mut Vec::new()).expect("a turn");
            for deaf in &deaf {
                assert_eq!(deaf.0.load(Ordering::Relaxed), count);
            }
        }
    }

    #[test]
    fn a_driver_that_has_ended_has_no_ring() {
        let Ok(driver) = UringDriver::new(DriverConfig::default()) else {
            println!("skipped: no io_uring");
            return;
        };
        let address = driver.address();
        assert!(address.0.ring_fd().is_some());
        drop(driver);
        assert_eq!(address.0.ring_fd(), None);
        address.waker().wake();
    }
}
