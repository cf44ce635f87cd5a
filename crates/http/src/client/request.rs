//! What a client asks, and how it wants the answer.
//!
//! Knows no connection and no version of HTTP: fields are those of the message. What frames it, and what belongs to the
//! connection, is for whoever sends it; a caller cannot set it.
//!
//! Spec: RFC 9110 5.5, 5.6.2, 7.6.1, 10.1.1; RFC 7617 (Basic).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::method::{Method, is_token};
use super::redirect::RedirectPolicy;
use super::url::Url;

/// What goes with a request.
#[derive(Clone, Debug, Default)]
pub enum RequestBody {
    /// Nothing.
    #[default]
    None,
    /// These bytes. They can be sent again, after a redirect or on another connection.
    Bytes(Arc<[u8]>),
    /// So many bytes, handed over bit by bit.
    Stream(u64),
    /// As many bytes as come, handed over bit by bit: in chunks on HTTP/1.1.
    Chunked,
}

/// What becomes of the body of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// It is gathered and handed out whole; a longer one fails the request.
    Collect {
        /// Bytes at most; `None`: as the agent's limits say.
        size_max: Option<u64>,
    },
    /// It is handed out as it comes, however long it is.
    Stream,
}

/// Another protocol that is spoken once the server agrees: by `Upgrade` on HTTP/1.1 (RFC 9110 7.8), by extended
/// CONNECT on HTTP/2 (RFC 8441).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tunnel {
    pub(super) protocol: String,
    /// Lines that only the upgrade of HTTP/1.1 has.
    pub(super) http1_lines: String,
}

/// Why a request cannot be made like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestError {
    /// The name of a field is no token.
    FieldName,
    /// The value of a field has control characters.
    FieldValue,
    /// A field that frames the message or belongs to the connection: it is set by whoever sends it.
    FieldOfConnection,
    /// A name of a user with a colon, or control characters in it or in the password (RFC 7617 2).
    Credentials,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldName => "the name of a field has characters that do not belong there",
            Self::FieldValue => "the value of a field has control characters",
            Self::FieldOfConnection => {
                "this field frames the message or belongs to the connection: it cannot be set"
            }
            Self::Credentials => "a user's name has no colon, and nothing has control characters",
        })
    }
}

impl std::error::Error for RequestError {}

/// A request.
///
/// ```
/// use hioload_http::client::{Method, Request, RequestBody};
///
/// let request = Request::new(Method::POST, "http://127.0.0.1:8080/notes".parse()?)
///     .field("Content-Type", "text/plain")?
///     .body(RequestBody::Bytes(b"remember".as_slice().into()))
///     .read_timeout(std::time::Duration::from_secs(30));
/// assert_eq!(request.url().target(), "/notes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Lines `name: value`.
    pub(super) lines: String,
    pub(super) body: RequestBody,
    pub(super) mode: BodyMode,
    pub(super) redirects: Option<RedirectPolicy>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) total_timeout: Option<Duration>,
    pub(super) expects_continue: bool,
    pub(super) tunnel: Option<Tunnel>,
}

impl Request {
    /// A request without fields or body, whose answer is gathered.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            lines: String::new(),
            body: RequestBody::None,
            mode: BodyMode::Collect { size_max: None },
            redirects: None,
            read_timeout: None,
            total_timeout: None,
            expects_continue: false,
            tunnel: None,
        }
    }

    /// A request to speak another protocol, such as `websocket`. The answer's head says whether the server agrees: 101
    /// on HTTP/1.1, 2xx on HTTP/2. From there on the body is a stream of bytes in each direction, and the request ends
    /// when both have. `http1_fields` are those that only the upgrade of HTTP/1.1 has.
    ///
    /// # Errors
    /// A field is malformed.
    pub fn tunnel(
        url: Url,
        protocol: &str,
        http1_fields: &[(&str, &str)],
    ) -> Result<Self, RequestError> {
        if !protocol.bytes().all(is_token) || protocol.is_empty() {
            return Err(RequestError::FieldValue);
        }
        let mut http1_lines = String::new();
        for (name, value) in http1_fields {
            push_line(&mut http1_lines, name, value)?;
        }
        let mut request = Self::new(Method::GET, url).streamed();
        request.body = RequestBody::Chunked;
        request.redirects = Some(RedirectPolicy::NONE);
        request.tunnel = Some(Tunnel {
            protocol: protocol.to_owned(),
            http1_lines,
        });
        Ok(request)
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// What it is for.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Adds a field, after those before it.
    ///
    /// # Errors
    /// It is malformed, or not for a caller to set. Nothing was added.
    pub fn field(mut self, name: &str, value: &str) -> Result<Self, RequestError> {
        if is_of_connection(name) {
            return Err(RequestError::FieldOfConnection);
        }
        push_line(&mut self.lines, name, value)?;
        Ok(self)
    }

    /// Says who asks, by name and password (RFC 7617): readable by everybody on the way, unless TLS lies between.
    ///
    /// # Errors
    /// One of the two has characters that cannot be sent.
    pub fn basic_auth(self, user: &str, password: &str) -> Result<Self, RequestError> {
        if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
            return Err(RequestError::Credentials);
        }
        let encoded = base64(format!("{user}:{password}").as_bytes());
        self.field("Authorization", &format!("Basic {encoded}"))
    }

    /// What goes with it.
    #[must_use]
    pub fn body(mut self, body: RequestBody) -> Self {
        self.body = body;
        self
    }

    /// The answer's body is gathered up to so many bytes.
    #[must_use]
    pub fn collected(mut self, size_max: u64) -> Self {
        self.mode = BodyMode::Collect {
            size_max: Some(size_max),
        };
        self
    }

    /// The answer's body is handed out as it comes.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.mode = BodyMode::Stream;
        self
    }

    /// Follows redirects like this, and not as the agent does.
    #[must_use]
    pub fn redirects(mut self, policy: RedirectPolicy) -> Self {
        self.redirects = Some(policy);
        self
    }

    /// How long the peer may leave us waiting: for the whole head, and for each part of the body.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = Some(timeout);
        self
    }

    /// How long all of it may take, redirects included.
    #[must_use]
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// The body waits until the server wants it (`Expect: 100-continue`), but not for ever.
    #[must_use]
    pub fn expect_continue(mut self) -> Self {
        self.expects_continue = true;
        self
    }

    /// Has a field of this name.
    pub(super) fn has_field(&self, name: &str) -> bool {
        self.lines
            .split_terminator("\r\n")
            .filter_map(|line| line.split_once(':'))
            .any(|(field, _)| field.eq_ignore_ascii_case(name))
    }

    /// Drops the fields for which `is_dropped` says so.
    pub(super) fn drop_fields(&mut self, is_dropped: impl Fn(&str) -> bool) {
        let kept = self.lines.split_inclusive("\r\n");
        self.lines = kept
            .filter(|line| {
                !line
                    .split_once(':')
                    .is_some_and(|(name, _)| is_dropped(name))
            })
            .collect();
    }
}

