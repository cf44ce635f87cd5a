//! The index in memory: what tests and the simulation run on, and what crashes.
//!
//! ```text
//!   batch ── commit ──▶ committed, and how to undo it ── sync ──▶ durable: nothing left to undo
//!                                    └── crash: the last commits that were never synced are undone, any number of them
//! ```
//!
//! It keeps the same bytes as a database would, so that damage can be planted and codecs are exercised. Must not know the
//! medium. A model of the contract in [`Index`](super::Index), not a second product: it copies freely.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use hioload_base::Prng;

use super::row::{
    self, META, META_VALUE_SIZE_MAX, MetaKey, REFERENCE, REFERENCE_VALUE_SIZE_MAX, ReferenceKey,
};
use super::{EachBlock, EachReference, Index, IndexError, IndexReader};
use crate::hash::Hash;
use crate::record::Record;

/// The tables of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Hash to block record.
    Blocks,
    /// Hash and name to value.
    References,
    /// What the store says of itself.
    Meta,
}

type Key = (Table, Vec<u8>);
type Rows = BTreeMap<Key, Vec<u8>>;
/// Rows to be put (or, without a value, deleted).
type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// An index in memory. Clones are handles of the same index: a test keeps one to break it by.
///
/// ```
/// use hioload_base::Prng;
/// use hioload_blocks::{Hash, Index, MemoryIndex};
///
/// let mut index = MemoryIndex::new();
/// let hash = Hash::of(b"content");
/// index.put_reference(&hash, b"lock", b"mine")?;
/// index.commit(true)?;
/// index.delete_reference(&hash, b"lock")?;
///
/// let mut survivor = index.crash(&mut Prng::new(1));
/// assert_eq!(survivor.reference(&hash, b"lock")?.as_deref(), Some(&b"mine"[..]));
/// # Ok::<(), hioload_blocks::IndexError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryIndex {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    committed: Rows,
    batch: Changes,
    /// For each commit that was never synced, the oldest first: what it took the place of.
    unsynced: Vec<Changes>,
    /// The batch of a commit that failed: the medium may have it or not.
    uncertain: Option<Changes>,
    is_poisoned: bool,
    /// Commits, or syncs, until one fails.
    commits_to_failure: Option<u64>,
    /// Commits until one finds no room.
    commits_to_refusal: Option<u64>,
    syncs_to_failure: Option<u64>,
    row_count_max: Option<usize>,
}

impl MemoryIndex {
    /// An empty index.
    pub fn new() -> MemoryIndex {
        MemoryIndex::default()
    }

