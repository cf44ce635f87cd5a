//! The index on libmdbx: a B+ tree in a mapped file, copied on write.
//!
//! ```text
//!   Mdbx::open ──┬─▶ MdbxReader (each worker)   a read transaction for each call: the newest committed state
//!                └─▶ MdbxIndex (one thread)     one write transaction from the first change to the commit
//! ```
//!
//! libmdbx aborts the process on keys and values it cannot store: whatever reaches it was made or checked in `row` and
//! `record`. What comes back is trusted no more than any other bytes. Must not know what the records mean.
//!
//! Room: a tree that is copied on write needs room to delete, too. So a part of the file is kept for that: a new row is refused
//! with [`IndexError::Full`] before the rest is too small for the batch, and what is kept is allocated on the medium, not only
//! in the map. A full disk blocks PUT, never DELETE.
//!
//! Durability: a commit that is not synced is undone by a crash of the machine, together with those before it that were not;
//! the file is never broken by it. A commit that is synced, and everything before it, stays.
//!
//! A commit writes every page on the way to what it changed. So blocks that are published stay in the transaction, and beside it in
//! memory where readers look first; one commit then writes the pages of many batches once. Whatever is not simply a block that is
//! kept ends that: readers look for it in the tree alone.
//!
//! Limits: [`MdbxOptions`]; 1024 published blocks that are not committed, then they are. Source: libmdbx 0.13, `mdbx.h`.

mod errors;
mod flusher;
mod reading;
mod recent;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use signet_libmdbx::sys::PageSize;
use signet_libmdbx::tx::aliases::{RoTxUnsync, RwTxUnsync};
use signet_libmdbx::{
    Database, DatabaseFlags, Environment, EnvironmentFlags, Geometry, MdbxError, MdbxResult, Mode,
    SyncMode, WriteFlags,
};

use errors::{io_error, mdbx_error, read_error, write_error};
use flusher::Flusher;
use reading::{EachRow, MdbxReader, scan_blocks, walk, with_row};
use recent::{Recent, Rows};

use super::options::MdbxOptions;
use super::row::{
    self, META, META_VALUE_SIZE_MAX, MetaKey, REFERENCE, REFERENCE_VALUE_SIZE_MAX, ReferenceKey,
};
use super::{EachBlock, EachReference, Index, IndexError, IndexReader};
use crate::hash::Hash;
use crate::medium;
use crate::record::Record;

/// Bytes of a page: the same on every machine, so that a file can be moved.
const PAGE_SIZE: u64 = 4096;

/// Bytes of new pages that one change may need at worst: a leaf, a branch, and a page of the list of freed ones.
const CHANGE_SIZE_MAX: u64 = 3 * PAGE_SIZE;

/// What a sync says of writes that failed earlier.
const EIO: i32 = 5;

/// Bytes that are written before the database syncs itself: far more than a caller leaves unsynced. Without a figure
/// it would sync where it could as well make the file longer.
const UNSYNCED_SIZE_MAX: usize = 256 << 20;

/// Blocks that are published and not committed.
const RECENT_MAX: usize = 1024;

/// Bytes of the file that are read in order before a walk over everything: keys are in no order on the medium, and a walk
/// would fetch one page after the other. More than the page cache keeps is of no use.
const READ_AHEAD_MAX: u64 = 4 << 30;

/// The tables.
#[derive(Clone, Copy, Debug)]
struct Tables {
    blocks: Database,
    references: Database,
    meta: Database,
}

/// An open index file: gives out the one writer and any number of readers. May be sent between threads.
#[derive(Debug)]
pub struct Mdbx {
    environment: Environment,
    tables: Tables,
    options: MdbxOptions,
    /// Kept open as long as the environment: closing any descriptor of a file drops the process's locks on it.
    file: Arc<File>,
    recent: Arc<Recent>,
}

