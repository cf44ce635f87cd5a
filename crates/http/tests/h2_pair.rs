//! Both ends of this room against each other.

mod h2_kit;

use h2_kit::{Pair, Seen, fields, get, post};
use hioload_http::h2::HeadKind;

#[test]
fn a_request_and_its_answer() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get("/a?b"), true);
    pair.run();
    let seen = pair.server.take_seen();
    let Seen::Head(1, HeadKind::Request, list, true) = &seen[0] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        list.iter()
            .map(|(name, value)| (&**name, &**value))
            .collect::<Vec<_>>(),
        [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", "/a?b"),
            ("host", "example.com"),
        ]
    );
    let stream = pair.server.streams[&id];
    pair.server
        .connection
        .respond(
            stream,
            200,
            fields(&[("ETag", "\"x\""), ("Connection", "close")]),
            false,
        )
        .expect("due");
    pair.server.send(id, &[7; 100_000], true);
    pair.run();
    pair.server.release(id);
    let seen = pair.client.take_seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let expected =
        [(":status", "200"), ("etag", "\"x\"")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(
        seen[0],
        Seen::Head(id, HeadKind::Response, expected.to_vec(), false)
    );
    assert_eq!(seen[1], Seen::Data(id, vec![7; 100_000], true));
    pair.client.release(id);
    pair.run();
    assert_eq!(
        (
            pair.client.connection.stream_count(),
            pair.server.connection.stream_count()
        ),
        (0, 0)
    );
    assert!(pair.client.take_seen().is_empty() && pair.server.take_seen().is_empty());
}

#[test]
fn content_both_ways_and_trailers() {
    let mut pair = Pair::new();
    let id = pair.client.open(&post("/"), false);
    pair.client.send(id, &[1; 300_000], false);
    pair.run();
    let stream = pair.client.streams[&id];
    pair.client
        .connection
        .trailers(stream, fields(&[("Sum", "1")]))
        .expect("all was granted");
    pair.run();
    let seen = pair.server.take_seen();
    assert_eq!(seen[1], Seen::Data(id, vec![1; 300_000], false));
    let sum = vec![("sum".to_owned(), "1".to_owned())];
    assert_eq!(seen[2], Seen::Head(id, HeadKind::Trailers, sum, true));
    pair.server.respond(id, 200, false);
    pair.server.send(id, b"", true);
    pair.run();
    assert_eq!(pair.client.take_seen()[1], Seen::Data(id, vec![], true));
}
