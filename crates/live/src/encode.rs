//! The seam to whoever makes frames: WebSocket in production, a fake in tests.

use crate::Class;

/// Makes the encoded form of a publication, straight into the log.
pub trait Encode {
    /// The most bytes [`encode`](Encode::encode) can need for a payload of this size.
    fn room(&self, class: Class, kind: u8, payload_size: usize) -> usize;

    /// Writes the frame to the front of `out` and returns its size: at least 1, at most `out.len()`.
    /// `out` has at least the room asked for.
    fn encode(&mut self, class: Class, kind: u8, payload: &[u8], out: &mut [u8]) -> usize;
}
