//! Header lists: which are requests, responses and trailers (RFC 9113 8.1.1, 8.2, 8.3, 8.5; RFC 8441 4), and the limits of
//! one.

mod h2_kit;

use h2_kit::wire::*;
use h2_kit::{Pair, Seen, Side, fields, get, post};
use hioload_http::Body;
use hioload_http::h2::{
    ErrorCode, HeadKind, Limits, Misuse, Offence, OpenError, Reason, RequestHead,
};

fn server() -> Side {
    let mut server = Side::server(&Limits::default());
    server.feed(&hello()).expect("sound");
    server.take_wire();
    server.take_seen();
    server
}

/// Whether the server takes it for a request; the connection goes on in any case.
fn is_request(list: &[(&str, &str)]) -> bool {
    let mut server = server();
    server
        .feed(&head(1, list, END_STREAM))
        .expect("of the stream alone");
    let wire = frames(&server.take_wire());
    let is_seen = matches!(
        server.take_seen()[..],
        [Seen::Head(1, HeadKind::Request, _, true)]
    );
    match &wire[..] {
        [] => assert!(is_seen, "{list:?}"),
        [reset] => {
            assert!(!is_seen);
            assert_eq!(
                (reset.kind, reset.code()),
                (RST_STREAM, ErrorCode::PROTOCOL_ERROR),
                "{list:?}"
            );
            assert_eq!(server.connection.abuse().count(Reason::ResetByUs), 1);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.connection.stream_count(), usize::from(is_seen));
    server.feed(&head(3, GET, END_STREAM)).expect("sound");
    is_seen
}

fn with<'a>(list: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [list, more].concat()
}

/// The list with another value for one of its fields.
fn but<'a>(list: &[(&'a str, &'a str)], name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let replace =
        |&(one, before): &(&'a str, &'a str)| (one, if one == name { value } else { before });
    list.iter().map(replace).collect()
}

fn without<'a>(list: &[(&'a str, &'a str)], name: &str) -> Vec<(&'a str, &'a str)> {
    list.iter()
        .copied()
        .filter(|(one, _)| *one != name)
        .collect()
}

#[test]
fn pseudo_fields_of_requests() {
    let connect: &[(&str, &str)] = &[(":method", "CONNECT"), (":authority", "h:80")];
    for (list, is_good) in [
        (GET.to_vec(), true),
        (TUNNEL.to_vec(), true),
        (connect.to_vec(), true),
        (without(GET, ":authority"), true),
        (without(GET, ":method"), false),
        (without(GET, ":scheme"), false),
        (without(GET, ":path"), false),
        (but(GET, ":path", ""), false),
        (but(GET, ":path", "a"), false),
        (but(GET, ":path", "/a b"), false),
        (but(GET, ":path", "/a#b"), false),
        (but(GET, ":path", "http://h/"), false),
        (but(GET, ":path", "*"), false),
        (but(&but(GET, ":path", "*"), ":method", "OPTIONS"), true),
        (but(GET, ":method", ""), false),
        (but(GET, ":authority", "user@h"), false),
        (but(GET, ":authority", "h:x"), false),
        // RFC 9113 8.3: once, before the others, and none that nobody knows.
        (with(GET, &[(":path", "/")]), false),
        (with(GET, &[(":status", "200")]), false),
        (with(GET, &[(":other", "1")]), false),
        (with(&[("a", "b")], GET), false),
        (with(GET, &[(":", "1")]), false),
        // RFC 9113 8.5.
        (with(connect, &[(":path", "/")]), false),
        (with(connect, &[(":scheme", "https")]), false),
        (without(connect, ":authority"), false),
        // RFC 8441 4.
        (without(TUNNEL, ":scheme"), false),
        (without(TUNNEL, ":path"), false),
        (without(TUNNEL, ":authority"), false),
        (but(TUNNEL, ":method", "GET"), false),
        (but(TUNNEL, ":protocol", ""), false),
        // RFC 9113 8.3.1: a host that is another one.
        (with(GET, &[("host", "example.com")]), true),
        (with(GET, &[("host", "EXAMPLE.com")]), true),
        (with(GET, &[("host", "example.org")]), false),
        (
            with(GET, &[("host", "example.com"), ("host", "example.com")]),
            false,
        ),
        (with(&without(GET, ":authority"), &[("host", "a b")]), false),
    ] {
        assert_eq!(is_request(&list), is_good, "{list:?}");
    }
}

