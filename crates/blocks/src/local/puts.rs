//! The PUTs of one worker: bodies in, writes out, the controller asked.
//!
//! Must not know sockets or HTTP. Every PUT ends with exactly one event for who sent it, or with none when it was aborted;
//! its block is then with the index, in the pool, or returned. Nothing is named before all of it is written and the hash is
//! known to be right; which of the two is done first does not matter, for a block that is not named is nobody's.
//!
//! Pieces of a body are larger than configured, [`LARGE`] of them in one, as long as half of the memory is free: the system
//! does more with less, but a slow sender keeps more of it from others.
//!
//! A write that fails makes its block suspect: it is returned as such and not given out again, for what refused one
//! write may refuse the next. ENOSPC says nothing about the block, which goes back to its pool.

mod naming;

use std::collections::VecDeque;

use hioload_base::{Key, Slab};

use super::body::{Body, buffer_cost};
use super::desk::{Asked, Desk, Owner, Pending};
use super::event::{Event, PutKey};
use super::hashing::Hashing;
use super::outcome::{self, Written};
use super::put::{Hold, Piece, Place, Put, Stage};
use crate::block::Block;
use crate::class::{BLOCK_SIZE_MAX, Class};
use crate::fault::{Fault, PutError};
use crate::hash::Hash;
use crate::index::IndexReader;
use crate::message::{Request, Stored};
use crate::pools::Given;
use crate::record::Record;

#[derive(Debug)]
pub(super) struct Puts {
    slots: Slab<Put>,
    /// Those that wait for memory for a whole body, first come first.
    gathers: VecDeque<Key>,
    /// Read into again and again.
    scratch: Record,
    /// Empty queues that keep their memory for the next PUT.
    spare: Vec<VecDeque<Piece>>,
}

/// Queues kept.
const SPARE_MAX: usize = 64;

/// Pieces in one when memory is ample.
const LARGE: usize = 4;

