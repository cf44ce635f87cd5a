//! The head of a response: checked, and borrowed from the input; and what a status is called.
//!
//! Knows no request: whether there is a body at all depends on that, too, and is for the connection.
//!
//! Spec: RFC 9112 4, 6, 9.3; RFC 9110 15.

use std::fmt;
use std::mem::MaybeUninit;

use super::head::{Coding, after_first_line, coding, lines_are_sound};
use super::limits::{HEADERS_MAX, Limits};
use crate::fields::{Fields, content_length, elements, values};

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
        self.values(name).next()
    }

    /// The values of all fields of this name, in order: a list may be spread over several (RFC 9110 5.3).
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        values(&self.fields(), name)
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
        let (Some(status @ 100..600), Some(version), true) =
            (parsed.code, parsed.version, lines_are_sound(head))
        else {
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
                // RFC 9112 6.1: chunked once, and never from HTTP/1.0.
                if is_chunked || version == 0 || coding(value) != Coding::Chunked {
                    return Err(ResponseError::Malformed);
                }
                is_chunked = true;
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
