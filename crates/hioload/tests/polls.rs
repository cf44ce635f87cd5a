//! Sessions that are polled, over HTTP/1.1 and HTTP/2, on each driver of this machine.

mod kit;

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hioload::streams::{End, Event, Kind, Refusal, StreamError, StreamEvent, StreamUid};
use hioload::{
    Broadcast, Client, CloseReason, DriverChoice, Handler, HistoryConfig, Message, OriginPolicy,
    Server, Session, Settings, WorkerContext,
};

use kit::{Answer, Multiplexed, PATIENCE, Running, Socket, on_each_driver};

/// Greets a session on `/hello` with two messages; says who ended, and what is told of streams.
struct Greeter {
    ends: Sender<CloseReason>,
    events: Sender<StreamEvent>,
}

impl Handler for Greeter {
    fn open(&mut self, session: &mut Session<'_>) {
        assert_eq!(session.reads_events(), session.path() != "/websocket");
        if session.path() == "/hello" {
            session.send(Message::text("hello")).expect("room");
            session.send(Message::binary(b"world")).expect("room");
        }
        if session.path() == "/websocket" {
            let uid = session.uid().expect("open").to_string();
            session.send(Message::text(&uid)).expect("room");
        }
    }

    /// `UID TEXT` is written to the stream from here, and a text that is missing closes it.
    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let (uid, text) = message
            .as_text()
            .and_then(|text| text.split_once(' '))
            .expect("two words");
        let uid: StreamUid = uid.parse().expect("a UID");
        let asked = match text {
            "" => session.streams().close(uid),
            text => session.streams().write_told(uid, Message::text(text)),
        };
        asked.expect("room");
    }

    fn close(&mut self, _: &mut Session<'_>, reason: CloseReason) {
        let _ = self.ends.send(reason);
    }

    fn stream(&mut self, _: &mut WorkerContext<'_>, event: &StreamEvent) {
        let _ = self.events.send(event.clone());
    }
}

struct Polled {
    server: Running,
    ends: Receiver<CloseReason>,
    events: Receiver<StreamEvent>,
}

impl Polled {
    fn start(driver: DriverChoice, workers: usize, settings: Settings) -> Polled {
        let (ends_to, ends) = mpsc::channel();
        let (events_to, events) = mpsc::channel();
        let senders = Arc::new(Mutex::new((ends_to, events_to)));
        let builder = Server::builder()
            .workers(workers)
            .driver(driver)
            .settings(settings)
            .handler(move |_| {
                let (ends, events) = senders.lock().expect("no panic").clone();
                Greeter { ends, events }
            });
        Polled {
            server: Running::start(builder),
            ends,
            events,
        }
    }

    /// A session whose first poll was answered: what to ask for next, and its UID.
    fn greeted(&self) -> (String, StreamUid) {
        let answer = Socket::connect(self.server.addr).get("/poll/hello", "");
        assert_eq!(answer.status, 200, "{}", answer.head);
        let next = next(&answer);
        let uid = uid_of(&next);
        (next, uid)
    }

    fn end(&self) -> CloseReason {
        self.ends.recv_timeout(PATIENCE).expect("it ends")
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

    fn write(&self, uid: StreamUid, text: &str) -> Result<(), StreamError> {
        let message = Message::text(text);
        self.server.streams.write(uid, message, PATIENCE)
    }
}

fn next(answer: &Answer) -> String {
    let next = answer.field("Hioload-Next").expect("it goes on");
    next.to_owned()
}

fn uid_of(next: &str) -> StreamUid {
    let uid = next.split_once("stream=").expect("it names it").1;
    let uid = uid.split_once('&').expect("a token follows").0;
    uid.parse().expect("a UID")
}

/// A poll that is answered 204 at once.
fn hasty() -> Settings {
    let mut settings = Settings::default();
    settings.streams.poll_timeout = Duration::from_millis(1);
    settings
}

#[test]
fn a_poll_is_answered_by_what_is_written() {
    on_each_driver(|driver| {
        let polled = Polled::start(driver, 1, Settings::default());
        let mut socket = Socket::connect(polled.server.addr);
        let answer = socket.get("/poll/hello", "");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("Content-Type"), Some("text/event-stream"));
        assert_eq!(answer.field("Cache-Control"), Some("no-store"));
        let greeting = "data: hello\n\nevent: binary\ndata: d29ybGQ=\n\n";
        assert_eq!(answer.text(), greeting);
        let uid = uid_of(&next(&answer));
        let rows = polled.server.list(Kind::LongPoll);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].uid, rows[0].is_autonomous), (uid, true));
        // io_uring knows from Linux 6.8 on.
        if driver == DriverChoice::Poll || rows[0].peer.is_some() {
            assert_eq!(rows[0].peer, socket.stream.local_addr().ok());
        }
        // On the same connection, which waits meanwhile.
        socket.ask(&next(&answer), "");
        polled.write(uid, "later").expect("it lives");
        let answer = socket.answer();
        assert_eq!(answer.text(), "data: later\n\n");
        // It outlives the connection: what is written meanwhile waits.
        drop(socket);
        for text in ["one", "two", "three"] {
            polled.write(uid, text).expect("it lives");
        }
        let answer = Socket::connect(polled.server.addr).get(&next(&answer), "");
        assert_eq!(answer.text(), "data: one\n\ndata: two\n\ndata: three\n\n");
        assert!(polled.ends.try_recv().is_err(), "it lives");
    });
}

