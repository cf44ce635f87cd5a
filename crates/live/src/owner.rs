//! The owner of a channel: offsets, epoch, the encoded logs, history, and the budget of all of it.
//!
//! Lives on the worker the channel's name hashes to. Publishing is reserve, then encode: either
//! every class in use has room for the frame and all get it, or nothing is taken and the publisher is told
//! to come again. History yields before a publisher is refused; a reader never does.
//!
//! Limits: `budget` bytes of chunks over all classes (capacity, not contents, so it is what the pool gave),
//! and the worker's shared [`Budget`].

use crate::append::{Append, Ask, Attached, Offset, Progress, Recovered, Since};
use crate::budget::Budget;
use crate::class_log::{ChunkSizes, ClassLog};
use crate::encode::{Encode, Unencoded};
use crate::history::HistoryConfig;
use crate::{Class, Classes, Origin};
use hioload_base::Time;
use hioload_mem::{BufferPool, CLASS_SIZES};
use std::time::Duration;

/// An open chunk which everybody has read and nobody wrote to for this long is given back.
const OPEN_IDLE_MAX: Duration = Duration::from_secs(1);

/// The largest buffer of a pool: no frame is bigger.
const BUFFER_SIZE_MAX: usize = CLASS_SIZES[CLASS_SIZES.len() - 1];

/// How a channel is kept.
#[derive(Clone, Debug)]
pub struct OwnerConfig {
    /// Bytes of memory the logs of the channel may take, all classes together.
    pub budget: usize,
    /// What is kept for those who come back.
    pub history: HistoryConfig,
    /// The life of the channel: another number each time it is made.
    pub epoch: u64,
    /// Bytes of a chunk in a busy log. Quiet logs start with 1 KiB.
    pub chunk_size: usize,
    /// Classes which have a log even while nobody subscribes to them, so that history is there from the
    /// first publication. History of the other classes begins when somebody subscribes, and goes
    /// on for its age after the last one left: for those who come back.
    pub kept: Classes,
    /// What all logs of the worker share.
    pub shared: Budget,
}

impl Default for OwnerConfig {
    fn default() -> OwnerConfig {
        OwnerConfig {
            budget: crate::limits::LOG_BUDGET.default as usize,
            history: HistoryConfig::OFF,
            epoch: 1,
            chunk_size: crate::limits::CHUNK_SIZE.default as usize,
            kept: Classes::NONE,
            shared: Budget::unlimited(),
        }
    }
}

/// Why a publication was not taken. Nothing of it is in any log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublishError {
    /// The channel's budget is in use by what subscribers have yet to read. Try again when
    /// [`Owner::is_held`] says no: subscribers drain it or are found stalled.
    LogFull,
    /// The worker's logs together are at their budget. Try again later.
    BudgetSpent,
    /// The pool has no buffer left. Try again later.
    PoolEmpty,
    /// Its frames do not fit the budget, or no buffer of the pool holds one: it can never be taken.
    TooLarge {
        /// Bytes it needs.
        size: usize,
        /// Bytes it may need.
        max: usize,
    },
}

impl PublishError {
    /// Whether it may be taken later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self, PublishError::TooLarge { .. })
    }
}

impl std::fmt::Display for PublishError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PublishError::LogFull => f.write_str("the log of the channel is full"),
            PublishError::BudgetSpent => f.write_str("the logs of the worker are at their budget"),
            PublishError::PoolEmpty => f.write_str("the buffer pool is empty"),
            PublishError::TooLarge { size, max } => {
                write!(f, "the publication needs {size} bytes, the log has {max}")
            }
        }
    }
}

impl std::error::Error for PublishError {}

/// Counters of one channel at its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OwnerStats {
    /// Publications taken.
    pub publications: u64,
    /// Frames encoded, in all classes.
    pub frames: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// Bytes of memory the logs take.
    pub memory: usize,
    /// The most they have taken.
    pub memory_max: usize,
    /// Publications refused because the log was full.
    pub refused_log_full: u64,
    /// Publications refused because the worker's logs or its pool had nothing left.
    pub refused_memory: u64,
    /// Publications refused for their size.
    pub refused_too_large: u64,
}

