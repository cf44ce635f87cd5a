//! Rings and pools under the loom model checker: every interleaving of small programs.
//!
//! A room marks such tests with `#[cfg(all(test, loom))]` and names their module after it.

use std::process::Command;
use std::time::Duration;

use crate::args::Args;
use crate::process::{Running, cargo, output, target_dir};
use crate::stop::{Outcome, Stop};

const PACKAGES: &[&str] = &["hioload-ring", "hioload-mem"];

/// A model that does not end within this time explores too much.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Runs the loom tests of every room that has some; a room without any is not checked.
pub(crate) fn run(mut args: Args) -> Outcome {
    let packages = args.values("--package")?;
    args.finish()?;
    let packages = if packages.is_empty() {
        PACKAGES.iter().map(|&package| package.to_owned()).collect()
    } else {
        packages
    };
    let mut without = Vec::new();
    for package in packages {
        if check(&package)? == 0 {
            without.push(package);
        }
    }
    if without.is_empty() {
        return Ok(());
    }
    Err(Stop::Skipped(format!(
        "no loom tests in {}",
        without.join(", ")
    )))
}

/// Runs the loom tests of one package and gives their number.
fn check(package: &str) -> Outcome<usize> {
    let list = output(tests(package).args(["--quiet", "--", "--list"]))?;
    let count = list.lines().filter(|line| line.ends_with(": test")).count();
    if count > 0 {
        let mut tests = Running::spawn(&mut tests(package))?;
        match tests.wait(TIME_MAX)? {
            Some(status) if status.success() => {}
            Some(status) => return Err(Stop::Failed(format!("{package}: {status}"))),
            None => {
                return Err(Stop::Failed(format!(
                    "{package}: not done after {TIME_MAX:?}"
                )));
            }
        }
    }
    Ok(count)
}

fn tests(package: &str) -> Command {
    let mut command = cargo();
    command
        .args(["test", "--release", "--lib", "--package", package, "loom"])
        .env("RUSTFLAGS", "--cfg loom")
        // Its own directory: the flag concerns every crate.
        .env("CARGO_TARGET_DIR", target_dir().join("loom"));
    command
}
