//! Messages to and fro: every kind and size, control frames, closing from either side.

use hioload::{CloseCode, DriverChoice, Echo, Handler, Message, Session};
use hioload_e2e::{
    Frame, Heard, Opcode, Running, Wire, close_body, connect, connect_with, expect_close,
    frame_bytes, request,
};
use tungstenite::protocol::CloseFrame;

pub(crate) fn echo_server(driver: DriverChoice, workers: usize) -> Running {
    let builder = Running::builder(driver, workers).settings(Running::settings());
    Running::start(builder.handler(|_| Echo))
}

/// Bytes that differ everywhere.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

pub(crate) fn every_size_and_kind_comes_back(driver: DriverChoice) {
    let server = echo_server(driver, 1);
    let mut client = connect(server.addr());
    for size in [0, 1, 125, 126, 127, 4096, 65_535, 65_536, 200_000, 1 << 20] {
        let binary = tungstenite::Message::binary(noise(size));
        client.send(binary.clone()).expect("sent");
        assert!(
            client.read().expect("an answer") == binary,
            "binary of {size} bytes"
        );
        let text = tungstenite::Message::text("ä".repeat(size / 2));
        client.send(text.clone()).expect("sent");
        assert!(
            client.read().expect("an answer") == text,
            "text of {size} bytes"
        );
    }
    server.until_stats("the counters", |stats| {
        (
            stats.messages_received,
            stats.messages_sent,
            stats.handshakes,
        ) == (20, 20, 1)
    });
}

/// One more than allowed is 1009, told by the header alone.
pub(crate) fn the_largest_message_passes_and_no_larger_one(driver: DriverChoice) {
    let mut settings = Running::settings();
    settings.ws.message_size_max = 1000;
    let builder = Running::builder(driver, 1)
        .settings(settings)
        .handler(|_| Echo);
    let server = Running::start(builder);
    let mut client = Wire::open(server.addr(), "/");
    client.frame(Opcode::Binary, &[1; 1000]);
    assert_eq!(client.next().payload.len(), 1000);
    client.send(&frame_bytes(0x82, &[1; 1001])[..8]);
    assert_eq!(client.closed(), Some(1009));
    server.until_stats("the offence", |stats| stats.closed_offence == 1);
}

pub(crate) fn fragments_make_one_message(driver: DriverChoice) {
    let server = echo_server(driver, 1);
    let mut client = Wire::open(server.addr(), "/");
    let whole = noise(1 << 20);
    // Pings among the fragments are answered at once (RFC 6455 5.4).
    let mut bytes = Vec::new();
    for (index, piece) in whole.chunks(10_000).enumerate() {
        bytes.extend(frame_bytes(if index == 0 { 2 } else { 0 }, piece));
        bytes.extend(frame_bytes(0x89, &index.to_be_bytes()));
    }
    bytes.extend(frame_bytes(0x80, b""));
    client.send(&bytes);
    for index in 0..whole.chunks(10_000).len() {
        let pong = client.next();
        assert_eq!(
            (pong.first, &pong.payload[..]),
            (0x8A, &index.to_be_bytes()[..])
        );
    }
    let answer = client.next();
    assert_eq!(answer.first, 0x82);
    assert!(answer.payload == whole);
    // A character torn apart by fragments is whole again.
    client.send(&[frame_bytes(1, &[0xE2, 0x82]), frame_bytes(0x80, &[0xAC])].concat());
    assert_eq!(
        client.next(),
        Frame {
            first: 0x81,
            payload: "€".into()
        }
    );
}

pub(crate) fn a_ping_is_answered_with_its_payload(driver: DriverChoice) {
    let server = echo_server(driver, 1);
    let mut client = Wire::open(server.addr(), "/");
    for size in [0, 1, 125] {
        client.frame(Opcode::Ping, &noise(size));
        assert_eq!(
            client.next(),
            Frame {
                first: 0x8A,
                payload: noise(size)
            }
        );
    }
    // An unasked pong is nothing to answer.
    client.frame(Opcode::Pong, b"alive");
    client.frame(Opcode::Text, b"next");
    assert_eq!(
        client.next(),
        Frame {
            first: 0x81,
            payload: b"next".into()
        }
    );
    server.until_stats("the pings", |stats| stats.pings == 3);
}

