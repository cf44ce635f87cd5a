//! A client and a server that talk to each other, both directions cut up in every way.
//!
//! ```text
//!   calls ─▶ write_request_head ─▶ cut ─▶ Server ─▶ seen
//!                                            │ answers
//!   seen  ◀── Client ◀── cut ◀── write_response_head
//! ```

use std::num::NonZeroU64;

use hioload_http::h1::{
    Body, CHUNK_END, CHUNKED, CONTINUE, Client, ClientEvent, Event, LAST_CHUNK, Limits, Server,
    write_chunk_size, write_request_head, write_response_head,
};

/// A request, and how it is answered.
struct Call {
    method: &'static str,
    framing: Framing,
    content: &'static [u8],
    fields: &'static [&'static str],
    answer: Framing,
    status: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length,
    Chunks,
    /// To the end of the connection.
    All,
}

const CALLS: &[Call] = &[
    Call {
        method: "GET",
        framing: Framing::None,
        content: b"",
        fields: &[],
        answer: Framing::Length,
        status: 200,
    },
    Call {
        method: "PUT",
        framing: Framing::Length,
        content: b"some content",
        fields: &["Expect: 100-continue\r\n"],
        answer: Framing::Chunks,
        status: 201,
    },
    Call {
        method: "HEAD",
        framing: Framing::None,
        content: b"",
        fields: &["X: y\r\n"],
        answer: Framing::Length,
        status: 200,
    },
    Call {
        method: "POST",
        framing: Framing::Chunks,
        content: b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        fields: &[],
        answer: Framing::Length,
        status: 200,
    },
    Call {
        method: "DELETE",
        framing: Framing::None,
        content: b"",
        fields: &[],
        answer: Framing::None,
        status: 204,
    },
    Call {
        method: "GET",
        framing: Framing::None,
        content: b"",
        fields: &["Connection: close\r\n"],
        answer: Framing::All,
        status: 404,
    },
];

/// What an answer has in it: what was sent, told back.
fn reply(call: &Call) -> Vec<u8> {
    [call.method.as_bytes(), b":", call.content].concat()
}

fn push_chunks(out: &mut Vec<u8>, content: &[u8]) {
    for chunk in content.chunks(5) {
        let mut size = String::new();
        write_chunk_size(&mut size, NonZeroU64::new(chunk.len() as u64).expect("5"));
        out.extend_from_slice(size.as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_END.as_bytes());
    }
    out.extend_from_slice(LAST_CHUNK.as_bytes());
}

fn requests(client: &mut Client) -> Vec<u8> {
    let (mut out, mut head) = (Vec::new(), String::new());
    for (index, call) in CALLS.iter().enumerate() {
        let body = match call.framing {
            Framing::Length => Body::Length(call.content.len() as u64),
            Framing::Chunks => Body::Chunked,
            Framing::None | Framing::All => Body::None,
        };
        let target = format!("/{index}");
        write_request_head(&mut head, call.method, &target, "h:80", call.fields, body);
        client.sent(call.method == "HEAD");
        out.extend_from_slice(head.as_bytes());
        match call.framing {
            Framing::Chunks => push_chunks(&mut out, call.content),
            _ => out.extend_from_slice(call.content),
        }
    }
    out
}

/// Takes the requests, which come in pieces, and answers them.
struct Serving {
    server: Server,
    kept: Vec<u8>,
    body: Vec<u8>,
    call: usize,
    out: Vec<u8>,
    is_over: bool,
}

