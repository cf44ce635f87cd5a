//! The command line: words in, exit code out. One file per command.

mod autobahn;
mod bench;
mod blocks;
pub(crate) mod descriptors;
pub(crate) mod driver;
mod exit;
mod fetch;
mod flags;
mod log;
mod plan;
mod publish;
mod serve;
mod streams;
mod subscribe;
mod trust;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::autobahn::AutobahnArgs;
use self::blocks::BlocksArgs;
pub(crate) use self::driver::DriverArg;
use self::fetch::FetchArgs;
use self::flags::ServeArgs;
use self::plan::PlanArgs;
use self::publish::PubArgs;
use self::serve::Service;
use self::streams::StreamsArgs;
use self::subscribe::SubArgs;
use crate::bench::Options as BenchArgs;

/// Live connections on one io_uring reactor per core: a broadcast server, its clients and its
/// load generator.
#[derive(Parser)]
#[command(name = "hioload", version, max_term_width = 100)]
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
    /// Show what memory a server with these flags may take, without starting it
    Plan(PlanArgs),
    /// Send messages: the one given, or each line of stdin
    Pub(PubArgs),
    /// Print the messages that come, one a line
    Sub(SubArgs),
    /// Put a server under load, and report what it did and what that cost
    ///
    /// Without --connect, a server of our own is started for the run.
    Bench(Box<BenchArgs>),
    /// Store, read and check blocks: in a running server, or in a directory
    Blocks(BlocksArgs),
    /// Ask an HTTP server, and show its answer
    Fetch(Box<FetchArgs>),
    /// List, close and count the streams of a running server
    Streams(StreamsArgs),
    /// Run every case of an Autobahn fuzzing server
    #[command(hide = true)]
    AutobahnClient(AutobahnArgs),
}

/// Runs the command line of this process. A wrong one ends it with code 2.
pub(crate) fn run() -> ExitCode {
    match Line::parse().command {
        Command::Serve(args) => serve::run(&args, Service::Broadcast),
        Command::Echo(args) => serve::run(&args, Service::Echo),
        Command::Plan(args) => plan::run(&args),
        Command::Pub(args) => publish::run(&args),
        Command::Sub(args) => subscribe::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Blocks(args) => blocks::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Streams(args) => streams::run(&args),
        Command::AutobahnClient(args) => autobahn::run(&args),
    }
}

/// A URL as people type it: `host:port` means `ws://host:port`.
fn ws_url(text: &str) -> String {
    if text.contains("://") {
        text.to_owned()
    } else {
        format!("ws://{text}")
    }
}

/// The two parts of `Name: value`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write \"Name: value\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn urls_and_headers_as_people_type_them() {
        assert_eq!(ws_url("127.0.0.1:9002/x"), "ws://127.0.0.1:9002/x");
        assert_eq!(ws_url("wss://h"), "wss://h");
        assert_eq!(header("A: b:c "), Ok(("A".into(), "b:c".into())));
        assert!(header("A").is_err());
    }

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }
}
