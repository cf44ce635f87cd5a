//! HTTP/2: httpwg's cases against our server and against nghttpd, and Autobahn's suite through a bridge.
//!
//! ```text
//! httpwg ──▶ hioload serve, nghttpd                                        RFC 9113
//! fuzzingclient ── HTTP/1.1 ──▶ h2-bridge ── tunnels ──▶ hioload echo      RFC 8441
//! ```
//!
//! httpwg has cases in which it is alone in its reading of RFC 9113, so nghttpd is the measure: what it passes we
//! have to pass.

mod httpwg;
mod page;

use std::path::Path;

use super::groups;
use super::page::{Entry, Role};
use super::suite::{Suite, our_server};
use super::{choose, judge, suite};
use crate::args::Args;
use crate::process::{Server, cargo, command, hioload, run as run_command, target_dir};
use crate::stop::{Outcome, Stop};

use self::httpwg::{Comparison, Httpwg};

const HELP: &str = "\
cargo xtask conform h2 [options]

  --driver uring|poll     one driver instead of both
  --only httpwg|autobahn  one suite instead of both
  --hioload PATH          use this binary instead of a release build
  --harness               check the bridge itself: Autobahn against hyper

A run of everything writes its section of docs/conformance.md, in about two minutes.
";

/// Groups that are about frames: the others are about sizes and deflate, which HTTP/2 does not change.
const GROUPS: &str = "1,2,3,4,5,6,7";

/// Runs the suites as the command line says.
pub(super) fn run(mut args: Args) -> Outcome {
    if args.flag("--help") {
        print!("{HELP}");
        return Ok(());
    }
    let is_harness = args.flag("--harness");
    let drivers = choose(
        args.value("--driver")?,
        &[("uring", "uring"), ("poll", "poll")],
    )?;
    let suites = choose(
        args.value("--only")?,
        &[("httpwg", "httpwg"), ("autobahn", "autobahn")],
    )?;
    let binary = args.value("--hioload")?;
    args.finish()?;
    if is_harness {
        return check_harness();
    }
    let binary = hioload(binary)?;
    let comparisons = if suites.contains(&"httpwg") {
        compare(&binary, &drivers)?
    } else {
        Vec::new()
    };
    let entries = if suites.contains(&"autobahn") {
        through_bridge(&binary, &drivers)?
    } else {
        Vec::new()
    };
    let section = page::section(&comparisons, &entries);
    println!("{section}");
    if suites.len() == 2 && drivers.len() == 2 {
        super::page::write_section(&section)?;
    }
    let complaints: Vec<String> = comparisons
        .iter()
        .flat_map(Comparison::complaints)
        .collect();
    if !complaints.is_empty() {
        return Err(Stop::Failed(format!(
            "{} cases that nghttpd passes:\n{}",
            complaints.len(),
            complaints.join("\n")
        )));
    }
    judge(&entries)
}

fn compare(binary: &Path, drivers: &[&'static str]) -> Outcome<Vec<Comparison>> {
    let httpwg = Httpwg::build()?;
    let theirs = httpwg.check_nghttpd()?;
    let compare = |driver: &&'static str| {
        let ours = httpwg.check(&Server::start(&mut serve(binary, driver))?)?;
        let comparison = Comparison::new(driver, &ours, &theirs);
        eprintln!("{}", comparison.line());
        Ok(comparison)
    };
    drivers.iter().map(compare).collect()
}

/// A server without a store: cases ask for `/`, and any answer with a body will do.
/// A server with a store: one case asks for what takes a POST.
fn serve(binary: &Path, driver: &str) -> std::process::Command {
    let mut server = command(binary);
    server.args(["serve", "--addr", "127.0.0.1:0", "--workers", "1"]);
    server.args(["--driver", driver, "--admin", "off", "--log", "error"]);
    let data = target_dir().join("conformance/httpwg-store");
    server.arg("--data").arg(data);
    server
}

fn through_bridge(binary: &Path, drivers: &[&'static str]) -> Outcome<Vec<Entry>> {
    let suite = suite()?;
    build_bridge()?;
    let mut entries = Vec::new();
    for driver in drivers {
        entries.extend(check(&suite, driver, GROUPS, &our_server(binary, driver))?);
    }
    Ok(entries)
}

fn build_bridge() -> Outcome {
    run_command(cargo().args(["build", "--release", "--package", "hioload-conformance"]))
}

/// All groups against the server that `server` starts; one server and one connection for all of them.
fn check(
    suite: &Suite,
    driver: &str,
    groups: &str,
    server: &dyn Fn() -> std::process::Command,
) -> Outcome<Vec<Entry>> {
    let server = Server::start(&mut server())?;
    let bridge = target_dir().join("release/h2-bridge");
    let mut entries = Vec::new();
    for group in groups::select(groups)? {
        let bridge = || {
            let mut command = command(&bridge);
            command.args(["--connect", server.addr()]);
            command
        };
        let place = format!("{driver}, tunnel");
        let result = suite.check_server(&place, group, &bridge);
        let entry = Entry::new(Role::Server, &place, group, result);
        eprintln!("{}", entry.line());
        entries.push(entry);
    }
    Ok(entries)
}

/// A server that is known to conform, in all but how it closes, must pass through the bridge.
fn check_harness() -> Outcome {
    let suite = suite()?;
    build_bridge()?;
    run_command(cargo().args(["build", "--release", "--package", "hioload-bench"]))?;
    let peer = target_dir().join("release/peer-hyper-h2");
    let entries = check(&suite, "hyper", "1,2,3,4,5,6", &|| command(&peer))?;
    print!("{}", super::page::table(&entries));
    judge(&entries)
}
