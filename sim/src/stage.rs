//! One run from its first step to its last, and what must hold at the end.
//!
//! ```text
//!   storm: faults, slow readers, hostile clients
//!   calm:  faults stop, all read; everything that was sent arrives
//!   end:   all leave, nothing is left; or the server shuts down and tells everybody
//! ```

use std::time::Duration;

use hioload::{Handler, Stats};
use hioload_base::{Prng, Time};
use hioload_reactor::sim::{Fault, FaultCounts, SimNet};

use crate::broadcast::Broadcast;
use crate::client::End;
use crate::echo::Echo;
use crate::event::{Event, Notes};
use crate::hostile::Hostile;
use crate::plan::{Plan, Scenario};
use crate::world::World;

/// Time moves by at most so much while clients are at work.
const STEP: Duration = Duration::from_millis(1);
/// And by so much while only the server is.
const STEP_IDLE: Duration = Duration::from_millis(20);
/// Virtual time in which everything has to arrive once the faults have stopped.
const CALM_MAX: Duration = Duration::from_secs(120);
/// Virtual time in which the server has to end connections that take nothing: ping, pong and close
/// timeouts, with room.
const DEAF_MAX: Duration = Duration::from_secs(40);
/// Virtual time in which every trace of clients has to go once they have left: timeouts and linger.
const EMPTY_MAX: Duration = Duration::from_secs(30);
/// Virtual time in which a shutdown has to end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(12);
/// Steps of a crowd that talks all at once when the shutdown comes.
const HURRY_STEPS: usize = 5;
/// Bytes that a worker without connections may keep: its two open output buffers, of which the
/// second is as large as the largest reply.
const KEPT_SIZE_MAX: u64 = (4 + 256) * 1024;

/// The friendly clients of a scenario.
pub(crate) trait Cast {
    /// Every client does what it does at this time.
    fn step(&mut self, world: &World);

    /// The storm is over: everybody reads, and says what is left to say.
    fn calm_down(&mut self, world: &World);

    /// All that was sent has arrived.
    fn is_settled(&self) -> bool;

    /// What is still missing, for a failure's message.
    fn missing(&self) -> String;

    /// Everybody has much to say at once.
    fn hurry(&mut self);

    /// Everybody leaves in order.
    fn leave(&mut self);

    /// No client has a connection any more, but for those that hear nothing.
    fn is_gone(&self) -> bool;

    /// Drops the connections that are left.
    fn drop_all(&mut self);

    /// How each connection ended that did not end as its client wished.
    fn losses(&self) -> &[Loss];

    /// Checks what is to be checked of the whole run.
    fn verify(&self, end: &Ending<'_>);

    /// A digest of everything that was received.
    fn digest(&self) -> u64;
}

/// A connection that ended against its client's will.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// Its client never made the server wait.
    pub(crate) is_fair: bool,
    #[expect(dead_code, reason = "shown in the message of a failure")]
    pub(crate) end: End,
    #[expect(dead_code, reason = "shown in the message of a failure")]
    pub(crate) at: Time,
}

/// A run's end.
pub(crate) struct Ending<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) stats: Stats,
    pub(crate) faults: FaultCounts,
    pub(crate) notes: &'a Notes,
}

/// Runs a plan; returns a digest of what clients received.
pub(crate) fn run(plan: &Plan, net: &SimNet, notes: &Notes, prng: &mut Prng) -> u64 {
    let make_handler: &dyn Fn(usize) -> Box<dyn Handler> = match plan.scenario {
        Scenario::Echo => &|_| Box::new(hioload::Echo),
        Scenario::Broadcast => &|_| Box::new(crate::broadcast::Rooms),
    };
    let world = World::new(plan, net.clone(), notes.clone(), prng, make_handler);
    let cast: Box<dyn Cast> = match plan.scenario {
        Scenario::Echo => Box::new(Echo::new(plan, &world, prng)),
        Scenario::Broadcast => Box::new(Broadcast::new(plan, &world, prng)),
    };
    let path = match plan.scenario {
        Scenario::Echo => "/",
        Scenario::Broadcast => "/0",
    };
    let hostile = (0..plan.hostile)
        .map(|_| Hostile::new(path, prng.fork(), notes.clone()))
        .collect();
    Stage {
        plan,
        world,
        cast,
        hostile,
        notes,
    }
    .play()
}

struct Stage<'a> {
    plan: &'a Plan,
    world: World,
    cast: Box<dyn Cast>,
    hostile: Vec<Hostile>,
    notes: &'a Notes,
}

