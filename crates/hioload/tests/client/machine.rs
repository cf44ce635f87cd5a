//! `ClientSession` in memory.

use hioload::client::{
    ClientError, ClientEvent, ClientOptions, ClientSession, DeflateOffer, HandshakeError, Limits,
    Misuse, Url,
};
use hioload::{CloseCode, Kind, Message};
use hioload_ws::OffenceKind;
use hioload_ws::deflate::DeflatePolicy;
use hioload_ws::handshake::AcceptPolicy;

use crate::fake::{Fake, Said};

/// What a session told, with memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Open,
    Message(Kind, Vec<u8>),
    Pong(Vec<u8>),
    Closed(u16, String),
}

fn url() -> Url {
    "ws://example.org:9002/live?room=7"
        .parse()
        .expect("a legal URL")
}

/// A session with the keys 1, 2, 3, …: the same in each run.
fn session(options: ClientOptions) -> ClientSession {
    let mut next = 0;
    let entropy = Box::new(move |bytes: &mut [u8]| {
        bytes.fill_with(|| {
            next = u8::wrapping_add(next, 1);
            next
        });
        Ok(())
    });
    ClientSession::with_entropy(&url(), options, entropy).expect("legal options")
}

fn feed(session: &mut ClientSession, bytes: &[u8]) -> Result<Vec<Told>, ClientError> {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    let mut told = Vec::new();
    while let Some(event) = session.handle_input(&mut input)? {
        told.push(match event {
            ClientEvent::Open => Told::Open,
            ClientEvent::Message(kind, payload) => Told::Message(kind, payload.into_vec()),
            ClientEvent::Pong(payload) => Told::Pong(payload.into_vec()),
            ClientEvent::Closed(closing) => Told::Closed(closing.code.number(), closing.reason),
        });
    }
    assert!(input.is_empty(), "the input is used up");
    Ok(told)
}

/// An open session and its server; the handshake is behind them.
fn open(options: ClientOptions, policy: AcceptPolicy) -> (ClientSession, Fake) {
    let mut session = session(options);
    let mut fake = Fake::new(policy);
    fake.take(&session.take_output());
    let told = feed(&mut session, &std::mem::take(&mut fake.output)).expect("a handshake");
    assert_eq!(told, [Told::Open]);
    (session, fake)
}

fn open_plain() -> (ClientSession, Fake) {
    open(ClientOptions::default(), AcceptPolicy::default())
}

fn open_deflate(offer: DeflateOffer) -> (ClientSession, Fake) {
    let options = ClientOptions {
        deflate: Some(offer),
        ..ClientOptions::default()
    };
    let policy = AcceptPolicy {
        deflate: Some(DeflatePolicy::default()),
        ..AcceptPolicy::default()
    };
    open(options, policy)
}

/// What the server has sent since, as told by the session.
fn pump(session: &mut ClientSession, fake: &mut Fake) -> Result<Vec<Told>, ClientError> {
    feed(session, &std::mem::take(&mut fake.output))
}

#[test]
fn the_request_says_what_was_asked_for() {
    let options = ClientOptions {
        protocols: vec!["v2".into(), "v1".into()],
        headers: vec![("Authorization".into(), "Bearer x".into())],
        ..ClientOptions::default()
    };
    let mut session = session(options);
    let policy = AcceptPolicy {
        protocols: vec!["v1".into()],
        ..AcceptPolicy::default()
    };
    let mut fake = Fake::new(policy);
    let said = fake.take(&session.take_output());
    assert_eq!(
        said,
        [Said::Request {
            path: "/live".into(),
            host: "example.org:9002".into(),
            authorization: Some("Bearer x".into()),
        }]
    );
    assert!(!session.is_open());
    assert_eq!(session.protocol(), None);
    pump(&mut session, &mut fake).expect("a handshake");
    assert!(session.is_open());
    assert_eq!(session.protocol(), Some("v1"));
}