/// One channel, at the worker that owns it.
#[derive(Debug)]
pub struct Owner {
    config: OwnerConfig,
    offset: Offset,
    /// One for each class in use, at most 16.
    logs: Vec<ClassLog>,
    /// A publication was refused and nothing has been released since.
    is_full: bool,
    /// A publication was refused for want of memory that other logs, or other owners of buffers, hold.
    /// What this log holds in vain may be what they wait for.
    is_short: bool,
    stats: OwnerStats,
}

impl Owner {
    /// An empty channel.
    #[must_use]
    pub fn new(config: OwnerConfig) -> Owner {
        let logs = config
            .kept
            .iter()
            .map(|class| ClassLog::new(class, chunk_size(&config)))
            .collect();
        Owner {
            config,
            offset: 0,
            logs,
            is_full: false,
            is_short: false,
            stats: OwnerStats::default(),
        }
    }

    /// Bytes that a log takes at least for one frame of this size, as its budget counts them. `None`: no buffer is so
    /// large.
    #[must_use]
    pub fn memory_min(frame_size: usize) -> Option<usize> {
        ChunkSizes::least(frame_size).cost()
    }

    /// Epoch and the offset of the last publication; 0 before the first.
    #[must_use]
    pub fn position(&self) -> (u64, Offset) {
        (self.config.epoch, self.offset)
    }

    /// Gives a publication the next offset and encodes it once for every class in use.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: nothing was taken.
    ///
    /// # Panics
    ///
    /// If the encoder breaks its promise: an empty frame, or one bigger than it said.
    pub fn publish(
        &mut self,
        pool: &BufferPool,
        encode: &mut dyn Encode,
        now: Time,
        kind: u8,
        payload: &[u8],
        origin: Origin,
    ) -> Result<Offset, PublishError> {
        let publication = Unencoded {
            place: Since {
                epoch: self.config.epoch,
                offset: self.offset + 1,
            },
            kind,
            payload,
        };
        let mut rooms = [0; Class::COUNT_MAX];
        for (room, log) in rooms.iter_mut().zip(&self.logs) {
            *room = encode.room(log.class(), &publication).max(1);
        }
        if let Err(error) = self.reserve(pool, &rooms[..self.logs.len()], now) {
            match error {
                PublishError::LogFull => self.stats.refused_log_full += 1,
                PublishError::TooLarge { .. } => self.stats.refused_too_large += 1,
                _ => {
                    self.stats.refused_memory += 1;
                    self.is_short = true;
                }
            }
            return Err(error);
        }
        self.is_short = false;
        for (log, room) in self.logs.iter_mut().zip(rooms) {
            let size = encode.encode(log.class(), &publication, &mut log.spare()[..room]);
            assert!(
                size <= room,
                "an encoder made a frame bigger than the room it asked for"
            );
            log.commit(size, now, origin);
            self.stats.frames += 1;
            self.stats.bytes += size as u64;
        }
        self.stats.publications += 1;
        self.offset += 1;
        Ok(self.offset)
    }

    /// Attaches a worker's feed to the log of a class, or finds history for one more subscriber of a feed
    /// which is attached already. The answer has to reach the worker before any later append, so ask
    /// only when there is room to send it.
    ///
    /// # Panics
    ///
    /// If `worker` is 256 or more.
    pub fn attach(&mut self, worker: usize, ask: Ask, now: Time) -> Attached {
        assert!(
            worker < Origin::WORKER_COUNT_MAX,
            "worker {worker} is beyond the limit"
        );
        let Ask { class, life, since } = ask;
        let epoch = self.config.epoch;
        let offset = self.offset;
        let index = self
            .logs
            .iter()
            .position(|log| log.class() == class)
            .unwrap_or_else(|| {
                self.logs
                    .push(ClassLog::new(class, chunk_size(&self.config)));
                self.logs.len() - 1
            });
        let log = &mut self.logs[index];
        let oldest = log.history_first(&self.config.history, offset, now);
        let (first, recovered) = match since {
            None => (offset + 1, Recovered::Tail),
            Some(since) if since.epoch != epoch || since.offset > offset => {
                (oldest, Recovered::OtherEpoch)
            }
            Some(since) if since.offset + 1 >= oldest => (since.offset + 1, Recovered::Complete),
            Some(since) => (
                oldest,
                Recovered::Gap {
                    from: since.offset + 1,
                    to: oldest - 1,
                },
            ),
        };
        let first = first.min(offset + 1);
        let start = if first > offset {
            log.end()
        } else {
            log.position_of(first)
        };
        let (round, pieces) = log.attach(worker, start, offset);
        Attached {
            epoch,
            offset,
            recovered,
            first,
            class,
            life,
            round,
            start,
            end: log.end(),
            pieces,
        }
    }

