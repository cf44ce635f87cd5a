//! Memory shared by all channel logs of one worker.
//!
//! Each log has a budget of its own; this one caps their sum on a worker, beside whatever else the
//! worker's pool serves. The total over the machine is the sum over its workers: nothing is shared
//! between threads to count it.

use std::cell::Cell;
use std::rc::Rc;

/// A number of bytes which the owners of one worker draw from. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Rc<State>);

#[derive(Debug)]
struct State {
    max: Cell<usize>,
    used: Cell<usize>,
}

impl Budget {
    /// A budget of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Budget {
        Budget(Rc::new(State {
            max: Cell::new(max),
            used: Cell::new(0),
        }))
    }

    /// A budget which is never spent.
    #[must_use]
    pub fn unlimited() -> Budget {
        Budget::new(usize::MAX)
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    /// Bytes that may be in use.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max.get()
    }

    /// Changes the limit. What is in use stays in use: a lower limit takes effect as logs shrink.
    pub fn set_max(&self, max: usize) {
        self.0.max.set(max);
    }

    pub(crate) fn has_room(&self, size: usize) -> bool {
        self.used()
            .checked_add(size)
            .is_some_and(|sum| sum <= self.max())
    }

    pub(crate) fn take(&self, size: usize) {
        self.0.used.set(self.used() + size);
    }

    pub(crate) fn give_back(&self, size: usize) {
        self.0.used.set(self.used() - size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_at_the_limit() {
        let budget = Budget::new(10);
        assert!(budget.has_room(0) && budget.has_room(10));
        assert!(!budget.has_room(11) && !budget.has_room(usize::MAX));
        budget.take(10);
        assert!(budget.has_room(0) && !budget.has_room(1));
        budget.set_max(5);
        assert!(!budget.has_room(0));
        budget.give_back(6);
        assert!(budget.has_room(1) && !budget.has_room(2));
    }
}
