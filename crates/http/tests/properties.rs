//! Properties: what is written legally comes out as it went in, however it is framed, cut, and taken in;
//! what is damaged is told or taken in the same way, whatever the cuts.

use hioload_http::h1::{Body, Event, Limits, Refusal, Server};
use hioload_http::{RangeSpec, http_date, lists_tag, write_content_range};
use proptest::prelude::*;

/// A request as it is going to be sent.
#[derive(Clone, Debug)]
struct Plan {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    content: Vec<u8>,
    framing: Framing,
}

#[derive(Clone, Debug)]
enum Framing {
    Length,
    /// The sizes of the chunks, their extension, and the trailers.
    Chunks(Vec<usize>, String, Vec<String>),
}

/// What was seen of a request, or of the end of it all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Request {
        line: String,
        fields: Vec<(String, String)>,
        content: Vec<u8>,
        is_whole: bool,
    },
    Refused(Refusal),
}

fn plan() -> impl Strategy<Value = Plan> {
    let fields = prop::collection::vec(
        (
            "X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,12}",
            "([!-~]([ -~\t]{0,20}[!-~])?)?",
        ),
        0..6,
    );
    let chunks = (
        prop::collection::vec(1..40usize, 1..8),
        "(;[a-z]{1,6}(=[a-z0-9]{1,6})?){0,3}",
        prop::collection::vec("X-[A-Za-z]{0,8}:[ -~]{0,12}", 0..3),
    );
    let framing = prop_oneof![
        Just(Framing::Length),
        chunks.prop_map(|(sizes, extension, trailers)| Framing::Chunks(sizes, extension, trailers)),
    ];
    (
        "(GET|PUT|POST|DELETE|[A-Z]{1,10})",
        "(http://h(:[0-9]{1,5})?)?/[a-zA-Z0-9/._~%:@!$&'()*+,;=-]{0,20}(\\?[a-z=&?/]{0,10})?",
        fields,
        prop::collection::vec(any::<u8>(), 0..200),
        framing,
    )
        .prop_filter("a tunnel", |(method, ..)| method != "CONNECT")
        .prop_map(|(method, target, fields, content, framing)| Plan {
            method,
            target,
            fields,
            content,
            framing,
        })
}

