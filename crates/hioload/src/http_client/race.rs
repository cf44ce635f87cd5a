//! The addresses of one connection while it is made: several are tried at a time, and the first that answers is taken.
//!
//! ```text
//!   addresses ─ families in turn ─▶ attempt ─ 250 ms, or a refusal ─▶ attempt ─ … ─▶ the first to answer wins
//! ```
//!
//! Knows neither drivers nor names. Invariant: at most [`ATTEMPTS_MAX`] are under way.
//!
//! Spec: RFC 8305 4, 5.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use hioload_base::Time;
use hioload_reactor::SocketId;

/// Attempts under way at one time.
pub(super) const ATTEMPTS_MAX: usize = 4;

/// How long an attempt has before the next address is tried beside it (RFC 8305 5).
const DELAY: Duration = Duration::from_millis(250);

/// How long the oldest attempt has when no more may be under way: it gives way to the next address.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who is tried, and who is next.
#[derive(Debug, Default)]
pub(super) struct Race {
    addresses: VecDeque<SocketAddr>,
    attempts: VecDeque<SocketId>,
    /// When the last attempt began.
    since: Time,
}

impl Race {
    /// The addresses, in the order they are to be tried: as they are preferred, but families take turns.
    pub(super) fn enter(&mut self, addresses: Vec<SocketAddr>) {
        let is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
        let (first, other): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|address| address.is_ipv6() == is_ipv6);
        let mut other = other.into_iter();
        for address in first {
            self.addresses.push_back(address);
            self.addresses.extend(other.next());
        }
        self.addresses.extend(other);
    }

    /// The next address.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        self.addresses.pop_front()
    }

    /// An attempt begins.
    pub(super) fn begun(&mut self, socket: SocketId, now: Time) {
        self.attempts.push_back(socket);
        self.since = now;
    }

    /// The socket is one of an attempt.
    pub(super) fn has(&self, socket: SocketId) -> bool {
        self.attempts.contains(&socket)
    }

    /// An attempt is over.
    pub(super) fn over(&mut self, socket: SocketId) {
        self.attempts.retain(|attempt| *attempt != socket);
    }

    /// Somebody is still tried.
    pub(super) fn is_on(&self) -> bool {
        !self.attempts.is_empty()
    }

    /// The attempt that gives way if another is to begin.
    pub(super) fn give_way(&mut self) -> Option<SocketId> {
        let is_full = self.attempts.len() >= ATTEMPTS_MAX;
        is_full.then(|| self.attempts.pop_front()).flatten()
    }

    /// All attempts, which are no longer wanted; and no address is any more.
    pub(super) fn end(&mut self) -> VecDeque<SocketId> {
        self.addresses.clear();
        std::mem::take(&mut self.attempts)
    }

    /// When the next address is to be tried, if nobody answers before.
    pub(super) fn due(&self) -> Option<Time> {
        let delay = if self.attempts.len() < ATTEMPTS_MAX {
            DELAY
        } else {
            PATIENCE
        };
        (!self.addresses.is_empty() && self.is_on()).then(|| self.since + delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_the_preferred_one_begins() {
        let order = |addresses: &[&str]| {
            let mut race = Race::default();
            let parsed = addresses
                .iter()
                .map(|address| address.parse().expect("one"));
            race.enter(parsed.collect());
            let order = std::iter::from_fn(|| race.next());
            order.map(|address| address.to_string()).collect::<Vec<_>>()
        };
        let [a, b, c, d] = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1"];
        assert_eq!(order(&[a, b, c, d]), [a, d, b, c]);
        assert_eq!(order(&[d, a, b, c]), [d, a, b, c]);
        assert_eq!(order(&[a, b]), [a, b]);
        assert_eq!(order(&[]), [""; 0]);
    }
}
