//! What an agent tells its owner, and by which names.

use std::fmt;

use hioload_base::Key;

use super::failure::Failure;
use super::url::Url;
use crate::fields::{Fields, values};

/// A request of one agent, until its `End` or `Failed`. Never given to another request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(pub(super) Key);

/// A connection of one agent, until [`Agent::closed`](super::Agent::closed). Never given to another connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnKey(pub(super) Key);

impl ConnKey {
    /// Its place in a table, dense from 0. It comes again, unlike the key.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.index() as usize
    }
}

impl RequestKey {
    /// Its place in a table, dense from 0. It comes again, unlike the key.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.index() as usize
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {:?}", self.0)
    }
}

impl fmt::Debug for ConnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {:?}", self.0)
    }
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1, or an answer in HTTP/1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Its name in ALPN (RFC 7301; RFC 9113 3.2).
    #[must_use]
    pub fn alpn(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// The head of an answer, with memory of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    pub(super) status: u16,
    pub(super) protocol: Protocol,
    pub(super) lines: Box<[u8]>,
    pub(super) length: Option<u64>,
}

impl Head {
    pub(super) fn new<'a>(
        status: u16,
        protocol: Protocol,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        length: Option<u64>,
    ) -> Self {
        let mut lines = Vec::new();
        for (name, value) in fields {
            for part in [name, b": ", value, b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
        Self {
            status,
            protocol,
            lines: lines.into(),
            length,
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version it came by.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its fields, in order. Names are in lower case on HTTP/2.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.lines)
    }

    /// The first field of this name, in whatever case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        values(&self.fields(), name).next()
    }

    /// The first field of this name, if it is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.field(name)?).ok()
    }

    /// The length it states. Of a HEAD it is that of what a GET would bring.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("status", &self.status)
            .field("protocol", &self.protocol)
            .field("fields", &self.lines.escape_ascii().to_string())
            .finish()
    }
}

/// How far a request has come, in bytes of content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Of the request's body, handed to a connection.
    pub sent: u64,
    /// Of the answer's body.
    pub received: u64,
    /// Of the answer's body in all, if that was stated.
    pub total: Option<u64>,
}

/// What happened to a request. After its head come parts of the body, or [`Event::Progress`], then `End`.
#[derive(Debug)]
pub enum Event<'a> {
    /// The answer leads elsewhere, and the request goes there.
    Redirected {
        /// Which.
        request: RequestKey,
        /// By which status.
        status: u16,
        /// Where to.
        to: Url,
    },
    /// The head of the answer that counts.
    Head {
        /// Of which.
        request: RequestKey,
        /// The head.
        head: Head,
    },
    /// A part of the body, when it is streamed; never empty. [`Agent::consumed`](super::Agent::consumed) makes room
    /// for more.
    Body {
        /// Of which.
        request: RequestKey,
        /// Where it lies in the input.
        bytes: &'a mut [u8],
    },
    /// More of the body has come, when it is gathered.
    Progress {
        /// Of which.
        request: RequestKey,
        /// How far it is.
        progress: Progress,
    },
    /// There is room again for a body that is handed over bit by bit.
    BodyWanted {
        /// Of which.
        request: RequestKey,
    },
    /// The answer is complete, and the request is gone.
    End {
        /// Which.
        request: RequestKey,
        /// The body when it was gathered, nothing when it was streamed.
        body: Vec<u8>,
    },
    /// The request failed, and is gone.
    Failed {
        /// Which.
        request: RequestKey,
        /// Why.
        failure: Failure,
    },
}
