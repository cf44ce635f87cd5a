//! Readiness by the `polling` crate: kqueue, event ports, IOCP, and epoll for comparison.
//!
//! Level-triggered where the system has it; elsewhere (event ports) an event disarms its source and
//! the driver arms it again.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use polling::{Event, Events, PollMode, Poller};
use socket2::Socket;

use super::{Interest, Ready};

pub(super) struct Portable {
    poller: Arc<Poller>,
    events: Events,
    mode: PollMode,
}

impl Portable {
    pub(super) fn new(events_max: usize) -> io::Result<Self> {
        let poller = Poller::new()?;
        let is_level = poller.supports_level();
        let capacity = NonZeroUsize::new(events_max).unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            poller: Arc::new(poller),
            events: Events::with_capacity(capacity),
            mode: if is_level {
                PollMode::Level
            } else {
                PollMode::Oneshot
            },
        })
    }

    pub(super) fn poller(&self) -> Arc<Poller> {
        Arc::clone(&self.poller)
    }

    pub(super) fn is_oneshot(&self) -> bool {
        self.mode == PollMode::Oneshot
    }

    pub(super) fn add(&self, socket: &Socket, token: usize, interest: Interest) -> io::Result<()> {
        // SAFETY: the driver removes every registered source before it closes the descriptor, in
        // `close`, `hand over` and drop; otherwise the poller would hold a descriptor number that
        // may be somebody else's.
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

    pub(super) fn remove(&self, socket: &Socket) -> io::Result<()> {
        self.poller.delete(socket)
    }

    pub(super) fn wait(
        &mut self,
        time: Option<Duration>,
        found: &mut Vec<Ready>,
    ) -> io::Result<()> {
        self.events.clear();
        self.poller.wait(&mut self.events, time)?;
        found.extend(self.events.iter().map(|event| Ready {
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
