//! The crate `h2` on the other end: its client against our server, its server against our client, over pipes in memory.

mod h2_kit;

use std::collections::BTreeMap;
use std::future::poll_fn;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use h2_kit::{Seen, Side, fields, get, post, tunnel};
use hioload_base::Prng;
use hioload_http::h2::{ErrorCode, HeadKind, Limits, RequestHead};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// Runs one of our ends on a pipe until the other one closes it; `act` is asked whenever something came.
async fn drive(
    mut side: Side,
    mut pipe: DuplexStream,
    seed: u64,
    mut act: impl FnMut(&mut Side, Vec<Seen>),
) -> Side {
    let mut random = Prng::new(seed);
    let mut buffer = vec![0; 70_000];
    loop {
        let seen = side.take_seen();
        act(&mut side, seen);
        let wire = side.take_wire();
        if !wire.is_empty() && pipe.write_all(&wire).await.is_err() {
            return side;
        }
        if side.connection.is_drained() || side.connection.is_closed() {
            let _ = pipe.shutdown().await;
            return side;
        }
        // Any cuts.
        let size = random.below(buffer.len() as u64) as usize + 1;
        match pipe.read(&mut buffer[..size]).await {
            Ok(0) | Err(_) => return side,
            Ok(len) => side.feed(&buffer[..len]).expect("h2 is sound"),
        }
    }
}

/// What our server does with what it sees: `/n` is answered by so many bytes, a POST by what it sent.
fn serve(side: &mut Side, seen: Vec<Seen>) {
    for one in seen {
        match one {
            Seen::Head(id, HeadKind::Request, list, end) => {
                let value = |name: &str| {
                    list.iter()
                        .find(|(one, _)| one == name)
                        .map(|(_, value)| value.clone())
                };
                let (method, path) = (
                    value(":method").expect("checked"),
                    value(":path").expect("checked"),
                );
                let stream = side.streams[&id];
                side.connection
                    .inform(stream, 103, fields(&[("link", "</a>")]))
                    .expect("due");
                let list = [
                    ("server", "ours"),
                    ("set-cookie", "a=b"),
                    ("set-cookie", "c=d"),
                    ("x-path", &path),
                ];
                let is_head = method == "HEAD";
                side.connection
                    .respond(stream, 200, fields(&list), is_head)
                    .expect("due");
                if method == "GET" {
                    let size = path[1..].parse().expect("a number");
                    side.send(id, &content(size), true);
                } else if end && !is_head {
                    side.send(id, b"", true);
                }
            }
            Seen::Head(id, _, list, _) => {
                side.flush();
                let list: Vec<_> = list
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                // With content that has to wait, trailers do, too: the peer's window decides.
                if side
                    .connection
                    .trailers(side.streams[&id], fields(&list))
                    .is_err()
                {
                    side.connection
                        .queue(side.streams[&id], 0, true)
                        .expect("due");
                }
            }
            Seen::Data(id, bytes, end) => side.send(id, &bytes, end),
            Seen::Reset(id, ..) => side.release(id),
            _ => {}
        }
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|place| (place * 7 % 251) as u8).collect()
}

async fn read_all(body: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("content");
        all.extend_from_slice(&piece);
        body.flow_control()
            .release_capacity(piece.len())
            .expect("it was taken");
    }
    (all, body.trailers().await.expect("trailers, or none"))
}

async fn write_all(stream: &mut SendStream<Bytes>, bytes: &[u8], end: bool) {
    let mut rest = bytes;
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let size = poll_fn(|cx| stream.poll_capacity(cx))
            .await
            .expect("open")
            .expect("room");
        let (now, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        stream
            .send_data(Bytes::copy_from_slice(now), false)
            .expect("room");
    }
    if end {
        stream.send_data(Bytes::new(), true).expect("an end");
    }
}

fn request(method: Method, path: &str) -> Request<()> {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://example.com{path}"));
    request.header("x-some", "thing").body(()).expect("sound")
}

