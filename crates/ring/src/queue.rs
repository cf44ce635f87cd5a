//! The storage: `rtrb` for pairs of workers, `crossbeam-queue` for the inbox of other threads.
//!
//! Must not know the wake protocol. What the protocol relies on: a push releases what it wrote, and
//! "is empty" reads the other side's index afresh, without a cache of its own.

use crossbeam_queue::ArrayQueue;

/// The pushing end of a queue between two threads.
pub(crate) struct Sender<M>(rtrb::Producer<M>);

/// The popping end of a queue between two threads.
pub(crate) struct Receiver<M>(rtrb::Consumer<M>);

/// A bounded queue between two threads.
pub(crate) fn spsc<M>(capacity: usize) -> (Sender<M>, Receiver<M>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity);
    (Sender(producer), Receiver(consumer))
}

impl<M> Sender<M> {
    #[inline]
    pub(crate) fn try_push(&mut self, message: M) -> Result<(), M> {
        self.0
            .push(message)
            .map_err(|rtrb::PushError::Full(message)| message)
    }
}

impl<M> Receiver<M> {
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<M> {
        self.0.pop().ok()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A bounded queue from any number of threads to one.
pub(crate) struct Inbox<M>(ArrayQueue<M>);

impl<M> Inbox<M> {
    pub(crate) fn new(capacity: usize) -> Inbox<M> {
        Inbox(ArrayQueue::new(capacity))
    }

    #[inline]
    pub(crate) fn try_push(&self, message: M) -> Result<(), M> {
        self.0.push(message)
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<M> {
        self.0.pop()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
