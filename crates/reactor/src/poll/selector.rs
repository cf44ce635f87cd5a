//! Readiness from the system, by the `polling` crate (epoll, kqueue, event ports, IOCP).
//!
//! Level-triggered where the system has it: a socket that only waits for input costs no system
//! call per turn. Elsewhere (event ports) an event disarms its source and the driver arms again.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use polling::{Event, Events, PollMode, Poller};
use socket2::Socket;

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

/// A source is ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) token: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// Ends a wait from any thread.
pub(super) struct Bell(Arc<Poller>);

impl Bell {
    pub(super) fn ring(&self) {
        // Fails only when the system's notifier is broken; the wait's timeout is the fallback.
        let _ = self.0.notify();
    }
}

/// The system's selector. Sources must be removed before they are closed.
pub(super) struct Selector {
    poller: Arc<Poller>,
    events: Events,
    mode: PollMode,
    /// What the last wait found; the driver drains it.
    pub(super) found: Vec<Ready>,
}

impl Selector {
    pub(super) fn new(events_max: usize) -> io::Result<Self> {
        let poller = Poller::new()?;
        let mode = if poller.supports_level() {
            PollMode::Level
        } else {
            PollMode::Oneshot
        };
        let capacity = NonZeroUsize::new(events_max).unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            poller: Arc::new(poller),
            events: Events::with_capacity(capacity),
            mode,
            found: Vec::new(),
        })
    }

    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::new(Bell(Arc::clone(&self.poller)))
    }

    /// An event disarms its source.
    pub(super) fn is_oneshot(&self) -> bool {
        self.mode == PollMode::Oneshot
    }

    pub(super) fn add(&self, socket: &Socket, token: usize, interest: Interest) -> io::Result<()> {
        // SAFETY: the driver calls `remove` for every registered source before it closes the
        // descriptor, in `close`, `hand over` and drop; otherwise the poller would hold a
        // descriptor number that may be somebody else's.
        unsafe {
            self.poller
                .add_with_mode(socket, event(token, interest), self.mode)
        }
    }

    pub(super) fn modify(
        &self,
        socket: &Socket,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        self.poller
            .modify_with_mode(socket, event(token, interest), self.mode)
    }

    pub(super) fn remove(&self, socket: &Socket) {
        // Fails only for a source that is not registered.
        let _ = self.poller.delete(socket);
    }

    /// Waits for sources, the bell or the time (`None`: no end).
    pub(super) fn wait(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        self.poller.wait(&mut self.events, time)?;
        self.found.clear();
        self.found.extend(self.events.iter().map(|event| Ready {
            token: event.key,
            readable: event.readable,
            writable: event.writable,
        }));
        Ok(())
    }
}

fn event(token: usize, interest: Interest) -> Event {
    Event::new(token, interest.readable, interest.writable)
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
}
