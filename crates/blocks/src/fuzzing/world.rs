//! The store, its machine and its clients, moved by operations and judged at each event.
//!
//! Checked on the way: no byte that is not the content's, nothing lost that was answered, nothing there that was deleted,
//! faults told only where one was made, damage only where the medium was harmed or failed twice, space refused to a PUT only
//! where none is free and none at hand. Checked at rest:
//! everybody is answered, every block is stored, leased to a pool that has it, or suspect; after a crash the same of what
//! the medium kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_mem::{BufferPool, PoolConfig};

use super::Bytes;
use super::clients::Client;
use super::medium::Medium;
use super::model::{Content, State};
use crate::class::Class;
use crate::config::{ControllerConfig, LocalConfig, LookupBy, Verify};
use crate::controller::{Controller, Next, Replies};
use crate::durability::Durability;
use crate::fault::Fault;
use crate::index::{Index, IndexReader, MemoryIndex};
use crate::local::{Event, FileOp, LocalStore};
use crate::message::{Reply, Request};
use crate::record::Record;
use crate::stats::ControllerStats;

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
pub(super) const MIB: u64 = 1 << 20;

const LENGTHS: [usize; 18] = [
    1, 2, 100, 4095, 4096, 4097, 8192, 8193, 12_000, 16_384, 20_000, 40_000, 65_535, 65_536,
    65_537, 131_072, 300_000, 524_288,
];

/// How often each outcome was seen. A run of tests in which one never happened has not tested it.
#[derive(Debug)]
pub(super) struct Seen(pub(super) [(&'static str, u32); OUTCOMES.len()]);

const OUTCOMES: [&str; 45] = [
    "added",
    "stored new",
    "stored present",
    "stored repaired",
    "confirmed without writing",
    "mismatch",
    "put refused: no space",
    "put failed: no space",
    "put failed: write error",
    "put failed: poisoned",
    "put failed: index full",
    "put aborted",
    "body held back",
    "put ready",
    "get whole",
    "get range",
    "get aborted",
    "get missing",
    "get from cache",
    "damaged",
    "broken",
    "deleted",
    "delete of nothing",
    "delete refused: promised",
    "delete refused: referenced",
    "delete failed",
    "many deleted",
    "missing answered",
    "promised",
    "reader held up a freed block",
    "queue to the controller full",
    "queue from the controller full",
    "short read",
    "short write",
    "suspicious read",
    "sync failed",
    "commit failed",
    "crash",
    "crash with unsynced writes lost",
    "crash with commits only the journal has",
    "bit rot",
    "pool grown",
    "blocks recalled",
    "recalled, nothing at hand",
    "lease refused, nothing at hand anywhere",
];

impl Default for Seen {
    fn default() -> Seen {
        Seen(OUTCOMES.map(|what| (what, 0)))
    }
}

impl Seen {
    pub(super) fn count(&mut self, what: &str) {
        let known = self.0.iter_mut().find(|(name, _)| *name == what);
        known.expect("a known outcome").1 += 1;
    }

    #[cfg(test)]
    pub(super) fn add(&mut self, other: &Seen) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            mine.1 += theirs.1;
        }
    }
}

pub(super) struct Worker {
    pub(super) store: LocalStore,
    pub(super) to_controller: VecDeque<Request>,
    pub(super) from_controller: VecDeque<Reply>,
    pub(super) file_ops: Vec<FileOp>,
    pub(super) poll_at: Option<Time>,
    /// Reads that were spoilt since the last rest, by offset.
    pub(super) spoilt: BTreeMap<u64, u32>,
}

/// Faults that were made, so that their consequences are no surprise.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) write_errors: bool,
    pub(super) no_space: bool,
    pub(super) poison: bool,
    pub(super) index_full: bool,
    /// Offsets of reads that were spoilt twice.
    pub(super) unreadable: BTreeSet<u64>,
}

