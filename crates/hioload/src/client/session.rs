//! A client's connection as a state machine: bytes in, events out; commands in, bytes out.
//!
//! ```text
//!             ┌──────────────── ClientSession ────────────────┐
//!  socket ──▶ handle_input ─▶ response ─▶ ws ─▶ join ─▶ inflate ─▶ ClientEvent
//!  socket ◀── output ◀── mask ◀── deflate ◀── send, ping, close  (pongs and close answers by itself)
//!             └────────────────────────────────────────────────┘
//! ```
//!
//! Knows no socket, clock or thread: it runs on a reactor worker, under any event loop, or in the
//! blocking [`Client`](super::Client). Invariants: the first error is sticky; a message is handed
//! out whole; what is being joined or inflated never exceeds
//! [`Limits::message_size_max`](hioload_ws::Limits); after a close frame nothing is sent.
//!
//! Spec: RFC 6455 4.1, 5 to 7; RFC 7692 6, 7.

use std::fmt;
use std::ops::Deref;

use hioload_ws::deflate::{DeflateParams, Deflater, Inflater};
use hioload_ws::handshake::{ClientRequest, Established};
use hioload_ws::{
    CloseCode, ControlFrame, Event, Kind, Misuse, Offence, OffenceKind, Outgoing, Role, Session,
    mask, utf8,
};

use super::error::{ClientError, Closing};
use super::keys::{Entropy, Keys};
use super::options::ClientOptions;
use super::url::Url;
use crate::handler::Message;

/// Smallest window the compressor can keep to; a server may ask for 8 bits (RFC 7692 7.1.2.2).
const WINDOW_BITS_MIN: u8 = 9;

/// What came from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent<'a> {
    /// The handshake is done: messages may flow.
    Open,
    /// A whole message. Text has been checked to be UTF-8.
    Message(Kind, Payload<'a>),
    /// The answer to a ping, or an unasked sign of life.
    Pong(Payload<'a>),
    /// The server closed, or answered our close. Write the rest of the output, then close the
    /// socket.
    Closed(Closing),
}

/// Bytes of a message: in place where it came whole, joined where it came in pieces.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// In the caller's input.
    InPlace(&'a mut [u8]),
    /// Joined or inflated.
    Joined(Vec<u8>),
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }
}

impl Payload<'_> {
    /// The bytes as a vector of their own; a copy only when they are in place.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::InPlace(bytes) => bytes.to_vec(),
            Self::Joined(bytes) => bytes,
        }
    }
}

/// A client's end of one connection. See the module for what it does and does not know.
///
/// ```
/// use hioload::client::{ClientEvent, ClientOptions, ClientSession};
///
/// let url = "ws://127.0.0.1:9002/".parse()?;
/// let mut session = ClientSession::new(&url, ClientOptions::default())?;
/// // Write this to the socket, then feed what comes back to `handle_input`.
/// assert!(session.output().starts_with(b"GET / HTTP/1.1\r\n"));
/// # Ok::<(), hioload::client::ClientError>(())
/// ```
pub struct ClientSession {
    options: ClientOptions,
    phase: Phase,
    protocol: Option<usize>,
    keys: Keys,
    ws: Session,
    /// The message that is coming in.
    joined: Vec<u8>,
    deflate: Option<Deflate>,
    output: Vec<u8>,
    /// Bytes of `output` that are written already.
    written: usize,
    offence: Option<Offence>,
}

enum Phase {
    /// The response is awaited.
    Opening(Box<Opening>),
    Open,
    /// The end was told; input is dropped.
    Over,
}

/// What the response is checked against.
struct Opening {
    host: String,
    path: String,
    key: [u8; 16],
    /// The response's head, as far as it came.
    head: Vec<u8>,
}

/// permessage-deflate as it was agreed.
struct Deflate {
    params: DeflateParams,
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
}

impl ClientSession {
    /// A session that is about to open: [`output`](Self::output) has the request.
    ///
    /// # Errors
    /// [`ClientError::Misuse`] when an option has characters that do not belong into a header;
    /// [`ClientError::Entropy`].
    pub fn new(url: &Url, options: ClientOptions) -> Result<Self, ClientError> {
        Self::with_entropy(url, options, Keys::system())
    }

