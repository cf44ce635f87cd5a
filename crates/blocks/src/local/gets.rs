//! The GETs of one worker: addresses looked up, pieces read as far as the socket takes them, verified before a byte goes out.
//!
//! A read that fails, or brings something else than was stored, is repeated once from the medium; then the content is
//! damaged: the carrier is told, and so is the controller, which lists it. Must not know sockets or HTTP.
//!
//! Of many who ask for the same content while it is being read, one reads, verifies and keeps it for all.
//!
//! Invariants: a GET is pinned from the moment its address is looked up until nothing is or will be read for it, so that its
//! block cannot have another content meanwhile; every GET ends with its last byte, one final event, or an abort.

use std::ops::Range;

use hioload_base::{Key, Slab};
use hioload_mem::{Buffer, Segment};

use super::cache::Cache;
use super::desk::{Asked, Desk, Owner, Pending};
use super::event::{Event, GetBegin, GetHead, GetKey, GetPoll};
use super::flights::Flights;
use super::get::{Get, Piece, Source, Stage};
use super::hashing::Hashing;
use super::outcome::{self, Read};
use super::pins::Pins;
use crate::class::UNIT;
use crate::config::{LookupBy, Verify};
use crate::fault::{Damage, Fault};
use crate::hash::{Hash, Hasher};
use crate::index::{IndexError, IndexReader};
use crate::message::Request;
use crate::record::Record;
use crate::sums::Sums;

/// Records kept to be read into again.
const SPARE_MAX: usize = 64;

/// Long contents that are gathered for the cache at a time: each takes the memory of the longest.
const KEPT_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Gets {
    slots: Slab<Get>,
    pins: Pins,
    cache: Cache,
    flights: Flights,
    /// GETs that gather their content for the cache.
    kept_count: usize,
    spare: Vec<Record>,
    /// The small block that was looked up last, since the last poll.
    last_found: Option<(Hash, Record)>,
}

