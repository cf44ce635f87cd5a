//! One header list: taken field by field from the decoder, checked, and kept as text.
//!
//! Knows no frame and no stream. The regular fields are kept as lines `name: value`, so that a [`Request`] is the same
//! thing whichever version of HTTP it came by; the pseudo fields are kept apart. A list is made once and used for every
//! message: it allocates nothing once it is as long as the longest one.
//!
//! ```text
//!   pseudo:  GET https example.com /a
//!   lines:   host: example.com␍␊ accept: */*␍␊ …
//! ```
//!
//! Invariants: no line holds CR, LF or NUL; a field that is malformed makes the list malformed, but never stops the
//! decoder, whose table has to stay in step (RFC 9113 4.3).
//!
//! Spec: RFC 9113 8.1.1, 8.2, 8.3; RFC 8441 4.

use super::limits::{HEADER_LIST_FACTOR, Limits};
use super::offence::Offence;
use super::priority::Priority;
use crate::field_name::NAME_BYTES;
use crate::fields::{Fields, content_length, is_graphic, is_value, values};
use crate::h1::is_host;
use crate::request::{Body, Request};

/// What a header list is the head of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadKind {
    /// A request, extended CONNECT included.
    Request,
    /// The response.
    Response,
    /// A response with a status of 1xx: the response is yet to come.
    Interim,
    /// Fields after the body; the stream has ended.
    Trailers,
}

/// A header list. Of use until the next one is put in its place.
#[derive(Debug, Default)]
pub struct HeaderList {
    /// Values of the pseudo fields, one behind the other.
    pseudo_text: String,
    pseudo: [Option<Span>; PSEUDO_COUNT],
    lines: Vec<u8>,
    /// No pseudo field can come any more.
    has_lines: bool,
    status: Option<u16>,
    size: u32,
    count: u32,
    length: Option<u64>,
    priority: Option<Priority>,
    cookie_count: u32,
    has_host: bool,
    fault: Option<Offence>,
    /// Room to put the lines into another order.
    spare: Vec<u8>,
}

/// Where a value lies in the text of all.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
}

const METHOD: usize = 0;
const SCHEME: usize = 1;
const AUTHORITY: usize = 2;
const PATH: usize = 3;
const PROTOCOL: usize = 4;
const STATUS: usize = 5;
const PSEUDO_COUNT: usize = 6;

