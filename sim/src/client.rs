//! A WebSocket client on a virtual connection, that checks whatever the server does.
//!
//! ```text
//!   Connecting ─▶ Handshake ─▶ Open ─close frame either way─▶ Closing ─▶ Over
//! ```
//!
//! It speaks through the protocol crate in the client's role, so an offence of the server panics
//! with its RFC section; beyond that it insists on silence after the server's close frame. How fast it
//! reads is its owner's choice. Knows nothing of scenarios.

use std::collections::VecDeque;
use std::net::SocketAddr;

use hioload_base::Prng;
use hioload_reactor::RecvEnd;
use hioload_reactor::sim::{SimNet, SimPeer};
use hioload_ws::deflate::{DeflateOffer, DeflateParams, Deflater, Inflater};
use hioload_ws::handshake::{ClientRequest, HandshakeError, HandshakeLimits};
use hioload_ws::{CloseCode, Event as Frame, Kind, Limits, Outgoing, Role, Session, mask};

use crate::event::{Event, Notes};

/// Bytes of one read.
const READ_SIZE: usize = 16 * 1024;

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Never connected.
    Refused,
    /// Answered with this HTTP status.
    Http(u16),
    /// Both close frames were seen; this was the server's code.
    Closed(u16),
    /// Ended without the server's close frame.
    Lost,
}

/// What arrived, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Message(Kind, Vec<u8>),
    Pong(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Handshake,
    Open,
    Closing,
    Over(End),
}

/// What a client asks for when it connects.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) path: String,
    pub(crate) deflate: Option<DeflateOffer>,
}

struct Engines {
    params: DeflateParams,
    deflater: Deflater,
    inflater: Inflater,
}

/// One connection's client.
pub(crate) struct Client {
    name: String,
    peer: Option<SimPeer>,
    phase: Phase,
    wish: Wish,
    key: [u8; 16],
    protocol: Session,
    engines: Option<Engines>,
    out: VecDeque<u8>,
    head: Vec<u8>,
    joined: Vec<u8>,
    received: VecDeque<Received>,
    /// The server's close code, once it came.
    close_code: Option<u16>,
    /// Writing failed: the connection is broken or half-closed.
    is_mute: bool,
    /// It heard nothing any more when it ended.
    was_deaf: bool,
    prng: Prng,
    notes: Notes,
    /// Digest of everything that was received.
    digest: u64,
}

impl Client {
    pub(crate) fn connect(
        name: String,
        net: &SimNet,
        addr: SocketAddr,
        wish: Wish,
        mut prng: Prng,
        notes: Notes,
    ) -> Self {
        let mut key = [0; 16];
        prng.fill(&mut key);
        let mut client = Self {
            name,
            peer: Some(net.connect(addr)),
            phase: Phase::Connecting,
            wish,
            key,
            protocol: Session::new(Role::Client, false),
            engines: None,
            out: VecDeque::new(),
            head: Vec::new(),
            joined: Vec::new(),
            received: VecDeque::new(),
            close_code: None,
            is_mute: false,
            was_deaf: false,
            prng,
            notes,
            digest: 0xcbf2_9ce4_8422_2325,
        };
        let mut request = Vec::new();
        client
            .request()
            .encode(&mut request)
            .expect("a legal request");
        client.out.extend(request);
        client
    }

    fn request(&self) -> ClientRequest<'_> {
        ClientRequest {
            host: "sim.example",
            path: &self.wish.path,
            key: self.key,
            deflate: self.wish.deflate,
            ..ClientRequest::default()
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// How it ended, once it has.
    pub(crate) fn end(&self) -> Option<End> {
        match self.phase {
            Phase::Over(end) => Some(end),
            _ => None,
        }
    }

    /// The network decided that nothing reaches this client any more.
    pub(crate) fn is_deaf(&self) -> bool {
        self.was_deaf || self.peer.as_ref().is_some_and(SimPeer::is_deaf)
    }

    /// The network broke one direction of the connection: what is said or heard is incomplete.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_mute || self.is_deaf()
    }

