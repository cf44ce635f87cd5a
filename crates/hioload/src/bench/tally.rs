//! What is counted: everything always for the proof, the window for the figures.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Longest latency told apart: an hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Counters of a run. `messages` and latencies count inside the window only, the rest always.
#[derive(Debug)]
pub(super) struct Tally {
    /// Inside the window now.
    pub(super) is_open: bool,
    /// Echoes, deliveries or handshakes.
    pub(super) messages: u64,
    /// Publications sent.
    pub(super) publications: u64,
    /// Payloads that came back different.
    pub(super) corrupted: u64,
    /// Messages that nobody asked for.
    pub(super) unexpected: u64,
    /// Connections that could not be made, or whose handshake failed.
    pub(super) connections_failed: u64,
    /// The first reason of them.
    pub(super) failure_first: Option<String>,
    /// Connections that ended before the load ended them.
    pub(super) connections_lost: u64,
    /// Close codes of those; 1006: without a close frame.
    pub(super) close_codes: BTreeMap<u16, u64>,
    /// Close codes of the subscribers that never read, once they were read at the end.
    pub(super) stalled_codes: BTreeMap<u16, u64>,
    latency: Histogram<u64>,
    /// Latencies of one value, not yet in the histogram: deliveries of a batch have the same.
    run: (u64, u64),
}

impl Tally {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .expect("invariant: constant bounds are legal");
        Self {
            is_open: false,
            messages: 0,
            publications: 0,
            corrupted: 0,
            unexpected: 0,
            connections_failed: 0,
            failure_first: None,
            connections_lost: 0,
            close_codes: BTreeMap::new(),
            stalled_codes: BTreeMap::new(),
            latency,
            run: (0, 0),
        }
    }

    /// A message that took `latency_ns`.
    #[inline]
    pub(super) fn message(&mut self, latency_ns: u64) {
        if !self.is_open {
            return;
        }
        self.messages += 1;
        if self.run.0 != latency_ns {
            self.flush();
            self.run.0 = latency_ns;
        }
        self.run.1 += 1;
    }

    fn flush(&mut self) {
        let (latency_ns, count) = std::mem::take(&mut self.run);
        if count > 0 {
            self.latency.saturating_record_n(latency_ns, count);
        }
    }

    /// A connection that could not be made.
    pub(super) fn failure(&mut self, why: impl FnOnce() -> String) {
        self.connections_failed += 1;
        self.failure_first.get_or_insert_with(why);
    }

    /// A connection that ended before its time, with this close code.
    pub(super) fn loss(&mut self, code: u16) {
        self.connections_lost += 1;
        *self.close_codes.entry(code).or_default() += 1;
    }

    /// The server had thrown out one that never reads.
    pub(super) fn stalled_end(&mut self, code: u16) {
        *self.stalled_codes.entry(code).or_default() += 1;
    }

    /// Quantiles of latency; `None` when nothing was measured.
    pub(super) fn latency(&mut self) -> Option<Latency> {
        self.flush();
        let at = |quantile| self.latency.value_at_quantile(quantile);
        (!self.latency.is_empty()).then(|| Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.latency.max(),
        })
    }
}

/// Quantiles of latency in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_counts() {
        let mut tally = Tally::new();
        tally.message(5);
        assert_eq!((tally.messages, tally.latency()), (0, None));
        tally.is_open = true;
        tally.message(7);
        assert_eq!(tally.messages, 1);
        assert_eq!(tally.latency().map(|latency| latency.max), Some(7));
    }

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let mut tally = Tally::new();
        tally.is_open = true;
        for value in 1..=100_000 {
            tally.message(value);
            tally.message(value);
        }
        let latency = tally.latency().expect("measured");
        for (value, expected) in [(latency.p50, 50_000.0), (latency.p99, 99_000.0)] {
            assert!(
                (value as f64 / expected - 1.0).abs() < 0.001,
                "{value} for {expected}"
            );
        }
        assert_eq!(tally.messages, 200_000);
    }

    #[test]
    fn a_latency_beyond_the_range_is_kept_at_its_end() {
        let mut tally = Tally::new();
        tally.is_open = true;
        tally.message(u64::MAX);
        assert!(
            tally
                .latency()
                .is_some_and(|latency| latency.max >= LATENCY_NS_MAX)
        );
    }

    #[test]
    fn losses_are_sorted_by_code() {
        let mut tally = Tally::new();
        tally.loss(1013);
        tally.loss(1006);
        tally.loss(1013);
        assert_eq!(tally.connections_lost, 3);
        assert_eq!(tally.close_codes, BTreeMap::from([(1006, 1), (1013, 2)]));
    }
}