/// Requests of all sizes at once, by their client.
#[test]
fn their_client_and_our_server() {
    for (seed, window) in [(1, 65_535), (2, 1000), (3, 1 << 20)] {
        block_on(async {
            let (near, far) = duplex(1 << 16);
            let side = Side::server(&Limits::default());
            let ours = tokio::spawn(drive(side, near, seed, serve));
            let mut builder = h2::client::Builder::new();
            builder
                .initial_window_size(window)
                .initial_connection_window_size(100_000);
            let (client, connection) = builder
                .handshake::<_, Bytes>(far)
                .await
                .expect("a handshake");
            let theirs = tokio::spawn(connection);
            let mut tasks = Vec::new();
            for turn in 0..60 {
                let mut client = client.clone().ready().await.expect("room");
                let size = turn * 1237;
                tasks.push(tokio::spawn(async move {
                    if turn % 3 == 0 {
                        let (answer, mut body) = client
                            .send_request(request(Method::POST, "/echo"), false)
                            .expect("room");
                        let work = async {
                            write_all(&mut body, &content(size), turn % 2 == 0).await;
                            if turn % 2 == 1 {
                                let mut trailers = HeaderMap::new();
                                trailers.insert("sum", "42".parse().expect("sound"));
                                body.send_trailers(trailers).expect("due");
                            }
                        };
                        let answers = async {
                            let answer = answer.await.expect("an answer");
                            read_all(&mut answer.into_body()).await
                        };
                        let ((), (all, _)) = join(work, answers).await;
                        assert!(all == content(size), "{turn}: {} of {size}", all.len());
                    } else {
                        let method = if turn % 7 == 0 {
                            Method::HEAD
                        } else {
                            Method::GET
                        };
                        let path = format!("/{size}");
                        let (answer, _) = client
                            .send_request(request(method.clone(), &path), true)
                            .expect("room");
                        let answer = answer.await.expect("an answer");
                        assert_eq!(answer.status(), StatusCode::OK);
                        assert_eq!(answer.headers()["x-path"], path);
                        assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
                        let expected = if method == Method::HEAD {
                            vec![]
                        } else {
                            content(size)
                        };
                        assert!(
                            read_all(&mut answer.into_body()).await.0 == expected,
                            "{turn}"
                        );
                    }
                }));
            }
            for task in tasks {
                task.await.expect("no task fails");
            }
            drop(client);
            theirs.await.expect("no panic").expect("no error");
            let mut side = ours.await.expect("no panic");
            for id in side.streams.keys().copied().collect::<Vec<_>>() {
                side.release(id);
            }
            assert_eq!(side.connection.stream_count(), 0);
        });
    }
}

/// Both at once, on one thread.
async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let std::task::Poll::Ready(value) = a.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let std::task::Poll::Ready(value) = b.as_mut().poll(cx)
        {
            second = Some(value);
        }
        if first.is_some() && second.is_some() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    (first.expect("ready"), second.expect("ready"))
}

/// Their server: echoes what it gets, or answers by as much as the path says.
async fn their_server(pipe: DuplexStream, window: u32) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(window)
        .initial_connection_window_size(100_000);
    builder.max_concurrent_streams(20).enable_connect_protocol();
    let mut connection = builder
        .handshake::<_, Bytes>(pipe)
        .await
        .expect("a handshake");
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted.expect("our client is sound");
        tokio::spawn(async move {
            assert_eq!(request.uri().host(), Some("example.com"));
            let path = request.uri().path().to_owned();
            let is_tunnel = request.extensions().get::<Protocol>().is_some();
            let answer = Response::builder()
                .header("server", "theirs")
                .body(())
                .expect("sound");
            let is_head = request.method() == Method::HEAD;
            let mut out = respond.send_response(answer, is_head).expect("due");
            if is_head {
                return;
            }
            if request.method() == Method::GET {
                let size = path[1..].parse().expect("a number");
                write_all(&mut out, &content(size), true).await;
                return;
            }
            let mut body = request.into_body();
            while let Some(piece) = body.data().await {
                let piece = piece.expect("content");
                body.flow_control()
                    .release_capacity(piece.len())
                    .expect("it was taken");
                write_all(&mut out, &piece, false).await;
            }
            match body.trailers().await.expect("trailers, or none") {
                Some(trailers) if !is_tunnel => out.send_trailers(trailers).expect("due"),
                _ => out.send_data(Bytes::new(), true).expect("an end"),
            }
        });
    }
}

