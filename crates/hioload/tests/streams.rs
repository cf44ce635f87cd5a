//! Streams by their UID on a running server: from its threads and from others, on two workers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hioload::streams::{
    Dispatch, End, Event, Filter, Kind, PeerFilter, Refusal, Reply, StreamError, StreamEvent,
    StreamUid, Streams,
};
use hioload::{
    Client, DriverChoice, Handler, Message, Server, ServerHandle, Session, Settings, WorkerContext,
};

const SOON: Duration = Duration::from_secs(20);
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Tells each session its UID, and does as it is told: `write UID TEXT`, `adopt UID`, `detach`, `close UID`,
/// `crowd UID`, `proxy UID`, `proxy UID UID`, `channel N`. Anything else is sent back.
struct Obedient {
    events: Sender<StreamEvent>,
}

impl Obedient {
    fn obey(session: &mut Session<'_>, words: &[&str]) -> Result<(), StreamError> {
        let uid = |word: &str| word.parse::<StreamUid>().expect("a UID");
        let own = session.uid()?;
        match words {
            ["write", to, text] => {
                session.streams().write_told(uid(to), Message::text(text))?;
            }
            ["adopt", other] => drop(session.streams().attach(own, uid(other))?),
            ["close", other] => drop(session.streams().close(uid(other))?),
            ["find", other] => drop(session.streams().find(uid(other))?),
            ["detach"] => drop(session.detach()?),
            ["crowd", other] => {
                // So many questions that there is one ticket left.
                for _ in 1..tickets_max() {
                    session.streams().write_told(own, Message::text(""))?;
                }
                session.streams().proxy(uid(other), own)?;
            }
            ["proxy", one, other] => drop(session.streams().proxy(uid(one), uid(other))?),
            ["proxy", other] => drop(session.streams().proxy(own, uid(other))?),
            ["channel", number] => {
                let number = number.parse().expect("a channel");
                session
                    .streams()
                    .add_channel(own, number, 70)
                    .expect("it is free");
                assert_eq!(session.streams().dispatch(own, number), Dispatch::To(70));
            }
            words => {
                let _ = session.send(Message::text(&words.join(" ")));
            }
        }
        Ok(())
    }
}

impl Handler for Obedient {
    fn open(&mut self, session: &mut Session<'_>) {
        let uid = session.uid().expect("there is room");
        let _ = session.send(Message::text(&uid.to_string()));
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let Some(text) = message.as_text() else {
            let _ = session.send(message);
            return;
        };
        let words: Vec<&str> = text.splitn(3, ' ').collect();
        if let Err(error) = Self::obey(session, &words) {
            let _ = session.send(Message::text(&error.to_string()));
        }
    }

    fn stream(&mut self, _: &mut WorkerContext<'_>, event: &StreamEvent) {
        let _ = self.events.send(event.clone());
    }
}

fn tickets_max() -> u64 {
    let mut limits = hioload_streams::LIMITS.iter();
    let limit = limits.find(|limit| limit.name == "streams.tickets");
    limit.expect("there is one").default
}

struct Running {
    addr: SocketAddr,
    handle: ServerHandle,
    streams: Streams,
    events: Receiver<StreamEvent>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(settings: Settings) -> Running {
        let (sender, events) = mpsc::channel();
        let sender = Arc::new(Mutex::new(sender));
        let builder = Server::builder()
            .addr("127.0.0.1:0".parse().expect("an address"))
            .workers(2)
            .driver(DriverChoice::Poll)
            .memory(96 << 20)
            .settings(settings);
        let handler = move |_worker| Obedient {
            events: sender.lock().expect("no panic").clone(),
        };
        let server = builder.handler(handler).build().expect("a server");
        let (addr, handle) = (server.local_addr(), server.handle());
        let thread = std::thread::spawn(move || server.run().expect("no worker fails"));
        Running {
            addr,
            streams: handle.streams(),
            handle,
            events,
            thread: Some(thread),
        }
    }

