//! What an application is told, and the layers around it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hioload::layer::{Excess, Metrics, RateLimit, Recovery};
use hioload::{
    CloseCode, CloseReason, ContextKey, DriverChoice, Echo, Handler, Layer, Message, Scope,
    SendError, Session, WorkerContext,
};
use hioload_e2e::{Heard, Opcode, Running, Wire, close_body, frame_bytes, until};

/// What was told, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().expect("no panic").push(what.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|one| *one == line).count()
    }
}

/// Tells everything but the ends of turns.
struct Teller(Log);

impl Handler for Teller {
    fn open(&mut self, session: &mut Session<'_>) {
        self.0.say(format!("open {}", session.path()));
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let text = message.as_text().unwrap_or("?");
        self.0.say(format!("{text} {}", session.path()));
        if text == "close" {
            session.close(CloseCode::new(3001), "");
        }
    }

    fn close(&mut self, session: &mut Session<'_>, reason: CloseReason) {
        assert_eq!(session.send(Message::text("late")), Err(SendError::Closed));
        self.0.say(format!("{reason:?} {}", session.path()));
    }
}

/// The path, what the handler is told, and what the client does.
type End = (&'static str, &'static str, fn(Wire));

/// How sessions end.
const ENDS: &[End] = &[
    ("/peer", "Peer(CloseCode(4001))", |mut wire| {
        wire.frame(Opcode::Close, &close_body(4001, "bye"));
        assert_eq!(wire.closed(), Some(4001));
    }),
    ("/peer-without-code", "Peer(CloseCode(1005))", |mut wire| {
        wire.frame(Opcode::Close, b"");
        assert_eq!(wire.closed(), Some(1005));
    }),
    ("/local", "Local(CloseCode(3001))", |mut wire| {
        wire.frame(Opcode::Text, b"close");
        assert_eq!(wire.next().close_code(), Some(3001));
        wire.frame(Opcode::Close, &close_body(3001, ""));
        assert_eq!(wire.hear(), Heard::End);
    }),
    ("/local-unanswered", "Local(CloseCode(3001))", |mut wire| {
        wire.frame(Opcode::Text, b"close");
        assert_eq!(wire.next().close_code(), Some(3001));
        wire.reset();
    }),
    ("/offence", "Offence(CloseCode(1002))", |mut wire| {
        wire.send(&frame_bytes(0x83, b""));
        assert_eq!(wire.closed(), Some(1002));
    }),
    ("/fin", "Lost", |mut wire| {
        wire.finish();
        assert_eq!(wire.closed(), None);
    }),
    ("/reset", "Lost", Wire::reset),
    ("/gone", "Lost", drop),
];

pub(crate) fn every_session_is_told_open_messages_and_one_end(driver: DriverChoice) {
    let log = Log::default();
    let told = log.clone();
    let builder = Running::builder(driver, 2).settings(Running::settings());
    let server = Running::start(builder.handler(move |_| Teller(told.clone())));
    for (path, reason, end) in ENDS {
        let mut wire = Wire::open(server.addr(), path);
        wire.send(&[frame_bytes(0x81, b"one"), frame_bytes(0x81, b"two")].concat());
        wire.frame(Opcode::Ping, b"");
        assert_eq!(wire.next().opcode(), Opcode::Pong as u8);
        end(wire);
        let last = format!("{reason} {path}");
        until(&last, || log.count(&last) > 0);
    }
    server.until_stats("all ends", |stats| {
        let by_peer = stats.closed_by_peer;
        (
            by_peer,
            stats.closed_here,
            stats.closed_offence,
            stats.closed_lost,
        ) == (2, 2, 1, 3)
            && (stats.sessions, stats.connections) == (0, 0)
    });
    for (path, reason, _) in ENDS {
        let its: Vec<String> = log
            .lines()
            .into_iter()
            .filter(|line| line.split(' ').nth(1) == Some(path))
            .collect();
        let close = reason.starts_with("Local").then_some("close");
        let expected: Vec<String> = ["open", "one", "two"]
            .into_iter()
            .chain(close)
            .chain([*reason])
            .map(|what| format!("{what} {path}"))
            .collect();
        // `open /path` has its words the other way round from all others.
        assert_eq!(its.len(), expected.len(), "{its:?}");
        assert!(
            its.iter().zip(&expected).all(|(a, b)| a == b),
            "{its:?}, expected {expected:?}"
        );
    }
}