#[test]
fn regular_fields() {
    for (name, value, is_good) in [
        ("a", "b", true),
        ("a", "", true),
        ("x-!#$%&'*+-.^_`|~09", "any \t\u{e9}", true),
        ("", "b", false),
        ("A", "b", false),
        ("xA", "b", false),
        ("a b", "b", false),
        ("a\0", "b", false),
        ("a:", "b", false),
        ("\u{e9}", "b", false),
        ("a", "b\r", false),
        ("a", "b\nc", false),
        ("a", "b\0c", false),
        ("a", "\u{1}", false),
        ("a", "\u{7f}", false),
        ("a", " b", false),
        ("a", "b ", false),
        ("a", "\tb", false),
        // RFC 9113 8.2.2.
        ("connection", "close", false),
        ("keep-alive", "1", false),
        ("proxy-connection", "close", false),
        ("transfer-encoding", "chunked", false),
        ("upgrade", "h2c", false),
        ("te", "trailers", true),
        ("te", "gzip", false),
        ("te", "trailers, gzip", false),
        // RFC 9113 8.1.1.
        ("content-length", "0", true),
        ("content-length", "1", false), // and nothing came
        ("content-length", "x", false),
        ("content-length", "", false),
        ("content-length", "-0", false),
    ] {
        assert_eq!(
            is_request(&with(GET, &[(name, value)])),
            is_good,
            "{name:?}: {value:?}"
        );
    }
    assert!(!is_request(&with(
        GET,
        &[("content-length", "0"), ("content-length", "0")]
    )));
}

#[test]
fn what_a_request_is_for_whoever_serves_it() {
    let mut server = server();
    let list = with(
        &but(POST, ":path", "/a/b?c"),
        &[
            ("content-length", "5"),
            ("cookie", "a=b"),
            ("x", "y"),
            ("cookie", "c=d"),
            ("expect", "100-continue"),
        ],
    );
    server.feed(&head(1, &list, 0)).expect("sound");
    let request = server.list.request(false);
    assert_eq!(
        (request.method(), request.path(), request.query()),
        ("POST", "/a/b", Some("c"))
    );
    assert_eq!(
        (request.body(), request.expects_continue()),
        (Body::Length(5), true)
    );
    assert_eq!(request.header("Host"), Some(&b"example.com"[..]));
    // RFC 9113 8.2.3: one cookie, where the first of them stood.
    let names: Vec<_> = request.fields().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [&b"host"[..], b"content-length", b"cookie", b"x", b"expect"]
    );
    assert_eq!(request.header("cookie"), Some(&b"a=b; c=d"[..]));
    assert_eq!(server.list.field("x"), Some(&b"y"[..]));
    let size: usize = list
        .iter()
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum();
    assert_eq!(server.list.size() as usize, size);
    // A host that came as such is not there twice.
    server
        .feed(&head(
            3,
            &with(GET, &[("a", "b"), ("host", "example.com")]),
            END_STREAM,
        ))
        .expect("sound");
    let names: Vec<_> = server.list.fields().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"host"[..], b"a"]);
    assert_eq!(server.list.request(true).body(), Body::None);
    server
        .feed(&head(
            5,
            &with(&without(GET, ":authority"), &[("host", "h")]),
            0,
        ))
        .expect("sound");
    assert_eq!(server.list.field("host"), Some(&b"h"[..]));
    assert_eq!(server.list.request(false).body(), Body::Chunked);
    // The target of a plain CONNECT is its authority.
    server
        .feed(&head(
            7,
            &[(":method", "CONNECT"), (":authority", "h:80")],
            0,
        ))
        .expect("sound");
    assert_eq!(server.list.request(false).target(), "h:80");
}

#[test]
fn content_is_as_long_as_was_said() {
    for (length, sizes, is_good) in [
        ("5", &[5][..], true),
        ("5", &[2, 3], true),
        ("5", &[5, 0], true),
        ("5", &[4], false),
        ("5", &[6], false),
        ("5", &[3, 3], false),
        ("0", &[0], true),
        ("0", &[1], false),
    ] {
        for ends_by_trailers in [false, true] {
            let mut server = server();
            server
                .feed(&head(1, &with(POST, &[("content-length", length)]), 0))
                .expect("sound");
            for (index, &size) in sizes.iter().enumerate() {
                let is_last = index + 1 == sizes.len() && !ends_by_trailers;
                let flags = if is_last { END_STREAM } else { 0 };
                server
                    .feed(&frame(DATA, flags, 1, &vec![0; size]))
                    .expect("of the stream alone");
            }
            if ends_by_trailers {
                server
                    .feed(&head(1, &[("a", "b")], END_STREAM))
                    .expect("of the stream alone");
            }
            let seen = server.take_seen();
            let is_reset = seen.contains(&Seen::Reset(1, ErrorCode::PROTOCOL_ERROR, false));
            assert_eq!(is_reset, !is_good, "{length} {sizes:?}");
        }
    }
}

