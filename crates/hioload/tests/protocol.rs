//! Protocols of the application, over HTTP/1.1 and HTTP/2, on each driver of this machine.

mod kit;

use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use hioload::protocol::{Protocol, Upgrade, UpgradeRefusal, UpgradeRequest};
use hioload::streams::{End, Event, Kind, Refusal, StreamError, StreamEvent, StreamUid};
use hioload::{
    Client, CloseReason, DriverChoice, Handler, Message, Server, Session, SessionId, Settings,
    SubscribeError, WorkerContext,
};

use kit::{Multiplexed, PATIENCE, Running, Socket, on_each_driver};

const LINES: &str = "Connection: Upgrade\r\nUpgrade: lines\r\nLines-Key: abc\r\n";

/// Says its UID, then each line that comes; `bye` ends it.
struct Lines {
    told: Sender<(&'static str, StreamUid)>,
    uid: Option<StreamUid>,
    /// Lines that have begun.
    begun: HashMap<SessionId, Vec<u8>>,
}

impl Upgrade for Lines {
    fn detect(&self, request: &UpgradeRequest<'_>) -> bool {
        request.token == "lines"
    }

    fn handshake(
        &mut self,
        request: &UpgradeRequest<'_>,
        fields: &mut Vec<(String, String)>,
    ) -> Result<(), UpgradeRefusal> {
        let Some(key) = (request.field)("lines-key") else {
            return Err(UpgradeRefusal { status: 401 });
        };
        let key = String::from_utf8_lossy(key).into_owned();
        let name = if request.path == "/smuggle" {
            "a\r\nb"
        } else {
            "lines-accept"
        };
        fields.push((name.to_owned(), key));
        Ok(())
    }

    fn ready(&mut self, uid: StreamUid) {
        self.uid = Some(uid);
        self.told.send(("ready", uid)).expect("somebody listens");
    }
}

impl Protocol for Lines {
    fn open(&mut self, session: &mut Session<'_>) {
        assert_eq!(session.uid().ok(), self.uid, "it has one already");
        let too_many = SubscribeError::TooMany { max: 0 };
        assert_eq!(session.subscribe("a"), Err(too_many), "it has no frames");
        let hello = format!("{}\n", session.uid().expect("open"));
        session.send(Message::text(&hello)).expect("room");
    }

    fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
        let line = self.begun.entry(session.id()).or_default();
        for &byte in bytes {
            line.push(byte);
            if byte != b'\n' {
                continue;
            }
            if line == b"bye\n" {
                let _ = session.send(Message::text("farewell\n"));
                session.close(hioload::CloseCode::NORMAL, "not heard");
                return;
            }
            let _ = session.send(Message::binary(line));
            line.clear();
        }
    }

    fn closed(&mut self, session: &mut Session<'_>, reason: CloseReason) {
        let why = match reason {
            CloseReason::Peer(_) => "peer",
            CloseReason::Local(_) => "local",
            CloseReason::Lost => "lost",
            CloseReason::Shutdown => "shutdown",
            _ => "other",
        };
        self.begun.remove(&session.id());
        let uid = session.uid().expect("it keeps its name to the end");
        let _ = self.told.send((why, uid));
    }
}

/// Tells what is said to streams.
struct Watcher(Sender<StreamEvent>);

impl Handler for Watcher {
    fn open(&mut self, session: &mut Session<'_>) {
        let uid = session.uid().expect("open");
        let _ = session.send(Message::text(&uid.to_string()));
    }

    /// What comes is a UID: it is written to from here, then closed.
    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let uid: StreamUid = message.as_text().expect("text").parse().expect("a UID");
        let mut streams = session.streams();
        streams.find(uid).expect("room");
        let text = Message::text("from a worker\n");
        streams.write_told(uid, text).expect("room");
        streams.close(uid).expect("room");
    }

    fn stream(&mut self, _: &mut WorkerContext<'_>, event: &StreamEvent) {
        let _ = self.0.send(event.clone());
    }
}

