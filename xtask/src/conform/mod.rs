//! Autobahn's test suite against our server and our client, on both drivers.
//!
//! ```text
//! fuzzingclient ──▶ hioload echo                   role server
//! fuzzingserver ◀── hioload autobahn-client        role client
//! ```
//!
//! The suite gives its verdicts only when a run ends, so the cases are split into groups with a
//! time limit each: a server that hangs costs one group, not the whole run. Every case must be
//! OK, NON-STRICT or INFORMATIONAL; UNIMPLEMENTED is not.

mod groups;
mod h2;
mod page;
mod suite;
mod verdict;

use std::path::PathBuf;
use std::time::Instant;

use groups::Group;
use page::{Entry, Role};
use suite::Suite;

use crate::args::Args;
use crate::process::{beside, cargo, hioload, run as run_command, target_dir};
use crate::python;
use crate::stop::{Outcome, Stop};

const HELP: &str = "\
cargo xtask conform [options]
cargo xtask conform h2 [options]   HTTP/2 and WebSocket over it; see its own --help

  --driver uring|poll   one driver instead of both
  --role server|client  one role instead of both
  --groups GROUPS       all (default), quick, or a list such as 1,2,9,12.1
  --hioload PATH        use this binary instead of a release build
  --harness             check the harness itself: groups 1 to 7 against tokio-tungstenite
  --kept                run nothing, take the reports of the last runs: for a page of separate runs

A run of everything writes docs/conformance.md, in about half an hour.
";

/// What one run of the task covers.
struct Plan {
    drivers: Vec<&'static str>,
    roles: Vec<Role>,
    groups: Vec<&'static Group>,
}

/// Where verdicts come from.
enum Source {
    Run(Suite, PathBuf),
    Kept,
}

/// Runs the suite as the command line says.
pub(crate) fn run(mut args: Args) -> Outcome {
    if args.takes("h2") {
        return h2::run(args);
    }
    if args.flag("--help") {
        print!("{HELP}");
        return Ok(());
    }
    if args.flag("--harness") {
        args.finish()?;
        return check_harness();
    }
    let plan = Plan {
        drivers: choose(
            args.value("--driver")?,
            &[("uring", "uring"), ("poll", "poll")],
        )?,
        roles: choose(
            args.value("--role")?,
            &[("server", Role::Server), ("client", Role::Client)],
        )?,
        groups: groups::select(&args.value("--groups")?.unwrap_or_else(|| "all".to_owned()))?,
    };
    let binary = args.value("--hioload")?;
    let is_kept = args.flag("--kept");
    args.finish()?;
    let source = if is_kept {
        Source::Kept
    } else {
        Source::Run(suite()?, hioload(binary)?)
    };
    let entries = check(&source, &plan);
    print!("{}", page::table(&entries));
    let is_complete = plan.drivers.len() == 2
        && plan.roles.len() == 2
        && plan.groups.len() == groups::GROUPS.len();
    if is_complete {
        page::write(&entries)?;
    }
    judge(&entries)
}

fn suite() -> Outcome<Suite> {
    let environment = python::python27("autobahn", "conformance/requirements.txt")?;
    Ok(Suite::new(environment))
}

/// Either the one named or all of them.
fn choose<T: Clone>(name: Option<String>, all: &[(&str, T)]) -> Outcome<Vec<T>> {
    let Some(name) = name else {
        return Ok(all.iter().map(|(_, value)| value.clone()).collect());
    };
    match all.iter().find(|(known, _)| *known == name) {
        Some((_, value)) => Ok(vec![value.clone()]),
        None => {
            let known: Vec<_> = all.iter().map(|(known, _)| *known).collect();
            Err(Stop::Usage(format!("{name}: one of {}", known.join(", "))))
        }
    }
}

/// Runs every group of the plan; what a group could not tell is an entry too. The suite keeps one core busy, so drivers
/// have their turns beside each other.
fn check(source: &Source, plan: &Plan) -> Vec<Entry> {
    let lane = |role: Role, driver: &'static str| -> Vec<Entry> {
        let groups = plan.groups.iter();
        groups
            .map(|group| check_group(source, role, driver, group))
            .collect()
    };
    let roles = plan.roles.iter();
    roles
        .flat_map(|role| beside(&plan.drivers, |driver| lane(*role, driver)))
        .flatten()
        .collect()
}

fn check_group(source: &Source, role: Role, driver: &'static str, group: &'static Group) -> Entry {
    let started = Instant::now();
    let result = match (source, role) {
        (Source::Kept, _) => suite::kept(role, driver, group),
        (Source::Run(suite, binary), Role::Server) => {
            suite.check_server(driver, group, &suite::our_server(binary, driver))
        }
        (Source::Run(suite, binary), Role::Client) => suite.check_client(driver, group, &|addr| {
            suite::our_client(binary, driver, group, addr)
        }),
    };
    let entry = Entry::new(role, driver, group, result);
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{} ({seconds:.0} s)", entry.line());
    entry
}

fn judge(entries: &[Entry]) -> Outcome {
    let complaints: Vec<String> = entries.iter().flat_map(Entry::complaints).collect();
    if complaints.is_empty() {
        return Ok(());
    }
    Err(Stop::Failed(format!(
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    )))
}

/// A server that is known to conform must pass, and must be told apart from one that does not.
fn check_harness() -> Outcome {
    let suite = suite()?;
    run_command(cargo().args(["build", "--release", "--package", "hioload-bench"]))?;
    let peer = target_dir().join("release/peer-tungstenite-echo");
    let server = move || crate::process::command(&peer);
    let mut entries = Vec::new();
    for group in groups::select("1,2,3,4,5,6,7")? {
        entries.push(Entry::new(
            Role::Server,
            "tungstenite",
            group,
            suite.check_server("tungstenite", group, &server),
        ));
    }
    print!("{}", page::table(&entries));
    judge(&entries)?;
    // The peer has no permessage-deflate: a harness that lets this pass checks nothing.
    let deflate = groups::select("12.1")?;
    let result = suite.check_server("tungstenite", deflate[0], &server);
    let entry = Entry::new(Role::Server, "tungstenite", deflate[0], result);
    if entry.complaints().is_empty() {
        return Err(Stop::Failed(
            "UNIMPLEMENTED cases were taken for passed ones".to_owned(),
        ));
    }
    println!("harness: conforming cases pass, unimplemented ones are refused");
    Ok(())
}
