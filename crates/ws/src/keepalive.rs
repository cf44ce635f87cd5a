//! Is the peer still there: pings, the pong's round trip, idle timeout, maximum lifetime.
//!
//! Knows no clock and no timers: the caller says what time it is, asks what to do, and may sleep
//! until [`Keepalive::next_deadline`]. A timer need not be moved when something was heard: it
//! fires, `poll` finds nothing to do, and the next deadline is asked for (lazy re-arm).
//!
//! Invariants: 20 bytes a connection. Stamps are milliseconds in 32 bits that wrap after 49 days,
//! so that every span of the configuration counts as at most [`SPAN_MAX`].

use std::time::Duration;

use hioload_base::Time;

/// The longest span that stamps can measure, about 24 days.
pub const SPAN_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// When to ping and when to give up. Shared by all sessions and passed on each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepaliveConfig {
    /// How long a peer may be silent before it is pinged; `None`: it never is.
    pub ping_interval: Option<Duration>,
    /// How long a peer may be silent after a ping.
    pub pong_timeout: Duration,
    /// How long a peer may send no message, pongs aside; `None`: forever.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may last; `None`: forever.
    pub lifetime: Option<Duration>,
}

impl Default for KeepaliveConfig {
    fn default() -> KeepaliveConfig {
        KeepaliveConfig {
            ping_interval: Some(Duration::from_secs(25)),
            pong_timeout: Duration::from_secs(10),
            idle_timeout: None,
            lifetime: None,
        }
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Nothing.
    None,
    /// Send a ping now. It counts as sent.
    Ping,
    /// The peer answers no ping, or sent no message for too long: close (1001 or without a word).
    CloseIdle,
    /// The connection is as old as it may get: close (1001).
    CloseLifetime,
}

/// The stamps of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    opened: Stamp,
    /// When anything came from the peer.
    heard: Stamp,
    /// When a message came from the peer.
    message: Stamp,
    /// When the last ping was sent.
    pinged: Stamp,
    /// Whether that ping has no pong yet.
    is_awaiting_pong: bool,
}

/// Milliseconds, modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u32);

impl Stamp {
    fn new(now: Time) -> Stamp {
        Stamp((now.as_nanos() / 1_000_000) as u32)
    }

    fn elapsed_ms(self, now: Stamp) -> u32 {
        now.0.wrapping_sub(self.0)
    }
}

/// A span in milliseconds that stamps can measure.
fn span_ms(span: Duration) -> u32 {
    span.min(SPAN_MAX).as_millis() as u32
}

impl Keepalive {
    /// A connection that opens now.
    #[must_use]
    pub fn new(now: Time) -> Keepalive {
        let now = Stamp::new(now);
        Keepalive {
            opened: now,
            heard: now,
            message: now,
            pinged: now,
            is_awaiting_pong: false,
        }
    }

    /// A message, or a piece of one, came from the peer.
    #[inline]
    pub fn heard(&mut self, now: Time) {
        self.heard = Stamp::new(now);
        self.message = self.heard;
    }

    /// A ping or pong came from the peer. The first pong after a ping gives the round trip, to the
    /// millisecond.
    pub fn pong(&mut self, now: Time) -> Option<Duration> {
        self.heard = Stamp::new(now);
        if !self.is_awaiting_pong {
            return None;
        }
        self.is_awaiting_pong = false;
        Some(Duration::from_millis(u64::from(
            self.pinged.elapsed_ms(self.heard),
        )))
    }

    /// What is due now.
    pub fn poll(&mut self, now: Time, config: &KeepaliveConfig) -> Action {
        let now = Stamp::new(now);
        let is_over = |since: Stamp, span: Option<Duration>| {
            span.is_some_and(|span| since.elapsed_ms(now) >= span_ms(span))
        };
        if is_over(self.opened, config.lifetime) {
            return Action::CloseLifetime;
        }
        if is_over(self.message, config.idle_timeout) {
            return Action::CloseIdle;
        }
        if self.is_unanswered(now) {
            let is_late = is_over(self.pinged, Some(config.pong_timeout));
            return if is_late {
                Action::CloseIdle
            } else {
                Action::None
            };
        }
        if is_over(self.heard, config.ping_interval) {
            self.pinged = now;
            self.is_awaiting_pong = true;
            return Action::Ping;
        }
        Action::None
    }