impl Mdbx {
    /// Opens the index in the file `path`, which is made when there is none. A second file beside it, with `-lck` at its end,
    /// holds the locks.
    ///
    /// # Errors
    /// [`IndexError::Limit`] for options out of bounds; otherwise what the system or the database refused.
    pub fn open(path: &Path, options: MdbxOptions) -> Result<Mdbx, IndexError> {
        options
            .check()
            .map_err(|_| IndexError::Limit("an option of the index is out of bounds"))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| io_error(&error, "opening the index"))?;
        let size_max = to_size(options.map_size_max)?;
        let environment = Environment::builder()
            .set_flags(EnvironmentFlags {
                no_sub_dir: true,
                // Syncing is asked for by commit: faster than the mode that always does, and just as durable.
                mode: Mode::ReadWrite {
                    sync_mode: SyncMode::SafeNoSync,
                },
                // Lookups are random: reading ahead would only push out other pages.
                no_rdahead: true,
                ..EnvironmentFlags::default()
            })
            .set_geometry(Geometry {
                size: Some(0..size_max),
                growth_step: Some(to_size(options.growth_step)?.cast_signed()),
                // Never: what is allocated is what deleting relies on.
                shrink_threshold: Some(0),
                page_size: Some(PageSize::Set(PAGE_SIZE as usize)),
            })
            .set_max_readers(u64::from(options.readers_max))
            .set_max_dbs(4)
            .set_sync_bytes(UNSYNCED_SIZE_MAX)
            .open(path)
            .map_err(|error| mdbx_error(error, "opening the index"))?;
        let tables = open_tables(&environment)
            .map_err(|error| mdbx_error(error, "opening the tables of the index"))?;
        Ok(Mdbx {
            environment,
            tables,
            options,
            file: Arc::new(file),
            recent: Arc::default(),
        })
    }

    /// A view for one worker.
    ///
    /// # Errors
    /// What the system or the database refused.
    pub fn reader(&self) -> Result<Box<dyn IndexReader>, IndexError> {
        Ok(Box::new(MdbxReader {
            environment: self.environment.clone(),
            tables: self.tables,
            recent: Arc::clone(&self.recent),
        }))
    }

    /// The writer. It stays on the thread that made it.
    pub fn writer(self) -> MdbxIndex {
        MdbxIndex {
            mdbx: self,
            transaction: None,
            batch: Batch::default(),
            recent_metas: BTreeMap::new(),
            change_count: 0,
            room: 0,
            broken: None,
            is_poisoned: false,
            is_synced: false,
            row: Vec::new(),
            allocated_to: 0,
            flusher: None,
        }
    }

    /// Bytes of the file, of which are in use, and of the map at most.
    ///
    /// # Errors
    /// What the database refused.
    pub fn space(&self) -> Result<IndexSpace, IndexError> {
        let failed = |error| mdbx_error(error, "asking for the size of the index");
        let info = self.environment.info().map_err(failed)?;
        let file_size = self
            .file
            .metadata()
            .map_err(|error| io_error(&error, "asking for the size of the index"))?;
        Ok(IndexSpace {
            file_size: file_size.len(),
            used_to: (info.last_pgno() as u64 + 1) * PAGE_SIZE,
            map_size_max: self.options.map_size_max,
        })
    }

    fn begin_read(&self) -> Result<RoTxUnsync, IndexError> {
        self.environment
            .begin_ro_unsync()
            .map_err(|error| mdbx_error(error, "reading the index"))
    }
}

/// How large an index file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSpace {
    /// Bytes of the file.
    pub file_size: u64,
    /// Bytes up to the last page that was ever in use; pages freed below it are used again.
    pub used_to: u64,
    /// Bytes it may grow to.
    pub map_size_max: u64,
}

fn open_tables(environment: &Environment) -> MdbxResult<Tables> {
    let batch = environment.begin_rw_unsync()?;
    let open = |name| batch.create_db(Some(name), DatabaseFlags::empty());
    let tables = Tables {
        blocks: open("blocks")?,
        references: open("refs")?,
        meta: open("meta")?,
    };
    batch.commit()?;
    Ok(tables)
}

