//! Any bytes, cut up in any way: the server's side sees the same requests, keeps its bounds, and never
//! hands out framing as content.
//!
//! The first byte says how the rest is cut.

use hioload_http::h1::{Body, Event, Limits, Refusal, Server};

/// What was seen.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Head(String, Body),
    Body(Vec<u8>),
    End,
    Refused(Refusal),
}

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let limits = Limits {
        head_size_max: 256,
        headers_max: 8,
        chunk_line_max: 24,
        chunk_extensions_max: 40,
        trailer_size_max: 40,
    };
    let whole = converse(data, data.len().max(1), usize::MAX, &limits);
    let step = usize::from(first % 32) + 1;
    assert_eq!(
        converse(data, step, usize::MAX, &limits),
        whole,
        "in steps of {step}"
    );
    let room = usize::from(first / 32) + 1;
    assert_eq!(
        converse(data, step, room, &limits),
        whole,
        "{room} bytes of a body at a time"
    );
    let content: u64 = whole.iter().map(content_of).sum();
    assert!(content <= data.len() as u64);
}

fn content_of(seen: &Seen) -> u64 {
    match seen {
        Seen::Body(bytes) => bytes.len() as u64,
        _ => 0,
    }
}

fn converse(data: &[u8], step: usize, room: usize, limits: &Limits) -> Vec<Seen> {
    let mut server = Server::new();
    let (mut kept, mut seen) = (Vec::new(), Vec::new());
    let mut left = 0;
    for piece in data.chunks(step) {
        kept.extend_from_slice(piece);
        let mut whole = std::mem::take(&mut kept);
        let mut rest = &mut whole[..];
        loop {
            let event = match server.handle_input_within(limits, &mut rest, room) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(refusal) => {
                    assert!((400..506).contains(&refusal.status));
                    seen.push(Seen::Refused(refusal));
                    assert!(matches!(server.handle_input(limits, &mut rest), Ok(None)));
                    assert!(!server.response_done(), "nothing more is taken");
                    return seen;
                }
            };
            let is_whole = match event {
                Event::Head(head) => {
                    // Every field can be read.
                    assert!(head.fields().count() <= limits.headers_max);
                    assert!(head.path().starts_with(['/', '*']));
                    left = match head.body() {
                        Body::Length(length) => length,
                        Body::None | Body::Chunked => 0,
                    };
                    let line = format!("{} {} {:?}", head.method(), head.path(), head.query());
                    seen.push(Seen::Head(line, head.body()));
                    head.body() == Body::None
                }
                Event::Body(bytes) => {
                    assert!(!bytes.is_empty() && bytes.len() <= room);
                    left = left.saturating_sub(bytes.len() as u64);
                    match seen.last_mut() {
                        Some(Seen::Body(before)) => before.extend_from_slice(bytes),
                        _ => seen.push(Seen::Body(bytes.to_vec())),
                    }
                    false
                }
                Event::End => {
                    assert_eq!(left, 0, "all of the length came");
                    seen.push(Seen::End);
                    true
                }
            };
            if is_whole && !server.response_done() {
                return seen;
            }
        }
        assert!(
            rest.len() <= limits.head_size_max + step + 2,
            "more is kept than a head"
        );
        kept = rest.to_vec();
    }
    seen
}
