//! Limits of HTTP/2 at their bounds: what is allowed goes on, one more does not. Floods are a matter of their own.

mod h2_kit;

use h2_kit::wire::*;
use h2_kit::{Pair, Seen, Side, get};
use hioload_http::h2::{ErrorCode, Limits, Offence, OpenError, Reason};

fn server(limits: &Limits) -> Side {
    let mut server = Side::server(limits);
    server.feed(&hello()).expect("sound");
    server.take_wire();
    server.take_seen();
    server
}

/// How often the bytes are taken before the connection ends, up to so often, with the output taken or not.
fn taken(limits: &Limits, bytes: &[u8], count_max: u32, reads: bool) -> (u32, Option<Offence>) {
    let mut server = server(limits);
    server.feed(&head(1, POST, 0)).expect("sound");
    for count in 0..count_max {
        if let Err(offence) = server.feed(bytes) {
            return (count, Some(offence));
        }
        if reads {
            server.take_wire();
        }
    }
    (count_max, None)
}

#[test]
fn streams_count_until_they_are_released() {
    let limits = Limits {
        streams_max: 2,
        ..Limits::default()
    };
    let mut server = server(&limits);
    let open = |server: &mut Side, id| {
        server.feed(&head(id, GET, END_STREAM)).expect("sound");
        let wire = frames(&server.take_wire());
        let refused = wire.iter().find(|frame| frame.kind == RST_STREAM);
        assert!(refused.is_none_or(|reset| (reset.stream, reset.code()) == (id, ErrorCode::REFUSED_STREAM)));
        refused.is_none()
    };
    assert!(open(&mut server, 1) && open(&mut server, 3) && !open(&mut server, 5));
    // Whatever the protocol says of them: reset by the peer, ended by both sides.
    server.feed(&reset(1, ErrorCode::CANCEL)).expect("sound");
    server.respond(3, 200, true);
    assert!(!open(&mut server, 7));
    assert_eq!(server.connection.stream_count(), 2);
    server.release(1);
    assert!(open(&mut server, 9) && !open(&mut server, 11));
    server.release(3);
    assert!(open(&mut server, 13));
    assert_eq!(server.connection.abuse().count(Reason::StreamRefused), 3);
}

#[test]
fn tunnels_have_a_limit_of_their_own() {
    for tunnels_max in [1, 2] {
        let limits = Limits {
            tunnels_max,
            ..Limits::default()
        };
        let mut server = server(&limits);
        for id in [1, 3, 5] {
            server.feed(&head(id, TUNNEL, 0)).expect("sound");
        }
        assert_eq!(server.connection.stream_count(), usize::from(tunnels_max));
        let refused = server.connection.abuse().count(Reason::TunnelRefused);
        assert_eq!(refused, 3 - u32::from(tunnels_max));
        server.feed(&head(7, GET, END_STREAM)).expect("sound");
        assert_eq!(
            server.connection.stream_count(),
            usize::from(tunnels_max) + 1
        );
        server.release(1);
        server.feed(&head(9, TUNNEL, 0)).expect("sound");
        assert!(server.streams.contains_key(&9));
    }
}

#[test]
fn a_client_keeps_to_what_both_sides_allow() {
    for (ours, theirs, expected) in [(5, 3, 3), (3, 5, 3), (1, 1, 1)] {
        let client = Limits {
            streams_open_max: ours,
            ..Limits::default()
        };
        let server = Limits {
            streams_max: theirs,
            ..Limits::default()
        };
        let mut pair = Pair::with(&client, &server);
        let ids: Vec<_> = (0..expected)
            .map(|_| pair.client.open(&get("/"), true))
            .collect();
        let one_more =
            pair.client
                .connection
                .open(pair.client.now, &get("/"), [].into_iter(), true);
        assert_eq!(one_more, Err(OpenError::TooMany));
        pair.client.release(ids[0]);
        pair.client.open(&get("/"), true);
    }
}

