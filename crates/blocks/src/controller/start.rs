//! The start of a store: the index says what is occupied, everything else is free.
//!
//! There is no list of free space on the medium, so a crash, or an error in the allocator, cannot lose any. Rows that cannot be
//! read are counted and passed over: their contents are lost already, their space is free. Two rows that claim the same
//! space, or space outside of the file, are another matter: going on could destroy what is good, so the start is refused.
//!
//! Must not know what happens later.

use std::fmt;
use std::io;

use hioload_base::LimitError;

use super::damage_list::DamageList;
use super::disk::Disk;
use super::inbox::Inbox;
use super::ledger::Ledger;
use super::promises::Promises;
use super::recalls::Recalls;
use super::retirement::Retirement;
use super::{Controller, Effects};
use crate::buddy::BuddyError;
use crate::config::ControllerConfig;
use crate::hash::Hash;
use crate::index::{Index, IndexError};
use crate::journal::{self, JournalError, Missing};
use crate::stats::ControllerStats;

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum StartError {
    /// A value of the configuration is out of its limit.
    Limit(LimitError),
    /// The index cannot be read.
    Index(IndexError),
    /// The journal cannot be applied.
    Journal(JournalError),
    /// The data file cannot have the size it is to have at the start.
    Size {
        /// Bytes.
        size: u64,
        /// What the system said.
        error: io::Error,
    },
    /// A row of the index names a place that is another's, or outside of the data file.
    Place {
        /// The name of the block.
        hash: Hash,
        /// What is wrong.
        error: BuddyError,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Limit(error) => error.fmt(f),
            StartError::Index(error) => write!(f, "the index cannot be read: {error}"),
            StartError::Journal(JournalError::Index(IndexError::Full)) => f.write_str(
                "the index has no room for what the journal has: free some of the disk, or raise map_size_max",
            ),
            StartError::Journal(error) => write!(
                f,
                "the journal of the store: {error}; run `hioload blocks check`"
            ),
            StartError::Size { size, error } => write!(
                f,
                "the data file cannot be made {size} bytes long: {error}; free space or lower blocks.size_initial"
            ),
            StartError::Place { hash, error } => write!(
                f,
                "the index does not fit the data file: {error}, says the row of {hash}; run `hioload blocks check`"
            ),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Limit(error) => Some(error),
            StartError::Index(error) => Some(error),
            StartError::Journal(error) => Some(error),
            StartError::Size { error, .. } => Some(error),
            StartError::Place { error, .. } => Some(error),
        }
    }
}

impl Controller {
    /// Opens the store for `workers` workers: brings the index up to date with the journal, makes the file as large as it is to
    /// be, derives what is free from the index, and sees to it that a durable store has a journal.
    ///
    /// # Errors
    /// [`StartError`]: nothing has changed but the size of the file, and that the index has what the journal had.
    pub fn new(
        mut index: Box<dyn Index>,
        mut disk: Box<dyn Disk>,
        config: ControllerConfig,
        workers: usize,
    ) -> Result<Controller, StartError> {
        config.check().map_err(StartError::Limit)?;
        let (mut journal, _) = journal::open(index.as_mut(), disk.as_mut(), Missing::Refused)
            .map_err(StartError::Journal)?;
        let mut ledger = Ledger::new(disk.size(), &config, workers);
        ledger
            .grow_to(disk.as_mut(), config.size_initial)
            .map_err(|error| StartError::Size {
                size: config.size_initial,
                error,
            })?;
        if let Some(journal) = &journal {
            let reserved = ledger.reserve_journal(journal.place());
            reserved.expect("invariant: nothing else is reserved yet, and it is in the file");
        }
        let mut damage = DamageList::new(config.damaged_max);
        let mut rows_corrupt = 0;
        let mut misplaced = None;
        let scanned = index.scan_from(&Hash::MIN, u64::MAX, &mut |row| {
            let (hash, record) = match row {
                Ok(row) => row,
                Err(IndexError::Corrupt { .. }) => {
                    rows_corrupt += 1;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if let Err(error) = ledger.reserve(record.block, record.length) {
                misplaced.get_or_insert((*hash, error));
            } else if record.is_damaged() {
                damage.add(hash, record.block, None, config.wall_zero_ms, true);
            }
            Ok(())
        });
        scanned.map_err(StartError::Index)?;
        if let Some((hash, error)) = misplaced {
            return Err(StartError::Place { hash, error });
        }
        let class = journal::class_for(config.size_max).filter(|_| config.durability.is_durable());
        if let (None, Some(class)) = (&journal, class)
            && let Some(place) = ledger.place_journal(disk.as_mut(), class)
        {
            match journal::lay(index.as_mut(), disk.as_mut(), place) {
                Ok(laid) => journal = Some(laid),
                // There is no room for it: commits are synced one by one then.
                Err(JournalError::Index(IndexError::Full)) => ledger.free_journal(place),
                Err(error) => return Err(StartError::Journal(error)),
            }
        }
        Ok(Controller {
            index,
            disk,
            journal,
            inbox: Inbox::default(),
            effects: Effects::default(),
            ledger,
            retirement: Retirement::new(workers),
            recalls: Recalls::new(workers),
            promises: Promises::new(config.promises_max),
            damage,
            is_poisoned: false,
            gathers_since: None,
            has_answered: false,
            sync_at: None,
            unsynced_freed: Vec::new(),
            stats: ControllerStats {
                rows_corrupt,
                ..ControllerStats::default()
            },
            config,
        })
    }
}
