//! The offline check: index, data file and free map agree, or what does not, where, and what to do.
//!
//! ```text
//!   every block record ──▶ decodes? inside the file? free in a new Buddy? ──▶ a second pass names whom it overlaps
//!   every reference    ──▶ decodes? its block is there?
//!   the free map made of all this ──▶ Buddy::check
//! ```
//!
//! Reads the index, changes nothing. Must not know contents: whether they are what their names say is `verify`'s business.
//!
//! Limits: memory of a free map, and of [`OVERLAPS_NAMED_MAX`] overlaps; further ones are found, but not whom they overlap.

use std::collections::BTreeMap;
use std::fmt;

use crate::block::Block;
use crate::buddy::{Buddy, BuddyError, Inconsistency, MACRO, Space};
use crate::format::{FormatError, Superblock};
use crate::hash::Hash;
use crate::index::{Index, IndexError, MetaKey};
use crate::journal;

/// Overlaps of which both sides are named.
pub const OVERLAPS_NAMED_MAX: usize = 10_000;

/// Rows between two signs of life.
const PROGRESS_ROWS: u64 = 4096;

/// References that are read before their blocks are looked up.
const REFERENCE_STEP: u64 = 4096;

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The store does not say what it is, or not so that it can be read.
    Superblock(Option<FormatError>),
    /// A row of the index is not what was written.
    Row(IndexError),
    /// A block lies beyond the end of the data file.
    Outside {
        /// Whose.
        hash: Hash,
        /// Where it should be.
        block: Block,
        /// Bytes of the data file.
        file_size: u64,
    },
    /// Two blocks share a part of the data file.
    Overlap {
        /// Whose.
        hash: Hash,
        /// Where.
        block: Block,
        /// With whom; `None` when there were too many to name.
        other: Option<(Hash, Block)>,
    },
    /// A block shares a part of the data file with the journal.
    InJournal {
        /// Whose.
        hash: Hash,
        /// Where.
        block: Block,
    },
    /// A reference to a block that does not exist.
    Orphan {
        /// The block.
        hash: Hash,
        /// The reference.
        name: Vec<u8>,
    },
    /// The free map that was made of the index contradicts itself: an error of ours.
    FreeMap(Inconsistency),
}

impl fmt::Display for Finding {
    /// What, and where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Superblock(None) => f.write_str("the store has no superblock"),
            Finding::Superblock(Some(error)) => fmt::Display::fmt(error, f),
            Finding::Row(error) => fmt::Display::fmt(error, f),
            Finding::Outside {
                hash,
                block,
                file_size,
            } => write!(
                f,
                "block {hash}: {block} is outside the data file of {file_size} bytes"
            ),
            Finding::Overlap { hash, block, other } => {
                write!(f, "block {hash}: {block} overlaps ")?;
                match other {
                    Some((other, at)) => write!(f, "block {other}: {at}"),
                    None => f.write_str("another block"),
                }
            }
            Finding::InJournal { hash, block } => {
                write!(f, "block {hash}: {block} overlaps the journal")
            }
            Finding::Orphan { hash, name } => {
                write!(
                    f,
                    "reference {} of block {hash}: there is no such block",
                    name.escape_ascii()
                )
            }
            Finding::FreeMap(inconsistency) => fmt::Display::fmt(inconsistency, f),
        }
    }
}

impl Finding {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Finding::Superblock(_) => "restore index.mdbx from a backup",
            Finding::Row(_) => {
                "delete such rows with `hioload blocks check --drop-damaged-rows` and put the contents again; several of them speak for a damaged medium"
            }
            Finding::Outside { .. } => {
                "restore blocks.dat if it was cut off; otherwise delete the block with `hioload blocks rm --force` and put it again"
            }
            Finding::Overlap { .. } => {
                "verify both: delete the one whose content is damaged with `hioload blocks rm --force`, and put it again"
            }
            Finding::InJournal { .. } => {
                "delete the block with `hioload blocks rm --force` and put the content again"
            }
            Finding::Orphan { .. } => {
                "put the block again, or delete the reference with `hioload blocks rm --force`"
            }
            Finding::FreeMap(_) => {
                "report it with this output; the store itself is not touched by it"
            }
        }
    }
}