/// RFC 9110 7.6.1, 7.2, 8.6, 10.1.1; RFC 9113 8.2.2.
fn is_of_connection(name: &str) -> bool {
    [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
    .iter()
    .any(|known| name.eq_ignore_ascii_case(known))
}

fn push_line(lines: &mut String, name: &str, value: &str) -> Result<(), RequestError> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(RequestError::FieldName);
    }
    let value = value.trim_matches([' ', '\t']);
    if value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err(RequestError::FieldValue);
    }
    lines.extend([name, ": ", value, "\r\n"]);
    Ok(())
}

/// RFC 4648 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            let is_padding = place > group.len();
            text.push(if is_padding { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::new(Method::GET, "http://h/".parse().expect("legal"))
    }

    #[test]
    fn fields_that_would_break_the_message_are_refused() {
        for (name, value, error) in [
            ("", "x", RequestError::FieldName),
            ("a b", "x", RequestError::FieldName),
            ("a:", "x", RequestError::FieldName),
            ("a\r\nb", "x", RequestError::FieldName),
            ("a", "x\r\nb: c", RequestError::FieldValue),
            ("a", "x\n", RequestError::FieldValue),
            ("a", "x\0", RequestError::FieldValue),
            ("Content-Length", "5", RequestError::FieldOfConnection),
            (
                "transfer-encoding",
                "chunked",
                RequestError::FieldOfConnection,
            ),
            ("HOST", "other", RequestError::FieldOfConnection),
            ("Connection", "close", RequestError::FieldOfConnection),
            ("Upgrade", "h2c", RequestError::FieldOfConnection),
        ] {
            assert_eq!(request().field(name, value).err(), Some(error), "{name:?}");
        }
        let request = request()
            .field("A", " b\tc ")
            .and_then(|r| r.field("D", ""));
        assert_eq!(request.expect("legal").lines, "A: b\tc\r\nD: \r\n");
    }

    #[test]
    fn fields_are_dropped_by_name() {
        let mut request = request();
        request.lines = "Cookie: a\r\nX: cookie: b\r\ncookie: c\r\n".to_owned();
        assert!(request.has_field("COOKIE") && !request.has_field("cook"));
        request.drop_fields(|name| name.eq_ignore_ascii_case("cookie"));
        assert_eq!(request.lines, "X: cookie: b\r\n");
    }

    #[test]
    fn credentials_are_encoded_or_refused() {
        let authorization = |user, password| {
            let request = request().basic_auth(user, password)?;
            Ok::<_, RequestError>(request.lines)
        };
        // RFC 7617 2, 2.1.
        assert_eq!(
            authorization("Aladdin", "open sesame").as_deref(),
            Ok("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")
        );
        assert_eq!(
            authorization("test", "123\u{a3}").as_deref(),
            Ok("Authorization: Basic dGVzdDoxMjPCow==\r\n")
        );
        assert_eq!(authorization("a:b", ""), Err(RequestError::Credentials));
        assert_eq!(authorization("a", "\n"), Err(RequestError::Credentials));
    }

    #[test]
    fn base64_of_every_length() {
        // RFC 4648 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
