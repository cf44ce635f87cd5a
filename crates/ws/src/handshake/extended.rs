//! The client's end of the handshake over HTTP/2: extended CONNECT.
//!
//! No key, no proof and no upgrade: the pseudo fields say all of that, and the response is a status
//! of success (RFC 8441 5). What is negotiated is negotiated as over HTTP/1.1.
//!
//! Knows no HTTP/2: fields go out as lines `name: value`, and come in one by one.
//!
//! Spec: RFC 8441 4, 5; RFC 6455 4.1, 9.1; RFC 7692 5, 7.1.

use super::HEADERS_MAX;
use super::client::{ClientRequest, Established, HandshakeError};
use super::head::Headers;
use crate::offence::Misuse;

impl ClientRequest<'_> {
    /// Appends the regular fields of an extended CONNECT to `out`, as lines `name: value`, each ended
    /// by CR LF. Its pseudo fields are `:method` CONNECT, `:protocol` websocket, `:scheme` https or
    /// http, [`host`](Self::host) as `:authority`, and [`path`](Self::path) as `:path`. The key is
    /// not used.
    ///
    /// ```
    /// use hioload_ws::handshake::ClientRequest;
    ///
    /// let request = ClientRequest {
    ///     host: "example.com",
    ///     path: "/chat",
    ///     protocols: &["a", "b"],
    ///     ..ClientRequest::default()
    /// };
    /// let mut lines = Vec::new();
    /// request.encode_extended(&mut lines)?;
    /// assert_eq!(lines, b"sec-websocket-version: 13\r\nsec-websocket-protocol: a, b\r\n");
    ///
    /// let fields = [(&b"sec-websocket-protocol"[..], &b"b"[..])];
    /// let established = request.check_extended(200, fields)?;
    /// assert_eq!(established.protocol, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Misuse::HeaderText`] when a part has characters that do not belong there, such as a line
    /// break; `out` is as it was.
    pub fn encode_extended(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if !self.is_legal() {
            return Err(Misuse::HeaderText);
        }
        out.extend_from_slice(b"sec-websocket-version: 13\r\n");
        if let Some(origin) = self.origin {
            put(out, &["origin: ", origin, "\r\n"]);
        }
        for (index, protocol) in self.protocols.iter().enumerate() {
            let before = if index == 0 {
                "sec-websocket-protocol: "
            } else {
                ", "
            };
            put(out, &[before, protocol]);
        }
        if !self.protocols.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        for (name, value) in self.headers {
            put(out, &[name, ": ", value, "\r\n"]);
        }
        if let Some(offer) = &self.deflate {
            out.extend_from_slice(b"sec-websocket-extensions: ");
            offer.write(out);
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Checks the response: its status, and its regular fields.
    ///
    /// # Errors
    /// [`HandshakeError`]: the stream is to be reset, by CANCEL.
    pub fn check_extended<'f>(
        &self,
        status: u16,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<Established, HandshakeError> {
        // RFC 8441 5: success is any status of success, and not 101.
        if !(200..=299).contains(&status) {
            return Err(HandshakeError::Status(status));
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut count = 0;
        for (name, value) in fields {
            let header = headers.get_mut(count).ok_or(HandshakeError::HeadTooBig)?;
            header.name = std::str::from_utf8(name).map_err(|_| HandshakeError::Malformed)?;
            header.value = value;
            count += 1;
        }
        let headers = Headers(&headers[..count]);
        let deflate = self.check_extensions(headers)?;
        let protocol = self.check_protocol(headers)?;
        Ok(Established { protocol, deflate })
    }
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}
