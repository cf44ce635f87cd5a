//! Server-sent events: the `text/event-stream` format, both ways, and how a client comes back.
//!
//! ```text
//!   Outgoing ─▶ bytes ─▶ … ─▶ Parser::handle_input ─▶ Event { id, name, data }
//!                               └─▶ last_event_id, retry ─▶ Reconnect ─▶ the next request
//! ```
//!
//! Knows neither sockets nor time, and nothing of what ids mean: to a server they may be places in a log, to a
//! client they are texts that are sent back.
//!
//! # Invariants
//!
//! - A stream parses to the same events however it is cut.
//! - What is written as data is data to every reader: no payload begins a field, ends an event, or names it.
//! - Memory is bounded by [`Limits`], whatever comes; in steady state nothing is allocated.
//!
//! Spec: WHATWG HTML, 9.2 Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

mod base64;
mod limits;
mod parser;
mod reconnect;
mod writer;

pub use base64::{base64_size, decode_base64};
pub use limits::{LIMITS, Limits};
pub use parser::{Event, Overlong, Parser, Part};
pub use reconnect::{Reconnect, Verdict};
pub use writer::{Data, KEEP_ALIVE, Outgoing, Unwritable, write_comment};

/// The media type of a stream of events.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// Whether a field `Accept` names [`MEDIA_TYPE`], and does not refuse it by a weight of zero (RFC 9110 12.5.1).
/// Ranges such as `*/*` do not count: whoever wants a stream says so.
///
/// ```
/// use hioload_http::sse::accepts;
///
/// assert!(accepts(b"text/html, Text/Event-Stream;q=0.5"));
/// assert!(!accepts(b"text/event-stream; q=0.0, */*"));
/// ```
#[must_use]
pub fn accepts(field: &[u8]) -> bool {
    field.split(|&byte| byte == b',').any(|element| {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let names_it = parts
            .next()
            .is_some_and(|range| range.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()));
        names_it && !parts.any(is_weight_zero)
    })
}

/// Whether a parameter is `q=0`, with up to three zeros behind the point.
fn is_weight_zero(parameter: &[u8]) -> bool {
    let Some((name, value)) = parameter.split_once_at(b'=') else {
        return false;
    };
    name.eq_ignore_ascii_case(b"q")
        && value.first() == Some(&b'0')
        && value[1..].iter().all(|&byte| matches!(byte, b'.' | b'0'))
}

/// [`str::split_once`] for bytes.
trait SplitOnce {
    fn split_once_at(&self, byte: u8) -> Option<(&[u8], &[u8])>;
}

impl SplitOnce for [u8] {
    fn split_once_at(&self, byte: u8) -> Option<(&[u8], &[u8])> {
        let place = self.iter().position(|&one| one == byte)?;
        Some((&self[..place], &self[place + 1..]))
    }
}

/// Where a line ends, for which CR alone is enough.
fn find_line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\n', b'\r', bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_asked_for_by_its_name() {
        for (field, is_accepted) in [
            (&b"text/event-stream"[..], true),
            (b"TEXT/EVENT-STREAM ; charset=utf-8", true),
            (b"a/b,text/event-stream;q=0.001", true),
            (b"text/event-stream;q=1.0", true),
            (b"text/event-stream;q=0", false),
            (b"text/event-stream; Q=0.000", false),
            (b"text/event-streams", false),
            (b"text/*", false),
            (b"*/*", false),
            (b"", false),
        ] {
            assert_eq!(accepts(field), is_accepted, "{}", field.escape_ascii());
        }
    }
}
