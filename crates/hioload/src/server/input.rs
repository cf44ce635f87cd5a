//! Input at hand: a receive buffer, or bytes kept from before.

use hioload_mem::Segment;
use hioload_reactor::RecvBuf;

/// Bytes that are taken off the front.
pub(super) enum Input<'a> {
    /// Just received: large payloads can be shared.
    Buffer(&'a mut RecvBuf),
    /// Kept while the connection was held, or behind a request head that came in pieces.
    Bytes(&'a mut [u8]),
}

impl Input<'_> {
    /// What is left.
    #[inline]
    pub(super) fn rest(&mut self) -> &mut [u8] {
        match self {
            Self::Buffer(buffer) => buffer,
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Drops the first `count` bytes.
    #[inline(always)]
    pub(super) fn advance(&mut self, count: usize) {
        match self {
            Self::Buffer(buffer) => buffer.advance(count),
            Self::Bytes(bytes) => *bytes = &mut std::mem::take(bytes)[count..],
        }
    }

    /// Whether the next bytes can be shared.
    pub(super) fn may_share(&self) -> bool {
        match self {
            Self::Buffer(buffer) => buffer.may_share(),
            Self::Bytes(_) => false,
        }
    }

    /// Takes the first `count` bytes out; shared where they are, or copied.
    pub(super) fn share(&mut self, count: usize) -> Segment {
        match self {
            Self::Buffer(buffer) => buffer.share(count),
            Self::Bytes(bytes) => {
                let segment = Segment::copy_from(&bytes[..count]);
                self.advance(count);
                segment
            }
        }
    }
}