impl Stage<'_> {
    fn play(mut self) -> u64 {
        let storm_end = Time::ZERO + self.plan.storm;
        while self.world.now() < storm_end {
            self.step(STEP);
        }
        self.world.heal();
        self.hostile.iter_mut().for_each(Hostile::stop);
        self.cast.calm_down(&self.world);
        self.until(STEP, CALM_MAX, "everything arrives", |stage| {
            stage.cast.is_settled()
        });
        if self.plan.shutdown_busy {
            self.shut_down();
        } else {
            self.empty();
            self.shut_down();
        }
        let stats = self.world.stats();
        self.note(&stats);
        self.check_losses(&stats);
        check_sessions(&stats);
        let faults = self.world.net.faults();
        self.cast.verify(&Ending {
            plan: self.plan,
            stats,
            faults,
            notes: self.notes,
        });
        self.cast.digest()
    }

    fn step(&mut self, wait: Duration) {
        self.world.step(wait);
        self.cast.step(&self.world);
        for hostile in &mut self.hostile {
            hostile.step(&self.world);
        }
    }

    fn until(
        &mut self,
        step: Duration,
        limit: Duration,
        what: &str,
        is_so: impl Fn(&Self) -> bool,
    ) {
        let deadline = self.world.now() + limit;
        while !is_so(self) {
            assert!(
                self.world.now() < deadline,
                "not within {limit:?}: {what}; {}; {:?}",
                self.cast.missing(),
                self.world.stats()
            );
            self.step(step);
        }
    }

    /// Everybody leaves; then nothing of them is left.
    fn empty(&mut self) {
        self.cast.leave();
        self.until(STEP, CALM_MAX, "all close frames are answered", |stage| {
            stage.cast.is_gone()
        });
        // Who hears nothing any more is found out by the server: its client says nothing.
        self.until(STEP_IDLE, DEAF_MAX, "deaf connections end", |stage| {
            stage.world.stats().connections == 0
        });
        self.cast.drop_all();
        self.until(STEP_IDLE, EMPTY_MAX, "channels end", |stage| {
            stage.world.stats().channels == 0
        });
        // Its memory was closed before: the last buffers come back with the last completions.
        self.until(STEP_IDLE, EMPTY_MAX, "the last operations end", |stage| {
            // One accept a worker.
            stage.world.in_flight() == stage.plan.workers as u64
        });
        for stats in self.world.worker_stats() {
            assert_eq!(stats.sessions, 0, "sessions without connections");
            assert_eq!(stats.subscriptions, 0, "subscriptions without sessions");
            assert_eq!(stats.log_size, 0, "logs without channels");
            assert_eq!(
                stats.assembly_size, 0,
                "unfinished messages without connections"
            );
            assert!(
                stats.pool_in_use <= KEPT_SIZE_MAX,
                "{} bytes of buffers are never given back",
                stats.pool_in_use
            );
        }
    }

    fn shut_down(&mut self) {
        let sessions = self.world.stats().sessions;
        if sessions > 0 {
            self.notes.add(Event::ShutdownBusy);
            if self.plan.shutdown_pace > 0 {
                self.notes.add(Event::ShutdownPaced);
            }
            self.cast.hurry();
            (0..HURRY_STEPS).for_each(|_| self.step(STEP));
        }
        self.world.shutdown();
        self.until(STEP, SHUTDOWN_MAX, "all workers end", |stage| {
            stage.world.is_over()
        });
        self.until(
            STEP,
            SHUTDOWN_MAX,
            "clients hear of the shutdown",
            |stage| stage.cast.is_gone(),
        );
        self.cast.drop_all();
    }

    fn note(&self, stats: &Stats) {
        self.notes.add_many(Event::MailboxFull, stats.mailbox_full);
        self.notes.add_many(Event::PoolEmpty, stats.pool_refused);
        self.notes.add_many(Event::Held, stats.held);
        self.notes.add_many(Event::Stalled, stats.closed_stalled);
    }

    /// A connection is lost only where something struck it.
    fn check_losses(&self, stats: &Stats) {
        let faults = self.world.net.faults();
        let fired = |fault: Fault| faults.of(fault);
        let struck = fired(Fault::Reset)
            + fired(Fault::HalfClose)
            + fired(Fault::DeadReader)
            + fired(Fault::Refused)
            + stats.no_memory
            + stats.handshakes_late;
        let is_timing_off = fired(Fault::Pause) + fired(Fault::SlowReader) > 0
            || self.notes.counts().of(Event::WorkerStalled) > 0;
        let unfair = self.cast.losses().iter().filter(|loss| loss.is_fair);
        let count = unfair.clone().count() as u64;
        assert!(
            count <= struck || is_timing_off,
            "{count} clients that did everything right lost their connection, {struck} were struck: {:?}",
            unfair.collect::<Vec<_>>()
        );
    }
}

/// Every session that began has ended in exactly one way.
fn check_sessions(stats: &Stats) {
    let ended = stats.closed_by_peer
        + stats.closed_here
        + stats.closed_offence
        + stats.closed_lost
        + stats.closed_idle
        + stats.closed_stalled;
    assert_eq!(
        stats.handshakes,
        ended + stats.sessions,
        "sessions and their ends: {stats:?}"
    );
    assert_eq!(stats.sessions, 0, "sessions outlive their worker");
    assert_eq!(stats.panics, 0);
    assert_eq!(stats.stale, 0, "stale completions");
}