    /// The same with randomness of the caller's: for simulation and tests. In production it has to
    /// be unpredictable (RFC 6455 10.3).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_entropy(
        url: &Url,
        options: ClientOptions,
        entropy: Entropy,
    ) -> Result<Self, ClientError> {
        let mut keys = Keys::new(entropy);
        let opening = Opening {
            host: url.authority(),
            path: url.path().to_owned(),
            key: keys.take().map_err(ClientError::Entropy)?,
            head: Vec::new(),
        };
        let mut output = Vec::with_capacity(256);
        with_request(&opening, &options, |request| request.encode(&mut output))?;
        Ok(Self {
            options,
            phase: Phase::Opening(Box::new(opening)),
            protocol: None,
            keys,
            ws: Session::new(Role::Client, false),
            joined: Vec::new(),
            deflate: None,
            output,
            written: 0,
            offence: None,
        })
    }

    /// A session on bytes whose handshake was done elsewhere: over HTTP/2 (RFC 8441), or by whoever owns the connection.
    #[must_use]
    pub fn established(options: ClientOptions, established: Established) -> Self {
        Self {
            options,
            phase: Phase::Open,
            protocol: established.protocol,
            keys: Keys::new(Keys::system()),
            ws: Session::new(Role::Client, established.deflate.is_some()),
            joined: Vec::new(),
            deflate: established.deflate.map(Deflate::new),
            output: Vec::new(),
            written: 0,
            offence: None,
        }
    }

    /// Whether the handshake is done and neither side has closed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.ws.is_open()
    }

    /// Whether all is said: once the output is written, the socket is to be closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol
            .and_then(|index| self.options.protocols.get(index))
            .map(String::as_str)
    }

    /// Whether messages may be compressed.
    #[must_use]
    pub fn is_deflate_agreed(&self) -> bool {
        self.deflate.is_some()
    }

    /// Takes bytes off the front of `input` until there is something to tell. `None`: the input is
    /// used up. Call it until then, and write [`output`](Self::output) afterwards.
    ///
    /// # Errors
    /// [`ClientError::Handshake`], [`ClientError::Offence`], [`ClientError::Entropy`]: the
    /// connection is over; what is in the output tells the server.
    pub fn handle_input<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<ClientEvent<'a>>, ClientError> {
        match &mut self.phase {
            Phase::Over => {
                *input = &mut [];
                self.offence
                    .map_or(Ok(None), |offence| Err(ClientError::Offence(offence)))
            }
            Phase::Opening(_) => self.handle_response(input),
            Phase::Open => match self.handle_frames(input) {
                Err(ClientError::Offence(offence)) => {
                    self.fail(offence)?;
                    *input = &mut [];
                    Err(ClientError::Offence(offence))
                }
                result => result,
            },
        }
    }

    /// The server ended the stream.
    ///
    /// # Errors
    /// [`ClientError::Lost`] unless both sides had closed before.
    pub fn handle_eof(&mut self) -> Result<(), ClientError> {
        if self.is_over() {
            return Ok(());
        }
        self.phase = Phase::Over;
        Err(ClientError::Lost(None))
    }

    fn handle_response<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<ClientEvent<'a>>, ClientError> {
        let Phase::Opening(opening) = &mut self.phase else {
            unreachable!("invariant: called while opening")
        };
        let before = opening.head.len();
        // More than the limit is not even looked at.
        let room = (self.options.handshake.head_size_max + 1).saturating_sub(before);
        opening
            .head
            .extend_from_slice(&input[..input.len().min(room)]);
        let limits = &self.options.handshake;
        let result = with_request(opening, &self.options, |request| {
            request.check_response(&opening.head, limits)
        });
        match result {
            Ok(None) => {
                *input = &mut [];
                Ok(None)
            }
            Ok(Some((established, size))) => {
                *input = &mut std::mem::take(input)[size - before..];
                self.protocol = established.protocol;
                self.ws = Session::new(Role::Client, established.deflate.is_some());
                self.deflate = established.deflate.map(Deflate::new);
                self.phase = Phase::Open;
                Ok(Some(ClientEvent::Open))
            }
            Err(error) => {
                *input = &mut [];
                self.phase = Phase::Over;
                Err(ClientError::Handshake(error))
            }
        }
    }

    fn handle_frames<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<ClientEvent<'a>>, ClientError> {
        loop {
            let event = self.ws.handle_input(&self.options.limits, input);
            match event.map_err(ClientError::Offence)? {
                None => return Ok(None),
                Some(Event::Data {
                    kind,
                    payload,
                    first,
                    last,
                    compressed,
                }) => {
                    if let Some(payload) =
                        self.join(kind, payload, first && last, last, compressed)?
                    {
                        return Ok(Some(ClientEvent::Message(kind, payload)));
                    }
                }
                // RFC 6455 5.5.2: a ping MUST be answered, unless a close frame was received.
                Some(Event::Ping(payload)) => {
                    let key = self.keys.take().map_err(ClientError::Entropy)?;
                    if let Ok(pong) = self.ws.pong(&payload, Some(key)) {
                        self.put(&pong);
                    }
                }
                Some(Event::Pong(payload)) => {
                    return Ok(Some(ClientEvent::Pong(Payload::Joined(payload.to_vec()))));
                }
                Some(Event::Close(frame)) => {
                    let closing = Closing {
                        code: frame
                            .as_ref()
                            .map_or(CloseCode::NO_STATUS, |frame| frame.code()),
                        reason: frame.map_or_else(String::new, |frame| frame.reason().to_owned()),
                    };
                    *input = &mut [];
                    self.answer_close(closing.code)?;
                    self.phase = Phase::Over;
                    return Ok(Some(ClientEvent::Closed(closing)));
                }
            }
        }
    }

    /// Joins the pieces of a message and inflates it; `None` while it is incomplete.
    fn join<'a>(
        &mut self,
        kind: Kind,
        piece: &'a mut [u8],
        is_whole: bool,
        is_last: bool,
        is_compressed: bool,
    ) -> Result<Option<Payload<'a>>, ClientError> {
        if is_whole && !is_compressed {
            return Ok(Some(Payload::InPlace(piece)));
        }
        if !is_last {
            self.joined.extend_from_slice(piece);
            return Ok(None);
        }
        let mut message = std::mem::take(&mut self.joined);
        message.extend_from_slice(piece);
        if let Some(deflate) = self.deflate.as_mut().filter(|_| is_compressed) {
            message = deflate
                .inflate(&message, self.options.limits.message_size_max)
                .map_err(ClientError::Offence)?;
            // RFC 6455 8.1; before inflating nobody could check.
            if kind == Kind::Text && !utf8::is_valid(&message) {
                return Err(ClientError::Offence(OffenceKind::TextNotUtf8.into()));
            }
        }
        Ok(Some(Payload::Joined(message)))
    }

    /// RFC 6455 5.5.1: a close frame MUST be answered, if none was sent.
    fn answer_close(&mut self, code: CloseCode) -> Result<(), ClientError> {
        let key = self.keys.take().map_err(ClientError::Entropy)?;
        let code = if code.is_sendable() {
            code
        } else {
            CloseCode::NORMAL
        };
        if let Ok(answer) = self.ws.close(code, "", Some(key)) {
            self.put(&answer);
        }
        Ok(())
    }

    /// Tells the server what it did, once.
    fn fail(&mut self, offence: Offence) -> Result<(), ClientError> {
        let key = self.keys.take().map_err(ClientError::Entropy)?;
        // Refused when a close frame was sent before: nothing may follow it.
        if let Ok(close) = self.ws.close(offence.code(), offence.reason(), Some(key)) {
            self.put(&close);
        }
        self.offence = Some(offence);
        self.phase = Phase::Over;
        self.joined = Vec::new();
        Ok(())
    }

    /// Puts a message into the output.
    ///
    /// # Errors
    /// [`ClientError::Full`]: write the output first. [`ClientError::NotOpen`] before the handshake
    /// is done, [`ClientError::Misuse`] after a close.
    pub fn send(&mut self, message: Message<'_>) -> Result<(), ClientError> {
        self.check_open()?;
        let waiting = self.output().len();
        let limit = self.options.output_size_max;
        if waiting.saturating_add(message.payload.len()) > limit {
            return Err(ClientError::Full { waiting, limit });
        }
        let mask_key = self.keys.take().map_err(ClientError::Entropy)?;
        let is_worth_it = message.payload.len() >= self.options.deflate_size_min;
        let deflate = self.deflate.as_mut().filter(|_| is_worth_it);
        let compressed = match deflate {
            Some(deflate) => deflate.deflate(message.payload, self.options.deflate_level),
            None => None,
        };
        let payload = compressed.as_deref().unwrap_or(message.payload);
        let header = self.ws.frame_header(Outgoing {
            compressed: compressed.is_some(),
            mask: Some(mask_key),
            ..Outgoing::message(message.kind, payload.len())
        })?;
        self.output.extend_from_slice(&header);
        let start = self.output.len();
        self.output.extend_from_slice(payload);
        mask(&mut self.output[start..], mask_key, 0);
        Ok(())
    }

    /// Asks the server for a pong with the same payload, at most 125 bytes.
    ///
    /// # Errors
    /// [`ClientError::Misuse`] when it is too long and after a close; [`ClientError::NotOpen`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.check_open()?;
        let key = self.keys.take().map_err(ClientError::Entropy)?;
        let frame = self.ws.ping(payload, Some(key))?;
        self.put(&frame);
        Ok(())
    }

    /// Starts to close; a reason of more than 123 bytes is cut. The server answers with
    /// [`ClientEvent::Closed`], after what it had sent before.
    ///
    /// # Errors
    /// [`ClientError::Misuse`] for a code that must not be sent and after a close;
    /// [`ClientError::NotOpen`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), ClientError> {
        self.check_open()?;
        let key = self.keys.take().map_err(ClientError::Entropy)?;
        let frame = self.ws.close(code, reason, Some(key))?;
        self.put(&frame);
        Ok(())
    }

    /// Bytes to be written to the socket.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output[self.written..]
    }

    /// The first `size` bytes of the output were written.
    ///
    /// # Panics
    /// When that is more than there is.
    pub fn advance_output(&mut self, size: usize) {
        assert!(
            size <= self.output().len(),
            "misuse: more written than there was"
        );
        self.written += size;
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
    }

    /// Takes the whole output, for drivers that own what they send.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        let mut output = std::mem::take(&mut self.output);
        output.drain(..std::mem::take(&mut self.written));
        output
    }

    fn put(&mut self, frame: &ControlFrame) {
        self.output.extend_from_slice(frame);
    }

    fn check_open(&self) -> Result<(), ClientError> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Opening(_) => Err(ClientError::NotOpen),
            Phase::Over => Err(ClientError::Misuse(Misuse::Closed)),
        }
    }
}

