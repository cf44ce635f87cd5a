//! What the load stores: contents that are all different, and prove themselves when they come back.
//!
//! ```text
//!  0            8                16
//!  | run        | number         | filler, the same for all …
//! ```
//!
//! Making one costs a stamp: the filler is made once and shared by every send. Nothing is hashed here, the
//! server names what it is given.

use hioload_base::Prng;
use hioload_mem::Segment;

/// Bytes by which contents differ: the least a content can have.
pub(crate) const STAMP_SIZE: usize = 16;

/// Contents of one run.
pub(super) struct Contents {
    run: u64,
    filler: Segment,
}

impl Contents {
    /// Contents of at most `size_max` bytes.
    pub(super) fn new(size_max: usize, random: &mut Prng) -> Self {
        let mut filler = vec![0; size_max];
        random.fill(&mut filler);
        Self {
            run: random.next_u64(),
            filler: Segment::from_vec(filler),
        }
    }

    pub(super) fn stamp(&self, number: u64) -> [u8; STAMP_SIZE] {
        let mut stamp = [0; STAMP_SIZE];
        stamp[..8].copy_from_slice(&self.run.to_le_bytes());
        stamp[8..].copy_from_slice(&number.to_le_bytes());
        stamp
    }

    /// What follows the stamp in a content of `length` bytes.
    pub(super) fn rest(&self, length: usize) -> Segment {
        self.filler.slice(STAMP_SIZE..length)
    }

    /// Whether `part` is what a content has at `offset`. The filler is compared only when `is_thorough`:
    /// for every answer that would cost as much as receiving it.
    pub(super) fn agrees(
        &self,
        number: u64,
        offset: usize,
        part: &[u8],
        is_thorough: bool,
    ) -> bool {
        let stamp = self.stamp(number);
        let stamped = &stamp[offset.min(STAMP_SIZE)..];
        let here = stamped.len().min(part.len());
        let end = offset + part.len();
        stamped[..here] == part[..here]
            && end <= self.filler.len()
            && (!is_thorough || self.filler.as_slice()[offset + here..end] == part[here..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(contents: &Contents, number: u64, length: usize) -> Vec<u8> {
        let mut bytes = contents.stamp(number).to_vec();
        bytes.extend_from_slice(contents.rest(length).as_slice());
        bytes
    }

    #[test]
    fn a_content_agrees_with_itself_however_it_is_cut() {
        let contents = Contents::new(100, &mut Prng::new(1));
        for length in [STAMP_SIZE, STAMP_SIZE + 1, 100] {
            let whole = content(&contents, 7, length);
            assert_eq!(whole.len(), length);
            for cut in 0..=length {
                let (head, tail) = whole.split_at(cut);
                assert!(contents.agrees(7, 0, head, true), "{length} {cut}");
                assert!(contents.agrees(7, cut, tail, true), "{length} {cut}");
            }
        }
    }

    #[test]
    fn another_content_a_changed_byte_and_a_byte_too_many_are_seen() {
        let contents = Contents::new(100, &mut Prng::new(1));
        let whole = content(&contents, 7, 100);
        assert!(!contents.agrees(8, 0, &whole, false));
        assert!(!Contents::new(100, &mut Prng::new(2)).agrees(7, 0, &whole, false));
        for at in 0..100 {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(!contents.agrees(7, 0, &changed, true), "byte {at}");
            let is_stamp = at < STAMP_SIZE;
            assert_eq!(contents.agrees(7, 0, &changed, false), !is_stamp);
        }
        let longer = [whole, vec![0]].concat();
        assert!(!contents.agrees(7, 0, &longer, false));
    }
}
