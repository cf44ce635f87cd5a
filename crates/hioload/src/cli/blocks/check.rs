//! `hioload blocks check`: index, data file and free map agree, or what does not, where, and what to do.

use std::path::PathBuf;

use clap::Args;
use hioload_blocks::{CheckEvent, IndexError};

use super::Verdict;
use super::access::Access as _;
use super::directory::Directory;
use super::progress::{Progress, count, size};
use super::stop::{Stop, say};
use super::verify::{self, Tally};

/// Arguments of `hioload blocks check`.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// The store's directory; no server may have it open
    #[arg(long, value_name = "DIR", default_value = "./hioload-data")]
    data: PathBuf,

    /// Read all contents, too, and verify them
    #[arg(long)]
    contents: bool,

    /// Open a store whose journal is damaged: changes that it alone has, of the last second before a sudden end, are lost
    #[arg(long)]
    give_up_journal: bool,

    /// Delete rows of the index that cannot be read, before anything else: which contents they named nobody knows
    #[arg(long)]
    drop_damaged_rows: bool,
}

/// Prints what does not agree. Fine when there is nothing, and no block is known to be damaged.
pub(super) fn run(args: &CheckArgs) -> Result<Verdict, Stop> {
    let mut directory = if args.give_up_journal {
        Directory::open_giving_up_journal(&args.data)?
    } else {
        Directory::open(&args.data)?
    };
    if args.drop_damaged_rows {
        let dropped = directory
            .drop_damaged_rows()
            .map_err(|error| unreadable(&error))?;
        eprintln!("{} deleted", count(dropped as u64, "damaged row"));
    }
    let mut tally = Tally::default();
    if args.contents {
        let progress = Progress::of_bytes(None);
        // Rows that cannot be read are findings below.
        verify::all(&mut directory, &mut tally, &progress)?;
        drop(progress);
        tally.report("read");
    }
    let progress = Progress::of("rows of the index");
    let mut said = Ok(());
    let report = directory.check(&mut |event| match event {
        CheckEvent::Progress { rows } => progress.set(rows),
        CheckEvent::Finding(finding) => {
            let line = format!("{finding}: {}", finding.remedy());
            let ended = std::mem::replace(&mut said, Ok(()));
            said = ended.and_then(|()| progress.say(&line));
        }
    });
    drop(progress);
    let report = report.map_err(|error| unreadable(&error))?;
    said?;
    if !args.contents && report.damaged > 0 {
        for hash in damaged(&mut directory)? {
            say(&format!(
                "{hash}  damaged, found earlier; put the same content to repair it"
            ))?;
        }
    }
    eprintln!(
        "{}, {}, {}; data file {}, of which {} free: {}, {} damaged",
        count(report.blocks, "block"),
        size(report.content_bytes),
        count(report.references, "reference"),
        size(report.space.size),
        size(report.space.free_bytes()),
        count(report.findings, "finding"),
        report.damaged,
    );
    Ok(Verdict::of(report.findings == 0 && report.damaged == 0))
}

fn unreadable(error: &IndexError) -> Stop {
    Stop::Failed(format!(
        "the index cannot be read: {error}; restore index.mdbx from a backup"
    ))
}

/// Blocks that are on record as damaged.
fn damaged(directory: &mut Directory) -> Result<Vec<String>, Stop> {
    let figures = directory.figures()?;
    let list = figures["controller"]["damaged_list"].as_array().into_iter();
    let hashes = list.flatten().filter_map(|block| block["hash"].as_str());
    Ok(hashes.map(str::to_owned).collect())
}
