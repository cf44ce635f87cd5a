//! Sessions that read events, over sockets, on each driver of this machine.

#![expect(clippy::unwrap_used, reason = "a test says no more by expect")]

mod kit;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hioload::client::Incoming;
use hioload::http_client::{EventsError, HttpClient, Method, Request};
use hioload::{
    Broadcast, CloseCode, DriverChoice, EventSettings, Handler, HistoryConfig, Message,
    OriginPolicy, Policy, Recovered, Recovery, Server, Session, Settings, Since,
};
use hioload_http::sse::{Limits, Parser};

use kit::{PATIENCE, Running, on_each_driver};

fn start<H: Handler>(
    driver: DriverChoice,
    workers: usize,
    settings: Settings,
    make: impl Fn(usize) -> H + Send + Sync + 'static,
) -> Running {
    let builder = Server::builder().workers(workers).driver(driver);
    Running::start(builder.settings(settings).handler(make))
}

fn with_history() -> Settings {
    let mut settings = Settings::default();
    settings.channel.history = HistoryConfig {
        count: 1000,
        size: 1 << 20,
        age: Duration::from_secs(3600),
    };
    settings.channel.exclude_sender = false;
    settings
}

/// A reader: nothing but a socket and the parser.
struct Reader {
    socket: TcpStream,
    head: String,
    /// Everything behind the head.
    bytes: Vec<u8>,
    parser: Parser,
    taken: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    id: String,
    name: String,
    data: String,
}

impl Reader {
    fn open(addr: SocketAddr, target: &str, fields: &str) -> Reader {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n{fields}\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        Reader {
            socket,
            head: String::from_utf8(head).unwrap(),
            bytes: Vec::new(),
            parser: Parser::new(Limits::default()),
            taken: 0,
        }
    }

    /// Reads on; false at the end of the stream.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let size = loop {
            match self.socket.read(&mut buffer) {
                // A ring of this thread has work to do in between.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break 0,
                size => break size.unwrap(),
            }
        };
        self.bytes.extend_from_slice(&buffer[..size]);
        size > 0
    }

    /// The next event; `None` at the end of the stream.
    fn next(&mut self) -> Option<Event> {
        loop {
            let mut rest = &self.bytes[self.taken..];
            let event = self.parser.handle_input(&mut rest).unwrap();
            let event = event.map(|event| Event {
                id: event.id.to_owned(),
                name: event.name.to_owned(),
                data: event.data.to_owned(),
            });
            self.taken = self.bytes.len() - rest.len();
            if event.is_some() {
                return event;
            }
            if !self.read() {
                return None;
            }
        }
    }

    fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next().unwrap().data).collect()
    }

    /// The id it would come back with, once it knows one.
    fn last_id(&mut self) -> String {
        while self.parser.last_id().is_empty() {
            assert!(self.read(), "ended before its place was told");
            let mut rest = &self.bytes[self.taken..];
            assert_eq!(self.parser.handle_input(&mut rest), Ok(None));
            self.taken = self.bytes.len();
        }
        self.parser.last_id().to_owned()
    }
}