impl Puts {
    pub(super) fn new(limit: usize) -> Puts {
        Puts {
            slots: Slab::with_limit(limit),
            gathers: VecDeque::new(),
            scratch: Record::blank(),
            spare: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    // What the carrier of the request calls.

    pub(super) fn begin(
        &mut self,
        desk: &mut Desk,
        reader: &mut dyn IndexReader,
        user: u64,
        expected: Option<Hash>,
        length: Option<u32>,
    ) -> Result<PutKey, PutError> {
        match length {
            Some(0) => return Err(PutError::Empty),
            Some(length) if length > BLOCK_SIZE_MAX => return Err(PutError::TooLong),
            _ => {}
        }
        if desk.is_poisoned {
            return Err(Fault::Poisoned.into());
        }
        if self.slots.is_full() {
            return Err(Fault::Busy.into());
        }
        let is_present = expected.is_some_and(|hash| self.is_stored(reader, &hash));
        let piece_size = desk.config.piece_size_of(length.unwrap_or(u32::MAX));
        let mut put = Put::new(user, expected, length, piece_size);
        let (class, reserved) = match length {
            Some(length) => (Class::for_length(length), whole_cost(length, piece_size)),
            None => (None, whole_cost(BLOCK_SIZE_MAX, piece_size)),
        };
        // A content that seems to be stored is not written again; without memory to hold it, it is written after all.
        let gathers = is_present || length.is_none();
        if gathers && self.gathers.is_empty() && desk.gather_memory.try_take(reserved) {
            put.hold = Hold::Gather {
                is_present,
                reserved,
            };
        } else if length.is_none() {
            put.hold = Hold::WaitToGather;
        } else if class.is_some_and(|class| desk.pools.is_exhausted(desk.now, class)) {
            return Err(Fault::NoSpace.into());
        }
        put.queue = self.spare.pop().unwrap_or_default();
        let waits = put.hold == Hold::WaitToGather;
        let key = self.slots.insert(put).map_err(|_| Fault::Busy)?;
        if waits {
            self.gathers.push_back(key);
        }
        Ok(PutKey(key))
    }

    /// How much the body may bring now; a buffer for it is taken. What is stale or failed takes everything, and drops it.
    pub(super) fn room(&mut self, desk: &mut Desk, key: PutKey) -> usize {
        let Some(put) = self.slots.get_mut(key.0) else {
            return usize::MAX;
        };
        let room = room(desk, key.0, put);
        put.wants_room = room == 0 && put.stage == Stage::Body;
        room
    }

    /// Takes what there is room for and returns how much that was.
    pub(super) fn data(
        &mut self,
        desk: &mut Desk,
        hashing: &mut Hashing,
        key: PutKey,
        bytes: &[u8],
    ) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.room(desk, key);
            let Some(put) = self.slots.get_mut(key.0) else {
                return bytes.len();
            };
            if put.stage == Stage::Closing {
                return bytes.len();
            }
            if rest.len() > put.rest() as usize {
                let error = match put.length {
                    None => PutError::TooLong,
                    Some(expected) => PutError::Length {
                        expected,
                        received: put.received.saturating_add(rest.len() as u32),
                    },
                };
                self.fail(desk, key.0, error);
                return bytes.len();
            }
            if room == 0 {
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            put.received += now.len() as u32;
            desk.stats.bytes_received += now.len() as u64;
            let body = put
                .body
                .as_mut()
                .expect("invariant: a body that comes has its hasher");
            let piece = body.add(now);
            hashing.add(Owner::Put(key.0), &mut put.is_in_line, now.len());
            if let Some(piece) = piece {
                let size = piece.len();
                put.add_piece(piece, size);
                self.advance(desk, key.0);
            }
            rest = later;
        }
        bytes.len() - rest.len()
    }

    pub(super) fn end(&mut self, desk: &mut Desk, hashing: &mut Hashing, key: PutKey) {
        let Some(put) = self.slots.get_mut(key.0) else {
            return;
        };
        if put.stage != Stage::Body {
            return;
        }
        let received = put.received;
        let error = match put.length {
            Some(expected) if expected != received => Some(PutError::Length { expected, received }),
            None if received == 0 => Some(PutError::Empty),
            _ => None,
        };
        if let Some(error) = error {
            return self.fail(desk, key.0, error);
        }
        put.stage = Stage::Hashing;
        let size = put.body.as_ref().map_or(0, |body| body.begun().len());
        match put.body.as_mut().and_then(Body::end) {
            Some(last) if size > 0 => put.add_piece(last, size),
            // Begun for bytes that never came: the body ended where the piece before it did.
            Some(empty) => give_memory(desk, put, empty.capacity()),
            None => {}
        }
        hashing.add(Owner::Put(key.0), &mut put.is_in_line, 0);
        self.advance(desk, key.0);
    }

    pub(super) fn abort(&mut self, desk: &mut Desk, key: PutKey) {
        let Some(put) = self.slots.get_mut(key.0) else {
            return;
        };
        put.is_silent = true;
        match put.stage {
            // What the controller decides is done; only nobody is told.
            Stage::Asking { .. } | Stage::Closing => {}
            Stage::Body | Stage::Hashing | Stage::Flushing => self.close(desk, key.0),
        }
    }

    // What happens meanwhile.

    /// The block it waited for, or one that came back.
    pub(super) fn leased(&mut self, desk: &mut Desk, key: Key, block: Block) {
        match self.slots.get_mut(key) {
            Some(put) if put.awaits == Some(block.class()) => {
                put.awaits = None;
                put.block = Some(block);
                self.advance(desk, key);
                self.wake(desk, key);
            }
            _ => self.give_back(desk, block, false),
        }
    }

    /// There is none.
    pub(super) fn refused(&mut self, desk: &mut Desk, key: Key, fault: Fault) {
        if let Some(put) = self.slots.get_mut(key) {
            put.awaits = None;
            self.fail(desk, key, fault.into());
        }
    }

    pub(super) fn written(
        &mut self,
        desk: &mut Desk,
        key: Key,
        pending: Pending,
        result: Result<usize, i32>,
    ) {
        let Some(put) = self.slots.get_mut(key) else {
            debug_assert!(false, "invariant: a PUT stays until its writes end");
            return;
        };
        let is_closing = put.stage == Stage::Closing;
        put.writes -= 1;
        let piece = put
            .piece_at(pending.start)
            .expect("invariant: a piece stays until it is written");
        piece.place = Place::Written;
        match outcome::of_write(result, pending.len as usize, pending.repeats) {
            Written::Part(size) if !is_closing => {
                let again = Pending {
                    offset: pending.offset + size as u64,
                    start: pending.start + size as u32,
                    len: pending.len - size as u32,
                    repeats: if size == 0 { pending.repeats + 1 } else { 0 },
                    ..pending
                };
                piece.place = Place::Writing;
                let rest = piece.content.slice((again.start - piece.start) as usize..);
                desk.stats.short_ops += 1;
                put.writes += 1;
                // The place of the write that just ended is free.
                return desk.write(again, rest);
            }
            Written::Whole | Written::Part(_) => {}
            Written::Failed(fault) => {
                desk.stats.write_errors += 1;
                put.is_suspect |= fault != Fault::NoSpace;
                return self.fail(desk, key, fault.into());
            }
        }
        if is_closing {
            return self.close(desk, key);
        }
        self.settle(desk, key);
        self.advance(desk, key);
        self.wake(desk, key);
    }

    /// The controller's word on [`Request::Occupy`] or [`Request::Confirm`].
    pub(super) fn stored(&mut self, desk: &mut Desk, key: Key, outcome: Stored, is_durable: bool) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        let Some((hash, _)) = put.named else {
            return;
        };
        if outcome != Stored::Present {
            put.block = None;
        }
        match outcome {
            Stored::Present => {
                desk.stats.present += 1;
                let was_written = matches!(put.stage, Stage::Asking { is_written: true });
                desk.stats.unwritten += u64::from(!was_written);
            }
            Stored::New | Stored::Repaired => {
                desk.stats.stored += 1;
                desk.events.push_back(Event::Added { hash });
            }
        }
        if !put.is_silent {
            desk.events.push_back(Event::Stored {
                key: PutKey(key),
                user: put.user,
                hash,
                length: put.received,
                outcome,
                is_durable,
            });
        }
        put.is_silent = true;
        self.close(desk, key);
    }

