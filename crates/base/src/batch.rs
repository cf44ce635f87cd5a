//! A group of items of fixed capacity, handed on and split without allocating.

/// At most `capacity` items in order.
///
/// ```
/// use hioload_base::Batch;
///
/// let mut batch = Batch::with_capacity(3);
/// assert_eq!(batch.try_push(1), Ok(()));
/// assert_eq!(batch.try_push(2), Ok(()));
/// let (head, tail) = batch.split_at(1);
/// assert_eq!((head, tail), (&[1][..], &[2][..]));
/// assert_eq!(batch.try_push(3), Ok(()));
/// assert_eq!(batch.try_push(4), Err(4), "full");
/// assert_eq!(batch.drain().sum::<i32>(), 6);
/// ```
#[derive(Clone, Debug)]
pub struct Batch<T> {
    items: Vec<T>,
    capacity: usize,
}

impl<T> Batch<T> {
    /// An empty batch; the only allocation it makes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { items: Vec::with_capacity(capacity), capacity }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// The item, when the batch is full.
    pub fn try_push(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        self.items.push(item);
        Ok(())
    }

    /// Items now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True without items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// True when no more fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items.len() >= self.capacity
    }

    /// Items at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// All items.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }

    /// The first `mid` items (at most all) and the others.
    #[must_use]
    pub fn split_at(&self, mid: usize) -> (&[T], &[T]) {
        self.items.split_at(mid.min(self.items.len()))
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }

    /// Takes all items out, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, T> {
        self.items.drain(..)
    }

    /// Drops all items.
    pub fn clear(&mut self) {
        self.items.clear();
    }
}