/// Requests of all sizes at once, by our client.
#[test]
fn our_client_and_their_server() {
    for (seed, window) in [(4, 65_535), (5, 1000), (6, 1 << 20)] {
        block_on(async {
            let (near, far) = duplex(1 << 16);
            let theirs = tokio::spawn(their_server(far, window));
            let mut turn = 0;
            let mut expected: BTreeMap<u32, (usize, bool)> = BTreeMap::new();
            let mut seen_bytes: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
            let mut done = 0;
            let side = drive(
                Side::client(&Limits::default()),
                near,
                seed,
                |side, seen| {
                    for one in seen {
                        let id = match one {
                            Seen::Head(_, HeadKind::Response, list, false) => {
                                assert_eq!(list[0].1, "200");
                                continue;
                            }
                            Seen::Data(id, bytes, end) => {
                                seen_bytes.entry(id).or_default().extend_from_slice(&bytes);
                                if !end {
                                    continue;
                                }
                                id
                            }
                            Seen::Head(id, kind, list, true) => {
                                if kind == HeadKind::Trailers {
                                    assert_eq!(list, [("sum".to_owned(), "42".to_owned())]);
                                    assert!(expected[&id].1);
                                }
                                id
                            }
                            other => panic!("{other:?}"),
                        };
                        let all = seen_bytes.remove(&id).unwrap_or_default();
                        assert!(all == content(expected[&id].0), "{id}");
                        side.release(id);
                        done += 1;
                    }
                    // As many at once as they take.
                    while turn < 60 && side.connection.stream_count() < 20 {
                        let size = turn * 1237;
                        let path = format!("/{size}");
                        let id = match turn % 4 {
                            0 => {
                                let id = side.open(&post("/echo"), false);
                                side.send(id, &content(size), true);
                                id
                            }
                            1 => {
                                let id = side.open(&post("/echo"), false);
                                // All of it is granted at once only if it fits.
                                side.send(id, &content(size.min(900)), false);
                                side.flush();
                                let stream = side.streams[&id];
                                let is_sent = side
                                    .connection
                                    .trailers(stream, fields(&[("Sum", "42")]))
                                    .is_ok();
                                if !is_sent {
                                    side.connection.queue(stream, 0, true).expect("due");
                                }
                                expected.insert(id, (size.min(900), is_sent));
                                id
                            }
                            2 => {
                                let id = side.open(
                                    &RequestHead {
                                        method: "HEAD",
                                        ..get("/5")
                                    },
                                    true,
                                );
                                expected.insert(id, (0, false));
                                id
                            }
                            _ => side.open(&get(&path), true),
                        };
                        expected.entry(id).or_insert((size, false));
                        turn += 1;
                    }
                    if done == 60 {
                        let now = side.now;
                        side.connection.shutdown(now);
                    }
                },
            )
            .await;
            assert!(side.connection.is_drained());
            assert_eq!(done, 60);
            theirs.await.expect("no panic");
        });
    }
}

#[test]
fn tunnels_with_their_client() {
    block_on(async {
        let (near, far) = duplex(1 << 16);
        let ours = tokio::spawn(drive(
            Side::server(&Limits::default()),
            near,
            7,
            |side, seen| {
                for one in seen {
                    match one {
                        Seen::Head(id, _, list, _) => {
                            assert!(
                                list.contains(&(":protocol".to_owned(), "websocket".to_owned()))
                            );
                            side.respond(id, 200, false);
                        }
                        Seen::Data(id, bytes, end) => side.send(id, &bytes, end),
                        Seen::GoAway(..) => {}
                        other => panic!("{other:?}"),
                    }
                }
            },
        ));
        let (client, connection) = h2::client::Builder::new()
            .handshake::<_, Bytes>(far)
            .await
            .expect("a handshake");
        let theirs = tokio::spawn(connection);
        let mut client = client.ready().await.expect("room");
        while !client.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let mut request = request(Method::CONNECT, "/chat");
        request
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        let (answer, mut out) = client.send_request(request, false).expect("room");
        let mut body = answer.await.expect("an answer").into_body();
        for turn in 1..50 {
            let message = content(turn * 300);
            write_all(&mut out, &message, false).await;
            let mut back = Vec::new();
            while back.len() < message.len() {
                let piece = body.data().await.expect("more").expect("content");
                body.flow_control()
                    .release_capacity(piece.len())
                    .expect("it was taken");
                back.extend_from_slice(&piece);
            }
            assert!(back == message, "{turn}");
        }
        write_all(&mut out, b"", true).await;
        assert!(read_all(&mut body).await.0.is_empty());
        drop((client, out, body));
        theirs.await.expect("no panic").expect("no error");
        ours.await.expect("no panic");
    });
}

