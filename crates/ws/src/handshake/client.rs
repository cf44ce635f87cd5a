//! The client's end of the handshake.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::head::{self, BadHeader, Headers};
use super::{HEADERS_MAX, HandshakeLimits, accept_value};
use crate::deflate::{DeflateOffer, DeflateParams, negotiate};
use crate::list;
use crate::offence::Misuse;

/// What a client asks for. It lives until the response was checked against it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientRequest<'a> {
    /// The `Host` header: a host, and the port if it is not the scheme's own.
    pub host: &'a str,
    /// Path and query, starting with `/`.
    pub path: &'a str,
    /// 16 random bytes, new for each connection (RFC 6455 4.1, 7).
    pub key: [u8; 16],
    /// The subprotocols, the one liked best first.
    pub protocols: &'a [&'a str],
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// More headers, such as `Authorization`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The permessage-deflate offer.
    pub deflate: Option<DeflateOffer>,
}

/// What the server agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Established {
    /// The index of the chosen subprotocol in [`ClientRequest::protocols`].
    pub protocol: Option<usize>,
    /// The parameters of permessage-deflate, when it is in use.
    pub deflate: Option<DeflateParams>,
}

/// Why a response does not make a WebSocket connection. The socket is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Not the head of an HTTP/1.1 response.
    Malformed,
    /// The head is beyond [`HandshakeLimits`].
    HeadTooBig,
    /// A status other than 101: a redirect, a wish for authentication, a refusal.
    Status(u16),
    /// `Upgrade: websocket` is missing.
    Upgrade,
    /// `Connection: Upgrade` is missing.
    Connection,
    /// `Sec-WebSocket-Accept` is missing or does not fit the key.
    Accept,
    /// A subprotocol that was not offered.
    Protocol,
    /// An extension that was not offered, or parameters that do not fit the offer.
    Extension,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandshakeError::Malformed => "not an HTTP/1.1 response",
            HandshakeError::HeadTooBig => "response head too big",
            HandshakeError::Status(status) => {
                return write!(f, "the server answered with HTTP status {status}");
            }
            HandshakeError::Upgrade => "response without \"Upgrade: websocket\"",
            HandshakeError::Connection => "response without \"Connection: Upgrade\"",
            HandshakeError::Accept => "Sec-WebSocket-Accept does not fit the key",
            HandshakeError::Protocol => "the server chose a subprotocol that was not offered",
            HandshakeError::Extension => "the server chose an extension that was not offered",
        })
    }
}

impl std::error::Error for HandshakeError {}

