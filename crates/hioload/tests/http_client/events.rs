//! Server-sent events over the client, from a server that ends its streams.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use hioload::http_client::{EventsError, HttpClient, ServerEvent};

/// Answers its first connections by these texts, and writes down what ids they came with.
fn server(answers: &'static [&'static str]) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let body = move || {
        let mut ids = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut head = vec![0; 4096];
            let size = stream.read(&mut head).expect("a request");
            let head = String::from_utf8_lossy(&head[..size]).into_owned();
            assert!(head.contains("Accept: text/event-stream\r\n"), "{head}");
            let id = head
                .lines()
                .find_map(|line| line.strip_prefix("Last-Event-ID: "));
            ids.push(id.unwrap_or_default().to_owned());
            stream.write_all(answer.as_bytes()).expect("sent");
        }
        ids
    };
    (format!("http://{address}/events"), thread::spawn(body))
}

#[test]
fn a_stream_is_read_on_where_it_broke_off() {
    let (url, server) = server(&[
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 1\n\nid: 7\ndata: one\n\n\
         event: x\nid: 8\ndata: two\ndata: lines\n\nid: 9\ndata: cut of",
        "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: three\n\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ]);
    let client = HttpClient::new().expect("a client");
    let mut events = client.events(&url, "6").expect("a URL");
    let event = |id: &str, name: &str, data: &str| ServerEvent {
        id: id.to_owned(),
        name: name.to_owned(),
        data: data.to_owned(),
    };
    for expected in [
        event("7", "message", "one"),
        event("8", "x", "two\nlines"),
        event("8", "message", "three"),
    ] {
        assert_eq!(events.next_event().expect("an event"), Some(expected));
    }
    assert_eq!(events.next_event().expect("the end"), None);
    assert_eq!(server.join().expect("a server"), ["6", "8", "8", "8"]);
}

#[test]
fn what_is_no_stream_is_told() {
    let (url, _) =
        server(&["HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"]);
    let client = HttpClient::new().expect("a client");
    let mut events = client.events(&url, "").expect("a URL");
    let refused = events.next_event();
    assert!(
        matches!(refused, Err(EventsError::Refused(200))),
        "{refused:?}"
    );
}