#[test]
fn trailers_are_regular_fields_and_the_end() {
    for (list, flags, is_good) in [
        (&[("a", "b")][..], END_STREAM, true),
        (&[], END_STREAM, true),
        (&[("a", "b")], 0, false),
        (&[(":path", "/")], END_STREAM, false),
        (&[("connection", "close")], END_STREAM, false),
        (&[("A", "b")], END_STREAM, false),
    ] {
        let mut server = server();
        server.feed(&head(1, POST, 0)).expect("sound");
        server
            .feed(&head(1, list, flags))
            .expect("of the stream alone");
        let seen = server.take_seen();
        let is_seen = matches!(seen[1], Seen::Head(1, HeadKind::Trailers, _, true));
        assert_eq!(is_seen, is_good, "{list:?}");
    }
}

#[test]
fn responses() {
    let length = |length| vec![(":status", "200"), ("content-length", length)];
    for (is_head, list, flags, is_good) in [
        (false, vec![(":status", "200")], END_STREAM, true),
        (false, vec![(":status", "599")], END_STREAM, true),
        (false, vec![(":status", "600")], END_STREAM, false),
        (false, vec![(":status", "99")], END_STREAM, false),
        (false, vec![(":status", "2000")], END_STREAM, false),
        (false, vec![(":status", "2x0")], END_STREAM, false),
        (false, vec![], END_STREAM, false),
        (false, vec![("a", "b")], END_STREAM, false),
        (
            false,
            vec![(":status", "200"), (":path", "/")],
            END_STREAM,
            false,
        ),
        (
            false,
            vec![(":status", "200"), (":status", "200")],
            END_STREAM,
            false,
        ),
        (false, length("0"), END_STREAM, true),
        (false, length("5"), END_STREAM, false),
        // RFC 9113 8.1.1: that of a response that has no content is not held against it.
        (true, length("5"), END_STREAM, true),
        (
            false,
            vec![(":status", "304"), ("content-length", "5")],
            END_STREAM,
            true,
        ),
    ] {
        let mut client = Side::client(&Limits::default());
        client
            .feed(&[settings(&[]), frame(SETTINGS, ACK, 0, &[])].concat())
            .expect("sound");
        client.take_seen();
        let request = RequestHead {
            method: if is_head { "HEAD" } else { "GET" },
            ..get("/")
        };
        client.open(&request, true);
        client
            .feed(&head(1, &list, flags))
            .expect("of the stream alone");
        let seen = client.take_seen();
        let is_seen = matches!(seen[..], [Seen::Head(1, HeadKind::Response, _, true)]);
        assert_eq!(is_seen, is_good, "{list:?}");
    }
}

#[test]
fn interim_responses_come_before_the_response() {
    let mut pair = Pair::new();
    let id = pair.client.open(&post("/"), false);
    pair.run();
    let stream = pair.server.streams[&id];
    let connection = &mut pair.server.connection;
    for status in [99, 101, 200] {
        assert_eq!(
            connection.inform(stream, status, [].into_iter()),
            Err(Misuse::Status)
        );
    }
    connection.inform(stream, 100, [].into_iter()).expect("due");
    connection
        .inform(stream, 103, fields(&[("Link", "</a>")]))
        .expect("due");
    for status in [100, 199, 600] {
        assert_eq!(
            connection.respond(stream, status, [].into_iter(), true),
            Err(Misuse::Status)
        );
    }
    assert_eq!(connection.queue(stream, 1, false), Err(Misuse::Order));
    assert_eq!(
        connection.trailers(stream, [].into_iter()),
        Err(Misuse::Order)
    );
    connection
        .respond(stream, 200, [].into_iter(), true)
        .expect("due");
    assert_eq!(
        connection.inform(stream, 100, [].into_iter()),
        Err(Misuse::Order)
    );
    pair.run();
    let kinds: Vec<_> = pair
        .client
        .take_seen()
        .into_iter()
        .map(|seen| match seen {
            Seen::Head(_, kind, list, end) => (kind, list[0].1.clone(), end),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            (HeadKind::Interim, "100".to_owned(), false),
            (HeadKind::Interim, "103".to_owned(), false),
            (HeadKind::Response, "200".to_owned(), true),
        ]
    );
}

