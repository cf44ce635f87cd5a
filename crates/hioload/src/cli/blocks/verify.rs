//! `hioload blocks verify`: reads whole blocks from the medium and compares their SHA-256.

use clap::Args;
use hioload_blocks::Hash;

use super::Verdict;
use super::access::{Access, CONTENTS_MAX, Source, Trouble};
use super::ls::unreadable;
use super::names::{self, Name};
use super::place::Place;
use super::progress::{Progress, count, size};
use super::stop::Stop;
use super::walk::Walk;

/// Arguments of `hioload blocks verify`.
#[derive(Args, Clone, Debug)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,

    /// Which; `-`: the first word of each line of stdin; all there are if none is given
    #[arg(value_name = "HASH")]
    hashes: Vec<Name>,
}

/// Prints a line for each that is not what it should be.
pub(super) fn run(args: &VerifyArgs) -> Result<Verdict, Stop> {
    let hashes = names::resolve(&args.hashes)?;
    let mut access = args.place.open()?;
    let mut tally = Tally::default();
    if args.hashes.is_empty() {
        let total = access.figures()?["controller"]["space"]["content_bytes"].as_u64();
        let progress = Progress::of_bytes(total);
        tally.unreadable = all(access.as_mut(), &mut tally, &progress)?;
    } else {
        let progress = Progress::of_bytes(None);
        tally.verify(access.as_mut(), &hashes, true, &progress)?;
    }
    tally.report("verified");
    Ok(Verdict::of(tally.is_fine()))
}

/// Verifies every block. Returns how many rows could not be read.
pub(super) fn all(
    access: &mut dyn Access,
    tally: &mut Tally,
    progress: &Progress,
) -> Result<u64, Stop> {
    let mut walk = Walk::new(None);
    loop {
        let entries = walk.next(access, u64::MAX)?;
        if entries.is_empty() {
            return Ok(walk.unreadable);
        }
        let hashes: Vec<Hash> = entries.iter().map(|entry| entry.hash).collect();
        tally.verify(access, &hashes, false, progress)?;
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) blocks: u64,
    pub(super) bytes: u64,
    pub(super) damaged: u64,
    pub(super) missing: u64,
    pub(super) unreadable: u64,
}

impl Tally {
    /// Reads each of these. Those that are gone matter only when they were asked for by name: others may be
    /// deleted meanwhile.
    pub(super) fn verify(
        &mut self,
        access: &mut dyn Access,
        hashes: &[Hash],
        are_named: bool,
        progress: &Progress,
    ) -> Result<(), Stop> {
        for some in hashes.chunks(CONTENTS_MAX) {
            let contents = access.contents(some, Source::Medium);
            for (hash, content) in some.iter().zip(contents) {
                match content {
                    Ok(content) => {
                        self.blocks += 1;
                        self.bytes += content.len() as u64;
                        progress.add(content.len() as u64);
                    }
                    Err(Trouble::Missing) if !are_named => {}
                    Err(trouble) => self.tell(hash, trouble, progress)?,
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, hash: &Hash, trouble: Trouble, progress: &Progress) -> Result<(), Stop> {
        match &trouble {
            Trouble::Lost(_) => return Err(trouble.into()),
            Trouble::Missing => {
                self.missing += 1;
                return progress.say(&format!("{hash}  missing"));
            }
            Trouble::Damaged(_) | Trouble::Refused(_) => {
                self.blocks += 1;
                self.damaged += 1;
            }
        }
        progress.say(&format!("{hash}  {trouble}"))
    }

    pub(super) fn is_fine(&self) -> bool {
        self.damaged + self.missing + self.unreadable == 0
    }

    /// A last line.
    pub(super) fn report(&self, done: &str) {
        let mut line = format!(
            "{done} {}, {}",
            count(self.blocks, "block"),
            size(self.bytes)
        );
        line += &format!(": {} damaged", self.damaged);
        if self.missing > 0 {
            line += &format!(", {} missing", self.missing);
        }
        eprintln!("{line}");
        if self.unreadable > 0 {
            eprintln!("{}", unreadable(self.unreadable));
        }
    }
}
