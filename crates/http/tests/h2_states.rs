//! RFC 9113 5.1 as a table: each kind of frame in each state of a stream, and what has to come of it.

mod h2_kit;

use h2_kit::wire::*;
use h2_kit::{Seen, Side, get};
use hioload_http::h2::{ErrorCode, Limits};

const ID: u32 = 5;

/// How a stream got to where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Open,
    HalfClosedLocal,
    HalfClosedRemote,
    /// Both sides ended; the owner has released it, or not yet.
    Ended {
        is_released: bool,
    },
    ResetByPeer {
        is_released: bool,
    },
    ResetByUs {
        is_released: bool,
    },
    /// Another stream with a higher number was opened: it never can be.
    PassedOver,
}

const STATES: [State; 11] = [
    State::Idle,
    State::Open,
    State::HalfClosedLocal,
    State::HalfClosedRemote,
    State::Ended { is_released: false },
    State::Ended { is_released: true },
    State::ResetByPeer { is_released: false },
    State::ResetByPeer { is_released: true },
    State::ResetByUs { is_released: false },
    State::ResetByUs { is_released: true },
    State::PassedOver,
];

/// What comes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The owner sees it.
    Seen,
    /// Nothing is seen and nothing is said.
    Silent,
    Stream(ErrorCode),
    Connection(ErrorCode),
}

use Outcome::{Connection, Silent, Stream};

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
const CLOSED: ErrorCode = ErrorCode::STREAM_CLOSED;

fn server_in(state: State) -> Side {
    let mut server = Side::server(&Limits::default());
    server.feed(&hello()).expect("sound");
    // The stream before the one that is looked at.
    server.feed(&head(3, POST, 0)).expect("sound");
    let open = head(ID, POST, 0);
    let open_and_end = head(ID, POST, END_STREAM);
    let release = |server: &mut Side, is_released| {
        if is_released {
            server.release(ID);
        }
    };
    match state {
        State::Idle => {}
        State::PassedOver => server.feed(&head(ID + 2, POST, 0)).expect("sound"),
        State::Open => server.feed(&open).expect("sound"),
        State::HalfClosedLocal => {
            server.feed(&open).expect("sound");
            server.respond(ID, 200, true);
        }
        State::HalfClosedRemote => server.feed(&open_and_end).expect("sound"),
        State::Ended { is_released } => {
            server.feed(&open_and_end).expect("sound");
            server.respond(ID, 200, true);
            release(&mut server, is_released);
        }
        State::ResetByPeer { is_released } => {
            server.feed(&open).expect("sound");
            server.feed(&reset(ID, ErrorCode::CANCEL)).expect("sound");
            release(&mut server, is_released);
        }
        State::ResetByUs { is_released } => {
            server.feed(&open).expect("sound");
            let stream = server.streams[&ID];
            server.connection.reset(stream, ErrorCode::CANCEL);
            release(&mut server, is_released);
        }
    }
    server.take_wire();
    server.take_seen();
    server
}

/// What the frame comes to, and its effect on a stream beside it: none.
fn outcome(state: State, frame: &[u8]) -> Outcome {
    let mut server = server_in(state);
    let result = server.feed(frame);
    let wire = frames(&server.take_wire());
    if let Err(offence) = result {
        let goaway = wire.last().expect("GOAWAY");
        assert_eq!((goaway.kind, goaway.code()), (GOAWAY, offence.code()));
        return Connection(offence.code());
    }
    let seen = server.take_seen();
    let wire: Vec<_> = wire
        .into_iter()
        .filter(|one| one.kind != WINDOW_UPDATE)
        .collect();
    // The stream beside it goes on.
    server
        .feed(&self::frame(DATA, END_STREAM, 3, b"x"))
        .expect("sound");
    assert_eq!(server.take_seen(), [Seen::Data(3, b"x".to_vec(), true)]);
    match (&wire[..], &seen[..]) {
        ([], []) => Silent,
        ([], [Seen::Reset(ID, _, true) | Seen::Head(ID, ..) | Seen::Data(ID, ..)]) => Outcome::Seen,
        ([reset], seen) if (reset.kind, reset.stream) == (RST_STREAM, ID) => {
            // The owner is told, if there is one.
            let is_there = matches!(
                state,
                State::Open | State::HalfClosedLocal | State::HalfClosedRemote
            );
            match seen {
                [] => assert!(!is_there),
                [Seen::Reset(ID, code, false)] => assert!(is_there && *code == reset.code()),
                _ => panic!("{seen:?}"),
            }
            Stream(reset.code())
        }
        other => panic!("{state:?}: {other:?}"),
    }
}

