//! Close codes and the payload of a close frame.
//!
//! Knows nothing of sessions: a [`CloseCode`] is a number with rules about who may put it on the
//! wire.
//!
//! Spec: RFC 6455 5.5.1, 7.4; IANA "WebSocket Close Code Number Registry".

use std::fmt;

use crate::control::ControlPayload;

/// Why a connection ends: the two-byte code of a close frame.
///
/// Any number can be represented, since peers send any number; [`CloseCode::is_sendable`] tells
/// those that may be on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the endpoint goes away (shutdown, page left).
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// 1003: a kind of data that the endpoint does not take.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1005: the close frame had no code. Never on the wire.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// 1006: the connection ended without a close frame. Never on the wire.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// 1007: payload that contradicts its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008: the endpoint's policy is violated.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: the client misses an extension.
    pub const EXTENSION: CloseCode = CloseCode(1010);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL: CloseCode = CloseCode(1011);
    /// 1012: the server restarts.
    pub const RESTART: CloseCode = CloseCode(1012);
    /// 1013: the server is overloaded; come back later.
    pub const TRY_AGAIN: CloseCode = CloseCode(1013);
    /// 1014: a gateway got a bad answer from upstream.
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);
    /// 1015: the TLS handshake failed. Never on the wire.
    pub const TLS: CloseCode = CloseCode(1015);

    /// The code of this number, whether or not it may be on the wire.
    #[must_use]
    pub const fn new(number: u16) -> CloseCode {
        CloseCode(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether a close frame may carry it.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        // RFC 6455 7.4.1: 1004 is reserved, 1005, 1006 and 1015 MUST NOT be set in a close frame.
        // RFC 6455 7.4.2: below 1000 unused, up to 2999 only what is registered, 3000-4999 free to
        // use.
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u16> for CloseCode {
    fn from(number: u16) -> CloseCode {
        CloseCode(number)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.0
    }
}

/// The payload of a close frame that has one: a legal code and a UTF-8 reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    payload: ControlPayload<'a>,
}

impl<'a> CloseFrame<'a> {
    /// Checks the rules for the payload of a close frame; `Ok(None)` when it is empty.
    pub(crate) fn parse(payload: ControlPayload<'a>) -> Result<Option<CloseFrame<'a>>, BadClose> {
        match payload.len() {
            0 => Ok(None),
            // RFC 6455 5.5.1: if there is a body, its first two bytes MUST be the code.
            1 => Err(BadClose::Length),
            _ => {
                let frame = CloseFrame { payload };
                if !frame.code().is_sendable() {
                    return Err(BadClose::Code);
                }
                // RFC 6455 5.5.1: what follows the code is UTF-8.
                if simdutf8::basic::from_utf8(&frame.payload[2..]).is_err() {
                    return Err(BadClose::Reason);
                }
                Ok(Some(frame))
            }
        }
    }

    /// The code the peer gave.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        CloseCode(u16::from_be_bytes([self.payload[0], self.payload[1]]))
    }

    /// The reason the peer gave, at most 123 bytes; empty when there was none.
    #[must_use]
    pub fn reason(&self) -> &str {
        std::str::from_utf8(&self.payload[2..]).expect("invariant: checked when parsed")
    }
}

/// What is wrong with the payload of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadClose {
    Length,
    Code,
    Reason,
}
