//! `hioload blocks put`: files, directories or stdin into the store.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use clap::Args;
use hioload_blocks::Hash;

use super::Verdict;
use super::access::{Intake, Trouble};
use super::pieces::{self, Item, Source};
use super::place::Place;
use super::progress::{Progress, count, size};
use super::stop::Stop;

/// Arguments of `hioload blocks put`.
#[derive(Args, Clone, Debug)]
pub(super) struct PutArgs {
    #[command(flatten)]
    place: Place,

    /// Files, directories with all that is in them, or `-` for stdin
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Nothing on stderr but errors
    #[arg(short, long)]
    quiet: bool,
}

/// Stores them, and prints what is stored under which name.
pub(super) fn run(args: &PutArgs) -> Result<Verdict, Stop> {
    let sources = pieces::find(&args.paths);
    let total = sources.iter().map(|source| match source {
        Source::File(_, length) => Some(*length),
        Source::Stdin => None,
        Source::Not(_) | Source::Skipped(_) => Some(0),
    });
    let progress = Progress::of_bytes(total.sum());
    let mut put = Put {
        intake: args.place.open_to_put()?,
        progress,
        is_quiet: args.quiet,
        blocks: 0,
        bytes: 0,
        stored: 0,
        failed: 0,
    };
    for batch in pieces::read(sources) {
        put.batch(&batch)?;
    }
    put.report();
    Ok(Verdict::of(put.failed == 0))
}

struct Put {
    intake: Box<dyn Intake>,
    progress: Progress,
    is_quiet: bool,
    /// What is in the store now.
    blocks: u64,
    bytes: u64,
    /// Of those, what was not there.
    stored: u64,
    failed: u64,
}

impl Put {
    /// Stores what is not there; then tells of all, in their order.
    fn batch(&mut self, batch: &[Item]) -> Result<(), Stop> {
        let mut contents: HashMap<Hash, &[u8]> = HashMap::new();
        let mut hashes: Vec<Hash> = Vec::new();
        for item in batch {
            if let Item::Block { hash, content, .. } = item
                && contents.insert(*hash, content).is_none()
            {
                hashes.push(*hash);
            }
        }
        let missing: HashSet<Hash> = match hashes.is_empty() {
            true => HashSet::new(),
            false => self.intake.missing(&hashes)?.into_iter().collect(),
        };
        let wanted: Vec<(Hash, &[u8])> = hashes
            .iter()
            .filter(|hash| missing.contains(hash))
            .map(|hash| (*hash, contents[hash]))
            .collect();
        let outcomes = self.intake.put(&wanted);
        let mut troubles: HashMap<Hash, Trouble> = HashMap::new();
        for ((hash, _), outcome) in wanted.iter().zip(outcomes) {
            match outcome {
                Ok(is_new) => self.stored += u64::from(is_new),
                Err(trouble) => {
                    troubles.insert(*hash, trouble);
                }
            }
        }
        for item in batch {
            self.tell(item, &troubles)?;
        }
        // What was stored is told before that.
        let lost = troubles.into_values().find(Trouble::is_lost);
        lost.map_or(Ok(()), |trouble| Err(trouble.into()))
    }

    fn tell(&mut self, item: &Item, troubles: &HashMap<Hash, Trouble>) -> Result<(), Stop> {
        match item {
            Item::Block { hash, content, of } => match troubles.get(hash) {
                None => {
                    self.blocks += 1;
                    self.bytes += content.len() as u64;
                    self.progress.add(content.len() as u64);
                    self.say(&format!("{hash}  {}  {of}", content.len()))?;
                }
                // Told once, when it ends the command.
                Some(trouble) if trouble.is_lost() => {}
                Some(trouble) => self.fail(&format!("{of}: {trouble}")),
            },
            Item::Empty(of) => self.say(&format!("-  0  {of}"))?,
            Item::Note(text) if !self.is_quiet => self.progress.note(text),
            Item::Note(_) => {}
            Item::Failed(why) => self.fail(why),
        }
        Ok(())
    }

    /// What is to be stored is stored, whether somebody reads its name or not.
    fn say(&self, line: &str) -> Result<(), Stop> {
        match self.progress.say(line) {
            Err(Stop::Unread) => Ok(()),
            said => said,
        }
    }

    fn fail(&mut self, why: &str) {
        self.failed += 1;
        self.progress.note(&format!("error: {why}"));
    }

    fn report(&self) {
        if !self.is_quiet {
            let present = self.blocks - self.stored.min(self.blocks);
            self.progress.note(&format!(
                "{}, {}: {} stored, {present} already there",
                count(self.blocks, "block"),
                size(self.bytes),
                self.stored,
            ));
        }
    }
}
