//! Limits how many messages a session may send: a token bucket per session.

use std::time::Duration;

use hioload_base::Time;
use hioload_ws::CloseCode;

use super::Layer;
use crate::context::{ContextKey, Scope};
use crate::handler::{Handler, Message};
use crate::session::Session;

const BUCKET: ContextKey<std::cell::Cell<Bucket>> =
    ContextKey::new("hioload.rate-limit", Scope::Local);

/// What happens to a message above the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Excess {
    /// The session is closed with 1008 (policy violation).
    #[default]
    Close,
    /// The message is dropped and counted.
    Drop,
}

/// The layer: `rate` messages a second, with bursts of up to `burst`.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    rate: u32,
    burst: u32,
    excess: Excess,
}

impl RateLimit {
    /// `rate` messages a second and bursts of up to `burst` (both at least 1); more closes the
    /// session.
    #[must_use]
    pub fn new(rate: u32, burst: u32) -> Self {
        Self {
            rate: rate.max(1),
            burst: burst.max(1),
            excess: Excess::Close,
        }
    }

    /// What happens above the rate.
    #[must_use]
    pub fn excess(mut self, excess: Excess) -> Self {
        self.excess = excess;
        self
    }
}

/// Generic cell rate: `full_at` is when the bucket will be full again.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Time,
}

impl Bucket {
    /// Takes one token at `now`; false when there is none.
    fn take(&mut self, now: Time, limit: &RateLimit) -> bool {
        let token = Duration::from_secs(1) / limit.rate;
        let full_at = self.full_at.max(now) + token;
        if full_at - now > token * limit.burst {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

impl Layer for RateLimit {
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler> {
        Box::new(Limited {
            inner,
            limit: *self,
        })
    }
}

struct Limited {
    inner: Box<dyn Handler>,
    limit: RateLimit,
}

impl Handler for Limited {
    fn inner(&mut self) -> Option<&mut dyn Handler> {
        Some(&mut *self.inner)
    }

    fn open(&mut self, session: &mut Session<'_>) {
        let bucket = std::cell::Cell::new(Bucket {
            full_at: session.now(),
        });
        // A context of its own has room for one value.
        let _ = session.context().set(BUCKET, bucket);
        self.inner.open(session);
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let now = session.now();
        let limit = self.limit;
        let allowed = session.context().value(BUCKET, now).is_none_or(|cell| {
            let mut bucket = cell.get();
            let allowed = bucket.take(now, &limit);
            cell.set(bucket);
            allowed
        });
        if allowed {
            return self.inner.message(session, message);
        }
        session.count_rate_limited();
        if self.limit.excess == Excess::Close {
            session.close(CloseCode::POLICY, "too many messages");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rate_refills() {
        let limit = RateLimit::new(10, 3);
        let start = Time::ZERO + Duration::from_secs(5);
        let mut bucket = Bucket { full_at: start };
        let taken = (0..5).filter(|_| bucket.take(start, &limit)).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take(start + Duration::from_millis(99), &limit));
        assert!(bucket.take(start + Duration::from_millis(100), &limit));
        assert!(!bucket.take(start + Duration::from_millis(100), &limit));
    }
}
