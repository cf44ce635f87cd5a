//! What clients ask of a store: requests as bytes, and which answers they allow.

use std::fmt::Write as _;

use hioload_base::Prng;
use hioload_blocks::Hash;

use super::content::Content;
use crate::plan::pick;

/// The name of the one reference a content may have.
pub(super) const REFERENCE: &str = "lock";

/// A request.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// Store a content.
    Put {
        content: usize,
        /// `If-None-Match: *`.
        only_new: bool,
    },
    /// Store under the name of a content what is something else.
    PutWrong,
    /// Read a content, or a part of it.
    Get {
        content: usize,
        range: Option<Wanted>,
        is_head: bool,
        /// `If-None-Match` with its name.
        is_known: bool,
    },
    Delete {
        content: usize,
    },
    DeleteMany {
        contents: Vec<usize>,
    },
    /// Which are missing?
    Missing {
        contents: Vec<usize>,
    },
    Refer {
        content: usize,
    },
    Unrefer {
        content: usize,
    },
    Reference {
        content: usize,
    },
    Stats,
}

/// A part of a content, by the forms of RFC 9110 14.1.2.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    From(usize),
    Within(usize, usize),
    Last(usize),
}

impl Wanted {
    pub(super) fn draw(prng: &mut Prng, length: usize) -> Self {
        let place = |prng: &mut Prng| prng.below(length as u64 + length as u64 / 8 + 1) as usize;
        match prng.below(3) {
            0 => Self::From(place(prng)),
            1 => {
                let first = place(prng);
                Self::Within(first, first + place(prng))
            }
            _ => Self::Last(place(prng)),
        }
    }

    fn header(self) -> String {
        match self {
            Self::From(first) => format!("Range: bytes={first}-\r\n"),
            Self::Within(first, last) => format!("Range: bytes={first}-{last}\r\n"),
            Self::Last(count) => format!("Range: bytes=-{count}\r\n"),
        }
    }

    /// First and last byte; `None` when there is nothing of it (RFC 9110 14.1.2).
    pub(super) fn within(self, length: usize) -> Option<(usize, usize)> {
        let last = length - 1;
        match self {
            Self::From(first) => (first <= last).then_some((first, last)),
            Self::Within(first, until) => (first <= last).then_some((first, until.min(last))),
            Self::Last(count) => (count > 0).then_some((length.saturating_sub(count), last)),
        }
    }
}

impl Ask {
    /// Whether its answer has no body, whatever its length says.
    pub(super) fn is_head(&self) -> bool {
        matches!(self, Self::Get { is_head: true, .. })
    }

    /// The request as bytes.
    pub(super) fn encode(&self, contents: &[Content], prng: &mut Prng, out: &mut Vec<u8>) {
        let hash = |content: &usize| contents[*content].hash;
        match self {
            Self::Put { content, only_new } => {
                let it = &contents[*content];
                let line = match prng.below(4) {
                    0 => "POST /blocks".to_owned(),
                    1 => "PUT /".to_owned(),
                    2 => format!("PUT /{}", it.hash),
                    _ => format!("PUT /blocks/{}", it.hash),
                };
                let mut fields = String::new();
                if *only_new {
                    fields.push_str("If-None-Match: *\r\n");
                }
                if prng.chance(1, 8) {
                    fields.push_str("Expect: 100-continue\r\n");
                }
                with_body(out, &line, &fields, &it.bytes, prng);
            }
            Self::PutWrong => {
                let mut body = vec![0; 1 + prng.below(10_000) as usize];
                prng.fill(&mut body);
                let named = pick(prng, &[0, contents.len() - 1]);
                let line = format!("PUT /blocks/{}", contents[named].hash);
                with_body(out, &line, "", &body, prng);
            }
            Self::Get {
                content,
                range,
                is_head,
                is_known,
            } => {
                let hash = hash(content);
                let method = if *is_head { "HEAD" } else { "GET" };
                let place = pick(prng, &["/blocks/", "/"]);
                let mut fields = range.map(Wanted::header).unwrap_or_default();
                if *is_known {
                    let _ = write!(fields, "If-None-Match: \"{hash}\"\r\n");
                }
                bare(out, &format!("{method} {place}{hash}"), &fields);
            }
            Self::Delete { content } => {
                bare(out, &format!("DELETE /blocks/{}", hash(content)), "");
            }
            Self::DeleteMany { contents: many } => {
                let body = list(many.iter().map(hash), prng);
                with_body(out, "POST /blocks:delete", "", &body, prng);
            }
            Self::Missing { contents: many } => {
                let body = list(many.iter().map(hash), prng);
                with_body(out, "POST /blocks:missing", "", &body, prng);
            }
            Self::Refer { content } => {
                let line = format!("PUT /blocks/{}/refs/{REFERENCE}", hash(content));
                with_body(out, &line, "", value(*content).as_bytes(), prng);
            }
            Self::Unrefer { content } => {
                let line = format!("DELETE /blocks/{}/refs/{REFERENCE}", hash(content));
                bare(out, &line, "");
            }
            Self::Reference { content } => {
                let line = format!("GET /blocks/{}/refs/{REFERENCE}", hash(content));
                bare(out, &line, "");
            }
            Self::Stats => bare(out, "GET /stats", ""),
        }
    }
}

/// The value of the reference to a content.
pub(super) fn value(content: usize) -> String {
    format!("held by the keeper of {content}")
}

fn bare(out: &mut Vec<u8>, line: &str, fields: &str) {
    out.extend(format!("{line} HTTP/1.1\r\nHost: sim.example\r\n{fields}\r\n").bytes());
}

/// With its length, or in chunks of any sizes.
fn with_body(out: &mut Vec<u8>, line: &str, fields: &str, body: &[u8], prng: &mut Prng) {
    if prng.chance(2, 3) {
        let fields = format!("{fields}Content-Length: {}\r\n", body.len());
        bare(out, line, &fields);
        return out.extend(body);
    }
    bare(
        out,
        line,
        &format!("{fields}Transfer-Encoding: chunked\r\n"),
    );
    let mut rest = body;
    while !rest.is_empty() {
        let size = (1 + crate::plan::size(prng, rest.len() - 1)).min(rest.len());
        let (chunk, after) = rest.split_at(size);
        out.extend(format!("{size:x}\r\n").bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
        rest = after;
    }
    out.extend(b"0\r\n\r\n");
}

/// Hashes as JSON or as lines.
fn list(hashes: impl Iterator<Item = Hash>, prng: &mut Prng) -> Vec<u8> {
    let hashes: Vec<String> = hashes.map(|hash| hash.to_string()).collect();
    if prng.chance(1, 2) {
        format!("{{\"hashes\": [\"{}\"]}}", hashes.join("\", \"")).into_bytes()
    } else {
        hashes.join("\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_the_rfc_says() {
        assert_eq!(Wanted::From(9).within(10), Some((9, 9)));
        assert_eq!(Wanted::From(10).within(10), None);
        assert_eq!(Wanted::Within(2, 100).within(10), Some((2, 9)));
        assert_eq!(Wanted::Last(0).within(10), None);
        assert_eq!(Wanted::Last(3).within(10), Some((7, 9)));
        assert_eq!(Wanted::Last(11).within(10), Some((0, 9)));
    }
}
