//! The HTTP answer to a handshake that is not accepted.

use std::fmt;

/// Why a handshake is refused: an HTTP status, one line for the person who reads it, and the
/// headers that the status demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// The HTTP status code.
    pub status: u16,
    /// One line, without a line break.
    pub reason: &'static str,
    /// More header lines, each with its CR LF.
    headers: &'static str,
    /// The value of the `Connection` header.
    connection: &'static str,
}

impl Refusal {
    pub(super) const MALFORMED: Refusal = Refusal::new(400, "malformed HTTP request");
    pub(super) const NO_UPGRADE: Refusal = Refusal::upgrade(
        "this is a WebSocket endpoint: \"Upgrade: websocket\" is missing",
        "",
    );
    pub(super) const HEAD_TOO_BIG: Refusal = Refusal::new(431, "request head too big");
    pub(super) const HEADERS_TOO_MANY: Refusal = Refusal::new(431, "too many headers");
    pub(super) const METHOD: Refusal = Refusal {
        headers: "Allow: GET\r\n",
        ..Refusal::new(405, "a WebSocket handshake is a GET")
    };
    pub(super) const HTTP_VERSION: Refusal = Refusal::new(505, "a WebSocket handshake is HTTP/1.1");
    pub(super) const VERSION: Refusal = Refusal::upgrade(
        "only version 13 of the WebSocket protocol is spoken here",
        "Sec-WebSocket-Version: 13\r\n",
    );

    /// A refusal for a reason of the application's own, such as 401, 403, 404 or 503.
    #[must_use]
    pub const fn new(status: u16, reason: &'static str) -> Refusal {
        Refusal {
            status,
            reason,
            headers: "",
            connection: "close",
        }
    }

    const fn upgrade(reason: &'static str, headers: &'static str) -> Refusal {
        // RFC 9110 15.5.22: a 426 MUST name the protocol in Upgrade; RFC 9110 7.8: and Upgrade
        // MUST be listed in Connection.
        Refusal {
            status: 426,
            reason,
            headers,
            connection: "Upgrade, close",
        }
    }

    /// Appends the whole response. The connection is to be closed after it.
    pub fn to_response(&self, out: &mut Vec<u8>) {
        let upgrade = if self.status == 426 {
            "Upgrade: websocket\r\n"
        } else {
            ""
        };
        let number = self.status.to_string();
        let body_size = (self.reason.len() + 1).to_string();
        for part in [
            "HTTP/1.1 ",
            &number,
            " ",
            phrase(self.status),
            "\r\nConnection: ",
            self.connection,
            "\r\n",
            upgrade,
            self.headers,
            "Content-Type: text/plain; charset=utf-8\r\nContent-Length: ",
            &body_size,
            "\r\n\r\n",
            self.reason,
            "\n",
        ] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.status,
            phrase(self.status),
            self.reason
        )
    }
}

impl std::error::Error for Refusal {}

/// The reason phrase of a status; it may be empty (RFC 9112 4).
fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
