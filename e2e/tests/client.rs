//! The client against a foreign server: tungstenite on a thread of its own.

#![expect(
    clippy::result_large_err,
    reason = "the handshake callback has the signature of tungstenite"
)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use hioload::client::{Client, ClientBuilder, ClientError, HandshakeError, Incoming};
use hioload::{CloseCode, Message};
use hioload_e2e::TIME_MAX;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, coding::CloseCode as ForeignCode};
use tungstenite::{Error, Message as Foreign, WebSocket};

type ForeignServer = WebSocket<TcpStream>;

/// A foreign server for one connection; the callbacks see the handshake and the connection.
fn serve(
    shake: impl FnOnce(&Request, Response) -> Result<Response, ErrorResponse> + Send + 'static,
    talk: impl FnOnce(ForeignServer) + Send + 'static,
) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let url = format!("ws://{}/room?id=7", listener.local_addr().expect("bound"));
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(TIME_MAX)).expect("an option");
        if let Ok(server) = tungstenite::accept_hdr(stream, shake) {
            talk(server);
        }
    });
    (url, thread)
}

/// The same with a handshake that asks for nothing.
fn serve_any(talk: impl FnOnce(ForeignServer) + Send + 'static) -> (String, JoinHandle<()>) {
    serve(|_, response| Ok(response), talk)
}

/// Sends every message back until the client closes.
fn echo(mut server: ForeignServer) {
    loop {
        match server.read() {
            Ok(message @ (Foreign::Text(_) | Foreign::Binary(_))) => {
                server.send(message).expect("the client is there");
            }
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return,
            Err(error) => panic!("the foreign server minds: {error}"),
        }
    }
}

fn builder() -> ClientBuilder {
    Client::builder().read_timeout(Some(TIME_MAX))
}

fn connect(url: &str) -> Client {
    builder().connect(url).expect("the foreign server accepts")
}

fn frame(opcode: Data, is_last: bool, payload: &[u8]) -> Foreign {
    Foreign::Frame(Frame::message(
        payload.to_vec(),
        OpCode::Data(opcode),
        is_last,
    ))
}

#[test]
fn every_size_and_kind_comes_back() {
    let (url, server) = serve_any(echo);
    let mut client = connect(&url);
    for size in [0, 1, 125, 126, 127, 65_535, 65_536, 300_000] {
        let payload: Vec<u8> = (0..size).map(|n: usize| n as u8).collect();
        client.send_binary(&payload).expect("open");
        assert_eq!(
            client.recv().expect("an echo"),
            Some(Incoming::Binary(payload))
        );
        let text = "ü".repeat(size / 2);
        client.send_text(&text).expect("open");
        assert_eq!(client.recv().expect("an echo"), Some(Incoming::Text(text)));
    }
    let closing = client.close(CloseCode::NORMAL, "done").expect("an answer");
    assert_eq!(closing.code, CloseCode::NORMAL);
    server.join().expect("a content server");
}

#[test]
fn pipelined_messages_come_back_in_order() {
    let (url, server) = serve_any(echo);
    let mut client = connect(&url);
    for number in 0..500 {
        client.send_text(&number.to_string()).expect("open");
    }
    for (number, item) in client.messages().take(500).enumerate() {
        assert_eq!(item.expect("an echo"), Incoming::Text(number.to_string()));
    }
    client.close(CloseCode::NORMAL, "").expect("an answer");
    server.join().expect("a content server");
}

#[test]
fn fragments_with_a_ping_between_make_one_message() {
    let (url, server) = serve_any(|mut server| {
        for message in [
            frame(Data::Text, false, "grü".as_bytes()),
            Foreign::Ping(vec![7; 125].into()),
            frame(Data::Continue, false, b""),
            frame(Data::Continue, true, "ße".as_bytes()),
        ] {
            server.send(message).expect("the client is there");
        }
        assert_eq!(
            server.read().expect("a pong"),
            Foreign::Pong(vec![7; 125].into())
        );
        // The client goes away.
        while server.read().is_ok() {}
    });
    let mut client = connect(&url);
    assert_eq!(
        client.recv().expect("a message"),
        Some(Incoming::Text("grüße".into()))
    );
    client.close(CloseCode::NORMAL, "").expect("an answer");
    server.join().expect("a content server");
}

