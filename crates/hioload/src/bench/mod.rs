//! The load generator: what a server does under load, and proof that it did it right.
//!
//! ```text
//!  Options ─▶ Server (ours, or --connect) ─▶ Engine(Work) ─▶ Tally, Ledger ─▶ Report
//! ```
//!
//! | module | noun |
//! |---|---|
//! | `engine` | a run: phases, handshakes, control frames |
//! | `io` | connections over a reactor driver |
//! | `echo`, `broadcast`, `hold` | the works of WebSockets |
//! | `blocks` | the works of the block store, a run of their own |
//! | `frames`, `stamp`, `sizes`, `pace` | what is sent, what it carries, how much, when it is due |
//! | `ledger`, `tally` | what came, in which order, how late |
//! | `process` | the server's account in `/proc`, its core, its life |
//! | `report` | JSON and table |
//!
//! It shares its machine with the server, so it has to be cheap: one thread, frames built before
//! they are needed, replies parsed in place.

mod blocks;
mod broadcast;
mod echo;
mod engine;
mod frames;
mod hold;
mod io;
mod ledger;
mod options;
mod pace;
mod process;
mod report;
mod secure;
mod sizes;
mod stamp;
mod tally;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread;

use hioload_base::Prng;

use self::broadcast::Broadcast;
use self::echo::Echo;
use self::engine::{Engine, Finished, Setup};
use self::hold::Hold;
pub(crate) use self::options::{Options, Work};
use self::process::{Account, Server};
pub(crate) use self::report::Report;
use crate::cli::{descriptors, driver};

/// Handshakes under way at the same time, unless told.
const CONNECTS_IN_FLIGHT: usize = 256;

/// Descriptors for everything but connections.
const DESCRIPTORS_SPARE: usize = 64;

/// Why there is no report. Reads as: what, why, what to do.
#[derive(Debug)]
pub(crate) struct BenchError {
    /// The wish itself was impossible, rather than its fulfilment.
    pub(crate) is_usage: bool,
    what: String,
    cause: String,
    remedy: String,
}

impl BenchError {
    fn usage(what: String, cause: &str, remedy: &str) -> Self {
        Self {
            is_usage: true,
            what,
            cause: cause.to_owned(),
            remedy: remedy.to_owned(),
        }
    }

    fn interrupted() -> Self {
        Self::failed(
            "no report".to_owned(),
            "the run was interrupted",
            "Let it run to its end, or use a smaller --seconds",
        )
    }

    fn failed(what: String, cause: impl Into<String>, remedy: &str) -> Self {
        Self {
            is_usage: false,
            what,
            cause: cause.into(),
            remedy: remedy.to_owned(),
        }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.what, self.cause, self.remedy)
    }
}

impl std::error::Error for BenchError {}

/// Runs one bench to its report, or until `stop` is set. Pins the calling thread.
pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<Report, BenchError> {
    options.check()?;
    let is_path =
        options.path.starts_with('/') && options.path.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_path {
        return Err(BenchError::usage(
            format!("--path {}", options.path),
            "a path starts with / and has no spaces",
            "Percent-encode what is special",
        ));
    }
    check_descriptors(options.connections)?;
    let core_count = thread::available_parallelism().map_or(1, usize::from);
    let store = own_store(options)?;
    // The server first: it would inherit the load's core.
    let server = match options.connect {
        Some(_) => None,
        None => Some(start_server(options, store.as_ref(), core_count)?),
    };
    if let Some(cpu) = options
        .cpu
        .or((server.is_some() && core_count > 1).then_some(core_count - 1))
    {
        process::pin_thread(cpu)?;
    }
    let addr = server
        .as_ref()
        .map_or(options.connect, |server| Some(server.addr));
    let addr = addr.expect("invariant: a server is named or started");
    let pid = server
        .as_ref()
        .map_or(options.server_pid, |server| Some(server.pid()));
    let driver = driver::open(options.driver, options.connections + 1)
        .map_err(|error| BenchError::failed(error.what, error.cause, &error.remedy))?;
    let name = driver.caps().kind.to_string();
    let mut report = measure(Setup {
        options,
        addr,
        server: pid.map(Account::new),
        driver,
        trust: options.trust()?,
        seed: random_seed()?,
        stop,
    })?;
    report.server = addr.to_string();
    report.driver = name;
    Ok(report)
}

