//! One frame on the wire: opcodes and the header, both ways.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R| opcode|M|    length   |  length, 16 bits if 126,      |
//! |I|S|S|S|  (4)  |A|     (7)     |  64 bits if 127               |
//! |N|V|V|V|       |S|             |                               |
//! | |1|2|3|       |K|             |  then the mask key if MASK    |
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! ```
//!
//! Nothing here knows a session: what is legal in which state is decided there.
//!
//! Spec: RFC 6455 5.2.

use std::fmt;
use std::ops::Deref;

/// The longest header of a frame, in bytes: 2, an eight-byte length, a four-byte mask key.
pub const HEADER_SIZE_MAX: usize = 14;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const RSV2_RSV3: u8 = 0x30;
pub(crate) const OPCODE: u8 = 0x0F;
pub(crate) const MASK: u8 = 0x80;
pub(crate) const LENGTH: u8 = 0x7F;
pub(crate) const LENGTH_16: u8 = 126;
pub(crate) const LENGTH_64: u8 = 127;

/// What a frame is (RFC 6455 11.8). The other values of the four bits are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message that is open.
    Continuation = 0x0,
    /// The first or only fragment of a text message.
    Text = 0x1,
    /// The first or only fragment of a binary message.
    Binary = 0x2,
    /// The last frame of its sender.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping, or says "here I am" unasked.
    Pong = 0xA,
}

impl Opcode {
    /// The opcode of these four bits, or `None` when they are reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether it is a control frame: never fragmented, at most 125 bytes.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// Whether a message is text or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// UTF-8.
    Text = 1,
    /// Any bytes.
    Binary = 2,
}

impl Kind {
    /// The opcode of a message's first frame.
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        match self {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

/// What a frame that goes out is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What the frame is.
    pub opcode: Opcode,
    /// Whether the message ends with it.
    pub fin: bool,
    /// Whether the message is compressed (RSV1); set on the first frame of a message only.
    pub compressed: bool,
    /// Payload size in bytes.
    pub len: usize,
    /// The mask key: there for a client, never for a server.
    pub mask: Option<[u8; 4]>,
}

impl Outgoing {
    /// An unfragmented, uncompressed, unmasked message: what servers send most.
    #[must_use]
    pub const fn message(kind: Kind, len: usize) -> Outgoing {
        Outgoing {
            opcode: kind.opcode(),
            fin: true,
            compressed: false,
            len,
            mask: None,
        }
    }
}

/// An encoded frame header, 2 to 14 bytes, inline.
///
/// Its length is the last byte: sixteen bytes, aligned, are handed on in a move or two.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub struct Header([u8; 16]);

impl Deref for Header {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let [bytes @ .., len] = &self.0;
        &bytes[..usize::from(*len)]
    }
}

impl AsRef<[u8]> for Header {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The size of the header [`encode_header`] makes, in bytes.
#[inline]
#[must_use]
pub const fn header_size(payload_len: usize, is_masked: bool) -> usize {
    let length = match payload_len {
        0..=125 => 0,
        126..=0xFFFF => 2,
        _ => 8,
    };
    2 + length + if is_masked { 4 } else { 0 }
}

/// Writes the header of `frame` and checks nothing: for frames that are encoded once for many
/// sessions. A frame of one session goes through
/// [`Session::frame_header`](crate::Session::frame_header), which knows what may be sent.
///
/// ```
/// use hioload_ws::{Kind, Outgoing, encode_header};
///
/// assert_eq!(*encode_header(Outgoing::message(Kind::Text, 5)), [0x81, 5]);
/// assert_eq!(*encode_header(Outgoing::message(Kind::Binary, 300)), [0x82, 126, 1, 44]);
/// ```
#[inline]
#[must_use]
pub fn encode_header(frame: Outgoing) -> Header {
    let mut first = frame.opcode as u8;
    if frame.fin {
        first |= FIN;
    }
    if frame.compressed {
        first |= RSV1;
    }
    // RFC 6455 5.2: the minimal number of bytes MUST be used to encode the length.
    let (length, more, mut len) = match frame.len {
        short @ 0..=125 => (short as u8, 0, 2u8),
        middle @ 126..=0xFFFF => (LENGTH_16, u64::from((middle as u16).swap_bytes()), 4),
        long => (LENGTH_64, (long as u64).swap_bytes(), 10),
    };
    let mask_bit = if frame.mask.is_some() { MASK } else { 0 };
    // Put together in registers: a load of all right behind bytes stored one by one would wait for them.
    let mut bits = u128::from(first) | u128::from(length | mask_bit) << 8 | u128::from(more) << 16;
    if let Some(key) = frame.mask {
        bits |= u128::from(u32::from_le_bytes(key)) << (8 * len);
        len += 4;
    }
    Header((bits | u128::from(len) << 120).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_at_the_borders() {
        for (len, expected) in [
            (0, &[0x82, 0][..]),
            (1, &[0x82, 1]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (0xFFFF, &[0x82, 126, 0xFF, 0xFF]),
            (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let header = encode_header(Outgoing::message(Kind::Binary, len));
            assert_eq!(&*header, expected);
            assert_eq!(header_size(len, false), expected.len());
            let masked = Outgoing {
                mask: Some(*b"KEY!"),
                ..Outgoing::message(Kind::Binary, len)
            };
            let header = encode_header(masked);
            assert_eq!(header_size(len, true), header.len());
            assert_eq!(
                (header[1] & MASK, header.last_chunk()),
                (MASK, Some(b"KEY!"))
            );
        }
    }

    #[test]
    fn bits_of_the_first_byte() {
        let frame = Outgoing {
            opcode: Opcode::Text,
            fin: false,
            compressed: true,
            len: 0,
            mask: None,
        };
        assert_eq!(encode_header(frame)[0], 0x41);
        let opcodes: Vec<u8> = (0..=255)
            .filter(|bits| Opcode::from_bits(*bits).is_some())
            .collect();
        assert_eq!(opcodes, [0, 1, 2, 8, 9, 10]);
    }
}
