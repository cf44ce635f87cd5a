//! Many seeds, on all cores, and what they came to together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use hioload_reactor::sim::{DiskFault, DiskFaultCounts, Fault, FaultCounts};

use crate::event::{Event, EventCounts};
use crate::{Outcome, Suite, run};

/// What a set of seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs.
    pub count: u64,
    /// Virtual seconds, all together.
    pub seconds: f64,
    /// How often each fault of the network fired.
    pub faults: FaultCounts,
    /// How often each fault of the disk fired.
    pub disk: DiskFaultCounts,
    /// What else happened.
    pub events: EventCounts,
    /// Seed and message of each failed run, by seed.
    pub failures: Vec<(u64, String)>,
}

impl Summary {
    /// Adds one run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.count += 1;
        self.seconds += outcome.seconds;
        self.faults += outcome.faults;
        self.disk += outcome.disk;
        self.events += outcome.events;
        if let Some(failure) = &outcome.failure {
            self.failures.push((outcome.seed, failure.clone()));
            self.failures.sort();
        }
    }

    /// Whether so many seeds of that suite have to show every fault and event.
    #[must_use]
    pub fn has_to_cover(&self, suite: Suite) -> bool {
        self.count >= suite.coverage_seeds_min()
    }

    /// Names of faults and events of that suite that never came up.
    #[must_use]
    pub fn never(&self, suite: Suite) -> Vec<&'static str> {
        let faults = self.faults.never_fired().map(Fault::name);
        let disk = self.disk.never_fired().map(DiskFault::name);
        let disk = disk.filter(|_| suite == Suite::Store);
        let events = self.events.never_happened(suite).map(Event::name);
        faults.chain(disk).chain(events).collect()
    }
}

/// Runs `count` seeds from `first` on, as many at a time as there are cores; `each` hears of every
/// run as it ends.
pub fn run_many(suite: Suite, first: u64, count: u64, each: impl Fn(&Outcome) + Sync) -> Summary {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let summary = Mutex::new(Summary::default());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let outcome = run(suite, first.wrapping_add(index));
                    each(&outcome);
                    let mut summary = summary.lock().expect("invariant: runs do not panic");
                    summary.add(&outcome);
                }
            });
        }
    });
    summary.into_inner().expect("invariant: runs do not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_to_show_everything_from_the_size_of_its_suite_on() {
        for suite in Suite::ALL {
            let min = suite.coverage_seeds_min();
            for (count, has_to) in [(0, false), (1, false), (min - 1, false), (min, true)] {
                let summary = Summary {
                    count,
                    ..Summary::default()
                };
                assert_eq!(summary.has_to_cover(suite), has_to, "{count} seeds");
                assert!(!summary.never(suite).is_empty());
            }
        }
    }
}
