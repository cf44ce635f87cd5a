//! One life of a server with a store: workers and controller, turn by turn, on a machine that may go down.

use std::time::Duration;

use hioload::simulation::{
    Group, GroupConfig, GroupStore, SteppedController, SteppedWorker, group,
};
use hioload::{Echo, ServerHandle, Stats};
use hioload_base::{Prng, Time};
use hioload_blocks::{ControllerStats, LocalStats};
use hioload_reactor::sim::SimNet;
use hioload_reactor::{Driver, StartError, Wait};

use super::machine::{Machine, MachineIndex};
use super::plan::Plan;
use crate::event::{Event, Notes};
use crate::world::World;

/// The longest stand-still, in steps.
const STALL_STEPS_MAX: u64 = 40;
/// So many steps with nothing to do take at least so long.
const QUIET_STEPS_MAX: u64 = 1000;
const QUIET_TIME_MIN: Duration = Duration::from_millis(3);

/// A server that runs.
pub(super) struct Server {
    workers: Vec<Option<SteppedWorker>>,
    controller: SteppedController,
    handle: ServerHandle,
    machine: Machine,
    /// What workers that have ended had done.
    ended: Stats,
    /// Steps each stands still for, the controller last.
    stalled: Vec<u64>,
    stall_chance: u64,
    memory: u64,
    /// Leases refused in time so far.
    refused: u64,
    /// Steps since anybody had something to do, and when that was.
    quiet: (u64, Time),
    net: SimNet,
    prng: Prng,
    notes: Notes,
}

impl Server {
    /// # Errors
    /// What the server says when it cannot start.
    pub(super) fn start(
        plan: &Plan,
        net: &SimNet,
        machine: &Machine,
        prng: &mut Prng,
        notes: &Notes,
    ) -> Result<Self, StartError> {
        let config = GroupConfig {
            addr: World::addr(),
            settings: plan.settings.clone(),
            worker: plan.worker.clone(),
            ring: plan.ring,
            pool: plan.pool(),
            seed: prng.next_u64(),
            shutdown_timeout: Duration::from_secs(5),
            shutdown_pace: 0,
        };
        let driver = |_| Box::new(net.driver(plan.driver.clone())) as Box<dyn Driver>;
        let drivers = (0..plan.workers).map(driver).collect();
        let store = GroupStore {
            config: plan.store.clone(),
            index: Box::new(MachineIndex::new(machine)),
            disk: Box::new(machine.clone()),
            file: machine.file(),
            driver: driver(0),
        };
        let Group {
            workers,
            controller,
            handle,
        } = group(&config, drivers, &|_| Box::new(Echo), Some(store))?;
        Ok(Self {
            stalled: vec![0; workers.len() + 1],
            workers: workers.into_iter().map(Some).collect(),
            controller: controller.expect("invariant: a group with a store"),
            handle,
            machine: machine.clone(),
            ended: Stats::default(),
            stall_chance: plan.stall_chance,
            memory: plan.memory as u64,
            refused: 0,
            quiet: (0, net.now()),
            net: net.clone(),
            prng: prng.fork(),
            notes: notes.clone(),
        })
    }

    /// One turn of everybody, in an order of chance; nobody has another one once the power is off.
    pub(super) fn step(&mut self, wait: Duration) {
        let count = self.stalled.len();
        let first = self.prng.below(count as u64) as usize;
        let mut had_work = false;
        for place in (0..count).map(|place| (first + place) % count) {
            if self.stalled[place] > 0 {
                self.stalled[place] -= 1;
                had_work = true;
                continue;
            }
            if self.prng.chance(self.stall_chance, 10_000) {
                self.stalled[place] = 1 + self.prng.below(STALL_STEPS_MAX);
                self.notes.add(if place + 1 < count {
                    Event::WorkerStalled
                } else {
                    Event::ControllerStalled
                });
                continue;
            }
            had_work |= match self.workers.get_mut(place) {
                Some(worker) => turn(worker, wait, self.memory, &mut self.ended),
                None => self.turn_controller(wait),
            };
            if self.machine.is_off() {
                return;
            }
        }
        self.check_rest(had_work);
    }

    fn turn_controller(&mut self, wait: Duration) -> bool {
        let had_work = self
            .controller
            .turn(wait)
            .expect("a simulated driver does not break");
        let stats = self.controller.stats();
        let refused = stats.leases_refused - stats.leases_refused_late;
        if refused > self.refused {
            self.notes
                .add_many(Event::RefusedForGood, refused - self.refused);
            self.refused = refused;
            let pools = self.store_stats().into_iter().flat_map(|local| local.pools);
            let at_hand: u64 = pools.map(|pool| pool.free).sum();
            assert_eq!(
                at_hand, 0,
                "space is refused to a PUT while workers have blocks at hand"
            );
        }
        had_work
    }

    /// Those with nothing to do wait, and time goes on.
    fn check_rest(&mut self, had_work: bool) {
        let now = self.net.now();
        if had_work {
            self.quiet = (0, now);
            return;
        }
        self.quiet.0 += 1;
        let (steps, since) = self.quiet;
        assert!(
            steps < QUIET_STEPS_MAX || now - since >= QUIET_TIME_MIN,
            "everybody turns in circles: {steps} steps with nothing to do within {:?}",
            now - since
        );
    }

    pub(super) fn heal(&mut self) {
        self.stall_chance = 0;
        self.stalled.fill(0);
    }

    pub(super) fn shutdown(&self) {
        self.handle.shutdown();
    }

    /// All workers have ended.
    pub(super) fn is_over(&self) -> bool {
        self.workers.iter().all(Option::is_none)
    }

    /// The end of the controller, after that of the workers; true when all is durable.
    pub(super) fn finish(&mut self) -> bool {
        self.controller.finish().is_ok()
    }

    pub(super) fn stats(&mut self) -> Stats {
        let mut sum = self.ended;
        for worker in self.workers.iter_mut().flatten() {
            sum += worker.stats();
        }
        sum
    }

    pub(super) fn store_stats(&mut self) -> Vec<LocalStats> {
        let workers = self.workers.iter_mut().flatten();
        workers.filter_map(SteppedWorker::store_stats).collect()
    }

    pub(super) fn controller_stats(&self) -> ControllerStats {
        self.controller.stats()
    }

    /// Free map, leases and counts agree.
    pub(super) fn check(&self) {
        if let Err(inconsistency) = self.controller.check() {
            panic!("the free map: {inconsistency:?}");
        }
    }
}

fn turn(seat: &mut Option<SteppedWorker>, wait: Duration, memory: u64, ended: &mut Stats) -> bool {
    let Some(worker) = seat else {
        return false;
    };
    let handled = worker
        .turn(Wait::For(wait))
        .expect("a simulated driver does not break");
    let stats = worker.stats();
    assert!(
        stats.pool_mapped <= memory && stats.pool_in_use <= stats.pool_mapped,
        "the pool holds {} of {} bytes in use, its budget is {memory}",
        stats.pool_in_use,
        stats.pool_mapped
    );
    if worker.is_stopped() {
        *ended += stats;
        *seat = None;
    }
    handled > 0
}
