//! `hioload plan`: what memory a server may take, line by line, before it is started.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use hioload::Server;
use hioload_mem::Machine;

use super::exit;
use super::flags::{ServeArgs, environment};

/// Flags of `hioload plan`: those of the server, which is not started.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlanArgs {
    /// One object with `lines` and `total_bytes` instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServeArgs,
}

/// Prints the plan. Fails with code 2 when this machine cannot give what it says.
pub(crate) fn run(args: &PlanArgs) -> ExitCode {
    let config = match args.server.load(environment()) {
        Ok(config) => config,
        Err(error) => return exit::misconfigured(&error),
    };
    let plan = Server::builder().config(&config).plan();
    let text = if args.json {
        format!("{:#}\n", plan.to_json())
    } else {
        plan.to_string()
    };
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return exit::failure(&format!("cannot write the plan: {error}"));
    }
    match plan.check(&Machine::detect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::usage(&error),
    }
}
