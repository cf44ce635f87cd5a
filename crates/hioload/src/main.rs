//! The `hioload` binary: servers, clients and the load generator on one command line.

#![forbid(unsafe_code)]

mod bench;
mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
