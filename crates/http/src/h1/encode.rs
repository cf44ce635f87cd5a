//! Heads and chunks as they are sent.
//!
//! Knows no state: what a message needs is for its caller to say. What is written goes into a text that the
//! caller keeps, so that nothing is allocated once that is as long as a head.
//!
//! Spec: RFC 9112 3, 4, 6, 7.1; RFC 9110 8.6.

use std::fmt::Write as _;
use std::num::NonZeroU64;

use super::response::reason_of;
use crate::request::Body;

/// The answer to `Expect: 100-continue` when the body is welcome (RFC 9110 15.2.1), whole.
pub const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
/// The field of a message whose body is sent in chunks, as a whole line.
pub const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
/// What stands behind the content of a chunk.
pub const CHUNK_END: &str = "\r\n";
/// The end of a body in chunks, without trailers.
pub const LAST_CHUNK: &str = "0\r\n\r\n";

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
        push_length(out, length);
    }
    out.push_str("\r\n");
}

/// Writes the head of a request in place of what is in `out`: `fields` are whole lines in any number of
/// parts. A method that usually has content gets `Body::Length(0)` when it has none (RFC 9110 8.6).
///
/// ```
/// use hioload_http::h1::{Body, write_request_head};
///
/// let mut head = String::new();
/// write_request_head(&mut head, "PUT", "/a", "h:80", &["If-None-Match: *\r\n"], Body::Length(5));
/// assert_eq!(
///     head,
///     "PUT /a HTTP/1.1\r\nHost: h:80\r\nIf-None-Match: *\r\nContent-Length: 5\r\n\r\n"
/// );
/// ```
pub fn write_request_head(
    out: &mut String,
    method: &str,
    target: &str,
    host: &str,
    fields: &[&str],
    body: Body,
) {
    out.clear();
    // RFC 9110 7.2: Host first.
    out.extend([method, " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n"]);
    out.extend(fields.iter().copied());
    match body {
        Body::None => {}
        Body::Length(length) => push_length(out, length),
        Body::Chunked => out.push_str(CHUNKED),
    }
    out.push_str("\r\n");
}

/// Appends what stands before the content of a chunk. One without content would be the last one.
///
/// ```
/// use std::num::NonZeroU64;
///
/// let mut out = String::new();
/// hioload_http::h1::write_chunk_size(&mut out, NonZeroU64::MIN.saturating_add(25));
/// assert_eq!(out, "1a\r\n");
/// ```
pub fn write_chunk_size(out: &mut String, size: NonZeroU64) {
    // Writing to a text does not fail.
    let _ = write!(out, "{size:x}\r\n");
}

fn push_length(out: &mut String, length: u64) {
    out.push_str("Content-Length: ");
    push_number(out, length);
    out.push_str("\r\n");
}

fn push_number(out: &mut String, value: u64) {
    out.push_str(itoa::Buffer::new().format(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length() {
        for number in [0, 9, 10, 4096, u64::MAX / 10, u64::MAX] {
            let mut out = String::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string());
        }
    }

    #[test]
    fn what_was_written_before_is_replaced_without_allocation() {
        let mut out = String::with_capacity(128);
        let place = out.as_ptr();
        for length in [None, Some(0), Some(u64::MAX)] {
            write_response_head(&mut out, 206, &["A: b\r\n"], length);
            let line = length.map_or(String::new(), |n| format!("Content-Length: {n}\r\n"));
            let expected = format!("HTTP/1.1 206 Partial Content\r\nA: b\r\n{line}\r\n");
            assert_eq!(out, expected);
        }
        write_request_head(&mut out, "POST", "/", "h", &[], Body::Chunked);
        let expected = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!((&*out, out.as_ptr()), (expected, place));
        write_request_head(&mut out, "GET", "/", "h", &[], Body::None);
        assert_eq!(out, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
}
