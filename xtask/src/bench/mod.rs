//! Our servers beside their peers: one interleaved run, server CPU time as the main figure.
//!
//! ```text
//! core 0: one server process  ◀── connections ──  core 1: hioload bench … --json
//! ```
//!
//! Every measurement starts a fresh server, so that none inherits another's memory. Rounds go
//! A B C, B C A, …: a slow minute of the machine hits all contenders, and a ratio is taken inside a
//! round before the median is. The load generator measures between its warm-up and its end; what it
//! reports as server CPU is checked here against the kernel's figure for the whole run.

mod bars;
mod blocks;
mod h2;
mod measure;
mod report;
mod rows;

use std::fs;
use std::path::Path;

use bars::{BARS, Contender, WORKS, Work};
use measure::{Bench, Sample};
use report::Results;

use crate::args::Args;
use crate::process::{cargo, hioload, run as run_command, target_dir};
use crate::stop::{Outcome, Stop};

const HELP: &str = "\
cargo xtask bench [WORK]... [options]
cargo xtask bench blocks [ROW]... [options]   the block store; see its own --help
cargo xtask bench h2 [ROW]... [options]       HTTP/2; see its own --help

  WORK              names of works, or their beginnings; all when none is named
  --list            the works and their bars
  --rounds N        interleaved rounds (11)
  --seconds S       measured window of one round (1); a work may need more
  --server-cpu C    core of the server (0)
  --load-cpu C      core of the load generator (1)
  --hioload PATH    use this binary instead of a release build
  --json FILE       write every sample and verdict
  --check           fail unless every bar is met
";

/// Many short rounds: a machine that is shared changes its pace every few seconds, and only what runs
/// right after one another can be compared.
const ROUNDS: usize = 11;
const SECONDS: u64 = 1;

/// Share of the machine that its host may give to others during a round that counts.
const STOLEN_MAX: f64 = 0.01;
/// Disturbed rounds that are measured again, for each round; then the figures are taken as they are.
const DISTURBED_PER_ROUND: usize = 3;

/// Runs the works that the command line names.
pub(crate) fn run(mut args: Args) -> Outcome {
    if args.takes("blocks") {
        return blocks::run(args);
    }
    if args.takes("h2") {
        return h2::run(args);
    }
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
    let json = args.value("--json")?;
    let binary = args.value("--hioload")?;
    let mut names = Vec::new();
    while let Some(name) = args.positional() {
        names.push(name);
    }
    args.finish()?;
    let works = select(&names)?;
    if list {
        print!("{}", report::list(&works));
        return Ok(());
    }
    let hioload = hioload(binary)?;
    run_command(cargo().args(["build", "--release", "--package", "hioload-bench"]))?;
    let peers = target_dir().join("release");
    let bench = Bench {
        hioload,
        peers,
        server_cpu,
        load_cpu,
        seconds,
    };
    let mut results = Results::default();
    for work in works {
        measure_work(&bench, work, rounds, &mut results);
    }
    let verdicts = results.judge(BARS);
    print!("{}\n{}", results.table(), report::bars_table(&verdicts));
    if let Some(path) = json {
        let text = results.to_json(rounds, seconds, &verdicts).to_string();
        fs::write(Path::new(&path), text).map_err(|error| Stop::io(&path, &error))?;
    }
    let missed_count = verdicts.iter().filter(|verdict| !verdict.is_met()).count();
    if check && missed_count > 0 {
        return Err(Stop::Failed(format!("{missed_count} bars not met")));
    }
    Ok(())
}

fn select(names: &[String]) -> Outcome<Vec<&'static Work>> {
    for name in names {
        if !WORKS
            .iter()
            .any(|work| work.name.starts_with(name.as_str()))
        {
            let known: Vec<_> = WORKS.iter().map(|work| work.name).collect();
            return Err(Stop::Usage(format!(
                "no work {name}; there are: {}",
                known.join(", ")
            )));
        }
    }
    let is_wanted = |work: &&Work| {
        names.is_empty()
            || names
                .iter()
                .any(|name| work.name.starts_with(name.as_str()))
    };
    Ok(WORKS.iter().filter(is_wanted).collect())
}

/// All rounds of one work. A contender that fails is not asked again: its bars say why. A round in
/// which the host took the machine away is measured again.
fn measure_work(bench: &Bench, work: &'static Work, rounds: usize, results: &mut Results) {
    let rounds = if work.is_once { 1 } else { rounds };
    let mut disturbed_left = rounds * DISTURBED_PER_ROUND;
    let mut round = 0;
    while round < rounds {
        let samples = measure_round(bench, work, round, results);
        let stolen = samples
            .iter()
            .filter_map(|(_, result)| Some(result.as_ref().ok()?.stolen))
            .fold(0.0, f64::max);
        if stolen > STOLEN_MAX && disturbed_left > 0 {
            disturbed_left -= 1;
            eprintln!(
                "{}: {:.0} % of the machine went to others; once more",
                work.name,
                stolen * 100.0
            );
            continue;
        }
        for (contender, result) in samples {
            results.add(work, contender, result);
        }
        round += 1;
    }
}

/// Everybody once; who begins changes from round to round.
fn measure_round(
    bench: &Bench,
    work: &'static Work,
    round: usize,
    results: &Results,
) -> Vec<(Contender, Outcome<Sample>)> {
    let mut contenders = work.contenders();
    let count = contenders.len();
    contenders.rotate_left(round % count);
    contenders.retain(|contender| !results.has_failed(work, *contender));
    let measure = |contender: Contender| {
        let result = bench.measure(work, contender);
        let progress = progress(&result);
        eprintln!(
            "{} {} {}: {progress}",
            work.name,
            round + 1,
            contender.name()
        );
        (contender, result)
    };
    contenders.into_iter().map(measure).collect()
}

fn progress(result: &Outcome<Sample>) -> String {
    match result {
        Ok(sample) => sample.line(),
        Err(Stop::Failed(why) | Stop::Skipped(why) | Stop::Usage(why)) => why.clone(),
    }
}
