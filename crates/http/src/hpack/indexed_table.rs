//! A dynamic table whose entries can be found by name and by value: the sending end's.
//!
//! Entries are known by number: how many were inserted before, modulo 2^32.
//!
//! Invariant: each entry can be found by its name and value, and the newest of each name by its name;
//! nothing else can be found.

use super::dynamic_table::DynamicTable;
use super::field::size_of_field;
use super::lookup::{Hash, Index};
use super::static_table;

/// The table and both ways into it.
#[derive(Debug)]
pub(super) struct IndexedTable {
    table: DynamicTable,
    by_name: Index,
    by_field: Index,
    /// Entries ever inserted: the number of the next one.
    inserted: u32,
}

impl IndexedTable {
    /// An empty table, of at most `ENCODER_TABLE_SIZE_MAX` bytes.
    pub(super) fn new(size_max: u32) -> IndexedTable {
        IndexedTable {
            table: DynamicTable::new(size_max),
            by_name: Index::default(),
            by_field: Index::default(),
            inserted: 0,
        }
    }

    /// Bytes all entries may count for.
    pub(super) fn size_max(&self) -> usize {
        self.table.size_max()
    }

    /// RFC 7541 4.3: what does not fit any more is evicted.
    pub(super) fn set_size_max(&mut self, size_max: u32) {
        self.evict_down_to(size_max as usize);
        self.table.set_size_max(size_max);
    }

    /// The index, in blocks, of the newest entry with this name.
    pub(super) fn find_name(&self, of_name: Hash, name: &[u8]) -> Option<u32> {
        let number = self
            .by_name
            .find(of_name, |number| self.has_name(number, name))?;
        Some(self.index_of(number))
    }

    /// The index, in blocks, of this field.
    pub(super) fn find_field(&self, of_field: Hash, name: &[u8], value: &[u8]) -> Option<u32> {
        let is_it = |number| self.entry(number) == Some((name, value));
        let number = self.by_field.find(of_field, is_it)?;
        Some(self.index_of(number))
    }

    /// Inserts a field that fits and is not there yet.
    pub(super) fn insert(&mut self, of_name: Hash, name: &[u8], of_field: Hash, value: &[u8]) {
        let size = size_of_field(name, value);
        self.evict_down_to(self.table.size_max().saturating_sub(size));
        let number = self.inserted;
        let newest = self
            .by_name
            .find(of_name, |number| self.has_name(number, name));
        self.table.insert(name, value);
        self.inserted = number.wrapping_add(1);
        match newest {
            Some(newest) => self.by_name.replace(of_name, newest, number),
            None => self.by_name.insert(of_name, number),
        }
        self.by_field.insert(of_field, number);
    }

    fn evict_down_to(&mut self, size: usize) {
        while self.table.size() > size {
            let oldest = self.table.len() - 1;
            let number = self.inserted.wrapping_sub(self.table.len() as u32);
            if let Some((name, value)) = self.table.entry(oldest) {
                let of_name = Hash::of_name(name);
                self.by_name.remove(of_name, number);
                self.by_field.remove(Hash::of_field(of_name, value), number);
            }
            self.table.evict();
        }
    }

    fn has_name(&self, number: u32, name: &[u8]) -> bool {
        self.entry(number).is_some_and(|(found, _)| found == name)
    }

    /// The entry with this number.
    fn entry(&self, number: u32) -> Option<(&[u8], &[u8])> {
        let newer = self.inserted.wrapping_sub(number).wrapping_sub(1);
        self.table.entry(newer as usize)
    }

    /// RFC 7541 2.3.3: behind the static table, the newest first.
    fn index_of(&self, number: u32) -> u32 {
        self.inserted.wrapping_sub(number) + static_table::LEN
    }

    /// The table alone.
    #[cfg(test)]
    pub(super) fn table(&self) -> &DynamicTable {
        &self.table
    }

    /// Lets the next entry have this number.
    #[cfg(test)]
    pub(super) fn set_inserted(&mut self, inserted: u32) {
        assert_eq!(self.table.len(), 0);
        self.inserted = inserted;
    }
}
