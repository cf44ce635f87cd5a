//! docs/limits.md: generated from the limit tables that the rooms export.
//!
//! The tables are linked by a second binary of this package, so that the door itself opens while
//! a room does not compile.

use std::fs;

use crate::args::Args;
use crate::process::{cargo, output, root, run as run_command};
use crate::stop::{Outcome, Stop};

const PATH: &str = "docs/limits.md";

/// Compares the page with the tables, or writes it.
pub(crate) fn run(mut args: Args) -> Outcome {
    let write = args.flag("--write");
    args.finish()?;
    if !write {
        return check();
    }
    let page = page()?;
    fs::write(root().join(PATH), page).map_err(|error| Stop::io(PATH, &error))?;
    println!("{PATH} written");
    Ok(())
}

/// Fails when the page does not say what the tables say.
pub(crate) fn check() -> Outcome {
    let written = fs::read_to_string(root().join(PATH)).unwrap_or_default();
    if written == page()? {
        return Ok(());
    }
    Err(Stop::Failed(format!(
        "{PATH} is not what the tables say: cargo xtask limits --write"
    )))
}

fn page() -> Outcome<String> {
    let limits = [
        "--package",
        "xtask",
        "--features",
        "rooms",
        "--bin",
        "limits",
    ];
    run_command(cargo().args(["build", "--quiet"]).args(limits))?;
    output(cargo().args(["run", "--quiet"]).args(limits))
}
