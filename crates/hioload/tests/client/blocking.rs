//! The blocking `Client` over a socket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hioload::client::{Client, ClientError, HandshakeError, Incoming};
use hioload::{CloseCode, Echo, Kind, Message, Server};
use hioload_ws::handshake::AcceptPolicy;

use crate::fake::{Fake, Said};

/// For what is to happen: long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// For what is not to happen.
const IMPATIENCE: Duration = Duration::from_millis(20);

/// A listener, and what `serve` made of its one connection.
fn serve<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let url = format!("ws://{}/path", listener.local_addr().expect("bound"));
    let thread = thread::spawn(move || serve(listener.accept().expect("a client").0));
    (url, thread)
}

/// Serves by a script: each time the client has said something, `answer` says what to do. Ends
/// with the stream, or when `answer` says so.
fn script(
    mut answer: impl FnMut(&mut Fake, &Said) -> bool + Send + 'static,
) -> (String, JoinHandle<Vec<Said>>) {
    serve(move |mut stream| {
        let mut fake = Fake::new(AcceptPolicy::default());
        let mut heard = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            let size = stream.read(&mut bytes).unwrap_or(0);
            if size == 0 {
                return heard;
            }
            for said in fake.take(&bytes[..size]) {
                let goes_on = answer(&mut fake, &said);
                heard.push(said);
                if !goes_on {
                    stream.write_all(&fake.output).expect("the client is there");
                    return heard;
                }
            }
            stream
                .write_all(&std::mem::take(&mut fake.output))
                .expect("the client is there");
        }
    })
}

fn echo(fake: &mut Fake, said: &Said) -> bool {
    match said {
        Said::Message(kind, payload) => fake.send(*kind, payload, 2),
        Said::Ping(payload) => fake.pong(payload),
        Said::Close(code, _) => {
            fake.close(*code, "as you wish");
            return false;
        }
        Said::Request { .. } | Said::Pong(_) => {}
    }
    true
}

#[test]
fn a_conversation_from_open_to_close() {
    let (url, server) = script(echo);
    let mut client = Client::builder()
        .header("Authorization", "Bearer y")
        .read_timeout(Some(PATIENCE))
        .connect(&url)
        .expect("a server");
    client.send_text("hello").expect("open");
    client.send_binary(&[1, 2, 3]).expect("open");
    client.ping(b"there?").expect("open");
    let expected = [
        Incoming::Text("hello".into()),
        Incoming::Binary(vec![1, 2, 3]),
        Incoming::Pong(b"there?".to_vec()),
    ];
    let found: Vec<_> = client
        .messages()
        .take(3)
        .map(|item| item.expect("a message"))
        .collect();
    assert_eq!(found, expected);
    let closing = client
        .close(CloseCode::NORMAL, "enough")
        .expect("an answer");
    assert_eq!(
        (closing.code, closing.reason.as_str()),
        (CloseCode::NORMAL, "as you wish")
    );
    assert_eq!(client.recv().expect("over"), None);
    assert!(matches!(
        client.send_text("late"),
        Err(ClientError::Misuse(_))
    ));
    let heard = server.join().expect("the server");
    assert!(
        matches!(&heard[0], Said::Request { authorization: Some(value), .. } if value == "Bearer y")
    );
    assert_eq!(heard.last(), Some(&Said::Close(1000, "enough".into())));
}

#[test]
fn a_message_of_many_reads_is_joined() {
    let (url, _server) = script(echo);
    let mut client = Client::builder()
        .read_timeout(Some(PATIENCE))
        .connect(&url)
        .expect("a server");
    let payload: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    // Larger than what both sockets hold would block both ends; this is not.
    client.send_binary(&payload).expect("open");
    assert_eq!(
        client.recv().expect("an echo"),
        Some(Incoming::Binary(payload))
    );
}

#[test]
fn the_iterator_ends_with_the_connection() {
    let (url, _server) = script(|fake, said| match said {
        Said::Request { .. } => {
            fake.send(Kind::Text, b"only one", 1);
            fake.close(1013, "too many");
            false
        }
        _ => true,
    });
    let mut client = Client::connect(&url).expect("a server");
    let found: Vec<_> = client.messages().map(|item| item.expect("legal")).collect();
    assert_eq!(found, [Incoming::Text("only one".into())]);
    assert_eq!(
        client.closing().map(|closing| closing.code),
        Some(CloseCode::TRY_AGAIN)
    );
}

#[test]
fn a_lost_connection_is_told_and_ends_the_iterator() {
    let (url, _server) = script(|_, said| !matches!(said, Said::Request { .. }));
    let mut client = Client::connect(&url).expect("a server");
    let found: Vec<_> = client.messages().collect();
    assert!(
        matches!(found[..], [Err(ClientError::Lost(_))]),
        "{found:?}"
    );
    assert!(matches!(client.recv(), Err(ClientError::Lost(_))));
}

