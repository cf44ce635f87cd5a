//! All gates, one after the other, with a summary of them at the end.
//!
//! A gate that fails does not stop the others. A gate that could not run on this machine is told
//! apart from one that passed: it counts as failed unless the table says that it may be missing.

use std::time::{Duration, Instant};

use crate::args::Args;
use crate::process::{command, shown, status};
use crate::stop::{Outcome, SKIPPED_CODE, Stop};

/// One gate: a task of this program.
struct Gate {
    name: &'static str,
    task: &'static [&'static str],
    /// Whether a machine without its tools may pass. Only for tools that no package manager has, or that are built here.
    may_be_missing: bool,
}

const fn gate(name: &'static str, task: &'static [&'static str]) -> Gate {
    Gate {
        name,
        task,
        may_be_missing: false,
    }
}

/// Quick gates first: what fails early is seen early.
const GATES: &[Gate] = &[
    gate("fmt", &["fmt"]),
    gate("tidy", &["tidy"]),
    gate("test", &["test"]),
    gate("lint", &["lint"]),
    gate("docs", &["docs"]),
    gate("loom", &["loom"]),
    gate("sim", &["sim", "--seeds", "200"]),
    gate("sim-streams", &["sim", "streams", "--seeds", "200"]),
    gate("sim-store", &["sim", "store", "--seeds", "4000"]),
    gate("e2e", &["e2e"]),
    gate("torture", &["torture", "--kills", "60"]),
    Gate {
        may_be_missing: true,
        ..gate("conform", &["conform", "--groups", "quick"])
    },
    Gate {
        may_be_missing: true,
        ..gate("conform-h2", &["conform", "h2", "--only", "httpwg"])
    },
    // From one seed and what is committed: how far it gets is a matter of speed, what it tries is not one of chance. Runs by
    // hand draw their own.
    gate("fuzz", &["fuzz", "--seconds", "10", "--seed", "1"]),
];

enum Ending {
    Passed,
    Failed,
    Missing,
}

/// Runs the gates that the command line leaves.
pub(crate) fn run(mut args: Args) -> Outcome {
    let skip = args.values("--skip")?;
    let only = args.values("--only")?;
    let list = args.flag("--list");
    args.finish()?;
    for name in skip.iter().chain(&only) {
        if !GATES.iter().any(|gate| gate.name == name) {
            return Err(Stop::Usage(format!("no gate {name}")));
        }
    }
    let is_wanted = |gate: &&Gate| {
        let is_named = |names: &[String]| names.iter().any(|name| name == gate.name);
        !is_named(&skip) && (only.is_empty() || is_named(&only))
    };
    let gates: Vec<&Gate> = GATES.iter().filter(is_wanted).collect();
    if list {
        gates
            .iter()
            .for_each(|gate| println!("{}: cargo xtask {}", gate.name, gate.task.join(" ")));
        return Ok(());
    }
    let mut results = Vec::new();
    for gate in gates {
        let started = Instant::now();
        results.push((gate, check(gate)?, started.elapsed()));
    }
    summarize(&results)
}

fn check(gate: &Gate) -> Outcome<Ending> {
    println!("\n=== {} ===", gate.name);
    let this = std::env::current_exe().map_err(|error| Stop::io("path of xtask", &error))?;
    let mut command = command(this);
    let status = status(command.args(gate.task))?;
    Ok(match status.code() {
        Some(0) => Ending::Passed,
        Some(code) if code == i32::from(SKIPPED_CODE) => Ending::Missing,
        _ => {
            eprintln!("{}: {status}", shown(&command));
            Ending::Failed
        }
    })
}

fn summarize(results: &[(&Gate, Ending, Duration)]) -> Outcome {
    println!("\n=== summary ===");
    let mut failed = Vec::new();
    for (gate, result, time) in results {
        let word = match result {
            Ending::Passed => "passed",
            Ending::Failed => "FAILED",
            Ending::Missing if gate.may_be_missing => "NOT RUN (its tools are missing here)",
            Ending::Missing => "FAILED (could not run)",
        };
        println!("{:10} {:>5} s  {word}", gate.name, time.as_secs());
        if word.starts_with("FAILED") {
            failed.push(gate.name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Stop::Failed(format!("gates: {}", failed.join(", "))))
    }
}
