//! The index: which blocks there are, which names refer to them, and what the store says of itself.
//!
//! ```text
//!   blocks  hash ─▶ record          refs  hash, name ─▶ value          meta  key ─▶ value
//! ```
//!
//! One [`Index`] writes, on one thread; each worker reads through an [`IndexReader`] of its own. A change opens a batch, reads
//! of the writer see it, [`Index::commit`] or [`Index::publish`] ends it: all of it or nothing. Readers see batches that have
//! ended, and no others. Must not know who asks, nor that there is a data file.
//!
//! Two implementations: [`MdbxIndex`] on libmdbx, and [`MemoryIndex`], which models crashes and failures for tests and
//! simulation.

mod mdbx;
mod memory;
mod options;
mod row;

use std::error::Error;
use std::fmt;

use crate::hash::Hash;
use crate::record::Record;

pub use mdbx::{IndexSpace, Mdbx, MdbxIndex};
pub use memory::{MemoryIndex, Table};
pub use options::{INDEX_LIMITS, MdbxOptions};
pub use row::{MetaKey, REFERENCE_NAME_SIZE_MAX, REFERENCE_VALUE_SIZE_MAX};

/// What a walk over blocks is given for each row: the block, or why the row cannot be trusted. An error it returns ends the walk.
pub type EachBlock<'a> =
    &'a mut dyn FnMut(Result<(&Hash, &Record), IndexError>) -> Result<(), IndexError>;

/// What a walk over references is given for each row: hash, name and value, or why the row cannot be trusted.
pub type EachReference<'a> =
    &'a mut dyn FnMut(Result<(Hash, &[u8], &[u8]), IndexError>) -> Result<(), IndexError>;

/// A worker's view: what was committed last, at each call anew.
pub trait IndexReader: Send {
    /// Reads the record of a block; false when there is none. Nothing is allocated when `into` had as many sums before.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] for a damaged row; `into` is then nobody's.
    fn block(&mut self, hash: &Hash, into: &mut Record) -> Result<bool, IndexError>;

