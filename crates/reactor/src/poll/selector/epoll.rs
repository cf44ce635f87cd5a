//! Readiness by epoll itself: one system call a turn, where `polling` needs five (it arms a timer
//! descriptor and re-arms its notifier around each wait).
//!
//! Sources are level-triggered. The bell is an eventfd watched by edges: every ring is a new edge, so
//! that it is never read.
//!
//! Source: epoll(7), eventfd(2).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

use super::{Interest, Ready};

/// The bell's token; no source has it.
const BELL: u64 = u64::MAX;

/// An eventfd.
pub(in crate::poll) struct EventBell(OwnedFd);

impl EventBell {
    pub(super) fn ring(&self) {
        let one = 1u64;
        // SAFETY: writes eight bytes from a live u64 to an open eventfd. It fails only when the counter
        // is at its maximum, after 2^64 − 2 rings.
        let _ = unsafe {
            libc::write(
                self.0.as_raw_fd(),
                std::ptr::from_ref(&one).cast(),
                size_of::<u64>(),
            )
        };
    }
}

pub(super) struct Epoll {
    epoll: OwnedFd,
    bell: Arc<EventBell>,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub(super) fn new(events_max: usize) -> io::Result<Self> {
        // SAFETY: takes no pointers; the result is checked.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: takes no pointers; the result is checked.
        let bell = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        let selector = Self {
            epoll,
            bell: Arc::new(EventBell(bell)),
            events: Vec::with_capacity(events_max.max(1)),
        };
        let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
        let event = libc::epoll_event { events, u64: BELL };
        selector.control(
            libc::EPOLL_CTL_ADD,
            selector.bell.0.as_raw_fd(),
            Some(event),
        )?;
        Ok(selector)
    }

    pub(super) fn bell(&self) -> Arc<EventBell> {
        Arc::clone(&self.bell)
    }

    pub(super) fn add(&self, socket: &Socket, token: usize, interest: Interest) -> io::Result<()> {
        let event = event(token, interest);
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), Some(event))
    }

    pub(super) fn modify(
        &self,
        socket: &Socket,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let event = event(token, interest);
        self.control(libc::EPOLL_CTL_MOD, socket.as_raw_fd(), Some(event))
    }

    pub(super) fn remove(&self, socket: &Socket) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, socket.as_raw_fd(), None)
    }

    /// Milliseconds, rounded up: a wait never ends early and empty, and up to one late, as timers.
    pub(super) fn wait(
        &mut self,
        time: Option<Duration>,
        found: &mut Vec<Ready>,
    ) -> io::Result<()> {
        let millis = time.map_or(-1, |time| {
            i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        let capacity = i32::try_from(self.events.capacity()).unwrap_or(i32::MAX);
        // SAFETY: the kernel writes at most `capacity` events into the vector's own allocation, which
        // is at least that long.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                capacity,
                millis,
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel initialised the first `count` events, and count ≤ capacity.
        unsafe { self.events.set_len(count) };
        let sources = self.events.iter().filter(|event| event.u64 != BELL);
        found.extend(sources.map(|event| {
            let events = event.events as i32;
            let broken = events & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
            Ready {
                token: event.u64 as usize,
                readable: broken || events & libc::EPOLLIN != 0,
                writable: broken || events & libc::EPOLLOUT != 0,
            }
        }));
        Ok(())
    }

    fn control(&self, action: i32, fd: i32, event: Option<libc::epoll_event>) -> io::Result<()> {
        let mut event = event;
        let pointer = event
            .as_mut()
            .map_or(std::ptr::null_mut(), std::ptr::from_mut);
        // SAFETY: `pointer` is null (for a removal) or names a live event for the length of the call.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), action, fd, pointer) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

fn event(token: usize, interest: Interest) -> libc::epoll_event {
    let readable = if interest.readable { libc::EPOLLIN } else { 0 };
    let writable = if interest.writable { libc::EPOLLOUT } else { 0 };
    libc::epoll_event {
        events: (readable | writable) as u32,
        u64: token as u64,
    }
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