#[test]
fn what_was_not_seen_is_said_again() {
    on_each_driver(|driver| {
        let polled = Polled::start(driver, 1, hasty());
        let (first, uid) = polled.greeted();
        polled.write(uid, "one").expect("it lives");
        let get = |target: &str| Socket::connect(polled.server.addr).get(target, "");
        let answer = get(&first);
        assert_eq!(answer.text(), "data: one\n\n");
        polled.write(uid, "two").expect("it lives");
        let again = get(&first);
        assert_eq!(again.text(), "data: one\n\n", "as if it had got lost");
        assert_eq!(next(&again), next(&answer));
        let answer = get(&next(&again));
        assert_eq!(answer.text(), "data: two\n\n");
        assert_eq!(get(&first).status, 409, "that was seen");
        let empty = get(&next(&answer));
        assert_eq!((empty.status, empty.text()), (204, ""), "nothing more");
        assert_eq!(next(&empty), next(&answer));
        polled.write(uid, "three").expect("it lives");
        assert_eq!(get(&next(&empty)).text(), "data: three\n\n");
    });
}

#[test]
fn only_who_was_told_may_poll() {
    let mut settings = hasty();
    settings.accept.origins = OriginPolicy::SameHost;
    let polled = Polled::start(DriverChoice::Poll, 2, settings);
    let (next, _) = polled.greeted();
    let get = |target: &str| Socket::connect(polled.server.addr).get(target, "");
    let token = next.find("token=").expect("a token") + 6;
    let mut other = next.clone();
    let digit = if &next[token..=token] == "0" {
        "1"
    } else {
        "0"
    };
    other.replace_range(token..=token, digit);
    assert_eq!(get(&other).status, 404);
    assert_eq!(get("/poll?stream=0/1.0v1&token=0&seen=0").status, 400);
    let foreign = format!("{}&seen=0", &next.replace("stream=", "stream=9")[..]);
    assert!(matches!(get(&foreign).status, 400 | 404));
    assert_eq!(get(&next).status, 204, "it is as it was");
    let mut socket = Socket::connect(polled.server.addr);
    let from = "Origin: https://elsewhere.example\r\n";
    assert_eq!(socket.get("/poll/hello", from).status, 403);
    let post = "POST /poll HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    socket.write(post);
    assert!(socket.answer().status >= 400);
}

#[test]
fn one_request_waits_at_a_time() {
    on_each_driver(|driver| {
        let polled = Polled::start(driver, 2, Settings::default());
        let (next, uid) = polled.greeted();
        let mut first = Socket::connect(polled.server.addr);
        first.ask(&next, "");
        // Whichever came first is told of the other.
        let mut second = Socket::connect(polled.server.addr);
        second.ask(&next, "");
        let (sender, replaced) = mpsc::channel();
        for mut socket in [first, second] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let answer = socket.answer();
                let _ = sender.send(answer);
            });
        }
        let answer = replaced.recv_timeout(PATIENCE).expect("one is answered");
        assert_eq!(answer.status, 409);
        polled.write(uid, "for the other").expect("it lives");
        let answer = replaced.recv_timeout(PATIENCE).expect("the other is");
        assert_eq!(answer.text(), "data: for the other\n\n");
    });
}

