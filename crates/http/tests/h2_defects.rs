//! What others got wrong in HTTP/2, and WebSocket over it, one test each.

mod h2_kit;

use h2_kit::wire::*;
use h2_kit::{Pair, Seen, Side, get, post, tunnel};
use hioload_http::h2::{ErrorCode, HeadKind, Limits, Misuse, OpenError};

/// A server whose client allows so much for each stream.
fn server_with_window(window: u32) -> Side {
    let mut server = Side::server(&Limits::default());
    let hello = [
        PREFACE,
        &settings(&[(4, window)]),
        &frame(SETTINGS, ACK, 0, &[]),
    ]
    .concat();
    server.feed(&hello).expect("sound");
    server.take_wire();
    server.take_seen();
    server
}

fn data_sizes(wire: &[u8]) -> Vec<usize> {
    frames(wire)
        .iter()
        .filter(|frame| frame.kind == DATA)
        .map(|frame| frame.payload.len())
        .collect()
}

/// Content sent without a look at the stream's window: the peer ends the connection.
#[test]
fn content_waits_for_the_window_of_its_stream() {
    let mut server = server_with_window(100);
    server.feed(&head(1, TUNNEL, 0)).expect("sound");
    server.respond(1, 200, false);
    server.send(1, &[1; 1000], false);
    assert_eq!(data_sizes(&server.take_wire()), [100]);
    server.feed(&window_update(1, 1)).expect("sound");
    assert_eq!(data_sizes(&server.take_wire()), [1]);
    // RFC 9113 6.9.2: settings can leave less than nothing, and what is given then fills that first.
    server.feed(&settings(&[(4, 50)])).expect("sound");
    server.feed(&window_update(1, 50)).expect("sound");
    assert_eq!(data_sizes(&server.take_wire()), [0; 0]);
    server.feed(&window_update(1, 1)).expect("sound");
    assert_eq!(data_sizes(&server.take_wire()), [1]);
    server.feed(&settings(&[(4, 80)])).expect("sound");
    assert_eq!(data_sizes(&server.take_wire()), [30]);
}

/// The same for the window of the connection, with any number of streams.
#[test]
fn content_waits_for_the_window_of_the_connection() {
    let mut server = server_with_window(1 << 20);
    for id in [1, 3, 5] {
        server.feed(&head(id, GET, END_STREAM)).expect("sound");
        server.respond(id, 200, false);
        server.send(id, &[1; 30_000], true);
    }
    let sent: usize = data_sizes(&server.take_wire()).iter().sum();
    assert_eq!(sent, 65_535);
    server.feed(&window_update(0, 10)).expect("sound");
    assert_eq!(data_sizes(&server.take_wire()), [10]);
}

/// Windows of streams that are never opened again: senders stop after 64 KiB.
#[test]
fn a_tunnel_carries_more_than_its_window_both_ways() {
    let mut pair = Pair::new();
    let id = pair.client.open(&tunnel("/"), false);
    pair.run();
    pair.server.respond(id, 200, false);
    pair.run();
    pair.client.take_seen();
    pair.server.take_seen();
    for _ in 0..50 {
        pair.client.send(id, &[1; 65_536], false);
        pair.server.send(id, &[2; 65_536], false);
        pair.run();
    }
    assert_eq!(
        pair.server.take_seen(),
        [Seen::Data(id, vec![1; 50 * 65_536], false)]
    );
    assert_eq!(
        pair.client.take_seen(),
        [Seen::Data(id, vec![2; 50 * 65_536], false)]
    );
}

/// Bytes that are given back for the connection by these frames.
fn given_back(wire: &[u8]) -> u64 {
    frames(wire)
        .iter()
        .filter(|frame| (frame.kind, frame.stream) == (WINDOW_UPDATE, 0))
        .map(|frame| u64::from(frame.number()))
        .sum()
}

/// Sends 4 MiB that nobody wants, in every way there is: all of it is given back, but for less than half a window.
fn assert_all_is_given_back(mut server: Side, mut next: impl FnMut(&mut Side, u32) -> Vec<u8>) {
    let (mut sent, mut back) = (0, 0);
    for turn in 0..256 {
        let bytes = next(&mut server, turn);
        sent += frames(&bytes)
            .iter()
            .filter(|frame| frame.kind == DATA)
            .map(|frame| frame.payload.len() as u64)
            .sum::<u64>();
        server.feed(&bytes).expect("sound");
        back += given_back(&server.take_wire());
    }
    assert!(sent >= 4 << 20, "{sent}");
    // The last frame may be held yet.
    assert!(
        back <= sent && sent - back < (1 << 19) + 16_384,
        "{sent} sent, {back} given back"
    );
}

