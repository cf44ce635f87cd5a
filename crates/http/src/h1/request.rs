//! The head of a request: checked, and borrowed from the input.
//!
//! Knows no state of the connection. Whatever two parties could read in two ways is refused here (RFC 9112
//! 11.2), and so what frames a message is never guessed.
//!
//! Spec: RFC 9112 3, 5, 6, 9.3; RFC 9110 7.2, 7.8, 10.1.1.

use std::mem::MaybeUninit;

use super::head::{Coding, after_first_line, coding, lines_are_sound};
use super::limits::{HEADERS_MAX, Limits};
use super::refusal::Refusal;
use super::target::{check_target, is_host};
use crate::fields::{content_length, elements};
use crate::request::{Body, Facts, Request};

impl<'a> Request<'a> {
    /// Reads a head that is complete.
    pub(in crate::h1) fn parse(head: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        let fields_max = limits.headers_max.min(HEADERS_MAX);
        let outcome = parsed.parse_with_uninit_headers(head, &mut fields[..fields_max]);
        match outcome {
            // Read by its own rules, a head may end before it does by ours.
            Ok(httparse::Status::Complete(size)) if size == head.len() => {}
            Ok(_) => return Err(MALFORMED),
            Err(error) => return Err(refusal_of(error, head)),
        }
        if !lines_are_sound(head) {
            return Err(LINE_ENDS);
        }
        let (Some(method), Some(target), Some(version)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(MALFORMED);
        };
        check_target(method, target)?;
        let facts = facts(parsed.headers, version == 0)?;
        Ok(Self::new(method, target, after_first_line(head), facts))
    }
}

const MALFORMED: Refusal = Refusal::new(400, "the request is malformed");
const REQUEST_LINE: Refusal = Refusal::new(400, "the request line is malformed");
const LINE_ENDS: Refusal = Refusal::new(
    400,
    "a line of the head ends with something else than CRLF, or holds a control character",
);

fn refusal_of(error: httparse::Error, head: &[u8]) -> Refusal {
    use httparse::Error;

    match error {
        Error::TooManyHeaders => Refusal::new(431, "the head has too many fields"),
        Error::Version if names_version(head) => {
            Refusal::new(505, "this is neither HTTP/1.1 nor HTTP/1.0")
        }
        Error::HeaderName => Refusal::new(400, "the name of a field is malformed"),
        Error::HeaderValue => Refusal::new(400, "the value of a field is malformed"),
        Error::NewLine => LINE_ENDS,
        Error::Token | Error::Status | Error::Version => REQUEST_LINE,
    }
}

/// Whether the first line has three words, the last of which is a version of HTTP, whichever.
fn names_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
    let version = words.nth(2).filter(|_| words.next().is_none());
    // RFC 9112 2.3: in upper case, and two digits.
    matches!(
        version,
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit()
    )
}

fn facts(fields: &[httparse::Header<'_>], is_1_0: bool) -> Result<Facts, Refusal> {
    let refuse = |status, reason| Err(Refusal::new(status, reason));
    let (mut length, mut encoding, mut hosts) = (None, None, 0);
    let (mut close, mut keep_alive, mut upgrade, mut has_upgrade) = (false, false, false, false);
    let mut expects_continue = false;
    for httparse::Header { name, value } in fields {
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case("content-length") {
            let Some(new) = content_length(value) else {
                return refuse(400, "Content-Length is no number");
            };
            if length.replace(new).is_some() {
                return refuse(400, "there is more than one Content-Length");
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if encoding.replace(value).is_some() {
                return refuse(400, "there is more than one Transfer-Encoding");
            }
        } else if name.eq_ignore_ascii_case("host") {
            if !is_host(value) {
                return refuse(400, "Host is neither a name nor an address");
            }
            hosts += 1;
        } else if name.eq_ignore_ascii_case("connection") {
            for option in elements(value) {
                close |= option.eq_ignore_ascii_case(b"close");
                keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        } else if name.eq_ignore_ascii_case("upgrade") {
            has_upgrade = true;
        } else if name.eq_ignore_ascii_case("expect") && !is_1_0 {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return refuse(417, "nothing but 100-continue can be expected");
            }
            expects_continue = true;
        }
    }
    // RFC 9112 3.2: one Host in 1.1, and never two.
    if hosts > 1 || (hosts == 0 && !is_1_0) {
        return refuse(400, "there is not exactly one Host");
    }
    Ok(Facts {
        body: body(length, encoding, is_1_0)?,
        is_1_0,
        keep_alive: !close && (keep_alive || !is_1_0),
        expects_continue,
        wants_upgrade: upgrade && has_upgrade && !is_1_0,
    })
}

fn body(length: Option<u64>, encoding: Option<&[u8]>, is_1_0: bool) -> Result<Body, Refusal> {
    let refuse = |status, reason| Err(Refusal::new(status, reason));
    match (length, encoding.map(coding)) {
        // RFC 9112 6.1, 6.3: two framings are the tool of request smuggling.
        (Some(_), Some(_)) => refuse(400, "there are both Content-Length and Transfer-Encoding"),
        (None, Some(_)) if is_1_0 => refuse(400, "HTTP/1.0 has no Transfer-Encoding"),
        (None, Some(Coding::Chunked)) => Ok(Body::Chunked),
        // RFC 9112 6.1: nor is a body taken whose end such a coding hides.
        (None, Some(Coding::Other | Coding::Endless)) => {
            refuse(501, "no Transfer-Encoding but chunked is known here")
        }
        (Some(0) | None, None) => Ok(Body::None),
        (Some(length), None) => Ok(Body::Length(length)),
    }
}
