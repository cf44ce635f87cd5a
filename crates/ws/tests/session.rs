//! The session against traces: what a peer sends, and what must come out of it. Each trace is fed
//! whole, cut at every place and byte by byte. The numbers are those of the Autobahn test suite's
//! groups.

mod common;

use common::{Outcome, Told, run, run_every_split, simple, trace};
use hioload_ws::{
    CloseCode, Event, Kind, Limits, Misuse, Offence, OffenceKind, Opcode, Outgoing, Role, Session,
};

fn text(payload: &str) -> Told {
    Told::Message {
        kind: Kind::Text,
        payload: payload.into(),
        compressed: false,
    }
}

fn binary(payload: &[u8]) -> Told {
    Told::Message {
        kind: Kind::Binary,
        payload: payload.into(),
        compressed: false,
    }
}

fn ping(payload: &str) -> Told {
    Told::Ping(payload.into())
}

fn pong(payload: &str) -> Told {
    Told::Pong(payload.into())
}

fn close(code: u16, reason: &str) -> Told {
    Told::Close(Some((code, reason.into())))
}

/// Runs a trace in both roles; what is legal and what is not does not differ.
#[track_caller]
fn check(name: &str, frames: &str, told: &[Told], offence: Option<OffenceKind>) {
    let expected = Outcome {
        told: told.to_vec(),
        offence,
    };
    for role in [Role::Server, Role::Client] {
        let bytes = trace(role, frames);
        let outcome = run_every_split(role, false, &Limits::default(), &bytes);
        assert_eq!(outcome, expected, "{name}, {role:?}");
    }
}

#[track_caller]
fn accepts(name: &str, frames: &str, told: &[Told]) {
    check(name, frames, told, None);
}

#[track_caller]
fn refuses(name: &str, frames: &str, told: &[Told], offence: OffenceKind) {
    check(name, frames, told, Some(offence));
}

#[test]
fn group_1_framing() {
    accepts("1.1.1", "81 00", &[text("")]);
    accepts("1.1.2", "81 7d : 2a*125", &[text(&"*".repeat(125))]);
    accepts("1.1.3", "81 7e 00 7e : 2a*126", &[text(&"*".repeat(126))]);
    accepts("1.1.5", "81 7e 00 80 : 2a*128", &[text(&"*".repeat(128))]);
    accepts("1.2.1", "82 00", &[binary(b"")]);
    accepts("1.2.2", "82 7d : fe*125", &[binary(&[0xFE; 125])]);
    accepts("1.2.3", "82 7e 00 7e : fe*126", &[binary(&[0xFE; 126])]);
    accepts(
        "two at once",
        "81 02 : 'ab' | 82 01 : ff",
        &[text("ab"), binary(&[0xFF])],
    );
}

#[test]
fn group_1_long_frames() {
    for (header, len) in [
        ("82 7e ff ff", 65535),
        ("82 7f 00 00 00 00 00 01 00 00", 65536),
    ] {
        for role in [Role::Server, Role::Client] {
            let bytes = trace(role, &format!("{header} : fe*{len}"));
            for cut in [
                0,
                1,
                2,
                3,
                5,
                9,
                10,
                13,
                14,
                15,
                1000,
                bytes.len() - 1,
                bytes.len(),
            ] {
                let (left, right) = bytes.split_at(cut);
                let outcome = run(role, false, &Limits::default(), &[left, right]);
                assert_eq!(
                    outcome.told,
                    [binary(&vec![0xFE; len])],
                    "{len} cut at {cut}"
                );
            }
        }
    }
}

#[test]
fn group_2_pings_and_pongs() {
    accepts("2.1", "89 00", &[ping("")]);
    accepts("2.2", "89 05 : 'hello'", &[ping("hello")]);
    accepts("2.4", "89 7d : 61*125", &[ping(&"a".repeat(125))]);
    refuses(
        "2.5",
        "89 7e 00 7e : 61*126",
        &[],
        OffenceKind::ControlTooLong,
    );
    accepts("2.7", "8a 00", &[pong("")]);
    accepts(
        "2.9",
        "8a 02 : 'hi' | 89 02 : 'yo'",
        &[pong("hi"), ping("yo")],
    );
}

