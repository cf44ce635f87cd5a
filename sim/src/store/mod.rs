//! The store scenario: HTTP clients put, get and delete blocks while disk, network, processes and power fail.
//!
//! ```text
//!   Asker ─ HTTP ─▶ SimNet ─▶ Worker<Hub> ─ file operations ─▶ SimDisk ◀─ sync, grow ── Machine
//!     │ answers                  │ mesh                                                    ▲
//!     ▼                          ▼                                                         │
//!   Judge                   controller ── Disk, Index ─────────────────────────────────────┘
//! ```
//!
//! What is promised: an acknowledged durable block survives everything, a deleted one stays so, no wrong byte is ever
//! served, no space is lost. See `stage` for when it is checked, `judge` for what an answer may be, `machine`
//! for the moments the power may go.

mod ask;
mod asker;
mod content;
mod judge;
mod machine;
mod plan;
mod server;
mod stage;

use hioload_base::Prng;
use hioload_reactor::sim::{DiskFaultCounts, SimNet};

use self::machine::Machine;
use self::plan::Plan;
use crate::event::{Event, Notes};
use crate::{Outcome, quietly};

/// What a seed draws, for people.
pub(crate) fn describe(seed: u64) -> String {
    let plan = Plan::draw(&mut Prng::new(seed));
    format!(
        "{} workers, ring {}, {} KiB, {} clients, {} contents to {} bytes, {} rounds, {}, calm {}, small {}",
        plan.workers,
        plan.ring,
        plan.memory / 1024,
        plan.clients,
        plan.contents,
        plan.size_max,
        plan.rounds,
        plan.durability(),
        plan.is_calm,
        plan.is_small
    )
}

/// Runs one seed to its end, or to the first failed check.
pub(crate) fn run(seed: u64) -> Outcome {
    let mut prng = Prng::new(seed);
    let plan = Plan::draw(&mut prng);
    let net = SimNet::new(prng.next_u64(), plan.network.clone());
    let machine = Machine::new(&mut prng, plan.disk.clone());
    let notes = Notes::default();
    let result = quietly(|| stage::run(&plan, &net, &machine, &notes, &mut prng));
    // A panic while the machine was locked leaves nothing to ask it for.
    let disk = quietly(|| machine.faults()).unwrap_or_else(|_| DiskFaultCounts::default());
    let failed = quietly(|| machine.commits_failed()).unwrap_or_default();
    notes.add_many(Event::CommitFailed, failed);
    let refused = quietly(|| machine.commits_refused()).unwrap_or_default();
    notes.add_many(Event::CommitRefused, refused);
    Outcome {
        disk,
        ..Outcome::of(seed, &net, &notes, result)
    }
}
