//! A request, whatever version of HTTP it came by.
//!
//! Knows neither how it was framed nor how it was checked: who makes one vouches for its parts.
//!
//! Spec: RFC 9110 5, 7.1, 7.8, 10.1.1; RFC 9112 3.2.

use crate::fields::{Fields, values};
use crate::h1::origin_form;

/// How the body of a message is framed (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// As much as comes: chunks, up to the empty one (RFC 9112 7.1), or frames, up to END_STREAM (RFC 9113 8.1).
    Chunked,
}

/// The head of a request. Every field is well-formed, and what frames the message is without doubt.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    method: &'a str,
    target: &'a str,
    fields: &'a [u8],
    pub(crate) facts: Facts,
}

/// What a head says of its message and connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) body: Body,
    pub(crate) is_1_0: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) wants_upgrade: bool,
}

impl<'a> Request<'a> {
    /// A request of parts that were checked by whoever has them: `target` in one of the forms of RFC 9112 3.2,
    /// `fields` as lines `name: value`, each ended by CRLF. A body of unknown length is [`Body::Chunked`].
    ///
    /// ```
    /// use hioload_http::{Body, Request};
    ///
    /// let request = Request::from_parts("PUT", "/a?b", b"expect: 100-continue\r\n", Body::Length(5));
    /// assert_eq!((request.path(), request.query()), ("/a", Some("b")));
    /// assert!(request.expects_continue());
    /// ```
    #[must_use]
    pub fn from_parts(method: &'a str, target: &'a str, fields: &'a [u8], body: Body) -> Self {
        // Only a body can be waited for.
        let expects_continue = body != Body::None
            && values(&Fields::new(fields), "expect")
                .any(|value| value.eq_ignore_ascii_case(b"100-continue"));
        let facts = Facts {
            body,
            is_1_0: false,
            keep_alive: true,
            expects_continue,
            wants_upgrade: false,
        };
        Self::new(method, target, fields, facts)
    }

    pub(crate) fn new(method: &'a str, target: &'a str, fields: &'a [u8], facts: Facts) -> Self {
        Self {
            method,
            target,
            fields,
            facts,
        }
    }

    /// Its method, as it was sent: methods are case-sensitive.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// What it is for, as it was sent.
    #[must_use]
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The path of its target, without query; `*` for `OPTIONS *`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        let target = origin_form(self.target);
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        // RFC 9110 4.2.3: an empty path means the same as `/`.
        if path.is_empty() { "/" } else { path }
    }

    /// The query of its target, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        origin_form(self.target)
            .split_once('?')
            .map(|(_, query)| query)
    }

    /// Sent by a peer that speaks HTTP/1.0.
    #[must_use]
    pub fn is_1_0(&self) -> bool {
        self.facts.is_1_0
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

    /// How its body is framed.
    #[must_use]
    pub fn body(&self) -> Body {
        self.facts.body
    }

    /// The peer waits for `100 Continue` before it sends the body (RFC 9110 10.1.1).
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.facts.expects_continue && self.facts.body != Body::None
    }

    /// The peer asks for another protocol on this connection (RFC 9110 7.8).
    #[must_use]
    pub fn wants_upgrade(&self) -> bool {
        self.facts.wants_upgrade
    }
}