/// What a check tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum CheckEvent<'a> {
    /// So many rows have been read.
    Progress {
        /// Of blocks and references.
        rows: u64,
    },
    /// Something does not agree.
    Finding(&'a Finding),
}

/// What a check has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Block records, damaged ones included.
    pub blocks: u64,
    /// Bytes of their contents.
    pub content_bytes: u64,
    /// Blocks whose content was found damaged earlier: known, so no finding.
    pub damaged: u64,
    /// References, damaged ones included.
    pub references: u64,
    /// How the data file is divided.
    pub space: Space,
    /// Things that do not agree.
    pub findings: u64,
}

/// Checks an index against a data file of `file_size` bytes.
///
/// ```
/// use hioload_blocks::{CheckEvent, MACRO, MemoryIndex, check};
///
/// let report = check(&mut MemoryIndex::new(), MACRO, &mut |event| {
///     if let CheckEvent::Finding(finding) = event {
///         println!("{finding}: {}", finding.remedy());
///     }
/// })?;
/// assert_eq!(report.findings, 1); // It has no superblock.
/// # Ok::<(), hioload_blocks::IndexError>(())
/// ```
///
/// # Errors
/// What kept the index from being read at all.
pub fn check(
    index: &mut dyn Index,
    file_size: u64,
    each: &mut dyn FnMut(CheckEvent<'_>),
) -> Result<CheckReport, IndexError> {
    let mut check = Check::new(file_size, each);
    check.superblock(index)?;
    check.journal(index)?;
    check.blocks(index)?;
    check.name_overlaps(index)?;
    check.references(index)?;
    if let Err(inconsistency) = check.buddy.check() {
        check.find(&Finding::FreeMap(inconsistency));
    }
    check.report.space = check.buddy.space();
    Ok(check.report)
}

struct Check<'a> {
    file_size: u64,
    buddy: Buddy,
    report: CheckReport,
    rows: u64,
    /// Where the journal is.
    journal: Option<Block>,
    /// Blocks for which the free map had no room, by macroblock.
    overlaps: BTreeMap<u64, Vec<(Hash, Block)>>,
    overlap_count: usize,
    each: &'a mut dyn FnMut(CheckEvent<'_>),
}