/// The writer of an index on libmdbx.
///
/// ```
/// use hioload_blocks::{Hash, Index, Mdbx, MdbxOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("index.mdbx");
/// let mut index = Mdbx::open(&path, MdbxOptions::default())?.writer();
/// index.put_reference(&Hash::of(b"content"), b"lock", b"mine")?;
/// index.commit(true)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MdbxIndex {
    mdbx: Mdbx,
    /// Of the batch, and of those that are published.
    transaction: Option<RwTxUnsync>,
    batch: Batch,
    /// What the store says of itself in batches that are published; their blocks are where readers find them.
    recent_metas: BTreeMap<MetaKey, Vec<u8>>,
    /// Changes of the transaction.
    change_count: u64,
    /// Bytes that the transaction can write without asking the system for more.
    room: u64,
    /// Why the batch cannot be committed.
    broken: Option<IndexError>,
    is_poisoned: bool,
    /// Whether every commit is on the medium. Not known of what an earlier process left.
    is_synced: bool,
    /// Where rows are encoded.
    row: Vec<u8>,
    /// Bytes of the file that are known to be allocated on the medium.
    allocated_to: u64,
    /// Started when it is asked for.
    flusher: Option<Flusher>,
}

/// What the batch has changed so far.
#[derive(Debug, Default)]
struct Batch {
    is_open: bool,
    /// It is more than kept blocks and what the store says of itself: it cannot be published.
    has_others: bool,
    blocks: Rows,
    metas: BTreeMap<MetaKey, Vec<u8>>,
}

impl Batch {
    fn keep_block(&mut self, hash: &Hash, row: &[u8]) {
        if self.blocks.len() < RECENT_MAX {
            self.blocks.put(hash, row);
        } else {
            self.has_others = true;
        }
    }

    fn end(&mut self) {
        self.blocks.clear();
        self.metas.clear();
        (self.is_open, self.has_others) = (false, false);
    }
}

impl MdbxIndex {
    /// How large the file is.
    ///
    /// # Errors
    /// What the database refused.
    pub fn space(&self) -> Result<IndexSpace, IndexError> {
        self.mdbx.space()
    }

    /// Gives the file back; a batch is dropped.
    pub fn close(mut self) -> Mdbx {
        if self.batch.is_open {
            self.rollback();
        }
        // What cannot be committed now is lost as by a sudden end.
        let _ = self.commit(false);
        self.mdbx.recent.clear();
        self.mdbx
    }

    /// A transaction for the batch, begun when there is none.
    fn open_batch(&mut self) -> Result<(), IndexError> {
        if self.is_poisoned {
            return Err(IndexError::Poisoned);
        }
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if self.transaction.is_none() {
            let begun = self.mdbx.environment.begin_rw_unsync();
            self.transaction = Some(begun.map_err(|error| mdbx_error(error, "opening a batch"))?);
            (self.change_count, self.room) = (0, 0);
        }
        Ok(())
    }

    /// Sees to it that one more row leaves enough for deleting.
    fn ensure_room(&mut self) -> Result<(), IndexError> {
        let reserve_size = self.mdbx.options.reserve_size;
        let needed = reserve_size + (self.change_count + 1) * CHANGE_SIZE_MAX;
        if self.room < needed {
            // More than needed, so that the system is not asked for each change.
            self.room = self.find_room(needed, needed + reserve_size)?;
        }
        if self.room < needed {
            Err(IndexError::Full)
        } else {
            Ok(())
        }
    }

    /// Bytes that can be written without asking the system for more, after asking it.
    fn find_room(&mut self, needed: u64, wanted: u64) -> Result<u64, IndexError> {
        let tail = self.find_tail(needed, wanted)?;
        if tail >= needed {
            return Ok(tail);
        }
        // Pages that were freed are room as well. Counting them takes time, so only now.
        let freed = self.mdbx.environment.freelist();
        let freed = freed.map_err(|error| read_error(error, "counting free pages"))?;
        Ok(tail + freed as u64 * PAGE_SIZE)
    }

    /// The same behind the last page that was ever in use.
    fn find_tail(&mut self, needed: u64, wanted: u64) -> Result<u64, IndexError> {
        let IndexSpace { used_to, .. } = self.mdbx.space()?;
        let map_size_max = self.mdbx.options.map_size_max;
        for size in [wanted, needed].map(|size| (used_to + size).min(map_size_max)) {
            let is_short = self.allocated_to < used_to + needed && self.allocated_to < size;
            if is_short && medium::reserve(&self.mdbx.file, size) {
                self.allocated_to = size;
            }
        }
        Ok(self.allocated_to.saturating_sub(used_to))
    }