    /// Reads the value of a reference in place of what is in `into`; false when there is none.
    ///
    /// # Errors
    /// [`IndexError::Limit`] for a name that could not be one.
    fn reference(
        &mut self,
        hash: &Hash,
        name: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<bool, IndexError>;

    /// Calls `each` with name and value of each reference of a block, in the order of names. Returns their number.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] for a damaged row: the rest is not walked.
    fn references(
        &mut self,
        hash: &Hash,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<u64, IndexError>;

    /// Walks at most `count_max` rows from `from` on, in the order of hashes. Returns where to go on; `None` at the end.
    ///
    /// # Errors
    /// What `each` returned, or what kept the index from reading.
    fn scan_from(
        &mut self,
        from: &Hash,
        count_max: u64,
        each: EachBlock<'_>,
    ) -> Result<Option<Hash>, IndexError>;
}

/// The only writer.
///
/// After [`IndexError::Full`], [`IndexError::Limit`] and [`IndexError::Corrupt`] the change was not made, and the batch goes on
/// without it; when the room that is kept for deleting is used up as well, commit says [`IndexError::Full`] again. After any
/// other error of a change the batch cannot be committed: commit says so again, and drops it.
pub trait Index {
    /// The record of a block.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] for a damaged row.
    fn block(&mut self, hash: &Hash) -> Result<Option<Record>, IndexError>;

    /// Keeps a record, in place of the one there was.
    ///
    /// # Errors
    /// [`IndexError::Full`]; [`IndexError::Limit`] for a record that could not be read again.
    fn put_block(&mut self, hash: &Hash, record: &Record) -> Result<(), IndexError>;

    /// Forgets a block, damaged rows included; false when there was none. Never [`IndexError::Full`].
    ///
    /// # Errors
    /// What kept the index from writing.
    fn delete_block(&mut self, hash: &Hash) -> Result<bool, IndexError>;

    /// The value of a reference.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] for a damaged row, [`IndexError::Limit`] for a name that could not be one.
    fn reference(&mut self, hash: &Hash, name: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Keeps a reference; true when it replaced one. The block need not exist: that is the caller's rule.
    ///
    /// # Errors
    /// [`IndexError::Full`]; [`IndexError::Limit`] for a name or a value out of bounds.
    fn put_reference(&mut self, hash: &Hash, name: &[u8], value: &[u8])
    -> Result<bool, IndexError>;

    /// Forgets a reference; false when there was none. Never [`IndexError::Full`].
    ///
    /// # Errors
    /// [`IndexError::Limit`] for a name that could not be one.
    fn delete_reference(&mut self, hash: &Hash, name: &[u8]) -> Result<bool, IndexError>;

    /// Forgets all references of a block, damaged rows included; returns their number. Never [`IndexError::Full`].
    ///
    /// # Errors
    /// What kept the index from reading or writing.
    fn delete_references(&mut self, hash: &Hash) -> Result<u64, IndexError>;

    /// Forgets at most `count_max` rows of blocks and references that cannot be read; returns their number. Walks over
    /// everything. Never [`IndexError::Full`].
    ///
    /// # Errors
    /// What kept the index from reading or writing.
    fn delete_damaged(&mut self, count_max: usize) -> Result<usize, IndexError>;

    /// How many references a block has, counted up to `count_max`.
    ///
    /// # Errors
    /// What kept the index from reading.
    fn reference_count(&mut self, hash: &Hash, count_max: u64) -> Result<u64, IndexError>;

    /// What the store says of itself.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] for a damaged row.
    fn meta(&mut self, key: MetaKey) -> Result<Option<Vec<u8>>, IndexError>;

    /// Lets the store say something of itself.
    ///
    /// # Errors
    /// [`IndexError::Full`]; [`IndexError::Limit`] for a value out of bounds.
    fn put_meta(&mut self, key: MetaKey, value: &[u8]) -> Result<(), IndexError>;

    /// Forgets what the store says of itself, damaged rows included; false when there was none. Never [`IndexError::Full`].
    ///
    /// # Errors
    /// What kept the index from writing.
    fn delete_meta(&mut self, key: MetaKey) -> Result<bool, IndexError>;

    /// Ends the batch: from now on readers see it. With `sync` it is durable when this returns, and everything before it.
    ///
    /// # Errors
    /// Nothing of the batch is kept. Unless it was [`IndexError::Full`], or a change that had failed, it is not certain what the
    /// medium has, and the index is poisoned: every later change and commit fails until it is opened again.
    fn commit(&mut self, sync: bool) -> Result<(), IndexError>;

    /// Ends the batch as a commit does that is not synced, but may leave it in memory for a while: then not only a crash of the
    /// machine undoes it, but an end of the process as well, together with those published since the last commit or sync.
    /// What a later batch does or is refused undoes nothing of it.
    ///
    /// # Errors
    /// Those of a commit.
    fn publish(&mut self) -> Result<(), IndexError> {
        self.commit(false)
    }

    /// Makes all commits durable, and what was published. Not within a batch.
    ///
    /// # Errors
    /// The index is poisoned; or [`IndexError::Limit`]: a batch is open.
    fn sync(&mut self) -> Result<(), IndexError>;

    /// Begins to write commits to the medium beside what goes on, unless that is under way: [`Index::sync`] is what makes
    /// them durable, and has less to do then.
    fn begin_flush(&mut self);

    /// Drops the batch.
    fn rollback(&mut self);

    /// Walks at most `count_max` rows of blocks from `from` on, in the order of hashes. Returns where to go on; `None` at the
    /// end. Rows whose key is no hash are reported and passed over.
    ///
    /// # Errors
    /// What `each` returned, or what kept the index from reading.
    fn scan_from(
        &mut self,
        from: &Hash,
        count_max: u64,
        each: EachBlock<'_>,
    ) -> Result<Option<Hash>, IndexError>;

    /// Walks at most `count_max` rows of references from the place `from` on, in the order of hashes and names. The first
    /// place is empty; returned is the one to go on from, `None` at the end.
    ///
    /// # Errors
    /// What `each` returned, or what kept the index from reading; [`IndexError::Limit`] for what cannot be a place.
    fn scan_references(
        &mut self,
        from: &[u8],
        count_max: u64,
        each: EachReference<'_>,
    ) -> Result<Option<Vec<u8>>, IndexError>;

    /// Walks all blocks, in the order of hashes; ends at the first damaged row. Returns how many there were.
    ///
    /// # Errors
    /// What `each` returned, [`IndexError::Corrupt`] for a damaged row, or what kept the index from reading.
    fn scan(
        &mut self,
        each: &mut dyn FnMut(&Hash, &Record) -> Result<(), IndexError>,
    ) -> Result<u64, IndexError> {
        let mut count = 0;
        self.scan_from(&Hash::MIN, u64::MAX, &mut |row| {
            let (hash, record) = row?;
            count += 1;
            each(hash, record)
        })?;
        Ok(count)
    }

    /// A view for one worker.
    ///
    /// # Errors
    /// [`IndexError::ReadersFull`].
    fn reader(&self) -> Result<Box<dyn IndexReader>, IndexError>;
}

/// Why the index did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// There is no room for another row, in the map or on the medium. What is left is for deleting.
    Full,
    /// More readers than `readers_max`.
    ReadersFull,
    /// A row is not what was written. Nothing of it is used.
    Corrupt {
        /// What the row should be.
        object: &'static str,
        /// Its key.
        place: String,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The caller passed what the index cannot keep.
    Limit(&'static str),
    /// A commit or sync failed earlier, so that it is not certain what the medium has. Open the store again.
    Poisoned,
    /// The system or the database refused.
    System {
        /// Number of the system, or of libmdbx.
        code: i32,
        /// What was tried.
        action: &'static str,
    },
}

impl IndexError {
    /// A damaged row.
    pub(crate) fn corrupt(
        object: &'static str,
        place: impl fmt::Display,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> IndexError {
        IndexError::Corrupt {
            object,
            place: place.to_string(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IndexError::Full => {
                f.write_str("the index has no room: delete blocks, free some of the disk, or raise map_size_max")
            }
            IndexError::ReadersFull => {
                f.write_str("the index has no room for another reader: raise readers_max")
            }
            IndexError::Corrupt {
                object,
                place,
                expected,
                found,
            } => write!(f, "{object} {place}: expected {expected}, found {found}"),
            IndexError::Limit(what) => f.write_str(what),
            IndexError::Poisoned => f.write_str(
                "a commit failed earlier: the index takes no more changes until it is opened again",
            ),
            IndexError::System { code, action } => {
                write!(f, "{action}: {}", describe(*code))
            }
        }
    }
}

impl Error for IndexError {}

/// Numbers above zero are the system's, the others are the database's.
fn describe(code: i32) -> String {
    if code > 0 {
        std::io::Error::from_raw_os_error(code).to_string()
    } else {
        format!("libmdbx error {code}")
    }
}
