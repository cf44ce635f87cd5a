//! Requests, answers, content and tunnels take no memory once a connection has seen as many at once.
//!
//! A file of its own: the counting allocator is the process's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hioload_base::Time;
use hioload_http::h2::{Connection, Event, HeadKind, HeaderList, Limits, RequestHead, StreamRef};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a cell of this thread only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on; what it frees came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Line = (&'static [u8], &'static [u8]);

const FIELDS: &[Line] = &[
    (b"User-Agent", b"test"),
    (b"cookie", b"a=b"),
    (b"accept", b"*/*"),
    (b"cookie", b"c=d"),
];
const ANSWER: &[Line] = &[
    (b"Content-Type", b"text/plain"),
    (b"Set-Cookie", b"a=b"),
    (b"Connection", b"close"),
];

struct Ends {
    client: Connection,
    server: Connection,
    list: HeaderList,
    up: Vec<u8>,
    down: Vec<u8>,
    answered: u64,
    done: u64,
}

impl Ends {
    fn new() -> Self {
        let limits = Limits::default();
        Self {
            client: Connection::client(&limits, Time::ZERO),
            server: Connection::server(&limits, Time::ZERO),
            list: HeaderList::new(),
            up: Vec::with_capacity(1 << 21),
            down: Vec::with_capacity(1 << 21),
            answered: 0,
            done: 0,
        }
    }

    fn round(&mut self, turn: u64) {
        for number in 0..16 {
            let is_tunnel = number == 15;
            let head = RequestHead {
                method: if is_tunnel { "CONNECT" } else { "POST" },
                scheme: "https",
                authority: "example.com",
                path: ["/a", "/b/c", "/d?e"][(turn + number) as usize % 3],
                protocol: is_tunnel.then_some("websocket"),
            };
            let fields = FIELDS.iter().map(|&(name, value)| (name.into(), value));
            let stream = self
                .client
                .open(Time::ZERO, &head, fields, false)
                .expect("room");
            self.client.queue(stream, 3000, true).expect("open");
        }
        while self.up() | self.down() {}
    }

    fn up(&mut self) -> bool {
        send(&mut self.client, &mut self.up, false);
        let is_more = !self.up.is_empty();
        let mut input = &mut self.up[..];
        loop {
            let event = self
                .server
                .handle_input(Time::ZERO, &mut input, &mut self.list);
            match event.expect("the client is sound") {
                Some(Event::Head { stream, kind, .. }) => {
                    assert_eq!(kind, HeadKind::Request);
                    assert!(self.list.request(false).header("cookie").is_some());
                    let answer = ANSWER.iter().map(|&(name, value)| (name.into(), value));
                    self.server
                        .respond(stream, 200, answer, false)
                        .expect("due");
                }
                Some(Event::Data {
                    stream,
                    flow,
                    end_stream,
                    ..
                }) => {
                    self.server.consumed(stream, flow);
                    let size = flow as usize;
                    self.server.queue(stream, size, end_stream).expect("open");
                    self.answered += u64::from(end_stream);
                }
                Some(Event::Settings | Event::Reset { .. }) => {}
                Some(event) => panic!("{event:?}"),
                None => break,
            }
        }
        self.up.clear();
        is_more
    }

    fn down(&mut self) -> bool {
        send(&mut self.server, &mut self.down, true);
        let is_more = !self.down.is_empty();
        let mut input = &mut self.down[..];
        let mut ended: Option<StreamRef> = None;
        loop {
            if let Some(stream) = ended.take() {
                self.client.release(stream);
                self.done += 1;
            }
            let event = self
                .client
                .handle_input(Time::ZERO, &mut input, &mut self.list);
            match event.expect("the server is sound") {
                Some(Event::Data {
                    stream,
                    flow,
                    end_stream,
                    ..
                }) => {
                    self.client.consumed(stream, flow);
                    ended = end_stream.then_some(stream);
                }
                Some(_) => {}
                None => break,
            }
        }
        self.down.clear();
        is_more
    }
}

/// Sends what may be sent; content is zeros. A stream that the server has ended is released.
fn send(connection: &mut Connection, wire: &mut Vec<u8>, is_server: bool) {
    loop {
        connection.poll_output(wire);
        let Some(grant) = connection.poll_send() else {
            return;
        };
        wire.extend_from_slice(&Connection::data_header(&grant));
        wire.resize(wire.len() + grant.len, 0);
        if grant.end_stream && is_server {
            connection.release(grant.stream);
        }
    }
}

#[test]
fn steady_state_takes_no_memory() {
    let mut ends = Ends::new();
    while ends.up() | ends.down() {}
    // Until the streams that are remembered are as many as they ever get.
    for turn in 0..140 {
        ends.round(turn);
    }
    let before = COUNT.with(Cell::get);
    for turn in 0..200 {
        ends.round(turn);
    }
    assert_eq!((ends.answered, ends.done), (340 * 16, 340 * 16));
    assert_eq!(COUNT.with(Cell::get) - before, 0);
    assert_eq!(ends.server.stream_count() + ends.client.stream_count(), 0);
}

/// What a connection takes beside its tables: the settings, and nothing for streams that never were.
#[test]
fn a_connection_without_streams_is_small() {
    let before = COUNT.with(Cell::get);
    let connection = Connection::server(&Limits::default(), Time::ZERO);
    let count = COUNT.with(Cell::get) - before;
    assert!(count <= 8, "{count} allocations");
    assert!(
        size_of_val(&connection) <= 2048,
        "{}",
        size_of_val(&connection)
    );
}