    /// Whether there is so much room that neither later batches of the transaction nor its commit find none.
    fn has_ample_room(&mut self) -> bool {
        let reserve_size = self.mdbx.options.reserve_size;
        let needed = reserve_size + (self.change_count + RECENT_MAX as u64) * CHANGE_SIZE_MAX;
        if self.room < needed {
            let tail = self.find_tail(needed, needed + reserve_size);
            self.room = self.room.max(tail.unwrap_or(0));
        }
        self.room >= needed
    }

    /// Puts the row that is encoded in `self.row`, if there is room.
    fn put(&mut self, table: Database, key: &[u8]) -> Result<(), IndexError> {
        self.open_batch()?;
        self.ensure_room()?;
        self.put_anyway(table, key)
    }

    /// The same with the room that is kept for deleting, too.
    fn put_anyway(&mut self, table: Database, key: &[u8]) -> Result<(), IndexError> {
        self.open_batch()?;
        let transaction = self.transaction.as_ref().expect("invariant: begun above");
        self.change_count += 1;
        self.batch.is_open = true;
        let put = transaction.put(table, key, &self.row, WriteFlags::UPSERT);
        put.map_err(|error| self.break_batch(error, "writing to the index"))
    }

    fn delete(&mut self, table: Database, key: &[u8]) -> Result<bool, IndexError> {
        self.open_batch()?;
        let transaction = self.transaction.as_ref().expect("invariant: begun above");
        self.change_count += 1;
        match transaction.del(table, key, None) {
            // Nothing was there: nothing has changed.
            Ok(false) => Ok(false),
            Ok(true) => {
                (self.batch.is_open, self.batch.has_others) = (true, true);
                Ok(true)
            }
            Err(error) => Err(self.break_batch(error, "deleting from the index")),
        }
    }

    /// Puts what is published into a new transaction.
    fn restore(&mut self) -> Result<(), IndexError> {
        let recent = Arc::clone(&self.mdbx.recent);
        let metas = std::mem::take(&mut self.recent_metas);
        for (hash, row) in recent.read().iter() {
            self.row.clear();
            self.row.extend_from_slice(row);
            self.put_anyway(self.mdbx.tables.blocks, hash.as_bytes())?;
        }
        for (key, row) in &metas {
            self.row.clone_from(row);
            self.put_anyway(self.mdbx.tables.meta, &key.key())?;
        }
        self.recent_metas = metas;
        // As much as there was when it was published.
        self.ensure_room()
    }

    fn break_batch(&mut self, error: MdbxError, action: &'static str) -> IndexError {
        let error = write_error(error, action);
        self.broken = Some(error.clone());
        self.batch.is_open = true;
        error
    }

    /// Calls `read` with a row as the writer sees it.
    fn with_row<T>(
        &self,
        table: Database,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, IndexError>,
    ) -> Result<Option<T>, IndexError> {
        match &self.transaction {
            Some(transaction) => with_row(transaction, table, key, read),
            None => with_row(&self.mdbx.begin_read()?, table, key, read),
        }
    }

    fn walk(&self, table: Database, from: &[u8], each: EachRow<'_>) -> Result<(), IndexError> {
        match &self.transaction {
            Some(transaction) => walk(transaction, table, from, each),
            None => walk(&self.mdbx.begin_read()?, table, from, each),
        }
    }
}

impl Index for MdbxIndex {
    fn block(&mut self, hash: &Hash) -> Result<Option<Record>, IndexError> {
        let decode = |row: &[u8]| Record::decode(hash, row);
        if self.transaction.is_none()
            && let Some(record) = self.mdbx.recent.with_row(hash, decode)
        {
            // Published, and the transaction is lost: the last state that readers were given.
            return record.map(Some);
        }
        self.with_row(self.mdbx.tables.blocks, hash.as_bytes(), |row| {
            Record::decode(hash, row)
        })
    }

    fn put_block(&mut self, hash: &Hash, record: &Record) -> Result<(), IndexError> {
        record.try_encode(hash, &mut self.row)?;
        self.put(self.mdbx.tables.blocks, hash.as_bytes())?;
        self.batch.keep_block(hash, &self.row);
        Ok(())
    }