#[test]
fn a_timeout_leaves_the_connection_standing() {
    let (url, _server) = script(echo);
    let mut client = Client::connect(&url).expect("a server");
    let result = client.recv_timeout(IMPATIENCE);
    assert!(
        matches!(result, Err(ClientError::Timeout { .. })),
        "{result:?}"
    );
    assert!(matches!(
        client.recv_timeout(Duration::ZERO),
        Err(ClientError::Timeout { .. })
    ));
    client.send_text("still there").expect("open");
    let found = client.recv_timeout(PATIENCE).expect("an echo");
    assert_eq!(found, Some(Incoming::Text("still there".into())));
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let (url, server) = serve(|mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).map(|_| heard.len())
    });
    let result = Client::builder()
        .handshake_timeout(IMPATIENCE)
        .connect(&url);
    let Err(error @ ClientError::Timeout { .. }) = result else {
        panic!("{result:?}")
    };
    assert!(error.to_string().contains("handshake"), "{error}");
    assert!(
        server
            .join()
            .expect("the server")
            .is_ok_and(|size| size > 0),
        "a request came"
    );
}

#[test]
fn a_server_that_takes_nothing_is_noticed() {
    let (url, server) = serve(|mut stream| {
        let mut fake = Fake::new(AcceptPolicy::default());
        let mut bytes = [0; 4096];
        while fake.output.is_empty() {
            let size = stream.read(&mut bytes).expect("a request");
            fake.take(&bytes[..size]);
        }
        stream.write_all(&fake.output).expect("the client is there");
        stream
    });
    let mut client = Client::builder()
        .write_timeout(Some(IMPATIENCE))
        .connect(&url)
        .expect("a server");
    let _stream = server.join().expect("the server");
    let payload = vec![0; 1 << 20];
    let result = (0..64).try_for_each(|_| client.send_binary(&payload));
    assert!(
        matches!(result, Err(ClientError::Timeout { .. })),
        "{result:?}"
    );
}

#[test]
fn what_is_not_a_websocket_server_is_told_so() {
    let (url, _server) = serve(|mut stream| {
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    });
    let error = Client::connect(&url).expect_err("refused");
    assert!(
        matches!(error, ClientError::Handshake(HandshakeError::Status(403))),
        "{error}"
    );
}

#[test]
fn an_address_where_nobody_listens_is_told() {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let addr = listener.local_addr().expect("bound");
    drop(listener);
    let error = Client::connect(&format!("ws://{addr}")).expect_err("nobody");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    assert!(
        error.to_string().contains("Nothing listens there"),
        "{error}"
    );
}

#[test]
fn a_server_without_tls_is_told_apart() {
    let (url, _server) = script(echo);
    let url = url.replace("ws://", "wss://");
    let mut builder = Client::builder().insecure();
    builder = builder.handshake_timeout(PATIENCE);
    let error = builder.connect(&url).expect_err("no TLS");
    assert!(
        matches!(error, ClientError::Tls(_) | ClientError::Lost(_)),
        "{error}"
    );
    let unreadable = Client::builder().ca("/no/such/file").connect(&url);
    let error = unreadable.expect_err("no roots");
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}

#[test]
fn a_dropped_client_says_goodbye() {
    let (url, server) = script(|_, said| !matches!(said, Said::Close(..)));
    drop(Client::connect(&url).expect("a server"));
    let heard = server.join().expect("the server");
    assert_eq!(heard.last(), Some(&Said::Close(1001, String::new())));
}

#[test]
fn client_and_server_of_this_crate_understand_each_other() {
    let server = Server::builder()
        .addr(SocketAddr::from(([127, 0, 0, 1], 0)))
        .workers(1)
        .handler(|_| Echo)
        .build()
        .expect("a server");
    let handle = server.handle();
    let url = format!("ws://{}", server.local_addr());
    let thread = thread::spawn(move || server.run());
    let mut client = Client::builder()
        .read_timeout(Some(PATIENCE))
        .connect(&url)
        .expect("a server");
    for size in [0, 1, 125, 126, 65_536, 500_000] {
        let payload = vec![b'z'; size];
        client.send(Message::binary(&payload)).expect("open");
        assert_eq!(
            client.recv().expect("an echo"),
            Some(Incoming::Binary(payload))
        );
    }
    handle.shutdown();
    assert_eq!(client.recv().expect("an end in good order"), None);
    assert_eq!(
        client.closing().map(|closing| closing.code),
        Some(CloseCode::GOING_AWAY)
    );
    drop(client);
    thread.join().expect("the server").expect("no failure");
}