struct Echo {
    server: Running,
    told: Receiver<(&'static str, StreamUid)>,
    events: Receiver<StreamEvent>,
}

fn echo(driver: DriverChoice, workers: usize, settings: Settings) -> Echo {
    let (told_to, told) = mpsc::channel();
    let (events_to, events) = mpsc::channel();
    let senders = Arc::new(Mutex::new((told_to, events_to)));
    let others = Arc::clone(&senders);
    let builder = Server::builder()
        .workers(workers)
        .driver(driver)
        .settings(settings)
        .protocol(move |_| Lines {
            told: senders.lock().expect("no panic").0.clone(),
            uid: None,
            begun: HashMap::new(),
        })
        .handler(move |_| Watcher(others.lock().expect("no panic").1.clone()));
    let server = Running::start(builder);
    Echo {
        server,
        told,
        events,
    }
}

impl Echo {
    /// A client that has been answered, and its UID.
    fn lines(&self) -> (Socket, StreamUid) {
        let mut socket = Socket::connect(self.server.addr);
        let answer = socket.get("/", LINES);
        assert_eq!(answer.status, 101, "{}", answer.head);
        assert_eq!(answer.field("lines-accept"), Some("abc"));
        assert_eq!(answer.field("Upgrade"), Some("lines"));
        assert_eq!(answer.field("Connection"), Some("Upgrade"));
        let uid = socket.line().parse().expect("its UID");
        assert_eq!(self.told(), ("ready", uid));
        (socket, uid)
    }

    fn told(&self) -> (&'static str, StreamUid) {
        self.told.recv_timeout(PATIENCE).expect("it happens")
    }

    fn end_of(&self, uid: StreamUid) -> End {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("it happens");
            if let StreamEvent::Life(Event::Destroyed(of, end)) = event
                && of.uid == uid
            {
                return end;
            }
        }
    }
}

#[test]
fn a_connection_is_handed_to_the_protocol_it_asks_for() {
    on_each_driver(|driver| {
        let mut echo = echo(driver, 1, Settings::default());
        let (mut socket, uid) = echo.lines();
        let rows = echo.server.list(Kind::Custom);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].uid, rows[0].kind), (uid, Kind::Custom));
        // io_uring knows from Linux 6.8 on.
        if driver == DriverChoice::Poll || rows[0].peer.is_some() {
            assert_eq!(rows[0].peer, socket.stream.local_addr().ok());
        }
        for piece in ["one\nt", "w", "o\n"] {
            socket.write(piece);
        }
        assert_eq!(socket.line(), "one");
        assert_eq!(socket.line(), "two");
        let info = echo.server.streams.find(uid, PATIENCE).expect("answered");
        assert_eq!(info.expect("it lives").bytes_in, 8);
        // What is behind the request is the protocol's, in the same piece or not.
        let mut early = Socket::connect(echo.server.addr);
        early.write(format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{LINES}\r\nearly\nbird"
        ));
        assert_eq!(early.answer().status, 101);
        let other: StreamUid = early.line().parse().expect("its UID");
        assert_ne!(other, uid);
        assert_eq!(early.line(), "early");
        early.write("s\n");
        assert_eq!(early.line(), "birds");
        assert_eq!(echo.told(), ("ready", other));
        early.write("bye\n");
        assert_eq!(early.line(), "farewell");
        assert_eq!(early.rest(), b"", "no frame of any other protocol");
        assert_eq!(echo.told(), ("local", other));
        assert_eq!(echo.end_of(other), End::Closed);
        // The peer ends its side: what it was sent still comes.
        socket.write("last\n");
        socket.stream.shutdown(Shutdown::Write).expect("open");
        assert_eq!(socket.rest(), b"last\n");
        assert_eq!(echo.told(), ("peer", uid));
        echo.server.wait_gone(uid);
        drop((socket, early));
        // A head that comes byte by byte.
        let mut slow = Socket::connect(echo.server.addr);
        slow.stream.set_nodelay(true).expect("a socket");
        for byte in format!("GET / HTTP/1.1\r\nHost: a\r\n{LINES}\r\n").bytes() {
            slow.write([byte]);
        }
        assert_eq!(slow.answer().status, 101);
        let reader = std::thread::spawn(move || slow.rest());
        echo.server.stop();
        reader.join().expect("no panic");
        let ends: Vec<_> = echo.told.try_iter().map(|(what, _)| what).collect();
        assert_eq!(ends, ["ready", "shutdown"]);
    });
}

