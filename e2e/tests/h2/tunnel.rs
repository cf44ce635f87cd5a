//! WebSocket sessions in streams (RFC 8441).

use hioload::{DriverChoice, Echo};
use hioload_e2e::{Opcode, Running, Wire};
use hioload_ws::deflate::DeflatePolicy;
use hioload_ws::handshake::OriginPolicy;

use crate::kit::{Peer, Scene, Tunnel, content, request, run, settings};

fn echo(driver: DriverChoice) -> Running {
    let builder = Running::builder(driver, 1).settings(Running::settings());
    Running::start(builder.handler(|_| Echo))
}

pub(crate) fn a_message_is_echoed(driver: DriverChoice) {
    let server = echo(driver);
    run(async {
        let mut peer = Peer::dial(server.addr()).await;
        let mut tunnel = peer.open_tunnel("/chat?room=1").await;
        for round in 0..200_u32 {
            let text = round.to_string().into_bytes();
            tunnel.frame(0x81, &text).await;
            assert_eq!(tunnel.next().await, Some((0x81, text)));
        }
        tunnel.frame(0x89, b"ping").await;
        assert_eq!(tunnel.next().await, Some((0x8A, b"ping".to_vec())));
    });
    server.until_stats("the messages", |stats| stats.messages_received == 200);
}

/// More than any window, both ways, again and again: who never gives window back stands still.
pub(crate) fn large_messages_pass_every_window(driver: DriverChoice) {
    let server = echo(driver);
    run(async {
        let mut peer = Peer::dial(server.addr()).await;
        let mut tunnel = peer.open_tunnel("/").await;
        for round in 0..20 {
            let message = content(round, 300_000);
            tunnel.frame(0x82, &message).await;
            let (first, payload) = tunnel.next().await.expect("an echo");
            assert!(first == 0x82 && payload == message);
        }
        // Many, while the answers are read.
        let Tunnel {
            mut send,
            recv: mut reading,
        } = tunnel;
        let writing = tokio::spawn(async move {
            for round in 0..50 {
                let frame = hioload_e2e::frame_bytes(0x82, &content(round, 65_536));
                crate::kit::send(&mut send, &frame, false).await;
            }
            send
        });
        for round in 0..50 {
            assert!(reading.next().await.expect("an echo").1 == content(round, 65_536));
        }
        drop(writing.await.expect("no panic"));
    });
}

pub(crate) fn frames_reach_all_the_others_over_either_version(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut old = Wire::open(scene.addr(), "/");
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        let mut one = peer.open_tunnel("/").await;
        let mut two = peer.open_tunnel("/").await;
        for round in 0..50_u8 {
            one.frame(0x82, &[round; 100]).await;
            assert_eq!(two.next().await, Some((0x82, vec![round; 100])));
            assert_eq!(old.next().payload, vec![round; 100]);
            old.frame(Opcode::Text, b"from the socket");
            let expected = Some((0x81, b"from the socket".to_vec()));
            assert_eq!(one.next().await, expected);
            assert_eq!(two.next().await, expected);
        }
    });
}

pub(crate) fn many_tunnels_share_a_connection(driver: DriverChoice) {
    let server = echo(driver);
    run(async {
        let mut peer = Peer::dial(server.addr()).await;
        let mut tunnels = Vec::new();
        for _ in 0..60 {
            tunnels.push(peer.open_tunnel("/").await);
        }
        for round in 0..20_u8 {
            for (number, tunnel) in tunnels.iter_mut().enumerate() {
                tunnel.frame(0x82, &[round, number as u8]).await;
            }
            for (number, tunnel) in tunnels.iter_mut().enumerate() {
                assert_eq!(tunnel.next().await, Some((0x82, vec![round, number as u8])));
            }
        }
    });
    server.until_stats("one connection, sixty sessions", |stats| {
        (stats.accepted, stats.handshakes) == (1, 60)
    });
}