fn server_with_stream() -> Side {
    let mut server = server_with_window(65_535);
    server.feed(&head(1, POST, 0)).expect("sound");
    server
}

fn body(flags: u8, id: u32) -> Vec<u8> {
    frame(DATA, flags, id, &[0; 16_384])
}

#[test]
fn content_for_a_stream_that_we_reset_is_given_back() {
    for is_released in [false, true] {
        let mut server = server_with_stream();
        let stream = server.streams[&1];
        server.connection.reset(stream, ErrorCode::CANCEL);
        if is_released {
            server.release(1);
        }
        server.take_wire();
        assert_all_is_given_back(server, |_, _| body(0, 1));
    }
}

#[test]
fn content_for_a_stream_that_is_closed_is_given_back() {
    let mut server = server_with_stream();
    server
        .feed(&frame(DATA, END_STREAM, 1, b""))
        .expect("sound");
    server.respond(1, 200, true);
    server.release(1);
    assert_all_is_given_back(server, |_, _| body(0, 1));
}

#[test]
fn content_for_streams_that_end_while_it_is_held_is_given_back() {
    for is_reset in [false, true] {
        let mut server = server_with_window(65_535);
        server.consumes = false;
        assert_all_is_given_back(server, |server, turn| {
            let id = 2 * turn + 1;
            if let Some(before) = id.checked_sub(2) {
                if is_reset {
                    let stream = server.streams[&before];
                    server.connection.reset(stream, ErrorCode::NO_ERROR);
                }
                server.release(before);
            }
            [head(id, POST, 0), body(0, id)].concat()
        });
    }
}

/// A release between the parts of a frame: neither part is forgotten, nor counted twice.
#[test]
fn content_that_is_cut_off_by_a_release_is_given_back_once() {
    let mut server = server_with_window(65_535);
    server.consumes = false;
    let (mut sent, mut back) = (0, 0);
    for turn in 0..300 {
        let id = 2 * turn + 1;
        let frame = body(PADDED, id);
        server.feed(&head(id, POST, 0)).expect("sound");
        server.feed(&frame[..5000]).expect("sound");
        let stream = server.streams[&id];
        if turn % 2 == 0 {
            server.connection.consumed(stream, 1000);
        }
        server.release(id);
        // The owner is late.
        server.connection.consumed(stream, 4000);
        server.feed(&frame[5000..]).expect("sound");
        sent += 16_384;
        back += given_back(&server.take_wire());
    }
    assert!(
        back <= sent && sent - back < 1 << 19,
        "{sent} sent, {back} given back"
    );
}

#[test]
fn padding_is_given_back() {
    let mut server = server_with_stream();
    // Padding alone is no content: it would be an empty frame.
    let padded = [&[255][..], &[0; 16_383]].concat();
    server.consumes = true;
    assert_all_is_given_back(server, |_, _| frame(DATA, PADDED, 1, &padded));
}

#[test]
fn content_after_goaway_is_given_back() {
    let mut server = server_with_stream();
    let now = server.now;
    server.connection.shutdown(now);
    let wire = frames(&server.take_wire());
    let ping = wire
        .iter()
        .find(|frame| frame.kind == PING)
        .expect("a PING");
    server
        .feed(&frame(PING, ACK, 0, &ping.payload))
        .expect("sound");
    server.take_wire();
    // Streams above the last are ignored, and so is what they send.
    server.feed(&head(3, POST, 0)).expect("ignored");
    assert_all_is_given_back(server, |_, _| body(0, 3));
}

/// Windows of the connection that are told only together with those of a stream: many small streams stop.
#[test]
fn many_small_streams_do_not_stop() {
    let mut pair = Pair::new();
    for _ in 0..3000 {
        let id = pair.client.open(&post("/"), false);
        pair.client.send(id, &[1; 1000], true);
        pair.run();
        assert!(matches!(
            pair.server.take_seen()[..],
            [Seen::Head(..), Seen::Data(_, _, true)]
        ));
        pair.server.respond(id, 200, false);
        pair.server.send(id, &[2; 1000], true);
        pair.run();
        pair.server.release(id);
        assert!(matches!(
            pair.client.take_seen()[..],
            [Seen::Head(..), Seen::Data(_, _, true)]
        ));
        pair.client.release(id);
    }
}

