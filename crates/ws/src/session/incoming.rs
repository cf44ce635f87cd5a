//! The general path of the input: frames in pieces, fragments, control frames, and everything that
//! breaks a rule.
//!
//! ```text
//! handle_piece ─▶ take_header ─▶ check_first_bytes ─▶ begin_frame ─▶ take_data
//!                                                               └──▶ take_control
//! ```
//!
//! A header is judged in two steps that do not depend on how it was cut: by its first two bytes,
//! and when it is complete.

use std::mem;

use super::{Event, Flags, Message, Phase, Role, Session};
use crate::close::{BadClose, CloseFrame};
use crate::control::{CONTROL_PAYLOAD_SIZE_MAX, ControlPayload, Spill};
use crate::frame::{
    FIN, Kind, LENGTH, LENGTH_16, LENGTH_64, MASK, OPCODE, Opcode, RSV1, RSV2_RSV3,
};
use crate::limits::Limits;
use crate::mask;
use crate::offence::{Offence, OffenceKind};

/// A parsed header, before it is judged.
#[derive(Clone, Copy)]
struct RawHeader {
    first_byte: u8,
    len: u64,
    key: [u8; 4],
}

impl Session {
    /// The general path: one frame or a piece of one.
    #[inline(never)]
    pub(super) fn handle_piece<'a>(
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
}

/// Takes at most `len` bytes off the front of `input`.
fn take<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let len = len.min(input.len());
    let (taken, rest) = mem::take(input).split_at_mut(len);
    *input = rest;
    taken
}
