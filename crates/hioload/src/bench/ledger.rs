//! The proof of one subscriber: which publications came, which did not, which came twice or late.
//!
//! Invariant: `expected` is one past the highest sequence number seen; `lost` counts the numbers
//! below it, from the first one seen on, that never came. Gaps older than the last [`GAPS_MAX`] are
//! forgotten: a latecomer from there is counted as a duplicate and stays lost.

use std::ops::Range;

/// Gaps remembered per subscriber, to tell a latecomer from a duplicate.
const GAPS_MAX: usize = 64;

/// What a subscriber received of one publisher.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The next sequence number due; `None` until the first publication came.
    expected: Option<u64>,
    faults: Option<Box<Faults>>,
}

/// What few ledgers have.
#[derive(Debug, Default)]
struct Faults {
    gaps: Vec<Range<u64>>,
    lost: u64,
    duplicated: u64,
    reordered: u64,
}

impl Ledger {
    /// Takes the number of a publication that came.
    #[inline]
    pub(super) fn take(&mut self, sequence: u64) {
        match self.expected {
            Some(expected) if expected != sequence => self.take_fault(expected, sequence),
            _ => self.expected = Some(sequence + 1),
        }
    }

    #[cold]
    fn take_fault(&mut self, expected: u64, sequence: u64) {
        let faults = self.faults.get_or_insert_default();
        if sequence > expected {
            faults.lost += sequence - expected;
            if faults.gaps.len() == GAPS_MAX {
                faults.gaps.remove(0);
            }
            faults.gaps.push(expected..sequence);
            self.expected = Some(sequence + 1);
            return;
        }
        let Some(index) = faults.gaps.iter().position(|gap| gap.contains(&sequence)) else {
            faults.duplicated += 1;
            return;
        };
        faults.reordered += 1;
        faults.lost -= 1;
        let gap = faults.gaps.remove(index);
        let rest = [gap.start..sequence, sequence + 1..gap.end];
        faults
            .gaps
            .extend(rest.into_iter().filter(|gap| !gap.is_empty()));
    }

    /// Whether a publication came at all.
    pub(super) fn is_begun(&self) -> bool {
        self.expected.is_some()
    }

    /// Publications below `end` that the subscriber has not seen the end of yet.
    pub(super) fn missing_until(&self, end: u64) -> u64 {
        self.expected
            .map_or(0, |expected| end.saturating_sub(expected))
    }

    /// Publications that never came though later ones did.
    pub(super) fn lost(&self) -> u64 {
        self.faults.as_ref().map_or(0, |faults| faults.lost)
    }

    /// Publications that came more than once.
    pub(super) fn duplicated(&self) -> u64 {
        self.faults.as_ref().map_or(0, |faults| faults.duplicated)
    }

    /// Publications that came after a later one.
    pub(super) fn reordered(&self) -> u64 {
        self.faults.as_ref().map_or(0, |faults| faults.reordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_base::Prng;

    fn ledger(sequence: impl IntoIterator<Item = u64>) -> (u64, u64, u64) {
        let mut ledger = Ledger::default();
        sequence.into_iter().for_each(|number| ledger.take(number));
        (ledger.lost(), ledger.duplicated(), ledger.reordered())
    }

    #[test]
    fn an_unbroken_row_has_no_faults_wherever_it_starts() {
        assert_eq!(ledger([]), (0, 0, 0));
        assert_eq!(ledger(0..10), (0, 0, 0));
        assert_eq!(ledger(700..800), (0, 0, 0));
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        assert_eq!(ledger([1, 2, 5, 6]), (2, 0, 0));
        assert_eq!(ledger([1, 2, 2, 3]), (0, 1, 0));
        assert_eq!(ledger([1, 3, 2, 4]), (0, 0, 1));
        assert_eq!(ledger([1, 5, 3, 3, 6]), (2, 1, 1));
        assert_eq!(ledger([5, 4, 6]), (0, 1, 0), "before the first: not owed");
    }

    #[test]
    fn missing_counts_up_to_the_end_only() {
        let mut ledger = Ledger::default();
        assert!(!ledger.is_begun());
        assert_eq!(
            ledger.missing_until(5),
            0,
            "not subscribed yet: nothing owed"
        );
        ledger.take(2);
        assert!(ledger.is_begun());
        assert_eq!(ledger.missing_until(3), 0);
        assert_eq!(ledger.missing_until(5), 2);
    }

    #[test]
    fn agrees_with_a_set_of_numbers() {
        let mut random = Prng::new(11);
        for _ in 0..200 {
            let mut ledger = Ledger::default();
            let mut seen = std::collections::BTreeSet::new();
            let (mut high, mut twice) = (0, 0);
            ledger.take(0);
            seen.insert(0);
            for _ in 0..60 {
                let number = (high + random.below(4)).saturating_sub(random.below(3));
                twice += u64::from(!seen.insert(number));
                high = high.max(number);
                ledger.take(number);
            }
            assert_eq!(ledger.lost(), high + 1 - seen.len() as u64);
            assert_eq!(ledger.duplicated(), twice);
        }
    }
}