/// Extended CONNECT that is offered by who cannot do it: browsers fail without a word.
#[test]
fn tunnels_are_offered_by_who_has_room_for_them() {
    for (tunnels_max, is_offered) in [(0, false), (1, true)] {
        let limits = Limits {
            tunnels_max,
            ..Limits::default()
        };
        let mut pair = Pair::with(&Limits::default(), &limits);
        assert_eq!(
            pair.client.connection.peer_settings().enable_connect,
            is_offered
        );
        let opened =
            pair.client
                .connection
                .open(pair.client.now, &tunnel("/"), [].into_iter(), false);
        assert_eq!(
            opened.err(),
            (!is_offered).then_some(OpenError::NoExtendedConnect)
        );
        // One that does not ask is told.
        let mut server = Side::server(&limits);
        server.feed(&hello()).expect("sound");
        server.take_wire();
        server.feed(&head(1, TUNNEL, 0)).expect("sound");
        let wire = frames(&server.take_wire());
        let reset = wire.iter().find(|frame| frame.kind == RST_STREAM);
        assert_eq!(
            reset.map(Frame::code),
            (!is_offered).then_some(ErrorCode::PROTOCOL_ERROR)
        );
    }
}

/// A stream that ends while its owner still uses it.
#[test]
fn an_owner_may_be_late() {
    for is_by_peer in [true, false] {
        let mut server = server_with_stream();
        server.consumes = false;
        server.feed(&frame(DATA, 0, 1, &[1; 1000])).expect("sound");
        let stream = server.streams[&1];
        server.respond(1, 200, false);
        server.send(1, &[1; 100_000], false);
        server.take_wire();
        if is_by_peer {
            server.feed(&reset(1, ErrorCode::CANCEL)).expect("sound");
        } else {
            server
                .feed(&window_update(1, 0))
                .expect("of the stream alone");
        }
        let seen = server.take_seen();
        assert!(matches!(seen.last(), Some(Seen::Reset(1, ..))), "{seen:?}");
        let connection = &mut server.connection;
        assert_eq!(connection.queue(stream, 10, true), Err(Misuse::Closed));
        assert_eq!(
            connection.respond(stream, 200, [].into_iter(), true),
            Err(Misuse::Order)
        );
        assert_eq!(
            connection.trailers(stream, [].into_iter()),
            Err(Misuse::Closed)
        );
        assert_eq!(connection.unqueue(stream), 0);
        connection.set_receive_window(stream, 1 << 20);
        connection.consumed(stream, 1000);
        connection.reset(stream, ErrorCode::CANCEL);
        assert_eq!(connection.poll_send(), None);
        // The slot is the owner's until it says so.
        server.feed(&head(3, POST, 0)).expect("sound");
        assert_ne!(server.streams[&3].slot, stream.slot);
        server.connection.release(stream);
        server.connection.release(stream);
        assert_eq!(server.connection.stream_count(), 1);
        server.feed(&head(5, POST, 0)).expect("sound");
        assert_eq!(server.streams[&5].slot, stream.slot);
        // The reference of old is nobody's.
        server.respond(5, 200, false);
        assert_eq!(
            server.connection.queue(stream, 10, true),
            Err(Misuse::Closed)
        );
    }
}

