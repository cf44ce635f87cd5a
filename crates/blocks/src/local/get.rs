//! One GET: what is wanted, what is being read, and what is verified and not yet given out.
//!
//! ```text
//!   content   0 ───────────── given ─────── hashed ─────────── next ──────── end
//!                               │ window: pieces ready or being read │ not asked for yet
//! ```
//!
//! Must not know memory, pins or the disk's queue: [`Gets`](super::gets::Gets) moves it on. Invariants: pieces of the window lie
//! one after another; bytes are given out in order, after their checksums or the hash agreed, and the last piece of a whole
//! read only after its hash did.

use std::collections::VecDeque;
use std::ops::Range;

use hioload_mem::Segment;

use super::pins::Pin;
use crate::class::UNIT;
use crate::hash::{Hash, Hasher};
use crate::record::Record;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The controller looks the address up.
    Asking,
    /// It is there; nobody said yet what is wanted of it.
    Found,
    Reading,
    /// Failed or aborted; reads in flight end.
    Closing,
}

/// Where the content of a GET comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Source {
    /// Memory, if it is kept there.
    #[default]
    Any,
    /// The medium, verified by its hash.
    Medium,
}

/// A piece being read, or ready.
#[derive(Debug)]
pub(super) struct Piece {
    /// Where in the content; a multiple of 4 KiB.
    pub(super) start: u32,
    /// Where it ends in the content.
    pub(super) end: u32,
    /// Verified, cut to what is wanted, and the bytes of memory it holds.
    pub(super) ready: Option<(Segment, usize)>,
}

#[derive(Debug)]
pub(super) struct Get {
    pub(super) user: u64,
    pub(super) hash: Hash,
    pub(super) stage: Stage,
    pub(super) source: Source,
    pub(super) record: Record,
    /// The content from the cache, or what is left to be given out of it.
    pub(super) cached: Option<Segment>,
    /// It was asked for before: the cache is to have it once it is verified, or given out.
    pub(super) is_to_be_kept: bool,
    /// What was given out so far, for the cache.
    pub(super) kept: Option<Vec<u8>>,
    /// Held as long as anything is or may be read.
    pub(super) pin: Option<Pin>,
    /// What is wanted.
    pub(super) range: Range<u32>,
    /// Where the next read begins.
    pub(super) next: u32,
    pub(super) window: VecDeque<Piece>,
    pub(super) reads: usize,
    /// Bytes given out.
    pub(super) given: u32,
    /// Of a whole read that is verified so.
    pub(super) hasher: Option<Hasher>,
    /// Its hash is asked for, and all of it is being read: nothing of it goes out before the hash agrees.
    pub(super) is_held: bool,
    /// It is among those that wait to be hashed.
    pub(super) is_in_line: bool,
    /// Bytes the socket could take when it was last asked: so much is read ahead.
    pub(super) room: usize,
    /// The carrier took all there was: it is to be told of more.
    pub(super) wants_more: bool,
    /// It is among those that wait for memory.
    pub(super) is_waiting: bool,
    /// All of it was read a second time.
    pub(super) is_second: bool,
    /// Others wait for what it reads, or may.
    pub(super) leads: bool,
    /// Another GET reads it.
    pub(super) is_following: bool,
    /// It reads for itself, whoever else does.
    pub(super) is_alone: bool,
}

impl Get {
    pub(super) fn new(user: u64, hash: Hash, record: Record, source: Source) -> Get {
        Get {
            user,
            hash,
            stage: Stage::Found,
            source,
            record,
            cached: None,
            is_to_be_kept: false,
            kept: None,
            pin: None,
            range: 0..0,
            next: 0,
            window: VecDeque::new(),
            reads: 0,
            given: 0,
            hasher: None,
            is_held: false,
            is_in_line: false,
            room: 0,
            wants_more: false,
            is_waiting: false,
            is_second: false,
            leads: false,
            is_following: false,
            is_alone: false,
        }
    }

    /// Sets what is wanted, cut to what there is.
    pub(super) fn start(&mut self, range: Range<u32>, with_hash: bool) {
        let length = self.record.length;
        self.range = range.start.min(length)..range.end.min(length);
        self.stage = Stage::Reading;
        if let Some(content) = &mut self.cached {
            content.truncate(self.range.end as usize);
            content.advance(self.range.start as usize);
        }
        self.rewind(with_hash);
    }

    /// To the beginning of what is wanted.
    pub(super) fn rewind(&mut self, with_hash: bool) {
        self.next = self.range.start - self.range.start % UNIT as u32;
        self.hasher = (with_hash && self.is_whole()).then(Hasher::new);
    }