pub(super) struct World {
    pub(super) seen: Seen,
    pub(super) prng: Prng,
    pub(super) now: Time,
    pub(super) medium: Medium,
    pub(super) index: MemoryIndex,
    pub(super) reader: Box<dyn IndexReader>,
    pub(super) controller: Controller,
    pub(super) replies: VecDeque<(usize, Reply)>,
    pub(super) next: Next,
    /// Leases the controller was asked for by worker and request, for PUTs that wait: of which class, and when.
    pub(super) leases: BTreeMap<(usize, u32), (Class, Time)>,
    pub(super) workers: Vec<Worker>,
    pub(super) contents: Vec<Content>,
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) next_user: u64,
    /// What references came to, for who asked.
    pub(super) referred: Vec<Event>,
    pub(super) made: Made,
    /// Some read was spoilt twice, before a crash perhaps.
    pub(super) was_unreadable: bool,
    pub(super) queue_max: usize,
    pub(super) buffers: BufferPool,
    pub(super) local_config: LocalConfig,
    pub(super) controller_config: ControllerConfig,
}

impl World {
    pub(super) fn new(bytes: &mut Bytes<'_>) -> World {
        let mut prng = Prng::new(bytes.next() as u64);
        let durability = match bytes.below(8) {
            0..=4 => Durability::Durable,
            5 | 6 => Durability::Group(Duration::from_millis(2)),
            _ => Durability::Relaxed,
        };
        let size_max = [1, 2, 64][bytes.below(3)] * MIB;
        let controller_config = ControllerConfig {
            durability,
            batch_max: [1, 4, 4096][bytes.below(3)],
            size_initial: [0, MIB][bytes.below(2)],
            size_max,
            grow_step: MIB,
            ..ControllerConfig::default()
        };
        let local_config = LocalConfig {
            durability,
            verify: [Verify::Full, Verify::Sums][bytes.below(2)],
            lookup_by: [LookupBy::Reader, LookupBy::Reader, LookupBy::Controller][bytes.below(3)],
            puts_max: [3, 100][bytes.below(2)],
            gets_max: [3, 100][bytes.below(2)],
            calls_max: 8,
            file_ops_max: [1, 3, 100][bytes.below(3)],
            requests_max: [1, 100][bytes.below(2)],
            piece_size: [4096, 16_384, 65_536][bytes.below(3)],
            depth: [1, 2, 8][bytes.below(3)],
            write_memory: 512 << 10,
            gather_memory: 512 << 10,
            read_memory: 512 << 10,
            cache_size: [0, 20_000, 1 << 20][bytes.below(3)],
            pool_targets: [
                [0; Class::COUNT],
                [1; Class::COUNT],
                [2, 2, 2, 1, 1, 1, 1, 0],
            ][bytes.below(3)],
            pool_factor: 4,
            ..LocalConfig::default()
        };
        let medium = Medium::new(if bytes.below(4) == 0 {
            3 * MIB
        } else {
            u64::MAX
        });
        let index = MemoryIndex::new();
        let buffers = BufferPool::new(PoolConfig {
            slab_size: Some(1 << 20),
            ..PoolConfig::with_budget(8 << 20)
        })
        .expect("8 MiB can be mapped");
        let workers = 1 + bytes.below(3);
        let controller = open(&index, &medium, &controller_config, workers);
        let contents = LENGTHS.map(|length| {
            let mut content = vec![0; length];
            prng.fill(&mut content);
            Content::new(content)
        });
        let mut world = World {
            seen: Seen::default(),
            prng,
            now: Time::from_millis(1),
            reader: index.reader().expect("as many as are wanted"),
            medium,
            index,
            controller,
            replies: VecDeque::new(),
            next: Next::Idle,
            leases: BTreeMap::new(),
            workers: Vec::new(),
            contents: contents.into(),
            clients: BTreeMap::new(),
            next_user: 1,
            referred: Vec::new(),
            made: Made::default(),
            was_unreadable: false,
            queue_max: 1 + bytes.below(6),
            buffers,
            local_config,
            controller_config,
        };
        world.start_workers(workers);
        world
    }

