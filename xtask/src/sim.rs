//! Simulation: the production workers on virtual time, one run a seed.

use crate::args::Args;
use crate::process::{cargo, root, run as run_command};
use crate::stop::{Outcome, Stop};

/// Seeds of one run when nobody says otherwise.
const SEED_COUNT_DEFAULT: u64 = 200;

/// Runs a suite of `hioload-sim` over a range of seeds; it prints how often each fault fired.
pub(crate) fn run(mut args: Args) -> Outcome {
    let suite = args.positional().unwrap_or_else(|| "sessions".to_owned());
    let count: u64 = args.parsed("--seeds", SEED_COUNT_DEFAULT)?;
    let first: u64 = args.parsed("--from", 0)?;
    if !root().join("sim/src/main.rs").is_file() {
        return Err(Stop::Skipped("sim/ has no program yet".to_owned()));
    }
    let (count, first) = (count.to_string(), first.to_string());
    run_command(
        cargo()
            .args(["run", "--quiet", "--package", "hioload-sim", "--"])
            .arg(suite)
            .args(["--seeds", &count, "--from", &first])
            .args(args.rest()),
    )
}