impl Gets {
    pub(super) fn new(limit: usize, cache: Cache) -> Gets {
        Gets {
            slots: Slab::with_limit(limit),
            pins: Pins::default(),
            cache,
            flights: Flights::new(limit),
            kept_count: 0,
            spare: Vec::new(),
            last_found: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn cache(&mut self) -> &mut Cache {
        &mut self.cache
    }

    // What the carrier of the request calls.

    pub(super) fn begin(
        &mut self,
        desk: &mut Desk,
        reader: &mut dyn IndexReader,
        user: u64,
        hash: &Hash,
        source: Source,
    ) -> Result<GetBegin, Fault> {
        if self.slots.is_full() {
            return Err(Fault::Busy);
        }
        let mut record = self.spare.pop().unwrap_or_else(Record::blank);
        if desk.config.lookup_by == LookupBy::Controller {
            let mut get = Get::new(user, *hash, record, source);
            get.stage = Stage::Asking;
            let key = self.slots.insert(get).map_err(|_| Fault::Busy)?;
            let hash = *hash;
            desk.ask(Asked::Lookup(key), |id| Request::Lookup { id, hash });
            return Ok(GetBegin::Asked(GetKey(key)));
        }
        match self.lookup(reader, hash, &mut record) {
            Ok(true) => {}
            found => {
                self.keep_spare(record);
                found.map_err(|error| Fault::from(&error))?;
                desk.stats.missing += 1;
                self.cache.remove(hash);
                return Ok(GetBegin::Missing);
            }
        }
        let key = self
            .slots
            .insert(Get::new(user, *hash, record, source))
            .map_err(|_| Fault::Busy)?;
        Ok(GetBegin::Found(GetKey(key), self.open(desk, key)))
    }

    /// Reads the record of a block. Of many who ask for one small block between two polls, such as those to
    /// whom it was just announced, the first reads for all.
    fn lookup(
        &mut self,
        reader: &mut dyn IndexReader,
        hash: &Hash,
        into: &mut Record,
    ) -> Result<bool, IndexError> {
        if let Some((last, record)) = &self.last_found
            && last == hash
        {
            into.clone_from(record);
            return Ok(true);
        }
        let is_there = reader.block(hash, into)?;
        if is_there && matches!(into.sums, Sums::One(_)) {
            self.last_found = Some((*hash, into.clone()));
        }
        Ok(is_there)
    }

    /// What was found may have changed since.
    pub(super) fn forget_found(&mut self) {
        self.last_found = None;
    }

    /// The controller found it.
    pub(super) fn found(&mut self, desk: &mut Desk, key: Key, record: Record) {
        let Some(get) = self.slots.get_mut(key) else {
            return;
        };
        if get.stage == Stage::Closing {
            return self.remove(desk, key);
        }
        get.record = record;
        get.stage = Stage::Found;
        let user = get.user;
        let head = self.open(desk, key);
        desk.events.push_back(Event::GetFound {
            key: GetKey(key),
            user,
            head,
        });
    }

    /// The controller did not find it: because of `fault`, or because it is not there.
    pub(super) fn not_found(&mut self, desk: &mut Desk, key: Key, fault: Option<Fault>) {
        let Some(get) = self.slots.get(key) else {
            return;
        };
        let (user, hash) = (get.user, get.hash);
        if get.stage != Stage::Closing {
            let key = GetKey(key);
            desk.events.push_back(match fault {
                Some(fault) => Event::GetFailed { key, user, fault },
                None => Event::GetMissing { key, user },
            });
            desk.stats.missing += u64::from(fault.is_none());
        }
        if fault.is_none() {
            self.cache.remove(&hash);
        }
        self.remove(desk, key);
    }

    pub(super) fn start(&mut self, desk: &mut Desk, key: GetKey, range: Range<u32>) {
        if let Some(get) = self.slots.get_mut(key.0)
            && get.stage == Stage::Found
        {
            let with_hash = is_hashed(desk, get);
            get.start(range, with_hash);
            let length = get.record.length;
            // A content of one piece is kept whenever it is verified.
            get.is_to_be_kept = get.cached.is_none()
                && get.source == Source::Any
                && get.is_whole()
                && length > desk.config.piece_size
                && self.cache.admits(&get.hash, length as usize);
        }
    }

    /// Gives out what is verified, as far as the socket has room, and reads on as far.
    pub(super) fn poll(
        &mut self,
        desk: &mut Desk,
        key: GetKey,
        room: usize,
        out: &mut Vec<Segment>,
    ) -> GetPoll {
        let Some(get) = self.slots.get_mut(key.0) else {
            return GetPoll::Gone;
        };
        match get.stage {
            Stage::Reading => {}
            Stage::Asking | Stage::Found => return GetPoll::Waiting,
            Stage::Closing => return GetPoll::Gone,
        }
        let mut left = room.min(get.rest() as usize);
        if let Some(content) = &mut get.cached {
            let part = content.split_to(left);
            left -= part.len();
            give(desk, get, part, out);
        }
        while left > 0 {
            let Some((content, memory)) = get.front().and_then(|piece| piece.ready.as_mut()) else {
                break;
            };
            let part = content.split_to(left.min(content.len()));
            left -= part.len();
            if content.is_empty() {
                desk.read_memory.give(*memory);
                get.window.pop_front();
            }
            if let Some(kept) = &mut get.kept {
                kept.extend_from_slice(&part);
            }
            give(desk, get, part, out);
        }
        if get.rest() == 0 {
            if let Some(kept) = get.kept.take() {
                let length = get.record.length as usize;
                self.kept_count -= 1;
                if kept.len() == length {
                    self.cache.insert(&get.hash, Segment::from_vec(kept));
                } else {
                    debug_assert!(false, "invariant: all that is given out is kept");
                    self.cache.give_back(length);
                }
            }
            self.remove(desk, key.0);
            return GetPoll::Done;
        }
        // As much again is read ahead while the socket sends this.
        get.room = room;
        get.wants_more = left > 0;
        self.read_on(desk, key.0);
        if left > 0 {
            GetPoll::Waiting
        } else {
            GetPoll::More
        }
    }

    pub(super) fn abort(&mut self, desk: &mut Desk, key: GetKey) {
        self.close(desk, key.0);
    }

    // What happens meanwhile.

    pub(super) fn read(
        &mut self,
        desk: &mut Desk,
        hashing: &mut Hashing,
        key: Key,
        pending: Pending,
        result: Result<usize, i32>,
        mut buffer: Buffer,
    ) {
        let Some(get) = self.slots.get_mut(key) else {
            debug_assert!(false, "invariant: a GET stays until its reads end");
            return;
        };
        get.reads -= 1;
        if get.stage == Stage::Closing {
            desk.read_memory.give(buffer.capacity());
            return self.close(desk, key);
        }
        let sums = get.checks_sums().then_some(&get.record.sums);
        match outcome::of_read(get.record.length, sums, &pending, result, &mut buffer) {
            Read::Whole => {}
            Read::Repeat => {
                desk.stats.short_ops += 1;
                let again = Pending {
                    repeats: pending.repeats + 1,
                    ..pending
                };
                return again_into(desk, get, again, buffer);
            }
            Read::Wrong(_) if !pending.is_second => {
                desk.stats.suspicious_reads += 1;
                let again = Pending {
                    repeats: 0,
                    is_second: true,
                    ..pending
                };
                return again_into(desk, get, again, buffer);
            }
            Read::Wrong(damage) => {
                desk.read_memory.give(buffer.capacity());
                return self.damaged(desk, key, damage);
            }
        }
        let memory = buffer.capacity();
        let size = buffer.len();
        let content = buffer.seal();
        if let Some(piece) = get
            .window
            .iter_mut()
            .find(|piece| piece.start == pending.start)
        {
            piece.ready = Some((content, memory));
        }
        if get.hasher.is_some() {
            hashing.add(Owner::Get(key), &mut get.is_in_line, size);
            return self.read_on(desk, key);
        }
        self.verified(desk, key, pending.start);
        self.read_on(desk, key);
        self.wake(desk, key);
    }

    // What is hashed.

    pub(super) fn hasher(&self, key: Key) -> Option<&Hasher> {
        let get = self.slots.get(key)?;
        get.hasher.as_ref().filter(|_| get.stage == Stage::Reading)
    }

    pub(super) fn bytes(&self, key: Key, at: u64) -> &[u8] {
        self.slots.get(key).map_or(&[], |get| get.bytes(at))
    }

    /// So far the content is hashed: all that was read in order, or a part.
    pub(super) fn hashed(&mut self, desk: &mut Desk, key: Key, hasher: Hasher, is_all: bool) {
        let Some(get) = self.slots.get_mut(key) else {
            return;
        };
        get.is_in_line = !is_all;
        if hasher.length() < u64::from(get.record.length) {
            get.hasher = Some(hasher);
            return self.wake(desk, key);
        }
        get.hasher = None;
        if hasher.finish() != get.hash {
            return self.wrong_hash(desk, key);
        }
        if let Some(start) = get.window.back().map(|piece| piece.start) {
            self.verified(desk, key, start);
        }
        self.unpin(desk, key);
        self.wake(desk, key);
    }

    /// Freed blocks of this epoch wait for reads that began before now.
    pub(super) fn retire(&mut self, desk: &mut Desk, epoch: u64) {
        if let Some(epoch) = self.pins.retire(epoch) {
            desk.requests.push_back(Request::Retired { epoch });
        }
    }

    /// Tries again what found no memory, buffer or place. False when it still finds none.
    pub(super) fn retry(&mut self, desk: &mut Desk, key: Key) -> bool {
        let Some(get) = self.slots.get_mut(key) else {
            return true;
        };
        get.is_waiting = false;
        self.read_on(desk, key);
        self.slots.get(key).is_none_or(|get| !get.is_waiting)
    }

    /// The address is known: pins it, and looks whether the content is at hand.
    fn open(&mut self, desk: &mut Desk, key: Key) -> GetHead {
        let get = self
            .slots
            .get_mut(key)
            .expect("invariant: the caller has just seen it");
        desk.stats.found += 1;
        let length = get.record.length;
        if get.source == Source::Any && self.cache.takes(length as usize) {
            get.cached = self.cache.get(&get.hash);
            let count = match get.cached {
                Some(_) => &mut desk.stats.cache_hits,
                None => &mut desk.stats.cache_misses,
            };
            *count += 1;
        }
        if get.cached.is_none() {
            get.pin = Some(self.pins.pin());
        }
        GetHead {
            length,
            created_ms: get.record.created,
            is_damaged: get.record.is_damaged() && get.cached.is_none(),
        }
    }

    /// Begins as many reads as the socket has room for, unless somebody else reads the same.
    fn read_on(&mut self, desk: &mut Desk, key: Key) {
        let Some(get) = self.slots.get_mut(key) else {
            return;
        };
        if get.is_following {
            return;
        }
        if get.stage == Stage::Reading && get.cached.is_none() {
            let is_first = get.next == 0;
            let length = get.record.length as usize;
            let may_share = is_first && get.may_share() && self.cache.takes(length);
            if may_share && self.flights.follow(&get.hash, key) {
                get.is_following = true;
                return;
            }
            let end = get.range.end.next_multiple_of(UNIT as u32);
            while !get.is_all_asked()
                && get.window.len() < desk.config.depth
                && get.ahead() < get.room
            {
                let len = desk.config.piece_size.min(end - get.next);
                let buffer = match desk.has_place() {
                    true => Desk::buffer(&desk.buffers, &mut desk.read_memory, len as usize),
                    false => None,
                };
                let Some(buffer) = buffer else {
                    if !std::mem::replace(&mut get.is_waiting, true) {
                        desk.wait(Owner::Get(key));
                    }
                    break;
                };
                begin_read(desk, key, get, len, buffer);
            }
            if is_first {
                get.is_held = get.hasher.is_some() && get.is_all_asked();
            }
            let is_at_once = get.is_ready_at_once();
            if may_share && is_at_once {
                get.leads = self.flights.lead(&get.hash);
            }
            // Its first read has begun, so it will not follow: what it gives out from now on is all of it.
            if is_first
                && get.next > 0
                && !get.leads
                && std::mem::take(&mut get.is_to_be_kept)
                && self.kept_count < KEPT_MAX
                && self.cache.reserve(&get.hash, length)
            {
                self.kept_count += 1;
                get.kept = Some(Vec::with_capacity(length));
            }
            if is_first && !is_at_once {
                // When it is read a second time, and not at once: nobody waits for its socket.
                self.land(desk, key);
            }
        }
        let Some(get) = self.slots.get(key) else {
            return;
        };
        // A hash that does not agree has all of it read again.
        if get.is_all_asked() && get.reads == 0 && get.hasher.is_none() {
            self.unpin(desk, key);
        }
    }

    /// A piece is ready. What is now known to be right as a whole may be kept, and a record that says otherwise corrected.
    fn verified(&mut self, desk: &mut Desk, key: Key, start: u32) {
        let Some(get) = self.slots.get_mut(key) else {
            return;
        };
        let is_right =
            get.is_whole() && get.hasher.is_none() && get.is_all_asked() && get.reads == 0;
        if is_right && is_hashed(desk, get) && get.record.is_damaged() {
            desk.requests.push_back(Request::Sound {
                hash: get.hash,
                block: get.record.block,
            });
        }
        let Some(at) = get.window.iter().position(|piece| piece.start == start) else {
            return;
        };
        if let Some((content, memory)) = get.window[at].ready.take() {
            // Who goes through all blocks must not push out what others ask for.
            if is_right
                && get.source == Source::Any
                && content.len() == get.record.length as usize
                && self.cache.reserve(&get.hash, content.len())
            {
                self.cache.insert(&get.hash, Segment::copy_from(&content));
            }
            get.window[at].ready = Some((get.cut(content, start), memory));
        }
        if is_right {
            self.land(desk, key);
        }
    }

    /// Who leads has verified what it read, or ends without: its followers go on, if they can from the cache.
    fn land(&mut self, desk: &mut Desk, key: Key) {
        let Some(get) = self.slots.get_mut(key) else {
            return;
        };
        if !std::mem::take(&mut get.leads) {
            return;
        }
        let hash = get.hash;
        let followers = self.flights.land(&hash);
        let is_whole = get.ahead() == get.record.length as usize && get.reads == 0;
        let is_asked_again = std::mem::take(&mut get.is_to_be_kept) || !followers.is_empty();
        if is_whole && is_asked_again && self.cache.reserve(&hash, get.ahead()) {
            let ready = get
                .window
                .iter()
                .filter_map(|piece| piece.ready.as_ref())
                .map(|(content, _)| content.as_slice());
            let content = ready.collect::<Vec<_>>().concat();
            self.cache.insert(&hash, Segment::from_vec(content));
        }
        for key in followers {
            let Some(get) = self.slots.get_mut(key) else {
                continue;
            };
            if !std::mem::take(&mut get.is_following) {
                continue;
            }
            get.cached = self.cache.get(&hash);
            if get.cached.is_some() {
                desk.stats.shared_reads += 1;
                self.unpin(desk, key);
                self.wake(desk, key);
            } else {
                // Read well and not kept: one by one they would wait long for nothing.
                get.is_alone |= is_whole;
                self.read_on(desk, key);
            }
        }
    }

    /// The hash does not agree. All of it is read again; where it is wrong, its checksums tell then.
    fn wrong_hash(&mut self, desk: &mut Desk, key: Key) {
        let Some(get) = self.slots.get_mut(key) else {
            return;
        };
        if get.given > 0 || get.is_second {
            return self.damaged(desk, key, Damage::Hash);
        }
        desk.stats.suspicious_reads += 1;
        get.is_second = true;
        drop_window(desk, get);
        get.rewind(true);
        self.read_on(desk, key);
    }

    /// Who waited for it would find the same.
    fn damaged(&mut self, desk: &mut Desk, key: Key, damage: Damage) {
        if let Some(get) = self.slots.get_mut(key)
            && std::mem::take(&mut get.leads)
        {
            let hash = get.hash;
            for key in self.flights.land(&hash) {
                let get = self.slots.get_mut(key);
                if get.is_some_and(|get| std::mem::take(&mut get.is_following)) {
                    self.damaged(desk, key, damage);
                }
            }
        }
        let Some(get) = self.slots.get(key) else {
            return;
        };
        desk.stats.damaged += 1;
        desk.requests.push_back(Request::Damaged {
            hash: get.hash,
            block: get.record.block,
            damage,
        });
        let (is_whole, user, key_out) = (get.given == 0, get.user, GetKey(key));
        desk.events.push_back(if is_whole {
            Event::Damaged {
                key: key_out,
                user,
                damage,
            }
        } else {
            Event::Broken {
                key: key_out,
                user,
                damage,
            }
        });
        self.close(desk, key);
    }

    /// Tells a carrier that took all there was that there is more.
    fn wake(&mut self, desk: &mut Desk, key: Key) {
        if let Some(get) = self.slots.get_mut(key)
            && get.wants_more
            && (get.cached.is_some() || get.front().is_some())
        {
            get.wants_more = false;
            desk.events.push_back(Event::GetReady {
                key: GetKey(key),
                user: get.user,
            });
        }
    }

    /// Lets go of what is not in flight, and of the place when nothing is.
    fn close(&mut self, desk: &mut Desk, key: Key) {
        let Some(get) = self.slots.get_mut(key) else {
            return;
        };
        let is_asked = get.stage == Stage::Asking;
        get.stage = Stage::Closing;
        get.wants_more = false;
        get.is_following = false;
        drop_window(desk, get);
        let is_over = get.reads == 0 && !is_asked;
        self.land(desk, key);
        if is_over {
            self.remove(desk, key);
        }
    }

    fn remove(&mut self, desk: &mut Desk, key: Key) {
        self.unpin(desk, key);
        if let Some(mut get) = self.slots.remove(key) {
            drop_window(desk, &mut get);
            if get.kept.is_some() {
                self.kept_count -= 1;
                self.cache.give_back(get.record.length as usize);
            }
            self.keep_spare(get.record);
        }
    }

    fn unpin(&mut self, desk: &mut Desk, key: Key) {
        let pin = self.slots.get_mut(key).and_then(|get| get.pin.take());
        if let Some(epoch) = pin.and_then(|pin| self.pins.unpin(pin)) {
            desk.requests.push_back(Request::Retired { epoch });
        }
    }

    fn keep_spare(&mut self, record: Record) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(record);
        }
    }
}

