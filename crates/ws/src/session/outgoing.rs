//! What a session sends: headers of data frames and whole control frames, and what may be sent when.

use super::{Flags, Role, Session};
use crate::close::CloseCode;
use crate::control::{CONTROL_PAYLOAD_SIZE_MAX, ControlFrame};
use crate::frame::{Header, Opcode, Outgoing, encode_header};
use crate::offence::Misuse;

impl Session {
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