/// Each connection takes a descriptor here, and there are a few more.
fn check_descriptors(connections: usize) -> Result<(), BenchError> {
    let limit = descriptors::raise();
    if connections.saturating_add(DESCRIPTORS_SPARE) <= limit {
        return Ok(());
    }
    Err(BenchError::usage(
        format!("--connections {connections}"),
        &format!("this process may have {limit} descriptors (`ulimit -n`)"),
        "Raise the limit, or share the connections out among several processes",
    ))
}

/// A directory that is removed when the run is over.
struct TemporaryStore(PathBuf);

impl Drop for TemporaryStore {
    fn drop(&mut self) {
        // Nothing can be done about what is left, and it says itself what it is.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where the server that is started for the run has its blocks, when nobody says.
fn own_store(options: &Options) -> Result<Option<TemporaryStore>, BenchError> {
    let is_named = options
        .server_args
        .iter()
        .any(|arg| arg.starts_with("--data"));
    if options.connect.is_some() || !options.work.is_blocks() || is_named {
        return Ok(None);
    }
    let name = format!("hioload-bench-{:016x}", random_seed()?);
    Ok(Some(TemporaryStore(std::env::temp_dir().join(name))))
}

fn start_server(
    options: &Options,
    store: Option<&TemporaryStore>,
    core_count: usize,
) -> Result<Server, BenchError> {
    let mut args = vec![options.work.server().to_owned()];
    if options.server_args.is_empty() {
        args.extend(["--workers".to_owned(), "1".to_owned()]);
    }
    args.extend(options.server_args.iter().cloned());
    if let Some(TemporaryStore(path)) = store {
        args.extend(["--data".to_owned(), path.display().to_string()]);
    }
    if options.tls.is_some() && !args.iter().any(|arg| arg.starts_with("--tls")) {
        args.extend(["--tls".to_owned(), "self-signed".to_owned()]);
    }
    for (flag, value) in [("--admin", "off"), ("--log", "warn")] {
        if !args.iter().any(|arg| arg.starts_with(flag)) {
            args.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    Server::start(&args, options.server_cpu.or((core_count > 1).then_some(0)))
}

fn measure(setup: Setup<'_>) -> Result<Report, BenchError> {
    let Setup {
        options,
        server,
        seed,
        ..
    } = setup;
    let mut random = Prng::new(seed);
    let count = options.connections;
    match options.work {
        Work::Echo => {
            let echo = Echo::new(options, &mut random);
            let mut finished = Engine::new(setup, count, echo).run()?;
            let lost = finished.work.lost();
            Ok(Report {
                lost,
                ..report(options, &mut finished)
            })
        }
        Work::Broadcast | Work::Slow => {
            let broadcast = Broadcast::new(options, &mut random)?;
            let mut finished = Engine::new(setup, count + 1, broadcast).run()?;
            let losses = finished.work.losses();
            Ok(Report {
                lost: losses.lost,
                duplicated: losses.duplicated,
                reordered: losses.reordered,
                stalled: options.stalled_count(),
                ..report(options, &mut finished)
            })
        }
        Work::Connect | Work::Idle => {
            let in_flight = options.in_flight.unwrap_or(CONNECTS_IN_FLIGHT);
            let hold = match options.work {
                Work::Idle => Hold::idle(server, in_flight, options.base, count),
                _ => Hold::storm(in_flight),
            };
            let mut finished = Engine::new(setup, count, hold).run()?;
            let lost = (count - finished.connections_held) as u64;
            let report = report(options, &mut finished);
            Ok(Report { lost, ..report }.with_readings(finished.work.readings()))
        }
        Work::BlocksPut | Work::BlocksGet | Work::BlocksMixed => {
            let addr = setup.addr;
            blocks::Run::new(setup).run(addr)
        }
    }
}

fn report<W: engine::Work>(options: &Options, finished: &mut Finished<W>) -> Report {
    Report {
        connections_held: finished.connections_held,
        drained: finished.is_drained,
        ..Report::new(options, &finished.window, &mut finished.tally)
    }
}

fn random_seed() -> Result<u64, BenchError> {
    getrandom::u64().map_err(|error| {
        BenchError::failed(
            "no random numbers for mask keys".to_owned(),
            error.to_string(),
            "See getrandom(2) for the cause",
        )
    })
}