/// A tunnel is a CONNECT with a protocol; neither side's content has a length.
#[test]
fn a_tunnel_is_told_by_its_protocol() {
    let mut pair = Pair::new();
    let id = pair.client.open(&tunnel("/chat"), false);
    pair.run();
    let seen = pair.server.take_seen();
    let [Seen::Head(_, HeadKind::Request, list, false)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(list.contains(&(":protocol".to_owned(), "websocket".to_owned())));
    assert!(pair.server.list.is_tunnel());
    pair.server.respond(id, 200, false);
    pair.server.send(id, b"hello", false);
    pair.client.send(id, b"hi", false);
    pair.run();
    let seen = pair.client.take_seen();
    assert!(
        matches!(&seen[1], Seen::Data(_, bytes, false) if bytes == b"hello"),
        "{seen:?}"
    );
    assert_eq!(
        pair.server.take_seen(),
        [Seen::Data(id, b"hi".to_vec(), false)]
    );
    // RFC 8441 5: the end of one side is not that of the other.
    pair.client.send(id, b"", true);
    pair.run();
    assert_eq!(pair.server.take_seen(), [Seen::Data(id, vec![], true)]);
    pair.server.send(id, b"bye", true);
    pair.run();
    assert_eq!(
        pair.client.take_seen(),
        [Seen::Data(id, b"bye".to_vec(), true)]
    );
}

/// What came before a reset is handed out before it.
#[test]
fn content_before_a_reset_is_delivered() {
    let mut server = server_with_stream();
    server.take_seen();
    server
        .feed(
            &[
                frame(DATA, 0, 1, b"last words"),
                reset(1, ErrorCode::CANCEL),
            ]
            .concat(),
        )
        .expect("sound");
    let expected = [
        Seen::Data(1, b"last words".to_vec(), false),
        Seen::Reset(1, ErrorCode::CANCEL, true),
    ];
    assert_eq!(server.take_seen(), expected);
}

/// A response that is complete before its request is: the rest is not needed, and that is no error. What still comes is
/// dropped for a while, since many a client takes a reset for a failure.
#[test]
fn an_early_answer_is_no_error() {
    for end in [
        "it ends", "trailers", "time", "too much", "reset", "offence",
    ] {
        let mut pair = Pair::new();
        let id = pair.client.open(&post("/"), false);
        pair.client.send(id, &[1; 1000], false);
        pair.run();
        pair.server.take_seen();
        pair.server.respond(id, 413, true);
        pair.server.release(id);
        pair.client.send(id, &[1; 1000], false);
        pair.run();
        let seen = pair.client.take_seen();
        assert!(
            matches!(seen[..], [Seen::Head(_, HeadKind::Response, _, true)]),
            "{seen:?}"
        );
        // Its slot is not free yet.
        assert_eq!(pair.server.connection.stream_count(), 1);
        let mut reset = vec![Seen::Reset(id, ErrorCode::NO_ERROR, true)];
        match end {
            "it ends" => {
                pair.client.send(id, b"", true);
                reset.clear();
            }
            "trailers" => {
                let stream = pair.client.streams[&id];
                pair.client
                    .connection
                    .trailers(stream, [].into_iter())
                    .expect("open");
                reset.clear();
            }
            "time" => {
                let due = pair.server.connection.poll_timeout().expect("soon");
                assert_eq!(due - pair.server.now, std::time::Duration::from_secs(1));
                pair.server
                    .connection
                    .handle_timeout(due)
                    .expect("in order");
            }
            "too much" => pair.client.send(id, &[1; 100_000], false),
            "reset" => {
                pair.client.release(id);
                reset.clear();
            }
            _ => {
                let bytes = window_update(id, 0);
                pair.server.feed(&bytes).expect("of the stream alone");
                reset = vec![Seen::Reset(id, ErrorCode::PROTOCOL_ERROR, true)];
            }
        }
        pair.run();
        assert_eq!(pair.client.take_seen(), reset, "{end}");
        assert_eq!(pair.server.take_seen(), [], "its owner has released it");
        assert_eq!(pair.server.connection.stream_count(), 0, "{end}");
    }
}

#[test]
fn an_answer_that_is_not_complete_is_cut_off() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get("/"), true);
    pair.run();
    pair.server.respond(id, 200, false);
    pair.server.release(id);
    pair.run();
    assert_eq!(
        pair.client.take_seen()[1],
        Seen::Reset(id, ErrorCode::CANCEL, true)
    );
    assert_eq!(pair.server.connection.stream_count(), 0);
}

/// Streams whose content waits hold the window of all: those that do not wait need it to end, and all wait for ever.
#[test]
fn streams_that_wait_do_not_stop_the_others() {
    let mut pair = Pair::new();
    pair.server.consumes = false;
    for _ in 0..100 {
        let id = pair.client.open(&post("/"), false);
        pair.client.send(id, &[1; 100_000], true);
    }
    pair.run();
    // All of their windows are full, which is several times that of the connection.
    let came: usize = pair
        .server
        .take_seen()
        .iter()
        .map(|seen| match seen {
            Seen::Data(_, bytes, false) => bytes.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(came, 100 * 65_536);
    // And another one goes through.
    let id = pair.client.open(&post("/"), false);
    pair.client.send(id, &[1; 10_000], true);
    pair.run();
    assert_eq!(
        pair.server.take_seen()[1],
        Seen::Data(id, vec![1; 10_000], true)
    );
}

/// A frame that is malformed is so on any stream (RFC 9113 6.1).
#[test]
fn padding_is_checked_on_streams_that_are_gone() {
    for is_released in [false, true] {
        for (payload, is_good) in [(&b"\x05\0\0"[..], false), (b"", false), (b"\x02\0\0", true)] {
            let mut server = server_with_stream();
            let stream = server.streams[&1];
            server.connection.reset(stream, ErrorCode::CANCEL);
            if is_released {
                server.release(1);
            }
            let outcome = server.feed(&frame(DATA, PADDED, 1, payload));
            assert_eq!(outcome.is_ok(), is_good, "{payload:?}");
        }
    }
}