#[test]
fn group_3_reserved_bits() {
    for first in [
        "91", "a1", "b1", "c1", "d1", "e1", "f1", "99", "a8", "c8", "ca", "40",
    ] {
        refuses("3", &format!("{first} 00"), &[], OffenceKind::ReservedBits);
    }
    refuses(
        "3.2",
        "81 01 : 'a' | 91 01 : 'b'",
        &[text("a")],
        OffenceKind::ReservedBits,
    );
}

#[test]
fn group_4_opcodes() {
    for opcode in [
        "83", "84", "85", "86", "87", "8b", "8c", "8d", "8e", "8f", "03", "0f",
    ] {
        refuses(
            "4",
            &format!("{opcode} 00"),
            &[],
            OffenceKind::UnknownOpcode,
        );
    }
}

#[test]
fn group_5_fragmentation() {
    refuses(
        "5.1",
        "09 02 : 'hi' | 80 00",
        &[],
        OffenceKind::ControlFragmented,
    );
    refuses("5.2", "0a 02 : 'hi'", &[], OffenceKind::ControlFragmented);
    refuses("close", "08 00", &[], OffenceKind::ControlFragmented);
    accepts("5.3", "01 02 : 'ab' | 80 02 : 'cd'", &[text("abcd")]);
    accepts(
        "5.6",
        "01 02 : 'ab' | 89 04 : 'ping' | 80 02 : 'cd'",
        &[ping("ping"), text("abcd")],
    );
    refuses(
        "5.9",
        "80 01 : 'x' | 81 01 : 'y'",
        &[],
        OffenceKind::ContinuationUnexpected,
    );
    refuses(
        "5.12",
        "00 01 : 'x'",
        &[],
        OffenceKind::ContinuationUnexpected,
    );
    refuses(
        "5.15",
        "01 01 : 'x' | 80 01 : 'y' | 00 01 : 'z'",
        &[text("xy")],
        OffenceKind::ContinuationUnexpected,
    );
    refuses(
        "5.18",
        "01 01 : 'x' | 81 01 : 'y'",
        &[],
        OffenceKind::ContinuationExpected,
    );
    refuses(
        "binary in text",
        "01 00 | 02 00",
        &[],
        OffenceKind::ContinuationExpected,
    );
    accepts(
        "5.19",
        "01 01 : 'a' | 00 01 : 'b' | 89 01 : '1' | 00 01 : 'c' | 00 01 : 'd' | 89 01 : '2' \
         | 80 01 : 'e'",
        &[ping("1"), ping("2"), text("abcde")],
    );
    accepts("empty fragments", "01 00 | 00 00 | 80 00", &[text("")]);
    accepts(
        "after a message another",
        "02 00 | 80 01 : 01 | 81 00",
        &[binary(&[1]), text("")],
    );
}

#[test]
fn group_6_utf8() {
    accepts("6.1", "01 00 | 00 00 | 80 00", &[text("")]);
    accepts("6.2.1", "81 0a : 'κόσμε'", &[text("κόσμε")]);
    accepts("6.2.4", "01 01 : ce | 80 01 : ba", &[text("κ")]);
    accepts(
        "4 bytes in 4",
        "01 01 : f0 | 00 01 : 9f | 00 01 : 98 | 80 01 : 80",
        &[text("😀")],
    );
    refuses(
        "plain inside of a character",
        "01 01 : ce | 00 01 : 'a' | 80 01 : ba",
        &[],
        OffenceKind::TextNotUtf8,
    );
    for (name, bad) in [
        ("6.3 surrogate in the middle", "ce ba ed a0 80 65"),
        ("6.6.1 alone", "ce"),
        ("6.6.7 cut short", "e1 bf"),
        ("6.7.1 continuation alone", "80"),
        ("6.12 overlong", "c0 af"),
        ("6.12.3 overlong", "e0 80 af"),
        ("6.14 overlong", "f0 80 80 80"),
        ("6.16 beyond", "f4 90 80 80"),
        ("6.18 surrogate", "ed a0 80"),
        ("5 byte form", "f8 88 80 80 80"),
        ("fe", "fe"),
        ("ff", "61 ff"),
    ] {
        let len = bad.split(' ').count();
        refuses(
            name,
            &format!("81 {len:02x} : {bad}"),
            &[],
            OffenceKind::TextNotUtf8,
        );
        let fragmented = format!("01 {len:02x} : {bad} | 80 00");
        refuses(name, &fragmented, &[], OffenceKind::TextNotUtf8);
        let padded = format!("81 7e 00 {:02x} : 61*128 {bad}", 128 + len);
        refuses(name, &padded, &[], OffenceKind::TextNotUtf8);
    }
}

