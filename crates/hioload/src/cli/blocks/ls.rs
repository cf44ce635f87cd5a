//! `hioload blocks ls`: which blocks there are.

use std::io::{BufWriter, Write as _};

use clap::Args;
use hioload_blocks::Hash;
use hioload_http::http_date;

use super::Verdict;
use super::access::Entry;
use super::place::Place;
use super::progress::count;
use super::stop::{Stop, unwritten};
use super::walk::Walk;

/// Arguments of `hioload blocks ls`.
#[derive(Args, Clone, Debug)]
pub(super) struct LsArgs {
    #[command(flatten)]
    place: Place,

    /// Only blocks behind this one
    #[arg(long, value_name = "HASH", value_parser = hash)]
    after: Option<Hash>,

    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// A hash that is a flag's value.
pub(super) fn hash(text: &str) -> Result<Hash, String> {
    Hash::from_hex(text).map_err(|_| "a hash has 64 hexadecimal digits".to_owned())
}

/// Prints a line for each: hash, length, `damaged` or `-`, and when it was stored.
pub(super) fn run(args: &LsArgs) -> Result<Verdict, Stop> {
    match list(args) {
        // Whoever closed the pipe has what it wanted.
        Err(Stop::Unread) => Ok(Verdict::Fine),
        ended => ended,
    }
}

fn list(args: &LsArgs) -> Result<Verdict, Stop> {
    let mut access = args.place.open()?;
    let mut walk = Walk::new(args.after);
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut out = BufWriter::new(std::io::stdout().lock());
    loop {
        let entries = walk.next(access.as_mut(), left)?;
        if entries.is_empty() {
            break;
        }
        left -= entries.len() as u64;
        for entry in &entries {
            writeln!(out, "{}", line(entry)).map_err(|error| unwritten(&error))?;
        }
    }
    out.flush().map_err(|error| unwritten(&error))?;
    if walk.unreadable > 0 {
        eprintln!("error: {}", unreadable(walk.unreadable));
    }
    Ok(Verdict::of(walk.unreadable == 0))
}

/// What to say of rows that cannot be read.
pub(super) fn unreadable(rows: u64) -> String {
    let rows = count(rows, "row");
    format!(
        "{rows} of the index cannot be read: stop the server and run `hioload blocks check`, which names them"
    )
}

fn line(entry: &Entry) -> String {
    let state = if entry.is_damaged { "damaged" } else { "-" };
    let date = http_date(entry.created_ms / 1000);
    let date = String::from_utf8_lossy(&date);
    format!("{}  {:>6}  {state}  {date}", entry.hash, entry.length)
}