#[test]
fn every_frame_in_every_state() {
    let trailers: &[(&str, &str)] = &[("a", "b")];
    // In the order of STATES:
    // idle, open, half-closed local, half-closed remote,
    // ended, ended and released, reset by peer, that and released, reset by us, that and released, passed over
    let rows: [(&str, Vec<u8>, [Outcome; 11]); 9] = [
        (
            // RFC 9113 6.1: a stream error where the stream is not open; in idle 5.1 says connection error.
            "DATA",
            frame(DATA, 0, ID, b"data"),
            [
                Connection(PROTOCOL),
                Outcome::Seen,
                Outcome::Seen,
                Stream(CLOSED),
                Stream(CLOSED),
                Stream(CLOSED),
                Stream(CLOSED),
                Stream(CLOSED),
                Silent,
                Silent,
                Stream(CLOSED),
            ],
        ),
        (
            "HEADERS that open a stream, or are trailers",
            head(ID, trailers, END_STREAM),
            [
                Stream(PROTOCOL), // not the head of a request
                Outcome::Seen,
                Outcome::Seen,
                Stream(CLOSED),
                Connection(CLOSED),
                Connection(CLOSED),
                Connection(CLOSED),
                Connection(CLOSED),
                Silent,
                Silent,
                Connection(PROTOCOL), // RFC 9113 5.1.1
            ],
        ),
        (
            "HEADERS without an end",
            head(ID, POST, 0),
            [
                Outcome::Seen,
                Stream(PROTOCOL), // RFC 9113 8.1
                Stream(PROTOCOL),
                Stream(CLOSED),
                Connection(CLOSED),
                Connection(CLOSED),
                Connection(CLOSED),
                Connection(CLOSED),
                Silent,
                Silent,
                Connection(PROTOCOL),
            ],
        ),
        // RFC 9113 5.3.2, 6.3: in any state.
        (
            "PRIORITY",
            frame(PRIORITY, 0, ID, &[0, 0, 0, 3, 9]),
            [Silent; 11],
        ),
        (
            "RST_STREAM",
            reset(ID, ErrorCode::CANCEL),
            [
                Connection(PROTOCOL), // RFC 9113 6.4
                Outcome::Seen,
                Outcome::Seen,
                Outcome::Seen,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
            ],
        ),
        // RFC 9113 8.4: no client may.
        (
            "PUSH_PROMISE",
            frame(PUSH_PROMISE, END_HEADERS, ID, &[0, 0, 0, 2]),
            [Connection(PROTOCOL); 11],
        ),
        (
            "WINDOW_UPDATE",
            window_update(ID, 1),
            [
                Connection(PROTOCOL), // RFC 9113 5.1
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
            ],
        ),
        (
            "WINDOW_UPDATE by nothing",
            window_update(ID, 0),
            [
                Connection(PROTOCOL),
                Stream(PROTOCOL), // RFC 9113 6.9
                Stream(PROTOCOL),
                Stream(PROTOCOL),
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
                Silent,
            ],
        ),
        // RFC 9113 6.10: without the beginning of a block.
        (
            "CONTINUATION",
            frame(CONTINUATION, END_HEADERS, ID, &[]),
            [Connection(PROTOCOL); 11],
        ),
    ];
    for (name, frame, outcomes) in rows {
        for (state, expected) in STATES.into_iter().zip(outcomes) {
            assert_eq!(outcome(state, &frame), expected, "{name} in {state:?}");
        }
    }
}