pub(crate) fn a_silent_peer_is_pinged_and_then_given_up(driver: DriverChoice) {
    let mut settings = Running::settings();
    settings.keepalive.ping_interval = Some(std::time::Duration::from_millis(50));
    settings.keepalive.pong_timeout = std::time::Duration::from_millis(200);
    settings.close_timeout = std::time::Duration::from_millis(200);
    let builder = Running::builder(driver, 1)
        .settings(settings)
        .handler(|_| Echo);
    let server = Running::start(builder);
    // Who answers stays; the foreign client answers as long as it reads.
    let mut alive = connect(server.addr());
    let mut dead = Wire::open(server.addr(), "/");
    let thread = std::thread::spawn(move || expect_close(&mut alive));
    assert_eq!(
        dead.next(),
        Frame {
            first: 0x89,
            payload: vec![]
        }
    );
    assert_eq!(dead.closed(), Some(1001));
    server.until_stats("the idle one", |stats| stats.closed_idle == 1);
    assert_eq!(server.stats().sessions, 1, "who answers stays");
    server.handle().shutdown();
    assert_eq!(thread.join().expect("no panic"), 1001);
}

/// Pongs are no messages: a peer that only answers pings is idle.
pub(crate) fn a_peer_without_messages_is_idle(driver: DriverChoice) {
    let mut settings = Running::settings();
    settings.keepalive.ping_interval = Some(std::time::Duration::from_millis(40));
    settings.keepalive.idle_timeout = Some(std::time::Duration::from_millis(250));
    let builder = Running::builder(driver, 1)
        .settings(settings)
        .handler(|_| Echo);
    let server = Running::start(builder);
    let mut client = connect(server.addr());
    assert_eq!(expect_close(&mut client), 1001);
    server.until_stats("the idle one", |stats| stats.closed_idle == 1);
}

pub(crate) fn an_old_session_is_closed(driver: DriverChoice) {
    let mut settings = Running::settings();
    settings.keepalive.lifetime = Some(std::time::Duration::from_millis(100));
    let builder = Running::builder(driver, 1)
        .settings(settings)
        .handler(|_| Echo);
    let server = Running::start(builder);
    assert_eq!(expect_close(&mut connect(server.addr())), 1001);
    server.until_stats("its end", |stats| {
        (stats.closed_here, stats.sessions) == (1, 0)
    });
}

/// RFC 6455 5.5.1, 7.1.5: the answer echoes the code, then the server ends the connection.
pub(crate) fn a_close_frame_is_answered_with_its_code(driver: DriverChoice) {
    let server = echo_server(driver, 1);
    for code in [1000, 1001, 1011, 3000, 4999] {
        let mut client = Wire::open(server.addr(), "/");
        client.frame(Opcode::Close, &close_body(code, "bye"));
        let answer = client.next();
        assert_eq!((answer.first, answer.close_code()), (0x88, Some(code)));
        assert_eq!(client.hear(), Heard::End);
    }
    let mut client = Wire::open(server.addr(), "/");
    client.frame(Opcode::Close, b"");
    assert_eq!(
        client.next(),
        Frame {
            first: 0x88,
            payload: vec![]
        }
    );
    assert_eq!(client.hear(), Heard::End);
    // What came before the close frame is answered before it; what comes after is dropped.
    let mut client = Wire::open(server.addr(), "/");
    let close = frame_bytes(0x88, &close_body(1000, ""));
    client.send(&[frame_bytes(0x81, b"a"), close, frame_bytes(0x81, b"b")].concat());
    assert_eq!(client.next().payload, b"a");
    assert_eq!(client.next().close_code(), Some(1000));
    assert_eq!(client.hear(), Heard::End);
    server.until_stats("the ends", |stats| {
        (stats.closed_by_peer, stats.connections) == (7, 0)
    });

    let mut client = connect(server.addr());
    let frame = CloseFrame {
        code: 4000.into(),
        reason: "bye".into(),
    };
    client.close(Some(frame)).expect("sent");
    assert_eq!(expect_close(&mut client), 4000);
}

