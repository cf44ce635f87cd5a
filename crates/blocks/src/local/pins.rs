//! Which epochs of freed blocks this worker's reads may still hold.
//!
//! ```text
//!   Retire(7) ─▶ the reads in flight now are the old ones ── the last of them ends ─▶ Retired(7)
//!                reads that begin later look at an index that does not have the freed blocks any more
//! ```
//!
//! Must not know what is read. Limits: one epoch is waited for at a time, the newest that came meanwhile is next: two counters
//! and two numbers, whatever the number of reads.

/// Held by a read while it may touch the data file; says on which side of the last epoch it began.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pin(bool);

#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Reads in flight by side.
    counts: [u32; 2],
    /// The side reads begin on now.
    side: bool,
    /// The epoch that the reads of the other side hold up.
    pending: Option<u64>,
    /// The newest that came meanwhile.
    next: Option<u64>,
}

impl Pins {
    pub(super) fn pin(&mut self) -> Pin {
        self.counts[usize::from(self.side)] += 1;
        Pin(self.side)
    }

    /// Ends a read. Returns an epoch that no read holds any more.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a pin is given back once: this is where it ends"
    )]
    pub(super) fn unpin(&mut self, pin: Pin) -> Option<u64> {
        let Pin(side) = pin;
        let count = &mut self.counts[usize::from(side)];
        *count = count
            .checked_sub(1)
            .expect("invariant: a pin is given back once");
        self.settle()
    }

    /// Freed blocks of this epoch wait. Returns an epoch that no read holds any more.
    #[must_use]
    pub(super) fn retire(&mut self, epoch: u64) -> Option<u64> {
        if self.pending.is_some() {
            self.next = self.next.max(Some(epoch));
            return None;
        }
        self.begin(epoch);
        self.settle()
    }

    fn begin(&mut self, epoch: u64) {
        self.pending = Some(epoch);
        self.side = !self.side;
    }

    /// The pending epoch if its side has no reads; goes on to the next one.
    fn settle(&mut self) -> Option<u64> {
        let mut settled = None;
        while self.pending.is_some() && self.counts[usize::from(!self.side)] == 0 {
            settled = self.pending.take();
            if let Some(next) = self.next.take() {
                self.begin(next);
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_base::Prng;

    #[test]
    fn nothing_in_flight_holds_nothing() {
        let mut pins = Pins::default();
        assert_eq!(pins.retire(1), Some(1));
        assert_eq!(pins.retire(2), Some(2));
    }

    #[test]
    fn an_epoch_waits_for_reads_begun_before_it_and_no_others() {
        let mut pins = Pins::default();
        let (old, older) = (pins.pin(), pins.pin());
        assert_eq!(pins.retire(1), None);
        let new = pins.pin();
        assert_eq!(pins.unpin(old), None);
        assert_eq!(pins.unpin(older), Some(1));
        assert_eq!(pins.retire(2), None);
        assert_eq!(pins.unpin(new), Some(2));
    }

    #[test]
    fn epochs_that_come_meanwhile_wait_for_what_began_before_them() {
        let mut pins = Pins::default();
        let first = pins.pin();
        assert_eq!(pins.retire(1), None);
        let second = pins.pin();
        assert_eq!(pins.retire(2), None);
        assert_eq!(pins.retire(3), None);
        assert_eq!(pins.unpin(first), Some(1));
        assert_eq!(pins.unpin(second), Some(3));
    }

    /// Against a list of reads, each with the epochs that came after it began.
    #[test]
    fn agrees_with_a_naive_list() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let (mut pins, mut reads, mut epoch, mut answered) =
                (Pins::default(), Vec::new(), 0, 0);
            for _ in 0..200 {
                let settled = match prng.below(5) {
                    0 | 1 => {
                        reads.push((pins.pin(), epoch));
                        None
                    }
                    2 if !reads.is_empty() => {
                        let at = prng.below(reads.len() as u64) as usize;
                        pins.unpin(reads.swap_remove(at).0)
                    }
                    3 => {
                        epoch += 1;
                        pins.retire(epoch)
                    }
                    _ => None,
                };
                if let Some(settled) = settled {
                    assert!(settled > answered, "seed {seed}");
                    assert!(
                        reads.iter().all(|(_, begun)| *begun >= settled),
                        "seed {seed}"
                    );
                    answered = settled;
                }
            }
            for (pin, _) in reads {
                answered = pins.unpin(pin).unwrap_or(answered);
            }
            assert_eq!(answered, epoch, "seed {seed}: the last epoch is answered");
        }
    }
}