impl HeaderList {
    /// An empty list, without memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `:method`.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.pseudo(METHOD)
    }

    /// `:scheme`.
    #[must_use]
    pub fn scheme(&self) -> Option<&str> {
        self.pseudo(SCHEME)
    }

    /// `:authority`.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.pseudo(AUTHORITY)
    }

    /// `:path`, query included.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.pseudo(PATH)
    }

    /// `:protocol` of extended CONNECT (RFC 8441 4).
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.pseudo(PROTOCOL)
    }

    /// `:status`.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The regular fields, in order; names are in lower case. What `:authority` says is the field `host`, too, and cookies
    /// that came in parts are one field (RFC 9113 8.2.3).
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self.lines())
    }

    /// The first regular field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        values(&self.fields(), name).next()
    }

    /// The regular fields as lines, each ended by CRLF.
    #[must_use]
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Bytes as RFC 9113 6.5.2 counts them: of names and values, and 32 for each field.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// `content-length`.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }

    /// The priority that a request asks for (RFC 9218 5).
    #[must_use]
    pub fn priority(&self) -> Option<Priority> {
        self.priority
    }

    /// CONNECT for a protocol (RFC 8441 4): both sides send DATA until they end it.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.pseudo[PROTOCOL].is_some()
    }

    /// The request, for whoever does not care by which version of HTTP it came. `end_stream` is that of its event.
    /// The target of a plain CONNECT is its authority.
    #[must_use]
    pub fn request(&self, end_stream: bool) -> Request<'_> {
        let body = match (end_stream, self.length) {
            (true, _) | (false, Some(0)) => Body::None,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::Chunked,
        };
        let target = self.path().or(self.authority()).unwrap_or_default();
        Request::from_parts(
            self.method().unwrap_or_default(),
            target,
            self.lines(),
            body,
        )
    }

    /// Forgets all; the memory stays.
    pub fn clear(&mut self) {
        self.pseudo_text.clear();
        self.lines.clear();
        *self = Self {
            pseudo_text: std::mem::take(&mut self.pseudo_text),
            lines: std::mem::take(&mut self.lines),
            spare: std::mem::take(&mut self.spare),
            ..Self::default()
        };
    }

    fn pseudo(&self, index: usize) -> Option<&str> {
        let Span { start, len } = self.pseudo[index]?;
        self.pseudo_text.get(start as usize..(start + len) as usize)
    }

    /// Takes the next field of a block. What is wrong with it is told by [`HeaderList::finish`].
    ///
    /// # Errors
    /// The list is so long that decoding it any further serves nobody.
    pub(super) fn push(
        &mut self,
        name: &[u8],
        value: &[u8],
        limits: &Limits,
    ) -> Result<(), Offence> {
        // Neither is longer than a header block.
        let field_size = u32::try_from(name.len() + value.len() + 32).unwrap_or(u32::MAX);
        self.size = self.size.saturating_add(field_size);
        self.count += 1;
        if self.size > limits.header_list_size_max || self.count > limits.headers_max {
            let size_max = limits
                .header_list_size_max
                .saturating_mul(HEADER_LIST_FACTOR);
            let count_max = limits.headers_max.saturating_mul(HEADER_LIST_FACTOR);
            if self.size > size_max || self.count > count_max {
                return Err(Offence::HeaderListFlood);
            }
            self.fault = Some(Offence::HeaderListTooBig);
        }
        if self.fault.is_some() {
            return Ok(());
        }
        let outcome = if name.first() == Some(&b':') {
            self.push_pseudo(name, value)
        } else {
            self.push_regular(name, value)
        };
        self.fault = outcome.err();
        Ok(())
    }

    fn push_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Offence> {
        let index = match name {
            b":method" => METHOD,
            b":scheme" => SCHEME,
            b":authority" => AUTHORITY,
            b":path" => PATH,
            b":protocol" => PROTOCOL,
            b":status" => STATUS,
            // RFC 9113 8.3: those that were not defined MUST NOT be sent.
            _ => return Err(Offence::PseudoFields),
        };
        // RFC 9113 8.3: they come before the regular ones, and once. None of them holds anything but visible ASCII.
        if self.has_lines || self.pseudo[index].is_some() || value.is_empty() || !is_graphic(value)
        {
            return Err(Offence::PseudoFields);
        }
        let text = str::from_utf8(value).map_err(|_| Offence::PseudoFields)?;
        if index == STATUS {
            self.status = Some(status(value).ok_or(Offence::PseudoFields)?);
        }
        self.pseudo[index] = Some(Span {
            start: self.pseudo_text.len() as u32,
            len: value.len() as u32,
        });
        self.pseudo_text.push_str(text);
        Ok(())
    }

    fn push_regular(&mut self, name: &[u8], value: &[u8]) -> Result<(), Offence> {
        if !is_name(name, false) || !is_value(value) {
            return Err(Offence::Field);
        }
        if !self.has_lines {
            self.begin_lines();
        }
        match name.len() {
            // RFC 9113 8.2.2: nothing else may be in it.
            2 if name == b"te" && !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(Offence::Field);
            }
            4 if name == b"host" => return self.push_host(value),
            6 if name == b"cookie" => self.cookie_count += 1,
            8 if name == b"priority" => self.priority = Some(Priority::parse(value)),
            14 if name == b"content-length" => {
                let length = content_length(value).ok_or(Offence::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(Offence::ContentLength);
                }
            }
            7 | 10 | 16 | 17 if is_of_connection(name) => return Err(Offence::Field),
            _ => {}
        }
        self.push_line(name, value);
        Ok(())
    }

    /// The first line: the host, when `:authority` named it.
    fn begin_lines(&mut self) {
        self.has_lines = true;
        let Some(Span { start, len }) = self.pseudo[AUTHORITY] else {
            return;
        };
        let authority = &self.pseudo_text[start as usize..(start + len) as usize];
        self.lines.extend_from_slice(b"host: ");
        self.lines.extend_from_slice(authority.as_bytes());
        self.lines.extend_from_slice(b"\r\n");
    }

    fn push_host(&mut self, value: &[u8]) -> Result<(), Offence> {
        // RFC 9113 8.3.1: a host that is not the authority makes a request malformed.
        let is_other = |authority: &str| !authority.as_bytes().eq_ignore_ascii_case(value);
        let authority = self.authority();
        if self.has_host || !is_host(value) || authority.is_some_and(is_other) {
            return Err(Offence::PseudoFields);
        }
        if authority.is_none() {
            self.push_line(b"host", value);
        }
        self.has_host = true;
        Ok(())
    }

    fn push_line(&mut self, name: &[u8], value: &[u8]) {
        self.lines.reserve(name.len() + value.len() + 4);
        self.lines.extend_from_slice(name);
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
    }

    /// The block has ended.
    ///
    /// # Errors
    /// The list is not one of its kind.
    pub(super) fn finish(&mut self, kind: HeadKind) -> Result<(), Offence> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !self.has_lines {
            self.begin_lines();
        }
        let is_complete = match kind {
            HeadKind::Request => self.is_request(),
            HeadKind::Response | HeadKind::Interim => self.is_response(),
            // RFC 9113 8.1: trailers MUST NOT include pseudo fields.
            HeadKind::Trailers => self.pseudo.iter().all(Option::is_none),
        };
        if !is_complete {
            return Err(Offence::PseudoFields);
        }
        if self.cookie_count > 1 {
            self.join_cookies();
        }
        Ok(())
    }

    /// RFC 9113 8.3.1, 8.5; RFC 8441 4.
    fn is_request(&self) -> bool {
        let [method, scheme, authority, path, protocol, status] =
            self.pseudo.map(|span| span.is_some());
        if !method
            || status
            || !self
                .authority()
                .is_none_or(|authority| is_host(authority.as_bytes()))
        {
            return false;
        }
        let has_target = scheme && path;
        match (self.method(), protocol) {
            (Some("CONNECT"), false) => authority && !scheme && !path,
            (Some("CONNECT"), true) => has_target && authority && self.has_path(),
            (_, true) => false,
            (_, false) => has_target && self.has_path(),
        }
    }

    /// A path, or `*` for the server as a whole; a fragment is never sent.
    fn has_path(&self) -> bool {
        let path = self.path().unwrap_or_default();
        let is_path = path.starts_with('/') || (path == "*" && self.method() == Some("OPTIONS"));
        is_path && !path.contains('#')
    }

    /// RFC 9113 8.3.2.
    fn is_response(&self) -> bool {
        self.pseudo
            .iter()
            .enumerate()
            .all(|(index, span)| span.is_some() == (index == STATUS))
    }

    /// RFC 9113 8.2.3: one field, its parts joined by `; `. It stands where the first of them stood.
    #[cold]
    fn join_cookies(&mut self) {
        let spare = std::mem::take(&mut self.spare);
        let lines = std::mem::replace(&mut self.lines, spare);
        self.lines.clear();
        let mut is_first = true;
        for (name, value) in Fields::new(&lines) {
            if name != b"cookie" {
                self.push_line(name, value);
            } else if std::mem::take(&mut is_first) {
                let mut before = &b"cookie: "[..];
                for value in values(&Fields::new(&lines), "cookie") {
                    self.lines.extend_from_slice(before);
                    self.lines.extend_from_slice(value);
                    before = b"; ";
                }
                self.lines.extend_from_slice(b"\r\n");
            }
        }
        self.spare = lines;
    }
}

/// Three digits, the first of which is 1 to 5 (RFC 9110 15).
fn status(value: &[u8]) -> Option<u16> {
    let &[
        hundreds @ b'1'..=b'5',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
    ] = value
    else {
        return None;
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    Some(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
}

/// `any_case`: it is put into lower case yet.
pub(super) fn is_name(name: &[u8], any_case: bool) -> bool {
    let is_good =
        |&byte: &u8| NAME_BYTES[usize::from(byte)] || (any_case && byte.is_ascii_uppercase());
    !name.is_empty() && name.iter().all(is_good)
}

/// Fields of the connection, which HTTP/2 says by other means (RFC 9113 8.2.2).
pub(super) fn is_of_connection(name: &[u8]) -> bool {
    matches!(
        name,
        b"upgrade" | b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
    )
}