fn text(incoming: Option<Incoming>) -> String {
    match incoming {
        Some(Incoming::Text(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_channel_as_websocket_and_as_events_in_the_same_order() {
    on_each_driver(|driver| {
        for workers in [1, 3] {
            let mut settings = Settings::default();
            settings.channel.exclude_sender = false;
            let server = start(driver, workers, settings, |_| Broadcast::default());
            let mut readers: Vec<_> = ["/", "/any/path", "/events?x=y"]
                .map(|target| Reader::open(server.addr, target, ""))
                .into();
            let mut sockets: Vec<_> = (0..4).map(|_| server.websocket()).collect();
            readers.iter_mut().for_each(|reader| drop(reader.last_id()));
            server.wait("subscribed", |stats| stats.subscriptions == 7);
            for round in 0..50 {
                for (place, socket) in sockets.iter_mut().enumerate() {
                    socket.send_text(&format!("{round}\nfrom {place}")).unwrap();
                }
            }
            let seen: Vec<_> = (0..200).map(|_| text(sockets[0].recv().unwrap())).collect();
            for reader in &mut readers {
                let events: Vec<_> = (0..200).map(|_| reader.next().unwrap()).collect();
                assert!(events.iter().map(|event| &event.data).eq(&seen));
                let (epoch, first) = events[0].id.split_once(':').unwrap();
                assert_eq!(first, "1");
                for (offset, event) in events.iter().enumerate() {
                    assert_eq!(event.id, format!("{epoch}:{}", offset + 1));
                    assert_eq!(event.name, "message");
                }
            }
            sockets[1].send_binary(&[0, 255]).unwrap();
            let event = readers[0].next().unwrap();
            assert_eq!((&*event.name, &*event.data), ("binary", "AP8="));
            let stats = server.wait("figures", |stats| stats.event_streams == 3);
            assert_eq!((stats.sessions, stats.event_streams_opened), (7, 3));
            drop(readers);
            server.wait("readers are gone", |stats| {
                stats.event_streams == 0 && stats.sessions == 4 && stats.subscriptions == 4
            });
        }
    });
}

#[test]
fn the_head_and_the_greeting() {
    let settings = Settings {
        events: EventSettings {
            retry: Duration::from_millis(1000),
            ..EventSettings::default()
        },
        ..Settings::default()
    };
    let server = start(DriverChoice::Poll, 1, settings, |_| Broadcast::default());
    let mut reader = Reader::open(server.addr, "/", "Origin: http://a.example\r\n");
    assert!(
        reader.head.starts_with("HTTP/1.1 200 OK\r\nDate: "),
        "{}",
        reader.head
    );
    for line in [
        "\r\nContent-Type: text/event-stream\r\n",
        "\r\nCache-Control: no-store\r\n",
        "\r\nConnection: close\r\n",
        "\r\nAccess-Control-Allow-Origin: http://a.example\r\n",
    ] {
        assert!(reader.head.contains(line), "{line:?} in {}", reader.head);
    }
    assert!(!reader.head.contains("Content-Length"), "{}", reader.head);
    let id = reader.last_id();
    assert!(id.ends_with(":0") && id.parse::<Since>().is_ok(), "{id}");
    let retry = reader.parser.retry().unwrap();
    let range = Duration::from_millis(1000)..=Duration::from_millis(1500);
    assert!(range.contains(&retry), "{retry:?}");
}

#[test]
fn other_origins_are_refused_as_websockets_are() {
    let mut settings = Settings::default();
    settings.accept.origins = OriginPolicy::List(vec!["http://a.example".to_owned()]);
    let server = start(DriverChoice::Poll, 1, settings, |_| Broadcast::default());
    let refused = Reader::open(server.addr, "/", "Origin: http://b.example\r\n");
    assert!(
        refused.head.starts_with("HTTP/1.1 403 "),
        "{}",
        refused.head
    );
    let welcome = Reader::open(server.addr, "/", "Origin: http://a.example\r\n");
    assert!(
        welcome.head.starts_with("HTTP/1.1 200 "),
        "{}",
        welcome.head
    );
}

#[test]
fn who_comes_back_gets_everything_since() {
    on_each_driver(|driver| {
        for workers in [1, 3] {
            let server = start(driver, workers, with_history(), |_| Broadcast::default());
            let mut publisher = server.websocket();
            let mut publish = |range: std::ops::Range<u32>| {
                for number in range {
                    publisher.send_text(&number.to_string()).unwrap();
                    assert_eq!(text(publisher.recv().unwrap()), number.to_string());
                }
            };
            let numbers = |range: std::ops::Range<u32>| -> Vec<String> {
                range.map(|number| number.to_string()).collect()
            };
            // Before anything came, the place alone is enough.
            let mut reader = Reader::open(server.addr, "/", "");
            let start = reader.last_id();
            drop(reader);
            server.wait("gone", |stats| stats.event_streams == 0);
            publish(0..10);
            let mut reader = Reader::open(server.addr, "/", &format!("Last-Event-ID: {start}\r\n"));
            assert_eq!(reader.texts(10), numbers(0..10));
            let middle = reader.last_id();
            drop(reader);
            publish(10..30);
            let target = format!("/events?last_event_id={}", middle.replace(':', "%3A"));
            let mut reader = Reader::open(server.addr, &target, "");
            publish(30..40);
            assert_eq!(reader.texts(30), numbers(10..40));
            assert_eq!(server.control.totals().event_gaps, 0);
        }
    });
}

#[test]
fn what_is_gone_is_said_to_be_gone() {
    let mut settings = with_history();
    settings.channel.history.count = 5;
    settings.events.history = true;
    let server = start(DriverChoice::Poll, 2, settings, |_| Broadcast::default());
    let mut publisher = server.websocket();
    for number in 1..=20 {
        publisher.send_text(&number.to_string()).unwrap();
        publisher.recv().unwrap();
    }
    let id = Reader::open(server.addr, "/", "").last_id();
    let (epoch, offset) = id.split_once(':').unwrap();
    assert_eq!(offset, "20");

    // Kept as events from the first on, though nobody read events then.
    let fields = format!("Last-Event-ID: {epoch}:15\r\n");
    assert_eq!(
        Reader::open(server.addr, "/", &fields).texts(5),
        ["16", "17", "18", "19", "20"]
    );

    let fields = format!("Last-Event-ID: {epoch}:3\r\n");
    let mut reader = Reader::open(server.addr, "/", &fields);
    let gap = reader.next().unwrap();
    assert_eq!((&*gap.name, &*gap.id), ("gap", &*format!("{epoch}:15")));
    assert_eq!(
        gap.data,
        format!("{{\"from\":\"{epoch}:4\",\"to\":\"{epoch}:15\"}}")
    );
    assert_eq!(reader.texts(5), ["16", "17", "18", "19", "20"]);

    for id in [
        "0123456789abcdef:7",
        "of another server",
        &format!("{epoch}:21"),
    ] {
        let mut reader = Reader::open(server.addr, "/", &format!("Last-Event-ID: {id}\r\n"));
        let gap = reader.next().unwrap();
        assert_eq!(
            (&*gap.name, &*gap.id),
            ("gap", &*format!("{epoch}:15")),
            "{id}"
        );
        assert_eq!(gap.data, format!("{{\"from\":null,\"to\":\"{epoch}:15\"}}"));
        assert_eq!(reader.texts(5), ["16", "17", "18", "19", "20"]);
    }
    server.wait("gaps are counted", |stats| stats.event_gaps == 4);
}

#[test]
fn quiet_streams_get_comments_between_events() {
    on_each_driver(|driver| {
        let settings = Settings {
            events: EventSettings {
                keepalive: Some(Duration::from_millis(20)),
                ..EventSettings::default()
            },
            ..Settings::default()
        };
        let server = start(driver, 1, settings, |_| Broadcast::default());
        let mut reader = Reader::open(server.addr, "/", "");
        while !String::from_utf8_lossy(&reader.bytes).contains("\n\n:\n\n:\n\n") {
            assert!(reader.read());
        }
        let mut publisher = server.websocket();
        let large = "x".repeat(300_000);
        for _ in 0..5 {
            publisher.send_text(&large).unwrap();
            assert_eq!(reader.next().unwrap().data, large, "no comment inside");
        }
    });
}

#[test]
fn a_stalled_reader_ends_and_may_come_back() {
    on_each_driver(|driver| {
        let mut settings = with_history();
        settings.channel.budget = 256 * 1024;
        settings.channel.window = Duration::from_millis(200);
        settings.channel.policy = Policy::Disconnect;
        let server = start(driver, 1, settings, |_| Broadcast::default());
        let mut reader = Reader::open(server.addr, "/", "");
        reader.last_id();
        let mut publisher = server.websocket();
        let payload = "y".repeat(16 * 1024);
        let deadline = Instant::now() + PATIENCE;
        while server.control.totals().closed_stalled == 0 {
            publisher.send_text(&payload).unwrap();
            publisher.recv().unwrap();
            assert!(Instant::now() < deadline);
        }
        let mut last = None;
        while let Some(event) = reader.next() {
            last = Some(event);
        }
        // Whole events, then perhaps the reason, then the end.
        let last = last.unwrap();
        assert!(last.data == payload || last.data == "1013 you read too slowly");
        let stats = server.wait("figures", |stats| stats.event_streams == 0);
        assert!(stats.dropped_publications > 0);
        let fields = format!("Last-Event-ID: {}\r\n", reader.parser.last_id());
        let mut again = Reader::open(server.addr, "/", &fields);
        assert_eq!(
            again.next().unwrap().name,
            "gap",
            "it is told what it missed"
        );
    });
}

#[test]
fn shutdown_ends_the_stream_behind_what_was_published() {
    on_each_driver(|driver| {
        let server = start(driver, 1, Settings::default(), |_| Broadcast::default());
        let mut reader = Reader::open(server.addr, "/", "");
        reader.last_id();
        server.websocket().send_text("last").unwrap();
        assert_eq!(reader.next().unwrap().data, "last");
        let control = server.control.clone();
        let stopping = server.stopping();
        let close = reader.next().unwrap();
        assert_eq!(
            (&*close.name, &*close.data),
            ("close", "1001 server shutdown")
        );
        assert_eq!(reader.next(), None);
        drop(reader);
        stopping.join().unwrap();
        assert_eq!(control.totals().event_streams, 0);
    });
}

/// Greets each session by its own words; a reader of events wants more than one channel.
struct Greeter;

impl Handler for Greeter {
    fn open(&mut self, session: &mut Session<'_>) {
        let is_reader = session.reads_events();
        session
            .send(Message::text(&format!("{} {is_reader}", session.path())))
            .unwrap();
        session.subscribe("a").unwrap();
        assert_eq!(session.subscribe("b").is_err(), is_reader, "one channel");
    }

    fn recovered(&mut self, session: &mut Session<'_>, channel: &str, recovery: Recovery) {
        assert_eq!(recovery.outcome, Recovered::Tail);
        if channel == "a" && session.reads_events() {
            session.send(Message::binary(b"\0")).unwrap();
            session.close(CloseCode::NORMAL, "that was\nall");
        }
    }
}

#[test]
fn a_handler_serves_both_alike() {
    on_each_driver(|driver| {
        let server = start(driver, 1, Settings::default(), |_| Greeter);
        let mut reader = Reader::open(server.addr, "/room", "");
        let events: Vec<_> = std::iter::from_fn(|| reader.next()).collect();
        let seen: Vec<_> = events
            .iter()
            .map(|event| (&*event.name, &*event.data))
            .collect();
        assert_eq!(
            seen,
            [
                ("message", "/room true"),
                ("binary", "AA=="),
                ("close", "1000 that was\nall")
            ]
        );
        assert_eq!(text(server.websocket().recv().unwrap()), "/ false");
        server.wait("gone", |stats| {
            stats.event_streams == 0 && stats.closed_here == 1
        });
    });
}

#[test]
fn what_a_reader_sends_is_dropped_and_its_end_is_the_end() {
    on_each_driver(|driver| {
        let server = start(driver, 1, Settings::default(), |_| Broadcast::default());
        let mut reader = Reader::open(server.addr, "/", "");
        reader.last_id();
        for _ in 0..100 {
            reader.socket.write_all(&[0x81; 1000]).unwrap();
        }
        server.websocket().send_text("still there").unwrap();
        assert_eq!(reader.next().unwrap().data, "still there");
        assert_eq!(server.control.totals().assembly_size, 0);
        reader.socket.shutdown(std::net::Shutdown::Write).unwrap();
        server.wait("gone", |stats| {
            stats.event_streams == 0 && stats.subscriptions == 0
        });
        assert_eq!(reader.next(), None);
    });
}

#[test]
fn a_request_in_pieces_is_a_request() {
    let server = start(DriverChoice::Poll, 1, Settings::default(), |_| {
        Broadcast::default()
    });
    let request = b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n";
    for cut in [1, 10, 21, 30, 32] {
        let mut socket = TcpStream::connect(server.addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&request[..cut]).unwrap();
        let before = server.control.totals().event_streams_opened;
        server.wait("the part came", |stats| stats.assembly_size == cut as u64);
        socket.write_all(&request[cut..]).unwrap();
        let mut head = [0; 15];
        socket.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        server.wait("open", |stats| stats.event_streams_opened == before + 1);
    }
}

#[test]
fn a_publication_that_is_too_large_as_an_event_is_told_as_a_gap() {
    let server = start(DriverChoice::Poll, 1, Settings::default(), |_| {
        Broadcast::default()
    });
    let mut reader = Reader::open(server.addr, "/", "");
    let id = reader.last_id();
    let epoch = id.split_once(':').unwrap().0;
    let mut publisher = server.websocket();
    // It fits a frame; in Base64 it is longer than any buffer.
    publisher.send_binary(&vec![0; 900_000]).unwrap();
    publisher.send_text("next").unwrap();
    let gap = reader.next().unwrap();
    assert_eq!((&*gap.name, &*gap.id), ("gap", &*format!("{epoch}:1")));
    assert_eq!(
        gap.data,
        format!("{{\"from\":\"{epoch}:1\",\"to\":\"{epoch}:1\"}}")
    );
    assert_eq!(reader.next().unwrap().data, "next");
}

// The client.

#[test]
fn the_client_goes_on_where_it_was() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let url = format!("http://{}/room", listener.local_addr().unwrap());
    let answers = [
        format!("{HEAD}retry: 1\n\nid: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: cut"),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("{HEAD}id: 3\nevent: binary\ndata: AP8=\n\n"),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
    ];
    let server = std::thread::spawn(move || {
        answers.map(|answer| {
            let (mut socket, _) = listener.accept().unwrap();
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") {
                socket.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            socket.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        })
    });
    let request = Request::new(Method::GET, url.parse().unwrap());
    let request = request.field("A", "b").unwrap();
    let http = HttpClient::new().unwrap();
    let mut client = http.events_of(request, "").unwrap();
    assert!(
        client.connect().unwrap() && client.connect().unwrap(),
        "once"
    );
    let mut events = Vec::new();
    while let Some(event) = client.next_event().unwrap() {
        assert_eq!(client.last_id(), event.id);
        events.push(event);
    }
    let seen: Vec<_> = events
        .iter()
        .map(|event| (&*event.id, &*event.name, &*event.data))
        .collect();
    let expected = [
        ("1", "message", "a"),
        ("2", "message", "b"),
        ("3", "binary", "AP8="),
    ];
    assert_eq!(seen, expected);
    assert_eq!(events[2].as_binary(), Some(vec![0, 255]));
    assert_eq!(events[0].as_binary(), None);
    let requests = server.join().unwrap();
    assert!(!requests[0].contains("Last-Event-ID"), "{}", requests[0]);
    for (request, id) in requests[1..].iter().zip(["2", "2", "3"]) {
        assert!(request.starts_with("GET /room HTTP/1.1\r\n") && request.contains("\r\nA: b\r\n"));
        let line = format!("\r\nLast-Event-ID: {id}\r\n");
        assert!(request.contains(&line), "{request}");
    }
}

#[test]
fn the_client_says_why_there_is_nothing() {
    let http = HttpClient::new().unwrap();
    let refusal = |url: &str| match http.events(url, "") {
        Ok(mut events) => events.connect().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(refusal("wss://127.0.0.1/").contains("write http://"));
    assert!(refusal("nothing").contains("cannot go to nothing"));
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert!(
        refusal(&url).contains("something listens"),
        "nobody listens"
    );
    let lost = http.events(&url, "").unwrap().resume(false).next_event();
    assert!(matches!(lost, Err(EventsError::Http(_))), "{lost:?}");
    let mut settings = Settings::default();
    settings.accept.origins = OriginPolicy::List(Vec::new());
    let server = start(DriverChoice::Poll, 1, settings, |_| Broadcast::default());
    let url = format!("http://{}/", server.addr);
    let request = Request::new(Method::GET, url.parse().unwrap());
    let request = request.field("Origin", "http://a.example").unwrap();
    let error = http.events_of(request, "").unwrap().next_event();
    assert!(matches!(error, Err(EventsError::Refused(403))), "{error:?}");
}

#[test]
fn the_client_reads_a_server_and_may_end_with_it() {
    let server = start(DriverChoice::Poll, 2, with_history(), |_| {
        Broadcast::default()
    });
    let url = format!("http://{}/", server.addr);
    let http = HttpClient::new().unwrap();
    let mut client = http.events(&url, "").unwrap().resume(false);
    assert!(client.connect().unwrap());
    let mut publisher = server.websocket();
    // The one is subscribed as soon as the other has its own back.
    server.wait("subscribed", |stats| stats.subscriptions == 2);
    publisher.send_text("one").unwrap();
    let event = client.next_event().unwrap().unwrap();
    assert_eq!(event.data, "one");
    publisher.send_text("two").unwrap();
    text(publisher.recv().unwrap());
    text(publisher.recv().unwrap());
    let mut other = http.events(&url, &event.id).unwrap();
    assert_eq!(other.next_event().unwrap().unwrap().data, "two");
    drop((other, publisher));
    let stopping = server.stopping();
    assert_eq!(client.next_event().unwrap().unwrap().data, "two");
    assert_eq!(client.next_event().unwrap().unwrap().name, "close");
    assert!(matches!(client.next_event(), Err(EventsError::Ended)));
    stopping.join().unwrap();
}