/// 6.4: the offence comes with the first byte that no text could have there, not with the end.
#[test]
fn group_6_fails_fast() {
    for (good, bad) in [
        ("ce ba", "ed a0"),
        ("ce ba", "f4 90"),
        ("", "c0"),
        ("61", "e0 80"),
    ] {
        let mut bytes = trace(Role::Client, &format!("81 7e 10 00 : {good} {bad}"));
        let last = bytes.pop().expect("not empty");
        let mut session = Session::new(Role::Client, false);
        let mut input = &mut bytes[..];
        while session
            .handle_input(&Limits::default(), &mut input)
            .expect("good so far")
            .is_some()
        {}
        let mut input = &mut [last][..];
        let offence = session.handle_input(&Limits::default(), &mut input);
        assert_eq!(
            offence,
            Err(Offence {
                kind: OffenceKind::TextNotUtf8
            }),
            "{bad}"
        );
    }
}

#[test]
fn group_7_close() {
    accepts(
        "7.1.1",
        "81 01 : 'a' | 88 00",
        &[text("a"), Told::Close(None)],
    );
    accepts("7.1.2", "88 00 | 88 00", &[Told::Close(None)]);
    accepts("7.1.3", "88 02 : 03 e8 | 89 00", &[close(1000, "")]);
    accepts(
        "7.1.4 data and garbage after",
        "88 00 | 81 01 : 'a' | ff ff ff",
        &[Told::Close(None)],
    );
    accepts(
        "7.1.5",
        "01 01 : 'a' | 88 00 | 80 01 : 'b'",
        &[Told::Close(None)],
    );
    refuses("7.3.2", "88 01 : 03", &[], OffenceKind::CloseLength);
    accepts("7.3.4", "88 07 : 03 e8 'hello'", &[close(1000, "hello")]);
    accepts(
        "7.3.5",
        "88 7d : 03 e8 61*123",
        &[close(1000, &"a".repeat(123))],
    );
    refuses(
        "7.3.6",
        "88 7e 00 7e : 03 e8 61*124",
        &[],
        OffenceKind::ControlTooLong,
    );
    refuses(
        "7.5.1",
        "88 04 : 03 e8 ce ff",
        &[],
        OffenceKind::CloseReasonNotUtf8,
    );
    refuses(
        "cut short",
        "88 03 : 03 e8 ce",
        &[],
        OffenceKind::CloseReasonNotUtf8,
    );
    let reason = OffenceKind::CloseReasonNotUtf8;
    assert_eq!(Offence { kind: reason }.code(), CloseCode::INVALID_PAYLOAD);
}

