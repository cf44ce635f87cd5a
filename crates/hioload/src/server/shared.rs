//! What workers and other threads read of each other: connection counts and counters. Written by
//! one worker each, read by anybody, relaxed: no decision depends on two values agreeing. Beside them what each worker
//! is ordered to do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hioload_streams::Total;

use super::orders::Orders;
use super::stats::Stats;

/// Below this many connections on a worker, an uneven spread is left alone.
const BALANCE_FROM: u64 = 64;

/// Shared by all workers of a server.
pub(crate) struct Shared {
    workers: Box<[Slot]>,
    is_draining: AtomicBool,
    /// Streams of all workers.
    pub(super) streams: Total,
}

#[repr(align(128))]
struct Slot {
    connections: AtomicU64,
    values: [AtomicU64; Stats::COUNT],
    orders: Orders,
}

impl Shared {
    pub(crate) fn new(workers: usize) -> Self {
        let slot = |_| Slot {
            connections: AtomicU64::new(0),
            values: [const { AtomicU64::new(0) }; Stats::COUNT],
            orders: Orders::default(),
        };
        Self {
            workers: (0..workers).map(slot).collect(),
            is_draining: AtomicBool::new(false),
            streams: Total::new(0),
        }
    }

    /// A shutdown was asked for. Only told to outsiders; workers get an order.
    pub(super) fn set_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    pub(super) fn set_connections(&self, worker: usize, count: usize) {
        self.workers[worker]
            .connections
            .store(count as u64, Ordering::Relaxed);
    }

    /// Where a worker is told what to do.
    pub(super) fn orders(&self, worker: usize) -> &Orders {
        &self.workers[worker].orders
    }

    /// No worker has a connection.
    pub(super) fn is_empty(&self) -> bool {
        let mut counts = self
            .workers
            .iter()
            .map(|slot| slot.connections.load(Ordering::Relaxed));
        counts.all(|count| count == 0)
    }

    /// The worker that should take a connection which came to `worker`, when that one has more
    /// than 20 % above the least loaded.
    pub(super) fn balance(&self, worker: usize, count: usize) -> Option<usize> {
        if self.workers.len() == 1 || (count as u64) < BALANCE_FROM {
            return None;
        }
        let loads = self
            .workers
            .iter()
            .map(|slot| slot.connections.load(Ordering::Relaxed));
        let (least, load) = loads.enumerate().min_by_key(|(_, load)| *load)?;
        (least != worker && count as u64 > load + load / 5 + BALANCE_FROM / 4).then_some(least)
    }

    pub(super) fn set_stats(&self, worker: usize, stats: &Stats) {
        for (cell, value) in self.workers[worker].values.iter().zip(stats.values()) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// The counters of each worker, as they last wrote them.
    pub(crate) fn stats(&self) -> Vec<Stats> {
        let read = |slot: &Slot| {
            Stats::from_values(std::array::from_fn(|i| {
                slot.values[i].load(Ordering::Relaxed)
            }))
        };
        self.workers.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_imbalance_moves_connections() {
        let shared = Shared::new(2);
        shared.set_connections(0, 100);
        shared.set_connections(1, 90);
        assert_eq!(shared.balance(0, 100), None, "within 20 %");
        shared.set_connections(1, 60);
        assert_eq!(shared.balance(0, 100), Some(1));
        assert_eq!(
            shared.balance(1, 60),
            None,
            "the least loaded keeps its own"
        );
        assert_eq!(Shared::new(1).balance(0, 5000), None);
    }
}
