//! WebSocket over the client's connections: by upgrade, and as a stream of HTTP/2 with hyper at the other end.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hioload::client::{ClientError, ClientOptions, Incoming};
use hioload::http_client::{HttpClient, HttpError, Protocol};
use hioload::{CloseCode, Message};
use hioload_ws::handshake::{AcceptPolicy, HandshakeLimits, Request, accept};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming as IncomingBody};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The answer to one small masked frame: the same, unmasked; a close is answered by a close. And how long the frame
/// was.
fn echo(frame: &[u8]) -> Option<(Vec<u8>, usize)> {
    let length = usize::from(frame.get(1)? & 0x7F);
    let payload = frame.get(6..6 + length)?;
    let mask = &frame[2..6];
    let plain = payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b);
    let mut answer = vec![frame[0], length as u8];
    answer.extend(plain);
    Some((answer, 6 + length))
}

/// A server that speaks WebSocket by upgrade, by hand.
fn upgrade_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || upgraded(stream));
        }
    });
    format!("ws://{address}/live")
}

fn upgraded(mut stream: TcpStream) {
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    let policy = AcceptPolicy {
        protocols: vec!["chat".to_owned()],
        ..AcceptPolicy::default()
    };
    let mut is_open = false;
    loop {
        let size = stream.read(&mut buffer).unwrap_or(0);
        if size == 0 {
            return;
        }
        input.extend_from_slice(&buffer[..size]);
        let mut out = Vec::new();
        if !is_open
            && let Ok(Some((request, used))) = Request::parse(&input, &HandshakeLimits::default())
        {
            accept(&request, &policy, &mut out).expect("a handshake");
            input.drain(..used);
            is_open = true;
        }
        while is_open && let Some((answer, used)) = echo(&input) {
            out.extend(answer);
            input.drain(..used);
        }
        let _ = stream.write_all(&out);
    }
}

async fn stream_of_http2(
    request: hyper::Request<IncomingBody>,
) -> Result<hyper::Response<Empty<Bytes>>, Infallible> {
    let protocol = request.extensions().get::<hyper::ext::Protocol>();
    let is_tunnel = protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
    let mut response = hyper::Response::new(Empty::new());
    if !is_tunnel {
        *response.status_mut() = hyper::StatusCode::NOT_FOUND;
        return Ok(response);
    }
    assert!(!request.headers().contains_key("sec-websocket-key"));
    assert_eq!(request.headers()["sec-websocket-version"], "13");
    response.headers_mut().insert(
        "sec-websocket-protocol",
        hyper::header::HeaderValue::from_static("chat"),
    );
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        let mut stream = TokioIo::new(upgraded);
        let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(size @ 1..) = stream.read(&mut buffer).await {
            input.extend_from_slice(&buffer[..size]);
            while let Some((answer, used)) = echo(&input) {
                input.drain(..used);
                let _ = stream.write_all(&answer).await;
            }
            let _ = stream.flush().await;
        }
    });
    Ok(response)
}

/// hyper with extended CONNECT, in clear.
fn http2_server() -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port");
            let address = listener.local_addr().expect("an address");
            sender
                .send(format!("ws://{address}/live"))
                .expect("somebody waits");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut builder =
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    builder.enable_connect_protocol();
                    let service = service_fn(stream_of_http2);
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
    });
    receiver.recv().expect("an address")
}

fn options() -> ClientOptions {
    ClientOptions {
        protocols: vec!["other".to_owned(), "chat".to_owned()],
        ..ClientOptions::default()
    }
}

fn talk(client: &HttpClient, url: &str, protocol: Protocol) {
    let mut socket = client.websocket(url, options()).expect("a connection");
    let nothing = socket.recv_timeout(Duration::ZERO);
    let is_timeout = matches!(
        nothing,
        Err(HttpError::WebSocket(ClientError::Timeout { .. }))
    );
    assert!(is_timeout, "{nothing:?}");
    socket.send(Message::text("on time")).expect("it is open");
    let incoming = socket.recv_timeout(Duration::from_secs(30));
    let expected = Incoming::Text("on time".to_owned());
    assert_eq!(incoming.expect("still open"), Some(expected));
    assert_eq!((socket.http(), socket.protocol()), (protocol, Some("chat")));
    for n in 0..100 {
        let text = format!("message {n}");
        socket.send(Message::text(&text)).expect("sent");
        let back = socket.recv().expect("a message");
        assert_eq!(back, Some(Incoming::Text(text)));
    }
    let closing = socket.close(CloseCode::NORMAL, "enough").expect("closed");
    assert_eq!(
        (closing.code, &*closing.reason),
        (CloseCode::NORMAL, "enough")
    );
}

#[test]
fn by_upgrade() {
    let client = HttpClient::new().expect("a client");
    talk(&client, &upgrade_server(), Protocol::Http1);
}

#[test]
fn as_streams_of_one_http2_connection() {
    let client = HttpClient::builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let url = http2_server();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| talk(&client, &url, Protocol::Http2));
        }
    });
    let other = client
        .get(&url.replace("ws://", "http://"))
        .expect("an answer");
    assert_eq!(other.status(), 404);
}

#[test]
fn a_server_that_speaks_something_else() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    });
    let client = HttpClient::new().expect("a client");
    let refused = client.websocket(&format!("ws://{address}/"), options());
    assert!(
        matches!(refused, Err(HttpError::Refused(404))),
        "{refused:?}"
    );
}