/// Calls with the request that belongs to an opening.
fn with_request<T>(
    opening: &Opening,
    options: &ClientOptions,
    call: impl FnOnce(ClientRequest<'_>) -> T,
) -> T {
    let protocols: Vec<&str> = options.protocols.iter().map(String::as_str).collect();
    let headers: Vec<(&str, &str)> = options
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    call(ClientRequest {
        host: &opening.host,
        path: &opening.path,
        key: opening.key,
        protocols: &protocols,
        origin: options.origin.as_deref(),
        headers: &headers,
        deflate: options.deflate,
    })
}

impl Deflate {
    fn new(params: DeflateParams) -> Self {
        Self {
            params,
            deflater: None,
            inflater: None,
        }
    }

    /// The compressed payload; `None` when the server wants a window that is too small for us:
    /// then messages go as they are (RFC 7692 6 leaves the choice with each message).
    fn deflate(&mut self, payload: &[u8], level: u32) -> Option<Vec<u8>> {
        let bits = self.params.client_max_window_bits;
        if bits < WINDOW_BITS_MIN {
            return None;
        }
        let deflater = self
            .deflater
            .get_or_insert_with(|| Deflater::new(bits, level));
        let mut compressed = Vec::new();
        let takeover = !self.params.client_no_context_takeover;
        deflater.compress(payload, &mut compressed, takeover);
        Some(compressed)
    }

    fn inflate(&mut self, payload: &[u8], size_max: usize) -> Result<Vec<u8>, Offence> {
        let bits = self.params.server_max_window_bits;
        let inflater = self.inflater.get_or_insert_with(|| Inflater::new(bits));
        let mut message = Vec::new();
        let takeover = !self.params.server_no_context_takeover;
        inflater.inflate(payload, &mut message, size_max, takeover)?;
        Ok(message)
    }
}

impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSession")
            .field("is_open", &self.is_open())
            .field("output", &self.output().len())
            .finish_non_exhaustive()
    }
}
