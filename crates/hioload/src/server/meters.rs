//! A worker's figures as metrics: the table of [`Stats`], and distributions.
//!
//! Written by the worker each time it publishes its counters, read when somebody scrapes.

use std::time::Duration;

use hioload_control::{
    Builder, Counter, CounterId, Gauge, GaugeId, Histogram, HistogramId, Meter, Registry, Seat,
};

use super::stats::{GAUGES, Stats};
use super::store::{StoreCatalogue, StoreMeters};

/// Names and places of all metrics.
#[derive(Clone, Debug)]
pub(super) struct Catalogue {
    /// In the order of [`Stats::names`].
    stats: Vec<StatId>,
    round_trip: HistogramId,
    /// Where blocks are stored.
    store: Option<StoreCatalogue>,
}

#[derive(Clone, Copy, Debug)]
enum StatId {
    Counter(CounterId),
    Gauge(GaugeId),
}

impl Catalogue {
    /// The metrics of a server, to be read from the registry and written from the seats.
    pub(super) fn build(workers: usize, has_store: bool) -> (Self, Registry, Vec<Seat>) {
        const OURS: &str = "invariant: names of fields are names of metrics, each given once";
        let mut builder = Builder::new();
        let mut stats = Vec::with_capacity(Stats::COUNT);
        for (name, help) in Stats::names().into_iter().zip(Stats::helps()) {
            let full = format!("hioload_{name}");
            stats.push(if GAUGES.contains(&name) {
                StatId::Gauge(builder.gauge(&full, help).expect(OURS))
            } else {
                StatId::Counter(builder.counter(&full, help).expect(OURS))
            });
        }
        let round_trip = builder
            .histogram(
                "hioload_round_trip_seconds",
                "From a ping to its pong, to the millisecond.",
            )
            .expect(OURS);
        let store = has_store.then(|| StoreCatalogue::build(&mut builder));
        let (registry, seats) = builder.build(workers);
        let catalogue = Self {
            stats,
            round_trip,
            store,
        };
        (catalogue, registry, seats)
    }

    /// The worker's own metrics, on its thread.
    pub(super) fn meters(&self, meter: &Meter) -> Meters {
        let stat = |id: &StatId| match *id {
            StatId::Counter(id) => Stat::Counter(meter.counter(id)),
            StatId::Gauge(id) => Stat::Gauge(meter.gauge(id)),
        };
        Meters {
            stats: self.stats.iter().map(stat).collect(),
            round_trip: meter.histogram(self.round_trip),
            store: self.store.as_ref().map(|store| store.meters(meter)),
        }
    }
}

enum Stat {
    Counter(Counter),
    Gauge(Gauge),
}

/// The metrics of one worker.
pub(super) struct Meters {
    stats: Vec<Stat>,
    round_trip: Histogram,
    store: Option<StoreMeters>,
}

impl Meters {
    pub(super) fn publish(&self, stats: &Stats) {
        for (stat, value) in self.stats.iter().zip(stats.values()) {
            match stat {
                Stat::Counter(counter) => counter.publish(value),
                Stat::Gauge(gauge) => gauge.set(value.cast_signed()),
            }
        }
    }

    /// Those of the block store.
    pub(super) fn store(&self) -> Option<&StoreMeters> {
        self.store.as_ref()
    }

    pub(super) fn observe_round_trip(&self, round_trip: Duration) {
        self.round_trip.observe(round_trip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_publishes_is_summed_at_scrape() {
        let (catalogue, registry, seats) = Catalogue::build(2, true);
        for (place, seat) in (1..).zip(seats) {
            let meters = catalogue.meters(&seat.take());
            meters.publish(&Stats {
                sessions: 10 * place,
                accepted: place,
                ..Stats::default()
            });
            meters.observe_round_trip(Duration::from_millis(3));
        }
        let text = registry.to_prometheus();
        for line in [
            "# TYPE hioload_sessions gauge",
            "hioload_sessions 30",
            "# TYPE hioload_accepted counter",
            "hioload_accepted_total 3",
            "hioload_round_trip_seconds_count 2",
            "# TYPE hioload_blocks_puts gauge",
            "hioload_blocks_stored_total 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
