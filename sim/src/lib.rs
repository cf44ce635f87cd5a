//! Deterministic simulation of the server: the production workers on virtual time, one run a seed.
//!
//! ```text
//!   seed ─▶ Plan ─▶ World (SimNet, Worker<Hub> each on a SimDriver) ◀─ bytes ─▶ Cast: clients that check
//!                     │ after every turn: memory within bounds                   Hostile: clients that harm
//!                     └ storm ─▶ heal ─▶ all is delivered ─▶ all leave ─▶ nothing is left
//! ```
//!
//! Everything is drawn from the seed: which faults are on and how strong, sizes, what clients do and when.
//! The same seed is the same run, bit for bit ([`Outcome::trace`]). A failed check panics; [`run`] hands
//! the message back. A set of seeds that is large enough ([`Suite::coverage_seeds_min`]) also fails when a fault
//! or an event never came up in it ([`Summary::never`]): what never happened was not tested.
//!
//! What a run promises is written where it is checked: `world` (after every turn), `client`
//! (protocol), `echo` and `broadcast` (delivery), `stage` (the end). Blocks are a suite of their own, with a disk
//! and a machine that goes down: `store`; so are streams by their UID: `streams`, and
//! `proxies` for those that are joined and adopted.

#![forbid(unsafe_code)]

mod broadcast;
mod client;
mod echo;
mod event;
mod hostile;
mod ledger;
mod plan;
mod proxies;
mod reader;
mod stage;
mod store;
mod streams;
mod summary;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hioload_base::Prng;
use hioload_reactor::sim::{DiskFaultCounts, FaultCounts, SimNet};

pub use event::{Event, EventCounts};
pub use plan::{Plan, Scenario};
pub use summary::{Summary, run_many};

use event::Notes;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// WebSocket sessions: echo and broadcast.
    Sessions,
    /// Blocks over HTTP, on disks that fail and machines that go down.
    Store,
    /// Streams by UID, across workers.
    Streams,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sessions, Self::Store, Self::Streams];

    /// Its name on the command line; the first one needs none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Store => "store",
            Self::Streams => "streams",
        }
    }

    /// A set of at least so many seeds has to show every fault and event: what the gates run. The rarest of a
    /// store need twenty times as many as the others.
    #[must_use]
    pub fn coverage_seeds_min(self) -> u64 {
        match self {
            Self::Sessions | Self::Streams => 200,
            Self::Store => 4000,
        }
    }

    /// The suite of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// A fingerprint of everything that happened.
    pub trace: u64,
    /// Virtual seconds.
    pub seconds: f64,
    /// How often each fault of the network fired.
    pub faults: FaultCounts,
    /// How often each fault of the disk fired.
    pub disk: DiskFaultCounts,
    /// What else happened.
    pub events: EventCounts,
    /// What was broken, if anything.
    pub failure: Option<String>,
}

impl Outcome {
    /// What a run without a disk came to: its digest, or what was broken.
    fn of(seed: u64, net: &SimNet, notes: &Notes, result: Result<u64, String>) -> Self {
        let (digest, failure) = match result {
            Ok(digest) => (digest, None),
            Err(message) => (0, Some(message)),
        };
        Self {
            seed,
            trace: net.trace() ^ digest,
            seconds: net.now().as_nanos() as f64 / 1e9,
            faults: net.faults(),
            disk: DiskFaultCounts::default(),
            events: notes.counts(),
            failure,
        }
    }
}

/// The plan that a seed draws.
#[must_use]
pub fn plan(seed: u64) -> Plan {
    Plan::draw(&mut Prng::new(seed))
}

/// What a seed draws, in words.
#[must_use]
pub fn describe(suite: Suite, seed: u64) -> String {
    match suite {
        Suite::Sessions => plan(seed).to_string(),
        Suite::Store => store::describe(seed),
        Suite::Streams => streams::describe(seed),
    }
}

/// Runs one seed to its end, or to the first failed check.
#[must_use]
pub fn run(suite: Suite, seed: u64) -> Outcome {
    match suite {
        Suite::Sessions => run_sessions(seed),
        Suite::Store => store::run(seed),
        Suite::Streams => streams::run(seed),
    }
}

fn run_sessions(seed: u64) -> Outcome {
    let mut prng = Prng::new(seed);
    let plan = Plan::draw(&mut prng);
    let net = SimNet::new(prng.next_u64(), plan.network.clone());
    let notes = Notes::default();
    let (stage_net, stage_notes) = (net.clone(), notes.clone());
    let result = quietly(|| stage::run(&plan, &stage_net, &stage_notes, &mut prng));
    Outcome::of(seed, &net, &notes, result)
}

thread_local! {
    /// Where the panic of the run on this thread was, while one is under way.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs and turns a panic into its message and place.
fn quietly<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: std::sync::Once = std::sync::Once::new();
    thread_local!(static IS_QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IS_QUIET.get() {
                let place = info.location().map(ToString::to_string);
                PLACE.with_borrow_mut(|slot| *slot = place);
            } else {
                before(info);
            }
        }));
    });
    IS_QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IS_QUIET.set(false);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("panicked");
        let place = PLACE.take().unwrap_or_default();
        format!("{text} ({place})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_of_each_suite_passes_and_is_the_same_run_twice() {
        for suite in Suite::ALL {
            let (first, second) = (run(suite, 7), run(suite, 7));
            assert_eq!(first.failure, None, "{}", suite.name());
            assert_eq!(first.trace, second.trace, "{}", suite.name());
        }
    }
}
