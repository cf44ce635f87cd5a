//! The command line: words in, exit code out.

pub(crate) mod driver;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use self::driver::DriverArg;
use crate::bench;

#[derive(Parser)]
#[command(name = "hioload", version, about)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Puts a server under load and reports what it did
    Bench(bench::Options),
}

/// Runs the command line of this process.
pub(crate) fn run() -> ExitCode {
    let line = Line::parse();
    match line.command {
        Command::Bench(options) => run_bench(&options),
    }
}

fn run_bench(options: &bench::Options) -> ExitCode {
    let report = match bench::run(options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(if error.is_usage { 2 } else { 1 });
        }
    };
    let json = report.to_json();
    let written = match &options.json {
        Some(path) if path.as_os_str() == "-" => writeln!(std::io::stdout(), "{json}"),
        Some(path) => std::fs::write(path, json + "\n").and_then(|()| write!(std::io::stdout(), "{report}")),
        None => write!(std::io::stdout(), "{report}"),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write the report: {error}");
            ExitCode::FAILURE
        }
    }
}
