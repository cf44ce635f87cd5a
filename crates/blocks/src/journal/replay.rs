//! The start of a journal: entries that the index does not know are applied.
//!
//! ```text
//!   index: entry 6 was the last, the next one is at unit u ─▶ 7 at u? 8 behind it? … ─▶ applied, synced
//!                                                                      the last: contents are looked at
//! ```
//!
//! A batch that was never acknowledged may be there in part: units that are not whole end the walk; of the last entry that is
//! whole the contents need not be, so a block is kept only if it has the content that its name says. Every entry before it
//! was synced, contents and all. Must not know what a store is made of beside index and data file.

use std::fmt;
use std::io;

use super::log;
use super::state::State;
use super::{Journal, unit};
use crate::block::Block;
use crate::class::UNIT;
use crate::controller::Disk;
use crate::format::Superblock;
use crate::hash::Hash;
use crate::index::{Index, IndexError, MetaKey};
use crate::record::Record;

/// Why a journal cannot be opened.
#[derive(Debug)]
pub enum JournalError {
    /// The index, or what it says of the journal, or the journal itself.
    Index(IndexError),
    /// The data file.
    Io(io::Error),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Index(error) => fmt::Display::fmt(error, f),
            JournalError::Io(error) => write!(f, "the journal cannot be read: {error}"),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<IndexError> for JournalError {
    fn from(error: IndexError) -> JournalError {
        JournalError::Index(error)
    }
}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> JournalError {
        JournalError::Io(error)
    }
}

/// Brings the index of a store up to date with the journal in its data file, durably: what [`Store::open`](crate::Store::open)
/// and [`Controller::new`](crate::Controller::new) begin with. Returns how many entries were missing.
///
/// # Errors
/// [`JournalError`]: what the index says does not fit the data file, entries are missing, or a file cannot be read or written.
pub fn recover(index: &mut dyn Index, disk: &mut dyn Disk) -> Result<u64, JournalError> {
    let before = read(index, disk.size())?.map_or(0, |state| state.number);
    let journal = open(index, disk)?;
    Ok(journal.map_or(0, |journal| journal.number - before))
}

/// The same, and returns the journal of the store if it has one.
///
/// # Errors
/// [`JournalError`]: what the index says does not fit the data file, entries are missing, or a file cannot be read or written.
pub(crate) fn open(
    index: &mut dyn Index,
    disk: &mut dyn Disk,
) -> Result<Option<Journal>, JournalError> {
    let Some(mut state) = read(index, disk.size())? else {
        return Ok(None);
    };
    let place = state.place;
    let mut journal = vec![0; place.size() as usize];
    disk.read(place.offset(), &mut journal)?;
    let entries = entries(&journal, &mut state)?;
    let last = entries.len().saturating_sub(1);
    for (n, changes) in entries.iter().enumerate() {
        let applied = log::apply(changes, index, &mut |hash, record| {
            n < last || is_whole(disk, hash, record)
        });
        applied.inspect_err(|_| index.rollback())?;
    }
    if !entries.is_empty() {
        index.put_meta(MetaKey::Journal, &state.encode())?;
    }
    // Also without entries: what an earlier process committed need not be durable, and its entries are about to be overwritten.
    index.commit(true)?;
    Ok(Some(Journal::new(state)))
}

/// Where the journal of a store is that has one.
///
/// # Errors
/// [`IndexError::Corrupt`]: not in a data file of that size; or what kept the index from reading.
pub(crate) fn place(index: &mut dyn Index, file_size: u64) -> Result<Option<Block>, IndexError> {
    Ok(read(index, file_size)?.map(|state| state.place))
}

fn read(index: &mut dyn Index, file_size: u64) -> Result<Option<State>, IndexError> {
    let Some(row) = index.meta(MetaKey::Journal)? else {
        return Ok(None);
    };
    let state = State::decode(&row)?;
    if state.place.end() > file_size {
        let expected = format!("within {file_size} bytes");
        let found = state.place.to_string();
        return Err(IndexError::corrupt("journal", "place", expected, found));
    }
    Ok(Some(state))
}

/// Makes `place` the journal of a store that has none.
///
/// # Errors
/// [`JournalError`]: the store is as it was.
pub(crate) fn lay(
    index: &mut dyn Index,
    disk: &mut dyn Disk,
    place: Block,
) -> Result<Journal, JournalError> {
    // What an earlier content left could be taken for entries.
    disk.write(place.offset(), &vec![0; place.size() as usize])?;
    disk.sync()?;
    let state = State {
        place,
        number: 0,
        next: 0,
    };
    let kept = keep(index, &state).and_then(|()| index.commit(true));
    kept.inspect_err(|_| index.rollback())?;
    Ok(Journal::new(state))
}

fn keep(index: &mut dyn Index, state: &State) -> Result<(), IndexError> {
    // Programs that know no journals must not open the store any more.
    if let Some(superblock) = index.meta(MetaKey::Superblock)?
        && let Ok(superblock) = Superblock::decode(&superblock)
    {
        index.put_meta(MetaKey::Superblock, &superblock.encode())?;
    }
    index.put_meta(MetaKey::Journal, &state.encode())
}

/// The changes of each entry behind `state`, which is moved to their end.
fn entries(journal: &[u8], state: &mut State) -> Result<Vec<Vec<u8>>, IndexError> {
    let size = state.place.class().units();
    let mut entries = Vec::new();
    loop {
        let number = state.number + 1;
        // One that did not fit behind the last is at the beginning.
        let places = [state.next, 0];
        let found = places.into_iter().find_map(|at| {
            unit::entry(journal, at.into(), number).map(|(changes, count)| (at, changes, count))
        });
        let Some((at, changes, count)) = found else {
            break;
        };
        state.number = number;
        state.next = (at + count as u32) % size;
        entries.push(changes);
    }
    let later = (0..u64::from(size))
        .filter_map(|at| unit::decode(journal, at))
        .find(|unit| unit.number > state.number + 1);
    match later {
        None => Ok(entries),
        Some(unit) => Err(IndexError::corrupt(
            "journal",
            "entries",
            format!("entry {}", state.number + 1),
            format!("{}", unit.number),
        )),
    }
}

/// Whether a content is where its record says. What cannot be read is taken to be there: whoever asks for it is told.
fn is_whole(disk: &mut dyn Disk, hash: &Hash, record: &Record) -> bool {
    if record.is_damaged() {
        return true;
    }
    if record.block.end() > disk.size() {
        return false;
    }
    let length = record.length as usize;
    let mut content = vec![0; length.next_multiple_of(UNIT as usize)];
    match disk.read(record.block.offset(), &mut content) {
        Ok(()) => Hash::of(&content[..length]) == *hash,
        Err(_) => true,
    }
}
