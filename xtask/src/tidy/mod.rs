//! House rules that no compiler checks.
//!
//! Every rule looks at the manifests or at the text of tracked files and reports all its findings;
//! the task fails if there is one. A rule is about the product: it must not know how files got
//! there.

mod dependencies;
mod rooms;
mod sources;

use crate::args::Args;
use crate::process::{command, output, root};
use crate::stop::{Outcome, Stop};

/// Checks every rule.
pub(crate) fn run(args: Args) -> Outcome {
    args.finish()?;
    let paths = tracked_paths()?;
    let (rooms, metadata) = (rooms::read(root())?, rooms::metadata()?);
    let mut findings = rooms::check(&rooms, &metadata)?;
    findings.extend(dependencies::check(root(), &metadata)?);
    findings.extend(sources::check(root(), &paths, &rooms)?);
    if findings.is_empty() {
        println!("tidy: {} files, nothing to say", paths.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    Err(Stop::Failed(format!("tidy: {} findings", findings.len())))
}

/// Files under version control and files about to be, relative to the root.
fn tracked_paths() -> Outcome<Vec<String>> {
    let list = output(command("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ]))?;
    Ok(list
        .lines()
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect())
}
