//! Paged storage by key.
//!
//! Must not know what it stores, nor why an entry comes or goes.
//!
//! ```text
//! pages ─▶ [ 0..256 ] [ 256..512 ] ...     one allocation each, when the first key in it is needed
//!             │  each entry: Occupied { generation, value } | Vacant { generation, next }
//! free ───────┴─▶ vacant ─▶ vacant ─▶ none     last freed, first reused: warm in the cache
//! ```
//!
//! Invariants: an entry never moves while it lives; a key finds its entry exactly while it lives (a
//! slot would have to be reused 2³² − 1 times under a kept key to be mistaken); `len` is the number of
//! occupied entries; every vacant entry is on the free list once.
//!
//! Limits: the limit is at most 2³² − 1 entries. An entry costs at most 8 bytes over a `T` of 4 bytes
//! or more and of alignment up to 8, less where `T` has a niche. Growing costs one page of 256 entries,
//! never a copy of what is there. Pages are kept until the slab is dropped.

use crate::{Full, Key};
use std::slice;

const PAGE_BITS: u32 = 8;
const PAGE_LEN: usize = 1 << PAGE_BITS;
const NONE: u32 = u32::MAX;
const GENERATION_FIRST: u32 = 1;

enum Entry<T> {
    Occupied {
        generation: u32,
        value: T,
    },
    /// `generation` is that of the next occupant.
    Vacant {
        generation: u32,
        next: u32,
    },
}

type Page<T> = Box<[Entry<T>; PAGE_LEN]>;

/// Up to `limit` values, found by [`Key`] in constant time.
///
/// ```
/// use hioload_base::Slab;
///
/// let mut slab = Slab::with_limit(1000);
/// let key = slab.insert("hello").expect("room for a thousand");
/// assert_eq!(slab.get(key), Some(&"hello"));
/// assert_eq!(slab.remove(key), Some("hello"));
/// assert_eq!(slab.get(key), None);
/// ```
pub struct Slab<T> {
    pages: Vec<Page<T>>,
    free: u32,
    len: u32,
    limit: u32,
}

impl<T> Slab<T> {
    /// An empty slab that holds at most `max` entries. Allocates nothing yet.
    ///
    /// # Panics
    /// When `max` is more than 2³² − 1: an index has 32 bits, and the last value means "none".
    pub fn with_limit(max: usize) -> Slab<T> {
        let limit = u32::try_from(max).expect("a slab holds at most 2^32 - 1 entries");
        Slab {
            pages: Vec::new(),
            free: NONE,
            len: 0,
            limit,
        }
    }

