//! The journal: changes that are durable before the index is, by the same sync as the contents they are about.
//!
//! ```text
//!   one block of the data file:  │ entry 7 │ entry 8 │  free …        │ entry 5 │ entry 6 │
//!                                          next ▲                      ▲ the index is durable up to here
//!   batch ─▶ Log ─▶ Journal::write ─▶ sync of the data file ─▶ the index, published
//! ```
//!
//! A commit that is synced costs two more syncs, of a file of its own. So a batch writes what it changes behind the entries
//! there are, and the sync of the contents makes both durable. The index says with each batch how far it has got; it is
//! synced when half of the journal is used, and then room is made. The next start applies the entries that the index does not
//! know yet ([`open`]).
//!
//! Must not know who decides on changes, nor clocks. Invariants: an entry is overwritten only after the index is durable with
//! it; entry *n* + 1 is written only after entry *n* was synced, so that all but the last found are whole, and so are
//! the contents they name.
//!
//! Limit: the block. What does not fit is committed with a sync of the index. Layout: `docs/ondisk.md`.

mod log;
mod replay;
mod state;
#[cfg(test)]
mod tests;
mod unit;

use std::io;

use crate::block::Block;
use crate::class::{Class, UNIT};
use crate::controller::Disk;

pub(crate) use log::Log;
pub use replay::{JournalError, Replayed, recover};
pub(crate) use replay::{Missing, lay, open, place};
use state::State;

/// The journal takes at most one in so many bytes of the largest data file.
const SHARE: u64 = 64;

/// The smallest journal: less would be full with every batch.
const SIZE_MIN: u64 = 8 * UNIT;

/// The index is flushed beside, each time so large a share of the journal was written.
const FLUSH_SHARE: u64 = 8;

/// The class of the journal of a data file of at most `size_max` bytes; none when it would be too small to be of use.
pub(crate) fn class_for(size_max: u64) -> Option<Class> {
    let size = size_max / SHARE;
    let largest = Class::ALL
        .into_iter()
        .rfind(|class| u64::from(class.size()) <= size);
    largest.filter(|class| u64::from(class.size()) >= SIZE_MIN)
}

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal {
    place: Block,
    /// The number of the last entry.
    number: u64,
    /// Units up to the end of the last entry, counted on from lap to lap.
    head: u64,
    /// Units up to where the index is durable.
    tail: u64,
    /// Units up to the end of the last entry that the index has.
    known: u64,
    /// Units up to where the index was last told to flush.
    flushed: u64,
    log: Log,
    units: Vec<u8>,
}

impl Journal {
    /// A journal of which the index knows everything, durably.
    fn new(state: State) -> Journal {
        let head = u64::from(state.next);
        Journal {
            place: state.place,
            number: state.number,
            head,
            tail: head,
            known: head,
            flushed: head,
            log: Log::default(),
            units: Vec::new(),
        }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Block {
        self.place
    }

    /// Begins the next entry: what it is to say is noted in the log.
    pub(crate) fn begin(&mut self) -> &mut Log {
        self.log.clear();
        &mut self.log
    }

    /// Whether there is room for the next entry.
    pub(crate) fn has_room(&self) -> bool {
        self.end() - self.kept_from() <= self.size()
    }

    /// Whether the index is to be synced, so that there is room later.
    pub(crate) fn is_half_full(&self) -> bool {
        self.used() * 2 >= self.size()
    }

    /// Whether the index is to write what it has beside what goes on, so that its sync is short.
    pub(crate) fn takes_flush(&mut self) -> bool {
        let is_due = self.head - self.flushed >= (self.size() / FLUSH_SHARE).max(1);
        if is_due {
            self.flushed = self.head;
        }
        is_due
    }

    /// Units the index does not have durably.
    pub(crate) fn used(&self) -> u64 {
        self.head - self.tail
    }

    /// What the index is to keep with the commit of the next entry.
    pub(crate) fn row(&self) -> [u8; State::SIZE] {
        let state = State {
            place: self.place,
            number: self.number + 1,
            next: (self.end() % self.size()) as u32,
        };
        state.encode()
    }

    /// Writes the next entry, to be synced by the caller.
    ///
    /// # Errors
    /// What the system says: the entry may be there or not.
    ///
    /// # Panics
    /// When there is no room.
    pub(crate) fn write(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        assert!(
            self.has_room(),
            "invariant: the index is durable before its entries are overwritten"
        );
        unit::encode(self.number + 1, self.log.bytes(), &mut self.units);
        let offset = self.place.offset() + self.start() % self.size() * UNIT;
        disk.write(offset, &self.units)
    }

    /// The entry is synced and the index has it: the next one goes behind it.
    pub(crate) fn written(&mut self) {
        self.go_to(self.end());
        self.known = self.head;
    }

    /// Takes the entry back that was written and that the index could not take: an empty one takes its place, to be synced
    /// by the caller. The index does not know of it, so it is needed until the index has a later one.
    ///
    /// # Errors
    /// What the system says: the entry may be there or not.
    pub(crate) fn void(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        let at = self.start();
        unit::encode(self.number + 1, &[], &mut self.units);
        disk.write(self.place.offset() + at % self.size() * UNIT, &self.units)?;
        self.go_to(at + 1);
        Ok(())
    }

    /// The index is durable.
    pub(crate) fn synced(&mut self) {
        self.tail = self.tail.max(self.known);
    }

    fn go_to(&mut self, end: u64) {
        self.tail = self.kept_from();
        self.head = end;
        self.number += 1;
    }

    /// From where on entries are needed: with none of them, from the next one on.
    fn kept_from(&self) -> u64 {
        if self.used() == 0 {
            self.start()
        } else {
            self.tail
        }
    }

    fn size(&self) -> u64 {
        u64::from(self.place.class().units())
    }

    /// Where the next entry begins: it does not go over the end of the block.
    fn start(&self) -> u64 {
        let left = self.size() - self.head % self.size();
        if unit::count(self.log.bytes()) <= left {
            self.head
        } else {
            self.head + left
        }
    }

    fn end(&self) -> u64 {
        self.start() + unit::count(self.log.bytes())
    }
}
