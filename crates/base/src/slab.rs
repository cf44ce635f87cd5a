//! A table of values with stable places, generations and a limit.
//!
//! Pages of 256 entries are allocated one by one and never moved or freed, so that memory per
//! entry is flat (no doubling) and a full table is an ordinary answer. Overhead: 8 bytes an entry.
//!
//! Invariant: a free slot is in the free list exactly once; its generation is that of the key it
//! will be given out with next.

use std::fmt;

use crate::key::Key;

const PAGE_SIZE: usize = 256;
const PAGE_SHIFT: u32 = PAGE_SIZE.trailing_zeros();
const NONE: u32 = u32::MAX;

/// The table had no room; the value comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table is full")
    }
}

impl<T> std::error::Error for Full<T> {}

enum Entry<T> {
    Vacant { generation: u32, next: u32 },
    Occupied { generation: u32, value: T },
}

/// A table of `T`, addressed by [`Key`].
///
/// ```
/// use hioload_base::Slab;
///
/// let mut slab = Slab::with_limit(2);
/// let a = slab.insert("a")?;
/// slab.insert("b")?;
/// assert!(slab.insert("c").is_err(), "the limit holds");
/// assert_eq!(slab.remove(a), Some("a"));
/// let c = slab.insert("c")?;
/// assert_eq!(c.index(), a.index(), "slots are used again");
/// assert_eq!(slab.get(a), None, "but old keys are stale");
/// # Ok::<(), hioload_base::Full<&str>>(())
/// ```
pub struct Slab<T> {
    pages: Vec<Box<[Entry<T>]>>,
    free: u32,
    len: usize,
    limit: usize,
}

impl<T> Slab<T> {
    /// A table of at most `limit` entries; memory is taken page by page as they come.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { pages: Vec::new(), free: NONE, len: 0, limit: limit.min(NONE as usize) }
    }

    /// Entries now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries at most.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Puts a value in.
    ///
    /// # Errors
    /// The value, when the table is full.
    pub fn insert(&mut self, value: T) -> Result<Key, Full<T>> {
        let Some(key) = self.vacant_key() else { return Err(Full(value)) };
        let entry = self.entry_mut(key.index()).expect("invariant: the free slot exists");
        let Entry::Vacant { next, .. } = *entry else {
            unreachable!("invariant: the free list holds vacant slots only")
        };
        *entry = Entry::Occupied { generation: key.generation(), value };
        self.free = next;
        self.len += 1;
        Ok(key)
    }

    /// The key the next insert will give; `None` when the table is full.
    pub fn vacant_key(&mut self) -> Option<Key> {
        if self.len >= self.limit {
            return None;
        }
        if self.free == NONE {
            self.add_page();
        }
        match self.entry(self.free)? {
            Entry::Vacant { generation, .. } => Some(Key::new(self.free, *generation)),
            Entry::Occupied { .. } => None,
        }
    }

    fn add_page(&mut self) {
        let start = (self.pages.len() * PAGE_SIZE) as u32;
        let last = start + PAGE_SIZE as u32 - 1;
        let vacant = |index| {
            let next = if index == last { NONE } else { index + 1 };
            Entry::Vacant { generation: 0, next }
        };
        self.pages.push((start..=last).map(vacant).collect());
        self.free = start;
    }

    /// Takes a value out; `None` for a stale key.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let free = self.free;
        let entry = self.entry_mut(key.index())?;
        match entry {
            Entry::Occupied { generation, .. } if *generation == key.generation() => {}
            _ => return None,
        }
        let generation = key.generation().wrapping_add(1);
        let old = std::mem::replace(entry, Entry::Vacant { generation, next: free });
        self.free = key.index();
        self.len -= 1;
        match old {
            Entry::Occupied { value, .. } => Some(value),
            Entry::Vacant { .. } => None,
        }
    }

    /// The value, unless the key is stale.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.entry(key.index())? {
            Entry::Occupied { generation, value } if *generation == key.generation() => Some(value),
            _ => None,
        }
    }

    /// The value, unless the key is stale.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entry_mut(key.index())? {
            Entry::Occupied { generation, value } if *generation == key.generation() => Some(value),
            _ => None,
        }
    }

    /// The key of the entry that lives in slot `index` now.
    #[inline]
    #[must_use]
    pub fn key_at(&self, index: u32) -> Option<Key> {
        match self.entry(index)? {
            Entry::Occupied { generation, .. } => Some(Key::new(index, *generation)),
            Entry::Vacant { .. } => None,
        }
    }

    /// Slots ever used: every index is below.
    #[must_use]
    pub fn slot_count(&self) -> u32 {
        (self.pages.len() * PAGE_SIZE) as u32
    }

    /// All entries, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.pages.iter().flat_map(|page| page.iter()).enumerate().filter_map(|(index, entry)| {
            match entry {
                Entry::Occupied { generation, value } => {
                    Some((Key::new(index as u32, *generation), value))
                }
                Entry::Vacant { .. } => None,
            }
        })
    }

    /// All entries, by slot, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        let entries = self.pages.iter_mut().flat_map(|page| page.iter_mut()).enumerate();
        entries.filter_map(|(index, entry)| match entry {
            Entry::Occupied { generation, value } => {
                Some((Key::new(index as u32, *generation), value))
            }
            Entry::Vacant { .. } => None,
        })
    }

    #[inline]
    fn entry(&self, index: u32) -> Option<&Entry<T>> {
        let page = self.pages.get((index >> PAGE_SHIFT) as usize)?;
        Some(&page[index as usize % PAGE_SIZE])
    }

    #[inline]
    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry<T>> {
        let page = self.pages.get_mut((index >> PAGE_SHIFT) as usize)?;
        Some(&mut page[index as usize % PAGE_SIZE])
    }
}

impl<T> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slab({} of {})", self.len, self.limit)
    }
}
