//! Who broke what: [`Offence`] when the peer did, [`Misuse`] when the caller did.
//!
//! One table maps every offence to its close code and to the place in the RFC that it breaks.

use std::fmt;

use crate::close::CloseCode;

/// The peer broke the protocol or a limit. The connection is to be failed with [`Offence::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Offence {
    /// What the peer did.
    pub kind: OffenceKind,
}

/// What a peer can do wrong after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffenceKind {
    /// A reserved bit is set that no extension gave a meaning.
    ReservedBits,
    /// An opcode that no RFC defines.
    UnknownOpcode,
    /// A client sent an unmasked frame.
    NotMasked,
    /// A server sent a masked frame.
    Masked,
    /// A length in more bytes than it needs.
    LengthNotMinimal,
    /// A 64-bit length with its highest bit set.
    LengthTooBig,
    /// A ping, pong or close frame without FIN.
    ControlFragmented,
    /// A ping, pong or close frame of more than 125 bytes.
    ControlTooLong,
    /// A continuation frame when no message is open.
    ContinuationUnexpected,
    /// A new message inside of one that is open.
    ContinuationExpected,
    /// The frame is longer than [`Limits::frame_size_max`](crate::Limits::frame_size_max).
    FrameTooBig,
    /// The message is longer than [`Limits::message_size_max`](crate::Limits::message_size_max).
    MessageTooBig,
    /// The message has more fragments than [`Limits::fragments_max`](crate::Limits::fragments_max).
    FragmentsTooMany,
    /// The message has more empty fragments than
    /// [`Limits::fragments_empty_max`](crate::Limits::fragments_empty_max).
    FragmentsEmptyTooMany,
    /// Text that is not UTF-8.
    TextNotUtf8,
    /// A close frame with a payload of one byte.
    CloseLength,
    /// A close frame with a code that must not be on the wire.
    CloseCode,
    /// A close frame whose reason is not UTF-8.
    CloseReasonNotUtf8,
    /// Compressed data that cannot be inflated.
    DeflateData,
    /// A compressed message that inflates to more than the limit.
    InflatedTooBig,
}

impl Offence {
    /// The close code to fail the connection with.
    #[must_use]
    pub const fn code(self) -> CloseCode {
        self.row().0
    }

    /// The rule that was broken, such as `"RFC 6455 5.1"`.
    #[must_use]
    pub const fn rfc(self) -> &'static str {
        self.row().1
    }

    /// One line that says what the peer did; fit for the reason of the close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (CloseCode, &'static str, &'static str) {
        use CloseCode as Code;
        use OffenceKind as Kind;
        match self.kind {
            Kind::ReservedBits => (Code::PROTOCOL, "RFC 6455 5.2", "reserved bit set"),
            Kind::UnknownOpcode => (Code::PROTOCOL, "RFC 6455 5.2", "unknown opcode"),
            Kind::NotMasked => (Code::PROTOCOL, "RFC 6455 5.1", "client frame not masked"),
            Kind::Masked => (Code::PROTOCOL, "RFC 6455 5.1", "server frame masked"),
            Kind::LengthNotMinimal => (Code::PROTOCOL, "RFC 6455 5.2", "length not minimal"),
            Kind::LengthTooBig => (Code::PROTOCOL, "RFC 6455 5.2", "length beyond 63 bits"),
            Kind::ControlFragmented => (Code::PROTOCOL, "RFC 6455 5.5", "control frame fragmented"),
            Kind::ControlTooLong => (
                Code::PROTOCOL,
                "RFC 6455 5.5",
                "control frame longer than 125 bytes",
            ),
            Kind::ContinuationUnexpected => (
                Code::PROTOCOL,
                "RFC 6455 5.4",
                "continuation without a message",
            ),
            Kind::ContinuationExpected => (
                Code::PROTOCOL,
                "RFC 6455 5.4",
                "new message inside of a message",
            ),
            Kind::FrameTooBig => (Code::TOO_BIG, "RFC 6455 7.4.1", "frame too big"),
            Kind::MessageTooBig => (Code::TOO_BIG, "RFC 6455 7.4.1", "message too big"),
            Kind::FragmentsTooMany => (Code::POLICY, "RFC 6455 10.4", "too many fragments"),
            Kind::FragmentsEmptyTooMany => {
                (Code::POLICY, "RFC 6455 10.4", "too many empty fragments")
            }
            Kind::TextNotUtf8 => (Code::INVALID_PAYLOAD, "RFC 6455 8.1", "text is not UTF-8"),
            Kind::CloseLength => (
                Code::PROTOCOL,
                "RFC 6455 5.5.1",
                "close payload of one byte",
            ),
            Kind::CloseCode => (Code::PROTOCOL, "RFC 6455 7.4", "close code not allowed"),
            Kind::CloseReasonNotUtf8 => (
                Code::INVALID_PAYLOAD,
                "RFC 6455 5.5.1",
                "close reason is not UTF-8",
            ),
            Kind::DeflateData => (Code::INVALID_PAYLOAD, "RFC 7692 7.2.2", "bad deflate data"),
            Kind::InflatedTooBig => (Code::TOO_BIG, "RFC 7692 8", "inflated message too big"),
        }
    }
}

impl From<OffenceKind> for Offence {
    fn from(kind: OffenceKind) -> Offence {
        Offence { kind }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, close code {})",
            self.reason(),
            self.rfc(),
            self.code()
        )
    }
}

impl std::error::Error for Offence {}

/// The caller asked for a frame that must not be sent. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// A close frame was sent already: nothing may follow it (RFC 6455 5.5.1).
    Closed,
    /// A client frame without a mask key, or a server frame with one (RFC 6455 5.1).
    MaskRule,
    /// A continuation without a message, or a message inside of a message (RFC 6455 5.4).
    Fragmentation,
    /// A fragmented control frame, or one of more than 125 bytes (RFC 6455 5.5).
    Control,
    /// RSV1 without permessage-deflate, or not on the first frame of a message (RFC 7692 6).
    Compression,
    /// A close code that must not be on the wire (RFC 6455 7.4).
    CloseCode,
    /// A part of a handshake with characters that do not belong there (RFC 9110 5.5).
    HeaderText,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misuse::Closed => "nothing may be sent after a close frame",
            Misuse::MaskRule => "a client masks every frame, a server none",
            Misuse::Fragmentation => "frame does not fit the message that is open",
            Misuse::Control => "control frames are whole and at most 125 bytes long",
            Misuse::Compression => {
                "RSV1 is for the first frame of a message, if deflate was agreed"
            }
            Misuse::CloseCode => "this close code must not be sent",
            Misuse::HeaderText => "a part of the handshake has characters HTTP forbids there",
        })
    }
}

impl std::error::Error for Misuse {}
