//! The server under test, turn by turn: workers on a virtual network, and what must hold after every
//! single turn.

use std::net::SocketAddr;
use std::time::Duration;

use hioload::simulation::{Group, GroupConfig, SteppedWorker, group};
use hioload::{Handler, ServerHandle, Stats};
use hioload_base::{Prng, Time};
use hioload_reactor::sim::{SimDriver, SimNet};
use hioload_reactor::{Completions, Driver, Wait};

use crate::event::{Event, Notes};
use crate::plan::Plan;

/// Turns a worker may take to see the end of what was in flight when it stopped.
const LAST_TURNS_MAX: usize = 1000;

/// So many steps with nothing to do take at least so long.
const QUIET_STEPS_MAX: u64 = 1000;
const QUIET_TIME_MIN: Duration = Duration::from_millis(3);

/// The longest stand-still of a worker, in steps.
const STALL_STEPS_MAX: u64 = 60;

/// Network and server.
pub(crate) struct World {
    pub(crate) net: SimNet,
    pub(crate) notes: Notes,
    workers: Vec<Seat>,
    /// Lets time pass when all workers have ended.
    clock: SimDriver,
    handle: ServerHandle,
    limits: Bounds,
    prng: Prng,
    stall_chance: u64,
    /// Steps since a worker had something to do, and when that was.
    quiet: (u64, Time),
}

struct Seat {
    /// Gone once it has stopped.
    worker: Option<SteppedWorker>,
    stats: Stats,
    /// Steps it stands still for.
    stalled: u64,
}

/// What no worker may exceed, in bytes.
struct Bounds {
    pool: u64,
    log: u64,
    assembly: u64,
}

impl World {
    pub(crate) fn new(
        plan: &Plan,
        net: SimNet,
        notes: Notes,
        prng: &mut Prng,
        make_handler: &dyn Fn(usize) -> Box<dyn Handler>,
    ) -> Self {
        let config = GroupConfig {
            addr: Self::addr(),
            settings: plan.settings.clone(),
            worker: plan.worker.clone(),
            ring: plan.ring,
            pool: plan.pool(),
            seed: prng.next_u64(),
            shutdown_timeout: Duration::from_secs(5),
            shutdown_pace: plan.shutdown_pace,
        };
        let driver = |_| Box::new(net.driver(plan.driver.clone())) as Box<dyn Driver>;
        let drivers = (0..plan.workers).map(driver).collect();
        let made = group(&config, drivers, make_handler, None);
        let Group {
            workers, handle, ..
        } = made.expect("a virtual port and some memory");
        let clock = net.driver(plan.driver.clone());
        let seat = |worker| Seat {
            worker: Some(worker),
            stats: Stats::default(),
            stalled: 0,
        };
        Self {
            net,
            notes,
            workers: workers.into_iter().map(seat).collect(),
            clock,
            handle,
            limits: Bounds {
                pool: plan.memory as u64,
                log: plan.settings.channel.budget_worker as u64,
                assembly: plan.settings.assembly_max as u64,
            },
            prng: prng.fork(),
            stall_chance: plan.stall_chance,
            quiet: (0, Time::ZERO),
        }
    }

    pub(crate) fn addr() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 9002))
    }

    pub(crate) fn now(&self) -> Time {
        self.net.now()
    }

    /// One turn of every worker, in an order of chance; time moves by at most `wait`.
    pub(crate) fn step(&mut self, wait: Duration) {
        let count = self.workers.len();
        let first = self.prng.below(count as u64) as usize;
        let mut handled = 0;
        for place in 0..count {
            let seat = &mut self.workers[(first + place) % count];
            if seat.stalled > 0 {
                seat.stalled -= 1;
                continue;
            }
            if self.prng.chance(self.stall_chance, 10_000) {
                seat.stalled = 1 + self.prng.below(STALL_STEPS_MAX);
                self.notes.add(Event::WorkerStalled);
                continue;
            }
            handled += seat.turn(wait, &self.limits);
        }
        self.check_rest(handled);
        if self.is_over() {
            let turned = self.clock.turn(Wait::For(wait), &mut Completions::new());
            turned.expect("a simulated driver does not break");
        }
    }

    /// Workers with nothing to do wait, and time goes on. Who does not wait stays at a microsecond a
    /// turn.
    fn check_rest(&mut self, handled: usize) {
        let now = self.now();
        if handled > 0 {
            self.quiet = (0, now);
            return;
        }
        self.quiet.0 += 1;
        let (steps, since) = self.quiet;
        assert!(
            steps < QUIET_STEPS_MAX || now - since >= QUIET_TIME_MIN,
            "workers turn in circles: {steps} steps with nothing to do within {:?}",
            now - since
        );
    }

    /// No more faults, and no worker stands still.
    pub(crate) fn heal(&mut self) {
        self.net.heal();
        self.stall_chance = 0;
        for seat in &mut self.workers {
            seat.stalled = 0;
        }
    }

    pub(crate) fn shutdown(&self) {
        self.handle.shutdown();
    }

    /// All workers have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.workers.iter().all(|seat| seat.worker.is_none())
    }

    /// The counters of each worker.
    pub(crate) fn worker_stats(&self) -> impl Iterator<Item = &Stats> {
        self.workers.iter().map(|seat| &seat.stats)
    }

    /// The counters of all workers together.
    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.worker_stats() {
            sum += *stats;
        }
        sum
    }

    /// Operations in flight on all workers.
    pub(crate) fn in_flight(&self) -> u64 {
        let workers = self.workers.iter().filter_map(|seat| seat.worker.as_ref());
        workers.map(|worker| worker.driver_stats().in_flight).sum()
    }
}

impl Seat {
    /// Returns how many things were handled.
    fn turn(&mut self, wait: Duration, bounds: &Bounds) -> usize {
        let Some(worker) = &mut self.worker else {
            return 0;
        };
        let handled = worker
            .turn(Wait::For(wait))
            .expect("a simulated driver does not break");
        self.stats = worker.stats();
        bounds.check(&self.stats);
        if !worker.is_stopped() {
            return handled;
        }
        // Its thread would drop it now, which drains the driver: that must come to an end.
        let mut turns = 0;
        while worker.driver_stats().in_flight > 0 {
            worker
                .turn(Wait::For(wait))
                .expect("a simulated driver does not break");
            turns += 1;
            assert!(
                turns < LAST_TURNS_MAX,
                "{} operations stay in flight after the worker stopped",
                worker.driver_stats().in_flight
            );
        }
        self.stats = worker.stats();
        self.worker = None;
        handled
    }
}

impl Bounds {
    fn check(&self, stats: &Stats) {
        assert!(
            stats.pool_mapped <= self.pool && stats.pool_in_use <= stats.pool_mapped,
            "the pool holds {} of {} bytes in use, its budget is {}",
            stats.pool_in_use,
            stats.pool_mapped,
            self.pool
        );
        assert!(
            stats.log_size <= self.log,
            "logs take {} bytes, their budget is {}",
            stats.log_size,
            self.log
        );
        assert!(
            stats.assembly_size <= self.assembly,
            "unfinished messages take {} bytes, at most {} are allowed",
            stats.assembly_size,
            self.assembly
        );
    }
}
