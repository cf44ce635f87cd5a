//! Any stream of events, cut up in any way: the parser sees what a model sees that splits all of it into lines.
//!
//! The first byte says how the rest is cut.

use hioload_http::sse::{Limits, Parser};

/// Id, name, data, and the time to wait in milliseconds, as of an event.
type Seen = (String, String, String, Option<u128>);

/// Checks one input; panics when something is wrong.
#[allow(dead_code, reason = "tests of the crate use the parts")]
pub(crate) fn run(data: &[u8]) {
    if let Some((&first, stream)) = data.split_first() {
        check(stream, usize::from(first % 32) + 1);
    }
}

/// The stream in pieces of `step` bytes.
pub(crate) fn check(stream: &[u8], step: usize) {
    check_pieces(&stream.chunks(step).collect::<Vec<_>>());
}

/// The stream in these pieces.
pub(crate) fn check_pieces(pieces: &[&[u8]]) {
    let stream = pieces.concat();
    let (expected, last_id) = model(&stream);
    let mut parser = Parser::new(Limits::default());
    let mut seen: Vec<Seen> = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let before = rest.len();
            let Ok(event) = parser.handle_input(&mut rest) else {
                assert!(stream.len() > 1024, "no limit is lower");
                return;
            };
            let Some(event) = event else { break };
            assert!(rest.len() < before, "an event takes something");
            let retry = event.retry.map(|retry| retry.as_millis());
            seen.push((event.id.into(), event.name.into(), event.data.into(), retry));
        }
        assert!(rest.is_empty(), "all of a piece is taken");
    }
    assert_eq!(seen, expected);
    assert_eq!(parser.last_id(), last_id);
}

/// WHATWG HTML 9.2.6, as it is written, on a stream of which everything has come.
fn model(stream: &[u8]) -> (Vec<Seen>, String) {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    // What stands behind the last end of a line is no line.
    let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let lines: Vec<&str> = if text.contains('\n') {
        lines.split('\n').collect()
    } else {
        Vec::new()
    };
    let (mut events, mut id, mut last_id) = (Vec::new(), String::new(), String::new());
    let (mut data, mut name, mut retry) = (String::new(), String::new(), None);
    for line in lines {
        if line.is_empty() {
            last_id.clone_from(&id);
            if let Some(whole) = data.strip_suffix('\n') {
                let name = if name.is_empty() { "message" } else { &name };
                events.push((last_id.clone(), name.to_owned(), whole.to_owned(), retry));
            }
            data.clear();
            name.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data.extend([value, "\n"]),
            "event" => value.clone_into(&mut name),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let number = value.parse().unwrap_or(u128::MAX);
                retry = Some(number.min(Limits::default().retry_max.as_millis()));
            }
            _ => {}
        }
    }
    (events, last_id)
}
