//! One end of an HTTP/2 connection with an owner that writes down what it sees, and two of them joined on virtual time.

#![allow(dead_code, reason = "each test file uses its part of the kit")]

pub(crate) mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use hioload_base::Time;
use hioload_http::FieldName;
use hioload_http::h2::{
    Connection, ErrorCode, Event, HeadKind, HeaderList, Limits, Offence, RequestHead, StreamRef,
};

/// What an owner saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Head(u32, HeadKind, Vec<(String, String)>, bool),
    Data(u32, Vec<u8>, bool),
    Reset(u32, ErrorCode, bool),
    Settings,
    Pong(Duration),
    GoAway(u32, ErrorCode),
}

/// One end.
pub(crate) struct Side {
    pub(crate) connection: Connection,
    pub(crate) list: HeaderList,
    pub(crate) seen: Vec<Seen>,
    pub(crate) streams: BTreeMap<u32, StreamRef>,
    /// Content to send.
    pub(crate) content: BTreeMap<u32, Vec<u8>>,
    /// Bytes on their way to the other end.
    pub(crate) wire: Vec<u8>,
    /// Content is given back as it comes.
    pub(crate) consumes: bool,
    pub(crate) now: Time,
}

pub(crate) fn fields<'a>(
    fields: &'a [(&'a str, &'a str)],
) -> impl Iterator<Item = (FieldName<'a>, &'a [u8])> + Clone {
    fields
        .iter()
        .map(|&(name, value)| (name.into(), value.as_bytes()))
}

pub(crate) fn get(path: &str) -> RequestHead<'_> {
    RequestHead {
        method: "GET",
        scheme: "https",
        authority: "example.com",
        path,
        protocol: None,
    }
}

pub(crate) fn post(path: &str) -> RequestHead<'_> {
    RequestHead {
        method: "POST",
        ..get(path)
    }
}

pub(crate) fn tunnel(path: &str) -> RequestHead<'_> {
    RequestHead {
        method: "CONNECT",
        protocol: Some("websocket"),
        ..get(path)
    }
}