#[test]
fn frames_of_the_connection_and_of_streams_are_told_apart() {
    let calm = Limits::default();
    for (frame, offence) in [
        (frame(DATA, 0, 0, b"x"), "frame without a stream"),
        (head(0, GET, 0), "frame without a stream"),
        (frame(PRIORITY, 0, 0, &[0; 5]), "frame without a stream"),
        (reset(0, ErrorCode::CANCEL), "frame without a stream"),
        (
            frame(SETTINGS, 0, 1, &[]),
            "frame of the connection for a stream",
        ),
        (
            frame(PING, 0, 1, &[0; 8]),
            "frame of the connection for a stream",
        ),
        (
            frame(GOAWAY, 0, 1, &[0; 8]),
            "frame of the connection for a stream",
        ),
        (
            frame(PRIORITY_UPDATE, 0, 1, &[0; 8]),
            "frame of the connection for a stream",
        ),
        // RFC 9113 5.1.1: streams of a client have odd numbers.
        (head(2, GET, 0), "stream id out of order"),
        (
            frame(CONTINUATION, END_HEADERS, 0, &[]),
            "header block interrupted",
        ),
    ] {
        let mut server = Side::server(&calm);
        server.feed(&hello()).expect("sound");
        let error = server.feed(&frame).expect_err(offence);
        assert_eq!((error.reason(), error.code()), (offence, PROTOCOL));
    }
}

#[test]
fn sizes_of_frames() {
    const SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;
    for (bytes, outcome) in [
        (frame(SETTINGS, 0, 0, &[0; 5]), Connection(SIZE)),
        (frame(SETTINGS, 0, 0, &[0; 7]), Connection(SIZE)),
        (frame(SETTINGS, ACK, 0, &[0; 6]), Connection(SIZE)),
        (frame(PING, 0, 0, &[0; 7]), Connection(SIZE)),
        (frame(PING, 0, 0, &[0; 9]), Connection(SIZE)),
        (frame(PING, ACK, 0, &[0; 9]), Connection(SIZE)),
        (frame(GOAWAY, 0, 0, &[0; 7]), Connection(SIZE)),
        (frame(RST_STREAM, 0, ID, &[0; 3]), Connection(SIZE)),
        (frame(RST_STREAM, 0, ID, &[0; 5]), Connection(SIZE)),
        (frame(WINDOW_UPDATE, 0, 0, &[0; 3]), Connection(SIZE)),
        (frame(WINDOW_UPDATE, 0, ID, &[0; 5]), Connection(SIZE)),
        (frame(PRIORITY_UPDATE, 0, 0, &[0; 3]), Connection(SIZE)),
        // RFC 9113 6.3: of the stream alone.
        (frame(PRIORITY, 0, ID, &[0; 4]), Stream(SIZE)),
        (frame(PRIORITY, 0, ID, &[0; 6]), Stream(SIZE)),
        (frame(DATA, 0, ID, &[0; 16_384]), Outcome::Seen),
        (frame(DATA, 0, ID, &[0; 16_385]), Connection(SIZE)),
        (frame(0x42, 0, ID, &[0; 16_385]), Connection(SIZE)),
        (frame(DATA, PADDED, ID, &[]), Connection(SIZE)),
        (frame(DATA, PADDED, ID, &[1]), Connection(PROTOCOL)),
        (frame(DATA, PADDED, ID, &[4, 0, 0, 0]), Connection(PROTOCOL)),
        (
            frame(HEADERS, PADDED | END_HEADERS, ID, &[]),
            Connection(SIZE),
        ),
        (
            frame(HEADERS, PADDED | END_HEADERS, ID, &[1]),
            Connection(PROTOCOL),
        ),
        (
            frame(HEADERS, WITH_PRIORITY | END_HEADERS, ID, &[0; 4]),
            Connection(SIZE),
        ),
    ] {
        assert_eq!(
            self::outcome(State::Open, &bytes),
            outcome,
            "{:?}",
            &bytes[..9]
        );
    }
}

