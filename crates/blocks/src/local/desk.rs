//! What PUTs, GETs and calls of one worker share: the tables of what is unanswered and in flight, what goes out, and the
//! bounds on memory.
//!
//! ```text
//!   puts, gets, calls ─▶ Desk ─▶ requests, file operations, events
//!                          ▲ who found no memory or no place waits here and is tried again
//! ```
//!
//! Must not know what a PUT or a GET is. Invariants: a request has a place in `asked` until its reply, a file operation one in
//! `ops` until its result; a reply or result for a place that is vacant is dropped. Limits: the configured ones; each
//! request's own place is reserved by whoever bounds the PUTs, GETs and calls, so asking never fails.

use std::collections::VecDeque;

use hioload_base::{Key, Slab, Time};
use hioload_mem::{Buffer, BufferPool, Segment};

use super::budget::Budget;
use super::event::{Event, FileOp};
use crate::block::Block;
use crate::class::Class;
use crate::config::LocalConfig;
use crate::hash::Hash;
use crate::message::{Request, RequestId};
use crate::pools::{Pools, Refill};
use crate::stats::LocalStats;

/// A PUT or GET by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Put(Key),
    Get(Key),
}

/// What a reply is for.
#[derive(Debug)]
pub(super) enum Asked {
    Lease {
        class: Class,
        refill: Refill,
    },
    Put(Key),
    Lookup(Key),
    Delete {
        user: u64,
        hash: Hash,
    },
    DeleteMany {
        user: u64,
    },
    Missing {
        user: u64,
        missing: Vec<Hash>,
        until: Time,
    },
    Refer {
        user: u64,
    },
    Unrefer {
        user: u64,
    },
}

impl Asked {
    /// Counts among the calls that are bounded together.
    pub(super) fn is_call(&self) -> bool {
        !matches!(self, Asked::Lease { .. } | Asked::Put(_) | Asked::Lookup(_))
    }
}

/// A file operation in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) owner: Owner,
    /// Where in the file.
    pub(super) offset: u64,
    /// Bytes wanted.
    pub(super) len: u32,
    /// Where in the content.
    pub(super) start: u32,
    /// Times in a row it brought nothing or too little.
    pub(super) repeats: u8,
    /// It is the second attempt after one that failed or brought something else than was stored.
    pub(super) is_second: bool,
}

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) config: LocalConfig,
    pub(super) buffers: BufferPool,
    pub(super) now: Time,
    pub(super) requests: VecDeque<Request>,
    pub(super) file_ops: VecDeque<FileOp>,
    pub(super) events: VecDeque<Event>,
    asked: Slab<(Asked, Time)>,
    pub(super) call_count: usize,
    ops: Slab<Pending>,
    /// Short of memory, of a buffer or of a place among the file operations.
    pub(super) waiting: VecDeque<Owner>,
    pub(super) write_memory: Budget,
    pub(super) gather_memory: Budget,
    pub(super) read_memory: Budget,
    pub(super) pools: Pools,
    pub(super) is_poisoned: bool,
    pub(super) stats: LocalStats,
}

impl Desk {
    pub(super) fn new(config: LocalConfig, buffers: BufferPool) -> Desk {
        Desk {
            buffers,
            now: Time::ZERO,
            requests: VecDeque::new(),
            file_ops: VecDeque::new(),
            events: VecDeque::new(),
            asked: Slab::with_limit(config.unanswered_max()),
            call_count: 0,
            ops: Slab::with_limit(config.file_ops_max),
            waiting: VecDeque::new(),
            write_memory: Budget::new(config.write_memory),
            gather_memory: Budget::new(config.gather_memory),
            read_memory: Budget::new(config.read_memory),
            pools: Pools::new(config.pool_targets, config.pool_factor),
            is_poisoned: false,
            stats: LocalStats::default(),
            config,
        }
    }

    /// Sends a request that will be answered.
    ///
    /// # Panics
    /// When there are more than PUTs, GETs and calls, which ask one thing at a time, and the requests of the pools.
    pub(super) fn ask(&mut self, asked: Asked, request: impl FnOnce(RequestId) -> Request) {
        self.call_count += usize::from(asked.is_call());
        let key = self
            .asked
            .insert((asked, self.now))
            .expect("invariant: whoever asks has a place reserved");
        self.requests.push_back(request(RequestId(key.index())));
    }

    /// What the reply is for; the place is free again. `None` for a reply nobody waits for.
    pub(super) fn answered(&mut self, id: RequestId) -> Option<Asked> {
        let key = self.asked.key_at(id.0)?;
        let (asked, since) = self.asked.remove(key)?;
        self.call_count -= usize::from(asked.is_call());
        self.stats.reply_ns.add_time(self.now - since);
        Some(asked)
    }

    /// Returns a block that was not used.
    pub(super) fn give_up(&mut self, block: Block) {
        self.requests.push_back(Request::Return {
            block,
            is_suspect: false,
        });
    }

    /// Requests without an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// The queue to the controller is so long that bodies are held back.
    pub(super) fn is_behind(&self) -> bool {
        self.requests.len() >= self.config.requests_max
    }

    /// There is a place for one more file operation.
    pub(super) fn has_place(&self) -> bool {
        !self.ops.is_full()
    }

    pub(super) fn write(&mut self, pending: Pending, content: Segment) {
        let token = self.begin(pending);
        self.stats.writes_in_flight += 1;
        self.file_ops.push_back(FileOp::Write {
            token,
            offset: pending.offset,
            content,
        });
    }

    pub(super) fn read(&mut self, pending: Pending, buffer: Buffer) {
        let token = self.begin(pending);
        self.stats.reads_in_flight += 1;
        self.file_ops.push_back(FileOp::Read {
            token,
            offset: pending.offset,
            len: pending.len as usize,
            buffer,
        });
    }

    fn begin(&mut self, pending: Pending) -> u64 {
        let key = self.ops.insert(pending);
        key.expect("invariant: looked for a place first").to_bits()
    }

    /// What the result is of; `None` for a token that is not in flight.
    pub(super) fn finished(&mut self, token: u64) -> Option<Pending> {
        let pending = self.ops.remove(Key::from_bits(token))?;
        match pending.owner {
            Owner::Put(_) => {
                self.stats.writes += 1;
                self.stats.writes_in_flight -= 1;
            }
            Owner::Get(_) => {
                self.stats.reads += 1;
                self.stats.reads_in_flight -= 1;
            }
        }
        Some(pending)
    }

    /// File operations in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.ops.len()
    }

    /// `owner` found no memory or place: it is tried again.
    pub(super) fn wait(&mut self, owner: Owner) {
        self.stats.memory_waits += 1;
        self.waiting.push_back(owner);
    }

    /// An empty buffer for `size` bytes out of what `memory` allows.
    pub(super) fn buffer(buffers: &BufferPool, memory: &mut Budget, size: usize) -> Option<Buffer> {
        let cost = super::body::buffer_cost(size);
        if !memory.try_take(cost) {
            return None;
        }
        let buffer = buffers.take(size);
        match &buffer {
            // A larger one came: that is what it costs.
            Some(buffer) if buffer.capacity() != cost => {
                memory.give(cost);
                memory.take_more(buffer.capacity());
            }
            Some(_) => {}
            None => memory.give(cost),
        }
        buffer
    }
}
