//! `hioload blocks`: a store from the command line, in a running server or in a directory nobody has open.
//!
//! ```text
//!   put ─────────────────────────────▶ Intake ┬─▶ Remote ─▶ Server ─▶ a server, over HTTP
//!   get has rm ls stat verify scrub ─▶ Access ┴─▶ Directory, Storing ────▶ index and data file
//!   check ──────────────────────────────────────▶ Directory
//! ```
//!
//! One file per command, and per noun they share. Results go to stdout, everything else to stderr. A command
//! ends with 0 when all is well, 1 when something is wrong or failed, 2 when it cannot work like that.

mod access;
mod check;
mod directory;
mod get;
mod has;
mod ls;
mod names;
mod pieces;
mod place;
mod progress;
mod put;
mod remote;
mod rm;
mod scrub;
mod server;
mod stat;
mod stop;
mod storing;
mod verify;
mod walk;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::check::CheckArgs;
use self::get::GetArgs;
use self::has::HasArgs;
use self::ls::LsArgs;
use self::put::PutArgs;
use self::rm::RmArgs;
use self::scrub::ScrubArgs;
use self::stat::StatArgs;
use self::stop::Stop;
use self::verify::VerifyArgs;
use super::exit;
use crate::bench::Options as BenchArgs;

/// Arguments of `hioload blocks`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BlocksArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Store files, directories or stdin; prints HASH  SIZE  PATH for each block
    ///
    /// A content above 512 KiB is cut into blocks of that size. What is there already is not sent again.
    Put(PutArgs),
    /// Write contents to stdout or to a file, one behind the other
    Get(GetArgs),
    /// Say whether blocks are there
    Has(HasArgs),
    /// Delete blocks
    Rm(RmArgs),
    /// List blocks in the order of their hashes
    Ls(LsArgs),
    /// Show how much is stored, and what is known to be damaged
    Stat(StatArgs),
    /// Read whole blocks from the medium and compare their SHA-256
    Verify(VerifyArgs),
    /// Read every block from the medium at a set rate, to find damage while there are other copies
    Scrub(ScrubArgs),
    /// Prove that index, data file and free map agree, while no server has the store open
    Check(CheckArgs),
    /// Put a store under load, and report what it did and what that cost
    Bench(Box<BenchArgs>),
}

/// Runs one of them.
pub(crate) fn run(args: &BlocksArgs) -> ExitCode {
    let ended = match &args.command {
        Command::Put(args) => put::run(args),
        Command::Get(args) => get::run(args),
        Command::Has(args) => has::run(args),
        Command::Rm(args) => rm::run(args),
        Command::Ls(args) => ls::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Scrub(args) => scrub::run(args),
        Command::Check(args) => check::run(args),
        Command::Bench(args) => return super::bench::run_blocks(args),
    };
    match ended {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::Wrong) => ExitCode::FAILURE,
        Err(Stop::Usage(text)) => exit::usage(&text),
        Err(Stop::Failed(text)) => exit::failure(&text),
        // Whoever closed the pipe knows; that all is well nobody has seen.
        Err(Stop::Unread) => ExitCode::FAILURE,
    }
}

/// What a command that came to its end has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// All is well.
    Fine,
    /// Something is not; it was told where it was found.
    Wrong,
}

impl Verdict {
    fn of(is_fine: bool) -> Self {
        if is_fine { Self::Fine } else { Self::Wrong }
    }
}
