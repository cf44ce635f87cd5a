//! An agent over HTTP/2: many requests on a connection, tunnels, and connections that go away.

mod h2_kit;

use std::time::Duration;

use h2_kit::Side;
use hioload_base::Time;
use hioload_http::client::{
    Agent, Config, ConnKey, Event, Failure, Limits, Method, Offer, Protocol, Request, RequestBody,
    RequestKey,
};
use hioload_http::h2::{self, ErrorCode, HeadKind};

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Head(u16),
    Body(Vec<u8>),
    End(Vec<u8>),
    Failed(Failure),
    Other,
}

/// An agent, and an HTTP/2 server behind each of its connections.
struct Lab {
    agent: Agent,
    now: Time,
    limits: h2::Limits,
    piece_size: usize,
    servers: Vec<(ConnKey, Side, bool)>,
    offers: Vec<Offer>,
    /// What is spoken on the connections to come.
    speaks: Protocol,
    events: Vec<(RequestKey, Seen)>,
}

impl Lab {
    fn new(config: Config, limits: h2::Limits) -> Self {
        Self {
            agent: Agent::new(config, Time::ZERO),
            now: Time::ZERO,
            limits,
            piece_size: usize::MAX,
            servers: Vec::new(),
            offers: Vec::new(),
            speaks: Protocol::Http2,
            events: Vec::new(),
        }
    }

    fn submit(&mut self, request: Request) -> RequestKey {
        let key = self.agent.submit(self.now, request).expect("room");
        self.run();
        key
    }

    fn of(&self, key: RequestKey) -> Vec<Seen> {
        let own = self.events.iter().filter(|(of, _)| *of == key);
        own.map(|(_, seen)| seen.clone()).collect()
    }

    fn server(&mut self, number: usize) -> &mut Side {
        &mut self.servers[number].1
    }

    /// The heads of the requests that came on a connection, by the ids of their streams.
    fn asked(&mut self, number: usize) -> Vec<(u32, Vec<(String, String)>)> {
        let seen = self.server(number).take_seen();
        let head = |seen| match seen {
            h2_kit::Seen::Head(id, HeadKind::Request, list, _) => Some((id, list)),
            _ => None,
        };
        seen.into_iter().filter_map(head).collect()
    }

    fn answer(&mut self, number: usize, id: u32, body: &[u8]) {
        let server = self.server(number);
        server.respond(id, 200, body.is_empty());
        if !body.is_empty() {
            server.send(id, body, true);
        }
    }

    fn record(&mut self, event: Event<'_>) {
        let (key, seen) = match event {
            Event::Head { request, head } => {
                assert_eq!(head.protocol(), self.speaks);
                (request, Seen::Head(head.status()))
            }
            Event::Body { request, bytes } => (request, Seen::Body(bytes.to_vec())),
            Event::End { request, body } => (request, Seen::End(body)),
            Event::Failed { request, failure } => (request, Seen::Failed(failure)),
            Event::Progress { .. } => return,
            Event::BodyWanted { request } | Event::Redirected { request, .. } => {
                (request, Seen::Other)
            }
        };
        self.events.push((key, seen));
    }

    fn run(&mut self) {
        loop {
            let mut has_moved = false;
            while let Some(event) = self.agent.poll_event() {
                self.record(event);
            }
            while let Some(connect) = self.agent.poll_connect() {
                has_moved = true;
                self.offers.push(connect.offer);
                if connect.offer == Offer::Http1 {
                    self.speaks = Protocol::Http1;
                }
                let side = Side::server(&self.limits);
                // HTTP/1.1 is not answered here.
                let is_carried = self.speaks == Protocol::Http2;
                self.servers.push((connect.conn, side, is_carried));
                self.agent.connected(self.now, connect.conn, self.speaks);
            }
            while self.agent.poll_ready().is_some() {}
            while let Some(conn) = self.agent.poll_close() {
                self.carry(conn);
                self.agent.closed(self.now, conn);
                for (key, _, is_open) in &mut self.servers {
                    *is_open &= *key != conn;
                }
            }
            let conns: Vec<ConnKey> = self.servers.iter().filter(|s| s.2).map(|s| s.0).collect();
            for conn in conns {
                has_moved |= self.carry(conn);
            }
            if !has_moved {
                return;
            }
        }
    }