struct Closer;

impl Handler for Closer {
    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let code = message
            .as_text()
            .and_then(|text| text.parse().ok())
            .unwrap_or(1003);
        let _ = session.send(Message::text("last word"));
        session.close(CloseCode::new(code), "as asked");
        assert!(
            session.send(message).is_err(),
            "nothing after the close frame"
        );
        session.close(CloseCode::NORMAL, "twice is once");
    }
}

pub(crate) fn the_server_closes_with_a_code_and_a_reason(driver: DriverChoice) {
    let builder = Running::builder(driver, 1)
        .settings(Running::settings())
        .handler(|_| Closer);
    let server = Running::start(builder);
    for code in [1000, 1008, 3000, 4999] {
        let mut client = connect(server.addr());
        client
            .send(tungstenite::Message::text(code.to_string()))
            .expect("sent");
        assert_eq!(
            client.read().expect("a message"),
            tungstenite::Message::text("last word")
        );
        match client.read() {
            Ok(tungstenite::Message::Close(Some(frame))) => {
                assert_eq!(
                    (u16::from(frame.code), frame.reason.as_str()),
                    (code, "as asked")
                );
            }
            other => panic!("{other:?}"),
        }
        // The server ends the connection once the answer is there (RFC 6455 7.1.1).
        while client.read().is_ok() {}
    }
    server.until_stats("the ends", |stats| {
        (stats.closed_here, stats.connections) == (4, 0)
    });
}

/// A peer that answers neither the close frame nor FIN is waited for only so long.
pub(crate) fn an_unanswered_close_ends_in_time(driver: DriverChoice) {
    let mut settings = Running::settings();
    settings.close_timeout = std::time::Duration::from_millis(100);
    let builder = Running::builder(driver, 1)
        .settings(settings)
        .handler(|_| Closer);
    let server = Running::start(builder);
    let mut closed = Wire::open(server.addr(), "/");
    closed.frame(Opcode::Text, b"1000");
    assert_eq!(closed.next().payload, b"last word");
    assert_eq!(closed.next().close_code(), Some(1000));
    let mut offender = Wire::open(server.addr(), "/");
    offender.frame(Opcode::Continuation, b"");
    assert_eq!(offender.next().close_code(), Some(1002));
    let mut refused = Wire::dial(server.addr());
    refused.send(b"GET / HTTP/1.0\r\n\r\n");
    assert!(refused.head().starts_with("HTTP/1.1 505 "));
    // None of them says anything more.
    server.until_stats("their ends", |stats| {
        (stats.accepted, stats.connections, stats.sessions) == (3, 0, 0)
    });
}

pub(crate) fn pipelined_frames_are_answered_in_order(driver: DriverChoice) {
    let server = echo_server(driver, 1);
    let mut client = Wire::dial(server.addr());
    // Right behind the request head, all in one write.
    let mut bytes = request("/", "").into_bytes();
    for number in 0..1000u32 {
        bytes.extend(frame_bytes(0x82, &number.to_be_bytes()));
    }
    client.send(&bytes);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    for number in 0..1000u32 {
        assert_eq!(client.next().payload, number.to_be_bytes());
    }
    server.until_stats("the messages", |stats| stats.messages_received == 1000);
}

/// A peer that sends and does not read is not read from either; when it reads, all is there.
pub(crate) fn an_echo_that_is_not_read_waits(driver: DriverChoice) {
    const COUNT: u32 = 200;
    let server = echo_server(driver, 1);
    let mut client = Wire::dial_small(server.addr());
    client.upgrade("/", "");
    let stream = client.stream().try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || {
        for number in 0..COUNT {
            let mut payload = vec![7; 64 * 1024];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            std::io::Write::write_all(&mut &stream, &frame_bytes(0x82, &payload)).expect("sent");
        }
    });
    server.until_stats("the hold", |stats| stats.held > 0);
    let held = server.stats().messages_received;
    assert!(
        held < u64::from(COUNT),
        "{held} messages taken from one who does not read"
    );
    for number in 0..COUNT {
        let answer = client.next();
        assert_eq!(
            (answer.payload.len(), &answer.payload[..4]),
            (65_536, &number.to_be_bytes()[..])
        );
    }
    writer.join().expect("all sent");
    let stats = server.stats();
    assert_eq!((stats.send_refused, stats.no_memory), (0, 0));
}

