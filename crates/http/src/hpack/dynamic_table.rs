//! The dynamic table (RFC 7541 2.3.2, 4): what was sent lately, the oldest going first.
//!
//! ```text
//!   arena  │ evicted │ oldest ▸ name value │ name value │ … newest │ room │
//!          base      start of the oldest
//! ```
//!
//! Entries lie one behind the other in one piece of memory; when there is no more room behind the
//! newest, all move to the front.
//!
//! Invariants: the sizes of all entries, each with its overhead of 32, add up to `size <= size_max`; the
//! arena takes at most twice `size_max`, and moving costs at most one byte for each byte inserted,
//! besides growing.

use std::collections::VecDeque;

use super::field::size_of_field;

/// Bytes of an arena when something is first put in.
const ARENA_SIZE_MIN: usize = 256;

/// One table, of either side.
#[derive(Debug)]
pub(super) struct DynamicTable {
    entries: VecDeque<Entry>,
    arena: Vec<u8>,
    /// Where the arena begins among all bytes ever inserted.
    base: u64,
    size: usize,
    size_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where it begins among all bytes ever inserted.
    start: u64,
    name_size: u32,
    value_size: u32,
}

impl Entry {
    fn len(self) -> usize {
        self.name_size as usize + self.value_size as usize
    }

    fn size(self) -> usize {
        self.len() + 32
    }
}

impl DynamicTable {
    /// An empty table; it takes memory once something is inserted.
    pub(super) fn new(size_max: u32) -> DynamicTable {
        DynamicTable {
            entries: VecDeque::new(),
            arena: Vec::new(),
            base: 0,
            size: 0,
            size_max: size_max as usize,
        }
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes all entries count for.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes all entries may count for.
    pub(super) fn size_max(&self) -> usize {
        self.size_max
    }

    /// The entry that `place` others were inserted after.
    pub(super) fn entry(&self, place: usize) -> Option<(&[u8], &[u8])> {
        let from_oldest = self.entries.len().checked_sub(place)?.checked_sub(1)?;
        let entry = self.entries[from_oldest];
        let start = (entry.start - self.base) as usize;
        Some(self.arena[start..start + entry.len()].split_at(entry.name_size as usize))
    }

    /// Removes the oldest entry.
    pub(super) fn evict(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.size -= entry.size();
        }
    }

    /// RFC 7541 4.3: what does not fit any more is evicted.
    pub(super) fn set_size_max(&mut self, size_max: u32) {
        self.size_max = size_max as usize;
        while self.size > self.size_max {
            self.evict();
        }
    }

    /// RFC 7541 4.4: evicts until there is room; what is larger than the table only empties it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = size_of_field(name, value);
        while self.size + size > self.size_max && !self.entries.is_empty() {
            self.evict();
        }
        if size > self.size_max {
            return;
        }
        self.make_room(name.len() + value.len());
        self.entries.push_back(Entry {
            start: self.base + self.arena.len() as u64,
            name_size: name.len() as u32,
            value_size: value.len() as u32,
        });
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(value);
        self.size += size;
    }

    /// Lets the arena have `len` bytes behind the newest entry.
    fn make_room(&mut self, len: usize) {
        if self.arena.len() + len <= self.arena.capacity() {
            return;
        }
        let end = self.base + self.arena.len() as u64;
        let start = self.entries.front().map_or(end, |oldest| oldest.start);
        let evicted = (start - self.base) as usize;
        let live = self.arena.len() - evicted;
        self.arena.copy_within(evicted.., 0);
        self.arena.truncate(live);
        self.base = start;
        // Half of it stays room, so that moving is paid for by what was inserted since the last time.
        let capacity = ((live + len) * 2).next_power_of_two().max(ARENA_SIZE_MIN);
        let capacity = capacity.min(self.size_max.saturating_mul(2));
        self.arena.reserve_exact(capacity - live);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7541 4 word by word, newest first.
    #[derive(Default)]
    struct Model {
        entries: VecDeque<(Vec<u8>, Vec<u8>)>,
        size_max: usize,
    }

    impl Model {
        fn size(&self) -> usize {
            let sizes = self
                .entries
                .iter()
                .map(|(name, value)| name.len() + value.len() + 32);
            sizes.sum()
        }

        fn set_size_max(&mut self, size_max: usize) {
            self.size_max = size_max;
            while self.size() > size_max {
                self.entries.pop_back();
            }
        }

        fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
            self.entries.push_front((name, value));
            let size_max = self.size_max;
            // The new one goes last of all, and then nothing is left.
            self.set_size_max(size_max);
        }

        fn assert_is(&self, table: &DynamicTable) {
            assert_eq!(table.len(), self.entries.len());
            assert_eq!(table.size(), self.size());
            for (place, (name, value)) in self.entries.iter().enumerate() {
                assert_eq!(table.entry(place), Some((&name[..], &value[..])));
            }
            assert_eq!(table.entry(self.entries.len()), None);
            assert_eq!(table.entry(usize::MAX), None);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize, usize),
        Resize(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let resize = prop_oneof![0..200_u32, Just(0), 3000..4097_u32, Just(4096)];
        prop_oneof![
            20 => (0..40_usize, 0..100_usize).prop_map(|(name, value)| Step::Insert(name, value)),
            1 => (0..3000_usize, 0..3000_usize).prop_map(|(name, value)| Step::Insert(name, value)),
            1 => resize.prop_map(Step::Resize),
        ]
    }

    proptest! {
        #[test]
        fn is_as_the_model(steps in prop::collection::vec(step(), 1..300)) {
            let (mut table, mut model) = (DynamicTable::new(4096), Model::default());
            model.set_size_max(4096);
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(name, value) => {
                        let (name, value) = (vec![number as u8; name], vec![!number as u8; value]);
                        table.insert(&name, &value);
                        model.insert(name, value);
                    }
                    Step::Resize(size_max) => {
                        table.set_size_max(size_max);
                        model.set_size_max(size_max as usize);
                    }
                }
                model.assert_is(&table);
                prop_assert!(table.arena.capacity() <= 2 * 4096);
            }
        }
    }

    #[test]
    fn fits_exactly_or_not_at_all() {
        let mut table = DynamicTable::new(64 + 7);
        table.insert(b"abc", b"");
        table.insert(b"", b"defg");
        assert_eq!((table.len(), table.size()), (2, 71));
        table.insert(b"", b"");
        assert_eq!((table.len(), table.size()), (2, 68));
        // As large as the table, and a byte more.
        table.insert(b"", &[b'x'; 39]);
        assert_eq!((table.len(), table.size()), (1, 71));
        table.insert(b"", &[b'x'; 40]);
        assert_eq!((table.len(), table.size()), (0, 0));
        assert_eq!(table.entry(0), None);
    }

    #[test]
    fn no_size_no_memory() {
        let mut table = DynamicTable::new(0);
        table.insert(b"", b"");
        table.insert(b"name", b"value");
        assert_eq!((table.len(), table.arena.capacity()), (0, 0));
    }

    /// What stays, and stays in place, takes no memory anew.
    #[test]
    fn the_arena_is_used_again() {
        let mut table = DynamicTable::new(4096);
        let value = [b'v'; 60];
        for _ in 0..1000 {
            table.insert(b"name", &value);
        }
        let place = table.arena.as_ptr();
        let capacity = table.arena.capacity();
        for _ in 0..10_000 {
            table.insert(b"name", &value);
        }
        assert_eq!(
            (table.arena.as_ptr(), table.arena.capacity()),
            (place, capacity)
        );
        assert_eq!(table.len(), 4096 / 96);
    }
}
