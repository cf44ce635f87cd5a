//! The part of a class log that some cursor of this feed still needs.
//!
//! ```text
//!  first                              first + len
//!  ┌─────────┬─────────┬─────────┐    ┌ ─ ─ ─ ─ ┐
//!  │ n       │ n + 1   │ n + 2   │      home        cursors which had read everything when
//!  │ 2       │ 0       │ 997     │    │ waiting │   the last chunk was let go wait here
//!  └─────────┴─────────┴─────────┘    └ ─ ─ ─ ─ ┘
//!     ▲ cursors that read in it: when it is 0 at the front, the chunk goes at once
//! ```
//!
//! Each cursor is counted in exactly one chunk and remembers its number, so finding the chunk is a
//! subtraction. When all cursors have read everything, every chunk goes and all wait for the next one:
//! nobody is visited. They keep their old number; a number below `first` means `home`, the
//! number the next chunk will have. For that to be unambiguous when history is put in front, numbers
//! jump ahead whenever everything is let go. A cursor is at most one such jump behind, because it
//! has to read, and is renumbered, before all have read everything again.

use crate::append::{Append, Offset};
use crate::record::{RECORD_SIZE, Records};
use hioload_mem::Segment;
use std::collections::VecDeque;

/// Room below `home` for history put in front.
const JUMP: u32 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) frames: Segment,
    records: Segment,
    pub(crate) start: u64,
    /// Start of the owner's chunk: what records count from.
    base: u64,
    pub(crate) first: Offset,
    cursors: u32,
}

impl Chunk {
    fn new(append: Append, cursors: u32) -> Chunk {
        Chunk {
            start: append.position(),
            base: append.base,
            first: append.first,
            frames: append.frames,
            records: append.records,
            cursors,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.frames.len() as u64
    }

    pub(crate) fn records(&self) -> Records<'_> {
        Records::new(&self.records)
    }

    /// Index of the frame which holds the byte at `position`.
    pub(crate) fn record_at(&self, position: u64) -> usize {
        self.records().index_at((position - self.base) as u32)
    }

    /// Where the frame with this index starts.
    pub(crate) fn frame_start(&self, index: usize) -> u64 {
        match index.checked_sub(1) {
            Some(previous) => self.frame_end(previous),
            None => self.start,
        }
    }

    pub(crate) fn frame_end(&self, index: usize) -> u64 {
        self.base + u64::from(self.records().end(index))
    }

    /// The bytes between two positions of this chunk.
    pub(crate) fn slice(&self, from: u64, to: u64) -> Segment {
        self.frames
            .slice((from - self.start) as usize..(to - self.start) as usize)
    }

    /// Frames and records: what it takes of memory, but for what is lost at the ends of chunks.
    fn weight(&self) -> usize {
        self.frames.len() + self.records.len()
    }
}

/// Where a cursor is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Chunk(usize),
    Waiting,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) chunks: VecDeque<Chunk>,
    /// Number of the first chunk. Numbers come round.
    first: u32,
    home: u32,
    waiting: u32,
    /// End of what has come.
    end: u64,
    /// Offset of the last publication that has come.
    offset: Offset,
    /// The latest owner's chunk known of.
    last_base: u64,
    weight: usize,
}