    fn delete_block(&mut self, hash: &Hash) -> Result<bool, IndexError> {
        self.delete(self.mdbx.tables.blocks, hash.as_bytes())
    }

    fn reference(&mut self, hash: &Hash, name: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let key = ReferenceKey::new(hash, name)?;
        self.with_row(self.mdbx.tables.references, key.as_slice(), |row| {
            row::decode(REFERENCE, key.as_slice(), row).map(<[u8]>::to_vec)
        })
    }

    fn put_reference(
        &mut self,
        hash: &Hash,
        name: &[u8],
        value: &[u8],
    ) -> Result<bool, IndexError> {
        let key = ReferenceKey::new(hash, name)?;
        let table = self.mdbx.tables.references;
        row::encode(
            key.as_slice(),
            value,
            REFERENCE_VALUE_SIZE_MAX,
            &mut self.row,
        )?;
        let replaced = self.with_row(table, key.as_slice(), |_| Ok(()))?.is_some();
        self.put(table, key.as_slice())?;
        self.batch.has_others = true;
        Ok(replaced)
    }

    fn delete_reference(&mut self, hash: &Hash, name: &[u8]) -> Result<bool, IndexError> {
        let key = ReferenceKey::new(hash, name)?;
        self.delete(self.mdbx.tables.references, key.as_slice())
    }

    fn delete_references(&mut self, hash: &Hash) -> Result<u64, IndexError> {
        let table = self.mdbx.tables.references;
        let mut keys = Vec::new();
        self.walk(table, hash.as_bytes(), &mut |key, _| {
            let is_of_hash = key.starts_with(hash.as_bytes());
            if is_of_hash {
                keys.push(key.to_vec());
            }
            Ok(is_of_hash)
        })?;
        for key in &keys {
            self.delete(table, key)?;
        }
        Ok(keys.len() as u64)
    }

    fn delete_damaged(&mut self, count_max: usize) -> Result<usize, IndexError> {
        let Tables {
            blocks, references, ..
        } = self.mdbx.tables;
        let mut keys = Vec::new();
        for (table, is_sound) in [
            (blocks, row::is_block as fn(&[u8], &[u8]) -> bool),
            (references, row::is_reference),
        ] {
            self.walk(table, &[], &mut |key, row| {
                if keys.len() < count_max && !is_sound(key, row) {
                    keys.push((table, key.to_vec()));
                }
                Ok(keys.len() < count_max)
            })?;
        }
        for (table, key) in &keys {
            self.delete(*table, key)?;
        }
        Ok(keys.len())
    }

    fn reference_count(&mut self, hash: &Hash, count_max: u64) -> Result<u64, IndexError> {
        let mut count = 0;
        let table = self.mdbx.tables.references;
        self.walk(table, hash.as_bytes(), &mut |key, _| {
            let is_counted = count < count_max && key.starts_with(hash.as_bytes());
            count += u64::from(is_counted);
            Ok(is_counted && count < count_max)
        })?;
        Ok(count)
    }

    fn meta(&mut self, key: MetaKey) -> Result<Option<Vec<u8>>, IndexError> {
        self.with_row(self.mdbx.tables.meta, &key.key(), |row| {
            row::decode(META, &key.key(), row).map(<[u8]>::to_vec)
        })
    }

    fn put_meta(&mut self, key: MetaKey, value: &[u8]) -> Result<(), IndexError> {
        row::encode(&key.key(), value, META_VALUE_SIZE_MAX, &mut self.row)?;
        // There are but a few of these, and batches that delete say how far they are.
        self.put_anyway(self.mdbx.tables.meta, &key.key())?;
        self.batch.metas.insert(key, self.row.clone());
        Ok(())
    }

    fn delete_meta(&mut self, key: MetaKey) -> Result<bool, IndexError> {
        self.delete(self.mdbx.tables.meta, &key.key())
    }

