//! The stream of events: the parser against a model that sees all of it at once, however it is cut; what is
//! written against what is read; limits at their edges.

#[path = "../../../fuzz/bodies/sse.rs"]
mod body;

use std::time::Duration;

use hioload_http::sse::{
    Data, Limits, Outgoing, Overlong, Parser, Part, decode_base64, write_comment,
};
use proptest::prelude::*;

/// All events of one stream in one piece.
fn parsed(stream: &[u8]) -> Vec<(String, String, String)> {
    let mut parser = Parser::new(Limits::default());
    let mut input = stream;
    let mut events = Vec::new();
    while let Some(event) = parser.handle_input(&mut input).expect("within limits") {
        events.push((event.id.into(), event.name.into(), event.data.into()));
    }
    events
}

fn data_of(stream: &str) -> Vec<String> {
    let events = parsed(stream.as_bytes());
    events.into_iter().map(|(_, _, data)| data).collect()
}

/// Pieces of streams that mean something, and some that do not.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "data: a",
        "data:b",
        "data",
        "data:  c",
        "data:",
        "event: x",
        "event",
        "id: 1",
        "id",
        "id: \0",
        "id: é",
        "retry: 10",
        "retry: 1x",
        "retry",
        "retry: 99999999999999999999",
        ": c",
        ":",
        "other: d",
        " data: e",
        "data : f",
        "",
    ]);
    prop_oneof![
        8 => known.prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let end = prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\n\r"]);
    let lines = prop::collection::vec((line(), end), 0..24);
    (any::<bool>(), lines, line()).prop_map(|(has_bom, lines, last)| {
        let mut bytes = if has_bom {
            b"\xEF\xBB\xBF".to_vec()
        } else {
            Vec::new()
        };
        for (line, end) in lines {
            bytes.extend(line);
            bytes.extend(end.as_bytes());
        }
        bytes.extend(last);
        bytes
    })
}

proptest! {
    #[test]
    fn any_stream_is_what_the_model_says_however_it_is_cut(stream in stream(), step in 1_usize..9) {
        body::check(&stream, step);
    }

    #[test]
    fn what_is_written_is_read_as_data(
        id in "[^\r\n\0]{0,8}",
        name in "[^\r\n\0]{0,8}",
        text in "(\r|\n|:| |data|id|é|\0|\u{feff}){0,12}",
    ) {
        let event = Outgoing::text(text.as_bytes()).id(&id).expect("a line").name(&name).expect("a line");
        let mut stream = Vec::new();
        write_comment(&text, &mut stream);
        event.append_to(&mut stream);
        let events = parsed(&stream);
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        let name = if name.is_empty() { "message".to_owned() } else { name };
        prop_assert_eq!(events, [(id, name, lines)]);
    }

    #[test]
    fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut stream = Vec::new();
        Outgoing::new(Data::Base64(&bytes)).append_to(&mut stream);
        let events = parsed(&stream);
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(decode_base64(&events[0].2), Some(bytes));
    }
}

#[test]
fn every_split_of_a_stream_with_everything_in_it() {
    let stream = "\u{feff}: hello\r\n\r\nid: é1\rdata: a\rdata\r\r\ndata: \nevent: x\ndata:b\n\n\
                  retry: 250\nid\n\ndata: c\r\n\rdata: cut"
        .as_bytes();
    for step in 1..=stream.len() {
        body::check(stream, step);
    }
    for cut in 0..=stream.len() {
        body::check_pieces(&[&stream[..cut], &stream[cut..]]);
    }
    assert_eq!(parsed(stream).len(), 3);
}