#[test]
fn streams_of_a_connection_may_poll() {
    on_each_driver(|driver| {
        let polled = Polled::start(driver, 2, Settings::default());
        let mut peer = Multiplexed::connect(polled.server.addr);
        let opening = peer.ask("/poll/hello");
        let answer = peer.answer(opening);
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with("data: hello\n\n"));
        let uid = uid_of(&next(&answer));
        let waiting = peer.ask(&next(&answer));
        let other = peer.ask("/poll/hello");
        let other = peer.answer(other);
        assert_ne!(uid_of(&next(&other)), uid, "another session");
        polled.write(uid, "one").expect("it lives");
        let answer = peer.answer(waiting);
        assert_eq!(answer.text(), "data: one\n\n");
        // A request that is taken back leaves what comes to the next one.
        let waiting = peer.ask(&next(&answer));
        peer.reset(waiting);
        polled.write(uid, "two").expect("it lives");
        let waiting = peer.ask(&next(&answer));
        assert_eq!(peer.answer(waiting).text(), "data: two\n\n");
        // And over another connection, of another version.
        let mut socket = Socket::connect(polled.server.addr);
        assert_eq!(socket.get(&next(&answer), "").text(), "data: two\n\n");
    });
}

#[test]
fn it_is_polled_and_reached_from_any_worker() {
    on_each_driver(|driver| {
        let polled = Polled::start(driver, 2, Settings::default());
        let (mut target, uid) = polled.greeted();
        let url = format!("ws://{}/websocket", polled.server.addr);
        let (mut here, mut there) = (None, None);
        let mut sessions = Vec::new();
        // Connections are spread by the system: some poll and write on the worker of the stream, some on the other.
        while here.is_none() || there.is_none() {
            let mut session = Client::connect(&url).expect("it listens");
            let first = session.recv().expect("no fault").expect("its UID");
            let own = first.as_message().and_then(|message| message.as_text());
            let own: StreamUid = own.expect("text").parse().expect("a UID");
            let place = if own.worker() == uid.worker() {
                &mut here
            } else {
                &mut there
            };
            match place {
                None => *place = Some(session),
                Some(_) => sessions.push(session),
            }
        }
        let mut writers = [here, there].map(|writer| writer.expect("both"));
        for round in 0..20 {
            let writer = &mut writers[round % 2];
            let mut socket = Socket::connect(polled.server.addr);
            socket.ask(&target, "");
            writer.send_text(&format!("{uid} {round}")).expect("open");
            let answer = socket.answer();
            assert_eq!(answer.text(), format!("data: {round}\n\n"));
            target = next(&answer);
        }
        let info = polled.server.streams.find(uid, PATIENCE).expect("answered");
        assert_eq!(info.expect("it lives").kind, Kind::LongPoll);
        writers[1].send_text(&format!("{uid} ")).expect("open");
        let answer = Socket::connect(polled.server.addr).get(&target, "");
        assert_eq!(answer.text(), "event: close\ndata: 1000 \n\n");
        let after = Socket::connect(polled.server.addr).get(&next(&answer), "");
        assert_eq!(after.status, 404, "its end was told");
        assert_eq!(polled.end_of(uid), End::Asked);
        assert_eq!(
            polled.write(uid, "x"),
            Err(StreamError::Refused(Refusal::Gone))
        );
    });
}

#[test]
fn what_waits_is_bounded_and_who_writes_is_told() {
    let mut settings = hasty();
    settings.streams.poll_backlog = 8 << 10;
    settings.streams.foreign_stream = 16 << 10;
    settings.output_max = 32 << 10;
    let polled = Polled::start(DriverChoice::Poll, 1, settings);
    let (mut target, uid) = polled.greeted();
    let text = "x".repeat(1000);
    let mut written = 0;
    let refused = loop {
        let message = Message::text(&text);
        match polled
            .server
            .streams
            .write(uid, message, Duration::from_millis(50))
        {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 200, "there is a bound");
    };
    // What waits elsewhere is not answered; one that finds no room there is refused.
    assert!(matches!(
        refused,
        StreamError::TimedOut | StreamError::Refused(Refusal::Full)
    ));
    assert!(written >= 8, "{written}");
    let stats = polled.server.control.totals();
    assert!(
        stats.closed_stalled == 0,
        "it is not asked to take anything"
    );
    // It all comes, in order, once somebody polls.
    let mut seen = 0;
    while seen < written {
        let answer = Socket::connect(polled.server.addr).get(&target, "");
        target = next(&answer);
        seen += answer.text().matches("data: ").count();
        assert_eq!(answer.text().replace(&format!("data: {text}\n\n"), ""), "");
    }
    polled.write(uid, "room again").expect("it lives");
}