#[test]
fn what_is_sent_is_checked_before_it_is_encoded() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get("/"), true);
    pair.run();
    let stream = pair.server.streams[&id];
    let connection = &mut pair.server.connection;
    for field in [
        ("a b", "c"),
        ("", "c"),
        ("a", "b\r\nc: d"),
        ("a", "\0"),
        ("a", " b"),
        (":status", "200"),
    ] {
        let outcome = connection.respond(stream, 200, fields(&[field]), true);
        assert_eq!(outcome, Err(Misuse::FieldText), "{field:?}");
    }
    assert!(connection.output().is_empty());
    let long = format!("X-{}", "Long".repeat(30));
    let list = [
        ("Server", "x"),
        ("Transfer-Encoding", "chunked"),
        ("UPGRADE", "h2c"),
        (&long, "y"),
    ];
    connection
        .respond(stream, 200, fields(&list), true)
        .expect("due");
    pair.run();
    let Seen::Head(_, _, list, true) = &pair.client.take_seen()[0] else {
        panic!()
    };
    let names: Vec<_> = list.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, [":status", "server", &long.to_lowercase()]);
    for (head, outcome) in [
        (get("/a b"), OpenError::FieldText),
        (get(""), OpenError::FieldText),
        (
            RequestHead {
                authority: "a\r\nb",
                ..get("/")
            },
            OpenError::FieldText,
        ),
        (
            RequestHead {
                protocol: Some(""),
                ..get("/")
            },
            OpenError::FieldText,
        ),
    ] {
        let opened = pair
            .client
            .connection
            .open(pair.client.now, &head, [].into_iter(), true);
        assert_eq!(opened, Err(outcome));
    }
}

#[test]
fn a_head_longer_than_a_frame_goes_on() {
    let limits = Limits {
        header_list_size_max: 100_000,
        ..Limits::default()
    };
    let mut pair = Pair::with(&limits, &limits);
    let id = pair.client.open(&get("/"), true);
    pair.run();
    let value = "\u{1f}".replace('\u{1f}', "~").repeat(40_000);
    let stream = pair.server.streams[&id];
    pair.server
        .connection
        .respond(stream, 200, fields(&[("x", &value)]), true)
        .expect("due");
    pair.run();
    let Seen::Head(_, _, list, true) = &pair.client.take_seen()[0] else {
        panic!()
    };
    assert_eq!(list[1], ("x".to_owned(), value));
}

fn too_big(size: usize) -> Vec<(String, String)> {
    // Each counts 32 more than its text.
    let mut list: Vec<_> = GET
        .iter()
        .map(|&(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    let before: usize = list
        .iter()
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum();
    list.push(("x".to_owned(), "y".repeat(size - before - 33)));
    list
}

#[test]
fn a_list_has_a_size() {
    let limits = Limits {
        header_list_size_max: 1000,
        ..Limits::default()
    };
    for (size, outcome) in [(999, 0), (1000, 0), (1001, 431), (4000, 431), (4001, 1)] {
        let mut server = Side::server(&limits);
        server.feed(&hello()).expect("sound");
        server.take_wire();
        server.take_seen();
        let list = too_big(size);
        let list: Vec<_> = list
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let result = server.feed(&head(1, &list, END_STREAM));
        let wire = frames(&server.take_wire());
        match outcome {
            0 => assert!(wire.is_empty() && server.take_seen().len() == 1, "{size}"),
            431 => {
                assert_eq!(result, Ok(()), "{size}");
                assert!(server.take_seen().is_empty());
                let flags = END_HEADERS | END_STREAM;
                assert_eq!(
                    (wire[0].kind, wire[0].flags, wire[0].stream),
                    (HEADERS, flags, 1)
                );
                assert_eq!(wire.len(), 1);
                assert_eq!(server.connection.abuse().count(Reason::HeaderListTooBig), 1);
                // It goes on, and its compression is in step.
                server.feed(&head(3, GET, END_STREAM)).expect("sound");
                assert_eq!(server.take_seen().len(), 1);
            }
            _ => assert_eq!(result, Err(Offence::HeaderListFlood), "{size}"),
        }
    }
}

#[test]
fn a_list_has_a_number_of_fields() {
    let limits = Limits {
        headers_max: 8,
        ..Limits::default()
    };
    for (count, is_good) in [(8, true), (9, false), (32, false)] {
        let mut server = Side::server(&limits);
        server.feed(&hello()).expect("sound");
        server.take_wire();
        server.take_seen();
        let list = with(GET, &vec![("a", "b"); count - 4]);
        server.feed(&head(1, &list, 0)).expect("sound");
        assert_eq!(server.take_seen().len(), usize::from(is_good));
        let wire = frames(&server.take_wire());
        // Without an end, what comes of the request is not needed (RFC 9113 8.1).
        let kinds: Vec<_> = wire.iter().map(|frame| frame.kind).collect();
        assert_eq!(
            kinds,
            if is_good {
                vec![]
            } else {
                vec![HEADERS, RST_STREAM]
            }
        );
        if !is_good {
            assert_eq!(wire[1].code(), ErrorCode::NO_ERROR);
        }
        server
            .feed(&frame(DATA, END_STREAM, 1, b"late"))
            .expect("dropped");
    }
    let mut server = Side::server(&limits);
    server.feed(&hello()).expect("sound");
    let list = with(GET, &[("a", "b"); 29]);
    assert_eq!(
        server.feed(&head(1, &list, END_STREAM)),
        Err(Offence::HeaderListFlood)
    );
}