#[test]
fn group_7_close_codes() {
    let legal = [1000..=1003, 1007..=1014, 3000..=4999];
    for code in (0..=5100).chain([32768, 65535]) {
        let is_legal = legal.iter().any(|range| range.contains(&code));
        let mut bytes = trace(
            Role::Client,
            &format!("88 02 : {:02x} {:02x}", code >> 8, code & 255),
        );
        let mut session = Session::new(Role::Client, false);
        let mut input = &mut bytes[..];
        match session.handle_input(&Limits::default(), &mut input) {
            Ok(Some(Event::Close(Some(frame)))) if is_legal => {
                assert_eq!(frame.code().number(), code);
            }
            Err(offence) if !is_legal => {
                assert_eq!(offence.kind, OffenceKind::CloseCode);
                assert_eq!(offence.code(), CloseCode::PROTOCOL);
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn lengths_are_minimal() {
    let too_long = OffenceKind::LengthNotMinimal;
    refuses("125 in 16 bits", "82 7e 00 7d : 00*125", &[], too_long);
    refuses("0 in 16 bits", "82 7e 00 00", &[], too_long);
    refuses(
        "65535 in 64 bits",
        "82 7f 00 00 00 00 00 00 ff ff",
        &[],
        too_long,
    );
    refuses("0 in 64 bits", "82 7f 00*8", &[], too_long);
    refuses("bit 63", "82 7f 80 00*7", &[], OffenceKind::LengthTooBig);
    refuses("all ones", "82 7f ff*8", &[], OffenceKind::LengthTooBig);
    refuses(
        "the largest legal one",
        "82 7f 7f ff*7",
        &[],
        OffenceKind::FrameTooBig,
    );
}

#[test]
fn masks_by_role() {
    let masked = simple(Opcode::Text, true, b"a", Some([0; 4]));
    let plain = simple(Opcode::Text, true, b"a", None);
    let limits = Limits::default();
    let outcome = run_every_split(Role::Server, false, &limits, &masked);
    assert_eq!(
        outcome,
        Outcome {
            told: vec![text("a")],
            offence: None
        }
    );
    let outcome = run_every_split(Role::Server, false, &limits, &plain);
    assert_eq!(outcome.offence, Some(OffenceKind::NotMasked));
    let outcome = run_every_split(Role::Client, false, &limits, &masked);
    assert_eq!(outcome.offence, Some(OffenceKind::Masked));
}

#[test]
fn compressed_messages() {
    let run = |frames: &str| {
        let bytes = trace(Role::Server, frames);
        run_every_split(Role::Server, true, &Limits::default(), &bytes)
    };
    let compressed = |kind, payload: &[u8]| Told::Message {
        kind,
        payload: payload.into(),
        compressed: true,
    };
    // Nobody looks for UTF-8 in what is not inflated yet.
    assert_eq!(
        run("c1 02 : ff fe").told,
        [compressed(Kind::Text, &[0xFF, 0xFE])]
    );
    let outcome = run("41 01 : ff | 89 00 | 80 01 : fe | 81 01 : 'a'");
    assert_eq!(
        outcome.told,
        [ping(""), compressed(Kind::Text, &[0xFF, 0xFE]), text("a")]
    );
    assert_eq!(run("c2 00").told, [compressed(Kind::Binary, &[])]);
    // RFC 7692 6: RSV1 is for the first frame of a data message.
    assert_eq!(
        run("01 01 : 'a' | c0 01 : 'b'").offence,
        Some(OffenceKind::ReservedBits)
    );
    assert_eq!(run("c9 00").offence, Some(OffenceKind::ReservedBits));
    assert_eq!(run("e1 00").offence, Some(OffenceKind::ReservedBits));
}

fn outcome_with(limits: Limits, frames: &str) -> Outcome {
    run_every_split(Role::Server, false, &limits, &trace(Role::Server, frames))
}

#[test]
fn frame_size_limit() {
    for max in [0, 1, 125, 126, 200] {
        let limits = Limits {
            frame_size_max: max,
            ..Limits::default()
        };
        for len in [0, 1, max.saturating_sub(1), max, max + 1] {
            let length = if len < 126 {
                format!("{len:02x}")
            } else {
                format!("7e 00 {len:02x}")
            };
            let outcome = outcome_with(limits, &format!("82 {length} : 07*{len}"));
            let expected = (len > max).then_some(OffenceKind::FrameTooBig);
            assert_eq!(outcome.offence, expected, "{len} of {max}");
        }
    }
}

#[test]
fn message_size_limit() {
    for max in [0, 1, 4] {
        let limits = Limits {
            message_size_max: max,
            ..Limits::default()
        };
        for len in 0..=max + 1 {
            let expected = (len > max).then_some(OffenceKind::MessageTooBig);
            let outcome = outcome_with(limits, &format!("82 {len:02x} : 07*{len}"));
            assert_eq!(outcome.offence, expected, "{len} of {max} in one");
            let frames = format!("02 01 : 07 | 00 {len:02x} : 07*{len} | 80 00");
            let expected = (len + 1 > max).then_some(OffenceKind::MessageTooBig);
            assert_eq!(
                outcome_with(limits, &frames).offence,
                expected,
                "1 + {len} of {max}"
            );
        }
    }
    assert_eq!(
        Offence {
            kind: OffenceKind::MessageTooBig
        }
        .code(),
        CloseCode::TOO_BIG
    );
}

/// The header of a frame beyond the limit is enough: none of its payload is waited for.
#[test]
fn oversize_is_refused_by_the_header() {
    let limits = Limits {
        frame_size_max: 1000,
        ..Limits::default()
    };
    let outcome = run(Role::Client, false, &limits, &[&[0x82, 126, 0x03, 0xE9]]);
    assert_eq!(outcome.offence, Some(OffenceKind::FrameTooBig));
}

#[test]
fn fragments_limit() {
    for max in [1, 2, 5] {
        let limits = Limits {
            fragments_max: max,
            ..Limits::default()
        };
        for count in 1..=max + 1 {
            let frames: Vec<String> = (1..=count)
                .map(|n| {
                    let opcode = if n == 1 { 2 } else { 0 };
                    let fin = if n == count { 0x80 } else { 0 };
                    format!("{:02x} 01 : 07", fin | opcode)
                })
                .collect();
            let expected = (count > max).then_some(OffenceKind::FragmentsTooMany);
            let outcome = outcome_with(limits, &frames.join(" | "));
            assert_eq!(outcome.offence, expected, "{count} of {max}");
        }
    }
}

#[test]
fn empty_fragments_limit() {
    for max in [0u16, 1, 3] {
        let limits = Limits {
            fragments_empty_max: max,
            ..Limits::default()
        };
        assert_eq!(
            outcome_with(limits, "82 00").offence,
            None,
            "an empty message is no waste"
        );
        for count in 0..=max + 1 {
            let frames = format!("02 01 : 07 {} | 80 00", " | 00 00".repeat(count.into()));
            let expected = (count > max).then_some(OffenceKind::FragmentsEmptyTooMany);
            assert_eq!(
                outcome_with(limits, &frames).offence,
                expected,
                "{count} of {max}"
            );
        }
    }
}

#[test]
fn each_message_starts_to_count_anew() {
    let limits = Limits {
        message_size_max: 3,
        frame_size_max: 3,
        fragments_max: 3,
        fragments_empty_max: 1,
    };
    let message = "02 02 : 01 02 | 00 00 | 80 01 : 03";
    let outcome = outcome_with(limits, &format!("{message} | {message} | {message}"));
    assert_eq!(outcome.offence, None);
    assert_eq!(outcome.told, vec![binary(&[1, 2, 3]); 3]);
}

#[test]
fn a_control_frame_in_pieces_is_put_together() {
    let bytes = trace(Role::Server, "89 7d : 61*60 62*65");
    for size in [1, 2, 7, 64, 130] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        let outcome = run(Role::Server, false, &Limits::default(), &pieces);
        assert_eq!(outcome.told, [ping(&("a".repeat(60) + &"b".repeat(65)))]);
    }
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 64, "{}", size_of::<Session>());
    assert!(size_of::<Event<'_>>() <= 32, "{}", size_of::<Event<'_>>());
}

#[test]
fn what_may_be_sent() {
    let data = |opcode, fin| Outgoing {
        opcode,
        fin,
        compressed: false,
        len: 3,
        mask: None,
    };
    let mut session = Session::new(Role::Server, false);
    let (text, more) = (Opcode::Text, Opcode::Continuation);
    assert_eq!(
        session.frame_header(data(more, true)).err(),
        Some(Misuse::Fragmentation)
    );
    assert_eq!(
        session.frame_header(data(text, false)).as_deref(),
        Ok(&[0x01, 3][..])
    );
    assert_eq!(
        session.frame_header(data(text, true)).err(),
        Some(Misuse::Fragmentation)
    );
    assert_eq!(session.ping(b"", None).as_deref(), Ok(&[0x89, 0][..]));
    assert_eq!(
        session.frame_header(data(more, false)).as_deref(),
        Ok(&[0x00, 3][..])
    );
    assert_eq!(
        session.frame_header(data(more, true)).as_deref(),
        Ok(&[0x80, 3][..])
    );
    assert_eq!(
        session.frame_header(data(more, true)).err(),
        Some(Misuse::Fragmentation)
    );
    assert_eq!(
        session.frame_header(data(Opcode::Ping, false)).err(),
        Some(Misuse::Control)
    );
    let compressed = Outgoing {
        compressed: true,
        ..data(text, true)
    };
    assert_eq!(
        session.frame_header(compressed).err(),
        Some(Misuse::Compression)
    );
    let masked = Outgoing {
        mask: Some([1; 4]),
        ..data(text, true)
    };
    assert_eq!(session.frame_header(masked).err(), Some(Misuse::MaskRule));
    assert_eq!(session.ping(&[0; 126], None).err(), Some(Misuse::Control));
    assert_eq!(
        session.ping(&[0; 125], None).map(|frame| frame.len()),
        Ok(127)
    );

    let mut session = Session::new(Role::Client, true);
    assert_eq!(
        session.frame_header(data(text, true)).err(),
        Some(Misuse::MaskRule)
    );
    let header = session.frame_header(Outgoing {
        compressed: true,
        ..masked
    });
    assert_eq!(header.as_deref(), Ok(&[0xC1, 0x83, 1, 1, 1, 1][..]));
    let pong = session.pong(b"ab", Some([1; 4])).expect("legal");
    assert_eq!(*pong, [0x8A, 0x82, 1, 1, 1, 1, b'a' ^ 1, b'b' ^ 1]);
}

#[test]
fn nothing_follows_a_close() {
    let mut session = Session::new(Role::Server, false);
    for illegal in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let refused = session.close(CloseCode::new(illegal), "", None);
        assert_eq!(refused.err(), Some(Misuse::CloseCode));
    }
    assert!(session.is_open());
    // 41 * 3 bytes fill the reason, the 42nd character does not fit.
    let frame = session
        .close(CloseCode::GOING_AWAY, &"€".repeat(42), None)
        .expect("legal");
    assert_eq!(
        (frame.len(), &frame[..4]),
        (127, &[0x88, 125, 0x03, 0xE9][..])
    );
    assert!(session.close_sent() && !session.close_received() && !session.is_open());
    assert_eq!(
        session.close(CloseCode::NORMAL, "", None).err(),
        Some(Misuse::Closed)
    );
    assert_eq!(session.pong(b"", None).err(), Some(Misuse::Closed));
    let message = Outgoing::message(Kind::Text, 0);
    assert_eq!(session.frame_header(message).err(), Some(Misuse::Closed));

    // The peer may still finish what it has to say.
    let mut bytes = trace(Role::Server, "81 01 : 'a' | 88 00");
    let mut input = &mut bytes[..];
    let limits = Limits::default();
    assert!(matches!(
        session.handle_input(&limits, &mut input),
        Ok(Some(Event::Data { .. }))
    ));
    assert_eq!(
        session.handle_input(&limits, &mut input),
        Ok(Some(Event::Close(None)))
    );
    assert!(session.close_received());
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let mut session = Session::new(Role::Server, false);
    let reason = "a".repeat(122) + "é";
    let frame = session
        .close(CloseCode::NORMAL, &reason, None)
        .expect("legal");
    assert_eq!(&frame[4..], "a".repeat(122).as_bytes());
    let mut session = Session::new(Role::Server, false);
    assert_eq!(session.close_empty(None).as_deref(), Ok(&[0x88, 0][..]));
}
