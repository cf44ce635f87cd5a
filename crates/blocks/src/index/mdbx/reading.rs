//! Reading an index on libmdbx: one row, or many in the order of keys, in any transaction.
//!
//! Rows are read in place in the map and trusted no more than any other bytes. Must not know writing.

use std::borrow::Cow;
use std::sync::Arc;

use signet_libmdbx::tx::Tx;
use signet_libmdbx::tx::aliases::RoTxUnsync;
use signet_libmdbx::{Database, Environment, TransactionKind};

use super::Tables;
use super::errors::{mdbx_error, read_error};
use super::recent::Recent;
use crate::hash::Hash;
use crate::index::row::{self, REFERENCE, ReferenceKey};
use crate::index::{EachBlock, IndexError, IndexReader};
use crate::record::Record;

/// A worker's view of an index on libmdbx.
#[derive(Debug)]
pub(super) struct MdbxReader {
    pub(super) environment: Environment,
    pub(super) tables: Tables,
    pub(super) recent: Arc<Recent>,
}

impl MdbxReader {
    fn begin(&self) -> Result<RoTxUnsync, IndexError> {
        self.environment
            .begin_ro_unsync()
            .map_err(|error| mdbx_error(error, "reading the index"))
    }
}

impl IndexReader for MdbxReader {
    fn block(&mut self, hash: &Hash, into: &mut Record) -> Result<bool, IndexError> {
        // In this order: what is cleared there is in the tree before that.
        let recent = self
            .recent
            .with_row(hash, |row| into.decode_into(hash, row));
        if let Some(read) = recent {
            return read.map(|()| true);
        }
        let transaction = self.begin()?;
        let read = with_row(&transaction, self.tables.blocks, hash.as_bytes(), |row| {
            into.decode_into(hash, row)
        });
        Ok(read?.is_some())
    }

    fn reference(
        &mut self,
        hash: &Hash,
        name: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<bool, IndexError> {
        let key = ReferenceKey::new(hash, name)?;
        let transaction = self.begin()?;
        let read = with_row(
            &transaction,
            self.tables.references,
            key.as_slice(),
            |row| {
                let value = row::decode(REFERENCE, key.as_slice(), row)?;
                into.clear();
                into.extend_from_slice(value);
                Ok(())
            },
        );
        Ok(read?.is_some())
    }

    fn references(
        &mut self,
        hash: &Hash,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<u64, IndexError> {
        let transaction = self.begin()?;
        let mut count = 0;
        walk(
            &transaction,
            self.tables.references,
            hash.as_bytes(),
            &mut |key, row| {
                if !key.starts_with(hash.as_bytes()) {
                    return Ok(false);
                }
                let (_, name, value) = row::decode_reference(key, row)?;
                each(name, value);
                count += 1;
                Ok(true)
            },
        )?;
        Ok(count)
    }

    fn scan_from(
        &mut self,
        from: &Hash,
        count_max: u64,
        each: EachBlock<'_>,
    ) -> Result<Option<Hash>, IndexError> {
        let recent = self.recent.from(from, count_max);
        let transaction = self.begin()?;
        scan_blocks(count_max, each, |each| {
            with_recent(recent, each, |each| {
                walk(&transaction, self.tables.blocks, from.as_bytes(), each)
            })
        })
    }
}

/// Calls `each` with what is walked over and the rows of `recent`, in the order of keys; of two with one key the recent one.
fn with_recent(
    recent: Vec<(Hash, Vec<u8>)>,
    each: EachRow<'_>,
    walk: impl FnOnce(EachRow<'_>) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut recent = recent.into_iter().peekable();
    let mut goes_on = true;
    walk(&mut |key, row| {
        while let Some((hash, row)) = recent.next_if(|(hash, _)| hash.as_bytes()[..] < *key) {
            goes_on = each(hash.as_bytes(), &row)?;
            if !goes_on {
                return Ok(false);
            }
        }
        let newer = recent.next_if(|(hash, _)| hash.as_bytes()[..] == *key);
        goes_on = each(key, newer.as_ref().map_or(row, |(_, row)| row))?;
        Ok(goes_on)
    })?;
    for (hash, row) in recent {
        if !goes_on {
            break;
        }
        goes_on = each(hash.as_bytes(), &row)?;
    }
    Ok(())
}

/// What a walk calls with each key and row; false ends it.
pub(super) type EachRow<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<bool, IndexError>;

pub(super) fn scan_blocks(
    count_max: u64,
    each: EachBlock<'_>,
    walk: impl FnOnce(EachRow<'_>) -> Result<(), IndexError>,
) -> Result<Option<Hash>, IndexError> {
    let mut record = Record::blank();
    let (mut count, mut next) = (0, None);
    walk(&mut |key, row| {
        if count == count_max {
            // A key that is no hash was passed over, and is not a place to go on from.
            return Ok(false);
        }
        count += 1;
        if count == count_max {
            next = row::hash_after(key);
        }
        match row::block_key(key).and_then(|hash| record.decode_into(&hash, row).map(|()| hash)) {
            Ok(hash) => each(Ok((&hash, &record)))?,
            Err(error) => each(Err(error))?,
        }
        Ok(true)
    })?;
    Ok(next)
}

/// Calls `read` with the row under `key`, in place in the map.
pub(super) fn with_row<K: TransactionKind, T>(
    transaction: &Tx<K>,
    table: Database,
    key: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, IndexError>,
) -> Result<Option<T>, IndexError> {
    let row = transaction.get::<Cow<'_, [u8]>>(table.dbi(), key);
    let row = row.map_err(|error| read_error(error, "reading the index"))?;
    row.map(|row| read(&row)).transpose()
}

/// Calls `each` with the rows from the key `from` on, or all of them when it is empty.
pub(super) fn walk<K: TransactionKind>(
    transaction: &Tx<K>,
    table: Database,
    from: &[u8],
    each: EachRow<'_>,
) -> Result<(), IndexError> {
    const ACTION: &str = "walking the index";
    let mut cursor = transaction
        .cursor(table)
        .map_err(|error| mdbx_error(error, ACTION))?;
    let first = if from.is_empty() {
        cursor.first::<Cow<'_, [u8]>, Cow<'_, [u8]>>()
    } else {
        cursor.set_range(from)
    };
    let mut row = first.map_err(|error| read_error(error, ACTION))?;
    while let Some((key, value)) = row {
        if !each(&key, &value)? {
            break;
        }
        row = cursor.next().map_err(|error| read_error(error, ACTION))?;
    }
    Ok(())
}