pub(crate) fn deflate_is_agreed_and_marked(driver: DriverChoice) {
    let with = settings(|settings| settings.accept.deflate = Some(DeflatePolicy::default()));
    let builder = Running::builder(driver, 1).settings(with);
    let server = Running::start(builder.handler(|_| Echo));
    run(async {
        let mut peer = Peer::dial(server.addr()).await;
        let offer = [("sec-websocket-extensions", "permessage-deflate")];
        let (status, mut tunnel, fields) = peer.tunnel("/", &offer).await;
        assert_eq!(status, 200);
        let agreed = fields["sec-websocket-extensions"].to_str().expect("text");
        assert!(agreed.starts_with("permessage-deflate"), "{agreed}");
        assert!(!fields.contains_key("sec-websocket-accept"), "{fields:?}");
        let text = vec![b'a'; 1000];
        tunnel.frame(0x81, &text).await;
        let (first, payload) = tunnel.next().await.expect("an echo");
        // RFC 7692 6.1: a compressed message has RSV1.
        assert_eq!(first, 0xC1);
        assert!(payload.len() < 100, "{} bytes", payload.len());
    });
}

pub(crate) fn a_close_is_answered_and_ends_the_stream(driver: DriverChoice) {
    let server = echo(driver);
    run(async {
        let mut peer = Peer::dial(server.addr()).await;
        let mut tunnel = peer.open_tunnel("/").await;
        tunnel.frame(0x88, &[0x03, 0xE8]).await;
        assert_eq!(tunnel.next().await, Some((0x88, vec![0x03, 0xE8])));
        tunnel
            .send
            .send_data(bytes::Bytes::new(), true)
            .expect("an end");
        assert_eq!(tunnel.next().await, None);
        assert!(tunnel.recv.is_end(), "it ended in order");
        let mut other = peer.open_tunnel("/").await;
        other.frame(0x81, b"still here").await;
        assert!(other.next().await.is_some());
    });
    server.until_stats("the end of a session", |stats| stats.closed_by_peer == 1);
}

pub(crate) fn a_reset_ends_the_session(driver: DriverChoice) {
    let server = echo(driver);
    run(async {
        let mut peer = Peer::dial(server.addr()).await;
        for _ in 0..10 {
            let mut tunnel = peer.open_tunnel("/").await;
            tunnel.frame(0x81, b"hello").await;
            assert!(tunnel.next().await.is_some());
            tunnel.send.send_reset(h2::Reason::CANCEL);
        }
        let mut last = peer.open_tunnel("/").await;
        last.frame(0x81, b"hello").await;
        assert!(last.next().await.is_some());
    });
    server.until_stats("the ends of sessions", |stats| {
        stats.closed_lost == 11 && stats.sessions == 0 && stats.h2_streams == 0
    });
}

pub(crate) fn what_is_refused_has_its_status(driver: DriverChoice) {
    let with = settings(|settings| {
        settings.accept.origins = OriginPolicy::List(vec!["https://example.com".into()]);
    });
    let server = Running::start(Running::builder(driver, 1).settings(with));
    run(async {
        let mut peer = Peer::dial(server.addr()).await;
        let (status, ..) = peer
            .tunnel("/", &[("origin", "https://other.example")])
            .await;
        assert_eq!(status, 403);
        let (status, ..) = peer.tunnel("/", &[("origin", "https://example.com")]).await;
        assert_eq!(status, 200);
        // Another protocol than WebSocket.
        let mut request = request("CONNECT", "/");
        request
            .extensions_mut()
            .insert(h2::ext::Protocol::from_static("connect-udp"));
        let (answer, _stream) = peer.begin(request, false).await;
        assert_eq!(answer.await.expect("an answer").status().as_u16(), 501);
    });
}

/// A channel read as server-sent events, beside those who read it as WebSockets.
pub(crate) fn events_come_over_a_stream(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        let mut ask = request("GET", "/events");
        let value = "text/event-stream".parse().expect("a value");
        ask.headers_mut().insert("accept", value);
        let (answer, _) = peer.begin(ask, true).await;
        let (head, mut recv) = answer.await.expect("an answer").into_parts();
        assert_eq!(head.status.as_u16(), 200);
        assert_eq!(head.headers["content-type"], "text/event-stream");
        let mut tunnel = peer.open_tunnel("/").await;
        let mut events = String::new();
        for round in 0..50 {
            tunnel
                .frame(0x81, format!("hello {round}").as_bytes())
                .await;
            let expected = format!("data: hello {round}\n\n");
            while !events.contains(&expected) {
                let piece = recv.data().await.expect("more").expect("a piece");
                let _ = recv.flow_control().release_capacity(piece.len());
                events += std::str::from_utf8(&piece).expect("text");
            }
        }
        assert_eq!(events.matches("data: hello").count(), 50);
    });
}