#[test]
fn continuations_of_a_block() {
    for continuations_max in [0, 1, 8] {
        let limits = Limits {
            continuations_max,
            ..Limits::default()
        };
        for count in 1..=u32::from(continuations_max) + 1 {
            let mut server = server(&limits);
            let mut bytes = frame(HEADERS, END_STREAM, 1, &block(GET));
            for number in 1..=count {
                let (flags, field) = if number == count {
                    (END_HEADERS, "a")
                } else {
                    (0, "b")
                };
                bytes.extend(frame(CONTINUATION, flags, 1, &block(&[(field, "")])));
            }
            let outcome = server.feed(&bytes);
            let is_good = count <= u32::from(continuations_max);
            assert_eq!(
                outcome,
                if is_good {
                    Ok(())
                } else {
                    Err(Offence::ContinuationFlood)
                }
            );
            assert_eq!(server.take_seen().len(), usize::from(is_good));
        }
    }
}

#[test]
fn bytes_of_a_block() {
    let limits = Limits {
        header_list_size_max: 5000,
        ..Limits::default()
    };
    // Four times the list: all of it in frames that were allowed.
    for (last, is_good) in [(3616, true), (3617, false)] {
        let mut server = server(&limits);
        server
            .feed(&frame(HEADERS, 0, 1, &[0x40; 16_384]))
            .expect("it is decoded at its end");
        let outcome = server.feed(&frame(CONTINUATION, 0, 1, &vec![0x40; last]));
        assert_eq!(
            outcome,
            if is_good {
                Ok(())
            } else {
                Err(Offence::ContinuationFlood)
            }
        );
    }
}

#[test]
fn entries_of_settings() {
    let limits = Limits {
        settings_max: 2,
        ..Limits::default()
    };
    for (count, outcome) in [(0, Ok(())), (2, Ok(())), (3, Err(Offence::SettingsFlood))] {
        let mut server = server(&limits);
        assert_eq!(server.feed(&settings(&vec![(0x4242, 1); count])), outcome);
    }
}

#[test]
fn replies_that_nobody_takes() {
    let limits = Limits {
        replies_max: 5,
        ..Limits::default()
    };
    let ping = frame(PING, 0, 0, &[0; 8]);
    // The acknowledgement of SETTINGS was taken.
    assert_eq!(
        taken(&limits, &ping, 100, false),
        (5, Some(Offence::ReplyFlood))
    );
    assert_eq!(taken(&limits, &ping, 100, true), (100, None));
    assert_eq!(
        taken(&limits, &settings(&[]), 50, false),
        (5, Some(Offence::ReplyFlood))
    );
    assert_eq!(
        taken(&limits, &frame(PING, ACK, 0, &[0; 8]), 100, false),
        (100, None)
    );
}

#[test]
fn frames_by_their_rate() {
    let limits = Limits {
        ping_burst: 3,
        settings_burst: 4,
        empty_frames_max: 2,
        tiny_data_burst: 6,
        glitch_burst: 7,
        ..Limits::default()
    };
    for (bytes, expected) in [
        (frame(PING, 0, 0, &[0; 8]), (3, Some(Offence::PingFlood))),
        // One came with the preface.
        (settings(&[]), (3, Some(Offence::SettingsFlood))),
        (frame(DATA, 0, 1, b""), (2, Some(Offence::EmptyDataFlood))),
        (
            frame(DATA, PADDED, 1, b"\x02\0\0"),
            (2, Some(Offence::EmptyDataFlood)),
        ),
        (frame(DATA, 0, 1, b"x"), (6, Some(Offence::TinyDataFlood))),
        (
            frame(DATA, 0, 1, &[0; 255]),
            (6, Some(Offence::TinyDataFlood)),
        ),
        (frame(DATA, 0, 1, &[0; 256]), (100, None)),
        (frame(0x42, 0, 1, b"x"), (7, Some(Offence::GlitchFlood))),
        (
            frame(PING, ACK, 0, &[0; 8]),
            (7, Some(Offence::GlitchFlood)),
        ),
        (
            frame(SETTINGS, ACK, 0, &[]),
            (7, Some(Offence::GlitchFlood)),
        ),
        // 100 for the connection and 100 for each stream; 100 and 2 for each stream.
        (
            frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9]),
            (200, Some(Offence::PriorityFlood)),
        ),
        (
            frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"),
            (200, Some(Offence::PriorityFlood)),
        ),
        (window_update(0, 1), (102, Some(Offence::WindowUpdateFlood))),
        (window_update(1, 1), (102, Some(Offence::WindowUpdateFlood))),
    ] {
        let count_max = if expected.1.is_none() { 100 } else { 1000 };
        assert_eq!(
            taken(&limits, &bytes, count_max, true),
            expected,
            "{:?}",
            &bytes[..9]
        );
    }
}

