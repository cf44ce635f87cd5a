//! `hioload plan`: what memory a server may take, line by line, before it is started.

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;

use clap::Args;
use hioload_mem::{Machine, Plan, PoolConfig};
use hioload_reactor::DriverConfig;
use serde_json::json;

use super::serve::ServeArgs;
use super::{descriptors, exit};

/// Bytes of user memory that one idle session with one subscription takes, its timer and its slots
/// in the driver's and the server's tables included.
const SESSION_SIZE: u64 = 320;

/// Bytes of one message between workers, with its place in the queue.
const MESSAGE_SIZE: u64 = 128;

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
    let plan = plan(&args.server);
    let text = if args.json {
        to_json(&plan)
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

/// The most a server with these flags can take.
pub(crate) fn plan(args: &ServeArgs) -> Plan {
    let workers = match args.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let settings = args.settings();
    let driver = DriverConfig::default();
    let count = |number: usize| number as u64;
    // No worker has more sessions than the process may have descriptors, direct ones included.
    let sessions_max = settings.sessions_max.min(descriptors::max());
    let received = driver.recv_buffer_size * usize::from(driver.recv_buffer_count);
    let pool = PoolConfig::with_budget(args.memory.bytes_usize()).bytes_max();
    Plan::new()
        .line(
            "reactor",
            "receive buffers, a worker",
            count(workers),
            count(received),
        )
        .line(
            "mem",
            "buffers and channel logs, a worker",
            count(workers),
            pool,
        )
        .line(
            "server",
            "sessions",
            count(workers.saturating_mul(sessions_max)),
            SESSION_SIZE,
        )
        .line(
            "server",
            "unfinished messages, a worker",
            count(workers),
            count(settings.assembly_max),
        )
        .line(
            "ring",
            "messages between workers",
            count(workers * workers).saturating_mul(u64::from(args.ring)),
            MESSAGE_SIZE,
        )
}

fn to_json(plan: &Plan) -> String {
    let lines: Vec<_> = plan
        .lines()
        .iter()
        .map(|line| {
            json!({
                "owner": line.owner,
                "what": line.what,
                "count": line.count,
                "unit_bytes": line.unit_size,
                "bytes": line.size(),
            })
        })
        .collect();
    format!("{}\n", json!({"lines": lines, "total_bytes": plan.total()}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: PlanArgs,
    }

    fn total(line: &str) -> u64 {
        let words = std::iter::once("plan").chain(line.split_whitespace());
        plan(
            &Line::try_parse_from(words)
                .expect("legal flags")
                .args
                .server,
        )
        .total()
    }

    #[test]
    fn every_flag_that_costs_memory_is_in_the_plan() {
        let base = total("--workers 1");
        assert!(total("--workers 2") >= 2 * base);
        assert_eq!(
            total("--workers 1 --memory 1GiB"),
            base - total_pool(128) + total_pool(1024)
        );
        assert!(total("--workers 1 --ring 4096") > base);
        assert!(total("--workers 1 --message-size-max 64MiB") > base);
    }

    fn total_pool(mib: usize) -> u64 {
        PoolConfig::with_budget(mib << 20).bytes_max()
    }

    #[test]
    fn the_json_adds_up() {
        let plan = Plan::new().line("a", "b", 3, 5).line("c", "d", 1, 7);
        let value: serde_json::Value = serde_json::from_str(&to_json(&plan)).expect("JSON");
        assert_eq!(value["total_bytes"], 22);
        assert_eq!(value["lines"][0]["bytes"], 15);
    }
}