    /// Writing failed.
    pub(crate) fn is_mute(&self) -> bool {
        self.is_mute
    }

    /// Bytes that the connection has not taken yet.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn next_received(&mut self) -> Option<Received> {
        self.received.pop_front()
    }

    /// Bytes the server may have under way from now on.
    pub(crate) fn set_window(&mut self, size: usize) {
        if let Some(peer) = &mut self.peer {
            peer.set_window(size);
        }
    }

    /// Reads and writes what goes now, at most `read_max` bytes of input.
    pub(crate) fn step(&mut self, read_max: usize) {
        if self.phase == Phase::Connecting {
            match self.peer.as_ref().and_then(SimPeer::connected) {
                None => return,
                Some(Ok(())) => self.phase = Phase::Handshake,
                Some(Err(_)) => return self.over(End::Refused),
            }
        }
        self.write();
        let mut left = read_max;
        while left > 0
            && let Some(peer) = &mut self.peer
        {
            match peer.read(left.min(READ_SIZE)) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(mut bytes) => {
                    left -= bytes.len();
                    self.input(&mut bytes);
                }
                Err(RecvEnd::Eof | RecvEnd::Failed(_) | RecvEnd::Cancelled) => {
                    let end = self.close_code.map_or(End::Lost, End::Closed);
                    self.over(end);
                }
            }
        }
        self.write();
    }

    fn over(&mut self, end: End) {
        self.phase = Phase::Over(end);
        self.was_deaf = self.is_deaf();
        self.peer = None;
        self.out.clear();
    }

    fn write(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        while !self.out.is_empty() {
            match peer.write(self.out.as_slices().0) {
                Ok(0) => return,
                Ok(size) => drop(self.out.drain(..size)),
                Err(_) => {
                    // What arrived before can still be read.
                    self.is_mute = true;
                    self.out.clear();
                }
            }
        }
    }

    fn input(&mut self, bytes: &mut [u8]) {
        for byte in bytes.iter() {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.phase != Phase::Handshake {
            return self.frames(bytes);
        }
        self.head.extend_from_slice(bytes);
        let mut head = std::mem::take(&mut self.head);
        match self
            .request()
            .check_response(&head, &HandshakeLimits::default())
        {
            Ok(None) => self.head = head,
            Ok(Some((established, size))) => {
                self.phase = Phase::Open;
                self.protocol = Session::new(Role::Client, established.deflate.is_some());
                self.engines = established.deflate.map(|params| Engines {
                    params,
                    deflater: Deflater::new(params.client_max_window_bits, 1),
                    inflater: Inflater::new(params.server_max_window_bits),
                });
                self.frames(&mut head[size..]);
            }
            Err(HandshakeError::Status(status)) => self.over(End::Http(status)),
            Err(error) => panic!("{}: bad response: {error}", self.name),
        }
    }

    fn frames(&mut self, mut rest: &mut [u8]) {
        let limits = Limits::default();
        while !rest.is_empty() {
            // RFC 6455 5.5.1: nothing follows a close frame.
            assert!(
                self.close_code.is_none(),
                "{}: {} bytes after the close frame",
                self.name,
                rest.len()
            );
            match self.protocol.handle_input(&limits, &mut rest) {
                Ok(None) => {}
                Ok(Some(Frame::Data {
                    kind,
                    payload,
                    last,
                    compressed,
                    ..
                })) => {
                    self.joined.extend_from_slice(payload);
                    if last {
                        self.message(kind, compressed);
                    }
                }
                Ok(Some(Frame::Ping(payload))) => {
                    let key = self.mask_key();
                    if let Ok(frame) = self.protocol.pong(&payload, Some(key)) {
                        self.out.extend(frame.iter());
                    }
                }
                Ok(Some(Frame::Pong(payload))) => {
                    self.received.push_back(Received::Pong(payload.to_vec()));
                }
                Ok(Some(Frame::Close(frame))) => {
                    let code = frame.map_or(CloseCode::NO_STATUS, |frame| frame.code());
                    self.close_code = Some(code.number());
                    self.close(CloseCode::NORMAL);
                }
                Err(offence) => panic!(
                    "{}: the server broke RFC {}: {}",
                    self.name,
                    offence.rfc(),
                    offence.reason()
                ),
            }
        }
    }

    fn message(&mut self, kind: Kind, compressed: bool) {
        let mut payload = std::mem::take(&mut self.joined);
        if compressed {
            self.notes.add(Event::Deflated);
            let engines = self
                .engines
                .as_mut()
                .expect("the protocol lets none through otherwise");
            let takeover = !engines.params.server_no_context_takeover;
            let mut inflated = Vec::new();
            engines
                .inflater
                .inflate(&payload, &mut inflated, 1 << 24, takeover)
                .unwrap_or_else(|offence| panic!("{}: {}", self.name, offence.reason()));
            payload = inflated;
        }
        if kind == Kind::Text {
            assert!(
                hioload_ws::utf8::is_valid(&payload),
                "{}: text that is not UTF-8",
                self.name
            );
        }
        self.received.push_back(Received::Message(kind, payload));
    }

    fn mask_key(&mut self) -> [u8; 4] {
        self.prng.next_u32().to_be_bytes()
    }

    /// Queues a message, cut into `pieces` fragments at random places; a ping that the caller gives
    /// goes between two of them.
    pub(crate) fn send(&mut self, kind: Kind, payload: &[u8], pieces: usize, ping: Option<&[u8]>) {
        let mut body = Vec::new();
        let mut compressed = false;
        if let Some(engines) = &mut self.engines
            && !payload.is_empty()
            && self.prng.chance(1, 2)
        {
            let takeover = !engines.params.client_no_context_takeover;
            engines.deflater.compress(payload, &mut body, takeover);
            compressed = true;
            self.notes.add(Event::Deflated);
        } else {
            body.extend_from_slice(payload);
        }
        let mut cuts: Vec<usize> = (1..pieces)
            .map(|_| self.prng.below(body.len() as u64 + 1) as usize)
            .collect();
        cuts.sort_unstable();
        cuts.push(body.len());
        let last = cuts.len() - 1;
        let mut start = 0;
        for (index, end) in cuts.into_iter().enumerate() {
            let opcode = if index == 0 {
                kind.opcode()
            } else {
                hioload_ws::Opcode::Continuation
            };
            let key = self.mask_key();
            let frame = Outgoing {
                opcode,
                fin: index == last,
                compressed: compressed && index == 0,
                len: end - start,
                mask: Some(key),
            };
            let Ok(header) = self.protocol.frame_header(frame) else {
                return;
            };
            self.out.extend(header.iter());
            mask(&mut body[start..end], key, 0);
            self.out.extend(&body[start..end]);
            start = end;
            if index == 0
                && let Some(ping) = ping
            {
                self.ping(ping);
                if last > 0 {
                    self.notes.add(Event::PingInside);
                }
            }
        }
        if last > 0 {
            self.notes.add(Event::Fragmented);
        }
    }

    pub(crate) fn ping(&mut self, payload: &[u8]) {
        let key = self.mask_key();
        if let Ok(frame) = self.protocol.ping(payload, Some(key)) {
            self.out.extend(frame.iter());
        }
    }

    /// Sends a close frame, unless one was sent.
    pub(crate) fn close(&mut self, code: CloseCode) {
        let key = self.mask_key();
        if matches!(self.phase, Phase::Open | Phase::Closing)
            && let Ok(frame) = self.protocol.close(code, "", Some(key))
        {
            self.out.extend(frame.iter());
            self.phase = Phase::Closing;
        }
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(&mut self) {
        if let Some(peer) = self.peer.take() {
            peer.reset();
        }
        if self.end().is_none() {
            self.over(End::Lost);
        }
    }
}
