//! When a client comes back: what an answer means, and how long to wait.
//!
//! ```text
//!   200, text/event-stream ─▶ Read ──ended──▶ pause ─▶ next request
//!   429, 5xx, no connection ─▶ Again ───────▶ pause, twice as long each time
//!   204, anything else ─▶ Stop
//! ```
//!
//! Knows no clock: it is told what happened, and how long to wait is for the caller to do. A server error is a
//! reason to come again, where a browser would give up: nobody is there to reload a page.
//!
//! Spec: WHATWG HTML 9.2.3 (processing model).

use std::time::Duration;

use super::MEDIA_TYPE;

/// How long to wait when the server has not said.
const RETRY: Duration = Duration::from_secs(3);
/// The longest pause that failures alone lead to.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A stream follows.
    Read,
    /// There is none now; there may be one later.
    Again,
    /// The server wants no more requests (204).
    Stop,
    /// There is none, and asking again would not help: another status, or another type of content.
    Refused,
}

/// What a client remembers from connection to connection.
///
/// ```
/// use std::time::Duration;
///
/// use hioload_http::sse::{Reconnect, Verdict};
///
/// let mut reconnect = Reconnect::default();
/// assert_eq!(reconnect.judge(200, Some(b"text/event-stream")), Verdict::Read);
/// assert_eq!(reconnect.pause(Some(Duration::from_millis(100)), 0), Duration::from_millis(100));
/// assert_eq!(reconnect.judge(204, None), Verdict::Stop);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Reconnect {
    /// Attempts since the last stream.
    failures: u32,
}

impl Reconnect {
    /// Judges an answer by its status and the type of its content.
    pub fn judge(&mut self, status: u16, content_type: Option<&[u8]>) -> Verdict {
        match status {
            200 if content_type.is_some_and(is_stream) => {
                self.failures = 0;
                Verdict::Read
            }
            204 => Verdict::Stop,
            408 | 429 | 500 | 502..=504 => Verdict::Again,
            _ => Verdict::Refused,
        }
    }

    /// How long to wait before the next request: at least what the server has asked for (`retry`), more with each
    /// attempt in vain, and up to a quarter of that on top by `random`, so that the clients of a server that comes
    /// back do not all come at once.
    pub fn pause(&mut self, retry: Option<Duration>, random: u32) -> Duration {
        let least = retry.unwrap_or(RETRY);
        let growth = 1 << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let pause = least.max(least.saturating_mul(growth).min(PAUSE_MAX));
        pause + (pause / 4).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// The type without its parameters.
fn is_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next();
    essence.is_some_and(|essence| {
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let stream = Some(&b"Text/Event-Stream; charset=utf-8"[..]);
        for (status, content_type, verdict) in [
            (200, stream, Verdict::Read),
            (200, Some(&b"text/html"[..]), Verdict::Refused),
            (200, Some(&b"text/event-streams"[..]), Verdict::Refused),
            (200, None, Verdict::Refused),
            (204, stream, Verdict::Stop),
            (205, stream, Verdict::Refused),
            (301, stream, Verdict::Refused),
            (403, stream, Verdict::Refused),
            (404, None, Verdict::Refused),
            (429, None, Verdict::Again),
            (500, None, Verdict::Again),
            (501, None, Verdict::Refused),
            (503, None, Verdict::Again),
        ] {
            let judged = Reconnect::default().judge(status, content_type);
            assert_eq!(judged, verdict, "{status}");
        }
    }

    #[test]
    fn pauses_grow_with_failures_alone_and_never_below_what_was_asked() {
        let mut reconnect = Reconnect::default();
        let pauses: Vec<u64> = (0..7).map(|_| reconnect.pause(None, 0).as_secs()).collect();
        assert_eq!(pauses, [3, 6, 12, 24, 48, 60, 60]);
        assert_eq!(
            reconnect.judge(200, Some(b"text/event-stream")),
            Verdict::Read
        );
        assert_eq!(reconnect.pause(None, 0), RETRY);
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(reconnect.pause(hour, 0), Duration::from_secs(3600));
        assert_eq!(
            Reconnect::default().pause(Some(Duration::ZERO), u32::MAX),
            Duration::ZERO
        );
    }

    #[test]
    fn randomness_adds_up_to_a_quarter() {
        let with = |random| Reconnect::default().pause(Some(Duration::from_secs(4)), random);
        assert_eq!(with(0), Duration::from_secs(4));
        assert_eq!(with(u32::MAX), Duration::from_secs(5));
        assert!(with(u32::MAX / 2) > with(0) && with(u32::MAX / 2) < with(u32::MAX));
    }
}
