//! What a connection that speaks HTTP is doing.

use std::ops::Range;

use hioload_base::Time;
use hioload_blocks::api::Listing;
use hioload_blocks::{GetKey, Hash, PutKey};
use hioload_http::h1::Server;
use hioload_http::{FieldList, RangeSpec, Request, lists_tag, names};

use hioload_streams::StreamUid;

use super::answer::{Answer, push_validity};
use super::machine::{Machine, StreamBody};
use crate::server::poll::Waiter;

/// Bytes of a body or an answer that have to move within `http.body_timeout`, unless it is complete then.
const PROGRESS_MIN: usize = 32 * 1024;

/// The state of one connection.
pub(in crate::server) struct Exchange {
    pub(super) machine: Machine,
    pub(in crate::server) work: Work,
    /// The request at hand is a HEAD: its answer has no body.
    pub(super) is_head: bool,
    /// The connection ends with the answer at hand.
    pub(super) is_last: bool,
    /// When something last went on that counts.
    touched: Time,
    /// Bytes since then.
    progress: usize,
    /// Its body waits for memory of ours.
    is_held: bool,
    /// When its timer fires, if one is set.
    pub(super) due: Option<Time>,
}

/// What the request at hand is waiting for.
#[derive(Default)]
pub(in crate::server) enum Work {
    /// There is none, or its head is coming in.
    #[default]
    Idle,
    /// The first of its body, which goes into the store.
    Offered {
        expected: Option<Hash>,
        /// Bytes announced.
        length: Option<u32>,
        only_new: bool,
    },
    /// Its body, which goes into the store.
    Put {
        key: PutKey,
        /// `If-None-Match: *`.
        only_new: bool,
    },
    /// Its body, which is kept whole.
    List { of: List, body: Vec<u8> },
    /// The store, which has everything it needs.
    Asked(Asked),
    /// Room for the rest of the answer.
    Get { key: GetKey, wish: Wish },
    /// The rest of the names: some in each turn.
    Page(Box<Listing>),
    /// A session, for something to say.
    Poll(Box<Waiting>),
}

/// What an answer to a poll is made from.
pub(in crate::server) struct Waiting {
    pub(in crate::server) uid: StreamUid,
    pub(super) token: u128,
    /// Answers its client has seen.
    pub(super) seen: u32,
    pub(in crate::server) waiter: Waiter,
    /// Fields of the answer.
    pub(super) fields: FieldList,
}

/// What a body that is kept whole is for.
pub(in crate::server) enum List {
    /// Which of these are missing?
    Missing,
    /// Delete these.
    Delete,
    /// The value of a reference.
    Reference {
        hash: Hash,
        name: Box<str>,
        /// `If-None-Match: *`.
        only_new: bool,
    },
}

/// What the store was asked.
pub(in crate::server) enum Asked {
    /// To store a content.
    Put { only_new: bool },
    /// To delete these; named in the answer.
    DeleteMany(Box<[Hash]>),
    /// Something whose answer needs nothing of the question.
    Other,
}

/// What a request for a block says of it, found in one walk over its fields. A list may have several lines (RFC 9110 5.3).
#[derive(Default)]
pub(super) struct Conditions<'a> {
    range: Option<&'a [u8]>,
    if_range: Option<&'a [u8]>,
    /// The client has it already.
    is_known: bool,
    /// Nothing is to be answered from memory without asking who has it from the start (RFC 9111 5.2.1.4).
    pub(super) no_cache: bool,
}

/// What of a block is wanted.
#[derive(Clone, Debug)]
pub(in crate::server) struct Wish {
    pub(super) hash: Hash,
    range: Option<RangeSpec>,
    /// The client has it already.
    is_known: bool,
    /// What the answer is about, once the block is found.
    pub(super) part: Part,
    /// The head of the answer is out.
    pub(super) is_begun: bool,
}

/// A part of a block, or all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Part {
    pub(super) status: u16,
    pub(super) bytes: Range<u32>,
    /// Bytes of the whole.
    pub(super) length: u32,
    /// Said without content only: with it, damage is an error.
    pub(super) is_damaged: bool,
}

impl Exchange {
    pub(in crate::server) fn new(now: Time) -> Self {
        Self::of(Machine::Socket(Server::new()), now)
    }

    /// Of a stream whose request has been read; `has_ended`: without a body.
    pub(in crate::server) fn on_stream(now: Time, has_ended: bool) -> Self {
        let body = if has_ended {
            StreamBody::Over
        } else {
            StreamBody::Open
        };
        Self::of(Machine::Stream(body), now)
    }

    fn of(machine: Machine, now: Time) -> Self {
        Self {
            machine,
            work: Work::Idle,
            is_head: false,
            is_last: false,
            touched: now,
            progress: 0,
            is_held: false,
            due: None,
        }
    }

    /// The peer sends no more of the request.
    pub(in crate::server) fn end_of_input(&mut self) {
        self.machine.end_of_input();
    }

    /// Something begins: a request, an answer, or waiting for one.
    pub(in crate::server) fn touch(&mut self, now: Time) {
        self.touched = now;
        self.progress = 0;
        self.is_held = false;
    }

