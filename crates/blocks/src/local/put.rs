//! One PUT: its state, and what it holds.
//!
//! ```text
//!   begin                      end            all hashed              all written             Stored
//!   ─▶ Body: pieces come ─────▶ Hashing ─────▶ Flushing ─────────────▶ Asking (Occupy) ──────▶ gone
//!        │                        │             │ said to be stored: Asking (Confirm) ─ gone since ─▶ Flushing
//!        └─ fault, abort ─────────┴─ mismatch ──┴─▶ Closing: writes in flight end, the block goes back ─▶ gone
//! ```
//!
//! Must not know how memory, leases and requests are come by: [`Puts`](super::puts::Puts) moves it from state to state.

use std::collections::VecDeque;

use hioload_mem::{Buffer, Segment};

use super::body::Body;
use crate::block::Block;
use crate::class::{BLOCK_SIZE_MAX, Class};
use crate::hash::Hash;
use crate::sums::Sums;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The body comes.
    Body,
    /// The body is whole; its hash is not.
    Hashing,
    /// It is what it should be; pieces are written.
    Flushing,
    /// The controller is asked; true when the content was written, and a block with it.
    Asking { is_written: bool },
    /// Failed or aborted; writes in flight end.
    Closing,
}

/// Where pieces go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// To the file, as soon as may be.
    Write,
    /// They are held until the end: the length is not known, or the content seems to be stored.
    Gather {
        /// The content seems to be stored.
        is_present: bool,
        /// Bytes of memory reserved.
        reserved: usize,
    },
    /// They will be, when there is memory for a body of the largest size.
    WaitToGather,
}

/// What has become of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Writing,
    Written,
}

/// A part of the content: hashed and written, in either order or at the same time.
#[derive(Debug)]
pub(super) struct Piece {
    /// Where in the content.
    pub(super) start: u32,
    /// Whole units.
    pub(super) content: Segment,
    pub(super) place: Place,
    /// Bytes of memory it holds.
    pub(super) cost: usize,
}

impl Piece {
    fn end(&self) -> u32 {
        self.start + self.content.len() as u32
    }

    fn has(&self, at: u32) -> bool {
        (self.start..self.end()).contains(&at)
    }
}

#[derive(Debug)]
pub(super) struct Put {
    pub(super) user: u64,
    pub(super) stage: Stage,
    pub(super) hold: Hold,
    pub(super) expected: Option<Hash>,
    /// Bytes announced.
    pub(super) length: Option<u32>,
    pub(super) body: Option<Body>,
    /// Name and sums, once the body is whole.
    pub(super) named: Option<(Hash, Sums)>,
    /// Bytes that came.
    pub(super) received: u32,
    /// Whole pieces that are not both hashed and written.
    pub(super) queue: VecDeque<Piece>,
    /// Bytes of a piece as configured.
    pub(super) piece_size: u32,
    pub(super) block: Option<Block>,
    pub(super) writes: usize,
    /// It waits for a block of this class.
    pub(super) awaits: Option<Class>,
    /// A write failed: the block is not to be used again.
    pub(super) is_suspect: bool,
    /// The body was held back: its carrier is to be told of room.
    pub(super) wants_room: bool,
    /// It is among those that wait for memory.
    pub(super) is_waiting: bool,
    /// It is among those that wait to be hashed.
    pub(super) is_in_line: bool,
    /// Nobody wants to know what becomes of it.
    pub(super) is_silent: bool,
}

impl Put {
    pub(super) fn new(
        user: u64,
        expected: Option<Hash>,
        length: Option<u32>,
        piece_size: u32,
    ) -> Put {
        Put {
            user,
            stage: Stage::Body,
            hold: Hold::Write,
            expected,
            length,
            body: Some(Body::new(length.unwrap_or(BLOCK_SIZE_MAX))),
            named: None,
            received: 0,
            queue: VecDeque::new(),
            piece_size,
            block: None,
            writes: 0,
            awaits: None,
            is_suspect: false,
            wants_room: false,
            is_waiting: false,
            is_in_line: false,
            is_silent: false,
        }
    }

    /// Bytes that may still come.
    pub(super) fn rest(&self) -> u32 {
        self.length.unwrap_or(BLOCK_SIZE_MAX) - self.received
    }

    /// The class of its block: known in advance, or when it is whole.
    pub(super) fn class(&self) -> Class {
        let length = self.length.unwrap_or(self.received);
        Class::for_length(length).expect("invariant: lengths are checked when they become known")
    }

    /// Its pieces are written when they come, whatever their hash will be: the name was stated, or they are too many to be held
    /// until it is known.
    pub(super) fn is_written_first(&self) -> bool {
        let is_long = |length| length > self.piece_size;
        let is_known = self.expected.is_some() || self.length.is_some_and(is_long);
        self.hold == Hold::Write && is_known
    }

    /// Nothing is lost if its hash comes a little later: it has to wait for the socket or the medium anyway.
    pub(super) fn may_wait(&self) -> bool {
        let is_ahead = |piece: &Piece| piece.place != Place::Written;
        let waits_for_socket = self.stage == Stage::Body && !self.wants_room;
        self.is_written_first() && (waits_for_socket || self.queue.iter().any(is_ahead))
    }

    /// The last `size` bytes that came, in a buffer of their own, padded or not.
    pub(super) fn add_piece(&mut self, buffer: Buffer, size: usize) {
        self.queue.push_back(Piece {
            start: self.received - size as u32,
            cost: buffer.capacity(),
            content: buffer.seal(),
            place: Place::Waiting,
        });
    }

    /// Bytes that came, from `at` in the content on, up to the end of their piece. What lies before is hashed.
    pub(super) fn bytes(&self, at: u64) -> &[u8] {
        let Some(body) = &self.body else {
            return &[];
        };
        let at = at as u32;
        if let Some(piece) = self.queue.iter().find(|piece| piece.has(at)) {
            // Behind what came the last piece is padding.
            let end = piece.end().min(self.received);
            return &piece.content[(at - piece.start) as usize..(end - piece.start) as usize];
        }
        let begun = body.begun();
        let start = self.received as usize - begun.len();
        &begun[at as usize - start..]
    }

    /// The first piece that waits, if it may be written.
    pub(super) fn next_to_write(&mut self) -> Option<&mut Piece> {
        let waits = |piece: &&mut Piece| piece.place == Place::Waiting;
        let may_go = self.is_written_first() || self.body.is_none();
        self.queue.iter_mut().find(waits).filter(|_| may_go)
    }

    /// The piece in which the content's byte `at` lies.
    pub(super) fn piece_at(&mut self, at: u32) -> Option<&mut Piece> {
        self.queue.iter_mut().find(|piece| piece.has(at))
    }

    /// Takes the first piece out if it is written and hashed.
    pub(super) fn take_done(&mut self) -> Option<Piece> {
        let hashed = self.body.as_ref().map_or(self.received, Body::hashed);
        let is_done = |piece: &Piece| {
            piece.place == Place::Written && piece.end().min(self.received) <= hashed
        };
        if !self.queue.front().is_some_and(is_done) {
            return None;
        }
        self.queue.pop_front()
    }

    /// Its buffers are counted one by one, not reserved.
    pub(super) fn counts_buffers(&self) -> bool {
        !matches!(self.hold, Hold::Gather { .. })
    }
}
