//! libFuzzer targets through cargo-fuzz, on a stable toolchain.
//!
//! Committed corpora are inputs only: what a run finds grows in the target directory. A crash
//! leaves its input in `fuzz/artifacts/`; it is to be added to the corpus with the fix.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::args::Args;
use crate::process::{beside, cargo, output, root, run as run_command, run_one_of, target_dir};
use crate::stop::{Outcome, Stop};

/// Time for one target when nobody says otherwise.
const SECONDS_DEFAULT: u64 = 60;

/// Memory at which libFuzzer calls an input a finding.
const RSS_MIB_MAX: u64 = 2048;

/// Targets run at the same time at most: each may take the memory above.
const LANES_MAX: usize = 4;

/// Time for one input, above which it is a finding.
const INPUT_SECONDS_MAX: u64 = 10;

/// Runs one target or all of them.
pub(crate) fn run(mut args: Args) -> Outcome {
    let seconds: u64 = args.parsed("--seconds", SECONDS_DEFAULT)?;
    // Zero lets libFuzzer draw one.
    let seed: u32 = args.parsed("--seed", 0)?;
    let list = args.flag("--list");
    let wanted = args.positional();
    args.finish()?;
    let targets = targets()?;
    if list {
        targets.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    if let Some(wanted) = &wanted
        && !targets.contains(wanted)
    {
        return Err(Stop::Usage(format!(
            "no target {wanted}; there are: {}",
            targets.join(", ")
        )));
    }
    ensure_cargo_fuzz()?;
    run_command(cargo_fuzz("build").args(&wanted))?;
    let targets = wanted.map_or(targets, |one| vec![one]);
    // A target keeps one core busy.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let count = cores.min(LANES_MAX).min(targets.len());
    let targets = Mutex::new(targets.iter());
    let next = || targets.lock().expect("invariant: no lane panics").next();
    let lane = |_| {
        while let Some(target) = next() {
            fuzz(target, seconds, seed, count)?;
        }
        Ok(())
    };
    beside(0..count, lane).into_iter().collect()
}

fn cargo_fuzz(task: &str) -> Command {
    let mut command = cargo();
    // The sanitizer and coverage flags are unstable; the toolchain need not be.
    command.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", task]);
    command
}

/// Names of the targets: one file each.
fn targets() -> Outcome<Vec<String>> {
    let Ok(entries) = fs::read_dir(root().join("fuzz/fuzz_targets")) else {
        return Err(Stop::Skipped("fuzz/fuzz_targets does not exist".to_owned()));
    };
    let mut targets: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    targets.sort();
    if targets.is_empty() {
        return Err(Stop::Skipped("fuzz/fuzz_targets is empty".to_owned()));
    }
    Ok(targets)
}

fn ensure_cargo_fuzz() -> Outcome {
    if output(cargo().args(["fuzz", "--version"])).is_ok() {
        return Ok(());
    }
    run_command(cargo().args(["install", "--locked", "cargo-fuzz"]))
}

fn fuzz(target: &str, seconds: u64, seed: u32, count: usize) -> Outcome {
    // A run from a seed begins with what is committed, whatever others found here.
    let found = if seed == 0 {
        target_dir().join("fuzz-corpus").join(target)
    } else {
        let seeded = target_dir().join("fuzz-seeded").join(target);
        let _ = fs::remove_dir_all(&seeded);
        seeded
    };
    fs::create_dir_all(&found).map_err(|error| Stop::io(found.display(), &error))?;
    let committed = root().join("fuzz/corpus").join(target);
    let mut command = cargo_fuzz("run");
    command.arg(target).arg(found);
    if committed.is_dir() {
        command.arg(committed);
    }
    command.args([
        "--".to_owned(),
        format!("-max_total_time={seconds}"),
        format!("-seed={seed}"),
        format!("-rss_limit_mb={RSS_MIB_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        "-verbosity=0".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    run_one_of(count, &mut command)?;
    println!("{target}: {seconds} s, nothing found");
    Ok(())
}