#[test]
fn the_examples_of_the_specification() {
    // WHATWG HTML 9.2.6.
    assert_eq!(
        data_of("data: YHOO\ndata: +2\ndata: 10\n\n"),
        ["YHOO\n+2\n10"]
    );
    let stream =
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event";
    let events = parsed(stream.as_bytes());
    let seen: Vec<_> = events
        .iter()
        .map(|(id, _, data)| (&**id, &**data))
        .collect();
    assert_eq!(seen, [("1", "first event"), ("", "second event")]);
    assert_eq!(data_of("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
    assert_eq!(data_of("data:test\n\ndata: test\n\n"), ["test", "test"]);
}

#[test]
fn an_id_alone_is_remembered_and_one_that_was_cut_is_not() {
    let mut parser = Parser::new(Limits::default());
    let mut input = &b"id: 5\nretry: 7\n\nid: 6\ndata: cut"[..];
    assert_eq!(parser.handle_input(&mut input), Ok(None));
    assert_eq!(
        (parser.last_id(), parser.retry()),
        ("5", Some(Duration::from_millis(7)))
    );
    parser.restart();
    let mut input = &b"data: next\n\n"[..];
    let event = parser
        .handle_input(&mut input)
        .expect("within limits")
        .expect("an event");
    assert_eq!(
        (event.id, event.data),
        ("5", "next"),
        "the stream that was cut is forgotten"
    );
}

#[test]
fn limits_hold_at_their_edges() {
    let limits = Limits {
        line_size_max: 16,
        event_size_max: 11,
        id_size_max: 3,
        ..Limits::default()
    };
    let outcome = |stream: &str| {
        // In one piece and byte by byte: what lies where makes no difference.
        let one = {
            let mut parser = Parser::new(limits);
            let mut input = stream.as_bytes();
            parser.handle_input(&mut input).map(|event| event.is_some())
        };
        let mut parser = Parser::new(limits);
        let many = stream
            .as_bytes()
            .chunks(1)
            .try_fold(false, |seen, mut input| {
                Ok(parser.handle_input(&mut input)?.is_some() | seen)
            });
        assert_eq!(one, many, "{stream:?}");
        one
    };
    let overlong = |part, max| Err(Overlong { part, max });
    assert_eq!(outcome("data: 0123456789\n\n"), Ok(true));
    assert_eq!(outcome("data: 01234567890\n\n"), overlong(Part::Line, 16));
    assert_eq!(outcome(":0123456789abcde\ndata\n\n"), Ok(true));
    assert_eq!(outcome(":0123456789abcdef\n\n"), overlong(Part::Line, 16));
    assert_eq!(outcome("data: 01234\ndata: 56789\n\n"), Ok(true));
    assert_eq!(
        outcome("data: 01234\ndata: 567890\n\n"),
        overlong(Part::Data, 11)
    );
    assert_eq!(outcome("data:0123456789a\n\n"), Ok(true));
    assert_eq!(outcome("data: 01234\ndata: 5678\ndata\n\n"), Ok(true));
    assert_eq!(
        outcome("data: 01234\ndata: 56789\ndata\n\n"),
        overlong(Part::Data, 11)
    );
    assert_eq!(outcome("id: 123\ndata\n\n"), Ok(true));
    assert_eq!(outcome("id: 1234\ndata\n\n"), overlong(Part::Id, 3));
    let mut parser = Parser::new(limits);
    assert_eq!(
        parser.set_last_id("1234"),
        Err(Overlong {
            part: Part::Id,
            max: 3
        })
    );
    let _ = parser.handle_input(&mut &b"id: 1234\n"[..]);
    assert!(
        parser.handle_input(&mut &b"data\n\n"[..]).is_err(),
        "it stays so"
    );
    parser.restart();
    assert!(
        parser
            .handle_input(&mut &b"data\n\n"[..])
            .is_ok_and(|event| event.is_some())
    );
}

#[test]
fn a_time_to_wait_is_held_to_its_limit() {
    let retry = |text: &str| {
        let limits = Limits {
            retry_max: Duration::from_millis(500),
            ..Limits::default()
        };
        let mut parser = Parser::new(limits);
        let _ = parser.handle_input(&mut format!("retry: 1\nretry: {text}\n").as_bytes());
        parser.retry().expect("the first is good").as_millis()
    };
    for (text, expected) in [
        ("0", 0),
        ("499", 499),
        ("500", 500),
        ("501", 500),
        ("99999999999999999999999", 500),
        ("", 1),
        ("-2", 1),
        ("+2", 1),
        ("2.5", 1),
        ("2 ", 1),
        ("0x2", 1),
    ] {
        assert_eq!(retry(text), expected, "{text:?}");
    }
}

#[test]
fn one_line_of_data_lies_where_it_came() {
    let stream = b"data: 0123456789\n\ndata: a\ndata: b\n\n".to_vec();
    let range = stream.as_ptr_range();
    let mut parser = Parser::new(Limits::default());
    let mut input = &stream[..];
    let event = parser
        .handle_input(&mut input)
        .expect("within limits")
        .expect("an event");
    assert!(range.contains(&event.data.as_ptr()));
    let event = parser
        .handle_input(&mut input)
        .expect("within limits")
        .expect("an event");
    assert!(event.data == "a\nb" && !range.contains(&event.data.as_ptr()));
}
