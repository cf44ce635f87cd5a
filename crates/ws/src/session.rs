//! One WebSocket connection after the handshake: bytes in, events out.
//!
//! Knows no socket, no clock and no buffer: payload is unmasked and checked in place in the
//! caller's input, and only what a read tore apart is kept (a partial header, a control payload).
//!
//! ```text
//! handle_input ─▶ take_whole (a complete unfragmented data frame: the fast path)
//!            └──▶ handle_piece ─▶ take_header ─▶ begin_frame ─▶ take_data
//!                                                          └──▶ take_control
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

use std::mem;

use crate::close::{BadClose, CloseCode, CloseFrame};
use crate::control::{CONTROL_PAYLOAD_SIZE_MAX, ControlFrame, ControlPayload, Spill};
use crate::frame::{
    FIN, HEADER_SIZE_MAX, Header, Kind, LENGTH, LENGTH_16, LENGTH_64, MASK, OPCODE, Opcode,
    Outgoing, RSV1, RSV2_RSV3, encode_header,
};
use crate::limits::Limits;
use crate::mask;
use crate::offence::{Misuse, Offence, OffenceKind};
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

/// A parsed header, before it is judged.
#[derive(Clone, Copy)]
struct RawHeader {
    first_byte: u8,
    len: u64,
    key: [u8; 4],
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
    #[inline]
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
    #[inline]
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

