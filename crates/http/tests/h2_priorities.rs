//! Whose content goes first (RFC 9218), on the wire.

mod h2_kit;

use h2_kit::Side;
use h2_kit::wire::*;
use hioload_http::h2::{Limits, Priority, Reason};

fn server() -> Side {
    let mut server = Side::server(&Limits::default());
    let hello = [
        PREFACE,
        &settings(&[(4, 1 << 20)]),
        &frame(SETTINGS, ACK, 0, &[]),
        &window_update(0, 1 << 20),
    ];
    server.feed(&hello.concat()).expect("sound");
    server.take_wire();
    server
}

fn request(server: &mut Side, id: u32, priority: &str) {
    let list = [GET, &[("priority", priority)]].concat();
    server.feed(&head(id, &list, END_STREAM)).expect("sound");
    server.respond(id, 200, false);
}

/// The streams whose content comes, in order, repetitions left out.
fn order(server: &mut Side) -> Vec<u32> {
    let mut ids: Vec<u32> = frames(&server.take_wire())
        .iter()
        .filter(|frame| frame.kind == DATA)
        .map(|frame| frame.stream)
        .collect();
    ids.dedup();
    ids
}

#[test]
fn by_urgency_and_then_in_order() {
    let mut server = server();
    for (id, priority) in [(1, ""), (3, "u=7"), (5, "u=0"), (7, ""), (9, "u=3")] {
        request(&mut server, id, priority);
        server.send(id, &[0; 40_000], true);
    }
    assert_eq!(order(&mut server), [5, 1, 7, 9, 3]);
}

#[test]
fn incremental_ones_share_frame_by_frame() {
    let mut server = server();
    for id in [1, 3] {
        request(&mut server, id, "u=4, i");
        server.send(id, &[0; 3 * 16_384], true);
    }
    assert_eq!(order(&mut server), [1, 3, 1, 3, 1, 3]);
}

#[test]
fn a_tunnel_goes_before_what_nobody_said_anything_of() {
    let mut server = server();
    request(&mut server, 1, "");
    server.send(1, &[0; 100_000], true);
    server.feed(&head(3, TUNNEL, 0)).expect("sound");
    server.respond(3, 200, false);
    server.send(3, b"short", false);
    assert_eq!(order(&mut server), [3, 1]);
    // But not before what is more urgent.
    request(&mut server, 5, "u=0");
    server.send(3, b"short", false);
    server.send(5, &[0; 100], true);
    assert_eq!(order(&mut server), [5, 3]);
}

#[test]
fn priorities_change() {
    let update = |id: u32, value: &[u8]| {
        frame(
            PRIORITY_UPDATE,
            0,
            0,
            &[&id.to_be_bytes()[..], value].concat(),
        )
    };
    let mut server = server();
    // Before the stream is there, which then overrides the field.
    server.feed(&update(5, b"u=7")).expect("sound");
    server.feed(&update(3, b"u=1")).expect("sound");
    for id in [1, 3, 5] {
        request(&mut server, id, "u=2");
        server.send(id, &[0; 100], true);
    }
    assert_eq!(order(&mut server), [3, 1, 5]);
    for id in [7, 9, 11] {
        request(&mut server, id, "");
        server.send(id, &[0; 100], true);
    }
    // While it waits; by the owner, too (RFC 9218 8).
    server.feed(&update(11, b"u=0")).expect("sound");
    let stream = server.streams[&7];
    server.connection.set_priority(
        stream,
        Priority {
            urgency: 6,
            is_incremental: true,
        },
    );
    // Of a stream that is gone: nothing.
    server.release(1);
    server.feed(&update(1, b"u=0")).expect("sound");
    assert_eq!(order(&mut server), [11, 9, 7]);
    assert_eq!(server.connection.abuse().count(Reason::Priority), 4);
}

#[test]
fn ends_wait_for_nothing() {
    let mut server = Side::server(&Limits::default());
    server
        .feed(&[PREFACE, &settings(&[(4, 0)]), &frame(SETTINGS, ACK, 0, &[])].concat())
        .expect("sound");
    for id in [1, 3] {
        request(&mut server, id, "");
    }
    server.send(1, b"x", true);
    server.send(3, b"", true);
    // RFC 9113 6.9.1: empty frames need no window.
    assert_eq!(order(&mut server), [3]);
    server.feed(&window_update(1, 1)).expect("sound");
    let wire = frames(&server.take_wire());
    assert_eq!(
        (wire[0].stream, wire[0].flags, &wire[0].payload[..]),
        (1, END_STREAM, &b"x"[..])
    );
}

#[test]
fn content_that_is_taken_back_is_not_sent() {
    let mut server = server();
    request(&mut server, 1, "");
    let stream = server.streams[&1];
    server.connection.queue(stream, 100_000, true).expect("due");
    server.connection.poll_output(&mut server.wire);
    let grant = server.connection.poll_send().expect("room");
    assert_eq!((grant.len, grant.end_stream), (16_384, false));
    assert_eq!(server.connection.unqueue(stream), 100_000 - 16_384);
    assert_eq!(server.connection.poll_send(), None);
    server
        .connection
        .queue(stream, 5, true)
        .expect("it is open");
    let grant = server.connection.poll_send().expect("room");
    assert_eq!((grant.len, grant.end_stream), (5, true));
    assert_eq!(server.connection.unqueue(stream), 0);
}
