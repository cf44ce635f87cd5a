//! The seam to whoever makes frames: WebSocket and events in production, a fake in tests.

use crate::{Class, Since};

/// A publication as it is handed to the encoder.
#[derive(Clone, Copy, Debug)]
pub struct Unencoded<'a> {
    /// Where in the channel it stands.
    pub place: Since,
    /// What its publisher says of it; the room does not know what it means.
    pub kind: u8,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Makes the encoded form of a publication, straight into the log.
pub trait Encode {
    /// The most bytes [`encode`](Encode::encode) can need for this publication.
    fn room(&self, class: Class, publication: &Unencoded<'_>) -> usize;

    /// Writes the frame to the front of `out` and returns its size: at least 1, at most `out.len()`.
    /// `out` has the room asked for.
    fn encode(&mut self, class: Class, publication: &Unencoded<'_>, out: &mut [u8]) -> usize;
}