    /// The whole content is wanted.
    pub(super) fn is_whole(&self) -> bool {
        self.range == (0..self.record.length)
    }

    /// Bytes still to be given out.
    pub(super) fn rest(&self) -> u32 {
        (self.range.end - self.range.start) - self.given
    }

    /// Every read that is needed has begun.
    pub(super) fn is_all_asked(&self) -> bool {
        self.next >= self.range.end || self.range.is_empty()
    }

    /// Bytes ready or being read.
    pub(super) fn ahead(&self) -> usize {
        let Some(first) = self.window.front() else {
            return 0;
        };
        let begin = match &first.ready {
            Some((rest, _)) => first.end.min(self.range.end) - rest.len() as u32,
            None => first.start,
        };
        (self.next.min(self.range.end).saturating_sub(begin)) as usize
    }

    /// The part of a piece that is wanted.
    pub(super) fn cut(&self, mut content: Segment, start: u32) -> Segment {
        content.truncate((self.range.end.saturating_sub(start)) as usize);
        content.advance(self.range.start.saturating_sub(start) as usize);
        content
    }

    /// Bytes that were read, from `at` in the content on, up to the end of their piece. What lies before is hashed.
    pub(super) fn bytes(&self, at: u64) -> &[u8] {
        let holds = |piece: &&Piece| (u64::from(piece.start)..u64::from(piece.end)).contains(&at);
        match self.window.iter().find(holds) {
            Some(Piece {
                start,
                ready: Some((content, _)),
                ..
            }) => &content[(at - u64::from(*start)) as usize..],
            _ => &[],
        }
    }

    /// What others read would do, and what it reads would do for others.
    pub(super) fn may_share(&self) -> bool {
        let is_plain = self.source == Source::Any && self.is_whole() && !self.record.is_damaged();
        is_plain && !self.is_second && !self.is_alone
    }

    /// All of it is being read, and none goes out before all is verified.
    pub(super) fn is_ready_at_once(&self) -> bool {
        self.is_held || (self.is_whole() && self.is_all_asked() && self.window.len() == 1)
    }

    /// A hash that agrees says more than checksums, which are for what goes out before, and for where the damage is.
    pub(super) fn checks_sums(&self) -> bool {
        !self.is_held || self.is_second
    }

    /// The verified bytes that may be given out now, first in line.
    pub(super) fn front(&mut self) -> Option<&mut Piece> {
        let hashed = self.hasher.as_ref().map(Hasher::length);
        let piece = self.window.front_mut()?;
        piece.ready.as_ref()?;
        // With all of it hashed there is no hasher any more: the hash has agreed, or is not asked for.
        let may_go = hashed.is_none_or(|hashed| !self.is_held && u64::from(piece.end) <= hashed);
        may_go.then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(length: u32, range: Range<u32>) -> Get {
        let record = Record {
            length,
            ..Record::blank()
        };
        let mut get = Get::new(1, Hash::MIN, record, Source::Any);
        get.start(range, true);
        get
    }

    #[test]
    fn a_range_reads_the_units_it_touches() {
        for (length, range, next, rest, is_whole) in [
            (10_000, 0..10_000, 0, 10_000, true),
            (10_000, 0..u32::MAX, 0, 10_000, true),
            (10_000, 4095..4096, 0, 1, false),
            (10_000, 4096..4097, 4096, 1, false),
            (10_000, 9_999..10_000, 8192, 1, false),
            (10_000, 10_000..20_000, 8192, 0, false),
        ] {
            let get = get(length, range.clone());
            assert_eq!(
                (get.next, get.rest(), get.is_whole()),
                (next, rest, is_whole),
                "{range:?}"
            );
            assert_eq!(get.is_all_asked(), rest == 0);
        }
    }

    #[test]
    fn a_piece_is_cut_to_what_is_wanted() {
        let content: Vec<u8> = (0..8192u32).map(|n| n as u8).collect();
        for (range, start) in [
            (0..8192, 0),
            (1..2, 0),
            (4095..4097, 0),
            (4097..9000, 4096),
            (5000..5001, 4096),
        ] {
            let get = get(9000, range.clone());
            let piece = Segment::copy_from(&content[..(9000 - start).min(8192) as usize]);
            let wanted =
                range.start.max(start) - start..(range.end - start).min(piece.len() as u32);
            let cut = get.cut(piece.clone(), start);
            assert_eq!(
                cut,
                &piece[wanted.start as usize..wanted.end as usize],
                "{range:?}"
            );
        }
    }
}