impl Serving {
    fn new() -> Self {
        Self {
            server: Server::new(),
            kept: Vec::new(),
            body: Vec::new(),
            call: 0,
            out: Vec::new(),
            is_over: false,
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        let mut whole = std::mem::take(&mut self.kept);
        whole.extend_from_slice(piece);
        let mut rest = &mut whole[..];
        loop {
            let event = self.server.handle_input(&Limits::default(), &mut rest);
            let is_whole = match event.expect("legal") {
                Some(Event::Head(head)) => {
                    let call = &CALLS[self.call];
                    assert_eq!(head.method(), call.method);
                    assert_eq!(head.path(), format!("/{}", self.call));
                    if head.expects_continue() {
                        self.out.extend_from_slice(CONTINUE.as_bytes());
                    }
                    head.body() == Body::None
                }
                Some(Event::Body(bytes)) => {
                    self.body.extend_from_slice(bytes);
                    false
                }
                Some(Event::End) => true,
                None => break,
            };
            if is_whole {
                self.answer();
            }
        }
        self.kept = rest.to_vec();
    }

    fn answer(&mut self) {
        let call = &CALLS[self.call];
        assert_eq!(std::mem::take(&mut self.body), call.content);
        self.call += 1;
        let reply = reply(call);
        let line = self.server.connection_line(false);
        let (fields, length) = match call.answer {
            Framing::None | Framing::All => ([line, ""], None),
            Framing::Length => ([line, ""], Some(reply.len() as u64)),
            Framing::Chunks => ([line, CHUNKED], None),
        };
        let mut head = String::new();
        write_response_head(&mut head, call.status, &fields, length);
        self.out.extend_from_slice(head.as_bytes());
        match call.answer {
            _ if call.method == "HEAD" => {}
            Framing::None => {}
            Framing::Length | Framing::All => self.out.extend_from_slice(&reply),
            Framing::Chunks => push_chunks(&mut self.out, &reply),
        }
        self.is_over = !self.server.response_done();
    }
}

/// Takes the answers, which come in pieces.
struct Asking {
    client: Client,
    kept: Vec<u8>,
    seen: Vec<(u16, Vec<u8>)>,
    ends: usize,
}

impl Asking {
    fn feed(&mut self, piece: &[u8]) {
        let mut whole = std::mem::take(&mut self.kept);
        whole.extend_from_slice(piece);
        let mut rest = &mut whole[..];
        while let Some(event) = self
            .client
            .handle_input(&Limits::default(), &mut rest)
            .expect("legal")
        {
            match event {
                ClientEvent::Head(head) => self.seen.push((head.status(), Vec::new())),
                ClientEvent::Body(bytes) => {
                    let (_, content) = self.seen.last_mut().expect("a head");
                    content.extend_from_slice(bytes);
                }
                ClientEvent::End => self.ends += 1,
            }
        }
        self.kept = rest.to_vec();
    }
}

/// Cuts both directions and checks that everything came over.
fn talk(cut: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let mut client = Client::new();
    let requests = requests(&mut client);
    let mut serving = Serving::new();
    for piece in cut(&requests) {
        serving.feed(&piece);
    }
    assert!(serving.is_over && serving.kept.is_empty());
    assert_eq!(serving.call, CALLS.len());

    let mut asking = Asking {
        client,
        kept: Vec::new(),
        seen: Vec::new(),
        ends: 0,
    };
    for piece in cut(&serving.out) {
        asking.feed(&piece);
    }
    let end = asking.client.handle_eof();
    assert!(matches!(end, Ok(Some(ClientEvent::End))), "{end:?}");
    assert_eq!(asking.ends + 1, CALLS.len());
    let expected: Vec<_> = CALLS
        .iter()
        .map(|call| match (call.method, call.answer) {
            ("HEAD", _) | (_, Framing::None) => (call.status, Vec::new()),
            _ => (call.status, reply(call)),
        })
        .collect();
    assert_eq!(asking.seen, expected);
    assert_eq!(asking.client.waiting(), 0);
    assert!(asking.kept.is_empty() && !asking.client.is_reusable());
}

#[test]
fn in_pieces_of_every_size() {
    for size in 1..400 {
        talk(|bytes| bytes.chunks(size).map(<[u8]>::to_vec).collect());
    }
}

#[test]
fn cut_in_two_at_every_place() {
    for place in 0..800 {
        talk(|bytes| {
            assert!(bytes.len() <= 800, "{} places", bytes.len());
            let (front, back) = bytes.split_at(place.min(bytes.len()));
            vec![front.to_vec(), back.to_vec()]
        });
    }
}

#[test]
fn one_after_the_other_as_it_comes() {
    // What the server has answered goes back before the next byte comes.
    let mut client = Client::new();
    let requests = requests(&mut client);
    let mut serving = Serving::new();
    let mut asking = Asking {
        client,
        kept: Vec::new(),
        seen: Vec::new(),
        ends: 0,
    };
    for byte in requests {
        serving.feed(&[byte]);
        asking.feed(&std::mem::take(&mut serving.out));
        // An answer is never there before its request is.
        assert!(asking.ends <= serving.call);
    }
    assert!(asking.client.handle_eof().is_ok());
    assert_eq!(asking.seen.len(), CALLS.len());
}