/// A refused handshake is no session.
pub(crate) fn a_refused_handshake_is_told_nobody(driver: DriverChoice) {
    let log = Log::default();
    let told = log.clone();
    let server = Running::start(Running::builder(driver, 1).handler(move |_| Teller(told.clone())));
    let mut wire = Wire::dial(server.addr());
    wire.send(b"GET / HTTP/1.1\r\n\r\n");
    wire.rest();
    server.until_stats("the refusal", |stats| stats.handshakes_refused == 1);
    server.until_stats("its end", |stats| stats.connections == 0);
    assert_eq!(log.lines(), Vec::<String>::new());
}

/// Sends until it is refused, then goes on when it is told that there is room.
struct Filler {
    log: Log,
    sent: u32,
}

const FILL: u32 = 300;

impl Filler {
    fn fill(&mut self, session: &mut Session<'_>) {
        let mut payload = vec![0; 64 * 1024];
        while self.sent < FILL {
            payload[..4].copy_from_slice(&self.sent.to_be_bytes());
            if let Err(error) = session.send(Message::binary(&payload)) {
                assert_eq!(error, SendError::Full);
                assert!(session.buffered_size() > 0);
                self.log.say("full");
                return;
            }
            self.sent += 1;
        }
    }
}

impl Handler for Filler {
    fn message(&mut self, session: &mut Session<'_>, _: Message<'_>) {
        self.fill(session);
    }

    fn drained(&mut self, session: &mut Session<'_>) {
        self.log.say("drained");
        self.fill(session);
    }
}

pub(crate) fn drained_follows_every_refusal(driver: DriverChoice) {
    let log = Log::default();
    let told = log.clone();
    let builder = Running::builder(driver, 1).settings(Running::settings());
    let make = move |_| Filler {
        log: told.clone(),
        sent: 0,
    };
    let server = Running::start(builder.handler(make));
    let mut wire = Wire::dial_small(server.addr());
    wire.upgrade("/", "");
    wire.frame(Opcode::Text, b"go");
    for number in 0..FILL {
        assert_eq!(wire.next().payload[..4], number.to_be_bytes());
    }
    let lines = log.lines();
    assert!(
        lines.len() >= 2 && lines.len().is_multiple_of(2),
        "{lines:?}"
    );
    assert!(
        lines.chunks(2).all(|two| two == ["full", "drained"]),
        "{lines:?}"
    );
    server.until_stats("the refusals", |stats| {
        stats.send_refused == lines.len() as u64 / 2
    });
}

pub(crate) fn batch_ends_every_turn_with_messages(driver: DriverChoice) {
    #[derive(Default)]
    struct Batches {
        log: Log,
        messages: usize,
    }
    impl Handler for Batches {
        fn message(&mut self, _: &mut Session<'_>, _: Message<'_>) {
            self.messages += 1;
        }
        fn batch(&mut self, worker: &mut WorkerContext<'_>, messages: usize) {
            assert_eq!(
                (std::mem::take(&mut self.messages), worker.index()),
                (messages, 0)
            );
            self.log.say(messages.to_string());
        }
    }
    let log = Log::default();
    let told = log.clone();
    let builder = Running::builder(driver, 1);
    let make = move |_| Batches {
        log: told.clone(),
        messages: 0,
    };
    let server = Running::start(builder.handler(make));
    let sum = || {
        log.lines()
            .iter()
            .map(|line| line.parse::<usize>().expect("a number"))
            .sum::<usize>()
    };
    let mut wire = Wire::open(server.addr(), "/");
    wire.send(&frame_bytes(0x81, b"x").repeat(500));
    until("500 messages", || sum() == 500);
    assert!(log.lines().len() < 500, "a turn per message");
}

