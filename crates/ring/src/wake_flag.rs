//! Whether a thread has to be woken, decided without a lock and without waking who is awake.
//!
//! Must not know the queues (they come in as one question: is anything there?) nor the means of waking.
//!
//! ```text
//!                    prepare_sleep            nothing arrived
//!      ┌─────────┐ ─────────────────▶ ┌────────┐ ──────────▶ ┌────────┐
//!      │  awake  │                    │ drowsy │             │ asleep │
//!      └─────────┘ ◀───────────────── └────────┘             └────────┘
//!           ▲        something arrived, or notify: false          │
//!           └─────────────────────────────────────────────────────┘
//!                    notify: true (this caller wakes it), or awake
//! ```
//!
//! A sender that finds *drowsy* takes the sleep away before it begins: no system call is needed.
//!
//! Invariant: when [`WakeFlag::prepare_sleep`] returned true, whatever is pushed from then on, or was
//! pushed before and not seen by it, makes exactly one [`WakeFlag::notify`] return true. It takes one
//! store before one load on each side (Dekker), hence the two sequentially consistent fences:
//!
//! | sleeper | sender |
//! |---|---|
//! | state ← drowsy | queue ← message |
//! | fence | fence |
//! | is the queue empty? | is the state awake? |
//!
//! One of the two fences comes first, and the thread of the other one sees what was stored before it.
//!
//! Every change of state is a read-modify-write, so that the states form one line in which no late
//! `notify` can slip in behind a sleep that it has not seen. Only `prepare_sleep` pays for it.

use crate::atomic::{AtomicU8, Ordering, fence};
use std::fmt;

const AWAKE: u8 = 0;
const DROWSY: u8 = 1;
const ASLEEP: u8 = 2;

/// Says to senders whether the one receiver sleeps.
///
/// ```
/// use hioload_ring::WakeFlag;
///
/// let flag = WakeFlag::new();
/// assert!(!flag.notify(), "who is awake is not woken");
/// assert!(flag.prepare_sleep(|| true), "nothing to do: may sleep");
/// assert!(flag.notify(), "the first sender has to wake it");
/// assert!(!flag.notify(), "the second has not");
/// flag.awake();
/// ```
pub struct WakeFlag {
    state: AtomicU8,
}

impl WakeFlag {
    /// The flag of a thread that is awake.
    pub fn new() -> WakeFlag {
        WakeFlag {
            state: AtomicU8::new(AWAKE),
        }
    }

    /// For the receiver, before it blocks: true when it may. `is_idle` looks at all its queues.
    ///
    /// After true it must block until it is woken (or something else ends its wait) and then call
    /// [`WakeFlag::awake`]. After false it goes on, and is awake already.
    #[inline]
    pub fn prepare_sleep(&self, is_idle: impl FnOnce() -> bool) -> bool {
        // Relaxed: the fence below puts it before the look at the queues.
        self.state.swap(DROWSY, Ordering::Relaxed);
        // Partner: the fence in `notify`.
        fence(Ordering::SeqCst);
        if !is_idle() {
            // Relaxed: a sender that still reads "drowsy" merely takes away a sleep that is not to be.
            self.state.swap(AWAKE, Ordering::Relaxed);
            return false;
        }
        // Acquire on failure: partner of the fence and swap in `notify`. A sleep taken away means that the
        // message is visible now. On success nothing is read, and the fence has ordered the store.
        self.state
            .compare_exchange(DROWSY, ASLEEP, Ordering::Relaxed, Ordering::Acquire)
            .is_ok()
    }

    /// For a sender, after its push: true when this sender has to wake the receiver.
    ///
    /// It must do so soon whatever else happens: all other senders rely on it from here on.
    #[inline]
    #[must_use = "a receiver that sleeps has to be woken"]
    pub fn notify(&self) -> bool {
        // Partner: the fence in `prepare_sleep`.
        fence(Ordering::SeqCst);
        // Relaxed: the fence above puts it after the push. The usual case ends here, with a cache line
        // that nobody writes while the receiver is awake.
        if self.state.load(Ordering::Relaxed) == AWAKE {
            return false;
        }
        // One of several senders gets to see "asleep". Relaxed: the fence above makes it a release, and
        // that is the partner of the acquire in `prepare_sleep`.
        self.state.swap(AWAKE, Ordering::Relaxed) == ASLEEP
    }

    /// For the receiver, when its wait has ended for whatever reason.
    #[inline]
    pub fn awake(&self) {
        // Relaxed: nothing is concluded from the state. The message that ended the wait is seen at the
        // latest by the next `prepare_sleep`, behind its fence.
        if self.state.load(Ordering::Relaxed) != AWAKE {
            // Relaxed: a sender that still reads "asleep" wakes once for nothing, no harm done.
            self.state.swap(AWAKE, Ordering::Relaxed);
        }
    }
}

impl Default for WakeFlag {
    fn default() -> WakeFlag {
        WakeFlag::new()
    }
}

impl fmt::Debug for WakeFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state.load(Ordering::Relaxed) {
            AWAKE => "awake",
            DROWSY => "drowsy",
            _ => "asleep",
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_woken_once() {
        let flag = WakeFlag::new();
        assert!(!flag.notify());
        assert!(flag.prepare_sleep(|| true));
        assert_eq!(format!("{flag:?}"), "asleep");
        assert!(flag.notify());
        assert!(!flag.notify());
        assert_eq!(format!("{flag:?}"), "awake");
    }

    #[test]
    fn something_there_forbids_sleep() {
        let flag = WakeFlag::new();
        assert!(!flag.prepare_sleep(|| false));
        assert!(!flag.notify(), "it stayed awake");
    }

    #[test]
    fn a_sender_takes_the_sleep_of_the_drowsy_away() {
        let flag = WakeFlag::new();
        let slept = flag.prepare_sleep(|| {
            assert!(!flag.notify(), "no wake-up for who has not gone to sleep");
            true
        });
        assert!(!slept);
    }

    #[test]
    fn who_woke_up_alone_is_not_woken() {
        let flag = WakeFlag::new();
        assert!(flag.prepare_sleep(|| true));
        flag.awake();
        assert!(!flag.notify());
    }
}