    /// There is no memory for what came of a body: from now on the time is ours, not the peer's.
    pub(super) fn hold(&mut self, now: Time) {
        if !self.is_held {
            self.touch(now);
            self.is_held = true;
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// So much of a body was taken. After a wait for memory the peer's time begins anew.
    pub(super) fn took(&mut self, now: Time, count: usize) {
        if self.is_held {
            self.touch(now);
        } else {
            self.moved(now, count);
        }
    }

    /// Bytes came or went. A few do not count: who sends or takes them one by one is not waited for.
    pub(in crate::server) fn moved(&mut self, now: Time, count: usize) {
        self.progress += count;
        if self.progress >= PROGRESS_MIN {
            self.touched = now;
            self.progress = 0;
        }
    }

    pub(in crate::server) fn touched(&self) -> Time {
        self.touched
    }

    /// The answer is complete. Whether the connection can take another request.
    pub(super) fn end(&mut self) -> bool {
        self.work = Work::Idle;
        self.is_head = false;
        self.machine.response_done() && !self.is_last
    }

    /// No request is under way.
    pub(in crate::server) fn is_idle(&self) -> bool {
        matches!(self.work, Work::Idle) && self.machine.is_at_head()
    }

    /// A body is coming in.
    pub(in crate::server) fn is_in_body(&self) -> bool {
        matches!(
            self.work,
            Work::Offered { .. } | Work::Put { .. } | Work::List { .. }
        )
    }
}

impl<'a> Conditions<'a> {
    pub(super) fn of(request: &Request<'a>, hash: &Hash) -> Self {
        let mut found = Self::default();
        for (name, value) in request.fields() {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match name.len() {
                5 if is("Range") => _ = found.range.get_or_insert(value),
                8 if is("If-Range") => _ = found.if_range.get_or_insert(value),
                13 if is("If-None-Match") => found.is_known |= lists_tag(value, &hash.to_hex()),
                13 if is("Cache-Control") => {
                    let mut directives = value.split(|&byte| byte == b',');
                    found.no_cache |= directives
                        .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-cache"));
                }
                _ => {}
            }
        }
        found
    }
}

impl Wish {
    pub(super) fn of(request: &Request<'_>, conditions: &Conditions<'_>, hash: Hash) -> Self {
        // RFC 9110 13.1.5: a range of something else than what the client has is of no use to it.
        let is_same = conditions.if_range.is_none_or(|field| {
            field
                .strip_prefix(b"\"")
                .and_then(|field| field.strip_suffix(b"\""))
                == Some(&hash.to_hex()[..])
        });
        // RFC 9110 14.2: a range is for GET alone.
        let is_get = request.method() == "GET";
        let range = conditions.range.filter(|_| is_same && is_get);
        Self {
            hash,
            range: range.and_then(RangeSpec::parse),
            is_known: conditions.is_known,
            part: Part::default(),
            is_begun: false,
        }
    }

    /// What is to be sent of a block of `length` bytes.
    ///
    /// # Errors
    /// Nothing of it: the answer instead.
    pub(super) fn part_of(&self, length: u32) -> Result<Part, Answer> {
        if self.is_known {
            let mut answer = Answer::empty(304);
            push_validity(&mut answer.fields, &self.hash);
            return Err(answer);
        }
        let Some(range) = self.range else {
            return Ok(Part {
                status: 200,
                bytes: 0..length,
                length,
                is_damaged: false,
            });
        };
        match range.within(u64::from(length)) {
            // Not beyond the length, which has 32 bits.
            Ok(bytes) => Ok(Part {
                status: 206,
                bytes: bytes.start as u32..bytes.end as u32,
                length,
                is_damaged: false,
            }),
            Err(_) => Err(Answer::text(416, "the range is outside the block")
                .field(&names::CONTENT_RANGE, &format!("bytes */{length}"))),
        }
    }
}

impl Part {
    pub(super) fn len(&self) -> u32 {
        self.bytes.end - self.bytes.start
    }
}

#[cfg(test)]
mod tests {
    use hioload_http::Body;

    use super::*;

    #[test]
    fn conditions_are_found_in_any_case() {
        let hash = Hash::of(b"a");
        let lines = format!(
            "rAnGe: bytes=0-1\r\nrange: bytes=2-3\r\nif-Range: \"a\"\r\nIf-None-Match: \"b\"\r\n\
             if-none-match: \"c\", \"{hash}\"\r\nranges: x\r\n"
        );
        let request = Request::from_parts("GET", "/", lines.as_bytes(), Body::None);
        let found = Conditions::of(&request, &hash);
        assert_eq!(found.range, Some(&b"bytes=0-1"[..]));
        assert_eq!(found.if_range, Some(&b"\"a\""[..]));
        assert!(found.is_known && !found.no_cache);
        assert!(!Conditions::of(&request, &Hash::of(b"b")).is_known);
    }

    #[test]
    fn no_cache_is_found_in_any_part_of_any_line() {
        for (lines, is_asked) in [
            ("", false),
            ("cache-control: no-cache\r\n", true),
            (
                "Cache-Control: max-age=0\r\nCACHE-CONTROL: a, No-Cache ,b\r\n",
                true,
            ),
            ("cache-control: no-cache=\"x\"\r\n", false),
            ("cache-control: no-cached\r\n", false),
            ("pragma: no-cache\r\n", false),
        ] {
            let request = Request::from_parts("GET", "/", lines.as_bytes(), Body::None);
            let found = Conditions::of(&request, &Hash::MIN);
            assert_eq!(found.no_cache, is_asked, "{lines}");
        }
    }
}
