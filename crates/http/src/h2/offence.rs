//! Who broke what: [`Offence`] when the peer did, [`Misuse`] when the caller did.
//!
//! One table maps every offence to its scope, its error code, and the place in the RFC that it breaks.

use std::fmt;

use super::error_code::ErrorCode;

/// What an offence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The stream: RST_STREAM (RFC 9113 5.4.2).
    Stream,
    /// The connection: GOAWAY (RFC 9113 5.4.1).
    Connection,
}

/// What a peer can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// The connection does not begin with the client's preface.
    Preface,
    /// The first frame is no SETTINGS.
    SettingsFirst,
    /// A frame is longer than we allow.
    FrameTooBig,
    /// A frame of fixed size has another one, or is too short for what it says.
    FrameSize,
    /// A frame that belongs to a stream came for the connection.
    StreamExpected,
    /// A frame that belongs to the connection came for a stream.
    ConnectionExpected,
    /// A frame came for a stream that nobody opened.
    StreamIdle,
    /// A stream was opened with a number that is not the peer's, or was passed over.
    StreamId,
    /// HEADERS for a stream that the peer has closed.
    HeadersAfterEnd,
    /// A frame other than the next part of a header block came within one, or a part without its beginning.
    HeaderBlockBroken,
    /// A header block cannot be decompressed.
    Compression,
    /// The padding of a frame is longer than the frame.
    Padding,
    /// PUSH_PROMISE, which we do not allow, and no client may send.
    Push,
    /// A setting has a value that it must not have.
    SettingValue,
    /// A window size that is larger than any can be.
    SettingWindow,
    /// SETTINGS that acknowledge something have content, or acknowledge what was not sent.
    SettingsAck,
    /// WINDOW_UPDATE by nothing, for the connection.
    ConnectionWindowZero,
    /// WINDOW_UPDATE beyond 2^31 - 1, for the connection.
    ConnectionWindowOverflow,
    /// More DATA than the connection's window had room for.
    ConnectionWindowExceeded,
    /// WINDOW_UPDATE by nothing, for a stream.
    StreamWindowZero,
    /// WINDOW_UPDATE beyond 2^31 - 1, for a stream.
    StreamWindowOverflow,
    /// More DATA than the stream's window had room for.
    StreamWindowExceeded,
    /// DATA or HEADERS for a stream that the peer has ended.
    StreamEnded,
    /// A stream that depends on itself.
    PrioritySelf,
    /// PRIORITY of another size than five bytes.
    PrioritySize,
    /// A field name or value with characters that must not be in it, or a field that must not be sent.
    Field,
    /// The pseudo fields are not those that this message has to have.
    PseudoFields,
    /// DATA before the head of a message, or a head where only trailers may come.
    MessageOrder,
    /// The DATA is not as long as `content-length` said.
    ContentLength,
    /// `:protocol` without our having allowed it.
    ExtendedConnect,
    /// The priority of a stream is malformed, or of one that cannot have one.
    PriorityUpdate,
    /// The header list is longer than we allow.
    HeaderListTooBig,
    /// The header list is so long that it is not even decompressed to its end.
    HeaderListFlood,
    /// A header block comes in too many parts.
    ContinuationFlood,
    /// A header block does not come to its end.
    HeaderBlockTimeout,
    /// Our SETTINGS are not acknowledged, or the peer's do not come.
    SettingsTimeout,
    /// The peer answers no PING.
    PingTimeout,
    /// The peer leaves no room to send, for too long.
    Stalled,
    /// Too many streams were reset.
    ResetFlood,
    /// Too many streams had to be reset by us.
    ErrorFlood,
    /// Too many PINGs.
    PingFlood,
    /// Too many SETTINGS, or too many in one frame.
    SettingsFlood,
    /// Too many changes of priority.
    PriorityFlood,
    /// Too many WINDOW_UPDATEs.
    WindowUpdateFlood,
    /// Too many frames without content.
    EmptyDataFlood,
    /// Too many frames with hardly any content.
    TinyDataFlood,
    /// Too many frames that bring nothing.
    GlitchFlood,
    /// More replies are due than the peer takes.
    ReplyFlood,
}

impl Offence {
    /// What it ends.
    #[must_use]
    pub const fn scope(self) -> Scope {
        self.row().0
    }