    fn commit(&mut self, sync: bool) -> Result<(), IndexError> {
        if let Some(error) = self.broken.clone() {
            self.rollback();
            return Err(error);
        }
        self.batch.end();
        let transaction = self.transaction.take();
        if self.is_poisoned {
            return Err(IndexError::Poisoned);
        }
        if let Some(transaction) = transaction {
            self.is_synced = false;
            transaction.commit().map_err(|error| {
                let error = write_error(error, "commit of the index");
                // Out of room before the new root was written: the old one stands. It has not what was published.
                self.is_poisoned = error != IndexError::Full || self.mdbx.recent.len() > 0;
                if self.is_poisoned && error == IndexError::Full {
                    IndexError::Poisoned
                } else {
                    error
                }
            })?;
            self.mdbx.recent.clear();
            self.recent_metas.clear();
        }
        if sync { self.sync() } else { Ok(()) }
    }

    fn publish(&mut self) -> Result<(), IndexError> {
        let count = self.mdbx.recent.len() + self.batch.blocks.len();
        let is_sound = self.broken.is_none() && !self.is_poisoned;
        let may_stay = is_sound && !self.batch.has_others && count <= RECENT_MAX;
        if !may_stay || !self.has_ample_room() {
            return self.commit(false);
        }
        self.mdbx.recent.add(&self.batch.blocks);
        self.recent_metas.append(&mut self.batch.metas);
        self.batch.end();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), IndexError> {
        if self.is_poisoned {
            return Err(IndexError::Poisoned);
        }
        if self.batch.is_open {
            return Err(IndexError::Limit("there is no sync within a batch"));
        }
        // What is published.
        self.commit(false)?;
        if self.is_synced {
            return Ok(());
        }
        if self.flusher.as_ref().is_some_and(Flusher::has_failed) {
            self.is_poisoned = true;
            return Err(IndexError::System {
                code: EIO,
                action: "writing the index",
            });
        }
        self.mdbx.environment.sync(true).map_err(|error| {
            self.is_poisoned = true;
            mdbx_error(error, "sync of the index")
        })?;
        self.is_synced = true;
        Ok(())
    }

    fn begin_flush(&mut self) {
        if self.flusher.is_none() {
            // Without a thread to spare there is no flush, and a sync takes longer.
            self.flusher = Flusher::start(Arc::clone(&self.mdbx.file)).ok();
        }
        if let Some(flusher) = &self.flusher {
            flusher.begin();
        }
    }

    fn rollback(&mut self) {
        self.broken = None;
        self.batch.end();
        self.transaction = None;
        // What was published was in the same transaction.
        if self.mdbx.recent.len() > 0 && !self.is_poisoned {
            self.is_poisoned = self.restore().is_err();
            self.batch.end();
        }
    }

    fn scan_from(
        &mut self,
        from: &Hash,
        count_max: u64,
        each: EachBlock<'_>,
    ) -> Result<Option<Hash>, IndexError> {
        if *from == Hash::MIN && count_max == u64::MAX {
            let IndexSpace { used_to, .. } = self.mdbx.space()?;
            medium::read_ahead(&self.mdbx.file, used_to.min(READ_AHEAD_MAX));
        }
        scan_blocks(count_max, each, |each| {
            self.walk(self.mdbx.tables.blocks, from.as_bytes(), each)
        })
    }

    fn scan_references(
        &mut self,
        from: &[u8],
        count_max: u64,
        each: EachReference<'_>,
    ) -> Result<Option<Vec<u8>>, IndexError> {
        row::check_place(from)?;
        let (mut count, mut next) = (0, None);
        self.walk(self.mdbx.tables.references, from, &mut |key, row| {
            if count == count_max {
                next = Some(key.to_vec());
                return Ok(false);
            }
            count += 1;
            each(row::decode_reference(key, row)).map(|()| true)
        })?;
        Ok(next)
    }

    fn reader(&self) -> Result<Box<dyn IndexReader>, IndexError> {
        self.mdbx.reader()
    }
}