    fn start_workers(&mut self, count: usize) {
        self.workers = (0..count)
            .map(|_| Worker {
                store: LocalStore::new(
                    self.local_config.clone(),
                    self.index.reader().expect("as many as are wanted"),
                    self.buffers.clone(),
                )
                .expect("legal"),
                to_controller: VecDeque::new(),
                from_controller: VecDeque::new(),
                file_ops: Vec::new(),
                poll_at: None,
                spoilt: BTreeMap::new(),
            })
            .collect();
    }

    pub(super) fn step(&mut self, bytes: &mut Bytes<'_>) {
        let worker = bytes.below(self.workers.len());
        match bytes.below(32) {
            0..=3 => self.put(worker, bytes),
            4..=6 => self.feed_some(bytes),
            7 => self.feed_all(),
            8 => self.abort_some(bytes),
            9..=11 => self.get(worker, bytes),
            12 => self.poll_some(bytes),
            13 | 14 => self.delete(worker, bytes),
            15 => self.missing(worker, bytes),
            16 => self.refer(worker, bytes),
            17 => _ = self.carry(worker, bytes.below(8)),
            18 => _ = self.turn_controller(),
            19 => _ = self.deliver(worker, bytes.below(8)),
            20..=22 => self.end_file_op(worker, bytes),
            23 => self.poll(worker),
            24 => self.now += Duration::from_millis(bytes.next() as u64),
            25 | 26 => _ = (0..4).any(|_| !self.round(bytes.below(2) == 0)),
            27 | 28 => self.rest(),
            29 => self.make_fault(bytes),
            30 => self.mend(worker, bytes),
            _ => {
                if bytes.below(4) == 0 {
                    self.crash();
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Seen {
        self.rest();
        self.crash();
        for index in 0..self.contents.len() {
            self.look(0, index);
            self.rest();
        }
        self.rest();
        self.seen
    }

    /// Carries requests to the controller's queue.
    fn carry(&mut self, worker: usize, count: usize) -> bool {
        let Worker {
            store,
            to_controller,
            ..
        } = &mut self.workers[worker];
        for n in 0..count {
            let Some(request) = store.next_request() else {
                return n > 0;
            };
            if to_controller.len() == self.queue_max {
                store.put_back(request);
                self.seen.count("queue to the controller full");
                return n > 0;
            }
            to_controller.push_back(request);
        }
        count > 0
    }

    fn turn_controller(&mut self) -> bool {
        // Replies that found no room hold the controller up.
        self.send_replies();
        if !self.replies.is_empty() {
            self.seen.count("queue from the controller full");
            return false;
        }
        let mut has_work = false;
        for (index, worker) in self.workers.iter_mut().enumerate() {
            while !self.controller.is_full()
                && let Some(request) = worker.to_controller.pop_front()
            {
                has_work = true;
                if let Request::Lease {
                    id, class, needed, ..
                } = &request
                {
                    let asked = (*needed > 0).then_some((*class, self.now));
                    asked.map(|asked| self.leases.insert((index, id.0), asked));
                }
                self.controller.push(index, request);
            }
        }
        let before = self.controller.stats();
        let mut replies = Replies::new();
        let now = self.now;
        self.next = self.controller.cycle(&mut || now, &mut replies);
        self.check_refusals(&before, &replies);
        has_work |= !replies.is_empty();
        self.replies.extend(replies);
        self.send_replies();
        has_work || self.next == Next::Again
    }

    /// In time, space is refused to a PUT only when there is none, free or at hand.
    fn check_refusals(&mut self, before: &ControllerStats, replies: &Replies) {
        let after = self.controller.stats();
        // What came free later in the same cycle was not there to give.
        let has_freed = before.space.retired != after.space.retired;
        for (worker, reply) in replies {
            let (id, is_refused) = match reply {
                Reply::Leased { id, .. } => (id, false),
                Reply::Failed { id, fault } => (id, *fault == Fault::NoSpace),
                _ => continue,
            };
            let Some((class, at)) = self.leases.remove(&(*worker, id.0)) else {
                continue;
            };
            let waited = self.now - at;
            if !is_refused || waited >= self.controller_config.lease_wait {
                continue;
            }
            self.seen.count("lease refused, nothing at hand anywhere");
            assert!(
                has_freed || after.space.largest_free < u64::from(class.size()),
                "{class:?} was refused after {waited:?}: {:?}",
                after.space
            );
            for worker in &mut self.workers {
                let pools = worker.store.stats().pools;
                let at_hand = pools.map(|pool| pool.free);
                assert_eq!(
                    at_hand,
                    [0; Class::COUNT],
                    "{class:?} was refused after {waited:?}"
                );
            }
        }
    }

    fn send_replies(&mut self) {
        while let Some((worker, reply)) = self.replies.pop_front() {
            let queue = &mut self.workers[worker].from_controller;
            if queue.len() == self.queue_max {
                return self.replies.push_front((worker, reply));
            }
            queue.push_back(reply);
        }
    }

    fn deliver(&mut self, worker: usize, count: usize) -> bool {
        let mut is_any = false;
        for _ in 0..count {
            let Some(reply) = self.workers[worker].from_controller.pop_front() else {
                break;
            };
            let is_retire = matches!(reply, Reply::Retire { .. });
            if reply == Reply::Recall {
                let pools = self.workers[worker].store.stats().pools;
                let has_some = pools.iter().any(|pool| pool.free > 0);
                self.seen.count(if has_some {
                    "blocks recalled"
                } else {
                    "recalled, nothing at hand"
                });
            }
            self.workers[worker].store.handle_reply(self.now, reply);
            is_any = true;
            if is_retire && self.workers[worker].store.stats().gets > 0 {
                self.seen.count("reader held up a freed block");
            }
        }
        self.take_out(worker);
        is_any
    }

    fn poll(&mut self, worker: usize) {
        let now = self.now;
        let worker_state = &mut self.workers[worker];
        worker_state.poll_at = worker_state.store.poll(now);
        self.take_out(worker);
    }

    /// File operations and events of a worker; what they wait for is hashed by a poll.
    fn take_out(&mut self, worker: usize) {
        let Worker {
            store, file_ops, ..
        } = &mut self.workers[worker];
        while let Some(op) = store.next_file_op() {
            file_ops.push(op);
            assert!(
                file_ops.len() <= self.local_config.file_ops_max,
                "more than the driver takes"
            );
        }
        while let Some(event) = self.workers[worker].store.next_event() {
            self.hear(event);
        }
    }

    fn end_file_op(&mut self, worker: usize, bytes: &mut Bytes<'_>) {
        let count = self.workers[worker].file_ops.len();
        if count > 0 {
            let at = bytes.next() % count;
            let fault = bytes.next();
            self.end_op(worker, at, fault);
        }
    }

    fn end_op(&mut self, worker: usize, at: usize, fault: usize) {
        match self.workers[worker].file_ops.swap_remove(at) {
            FileOp::Write {
                token,
                offset,
                content,
            } => {
                let (result, written) = match fault {
                    128..=143 => (Err(EIO), content.len() / 8192 * 4096),
                    144..=151 => (Err(ENOSPC), 0),
                    152..=167 => (Err(EINTR), 0),
                    168..=199 if content.len() > 4096 => {
                        self.seen.count("short write");
                        let written = content.len() / 2;
                        (Ok(written), written - written % 4096)
                    }
                    _ => (Ok(content.len()), content.len()),
                };
                self.made.write_errors |= result == Err(EIO);
                self.made.no_space |= result == Err(ENOSPC);
                self.medium.write(offset, &content[..written]);
                self.workers[worker]
                    .store
                    .handle_written(self.now, token, result);
            }
            FileOp::Read {
                token,
                offset,
                len,
                mut buffer,
            } => {
                assert!(
                    buffer.is_empty() && buffer.room() >= len,
                    "a place for what is read"
                );
                self.medium.read(offset, &mut buffer.spare_mut()[..len]);
                let result = match fault {
                    128..=151 => Err(EIO),
                    152..=167 => Err(EINTR),
                    168..=199 => {
                        self.seen.count("short read");
                        Ok(len / 2)
                    }
                    200..=231 => {
                        // Another place than the one that was asked for.
                        buffer.spare_mut()[..len].fill(fault as u8);
                        Ok(len)
                    }
                    _ => Ok(len),
                };
                let is_spoilt = result == Err(EIO) || (200..=231).contains(&fault);
                let spoilt = self.workers[worker].spoilt.entry(offset).or_default();
                *spoilt += u32::from(is_spoilt);
                if is_spoilt {
                    self.seen.count("suspicious read");
                }
                if *spoilt > 1 {
                    self.made.unreadable.insert(offset);
                    self.was_unreadable = true;
                }
                if let Ok(size) = result {
                    buffer.advance(size);
                }
                self.workers[worker]
                    .store
                    .handle_read(self.now, token, result, buffer);
            }
        }
        self.take_out(worker);
    }

    fn make_fault(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(6) {
            0 => {
                self.medium.fail_sync();
                self.made.poison = true;
            }
            1 => {
                self.index.fail_commit_after(0);
                self.made.poison = true;
            }
            2 => {
                self.index.set_row_count_max(bytes.below(4));
                self.made.index_full = true;
            }
            _ => {}
        }
    }

    fn rot(&mut self, bytes: &mut Bytes<'_>) {
        let content = &mut self.contents[bytes.below(LENGTHS.len())];
        let mut record = Record::blank();
        if bytes.below(2) == 0 && self.reader.block(&content.hash, &mut record) == Ok(true) {
            let at = bytes.next() * record.length as usize / 256;
            self.medium
                .rot(record.block.offset() + at as u64, bytes.next() as u8);
            content.is_rotten = true;
            content.rotten_at = self.next_user;
            self.seen.count("bit rot");
        }
    }

    /// Everything that can happen happens once, without faults unless it `is_rough`. True when anything did.
    fn round(&mut self, is_rough: bool) -> bool {
        let mut is_any = false;
        let users: Vec<u64> = self.clients.keys().copied().collect();
        for user in users {
            is_any |= self.feed(user, usize::MAX) | self.poll_get(user, 1 << 20);
        }
        for worker in 0..self.workers.len() {
            self.poll(worker);
            while !self.workers[worker].file_ops.is_empty() {
                let count = self.workers[worker].file_ops.len() as u64;
                let (at, fault) = match is_rough {
                    true => (self.prng.below(count), self.prng.below(150)),
                    false => (0, 0),
                };
                // Most of them end well: faults are from 128 on.
                let fault = if fault > 100 {
                    128 + (fault - 101) * 2
                } else {
                    0
                };
                self.end_op(worker, at as usize, fault as usize);
                is_any = true;
            }
            is_any |= self.carry(worker, usize::MAX);
            is_any |= self.deliver(worker, usize::MAX);
        }
        is_any | self.turn_controller()
    }

    /// Goes on until nothing is left to do, and judges what is there then.
    pub(super) fn rest(&mut self) {
        let mut idle = 0;
        for _ in 0..5000 {
            if self.round(false) {
                idle = 0;
                continue;
            }
            idle += 1;
            let is_idle = self.workers.iter_mut().all(|worker| worker.store.is_idle());
            if self.clients.is_empty()
                && is_idle
                && self.controller.stats().space.retired == [0; Class::COUNT]
            {
                return self.judge();
            }
            // What waits for its time.
            let wakes = self.workers.iter().filter_map(|worker| worker.poll_at);
            let next = match self.next {
                Next::At(time) => Some(time),
                _ => None,
            };
            let wake = wakes.chain(next).min();
            match wake {
                Some(time) if time > self.now => self.now = time,
                _ => self.now += Duration::from_millis(1),
            }
            // A poisoned store frees nothing any more.
            if self.controller.is_poisoned() && self.clients.is_empty() && idle > 200 {
                return self.judge();
            }
        }
        let stats: Vec<_> = self
            .workers
            .iter_mut()
            .map(|worker| worker.store.stats())
            .collect();
        panic!(
            "stuck: {:?}\n{stats:#?}\n{:#?}",
            self.clients,
            self.controller.stats()
        );
    }

    fn judge(&mut self) {
        self.contents.iter_mut().for_each(Content::settles);
        self.controller.check().expect("all space is accounted for");
        let space = self.controller.stats().space;
        let mut pooled = [0; Class::COUNT];
        for worker in &mut self.workers {
            worker.spoilt.clear();
            let stats = worker.store.stats();
            assert_eq!(
                (stats.write_memory, stats.gather_memory, stats.read_memory),
                (0, 0, 0),
                "memory is back"
            );
            for (sum, pool) in pooled.iter_mut().zip(stats.pools) {
                *sum += pool.free;
                if pool.target > 2 {
                    self.seen.count("pool grown");
                }
            }
            if stats.cache_hits > 0 {
                self.seen.count("get from cache");
            }
            if stats.unwritten > 0 {
                self.seen.count("confirmed without writing");
            }
        }
        let in_use = self.buffers.stats().bytes_in_use;
        assert_eq!(in_use, 0, "buffers are back");
        if self.controller.is_poisoned() {
            return;
        }
        assert_eq!(
            space.leased, pooled,
            "every lease is with the pool that has it"
        );
        let mut stored = [0; Class::COUNT];
        let scanned = self.index.clone().scan(&mut |_, record| {
            stored[record.block.class().index()] += 1;
            Ok(())
        });
        scanned.expect("rows are whole");
        assert_eq!(space.stored, stored, "what is stored is in the index");
    }

    /// A content rots, is found damaged, comes again, and is right again.
    fn mend(&mut self, worker: usize, bytes: &mut Bytes<'_>) {
        self.rot(bytes);
        let rotten = self
            .contents
            .iter()
            .position(|content| content.rotten_at == self.next_user);
        let (Some(content), 0) = (rotten, bytes.below(2)) else {
            return;
        };
        self.look(worker, content);
        self.rest();
        self.put(worker, &mut Bytes(&[content as u8, 1]));
        self.rest();
        self.look(worker, content);
        self.rest();
    }

    fn crash(&mut self) {
        self.seen.count("crash");
        let is_relaxed = !self.controller_config.durability.is_durable();
        let unsynced = self.index.unsynced_count();
        let had_journal = self.controller.stats().journaled > 0;
        self.index = self.index.crash(&mut self.prng);
        if self.controller.is_poisoned() {
            let is_sync = self.medium.has_failed();
            self.seen.count(if is_sync {
                "sync failed"
            } else {
                "commit failed"
            });
        }
        let (medium, lost) = self.medium.crash(&mut self.prng);
        self.medium = medium;
        if lost > 0 {
            self.seen.count("crash with unsynced writes lost");
        }
        self.clients.clear();
        self.replies.clear();
        self.leases.clear();
        self.referred.clear();
        self.made = Made {
            no_space: self.made.no_space,
            ..Made::default()
        };
        for content in &mut self.contents {
            content.crashes();
            if content.is_rotten && had_journal {
                // In the last entry it cannot be told from one that was never written.
                content.state = State::Unknown;
            }
            if is_relaxed {
                // What was lost was never promised; what is half there is found by its sums.
                content.state = State::Unknown;
                content.is_rotten = true;
            }
        }
        if !is_relaxed && unsynced > 0 {
            assert!(
                had_journal,
                "a durable store without a journal syncs each commit"
            );
            self.seen.count("crash with commits only the journal has");
        }
        self.reader = self.index.reader().expect("as many as are wanted");
        let workers = self.workers.len();
        self.controller = open(&self.index, &self.medium, &self.controller_config, workers);
        self.start_workers(workers);
        self.next = Next::Idle;
        self.controller
            .check()
            .expect("the free map is what the index leaves");
    }
}

fn open(
    index: &MemoryIndex,
    medium: &Medium,
    config: &ControllerConfig,
    workers: usize,
) -> Controller {
    let (index, medium) = (Box::new(index.clone()), Box::new(medium.clone()));
    Controller::new(index, medium, config.clone(), workers).expect("index and file agree")
}
