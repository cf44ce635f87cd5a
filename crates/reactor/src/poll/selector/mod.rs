//! Readiness from the system: our own epoll on Linux, the `polling` crate everywhere else.
//!
//! A socket that only waits for input costs no system call per turn. Sources are named by tokens;
//! what they are is the driver's affair.

#[cfg(target_os = "linux")]
mod epoll;
mod portable;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

#[cfg(target_os = "linux")]
use self::epoll::{Epoll, EventBell};
use self::portable::Portable;

/// What to report of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Interest {
    pub(super) const READABLE: Self = Self {
        readable: true,
        writable: false,
    };

    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Has everything that `other` asks for.
    pub(super) fn covers(self, other: Self) -> bool {
        self.readable >= other.readable && self.writable >= other.writable
    }
}

/// A source is ready. A broken one is both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) token: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// Ends a wait from any thread, this one or the next.
pub(super) enum Bell {
    #[cfg(target_os = "linux")]
    Event(Arc<EventBell>),
    Portable(Arc<polling::Poller>),
}

impl Bell {
    pub(super) fn ring(&self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Event(bell) => bell.ring(),
            // Fails only when the system's notifier is broken; a wait with a time ends all the same.
            Self::Portable(poller) => drop(poller.notify()),
        }
    }
}

enum System {
    #[cfg(target_os = "linux")]
    Epoll(Epoll),
    Portable(Portable),
}

/// The system's selector. Sources must be removed before they are closed.
pub(super) struct Selector {
    system: System,
    /// What the last wait found; the driver drains it.
    pub(super) found: Vec<Ready>,
}

/// The same call on either selector.
macro_rules! either {
    ($system:expr, $selector:ident => $call:expr) => {
        match $system {
            #[cfg(target_os = "linux")]
            System::Epoll($selector) => $call,
            System::Portable($selector) => $call,
        }
    };
}

impl Selector {
    pub(super) fn new(events_max: usize) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        return Ok(Self::over(System::Epoll(Epoll::new(events_max)?)));
        #[cfg(not(target_os = "linux"))]
        Self::portable(events_max)
    }

    pub(super) fn portable(events_max: usize) -> io::Result<Self> {
        Ok(Self::over(System::Portable(Portable::new(events_max)?)))
    }

    fn over(system: System) -> Self {
        Self {
            system,
            found: Vec::new(),
        }
    }

    pub(super) fn bell(&self) -> Bell {
        match &self.system {
            #[cfg(target_os = "linux")]
            System::Epoll(selector) => Bell::Event(selector.bell()),
            System::Portable(selector) => Bell::Portable(selector.poller()),
        }
    }

    /// An event disarms its source.
    pub(super) fn is_oneshot(&self) -> bool {
        match &self.system {
            #[cfg(target_os = "linux")]
            System::Epoll(_) => false,
            System::Portable(selector) => selector.is_oneshot(),
        }
    }

    pub(super) fn add(&self, socket: &Socket, token: usize, interest: Interest) -> io::Result<()> {
        either!(&self.system, selector => selector.add(socket, token, interest))
    }

    pub(super) fn modify(
        &self,
        socket: &Socket,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        either!(&self.system, selector => selector.modify(socket, token, interest))
    }

    pub(super) fn remove(&self, socket: &Socket) {
        // Fails only for a source that is not registered.
        let _ = either!(&self.system, selector => selector.remove(socket));
    }

    /// Waits for sources, the bell or the time (`None`: no end).
    pub(super) fn wait(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.found.clear();
        either!(&mut self.system, selector => selector.wait(time, &mut self.found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interest_covers_what_it_has() {
        let both = Interest {
            readable: true,
            writable: true,
        };
        assert!(both.covers(Interest::READABLE));
        assert!(!Interest::READABLE.covers(both));
        assert!(Interest::default().covers(Interest::default()));
    }

    #[test]
    fn a_bell_rung_before_the_wait_ends_it() {
        for selector in [Selector::new(4), Selector::portable(4)] {
            let mut selector = selector.expect("a selector");
            let bell = selector.bell();
            for _ in 0..3 {
                bell.ring();
                bell.ring();
                selector.wait(None).expect("rung");
                assert!(selector.found.is_empty(), "the bell is no source");
            }
        }
    }
}