#[test]
fn tunnels_with_their_server() {
    block_on(async {
        let (near, far) = duplex(1 << 16);
        let theirs = tokio::spawn(their_server(far, 65_535));
        let (mut id, mut back) = (0, Vec::new());
        drive(Side::client(&Limits::default()), near, 8, |side, seen| {
            if id == 0 {
                if side.connection.peer_settings().enable_connect {
                    id = side.open(&tunnel("/chat"), false);
                    side.send(id, &content(100_000), false);
                }
                return;
            }
            for one in seen {
                match one {
                    Seen::Head(..) => {}
                    Seen::Data(_, bytes, end) => {
                        back.extend_from_slice(&bytes);
                        if back.len() == 100_000 && !end {
                            side.connection
                                .queue(side.streams[&id], 0, true)
                                .expect("open");
                        }
                        if end {
                            side.release(id);
                            let now = side.now;
                            side.connection.shutdown(now);
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        assert!(back == content(100_000));
        theirs.await.expect("no panic");
    });
}

/// Resets, both ways, and a shutdown with a request on its way.
#[test]
fn ends_that_are_not_in_order() {
    block_on(async {
        let (near, far) = duplex(1 << 16);
        let mut resets = 0;
        let (say, hear) = std::sync::mpsc::channel();
        let ours = tokio::spawn(drive(
            Side::server(&Limits::default()),
            near,
            9,
            move |side, seen| {
                for one in seen {
                    match one {
                        Seen::Head(id, _, list, _) if list[3].1 == "/refuse" => {
                            let stream = side.streams[&id];
                            side.connection.reset(stream, ErrorCode::REFUSED_STREAM);
                            side.release(id);
                        }
                        Seen::Head(id, _, list, _) if list[3].1 == "/last" => {
                            let now = side.now;
                            side.connection.shutdown(now);
                            side.respond(id, 200, false);
                            side.send(id, b"bye", true);
                            side.flush();
                            side.release(id);
                        }
                        Seen::Head(id, ..) => {
                            side.respond(id, 200, false);
                            side.send(id, &content(1 << 20), false);
                        }
                        Seen::Reset(id, code, by_peer) => {
                            assert_eq!((code, by_peer), (ErrorCode::CANCEL, true));
                            side.release(id);
                            resets += 1;
                            say.send(resets).expect("heard");
                        }
                        Seen::GoAway(..) => {}
                        other => panic!("{other:?}"),
                    }
                }
            },
        ));
        let (client, connection) = h2::client::handshake(far).await.expect("a handshake");
        let theirs = tokio::spawn(connection);
        for _ in 0..10 {
            let mut client = client.clone().ready().await.expect("room");
            let (answer, _) = client
                .send_request(request(Method::GET, "/"), true)
                .expect("room");
            let mut body: RecvStream = answer.await.expect("an answer").into_body();
            body.data().await.expect("some").expect("content");
            drop(body);
        }
        let mut client = client.ready().await.expect("room");
        let (answer, _): (_, SendStream<Bytes>) = client
            .send_request(request(Method::GET, "/refuse"), true)
            .expect("room");
        let error = answer.await.expect_err("refused");
        assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
        let (answer, _) = client
            .send_request(request(Method::GET, "/last"), true)
            .expect("room");
        let mut body = answer.await.expect("an answer").into_body();
        assert_eq!(read_all(&mut body).await.0, b"bye");
        drop((client, body));
        theirs.await.expect("no panic").expect("in order");
        assert!(ours.await.expect("no panic").connection.is_drained());
        assert_eq!(hear.try_iter().last(), Some(10));
    });
}