#[test]
fn every_split_of_the_input_tells_the_same() {
    let script = |fake: &mut Fake| {
        fake.send(Kind::Text, "grüße".as_bytes(), 1);
        fake.ping(b"are you there");
        fake.send(Kind::Binary, &[7; 300], 3);
        fake.send(Kind::Text, b"", 1);
        fake.pong(b"unasked");
        fake.close(1001, "bye");
    };
    let (_, mut fake) = open_plain();
    script(&mut fake);
    let frames_size = fake.output.len();
    let expected = [
        Told::Open,
        Told::Message(Kind::Text, "grüße".into()),
        Told::Message(Kind::Binary, vec![7; 300]),
        Told::Message(Kind::Text, vec![]),
        Told::Pong(b"unasked".to_vec()),
        Told::Closed(1001, "bye".into()),
    ];
    // The keys are the same in each run, so are all bytes.
    for split in 0..frames_size + 100 {
        let mut session = session(ClientOptions::default());
        let mut fake = Fake::new(AcceptPolicy::default());
        fake.take(&session.take_output());
        script(&mut fake);
        let (first, second) = fake.output.split_at(split.min(fake.output.len()));
        let mut told = feed(&mut session, first).expect("legal");
        told.extend(feed(&mut session, second).expect("legal"));
        assert_eq!(told, expected, "split at {split}");
        let said = fake.take(session.output());
        assert_eq!(
            said,
            [
                Said::Pong(b"are you there".to_vec()),
                Said::Close(1001, String::new())
            ]
        );
    }
}

#[test]
fn messages_arrive_as_they_were_sent() {
    let (mut session, mut fake) = open_plain();
    for size in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![b'x'; size];
        session.send(Message::binary(&payload)).expect("open");
        let said = fake.take(&session.take_output());
        assert_eq!(said, [Said::Message(Kind::Binary, payload)], "{size} bytes");
    }
    session.ping(b"p").expect("open");
    assert_eq!(
        fake.take(&session.take_output()),
        [Said::Ping(b"p".to_vec())]
    );
}

#[test]
fn output_is_written_in_any_pieces() {
    let (mut session, mut fake) = open_plain();
    session.send(Message::text("one")).expect("open");
    session.send(Message::text("two")).expect("open");
    let mut said = Vec::new();
    while !session.output().is_empty() {
        said.extend(fake.take(&session.output()[..1]));
        session.advance_output(1);
    }
    let text = |text: &str| Said::Message(Kind::Text, text.into());
    assert_eq!(said, [text("one"), text("two")]);
}

#[test]
fn every_frame_has_a_mask_key_of_its_own() {
    let (mut session, _) = open_plain();
    session.send(Message::text("same")).expect("open");
    session.send(Message::text("same")).expect("open");
    let output = session.take_output();
    let (first, second) = output.split_at(output.len() / 2);
    assert_eq!(first[..2], second[..2]);
    assert_ne!(first[2..6], second[2..6]);
}

#[test]
fn compression_is_used_where_it_was_agreed_and_pays() {
    let (mut session, mut fake) = open_deflate(DeflateOffer::default());
    assert!(session.is_deflate_agreed() && fake.is_deflate_agreed());
    let long = "again ".repeat(50);
    for (text, compressed_count) in [("short", 0), (long.as_str(), 1), (long.as_str(), 2)] {
        session.send(Message::text(text)).expect("open");
        let said = fake.take(&session.take_output());
        assert_eq!(said, [Said::Message(Kind::Text, text.into())]);
        assert_eq!(fake.compressed_count, compressed_count);
    }
    for frame_count in [1, 2, 5] {
        fake.send_compressed(Kind::Text, long.as_bytes(), frame_count);
        let told = pump(&mut session, &mut fake).expect("legal");
        assert_eq!(told, [Told::Message(Kind::Text, long.clone().into())]);
    }
}

#[test]
fn nothing_is_compressed_unless_both_want_it() {
    let options = ClientOptions {
        deflate: Some(DeflateOffer::default()),
        ..Default::default()
    };
    let (session, _) = open(options, AcceptPolicy::default());
    assert!(!session.is_deflate_agreed());
    let policy = AcceptPolicy {
        deflate: Some(DeflatePolicy::default()),
        ..AcceptPolicy::default()
    };
    let (session, _) = open(ClientOptions::default(), policy);
    assert!(!session.is_deflate_agreed());
}

