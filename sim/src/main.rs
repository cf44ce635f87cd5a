//! `hioload-sim`: runs seeds, prints how often each fault fired, fails when a run failed or, in a set that is large
//! enough to show them all, a fault never fired.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use hioload_reactor::sim::{DiskFaultCounts, FaultCounts};
use hioload_sim::{EventCounts, Outcome, Suite, Summary, describe, run, run_many};

const USAGE: &str = "\
usage: hioload-sim [sessions|store|streams] [--seeds N] [--from SEED] [--seed S] [--verbose]

  sessions      WebSocket sessions: echo and broadcast; what is run unless told
  store         blocks over HTTP, on disks that fail and machines that go down
  streams       sessions that write to each other by UID, across workers
  --seeds N     how many seeds to run (200)
  --from SEED   the first of them (0)
  --seed S      run this one seed twice, and compare
  --verbose     print the plan of each run and what it came to";

/// Of each set so many seeds are run twice: the same seed has to be the same run.
const TWICE_COUNT: u64 = 5;

struct Args {
    suite: Suite,
    seeds: u64,
    from: u64,
    seed: Option<u64>,
    verbose: bool,
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(args) => args,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let is_good = match args.seed {
        Some(seed) => one(args.suite, seed, args.verbose),
        None => many(&args),
    };
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn parse() -> Result<Args, String> {
    let mut args = Args {
        suite: Suite::Sessions,
        seeds: 200,
        from: 0,
        seed: None,
        verbose: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().ok_or(format!("{word} needs a number"))?;
            value
                .parse()
                .map_err(|_| format!("{word} {value}: not a number"))
        };
        match word.as_str() {
            "--seeds" => args.seeds = number()?,
            "--from" => args.from = number()?,
            "--seed" => args.seed = Some(number()?),
            "--verbose" => args.verbose = true,
            "--help" | "-h" => return Err("Deterministic simulation of the server.".to_owned()),
            name if Suite::named(name).is_some() => {
                args.suite = Suite::named(name).unwrap_or(args.suite);
            }
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(args)
}

fn one(suite: Suite, seed: u64, verbose: bool) -> bool {
    let outcome = run(suite, seed);
    tell(suite, &outcome, verbose);
    show(&outcome.faults, &outcome.disk, &outcome.events, suite);
    outcome.failure.is_none() && is_repeated(suite, &outcome)
}

fn many(args: &Args) -> bool {
    let suite = args.suite;
    let summary = run_many(suite, args.from, args.seeds, |outcome| {
        if args.verbose {
            tell(suite, outcome, true);
        }
    });
    show(&summary.faults, &summary.disk, &summary.events, suite);
    println!(
        "{} runs, {:.0} virtual seconds",
        summary.count, summary.seconds
    );
    for (seed, failure) in &summary.failures {
        let name = suite.name();
        println!("seed {seed} failed: {failure}\n    again: cargo xtask sim {name} --seed {seed}");
    }
    let twice = (0..args.seeds.min(TWICE_COUNT)).map(|index| args.from.wrapping_add(index));
    let is_repeatable = twice
        .map(|seed| run(suite, seed))
        .all(|outcome| is_repeated(suite, &outcome));
    is_covered(&summary, suite) && summary.failures.is_empty() && is_repeatable
}

fn show(faults: &FaultCounts, disk: &DiskFaultCounts, events: &EventCounts, suite: Suite) {
    print!("{faults}");
    if suite == Suite::Store {
        print!("{disk}");
    }
    println!("{events}");
}

fn is_covered(summary: &Summary, suite: Suite) -> bool {
    let never = summary.never(suite);
    if never.is_empty() {
        return true;
    }
    println!("never came up: {}", never.join(", "));
    let (count, min) = (summary.count, suite.coverage_seeds_min());
    if summary.has_to_cover(suite) {
        println!("    {count} runs have to show it, as every set of {min} or more");
        return false;
    }
    println!(
        "    no failure: only a set of {min} runs or more has to show everything, these are {count}"
    );
    true
}

/// The same seed again has to be the same run.
fn is_repeated(suite: Suite, outcome: &Outcome) -> bool {
    let again = run(suite, outcome.seed);
    let is_same = again.trace == outcome.trace && again.failure == outcome.failure;
    if !is_same {
        let (first, second) = (outcome.trace, again.trace);
        println!(
            "seed {} is not repeatable: {first:016x}, then {second:016x}",
            outcome.seed
        );
    }
    is_same
}

fn tell(suite: Suite, outcome: &Outcome, verbose: bool) {
    let Outcome {
        seed,
        trace,
        seconds,
        failure,
        ..
    } = outcome;
    if verbose {
        println!("seed {seed}: {}", describe(suite, *seed));
    }
    let result = failure.as_deref().unwrap_or("passed");
    println!("seed {seed}: {seconds:.3} virtual seconds, trace {trace:016x}, {result}");
}
