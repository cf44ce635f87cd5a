//! Heads of responses: written by servers, read by clients.

use std::fmt;
use std::mem::MaybeUninit;

use super::head::{Fields, after_first_line, content_length, elements};
use super::limits::{HEADERS_MAX, Limits};

/// The head of a response.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    status: u16,
    fields: &'a [u8],
    pub(super) length: Option<u64>,
    pub(super) is_chunked: bool,
    pub(super) keep_alive: bool,
}

/// What a server sent is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The head or the framing of the body is malformed.
    Malformed,
    /// A limit was passed.
    TooLong,
    /// The connection ended within a response.
    Truncated,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the response is malformed",
            Self::TooLong => "the head of the response is too long",
            Self::Truncated => "the connection ended within a response",
        })
    }
}

impl std::error::Error for ResponseError {}

impl<'a> Response<'a> {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Its fields, in order.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields::new(self.fields)
    }

    /// The first field of this name, in whatever case it was sent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.fields()
            .find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The length it states.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }

    pub(super) fn parse(head: &'a [u8], limits: &Limits) -> Result<Self, ResponseError> {
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        let fields_max = limits.headers_max.min(HEADERS_MAX);
        let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            head,
            &mut fields[..fields_max],
        );
        match outcome {
            Ok(httparse::Status::Complete(size)) if size == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooLong),
            _ => return Err(ResponseError::Malformed),
        }
        let (Some(status), Some(version)) = (parsed.code, parsed.version) else {
            return Err(ResponseError::Malformed);
        };
        let (mut length, mut is_chunked) = (None, false);
        let (mut close, mut keep_alive) = (false, version > 0);
        for httparse::Header { name, value } in parsed.headers.iter() {
            let value = value.trim_ascii();
            if name.eq_ignore_ascii_case("content-length") {
                let new = content_length(value).ok_or(ResponseError::Malformed)?;
                if length.replace(new).is_some_and(|old| old != new) {
                    return Err(ResponseError::Malformed);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = value.eq_ignore_ascii_case(b"chunked");
                if !is_chunked {
                    return Err(ResponseError::Malformed);
                }
            } else if name.eq_ignore_ascii_case("connection") {
                for option in elements(value) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        // RFC 9112 6.3: two framings are an error of the server, or an attack through it.
        if is_chunked && length.is_some() {
            return Err(ResponseError::Malformed);
        }
        Ok(Self {
            status,
            fields: after_first_line(head),
            length,
            is_chunked,
            keep_alive: keep_alive && !close,
        })
    }
}

/// Writes the head of a response in place of what is in `out`: `fields` are whole lines in any number of
/// parts, `length` is left out of responses that have no content by definition.
///
/// ```
/// let mut head = String::new();
/// hioload_http::h1::write_response_head(&mut head, 200, &["ETag: \"a\"\r\n"], Some(5));
/// assert_eq!(head, "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n");
/// ```
pub fn write_response_head(out: &mut String, status: u16, fields: &[&str], length: Option<u64>) {
    out.clear();
    out.push_str("HTTP/1.1 ");
    push_number(out, u64::from(status));
    out.push(' ');
    out.push_str(reason_of(status));
    out.push_str("\r\n");
    out.extend(fields.iter().copied());
    if let Some(length) = length {
        out.push_str("Content-Length: ");
        push_number(out, length);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
}

fn push_number(out: &mut String, mut value: u64) {
    let mut digits = [0; 20];
    let mut place = digits.len();
    loop {
        place -= 1;
        digits[place] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[place..].iter().map(|&digit| char::from(digit)));
}

/// What a status is called (RFC 9110 15; 507: RFC 4918 11.5); nothing for those a server here never sends.
#[must_use]
pub fn reason_of(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}
