//! One WebSocket connection after the handshake: bytes in, events out.
//!
//! Knows no socket, no clock and no buffer: payload is unmasked and checked in place in the
//! caller's input, and only what a read tore apart is kept (a partial header, a control payload).
//!
//! ```text
//! handle_input ─▶ take_whole (a complete unfragmented data frame: the fast path, here)
//!            └──▶ handle_piece (everything else: `incoming`)
//! frame_header, close, ping, pong (what goes out: `outgoing`)
//! ```
//!
//! Phases of the input:
//!
//! ```text
//!            header complete, data opcode           payload used up
//!  Header ───────────────────────────────▶ Data ───────────────────▶ Header
//!     │      header complete, control                payload used up
//!     ├──────────────────────────────────▶ Control ────────────────▶ Header, or Ended after close
//!     └── first offence, from any phase ─▶ Failed
//! ```
//!
//! Invariants: the first offence is sticky; after a close frame input is dropped unread; a frame
//! is refused by its header before any of its payload is handed out; the state does not depend on
//! how the input was cut into pieces.
//!
//! Limits: [`Limits`]. Spec: RFC 6455 5 to 8; RFC 7692 6 (the RSV1 bit).

mod incoming;
mod outgoing;

use std::mem;

use crate::close::CloseFrame;
use crate::control::{ControlPayload, Spill};
use crate::frame::{HEADER_SIZE_MAX, Kind, LENGTH, LENGTH_16, LENGTH_64, MASK};
use crate::limits::Limits;
use crate::mask;
use crate::offence::{Offence, OffenceKind};
use crate::utf8::{self, Utf8Check};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes masked frames, sends unmasked ones.
    Server,
    /// Takes unmasked frames, sends masked ones.
    Client,
}

