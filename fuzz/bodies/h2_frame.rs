//! Any bytes, cut up in any way, at either end of an HTTP/2 connection: the same is seen, bounds are kept, and what is
//! said in reply is frames.
//!
//! The first byte says which end it is, whether the bytes come after a handshake, and how they are cut.

use hioload_base::Time;
use hioload_http::h2::{
    Connection, ErrorCode, Event, HeadKind, HeaderList, Limits, Offence, RequestHead,
};

/// What was seen.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Head(u32, HeadKind, bool, Vec<u8>),
    Data(u32, Vec<u8>),
    End(u32),
    Reset(u32, ErrorCode, bool),
    Settings,
    Pong,
    GoAway(u32, ErrorCode),
}

const LIMITS: Limits = Limits {
    streams_max: 4,
    tunnels_max: 2,
    streams_open_max: 8,
    stream_window: 300,
    connection_window: 65_535,
    data_size_max: 100,
    header_list_size_max: 400,
    headers_max: 8,
    continuations_max: 3,
    decoder_table_size: 200,
    encoder_table_size_max: 100,
    settings_max: 4,
    header_block_timeout: std::time::Duration::from_secs(1),
    settings_timeout: std::time::Duration::from_secs(1),
    ping_interval: std::time::Duration::from_secs(1),
    ping_timeout: std::time::Duration::from_secs(1),
    stall_timeout: std::time::Duration::from_secs(1),
    stall_progress_min: 10,
    drain_timeout: std::time::Duration::from_secs(1),
    reset_burst: 5,
    reset_per_s: 0,
    reset_half_streams: 10,
    error_resets_max: 6,
    ping_burst: 5,
    ping_per_s: 0,
    settings_burst: 5,
    settings_per_s: 0,
    empty_frames_max: 3,
    tiny_data_burst: 20,
    tiny_data_per_s: 0,
    glitch_burst: 10,
    glitch_per_s: 0,
    replies_max: 20,
};

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let is_server = first & 1 == 0;
    let mut bytes = Vec::new();
    if first & 2 != 0 {
        if is_server {
            bytes.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        }
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
    }
    bytes.extend_from_slice(data);
    let whole = converse(is_server, &bytes, bytes.len().max(1));
    let step = usize::from(first >> 2) + 1;
    assert_eq!(
        converse(is_server, &bytes, step),
        whole,
        "in steps of {step}"
    );
    let content: usize = whole.0.iter().map(content_of).sum();
    assert!(content <= bytes.len());
}

fn content_of(seen: &Seen) -> usize {
    match seen {
        Seen::Data(_, bytes) => bytes.len(),
        _ => 0,
    }
}

fn converse(is_server: bool, bytes: &[u8], step: usize) -> (Vec<Seen>, Option<Offence>) {
    let mut owner = Owner::new(is_server);
    for piece in bytes.chunks(step) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            let event = owner
                .connection
                .handle_input(Time::ZERO, &mut input, &mut owner.list);
            match event {
                Ok(Some(event)) => owner.see(event),
                Ok(None) => break,
                Err(offence) => {
                    owner.take_output();
                    let again =
                        owner
                            .connection
                            .handle_input(Time::ZERO, &mut input, &mut owner.list);
                    assert!(matches!(again, Err(same) if same == offence));
                    assert!(owner.connection.is_closed() && owner.connection.output().is_empty());
                    return (owner.seen, Some(offence));
                }
            }
        }
        assert!(input.is_empty(), "all input is taken");
        assert!(owner.connection.stream_count() <= 8);
    }
    owner.take_output();
    (owner.seen, None)
}

struct Owner {
    is_server: bool,
    connection: Connection,
    list: HeaderList,
    seen: Vec<Seen>,
}

impl Owner {
    fn new(is_server: bool) -> Self {
        let mut connection = if is_server {
            Connection::server(&LIMITS, Time::ZERO)
        } else {
            Connection::client(&LIMITS, Time::ZERO)
        };
        for method in ["GET", "POST", "HEAD"] {
            let head = RequestHead {
                method,
                scheme: "https",
                authority: "h",
                path: "/",
                protocol: None,
            };
            let opened = connection.open(Time::ZERO, &head, [].into_iter(), method != "POST");
            assert_eq!(opened.is_ok(), !is_server);
        }
        Self {
            is_server,
            connection,
            list: HeaderList::new(),
            seen: Vec::new(),
        }
    }

    /// Acts on what comes, and on nothing else: however the bytes are cut, it does the same.
    fn see(&mut self, event: Event<'_>) {
        let seen = match event {
            Event::Head {
                stream,
                kind,
                end_stream,
            } => {
                assert!(self.list.fields().all(|(name, _)| !name.is_empty()));
                assert!(self.list.size() <= LIMITS.header_list_size_max);
                if self.is_server && kind == HeadKind::Request {
                    let request = self.list.request(end_stream);
                    assert!(!request.method().is_empty() && !request.path().is_empty());
                    let answer = self.connection.respond(stream, 200, [].into_iter(), false);
                    let content = self.connection.queue(stream, 150, true);
                    assert!(answer.is_ok() && content.is_ok());
                }
                Seen::Head(stream.id, kind, end_stream, self.list.lines().to_vec())
            }
            Event::Data {
                stream,
                bytes,
                flow,
                end_stream,
            } => {
                self.connection.consumed(stream, flow);
                match self.seen.last_mut() {
                    Some(Seen::Data(id, before)) if *id == stream.id => {
                        before.extend_from_slice(bytes);
                    }
                    _ if bytes.is_empty() => {}
                    _ => self.seen.push(Seen::Data(stream.id, bytes.to_vec())),
                }
                if !end_stream {
                    return;
                }
                Seen::End(stream.id)
            }
            Event::Reset {
                stream,
                code,
                by_peer,
            } => {
                self.connection.release(stream);
                Seen::Reset(stream.id, code, by_peer)
            }
            Event::Settings => Seen::Settings,
            Event::Pong { .. } => Seen::Pong,
            Event::GoAway { last, code } => Seen::GoAway(last, code),
        };
        self.seen.push(seen);
        while let Some(grant) = self.connection.poll_send() {
            assert!(grant.len <= usize::from(LIMITS.data_size_max));
            if grant.end_stream && self.is_server {
                self.connection.release(grant.stream);
            }
        }
        self.take_output();
    }

    /// What is said is frames.
    fn take_output(&mut self) {
        let mut rest = self.connection.output();
        rest = rest
            .strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap_or(rest);
        while !rest.is_empty() {
            let size = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
            rest = &rest[9 + size..];
        }
        self.connection.clear_output();
    }
}
