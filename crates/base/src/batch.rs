//! A group of items that travels together, of a capacity fixed at birth.
//!
//! Must not know what the items are. The storage is allocated once: neither filling nor splitting nor
//! draining allocates, so a batch can be reused turn after turn.

use crate::Full;
use std::{slice, vec};

/// At most `capacity` items, in order.
///
/// ```
/// use hioload_base::{Batch, Full};
///
/// let mut batch = Batch::with_capacity(3);
/// for n in 1..=3 {
///     batch.try_push(n).expect("room for three");
/// }
/// assert_eq!(batch.try_push(4), Err(Full(4)));
/// let (head, rest) = batch.split_at(1);
/// assert_eq!((head, rest), (&[1][..], &[2, 3][..]));
/// assert_eq!(batch.drain().sum::<i32>(), 6);
/// assert!(batch.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<T> {
    items: Vec<T>,
    capacity: usize,
}

impl<T> Batch<T> {
    /// An empty batch with storage for `capacity` items.
    pub fn with_capacity(capacity: usize) -> Batch<T> {
        Batch {
            items: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Appends one item.
    ///
    /// # Errors
    /// [`Full`] with the item when `capacity` items are inside.
    #[inline]
    pub fn try_push(&mut self, item: T) -> Result<(), Full<T>> {
        if self.is_full() {
            return Err(Full(item));
        }
        self.items.push(item);
        Ok(())
    }

    /// Number of items inside.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Most items it can hold.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// True when nothing is inside.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// True when the next [`Batch::try_push`] is refused.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.items.len() == self.capacity
    }

    /// All items in order.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }

    /// All items in order, to be changed in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items
    }

    /// The first `middle` items and the others; a `middle` past the end leaves the second part empty.
    #[inline]
    pub fn split_at(&self, middle: usize) -> (&[T], &[T]) {
        self.items.split_at(middle.min(self.items.len()))
    }

    /// The items in order, by reference.
    #[inline]
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.items.iter()
    }

    /// Takes all items out in order; those not taken when the iterator is dropped are dropped too.
    #[inline]
    pub fn drain(&mut self) -> vec::Drain<'_, T> {
        self.items.drain(..)
    }

    /// Drops all items; the storage stays.
    #[inline]
    pub fn clear(&mut self) {
        self.items.clear();
    }
}

impl<'a, T> IntoIterator for &'a Batch<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_exactly_its_capacity() {
        for capacity in [0, 1, 2, 17] {
            let mut batch = Batch::with_capacity(capacity);
            let storage = batch.as_slice().as_ptr();
            for round in 0..3 {
                for n in 0..capacity {
                    assert!(!batch.is_full());
                    batch.try_push((round, n)).expect("below capacity");
                }
                assert!(batch.is_full());
                assert_eq!(batch.try_push((9, 9)), Err(Full((9, 9))));
                assert_eq!((batch.len(), batch.capacity()), (capacity, capacity));
                assert_eq!(batch.drain().count(), capacity);
            }
            assert_eq!(
                batch.as_slice().as_ptr(),
                storage,
                "the storage is allocated once"
            );
        }
    }

    #[test]
    fn splits_at_every_place_and_past_the_end() {
        let mut batch = Batch::with_capacity(4);
        for n in 0..3 {
            batch.try_push(n).expect("below capacity");
        }
        for middle in 0..6 {
            let (head, rest) = batch.split_at(middle);
            assert_eq!(head.len(), middle.min(3));
            assert_eq!([head, rest].concat(), [0, 1, 2]);
        }
    }

    #[test]
    fn clear_drops_the_items() {
        let item = std::rc::Rc::new(());
        let mut batch = Batch::with_capacity(2);
        batch.try_push(item.clone()).expect("below capacity");
        batch.clear();
        assert_eq!(std::rc::Rc::strong_count(&item), 1);
        assert_eq!(batch.iter().count(), 0);
    }
}