    /// What was to be confirmed is gone, or damaged: it is written after all.
    pub(super) fn vanished(&mut self, desk: &mut Desk, key: Key) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        put.stage = Stage::Flushing;
        if put.is_silent {
            self.close(desk, key);
        } else {
            self.advance(desk, key);
        }
    }

    /// The controller did nothing.
    pub(super) fn failed(&mut self, desk: &mut Desk, key: Key, fault: Fault) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        if fault == Fault::Poisoned {
            // The index may name the block all the same, on the medium: nobody is to write to it again.
            put.block = None;
        }
        put.stage = Stage::Flushing;
        self.fail(desk, key, fault.into());
    }

    /// Tries again what found no memory, buffer or place. False when it still finds none.
    pub(super) fn retry(&mut self, desk: &mut Desk, key: Key) -> bool {
        let Some(put) = self.slots.get_mut(key) else {
            return true;
        };
        put.is_waiting = false;
        self.advance(desk, key);
        self.wake(desk, key);
        self.slots.get(key).is_none_or(|put| !put.is_waiting)
    }

    /// Lets bodies of unknown length begin as far as there is memory to hold them.
    pub(super) fn admit(&mut self, desk: &mut Desk) {
        while let Some(key) = self.gathers.front().copied() {
            if let Some(put) = self.slots.get_mut(key)
                && put.stage == Stage::Body
            {
                let reserved = whole_cost(BLOCK_SIZE_MAX, desk.config.piece_size_of(u32::MAX));
                if !desk.gather_memory.try_take(reserved) {
                    return;
                }
                put.hold = Hold::Gather {
                    is_present: false,
                    reserved,
                };
            }
            self.gathers.pop_front();
            self.wake(desk, key);
        }
    }

    /// Does what can be done now: writes pieces, asks the controller when all are written.
    fn advance(&mut self, desk: &mut Desk, key: Key) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        let may_write = match put.stage {
            Stage::Body | Stage::Hashing => put.hold == Hold::Write,
            Stage::Flushing => true,
            Stage::Asking { .. } | Stage::Closing => false,
        };
        if !may_write {
            return;
        }
        if desk.is_poisoned {
            return self.fail(desk, key, Fault::Poisoned.into());
        }
        while put.next_to_write().is_some() {
            let Some(block) = place(desk, key, put) else {
                return;
            };
            if put.writes >= desk.config.depth {
                return;
            }
            if !desk.has_place() {
                return wait(desk, key, put);
            }
            let piece = put.next_to_write().expect("invariant: just looked");
            piece.place = Place::Writing;
            let pending = Pending {
                owner: Owner::Put(key),
                offset: block.offset() + u64::from(piece.start),
                len: piece.content.len() as u32,
                start: piece.start,
                repeats: 0,
                is_second: false,
            };
            desk.write(pending, piece.content.clone());
            put.writes += 1;
        }
        if put.stage == Stage::Flushing && put.writes == 0 {
            occupy(desk, key, put);
        }
    }

    /// Lets go of what is both hashed and written.
    fn settle(&mut self, desk: &mut Desk, key: Key) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        while let Some(piece) = put.take_done() {
            give_memory(desk, put, piece.cost);
        }
    }

    fn confirm(&mut self, desk: &mut Desk, key: Key, hash: Hash) {
        if let Some(put) = self.slots.get_mut(key) {
            put.stage = Stage::Asking { is_written: false };
            desk.ask(Asked::Put(key), |id| Request::Confirm { id, hash });
        }
    }

    /// Tells a carrier that was held back that there is room.
    fn wake(&mut self, desk: &mut Desk, key: Key) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        if put.wants_room && room(desk, key, put) > 0 {
            put.wants_room = false;
            desk.events.push_back(Event::PutReady {
                key: PutKey(key),
                user: put.user,
            });
        }
    }

    fn fail(&mut self, desk: &mut Desk, key: Key, error: PutError) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        if !std::mem::replace(&mut put.is_silent, true) {
            desk.stats.puts_failed += 1;
            desk.events.push_back(Event::PutFailed {
                key: PutKey(key),
                user: put.user,
                error,
            });
        }
        self.close(desk, key);
    }

    /// Lets go of everything that is not in flight, and of the place when nothing is.
    fn close(&mut self, desk: &mut Desk, key: Key) {
        let Some(put) = self.slots.get_mut(key) else {
            return;
        };
        put.stage = Stage::Closing;
        put.wants_room = false;
        if let Some(class) = put.awaits.take() {
            desk.pools.forget(class, key);
        }
        if let Some(begun) = put.body.as_mut().and_then(Body::drop_piece) {
            give_memory(desk, put, begun.capacity());
        }
        if put.writes > 0 {
            // Pieces stay until then: it is by them that writes are known.
            return;
        }
        while let Some(piece) = put.queue.pop_front() {
            give_memory(desk, put, piece.cost);
        }
        let Some(put) = self.slots.remove(key) else {
            return;
        };
        if self.spare.len() < SPARE_MAX {
            self.spare.push(put.queue);
        }
        if let Hold::Gather { reserved, .. } = put.hold {
            desk.gather_memory.give(reserved);
        }
        if put.hold == Hold::WaitToGather {
            self.gathers.retain(|waiting| *waiting != key);
        }
        if let Some(block) = put.block {
            self.give_back(desk, block, put.is_suspect);
        }
    }

    /// A leased block that was not used: to who waits, to the pool, or to the controller.
    fn give_back(&mut self, desk: &mut Desk, block: Block, is_suspect: bool) {
        if desk.is_poisoned {
            return;
        }
        let given = if is_suspect {
            Given::Surplus
        } else {
            desk.pools.give(block)
        };
        match given {
            Given::To(put) => self.leased(desk, put, block),
            Given::Kept => {}
            Given::Surplus => desk
                .requests
                .push_back(Request::Return { block, is_suspect }),
        }
    }

    /// Whether the index has it, whole. An index that cannot be read has nothing: the controller decides in the end.
    fn is_stored(&mut self, reader: &mut dyn IndexReader, hash: &Hash) -> bool {
        matches!(reader.block(hash, &mut self.scratch), Ok(true)) && !self.scratch.is_damaged()
    }
}

