//! The log of one channel in one encoding class, as its owner holds it.
//!
//! ```text
//!  position 0                                                     end
//!  ─ ─ ─ ─┬──────────────┬──────────────┬───────────────┬ ─ ─ ─ ┐
//!  gone   │ chunk, full  │ chunk, full  │ open: sealed  │ room  │
//!  ─ ─ ─ ─┴──────────────┴──────────────┴───────────────┴ ─ ─ ─ ┘
//!            ▲ trimmed by worker 1            ▲ sent to worker 0 and 1
//! ```
//!
//! A worker is a cursor too: `sent`, up to where appends were made for it, and `trimmed`, up to where it
//! reported to need nothing more. A chunk stays here until every worker has trimmed it and history
//! wants it no more, so the cost counted here covers what any worker can still hold.
//!
//! It knows no budget: the owner asks what a chunk would cost and decides.

use crate::append::{Append, Offset, Progress};
use crate::history::HistoryConfig;
use crate::record::{RECORD_SIZE, Record, Records};
use crate::{Class, Origin};
use hioload_base::Time;
use hioload_mem::{Buffer, BufferPool, CLASS_SIZES, Segment};
use std::collections::VecDeque;
use std::time::Duration;

/// The first chunk of a quiet log. Each next one is four times as big, up to the configured size.
pub(crate) const CHUNK_SIZE_MIN: usize = 1024;
const RECORDS_SIZE_MIN: usize = 256;
/// Ends of records are u32, relative to the chunk.
const CHUNK_SIZE_MAX: usize = 1 << 30;

/// Memory of one chunk: the two buffers it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChunkSizes {
    pub(crate) frames: usize,
    pub(crate) records: usize,
}

impl ChunkSizes {
    /// The least that holds one frame of this size.
    pub(crate) fn least(room: usize) -> ChunkSizes {
        ChunkSizes {
            frames: room,
            records: RECORDS_SIZE_MIN,
        }
    }

    /// What the pool will hand out for it; `None` if it has no buffers as big as that.
    pub(crate) fn cost(self) -> Option<usize> {
        Some(buffer_size(self.frames)? + buffer_size(self.records)?)
    }
}

/// The capacity of the buffer that the pool hands out for this size.
fn buffer_size(size: usize) -> Option<usize> {
    CLASS_SIZES.into_iter().find(|capacity| *capacity >= size)
}

/// What the log knows about one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Worker {
    pub(crate) is_attached: bool,
    pub(crate) is_pressed: bool,
    /// Counts attachments: progress from before the latest is not to be believed.
    pub(crate) round: u32,
    pub(crate) sent: u64,
    sent_offset: Offset,
    trimmed: u64,
    /// Up to where it was asked for progress.
    asked: u64,
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    end: u64,
    first: Offset,
    count: u32,
    opened: Time,
    last: Time,
    cost: usize,
    /// What is sealed so far: both, or none.
    sealed: Option<(Segment, Segment)>,
}

#[derive(Debug)]
struct Open {
    frames: Buffer,
    records: Buffer,
}

#[derive(Debug)]
pub(crate) struct ClassLog {
    class: Class,
    chunks: VecDeque<Chunk>,
    /// Room behind the last chunk.
    open: Option<Open>,
    end: u64,
    sealed: u64,
    workers: Vec<Worker>,
    /// Since when no worker is attached, after one was.
    left: Option<Time>,
    /// Nothing was written for a while: whoever still holds something is to say how far it is.
    is_quiet: bool,
    chunk_size: usize,
    chunk_size_max: usize,
    /// Bytes a frame took on average in the previous chunk.
    frame_size_mean: usize,
}

impl ClassLog {
    pub(crate) fn new(class: Class, chunk_size_max: usize) -> ClassLog {
        let chunk_size_max = chunk_size_max.clamp(1, CHUNK_SIZE_MAX);
        ClassLog {
            class,
            chunks: VecDeque::new(),
            open: None,
            end: 0,
            sealed: 0,
            workers: Vec::new(),
            left: None,
            is_quiet: false,
            chunk_size: CHUNK_SIZE_MIN.min(chunk_size_max),
            chunk_size_max,
            frame_size_mean: 0,
        }
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.workers.iter().any(|worker| worker.is_attached)
    }

    /// Whether the last worker left longer ago than `age`: whatever its subscribers missed in history
    /// of that age, they missed more.
    pub(crate) fn is_abandoned(&self, age: Duration, now: Time) -> bool {
        self.left.is_some_and(|left| now - left > age)
    }

    pub(crate) fn is_pressed(&self) -> bool {
        self.workers.iter().any(|worker| worker.is_pressed)
    }

    // Writing.

