//! The server's side against whole conversations, however they are cut up.

use hioload_http::h1::{Body, Event, Limits, Refusal, Server};

/// What was seen of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    is_whole: bool,
    goes_on: bool,
}

/// Feeds `input` in pieces of `step` bytes; each request is answered as soon as it is complete.
fn converse(input: &[u8], step: usize, limits: &Limits) -> Result<Vec<Seen>, (Vec<Seen>, Refusal)> {
    let mut server = Server::new();
    let (mut kept, mut seen): (Vec<u8>, Vec<Seen>) = (Vec::new(), Vec::new());
    for piece in input.chunks(step) {
        kept.extend_from_slice(piece);
        let mut whole = std::mem::take(&mut kept);
        let mut rest = &mut whole[..];
        loop {
            let event = match server.handle_input(limits, &mut rest) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(refusal) => return Err((seen, refusal)),
            };
            let is_whole = match event {
                Event::Head(head) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    seen.push(Seen {
                        line: format!("{} {} {:?}", head.method(), head.path(), head.query()),
                        fields: head.fields().map(|(n, v)| (text(n), text(v))).collect(),
                        ..Seen::default()
                    });
                    head.body() == Body::None
                }
                Event::Body(bytes) => {
                    assert!(!bytes.is_empty());
                    seen.last_mut()
                        .expect("a head")
                        .body
                        .extend_from_slice(bytes);
                    false
                }
                Event::End => true,
            };
            if is_whole {
                let last = seen.last_mut().expect("a head");
                last.is_whole = true;
                last.goes_on = server.response_done();
            }
        }
        kept = rest.to_vec();
    }
    Ok(seen)
}

#[test]
fn every_split_shows_the_same_requests() {
    let input = b"\r\nGET /a?b=c&d HTTP/1.1\r\nHost: h\r\nX-A:  b \r\nEmpty:\r\n\r\n\
        PUT /b HTTP/1.1\r\nhost:h\r\nContent-Length: 11\r\n\r\nhello world\
        POST http://h/c?q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n0\r\nT: u\r\n\r\n\
        DELETE / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
        HEAD /e HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n";
    let whole = converse(input, input.len(), &Limits::default()).expect("good requests");
    let lines: Vec<_> = whole.iter().map(|seen| &*seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /a Some(\"b=c&d\")",
            "PUT /b None",
            "POST /c Some(\"q\")",
            "DELETE / None",
            "HEAD /e None"
        ]
    );
    assert_eq!(
        whole[0].fields[1..],
        [("X-A".into(), "b".into()), ("Empty".into(), String::new())]
    );
    assert_eq!(
        (&*whole[1].body, &*whole[2].body),
        (&b"hello world"[..], &b"hello!"[..])
    );
    assert!(whole.iter().all(|seen| seen.is_whole));
    assert!(whole[..4].iter().all(|seen| seen.goes_on) && !whole[4].goes_on);
    for step in 1..input.len() {
        assert_eq!(
            converse(input, step, &Limits::default()).as_ref(),
            Ok(&whole),
            "{step}"
        );
    }
}

#[test]
fn limits_hold_at_their_ends() {
    let limits = Limits {
        head_size_max: 60,
        headers_max: 3,
        ..Limits::default()
    };
    let status = |input: &str| {
        converse(input.as_bytes(), 7, &limits)
            .err()
            .map(|(_, r)| r.status)
    };
    let sized = |size: usize| {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
        format!("{head}{}\r\n\r\n", "x".repeat(size - head.len() - 4))
    };
    assert_eq!((status(&sized(60)), status(&sized(61))), (None, Some(431)));
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "A:b\r\n".repeat(count - 1)
        )
    };
    assert_eq!((status(&fields(3)), status(&fields(4))), (None, Some(431)));
    assert_eq!(status(&"x".repeat(59)), None, "it may yet end");
    // Without its end, too: by what there is too much of.
    assert_eq!(status(&"x".repeat(60)), Some(501));
    let target = |len: usize| format!("GET /{}", "x".repeat(len - 5));
    assert_eq!(
        (status(&target(59)), status(&target(60))),
        (None, Some(414))
    );
    let field = |len: usize| format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(len - 19));
    assert_eq!((status(&field(59)), status(&field(60))), (None, Some(431)));
    let empty = |lines: usize| format!("{}{}", "\r\n".repeat(lines), sized(50));
    assert_eq!((status(&empty(5)), status(&empty(6))), (None, Some(431)));
}

