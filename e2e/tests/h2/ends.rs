//! How streams and connections end before their time.

use std::io::Read as _;

use hioload::DriverChoice;
use hioload_e2e::{hash_of, until};

use crate::kit::{Peer, Scene, answer_of, content, request, run, send};

pub(crate) fn a_stream_taken_back_stores_nothing(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        for round in 0..30 {
            let part = content(round, 40_000);
            let (_answer, mut stream) = peer.begin(request("POST", "/blocks"), false).await;
            send(&mut stream, &part, false).await;
            stream.send_reset(h2::Reason::CANCEL);
        }
        let content = content(1, 300_000);
        let path = format!("/blocks/{}", hash_of(&content));
        assert_eq!(peer.ask("PUT", &path, &content).await.status(), 201);
        // Figures are shown a moment later.
        let mut blocks = None;
        while blocks.is_none_or(|blocks| blocks == 0) {
            let answer = peer.ask("GET", "/stats", b"").await;
            let stats: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            blocks = stats["controller"]["blocks"].as_u64();
        }
        assert_eq!(blocks, Some(1));
    });
}

pub(crate) fn a_lost_connection_ends_its_sessions(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        let mut tunnels = Vec::new();
        for _ in 0..10 {
            tunnels.push(peer.open_tunnel("/").await);
        }
        let (_answer, mut stream) = peer.begin(request("POST", "/blocks"), false).await;
        send(&mut stream, &content(1, 1000), false).await;
        scene
            .server
            .until_stats("sessions", |stats| stats.sessions == 10);
    });
    // With the runtime, its sockets are gone.
    scene.server.until_stats("nothing left", |stats| {
        stats.sessions == 0 && stats.h2_streams == 0 && stats.connections == 0
    });
}

pub(crate) fn a_shutdown_is_announced_and_answers_what_is_under_way(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    run(async {
        let (mut peer, end) = Peer::dial_with(scene.addr(), &mut h2::client::Builder::new()).await;
        let content = content(1, 200_000);
        let (answer, mut stream) = peer.begin(request("POST", "/blocks"), false).await;
        send(&mut stream, &content[..100_000], false).await;
        scene.server.handle().shutdown();
        until("the shutdown", || scene.server.handle().is_draining());
        send(&mut stream, &content[100_000..], true).await;
        let answer = answer_of(answer).await;
        assert_eq!(
            (answer.status(), answer.body),
            (201, hash_of(&content).into_bytes())
        );
        end.await.expect("no panic").expect("it ended in order");
    });
    assert!(scene.server.ended());
}

pub(crate) fn a_shutdown_closes_tunnels_in_order(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        let mut tunnel = peer.open_tunnel("/").await;
        scene.server.handle().shutdown();
        let (first, payload) = tunnel.next().await.expect("a close frame");
        assert_eq!((first, &payload[..2]), (0x88, &[0x03, 0xE9][..]), "1001");
        tunnel.frame(0x88, &payload[..2]).await;
        tunnel
            .send
            .send_data(bytes::Bytes::new(), true)
            .expect("an end");
        assert_eq!(tunnel.next().await, None);
    });
    assert!(scene.server.ended());
    let gone = std::net::TcpStream::connect(scene.addr());
    assert!(gone.is_err() || gone.is_ok_and(|mut stream| stream.read(&mut [0]).is_err()));
}
