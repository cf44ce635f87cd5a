//! The start of a journal: entries that the index does not know are applied.
//!
//! ```text
//!   index: entry 6 was the last, the next one is at unit u ─▶ 7 at u? 8 behind it? … ─▶ applied, synced
//!                                                                      the last: contents are looked at
//! ```
//!
//! A batch that was never acknowledged may be there in part: units that are not whole end the walk, and what is left of them is
//! wiped, for the next entry has their number. Of the last entry that is whole the contents need not be, so a block is kept only
//! if it has the content that its name says, and that is written once more. Every entry before it was synced, contents and
//! all. Must not know what a store is made of beside index and data file.

use std::fmt;
use std::io;

use super::log;
use super::state::State;
use super::{Journal, unit};
use crate::block::Block;
use crate::buddy::{FILE_SIZE_MAX, MACRO};
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
            JournalError::Io(error) => write!(f, "the data file: {error}"),
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

/// What happens when an entry is missing between others, or may be where nothing can be read, or when nobody knows where they
/// are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The journal is not opened.
    Refused,
    /// What it and later ones said is lost.
    GivenUp,
}

/// What the journal had and the index had not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Batches that were applied.
    pub entries: u64,
    /// Blocks of the last one whose content is not there: they were never acknowledged, or are damaged.
    pub unwritten: u64,
}

/// Brings the index of a store up to date with the journal in its data file, durably: what [`Store::open`](crate::Store::open)
/// and [`Controller::new`](crate::Controller::new) begin with.
///
/// # Errors
/// [`JournalError`]: what the index says does not fit the data file, entries are missing, or a file cannot be read or written.
/// Done again it goes on where it was.
pub fn recover(index: &mut dyn Index, disk: &mut dyn Disk) -> Result<Replayed, JournalError> {
    open(index, disk, Missing::Refused).map(|(_, replayed)| replayed)
}

/// The same, and returns the journal of the store if it has one.
pub(crate) fn open(
    index: &mut dyn Index,
    disk: &mut dyn Disk,
    missing: Missing,
) -> Result<(Option<Journal>, Replayed), JournalError> {
    let mut replayed = Replayed::default();
    let mut state = match read(index, disk.size()) {
        // Nobody knows where it is. The next start lays another.
        Err(IndexError::Corrupt { .. }) if missing == Missing::GivenUp => {
            index.delete_meta(MetaKey::Journal)?;
            None
        }
        state => state?,
    };
    if let Some(state) = &mut state {
        let mut units = Units::read(disk, state.place);
        let entries = units.entries(state, missing)?;
        replayed.entries = entries.len() as u64;
        for (n, entry) in entries.iter().enumerate() {
            let is_last = n + 1 == entries.len();
            let mut done = replay(index, disk, entry, is_last);
            if let Err(JournalError::Index(IndexError::Full)) = done {
                // Room comes back when commits are durable; there was enough when the entry was written.
                index.rollback();
                index.sync()?;
                done = replay(index, disk, entry, is_last);
            }
            replayed.unwritten = done.inspect_err(|_| index.rollback())?;
        }
        units.wipe(disk, state, missing)?;
    }
    // Also without entries: what an earlier process left need not be durable, and what it replaced is about to be overwritten.
    disk.sync()?;
    index.commit(true)?;
    Ok((state.map(Journal::new), replayed))
}

