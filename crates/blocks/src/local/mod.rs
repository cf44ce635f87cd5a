//! The store on one worker: bodies in, verified contents out, file operations and requests for others to carry.
//!
//! ```text
//!                 put_begin, put_data, put_end          get_begin, get_start, get_poll      delete, missing, refer, …
//!                           │                                    │                                 │
//!   requests ◀──────────  puts ◀── pools of leased blocks       gets ◀── cache, pins             calls ─────▶ requests
//!   (controller)            │ writes                             │ reads
//!   replies ──▶             ▼                                    ▼
//!                        file operations (driver) ── results ─▶ handle_read, handle_written ─▶ events
//! ```
//!
//! Call what happened ([`LocalStore::handle_reply`], [`LocalStore::handle_read`], [`LocalStore::handle_written`], commands),
//! then [`LocalStore::poll`], then carry away `requests`, `file_ops` and `events`; a round of that brings a request as far as
//! it can go. No I/O, clock, thread or socket is known here.
//!
//! | file | noun |
//! |---|---|
//! | `put`, `puts` | one PUT; all of a worker |
//! | `body` | pieces of a body, copied and summed |
//! | `get`, `gets` | one GET; all of a worker |
//! | `hashing` | what is to be hashed, of several contents at the same time |
//! | `cache`, `pins` | contents kept; epochs that reads hold up |
//! | `flights` | contents being read that several wait for |
//! | `outcome` | what came of a read or a write |
//! | `calls` | everything else that is asked for |
//! | `lookups` | which of many blocks are missing |
//! | `desk`, `budget` | what all of them share; bounds on memory |
//! | `event` | what comes out |

mod body;
mod budget;
mod cache;
mod calls;
mod desk;
mod event;
mod flights;
mod get;
mod gets;
mod hashing;
mod lookups;
mod outcome;
mod pins;
mod put;
mod puts;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

use hioload_base::{Key, LimitError, Time};
use hioload_mem::{Buffer, BufferPool, Segment};

use self::cache::Cache;
use self::desk::{Asked, Desk, Owner};
use self::get::Source;
use self::gets::Gets;
use self::hashing::{Contents, Hashing};
use self::lookups::Lookups;
use self::puts::Puts;
use crate::class::Class;
use crate::config::LocalConfig;
use crate::fault::{Fault, PutError};
use crate::hash::{Hash, Hasher};
use crate::index::IndexReader;
use crate::lanes::LANES_MAX;
use crate::message::{Reply, Request};
use crate::pools::{Given, Refill};
use crate::record::Record;
use crate::stats::LocalStats;

pub use self::event::{Event, FileOp, GetBegin, GetHead, GetKey, GetPoll, PutKey};

/// Requests that wait for memory and are tried again in one call of [`LocalStore::poll`].
const RETRIED_MAX: usize = 64;

/// How soon they are tried again when nothing else happens.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// The store of one worker.
pub struct LocalStore {
    desk: Desk,
    puts: Puts,
    gets: Gets,
    hashing: Hashing,
    lookups: Lookups,
    reader: Box<dyn IndexReader>,
    scratch: Record,
}

