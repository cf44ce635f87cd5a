//! The mailboxes of a group of workers.
//!
//! Must not know what the messages are. One queue for each ordered pair of workers, so that no two
//! threads push the same one, and one inbox per worker for all other threads.
//!
//! Flow: `try_send` pushes and asks the receiver's [`WakeFlag`] whether this sender has to wake it; the
//! receiver pops what it wants per turn and goes to sleep through `prepare_sleep`.
//!
//! Invariants: messages of one sender arrive in the order sent; a message is never lost while both ports
//! live; a receiver never sleeps on a message.
//!
//! Limits: each queue holds `capacity` messages, all storage is allocated by [`mesh`] ([`mesh_size`] says
//! how much: it grows with the square of the workers). A full queue refuses and hands the message back. `pop`
//! looks at each queue at most once.

use crate::WakeFlag;
use crate::queue::{Inbox, Receiver, Sender, spsc};
use crossbeam_utils::CachePadded;
use hioload_base::Full;
use std::fmt;
use std::sync::Arc;

/// Messages taken from one sender before the others are looked at again.
///
/// One by one would touch the cache lines of every sender for each message; many would let one
/// sender delay the others.
const RUN_MAX: u32 = 16;

/// What a worker shares with everybody: where other threads put messages, and whether it sleeps.
struct Shared<M> {
    flag: CachePadded<WakeFlag>,
    inbox: Inbox<M>,
}

/// The answer to a message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a receiver that sleeps has to be woken"]
pub struct Sent {
    /// True when the receiver sleeps and this sender has to wake it: everybody else relies on it.
    pub wake: bool,
}

/// The mailboxes of `workers` workers, each queue with room for `capacity` messages.
///
/// ```
/// use hioload_ring::mesh;
///
/// let mut ports = mesh::<&str>(2, 8);
/// let mut second = ports.pop().expect("two ports");
/// let mut first = ports.pop().expect("two ports");
///
/// let sent = first.try_send(1, "hello").expect("room for eight");
/// assert!(!sent.wake, "the second worker is awake");
/// assert!(!second.prepare_sleep(), "something arrived");
/// assert_eq!(second.pop(), Some((Some(0), "hello")));
///
/// assert!(second.prepare_sleep());
/// let sent = first.remote().try_send(1, "from elsewhere").expect("room for eight");
/// assert!(sent.wake, "now somebody has to wake it, and it is us");
/// second.awake();
/// assert_eq!(second.pop(), Some((None, "from elsewhere")));
/// ```
///
/// # Panics
/// When `workers` or `capacity` is zero.
pub fn mesh<M: Send>(workers: usize, capacity: usize) -> Vec<Port<M>> {
    assert!(workers > 0, "a mesh has at least one worker");
    assert!(capacity > 0, "a queue has room for at least one message");
    let shared = |_| Shared {
        flag: CachePadded::new(WakeFlag::new()),
        inbox: Inbox::new(capacity),
    };
    let shared: Arc<[Shared<M>]> = (0..workers).map(shared).collect();
    let port = |index| Port {
        index,
        senders: Vec::with_capacity(workers),
        receivers: Vec::with_capacity(workers),
        shared: shared.clone(),
        source: 0,
        run_left: RUN_MAX,
    };
    let mut ports: Vec<Port<M>> = (0..workers).map(port).collect();
    for from in 0..workers {
        for to in 0..workers {
            let (sender, receiver) = spsc(capacity);
            ports[from].senders.push(sender);
            ports[to].receivers.push(receiver);
        }
    }
    ports
}

/// Bytes that [`mesh`] allocates for the messages, for memory plans.
pub const fn mesh_size<M>(workers: usize, capacity: usize) -> u64 {
    // A slot of the inbox has a stamp besides the message.
    let pairs = (workers * workers * capacity * size_of::<M>()) as u64;
    let inboxes = (workers * capacity * (size_of::<M>() + size_of::<usize>())) as u64;
    pairs + inboxes
}

/// One worker's end of the mesh: sends to all workers, receives from all and from other threads.
pub struct Port<M> {
    index: usize,
    /// By receiver.
    senders: Vec<Sender<M>>,
    /// By sender.
    receivers: Vec<Receiver<M>>,
    shared: Arc<[Shared<M>]>,
    /// The queue looked at next; one past the last worker is the inbox.
    source: usize,
    run_left: u32,
}

