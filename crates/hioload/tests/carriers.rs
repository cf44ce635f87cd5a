//! Streams by their UID whatever carries them: tunnels of HTTP/2, events over both versions, polls. From threads, from
//! other workers, and by `hioload streams`.

mod kit;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use hioload::admin::Admin;
use hioload::streams::{Kind, Refusal, StreamError, StreamUid};
use hioload::{Client, DriverChoice, Handler, Message, Server, Session, Settings};
use hioload_http::h2::StreamRef;

use kit::{Multiplexed, PATIENCE, Running, Socket, on_each_driver};

/// Says its UID to each session. `UID TEXT` is written to that stream from here; without a text it is closed.
struct Clerk;

impl Handler for Clerk {
    fn open(&mut self, session: &mut Session<'_>) {
        // Where a limit rejects it, it lives without.
        if let Ok(uid) = session.uid() {
            let _ = session.send(Message::text(&uid.to_string()));
        }
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let words = message.as_text().and_then(|text| text.split_once(' '));
        let (uid, text) = words.expect("two words");
        let uid: StreamUid = uid.parse().expect("a UID");
        let asked = match text {
            "" => session.streams().close(uid),
            text => session.streams().write_told(uid, Message::text(text)),
        };
        asked.expect("room");
    }
}

/// Says to each session who it is.
struct Usher;

impl Handler for Usher {
    fn open(&mut self, session: &mut Session<'_>) {
        let peer = session.peer_addr().map(|peer| peer.to_string());
        let _ = session.send(Message::text(&peer.unwrap_or_default()));
    }
}

fn start(driver: DriverChoice, settings: Settings) -> Running {
    let builder = Server::builder().workers(2).driver(driver);
    Running::start(builder.settings(settings).handler(|_| Clerk))
}

const WEBSOCKET: [(&str, &str); 1] = [("sec-websocket-version", "13")];

/// A session, and what carries it.
enum Carrier {
    Tunnel(Multiplexed, StreamRef),
    Events(Socket),
    EventsOfStream(Multiplexed, StreamRef),
    Poll(SocketAddr, String),
}

impl Carrier {
    /// One of each, with its UID.
    fn each(addr: SocketAddr) -> Vec<(Kind, Carrier, StreamUid)> {
        let mut tunnels = Multiplexed::connect(addr);
        let tunnel = tunnels.open("CONNECT", "/", Some("websocket"), &WEBSOCKET, false);
        assert_eq!(tunnels.head(tunnel).0, 200);
        let mut socket = Socket::connect(addr);
        socket.ask("/events", "");
        let mut streams = Multiplexed::connect(addr);
        let events = streams.ask("/events");
        let carriers = [
            (Kind::WebSocket, Carrier::Tunnel(tunnels, tunnel)),
            (Kind::Sse, Carrier::Events(socket)),
            (Kind::Sse, Carrier::EventsOfStream(streams, events)),
            (Kind::LongPoll, Carrier::Poll(addr, "/poll".to_owned())),
        ];
        let named = carriers.into_iter().map(|(kind, mut carrier)| {
            let uid = carrier.heard().parse().expect("its UID");
            (kind, carrier, uid)
        });
        named.collect()
    }

    /// The next text that comes, or what is said at the end.
    fn heard(&mut self) -> String {
        if let Carrier::Tunnel(peer, stream) = self {
            let head = peer.take(*stream, 2);
            let text = peer.take(*stream, usize::from(head[1]));
            return match head[0] {
                0x81 => String::from_utf8(text).expect("text"),
                0x88 => u16::from_be_bytes([text[0], text[1]]).to_string(),
                other => panic!("a frame of {other:#x}"),
            };
        }
        loop {
            let event = match self {
                Carrier::Tunnel(..) => unreachable!("its messages are frames"),
                Carrier::Events(socket) => {
                    let lines = std::iter::from_fn(|| Some(socket.line()));
                    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                    lines.join("\n")
                }
                Carrier::EventsOfStream(peer, stream) => {
                    let mut event = Vec::new();
                    while !event.ends_with(b"\n\n") {
                        event.extend(peer.take(*stream, 1));
                    }
                    String::from_utf8(event).expect("text")
                }
                Carrier::Poll(addr, target) => {
                    let answer = Socket::connect(*addr).get(target, "");
                    assert_eq!(answer.status, 200);
                    answer
                        .field("Hioload-Next")
                        .unwrap_or("")
                        .clone_into(target);
                    answer.text().to_owned()
                }
            };
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            if let Some(data) = data {
                return data.trim_end().to_owned();
            }
        }
    }
}

