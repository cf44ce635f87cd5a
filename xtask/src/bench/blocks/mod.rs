//! The block store beside its peers: fio on the same file system, SHA-256 on one core, nginx with static files.
//!
//! ```text
//! core 0: the server, or its peer, one at a time  ◀──  core 1: hioload bench blocks-… --json
//!                └ one directory: --dir ┘
//! ```
//!
//! | module | noun |
//! |---|---|
//! | `rows` | what is measured and what it must reach |
//! | `lab` | servers, loads and directories of a measurement |
//! | `fio`, `nginx`, `wrk` | programs that are found in PATH |
//! | `table` | medians, ratios, verdicts |
//!
//! In each round ours and the peer's figure are taken right after one another, who begins changes from round to
//! round, and a ratio is taken inside a round before the median is.

mod fio;
mod lab;
mod nginx;
mod rows;
mod table;
mod wrk;

use std::fs;
use std::path::PathBuf;

use self::lab::Lab;
use self::rows::{ROWS, Row};
use self::table::Results;
use super::measure::MachineTime;
use super::{DISTURBED_PER_ROUND, STOLEN_MAX};
use crate::args::Args;
use crate::process::{cargo, hioload, run as run_command, target_dir};
use crate::stop::{Outcome, Stop};

const HELP: &str = "\
cargo xtask bench blocks [ROW]... [options]

  ROW               names of rows, or their beginnings; all when none is named
  --list            the rows and their bars
  --dir DIR         where stores and files are made, on the medium to be measured (target/bench-blocks)
  --rounds N        interleaved rounds (7)
  --seconds S       measured window of one round (2)
  --server-cpu C    core of the server (0)
  --load-cpu C      core of the load generator (1)
  --hioload PATH    use this binary instead of a release build
  --json FILE       write every sample and verdict
  --check           fail unless every bar is met
";

const ROUNDS: usize = 7;
const SECONDS: u64 = 2;

/// Runs the rows that the command line names.
pub(super) fn run(mut args: Args) -> Outcome {
    if args.flag("--help") {
        print!("{HELP}");
        return Ok(());
    }
    let list = args.flag("--list");
    let check = args.flag("--check");
    let rounds: usize = args.parsed("--rounds", ROUNDS)?;
    let seconds: u64 = args.parsed("--seconds", SECONDS)?;
    let server_cpu: usize = args.parsed("--server-cpu", 0)?;
    let load_cpu: usize = args.parsed("--load-cpu", 1)?;
    let directory = args.value("--dir")?;
    let json = args.value("--json")?;
    let binary = args.value("--hioload")?;
    let mut names = Vec::new();
    while let Some(name) = args.positional() {
        names.push(name);
    }
    args.finish()?;
    let rows = select(&names)?;
    if list {
        print!("{}", table::list(&rows));
        return Ok(());
    }
    let hioload = hioload(binary)?;
    run_command(cargo().args(["build", "--release", "--package", "hioload-bench"]))?;
    let directory = directory.map_or_else(|| target_dir().join("bench-blocks"), PathBuf::from);
    let lab = Lab::new(hioload, &directory, server_cpu, load_cpu, seconds)?;
    let mut results = Results::default();
    for row in rows {
        measure_row(&lab, row, rounds, &mut results);
    }
    print!("{}", results.tables());
    if let Some(path) = json {
        let text = results.to_json(rounds, seconds).to_string();
        fs::write(&path, text).map_err(|error| Stop::io(&path, &error))?;
    }
    match results.missed_count() {
        0 => Ok(()),
        _ if !check => Ok(()),
        count => Err(Stop::Failed(format!("{count} bars not met"))),
    }
}

fn select(names: &[String]) -> Outcome<Vec<&'static Row>> {
    for name in names {
        if !ROWS.iter().any(|row| row.name.starts_with(name.as_str())) {
            let known: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            return Err(Stop::Usage(format!(
                "no row {name}; there are: {}",
                known.join(", ")
            )));
        }
    }
    let is_wanted = |row: &&Row| {
        let mut names_row = names.iter().map(|name| row.name.starts_with(name.as_str()));
        names.is_empty() || names_row.any(|is_named| is_named)
    };
    Ok(ROWS.iter().filter(is_wanted).collect())
}

/// Share of the machine in which other processes may compute during a round that counts.
const FOREIGN_MAX: f64 = 0.05;

/// All rounds of one row. A row that cannot be measured is not tried again, and says why. A round in which the
/// host took the machine away, or other processes used it, is measured again.
fn measure_row(lab: &Lab, row: &'static Row, rounds: usize, results: &mut Results) {
    let mut disturbed_left = rounds * DISTURBED_PER_ROUND;
    let mut round = 0;
    while round < rounds {
        let time = MachineTime::now();
        let result = (row.measure)(lab, round);
        let after = MachineTime::now();
        let (stolen, foreign) = (after.stolen_since(&time), after.foreign_since(&time));
        let is_disturbed = stolen > STOLEN_MAX || foreign > FOREIGN_MAX;
        if is_disturbed && disturbed_left > 0 && result.is_ok() {
            disturbed_left -= 1;
            eprintln!(
                "{}: {:.0} % of the machine went to its host, {:.0} % to other processes; once more",
                row.name,
                stolen * 100.0,
                foreign * 100.0
            );
            continue;
        }
        if is_disturbed && result.is_ok() {
            eprintln!(
                "{}: DISTURBED: the machine is not quiet enough for this figure",
                row.name
            );
        }
        let has_failed = result.is_err();
        eprintln!("{} {}: {}", row.name, round + 1, table::progress(&result));
        results.add(row, result);
        if has_failed {
            return;
        }
        round += 1;
    }
}
