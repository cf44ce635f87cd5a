//! `hioload blocks rm`: deletes blocks.

use clap::Args;

use super::Verdict;
use super::names::{self, Name};
use super::place::Place;
use super::stop::Stop;

/// Blocks deleted at a time.
const STEP: usize = 256;

/// Arguments of `hioload blocks rm`.
#[derive(Args, Clone, Debug)]
pub(super) struct RmArgs {
    #[command(flatten)]
    place: Place,

    /// Their references, too; in a directory (--data) only
    #[arg(long, requires = "data")]
    force: bool,

    /// Which; `-`: the first word of each line of stdin
    #[arg(required = true, value_name = "HASH")]
    hashes: Vec<Name>,
}

/// Deletes as many as can be. Fine when that was all.
pub(super) fn run(args: &RmArgs) -> Result<Verdict, Stop> {
    let hashes = names::resolve(&args.hashes)?;
    let mut access = args.place.open()?;
    let mut is_fine = true;
    for some in hashes.chunks(STEP) {
        for (hash, outcome) in some.iter().zip(access.delete(some, args.force)) {
            match outcome {
                Ok(()) => {}
                Err(trouble) if trouble.is_lost() => return Err(trouble.into()),
                Err(trouble) => {
                    is_fine = false;
                    eprintln!("error: block {hash}: {trouble}");
                }
            }
        }
    }
    Ok(Verdict::of(is_fine))
}