    /// The general path: one frame or a piece of one.
    #[inline(never)]
    fn handle_piece<'a>(
        &mut self,
        limits: &Limits,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Event<'a>>, Offence> {
        if self.phase == Phase::Header {
            match self.take_header(input) {
                Ok(None) => return Ok(None),
                Ok(Some(header)) => {
                    if let Err(kind) = self.begin_frame(limits, header) {
                        return Err(self.fail(kind));
                    }
                }
                Err(kind) => return Err(self.fail(kind)),
            }
        }
        match self.phase {
            Phase::Data => self.take_data(input),
            Phase::Control => self.take_control(input),
            Phase::Ended => {
                // RFC 6455 1.4: data after a close frame is discarded.
                *input = &mut [];
                Ok(None)
            }
            Phase::Failed => Err(Offence::from(
                self.offence
                    .expect("invariant: the phase is Failed after an offence only"),
            )),
            Phase::Header => unreachable!("invariant: a header was begun above"),
        }
    }

    /// Collects a header; `None` when the input ended before it did.
    fn take_header(&mut self, input: &mut &mut [u8]) -> Result<Option<RawHeader>, OffenceKind> {
        self.collect_header(input, 2);
        if self.header_len < 2 {
            return Ok(None);
        }
        // Judged as soon as it is here: a peer that breaks the rules is not waited for.
        self.check_first_bytes(self.header[0], self.header[1])?;

        let length = self.header[1] & LENGTH;
        let length_end = match length {
            LENGTH_16 => 4,
            LENGTH_64 => 10,
            _ => 2,
        };
        let end = length_end + if self.header[1] & MASK != 0 { 4 } else { 0 };
        self.collect_header(input, end);
        if usize::from(self.header_len) < end {
            return Ok(None);
        }
        self.header_len = 0;

        let len = match length {
            LENGTH_16 => {
                let len = u64::from(u16::from_be_bytes([self.header[2], self.header[3]]));
                // RFC 6455 5.2: the minimal number of bytes MUST be used.
                if len <= 125 {
                    return Err(OffenceKind::LengthNotMinimal);
                }
                len
            }
            LENGTH_64 => {
                let bytes = self.header[2..10]
                    .try_into()
                    .expect("invariant: eight bytes");
                let len = u64::from_be_bytes(bytes);
                // RFC 6455 5.2: the most significant bit MUST be 0.
                if len > i64::MAX as u64 {
                    return Err(OffenceKind::LengthTooBig);
                }
                // RFC 6455 5.2: the minimal number of bytes MUST be used.
                if len <= 0xFFFF {
                    return Err(OffenceKind::LengthNotMinimal);
                }
                len
            }
            short => u64::from(short),
        };
        let mut key = [0; 4];
        if end > length_end {
            key.copy_from_slice(&self.header[length_end..end]);
        }
        Ok(Some(RawHeader {
            first_byte: self.header[0],
            len,
            key,
        }))
    }

    /// Moves input into the header until it has `end` bytes or the input is used up.
    fn collect_header(&mut self, input: &mut &mut [u8], end: usize) {
        let start = usize::from(self.header_len);
        if start >= end {
            return;
        }
        let taken = take(input, end - start);
        self.header[start..start + taken.len()].copy_from_slice(taken);
        self.header_len += taken.len() as u8;
    }

    /// What the first two bytes of a frame alone can break.
    fn check_first_bytes(&self, first: u8, second: u8) -> Result<(), OffenceKind> {
        // RFC 6455 5.2: RSV1-3 MUST be 0 unless an extension gives them a meaning.
        if first & RSV2_RSV3 != 0 {
            return Err(OffenceKind::ReservedBits);
        }
        // RFC 6455 5.2: an unknown opcode MUST fail the connection.
        let opcode = Opcode::from_bits(first & OPCODE).ok_or(OffenceKind::UnknownOpcode)?;
        // RFC 7692 6: RSV1 is for the first frame of a data message only.
        let may_compress =
            self.is_deflate_agreed() && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & RSV1 != 0 && !may_compress {
            return Err(OffenceKind::ReservedBits);
        }
        match (self.role, second & MASK != 0) {
            // RFC 6455 5.1: a server MUST close upon an unmasked frame, ...
            (Role::Server, false) => return Err(OffenceKind::NotMasked),
            // ... a client MUST close upon a masked one.
            (Role::Client, true) => return Err(OffenceKind::Masked),
            _ => {}
        }
        match opcode {
            // RFC 6455 5.5: control frames MUST NOT be fragmented and are at most 125 bytes long.
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                if first & FIN == 0 {
                    return Err(OffenceKind::ControlFragmented);
                }
                if usize::from(second & LENGTH) > CONTROL_PAYLOAD_SIZE_MAX {
                    return Err(OffenceKind::ControlTooLong);
                }
            }
            // RFC 6455 5.4: fragments of one message MUST NOT be interleaved with another's.
            Opcode::Text | Opcode::Binary if self.message.kind.is_some() => {
                return Err(OffenceKind::ContinuationExpected);
            }
            Opcode::Continuation if self.message.kind.is_none() => {
                return Err(OffenceKind::ContinuationUnexpected);
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {}
        }
        Ok(())
    }

    /// Holds a complete header against the limits and enters the phase of its payload.
    fn begin_frame(&mut self, limits: &Limits, header: RawHeader) -> Result<(), OffenceKind> {
        self.first_byte = header.first_byte;
        self.remaining = header.len;
        self.key = header.key;
        if self.opcode().is_control() {
            self.phase = Phase::Control;
            return Ok(());
        }

        if header.len > limits.frame_size_max as u64 {
            return Err(OffenceKind::FrameTooBig);
        }
        let kind = match self.opcode() {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            _ => None,
        };
        if kind.is_some() {
            let is_compressed = header.first_byte & RSV1 != 0;
            self.message = Message {
                kind,
                is_compressed,
                is_started: false,
            };
            self.message_size = 0;
            self.fragments = 0;
            self.fragments_empty = 0;
            self.utf8 = Utf8Check::new();
        }
        self.message_size += header.len;
        if self.message_size > limits.message_size_max as u64 {
            return Err(OffenceKind::MessageTooBig);
        }
        self.fragments += 1;
        if self.fragments > limits.fragments_max.max(1) {
            return Err(OffenceKind::FragmentsTooMany);
        }
        // The last one is no waste: an empty message and a stream that ends are ordinary.
        if header.len == 0 && header.first_byte & FIN == 0 {
            self.fragments_empty += 1;
            if self.fragments_empty > limits.fragments_empty_max {
                return Err(OffenceKind::FragmentsEmptyTooMany);
            }
        }
        self.phase = Phase::Data;
        Ok(())
    }

    fn take_data<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, Offence> {
        if input.is_empty() && self.remaining > 0 {
            return Ok(None);
        }
        let payload = self.take_payload(input);
        let is_ascii = mask::unmask_is_ascii(payload, self.key);
        self.key = mask::rotate(self.key, payload.len());

        let Message {
            kind,
            is_compressed,
            is_started,
        } = self.message;
        let kind = kind.expect("invariant: a message is open in the phase Data");
        let last = self.remaining == 0 && self.first_byte & FIN != 0;
        if kind == Kind::Text && !is_compressed {
            // RFC 6455 8.1; the check goes on across pieces and frames.
            let is_checked = is_ascii && self.utf8.is_complete();
            if !is_checked && self.utf8.push(payload).is_err() {
                return Err(self.fail(OffenceKind::TextNotUtf8));
            }
            if last && self.utf8.finish().is_err() {
                return Err(self.fail(OffenceKind::TextNotUtf8));
            }
        }
        self.message.is_started = true;
        if self.remaining == 0 {
            self.phase = Phase::Header;
        }
        if last {
            self.message = Message::NONE;
        }
        Ok(Some(Event::Data {
            kind,
            payload,
            first: !is_started,
            last,
            compressed: is_compressed,
        }))
    }

    fn take_control<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, Offence> {
        let piece = self.take_payload(input);
        mask::unmask_is_ascii(piece, self.key);
        self.key = mask::rotate(self.key, piece.len());
        if self.remaining > 0 {
            if !piece.is_empty() {
                self.spill
                    .get_or_insert_with(|| Box::new(Spill::new()))
                    .push(piece);
            }
            return Ok(None);
        }

        self.phase = Phase::Header;
        let payload = match self.spill.take() {
            None => ControlPayload::in_place(piece),
            Some(mut spill) => {
                spill.push(piece);
                ControlPayload::spilled(spill)
            }
        };
        Ok(Some(match self.opcode() {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong(payload),
            _ => {
                let close = CloseFrame::parse(payload).map_err(|bad| {
                    self.fail(match bad {
                        BadClose::Length => OffenceKind::CloseLength,
                        BadClose::Code => OffenceKind::CloseCode,
                        BadClose::Reason => OffenceKind::CloseReasonNotUtf8,
                    })
                })?;
                self.flags.set(Flags::CLOSE_RECEIVED, true);
                self.phase = Phase::Ended;
                Event::Close(close)
            }
        }))
    }

    /// Takes what is here of the current frame's payload.
    fn take_payload<'a>(&mut self, input: &mut &'a mut [u8]) -> &'a mut [u8] {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let payload = take(input, wanted);
        self.remaining -= payload.len() as u64;
        payload
    }

    fn opcode(&self) -> Opcode {
        Opcode::from_bits(self.first_byte & OPCODE).expect("invariant: checked with the header")
    }

    #[cold]
    fn fail(&mut self, kind: OffenceKind) -> Offence {
        self.phase = Phase::Failed;
        self.offence = Some(kind);
        self.spill = None;
        Offence { kind }
    }

    /// The header of a frame that is sent now. The payload, masked by the caller when there is a
    /// key, must follow it.
    ///
    /// # Errors
    /// [`Misuse`] when the frame must not be sent; nothing changed then.
    #[inline]
    pub fn frame_header(&mut self, frame: Outgoing) -> Result<Header, Misuse> {
        // RFC 6455 5.5.1: after a close frame no more data frames MUST be sent.
        if self.close_sent() {
            return Err(Misuse::Closed);
        }
        // RFC 6455 5.1: a client MUST mask all frames, a server MUST NOT mask any.
        if frame.mask.is_some() != (self.role == Role::Client) {
            return Err(Misuse::MaskRule);
        }
        if frame.opcode.is_control() {
            // RFC 6455 5.5
            if !frame.fin || frame.len > CONTROL_PAYLOAD_SIZE_MAX {
                return Err(Misuse::Control);
            }
            // RFC 7692 6: control frames are never compressed.
            if frame.compressed {
                return Err(Misuse::Compression);
            }
            self.flags
                .set(Flags::CLOSE_SENT, frame.opcode == Opcode::Close);
            return Ok(encode_header(frame));
        }
        // RFC 6455 5.4: a continuation belongs to a message that is open, a message starts when
        // none is.
        if (frame.opcode == Opcode::Continuation) != self.flags.has(Flags::SENDING) {
            return Err(Misuse::Fragmentation);
        }
        // RFC 7692 6: RSV1 on the first frame only, and only if agreed.
        if frame.compressed && (frame.opcode == Opcode::Continuation || !self.is_deflate_agreed()) {
            return Err(Misuse::Compression);
        }
        self.flags.set(Flags::SENDING, !frame.fin);
        Ok(encode_header(frame))
    }

    /// A close frame with a code and a reason. A reason of more than 123 bytes is cut at a
    /// character. After it nothing may be sent.
    ///
    /// # Errors
    /// [`Misuse::Closed`] when one was sent already, [`Misuse::CloseCode`] when the code must not
    /// be on the wire, [`Misuse::MaskRule`].
    pub fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        mask: Option<[u8; 4]>,
    ) -> Result<ControlFrame, Misuse> {
        // RFC 6455 7.4
        if !code.is_sendable() {
            return Err(Misuse::CloseCode);
        }
        let mut end = reason.len().min(CONTROL_PAYLOAD_SIZE_MAX - 2);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = &reason[..end];
        self.control(
            Opcode::Close,
            [&code.number().to_be_bytes(), reason.as_bytes()],
            mask,
        )
    }

    /// A close frame without a payload, which answers one without a payload.
    ///
    /// # Errors
    /// As [`Session::close`].
    pub fn close_empty(&mut self, mask: Option<[u8; 4]>) -> Result<ControlFrame, Misuse> {
        self.control(Opcode::Close, [&[], &[]], mask)
    }

    /// A ping frame.
    ///
    /// # Errors
    /// [`Misuse`] after a close frame, with more than 125 bytes, or against the mask rule.
    pub fn ping(&mut self, payload: &[u8], mask: Option<[u8; 4]>) -> Result<ControlFrame, Misuse> {
        self.control(Opcode::Ping, [payload, &[]], mask)
    }

    /// A pong frame.
    ///
    /// # Errors
    /// As [`Session::ping`].
    pub fn pong(&mut self, payload: &[u8], mask: Option<[u8; 4]>) -> Result<ControlFrame, Misuse> {
        self.control(Opcode::Pong, [payload, &[]], mask)
    }

    fn control(
        &mut self,
        opcode: Opcode,
        parts: [&[u8]; 2],
        mask: Option<[u8; 4]>,
    ) -> Result<ControlFrame, Misuse> {
        let len = parts[0].len() + parts[1].len();
        let frame = Outgoing {
            opcode,
            fin: true,
            compressed: false,
            len,
            mask,
        };
        self.frame_header(frame)?;
        Ok(ControlFrame::new(frame, parts))
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

/// Takes at most `len` bytes off the front of `input`.
fn take<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let len = len.min(input.len());
    let (taken, rest) = mem::take(input).split_at_mut(len);
    *input = rest;
    taken
}