pub(crate) fn many_connections_on_several_workers(driver: DriverChoice) {
    const COUNT: u32 = 400;
    let server = echo_server(driver, 3);
    let mut clients: Vec<Wire> = (0..COUNT).map(|_| Wire::dial(server.addr())).collect();
    for client in &mut clients {
        client.send(request("/", "").as_bytes());
    }
    for client in &mut clients {
        assert!(client.head().starts_with("HTTP/1.1 101 "));
    }
    for round in 0..5u32 {
        for (number, client) in (0..).zip(&mut clients) {
            client.frame(Opcode::Binary, &(round * COUNT + number).to_be_bytes());
        }
        for (number, client) in (0..).zip(&mut clients) {
            assert_eq!(
                client.next().payload,
                (round * COUNT + number).to_be_bytes()
            );
        }
    }
    server.until_stats("the counters", |stats| {
        (stats.sessions, stats.messages_received) == (u64::from(COUNT), u64::from(COUNT) * 5)
    });
    // The spread: no worker has less than half of its share.
    let sessions: Vec<u64> = server
        .handle()
        .worker_stats()
        .iter()
        .map(|s| s.sessions)
        .collect();
    assert!(
        sessions.iter().all(|count| *count > u64::from(COUNT) / 6),
        "{sessions:?}"
    );
}

pub(crate) fn a_subprotocol_is_agreed(driver: DriverChoice) {
    struct Protocol;
    impl Handler for Protocol {
        fn message(&mut self, session: &mut Session<'_>, _: Message<'_>) {
            let agreed = format!("{:?} {}", session.protocol(), session.path());
            let _ = session.send(Message::text(&agreed));
        }
    }
    let mut settings = Running::settings();
    settings.accept.protocols = vec!["chat.v1".to_owned(), "chat.v2".to_owned()];
    let builder = Running::builder(driver, 1)
        .settings(settings)
        .handler(|_| Protocol);
    let server = Running::start(builder);
    // The client's order is its preference; the foreign client checks the answer.
    let offers = [
        ("chat.v2, chat.v1", "Some(1) /"),
        ("mqtt, chat.v1", "Some(0) /"),
    ];
    for (offer, agreed) in offers {
        let headers = [("Sec-WebSocket-Protocol", offer)];
        let (mut client, response) = connect_with(server.addr(), &headers).expect("accepted");
        assert!(response.headers().contains_key("Sec-WebSocket-Protocol"));
        client.send(tungstenite::Message::text("?")).expect("sent");
        assert_eq!(
            client.read().expect("an answer"),
            tungstenite::Message::text(agreed)
        );
    }
    let mut none = Wire::dial(server.addr());
    let head = none.upgrade("/a/b?c=d", "Sec-WebSocket-Protocol: mqtt\r\n");
    assert!(!head.contains("Sec-WebSocket-Protocol"), "{head}");
    none.frame(Opcode::Text, b"?");
    assert_eq!(none.next().payload, b"None /a/b");
}

pub(crate) fn origins_are_checked(driver: DriverChoice) {
    let mut settings = Running::settings();
    let good = "https://example.com";
    settings.accept.origins = hioload_ws::handshake::OriginPolicy::List(vec![good.to_owned()]);
    let builder = Running::builder(driver, 1)
        .settings(settings)
        .handler(|_| Echo);
    let server = Running::start(builder);
    assert!(connect_with(server.addr(), &[("Origin", good)]).is_ok());
    assert!(connect_with(server.addr(), &[]).is_ok(), "no browser");
    let refused = connect_with(server.addr(), &[("Origin", "https://evil.example")]);
    assert_eq!(refused.map(drop), Err(403));
    server.until_stats("the refusal", |stats| {
        (stats.handshakes, stats.handshakes_refused) == (2, 1)
    });
}