    /// What a machine finds that comes up again: every synced commit, and as many of the later ones, the oldest first, as the
    /// medium happened to have. This index goes on unharmed.
    #[must_use]
    pub fn crash(&self, prng: &mut Prng) -> MemoryIndex {
        let shared = self.lock();
        let candidates = shared.unsynced.len() + usize::from(shared.uncertain.is_some());
        let kept = prng.below(candidates as u64 + 1) as usize;
        let mut rows = shared.committed.clone();
        for undo in shared.unsynced.iter().skip(kept).rev() {
            apply(&mut rows, undo);
        }
        if let Some(changes) = shared.uncertain.as_ref().filter(|_| kept == candidates) {
            apply(&mut rows, changes);
        }
        drop(shared);
        let shared = Shared {
            committed: rows,
            ..Shared::default()
        };
        MemoryIndex {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Lets the commit after `count` more fail with EIO. Whether the medium has it is certain only after a crash.
    pub fn fail_commit_after(&self, count: u64) {
        self.lock().commits_to_failure = Some(count);
    }

    /// Lets the commit after `count` more find no room: nothing of it is kept.
    pub fn refuse_commit_after(&self, count: u64) {
        self.lock().commits_to_refusal = Some(count);
    }

    /// Lets the sync after `count` more fail with EIO.
    pub fn fail_sync_after(&self, count: u64) {
        self.lock().syncs_to_failure = Some(count);
    }

    /// Gives the index room for that many rows. Each commit that is not synced takes the room of one, as in a tree that is copied on
    /// write.
    pub fn set_row_count_max(&self, count: usize) {
        self.lock().row_count_max = Some(count);
    }

    /// Changes the bytes of a committed row behind the index's back; false when there is none.
    pub fn damage(&self, table: Table, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> bool {
        match self.lock().committed.get_mut(&(table, key.to_vec())) {
            Some(row) => {
                change(row);
                true
            }
            None => false,
        }
    }

    /// Puts a row of any bytes behind the index's back.
    pub fn plant(&self, table: Table, key: &[u8], row: &[u8]) {
        self.lock()
            .committed
            .insert((table, key.to_vec()), row.to_vec());
    }

    /// Commits that a crash could undo.
    pub fn unsynced_count(&self) -> usize {
        self.lock().unsynced.len()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared
            .lock()
            .expect("invariant: nothing panics while it holds the lock")
    }
}

impl Shared {
    /// What the writer sees.
    fn row(&self, table: Table, key: &[u8]) -> Option<&Vec<u8>> {
        let key = (table, key.to_vec());
        match self.batch.get(&key) {
            Some(change) => change.as_ref(),
            None => self.committed.get(&key),
        }
    }

    /// Rows of a table from `from` on, at most `count_max`: committed ones, or as the writer sees them.
    fn rows(
        &self,
        table: Table,
        from: &[u8],
        count_max: usize,
        with_batch: bool,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let range = (Bound::Included((table, from.to_vec())), Bound::Unbounded);
        let committed = self.committed.range(range.clone());
        let committed = committed.take_while(|((of, _), _)| *of == table);
        if !with_batch || self.batch.is_empty() {
            let rows = committed.map(|((_, key), row)| (key.clone(), row.clone()));
            return rows.take(count_max).collect();
        }
        let mut seen: Rows = committed
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect();
        for (key, change) in self
            .batch
            .range(range)
            .take_while(|((of, _), _)| *of == table)
        {
            match change {
                Some(row) => seen.insert(key.clone(), row.clone()),
                None => seen.remove(key),
            };
        }
        let rows = seen.into_iter().map(|((_, key), row)| (key, row));
        rows.take(count_max).collect()
    }

    fn change(
        &mut self,
        table: Table,
        key: &[u8],
        row: Option<Vec<u8>>,
    ) -> Result<bool, IndexError> {
        if self.is_poisoned {
            return Err(IndexError::Poisoned);
        }
        let existed = self.row(table, key).is_some();
        if row.is_none() && !existed {
            return Ok(false);
        }
        let added = self
            .batch
            .values()
            .filter(|change| change.is_some())
            .count();
        let is_full = |max: usize| self.committed.len() + self.unsynced.len() + added >= max;
        if row.is_some() && !existed && self.row_count_max.is_some_and(is_full) {
            return Err(IndexError::Full);
        }
        self.batch.insert((table, key.to_vec()), row);
        Ok(existed)
    }

    fn commit(&mut self, sync: bool) -> Result<(), IndexError> {
        if self.is_poisoned {
            self.batch.clear();
            return Err(IndexError::Poisoned);
        }
        if is_due(&mut self.commits_to_refusal) {
            return Err(IndexError::Full);
        }
        let changes = std::mem::take(&mut self.batch);
        if is_due(&mut self.commits_to_failure) || (sync && is_due(&mut self.syncs_to_failure)) {
            self.is_poisoned = true;
            self.uncertain = Some(changes);
            return Err(EIO_AT_COMMIT);
        }
        let undo = apply(&mut self.committed, &changes);
        if !undo.is_empty() {
            self.unsynced.push(undo);
        }
        if sync {
            self.unsynced.clear();
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), IndexError> {
        if self.is_poisoned {
            return Err(IndexError::Poisoned);
        }
        if !self.batch.is_empty() {
            return Err(IndexError::Limit("there is no sync within a batch"));
        }
        if is_due(&mut self.syncs_to_failure) {
            self.is_poisoned = true;
            return Err(EIO_AT_SYNC);
        }
        self.unsynced.clear();
        Ok(())
    }
}

const EIO_AT_COMMIT: IndexError = IndexError::System {
    code: 5,
    action: "commit of the index",
};
const EIO_AT_SYNC: IndexError = IndexError::System {
    code: 5,
    action: "sync of the index",
};

/// Counts down to a failure by order.
fn is_due(remaining: &mut Option<u64>) -> bool {
    match remaining {
        Some(0) => {
            *remaining = None;
            true
        }
        Some(count) => {
            *count -= 1;
            false
        }
        None => false,
    }
}

/// Makes the changes, and returns those that undo them.
fn apply(rows: &mut Rows, changes: &Changes) -> Changes {
    let undo = changes.iter().map(|(key, change)| {
        let before = match change {
            Some(row) => rows.insert(key.clone(), row.clone()),
            None => rows.remove(key),
        };
        (key.clone(), before)
    });
    undo.collect()
}

fn each_block(rows: &[(Vec<u8>, Vec<u8>)], each: EachBlock<'_>) -> Result<(), IndexError> {
    let mut record = Record::blank();
    for (key, row) in rows {
        match row::block_key(key).and_then(|hash| record.decode_into(&hash, row).map(|()| hash)) {
            Ok(hash) => each(Ok((&hash, &record)))?,
            Err(error) => each(Err(error))?,
        }
    }
    Ok(())
}

/// Where a walk goes on that saw `rows`, of at most `count_max`.
fn next_from(rows: &[(Vec<u8>, Vec<u8>)], count_max: u64) -> Option<Hash> {
    let (last, _) = rows.last().filter(|_| rows.len() as u64 >= count_max)?;
    row::hash_after(last)
}

fn bounded(count_max: u64) -> usize {
    usize::try_from(count_max).unwrap_or(usize::MAX)
}

impl Index for MemoryIndex {
    fn block(&mut self, hash: &Hash) -> Result<Option<Record>, IndexError> {
        let shared = self.lock();
        let row = shared.row(Table::Blocks, hash.as_bytes());
        row.map(|row| Record::decode(hash, row)).transpose()
    }

    fn put_block(&mut self, hash: &Hash, record: &Record) -> Result<(), IndexError> {
        let mut row = Vec::new();
        record.try_encode(hash, &mut row)?;
        self.lock()
            .change(Table::Blocks, hash.as_bytes(), Some(row))?;
        Ok(())
    }

    fn delete_block(&mut self, hash: &Hash) -> Result<bool, IndexError> {
        self.lock().change(Table::Blocks, hash.as_bytes(), None)
    }

    fn reference(&mut self, hash: &Hash, name: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let key = ReferenceKey::new(hash, name)?;
        let shared = self.lock();
        let row = shared.row(Table::References, key.as_slice());
        row.map(|row| row::decode(REFERENCE, key.as_slice(), row).map(<[u8]>::to_vec))
            .transpose()
    }

    fn put_reference(
        &mut self,
        hash: &Hash,
        name: &[u8],
        value: &[u8],
    ) -> Result<bool, IndexError> {
        let key = ReferenceKey::new(hash, name)?;
        let mut row = Vec::new();
        row::encode(key.as_slice(), value, REFERENCE_VALUE_SIZE_MAX, &mut row)?;
        self.lock()
            .change(Table::References, key.as_slice(), Some(row))
    }

    fn delete_reference(&mut self, hash: &Hash, name: &[u8]) -> Result<bool, IndexError> {
        let key = ReferenceKey::new(hash, name)?;
        self.lock().change(Table::References, key.as_slice(), None)
    }

    fn delete_references(&mut self, hash: &Hash) -> Result<u64, IndexError> {
        let mut shared = self.lock();
        let mut rows = shared.rows(Table::References, hash.as_bytes(), usize::MAX, true);
        rows.retain(|(key, _)| key.starts_with(hash.as_bytes()));
        for (key, _) in &rows {
            shared.change(Table::References, key, None)?;
        }
        Ok(rows.len() as u64)
    }

    fn delete_damaged(&mut self, count_max: usize) -> Result<usize, IndexError> {
        let mut shared = self.lock();
        let mut keys = Vec::new();
        for (table, is_sound) in [
            (Table::Blocks, row::is_block as fn(&[u8], &[u8]) -> bool),
            (Table::References, row::is_reference),
        ] {
            let rows = shared.rows(table, &[], usize::MAX, true).into_iter();
            let damaged = rows.filter(|(key, row)| !is_sound(key, row));
            keys.extend(damaged.map(|(key, _)| (table, key)));
        }
        keys.truncate(count_max);
        for (table, key) in &keys {
            shared.change(*table, key, None)?;
        }
        Ok(keys.len())
    }

    fn reference_count(&mut self, hash: &Hash, count_max: u64) -> Result<u64, IndexError> {
        let count_max = bounded(count_max);
        let rows = self
            .lock()
            .rows(Table::References, hash.as_bytes(), count_max, true);
        let of_hash = rows
            .iter()
            .take_while(|(key, _)| key.starts_with(hash.as_bytes()));
        Ok(of_hash.count() as u64)
    }

    fn meta(&mut self, key: MetaKey) -> Result<Option<Vec<u8>>, IndexError> {
        let shared = self.lock();
        let row = shared.row(Table::Meta, &key.key());
        row.map(|row| row::decode(META, &key.key(), row).map(<[u8]>::to_vec))
            .transpose()
    }

    fn put_meta(&mut self, key: MetaKey, value: &[u8]) -> Result<(), IndexError> {
        let mut row = Vec::new();
        row::encode(&key.key(), value, META_VALUE_SIZE_MAX, &mut row)?;
        self.lock().change(Table::Meta, &key.key(), Some(row))?;
        Ok(())
    }

    fn delete_meta(&mut self, key: MetaKey) -> Result<bool, IndexError> {
        self.lock().change(Table::Meta, &key.key(), None)
    }

    fn commit(&mut self, sync: bool) -> Result<(), IndexError> {
        self.lock().commit(sync)
    }

    fn sync(&mut self) -> Result<(), IndexError> {
        self.lock().sync()
    }

    fn begin_flush(&mut self) {}

    fn rollback(&mut self) {
        self.lock().batch.clear();
    }

    fn scan_from(
        &mut self,
        from: &Hash,
        count_max: u64,
        each: EachBlock<'_>,
    ) -> Result<Option<Hash>, IndexError> {
        // Copied, so that `each` may ask the index.
        let rows = self
            .lock()
            .rows(Table::Blocks, from.as_bytes(), bounded(count_max), true);
        each_block(&rows, each)?;
        Ok(next_from(&rows, count_max))
    }

    fn scan_references(
        &mut self,
        from: &[u8],
        count_max: u64,
        each: EachReference<'_>,
    ) -> Result<Option<Vec<u8>>, IndexError> {
        row::check_place(from)?;
        let count_max = bounded(count_max);
        let one_more = count_max.saturating_add(1);
        let rows = self.lock().rows(Table::References, from, one_more, true);
        for (key, row) in rows.iter().take(count_max) {
            each(row::decode_reference(key, row))?;
        }
        Ok(rows.get(count_max).map(|(key, _)| key.clone()))
    }

    fn reader(&self) -> Result<Box<dyn IndexReader>, IndexError> {
        Ok(Box::new(MemoryReader(self.clone())))
    }
}

/// A view of what is committed.
struct MemoryReader(MemoryIndex);

impl IndexReader for MemoryReader {
    fn block(&mut self, hash: &Hash, into: &mut Record) -> Result<bool, IndexError> {
        let shared = self.0.lock();
        match shared
            .committed
            .get(&(Table::Blocks, hash.as_bytes().to_vec()))
        {
            Some(row) => into.decode_into(hash, row).map(|()| true),
            None => Ok(false),
        }
    }

    fn reference(
        &mut self,
        hash: &Hash,
        name: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<bool, IndexError> {
        let key = ReferenceKey::new(hash, name)?;
        let shared = self.0.lock();
        let row = shared
            .committed
            .get(&(Table::References, key.as_slice().to_vec()));
        let Some(row) = row else {
            return Ok(false);
        };
        let value = row::decode(REFERENCE, key.as_slice(), row)?;
        into.clear();
        into.extend_from_slice(value);
        Ok(true)
    }

    fn references(
        &mut self,
        hash: &Hash,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<u64, IndexError> {
        let rows = self
            .0
            .lock()
            .rows(Table::References, hash.as_bytes(), usize::MAX, false);
        let mut count = 0;
        for (key, row) in rows
            .iter()
            .take_while(|(key, _)| key.starts_with(hash.as_bytes()))
        {
            let (_, name, value) = row::decode_reference(key, row)?;
            each(name, value);
            count += 1;
        }
        Ok(count)
    }

    fn scan_from(
        &mut self,
        from: &Hash,
        count_max: u64,
        each: EachBlock<'_>,
    ) -> Result<Option<Hash>, IndexError> {
        let rows = self
            .0
            .lock()
            .rows(Table::Blocks, from.as_bytes(), bounded(count_max), false);
        each_block(&rows, each)?;
        Ok(next_from(&rows, count_max))
    }
}