impl<M: Send> Port<M> {
    /// The number of this worker.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number of workers in the mesh.
    #[inline]
    pub fn workers(&self) -> usize {
        self.senders.len()
    }

    /// Sends to worker `to`, which may be this one.
    ///
    /// # Errors
    /// [`Full`] with the message when the queue to that worker is full: try again in a later turn. The
    /// queue of a worker that has ended fills up and stays full.
    ///
    /// # Panics
    /// When there is no worker `to`.
    #[inline]
    pub fn try_send(&mut self, to: usize, message: M) -> Result<Sent, Full<M>> {
        self.senders[to].try_push(message).map_err(Full)?;
        // Who sends to itself is awake, and looks at its queues before it sleeps.
        Ok(Sent {
            wake: to != self.index && self.shared[to].flag.notify(),
        })
    }

    /// Takes one message, with the number of the worker it comes from, `None` for another thread.
    ///
    /// All senders get their turn: after a few messages in a row from one, the others are
    /// looked at first. The caller bounds how many it takes per turn.
    #[inline]
    pub fn pop(&mut self) -> Option<(Option<usize>, M)> {
        // Each source once, and the first once more when its run ended on it.
        for _ in 0..self.receivers.len() + 2 {
            if self.run_left > 0
                && let Some(message) = self.pop_source()
            {
                self.run_left -= 1;
                return Some((self.worker_of_source(), message));
            }
            self.source = (self.source + 1) % (self.receivers.len() + 1);
            self.run_left = RUN_MAX;
        }
        None
    }

    /// True when this worker may block now; false when something arrived: take it instead.
    ///
    /// From true on until [`Port::awake`], the first sender is told to wake this worker.
    #[inline]
    pub fn prepare_sleep(&mut self) -> bool {
        self.shared[self.index]
            .flag
            .prepare_sleep(|| self.is_empty())
    }

    /// Tells the senders that this worker need not be woken. To be called after every wait, whatever
    /// ended it.
    #[inline]
    pub fn awake(&mut self) {
        self.shared[self.index].flag.awake();
    }

    /// True when no message waits.
    pub fn is_empty(&self) -> bool {
        self.receivers.iter().all(Receiver::is_empty) && self.shared[self.index].inbox.is_empty()
    }

    /// A way into the mesh for threads that are no workers.
    pub fn remote(&self) -> Remote<M> {
        Remote {
            shared: self.shared.clone(),
        }
    }

    #[inline]
    fn pop_source(&mut self) -> Option<M> {
        match self.receivers.get_mut(self.source) {
            Some(receiver) => receiver.pop(),
            None => self.shared[self.index].inbox.pop(),
        }
    }

    #[inline]
    fn worker_of_source(&self) -> Option<usize> {
        (self.source < self.receivers.len()).then_some(self.source)
    }
}

impl<M> fmt::Debug for Port<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("index", &self.index)
            .field("flag", &*self.shared[self.index].flag)
            .finish_non_exhaustive()
    }
}

/// Sends to the workers of a mesh from any thread.
pub struct Remote<M> {
    shared: Arc<[Shared<M>]>,
}

impl<M: Send> Remote<M> {
    /// Number of workers in the mesh.
    pub fn workers(&self) -> usize {
        self.shared.len()
    }

    /// Sends to worker `to`.
    ///
    /// # Errors
    /// [`Full`] with the message when the inbox of that worker is full.
    ///
    /// # Panics
    /// When there is no worker `to`.
    pub fn try_send(&self, to: usize, message: M) -> Result<Sent, Full<M>> {
        let shared = &self.shared[to];
        shared.inbox.try_push(message).map_err(Full)?;
        Ok(Sent {
            wake: shared.flag.notify(),
        })
    }
}

impl<M> Clone for Remote<M> {
    fn clone(&self) -> Remote<M> {
        Remote {
            shared: self.shared.clone(),
        }
    }
}

