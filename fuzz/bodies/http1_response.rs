//! Any bytes, cut up in any way: the client's side sees the same responses.
//!
//! The first byte says how the rest is cut and which requests were HEADs.

use hioload_http::h1::{Client, ClientEvent, Limits, ResponseError};

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Head(u16, Option<u64>),
    Body(Vec<u8>),
    End,
    Failed(ResponseError),
}

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let whole = converse(data, data.len().max(1), first);
    let step = usize::from(first % 32) + 1;
    assert_eq!(converse(data, step, first), whole, "in steps of {step}");
}

fn converse(data: &[u8], step: usize, heads: u8) -> Vec<Seen> {
    let limits = Limits {
        head_size_max: 256,
        headers_max: 8,
        chunk_line_max: 24,
        chunk_extensions_max: 40,
        trailer_size_max: 40,
    };
    let mut client = Client::new();
    (0..4).for_each(|bit| client.sent(heads >> bit & 1 == 1));
    let (mut kept, mut seen) = (Vec::new(), Vec::new());
    for piece in data.chunks(step) {
        kept.extend_from_slice(piece);
        let mut whole = std::mem::take(&mut kept);
        let mut rest = &mut whole[..];
        loop {
            match client.handle_input(&limits, &mut rest) {
                Ok(Some(ClientEvent::Head(head))) => {
                    assert!(head.fields().count() <= limits.headers_max);
                    seen.push(Seen::Head(head.status(), head.content_length()));
                }
                Ok(Some(ClientEvent::Body(bytes))) => {
                    assert!(!bytes.is_empty());
                    match seen.last_mut() {
                        Some(Seen::Body(before)) => before.extend_from_slice(bytes),
                        _ => seen.push(Seen::Body(bytes.to_vec())),
                    }
                }
                Ok(Some(ClientEvent::End)) => seen.push(Seen::End),
                Ok(None) => break,
                Err(error) => {
                    seen.push(Seen::Failed(error));
                    return seen;
                }
            }
        }
        kept = rest.to_vec();
    }
    match client.handle_eof() {
        Ok(Some(_)) => seen.push(Seen::End),
        Ok(None) => {}
        Err(error) => seen.push(Seen::Failed(error)),
    }
    assert!(!client.is_reusable());
    seen
}