    /// The code that the peer is told.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        self.row().1
    }

    /// The rule that was broken, such as `"RFC 9113 6.1"`; for a limit of our own the part that allows for it.
    #[must_use]
    pub const fn rfc(self) -> &'static str {
        self.row().2
    }

    /// One line that says what the peer did.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.row().3
    }

    const fn row(self) -> (Scope, ErrorCode, &'static str, &'static str) {
        use ErrorCode as Code;
        use Scope::{Connection, Stream};
        const PROTOCOL: ErrorCode = Code::PROTOCOL_ERROR;
        const FLOW: ErrorCode = Code::FLOW_CONTROL_ERROR;
        const CALM: ErrorCode = Code::ENHANCE_YOUR_CALM;
        const LOAD: &str = "RFC 9113 10.5";
        match self {
            Self::Preface => (
                Connection,
                PROTOCOL,
                "RFC 9113 3.4",
                "no connection preface",
            ),
            Self::SettingsFirst => (
                Connection,
                PROTOCOL,
                "RFC 9113 3.4",
                "SETTINGS is not the first frame",
            ),
            Self::FrameTooBig => (
                Connection,
                Code::FRAME_SIZE_ERROR,
                "RFC 9113 4.2",
                "frame too big",
            ),
            Self::FrameSize => (
                Connection,
                Code::FRAME_SIZE_ERROR,
                "RFC 9113 4.2",
                "frame of a wrong size",
            ),
            Self::StreamExpected => (
                Connection,
                PROTOCOL,
                "RFC 9113 5.1.1",
                "frame without a stream",
            ),
            Self::ConnectionExpected => (
                Connection,
                PROTOCOL,
                "RFC 9113 6",
                "frame of the connection for a stream",
            ),
            Self::StreamIdle => (
                Connection,
                PROTOCOL,
                "RFC 9113 5.1",
                "frame for an idle stream",
            ),
            Self::StreamId => (
                Connection,
                PROTOCOL,
                "RFC 9113 5.1.1",
                "stream id out of order",
            ),
            Self::HeadersAfterEnd => (
                Connection,
                Code::STREAM_CLOSED,
                "RFC 9113 5.1",
                "HEADERS for a closed stream",
            ),
            Self::HeaderBlockBroken => (
                Connection,
                PROTOCOL,
                "RFC 9113 6.10",
                "header block interrupted",
            ),
            Self::Compression => (
                Connection,
                Code::COMPRESSION_ERROR,
                "RFC 9113 4.3",
                "header block undecodable",
            ),
            Self::Padding => (
                Connection,
                PROTOCOL,
                "RFC 9113 6.1",
                "padding longer than its frame",
            ),
            Self::Push => (
                Connection,
                PROTOCOL,
                "RFC 9113 8.4",
                "PUSH_PROMISE is not allowed",
            ),
            Self::SettingValue => (
                Connection,
                PROTOCOL,
                "RFC 9113 6.5.2",
                "setting out of range",
            ),
            Self::SettingWindow => (
                Connection,
                FLOW,
                "RFC 9113 6.5.2",
                "initial window size out of range",
            ),
            Self::SettingsAck => (
                Connection,
                Code::FRAME_SIZE_ERROR,
                "RFC 9113 6.5",
                "SETTINGS ack with content",
            ),
            Self::ConnectionWindowZero => {
                (Connection, PROTOCOL, "RFC 9113 6.9", "WINDOW_UPDATE of 0")
            }
            Self::ConnectionWindowOverflow => {
                (Connection, FLOW, "RFC 9113 6.9.1", "window above 2^31-1")
            }
            Self::ConnectionWindowExceeded => (
                Connection,
                FLOW,
                "RFC 9113 6.9.1",
                "connection window exceeded",
            ),
            Self::StreamWindowZero => (Stream, PROTOCOL, "RFC 9113 6.9", "WINDOW_UPDATE of 0"),
            Self::StreamWindowOverflow => (Stream, FLOW, "RFC 9113 6.9.1", "window above 2^31-1"),
            Self::StreamWindowExceeded => {
                (Stream, FLOW, "RFC 9113 6.9.1", "stream window exceeded")
            }
            Self::StreamEnded => (
                Stream,
                Code::STREAM_CLOSED,
                "RFC 9113 5.1",
                "frame after the end of the stream",
            ),
            Self::PrioritySelf => (
                Stream,
                PROTOCOL,
                "RFC 7540 5.3.1",
                "stream depends on itself",
            ),
            Self::PrioritySize => (
                Stream,
                Code::FRAME_SIZE_ERROR,
                "RFC 9113 6.3",
                "PRIORITY of a wrong size",
            ),
            Self::Field => (
                Stream,
                PROTOCOL,
                "RFC 9113 8.2",
                "field malformed or forbidden",
            ),
            Self::PseudoFields => (Stream, PROTOCOL, "RFC 9113 8.3", "pseudo fields wrong"),
            Self::MessageOrder => (
                Stream,
                PROTOCOL,
                "RFC 9113 8.1",
                "parts of the message out of order",
            ),
            Self::ContentLength => (
                Stream,
                PROTOCOL,
                "RFC 9113 8.1.1",
                "content-length is not that of the content",
            ),
            Self::ExtendedConnect => (Stream, PROTOCOL, "RFC 8441 4", ":protocol was not allowed"),
            Self::PriorityUpdate => (
                Connection,
                PROTOCOL,
                "RFC 9218 7.1",
                "PRIORITY_UPDATE malformed",
            ),
            Self::HeaderListTooBig => (Stream, CALM, "RFC 9113 10.5.1", "header list too big"),
            Self::HeaderListFlood => (
                Connection,
                CALM,
                "RFC 9113 10.5.1",
                "header list far too big",
            ),
            Self::ContinuationFlood => (
                Connection,
                CALM,
                "RFC 9113 10.5.1",
                "too many CONTINUATION frames",
            ),
            Self::HeaderBlockTimeout => (
                Connection,
                CALM,
                "RFC 9113 10.5.1",
                "header block does not end",
            ),
            Self::SettingsTimeout => (
                Connection,
                Code::SETTINGS_TIMEOUT,
                "RFC 9113 6.5.3",
                "SETTINGS not acknowledged",
            ),
            Self::PingTimeout => (
                Connection,
                Code::NO_ERROR,
                "RFC 9113 6.7",
                "no answer to PING",
            ),
            Self::Stalled => (Stream, CALM, LOAD, "no room to send for too long"),
            Self::ResetFlood => (Connection, CALM, LOAD, "too many streams reset"),
            Self::ErrorFlood => (
                Connection,
                CALM,
                LOAD,
                "too many streams that had to be reset",
            ),
            Self::PingFlood => (Connection, CALM, LOAD, "too many PINGs"),
            Self::SettingsFlood => (Connection, CALM, LOAD, "too many SETTINGS"),
            Self::PriorityFlood => (Connection, CALM, LOAD, "too many changes of priority"),
            Self::WindowUpdateFlood => (Connection, CALM, LOAD, "too many WINDOW_UPDATEs"),
            Self::EmptyDataFlood => (Connection, CALM, LOAD, "too many empty frames"),
            Self::TinyDataFlood => (Connection, CALM, LOAD, "too many tiny DATA frames"),
            Self::GlitchFlood => (Connection, CALM, LOAD, "too many frames that bring nothing"),
            Self::ReplyFlood => (Connection, CALM, LOAD, "replies are not taken"),
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.reason(), self.rfc(), self.code())
    }
}