#[test]
fn a_stream_does_not_depend_on_itself() {
    let itself = [&[0, 0, 0, 5, 9][..], &block(POST)].concat();
    let frame_in_idle = frame(HEADERS, END_HEADERS | WITH_PRIORITY, ID, &itself);
    assert_eq!(outcome(State::Idle, &frame_in_idle), Stream(PROTOCOL));
    let priority = frame(PRIORITY, 0, ID, &[0, 0, 0, 5, 9]);
    assert_eq!(outcome(State::Open, &priority), Stream(PROTOCOL));
    // A stream that nobody opened cannot be reset.
    assert_eq!(outcome(State::Idle, &priority), Connection(PROTOCOL));
}

#[test]
fn nothing_comes_within_a_header_block() {
    let begun = frame(HEADERS, 0, ID, &block(POST)[..10]);
    for (next, is_good) in [
        (
            frame(CONTINUATION, END_HEADERS, ID, &block(POST)[10..]),
            true,
        ),
        (
            frame(CONTINUATION, END_HEADERS, ID + 2, &block(POST)[10..]),
            false,
        ),
        (frame(HEADERS, END_HEADERS, ID, &block(POST)[10..]), false),
        (frame(DATA, 0, 3, b"x"), false),
        (frame(PING, 0, 0, &[0; 8]), false),
        (frame(SETTINGS, 0, 0, &[]), false),
        (frame(0x42, 0, 0, &[]), false),
        (reset(ID, ErrorCode::CANCEL), false),
    ] {
        let expected = if is_good {
            Outcome::Seen
        } else {
            Connection(PROTOCOL)
        };
        assert_eq!(
            outcome(State::Idle, &[&begun[..], &next].concat()),
            expected
        );
    }
}

#[test]
fn a_block_that_cannot_be_decoded_ends_the_connection() {
    const COMPRESSION: ErrorCode = ErrorCode::COMPRESSION_ERROR;
    let broken = |id| frame(HEADERS, END_HEADERS | END_STREAM, id, &[0xbf]);
    for state in [
        State::Idle,
        State::Open,
        State::ResetByUs { is_released: true },
    ] {
        assert_eq!(
            outcome(state, &broken(ID)),
            Connection(COMPRESSION),
            "{state:?}"
        );
    }
}

/// The same for what a server sends.
#[test]
fn the_client_checks_its_server() {
    const OK: &[(&str, &str)] = &[(":status", "200")];
    for (bytes, expected) in [
        (head(1, OK, END_STREAM), Outcome::Seen),
        (head(1, &[(":status", "103")], 0), Outcome::Seen),
        // RFC 9113 8.1: an interim response is no end; 8.6: nothing is switched to.
        (head(1, &[(":status", "103")], END_STREAM), Stream(PROTOCOL)),
        (head(1, &[(":status", "101")], 0), Stream(PROTOCOL)),
        (frame(DATA, 0, 1, b"x"), Stream(PROTOCOL)),
        (head(3, OK, 0), Connection(PROTOCOL)),
        (head(2, OK, 0), Connection(PROTOCOL)),
        (frame(DATA, 0, 2, b"x"), Connection(PROTOCOL)),
        (reset(3, ErrorCode::CANCEL), Connection(PROTOCOL)),
        (window_update(3, 1), Connection(PROTOCOL)),
        (
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x88]),
            Connection(PROTOCOL),
        ),
        (
            frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"),
            Connection(PROTOCOL),
        ),
        // RFC 9113 8.4: a server does not allow push.
        (settings(&[(2, 1)]), Connection(PROTOCOL)),
    ] {
        let mut client = Side::client(&Limits::default());
        client
            .feed(&[settings(&[]), frame(SETTINGS, ACK, 0, &[])].concat())
            .expect("sound");
        client.open(&get("/"), false);
        client.take_wire();
        client.take_seen();
        let result = client.feed(&bytes);
        let wire = frames(&client.take_wire());
        let seen = client.take_seen();
        let outcome = match (result, &wire[..], &seen[..]) {
            (Err(offence), [.., goaway], []) if goaway.kind == GOAWAY => Connection(offence.code()),
            (Ok(()), [], [Seen::Head(1, ..)]) => Outcome::Seen,
            (Ok(()), [reset], [Seen::Reset(1, code, false)]) if *code == reset.code() => {
                Stream(*code)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome, expected, "{bytes:?}");
    }
}
