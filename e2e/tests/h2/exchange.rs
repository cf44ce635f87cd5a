//! Requests and answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use hioload::DriverChoice;
use hioload_e2e::{Running, hash_of};

use crate::kit::{Peer, Scene, answer_of, content, request, run, send, try_send};

const SIZES: [usize; 7] = [1, 4095, 4096, 16_384, 65_536, 100_000, 512 * 1024];

pub(crate) fn blocks_of_every_size_go_in_and_come_out(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        for size in SIZES {
            let content = content(size as u64, size);
            let path = format!("/blocks/{}", hash_of(&content));
            let put = peer.ask("PUT", &path, &content).await;
            assert_eq!(put.status(), 201, "{size}: {put:?}");
            assert_eq!(put.body, hash_of(&content).as_bytes());
            let got = peer.ask("GET", &path, b"").await;
            assert_eq!(got.status(), 200);
            assert!(got.body == content, "{size} bytes");
            assert_eq!(got.field("content-length"), size.to_string());
            assert_eq!(got.field("etag"), format!("\"{}\"", hash_of(&content)));
            assert!(got.field("date").ends_with("GMT"), "{got:?}");
            let head = peer.ask("HEAD", &path, b"").await;
            assert_eq!(head.field("content-length"), size.to_string());
            assert!(head.status() == 200 && head.body.is_empty());
        }
        let path = format!("/{}", hash_of(&content(1, 1)));
        assert_eq!(peer.ask("PUT", "/", &content(9, 10)).await.status(), 201);
        assert_eq!(peer.ask("DELETE", &path, b"").await.status(), 204);
        assert_eq!(peer.ask("GET", &path, b"").await.status(), 404);
    });
}

pub(crate) fn a_hundred_requests_share_a_connection(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        let contents: Vec<Vec<u8>> = (0..100).map(|n| content(n, 20_000 + n as usize)).collect();
        for phase in ["PUT", "GET"] {
            let mut under_way = Vec::new();
            for content in &contents {
                let path = format!("/blocks/{}", hash_of(content));
                let mut peer = peer.clone();
                let body = if phase == "PUT" {
                    content.clone()
                } else {
                    Vec::new()
                };
                under_way.push(tokio::spawn(
                    async move { peer.ask(phase, &path, &body).await },
                ));
            }
            for (answer, content) in under_way.into_iter().zip(&contents) {
                let answer = answer.await.expect("an answer");
                match phase {
                    "PUT" => assert_eq!(answer.status(), 201),
                    _ => assert!(answer.body == *content),
                }
            }
        }
        assert_eq!(peer.ask("GET", "/stats", b"").await.status(), 200);
    });
    let is_one = |stats: &hioload::Stats| stats.accepted == 1 && stats.requests > 200;
    scene.server.until_stats("one connection", is_one);
}

pub(crate) fn conditions_and_ranges_are_kept(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        let content = content(3, 30_000);
        let path = format!("/blocks/{}", hash_of(&content));
        assert_eq!(peer.ask("PUT", &path, &content).await.status(), 201);
        let with = |name: &'static str, value: String| {
            let mut request = request("GET", &path);
            let value = value.parse().expect("a value");
            request.headers_mut().insert(name, value);
            request
        };
        let known = with("if-none-match", format!("\"{}\"", hash_of(&content)));
        let answer = peer.ask_with(known, b"").await;
        assert_eq!((answer.status(), answer.body.len()), (304, 0));
        let answer = peer
            .ask_with(with("range", "bytes=5000-25000".into()), b"")
            .await;
        assert_eq!(answer.status(), 206);
        assert!(answer.body == content[5000..=25000]);
        assert_eq!(answer.field("content-range"), "bytes 5000-25000/30000");
        let answer = peer
            .ask_with(with("range", "bytes=40000-".into()), b"")
            .await;
        assert_eq!(answer.status(), 416);
        let mut wrong = path.clone().into_bytes();
        let last = wrong.last_mut().expect("a name");
        *last = if *last == b'0' { b'1' } else { b'0' };
        let wrong = String::from_utf8(wrong).expect("text");
        assert_eq!(peer.ask("PUT", &wrong, &content).await.status(), 422);
        assert_eq!(peer.ask("PUT", &wrong, b"").await.status(), 400);
    });
}

pub(crate) fn a_page_that_is_not_welcome_changes_nothing(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        let hash = hash_of(b"x");
        for (origin, is_welcome) in [("http://elsewhere.example", false), ("http://test", true)] {
            for (method, path, body, status) in [
                ("PUT", format!("/blocks/{hash}"), &b"x"[..], 201),
                ("POST", "/blocks".to_owned(), b"x", 200),
                ("DELETE", format!("/blocks/{hash}"), b"", 204),
            ] {
                let mut request = request(method, &path);
                let origin = origin.parse().expect("a value");
                request.headers_mut().insert("origin", origin);
                let answer = peer.ask_with(request, body).await;
                let status = if is_welcome { status } else { 403 };
                assert_eq!(answer.status(), status, "{method} {path}");
            }
        }
    });
}

