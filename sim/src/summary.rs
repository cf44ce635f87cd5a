//! Many seeds, on all cores, and what they came to together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use hioload_reactor::sim::{DiskFault, DiskFaultCounts, Fault, FaultCounts};

use crate::event::{Event, EventCounts};
use crate::{Outcome, Suite, run};

/// A set of at least so many seeds has to show every fault and event.
pub const COVERAGE_SEEDS_MIN: u64 = 100;

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