#[test]
fn who_polls_no_more_is_forgotten() {
    on_each_driver(|driver| {
        let mut settings = Settings::default();
        settings.streams.poll_linger = Duration::from_millis(50);
        let polled = Polled::start(driver, 1, settings.clone());
        let (_, uid) = polled.greeted();
        assert_eq!(polled.end(), CloseReason::Idle);
        assert_eq!(polled.end_of(uid), End::Idle);
        // Who waits is not forgotten, however long: many times that long here.
        settings.streams.poll_timeout = Duration::from_millis(400);
        let polled = Polled::start(driver, 1, settings);
        let answer = Socket::connect(polled.server.addr).get("/poll", "");
        assert_eq!(answer.status, 204);
        let uid = uid_of(&next(&answer));
        assert_eq!(polled.end_of(uid), End::Idle, "only then");
    });
}

#[test]
fn there_are_as_many_as_may_be() {
    let mut settings = hasty();
    settings.streams.long_poll_max = 2;
    let polled = Polled::start(DriverChoice::Poll, 1, settings);
    let get = |target: &str| Socket::connect(polled.server.addr).get(target, "");
    let (first, second) = (get("/poll"), get("/poll"));
    assert_eq!((first.status, second.status), (204, 204));
    let third = get("/poll");
    assert_eq!(third.status, 503);
    assert!(third.field("Hioload-Next").is_none());
    let uid = uid_of(&next(&first));
    polled
        .server
        .streams
        .close(uid, PATIENCE)
        .expect("it lives");
    let answer = get(&next(&first));
    assert_eq!(answer.text(), "event: close\ndata: 1000 \n\n");
    assert_eq!(get(&next(&answer)).status, 404);
    polled.server.wait_gone(uid);
    assert_eq!(get("/poll").status, 204, "there is room again");
}

#[test]
fn a_shutdown_is_told_to_who_waits() {
    on_each_driver(|driver| {
        let mut polled = Polled::start(driver, 2, Settings::default());
        let (target, _) = polled.greeted();
        let _forgotten = polled.greeted();
        let mut socket = Socket::connect(polled.server.addr);
        socket.ask(&target, "");
        // It is waited for as soon as it is answered, which is when it is heard of.
        let reader = std::thread::spawn(move || (socket.answer(), socket.rest()));
        polled.server.wait("it waits", |stats| stats.requests >= 3);
        polled.server.stop();
        let (answer, rest) = reader.join().expect("no panic");
        assert_eq!(
            answer.text(),
            "event: close\ndata: 1001 server shutdown\n\n"
        );
        assert_eq!(rest, b"", "and the connection ends");
        let ends: Vec<_> = polled.ends.try_iter().collect();
        assert_eq!(ends, [CloseReason::Shutdown; 2]);
    });
}

#[test]
fn a_channel_is_polled_and_taken_up_where_it_was_left() {
    on_each_driver(|driver| {
        let mut settings = Settings::default();
        settings.events.history = true;
        settings.channel.history = HistoryConfig {
            count: 1000,
            size: 1 << 20,
            age: Duration::from_secs(3600),
        };
        let builder = Server::builder()
            .workers(2)
            .driver(driver)
            .settings(settings)
            .handler(|_| Broadcast::default());
        let server = Running::start(builder);
        let opening = Socket::connect(server.addr).get("/poll", "");
        assert_eq!(opening.status, 200, "where it begins is told");
        let mut publisher = Client::connect(&format!("ws://{}/", server.addr)).expect("it listens");
        let mut target = next(&opening);
        let (mut seen, mut id) = (0, String::new());
        for number in 0..100 {
            publisher.send_text(&number.to_string()).expect("open");
        }
        while seen < 100 {
            let answer = Socket::connect(server.addr).get(&target, "");
            assert_eq!(answer.status, 200);
            for line in answer.text().lines() {
                if let Some(data) = line.strip_prefix("data: ") {
                    assert_eq!(data, seen.to_string(), "in order, none missing, none twice");
                    seen += 1;
                }
                if let Some(place) = line.strip_prefix("id: ") {
                    id = place.to_owned();
                }
            }
            target = next(&answer);
        }
        let offset: u64 = id
            .split_once(':')
            .expect("a place")
            .1
            .parse()
            .expect("a number");
        let back = id.replace(&format!(":{offset}"), &format!(":{}", offset - 2));
        let resumed = Socket::connect(server.addr);
        let mut socket = resumed;
        let mut answer = socket.get("/poll", &format!("Last-Event-ID: {back}\r\n"));
        let mut text = answer.text().to_owned();
        while !text.contains("data: 99") {
            answer = socket.get(&next(&answer), "");
            text.push_str(answer.text());
        }
        let data: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("data"))
            .collect();
        assert_eq!(data, ["data: 98", "data: 99"]);
    });
}
