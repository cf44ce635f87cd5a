//! Servers that are written by hand: each connection gets what its script says.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use hioload::http_client::{
    Failure, HttpClient, HttpError, Method, Phase, RedirectFault, Request, RequestBody,
};

/// A server: `serve` gets each connection, with its number.
fn server(serve: impl Fn(usize, TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            serve(number, stream);
        }
    });
    format!("http://{address}")
}

/// Reads a head.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|size| size == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

fn answer(stream: &mut TcpStream, text: &str) {
    // The client may have left.
    let _ = stream.write_all(text.as_bytes());
}

fn failure(outcome: Result<hioload::http_client::Answer, HttpError>) -> Failure {
    match outcome {
        Err(HttpError::Failed { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

fn client() -> HttpClient {
    HttpClient::builder()
        .read_timeout(Duration::from_millis(300))
        .build()
        .expect("a client")
}

#[test]
fn an_answer_that_is_cut_off_anywhere_is_an_error() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let url = server(move |number, mut stream| {
        head(&mut stream);
        answer(&mut stream, &whole[..number]);
        let _ = stream.shutdown(Shutdown::Both);
    });
    let client = client();
    for end in 0..whole.len() {
        let failure = failure(client.get(&url));
        let is_cut = matches!(failure, Failure::Closed | Failure::Response(_));
        assert!(is_cut, "{end}: {failure:?}");
    }
    assert_eq!(client.get(&url).expect("whole").body(), b"hello");
}

#[test]
fn a_reset_anywhere_is_an_error() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let url = server(move |number, mut stream| {
        // What is left unread makes the close a reset.
        let _ = stream.read(&mut [0]);
        answer(&mut stream, &whole[..number]);
    });
    let client = client();
    for end in 0..whole.len() {
        let failure = failure(client.get(&url));
        let is_lost = matches!(failure, Failure::Closed | Failure::Response(_));
        assert!(is_lost, "{end}: {failure:?}");
    }
}

#[test]
fn a_head_that_does_not_end_is_too_slow() {
    let url = server(|_, mut stream| {
        head(&mut stream);
        answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Le");
        // Held until the client leaves.
        let _ = stream.read(&mut [0]);
    });
    let failure = failure(client().get(&url));
    assert_eq!(failure, Failure::Timeout(Phase::Read));
}

#[test]
fn redirects_are_followed_over_one_connection_and_not_in_circles() {
    let url = server(|number, mut stream| {
        thread::spawn(move || {
            loop {
                let head = head(&mut stream);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let to = match &*path {
                    "" => return,
                    "/a" => "b",
                    "/b" => "/c?x",
                    "/loop" => "/loop/2",
                    "/loop/2" => "/loop",
                    _ => {
                        let body = format!("{path} on {number}");
                        let length = body.len();
                        let text =
                            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
                        answer(&mut stream, &text);
                        continue;
                    }
                };
                let text =
                    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
                answer(&mut stream, &text);
            }
        });
    });
    let client = client();
    let found = client.get(&format!("{url}/a")).expect("an answer");
    assert_eq!(found.text(), Some("/c?x on 0"));
    assert_eq!((found.redirect_count(), found.url().target()), (2, "/c?x"));
    let failure = failure(client.get(&format!("{url}/loop")));
    assert_eq!(failure, Failure::Redirect(RedirectFault::Loop));
}

#[test]
fn a_stale_connection_is_replaced_without_a_word() {
    let url = server(|number, mut stream| {
        head(&mut stream);
        answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
        answer(&mut stream, if number == 0 { "0" } else { "1" });
        // And ends, without having said so.
    });
    let client = client();
    for round in 0..3 {
        let found = client
            .get(&url)
            .unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_eq!(found.status(), 200);
    }
}

#[test]
fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let failure = failure(client().get(&format!("http://{address}/")));
    assert!(matches!(failure, Failure::Connect { .. }), "{failure:?}");
    let url = client().get("http://me@h/");
    assert!(matches!(url, Err(HttpError::Url { .. })), "{url:?}");
}

#[test]
fn cancelled_from_another_thread() {
    let url = server(|_, mut stream| {
        head(&mut stream);
        answer(
            &mut stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        );
        // Held until the client leaves.
        let _ = stream.read(&mut [0]);
    });
    let client = HttpClient::new().expect("a client");
    let request = Request::new(Method::GET, url.parse().expect("legal"));
    let call = client.start(request.clone()).expect("started");
    let canceller = call.canceller();
    let mut seen = 0;
    let outcome = call.wait_with(|progress| {
        seen = progress.received;
        if seen > 0 {
            let canceller = canceller.clone();
            thread::spawn(move || canceller.cancel());
        }
    });
    assert_eq!((failure(outcome), seen), (Failure::Cancelled, 4));
    // A stream that is let go is cancelled, too: the next connection is taken up only then.
    let stream = client.open(request).expect("a head");
    drop(stream);
}

#[test]
fn uploads_stop_when_the_answer_says_so() {
    let url = server(|number, mut stream| {
        let head = head(&mut stream);
        if number == 0 {
            assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
            answer(
                &mut stream,
                "HTTP/1.1 413 No\r\nContent-Length: 4\r\n\r\nmuch",
            );
            // Read what still comes, so that the close is no reset.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        } else {
            assert!(head.contains("Content-Length: 1000000\r\n"), "{head}");
            let mut body = vec![0; 1_000_000];
            stream.read_exact(&mut body).expect("a body");
            assert!(body.iter().all(|&byte| byte == 7));
            answer(
                &mut stream,
                "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    let client = HttpClient::new().expect("a client");
    let request = Request::new(Method::PUT, url.parse().expect("legal"));
    let mut endless = std::io::repeat(7);
    let found = client.upload(request.clone(), None, &mut endless);
    assert_eq!(found.map(|found| found.status()).ok(), Some(413));
    let found = client.upload(request.clone(), Some(1_000_000), &mut endless);
    assert_eq!(found.map(|found| found.status()).ok(), Some(201));
    let short = client.upload(request, Some(10), &mut &b"short"[..]);
    assert!(matches!(short, Err(HttpError::Upload(_))), "{short:?}");
}

#[test]
fn a_reader_that_is_slow_holds_the_server_back() {
    let url = server(|_, mut stream| {
        head(&mut stream);
        answer(
            &mut stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n",
        );
        for _ in 0..2000 {
            if stream.write_all(&[9; 10_000]).is_err() {
                return;
            }
        }
    });
    let client = HttpClient::new().expect("a client");
    let request = Request::new(Method::GET, url.parse().expect("legal"));
    let mut stream = client.open(request).expect("a head");
    assert_eq!(stream.head().content_length(), Some(20_000_000));
    let mut buffer = vec![0; 50_000];
    let mut sum = 0;
    loop {
        let size = stream.read(&mut buffer).expect("a body");
        if size == 0 {
            break;
        }
        sum += size;
        let ahead = stream.progress().received as usize - sum;
        // The window, and what a turn of the driver reads beyond it.
        assert!(
            ahead <= (256 + 5 * 64) << 10,
            "{ahead} bytes were read ahead"
        );
    }
    assert_eq!(sum, 20_000_000);
}

#[test]
fn a_body_goes_along_and_comes_back() {
    let url = server(|_, mut stream| {
        let head = head(&mut stream);
        assert!(
            head.starts_with("POST / HTTP/1.1\r\nHost: 127.0.0.1:"),
            "{head}"
        );
        let mut body = [0; 4];
        stream.read_exact(&mut body).expect("a body");
        answer(
            &mut stream,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n",
        );
        let _ = stream.write_all(&body);
        answer(&mut stream, "\r\n0\r\n\r\n");
    });
    let found = client().post(&url, *b"ping").expect("an answer");
    assert_eq!(found.body(), b"ping");
    let request = Request::new(Method::POST, url.parse().expect("legal"));
    let mut stream = client()
        .open(request.body(RequestBody::Bytes(b"pong".as_slice().into())))
        .expect("an answer");
    let mut body = String::new();
    stream.read_to_string(&mut body).expect("text");
    assert_eq!(body, "pong");
}
