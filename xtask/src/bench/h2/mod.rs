//! HTTP/2 beside its peers: nghttpd, nginx, hyper and the `h2` crate.
//!
//! | module | noun |
//! |---|---|
//! | `plan` | what is measured and what it must reach |
//! | `peers` | servers of others |
//! | `h2load` | requests |
//! | `tunnels` | WebSocket over HTTP/2 (RFC 8441), and uploads beside it |

mod h2load;
mod peers;
mod plan;
mod tunnels;

use super::rows;
use crate::args::Args;
use crate::stop::Outcome;

/// What `cargo xtask bench h2` does.
const TABLE: rows::Table = rows::Table {
    name: "h2",
    about: "HTTP/2 beside its peers",
    rows: plan::ROWS,
    rounds: 7,
    seconds: 2,
    closing: |_| String::new(),
};

/// Runs the rows that the command line names.
pub(super) fn run(args: Args) -> Outcome {
    TABLE.run(args)
}