#[test]
fn the_most_fields_there_is_room_for() {
    let limits = |headers_max| Limits {
        headers_max,
        ..Limits::default()
    };
    let fields = |count: usize| {
        let head = "GET / HTTP/1.1\r\nHost: h\r\n";
        format!("{head}{}\r\n", "A:b\r\n".repeat(count - 1))
    };
    // A limit above the table is the table's.
    for headers_max in [128, 1000] {
        let status = |count: usize| {
            let outcome = converse(fields(count).as_bytes(), 4096, &limits(headers_max));
            outcome.err().map(|(_, refusal)| refusal.status)
        };
        assert_eq!(
            (status(128), status(129)),
            (None, Some(431)),
            "{headers_max}"
        );
    }
}

#[test]
fn a_connection_is_small() {
    assert!(std::mem::size_of::<Server>() <= 64);
}

#[test]
fn lists_may_be_spread_over_fields() {
    let mut bytes =
        *b"GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"a\"\r\nX: y\r\nif-none-match: \"b\"\r\n\r\n";
    let mut server = Server::new();
    let event = server.handle_input(&Limits::default(), &mut &mut bytes[..]);
    let Ok(Some(Event::Head(head))) = event else {
        panic!("{event:?}")
    };
    let values: Vec<_> = head.values("If-None-Match").collect();
    assert_eq!(values, [b"\"a\"", b"\"b\""]);
    assert_eq!(head.header("If-None-Match"), Some(&b"\"a\""[..]));
}

#[test]
fn an_answer_before_the_end_of_the_body_ends_the_connection() {
    let mut input =
        *b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhe";
    let (mut server, mut rest) = (Server::new(), &mut input[..]);
    let limits = Limits::default();
    let event = server
        .handle_input(&limits, &mut rest)
        .expect("a good head");
    let Some(Event::Head(head)) = event else {
        panic!("{event:?}")
    };
    assert!(head.expects_continue());
    assert_eq!(server.connection_line(false), "Connection: close\r\n");
    assert!(!server.response_done());
    assert!(
        matches!(server.handle_input(&limits, &mut rest), Ok(None)),
        "nothing more is taken"
    );
}

#[test]
fn the_connection_line_is_what_the_peer_needs() {
    for (head, line, goes_on) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "", true),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            "Connection: close\r\n",
            false,
        ),
        ("GET / HTTP/1.0\r\n\r\n", "Connection: close\r\n", false),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            "Connection: keep-alive\r\n",
            true,
        ),
    ] {
        let mut bytes = head.as_bytes().to_vec();
        let mut server = Server::new();
        let event = server.handle_input(&Limits::default(), &mut &mut bytes[..]);
        assert!(matches!(event, Ok(Some(Event::Head(_)))));
        assert_eq!(server.connection_line(false), line, "{head:?}");
        assert_eq!(server.connection_line(true), "Connection: close\r\n");
        assert_eq!(server.response_done(), goes_on, "{head:?}");
    }
}

#[test]
fn upgrades_are_told_apart() {
    for (fields, wants_upgrade) in [
        (
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
            true,
        ),
        ("Upgrade: websocket\r\n", false),
        ("Connection: Upgrade\r\n", false),
    ] {
        let mut bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
        let mut server = Server::new();
        let event = server.handle_input(&Limits::default(), &mut &mut bytes[..]);
        let Ok(Some(Event::Head(head))) = event else {
            panic!("{fields}")
        };
        assert_eq!(head.wants_upgrade(), wants_upgrade, "{fields}");
    }
}

#[test]
fn a_body_is_taken_only_as_far_as_there_is_room() {
    let mut bytes =
        *b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n\
        PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nefg";
    let (mut server, mut rest) = (Server::new(), &mut bytes[..]);
    let limits = Limits::default();
    for (pieces, after) in [(["a", "bc", "d"], "0\r\n\r\nPUT"), (["e", "f", "g"], "")] {
        let head = server.handle_input_within(&limits, &mut rest, 0);
        assert!(matches!(head, Ok(Some(Event::Head(_)))));
        let blocked = server.handle_input_within(&limits, &mut rest, 0);
        assert!(matches!(blocked, Ok(None)) && rest.starts_with(pieces[0].as_bytes()));
        for piece in pieces {
            let event = server.handle_input_within(&limits, &mut rest, piece.len());
            assert!(matches!(event, Ok(Some(Event::Body(body))) if body == piece.as_bytes()));
        }
        assert!(rest.trim_ascii_start().starts_with(after.as_bytes()));
        let end = server.handle_input_within(&limits, &mut rest, 0);
        assert!(matches!(end, Ok(Some(Event::End))), "the end needs no room");
        assert!(server.response_done());
    }
}