#[test]
fn what_is_refused_is_no_stream() {
    on_each_driver(|driver| {
        let mut settings = Settings::default();
        settings.streams.worker_max = 1;
        let echo = echo(driver, 1, settings);
        let ask = |target: &str, fields: &str| {
            let mut socket = Socket::connect(echo.server.addr);
            let answer = socket.get(target, fields);
            assert_eq!(socket.rest(), b"", "it is over");
            answer
        };
        let keyless = "Connection: Upgrade\r\nUpgrade: lines\r\n";
        assert_eq!(ask("/", keyless).status, 401, "as the protocol says");
        let unknown = ask("/", &LINES.replace("lines\r", "mimes\r"));
        assert_eq!(unknown.status, 426, "nobody's");
        let unlisted = ask("/", &LINES.replace("Connection: Upgrade\r\n", ""));
        assert_eq!(unlisted.status, 426, "Connection does not list it");
        let body = ask("/", &format!("{LINES}Content-Length: 3\r\n"));
        assert_eq!(body.status, 400, "with a body");
        let smuggled = ask("/smuggle", LINES);
        assert_eq!(smuggled.status, 500);
        assert!(!smuggled.head.contains("b: abc"), "{}", smuggled.head);
        assert_eq!(echo.server.list(Kind::Custom).len(), 0);
        // As many as there may be.
        let (held, uid) = echo.lines();
        assert_eq!(ask("/", LINES).status, 503);
        assert_eq!(echo.server.list(Kind::Custom).len(), 1);
        drop(held);
        assert_eq!(echo.told(), ("peer", uid));
        echo.server.wait_gone(uid);
        let (_, other) = echo.lines();
        assert_ne!(uid, other);
    });
}

#[test]
fn the_client_says_which_protocol_it_prefers() {
    let echo = echo(DriverChoice::Poll, 1, Settings::default());
    let websocket = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for (tokens, chosen) in [
        ("websocket, lines", "websocket"),
        ("lines, websocket", "lines"),
        ("other, lines", "lines"),
    ] {
        let mut socket = Socket::connect(echo.server.addr);
        let fields = LINES.replace("Upgrade: lines", &format!("Upgrade: {tokens}"));
        let answer = socket.get("/", &format!("{fields}{websocket}"));
        assert_eq!(answer.status, 101, "{tokens}");
        assert_eq!(answer.field("Upgrade"), Some(chosen), "{tokens}");
    }
}

#[test]
fn streams_of_a_connection_are_handed_over_too() {
    on_each_driver(|driver| {
        let echo = echo(driver, 1, Settings::default());
        let mut peer = Multiplexed::connect(echo.server.addr);
        let key = [("lines-key", "abc")];
        let mut open = |protocol, fields: &[_]| {
            let stream = peer.open("CONNECT", "/", Some(protocol), fields, false);
            (stream, peer.head(stream))
        };
        let (_, (status, _)) = open("mimes", &key);
        assert_eq!(status, 501);
        let (_, (status, _)) = open("lines", &[]);
        assert_eq!(status, 401);
        let (one, (status, head)) = open("lines", &key);
        assert_eq!(status, 200);
        assert!(head.contains("lines-accept: abc"), "{head}");
        let (other, _) = open("lines", &key);
        let (ready, uid) = echo.told();
        assert_eq!(ready, "ready");
        let line = format!("{uid}\n").into_bytes();
        assert_eq!(peer.take(one, line.len()), line);
        let _ = echo.told();
        assert_eq!(echo.server.list(Kind::Custom).len(), 2);
        peer.send(one, b"one\ntw", false);
        assert_eq!(peer.take(one, 4), b"one\n");
        peer.send(one, b"o\n", true);
        assert_eq!(peer.rest(one), b"two\n");
        assert_eq!(echo.told(), ("peer", uid));
        echo.server.wait_gone(uid);
        peer.reset(other);
        assert_eq!(echo.told().0, "lost", "the other one ends for itself");
    });
}

