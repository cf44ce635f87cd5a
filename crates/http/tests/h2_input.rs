//! However the input is cut, the same comes of it.

mod h2_kit;

use fluke_hpack::Encoder;
use h2_kit::wire::*;
use h2_kit::{Seen, Side};
use hioload_http::h2::{ErrorCode, Limits, Offence};
use proptest::prelude::*;

/// Frames of all kinds, as a client sends them.
fn conversation() -> Vec<u8> {
    let mut encoder = Encoder::new();
    let large = "x".repeat(9000);
    let mut put = |fields: &[(&str, &str)]| block_by(&mut encoder, fields);
    let get = put(GET);
    let post = put(&[
        POST,
        &[
            ("content-length", "10"),
            ("cookie", "a=b"),
            ("cookie", "c=d"),
        ],
    ]
    .concat());
    let long = put(&[GET, &[("x-long", &large), ("te", "trailers")]].concat());
    let trailers = put(&[("sum", "0")]);
    let tunnel = put(TUNNEL);
    let (first, rest) = long.split_at(5000);
    let (second, third) = rest.split_at(1);
    [
        PREFACE.to_vec(),
        settings(&[(3, 100), (4, 70_000), (0x4242, 1)]),
        frame(SETTINGS, ACK, 0, &[]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &get),
        window_update(0, 1000),
        window_update(1, 1000),
        frame(
            HEADERS,
            END_HEADERS | PADDED | WITH_PRIORITY,
            3,
            &[&[2, 0, 0, 0, 1, 9][..], &post, &[0, 0]].concat(),
        ),
        frame(DATA, 0, 3, b"hel"),
        frame(PING, 0, 0, b"01234567"),
        frame(DATA, PADDED, 3, b"\x03lo\0\0\0"),
        frame(0x42, 0xff, 3, b"nobody knows me"),
        frame(DATA, PADDED, 3, b"\x00"),
        frame(DATA, END_STREAM | PADDED, 3, b"\x05there\0\0\0\0\0"),
        frame(HEADERS, 0, 5, first),
        frame(CONTINUATION, 0, 5, second),
        frame(CONTINUATION, END_HEADERS, 5, third),
        frame(PRIORITY, 0, 9, &[0, 0, 0, 3, 7]),
        frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x05u=1"),
        frame(DATA, 0, 5, &[7; 3000]),
        frame(HEADERS, END_HEADERS | END_STREAM, 5, &trailers),
        frame(HEADERS, END_HEADERS, 7, &tunnel),
        frame(DATA, 0, 7, b"ws"),
        reset(7, ErrorCode::CANCEL),
        frame(DATA, 0, 7, b"late"),
        frame(GOAWAY, 0, 0, &[&[0; 8][..], b"bye"].concat()),
    ]
    .concat()
}

/// Everything that came of it: what was seen, and what was said.
fn converse(
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
) -> (Vec<Seen>, Vec<u8>, Option<Offence>) {
    let mut server = Side::server(&Limits::default());
    let (mut offence, mut start) = (None, 0);
    for cut in cuts.into_iter().chain([bytes.len()]) {
        let cut = cut.min(bytes.len()).max(start);
        offence = offence.or(server.feed(&bytes[start..cut]).err());
        start = cut;
    }
    let wire = server.take_wire();
    (server.seen, wire, offence)
}

#[test]
fn every_cut_in_two_and_byte_by_byte() {
    let bytes = conversation();
    let whole = converse(&bytes, []);
    assert_eq!(whole.2, None);
    assert_eq!(whole.0.len(), 11, "{:?}", whole.0);
    for cut in 0..bytes.len() {
        assert!(converse(&bytes, [cut]) == whole, "cut at {cut}");
    }
    assert!(converse(&bytes, 0..bytes.len()) == whole, "byte by byte");
}

#[test]
fn an_end_anywhere_is_no_error() {
    let bytes = conversation();
    for end in 0..bytes.len() {
        assert_eq!(converse(&bytes[..end], []).2, None, "{end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 1024 }))]

    #[test]
    fn any_cuts(mut cuts in proptest::collection::vec(0usize..16_000, 0..40)) {
        let bytes = conversation();
        cuts.sort_unstable();
        prop_assert_eq!(converse(&bytes, cuts), converse(&bytes, []));
    }

    /// Bytes that are changed anywhere: whatever comes of them, it does not hang on the cuts, and does not panic.
    #[test]
    fn any_change_and_any_cuts(
        changes in proptest::collection::vec((0usize..16_000, any::<u8>()), 1..4),
        mut cuts in proptest::collection::vec(0usize..16_000, 0..20),
    ) {
        let mut bytes = conversation();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        cuts.sort_unstable();
        let (seen, wire, offence) = converse(&bytes, cuts);
        let whole = converse(&bytes, []);
        prop_assert_eq!((seen, offence), (whole.0, whole.2));
        prop_assert_eq!(frames(&wire).len(), frames(&whole.1).len());
    }
}

#[test]
fn a_connection_begins_with_its_preface_and_settings() {
    for (bytes, offence) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Offence::Preface),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", Offence::Preface),
        (b"PRI * HTTP/1", Offence::Preface),
        (
            &[PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(),
            Offence::SettingsFirst,
        ),
        (
            &[PREFACE, &frame(SETTINGS, ACK, 0, &[])].concat(),
            Offence::SettingsFirst,
        ),
        (
            &[PREFACE, &frame(0x42, 0, 0, &[])].concat(),
            Offence::SettingsFirst,
        ),
    ] {
        assert_eq!(
            converse(bytes, []).2,
            Some(offence),
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(converse(bytes, 0..bytes.len()).2, Some(offence));
    }
    // A client expects SETTINGS, too.
    let mut client = Side::client(&Limits::default());
    assert_eq!(
        client.feed(&frame(PING, 0, 0, &[0; 8])),
        Err(Offence::SettingsFirst)
    );
}

#[test]
fn the_first_offence_is_the_last() {
    let mut server = Side::server(&Limits::default());
    server.feed(&hello()).expect("sound");
    server.take_wire();
    let broken = frame(PING, 0, 1, &[0; 8]);
    assert_eq!(server.feed(&broken), Err(Offence::ConnectionExpected));
    assert!(server.connection.is_closed());
    let said = frames(&server.take_wire());
    assert_eq!(
        (said.len(), said[0].kind, said[0].code()),
        (1, GOAWAY, ErrorCode::PROTOCOL_ERROR)
    );
    assert_eq!(
        server.feed(&head(1, GET, END_STREAM)),
        Err(Offence::ConnectionExpected)
    );
    assert!(server.take_wire().is_empty());
    assert_eq!(server.connection.poll_timeout(), None);
}