/// A session on the other worker: connections are spread by the system.
fn apart_from(server: &Running, uid: StreamUid) -> Client {
    let mut others = Vec::new();
    loop {
        let mut client = Client::connect(&format!("ws://{}/", server.addr)).expect("it listens");
        let first = client.recv().expect("no fault").expect("its UID");
        let own = first.as_message().and_then(|message| message.as_text());
        let own: StreamUid = own.expect("text").parse().expect("a UID");
        if own.worker() != uid.worker() {
            return client;
        }
        others.push(client);
    }
}

#[test]
fn they_are_found_written_to_and_closed_from_another_worker() {
    on_each_driver(|driver| {
        let server = start(driver, Settings::default());
        for (kind, mut carrier, uid) in Carrier::each(server.addr) {
            let found = server.streams.find(uid, PATIENCE).expect("answered");
            assert_eq!(found.expect("it lives").kind, kind);
            assert!(server.list(kind).iter().any(|row| row.uid == uid));
            let text = Message::text("from a thread");
            server.streams.write(uid, text, PATIENCE).expect("it lives");
            assert_eq!(carrier.heard(), "from a thread", "{kind}");
            let mut client = apart_from(&server, uid);
            let say = |client: &mut Client, text: &str| {
                client.send_text(&format!("{uid} {text}")).expect("open");
            };
            say(&mut client, "from a worker");
            assert_eq!(carrier.heard(), "from a worker", "{kind}");
            let found = server.streams.find(uid, PATIENCE).expect("answered");
            let found = found.expect("it lives");
            assert!(found.bytes_out >= 26, "{kind}: {}", found.bytes_out);
            // Behind what was written before.
            say(&mut client, "last");
            say(&mut client, "");
            assert_eq!(carrier.heard(), "last", "{kind}");
            if kind != Kind::LongPoll {
                assert_eq!(carrier.heard(), "1000", "{kind}");
            }
            drop(carrier);
            server.wait_gone(uid);
            let gone = Err(StreamError::Refused(Refusal::Gone));
            assert_eq!(server.streams.close(uid, PATIENCE), gone);
        }
    });
}

/// What `hioload streams` prints.
fn streams(admin: &Admin, words: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hioload"));
    command.arg("streams").args(words).stdin(Stdio::null());
    command.args(["--admin", &admin.local_addr().to_string()]);
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.success(), text)
}

#[test]
fn they_are_listed_counted_and_closed_on_the_command_line() {
    let server = start(DriverChoice::Poll, Settings::default());
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let admin = Admin::start(addr, server.control.clone()).expect("a port");
    let carriers = Carrier::each(server.addr);
    let (is_done, all) = streams(&admin, &["ls"]);
    assert!(is_done);
    for (kind, mut carrier, uid) in carriers {
        let uid_text = uid.to_string();
        let line = all.lines().find(|line| line.contains(&uid_text));
        assert!(line.is_some_and(|line| line.contains(kind.name())), "{all}");
        let (_, some) = streams(&admin, &["ls", "--kind", kind.name(), "--json"]);
        assert!(some.contains(&uid_text), "{some}");
        let (_, other) = streams(&admin, &["ls", "--kind", "custom", "--json"]);
        assert!(!other.contains(&uid_text), "{other}");
        let active = |streams: (bool, String)| -> u64 {
            let stat: serde_json::Value = serde_json::from_str(&streams.1).expect("JSON");
            stat["totals"]["active"][kind.name()]
                .as_u64()
                .expect("a number")
        };
        let before = active(streams(&admin, &["stat", "--json"]));
        assert!(before >= 1);
        assert!(streams(&admin, &["close", &uid_text]).0);
        assert!(carrier.heard().starts_with("1000"), "{kind}");
        drop(carrier);
        server.wait_gone(uid);
        assert_eq!(active(streams(&admin, &["stat", "--json"])), before - 1);
        assert!(!streams(&admin, &["close", &uid_text]).0, "it is gone");
    }
}