/// A whole read is verified by its hash.
fn is_hashed(desk: &Desk, get: &Get) -> bool {
    desk.config.verify == Verify::Full || get.source == Source::Medium
}

fn give(desk: &mut Desk, get: &mut Get, part: Segment, out: &mut Vec<Segment>) {
    get.given += part.len() as u32;
    desk.stats.bytes_sent += part.len() as u64;
    if !part.is_empty() {
        out.push(part);
    }
}

fn begin_read(desk: &mut Desk, key: Key, get: &mut Get, len: u32, buffer: Buffer) {
    let start = get.next;
    get.next += len;
    get.reads += 1;
    get.window.push_back(Piece {
        start,
        end: (start + len).min(get.record.length),
        ready: None,
    });
    let pending = Pending {
        owner: Owner::Get(key),
        offset: get.record.block.offset() + u64::from(start),
        len,
        start,
        repeats: 0,
        is_second: false,
    };
    desk.read(pending, buffer);
}

/// Reads the same again: the place of the read that just ended is free.
fn again_into(desk: &mut Desk, get: &mut Get, pending: Pending, mut buffer: Buffer) {
    buffer.clear();
    get.reads += 1;
    desk.read(pending, buffer);
}

fn drop_window(desk: &mut Desk, get: &mut Get) {
    for piece in get.window.drain(..) {
        if let Some((_, memory)) = piece.ready {
            desk.read_memory.give(memory);
        }
    }
}
