//! The storage as the model checker sees it: the same promises on ordering as the real queues and no
//! stronger ones.
//!
//! Indexes are loom's atomics, released by the push and acquired by the pop; each slot has a lock that is
//! taken only by who owns the slot at that time, so that it orders nothing the indexes do not.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};

struct Ring<M> {
    slots: Vec<Mutex<Option<M>>>,
    /// Next position to pop; stored by the receiver alone.
    head: AtomicUsize,
    /// Next position to push; stored by the sender alone, or under the lock of the inbox.
    tail: AtomicUsize,
}

impl<M> Ring<M> {
    fn new(capacity: usize) -> Ring<M> {
        Ring {
            slots: (0..capacity).map(|_| Mutex::new(None)).collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    fn slot(&self, position: usize) -> loom::sync::MutexGuard<'_, Option<M>> {
        self.slots[position % self.slots.len()]
            .lock()
            .expect("invariant: nobody panics in here")
    }

    fn try_push(&self, message: M) -> Result<(), M> {
        let tail = self.tail.load(Ordering::Relaxed);
        // Partner: the release in `pop`.
        if tail - self.head.load(Ordering::Acquire) == self.slots.len() {
            return Err(message);
        }
        *self.slot(tail) = Some(message);
        // Partner: the acquire in `pop` and `is_empty`.
        self.tail.store(tail + 1, Ordering::Release);
        Ok(())
    }

    fn pop(&self) -> Option<M> {
        let head = self.head.load(Ordering::Relaxed);
        // Partner: the release in `try_push`.
        if self.tail.load(Ordering::Acquire) == head {
            return None;
        }
        let message = self.slot(head).take();
        // Partner: the acquire in `try_push`.
        self.head.store(head + 1, Ordering::Release);
        message
    }

    fn is_empty(&self) -> bool {
        // Partner: the release in `try_push`.
        self.tail.load(Ordering::Acquire) == self.head.load(Ordering::Relaxed)
    }
}

pub(crate) struct Sender<M>(Arc<Ring<M>>);

pub(crate) struct Receiver<M>(Arc<Ring<M>>);

pub(crate) fn spsc<M>(capacity: usize) -> (Sender<M>, Receiver<M>) {
    let ring = Arc::new(Ring::new(capacity));
    (Sender(ring.clone()), Receiver(ring))
}

impl<M> Sender<M> {
    pub(crate) fn try_push(&mut self, message: M) -> Result<(), M> {
        self.0.try_push(message)
    }
}

impl<M> Receiver<M> {
    pub(crate) fn pop(&mut self) -> Option<M> {
        self.0.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) struct Inbox<M> {
    ring: Ring<M>,
    /// Held by the sender that pushes; receivers never take it.
    senders: Mutex<()>,
}

impl<M> Inbox<M> {
    pub(crate) fn new(capacity: usize) -> Inbox<M> {
        Inbox {
            ring: Ring::new(capacity),
            senders: Mutex::new(()),
        }
    }

    pub(crate) fn try_push(&self, message: M) -> Result<(), M> {
        let _turn = self
            .senders
            .lock()
            .expect("invariant: nobody panics in here");
        self.ring.try_push(message)
    }

    pub(crate) fn pop(&self) -> Option<M> {
        self.ring.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}
