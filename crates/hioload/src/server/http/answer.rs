//! What a request is answered: status, fields, a body that is at hand.

use hioload_base::Time;
use hioload_blocks::{Durability, Fault, Hash, PutError, Released};
use hioload_http::{FieldList, KnownName, names};

use super::own_names as own;

const TEXT: &str = "text/plain; charset=utf-8";

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: FieldList,
    pub(super) body: Vec<u8>,
    /// Nothing is taken from the connection after this.
    pub(super) is_last: bool,
}

impl Answer {
    /// Without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            fields: FieldList::new(),
            body: Vec::new(),
            is_last: false,
        }
    }

    /// One line for a person.
    pub(super) fn text(status: u16, line: &str) -> Self {
        let answer = Self {
            body: format!("{line}\n").into_bytes(),
            ..Self::empty(status)
        };
        answer.field(&names::CONTENT_TYPE, TEXT)
    }

    /// For programs.
    pub(super) fn json(body: Vec<u8>) -> Self {
        let answer = Self {
            body,
            ..Self::empty(200)
        };
        answer.field(&names::CONTENT_TYPE, "application/json")
    }

    /// One more field.
    pub(super) fn field(mut self, name: &'static KnownName, value: &str) -> Self {
        self.fields.push(name, value);
        self
    }

    /// The connection ends with it: the body of the request will not be read, or nobody knows where it
    /// ends.
    pub(super) fn last(mut self) -> Self {
        self.is_last = true;
        self
    }

    /// Says what is promised of the change that was made.
    pub(super) fn promising(self, durability: Durability) -> Self {
        let promise = match durability {
            Durability::Durable => "durable",
            Durability::Group(_) => "group",
            Durability::Relaxed => "relaxed",
        };
        self.field(&own::DURABILITY, promise)
    }

    /// A content is stored; the body is its name.
    pub(super) fn stored(hash: &Hash, is_new: bool) -> Self {
        let mut answer = Self {
            body: hash.to_string().into_bytes(),
            ..Self::empty(if is_new { 201 } else { 200 })
        };
        let fields = &mut answer.fields;
        fields.push(&names::CONTENT_TYPE, TEXT);
        push_tag(fields, hash);
        fields.print(&names::LOCATION, format_args!("/blocks/{hash}"));
        answer
    }

    /// What came of a delete.
    pub(super) fn deleted(outcome: Released, now: Time) -> Self {
        match outcome {
            Released::Released => Self::empty(204),
            Released::Missing => Self::text(404, "there is no such block"),
            Released::Referenced => Self::text(409, "references hold the block; drop them first"),
            Released::Promised { until } => {
                let seconds = (until - now).as_millis().div_ceil(1000).max(1);
                let line = "a client was just told that the block is there";
                Self::text(409, line).field(&names::RETRY_AFTER, &seconds.to_string())
            }
            Released::Failed(fault) => Self::fault(fault),
        }
    }

    /// The environment is in the way.
    pub(super) fn fault(fault: Fault) -> Self {
        let status = match fault {
            Fault::NoSpace | Fault::IndexFull => 507,
            Fault::Poisoned | Fault::Busy | Fault::BusyFor { .. } => 503,
            Fault::Index | Fault::Io(_) | Fault::Misuse => 500,
        };
        let answer = Self::text(status, &fault.to_string());
        match fault.retry_after() {
            Some(seconds) => answer.field(&names::RETRY_AFTER, &seconds.to_string()),
            None => answer,
        }
    }

    /// Nothing was stored.
    pub(super) fn put_error(error: PutError) -> Self {
        let status = match error {
            PutError::Mismatch { .. } => 422,
            PutError::Empty | PutError::Length { .. } => 400,
            PutError::TooLong => 413,
            PutError::Fault(fault) => return Self::fault(fault),
        };
        Self::text(status, &error.to_string())
    }
}

/// Adds what a cache has to know of a block: its tag, and that it never changes (RFC 9110 15.4.5: 304 says it as 200 does).
pub(super) fn push_validity(fields: &mut FieldList, hash: &Hash) {
    push_tag(fields, hash);
    fields.push(&names::CACHE_CONTROL, "public, max-age=31536000, immutable");
}

/// Adds the tag of a block: its name (RFC 9110 8.8.3).
fn push_tag(fields: &mut FieldList, hash: &Hash) {
    let digits = hash.to_hex();
    fields.write(&names::ETAG, |value| {
        value.push('"');
        value.push_str(str::from_utf8(&digits).expect("invariant: hexadecimal digits are ASCII"));
        value.push('"');
    });
}