#[test]
fn a_ping_is_answered() {
    let (url, server) = serve_any(echo);
    let mut client = connect(&url);
    client.ping(b"there?").expect("open");
    assert_eq!(
        client.recv().expect("a pong"),
        Some(Incoming::Pong(b"there?".to_vec()))
    );
    client.close(CloseCode::NORMAL, "").expect("an answer");
    server.join().expect("a content server");
}

#[test]
fn the_request_is_what_was_asked_for() {
    let shake = |request: &Request, mut response: Response| {
        assert_eq!(request.uri().path(), "/room");
        assert_eq!(request.uri().query(), Some("id=7"));
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        assert_eq!(header("authorization"), Some("Bearer x"));
        assert_eq!(header("origin"), Some("https://example.org"));
        assert_eq!(header("sec-websocket-protocol"), Some("v2, v1"));
        response
            .headers_mut()
            .insert("sec-websocket-protocol", "v1".parse().expect("a value"));
        Ok(response)
    };
    let (url, server) = serve(shake, echo);
    let mut client = builder()
        .protocol("v2")
        .protocol("v1")
        .header("Authorization", "Bearer x")
        .origin("https://example.org")
        .connect(&url)
        .expect("accepted");
    assert_eq!(client.protocol(), Some("v1"));
    client.close(CloseCode::NORMAL, "").expect("an answer");
    server.join().expect("a content server");
}

#[test]
fn an_offer_to_compress_may_be_declined() {
    let (url, server) = serve_any(echo);
    let mut client = builder()
        .deflate(Default::default())
        .connect(&url)
        .expect("accepted");
    assert!(!client.is_deflate_agreed(), "tungstenite does not compress");
    let text = "again ".repeat(100);
    client.send(Message::text(&text)).expect("open");
    assert_eq!(client.recv().expect("an echo"), Some(Incoming::Text(text)));
    client.close(CloseCode::NORMAL, "").expect("an answer");
    server.join().expect("a content server");
}

#[test]
fn a_refusal_is_told_with_its_status() {
    let shake = |_: &Request, _: Response| {
        let mut refusal = ErrorResponse::new(Some("members only".to_owned()));
        *refusal.status_mut() = 403.try_into().expect("a status");
        Err(refusal)
    };
    let (url, server) = serve(shake, |_| panic!("refused"));
    let error = builder().connect(&url).expect_err("refused");
    assert!(
        matches!(error, ClientError::Handshake(HandshakeError::Status(403))),
        "{error}"
    );
    server.join().expect("a content server");
}

#[test]
fn the_servers_close_is_told_and_answered() {
    let (url, server) = serve_any(|mut server| {
        let reason = CloseFrame {
            code: ForeignCode::Again,
            reason: "too many".into(),
        };
        server.close(Some(reason)).expect("the client is there");
        // The client's answer ends it in good order.
        assert!(matches!(
            server.read(),
            Ok(Foreign::Close(_)) | Err(Error::ConnectionClosed)
        ));
    });
    let mut client = connect(&url);
    assert_eq!(client.recv().expect("a close"), None);
    let closing = client.closing().expect("closed");
    assert_eq!(
        (closing.code, closing.reason.as_str()),
        (CloseCode::TRY_AGAIN, "too many")
    );
    server.join().expect("a content server");
}

#[test]
fn a_connection_that_breaks_is_lost() {
    let (url, server) = serve_any(drop);
    let mut client = connect(&url);
    server.join().expect("a content server");
    assert!(matches!(client.recv(), Err(ClientError::Lost(_))));
}