#[test]
fn frames_that_come_too_late() {
    let limits = Limits {
        glitch_burst: 7,
        ..Limits::default()
    };
    let trailers = head(1, &[("a", "b")], END_STREAM);
    for (bytes, is_released) in [
        (frame(DATA, 0, 1, b""), false),
        (frame(DATA, 0, 1, b"x"), true),
        (trailers.clone(), false),
        (trailers, true),
    ] {
        let mut server = server(&limits);
        server.feed(&head(1, POST, 0)).expect("sound");
        let stream = server.streams[&1];
        server.connection.reset(stream, ErrorCode::CANCEL);
        if is_released {
            server.release(1);
        }
        let count = (0..100).take_while(|_| server.feed(&bytes).is_ok()).count();
        assert_eq!(count, 7);
        assert_eq!(server.feed(b""), Err(Offence::GlitchFlood));
    }
    // One GOAWAY says all, and one more may correct it.
    let goaway = frame(GOAWAY, 0, 0, &[0; 8]);
    assert_eq!(
        taken(&limits, &goaway, 100, true),
        (8, Some(Offence::GlitchFlood))
    );
    // Streams after the last one.
    let mut server = server(&limits);
    let now = server.now;
    server.connection.shutdown(now);
    let ping = frames(&server.take_wire()).pop().expect("a PING");
    server
        .feed(&frame(PING, ACK, 0, &ping.payload))
        .expect("sound");
    let count = (0..100)
        .take_while(|turn| server.feed(&head(2 * turn + 1, GET, END_STREAM)).is_ok())
        .count();
    assert_eq!(count, 7);
}

#[test]
fn small_messages_of_a_tunnel_are_its_own_matter() {
    let limits = Limits {
        tiny_data_burst: 1,
        tiny_data_per_s: 0,
        ..Limits::default()
    };
    let mut server = server(&limits);
    server.feed(&head(1, TUNNEL, 0)).expect("sound");
    for _ in 0..1000 {
        server.feed(&frame(DATA, 0, 1, b"ws")).expect("sound");
    }
    assert_eq!(server.connection.abuse().count(Reason::TinyData), 0);
}

/// Opens and resets streams, each of which is released at once; so many of a hundred are reset.
fn rapid_reset(limits: &Limits, percent: u32, count_max: u32) -> (u32, Option<Offence>) {
    let mut server = server(limits);
    for count in 0..count_max {
        let id = 2 * count + 1;
        let mut bytes = head(id, GET, END_STREAM);
        let is_reset = (count + 1) * percent / 100 > count * percent / 100;
        if is_reset {
            bytes.extend(reset(id, ErrorCode::CANCEL));
        }
        if let Err(offence) = server.feed(&bytes) {
            return (count, Some(offence));
        }
        if !is_reset {
            server.respond(id, 200, true);
        }
        server.release(id);
        server.take_wire();
    }
    (count_max, None)
}

#[test]
fn streams_that_are_reset() {
    let burst = Limits {
        reset_burst: 10,
        reset_half_streams: u32::MAX,
        ..Limits::default()
    };
    assert_eq!(
        rapid_reset(&burst, 100, 1000),
        (10, Some(Offence::ResetFlood))
    );
    assert_eq!(rapid_reset(&burst, 0, 1000), (1000, None));
    let half = Limits {
        reset_burst: u32::MAX,
        reset_half_streams: 20,
        ..Limits::default()
    };
    assert_eq!(
        rapid_reset(&half, 100, 1000),
        (19, Some(Offence::ResetFlood))
    );
    assert_eq!(rapid_reset(&half, 50, 1000), (1000, None));
    let (count, offence) = rapid_reset(&half, 60, 1000);
    assert_eq!(offence, Some(Offence::ResetFlood));
    assert!(count >= 19, "{count}");
}