    /// Moves bytes both ways.
    fn carry(&mut self, conn: ConnKey) -> bool {
        let mut out = Vec::new();
        self.agent.poll_output(self.now, conn, &mut out, 10_000);
        let place = self.servers.iter().position(|server| server.0 == conn);
        let place = place.expect("a connection of ours");
        let side = &mut self.servers[place].1;
        side.now = self.now;
        side.feed(&out).expect("the agent is sound");
        let mut down = side.take_wire();
        for piece in down.chunks_mut(self.piece_size) {
            let mut input = piece;
            while let Some(event) = self.agent.handle_input(self.now, conn, &mut input) {
                let size = match &event {
                    Event::Body { request, bytes } => Some((*request, bytes.len())),
                    _ => None,
                };
                self.record(event);
                if let Some((request, size)) = size {
                    self.agent.consumed(self.now, request, size);
                }
            }
        }
        !out.is_empty() || !down.is_empty()
    }

    fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.agent.poll_timeout().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            self.agent.handle_timeout(self.now);
            self.run();
        }
        self.now = until;
        self.run();
    }
}

fn lab() -> Lab {
    Lab::new(Config::default(), h2::Limits::default())
}

fn request(method: Method, path: &str) -> Request {
    let url = format!("https://h{path}");
    Request::new(method, url.parse().expect("legal"))
}

fn get(path: &str) -> Request {
    request(Method::GET, path)
}

fn field<'a>(list: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = list.iter().find(|(field, _)| field == name);
    found.map(|(_, value)| value.as_str())
}

#[test]
fn many_requests_go_over_one_connection_and_end_in_any_order() {
    for piece_size in [1, 9, 100, usize::MAX] {
        let mut lab = lab();
        lab.piece_size = piece_size;
        let keys: Vec<_> = (0..50).map(|n| lab.submit(get(&format!("/{n}")))).collect();
        let asked = lab.asked(0);
        assert_eq!(
            (asked.len(), lab.servers.len(), lab.offers[0]),
            (50, 1, Offer::Any)
        );
        assert_eq!(field(&asked[7].1, ":path"), Some("/7"));
        assert_eq!(field(&asked[7].1, ":authority"), Some("h"));
        assert_eq!(
            field(&asked[7].1, "user-agent").map(|text| &text[..8]),
            Some("hioload/")
        );
        for (id, list) in asked.iter().rev() {
            let path = field(list, ":path").expect("a path").to_owned();
            lab.answer(0, *id, path.as_bytes());
            lab.run();
        }
        for (number, key) in keys.iter().enumerate() {
            let body = format!("/{number}").into_bytes();
            assert_eq!(
                lab.of(*key),
                [Seen::Head(200), Seen::End(body)],
                "{piece_size}"
            );
        }
        assert_eq!(lab.agent.connection_count(), 1);
    }
}

#[test]
fn only_one_connection_asks_what_a_server_speaks() {
    let mut agent = Agent::new(Config::default(), Time::ZERO);
    for _ in 0..20 {
        agent.submit(Time::ZERO, get("/")).expect("room");
    }
    let first = agent.poll_connect().expect("one");
    assert_eq!(agent.poll_connect(), None);
    // It is the old version: now as many as there may be.
    agent.connected(Time::ZERO, first.conn, Protocol::Http1);
    let more = std::iter::from_fn(|| agent.poll_connect()).count();
    assert_eq!(more, 5);
}

#[test]
fn what_the_peer_allows_is_kept() {
    let limits = h2::Limits {
        streams_max: 2,
        ..h2::Limits::default()
    };
    let mut lab = Lab::new(Config::default(), limits);
    let first = lab.submit(get("/first"));
    let asked = lab.asked(0);
    lab.answer(0, asked[0].0, b"");
    lab.run();
    assert_eq!(lab.of(first).last(), Some(&Seen::End(vec![])));
    lab.server(0).release(1);
    for n in 0..5 {
        lab.submit(get(&format!("/{n}")));
    }
    // More connections rather than more streams.
    let counts: Vec<usize> = (0..lab.servers.len()).map(|n| lab.asked(n).len()).collect();
    assert_eq!(counts, [2, 2, 1]);
}