    /// The worker has no subscribers of this class any more and drops its feed.
    pub fn detach(&mut self, worker: usize, class: Class, now: Time) {
        let Some(index) = self.logs.iter().position(|log| log.class() == class) else {
            return;
        };
        let log = &mut self.logs[index];
        log.detach(worker, now);
        if log.is_attached() || self.is_kept(index, now) {
            self.release(index, now);
        } else {
            self.drop_log(index);
        }
    }

    /// Whether a log stays though nobody takes it.
    fn is_kept(&self, index: usize, now: Time) -> bool {
        let history = &self.config.history;
        let log = &self.logs[index];
        self.config.kept.contains(log.class())
            || history.is_on() && !log.is_abandoned(history.age, now)
    }

    fn drop_log(&mut self, index: usize) {
        let cost = self.logs.remove(index).clear();
        self.give_back(cost);
    }

    /// What the worker has not got yet of a class log. Call until `None`, at the end of a turn or
    /// whenever its mailbox has room again: nothing is lost by calling late.
    pub fn append_for(&mut self, worker: usize, class: Class) -> Option<Append> {
        let log = self.logs.iter_mut().find(|log| log.class() == class)?;
        log.append_for(worker, self.is_full || self.is_short)
    }

    /// Takes what a feed reports.
    pub fn on_progress(&mut self, worker: usize, progress: Progress, now: Time) {
        let index = self
            .logs
            .iter()
            .position(|log| log.class() == progress.class);
        if let Some(index) = index
            && self.logs[index].on_progress(worker, progress)
        {
            self.release(index, now);
        }
    }

    /// Drops history that has become too old, and room nobody has used for a second. Call about once
    /// a second.
    pub fn expire(&mut self, now: Time) {
        for index in (0..self.logs.len()).rev() {
            if !self.logs[index].is_attached() && !self.is_kept(index, now) {
                self.drop_log(index);
                continue;
            }
            self.release(index, now);
            let log = &mut self.logs[index];
            let cost = log.close_idle(OPEN_IDLE_MAX, &self.config.history, self.offset, now);
            self.give_back(cost);
        }
    }