/// Bytes of memory a body held whole takes.
fn whole_cost(length: u32, piece_size: u32) -> usize {
    let pieces = length.div_ceil(piece_size) as usize;
    pieces * buffer_cost(piece_size as usize)
}

fn room(desk: &mut Desk, key: Key, put: &mut Put) -> usize {
    match put.stage {
        Stage::Body => {}
        Stage::Closing => return usize::MAX,
        Stage::Hashing | Stage::Flushing | Stage::Asking { .. } => return 0,
    }
    if put.rest() == 0 {
        // Whatever comes now is too much: it is taken, and fails the PUT.
        return usize::MAX;
    }
    let mut size = put.piece_size as usize;
    let Some(body) = &put.body else {
        return 0;
    };
    if body.room() > 0 {
        return body.room().min(put.rest() as usize);
    }
    let buffer = match put.hold {
        // Reserved: only the pool itself may have nothing left.
        Hold::Gather { .. } => desk.buffers.take(size),
        Hold::Write if desk.is_behind() => None,
        Hold::Write if put.queue.len() < desk.config.depth => {
            let large = size * LARGE;
            if put.rest() as usize >= large
                && large <= desk.buffers.size_max()
                && desk.write_memory.is_ample_for(buffer_cost(large))
            {
                size = large;
            }
            let mut take = |size| Desk::buffer(&desk.buffers, &mut desk.write_memory, size);
            take(size).or_else(|| {
                size = put.piece_size as usize;
                take(size)
            })
        }
        // A write that ends makes room, or memory for a whole body does.
        Hold::Write | Hold::WaitToGather => return 0,
    };
    let (Some(buffer), Some(body)) = (buffer, &mut put.body) else {
        wait(desk, key, put);
        return 0;
    };
    body.begin_piece(buffer, size);
    body.room().min(put.rest() as usize)
}