impl LocalStore {
    /// A store with empty pools: the first [`LocalStore::poll`] asks for blocks. `buffers` may be shared with the worker's
    /// sockets.
    ///
    /// # Errors
    /// A value of the configuration that is out of its limit.
    pub fn new(
        config: LocalConfig,
        reader: Box<dyn IndexReader>,
        buffers: BufferPool,
    ) -> Result<LocalStore, LimitError> {
        config.check()?;
        let cache = Cache::new(config.cache_size, config.cache_block_max as usize);
        Ok(LocalStore {
            puts: Puts::new(config.puts_max),
            gets: Gets::new(config.gets_max, cache),
            desk: Desk::new(config, buffers),
            hashing: Hashing::default(),
            lookups: Lookups::new(),
            reader,
            scratch: Record::blank(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &LocalConfig {
        &self.desk.config
    }

    /// A sync or commit failed: nothing is changed any more before the store is opened again.
    pub fn is_poisoned(&self) -> bool {
        self.desk.is_poisoned
    }

    // PUT.

    /// Begins a PUT of a content with this name, or of one that is named when it is there; of this length, or of one that shows.
    /// `user` comes back with its events.
    ///
    /// # Errors
    /// The content can have no block, or the environment is in the way: nothing began, the body need not be read.
    pub fn put_begin(
        &mut self,
        now: Time,
        user: u64,
        expected: Option<Hash>,
        length: Option<u32>,
    ) -> Result<PutKey, PutError> {
        self.desk.now = now;
        let LocalStore {
            desk, puts, reader, ..
        } = self;
        puts.begin(desk, reader.as_mut(), user, expected, length)
    }

    /// Bytes the body may bring now. At 0 hold its socket until [`Event::PutReady`]. A stale key takes everything.
    pub fn put_room(&mut self, key: PutKey) -> usize {
        self.puts.room(&mut self.desk, key)
    }

    /// Takes as much of `bytes` as there is room for, and returns how much that was. Hold the rest, and the socket, until
    /// [`Event::PutReady`]. A PUT that failed, or a stale key, takes everything and drops it.
    pub fn put_data(&mut self, now: Time, key: PutKey, bytes: &[u8]) -> usize {
        self.desk.now = now;
        let taken = self
            .puts
            .data(&mut self.desk, &mut self.hashing, key, bytes);
        self.hash_if_full();
        taken
    }

    /// The body is whole. [`Event::Stored`] or [`Event::PutFailed`] follows.
    pub fn put_end(&mut self, now: Time, key: PutKey) {
        self.desk.now = now;
        self.puts.end(&mut self.desk, &mut self.hashing, key);
    }

    /// The body will not come, or nobody waits for the answer. No event follows. Nothing is stored unless the controller has
    /// been asked already.
    pub fn put_abort(&mut self, now: Time, key: PutKey) {
        self.desk.now = now;
        self.puts.abort(&mut self.desk, key);
    }

    // GET.

    /// Looks a block up, as it is now or was at the first call since the last [`LocalStore::poll`]: what was
    /// acknowledged before the input of a turn came is seen, if each turn ends with a poll. `user` comes back
    /// with the events.
    ///
    /// # Errors
    /// [`Fault::Busy`] at the limit of GETs, [`Fault::Index`] when the index cannot be read.
    pub fn get_begin(&mut self, now: Time, user: u64, hash: &Hash) -> Result<GetBegin, Fault> {
        self.desk.now = now;
        let LocalStore {
            desk, gets, reader, ..
        } = self;
        gets.begin(desk, reader.as_mut(), user, hash, Source::Any)
    }

    /// The same, to see what the medium has: nothing that was kept in memory is given out, and a whole block is verified by
    /// its hash, whatever the configuration says.
    ///
    /// # Errors
    /// As [`LocalStore::get_begin`].
    pub fn get_begin_from_medium(
        &mut self,
        now: Time,
        user: u64,
        hash: &Hash,
    ) -> Result<GetBegin, Fault> {
        self.desk.now = now;
        let LocalStore {
            desk, gets, reader, ..
        } = self;
        gets.begin(desk, reader.as_mut(), user, hash, Source::Medium)
    }

    /// Says which bytes are wanted, cut to what there is. Once, after the block was found.
    pub fn get_start(&mut self, key: GetKey, range: Range<u32>) {
        self.gets.start(&mut self.desk, key, range);
    }

    /// Adds to `out` what is verified, at most `room` bytes, and reads about as much ahead.
    pub fn get_poll(
        &mut self,
        now: Time,
        key: GetKey,
        room: usize,
        out: &mut Vec<Segment>,
    ) -> GetPoll {
        self.desk.now = now;
        self.gets.poll(&mut self.desk, key, room, out)
    }

    /// Nobody wants the rest. No event follows.
    pub fn get_abort(&mut self, now: Time, key: GetKey) {
        self.desk.now = now;
        self.gets.abort(&mut self.desk, key);
    }

    // What comes in.

    /// The controller's answer.
    pub fn handle_reply(&mut self, now: Time, reply: Reply) {
        self.desk.now = now;
        self.gets.forget_found();
        let id = match &reply {
            Reply::Retire { epoch } => return self.gets.retire(&mut self.desk, *epoch),
            Reply::Recall => return self.recall(),
            Reply::Found { id, .. }
            | Reply::Missing { id }
            | Reply::Leased { id, .. }
            | Reply::Stored { id, .. }
            | Reply::Released { id, .. }
            | Reply::ReleasedMany { id, .. }
            | Reply::Promised { id, .. }
            | Reply::Referred { id, .. }
            | Reply::Unreferred { id, .. }
            | Reply::Failed { id, .. } => *id,
        };
        let Some(asked) = self.desk.answered(id) else {
            debug_assert!(false, "invariant: a request is answered once");
            return;
        };
        if matches!(
            reply,
            Reply::Failed {
                fault: Fault::Poisoned,
                ..
            }
        ) {
            self.poison();
        }
        match (asked, reply) {
            (Asked::Lease { class, refill }, reply) => self.handle_lease(class, refill, reply),
            (Asked::Put(put), reply) => self.handle_put(put, &reply),
            (Asked::Lookup(get), Reply::Found { record, .. }) => {
                self.gets.found(&mut self.desk, get, *record);
            }
            (Asked::Lookup(get), Reply::Failed { fault, .. }) => {
                self.gets.not_found(&mut self.desk, get, Some(fault));
            }
            (Asked::Lookup(get), _) => self.gets.not_found(&mut self.desk, get, None),
            (asked, reply) => self.finish_call(asked, reply),
        }
    }

    /// The driver's result for a [`FileOp::Read`]: bytes read, or the system's error number, and the buffer.
    pub fn handle_read(
        &mut self,
        now: Time,
        token: u64,
        result: Result<usize, i32>,
        buffer: Buffer,
    ) {
        self.desk.now = now;
        let LocalStore {
            desk,
            gets,
            hashing,
            ..
        } = self;
        let pending = desk.finished(token);
        if let Some((pending, Owner::Get(key))) = pending.map(|pending| (pending, pending.owner)) {
            gets.read(desk, hashing, key, pending, result, buffer);
            self.hash_if_full();
        } else {
            debug_assert!(false, "invariant: a read ends once");
        }
    }

    /// The driver's result for a [`FileOp::Write`]: bytes written, or the system's error number.
    pub fn handle_written(&mut self, now: Time, token: u64, result: Result<usize, i32>) {
        self.desk.now = now;
        let LocalStore { desk, puts, .. } = self;
        let pending = desk.finished(token);
        if let Some((pending, Owner::Put(key))) = pending.map(|pending| (pending, pending.owner)) {
            puts.written(desk, key, pending, result);
        } else {
            debug_assert!(false, "invariant: a write ends once");
        }
    }

    /// Hashes everything that came: for who has nothing else to do until it is written.
    pub fn hash(&mut self) {
        self.hash_in(1);
    }

    /// The end of a turn: hashes what came, or leaves a little of it to the next; keeps the pools filled, goes on with long
    /// questions, and tries again what found no memory. Returns when to call again if nothing else happens before; `now` when there is more to do at once.
    pub fn poll(&mut self, now: Time) -> Option<Time> {
        self.desk.now = now;
        self.gets.forget_found();
        let is_hashing = self.end_turn();
        self.puts.admit(&mut self.desk);
        for _ in 0..self.desk.waiting.len().min(RETRIED_MAX) {
            let Some(owner) = self.desk.waiting.pop_front() else {
                break;
            };
            let is_served = match owner {
                Owner::Put(key) => self.puts.retry(&mut self.desk, key),
                Owner::Get(key) => self.gets.retry(&mut self.desk, key),
            };
            if !is_served {
                // It stands at the end of the line now; the others want the same, or wait for another turn.
                break;
            }
        }
        self.lookups.renew();
        self.look_up();
        let go_on_at = (is_hashing || self.lookups.len() > 0).then_some(now);
        // Buffers come back without a word when sockets have sent them.
        let retry_at = (!self.desk.waiting.is_empty()).then_some(now + RETRY_PAUSE);
        let retry_at = go_on_at.or(retry_at);
        if self.desk.is_poisoned {
            return retry_at;
        }
        for class in Class::ALL {
            while let Some(block) = self.desk.pools.shrink(now, class) {
                self.desk.give_up(block);
            }
            while let Some(refill) = self.desk.pools.ask(now, class) {
                let Refill { count, needed } = refill;
                self.desk
                    .ask(Asked::Lease { class, refill }, |id| Request::Lease {
                        id,
                        class,
                        count,
                        needed,
                    });
            }
        }
        self.desk.pools.deadline().into_iter().chain(retry_at).min()
    }

    // What goes out.

    /// The next request for the controller, if its queue has room.
    pub fn next_request(&mut self) -> Option<Request> {
        self.desk.requests.pop_front()
    }

    /// Puts a request back that found no room: it is the next again.
    pub fn put_back(&mut self, request: Request) {
        self.desk.requests.push_front(request);
    }

    /// The next operation for the driver.
    pub fn next_file_op(&mut self) -> Option<FileOp> {
        self.desk.file_ops.pop_front()
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.desk.events.pop_front()
    }

    /// There is an event to take.
    pub fn has_events(&self) -> bool {
        !self.desk.events.is_empty()
    }

    /// There is an operation for the driver.
    pub fn has_file_ops(&self) -> bool {
        !self.desk.file_ops.is_empty()
    }

    /// There is much to be hashed: what is to go on meanwhile should begin before [`LocalStore::poll`].
    pub fn has_much_to_hash(&self) -> bool {
        self.hashing.is_long()
    }

    /// There is a request to carry.
    pub fn has_requests(&self) -> bool {
        !self.desk.requests.is_empty()
    }

    /// Nothing goes on: no PUT, GET or call, nothing in flight, nothing to carry away.
    pub fn is_idle(&self) -> bool {
        let desk = &self.desk;
        let out = desk.requests.len() + desk.file_ops.len() + desk.events.len();
        let asked = self.lookups.len() + desk.unanswered();
        self.puts.len() + self.gets.len() + asked + desk.in_flight() + out == 0
    }

    /// Returns the blocks that are ready, for a worker that stops.
    pub fn return_blocks(&mut self) {
        let Desk {
            pools, requests, ..
        } = &mut self.desk;
        requests.extend(pools.drain().map(|block| Request::Return {
            block,
            is_suspect: false,
        }));
    }

    /// What was done, and what goes on.
    pub fn stats(&mut self) -> LocalStats {
        let desk = &self.desk;
        let (cache_bytes, cache_entries) = self.gets.cache().size();
        LocalStats {
            pools: desk.pools.stats(),
            puts: self.puts.len() as u64,
            gets: self.gets.len() as u64,
            calls: (desk.call_count + self.lookups.len()) as u64,
            requests_queued: desk.requests.len() as u64,
            write_memory: desk.write_memory.used() as u64,
            gather_memory: desk.gather_memory.used() as u64,
            read_memory: desk.read_memory.used() as u64,
            cache_bytes: cache_bytes as u64,
            cache_entries: cache_entries as u64,
            cache_evictions: self.gets.cache().evictions(),
            ..desk.stats.clone()
        }
    }

    /// Hashes while it is in the nearer caches, if there is much.
    fn hash_if_full(&mut self) {
        if self.hashing.is_full() {
            self.hash_in(LANES_MAX);
        }
    }

    /// Hashes at the end of a turn. True when something is left for the next.
    fn end_turn(&mut self) -> bool {
        let (hashing, mut contents) = self.parts();
        hashing.end_turn(&mut contents)
    }

    fn hash_in(&mut self, lanes_min: usize) {
        let (hashing, mut contents) = self.parts();
        hashing.run(&mut contents, lanes_min);
    }

    fn parts(&mut self) -> (&mut Hashing, All<'_>) {
        let contents = All {
            desk: &mut self.desk,
            puts: &mut self.puts,
            gets: &mut self.gets,
            reader: self.reader.as_mut(),
        };
        (&mut self.hashing, contents)
    }

    /// Nothing will be stored any more: who waits for a block is told.
    fn poison(&mut self) {
        let LocalStore { desk, puts, .. } = self;
        if std::mem::replace(&mut desk.is_poisoned, true) {
            return;
        }
        for class in Class::ALL {
            for put in desk.pools.forget_all(class) {
                puts.refused(desk, put, Fault::Poisoned);
            }
        }
    }

    /// A PUT somewhere finds no space: it gets what is at hand here.
    fn recall(&mut self) {
        let desk = &mut self.desk;
        for class in Class::ALL {
            loop {
                let blocks = desk.pools.recall(desk.now, class);
                if blocks.is_empty() {
                    break;
                }
                desk.requests.push_back(Request::ReturnMany { blocks });
            }
        }
        desk.requests.push_back(Request::Recalled);
    }

    fn handle_lease(&mut self, class: Class, refill: Refill, reply: Reply) {
        let LocalStore { desk, puts, .. } = self;
        match reply {
            Reply::Leased { blocks, .. } => {
                desk.pools.answered(class, refill, blocks.len());
                for block in blocks.iter() {
                    match desk.pools.arrived(block) {
                        Given::To(put) => puts.leased(desk, put, block),
                        Given::Kept => {}
                        Given::Surplus => desk.give_up(block),
                    }
                }
            }
            Reply::Failed {
                fault: Fault::Busy, ..
            } => desk.pools.postponed(desk.now, class, refill),
            reply => {
                let fault = match reply {
                    Reply::Failed { fault, .. } => fault,
                    _ => Fault::Misuse,
                };
                for put in desk.pools.refused(desk.now, class, refill) {
                    puts.refused(desk, put, fault);
                }
            }
        }
    }

    fn handle_put(&mut self, put: Key, reply: &Reply) {
        let LocalStore { desk, puts, .. } = self;
        match reply {
            Reply::Stored {
                outcome,
                is_durable,
                ..
            } => puts.stored(desk, put, *outcome, *is_durable),
            Reply::Missing { .. } => puts.vanished(desk, put),
            Reply::Failed { fault, .. } => puts.failed(desk, put, *fault),
            _ => puts.failed(desk, put, Fault::Misuse),
        }
    }
}

impl std::fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalStore")
            .field("puts", &self.puts.len())
            .field("gets", &self.gets.len())
            .field("unanswered", &self.desk.unanswered())
            .field("in_flight", &self.desk.in_flight())
            .finish_non_exhaustive()
    }
}

/// The contents of PUTs and GETs.
struct All<'a> {
    desk: &'a mut Desk,
    puts: &'a mut Puts,
    gets: &'a mut Gets,
    reader: &'a mut dyn IndexReader,
}

impl Contents for All<'_> {
    fn hasher(&self, owner: Owner) -> Option<&Hasher> {
        match owner {
            Owner::Put(key) => self.puts.hasher(key),
            Owner::Get(key) => self.gets.hasher(key),
        }
    }

    fn bytes(&self, owner: Owner, at: u64) -> &[u8] {
        match owner {
            Owner::Put(key) => self.puts.bytes(key, at),
            Owner::Get(key) => self.gets.bytes(key, at),
        }
    }

    fn hashed(&mut self, owner: Owner, hasher: Hasher, is_all: bool) {
        let (desk, reader) = (&mut *self.desk, &mut *self.reader);
        match owner {
            Owner::Put(key) => self.puts.hashed(desk, reader, key, hasher, is_all),
            Owner::Get(key) => self.gets.hashed(desk, key, hasher, is_all),
        }
    }

    fn may_wait(&self, owner: Owner) -> bool {
        match owner {
            Owner::Put(key) => self.puts.may_wait(key),
            Owner::Get(_) => false,
        }
    }
}
