//! What time brings: deadlines, PING, peers that stand still, and the end of a connection in order.

mod h2_kit;

use std::time::Duration;

use h2_kit::wire::*;
use h2_kit::{Pair, Seen, Side, get, post};
use hioload_base::Time;
use hioload_http::h2::{ErrorCode, Limits, Misuse, Offence, OpenError, Reason};

const NANO: Duration = Duration::from_nanos(1);

fn server() -> Side {
    let mut server = Side::server(&Limits::default());
    server.feed(&hello()).expect("sound");
    server.take_wire();
    server.take_seen();
    server
}

/// Nothing is due until just before, and this then.
fn due_after(side: &mut Side, duration: Duration) -> Result<(), Offence> {
    let due = side.now + duration;
    assert_eq!(side.connection.poll_timeout(), Some(due));
    assert_eq!(side.connection.handle_timeout(due - NANO), Ok(()));
    assert!(side.connection.output().is_empty());
    side.now = due;
    side.connection.handle_timeout(due)
}

#[test]
fn preface_and_settings_have_a_deadline() {
    let limits = Limits::default();
    for said in [
        &b""[..],
        &PREFACE[..10],
        PREFACE,
        &[PREFACE, &settings(&[])].concat(),
    ] {
        let mut server = Side::server(&limits);
        server.feed(said).expect("sound");
        server.take_wire();
        assert_eq!(
            due_after(&mut server, limits.settings_timeout),
            Err(Offence::SettingsTimeout)
        );
        let wire = frames(&server.take_wire());
        assert_eq!(
            (wire[0].kind, wire[0].code()),
            (GOAWAY, ErrorCode::SETTINGS_TIMEOUT)
        );
        assert_eq!(server.connection.poll_timeout(), None);
        assert_eq!(server.feed(b""), Err(Offence::SettingsTimeout));
    }
    assert_eq!(
        server().connection.poll_timeout(),
        Some(Time::ZERO + limits.ping_interval)
    );
}

#[test]
fn a_header_block_has_a_deadline() {
    let limits = Limits::default();
    let whole = [
        frame(HEADERS, 0, 1, &block(GET)[..5]),
        frame(CONTINUATION, END_HEADERS, 1, &block(GET)[5..]),
    ]
    .concat();
    for end in 9..whole.len() {
        let mut server = server();
        server.feed(&whole[..end]).expect("sound");
        assert_eq!(
            due_after(&mut server, limits.header_block_timeout),
            Err(Offence::HeaderBlockTimeout)
        );
    }
    let mut server = server();
    server.feed(&whole).expect("sound");
    assert_eq!(
        server.connection.poll_timeout(),
        Some(Time::ZERO + limits.ping_interval)
    );
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let limits = Limits::default();
    let mut server = server();
    due_after(&mut server, limits.ping_interval).expect("a question");
    let wire = frames(&server.take_wire());
    assert_eq!((wire[0].kind, wire[0].flags, wire.len()), (PING, 0, 1));
    // Whatever comes shows that it is there; the answer says how far away.
    server.now += Duration::from_millis(7);
    server
        .feed(&frame(PING, ACK, 0, &wire[0].payload))
        .expect("sound");
    assert_eq!(server.take_seen(), [Seen::Pong(Duration::from_millis(7))]);
    due_after(&mut server, limits.ping_interval).expect("a question");
    server.take_wire();
    assert_eq!(
        due_after(&mut server, limits.ping_timeout),
        Err(Offence::PingTimeout)
    );
    assert_eq!(frames(&server.take_wire())[0].code(), ErrorCode::NO_ERROR);
}

#[test]
fn a_peer_that_sends_is_not_asked() {
    let limits = Limits::default();
    let mut server = server();
    for _ in 0..10 {
        server.now += limits.ping_interval - NANO;
        server.feed(&window_update(0, 1)).expect("sound");
        server
            .connection
            .handle_timeout(server.now)
            .expect("nothing is due");
        assert!(server.take_wire().is_empty());
    }
    // An answer that nobody asked for is nothing.
    server
        .feed(&frame(PING, ACK, 0, b"whatever"))
        .expect("sound");
    assert!(server.take_seen().is_empty());
    assert_eq!(server.connection.abuse().count(Reason::Glitch), 1);
    let never = Limits {
        ping_interval: Duration::ZERO,
        ..limits
    };
    let mut server = Side::server(&never);
    server.feed(&hello()).expect("sound");
    assert_eq!(server.connection.poll_timeout(), None);
}

