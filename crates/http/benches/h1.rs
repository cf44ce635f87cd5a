//! What a message costs in this room alone. `cargo bench -p hioload-http`; look at "fastest".

use divan::{Bencher, black_box};
use hioload_http::h1::{Client, ClientEvent, Event, Limits, Server, write_response_head};

fn main() {
    divan::main();
}

const SHORT: &str = "GET /blocks/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 HTTP/1.1\r\n\
    Host: 127.0.0.1:9555\r\n\r\n";
const BROWSER: &str = "GET /blocks/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 HTTP/1.1\r\n\
    Host: store.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\n\
    If-None-Match: \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\r\nPriority: u=0, i\r\n\r\n";

#[divan::bench(args = ["short", "browser"])]
fn request_head(bencher: Bencher, name: &str) {
    let head = if name == "short" { SHORT } else { BROWSER };
    let (limits, mut server) = (Limits::default(), Server::new());
    let mut bytes = head.as_bytes().to_vec();
    bencher.bench_local(|| {
        let mut input = black_box(&mut bytes[..]);
        let event = server.handle_input(black_box(&limits), &mut input);
        assert!(matches!(event, Ok(Some(Event::Head(_)))));
        assert!(server.response_done());
    });
}

/// A head that comes byte by byte, from first to last.
#[divan::bench]
fn request_head_in_bytes(bencher: Bencher) {
    let limits = Limits::default();
    let head = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(16_000));
    let mut bytes = head.into_bytes();
    bencher.bench_local(|| {
        let mut server = Server::new();
        let mut is_head = false;
        for end in 1..=bytes.len() {
            let mut input = &mut bytes[..end];
            let event = server.handle_input(&limits, &mut input);
            is_head = matches!(event, Ok(Some(Event::Head(_))));
        }
        assert!(is_head);
    });
}

#[divan::bench]
fn chunked_body_of_4_kib_chunks(bencher: Bencher) {
    let limits = Limits::default();
    let head = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let mut bytes = format!("{head}{}0\r\n\r\n", chunk.repeat(16)).into_bytes();
    bencher.bench_local(|| {
        let (mut server, mut input) = (Server::new(), &mut bytes[..]);
        while let Ok(Some(event)) = server.handle_input(&limits, &mut input) {
            black_box(event);
        }
        assert!(server.response_done());
    });
}

#[divan::bench]
fn response_head(bencher: Bencher) {
    let mut out = String::with_capacity(512);
    let fields = [
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "ETag: \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\r\n",
        "Accept-Ranges: bytes\r\n",
    ];
    bencher.bench_local(|| {
        write_response_head(&mut out, 200, black_box(&fields), Some(black_box(4096)));
        assert!(out.ends_with("\r\n\r\n"));
    });
}

#[divan::bench]
fn response_read(bencher: Bencher) {
    let limits = Limits::default();
    let mut bytes = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccept-Ranges: bytes\r\n\
        ETag: \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\r\nContent-Length: 5\r\n\r\nhello"
        .to_vec();
    let mut client = Client::new();
    bencher.bench_local(|| {
        client.sent(false);
        let (mut input, mut is_end) = (&mut bytes[..], false);
        while let Ok(Some(event)) = client.handle_input(&limits, &mut input) {
            is_end = matches!(event, ClientEvent::End);
        }
        assert!(is_end);
    });
}
