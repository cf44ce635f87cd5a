//! The block store beside its peers: fio on the same file system, SHA-256 on one core, nginx with static files.
//!
//! | module | noun |
//! |---|---|
//! | `plan` | what is measured and what it must reach |
//! | `fio`, `wrk` | programs that are found in PATH |
//! | `seed` | our figures beside those of the store's first design |

mod fio;
mod plan;
mod seed;
mod wrk;

use super::rows::{self, Series};
use crate::args::Args;
use crate::stop::Outcome;

/// What `cargo xtask bench blocks` does.
const TABLE: rows::Table = rows::Table {
    name: "blocks",
    about: "the block store beside its peers",
    rows: plan::ROWS,
    rounds: 7,
    seconds: 2,
    closing,
};

/// Runs the rows that the command line names.
pub(super) fn run(args: Args) -> Outcome {
    TABLE.run(args)
}

fn closing(series: &[Series]) -> String {
    seed::table(series) + "\nThe allocator and the index alone: blocks-store in bench/.\n"
}
