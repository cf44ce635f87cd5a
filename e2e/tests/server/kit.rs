//! A server that does what its clients say, and publications with numbers to check.
//!
//! | text message | what the server does |
//! |---|---|
//! | `+name` | subscribes to the channel, answers `+` |
//! | `-name` | unsubscribes, answers `-` |
//! | `?` | answers `!` |
//! | `x` | closes the session with 3000 |
//! | anything binary | publishes it to the channel of the path |
//!
//! A session whose path starts with `/sub/` subscribes to the channel of the rest by itself.

use hioload::{CloseCode, CloseReason, Handler, Message, Session};
use hioload_e2e::{Frame, Heard, Opcode, Running, Wire, frame_bytes};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// The ends that handlers were told.
pub(crate) type Ends = Arc<Mutex<Vec<CloseReason>>>;

#[derive(Default)]
pub(crate) struct Channels {
    pub(crate) ends: Ends,
}

/// `/sub/room` and `/pub/room`: the room.
fn room(session: &Session<'_>) -> String {
    session
        .path()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned()
}

impl Handler for Channels {
    fn open(&mut self, session: &mut Session<'_>) {
        if session.path().starts_with("/sub/") {
            let room = room(session);
            session.subscribe(&room).expect("room for a subscriber");
        }
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let answer = match message.as_text() {
            None => {
                let room = room(session);
                session
                    .publish(&room, message)
                    .expect("a publication that fits");
                return;
            }
            Some("?") => "!",
            Some("x") => return session.close(CloseCode::new(3000), "as asked"),
            Some(text) => match text.split_at(1) {
                ("+", name) => session.subscribe(name).map(|()| "+").expect("room"),
                ("-", name) => {
                    assert!(session.unsubscribe(name), "it was subscribed");
                    "-"
                }
                other => panic!("{other:?}"),
            },
        };
        session
            .send(Message::text(answer))
            .expect("room for an answer");
    }

    fn close(&mut self, _: &mut Session<'_>, reason: CloseReason) {
        self.ends.lock().expect("no panic").push(reason);
    }
}

/// A publication: who, which one, and bytes up to `size`.
pub(crate) fn publication(publisher: u32, number: u32, size: usize) -> Vec<u8> {
    let mut payload = [publisher.to_be_bytes(), number.to_be_bytes()].concat();
    let filler = (publisher ^ number) as u8;
    payload.resize(size.max(8), filler);
    payload
}

/// Who and which one; checks the rest.
#[track_caller]
pub(crate) fn numbers(payload: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("4 bytes"));
    let (publisher, number) = (word(0), word(4));
    let filler = (publisher ^ number) as u8;
    assert!(
        payload[8..].iter().all(|byte| *byte == filler),
        "damaged in {publisher}:{number}"
    );
    (publisher, number)
}

/// Publishes `count` publications as fast as the server takes them; returns when all are taken.
pub(crate) fn publish(addr: SocketAddr, room: &str, publisher: u32, count: u32, size: usize) {
    let mut wire = Wire::open(addr, &format!("/pub/{room}"));
    for number in 0..count {
        wire.send(&frame_bytes(0x82, &publication(publisher, number, size)));
    }
    // What comes before is done before.
    wire.frame(Opcode::Text, b"?");
    assert_eq!(wire.next().payload, b"!");
}

/// The next publication.
#[track_caller]
pub(crate) fn next(wire: &mut Wire) -> (u32, u32) {
    let frame = wire.next();
    assert_eq!(frame.opcode(), Opcode::Binary as u8, "{frame:?}");
    numbers(&frame.payload)
}

/// Reads publications up to the last of one publisher and checks that none is missing.
#[track_caller]
pub(crate) fn read_all(wire: &mut Wire, count: u32) {
    for number in 0..count {
        assert_eq!(next(wire), (0, number), "lost or out of order");
    }
}

/// A subscriber whose subscription is known all over the server.
pub(crate) fn subscriber(addr: SocketAddr, room: &str) -> Wire {
    Wire::open(addr, &format!("/sub/{room}"))
}

/// The same with a small receive buffer.
pub(crate) fn small_subscriber(addr: SocketAddr, room: &str) -> Wire {
    let mut wire = Wire::dial_small(addr);
    wire.upgrade(&format!("/sub/{room}"), "");
    wire
}

/// Publications up to the end; and the close code, if one came.
#[track_caller]
pub(crate) fn read_to_end(wire: &mut Wire) -> (Vec<u32>, Option<u16>) {
    let mut seen = Vec::new();
    let mut code = None;
    loop {
        match wire.hear() {
            Heard::Frame(frame) if frame.close_code().is_some() => code = frame.close_code(),
            Heard::Frame(Frame { payload, .. }) => {
                assert_eq!(code, None, "data after a close frame");
                seen.push(numbers(&payload).1);
            }
            Heard::End | Heard::Cut | Heard::Reset => return (seen, code),
        }
    }
}

/// A server with [`Channels`]; the ends are told in the second value.
pub(crate) fn start(builder: hioload::ServerBuilder) -> (Running, Ends) {
    let ends = Ends::default();
    let told = Arc::clone(&ends);
    let server = Running::start(builder.handler(move |_| Channels {
        ends: Arc::clone(&told),
    }));
    (server, ends)
}