pub(crate) fn a_refused_body_harms_nobody(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        for _ in 0..20 {
            // Of unknown length, and too long: the answer comes while it is still being sent.
            let (answer, mut stream) = peer.begin(request("POST", "/blocks"), false).await;
            let body = vec![7; 600 * 1024];
            let sent = tokio::spawn(async move { try_send(&mut stream, &body, true).await });
            let answer = answer_of(answer).await;
            assert_eq!(answer.status(), 413, "{answer:?}");
            let _ = sent.await.expect("no panic");
        }
        // Neither the connection nor its window suffered.
        let content = content(1, 500_000);
        let path = format!("/blocks/{}", hash_of(&content));
        assert_eq!(peer.ask("PUT", &path, &content).await.status(), 201);
        assert!(peer.ask("GET", &path, b"").await.body == content);
    });
}

pub(crate) fn a_peer_that_waits_for_100_gets_it(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        let mut request = request("POST", "/blocks");
        let value = "100-continue".parse().expect("a value");
        request.headers_mut().insert("expect", value);
        let (mut answer, mut stream) = peer.begin(request, false).await;
        let interim = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        let interim = interim.expect("one").expect("an interim answer");
        assert_eq!(interim.status().as_u16(), 100);
        send(&mut stream, b"content", true).await;
        assert_eq!(answer_of(answer).await.status(), 201);
    });
}

pub(crate) fn what_is_not_there_is_404(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let mut peer = Peer::dial(scene.addr()).await;
        assert_eq!(peer.ask("POST", "/nothing", b"").await.status(), 404);
        assert_eq!(
            peer.ask("POST", "/nothing", b"with a body").await.status(),
            404
        );
        assert_eq!(peer.ask("PATCH", "/blocks", b"").await.status(), 405);
        assert_eq!(peer.ask("GET", "/blocks/12", b"").await.status(), 400);
    });
}

pub(crate) fn a_server_without_a_store_speaks_it_too(driver: DriverChoice) {
    let server = Running::start(Running::builder(driver, 1).settings(Running::settings()));
    run(async {
        let mut peer = Peer::dial(server.addr()).await;
        assert_eq!(peer.ask("PUT", "/", b"content").await.status(), 404);
        let mut tunnel = peer.open_tunnel("/").await;
        let mut other = peer.open_tunnel("/").await;
        tunnel.frame(0x81, b"hello").await;
        assert_eq!(other.next().await, Some((0x81, b"hello".to_vec())));
    });
}

/// A hand-made request; the connection's first bytes, the preface included, come in pieces.
pub(crate) fn bytes_may_come_one_by_one(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // :method GET, :scheme http, :path /, :authority h
    let block = [0x82, 0x86, 0x84, 0x41, 0x01, b'h'];
    bytes.extend_from_slice(&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]);
    bytes.extend_from_slice(&block);
    for step in [1, 2, 5, 23, 24, 25] {
        let mut stream = TcpStream::connect(scene.addr()).expect("it listens");
        stream.set_nodelay(true).expect("an option");
        let patience = Some(hioload_e2e::TIME_MAX);
        stream.set_read_timeout(patience).expect("an option");
        for piece in bytes.chunks(step) {
            stream.write_all(piece).expect("sent");
        }
        // Frames of the server: settings, their acknowledgement, then the answer.
        loop {
            let mut header = [0; 9];
            stream.read_exact(&mut header).expect("a frame");
            let len = usize::from(header[1]) << 8 | usize::from(header[2]);
            let mut payload = vec![0; len];
            stream.read_exact(&mut payload).expect("a payload");
            assert_ne!(header[3], 7, "no GOAWAY: {payload:?}");
            if header[3] == 1 {
                assert_eq!(header[8], 1, "the stream");
                break;
            }
        }
    }
}

pub(crate) fn one_who_takes_nothing_harms_nobody(driver: DriverChoice) {
    let scene = Scene::new(driver);
    run(async {
        let content = content(5, 512 * 1024);
        let path = format!("/blocks/{}", hash_of(&content));
        let mut healthy = Peer::dial(scene.addr()).await;
        assert_eq!(healthy.ask("PUT", &path, &content).await.status(), 201);
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(1)
            .initial_connection_window_size(1 << 20);
        let (mut slow, _end) = Peer::dial_with(scene.addr(), &mut builder).await;
        let mut waiting = Vec::new();
        for _ in 0..100 {
            waiting.push(slow.begin(request("GET", &path), true).await);
        }
        for _ in 0..20 {
            assert!(healthy.ask("GET", &path, b"").await.body == content);
        }
        // Those whose content is read get their head; the others wait for them.
        // The first of them are read, the others wait for these.
        let (answer, _) = waiting.swap_remove(0);
        assert_eq!(answer.await.expect("a head").status().as_u16(), 200);
    });
}
