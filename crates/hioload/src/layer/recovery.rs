//! Contains a panicking handler: its session closes with 1011, the worker and every other session
//! go on. The panic is counted, and the panic hook has printed it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hioload_ws::CloseCode;

use super::Layer;
use crate::handler::{CloseReason, Handler, Message};
use crate::recovery::Gap;
use crate::session::{Session, WorkerContext};
use crate::streams::StreamEvent;

/// The layer. Added first it is outermost, and contains panics of the other layers as well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery;

struct Recovered {
    inner: Box<dyn Handler>,
}

impl Layer for Recovery {
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler> {
        Box::new(Recovered { inner })
    }
}

impl Recovered {
    /// The handler's own state may be half-changed after a panic: that is the handler's affair, as
    /// with any caught panic. The session it was called for is closed.
    fn call(
        &mut self,
        session: &mut Session<'_>,
        call: impl FnOnce(&mut dyn Handler, &mut Session<'_>),
    ) {
        let inner = &mut *self.inner;
        if catch_unwind(AssertUnwindSafe(|| call(inner, session))).is_err() {
            session.count_panic();
            session.close(CloseCode::INTERNAL, "internal error");
        }
    }
}

impl Handler for Recovered {
    fn open(&mut self, session: &mut Session<'_>) {
        self.call(session, |inner, session| inner.open(session));
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        self.call(session, |inner, session| inner.message(session, message));
    }

    fn close(&mut self, session: &mut Session<'_>, reason: CloseReason) {
        self.call(session, |inner, session| inner.close(session, reason));
    }

    fn drained(&mut self, session: &mut Session<'_>) {
        self.call(session, |inner, session| inner.drained(session));
    }

    fn recovered(&mut self, session: &mut Session<'_>, channel: &str, recovery: crate::Recovery) {
        self.call(session, |inner, session| {
            inner.recovered(session, channel, recovery);
        });
    }

    fn skipped(&mut self, session: &mut Session<'_>, channel: &str, gap: Gap) {
        self.call(session, |inner, session| {
            inner.skipped(session, channel, gap);
        });
    }

    fn stream(&mut self, worker: &mut WorkerContext<'_>, event: &StreamEvent) {
        let inner = &mut *self.inner;
        if catch_unwind(AssertUnwindSafe(|| inner.stream(worker, event))).is_err() {
            worker.count_panic();
        }
    }

    fn batch(&mut self, worker: &mut WorkerContext<'_>, messages: usize) {
        let inner = &mut *self.inner;
        if catch_unwind(AssertUnwindSafe(|| inner.batch(worker, messages))).is_err() {
            worker.count_panic();
        }
    }
}