/// Says its name on the way in and on the way out.
struct Named(&'static str, Log);

struct NamedHandler(&'static str, Log, Box<dyn Handler>);

impl Layer for Named {
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler> {
        Box::new(NamedHandler(self.0, self.1.clone(), inner))
    }
}

impl Handler for NamedHandler {
    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        self.1.say(format!("into {}", self.0));
        self.2.message(session, message);
        self.1.say(format!("out of {}", self.0));
    }
}

pub(crate) fn the_first_layer_is_the_outermost(driver: DriverChoice) {
    let log = Log::default();
    let told = log.clone();
    let builder = Running::builder(driver, 1)
        .layer(Named("first", log.clone()))
        .layer(Named("second", log.clone()))
        .handler(move |_| Teller(told.clone()));
    let server = Running::start(builder);
    let mut wire = Wire::open(server.addr(), "/");
    wire.frame(Opcode::Text, b"hi");
    let expected = [
        "into first",
        "into second",
        "hi /",
        "out of second",
        "out of first",
    ];
    until("the message", || log.lines().len() >= expected.len());
    assert_eq!(log.lines(), expected);
}

/// Panics when told to, wherever it is told.
struct Fragile;

impl Handler for Fragile {
    fn open(&mut self, session: &mut Session<'_>) {
        assert!(session.path() != "/open", "as told (a test)");
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        assert!(message.as_text() != Some("panic"), "as told (a test)");
        let _ = session.send(message);
    }

    fn close(&mut self, session: &mut Session<'_>, _: CloseReason) {
        assert!(session.path() != "/close", "as told (a test)");
    }
}

pub(crate) fn a_panic_costs_its_session_only(driver: DriverChoice) {
    let builder = Running::builder(driver, 1).settings(Running::settings());
    let server = Running::start(builder.layer(Recovery).handler(|_| Fragile));
    let mut other = Wire::open(server.addr(), "/");
    let mut wire = Wire::open(server.addr(), "/");
    // What came before it in the same read is answered, what comes after is not.
    let frames = [&b"before"[..], b"panic", b"after"].map(|text| frame_bytes(0x81, text));
    wire.send(&frames.concat());
    assert_eq!(wire.next().payload, b"before");
    assert_eq!(wire.next().close_code(), Some(1011));
    wire.frame(Opcode::Close, &close_body(1011, ""));
    assert_eq!(wire.hear(), Heard::End);
    let mut opening = Wire::open(server.addr(), "/open");
    assert_eq!(opening.next().close_code(), Some(1011));
    opening.frame(Opcode::Close, b"");
    assert_eq!(opening.hear(), Heard::End);
    let mut closing = Wire::open(server.addr(), "/close");
    closing.frame(Opcode::Close, &close_body(1000, ""));
    assert_eq!(closing.closed(), Some(1000));
    other.frame(Opcode::Text, b"still here");
    assert_eq!(other.next().payload, b"still here");
    server.until_stats("the panics", |stats| {
        (stats.panics, stats.sessions) == (3, 1)
    });
}

/// Without recovery a panic ends its worker, the others are shut down, and `run` says so.
pub(crate) fn a_panic_without_recovery_ends_the_server(driver: DriverChoice) {
    let mut server = Running::start(Running::builder(driver, 3).workers(3).handler(|_| Fragile));
    let mut others: Vec<Wire> = (0..12).map(|_| Wire::open(server.addr(), "/")).collect();
    let mut wire = Wire::open(server.addr(), "/");
    wire.frame(Opcode::Text, b"panic");
    for other in &mut others {
        // 1001, or nothing from the worker that is no more.
        assert!(matches!(other.closed(), Some(1001) | None));
    }
    assert!(!server.ended(), "run() has to tell");
}

pub(crate) fn too_many_messages_close_the_session(driver: DriverChoice) {
    let builder = Running::builder(driver, 1).settings(Running::settings());
    let server = Running::start(builder.layer(RateLimit::new(1, 3)).handler(|_| Echo));
    let mut wire = Wire::open(server.addr(), "/");
    // In one write, so that they meet the same moment.
    wire.send(&frame_bytes(0x81, b"x").repeat(10));
    for _ in 0..3 {
        assert_eq!(wire.next().payload, b"x");
    }
    assert_eq!(wire.next().close_code(), Some(1008));
    wire.frame(Opcode::Close, b"");
    assert_eq!(wire.hear(), Heard::End);
    server.until_stats("the limited one", |stats| {
        (stats.rate_limited, stats.closed_here) == (1, 1)
    });
}

pub(crate) fn too_many_messages_are_dropped(driver: DriverChoice) {
    let builder = Running::builder(driver, 1).settings(Running::settings());
    let limit = RateLimit::new(1, 3).excess(Excess::Drop);
    let server = Running::start(builder.layer(limit).handler(|_| Echo));
    let mut wire = Wire::open(server.addr(), "/");
    // Limits are each session's own.
    let mut other = Wire::open(server.addr(), "/");
    wire.send(&[frame_bytes(0x81, b"x").repeat(10), frame_bytes(0x89, b"")].concat());
    let answers = std::iter::from_fn(|| Some(wire.next()))
        .take_while(|f| f.first == 0x81)
        .count();
    assert_eq!(answers, 3);
    other.frame(Opcode::Text, b"y");
    assert_eq!(other.next().payload, b"y");
    server.until_stats("the dropped ones", |stats| {
        (stats.rate_limited, stats.sessions) == (7, 2)
    });
}

pub(crate) fn metrics_count_what_the_handler_saw(driver: DriverChoice) {
    let metrics = Metrics::new();
    let builder = Running::builder(driver, 2).layer(metrics.clone());
    let server = Running::start(builder.handler(|_| Echo));
    let mut wires: Vec<Wire> = (0..3).map(|_| Wire::open(server.addr(), "/")).collect();
    for _ in 0..100 {
        for wire in &mut wires {
            wire.frame(Opcode::Binary, &[1; 10]);
            assert_eq!(wire.next().payload, [1; 10]);
        }
    }
    drop(wires);
    until("the counters", || {
        let seen = metrics.snapshot();
        (seen.opened, seen.closed, seen.messages, seen.bytes) == (3, 3, 300, 3000)
    });
    assert!(
        metrics.snapshot().handler_nanos_mean > 0,
        "one message in 64 is timed"
    );
}

const NAME: ContextKey<String> = ContextKey::new("name", Scope::Propagated);
const TOKEN: ContextKey<u32> = ContextKey::new("token", Scope::Local);

/// A session's own values, one of which expires.
struct Remembers;

impl Handler for Remembers {
    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let now = session.now();
        let text = message.as_text().unwrap_or_default();
        if let Some(name) = text.strip_prefix("I am ") {
            let context = session.context();
            context.set(NAME, name.to_owned()).expect("room");
            context
                .set_for(TOKEN, 7, now, Duration::from_millis(80))
                .expect("room");
        }
        let context = session.context();
        let derived = context.derive(now);
        let answer = format!(
            "{:?} {:?} {:?}",
            context.value(NAME, now),
            context.value(TOKEN, now),
            derived.keys(now).collect::<Vec<_>>()
        );
        session.send(Message::text(&answer)).expect("room");
    }
}

pub(crate) fn a_context_belongs_to_its_session_and_expires(driver: DriverChoice) {
    let server = Running::start(Running::builder(driver, 1).handler(|_| Remembers));
    let ask = |wire: &mut Wire, text: &str| {
        wire.frame(Opcode::Text, text.as_bytes());
        String::from_utf8(wire.next().payload).expect("text")
    };
    let mut ada = Wire::open(server.addr(), "/");
    assert_eq!(ask(&mut ada, "I am ada"), r#"Some("ada") Some(7) ["name"]"#);
    // Another session, and the next one in the same place, know nothing of it.
    let mut other = Wire::open(server.addr(), "/");
    assert_eq!(ask(&mut other, "who?"), "None None []");
    until("the token to expire", || {
        ask(&mut ada, "who?") == r#"Some("ada") None ["name"]"#
    });
    ada.frame(Opcode::Close, b"");
    ada.closed();
    server.until_stats("its end", |stats| stats.sessions == 1);
    assert_eq!(
        ask(&mut Wire::open(server.addr(), "/"), "who?"),
        "None None []"
    );
}
