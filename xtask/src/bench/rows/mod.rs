//! Tables of rows: ours and a peer's figure taken right after one another, a bar for their ratio.
//!
//! ```text
//! core 0: the server, or its peer, one at a time  ◀──  core 1: the load
//!                └ one directory: --dir ┘
//! ```
//!
//! | module | noun |
//! |---|---|
//! | `lab` | servers, loads and directories of a measurement |
//! | `nginx` | a peer of more than one table |
//! | `results` | medians, ratios, verdicts |
//!
//! Who begins changes from round to round, and a ratio is taken inside a round before the median is.

mod lab;
mod nginx;
mod results;

use std::fs;
use std::path::PathBuf;

pub(super) use self::lab::{Lab, StoreServer, found, number, remove};
pub(super) use self::nginx::{Nginx, free_addr};
use self::results::Results;
pub(super) use self::results::Series;
use super::bars::Bound;
use super::measure::MachineTime;
use super::{DISTURBED_PER_ROUND, STOLEN_MAX};
use crate::args::Args;
use crate::process::{cargo, hioload, run as run_command, target_dir};
use crate::stop::{Outcome, Stop};

/// One round: our figure, what it is compared with, and figures beside.
pub(super) struct Sample {
    pub(super) ours: f64,
    pub(super) peer: Option<f64>,
    pub(super) notes: Vec<(&'static str, f64)>,
}

/// A row of a table.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What is compared with what, for a person.
    pub(super) text: &'static str,
    /// What our figure is counted in.
    pub(super) unit: &'static str,
    /// Of ours to the peer's, or of ours where there is no peer.
    pub(super) bound: Bound,
    pub(super) measure: fn(&Lab, usize) -> Outcome<Sample>,
}

/// Rows that are measured together.
pub(super) struct Table {
    /// Its word on the command line.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) rows: &'static [Row],
    pub(super) rounds: usize,
    pub(super) seconds: u64,
    /// What is said below the rows.
    pub(super) closing: fn(&[Series]) -> String,
}

/// What a command line asks for.
struct Wishes {
    rounds: usize,
    seconds: u64,
    server_cpu: usize,
    load_cpu: usize,
    directory: Option<String>,
    json: Option<String>,
    binary: Option<String>,
    is_checked: bool,
    is_realtime: bool,
}

impl Table {
    /// Runs the rows that the command line names.
    pub(super) fn run(&self, mut args: Args) -> Outcome {
        if args.flag("--help") {
            print!("{}", self.help());
            return Ok(());
        }
        let is_list = args.flag("--list");
        let wishes = Wishes {
            is_checked: args.flag("--check"),
            is_realtime: args.flag("--realtime"),
            rounds: args.parsed("--rounds", self.rounds)?,
            seconds: args.parsed("--seconds", self.seconds)?,
            server_cpu: args.parsed("--server-cpu", 0)?,
            load_cpu: args.parsed("--load-cpu", 1)?,
            directory: args.value("--dir")?,
            json: args.value("--json")?,
            binary: args.value("--hioload")?,
        };
        let mut names = Vec::new();
        while let Some(name) = args.positional() {
            names.push(name);
        }
        args.finish()?;
        let rows = self.select(&names)?;
        if is_list {
            print!("{}", results::list(&rows));
            return Ok(());
        }
        self.measure(&rows, wishes)
    }

    fn measure(&self, rows: &[&'static Row], wishes: Wishes) -> Outcome {
        let hioload = hioload(wishes.binary)?;
        run_command(cargo().args(["build", "--release", "--package", "hioload-bench"]))?;
        let directory = wishes.directory.map_or_else(
            || target_dir().join(format!("bench-{}", self.name)),
            PathBuf::from,
        );
        let (rounds, seconds) = (wishes.rounds, wishes.seconds);
        let lab = Lab::new(
            hioload,
            &directory,
            wishes.server_cpu,
            wishes.load_cpu,
            seconds,
            wishes.is_realtime,
        )?;
        let mut results = Results::default();
        for row in rows {
            measure_row(&lab, row, rounds, &mut results);
        }
        print!("{}{}", results.tables(), (self.closing)(results.series()));
        if let Some(path) = wishes.json {
            let text = results.to_json(rounds, seconds).to_string();
            fs::write(&path, text).map_err(|error| Stop::io(&path, &error))?;
        }
        match results.missed_count() {
            0 => Ok(()),
            _ if !wishes.is_checked => Ok(()),
            count => Err(Stop::Failed(format!("{count} bars not met"))),
        }
    }

    fn select(&self, names: &[String]) -> Outcome<Vec<&'static Row>> {
        for name in names {
            if !self
                .rows
                .iter()
                .any(|row| row.name.starts_with(name.as_str()))
            {
                let known: Vec<_> = self.rows.iter().map(|row| row.name).collect();
                return Err(Stop::Usage(format!(
                    "no row {name}; there are: {}",
                    known.join(", ")
                )));
            }
        }
        let is_wanted = |row: &&Row| {
            let mut named = names.iter().map(|name| row.name.starts_with(name.as_str()));
            names.is_empty() || named.any(|is_named| is_named)
        };
        Ok(self.rows.iter().filter(is_wanted).collect())
    }

    fn help(&self) -> String {
        let Self {
            name,
            about,
            rounds,
            seconds,
            ..
        } = self;
        format!(
            "\
cargo xtask bench {name} [ROW]... [options]   {about}

  ROW               names of rows, or their beginnings; all when none is named
  --list            the rows and their bars
  --dir DIR         where stores and files are made, on the medium to be measured (target/bench-{name})
  --rounds N        interleaved rounds ({rounds})
  --seconds S       measured window of one round ({seconds})
  --server-cpu C    core of the server (0)
  --load-cpu C      core of the load generator (1)
  --realtime        server and load before everything else on their cores: for a machine that others use, too
  --hioload PATH    use this binary instead of a release build
  --json FILE       write every sample and verdict
  --check           fail unless every bar is met
"
        )
    }
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
        let is_disturbed = stolen > STOLEN_MAX || (foreign > FOREIGN_MAX && !lab.is_realtime);
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
        eprintln!("{} {}: {}", row.name, round + 1, results::progress(&result));
        results.add(row, result);
        if has_failed {
            return;
        }
        round += 1;
    }
}
