//! A server's end: bytes in, what the client said out.

use hioload_ws::deflate::{DeflateParams, Deflater, Inflater};
use hioload_ws::handshake::{AcceptPolicy, HandshakeLimits, Request, accept};
use hioload_ws::{CloseCode, Event, Kind, Limits, Outgoing, Role, Session};

/// What the client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Request {
        path: String,
        host: String,
        authorization: Option<String>,
    },
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
}

/// The server's end of one connection.
pub(crate) struct Fake {
    policy: AcceptPolicy,
    head: Vec<u8>,
    session: Option<Session>,
    deflate: Option<DeflateParams>,
    pub(crate) output: Vec<u8>,
    joined: Vec<u8>,
    /// Compressed messages that came.
    pub(crate) compressed_count: usize,
}

impl Fake {
    pub(crate) fn new(policy: AcceptPolicy) -> Self {
        Self {
            policy,
            head: Vec::new(),
            session: None,
            deflate: None,
            output: Vec::new(),
            joined: Vec::new(),
            compressed_count: 0,
        }
    }

    pub(crate) fn is_deflate_agreed(&self) -> bool {
        self.deflate.is_some()
    }

    /// Takes bytes of the client; what it said in them.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        let mut rest = bytes.to_vec();
        if self.session.is_none() {
            self.head.append(&mut rest);
            let head = std::mem::take(&mut self.head);
            let parsed = Request::parse(&head, &HandshakeLimits::default()).expect("a request");
            let Some((request, size)) = parsed else {
                self.head = head;
                return said;
            };
            let accepted = accept(&request, &self.policy, &mut self.output).expect("accepted");
            said.push(Said::Request {
                path: request.path().to_owned(),
                host: request.host().to_owned(),
                authorization: request.header("Authorization").map(text),
            });
            self.deflate = accepted.deflate;
            self.session = Some(Session::new(Role::Server, accepted.deflate.is_some()));
            rest = head[size..].to_vec();
        }
        self.frames(&mut rest, &mut said);
        said
    }

    fn frames(&mut self, mut input: &mut [u8], said: &mut Vec<Said>) {
        let session = self.session.as_mut().expect("open");
        let limits = Limits {
            message_size_max: 1 << 24,
            frame_size_max: 1 << 24,
            ..Limits::default()
        };
        while let Some(event) = session
            .handle_input(&limits, &mut input)
            .expect("a legal client")
        {
            match event {
                Event::Data {
                    kind,
                    payload,
                    last,
                    compressed,
                    ..
                } => {
                    self.joined.extend_from_slice(payload);
                    if !last {
                        continue;
                    }
                    let mut message = std::mem::take(&mut self.joined);
                    if compressed {
                        self.compressed_count += 1;
                        let compressed = std::mem::take(&mut message);
                        Inflater::new(15)
                            .inflate(&compressed, &mut message, 1 << 24, false)
                            .expect("deflate data");
                    }
                    said.push(Said::Message(kind, message));
                }
                Event::Ping(payload) => said.push(Said::Ping(payload.to_vec())),
                Event::Pong(payload) => said.push(Said::Pong(payload.to_vec())),
                Event::Close(frame) => said.push(match frame {
                    Some(frame) => Said::Close(frame.code().number(), frame.reason().to_owned()),
                    None => Said::Close(1005, String::new()),
                }),
            }
        }
    }

    /// Sends a message in this many frames.
    pub(crate) fn send(&mut self, kind: Kind, payload: &[u8], frame_count: usize) {
        self.send_frames(kind, payload, frame_count, false);
    }

    /// Sends a compressed message in this many frames.
    pub(crate) fn send_compressed(&mut self, kind: Kind, payload: &[u8], frame_count: usize) {
        let mut compressed = Vec::new();
        Deflater::new(15, 6).compress(payload, &mut compressed, false);
        self.send_frames(kind, &compressed, frame_count, true);
    }

    fn send_frames(&mut self, kind: Kind, payload: &[u8], frame_count: usize, compressed: bool) {
        let size = payload.len().div_ceil(frame_count).max(1);
        let mut pieces: Vec<&[u8]> = payload.chunks(size).collect();
        pieces.resize(frame_count, &[]);
        for (index, piece) in pieces.iter().enumerate() {
            let opcode = if index == 0 {
                kind.opcode()
            } else {
                hioload_ws::Opcode::Continuation
            };
            let frame = Outgoing {
                opcode,
                fin: index + 1 == frame_count,
                compressed: compressed && index == 0,
                len: piece.len(),
                mask: None,
            };
            let header = self.session().frame_header(frame).expect("legal");
            self.output.extend_from_slice(&header);
            self.output.extend_from_slice(piece);
        }
    }

    pub(crate) fn ping(&mut self, payload: &[u8]) {
        let frame = self.session().ping(payload, None).expect("legal");
        self.output.extend_from_slice(&frame);
    }

    pub(crate) fn pong(&mut self, payload: &[u8]) {
        let frame = self.session().pong(payload, None).expect("legal");
        self.output.extend_from_slice(&frame);
    }

    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        let frame = self
            .session()
            .close(CloseCode::new(code), reason, None)
            .expect("legal");
        self.output.extend_from_slice(&frame);
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("open")
    }
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}
