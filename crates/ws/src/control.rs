//! Control frames as values: the payload of one that came in, and a whole one that goes out.
//!
//! Both are at most 125 bytes of payload (RFC 6455 5.5), so an outgoing one lives inline and an
//! incoming one is copied only when it came in pieces.

use std::fmt;
use std::ops::Deref;

use crate::frame::{HEADER_SIZE_MAX, Outgoing, encode_header};

/// The longest payload of a control frame, in bytes (RFC 6455 5.5).
pub const CONTROL_PAYLOAD_SIZE_MAX: usize = 125;

/// The longest control frame, in bytes: 2 bytes of header, 4 of mask key, payload.
pub const CONTROL_FRAME_SIZE_MAX: usize = 2 + 4 + CONTROL_PAYLOAD_SIZE_MAX;

/// Payload of a received control frame, in place in the input when it lay there whole.
#[derive(Clone)]
pub struct ControlPayload<'a>(Place<'a>);

#[derive(Clone)]
enum Place<'a> {
    Input(&'a [u8]),
    Spill(Box<Spill>),
}

/// Where the payload of a control frame is put together when it comes in pieces.
#[derive(Clone, Debug)]
pub(crate) struct Spill {
    len: u8,
    bytes: [u8; CONTROL_PAYLOAD_SIZE_MAX],
}

impl Spill {
    pub(crate) fn new() -> Spill {
        Spill {
            len: 0,
            bytes: [0; CONTROL_PAYLOAD_SIZE_MAX],
        }
    }

    /// Adds `piece`. The caller has refused frames longer than a control frame may be.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + piece.len()].copy_from_slice(piece);
        self.len += u8::try_from(piece.len()).expect("invariant: a control payload fits 125 bytes");
    }
}

impl<'a> ControlPayload<'a> {
    pub(crate) fn in_place(payload: &'a [u8]) -> ControlPayload<'a> {
        ControlPayload(Place::Input(payload))
    }

    pub(crate) fn spilled(spill: Box<Spill>) -> ControlPayload<'a> {
        ControlPayload(Place::Spill(spill))
    }
}

impl Deref for ControlPayload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Input(bytes) => bytes,
            Place::Spill(spill) => &spill.bytes[..usize::from(spill.len)],
        }
    }
}

impl AsRef<[u8]> for ControlPayload<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for ControlPayload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ControlPayload<'_> {}

impl fmt::Debug for ControlPayload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A whole control frame, ready to be sent. Inline, at most 131 bytes.
#[derive(Clone, Copy)]
pub struct ControlFrame {
    len: u8,
    bytes: [u8; CONTROL_FRAME_SIZE_MAX],
}

impl ControlFrame {
    /// Header and payload in one; the payload is masked when the frame has a key. `parts` are
    /// joined and are together as long as `frame.len`, which is at most
    /// [`CONTROL_PAYLOAD_SIZE_MAX`].
    pub(crate) fn new(frame: Outgoing, parts: [&[u8]; 2]) -> ControlFrame {
        const { assert!(HEADER_SIZE_MAX < CONTROL_FRAME_SIZE_MAX) }
        let mut bytes = [0; CONTROL_FRAME_SIZE_MAX];
        let header = encode_header(frame);
        let start = header.len();
        let middle = start + parts[0].len();
        let end = middle + parts[1].len();
        bytes[..start].copy_from_slice(&header);
        bytes[start..middle].copy_from_slice(parts[0]);
        bytes[middle..end].copy_from_slice(parts[1]);
        if let Some(key) = frame.mask {
            crate::mask(&mut bytes[start..end], key, 0);
        }
        ControlFrame {
            len: u8::try_from(end).expect("invariant: a control frame fits 131 bytes"),
            bytes,
        }
    }
}

impl Deref for ControlFrame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for ControlFrame {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ControlFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
