//! A client's handshake as the server sees it: parsed, checked, borrowed from the input.
//!
//! What is here obeys RFC 6455 4.2.1; whether it is welcome is decided in `accept`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::head::{self, BadHeader, Headers};
use super::{HEADERS_MAX, HandshakeLimits, Refusal};
use crate::limits::PROTOCOLS_MAX;
use crate::list;

/// A legal opening handshake.
///
/// ```
/// use hioload_ws::handshake::{HandshakeLimits, Request};
///
/// let head = b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\n\r\n";
/// let (request, size) = Request::parse(head, &HandshakeLimits::default())?.expect("complete");
/// assert_eq!(size, head.len());
/// assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
/// # Ok::<(), hioload_ws::handshake::Refusal>(())
/// ```
#[derive(Clone)]
pub struct Request<'a> {
    path: &'a str,
    query: Option<&'a str>,
    host: &'a str,
    origin: Option<&'a str>,
    key: &'a str,
    header_count: usize,
    headers: [httparse::Header<'a>; HEADERS_MAX],
}

impl<'a> Request<'a> {
    /// Parses the head at the front of `input`; the number is its size, after which the frames
    /// start. `None`: it is not complete, call again with more behind it.
    ///
    /// # Errors
    /// [`Refusal`] as soon as what is here can no longer become a legal handshake.
    pub fn parse(
        input: &'a [u8],
        limits: &HandshakeLimits,
    ) -> Result<Option<(Request<'a>, usize)>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let header_table = &mut headers[..limits.headers_max.min(HEADERS_MAX)];
        let mut parsed = httparse::Request::new(header_table);
        let size = match parsed.parse(input) {
            Ok(httparse::Status::Complete(size)) if size <= limits.head_size_max => size,
            Ok(httparse::Status::Partial) if input.len() < limits.head_size_max => {
                return check_start(parsed.method, parsed.version).map(|()| None);
            }
            Ok(_) => return Err(Refusal::HEAD_TOO_BIG),
            Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HEADERS_TOO_MANY),
            // A version this parser does not know, such as the HTTP/2 preface.
            Err(httparse::Error::Version) => return Err(Refusal::HTTP_VERSION),
            Err(_) => return Err(Refusal::MALFORMED),
        };
        check_start(parsed.method, parsed.version)?;
        let target = parsed
            .path
            .expect("invariant: a complete head has a target");
        let header_count = parsed.headers.len();

        let found = Found::read(target, Headers(&headers[..header_count]))?;
        let Found {
            path,
            query,
            host,
            origin,
            key,
        } = found;
        let request = Request {
            path,
            query,
            host,
            origin,
            key,
            header_count,
            headers,
        };
        Ok(Some((request, size)))
    }

    /// A handshake over HTTP/2: an extended CONNECT for `websocket`, with its `:path`, and its fields, `host`
    /// made of `:authority` among them.
    ///
    /// ```
    /// use hioload_ws::handshake::{HandshakeLimits, Request};
    ///
    /// let fields = [("host", &b"example.com"[..]), ("sec-websocket-version", b"13")];
    /// let limits = HandshakeLimits::default();
    /// let request = Request::extended("/chat?room=1", fields.into_iter(), &limits)?;
    /// assert_eq!((request.path(), request.key()), ("/chat", ""));
    /// # Ok::<(), hioload_ws::handshake::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// [`Refusal`] when this is no legal handshake (RFC 8441 5).
    pub fn extended(
        target: &'a str,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        limits: &HandshakeLimits,
    ) -> Result<Request<'a>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut header_count = 0;
        for (name, value) in fields {
            if header_count == limits.headers_max.min(HEADERS_MAX) {
                return Err(Refusal::HEADERS_TOO_MANY);
            }
            headers[header_count] = httparse::Header { name, value };
            header_count += 1;
        }
        let found = Found::read_extended(target, Headers(&headers[..header_count]))?;
        Ok(Request {
            path: found.path,
            query: found.query,
            host: found.host,
            origin: found.origin,
            key: "",
            header_count,
            headers,
        })
    }

    /// The path of the target, starting with `/`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The target's part after `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The `Host` header: a host and maybe `:port`.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The `Origin` header; browsers always send it.
    #[must_use]
    pub fn origin(&self) -> Option<&'a str> {
        self.origin
    }

    /// The nonce as it was sent: 16 bytes in base64. Empty over HTTP/2, which needs none.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// The value of the first header of this name, letter case aside, if it is ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers()
            .values(name)
            .next()
            .and_then(|value| head::text(value).ok())
    }

    /// The subprotocols the client offers, the one it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> {
        protocols(self.headers())
    }

    pub(super) fn headers(&self) -> Headers<'_, 'a> {
        Headers(&self.headers[..self.header_count])
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("path", &self.path)
            .field("query", &self.query)
            .field("host", &self.host)
            .field("origin", &self.origin)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What a legal handshake says, apart from its headers.
struct Found<'a> {
    path: &'a str,
    query: Option<&'a str>,
    host: &'a str,
    origin: Option<&'a str>,
    key: &'a str,
}