impl ClientRequest<'_> {
    /// Whether all parts have the characters that belong there, and no others.
    pub(super) fn is_legal(&self) -> bool {
        let is_clean = |text: &str| text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        is_word(self.host)
            && is_word(self.path)
            && self.path.starts_with('/')
            // RFC 6455 3: a fragment identifier MUST NOT be used.
            && !self.path.contains('#')
            && self.origin.is_none_or(is_clean)
            && self.protocols.iter().all(|protocol| list::is_token(protocol))
            && self.headers.iter().all(|(name, value)| list::is_token(name) && is_clean(value))
    }

    /// Appends the request to `out`.
    ///
    /// # Errors
    /// [`Misuse::HeaderText`] when a part has characters that do not belong there, such as a line
    /// break; `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if !self.is_legal() {
            return Err(Misuse::HeaderText);
        }

        let mut put = |parts: &[&str]| {
            for part in parts {
                out.extend_from_slice(part.as_bytes());
            }
        };
        let key = self.encoded_key();
        let key = std::str::from_utf8(&key).expect("invariant: base64 is ASCII");
        put(&["GET ", self.path, " HTTP/1.1\r\nHost: ", self.host]);
        put(&[
            "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ",
            key,
        ]);
        put(&["\r\nSec-WebSocket-Version: 13"]);
        if let Some(origin) = self.origin {
            put(&["\r\nOrigin: ", origin]);
        }
        for (index, protocol) in self.protocols.iter().enumerate() {
            let before = if index == 0 {
                "\r\nSec-WebSocket-Protocol: "
            } else {
                ", "
            };
            put(&[before, protocol]);
        }
        for (name, value) in self.headers {
            put(&["\r\n", name, ": ", value]);
        }
        if let Some(offer) = &self.deflate {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            offer.write(out);
        }
        out.extend_from_slice(b"\r\n\r\n");
        Ok(())
    }

    /// Checks the response at the front of `input`; the number is the size of its head, after
    /// which the frames start. `None`: it is not complete, call again with more behind it.
    ///
    /// # Errors
    /// [`HandshakeError`]
    pub fn check_response(
        &self,
        input: &[u8],
        limits: &HandshakeLimits,
    ) -> Result<Option<(Established, usize)>, HandshakeError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed =
            httparse::Response::new(&mut headers[..limits.headers_max.min(HEADERS_MAX)]);
        let size = match parsed.parse(input) {
            Ok(httparse::Status::Complete(size)) if size <= limits.head_size_max => size,
            Ok(httparse::Status::Partial) if input.len() < limits.head_size_max => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HandshakeError::HeadTooBig),
            Err(_) => return Err(HandshakeError::Malformed),
        };
        if parsed.version != Some(1) {
            return Err(HandshakeError::Malformed);
        }
        let headers = Headers(parsed.headers);
        // RFC 6455 4.1, on the response, 1 to 6 in its order.
        match parsed.code {
            Some(101) => {}
            status => return Err(HandshakeError::Status(status.unwrap_or(0))),
        }
        if !headers.has_token("Upgrade", "websocket") {
            return Err(HandshakeError::Upgrade);
        }
        if !headers.has_token("Connection", "Upgrade") {
            return Err(HandshakeError::Connection);
        }
        let accept = headers
            .single("Sec-WebSocket-Accept")
            .map_err(|_| HandshakeError::Accept)?;
        if accept.map(str::as_bytes) != Some(&accept_value(&self.encoded_key())[..]) {
            return Err(HandshakeError::Accept);
        }
        let deflate = self.check_extensions(headers)?;
        let protocol = self.check_protocol(headers)?;
        Ok(Some((Established { protocol, deflate }, size)))
    }

    fn encoded_key(&self) -> [u8; 24] {
        let mut key = [0; 24];
        STANDARD
            .encode_slice(self.key, &mut key)
            .expect("invariant: 16 bytes make 24");
        key
    }

    pub(super) fn check_protocol(
        &self,
        headers: Headers<'_, '_>,
    ) -> Result<Option<usize>, HandshakeError> {
        match headers.single("Sec-WebSocket-Protocol") {
            Ok(None) => Ok(None),
            // RFC 6455 4.1, 6: one that was not asked for MUST fail the connection.
            Ok(Some(chosen)) => self
                .protocols
                .iter()
                .position(|offered| *offered == chosen)
                .map(Some)
                .ok_or(HandshakeError::Protocol),
            Err(BadHeader) => Err(HandshakeError::Protocol),
        }
    }

    pub(super) fn check_extensions(
        &self,
        headers: Headers<'_, '_>,
    ) -> Result<Option<DeflateParams>, HandshakeError> {
        let mut params = None;
        for value in headers.values("Sec-WebSocket-Extensions") {
            let value = head::text(value).map_err(|BadHeader| HandshakeError::Extension)?;
            for answer in list::split(value, ',') {
                // RFC 6455 4.1, 5: one that was not asked for MUST fail the connection;
                // RFC 7692 5: so MUST parameters that do not fit the offer, and a second answer.
                let offer = self.deflate.as_ref().filter(|_| params.is_none());
                let offer = offer.ok_or(HandshakeError::Extension)?;
                params = Some(
                    negotiate::check_answer(answer, offer)
                        .map_err(|_| HandshakeError::Extension)?,
                );
            }
        }
        Ok(params)
    }
}