/// Makes the changes of an entry, and says with them how far the index is. Returns how many blocks were left out.
fn replay(
    index: &mut dyn Index,
    disk: &mut dyn Disk,
    entry: &Entry,
    is_last: bool,
) -> Result<u64, JournalError> {
    let mut unwritten = 0;
    log::apply(&entry.changes, index, &mut |hash, record| {
        let is_kept = !is_last || secure(disk, hash, record)?;
        unwritten += u64::from(!is_kept);
        Ok(is_kept)
    })?;
    if is_last {
        disk.sync()?;
    }
    index.put_meta(MetaKey::Journal, &entry.state.encode())?;
    index.commit(false)?;
    Ok(unwritten)
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
    // Blocks are given out of whole macroblocks.
    let file_size = file_size.min(FILE_SIZE_MAX) / MACRO * MACRO;
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

/// An entry that the index does not have.
struct Entry {
    changes: Vec<u8>,
    /// How far the index is with it.
    state: State,
}

/// The units of a journal.
struct Units {
    bytes: Vec<u8>,
    /// Those that the medium does not give, and what it says; zeros stand for them.
    unreadable: Vec<(u64, io::Error)>,
}

impl Units {
    fn read(disk: &mut dyn Disk, place: Block) -> Units {
        let mut units = Units {
            bytes: vec![0; place.size() as usize],
            unreadable: Vec::new(),
        };
        if disk.read(place.offset(), &mut units.bytes).is_ok() {
            return units;
        }
        let pieces = units.bytes.chunks_mut(UNIT as usize);
        for (at, piece) in (0..).zip(pieces) {
            if let Err(error) = disk.read(place.offset() + at * UNIT, piece) {
                piece.fill(0);
                units.unreadable.push((at, error));
            }
        }
        units
    }

    /// The entries behind `state`, which is moved to their end.
    fn entries(&mut self, state: &mut State, missing: Missing) -> Result<Vec<Entry>, JournalError> {
        let size = state.place.class().units();
        let mut entries = Vec::new();
        // One that did not fit behind the last is at the beginning.
        while let Some((at, changes, count)) = [state.next, 0].into_iter().find_map(|at| {
            unit::entry(&self.bytes, at.into(), state.number + 1)
                .map(|(changes, count)| (at, changes, count))
        }) {
            state.number += 1;
            state.next = (at + count as u32) % size;
            let state = *state;
            entries.push(Entry { changes, state });
        }
        if missing == Missing::Refused {
            self.check_end(state)?;
        }
        Ok(entries)
    }

    /// There is no entry behind `state`, and that is certain.
    fn check_end(&mut self, state: &State) -> Result<(), JournalError> {
        let next = state.number + 1;
        let is_begun = |at: u32| {
            let at = u64::from(at);
            let is_unreadable = self.unreadable.iter().any(|(unit, _)| *unit == at);
            is_unreadable || unit::decode(&self.bytes, at).is_some_and(|unit| unit.number == next)
        };
        let is_begun = is_begun(state.next) || is_begun(0);
        // It may have been whole.
        if is_begun && let Some((_, error)) = self.unreadable.pop() {
            return Err(error.into());
        }
        match self.numbers().find(|(_, number)| *number > next) {
            None => Ok(()),
            Some((_, number)) => {
                let (expected, found) = (format!("entry {next}"), number.to_string());
                Err(IndexError::corrupt("journal", "entries", expected, found).into())
            }
        }
    }

    /// Writes zeros to what is left of an entry that was never whole: parts of it could be taken for parts of the next one,
    /// which has its number. The same to everything that is given up.
    fn wipe(&self, disk: &mut dyn Disk, state: &State, missing: Missing) -> io::Result<()> {
        let later = self.numbers().filter(|(_, number)| *number > state.number);
        let given_up = match missing {
            Missing::Refused => &[][..],
            Missing::GivenUp => &self.unreadable,
        };
        let given_up = given_up.iter().map(|(at, _)| *at);
        for at in later.map(|(at, _)| at).chain(given_up) {
            let offset = state.place.offset() + at * UNIT;
            disk.write(offset, &[0; UNIT as usize])?;
        }
        Ok(())
    }

    /// Whole units by their place, and the numbers of their entries.
    fn numbers(&self) -> impl Iterator<Item = (u64, u64)> {
        let places = 0..(self.bytes.len() as u64 / UNIT);
        places.filter_map(|at| unit::decode(&self.bytes, at).map(|unit| (at, unit.number)))
    }
}

/// Whether a content is where its record says; then it is written once more, to be synced by the caller: the sync it was
/// written for may have failed, and what is read since may be gone with the next power cut. What cannot be read is taken to
/// be there: whoever asks for it is told.
fn secure(disk: &mut dyn Disk, hash: &Hash, record: &Record) -> io::Result<bool> {
    if record.is_damaged() {
        return Ok(true);
    }
    if record.block.end() > disk.size() {
        return Ok(false);
    }
    let (offset, length) = (record.block.offset(), record.length as usize);
    let mut content = vec![0; length.next_multiple_of(UNIT as usize)];
    if disk.read(offset, &mut content).is_err() {
        return Ok(true);
    }
    let is_whole = Hash::of(&content[..length]) == *hash;
    if is_whole {
        disk.write(offset, &content)?;
    }
    Ok(is_whole)
}
