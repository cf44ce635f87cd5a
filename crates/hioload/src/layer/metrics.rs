//! Counts what an application does, per layer: messages, bytes, time spent in the handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::Layer;
use crate::handler::{CloseReason, Handler, Message};
use crate::session::{Session, WorkerContext};

/// The layer. Clones share their counters; read them from any thread.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    opened: AtomicU64,
    closed: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    handler_nanos: AtomicU64,
    timed: AtomicU64,
}

/// What the layer has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Sessions opened.
    pub opened: u64,
    /// Sessions closed.
    pub closed: u64,
    /// Messages handled.
    pub messages: u64,
    /// Payload bytes of those messages.
    pub bytes: u64,
    /// Mean time in the handler per message, nanoseconds, from a sample of one message in 64.
    pub handler_nanos_mean: u64,
}

impl Metrics {
    /// A layer with counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let timed = read(&self.counters.timed).max(1);
        MetricsSnapshot {
            opened: read(&self.counters.opened),
            closed: read(&self.counters.closed),
            messages: read(&self.counters.messages),
            bytes: read(&self.counters.bytes),
            handler_nanos_mean: read(&self.counters.handler_nanos) / timed,
        }
    }
}

impl Layer for Metrics {
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler> {
        let counters = Arc::clone(&self.counters);
        Box::new(Measured {
            inner,
            counters,
            messages: 0,
            bytes: 0,
            untimed: 0,
        })
    }
}

/// Reading the clock twice would cost small handlers more than they do.
const TIMED_EVERY: u32 = 64;

/// Messages are counted here and added to the shared counters once per turn.
struct Measured {
    inner: Box<dyn Handler>,
    counters: Arc<Counters>,
    messages: u64,
    bytes: u64,
    /// Messages since one was timed.
    untimed: u32,
}

impl Handler for Measured {
    fn inner(&mut self) -> Option<&mut dyn Handler> {
        Some(&mut *self.inner)
    }

    fn open(&mut self, session: &mut Session<'_>) {
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        self.inner.open(session);
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        self.messages += 1;
        self.bytes += message.payload.len() as u64;
        self.untimed += 1;
        if self.untimed < TIMED_EVERY {
            return self.inner.message(session, message);
        }
        self.untimed = 0;
        let start = Instant::now();
        self.inner.message(session, message);
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.counters
            .handler_nanos
            .fetch_add(nanos, Ordering::Relaxed);
        self.counters.timed.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&mut self, session: &mut Session<'_>, reason: CloseReason) {
        self.counters.closed.fetch_add(1, Ordering::Relaxed);
        self.inner.close(session, reason);
    }

    fn batch(&mut self, worker: &mut WorkerContext<'_>, messages: usize) {
        self.counters
            .messages
            .fetch_add(std::mem::take(&mut self.messages), Ordering::Relaxed);
        self.counters
            .bytes
            .fetch_add(std::mem::take(&mut self.bytes), Ordering::Relaxed);
        self.inner.batch(worker, messages);
    }
}