#[test]
fn which_limit_rejects_is_counted() {
    let mut settings = Settings::default();
    settings.streams.socket_max = 2;
    settings.streams.sse_max = 1;
    let server = start(DriverChoice::Poll, settings);
    let mut peer = Multiplexed::connect(server.addr);
    let tunnels: Vec<_> = (0..3)
        .map(|_| {
            let tunnel = peer.open("CONNECT", "/", Some("websocket"), &WEBSOCKET, false);
            assert_eq!(peer.head(tunnel).0, 200, "it lives, with or without");
            tunnel
        })
        .collect();
    assert_eq!(server.list(Kind::WebSocket).len(), 2, "of one connection");
    let mut other = Multiplexed::connect(server.addr);
    let tunnel = other.open("CONNECT", "/", Some("websocket"), &WEBSOCKET, false);
    assert_eq!(other.head(tunnel).0, 200);
    assert_eq!(server.list(Kind::WebSocket).len(), 3, "each has its own");
    let stats = server.wait("it is counted", |stats| stats.streams_rejected > 0);
    assert_eq!(stats.streams_rejected_socket, 1, "{stats:?}");
    // They go, and there is room for another.
    for tunnel in tunnels {
        peer.reset(tunnel);
    }
    server.wait("they end", |stats| stats.streams == 1);
    let tunnel = peer.open("CONNECT", "/", Some("websocket"), &WEBSOCKET, false);
    assert_eq!(peer.head(tunnel).0, 200);
    assert_eq!(server.list(Kind::WebSocket).len(), 2);
    // Of one kind, on a worker: there are two workers, so that the third is one too many.
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = Socket::connect(server.addr);
        reader.ask("/events", "");
        assert_eq!(reader.answer().status, 200);
        assert!(reader.line().starts_with("retry"));
        readers.push(reader);
    }
    assert!(server.list(Kind::Sse).len() <= 2);
    server.wait("it is counted", |stats| stats.streams_rejected_kind >= 1);
}

#[test]
fn a_handler_knows_who_is_at_the_other_end() {
    on_each_driver(|driver| {
        let builder = Server::builder().workers(1).driver(driver);
        let server = Running::start(builder.handler(|_| Usher));
        let mut socket = Socket::connect(server.addr);
        socket.ask("/events", "");
        let mut streams = Multiplexed::connect(server.addr);
        let events = streams.ask("/events");
        let mut tunnels = Multiplexed::connect(server.addr);
        let tunnel = tunnels.open("CONNECT", "/", Some("websocket"), &WEBSOCKET, false);
        assert_eq!(tunnels.head(tunnel).0, 200);
        let names = [
            socket.stream.local_addr().ok(),
            streams.local_addr(),
            tunnels.local_addr(),
        ];
        let carriers = [
            Carrier::Events(socket),
            Carrier::EventsOfStream(streams, events),
            Carrier::Tunnel(tunnels, tunnel),
        ];
        for (mut carrier, name) in carriers.into_iter().zip(names) {
            let heard = carrier.heard();
            // io_uring knows from Linux 6.8 on.
            if driver == DriverChoice::Poll || !heard.is_empty() {
                assert_eq!(heard.parse().ok(), name);
            }
        }
        let mut poll = Carrier::Poll(server.addr, "/poll".to_owned());
        assert_eq!(poll.heard(), "", "it has no connection of its own");
    });
}