#[test]
fn a_message_beyond_the_limit_is_refused_however_it_comes() {
    let options = |size| ClientOptions {
        deflate: Some(DeflateOffer::default()),
        limits: Limits {
            message_size_max: size,
            frame_size_max: size,
            ..Limits::default()
        },
        ..ClientOptions::default()
    };
    let policy = || AcceptPolicy {
        deflate: Some(DeflatePolicy::default()),
        ..AcceptPolicy::default()
    };
    let payload = vec![b'a'; 1000];
    type Send = fn(&mut Fake, &[u8]);
    let ways: [Send; 3] = [
        |fake, payload| fake.send(Kind::Binary, payload, 1),
        |fake, payload| fake.send(Kind::Binary, payload, 4),
        |fake, payload| fake.send_compressed(Kind::Binary, payload, 1),
    ];
    for send in ways {
        for (limit, is_taken) in [(1001, true), (1000, true), (999, false)] {
            let (mut session, mut fake) = open(options(limit), policy());
            send(&mut fake, &payload);
            let result = pump(&mut session, &mut fake);
            if is_taken {
                assert_eq!(
                    result.expect("taken"),
                    [Told::Message(Kind::Binary, payload.clone())]
                );
                continue;
            }
            let Err(ClientError::Offence(offence)) = result else {
                panic!("refused")
            };
            assert_eq!(offence.code(), CloseCode::TOO_BIG);
            let said = fake.take(session.output());
            assert!(matches!(said[..], [Said::Close(1009, _)]), "{said:?}");
        }
    }
}

#[test]
fn an_offence_is_told_once_and_stays() {
    let (mut session, _) = open_plain();
    // RFC 6455 5.1: a server MUST NOT mask.
    for _ in 0..2 {
        let Err(ClientError::Offence(offence)) = feed(&mut session, &[0x81, 0x80, 1, 2, 3, 4])
        else {
            panic!("an offence")
        };
        assert_eq!(offence.kind, OffenceKind::Masked);
    }
    assert!(session.is_over() && !session.is_open());
    assert!(matches!(
        session.send(Message::text("late")),
        Err(ClientError::Misuse(Misuse::Closed))
    ));
    assert!(session.handle_eof().is_ok(), "the end is no news");
}

#[test]
fn text_that_is_not_utf8_is_refused_compressed_or_not() {
    for is_compressed in [false, true] {
        let (mut session, mut fake) = open_deflate(DeflateOffer::default());
        let payload = [b'a'; 80].iter().copied().chain([0xFF]).collect::<Vec<_>>();
        if is_compressed {
            fake.send_compressed(Kind::Text, &payload, 1);
        } else {
            fake.send(Kind::Text, &payload, 1);
        }
        let Err(ClientError::Offence(offence)) = pump(&mut session, &mut fake) else {
            panic!("an offence")
        };
        assert_eq!(offence.kind, OffenceKind::TextNotUtf8);
        assert!(matches!(
            fake.take(session.output())[..],
            [Said::Close(1007, _)]
        ));
    }
}

#[test]
fn closing_from_here_waits_for_the_answer() {
    let (mut session, mut fake) = open_plain();
    session.close(CloseCode::NORMAL, "done").expect("open");
    assert!(!session.is_open() && !session.is_over());
    assert!(matches!(
        session.send(Message::text("x")),
        Err(ClientError::Misuse(_))
    ));
    assert_eq!(
        fake.take(&session.take_output()),
        [Said::Close(1000, "done".into())]
    );
    fake.close(1000, "");
    let told = pump(&mut session, &mut fake).expect("an answer");
    assert_eq!(told, [Told::Closed(1000, String::new())]);
    assert!(session.output().is_empty(), "one close frame is enough");
    assert!(session.is_over() && session.handle_eof().is_ok());
}

#[test]
fn a_close_frame_without_a_code_is_answered() {
    let (mut session, mut fake) = open_plain();
    let told = feed(&mut session, &[0x88, 0]).expect("legal");
    assert_eq!(told, [Told::Closed(1005, String::new())]);
    assert_eq!(
        fake.take(session.output()),
        [Said::Close(1000, String::new())]
    );
}