impl<'a> Check<'a> {
    fn new(file_size: u64, each: &'a mut dyn FnMut(CheckEvent<'_>)) -> Check<'a> {
        let buddy = Buddy::new(file_size);
        Check {
            file_size,
            report: CheckReport {
                blocks: 0,
                content_bytes: 0,
                damaged: 0,
                references: 0,
                space: buddy.space(),
                findings: 0,
            },
            buddy,
            rows: 0,
            journal: None,
            overlaps: BTreeMap::new(),
            overlap_count: 0,
            each,
        }
    }

    fn find(&mut self, finding: &Finding) {
        self.report.findings += 1;
        (self.each)(CheckEvent::Finding(finding));
    }

    fn row(&mut self) {
        self.rows += 1;
        if self.rows.is_multiple_of(PROGRESS_ROWS) {
            (self.each)(CheckEvent::Progress { rows: self.rows });
        }
    }

    fn superblock(&mut self, index: &mut dyn Index) -> Result<(), IndexError> {
        match index.meta(MetaKey::Superblock) {
            Ok(None) => self.find(&Finding::Superblock(None)),
            Ok(Some(row)) => {
                if let Err(error) = Superblock::decode(&row) {
                    self.find(&Finding::Superblock(Some(error)));
                }
            }
            Err(error @ IndexError::Corrupt { .. }) => self.find(&Finding::Row(error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The journal has its place before all blocks.
    fn journal(&mut self, index: &mut dyn Index) -> Result<(), IndexError> {
        match journal::place(index, self.file_size) {
            Ok(place) => {
                if let Some(place) = place {
                    let reserved = self.buddy.reserve(place);
                    reserved.expect("invariant: the first place, in the file");
                }
                self.journal = place;
            }
            Err(error @ IndexError::Corrupt { .. }) => self.find(&Finding::Row(error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn blocks(&mut self, index: &mut dyn Index) -> Result<(), IndexError> {
        index.scan_from(&Hash::MIN, u64::MAX, &mut |row| {
            self.row();
            self.report.blocks += 1;
            match row {
                Ok((hash, record)) => {
                    self.report.content_bytes += u64::from(record.length);
                    self.report.damaged += u64::from(record.is_damaged());
                    self.place(*hash, record.block);
                }
                Err(error) => self.find(&Finding::Row(error)),
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Gives a block its place in the free map.
    fn place(&mut self, hash: Hash, block: Block) {
        match self.buddy.reserve(block) {
            Ok(()) => {}
            Err(_)
                if self
                    .journal
                    .is_some_and(|journal| are_shared(journal, block)) =>
            {
                self.find(&Finding::InJournal { hash, block });
            }
            Err(BuddyError::Overlaps { .. }) if self.overlap_count < OVERLAPS_NAMED_MAX => {
                self.overlap_count += 1;
                let of_macroblock = self.overlaps.entry(block.offset() / MACRO).or_default();
                of_macroblock.push((hash, block));
            }
            Err(BuddyError::Overlaps { .. } | BuddyError::NotAllocated { .. }) => {
                self.find(&Finding::Overlap {
                    hash,
                    block,
                    other: None,
                });
            }
            Err(BuddyError::Outside { .. }) => self.find(&Finding::Outside {
                hash,
                block,
                file_size: self.file_size,
            }),
        }
    }

    /// Looks for those that have the places: each overlap is told with whom of them, so that no pile of blocks in one place
    /// is told as all its pairs.
    fn name_overlaps(&mut self, index: &mut dyn Index) -> Result<(), IndexError> {
        let overlaps = std::mem::take(&mut self.overlaps);
        if overlaps.is_empty() {
            return Ok(());
        }
        // The same places for the same blocks as before, as the order is the same.
        let mut places = Buddy::new(self.file_size);
        if let Some(journal) = self.journal {
            places
                .reserve(journal)
                .expect("invariant: it was free before");
        }
        index.scan_from(&Hash::MIN, u64::MAX, &mut |row| {
            let Ok((other, record)) = row else {
                return Ok(());
            };
            let at = record.block;
            if places.reserve(at).is_err() {
                return Ok(());
            }
            for (hash, block) in overlaps.get(&(at.offset() / MACRO)).into_iter().flatten() {
                if are_shared(*block, at) {
                    self.find(&Finding::Overlap {
                        hash: *hash,
                        block: *block,
                        other: Some((*other, at)),
                    });
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn references(&mut self, index: &mut dyn Index) -> Result<(), IndexError> {
        let mut found_of = None;
        let mut place = Some(Vec::new());
        while let Some(from) = place {
            // Looked up after each step: a walk has the index to itself.
            let mut step: Vec<(Hash, Vec<u8>)> = Vec::new();
            place = index.scan_references(&from, REFERENCE_STEP, &mut |row| {
                self.row();
                self.report.references += 1;
                match row {
                    Ok((hash, name, _)) => step.push((hash, name.to_vec())),
                    Err(error) => self.find(&Finding::Row(error)),
                }
                Ok(())
            })?;
            for (hash, name) in step {
                let exists = match found_of {
                    Some((of, exists)) if of == hash => exists,
                    _ => exists(index, &hash)?,
                };
                found_of = Some((hash, exists));
                if !exists {
                    self.find(&Finding::Orphan { hash, name });
                }
            }
        }
        Ok(())
    }
}

fn are_shared(a: Block, b: Block) -> bool {
    a.offset() < b.end() && b.offset() < a.end()
}

fn exists(index: &mut dyn Index, hash: &Hash) -> Result<bool, IndexError> {
    match index.block(hash) {
        Ok(record) => Ok(record.is_some()),
        // A damaged record is a finding of its own; it is there.
        Err(IndexError::Corrupt { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
