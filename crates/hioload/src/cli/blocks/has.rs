//! `hioload blocks has`: whether blocks are there.

use clap::Args;

use super::Verdict;
use super::access::{Head, Trouble};
use super::names::{self, Name};
use super::place::Place;
use super::stop::{Stop, say};

/// Hashes asked about at a time.
const STEP: usize = 256;

/// Arguments of `hioload blocks has`.
#[derive(Args, Clone, Debug)]
pub(super) struct HasArgs {
    #[command(flatten)]
    place: Place,

    /// Which; `-`: the first word of each line of stdin
    #[arg(required = true, value_name = "HASH")]
    hashes: Vec<Name>,
}

/// Prints a line for each: its length, `missing` or `damaged`. Fine when all are there.
pub(super) fn run(args: &HasArgs) -> Result<Verdict, Stop> {
    let hashes = names::resolve(&args.hashes)?;
    let mut access = args.place.open()?;
    let mut is_fine = true;
    for some in hashes.chunks(STEP) {
        for (hash, head) in some.iter().zip(access.heads(some)) {
            let said = match head {
                Ok(Head {
                    length,
                    is_damaged: false,
                }) => {
                    say(&format!("{hash}  {length}"))?;
                    continue;
                }
                Ok(Head { length, .. }) => format!("{hash}  {length}  damaged"),
                Err(Trouble::Missing) => format!("{hash}  missing"),
                Err(trouble) => {
                    return Err(Stop::Failed(format!("block {hash}: {trouble}")));
                }
            };
            is_fine = false;
            say(&said)?;
        }
    }
    Ok(Verdict::of(is_fine))
}