#[test]
fn the_end_of_the_stream_is_a_loss_unless_both_closed() {
    let (mut session, _) = open_plain();
    assert!(matches!(session.handle_eof(), Err(ClientError::Lost(None))));
    assert!(session.is_over());
    let mut session = self::session(ClientOptions::default());
    assert!(
        matches!(session.handle_eof(), Err(ClientError::Lost(None))),
        "in the handshake"
    );
}

#[test]
fn a_refused_handshake_says_why() {
    for (response, error) in [
        (
            &b"HTTP/1.1 404 Not Found\r\n\r\n"[..],
            HandshakeError::Status(404),
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", HandshakeError::Malformed),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            HandshakeError::Upgrade,
        ),
    ] {
        let mut session = session(ClientOptions::default());
        let result = feed(&mut session, response);
        assert!(
            matches!(result, Err(ClientError::Handshake(found)) if found == error),
            "{error}"
        );
        assert!(session.is_over());
    }
}

#[test]
fn a_response_head_without_end_is_refused_at_the_limit() {
    let mut session = session(ClientOptions::default());
    let limit = ClientOptions::default().handshake.head_size_max;
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\nX: ".to_vec();
    head.resize(limit - 1, b'x');
    assert_eq!(feed(&mut session, &head).expect("still possible"), []);
    let result = feed(&mut session, &[b'x'; 100_000]);
    assert!(matches!(
        result,
        Err(ClientError::Handshake(HandshakeError::HeadTooBig))
    ));
}

#[test]
fn nothing_is_sent_before_the_handshake_is_done() {
    let mut session = session(ClientOptions::default());
    let before = session.output().to_vec();
    assert!(matches!(
        session.send(Message::text("early")),
        Err(ClientError::NotOpen)
    ));
    assert!(matches!(session.ping(b""), Err(ClientError::NotOpen)));
    assert!(matches!(
        session.close(CloseCode::NORMAL, ""),
        Err(ClientError::NotOpen)
    ));
    assert_eq!(session.output(), before);
}

#[test]
fn output_that_waits_is_bounded() {
    let options = ClientOptions {
        output_size_max: 1000,
        ..ClientOptions::default()
    };
    let (mut session, mut fake) = open(options, AcceptPolicy::default());
    assert!(matches!(
        session.send(Message::binary(&[0; 1001])),
        Err(ClientError::Full {
            waiting: 0,
            limit: 1000
        })
    ));
    session.send(Message::binary(&[0; 1000])).expect("room");
    assert!(matches!(
        session.send(Message::binary(&[0; 1])),
        Err(ClientError::Full { .. })
    ));
    assert_eq!(
        fake.take(&session.take_output()).len(),
        1,
        "the refused left nothing behind"
    );
    session.send(Message::binary(&[0; 1])).expect("room again");
}

#[test]
fn what_cannot_be_sent_is_refused_and_changes_nothing() {
    let (mut session, mut fake) = open_plain();
    assert!(matches!(
        session.ping(&[0; 126]),
        Err(ClientError::Misuse(_))
    ));
    assert!(matches!(
        session.close(CloseCode::NO_STATUS, ""),
        Err(ClientError::Misuse(_))
    ));
    assert!(session.output().is_empty() && session.is_open());
    session.ping(&[0; 125]).expect("at the limit");
    session
        .close(CloseCode::NORMAL, &"x".repeat(124))
        .expect("a reason that is too long is cut");
    let said = fake.take(session.output());
    assert_eq!(
        said,
        [Said::Ping(vec![0; 125]), Said::Close(1000, "x".repeat(123))]
    );
}

#[test]
fn options_cannot_smuggle_headers() {
    let options = ClientOptions {
        headers: vec![("X".into(), "a\r\nInjected: b".into())],
        ..ClientOptions::default()
    };
    let result = ClientSession::new(&url(), options);
    assert!(matches!(
        result,
        Err(ClientError::Misuse(Misuse::HeaderText))
    ));
}