fn encode(plan: &Plan, out: &mut Vec<u8>) {
    let mut head = format!("{} {} HTTP/1.1\r\nHost: h\r\n", plan.method, plan.target);
    for (name, value) in &plan.fields {
        head += &format!("{name}: {value}\r\n");
    }
    match &plan.framing {
        Framing::Length => {
            head += &format!("Content-Length: {}\r\n\r\n", plan.content.len());
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&plan.content);
        }
        Framing::Chunks(sizes, extension, trailers) => {
            head += "Transfer-Encoding: chunked\r\n\r\n";
            out.extend_from_slice(head.as_bytes());
            let mut left = &plan.content[..];
            for size in sizes.iter().cycle() {
                if left.is_empty() {
                    break;
                }
                let (chunk, rest) = left.split_at((*size).min(left.len()));
                left = rest;
                out.extend(format!("{:x}{extension}\r\n", chunk.len()).into_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend(format!("0{extension}\r\n").into_bytes());
            for trailer in trailers {
                out.extend(format!("{trailer}\r\n").into_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn expected(plan: &Plan) -> Seen {
    let target = plan.target.strip_prefix("http://h").unwrap_or(&plan.target);
    let target = &target[target.find('/').unwrap_or(0)..];
    let mut fields = vec![("Host".to_owned(), "h".to_owned())];
    fields.extend(plan.fields.iter().cloned());
    Seen::Request {
        line: format!("{} {target}", plan.method),
        fields,
        content: plan.content.clone(),
        is_whole: true,
    }
}

/// Feeds `input` in pieces of these sizes, taking at most these many bytes of a body at once.
fn converse(input: &[u8], sizes: &[usize], rooms: &[usize]) -> Vec<Seen> {
    let (mut server, limits) = (Server::new(), Limits::default());
    let (mut kept, mut seen) = (Vec::new(), Vec::new());
    let mut rooms = rooms.iter().cycle();
    let (mut sizes, mut left) = (sizes.iter().cycle(), input);
    while !left.is_empty() {
        let size = *sizes.next().expect("endless");
        let (piece, rest) = left.split_at(size.min(left.len()));
        left = rest;
        kept.extend_from_slice(piece);
        let mut whole = std::mem::take(&mut kept);
        let mut rest = &mut whole[..];
        loop {
            let room = *rooms.next().expect("endless");
            let event = match server.handle_input_within(&limits, &mut rest, room) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(refusal) => {
                    seen.push(Seen::Refused(refusal));
                    return seen;
                }
            };
            let mut is_end = false;
            match event {
                Event::Head(head) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let query = head
                        .query()
                        .map_or(String::new(), |query| format!("?{query}"));
                    is_end = head.body() == Body::None;
                    let fields = head.fields().map(|(name, value)| (text(name), text(value)));
                    seen.push(Seen::Request {
                        line: format!("{} {}{query}", head.method(), head.path()),
                        fields: fields
                            .filter(|(name, _)| name.starts_with("X-") || name == "Host")
                            .collect(),
                        content: Vec::new(),
                        is_whole: is_end,
                    });
                }
                Event::Body(bytes) => {
                    assert!(bytes.len() <= room);
                    if let Some(Seen::Request { content, .. }) = seen.last_mut() {
                        content.extend_from_slice(bytes);
                    }
                }
                Event::End => {
                    is_end = true;
                    if let Some(Seen::Request { is_whole, .. }) = seen.last_mut() {
                        *is_whole = true;
                    }
                }
            }
            if is_end && !server.response_done() {
                return seen;
            }
        }
        kept = rest.to_vec();
    }
    seen
}

/// The range by its definition: the numbers of the bytes that are asked for.
fn bytes_by_definition(first: Option<u64>, last: Option<u64>, length: u64) -> Vec<u64> {
    let is_in = |place: &u64| match (first, last) {
        (Some(first), Some(last)) => (first..=last).contains(place),
        (Some(first), None) => *place >= first,
        (None, Some(count)) => *place + count >= length,
        (None, None) => false,
    };
    (0..length).filter(is_in).collect()
}

proptest! {
    #[test]
    fn requests_come_out_as_they_went_in(
        plans in prop::collection::vec(plan(), 1..5),
        sizes in prop::collection::vec(1..60usize, 1..6),
        rooms in prop::collection::vec(1..40usize, 1..4),
    ) {
        let mut input = Vec::new();
        for plan in &plans {
            encode(plan, &mut input);
        }
        let expected: Vec<_> = plans.iter().map(expected).collect();
        prop_assert_eq!(&converse(&input, &[input.len()], &[usize::MAX]), &expected);
        prop_assert_eq!(&converse(&input, &sizes, &rooms), &expected);
        prop_assert_eq!(&converse(&input, &[1], &[1]), &expected);
    }

    #[test]
    fn damage_is_seen_alike_whatever_the_cuts(
        plans in prop::collection::vec(plan(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
        sizes in prop::collection::vec(1..60usize, 1..6),
        rooms in prop::collection::vec(1..40usize, 1..4),
    ) {
        let mut input = Vec::new();
        for plan in &plans {
            encode(plan, &mut input);
        }
        for (place, byte, how) in damage {
            let place = place.index(input.len());
            match how {
                0 => input[place] = byte,
                1 => input.insert(place, byte),
                _ => {
                    if input.len() > 1 {
                        input.remove(place);
                    }
                }
            }
        }
        let whole = converse(&input, &[input.len()], &[usize::MAX]);
        prop_assert_eq!(&converse(&input, &sizes, &rooms), &whole);
        prop_assert_eq!(&converse(&input, &[1], &[usize::MAX]), &whole);
    }

    #[test]
    fn ranges_are_what_they_are_by_definition(
        first in prop::option::of(0..12u64),
        last in prop::option::of(0..12u64),
        length in 0..12u64,
    ) {
        let text = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        let field = format!("bytes={}-{}", text(first), text(last));
        let spec = RangeSpec::parse(field.as_bytes());
        let is_legal = match (first, last) {
            (Some(first), Some(last)) => first <= last,
            (first, last) => first.is_some() || last.is_some(),
        };
        prop_assert_eq!(spec.is_some(), is_legal);
        let Some(spec) = spec else {
            return Ok(());
        };
        let bytes = bytes_by_definition(first, last, length);
        let within = spec.within(length);
        prop_assert_eq!(within.clone().map_or(Vec::new(), Iterator::collect), bytes);
        let mut value = String::new();
        write_content_range(&mut value, within.clone().ok().as_ref(), length);
        let shown = match within {
            Ok(range) => format!("bytes {}-{}/{length}", range.start, range.end - 1),
            Err(_) => format!("bytes */{length}"),
        };
        prop_assert_eq!(value, shown);
    }

    #[test]
    fn a_list_names_the_tags_that_are_in_it(
        tags in prop::collection::vec(("[ -~&&[^\"]]{0,8}", any::<bool>(), "[ \t]{0,2}"), 0..6),
        other in "[ -~&&[^\"]]{0,8}",
    ) {
        let field = tags
            .iter()
            .map(|(tag, is_weak, space)| {
                format!("{space}{}\"{tag}\"{space}", if *is_weak { "W/" } else { "" })
            })
            .collect::<Vec<_>>()
            .join(",");
        for (tag, ..) in &tags {
            prop_assert!(lists_tag(field.as_bytes(), tag.as_bytes()));
        }
        let is_in = tags.iter().any(|(tag, ..)| *tag == other);
        prop_assert_eq!(lists_tag(field.as_bytes(), other.as_bytes()), is_in);
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), number in any::<u64>()) {
        if let Some(spec) = RangeSpec::parse(&bytes) {
            let _ = spec.within(number);
        }
        let _ = lists_tag(&bytes, b"a");
        let _ = http_date(number);
    }
}

/// Day by day from 1970 to the end of the year 9999, as a calendar on the wall has them.
#[test]
fn every_day_has_its_date() {
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let mut days = 0u64;
    for year in 1970..=9999u64 {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (month, name) in months.iter().enumerate() {
            let length = match month {
                1 if is_leap => 29,
                1 => 28,
                3 | 5 | 8 | 10 => 30,
                _ => 31,
            };
            for day in 1..=length {
                let date = http_date(days * 86_400 + 86_399);
                let weekday = weekdays[(days % 7) as usize];
                let expected = format!("{weekday}, {day:02} {name} {year:04} 23:59:59 GMT");
                assert_eq!(date, expected.as_bytes());
                days += 1;
            }
        }
    }
}