impl std::error::Error for Offence {}

/// The caller asked for what must not be sent. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// The stream is gone, or was reset.
    Closed,
    /// The side of the stream that we send on has ended, or a part of the message was sent out of its order.
    Order,
    /// Body bytes that were announced are not sent yet: trailers have to wait.
    DataQueued,
    /// A field has characters that it must not have.
    FieldText,
    /// A status that is no answer, or no interim one.
    Status,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the stream is closed",
            Self::Order => "this part of the message cannot be sent now",
            Self::DataQueued => "trailers come after all of the body",
            Self::FieldText => "a field has characters that HTTP forbids there",
            Self::Status => "the status does not belong to this kind of head",
        })
    }
}

impl std::error::Error for Misuse {}

/// Why a stream cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenError {
    /// As many streams are open as may be: when one was released, or the peer's settings come, there may be room.
    TooMany,
    /// The connection takes no more streams: use another one.
    Draining,
    /// The connection has failed.
    Closed,
    /// This is the server's side.
    NotClient,
    /// The peer does not take extended CONNECT, or did not say so yet.
    NoExtendedConnect,
    /// A part of the request has characters that it must not have.
    FieldText,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "too many streams are open",
            Self::Draining => "the connection takes no more streams",
            Self::Closed => "the connection has failed",
            Self::NotClient => "only a client opens streams",
            Self::NoExtendedConnect => "the peer does not take extended CONNECT",
            Self::FieldText => "a part of the request has characters that HTTP forbids there",
        })
    }
}

impl std::error::Error for OpenError {}