#[test]
fn an_owner_may_ask_too() {
    let mut pair = Pair::new();
    pair.client.connection.ping(pair.client.now);
    pair.client.connection.ping(pair.client.now);
    let bytes = pair.client.take_wire();
    assert_eq!(frames(&bytes).len(), 1, "one at a time");
    pair.sleep(Duration::from_millis(3));
    pair.server.feed(&bytes).expect("sound");
    pair.run();
    assert_eq!(
        pair.client.take_seen(),
        [Seen::Pong(Duration::from_millis(3))]
    );
}

/// A server that has content for a client which allows so much.
fn server_with_content(stream_window: u32) -> Side {
    let limits = Limits {
        ping_interval: Duration::ZERO,
        ..Limits::default()
    };
    let mut server = Side::server(&limits);
    server
        .feed(
            &[
                PREFACE,
                &settings(&[(4, stream_window)]),
                &frame(SETTINGS, ACK, 0, &[]),
            ]
            .concat(),
        )
        .expect("sound");
    for id in [1, 3] {
        server.feed(&head(id, GET, END_STREAM)).expect("sound");
        server.respond(id, 200, false);
    }
    server.send(1, &[0; 200_000], true);
    server.take_wire();
    server.take_seen();
    server
}

/// Runs the clock for so long, with an update of this stream every second.
fn dribble(server: &mut Side, seconds: u64, id: u32, increment: u32) -> Result<(), Offence> {
    for _ in 0..seconds {
        server.now += Duration::from_secs(1);
        server.connection.handle_timeout(server.now)?;
        if increment > 0 {
            server.feed(&window_update(id, increment))?;
        }
        server.feed(b"")?;
        server.take_wire();
    }
    Ok(())
}

#[test]
fn a_stream_that_stands_still_is_reset() {
    // Bytes a second, and whether that is progress: 1024 in about a minute are.
    for (increment, is_progress) in [(0, false), (1, false), (10, false), (20, true)] {
        let mut server = server_with_content(100);
        dribble(&mut server, 59, 1, increment).expect("of the stream alone");
        assert_eq!(server.take_seen(), []);
        dribble(&mut server, 120, 1, increment).expect("of the stream alone");
        let reset = Seen::Reset(1, ErrorCode::ENHANCE_YOUR_CALM, false);
        let expected = if is_progress { vec![] } else { vec![reset] };
        assert_eq!(server.take_seen(), expected, "{increment}");
        assert_eq!(
            server.connection.abuse().count(Reason::Stalled),
            u32::from(!is_progress)
        );
        // The other stream is not touched.
        server.send(3, b"x", true);
        assert_eq!(
            frames(&server.take_wire()).last().map(|frame| frame.kind),
            Some(DATA)
        );
    }
}

#[test]
fn a_connection_that_stands_still_is_ended() {
    for (increment, is_progress) in [(0, false), (1, false), (20, true)] {
        let mut server = server_with_content(1 << 20);
        let outcome = dribble(&mut server, 180, 0, increment);
        assert_eq!(
            outcome,
            if is_progress {
                Ok(())
            } else {
                Err(Offence::Stalled)
            },
            "{increment}"
        );
    }
}

#[test]
fn a_stream_that_waits_for_others_does_not_stand_still() {
    let mut server = server_with_content(1 << 20);
    server.send(3, &[0; 1000], true);
    // All of the connection's window goes to the first stream, for minutes.
    dribble(&mut server, 120, 0, 1000).expect("sound");
    assert_eq!(server.take_seen(), []);
}

#[test]
fn a_server_ends_in_two_steps() {
    let mut pair = Pair::new();
    let first = pair.client.open(&get("/"), true);
    pair.run();
    let now = pair.server.now;
    pair.server.connection.shutdown(now);
    pair.server.connection.shutdown(now);
    let warning = pair.server.take_wire();
    let said = frames(&warning);
    assert_eq!(said.len(), 2);
    assert_eq!(
        (said[0].kind, said[0].number(), said[0].code()),
        (GOAWAY, 0x7fff_ffff, ErrorCode::NO_ERROR)
    );
    assert_eq!(said[1].kind, PING);
    // A request that was on its way is served.
    let second = pair.client.open(&get("/"), true);
    pair.client.feed(&warning).expect("sound");
    assert_eq!(
        pair.client
            .connection
            .open(pair.client.now, &get("/"), [].into_iter(), true),
        Err(OpenError::Draining)
    );
    pair.run();
    let last = |seen: &[Seen]| {
        seen.iter()
            .filter_map(|one| match one {
                Seen::GoAway(last, _) => Some(*last),
                _ => None,
            })
            .next_back()
    };
    assert_eq!(last(&pair.client.take_seen()), Some(second));
    for id in [first, second] {
        assert!(!pair.server.connection.is_drained());
        pair.server.respond(id, 200, true);
        pair.server.release(id);
        pair.run();
        pair.client.release(id);
    }
    assert!(pair.server.connection.is_drained() && pair.client.connection.is_drained());
    assert_eq!(pair.client.take_seen().len(), 2, "both were answered");
}

