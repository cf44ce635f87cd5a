//! `hioload blocks get`: contents to stdout or to a file, one behind the other.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Verdict;
use super::access::{Access, CONTENTS_MAX, Source};
use super::names::{self, Name};
use super::place::Place;
use super::progress::Progress;
use super::stop::{Stop, unwritten};
use hioload_blocks::Hash;

/// Arguments of `hioload blocks get`.
#[derive(Args, Clone, Debug)]
pub(super) struct GetArgs {
    #[command(flatten)]
    place: Place,

    /// Which; `-`: the first word of each line of stdin, such as what `put` printed
    #[arg(required = true, value_name = "HASH")]
    hashes: Vec<Name>,

    /// Write to this file; it appears when it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes them.
pub(super) fn run(args: &GetArgs) -> Result<Verdict, Stop> {
    let hashes = names::resolve(&args.hashes)?;
    let mut access = args.place.open()?;
    match &args.output {
        Some(path) if path.as_os_str() != "-" => to_file(access.as_mut(), &hashes, path)?,
        _ => {
            let mut stdout = io::stdout().lock();
            copy(access.as_mut(), &hashes, &mut stdout, &|error| {
                unwritten(error)
            })?;
        }
    }
    Ok(Verdict::Fine)
}

/// Beside its place first: what is there under its name is whole, or what was there before.
fn to_file(access: &mut dyn Access, hashes: &[Hash], path: &Path) -> Result<(), Stop> {
    let failed =
        |error: &io::Error| Stop::Failed(format!("cannot write {}: {error}", path.display()));
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let mut file = File::create_new(&part).map_err(|error| failed(&error))?;
    let written = copy(access, hashes, &mut file, &failed)
        .and_then(|()| fs::rename(&part, path).map_err(|error| failed(&error)));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

fn copy(
    access: &mut dyn Access,
    hashes: &[Hash],
    out: &mut dyn Write,
    failed: &dyn Fn(&io::Error) -> Stop,
) -> Result<(), Stop> {
    let progress = Progress::of_bytes(None);
    for some in hashes.chunks(CONTENTS_MAX) {
        let contents = access.contents(some, Source::Any);
        for (hash, content) in some.iter().zip(contents) {
            let content =
                content.map_err(|trouble| Stop::Failed(format!("block {hash}: {trouble}")))?;
            out.write_all(&content).map_err(|error| failed(&error))?;
            progress.add(content.len() as u64);
        }
    }
    out.flush().map_err(|error| failed(&error))
}
