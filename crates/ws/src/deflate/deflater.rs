//! The compressor.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::{TAIL, WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// Compresses messages. Without takeover one serves any number of sessions with the same window.
///
/// About 260 KiB for a window of 15 bits, 20 KiB for 9.
pub struct Deflater {
    engine: Compress,
    /// Whether the window holds something.
    is_used: bool,
}

impl Deflater {
    /// A compressor with a window of `window_bits`, brought into 9 to 15, and a `level` from 0
    /// (fast) to 9 (small).
    #[must_use]
    pub fn new(window_bits: u8, level: u32) -> Deflater {
        let window_bits = window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        let level = Compression::new(level.min(9));
        Deflater {
            engine: Compress::new_with_window_bits(level, false, window_bits),
            is_used: false,
        }
    }

    /// Appends the compressed `payload` to `out`: the payload of a message with RSV1 set. With
    /// `takeover` it may refer to the messages before it, which all must have gone to the same
    /// peer.
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>, takeover: bool) {
        if payload.is_empty() {
            // RFC 7692 7.2.3.6: an empty message is one byte, the start of an empty block.
            out.push(0);
            return;
        }
        if !takeover && self.is_used {
            self.engine.reset();
        }
        self.is_used = true;

        let start = out.len();
        // Incompressible input grows by 5 bytes per block of 16 KiB or so; then flush and tail.
        out.reserve(payload.len() + payload.len() / 2048 + 64);
        let mut rest = payload;
        loop {
            let before = self.engine.total_in();
            let status = self
                .engine
                .compress_vec(rest, out, FlushCompress::Sync)
                .expect("invariant: deflate has no bad input");
            rest = &rest[(self.engine.total_in() - before) as usize..];
            // A flush is complete when it leaves room, or when it is asked for in vain.
            if rest.is_empty() && (out.len() < out.capacity() || status == Status::BufError) {
                break;
            }
            out.reserve(64 + rest.len());
        }
        // RFC 7692 7.2.1: the tail of the flush is taken off.
        assert!(
            out[start..].ends_with(&TAIL),
            "a flush ends in an empty stored block"
        );
        out.truncate(out.len() - TAIL.len());
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("is_used", &self.is_used)
            .finish_non_exhaustive()
    }
}