impl Side {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            list: HeaderList::new(),
            seen: Vec::new(),
            streams: BTreeMap::new(),
            content: BTreeMap::new(),
            wire: Vec::new(),
            consumes: true,
            now: Time::ZERO,
        }
    }

    pub(crate) fn server(limits: &Limits) -> Self {
        Self::new(Connection::server(limits, Time::ZERO))
    }

    pub(crate) fn client(limits: &Limits) -> Self {
        Self::new(Connection::client(limits, Time::ZERO))
    }

    /// Puts these bytes in, and writes down what comes of them.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Offence> {
        let mut copy = bytes.to_vec();
        let mut input = &mut copy[..];
        loop {
            let event = self
                .connection
                .handle_input(self.now, &mut input, &mut self.list)?;
            let Some(event) = event else {
                assert!(input.is_empty(), "all input is taken");
                return Ok(());
            };
            self.see(event);
        }
    }

    fn see(&mut self, event: Event<'_>) {
        let seen = match event {
            Event::Head {
                stream,
                kind,
                end_stream,
            } => {
                self.streams.insert(stream.id, stream);
                Seen::Head(stream.id, kind, list_of(&self.list), end_stream)
            }
            Event::Data {
                stream,
                bytes,
                flow,
                end_stream,
            } => {
                assert_eq!(flow as usize, bytes.len());
                assert!(flow > 0 || end_stream);
                let bytes = bytes.to_vec();
                if self.consumes {
                    self.connection.consumed(stream, flow);
                }
                match self.seen.last_mut() {
                    Some(Seen::Data(id, before, false)) if *id == stream.id => {
                        before.extend_from_slice(&bytes);
                        let Some(Seen::Data(_, _, is_end)) = self.seen.last_mut() else {
                            return;
                        };
                        *is_end = end_stream;
                        return;
                    }
                    _ => Seen::Data(stream.id, bytes, end_stream),
                }
            }
            Event::Reset {
                stream,
                code,
                by_peer,
            } => Seen::Reset(stream.id, code, by_peer),
            Event::Settings => Seen::Settings,
            Event::Pong { round_trip } => Seen::Pong(round_trip),
            Event::GoAway { last, code } => Seen::GoAway(last, code),
        };
        self.seen.push(seen);
    }

    /// What was seen since the last call, settings left out.
    pub(crate) fn take_seen(&mut self) -> Vec<Seen> {
        let mut seen = std::mem::take(&mut self.seen);
        seen.retain(|one| *one != Seen::Settings);
        seen
    }

    /// Sends content.
    pub(crate) fn send(&mut self, id: u32, bytes: &[u8], end_stream: bool) {
        self.content.entry(id).or_default().extend_from_slice(bytes);
        let stream = self.streams[&id];
        self.connection
            .queue(stream, bytes.len(), end_stream)
            .expect("content may be sent");
    }

    pub(crate) fn open(&mut self, head: &RequestHead<'_>, end_stream: bool) -> u32 {
        let stream = self
            .connection
            .open(self.now, head, [].into_iter(), end_stream)
            .expect("a stream may be opened");
        self.streams.insert(stream.id, stream);
        stream.id
    }

    pub(crate) fn respond(&mut self, id: u32, status: u16, end_stream: bool) {
        self.connection
            .respond(self.streams[&id], status, [].into_iter(), end_stream)
            .expect("a response may be sent");
    }

    pub(crate) fn release(&mut self, id: u32) {
        let stream = self.streams.remove(&id).expect("a stream of ours");
        self.content.remove(&id);
        self.connection.release(stream);
    }

    /// Puts on the wire what may be sent now.
    pub(crate) fn flush(&mut self) {
        self.connection.poll_output(&mut self.wire);
        while let Some(grant) = self.connection.poll_send() {
            assert!(self.connection.output().is_empty());
            self.wire
                .extend_from_slice(&Connection::data_header(&grant));
            let content = self.content.entry(grant.stream.id).or_default();
            self.wire.extend(content.drain(..grant.len));
        }
    }

    pub(crate) fn take_wire(&mut self) -> Vec<u8> {
        self.flush();
        std::mem::take(&mut self.wire)
    }
}

/// The list as names and values, pseudo fields first.
pub(crate) fn list_of(list: &HeaderList) -> Vec<(String, String)> {
    let status = list.status().map(|status| status.to_string());
    let pseudo = [
        (":method", list.method()),
        (":scheme", list.scheme()),
        (":authority", list.authority()),
        (":path", list.path()),
        (":protocol", list.protocol()),
        (":status", status.as_deref()),
    ];
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    pseudo
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .chain(list.fields().map(|(name, value)| (text(name), text(value))))
        .collect()
}

/// Two ends.
pub(crate) struct Pair {
    pub(crate) client: Side,
    pub(crate) server: Side,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(&Limits::default(), &Limits::default())
    }

    /// Two ends that have exchanged their settings.
    pub(crate) fn with(client: &Limits, server: &Limits) -> Self {
        let mut pair = Self {
            client: Side::client(client),
            server: Side::server(server),
        };
        pair.run();
        assert_eq!(pair.client.seen, [Seen::Settings]);
        assert_eq!(pair.server.seen, [Seen::Settings]);
        pair.client.take_seen();
        pair.server.take_seen();
        pair
    }

    /// Carries bytes until nobody has anything to say.
    pub(crate) fn run(&mut self) {
        loop {
            let up = self.client.take_wire();
            self.server.feed(&up).expect("the client is sound");
            let down = self.server.take_wire();
            self.client.feed(&down).expect("the server is sound");
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn sleep(&mut self, duration: Duration) {
        self.client.now += duration;
        self.server.now += duration;
    }
}
