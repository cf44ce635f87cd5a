//! Logs sessions: opened and closed at `info`, messages at `trace`.

use super::Layer;
use crate::handler::{CloseReason, Handler, Message};
use crate::recovery::{Gap, Recovery};
use crate::session::Session;

/// The layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logging;

struct Logged {
    inner: Box<dyn Handler>,
}

impl Layer for Logging {
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler> {
        Box::new(Logged { inner })
    }
}

impl Handler for Logged {
    fn inner(&mut self) -> Option<&mut dyn Handler> {
        Some(&mut *self.inner)
    }

    fn open(&mut self, session: &mut Session<'_>) {
        tracing::info!(session = %session.id(), path = session.path(), "open");
        self.inner.open(session);
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        tracing::trace!(session = %session.id(), size = message.payload.len(), "message");
        self.inner.message(session, message);
    }

    fn close(&mut self, session: &mut Session<'_>, reason: CloseReason) {
        tracing::info!(session = %session.id(), %reason, "close");
        self.inner.close(session, reason);
    }

    fn drained(&mut self, session: &mut Session<'_>) {
        tracing::debug!(session = %session.id(), "drained");
        self.inner.drained(session);
    }

    fn recovered(&mut self, session: &mut Session<'_>, channel: &str, recovery: Recovery) {
        tracing::debug!(session = %session.id(), channel, ?recovery, "recovered");
        self.inner.recovered(session, channel, recovery);
    }

    fn skipped(&mut self, session: &mut Session<'_>, channel: &str, gap: Gap) {
        tracing::debug!(session = %session.id(), channel, ?gap, "skipped");
        self.inner.skipped(session, channel, gap);
    }
}