    /// Whether the open chunk takes one more frame of this size.
    pub(crate) fn has_room(&self, room: usize) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.frames.room() >= room && open.records.room() >= RECORD_SIZE)
    }

    /// The next chunk: as it should be, grown and with as many records as frames are likely to
    /// need, or the least that will do.
    pub(crate) fn sizes(&self, room: usize, is_least: bool) -> ChunkSizes {
        if is_least {
            return ChunkSizes::least(room);
        }
        let frames = self.chunk_size.max(room);
        let frame_size = if self.frame_size_mean > 0 {
            self.frame_size_mean
        } else {
            room
        };
        let records = (frames / frame_size.max(1) + 1) * RECORD_SIZE;
        // Frames smaller than a record: the chunk ends when its records do.
        let records = records.clamp(RECORDS_SIZE_MIN, frames.max(RECORDS_SIZE_MIN));
        ChunkSizes { frames, records }
    }

    /// Closes the open chunk and opens one of these sizes. Its cost, or `None`: the pool has none left.
    pub(crate) fn open(
        &mut self,
        pool: &BufferPool,
        sizes: ChunkSizes,
        first: Offset,
        now: Time,
    ) -> Option<usize> {
        let frames = pool.take(sizes.frames)?;
        let records = pool.take(sizes.records)?;
        self.close();
        let cost = frames.capacity() + records.capacity();
        self.open = Some(Open { frames, records });
        self.chunk_size = self.chunk_size.saturating_mul(4).min(self.chunk_size_max);
        self.chunks.push_back(Chunk {
            start: self.end,
            end: self.end,
            first,
            count: 0,
            opened: now,
            last: now,
            cost,
            sealed: None,
        });
        Some(cost)
    }

    /// Gives up the room of the open chunk.
    pub(crate) fn close(&mut self) {
        self.seal();
        self.open = None;
        if let Some(chunk) = self.chunks.back()
            && chunk.count > 0
        {
            self.frame_size_mean = (chunk.end - chunk.start) as usize / chunk.count as usize;
        }
    }

    /// Drops an open chunk nothing was written to. The cost given back.
    pub(crate) fn drop_empty(&mut self) -> usize {
        match self.chunks.back() {
            Some(chunk) if chunk.count == 0 => {
                self.open = None;
                self.chunks.pop_back().map_or(0, |chunk| chunk.cost)
            }
            _ => 0,
        }
    }

    /// Gives up the open chunk if nobody wrote to it for `idle` and nobody wants what is in it, and starts
    /// small again. The cost given back.
    pub(crate) fn close_idle(
        &mut self,
        idle: Duration,
        history: &HistoryConfig,
        offset: Offset,
        now: Time,
    ) -> usize {
        match self.chunks.back() {
            Some(chunk) if self.open.is_some() && now - chunk.last >= idle => {}
            _ => return 0,
        }
        self.chunk_size = CHUNK_SIZE_MIN.min(self.chunk_size_max);
        // Workers tell of chunks which are full: of this one they have to be asked.
        self.is_quiet = true;
        match self.chunks.front() {
            Some(chunk)
                if chunk.end <= self.floor() && !self.is_history(chunk, history, offset, now) =>
            {
                self.evict().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Room for one frame: [`has_room`](ClassLog::has_room) said so.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        let open = self.open.as_mut().expect("invariant: a chunk is open");
        open.frames.spare_mut()
    }

    /// Takes the frame that was written to the front of [`spare`](ClassLog::spare).
    pub(crate) fn commit(&mut self, size: usize, now: Time, origin: Origin) {
        assert!(size > 0, "an encoder made an empty frame");
        let open = self.open.as_mut().expect("invariant: a chunk is open");
        let chunk = self.chunks.back_mut().expect("invariant: a chunk is open");
        open.frames.advance(size);
        self.is_quiet = false;
        self.end += size as u64;
        chunk.end = self.end;
        chunk.count += 1;
        chunk.last = chunk.last.max(now);
        let end =
            u32::try_from(chunk.end - chunk.start).expect("invariant: chunks end below 1 GiB");
        let time_ms = u32::try_from((chunk.last - chunk.opened).as_millis()).unwrap_or(u32::MAX);
        open.records
            .extend_from_slice(
                &Record {
                    end,
                    time_ms,
                    origin,
                }
                .to_bytes(),
            )
            .expect("invariant: room for a record was asked for");
    }

    fn seal(&mut self) {
        if self.sealed == self.end {
            return;
        }
        let open = self
            .open
            .as_mut()
            .expect("invariant: unsealed bytes are in the open chunk");
        let chunk = self
            .chunks
            .back_mut()
            .expect("invariant: unsealed bytes are in the open chunk");
        let (frames, records) = (open.frames.split_seal(), open.records.split_seal());
        match &mut chunk.sealed {
            None => chunk.sealed = Some((frames, records)),
            Some((all_frames, all_records)) => {
                let joined = all_frames.try_join(&frames) && all_records.try_join(&records);
                assert!(joined, "seals of one buffer are adjacent");
            }
        }
        self.sealed = self.end;
    }

    // Workers.

    fn worker_mut(&mut self, worker: usize) -> &mut Worker {
        if self.workers.len() <= worker {
            self.workers.resize(worker + 1, Worker::default());
        }
        &mut self.workers[worker]
    }

    /// Attaches a worker which is to get everything from `start`, and makes the pieces it lacks.
    pub(crate) fn attach(
        &mut self,
        worker: usize,
        start: u64,
        offset: Offset,
    ) -> (u32, Box<[Append]>) {
        self.seal();
        self.left = None;
        let end = self.end;
        let state = self.worker_mut(worker);
        let from = if state.is_attached {
            start.min(state.sent)
        } else {
            start
        };
        state.trimmed = if state.is_attached {
            start.min(state.trimmed)
        } else {
            start
        };
        state.is_attached = true;
        state.round = state.round.wrapping_add(1);
        state.sent = end;
        state.sent_offset = offset;
        state.asked = state.asked.min(state.trimmed);
        let round = state.round;
        let mut pieces = Vec::new();
        for index in self.chunk_index(from)..self.chunks.len() {
            let start = self.chunks[index].start.max(from);
            if start < self.chunks[index].end {
                pieces.push(self.cut(index, start, None));
            }
        }
        (round, pieces.into_boxed_slice())
    }

    pub(crate) fn detach(&mut self, worker: usize, now: Time) {
        let state = self.worker_mut(worker);
        state.is_attached = false;
        state.is_pressed = false;
        if self.left.is_none() && !self.is_attached() {
            self.left = Some(now);
        }
    }

    /// Whether the progress was news. Round and position are checked, not believed.
    pub(crate) fn on_progress(&mut self, worker: usize, progress: Progress) -> bool {
        let Some(state) = self.workers.get_mut(worker) else {
            return false;
        };
        if !state.is_attached || state.round != progress.round {
            return false;
        }
        state.trimmed = progress.trimmed.min(state.sent).max(state.trimmed);
        state.is_pressed = progress.is_pressed;
        true
    }

    /// What the worker has not got yet, as far as one chunk reaches; with nothing to send, and when it
    /// matters (`asks`, or the log is quiet), once, a question how far it is.
    pub(crate) fn append_for(&mut self, worker: usize, asks: bool) -> Option<Append> {
        let state = *self.workers.get(worker)?;
        if !state.is_attached {
            return None;
        }
        if state.sent == self.end {
            let asks = asks || self.is_quiet;
            let is_due = asks && state.trimmed < state.sent && state.asked < state.sent;
            return is_due.then(|| self.question(worker));
        }
        self.seal();
        let index = self.chunk_index(state.sent);
        let append = self.cut(index, state.sent, Some(state.sent_offset + 1));
        let chunk = &self.chunks[index];
        let state = &mut self.workers[worker];
        state.sent = chunk.end;
        state.sent_offset = chunk.first + Offset::from(chunk.count) - 1;
        Some(append)
    }

    fn question(&mut self, worker: usize) -> Append {
        let chunk = self
            .chunks
            .back()
            .expect("invariant: what a worker holds is kept");
        let (frames, records) = chunk.sealed.as_ref().expect("invariant: sent, so sealed");
        let state = &mut self.workers[worker];
        state.asked = state.sent;
        Append {
            frames: frames.slice(0..0),
            records: records.slice(0..0),
            base: chunk.start,
            start: (chunk.end - chunk.start) as u32,
            class: self.class,
            asks: true,
            first: state.sent_offset + 1,
        }
    }

    /// A chunk from a frame boundary on.
    fn cut(&self, index: usize, from: u64, first: Option<Offset>) -> Append {
        let chunk = &self.chunks[index];
        let (frames, records) = chunk.sealed.as_ref().expect("invariant: cut after seal");
        let start = (from - chunk.start) as u32;
        let record = match first {
            Some(first) => (first - chunk.first) as usize,
            None => Records::new(records).index_at(start),
        };
        Append {
            frames: frames.slice(start as usize..frames.len()),
            records: records.slice(record * RECORD_SIZE..records.len()),
            base: chunk.start,
            start,
            class: self.class,
            asks: false,
            first: chunk.first + record as Offset,
        }
    }

    /// The chunk which holds `position`: usually the last one.
    fn chunk_index(&self, position: u64) -> usize {
        match self.chunks.back() {
            Some(chunk) if chunk.start <= position => self.chunks.len() - 1,
            _ => self.chunks.partition_point(|chunk| chunk.end <= position),
        }
    }

    // Letting go.

    /// Up to where no worker needs the log.
    fn floor(&self) -> u64 {
        let attached = self.workers.iter().filter(|worker| worker.is_attached);
        attached
            .map(|worker| worker.trimmed)
            .min()
            .unwrap_or(self.end)
    }

    /// Drops what neither a worker nor history wants. The cost given back.
    pub(crate) fn release(&mut self, history: &HistoryConfig, offset: Offset, now: Time) -> usize {
        let floor = self.floor();
        let mut cost = 0;
        while let Some(chunk) = self.chunks.front() {
            let is_open = self.chunks.len() == 1 && self.open.is_some();
            if is_open || chunk.end > floor || self.is_history(chunk, history, offset, now) {
                break;
            }
            cost += self.pop();
        }
        cost
    }

    /// Drops the oldest chunk if only history wants it, or if it is open and read by all. Its cost.
    pub(crate) fn evict(&mut self) -> Option<usize> {
        let chunk = self.chunks.front()?;
        if chunk.end > self.floor() {
            return None;
        }
        if self.chunks.len() == 1 {
            self.close();
        }
        Some(self.pop())
    }

    /// When the chunk [`evict`](ClassLog::evict) would drop was written last.
    pub(crate) fn evictable(&self) -> Option<Time> {
        let chunk = self.chunks.front()?;
        (chunk.end <= self.floor()).then_some(chunk.last)
    }

    /// Drops everything. The cost given back.
    pub(crate) fn clear(&mut self) -> usize {
        self.open = None;
        self.sealed = self.end;
        self.chunks.drain(..).map(|chunk| chunk.cost).sum()
    }

    fn pop(&mut self) -> usize {
        self.chunks.pop_front().map_or(0, |chunk| chunk.cost)
    }

    fn is_history(
        &self,
        chunk: &Chunk,
        history: &HistoryConfig,
        offset: Offset,
        now: Time,
    ) -> bool {
        let last = chunk.first + Offset::from(chunk.count);
        history.is_on()
            && last > offset.saturating_sub(history.count) + 1
            && now - chunk.last <= history.age
            && self.end - chunk.end < history.size as u64
    }

    // History.

    /// The oldest publication history still offers; one past `offset` if none.
    pub(crate) fn history_first(
        &mut self,
        history: &HistoryConfig,
        offset: Offset,
        now: Time,
    ) -> Offset {
        self.seal();
        if !history.is_on() || self.chunks.is_empty() {
            return offset + 1;
        }
        let by_count = offset.saturating_sub(history.count) + 1;
        by_count
            .max(self.first_by_age(history, offset, now))
            .max(self.first_by_size(history, offset))
    }

    fn first_by_age(&self, history: &HistoryConfig, offset: Offset, now: Time) -> Offset {
        let is_old = |time: Time| now - time > history.age;
        let index = self.chunks.partition_point(|chunk| is_old(chunk.last));
        let Some(chunk) = self.chunks.get(index) else {
            return offset + 1;
        };
        let Some((_, records)) = &chunk.sealed else {
            return chunk.first;
        };
        // Old is what lies more than the age back: the first millisecond that does not.
        let kept_ms = (now - chunk.opened).saturating_sub(history.age).as_millis();
        let kept_ms = u32::try_from(kept_ms).unwrap_or(u32::MAX);
        chunk.first + Records::new(records).index_since(kept_ms) as Offset
    }

    fn first_by_size(&self, history: &HistoryConfig, offset: Offset) -> Offset {
        let from = self.end.saturating_sub(history.size as u64);
        let index = self.chunks.partition_point(|chunk| chunk.end <= from);
        let Some(chunk) = self.chunks.get(index) else {
            return offset + 1;
        };
        let Some((_, records)) = &chunk.sealed else {
            return chunk.first;
        };
        if from <= chunk.start {
            return chunk.first;
        }
        let records = Records::new(records);
        let start = (from - chunk.start) as u32;
        let index = records.index_at(start);
        let is_whole = index == 0 || records.end(index - 1) == start;
        chunk.first + index as Offset + Offset::from(!is_whole)
    }

    /// Where a publication starts; the end if it is not there.
    pub(crate) fn position_of(&self, offset: Offset) -> u64 {
        let index = self.chunks.partition_point(|chunk| chunk.first <= offset);
        let Some(chunk) = index
            .checked_sub(1)
            .and_then(|index| self.chunks.get(index))
        else {
            return self.chunks.front().map_or(self.end, |chunk| chunk.start);
        };
        let index = (offset - chunk.first) as usize;
        match (&chunk.sealed, index) {
            (_, 0) => chunk.start,
            (Some((_, records)), _) if index < chunk.count as usize => {
                chunk.start + u64::from(Records::new(records).end(index - 1))
            }
            _ => chunk.end,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }
}
