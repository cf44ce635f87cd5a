//! Rows of blocks that were published and are not in the tree yet: readers ask here first.
//!
//! ```text
//!   publish ─▶ add ─▶ readers find them here, the writer in its transaction
//!                      └─ commit of the transaction ─▶ readers find them in the tree ─▶ clear
//! ```
//!
//! Whoever does not find a row here looks into the tree after that: there it is if it was cleared meanwhile. Must not know
//! transactions. Limit: as many rows as its user adds; it keeps the memory for as many.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::hash::Hash;

/// Rows by the hash of their block.
#[derive(Debug, Default)]
pub(super) struct Rows {
    places: HashMap<Hash, Range<usize>>,
    bytes: Vec<u8>,
}

impl Rows {
    /// A row, in place of the one there was.
    pub(super) fn put(&mut self, hash: &Hash, row: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(row);
        self.places.insert(*hash, start..self.bytes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Hash, &[u8])> {
        let row = |(hash, place): (_, &Range<usize>)| (hash, &self.bytes[place.clone()]);
        self.places.iter().map(row)
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.bytes.clear();
    }
}

/// Rows that the writer adds and all threads read.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// So that nobody takes the lock when there are none.
    count: AtomicUsize,
    rows: RwLock<Rows>,
}

impl Recent {
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Adds rows, in place of those there were.
    pub(super) fn add(&self, added: &Rows) {
        let mut rows = self.write();
        for (hash, row) in added.iter() {
            rows.put(hash, row);
        }
        self.count.store(rows.len(), Ordering::Release);
    }

    pub(super) fn clear(&self) {
        if self.len() > 0 {
            self.write().clear();
            self.count.store(0, Ordering::Release);
        }
    }

    /// Calls `read` with the row of a block, if it is here.
    pub(super) fn with_row<T>(&self, hash: &Hash, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        let rows = self.read();
        let place = rows.places.get(hash)?;
        Some(read(&rows.bytes[place.clone()]))
    }

    /// At most `count_max` rows from a hash on, in the order of hashes.
    pub(super) fn from(&self, from: &Hash, count_max: u64) -> Vec<(Hash, Vec<u8>)> {
        if self.len() == 0 {
            return Vec::new();
        }
        let rows = self.read();
        let mut later: Vec<_> = rows.iter().filter(|(hash, _)| *hash >= from).collect();
        later.sort_unstable_by_key(|(hash, _)| *hash);
        later.truncate(usize::try_from(count_max).unwrap_or(usize::MAX));
        let copy = |(hash, row): (&Hash, &[u8])| (*hash, row.to_vec());
        later.into_iter().map(copy).collect()
    }

    /// All of it, while nobody adds.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Rows> {
        // Nothing in here panics halfway.
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(first: u8) -> Hash {
        let mut bytes = [7; 32];
        bytes[0] = first;
        Hash::from_bytes(bytes)
    }

    fn row(recent: &Recent, first: u8) -> Option<Vec<u8>> {
        recent.with_row(&hash(first), <[u8]>::to_vec)
    }

    #[test]
    fn the_last_row_of_a_block_is_found_until_all_are_cleared() {
        let recent = Recent::default();
        let mut rows = Rows::default();
        assert_eq!((recent.len(), row(&recent, 1)), (0, None));
        rows.put(&hash(2), b"two");
        rows.put(&hash(1), b"one");
        recent.add(&rows);
        rows.clear();
        assert_eq!(rows.iter().count(), 0);
        rows.put(&hash(2), b"second");
        recent.add(&rows);
        assert_eq!(recent.len(), 2);
        assert_eq!(row(&recent, 1).as_deref(), Some(&b"one"[..]));
        assert_eq!(row(&recent, 2).as_deref(), Some(&b"second"[..]));
        assert_eq!(row(&recent, 3), None);
        recent.clear();
        assert_eq!((recent.len(), row(&recent, 2)), (0, None));
    }

    #[test]
    fn rows_are_listed_in_order_from_a_hash_on() {
        let recent = Recent::default();
        let mut rows = Rows::default();
        for first in [9, 3, 7, 5] {
            rows.put(&hash(first), &[first]);
        }
        recent.add(&rows);
        let listed = |from, count_max| -> Vec<u8> {
            let rows = recent.from(&hash(from), count_max);
            rows.into_iter().map(|(_, row)| row[0]).collect()
        };
        assert_eq!(listed(5, u64::MAX), [5, 7, 9]);
        assert_eq!(listed(0, 2), [3, 5]);
        assert!(listed(10, 2).is_empty());
    }
}