#[test]
fn the_second_step_does_not_wait_for_ever() {
    let mut server = server();
    server.feed(&head(1, GET, END_STREAM)).expect("sound");
    server.connection.shutdown(server.now);
    server.take_wire();
    due_after(&mut server, Duration::from_secs(1)).expect("the second GOAWAY");
    let said = frames(&server.take_wire());
    assert_eq!((said[0].kind, said[0].number(), said.len()), (GOAWAY, 1, 1));
    // Streams above it are ignored, and not even refused.
    server
        .feed(
            &[
                head(3, POST, 0),
                frame(DATA, 0, 3, b"x"),
                reset(3, ErrorCode::CANCEL),
            ]
            .concat(),
        )
        .expect("ignored");
    assert!(server.take_wire().is_empty());
    assert_eq!(server.take_seen().len(), 1);
    // What is left is cut off.
    let drain = Time::ZERO + Limits::default().drain_timeout;
    let mut due = server.connection.poll_timeout();
    while due.is_some_and(|due| due < drain) {
        server.now = due.expect("checked");
        server
            .connection
            .handle_timeout(server.now)
            .expect("a PING");
        server.feed(&window_update(0, 1)).expect("it is there");
        due = server.connection.poll_timeout();
    }
    server.take_wire();
    server.now = drain;
    server.connection.handle_timeout(drain).expect("in order");
    server.feed(b"").expect("in order");
    assert_eq!(
        server.take_seen(),
        [Seen::Reset(1, ErrorCode::CANCEL, false)]
    );
    assert!(!server.connection.is_drained());
    server.release(1);
    assert!(server.connection.is_drained());
}

#[test]
fn requests_above_the_last_stream_may_be_sent_again() {
    let mut client = Side::client(&Limits::default());
    client
        .feed(&[settings(&[]), frame(SETTINGS, ACK, 0, &[])].concat())
        .expect("sound");
    for _ in 0..3 {
        client.open(&post("/"), false);
    }
    client.send(5, &[0; 100_000], false);
    client.take_wire();
    client.take_seen();
    let goaway = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
    client.feed(&goaway(3)).expect("sound");
    let refused = Seen::Reset(5, ErrorCode::REFUSED_STREAM, true);
    assert_eq!(
        client.take_seen(),
        [Seen::GoAway(3, ErrorCode::NO_ERROR), refused]
    );
    // It never rises.
    client.feed(&goaway(1)).expect("sound");
    client.feed(&goaway(5)).expect("sound");
    let refused = Seen::Reset(3, ErrorCode::REFUSED_STREAM, true);
    let again = Seen::GoAway(1, ErrorCode::NO_ERROR);
    assert_eq!(client.take_seen(), [again.clone(), refused, again]);
    assert!(!client.connection.is_drained());
    for id in [1, 3, 5] {
        client.release(id);
    }
    assert!(client.connection.is_drained());
}

#[test]
fn a_connection_may_end_at_once() {
    let mut pair = Pair::new();
    pair.client.open(&get("/"), true);
    pair.run();
    pair.server.take_seen();
    pair.server.connection.goaway(ErrorCode::INTERNAL_ERROR);
    pair.server.connection.goaway(ErrorCode::NO_ERROR);
    assert!(pair.server.connection.is_closed());
    pair.run();
    assert_eq!(
        pair.client.take_seen(),
        [Seen::GoAway(1, ErrorCode::INTERNAL_ERROR)]
    );
    pair.server.feed(b"whatever").expect("dropped");
    assert!(pair.server.take_seen().is_empty());
    // Nothing more is sent, and slots are free at once.
    let stream = pair.server.streams[&1];
    let response = pair
        .server
        .connection
        .respond(stream, 200, [].into_iter(), true);
    assert_eq!(response, Err(Misuse::Closed));
    pair.server.release(1);
    assert_eq!(pair.server.connection.stream_count(), 0);
}