/// What the peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message, or the next piece of one.
    ///
    /// A whole message lies in one piece when `first && last`; otherwise the caller joins the
    /// pieces, among which control events may come. A piece may be empty. `kind` and `compressed`
    /// are those of the message in every piece. Text that is not compressed has been checked:
    /// no piece contains a byte that UTF-8 forbids, though a sequence may go on in the next piece.
    Data {
        /// Text or binary.
        kind: Kind,
        /// The unmasked payload, in place in the input.
        payload: &'a mut [u8],
        /// Whether the message starts here.
        first: bool,
        /// Whether the message ends here.
        last: bool,
        /// Whether the joined payload is to be inflated (and, for text, checked afterwards).
        compressed: bool,
    },
    /// The peer wants a pong with the same payload. When several came, answering the last will do
    /// (RFC 6455 5.5.3).
    Ping(ControlPayload<'a>),
    /// The answer to a ping, or an unasked sign of life.
    Pong(ControlPayload<'a>),
    /// The peer closes. Answer with a close frame, if none was sent yet, then close the socket.
    /// All further input is dropped unread.
    Close(Option<CloseFrame<'a>>),
}

/// State of one connection. At most 64 bytes; allocates only for a control frame that was torn
/// apart by a read, and gives that back with the event.
///
/// ```
/// use hioload_ws::{Event, Kind, Limits, Role, Session};
///
/// let mut session = Session::new(Role::Server, false);
/// let mut bytes = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
/// let mut input = &mut bytes[..];
/// while let Some(event) = session.handle_input(&Limits::default(), &mut input)? {
///     let Event::Data { kind, payload, first, last, .. } = event else { continue };
///     assert_eq!((kind, &payload[..]), (Kind::Text, &b"Hello"[..]));
///     assert!(first && last);
/// }
/// # Ok::<(), hioload_ws::Offence>(())
/// ```
#[derive(Debug)]
pub struct Session {
    /// Payload bytes of the current frame that are still to come.
    remaining: u64,
    /// Payload bytes of the open message in the frames before the current one and in it.
    message_size: u64,
    /// A control payload in the making.
    spill: Option<Box<Spill>>,
    fragments: u32,
    fragments_empty: u16,
    /// The mask key of the current frame, turned to the next byte of its payload.
    key: [u8; 4],
    /// Complete between messages.
    utf8: Utf8Check,
    header: [u8; HEADER_SIZE_MAX],
    header_len: u8,
    phase: Phase,
    /// First byte of the current frame; the opcode and FIN are read from it.
    first_byte: u8,
    role: Role,
    /// The open message that comes in.
    message: Message,
    flags: Flags,
    offence: Option<OffenceKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Data,
    Control,
    /// A close frame came: input is dropped.
    Ended,
    /// An offence happened.
    Failed,
}

/// The message that is coming in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    /// `None` between messages.
    kind: Option<Kind>,
    is_compressed: bool,
    /// Whether a piece of it was handed out already.
    is_started: bool,
}

impl Message {
    const NONE: Message = Message {
        kind: None,
        is_compressed: false,
        is_started: false,
    };
}

/// The rest of the state, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flags(u8);

impl Flags {
    const DEFLATE: u8 = 1;
    const CLOSE_SENT: u8 = 2;
    const CLOSE_RECEIVED: u8 = 4;
    /// A fragmented message is going out.
    const SENDING: u8 = 8;

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    fn set(&mut self, bit: u8, value: bool) {
        if value { self.0 |= bit } else { self.0 &= !bit }
    }
}

impl Session {
    /// A session right after the handshake. `compressed`: permessage-deflate was agreed.
    #[must_use]
    pub const fn new(role: Role, compressed: bool) -> Session {
        Session {
            remaining: 0,
            message_size: 0,
            spill: None,
            fragments: 0,
            fragments_empty: 0,
            key: [0; 4],
            utf8: Utf8Check::new(),
            header: [0; HEADER_SIZE_MAX],
            header_len: 0,
            phase: Phase::Header,
            first_byte: 0,
            role,
            message: Message::NONE,
            flags: Flags(if compressed { Flags::DEFLATE } else { 0 }),
            offence: None,
        }
    }

    /// Which end of the connection this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether permessage-deflate was agreed.
    #[must_use]
    pub fn is_deflate_agreed(&self) -> bool {
        self.flags.has(Flags::DEFLATE)
    }

    /// Whether messages may flow both ways: no close frame was seen and no offence happened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.flags.has(Flags::CLOSE_SENT | Flags::CLOSE_RECEIVED) && self.offence.is_none()
    }

    /// Whether a close frame was sent: nothing may be sent any more.
    #[must_use]
    pub fn close_sent(&self) -> bool {
        self.flags.has(Flags::CLOSE_SENT)
    }

    /// Whether a close frame was received: what comes now is dropped.
    #[must_use]
    pub fn close_received(&self) -> bool {
        self.flags.has(Flags::CLOSE_RECEIVED)
    }

    /// The offence that failed the connection.
    #[must_use]
    pub fn offence(&self) -> Option<Offence> {
        self.offence.map(Offence::from)
    }

    /// Takes at most one frame off the front of `input`, or the piece of one that is here, and
    /// unmasks it in place. `None`: the input is used up and there is nothing to tell.
    ///
    /// Call it until it gives `None`, with room for one control frame of output before each call:
    /// a ping, a close and an offence all want an answer.
    ///
    /// # Errors
    /// The first [`Offence`] of the peer, and the same again on every later call. Send
    /// [`Session::close`] with its code, then close the socket.
    #[inline(always)]
    pub fn handle_input<'a>(
        &mut self,
        limits: &Limits,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Event<'a>>, Offence> {
        // Both together say: at the start of a frame, and of a message.
        if self.phase == Phase::Header && self.header_len == 0 && self.message.kind.is_none() {
            match self.take_whole(limits, input) {
                Whole::Message {
                    kind,
                    payload,
                    compressed,
                } => {
                    return Ok(Some(Event::Data {
                        kind,
                        payload,
                        first: true,
                        last: true,
                        compressed,
                    }));
                }
                Whole::NotUtf8 => return Err(self.fail(OffenceKind::TextNotUtf8)),
                Whole::No => {}
            }
        }
        self.handle_piece(limits, input)
    }

    /// The fast path: a message that is one frame and lies whole in the input. Everything else,
    /// and everything illegal, is left alone and judged by the general path.
    #[inline(always)]
    fn take_whole<'a>(&self, limits: &Limits, input: &mut &'a mut [u8]) -> Whole<'a> {
        let mask_len = match self.role {
            Role::Server => 4,
            Role::Client => 0,
        };
        let [first_byte, second_byte, ..] = **input else {
            return Whole::No;
        };
        let (kind, compressed) = match first_byte {
            0x81 => (Kind::Text, false),
            0x82 => (Kind::Binary, false),
            0xC1 if self.is_deflate_agreed() => (Kind::Text, true),
            0xC2 if self.is_deflate_agreed() => (Kind::Binary, true),
            _ => return Whole::No,
        };
        if (second_byte & MASK != 0) != (mask_len != 0) {
            return Whole::No;
        }
        let (len, header_len) = match second_byte & LENGTH {
            LENGTH_16 => {
                let [_, _, high, low, ..] = **input else {
                    return Whole::No;
                };
                let len = usize::from(u16::from_be_bytes([high, low]));
                if len <= 125 {
                    return Whole::No;
                }
                (len, 4 + mask_len)
            }
            LENGTH_64 => return Whole::No,
            short => (usize::from(short), 2 + mask_len),
        };
        let size_max = limits.frame_size_max.min(limits.message_size_max);
        if input.len() < header_len + len || len > size_max {
            return Whole::No;
        }

        let (frame, rest) = mem::take(input).split_at_mut(header_len + len);
        *input = rest;
        let (header, payload) = frame.split_at_mut(header_len);
        let key = match header.last_chunk::<4>() {
            Some(key) if mask_len != 0 => *key,
            _ => [0; 4],
        };
        let is_ascii = mask::unmask_is_ascii(payload, key);
        // RFC 6455 8.1
        if kind == Kind::Text && !compressed && !is_ascii && !utf8::is_valid(payload) {
            return Whole::NotUtf8;
        }
        Whole::Message {
            kind,
            payload,
            compressed,
        }
    }

    #[cold]
    fn fail(&mut self, kind: OffenceKind) -> Offence {
        self.phase = Phase::Failed;
        self.offence = Some(kind);
        self.spill = None;
        Offence { kind }
    }
}

/// What the fast path found at the front of the input.
enum Whole<'a> {
    Message {
        kind: Kind,
        payload: &'a mut [u8],
        compressed: bool,
    },
    NotUtf8,
    /// Not a case for the fast path; nothing was taken.
    No,
}