    /// Whether the publishers of this channel are to be held back: a subscriber which makes progress
    /// lags by more than half the budget, or the log is full.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_full || self.logs.iter().any(ClassLog::is_pressed)
    }

    /// Whether the last publication was refused for want of memory outside this log, and nothing of
    /// this log has been released since. To be tried again after a while: others give memory back
    /// without a word to this channel.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// Whether nobody is attached and no history is kept: the channel may be forgotten.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.logs
            .iter()
            .all(|log| !log.is_attached() && log.is_empty())
    }

    /// The classes that have a log.
    #[must_use]
    pub fn classes(&self) -> Classes {
        self.logs
            .iter()
            .fold(Classes::NONE, |classes, log| classes.with(log.class()))
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> OwnerStats {
        self.stats
    }

    // Memory.

    /// Makes sure that every log has room for its frame, giving up history if it must.
    fn reserve(
        &mut self,
        pool: &BufferPool,
        rooms: &[usize],
        now: Time,
    ) -> Result<(), PublishError> {
        if self
            .logs
            .iter()
            .zip(rooms)
            .all(|(log, room)| log.has_room(*room))
        {
            return Ok(());
        }
        self.check_size(pool, rooms)?;
        let mut is_least = false;
        loop {
            let cost = self.cost_of_missing(rooms, is_least);
            let shortage = match cost {
                Some(cost) if self.stats.memory.saturating_add(cost) > self.config.budget => {
                    PublishError::LogFull
                }
                Some(cost) if !self.config.shared.has_room(cost) => PublishError::BudgetSpent,
                Some(_) if self.open_missing(pool, rooms, is_least, now) => return Ok(()),
                _ => PublishError::PoolEmpty,
            };
            if self.evict() {
                continue;
            }
            // While readers hold the log, waiting for them beats filling its last corner with
            // chunks of one frame. When nobody holds it, no wait would help: take what will do.
            let is_waiting = shortage == PublishError::LogFull && self.stats.memory > 0;
            if is_least || is_waiting {
                self.is_full |= shortage == PublishError::LogFull;
                return Err(shortage);
            }
            is_least = true;
        }
    }

    fn check_size(&self, pool: &BufferPool, rooms: &[usize]) -> Result<(), PublishError> {
        let max = self.config.budget.min(self.config.shared.max());
        let largest = rooms.iter().copied().max().unwrap_or(0);
        if largest > pool.size_max() {
            return Err(PublishError::TooLarge {
                size: largest,
                max: max.min(pool.size_max()),
            });
        }
        let cost = rooms.iter().try_fold(0_usize, |sum, room| {
            sum.checked_add(ChunkSizes::least(*room).cost()?)
        });
        match cost {
            Some(size) if size <= max => Ok(()),
            Some(size) => Err(PublishError::TooLarge { size, max }),
            None => Err(PublishError::TooLarge {
                size: largest,
                max: max.min(BUFFER_SIZE_MAX),
            }),
        }
    }

    /// What the chunks cost which have to be opened; `None` if the pool has no buffers of such a size.
    fn cost_of_missing(&self, rooms: &[usize], is_least: bool) -> Option<usize> {
        let missing = self
            .logs
            .iter()
            .zip(rooms)
            .filter(|(log, room)| !log.has_room(**room));
        missing
            .map(|(log, room)| log.sizes(*room, is_least).cost())
            .sum()
    }

    /// Opens a chunk in each log that has no room: in all of them, or in none.
    fn open_missing(
        &mut self,
        pool: &BufferPool,
        rooms: &[usize],
        is_least: bool,
        now: Time,
    ) -> bool {
        for (index, room) in rooms.iter().enumerate() {
            let log = &mut self.logs[index];
            if log.has_room(*room) {
                continue;
            }
            let sizes = log.sizes(*room, is_least);
            let Some(cost) = log.open(pool, sizes, self.offset + 1, now) else {
                let cost = self.logs.iter_mut().map(ClassLog::drop_empty).sum();
                self.give_back(cost);
                return false;
            };
            self.stats.memory += cost;
            self.stats.memory_max = self.stats.memory_max.max(self.stats.memory);
            self.config.shared.take(cost);
            self.release(index, now);
        }
        true
    }

    /// Gives up the oldest chunk that no subscriber waits for.
    fn evict(&mut self) -> bool {
        let oldest = self
            .logs
            .iter()
            .enumerate()
            .filter_map(|(index, log)| Some((log.evictable()?, index)))
            .min();
        let Some((_, index)) = oldest else {
            return false;
        };
        let Some(cost) = self.logs[index].evict() else {
            return false;
        };
        self.give_back(cost);
        true
    }

    fn release(&mut self, index: usize, now: Time) {
        let log = &mut self.logs[index];
        let cost = log.release(&self.config.history, self.offset, now);
        // Refused means that there was nothing to evict: the open chunk may have been read since.
        self.is_full &= log.evictable().is_none();
        self.is_short &= log.evictable().is_none();
        self.give_back(cost);
    }

    fn give_back(&mut self, cost: usize) {
        if cost > 0 {
            self.stats.memory -= cost;
            self.config.shared.give_back(cost);
            self.is_full = false;
            self.is_short = false;
        }
    }
}

/// Chunks are small against the budget, so that little of it is lost at the ends.
fn chunk_size(config: &OwnerConfig) -> usize {
    config.chunk_size.min(config.budget / 16)
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.config.shared.give_back(self.stats.memory);
    }
}
