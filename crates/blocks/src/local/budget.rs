//! Bytes that may be in use for one purpose.
//!
//! Must not know the purpose. Invariant: what is used exceeds the bound at most by the last taker.

/// A bound on bytes.
#[derive(Debug)]
pub(super) struct Budget {
    used: usize,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Budget {
        Budget { used: 0, max }
    }

    /// Counts `bytes` as used if they fit. What alone exceeds the whole budget fits when nothing else is used: it could
    /// never be served otherwise.
    pub(super) fn try_take(&mut self, bytes: usize) -> bool {
        let fits = self.used + bytes <= self.max || self.used == 0;
        if fits {
            self.used += bytes;
        }
        fits
    }

    /// With `bytes` more, half of it would still be free.
    pub(super) fn is_ample_for(&self, bytes: usize) -> bool {
        self.used + bytes <= self.max / 2
    }

    /// Counts `bytes` that are in use already, whether they fit or not.
    pub(super) fn take_more(&mut self, bytes: usize) {
        self.used += bytes;
    }

    /// # Panics
    /// When more comes back than was taken.
    pub(super) fn give(&mut self, bytes: usize) {
        assert!(bytes <= self.used, "invariant: bytes are given back once");
        self.used -= bytes;
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_up_to_its_limit() {
        let mut budget = Budget::new(10);
        assert!(budget.try_take(0));
        assert!(budget.try_take(1));
        assert!(budget.try_take(9));
        assert!(!budget.try_take(1));
        budget.give(1);
        assert!(!budget.try_take(2));
        assert!(budget.try_take(1));
        budget.give(10);
        assert!(budget.try_take(11), "what alone is too much goes alone");
        assert!(!budget.try_take(1));
        assert_eq!(budget.used(), 11);
    }

    #[test]
    #[should_panic(expected = "given back once")]
    fn more_than_was_taken_is_a_bug() {
        Budget::new(10).give(1);
    }
}