    /// The ping that was asked for last could not be sent: it is due again, and no pong is awaited.
    pub fn ping_was_not_sent(&mut self) {
        self.is_awaiting_pong = false;
    }

    /// When [`Keepalive::poll`] may have something to do, if nothing is heard until then.
    #[must_use]
    pub fn next_deadline(&self, now: Time, config: &KeepaliveConfig) -> Option<Time> {
        let stamp = Stamp::new(now);
        let ping = if self.is_unanswered(stamp) {
            // The pong may come before this is asked again: then the next ping is due, by an interval that is shorter.
            let interval = config.ping_interval.unwrap_or(config.pong_timeout);
            let is_before = self.pinged.elapsed_ms(stamp) < span_ms(interval);
            let span = if is_before {
                interval.min(config.pong_timeout)
            } else {
                config.pong_timeout
            };
            Some((self.pinged, span))
        } else {
            config.ping_interval.map(|span| (self.heard, span))
        };
        let idle = config.idle_timeout.map(|span| (self.message, span));
        let lifetime = config.lifetime.map(|span| (self.opened, span));
        let left_ms = [ping, idle, lifetime]
            .into_iter()
            .flatten()
            .map(|(since, span)| span_ms(span).saturating_sub(since.elapsed_ms(stamp)))
            .min()?;
        let start = Time::from_nanos(now.as_nanos() / 1_000_000 * 1_000_000);
        Some(start + Duration::from_millis(u64::from(left_ms)))
    }

    /// Whether nothing at all came since the last ping: a peer that sends messages is alive, even
    /// if it owes a pong.
    fn is_unanswered(&self, now: Stamp) -> bool {
        self.is_awaiting_pong && self.heard.elapsed_ms(now) >= self.pinged.elapsed_ms(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: KeepaliveConfig = KeepaliveConfig {
        ping_interval: Some(Duration::from_secs(25)),
        pong_timeout: Duration::from_secs(10),
        idle_timeout: Some(Duration::from_secs(100)),
        lifetime: Some(Duration::from_secs(1000)),
    };

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Keepalive>() <= 20);
    }

    #[test]
    fn silence_is_pinged_and_the_pong_measures() {
        let mut keepalive = Keepalive::new(at(0));
        assert_eq!(keepalive.next_deadline(at(0), &CONFIG), Some(at(25)));
        assert_eq!(keepalive.poll(at(24), &CONFIG), Action::None);
        keepalive.heard(at(24));
        assert_eq!(keepalive.poll(at(48), &CONFIG), Action::None);
        assert_eq!(keepalive.poll(at(49), &CONFIG), Action::Ping);
        assert_eq!(
            keepalive.poll(at(49), &CONFIG),
            Action::None,
            "one ping is enough"
        );
        assert_eq!(keepalive.next_deadline(at(50), &CONFIG), Some(at(59)));
        assert_eq!(keepalive.pong(at(52)), Some(Duration::from_secs(3)));
        assert_eq!(keepalive.pong(at(53)), None, "unasked");
        assert_eq!(keepalive.poll(at(77), &CONFIG), Action::None);
        assert_eq!(keepalive.poll(at(78), &CONFIG), Action::Ping);
    }

    #[test]
    fn an_interval_below_the_patience_for_pongs_is_kept() {
        let config = KeepaliveConfig {
            ping_interval: Some(Duration::from_secs(4)),
            ..CONFIG
        };
        let mut keepalive = Keepalive::new(at(0));
        assert_eq!(keepalive.poll(at(4), &config), Action::Ping);
        // Asked before the pong is there.
        assert_eq!(keepalive.next_deadline(at(4), &config), Some(at(8)));
        keepalive.pong(at(5));
        assert_eq!(keepalive.poll(at(8), &config), Action::None);
        assert_eq!(keepalive.next_deadline(at(8), &config), Some(at(9)));
        assert_eq!(keepalive.poll(at(9), &config), Action::Ping);
        // And one that never comes.
        assert_eq!(keepalive.poll(at(13), &config), Action::None);
        assert_eq!(keepalive.next_deadline(at(13), &config), Some(at(19)));
        assert_eq!(keepalive.poll(at(19), &config), Action::CloseIdle);
    }