/// Its block; taken from the pool, or waited for.
fn place(desk: &mut Desk, key: Key, put: &mut Put) -> Option<Block> {
    if put.block.is_some() {
        return put.block;
    }
    if put.awaits.is_some() {
        return None;
    }
    let class = put.class();
    put.block = desk.pools.take(class);
    if put.block.is_none() {
        put.awaits = Some(class);
        desk.pools.wait(desk.now, class, key);
    }
    put.block
}

/// Everything is written: the controller may name it.
fn occupy(desk: &mut Desk, key: Key, put: &mut Put) {
    let (Some((hash, sums)), Some(block)) = (&mut put.named, put.block) else {
        return;
    };
    let sums = std::mem::replace(sums, crate::sums::Sums::One(0));
    let (hash, length) = (*hash, put.received);
    put.stage = Stage::Asking { is_written: true };
    desk.ask(Asked::Put(key), |id| Request::Occupy {
        id,
        hash,
        unit: block.unit(),
        length,
        sums,
    });
}

fn wait(desk: &mut Desk, key: Key, put: &mut Put) {
    if !std::mem::replace(&mut put.is_waiting, true) {
        desk.wait(Owner::Put(key));
    }
}

/// A buffer of so many bytes is not held any more.
fn give_memory(desk: &mut Desk, put: &Put, cost: usize) {
    if put.counts_buffers() {
        desk.write_memory.give(cost);
    }
}