    fn client(&self) -> (Client, StreamUid) {
        let url = format!("ws://{}/", self.addr);
        let builder = Client::builder().read_timeout(Some(SOON));
        let mut client = builder.connect(&url).expect("it listens");
        let uid = text(&mut client).parse().expect("its UID");
        (client, uid)
    }

    /// A client whose frames are written by hand, several at once.
    fn by_hand(&self) -> (TcpStream, StreamUid) {
        let mut stream = TcpStream::connect(self.addr).expect("it listens");
        stream.write_all(REQUEST).expect("open");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a response");
            head.push(byte[0]);
        }
        let mut start = [0; 2];
        stream.read_exact(&mut start).expect("a frame");
        let mut uid = vec![0; usize::from(start[1])];
        stream.read_exact(&mut uid).expect("a text");
        let uid = std::str::from_utf8(&uid).expect("a text");
        let uid = uid.parse().expect("its UID");
        (stream, uid)
    }

    /// Two clients on different workers: connections are spread by the system.
    fn apart(&self) -> [(Client, StreamUid); 2] {
        let one = self.client();
        let mut others = Vec::new();
        loop {
            let other = self.client();
            if other.1.worker() != one.1.worker() {
                return [one, other];
            }
            others.push(other);
        }
    }

    /// The next answer: of which stream, and why it was refused if it was.
    fn joining(&self) -> (StreamUid, Option<Refusal>) {
        match self.event(answer) {
            Reply::Refused { uid, why, .. } => (uid, Some(why)),
            reply => (reply.uid(), None),
        }
    }

    /// Waits until a stream is there no more.
    fn wait_gone(&self, uid: StreamUid) {
        while self.streams.exists(uid, SOON) == Ok(true) {
            std::thread::yield_now();
        }
    }

    /// The next event that fits.
    fn event<T>(&self, fits: impl Fn(&StreamEvent) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(SOON).expect("it happens");
            if let Some(found) = fits(&event) {
                return found;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn text(client: &mut Client) -> String {
    let message = client.recv().expect("no fault").expect("a message");
    let message = message
        .as_message()
        .and_then(|message| message.as_text().map(str::to_owned));
    message.expect("a text")
}

fn answer(event: &StreamEvent) -> Option<Reply> {
    match event {
        StreamEvent::Answer(reply) => Some(reply.clone()),
        StreamEvent::Life(_) => None,
    }
}

#[test]
fn any_thread_finds_writes_lists_and_closes() {
    let server = Running::start(Settings::default());
    let [(mut one, first), (mut two, second)] = server.apart();
    for (client, uid) in [(&mut one, first), (&mut two, second)] {
        let info = server
            .streams
            .find(uid, SOON)
            .expect("it answers")
            .expect("it lives");
        assert_eq!((info.uid, info.kind), (uid, Kind::WebSocket));
        server
            .streams
            .try_write(uid, Message::text("first"))
            .expect("room");
        server
            .streams
            .write(uid, Message::text("second"), SOON)
            .expect("taken");
        assert_eq!(
            (text(client), text(client)),
            ("first".to_owned(), "second".to_owned())
        );
    }
    let all = server.streams.list(&Filter::default(), 100, SOON);
    let uids: Vec<StreamUid> = all.streams.iter().map(|row| row.uid).collect();
    assert!(
        all.is_complete && uids.contains(&first) && uids.contains(&second),
        "{uids:?}"
    );
    let row = all
        .streams
        .iter()
        .find(|row| row.uid == first)
        .expect("listed");
    assert_eq!(row.bytes_out, 11, "first, second");
    let peer = row.peer.expect("this driver knows");
    assert!(peer.ip().is_loopback());
    let exact = Filter {
        peer: PeerFilter::Exact(peer),
        ..Filter::default()
    };
    let found = server.streams.list(&exact, 100, SOON);
    assert_eq!(
        found.streams.iter().map(|row| row.uid).collect::<Vec<_>>(),
        [first]
    );
    let bounded = server.streams.list(&Filter::default(), 1, SOON);
    assert_eq!((bounded.streams.len(), bounded.is_complete), (1, false));

    server.streams.close(second, SOON).expect("it lives");
    assert!(two.recv().expect("in order").is_none(), "closed");
    let end = server.event(|event| match event {
        StreamEvent::Life(Event::Destroyed(info, end)) if info.uid == second => Some(*end),
        _ => None,
    });
    assert_eq!(end, End::Asked);
    assert_eq!(server.streams.exists(second, SOON), Ok(false));
    let gone = Err(StreamError::Refused(Refusal::Gone));
    assert_eq!(server.streams.write(second, Message::text("x"), SOON), gone);
    let nowhere = StreamUid::new(200, 0, 0, 1).expect("in range");
    assert_eq!(server.streams.try_write(nowhere, Message::text("x")), gone);
}

#[test]
fn a_session_writes_to_another_workers_and_is_told() {
    let server = Running::start(Settings::default());
    let [(mut one, first), (mut two, second)] = server.apart();
    // Elsewhere, and here: itself.
    for (to, client) in [(second, &mut two), (first, &mut one)] {
        let _ = (to, client);
    }
    for number in 0..100 {
        one.send_text(&format!("write {second} {number}"))
            .expect("open");
    }
    for number in 0..100 {
        assert_eq!(text(&mut two), number.to_string(), "in order");
    }
    for _ in 0..100 {
        assert!(matches!(server.event(answer), Reply::Done { uid, .. } if uid == second));
    }
    one.send_text(&format!("write {first} me")).expect("open");
    assert_eq!(text(&mut one), "me");
    assert!(matches!(server.event(answer), Reply::Done { uid, .. } if uid == first));
    one.send_text(&format!("find {second}")).expect("open");
    assert!(matches!(server.event(answer), Reply::Found { info, .. } if info.uid == second));
    one.send_text(&format!("close {second}")).expect("open");
    assert!(matches!(server.event(answer), Reply::Done { uid, .. } if uid == second));
    assert!(two.recv().expect("in order").is_none());
    server.event(|event| matches!(event, StreamEvent::Life(Event::Destroyed(..))).then_some(()));
    one.send_text(&format!("write {second} late"))
        .expect("open");
    let refused = server.event(answer);
    assert!(
        matches!(
            refused,
            Reply::Refused {
                why: Refusal::Gone,
                ..
            }
        ),
        "{refused:?}"
    );
}

#[test]
fn what_is_adopted_ends_with_its_owner() {
    let server = Running::start(Settings::default());
    let [(mut one, first), (mut two, second)] = server.apart();
    one.send_text(&format!("adopt {second}")).expect("open");
    let refused = server.event(answer);
    assert!(
        matches!(
            refused,
            Reply::Refused {
                why: Refusal::Taken,
                ..
            }
        ),
        "nobody let go"
    );
    two.send_text("detach").expect("open");
    server.event(|event| matches!(event, StreamEvent::Life(Event::Detached(_))).then_some(()));
    one.send_text(&format!("adopt {second}")).expect("open");
    assert!(matches!(server.event(answer), Reply::Done { .. }));
    let info = server
        .streams
        .find(second, SOON)
        .expect("it answers")
        .expect("it lives");
    assert_eq!((info.owner, info.is_autonomous), (Some(first), false));
    drop(one);
    assert!(two.recv().expect("in order").is_none(), "its owner is gone");
    let end = server.event(|event| match event {
        StreamEvent::Life(Event::Destroyed(info, end)) if info.uid == second => Some(*end),
        _ => None,
    });
    assert_eq!(end, End::Owner);
}

/// Nothing may wait for a stream here: an order from outside is refused, one from within is not.
#[test]
fn ends_that_follow_from_others_find_room_where_nothing_may_wait() {
    let mut settings = Settings::default();
    settings.streams.foreign_stream = 0;
    let server = Running::start(settings);
    let [(one, first), (mut two, second)] = server.apart();
    let full = Err(StreamError::Refused(Refusal::Full));
    assert_eq!(server.streams.close(second, SOON), full);
    server
        .streams
        .proxy(first, second, SOON)
        .expect("both live");
    drop(one);
    assert!(two.recv().expect("in order").is_none(), "they end together");

    let [(mut one, _), (mut two, second)] = server.apart();
    two.send_text("detach").expect("open");
    server.event(|event| matches!(event, StreamEvent::Life(Event::Detached(_))).then_some(()));
    one.send_text(&format!("adopt {second}")).expect("open");
    server.event(|event| matches!(event, StreamEvent::Life(Event::Attached(_))).then_some(()));
    drop(one);
    assert!(two.recv().expect("in order").is_none(), "its owner is gone");
}

#[test]
fn an_owner_that_asks_twice_still_has_what_it_adopted() {
    let server = Running::start(Settings::default());
    let [(mut one, first), (mut two, second)] = server.apart();
    two.send_text("detach").expect("open");
    server.event(|event| matches!(event, StreamEvent::Life(Event::Detached(_))).then_some(()));
    for _ in 0..2 {
        one.send_text(&format!("adopt {second}")).expect("open");
    }
    assert!(matches!(server.event(answer), Reply::Done { .. }));
    let again = server.event(answer);
    let is_taken = matches!(&again, Reply::Refused { why, .. } if *why == Refusal::Taken);
    assert!(is_taken, "{again:?}");
    let info = server.streams.find(second, SOON).expect("it answers");
    assert_eq!(info.expect("it lives").owner, Some(first));
    drop(one);
    assert!(two.recv().expect("in order").is_none(), "its owner is gone");
}

#[test]
fn an_autonomous_stream_that_is_silent_is_closed() {
    let mut settings = Settings::default();
    settings.streams.idle_timeout = Duration::from_millis(1);
    let server = Running::start(settings);
    let (mut owned, uid) = server.client();
    let (mut client, _) = server.client();
    client.send_text("detach").expect("open");
    assert!(client.recv().expect("in order").is_none());
    let end = server.event(|event| match event {
        StreamEvent::Life(Event::Destroyed(_, end)) => Some(*end),
        _ => None,
    });
    assert_eq!(end, End::Idle);
    owned.send_text("still here").expect("open");
    assert_eq!(text(&mut owned), "still here");
    assert_eq!(server.streams.exists(uid, SOON), Ok(true));
}

#[test]
fn channels_are_let_through_or_not_from_another_thread() {
    let server = Running::start(Settings::default());
    let (mut client, uid) = server.client();
    client.send_text("channel 7").expect("open");
    let say = |client: &mut Client, channel: u8| {
        client.send_binary(&[channel, 1]).expect("open");
        client.send_text("marker").expect("open");
        let first = client.recv().expect("no fault").expect("a message");
        let is_through = first
            .as_message()
            .is_some_and(|message| message.payload == [channel, 1]);
        if is_through {
            assert_eq!(text(client), "marker");
        }
        is_through
    };
    assert!(say(&mut client, 7));
    assert!(say(&mut client, 0), "control");
    assert!(!say(&mut client, 8), "there is no such channel");
    server
        .streams
        .set_channel(uid, 7, false, SOON)
        .expect("there is");
    assert!(!say(&mut client, 7));
    assert!(say(&mut client, 0));
    server
        .streams
        .set_channel(uid, 7, true, SOON)
        .expect("there is");
    assert!(say(&mut client, 7));
    let refused = Err(StreamError::Refused(Refusal::NoChannel));
    assert_eq!(server.streams.set_channel(uid, 0, false, SOON), refused);
    assert_eq!(server.streams.set_channel(uid, 9, false, SOON), refused);
}

#[test]
fn a_proxy_loses_nothing_however_slow_the_other_side_is() {
    let mut settings = Settings::default();
    settings.streams.proxy_window = 64 << 10;
    proxy_to_somebody_slow(settings, 3000, 10_000);
}

/// A window above what may wait for a stream, and one that is as large: messages cost more than their bytes.
#[test]
fn a_window_is_within_what_may_wait_for_a_stream() {
    for (foreign_stream, count, size) in [(1000, 3000, 10_000), (128 << 10, 30_000, 1000)] {
        let mut settings = Settings::default();
        settings.streams.foreign_stream = foreign_stream;
        proxy_to_somebody_slow(settings, count, size);
    }
}

/// More than all the buffers between the two together, to somebody who does not read yet.
fn proxy_to_somebody_slow(settings: Settings, count: u32, size: usize) {
    let server = Running::start(settings);
    let [(mut one, first), (mut two, second)] = server.apart();
    server
        .streams
        .proxy(first, second, SOON)
        .expect("both live");
    let taken = Err(StreamError::Refused(Refusal::Taken));
    assert_eq!(server.streams.proxy(first, second, SOON), taken);
    let (go, gone) = mpsc::channel();
    let writer = std::thread::spawn(move || {
        for number in 0..count {
            let mut payload = vec![0; size];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            one.send_binary(&payload).expect("it is read in the end");
            if number == 100 {
                go.send(()).expect("somebody waits");
            }
        }
        one
    });
    gone.recv_timeout(SOON).expect("some fit");
    for number in 0..count {
        let message = two.recv().expect("no fault").expect("a message");
        let message = message.as_message().expect("a message");
        assert_eq!(message.payload.len(), size);
        assert_eq!(
            message.payload[..4],
            number.to_be_bytes(),
            "in order, none missing"
        );
    }
    let mut one = writer.join().expect("no panic");
    let held = server.handle.stats().held;
    two.send_text("and back").expect("open");
    assert_eq!(text(&mut one), "and back");
    one.send_text("last").expect("open");
    drop(one);
    assert_eq!(text(&mut two), "last");
    assert!(two.recv().expect("in order").is_none(), "they end together");
    let _ = held;
}

/// The first of many messages is more than may wait here, and all come at once: those behind it would get through
/// before its sender hears of it.
#[test]
fn a_proxy_ends_where_a_message_is_refused() {
    let mut settings = Settings::default();
    settings.streams.foreign_worker = 4096;
    let server = Running::start(settings);
    let (mut two, second) = server.client();
    let mut others = Vec::new();
    let (mut one, first) = loop {
        let other = server.by_hand();
        if other.1.worker() != second.worker() {
            break other;
        }
        others.push(other);
    };
    server
        .streams
        .proxy(first, second, SOON)
        .expect("both live");
    // RFC 6455 5.2: binary, 5000 bytes, masked; then texts.
    let mut frames = vec![0x82, 0xfe, 0x13, 0x88, 0, 0, 0, 0];
    frames.resize(frames.len() + 5000, 1);
    for _ in 0..10 {
        frames.extend(b"\x81\x84\0\0\0\0late");
    }
    one.write_all(&frames).expect("open");
    assert!(two.recv().expect("in order").is_none(), "nothing passes");
}

#[test]
fn a_proxy_without_a_ticket_for_each_half_is_not_begun() {
    let mut settings = Settings::default();
    settings.streams.foreign_stream = 64 << 20;
    let server = Running::start(settings);
    let [(mut one, first), (_two, second)] = server.apart();
    one.send_text(&format!("crowd {second}")).expect("open");
    let mut texts: Vec<String> = (0..tickets_max()).map(|_| text(&mut one)).collect();
    texts.retain(|text| !text.is_empty());
    assert_eq!(texts, [StreamError::TooMany.to_string()]);
    assert_eq!(server.streams.proxy(first, second, SOON), Ok(()));
}

/// Its half has the ticket of a stream that cannot be: the ticket is answered, like those of streams that are gone.
#[test]
fn a_proxy_with_a_stream_of_no_worker_is_refused() {
    let server = Running::start(Settings::default());
    let (mut one, _) = server.client();
    let nowhere = StreamUid::new(99, 1, 0, 1).expect("well-formed");
    one.send_text(&format!("proxy {nowhere}")).expect("open");
    let refused = server.event(|event| match event {
        StreamEvent::Answer(Reply::Refused { uid, why, .. }) => Some((*uid, *why)),
        _ => None,
    });
    assert_eq!(refused, (nowhere, Refusal::Gone));
}

/// Refused is a second half as its stream is joined to another already; that one goes on undisturbed.
#[test]
fn a_first_half_whose_second_is_refused_ends_at_once() {
    let server = Running::start(Settings::default());
    let [(mut two, second), (mut three, third)] = server.apart();
    assert_eq!(server.streams.proxy(second, third, SOON), Ok(()));
    let taken = |uid| (uid, Some(Refusal::Taken));
    for is_asked_by_handler in [true, false] {
        for _ in 0..4 {
            let (mut one, first) = server.client();
            if is_asked_by_handler {
                one.send_text(&format!("proxy {second}")).expect("open");
                assert_eq!(server.joining(), (first, None));
                assert_eq!(server.joining(), taken(second));
            } else {
                let refused = Err(StreamError::Refused(Refusal::Taken));
                assert_eq!(server.streams.proxy(first, second, SOON), refused);
            }
            assert!(one.recv().expect("in order").is_none(), "it goes nowhere");
            server.wait_gone(first);
        }
    }
    two.send_text("there").expect("open");
    assert_eq!(text(&mut three), "there");
    three.send_text("back").expect("open");
    assert_eq!(text(&mut two), "back");
}

#[test]
fn a_second_half_whose_first_is_refused_is_left_alone() {
    let server = Running::start(Settings::default());
    let [(mut two, second), (mut three, third)] = server.apart();
    assert_eq!(server.streams.proxy(second, third, SOON), Ok(()));
    let (mut one, first) = server.client();
    for taken in [second, third] {
        let words = format!("proxy {taken} {first}");
        one.send_text(&words).expect("open");
        for uid in [taken, first] {
            assert_eq!(server.joining(), (uid, Some(Refusal::Taken)));
        }
    }
    one.send_text("not joined").expect("open");
    assert_eq!(text(&mut one), "not joined");
    drop(one);
    server.wait_gone(first);
    two.send_text("there").expect("open");
    assert_eq!(text(&mut three), "there");
}

#[test]
fn every_session_can_be_named() {
    struct Silent;
    impl Handler for Silent {}
    let builder = Server::builder()
        .addr("127.0.0.1:0".parse().expect("an address"))
        .workers(1)
        .driver(DriverChoice::Poll)
        .memory(96 << 20);
    let server = builder.handler(|_| Silent).build().expect("a server");
    let (addr, handle) = (server.local_addr(), server.handle());
    let thread = std::thread::spawn(move || server.run());
    let clients: Vec<Client> = (0..5)
        .map(|_| Client::connect(&format!("ws://{addr}/")).expect("it listens"))
        .collect();
    let streams = handle.streams();
    assert!(
        streams
            .list(&Filter::default(), 100, SOON)
            .streams
            .is_empty(),
        "nobody asked"
    );
    assert!(streams.name_all(SOON));
    let named = streams.list(&Filter::default(), 100, SOON).streams;
    assert_eq!(named.len(), 5);
    assert!(streams.name_all(SOON));
    assert_eq!(
        streams.list(&Filter::default(), 100, SOON).streams.len(),
        5,
        "once"
    );
    let stats = streams.stats(SOON);
    assert_eq!((stats.len(), stats[0].created), (1, 5));
    drop(clients);
    handle.shutdown();
    thread.join().expect("no panic").expect("no worker fails");
}