    /// Stores `value` and names it.
    ///
    /// # Errors
    /// [`Full`] with the value when `limit` entries are inside.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<Key, Full<T>> {
        if self.len == self.limit {
            return Err(Full(value));
        }
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let entry = self
            .entry_mut(index)
            .expect("invariant: the free list stays within the pages");
        let &mut Entry::Vacant { generation, next } = entry else {
            unreachable!("invariant: entries on the free list are vacant");
        };
        *entry = Entry::Occupied { generation, value };
        self.free = next;
        self.len += 1;
        Ok(Key::new(index, generation))
    }

    /// The key the next [`Slab::insert`] gives, `None` at the limit: for values that hold their own key.
    pub fn vacant_key(&self) -> Option<Key> {
        if self.len == self.limit {
            return None;
        }
        match self.entry(self.free) {
            Some(&Entry::Vacant { generation, .. }) => Some(Key::new(self.free, generation)),
            // Nothing is free: the next page starts with this one.
            _ => Some(Key::new(self.slot_count(), GENERATION_FIRST)),
        }
    }

    /// Takes the entry out; its key is stale from here on.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let free = self.free;
        let entry = self.entry_mut(key.index())?;
        match entry {
            Entry::Occupied { generation, .. } if *generation == key.generation() => {}
            _ => return None,
        }
        // Zero is left out: no key has it, so its 64 bits are free to mean "nobody".
        let generation = key.generation().checked_add(1).unwrap_or(GENERATION_FIRST);
        let vacant = Entry::Vacant {
            generation,
            next: free,
        };
        let Entry::Occupied { value, .. } = std::mem::replace(entry, vacant) else {
            unreachable!("invariant: the entry was seen to be occupied");
        };
        self.free = key.index();
        self.len -= 1;
        Some(value)
    }

    /// The entry of this key, `None` when it is gone.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.entry(key.index()) {
            Some(Entry::Occupied { generation, value }) if *generation == key.generation() => {
                Some(value)
            }
            _ => None,
        }
    }

    /// The entry of this key, to be changed; `None` when it is gone.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entry_mut(key.index()) {
            Some(Entry::Occupied { generation, value }) if *generation == key.generation() => {
                Some(value)
            }
            _ => None,
        }
    }

    /// True while the entry of this key lives.
    #[inline]
    pub fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// The key of whoever lives at this index now.
    pub fn key_at(&self, index: u32) -> Option<Key> {
        match self.entry(index) {
            Some(&Entry::Occupied { generation, .. }) => Some(Key::new(index, generation)),
            _ => None,
        }
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// True when there is no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when the next [`Slab::insert`] is refused.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len == self.limit
    }

    /// Most entries it may hold.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Number of slots there is memory for, occupied or not: every index in use is below it, so it is
    /// where a resumable scan with [`Slab::key_at`] ends.
    pub fn slot_count(&self) -> u32 {
        u32::try_from(self.pages.len() << PAGE_BITS).unwrap_or(u32::MAX)
    }

    /// Bytes of one entry, for memory plans.
    pub const fn entry_size() -> usize {
        size_of::<Entry<T>>()
    }

    /// All entries in order of their index.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter {
            pages: self.pages.iter(),
            page: [].iter(),
            index: 0,
            left: self.len,
        }
    }

    /// All entries in order of their index, to be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        IterMut {
            pages: self.pages.iter_mut(),
            page: [].iter_mut(),
            index: 0,
            left: self.len,
        }
    }

    /// The value at `index`, whose generation the caller has no need to check.
    #[inline]
    pub(crate) fn value_at_mut(&mut self, index: u32) -> &mut T {
        match self.entry_mut(index) {
            Some(Entry::Occupied { value, .. }) => value,
            _ => unreachable!("invariant: the index of a linked entry is occupied"),
        }
    }

    #[inline]
    fn entry(&self, index: u32) -> Option<&Entry<T>> {
        let page = self.pages.get((index >> PAGE_BITS) as usize)?;
        Some(&page[index as usize % PAGE_LEN])
    }

    #[inline]
    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry<T>> {
        let page = self.pages.get_mut((index >> PAGE_BITS) as usize)?;
        Some(&mut page[index as usize % PAGE_LEN])
    }

    /// Adds one page and makes it the free list, lowest index first.
    #[cold]
    fn grow(&mut self) {
        let start = self.slot_count();
        let entries: Vec<_> = (0..PAGE_LEN as u32)
            .map(|offset| {
                let is_last = offset + 1 == PAGE_LEN as u32;
                let next = if is_last { NONE } else { start + offset + 1 };
                Entry::Vacant {
                    generation: GENERATION_FIRST,
                    next,
                }
            })
            .collect();
        let Ok(page) = Page::try_from(entries.into_boxed_slice()) else {
            unreachable!("invariant: a page has PAGE_LEN entries");
        };
        self.pages.push(page);
        self.free = start;
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a, T> IntoIterator for &'a Slab<T> {
    type Item = (Key, &'a T);
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Slab<T> {
    type Item = (Key, &'a mut T);
    type IntoIter = IterMut<'a, T>;

    fn into_iter(self) -> IterMut<'a, T> {
        self.iter_mut()
    }
}

/// The entries of a [`Slab`] by reference; see [`Slab::iter`].
pub struct Iter<'a, T> {
    pages: slice::Iter<'a, Page<T>>,
    page: slice::Iter<'a, Entry<T>>,
    index: u32,
    left: u32,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = (Key, &'a T);

    fn next(&mut self) -> Option<(Key, &'a T)> {
        // Counting down saves walking the vacant tail.
        while self.left > 0 {
            let Some(entry) = self.page.next() else {
                self.page = self.pages.next()?.iter();
                continue;
            };
            let index = self.index;
            self.index += 1;
            if let Entry::Occupied { generation, value } = entry {
                self.left -= 1;
                return Some((Key::new(index, *generation), value));
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

/// The entries of a [`Slab`] by mutable reference; see [`Slab::iter_mut`].
pub struct IterMut<'a, T> {
    pages: slice::IterMut<'a, Page<T>>,
    page: slice::IterMut<'a, Entry<T>>,
    index: u32,
    left: u32,
}

impl<'a, T> Iterator for IterMut<'a, T> {
    type Item = (Key, &'a mut T);

    fn next(&mut self) -> Option<(Key, &'a mut T)> {
        while self.left > 0 {
            let Some(entry) = self.page.next() else {
                self.page = self.pages.next()?.iter_mut();
                continue;
            };
            let index = self.index;
            self.index += 1;
            if let Entry::Occupied { generation, value } = entry {
                self.left -= 1;
                return Some((Key::new(index, *generation), value));
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl<T> ExactSizeIterator for IterMut<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_costs_at_most_eight_bytes_more_than_its_value() {
        assert!(Slab::<u32>::entry_size() <= size_of::<u32>() + 8);
        assert!(Slab::<u64>::entry_size() <= size_of::<u64>() + 8);
        assert!(Slab::<[u64; 30]>::entry_size() <= size_of::<[u64; 30]>() + 8);
        assert!(Slab::<String>::entry_size() <= size_of::<String>() + 8);
        assert!(Slab::<Option<Box<u8>>>::entry_size() <= size_of::<Option<Box<u8>>>() + 8);
    }

    #[test]
    fn holds_exactly_its_limit() {
        for limit in [0, 1, 2, 255, 256, 257, 512, 1000] {
            let mut slab = Slab::with_limit(limit);
            let keys: Vec<_> = (0..limit)
                .map(|n| slab.insert(n).expect("below limit"))
                .collect();
            assert_eq!((slab.len(), slab.is_full()), (limit, true));
            assert_eq!(slab.vacant_key(), None);
            assert_eq!(slab.insert(limit), Err(Full(limit)));
            for (n, key) in keys.iter().enumerate() {
                assert_eq!(slab.remove(*key), Some(n));
            }
            assert!(slab.is_empty());
            assert_eq!(slab.pages.len(), limit.div_ceil(PAGE_LEN));
        }
    }

    #[test]
    fn a_limit_beyond_the_index_is_refused() {
        assert_eq!(
            Slab::<u8>::with_limit(u32::MAX as usize).limit(),
            u32::MAX as usize
        );
        let beyond = u32::MAX as usize + 1;
        assert!(std::panic::catch_unwind(|| Slab::<u8>::with_limit(beyond)).is_err());
    }

    #[test]
    fn the_generation_wraps_past_zero() {
        let mut slab = Slab::with_limit(1);
        let first = slab.insert(()).expect("below limit");
        slab.remove(first);
        let Some(Entry::Vacant { generation, .. }) = slab.entry_mut(0) else {
            panic!("the only entry was removed");
        };
        *generation = u32::MAX;
        let last = slab.insert(()).expect("below limit");
        assert_eq!(last.generation(), u32::MAX);
        slab.remove(last);
        assert_eq!(
            slab.insert(()).expect("below limit").generation(),
            GENERATION_FIRST
        );
    }

    #[test]
    fn foreign_keys_find_nothing() {
        let mut slab = Slab::with_limit(10);
        let key = slab.insert('a').expect("below limit");
        for foreign in [
            Key::new(0, 0),
            Key::new(0, key.generation() + 1),
            Key::new(1, GENERATION_FIRST),
            Key::new(256, GENERATION_FIRST),
            Key::new(u32::MAX, u32::MAX),
        ] {
            assert_eq!(slab.get(foreign), None);
            assert_eq!(slab.get_mut(foreign), None);
            assert_eq!(slab.remove(foreign), None);
        }
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn entries_do_not_move_when_the_slab_grows() {
        let mut slab = Slab::with_limit(10_000);
        let key = slab.insert(7u64).expect("below limit");
        let place: *const u64 = slab.get(key).expect("just inserted");
        for n in 0..9_999 {
            slab.insert(n).expect("below limit");
        }
        assert!(std::ptr::eq(place, slab.get(key).expect("still there")));
    }

    #[test]
    fn values_are_dropped_with_the_slab() {
        let item = std::rc::Rc::new(());
        let mut slab = Slab::with_limit(300);
        for _ in 0..300 {
            slab.insert(item.clone()).expect("below limit");
        }
        let key = slab.key_at(299).expect("occupied");
        drop(slab.remove(key));
        assert_eq!(std::rc::Rc::strong_count(&item), 300);
        drop(slab);
        assert_eq!(std::rc::Rc::strong_count(&item), 1);
    }
}