impl<M> fmt::Debug for Remote<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("workers", &self.shared.len())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_queue_holds_exactly_its_capacity() {
        for capacity in [1, 2, 3, 100] {
            let mut ports = mesh(3, capacity);
            for to in 0..3 {
                for n in 0..capacity {
                    assert_eq!(ports[1].try_send(to, n), Ok(Sent { wake: false }));
                }
                assert_eq!(ports[1].try_send(to, 777), Err(Full(777)));
                assert_eq!(
                    ports[2].try_send(to, 0),
                    Ok(Sent { wake: false }),
                    "a queue of its own"
                );
            }
            let remote = ports[0].remote();
            for n in 0..capacity {
                assert_eq!(remote.try_send(0, n), Ok(Sent { wake: false }));
            }
            assert_eq!(remote.try_send(0, 777), Err(Full(777)));
            let count = std::iter::from_fn(|| ports[0].pop()).count();
            assert_eq!(count, capacity + 1 + capacity);
        }
    }

    #[test]
    fn nothing_is_no_size() {
        assert!(std::panic::catch_unwind(|| mesh::<u8>(0, 1)).is_err());
        assert!(std::panic::catch_unwind(|| mesh::<u8>(1, 0)).is_err());
        assert_eq!(mesh::<u8>(1, 1).len(), 1);
    }

    #[test]
    fn a_busy_sender_delays_the_others_by_one_run() {
        let mut ports = mesh(3, 1000);
        for n in 0..1000 {
            let _ = ports[0].try_send(2, n).expect("below capacity");
        }
        let _ = ports[1].try_send(2, 1).expect("below capacity");
        let _ = ports[2].try_send(2, 2).expect("below capacity");
        let _ = ports[0].remote().try_send(2, 3).expect("below capacity");
        let first: Vec<_> = (0..2 * RUN_MAX)
            .filter_map(|_| ports[2].pop())
            .map(|(from, _)| from)
            .collect();
        for from in [Some(0), Some(1), Some(2), None] {
            assert!(first.contains(&from), "{from:?} is not among {first:?}");
        }
    }

    #[test]
    fn a_run_that_ends_with_the_only_busy_sender_goes_on() {
        let mut ports = mesh(1, 100);
        for n in 0..100 {
            let _ = ports[0].try_send(0, n).expect("below capacity");
        }
        let all: Vec<_> = std::iter::from_fn(|| ports[0].pop())
            .map(|(_, n)| n)
            .collect();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn no_source_of_messages_escapes_the_look_before_sleep() {
        let mut ports = mesh(3, 4);
        assert!(ports[1].prepare_sleep());
        ports[1].awake();
        for from in 0..3 {
            let _ = ports[from].try_send(1, 0).expect("below capacity");
            assert!(!ports[1].prepare_sleep(), "worker {from}");
            assert_eq!(ports[1].pop(), Some((Some(from), 0)));
        }
        let _ = ports[0].remote().try_send(1, 0).expect("below capacity");
        assert!(!ports[1].prepare_sleep());
        assert_eq!(ports[1].pop(), Some((None, 0)));
        assert!(ports[1].prepare_sleep());
    }

    #[test]
    fn exactly_one_sender_wakes_a_sleeper() {
        let mut ports = mesh(3, 4);
        assert!(ports[1].prepare_sleep());
        assert_eq!(ports[0].try_send(1, 0), Ok(Sent { wake: true }));
        assert_eq!(ports[2].try_send(1, 0), Ok(Sent { wake: false }));
        assert_eq!(ports[0].remote().try_send(1, 0), Ok(Sent { wake: false }));
    }

    #[test]
    fn messages_left_are_dropped_with_the_ports() {
        let item = Arc::new(());
        let mut ports = mesh(2, 4);
        let remote = ports[0].remote();
        let _ = ports[0].try_send(1, item.clone()).expect("below capacity");
        let _ = remote.try_send(1, item.clone()).expect("below capacity");
        drop(ports);
        drop(remote);
        assert_eq!(Arc::strong_count(&item), 1);
    }

    #[test]
    fn remotes_and_ports_may_cross_threads() {
        fn crosses<T: Send>() {}
        fn is_shared<T: Send + Sync + Clone>() {}
        crosses::<Port<u64>>();
        is_shared::<Remote<std::cell::Cell<u64>>>();
    }

    #[test]
    fn the_size_counts_every_queue() {
        assert_eq!(mesh_size::<u64>(1, 1), 8 + 16);
        assert_eq!(mesh_size::<u64>(4, 100), 16 * 100 * 8 + 4 * 100 * 16);
    }
}
