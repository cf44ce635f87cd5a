//! The decompressor: bounded output, whatever the input claims.
//!
//! Invariants: `out` never grows past the limit; a message is either inflated whole or refused;
//! after a refusal the next message without takeover is inflated as by a new inflater.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::{TAIL, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::limits::FINAL_BLOCKS_MAX;
use crate::offence::{Offence, OffenceKind};

/// A final block with nothing in it. The engine reaches the end of the stream on it if, and only
/// if, it stands at the border of a block.
const EMPTY_FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// Inflates messages. Without takeover one serves any number of sessions.
///
/// About 40 KiB for a window of 15 bits.
pub struct Inflater {
    engine: Decompress,
    /// Whether the engine is not as new.
    is_used: bool,
}

impl Inflater {
    /// A decompressor for peers with a window of at most `window_bits`, brought into 9 to 15.
    #[must_use]
    pub fn new(window_bits: u8) -> Inflater {
        // A larger window than the sender's is always right: 8 bits are read with 9.
        let window_bits = window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        Inflater {
            engine: Decompress::new_with_window_bits(false, window_bits),
            is_used: false,
        }
    }

    /// Inflates one message, the joined payload of its frames, and appends it to `out`. With
    /// `takeover` it may refer to the messages before it, which all must have come from the same
    /// peer. Text is to be checked by [`utf8::is_valid`](crate::utf8::is_valid) afterwards.
    ///
    /// A block marked as final ends the context: references to before it are not understood.
    ///
    /// # Errors
    /// [`OffenceKind::InflatedTooBig`] when there is more than `size_max` bytes of it, none of
    /// which were allocated beyond that; [`OffenceKind::DeflateData`]. `out` is as it was.
    pub fn inflate(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        size_max: usize,
        takeover: bool,
    ) -> Result<(), Offence> {
        if !takeover {
            self.reset();
        }
        let start = out.len();
        let end = start.saturating_add(size_max);
        if input.is_empty() {
            // Not even the first byte of an empty block: no message looks so, nothing is lost.
            return Ok(());
        }
        let result = self
            .feed(input, out, end)
            .and_then(|()| self.finish(takeover));
        result.map_err(|kind| {
            out.truncate(start);
            self.reset();
            Offence { kind }
        })
    }

    fn reset(&mut self) {
        if self.is_used {
            self.engine.reset(false);
            self.is_used = false;
        }
    }

    /// Inflates all of `input`; `out` ends at `end` at the latest.
    fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>, end: usize) -> Result<(), OffenceKind> {
        let mut final_blocks = 0;
        loop {
            if out.len() < end && out.len() == out.capacity() {
                let growth = input.len().saturating_mul(4).max(out.len()).max(64);
                out.reserve_exact(growth.min(end - out.len()));
            }
            let before = self.engine.total_in();
            let len_before = out.len();
            let mut probe = [0; 1];
            self.is_used = true;
            let status = if out.len() < end {
                self.engine
                    .decompress_vec(input, out, FlushDecompress::Sync)
            } else {
                // All that is allowed is there: is there more?
                let before = self.engine.total_out();
                let status = self
                    .engine
                    .decompress(input, &mut probe, FlushDecompress::Sync);
                if self.engine.total_out() > before {
                    return Err(OffenceKind::InflatedTooBig);
                }
                status
            };
            let status = status.map_err(|_| OffenceKind::DeflateData)?;
            let consumed = (self.engine.total_in() - before) as usize;
            input = &input[consumed..];
            if out.len() > end {
                return Err(OffenceKind::InflatedTooBig);
            }
            if status == Status::StreamEnd {
                // RFC 7692 7.2.3.4: a message may have blocks marked as final; what follows goes
                // on as if nothing had been.
                final_blocks += 1;
                if final_blocks > FINAL_BLOCKS_MAX {
                    return Err(OffenceKind::DeflateData);
                }
                self.reset();
            }
            // The engine stops short of its input for want of room only.
            let has_room = out.len() >= end || out.len() < out.capacity();
            if input.is_empty() && (has_room || status == Status::StreamEnd) {
                return Ok(());
            }
            if consumed == 0 && out.len() == len_before && status != Status::StreamEnd {
                // Neither took nor gave: it never will.
                return Err(OffenceKind::DeflateData);
            }
        }
    }

    /// Ends a message: puts the tail back, and makes sure that no block was cut off.
    fn finish(&mut self, takeover: bool) -> Result<(), OffenceKind> {
        if !self.is_used {
            // Nothing came, or nothing after a final block.
            return Ok(());
        }
        // RFC 7692 7.2.2
        self.feed_nothing(&TAIL)?;
        if !takeover && self.feed_nothing(&EMPTY_FINAL_BLOCK)? != Status::StreamEnd {
            return Err(OffenceKind::DeflateData);
        }
        Ok(())
    }

    /// Feeds bytes that stand for no output, unless they landed inside of a block.
    fn feed_nothing(&mut self, bytes: &[u8]) -> Result<Status, OffenceKind> {
        let (before_in, before_out) = (self.engine.total_in(), self.engine.total_out());
        let status = self
            .engine
            .decompress(bytes, &mut [0; 1], FlushDecompress::Sync)
            .map_err(|_| OffenceKind::DeflateData)?;
        let is_used_up = self.engine.total_in() - before_in == bytes.len() as u64;
        if !is_used_up || self.engine.total_out() != before_out {
            return Err(OffenceKind::DeflateData);
        }
        Ok(status)
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("is_used", &self.is_used)
            .finish_non_exhaustive()
    }
}
