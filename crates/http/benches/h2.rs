//! What a request costs in this room alone. `cargo bench -p hioload-http --bench h2`; look at "fastest".

use divan::{Bencher, black_box};
use hioload_base::Time;
use hioload_http::FieldName;
use hioload_http::h2::{Connection, Event, HeaderList, Limits, RequestHead};

fn main() {
    divan::main();
}

type Line = (&'static [u8], &'static [u8]);

/// What h2load sends, and a browser.
const PLAIN: &[Line] = &[(b"user-agent", b"h2load nghttp2/1.59.0")];
const BROWSER: &[Line] = &[
    (
        b"user-agent",
        b"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    ),
    (
        b"accept",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"priority", b"u=0, i"),
];
const ANSWER: &[Line] = &[
    (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    (b"content-type", b"application/octet-stream"),
    (b"content-length", b"4096"),
    (b"accept-ranges", b"bytes"),
];

/// Fields as a connection takes them.
fn lines(lines: &[Line]) -> impl Iterator<Item = (FieldName<'_>, &[u8])> + Clone {
    lines.iter().map(|&(name, value)| (name.into(), value))
}

struct Ends {
    client: Connection,
    server: Connection,
    list: HeaderList,
    up: Vec<u8>,
    down: Vec<u8>,
}

const HEAD: RequestHead<'static> = RequestHead {
    method: "GET",
    scheme: "http",
    authority: "127.0.0.1:9555",
    path: "/blocks/4k",
    protocol: None,
};

impl Ends {
    fn new() -> Self {
        let limits = Limits::default();
        let mut ends = Self {
            client: Connection::client(&limits, Time::ZERO),
            server: Connection::server(&limits, Time::ZERO),
            list: HeaderList::new(),
            up: Vec::new(),
            down: Vec::new(),
        };
        for _ in 0..2 {
            ends.carry_up();
            ends.carry_down();
        }
        ends
    }

    fn carry_up(&mut self) -> u32 {
        self.client.poll_output(&mut self.up);
        let count = serve(
            &mut self.server,
            &mut self.list,
            &mut self.up,
            &mut self.down,
        );
        self.up.clear();
        count
    }

    fn carry_down(&mut self) {
        self.server.poll_output(&mut self.down);
        let mut input = &mut self.down[..];
        while let Ok(Some(event)) = self
            .client
            .handle_input(Time::ZERO, &mut input, &mut self.list)
        {
            let (stream, is_end) = match event {
                Event::Head {
                    stream, end_stream, ..
                } => (stream, end_stream),
                Event::Data {
                    stream,
                    flow,
                    end_stream,
                    ..
                } => {
                    self.client.consumed(stream, flow);
                    (stream, end_stream)
                }
                _ => continue,
            };
            if is_end {
                self.client.release(stream);
            }
        }
        self.down.clear();
    }
}

/// Answers every request by 4 KiB, as a server does; the content itself is not written.
fn serve(server: &mut Connection, list: &mut HeaderList, up: &mut [u8], down: &mut Vec<u8>) -> u32 {
    let (mut input, mut count) = (up, 0);
    loop {
        match server.handle_input(Time::ZERO, &mut input, list) {
            Ok(Some(Event::Head {
                stream, end_stream, ..
            })) => {
                black_box(list.request(end_stream).path());
                let fields = lines(ANSWER);
                server
                    .respond(stream, 200, fields, false)
                    .expect("a response is due");
                server.queue(stream, 4096, true).expect("and its content");
                count += 1;
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(offence) => panic!("{offence}"),
        }
    }
    server.poll_output(down);
    while let Some(grant) = server.poll_send() {
        down.extend_from_slice(&Connection::data_header(&grant));
        if grant.end_stream {
            server.release(grant.stream);
        }
    }
    count
}

/// 32 requests that came at once, and their answers up to the content: the server's side alone.
#[divan::bench(args = ["plain", "browser"])]
fn requests_of_32(bencher: Bencher, name: &str) {
    let fields = if name == "plain" { PLAIN } else { BROWSER };
    let mut ends = Ends::new();
    let limits = Limits::default();
    // The client's bytes of one round after the other: its table has settled in the first.
    let mut client = Connection::client(&limits, Time::ZERO);
    client.clear_output();
    let mut round = || {
        for _ in 0..32 {
            let stream = client
                .open(Time::ZERO, &HEAD, lines(fields), true)
                .expect("room");
            client.release(stream);
        }
        let mut bytes = Vec::new();
        // Releasing early resets: that is not what is asked here.
        client.poll_output(&mut bytes);
        let mut kept = Vec::with_capacity(bytes.len());
        let mut rest = &bytes[..];
        while rest.len() >= 9 {
            let size = 9 + (usize::from(rest[1]) << 8 | usize::from(rest[2]));
            if rest[3] == 1 {
                kept.extend_from_slice(&rest[..size]);
            }
            rest = &rest[size..];
        }
        // The content of the answers is room that the client gives back: 32 times 4096.
        kept.extend_from_slice(&[0, 0, 4, 8, 0, 0, 0, 0, 0]);
        kept.extend_from_slice(&(32 * 4096u32).to_be_bytes());
        kept
    };
    bencher
        .with_inputs(&mut round)
        .counter(divan::counter::ItemsCount::new(32u32))
        .bench_local_values(|mut bytes| {
            ends.down.clear();
            let count = serve(&mut ends.server, &mut ends.list, &mut bytes, &mut ends.down);
            assert_eq!(count, 32);
        });
}

/// A request and its answer, both ends, one at a time.
#[divan::bench]
fn both_ends_of_a_request(bencher: Bencher) {
    let mut ends = Ends::new();
    bencher.bench_local(|| {
        ends.client
            .open(Time::ZERO, &HEAD, lines(PLAIN), true)
            .expect("room");
        assert_eq!(ends.carry_up(), 1);
        // The content.
        let end = ends.down.len();
        ends.down.resize(end + 4096, 0);
        ends.carry_down();
    });
}

/// 64 bytes through a tunnel: the server takes and sends them.
#[divan::bench]
fn tunnel_echo_of_64_bytes(bencher: Bencher) {
    let mut ends = Ends::new();
    let head = RequestHead {
        method: "CONNECT",
        protocol: Some("websocket"),
        ..HEAD
    };
    let stream = ends
        .client
        .open(Time::ZERO, &head, [].into_iter(), false)
        .expect("room");
    ends.client.poll_output(&mut ends.up);
    let mut input = &mut ends.up[..];
    let event = ends
        .server
        .handle_input(Time::ZERO, &mut input, &mut ends.list);
    let Ok(Some(Event::Head { stream: tunnel, .. })) = event else {
        panic!("{event:?}")
    };
    ends.server
        .respond(tunnel, 200, [].into_iter(), false)
        .expect("due");
    ends.server.clear_output();
    let mut frame = vec![0, 0, 64, 0, 0, 0, 0, 0, stream.id as u8];
    frame.resize(9 + 64, 1);
    let mut update = vec![0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 4, 8, 0];
    update.extend_from_slice(&stream.id.to_be_bytes());
    update.extend_from_slice(&64u32.to_be_bytes());
    let mut turn = 0u32;
    bencher.bench_local(|| {
        turn += 1;
        let mut input = &mut frame[..];
        while let Ok(Some(event)) = ends
            .server
            .handle_input(Time::ZERO, &mut input, &mut ends.list)
        {
            let Event::Data { stream, flow, .. } = event else {
                continue;
            };
            ends.server.consumed(stream, flow);
            ends.server.queue(stream, 64, false).expect("open");
        }
        let grant = ends.server.poll_send().expect("there is room");
        black_box(Connection::data_header(&grant));
        if turn.is_multiple_of(8) {
            update[9..13].copy_from_slice(&512u32.to_be_bytes());
            update[22..26].copy_from_slice(&512u32.to_be_bytes());
            let mut input = &mut update[..];
            let event = ends
                .server
                .handle_input(Time::ZERO, &mut input, &mut ends.list);
            assert!(matches!(event, Ok(None)));
        }
        ends.server.clear_output();
    });
}