impl<'a> Found<'a> {
    /// Checks the rules of RFC 6455 4.2.1 in its order.
    fn read(target: &'a str, headers: Headers<'_, 'a>) -> Result<Found<'a>, Refusal> {
        let (path, query) = split_target(target)?;
        let host = read_host(headers)?;
        // RFC 6455 4.2.1, 3 and 4: each is a list and letter case does not matter.
        if !headers.has_token("Upgrade", "websocket") {
            return Err(Refusal::NO_UPGRADE);
        }
        if !headers.has_token("Connection", "Upgrade") {
            return Err(Refusal::new(400, "\"Connection: Upgrade\" is missing"));
        }
        check_version(headers)?;
        // RFC 6455 4.2.1, 5; 11.3.1: it MUST NOT appear more than once.
        let key = single(
            headers,
            "Sec-WebSocket-Key",
            "more than one Sec-WebSocket-Key",
        )?
        .ok_or(Refusal::new(400, "Sec-WebSocket-Key is missing"))?;
        if !is_key(key) {
            return Err(Refusal::new(
                400,
                "Sec-WebSocket-Key is not 16 bytes in base64",
            ));
        }
        let origin = single(headers, "Origin", "more than one Origin")?;
        check_protocols(headers)?;
        check_no_body(headers)?;
        Ok(Found {
            path,
            query,
            host,
            origin,
            key,
        })
    }

    /// The rules that are left over HTTP/2 (RFC 8441 5): its streams need neither upgrade nor nonce.
    fn read_extended(target: &'a str, headers: Headers<'_, 'a>) -> Result<Found<'a>, Refusal> {
        let (path, query) = split_target(target)?;
        let host = read_host(headers)?;
        check_version(headers)?;
        let origin = single(headers, "Origin", "more than one Origin")?;
        check_protocols(headers)?;
        check_no_body(headers)?;
        let key = "";
        Ok(Found {
            path,
            query,
            host,
            origin,
            key,
        })
    }
}

/// RFC 9112 3.2: a request without Host, or with more than one, MUST be answered by 400.
fn read_host<'a>(headers: Headers<'_, 'a>) -> Result<&'a str, Refusal> {
    single(headers, "Host", "more than one Host")?
        .filter(|host| is_authority(host))
        .ok_or(Refusal::new(400, "Host is missing or malformed"))
}

/// RFC 6455 4.2.1, 6; 4.4: another version is answered by the versions we speak.
fn check_version(headers: Headers<'_, '_>) -> Result<(), Refusal> {
    let twice = "more than one Sec-WebSocket-Version";
    match single(headers, "Sec-WebSocket-Version", twice)? {
        Some("13") => Ok(()),
        Some(_) => Err(Refusal::VERSION),
        None => Err(Refusal::new(400, "Sec-WebSocket-Version is missing")),
    }
}

/// Refuses what the start of a head shows already, complete or not.
fn check_start(method: Option<&str>, version: Option<u8>) -> Result<(), Refusal> {
    // RFC 6455 4.2.1, 1: GET, and HTTP/1.1 or higher.
    if method.is_some_and(|method| method != "GET") {
        return Err(Refusal::METHOD);
    }
    if version.is_some_and(|version| version != 1) {
        return Err(Refusal::HTTP_VERSION);
    }
    Ok(())
}

fn single<'a>(
    headers: Headers<'_, 'a>,
    name: &str,
    twice: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    headers
        .single(name)
        .map_err(|BadHeader| Refusal::new(400, twice))
}

/// Path and query of a target in origin form, or in absolute form (RFC 6455 4.2.1, 1).
fn split_target(target: &str) -> Result<(&str, Option<&str>), Refusal> {
    let bad = Refusal::new(400, "the request target is no path and no http URI");
    let relative = if target.starts_with('/') {
        target
    } else {
        let (scheme, rest) = target.split_once("://").ok_or(bad)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(bad);
        }
        match rest.find(['/', '?']) {
            Some(0) => return Err(bad),
            Some(start) => &rest[start..],
            None => "/",
        }
    };
    // RFC 6455 3: a fragment identifier MUST NOT be used.
    if relative.contains('#') {
        return Err(Refusal::new(400, "the request target has a fragment"));
    }
    let (path, query) = match relative.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (relative, None),
    };
    Ok((if path.is_empty() { "/" } else { path }, query))
}

/// Whether it could be `host` or `host:port`. Resolving it is nobody's task here; what matters is
/// that it cannot smuggle another part of a URI.
fn is_authority(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/?#@\\,".contains(&byte))
}

/// Decodes like everyone else does: the last symbol's unused bits are not looked at.
fn is_key(key: &str) -> bool {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG);
    let mut nonce = [0; 18];
    key.len() == 24 && BASE64.decode_slice(key, &mut nonce) == Ok(16)
}

fn protocols<'a>(headers: Headers<'_, 'a>) -> impl Iterator<Item = &'a str> {
    headers
        .values("Sec-WebSocket-Protocol")
        .filter_map(|value| head::text(value).ok())
        .flat_map(|value| list::split(value, ','))
}

fn check_protocols(headers: Headers<'_, '_>) -> Result<(), Refusal> {
    if headers
        .values("Sec-WebSocket-Protocol")
        .any(|value| head::text(value).is_err())
    {
        return Err(Refusal::new(400, "Sec-WebSocket-Protocol is malformed"));
    }
    let mut seen = [""; PROTOCOLS_MAX];
    for (index, protocol) in protocols(headers).enumerate() {
        if index == PROTOCOLS_MAX {
            return Err(Refusal::new(400, "too many subprotocols"));
        }
        // RFC 6455 4.1, 10: the elements are tokens and MUST all be unique.
        if !list::is_token(protocol) || seen[..index].contains(&protocol) {
            return Err(Refusal::new(400, "Sec-WebSocket-Protocol is malformed"));
        }
        seen[index] = protocol;
    }
    Ok(())
}

/// A body would be taken for frames.
fn check_no_body(headers: Headers<'_, '_>) -> Result<(), Refusal> {
    let has_length = headers
        .values("Content-Length")
        .any(|value| head::text(value) != Ok("0"));
    if has_length || headers.values("Transfer-Encoding").next().is_some() {
        return Err(Refusal::new(400, "a WebSocket handshake has no body"));
    }
    Ok(())
}