impl Held {
    pub(crate) fn new() -> Held {
        Held {
            chunks: VecDeque::new(),
            first: JUMP,
            home: JUMP,
            waiting: 0,
            end: 0,
            offset: 0,
            last_base: 0,
            weight: 0,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn offset(&self) -> Offset {
        self.offset
    }

    /// Up to where nobody here needs the log.
    pub(crate) fn front(&self) -> u64 {
        self.chunks.front().map_or(self.end, |chunk| chunk.start)
    }

    /// The last start of an owner's chunk which `front` has reached: only when that moves can the
    /// owner let anything go.
    pub(crate) fn boundary(&self) -> u64 {
        self.chunks
            .front()
            .map_or(self.last_base, |chunk| chunk.base)
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// What so many bytes of frames weigh with their records, by the mean of what is held.
    pub(crate) fn weight_of(&self, frames: u64) -> usize {
        let held = u128::from((self.end - self.front()).max(1));
        (u128::from(frames) * self.weight as u128 / held) as usize
    }

    /// Nothing has come yet: begin at this place.
    pub(crate) fn begin(&mut self, end: u64, offset: Offset) {
        debug_assert!(self.chunks.is_empty(), "a feed begins once");
        self.end = end;
        self.offset = offset;
        self.last_base = end;
    }

    /// Takes what comes next in the log.
    pub(crate) fn push(&mut self, append: Append) {
        let count = (append.records.len() / RECORD_SIZE) as Offset;
        self.weight += append.frames.len() + append.records.len();
        self.end = append.end();
        self.offset = append.first + count - 1;
        self.last_base = append.base;
        // Those who wait do so for a new chunk.
        if self.waiting == 0
            && let Some(last) = self.chunks.back_mut()
            && last.base == append.base
        {
            let is_joined =
                last.frames.try_join(&append.frames) && last.records.try_join(&append.records);
            assert!(is_joined, "appends of one chunk are adjacent");
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.chunks.push_back(Chunk::new(append, waiting));
    }

    /// Puts history in front: pieces up to `front`, the oldest first.
    pub(crate) fn push_front(&mut self, pieces: &[Append]) {
        for piece in pieces.iter().rev() {
            let front = self.front();
            if piece.position() >= front {
                continue;
            }
            let mut piece = piece.clone();
            if piece.end() > front {
                let records = Records::new(&piece.records);
                let count = records.index_at((front - piece.base) as u32);
                let size = (front - piece.position()) as usize;
                piece.frames = piece.frames.slice(0..size);
                piece.records = piece.records.slice(0..count * RECORD_SIZE);
            }
            debug_assert_eq!(piece.end(), front, "history has no holes");
            let chunk = Chunk::new(piece, 0);
            self.weight += chunk.weight();
            self.chunks.push_front(chunk);
            self.first = self.first.wrapping_sub(1);
        }
    }

    /// Where the cursor with this number is counted.
    pub(crate) fn place(&self, number: u32) -> Place {
        let is_behind = (number.wrapping_sub(self.first) as i32) < 0;
        let number = if is_behind { self.home } else { number };
        let index = number.wrapping_sub(self.first) as usize;
        if index < self.chunks.len() {
            Place::Chunk(index)
        } else {
            Place::Waiting
        }
    }

    fn number(&self, index: usize) -> u32 {
        self.first.wrapping_add(index as u32)
    }

    /// Whether the chunk numbered `home` has not come yet: who is at the end waits for it.
    fn is_home_to_come(&self) -> bool {
        self.number(self.chunks.len()) == self.home
    }

    /// Counts a cursor at the end of the log. Its number.
    pub(crate) fn enter_at_end(&mut self) -> u32 {
        if self.is_home_to_come() {
            self.waiting += 1;
            return self.home;
        }
        let last = self.chunks.len() - 1;
        self.chunks[last].cursors += 1;
        self.number(last)
    }

    /// Counts a cursor at a position that is held. Its number.
    pub(crate) fn enter_at(&mut self, position: u64) -> u32 {
        let index = self.chunks.partition_point(|chunk| chunk.end() <= position);
        self.chunks[index].cursors += 1;
        self.number(index)
    }

    /// Counts the cursor no more.
    pub(crate) fn leave(&mut self, number: u32) {
        match self.place(number) {
            Place::Chunk(index) => self.chunks[index].cursors -= 1,
            Place::Waiting => self.waiting -= 1,
        }
    }

    /// Counts the cursor where `position` is now: a chunk which it has read to the end counts it only
    /// while it is the last. The new number.
    pub(crate) fn follow(&mut self, number: u32, position: u64) -> u32 {
        let Place::Chunk(from) = self.place(number) else {
            return self.home;
        };
        if position == self.end && self.is_home_to_come() {
            self.chunks[from].cursors -= 1;
            self.waiting += 1;
            return self.home;
        }
        let mut to = from;
        while to + 1 < self.chunks.len() && position >= self.chunks[to].end() {
            to += 1;
        }
        if to != from {
            self.chunks[from].cursors -= 1;
            self.chunks[to].cursors += 1;
        }
        self.number(to)
    }

    /// Lets go of chunks at the front that no cursor is in.
    pub(crate) fn trim(&mut self) {
        while let Some(chunk) = self.chunks.front()
            && chunk.cursors == 0
        {
            self.weight -= chunk.weight();
            self.chunks.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        if self.chunks.is_empty() && self.waiting == 0 {
            self.home = self.first;
        }
    }

    /// All cursors, `count` of them, have read everything: let go of all chunks.
    pub(crate) fn clear(&mut self, count: u32) {
        if self.is_home_to_come() {
            self.first = self.home;
        } else {
            self.first = self.first.wrapping_add(JUMP);
            self.home = self.first;
        }
        self.chunks.clear();
        self.weight = 0;
        self.waiting = count;
    }

    #[cfg(any(test, feature = "fuzzing"))]
    /// Panics unless chunks are adjacent and count the cursors with these numbers and positions.
    pub(crate) fn check(&self, cursors: impl Iterator<Item = (u32, u64)>) {
        let mut counts = vec![0; self.chunks.len()];
        let mut waiting = 0;
        for (number, position) in cursors {
            match self.place(number) {
                Place::Chunk(index) => {
                    let chunk = &self.chunks[index];
                    assert!(
                        chunk.start <= position && position <= chunk.end(),
                        "in its chunk"
                    );
                    counts[index] += 1;
                }
                Place::Waiting => {
                    assert_eq!(position, self.end, "only who has read everything waits");
                    waiting += 1;
                }
            }
        }
        assert_eq!(waiting, self.waiting, "cursors waiting");
        assert_eq!(
            self.weight,
            self.chunks.iter().map(Chunk::weight).sum::<usize>(),
            "weight"
        );
        let mut position = self.front();
        for (chunk, count) in self.chunks.iter().zip(counts) {
            assert_eq!(chunk.cursors, count, "cursors of a chunk");
            assert_eq!(chunk.start, position, "chunks are adjacent");
            position = chunk.end();
        }
        assert_eq!(position, self.end, "the last chunk ends the log");
    }
}