#[test]
fn it_is_reached_by_its_uid_from_other_workers_and_threads() {
    on_each_driver(|driver| {
        let echo = echo(driver, 2, Settings::default());
        let (mut socket, uid) = echo.lines();
        let streams = &echo.server.streams;
        let text = Message::text("from a thread\n");
        streams.write(uid, text, PATIENCE).expect("it lives");
        assert_eq!(socket.line(), "from a thread");
        // A session on the other worker: connections are spread by the system.
        let mut sessions = Vec::new();
        let mut session = loop {
            let url = format!("ws://{}/", echo.server.addr);
            let mut session = Client::connect(&url).expect("it listens");
            let first = session.recv().expect("no fault").expect("its UID");
            let own = first.as_message().and_then(|message| message.as_text());
            let own: StreamUid = own.expect("text").parse().expect("a UID");
            if own.worker() != uid.worker() {
                break session;
            }
            sessions.push(session);
        };
        session.send_text(&uid.to_string()).expect("open");
        assert_eq!(socket.line(), "from a worker");
        assert_eq!(socket.rest(), b"");
        assert_eq!(echo.end_of(uid), End::Asked);
        assert_eq!(echo.told(), ("local", uid));
        let gone = Err(StreamError::Refused(Refusal::Gone));
        assert_eq!(streams.close(uid, PATIENCE), gone);
    });
}

/// More than all buffers between the two together, before the other side begins to read.
#[test]
fn two_of_them_are_joined_and_nothing_is_lost() {
    const SIZE: usize = 20 << 20;
    on_each_driver(|driver| {
        let mut settings = Settings::default();
        settings.streams.proxy_window = 64 << 10;
        let echo = echo(driver, 2, settings);
        let ((mut one, first), (mut two, second)) = (echo.lines(), echo.lines());
        let streams = &echo.server.streams;
        streams.proxy(first, second, PATIENCE).expect("both live");
        let bytes: Arc<[u8]> = (0..SIZE).map(|place| (place % 251) as u8).collect();
        let sent = Arc::clone(&bytes);
        let (go, gone) = mpsc::channel();
        let writer = std::thread::spawn(move || {
            one.write(&sent[..1 << 20]);
            go.send(()).expect("somebody waits");
            one.write(&sent[1 << 20..]);
            one
        });
        gone.recv_timeout(PATIENCE).expect("some fit");
        assert!(two.take(SIZE) == bytes[..], "in order, none missing");
        let mut one = writer.join().expect("no panic");
        two.write("and back");
        assert_eq!(one.take(8), b"and back");
        drop(one);
        assert_eq!(two.rest(), b"", "they end together");
    });
}

#[test]
fn who_reads_nothing_is_not_read_from() {
    let echo = echo(DriverChoice::Poll, 1, Settings::default());
    let (mut socket, _) = echo.lines();
    let mut line = vec![b'a'; 1023];
    line.push(b'\n');
    let mut writer = socket.stream.try_clone().expect("a socket");
    let (count, all) = (20_000, line.clone());
    let thread = std::thread::spawn(move || {
        use std::io::Write as _;
        for _ in 0..count {
            writer.write_all(&all).expect("it is read in the end");
        }
    });
    echo.server.wait("it is held", |stats| stats.held > 0);
    for _ in 0..count {
        assert_eq!(socket.take(line.len()), line, "in order, none missing");
    }
    thread.join().expect("no panic");
}
