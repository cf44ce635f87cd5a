//! The command line: words in, exit code out. One file per command.

mod bench;
pub(crate) mod driver;
mod exit;
mod log;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use self::driver::DriverArg;
use self::serve::{ServeArgs, Service};
use crate::bench::Options as BenchArgs;

/// Live connections on one io_uring reactor per core: a broadcast server, its clients and its
/// load generator.
#[derive(Parser)]
#[command(name = "hioload", version, about, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Broadcast server: a message from one client goes to all others
    Serve(ServeArgs),
    /// Echo server: a message goes back to its sender
    Echo(ServeArgs),
    /// Put a server under load, and report what it did and what that cost
    ///
    /// Without --connect, a server of our own is started for the run.
    Bench(BenchArgs),
}

/// Runs the command line of this process. A wrong one ends it with code 2.
pub(crate) fn run() -> ExitCode {
    match Line::parse().command {
        Command::Serve(args) => serve::run(&args, Service::Broadcast),
        Command::Echo(args) => serve::run(&args, Service::Echo),
        Command::Bench(args) => bench::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }
}
