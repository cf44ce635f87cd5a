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

use hioload_mem::Buffer;

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
    /// To the file, as soon as they are full.
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
    /// Whole pieces that wait to be hashed and written.
    pub(super) queue: VecDeque<Buffer>,
    pub(super) block: Option<Block>,
    /// Bytes of the content that were given to writes.
    pub(super) placed: u32,
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
            body: Some(Body::new(length.unwrap_or(BLOCK_SIZE_MAX), piece_size)),
            named: None,
            received: 0,
            queue: VecDeque::new(),
            block: None,
            placed: 0,
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

    /// Bytes that came, from `at` in the content on, up to the end of their piece. What lies before is hashed.
    pub(super) fn bytes(&self, at: u64) -> &[u8] {
        let Some(body) = &self.body else {
            return &[];
        };
        // Only whole pieces were given to writes while there is a body.
        let mut at = at as usize - self.placed as usize;
        for piece in &self.queue {
            if at < piece.len() {
                return &piece.as_slice()[at..];
            }
            at -= piece.len();
        }
        &body.begun()[at..]
    }

    /// The first piece that waits may be written: its bytes are hashed.
    pub(super) fn may_write(&self) -> bool {
        let end = |piece: &Buffer| self.placed + piece.len() as u32;
        let hashed = self.body.as_ref().map_or(u32::MAX, Body::hashed);
        self.queue.front().is_some_and(|piece| end(piece) <= hashed)
    }

    /// Pieces not yet in the file.
    pub(super) fn pieces(&self) -> usize {
        self.queue.len() + self.writes
    }

    /// Its buffers are counted one by one, not reserved.
    pub(super) fn counts_buffers(&self) -> bool {
        !matches!(self.hold, Hold::Gather { .. })
    }
}