/// MadeYouReset: each stream is one that we reset ourselves.
#[test]
fn streams_that_we_have_to_reset() {
    let limits = Limits {
        error_resets_max: 10,
        streams_max: 5,
        ..Limits::default()
    };
    let mut server = server(&limits);
    for count in 0..20 {
        let id = 2 * count + 1;
        let bytes = [head(id, POST, 0), window_update(id, 0)].concat();
        let outcome = server.feed(&bytes);
        // The handler is at work: its slot is taken, and those above the limit are refused, not reset.
        let streams = server.connection.stream_count();
        assert!(streams <= 5, "{streams}");
        if count >= 5 {
            assert_eq!(outcome, Ok(()));
            assert_eq!(
                server.connection.abuse().count(Reason::StreamRefused),
                count - 4
            );
        }
    }
    assert_eq!(server.connection.abuse().count(Reason::ResetByUs), 5);
    for count in 0..6 {
        let id = 2 * count + 101;
        let seen = server.take_seen();
        for one in seen {
            if let Seen::Reset(id, code, by_peer) = one {
                assert_eq!((code, by_peer), (ErrorCode::PROTOCOL_ERROR, false));
                server.release(id);
            }
        }
        let outcome = server.feed(&[head(id, POST, 0), window_update(id, 0)].concat());
        assert_eq!(
            outcome,
            if count < 5 {
                Ok(())
            } else {
                Err(Offence::ErrorFlood)
            },
            "{count}"
        );
    }
}

#[test]
fn a_window_has_a_largest_size() {
    let mut server = server(&Limits::default());
    server.feed(&head(1, GET, END_STREAM)).expect("sound");
    let room = 0x7fff_ffff - 65_535;
    server
        .feed(&[window_update(0, room), window_update(1, room)].concat())
        .expect("just as large");
    server
        .feed(&window_update(1, 1))
        .expect("of the stream alone");
    assert!(
        server
            .take_seen()
            .contains(&Seen::Reset(1, ErrorCode::FLOW_CONTROL_ERROR, false))
    );
    assert_eq!(
        server.feed(&window_update(0, 1)),
        Err(Offence::ConnectionWindowOverflow)
    );
}

#[test]
fn settings_may_not_make_a_window_too_large() {
    let mut server = server(&Limits::default());
    server
        .feed(
            &[
                head(1, GET, END_STREAM),
                window_update(1, 0x7fff_ffff - 65_535),
            ]
            .concat(),
        )
        .expect("just as large");
    server.feed(&settings(&[(4, 65_535)])).expect("the same");
    assert_eq!(
        server.feed(&settings(&[(4, 65_536)])),
        Err(Offence::SettingWindow)
    );
}

#[test]
fn more_than_a_window() {
    let limits = Limits {
        stream_window: 20_000,
        ..Limits::default()
    };
    for (size, is_good) in [(3616, true), (3617, false)] {
        let mut server = server(&limits);
        server.consumes = false;
        server.feed(&head(1, POST, 0)).expect("sound");
        server
            .feed(&frame(DATA, 0, 1, &[0; 16_384]))
            .expect("sound");
        server
            .feed(&frame(DATA, 0, 1, &vec![0; size]))
            .expect("of the stream alone");
        let reset = Seen::Reset(1, ErrorCode::FLOW_CONTROL_ERROR, false);
        assert_eq!(server.take_seen().contains(&reset), !is_good);
    }
}

/// RFC 9113 6.9.2: our settings are in force once they are acknowledged, and not before.
#[test]
fn windows_before_and_after_our_settings() {
    for (is_acked, size, is_good) in [(false, 1001, true), (true, 1000, true), (true, 1001, false)]
    {
        let limits = Limits {
            stream_window: 1000,
            ..Limits::default()
        };
        let mut server = Side::server(&limits);
        server
            .feed(&[PREFACE, &settings(&[]), &head(1, POST, 0)].concat())
            .expect("sound");
        if is_acked {
            server.feed(&frame(SETTINGS, ACK, 0, &[])).expect("sound");
        }
        server
            .feed(&frame(DATA, 0, 1, &vec![0; size]))
            .expect("of the stream alone");
        let is_reset = server
            .take_seen()
            .iter()
            .any(|seen| matches!(seen, Seen::Reset(..)));
        assert_eq!(!is_reset, is_good, "{is_acked} {size}");
    }
}