#[test]
fn bodies_flow_within_windows_both_ways() {
    for body in [
        RequestBody::Bytes(vec![7; 300_000].into()),
        RequestBody::Stream(300_000),
        RequestBody::Chunked,
    ] {
        let is_handed = !matches!(body, RequestBody::Bytes(_));
        let is_stated = !matches!(body, RequestBody::Chunked);
        let mut lab = lab();
        let key = lab.submit(request(Method::PUT, "/up").body(body).streamed());
        if is_handed {
            let mut left = &[7; 300_000][..];
            while !left.is_empty() {
                let taken = lab
                    .agent
                    .write_body(lab.now, key, left)
                    .expect("as announced");
                left = &left[taken..];
                lab.run();
            }
            lab.agent.finish_body(lab.now, key).expect("complete");
            lab.run();
        }
        let seen = lab.server(0).take_seen();
        let length = match &seen[0] {
            h2_kit::Seen::Head(1, HeadKind::Request, list, false) => {
                field(list, "content-length").map(str::to_owned)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(length.as_deref(), is_stated.then_some("300000"));
        let received: usize = seen
            .iter()
            .map(|seen| match seen {
                h2_kit::Seen::Data(1, bytes, _) => bytes.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(received, 300_000);
        assert!(matches!(seen.last(), Some(h2_kit::Seen::Data(1, _, true))));
        lab.server(0).respond(1, 200, false);
        lab.server(0).send(1, &[9; 700_000], true);
        lab.run();
        let seen = lab.of(key);
        let size: usize = seen
            .iter()
            .map(|seen| match seen {
                Seen::Body(bytes) => bytes.len(),
                _ => 0,
            })
            .sum();
        assert_eq!((size, seen.last()), (700_000, Some(&Seen::End(vec![]))));
    }
}

#[test]
fn one_stream_that_fails_leaves_the_others_alone() {
    let mut lab = lab();
    let keys = [
        lab.submit(get("/a")),
        lab.submit(get("/b")),
        lab.submit(get("/c")),
    ];
    lab.asked(0);
    let stream = lab.server(0).streams[&1];
    lab.server(0)
        .connection
        .reset(stream, ErrorCode::INTERNAL_ERROR);
    lab.agent.cancel(lab.now, keys[1]);
    lab.run();
    let reset = lab.server(0).take_seen();
    assert!(
        reset.contains(&h2_kit::Seen::Reset(3, ErrorCode::CANCEL, true)),
        "{reset:?}"
    );
    lab.answer(0, 5, b"fine");
    lab.run();
    let internal = Failure::Reset(ErrorCode::INTERNAL_ERROR);
    assert_eq!(lab.of(keys[0]), [Seen::Failed(internal)]);
    assert_eq!(lab.of(keys[1]), [Seen::Failed(Failure::Cancelled)]);
    assert_eq!(lab.of(keys[2]).last(), Some(&Seen::End(b"fine".to_vec())));
}

#[test]
fn what_was_refused_is_sent_again_whatever_it_is() {
    let mut lab = lab();
    let body = RequestBody::Bytes(b"once".as_slice().into());
    let key = lab.submit(request(Method::POST, "/").body(body));
    for id in [1, 3] {
        assert_eq!(lab.asked(0).last().map(|asked| asked.0), Some(id));
        let stream = lab.server(0).streams[&id];
        lab.server(0)
            .connection
            .reset(stream, ErrorCode::REFUSED_STREAM);
        lab.server(0).connection.release(stream);
        lab.run();
    }
    assert_eq!(lab.of(key), []);
    // Twice is enough.
    assert_eq!(lab.asked(0).last().map(|asked| asked.0), Some(5));
    let stream = lab.server(0).streams[&5];
    lab.server(0)
        .connection
        .reset(stream, ErrorCode::REFUSED_STREAM);
    lab.run();
    let refused = Failure::Reset(ErrorCode::REFUSED_STREAM);
    assert_eq!(lab.of(key), [Seen::Failed(refused)]);
}

#[test]
fn a_connection_that_goes_away_ends_its_streams_and_takes_no_more() {
    let mut lab = lab();
    let old = lab.submit(get("/old"));
    lab.asked(0);
    let now = lab.now;
    lab.server(0).connection.shutdown(now);
    lab.run();
    let new = lab.submit(get("/new"));
    assert_eq!(lab.servers.len(), 2);
    let asked = lab.asked(1);
    assert_eq!(field(&asked[0].1, ":path"), Some("/new"));
    lab.answer(0, 1, b"old");
    lab.answer(1, 1, b"new");
    lab.run();
    assert_eq!(lab.of(old).last(), Some(&Seen::End(b"old".to_vec())));
    assert_eq!(lab.of(new).last(), Some(&Seen::End(b"new".to_vec())));
    assert_eq!(
        lab.agent.connection_count(),
        1,
        "the old one is closed once it is done"
    );
}

#[test]
fn a_connection_that_breaks_is_tried_around_for_what_had_no_answer() {
    let mut lab = lab();
    let first = lab.submit(get("/first"));
    lab.asked(0);
    lab.answer(0, 1, b"x");
    lab.run();
    assert_eq!(lab.of(first).len(), 2);
    lab.server(0).release(1);
    let keys = [
        lab.submit(get("/get")),
        lab.submit(request(Method::POST, "/post")),
        lab.submit(get("/half")),
    ];
    lab.asked(0);
    lab.server(0).respond(7, 200, false);
    lab.run();
    let conn = lab.servers[0].0;
    lab.agent.connection_lost(lab.now, conn);
    lab.run();
    assert_eq!(lab.of(keys[1]), [Seen::Failed(Failure::Closed)]);
    assert_eq!(
        lab.of(keys[2]),
        [Seen::Head(200), Seen::Failed(Failure::Closed)]
    );
    let asked = lab.asked(1);
    assert_eq!(field(&asked[0].1, ":path"), Some("/get"));
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_and_left() {
    let mut lab = lab();
    let key = lab.submit(get("/"));
    let conn = lab.servers[0].0;
    let mut nonsense = *b"nonsense, and no frame";
    let mut input = &mut nonsense[..];
    while let Some(event) = lab.agent.handle_input(lab.now, conn, &mut input) {
        lab.record(event);
    }
    let failed = lab.of(key);
    assert!(
        matches!(failed[..], [Seen::Failed(Failure::Offence(_))]),
        "{failed:?}"
    );
    assert_eq!(lab.agent.poll_close(), Some(conn));
    let mut words = Vec::new();
    lab.agent.poll_output(lab.now, conn, &mut words, 1000);
    assert!(words.windows(4).any(|part| part[3] == 7), "GOAWAY");
}

#[test]
fn a_silent_stream_is_reset_and_the_connection_stays() {
    let mut lab = lab();
    let late = lab.submit(get("/late"));
    let patient = lab.submit(get("/patient").read_timeout(Duration::from_secs(9)));
    lab.asked(0);
    lab.advance(Duration::from_secs(6));
    assert!(matches!(
        lab.of(late)[..],
        [Seen::Failed(Failure::Timeout(_))]
    ));
    lab.answer(0, 3, b"at last");
    lab.run();
    assert_eq!(
        lab.of(patient).last(),
        Some(&Seen::End(b"at last".to_vec()))
    );
}

fn tunnel() -> Request {
    let url = "wss://h/live".parse().expect("legal");
    Request::tunnel(url, "websocket", &[("Sec-WebSocket-Key", "abc")])
        .and_then(|request| request.field("Sec-WebSocket-Version", "13"))
        .expect("legal")
}

#[test]
fn a_tunnel_goes_both_ways_beside_requests() {
    let mut lab = lab();
    let key = lab.submit(tunnel());
    let other = lab.submit(get("/"));
    assert_eq!(lab.servers.len(), 1);
    let asked = lab.asked(0);
    let list = &asked[0].1;
    for (name, value) in [
        (":method", Some("CONNECT")),
        (":protocol", Some("websocket")),
        (":scheme", Some("https")),
        (":path", Some("/live")),
        ("sec-websocket-version", Some("13")),
        ("sec-websocket-key", None),
        ("upgrade", None),
        ("content-length", None),
    ] {
        assert_eq!(field(list, name), value, "{name}");
    }
    // Nothing of it goes out before the answer.
    assert_eq!(lab.agent.write_body(lab.now, key, b"early"), Ok(5));
    lab.run();
    assert_eq!(lab.server(0).take_seen(), []);
    lab.server(0).respond(1, 200, false);
    lab.run();
    assert_eq!(lab.agent.write_body(lab.now, key, b" bird"), Ok(5));
    lab.run();
    let up = lab.server(0).take_seen();
    assert_eq!(up, [h2_kit::Seen::Data(1, b"early bird".to_vec(), false)]);
    lab.server(0).send(1, b"hello", false);
    lab.run();
    // It may be silent for as long as it likes.
    lab.answer(0, 3, b"");
    lab.run();
    lab.advance(Duration::from_secs(60));
    assert_eq!(
        lab.of(key),
        [Seen::Head(200), Seen::Body(b"hello".to_vec())]
    );
    assert_eq!(lab.of(other).last(), Some(&Seen::End(vec![])));
    lab.server(0).send(1, b"", true);
    lab.run();
    assert_eq!(lab.of(key).last(), Some(&Seen::End(vec![])));
}

#[test]
fn a_tunnel_that_http2_does_not_take_is_an_upgrade_elsewhere() {
    let limits = h2::Limits {
        tunnels_max: 0,
        ..h2::Limits::default()
    };
    let mut lab = Lab::new(Config::default(), limits);
    let key = lab.submit(tunnel());
    assert_eq!(lab.offers, [Offer::Any, Offer::Http1]);
    let conn = lab.servers[1].0;
    let mut out = Vec::new();
    lab.agent.poll_output(lab.now, conn, &mut out, 1000);
    let head = String::from_utf8(out).expect("text");
    assert!(
        head.starts_with("GET /live HTTP/1.1\r\nHost: h\r\n"),
        "{head}"
    );
    for line in [
        "Connection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Sec-WebSocket-Key: abc\r\n",
        "Sec-WebSocket-Version: 13\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let answer = |lab: &mut Lab, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        while let Some(event) = lab.agent.handle_input(lab.now, conn, &mut input) {
            lab.record(event);
        }
    };
    answer(
        &mut lab,
        b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n\x81\x02hi",
    );
    let mut out = Vec::new();
    assert_eq!(lab.agent.write_body(lab.now, key, b"raw"), Ok(3));
    lab.agent.poll_output(lab.now, conn, &mut out, 1000);
    assert_eq!(out, b"raw", "no chunks");
    answer(&mut lab, b"more");
    let body = |bytes: &[u8]| Seen::Body(bytes.to_vec());
    assert_eq!(
        lab.of(key),
        [Seen::Head(101), body(b"\x81\x02hi"), body(b"more")]
    );
    lab.agent.handle_eof(lab.now, conn);
    lab.run();
    assert_eq!(lab.of(key).last(), Some(&Seen::End(vec![])));
}

#[test]
fn prior_knowledge_needs_no_tls() {
    let config = Config {
        clear: Offer::Http2,
        limits: Limits {
            streams_per_connection_max: 3,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut lab = Lab::new(config, h2::Limits::default());
    for _ in 0..4 {
        let url = "http://h/".parse().expect("legal");
        lab.submit(Request::new(Method::GET, url));
    }
    assert_eq!(lab.offers, [Offer::Http2, Offer::Http2]);
    let asked = lab.asked(0);
    assert_eq!(
        (asked.len(), field(&asked[0].1, ":scheme")),
        (3, Some("http"))
    );
}