fn to_size(bytes: u64) -> Result<usize, IndexError> {
    usize::try_from(bytes)
        .map_err(|_| IndexError::Limit("this machine cannot address a map of that size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_uses_up_the_map_is_refused_for_want_of_room() {
        let directory = tempfile::tempdir().expect("a place for files");
        let options = MdbxOptions {
            map_size_max: 4 << 20,
            growth_step: 64 << 10,
            reserve_size: 64 << 10,
            readers_max: 8,
        };
        let index = Mdbx::open(&directory.path().join("index"), options);
        let mut index = index.expect("a new one").writer();
        index.row = vec![7; 1000];
        let table = index.mdbx.tables.references;
        let put = |n: u32| index.put_anyway(table, &n.to_be_bytes());
        let refused = (0..10_000).map(put).find_map(Result::err);
        assert_eq!(refused, Some(IndexError::Full));
        assert_eq!(index.commit(true), Err(IndexError::Full));
        index.rollback();
        index.put_meta(MetaKey::Superblock, &[1]).expect("room");
        assert_eq!(index.commit(true), Ok(()));
    }

    #[test]
    fn a_batch_that_breaks_leaves_what_is_published_and_a_commit_that_fails_poisons() {
        let directory = tempfile::tempdir().expect("a place for files");
        let options = MdbxOptions {
            map_size_max: 20 << 20,
            growth_step: 64 << 10,
            reserve_size: 64 << 10,
            readers_max: 8,
        };
        let index = Mdbx::open(&directory.path().join("index"), options);
        let mut index = index.expect("a new one").writer();
        let (hash, record) = (Hash::of(b"content"), Record::blank());
        index.put_block(&hash, &record).expect("room");
        index.publish().expect("no fault");
        let use_up = |index: &mut MdbxIndex| {
            index.row = vec![7; 1000];
            let table = index.mdbx.tables.references;
            let mut put = |n: u32| index.put_anyway(table, &n.to_be_bytes());
            let refused = (0..100_000).map(&mut put).find_map(Result::err);
            assert_eq!(refused, Some(IndexError::Full));
        };
        use_up(&mut index);
        assert_eq!(index.commit(false), Err(IndexError::Full));
        assert_eq!(index.mdbx.recent.len(), 1, "not committed either");
        index.put_meta(MetaKey::Journal, &[1]).expect("room");
        index.publish().expect("no fault");
        use_up(&mut index);
        // As if nobody had noticed before.
        index.broken = None;
        assert!(index.commit(false).is_err());
        assert_eq!(index.sync(), Err(IndexError::Poisoned));
        assert_eq!(index.block(&hash), Ok(Some(record.clone())));
        let mut read = Record::blank();
        let mut reader = index.reader().expect("room for a reader");
        assert_eq!((reader.block(&hash, &mut read), read), (Ok(true), record));
    }

    #[test]
    fn so_many_blocks_stay_in_memory_and_the_next_one_takes_all_to_the_tree() {
        let directory = tempfile::tempdir().expect("a place for files");
        let index = Mdbx::open(&directory.path().join("index"), MdbxOptions::default());
        let mut index = index.expect("a new one").writer();
        for n in 0..=RECENT_MAX {
            assert_eq!(index.mdbx.recent.len(), n);
            let hash = Hash::of(&n.to_le_bytes());
            index.put_block(&hash, &Record::blank()).expect("room");
            index.publish().expect("no fault");
        }
        assert_eq!(index.mdbx.recent.len(), 0);
        assert_eq!(index.scan(&mut |_, _| Ok(())), Ok(RECENT_MAX as u64 + 1));
    }

    #[test]
    fn what_the_flush_could_not_write_fails_the_next_sync_and_every_one_after_it() {
        let directory = tempfile::tempdir().expect("a place for files");
        let path = directory.path().join("index");
        let index = Mdbx::open(&path, MdbxOptions::default()).expect("a new one");
        let mut index = index.writer();
        index.put_meta(MetaKey::Superblock, &[1]).expect("room");
        index.commit(false).expect("no fault");
        // Syncing what has no medium fails.
        let device = Arc::new(File::open("/dev/null").expect("a device"));
        index.flusher = Some(Flusher::start(device).expect("a thread"));
        index.begin_flush();
        while !index.flusher.as_ref().is_some_and(Flusher::has_failed) {
            std::thread::yield_now();
        }
        let failed = index.sync();
        assert!(matches!(failed, Err(IndexError::System { code: EIO, .. })));
        assert_eq!(index.sync(), Err(IndexError::Poisoned));
        assert_eq!(index.commit(true), Err(IndexError::Poisoned));
    }
}
