//! Over TLS: whom is believed, what is agreed upon, and what a connection that is cut off is taken for.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use hioload::http_client::{ConnectStage, Failure, HttpClient, HttpError, Roots};
use hioload_net::tls::{self, Acceptor, AcceptorConfig, Event, Inbox, PemPair};

/// Serves `answer` once for each connection; over TLS, it says whether that was all.
fn server(pair: &PemPair, alpn: &[&str], answer: &'static [u8], says_goodbye: bool) -> String {
    let mut config = AcceptorConfig::with_pem(pair);
    config.alpn = alpn.iter().map(|name| (*name).to_owned()).collect();
    let acceptor = Acceptor::new(&config).expect("an acceptor");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(&acceptor, stream, answer, says_goodbye);
        }
    });
    format!("https://localhost:{port}/")
}

fn serve(acceptor: &Acceptor, mut stream: TcpStream, answer: &[u8], says_goodbye: bool) {
    let mut session = acceptor.accept().expect("a session");
    let (mut inbox, mut buffer) = (Inbox::default(), [0; 4096]);
    loop {
        let size = stream.read(&mut buffer).unwrap_or(0);
        if size == 0 {
            return;
        }
        let mut input = &mut buffer[..size];
        let mut is_asked = false;
        while let Ok(Some(event)) = session.handle_input(&mut input, &mut inbox) {
            is_asked |= matches!(event, Event::Data(_));
        }
        let mut out = Vec::new();
        session.poll_output(&mut out);
        if is_asked {
            let mut records = vec![0; answer.len() + 1024];
            let sealed = session.encrypt([answer], &mut Vec::new(), &mut records);
            out.extend_from_slice(&records[..sealed.expect("sealed").cipher]);
            if says_goodbye {
                session.close_notify();
                session.poll_output(&mut out);
            }
        }
        let _ = stream.write_all(&out);
        if is_asked {
            return;
        }
    }
}

fn client(roots: Roots) -> HttpClient {
    HttpClient::builder()
        .roots(roots)
        .build()
        .expect("a client")
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nto the end";

#[test]
fn who_is_not_known_is_not_believed() {
    let pair = tls::self_signed(&["localhost".to_owned()]).expect("a pair");
    let url = server(&pair, &["http/1.1"], HELLO, true);
    let known = Roots::Pem(pair.certificate);
    let found = client(known.clone()).get(&url).expect("an answer");
    assert_eq!(found.body(), b"hello");
    let other = tls::self_signed(&["localhost".to_owned()]).expect("a pair");
    let refused = client(Roots::Pem(other.certificate)).get(&url);
    let stage = match refused {
        Err(HttpError::Failed {
            failure: Failure::Connect { stage, .. },
            ..
        }) => stage,
        other => panic!("{other:?}"),
    };
    assert_eq!(stage, ConnectStage::Tls);
    // The right authority, and another name.
    let by_address = url.replace("localhost", "127.0.0.1");
    assert!(client(known).get(&by_address).is_err());
    let found = client(Roots::Insecure).get(&by_address).expect("an answer");
    assert_eq!(found.body(), b"hello");
}

#[test]
fn an_end_that_was_not_said_is_no_end() {
    let pair = tls::self_signed(&["localhost".to_owned()]).expect("a pair");
    for (says_goodbye, is_whole) in [(true, true), (false, false)] {
        let url = server(&pair, &[], ENDLESS, says_goodbye);
        let found = client(Roots::Pem(pair.certificate.clone())).get(&url);
        assert_eq!(found.is_ok(), is_whole, "{found:?}");
    }
    // A stated length needs no such word.
    let url = server(&pair, &[], HELLO, false);
    let found = client(Roots::Pem(pair.certificate)).get(&url);
    assert_eq!(found.expect("an answer").body(), b"hello");
}