    #[test]
    fn no_pong_closes() {
        let mut keepalive = Keepalive::new(at(0));
        assert_eq!(keepalive.poll(at(25), &CONFIG), Action::Ping);
        assert_eq!(keepalive.poll(at(34), &CONFIG), Action::None);
        assert_eq!(keepalive.poll(at(35), &CONFIG), Action::CloseIdle);
    }

    #[test]
    fn messages_prove_life_without_a_pong() {
        let mut keepalive = Keepalive::new(at(0));
        assert_eq!(keepalive.poll(at(25), &CONFIG), Action::Ping);
        keepalive.heard(at(30));
        assert_eq!(keepalive.poll(at(40), &CONFIG), Action::None);
        assert_eq!(keepalive.poll(at(55), &CONFIG), Action::Ping);
        assert_eq!(keepalive.poll(at(65), &CONFIG), Action::CloseIdle);
    }

    #[test]
    fn pongs_do_not_count_as_messages() {
        let mut keepalive = Keepalive::new(at(0));
        for second in (0..100).step_by(10) {
            keepalive.pong(at(second));
            assert_eq!(keepalive.poll(at(second), &CONFIG), Action::None);
        }
        assert_eq!(keepalive.next_deadline(at(99), &CONFIG), Some(at(100)));
        assert_eq!(keepalive.poll(at(100), &CONFIG), Action::CloseIdle);
    }

    #[test]
    fn lifetime_ends_even_a_busy_connection() {
        let mut keepalive = Keepalive::new(at(7));
        keepalive.heard(at(1006));
        assert_eq!(keepalive.poll(at(1006), &CONFIG), Action::None);
        assert_eq!(keepalive.next_deadline(at(1006), &CONFIG), Some(at(1007)));
        assert_eq!(keepalive.poll(at(1007), &CONFIG), Action::CloseLifetime);
    }

    #[test]
    fn all_off_has_no_deadline() {
        let config = KeepaliveConfig {
            ping_interval: None,
            idle_timeout: None,
            lifetime: None,
            ..CONFIG
        };
        let mut keepalive = Keepalive::new(at(0));
        assert_eq!(keepalive.next_deadline(at(5), &config), None);
        assert_eq!(keepalive.poll(at(10_000_000), &config), Action::None);
    }

    #[test]
    fn stamps_may_wrap() {
        let start = Time::from_nanos((u64::from(u32::MAX) - 500) * 1_000_000);
        let mut keepalive = Keepalive::new(start);
        assert_eq!(
            keepalive.poll(start + Duration::from_secs(24), &CONFIG),
            Action::None
        );
        let due = start + Duration::from_secs(25);
        assert_eq!(keepalive.next_deadline(start, &CONFIG), Some(due));
        assert_eq!(keepalive.poll(due, &CONFIG), Action::Ping);
        assert_eq!(
            keepalive.pong(due + Duration::from_millis(7)),
            Some(Duration::from_millis(7))
        );
    }

    #[test]
    fn spans_beyond_the_stamps_count_as_the_longest() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let config = KeepaliveConfig {
            lifetime: Some(days(50)),
            ping_interval: None,
            idle_timeout: None,
            ..CONFIG
        };
        let mut keepalive = Keepalive::new(at(0));
        assert_eq!(keepalive.poll(at(0) + days(24), &config), Action::None);
        assert_eq!(
            keepalive.poll(at(0) + days(25), &config),
            Action::CloseLifetime
        );
    }

    #[test]
    fn a_deadline_is_never_too_early_for_poll() {
        let start = Time::from_nanos(1_999_999);
        let mut keepalive = Keepalive::new(start);
        let deadline = keepalive
            .next_deadline(start, &CONFIG)
            .expect("pings are on");
        assert_eq!(keepalive.poll(deadline, &CONFIG), Action::Ping);
    }
}
