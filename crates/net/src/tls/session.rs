//! One TLS connection, either end, without a socket.
//!
//! ```text
//!   Handshaking ──Event::Handshake──▶ Open ──Event::Closed (the peer's close_notify)──▶ nothing more comes
//!        └──────────── Failure, once and for all; its alert is in the output ◀──┘
//! ```
//!
//! Must not know sockets, clocks or pools: records come in any pieces, plain bytes go into an [`Inbox`] that
//! all sessions of a thread share, records go into whatever the caller gives. All input is always taken: what
//! is left of a record is spilled, within [`SPILL_SIZE`](super::SPILL_SIZE). An idle session holds no buffer.
//!
//! The engine sees whole records, one at a time. That bounds what one step does, and it tells how much of the
//! input the engine has seen: while a handshake message is spread over several records it wants to see the
//! first ones again. Of what cannot be a record it sees the header, and that is the end of the session.
//!
//! Invariants: output is in order, the handshake's and alerts before any record sealed later; plain bytes are
//! handed out once, before a failure that came behind them. RFC 8446, RFC 5246.

use std::fmt;
use std::mem;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use super::failure::{Failure, Reason};
use super::limits::{
    DATA_SIZE, HEADER_SIZE, RECORD_OVERHEAD, RECORD_PLAIN_MAX, RECORD_WIRE_MAX, SPILL_SIZE,
};

/// What came of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The session is open.
    Handshake(Handshake),
    /// Plain bytes, of one record or several; never empty.
    Data(&'a mut [u8]),
    /// The peer has said that nothing more comes. This end may go on sending.
    Closed,
}

/// What was agreed upon; the application protocol is [`Session::alpn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The version.
    pub version: Version,
    /// An earlier session was resumed.
    pub is_resumed: bool,
}

/// The version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What [`Session::encrypt`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Plain bytes taken.
    pub plain: usize,
    /// Bytes written.
    pub cipher: usize,
}

/// Memory for what comes in: all sessions of a thread use one.
#[derive(Debug, Default)]
pub struct Inbox {
    plain: Vec<u8>,
    /// Empty ones, for the records that come in pieces.
    spills: Vec<Vec<u8>>,
}

/// Vectors kept for spilled records, and the bytes of one at most.
const SPILLS_MAX: usize = 64;
const SPILL_KEPT_MAX: usize = 32 << 10;

/// One connection.
pub struct Session {
    engine: Engine,
    /// Handshake messages and alerts to be sent.
    output: Vec<u8>,
    /// Records that are not complete, or that the engine wants to see again.
    spill: Vec<u8>,
    /// So much of the spill the engine has seen.
    seen: usize,
    failure: Option<Failure>,
    is_open: bool,
    /// The peer's close_notify came; and it was told.
    is_peer_done: bool,
    is_peer_done_told: bool,
    /// Ours is in the output, or gone.
    is_done: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_open", &self.is_open)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

enum Engine {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Engine {
    fn common(&self) -> &CommonState {
        match self {
            Engine::Server(server) => server,
            Engine::Client(client) => client,
        }
    }
}

impl Session {
    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Session, Failure> {
        Ok(Session::new(Engine::Server(
            UnbufferedServerConnection::new(config)?,
        )))
    }

    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Session, Failure> {
        let mut session = Session::new(Engine::Client(UnbufferedClientConnection::new(
            config, name,
        )?));
        session.drain();
        Ok(session)
    }

    fn new(engine: Engine) -> Session {
        Session {
            engine,
            output: Vec::new(),
            spill: Vec::new(),
            seen: 0,
            failure: None,
            is_open: false,
            is_peer_done: false,
            is_peer_done_told: false,
            is_done: false,
        }
    }

    /// No plain bytes flow yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        !self.is_open
    }

    /// The application protocol agreed upon (RFC 7301).
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.engine.common().alpn_protocol()
    }

    /// Handshake messages or alerts are to be sent.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Bytes kept of records that are not complete.
    #[must_use]
    pub fn spilled_size(&self) -> usize {
        self.spill.len()
    }

    /// Takes records, up to the next event; `None`: all input is taken. Plain bytes lie in the inbox until the
    /// next call. Afterwards there may be output.
    ///
    /// # Errors
    /// The session is over, and says so from now on.
    pub fn handle_input<'a>(
        &mut self,
        input: &mut &mut [u8],
        inbox: &'a mut Inbox,
    ) -> Result<Option<Event<'a>>, Failure> {
        inbox.plain.clear();
        inbox.plain.shrink_to(DATA_SIZE + RECORD_PLAIN_MAX);
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        while inbox.plain.len() < DATA_SIZE && !self.is_peer_done {
            if !self.next_record(input, inbox) {
                break;
            }
            if self.failure.is_some() {
                self.drop_spill(inbox);
                break;
            }
            if !self.is_open && !self.engine.common().is_handshaking() {
                self.is_open = true;
                return Ok(Some(Event::Handshake(self.handshake())));
            }
        }
        if !inbox.plain.is_empty() {
            return Ok(Some(Event::Data(&mut inbox.plain)));
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.is_peer_done {
            // RFC 8446 6.1: what comes behind a close_notify is ignored.
            *input = &mut [];
            self.drop_spill(inbox);
            if !self.is_peer_done_told {
                self.is_peer_done_told = true;
                return Ok(Some(Event::Closed));
            }
        }
        Ok(None)
    }

    /// The connection has ended: was that the end of the session, too?
    ///
    /// # Errors
    /// [`Reason::Truncated`]: the peer did not say that it has sent everything.
    pub fn handle_eof(&mut self) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if !self.is_peer_done {
            return Err(self.failure.insert(Failure::new(Reason::Truncated)).clone());
        }
        Ok(())
    }

    /// Moves handshake messages and alerts to the end of `out`.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            mem::swap(&mut self.output, out);
        } else {
            out.append(&mut self.output);
        }
        self.output = Vec::new();
    }

    /// Seals plain bytes into records, as many as there is room for; what else is to be sent comes first.
    /// Nothing plain is taken before the handshake is over, nor after [`close_notify`](Self::close_notify) or a
    /// failure. `gather` joins small pieces.
    ///
    /// # Errors
    /// The keys are used up (TLS 1.2 only; TLS 1.3 makes new ones by itself).
    pub fn encrypt<'p>(
        &mut self,
        pieces: impl IntoIterator<Item = &'p [u8]>,
        gather: &mut Vec<u8>,
        out: &mut [u8],
    ) -> Result<Sealed, Failure> {
        let first = self.output.len();
        if first > out.len() {
            return Ok(Sealed::default());
        }
        out[..first].copy_from_slice(&self.output);
        self.output = Vec::new();
        let mut sealed = Sealed::default();
        if self.is_open && !self.is_done && self.failure.is_none() {
            let mut pieces = Pieces::new(pieces.into_iter());
            let (out, seen) = (&mut out[first..], &mut self.spill[..self.seen]);
            let outcome = match &mut self.engine {
                Engine::Server(server) => {
                    seal(server.process_tls_records(seen), &mut pieces, gather, out)
                }
                Engine::Client(client) => {
                    seal(client.process_tls_records(seen), &mut pieces, gather, out)
                }
            };
            let Ok(done) = outcome else {
                let failure = Failure::new(Reason::Local);
                return Err(self.failure.insert(failure).clone());
            };
            sealed = done;
        }
        sealed.cipher += first;
        Ok(sealed)
    }

    /// Says that nothing more comes from this end (RFC 8446 6.1); during the handshake there is nothing to say.
    /// The record is in the output.
    pub fn close_notify(&mut self) {
        if mem::replace(&mut self.is_done, true) || !self.is_open || self.failure.is_some() {
            return;
        }
        self.drain();
        let mut record = [0; RECORD_OVERHEAD];
        let seen = &mut self.spill[..self.seen];
        let size = match &mut self.engine {
            Engine::Server(server) => close(server.process_tls_records(seen), &mut record),
            Engine::Client(client) => close(client.process_tls_records(seen), &mut record),
        };
        self.output.extend_from_slice(&record[..size]);
    }

    fn handshake(&self) -> Handshake {
        let common = self.engine.common();
        Handshake {
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
                _ => Version::Tls13,
            },
            is_resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Takes one whole record off the input; false when there is none.
    fn next_record(&mut self, input: &mut &mut [u8], inbox: &mut Inbox) -> bool {
        if self.spill.is_empty() {
            let Some(size) = record_size(input) else {
                self.spill_over(input, inbox);
                return false;
            };
            let (record, rest) = mem::take(input).split_at_mut(size);
            *input = rest;
            let is_record = is_record(record);
            let done = self.turn(record, &mut inbox.plain);
            self.fail_unless(is_record);
            if done < size {
                self.seen = size - done;
                self.spill_over(&mut &mut record[done..], inbox);
            }
            return true;
        }
        while record_size(&self.spill[self.seen..]).is_none() {
            let missing = missing(&self.spill[self.seen..]);
            let count = missing.min(input.len());
            if count == 0 {
                return false;
            }
            let (now, later) = mem::take(input).split_at_mut(count);
            *input = later;
            self.spill.extend_from_slice(now);
        }
        if self.spill.len() as u64 > SPILL_SIZE.max {
            self.failure = Some(Failure::new(Reason::Offence));
            return true;
        }
        let is_record = is_record(&self.spill[self.seen..]);
        let mut spill = mem::take(&mut self.spill);
        let done = self.turn(&mut spill, &mut inbox.plain);
        self.fail_unless(is_record);
        spill.drain(..done);
        self.seen = spill.len();
        self.spill = spill;
        if self.spill.is_empty() {
            self.drop_spill(inbox);
        }
        true
    }

    /// The engine reads on behind a header with a version of SSL 2 or of DTLS, where there is no telling how far it
    /// has read.
    fn fail_unless(&mut self, is_record: bool) {
        if !is_record {
            self.failure.get_or_insert(Failure::new(Reason::NotTls));
        }
    }

    /// Keeps all that is left of the input.
    fn spill_over(&mut self, input: &mut &mut [u8], inbox: &mut Inbox) {
        if input.is_empty() {
            return;
        }
        if self.spill.capacity() == 0 {
            self.spill = inbox.spills.pop().unwrap_or_default();
        }
        self.spill.extend_from_slice(input);
        *input = &mut [];
    }

    /// Gives the spill's memory to whoever needs it next.
    fn drop_spill(&mut self, inbox: &mut Inbox) {
        let mut spill = mem::take(&mut self.spill);
        self.seen = 0;
        if (1..=SPILL_KEPT_MAX).contains(&spill.capacity()) && inbox.spills.len() < SPILLS_MAX {
            spill.clear();
            inbox.spills.push(spill);
        }
    }

    /// Has the engine look at `bytes`, which end where a record ends; how many it is done with. It is always
    /// shown all that it has seen and is not done with: it knows places in there.
    fn turn(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> usize {
        let mut done = 0;
        // After a failure there is nothing but the alert to come, and the input is not to be looked at again.
        while self.failure.is_none() || self.engine.common().wants_write() {
            let bytes = &mut bytes[done..];
            let (discard, next) = match &mut self.engine {
                Engine::Server(server) => {
                    step(server.process_tls_records(bytes), plain, &mut self.output)
                }
                Engine::Client(client) => {
                    step(client.process_tls_records(bytes), plain, &mut self.output)
                }
            };
            done += discard;
            match next {
                Ok(Next::More) => {}
                Ok(Next::PeerDone) => self.is_peer_done = true,
                Ok(Next::Idle) => break,
                Err(error) => self.failure = Some(error.into()),
            }
        }
        done
    }

    /// Moves what the engine has to send into the output. It comes to rest: nothing is left to be told.
    fn drain(&mut self) {
        let mut spill = mem::take(&mut self.spill);
        let done = self.turn(&mut spill[..self.seen], &mut Vec::new());
        spill.drain(..done);
        self.seen -= done;
        self.spill = spill;
    }
}

/// What the engine wants after one step.
enum Next {
    More,
    PeerDone,
    Idle,
}

/// One step of the engine: how much input it is done with, and what it wants then.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    output: &mut Vec<u8>,
) -> (usize, Result<Next, rustls::Error>) {
    let mut discard = status.discard;
    let next = match status.state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Next::More),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let start = output.len();
            if let Err(EncodeError::InsufficientSize(short)) = data.encode(&mut []) {
                output.resize(start + short.required_size, 0);
                let written = data.encode(&mut output[start..]);
                debug_assert!(written.is_ok(), "the engine said what it needs");
            }
            Ok(Next::More)
        }
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            // In the output, that is: nothing that comes later overtakes it there.
            sent.done();
            Ok(Next::More)
        }
        Ok(ConnectionState::PeerClosed) => Ok(Next::PeerDone),
        // Data before the handshake is over (RFC 8446 2.3) is not asked for.
        Ok(_) => Ok(Next::Idle),
        Err(error) => Err(error),
    };
    (discard, next)
}

/// Seals records while there are pieces and room.
fn seal<'p, Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    pieces: &mut Pieces<'p, impl Iterator<Item = &'p [u8]>>,
    gather: &mut Vec<u8>,
    out: &mut [u8],
) -> Result<Sealed, EncryptError> {
    let mut sealed = Sealed::default();
    let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
        return Ok(sealed);
    };
    loop {
        let room = (out.len() - sealed.cipher).saturating_sub(RECORD_OVERHEAD);
        let size = room.min(RECORD_PLAIN_MAX);
        let record = match size {
            0 => return Ok(sealed),
            _ => pieces.take(size, gather),
        };
        if record.is_empty() {
            return Ok(sealed);
        }
        sealed.cipher += traffic.encrypt(record, &mut out[sealed.cipher..])?;
        sealed.plain += record.len();
    }
}

/// Seals the alert that says this is the end; the size of its record.
fn close<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut [u8]) -> usize {
    match status.state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            traffic.queue_close_notify(out).unwrap_or(0)
        }
        _ => 0,
    }
}

/// Bytes in pieces, taken off the front in the sizes of records.
struct Pieces<'p, I> {
    now: &'p [u8],
    next: &'p [u8],
    rest: I,
}

impl<'p, I: Iterator<Item = &'p [u8]>> Pieces<'p, I> {
    fn new(rest: I) -> Self {
        let mut pieces = Pieces {
            now: &[],
            next: &[],
            rest,
        };
        pieces.shift();
        pieces.shift();
        pieces
    }

    fn shift(&mut self) {
        self.now = self.next;
        self.next = self.rest.find(|piece| !piece.is_empty()).unwrap_or(&[]);
    }

    /// At most `size` bytes: from where they lie when they lie together, else joined in `gather`. Empty at the end.
    fn take<'a>(&mut self, size: usize, gather: &'a mut Vec<u8>) -> &'a [u8]
    where
        'p: 'a,
    {
        if self.now.len() >= size || self.next.is_empty() {
            return self.split(size);
        }
        gather.clear();
        while gather.len() < size && !self.now.is_empty() {
            let part = self.split(size - gather.len());
            gather.extend_from_slice(part);
        }
        gather
    }

    fn split(&mut self, size: usize) -> &'p [u8] {
        let (part, rest) = self.now.split_at(size.min(self.now.len()));
        self.now = rest;
        if rest.is_empty() {
            self.shift();
        }
        part
    }
}

/// The size of the record that `bytes` begin with, once it is whole. A header that cannot be one's is all there is of
/// it: the engine says what is wrong with it, whatever follows.
fn record_size(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < HEADER_SIZE {
        return None;
    }
    if !is_record(bytes) {
        return Some(HEADER_SIZE);
    }
    let size = HEADER_SIZE + body_size(bytes);
    (bytes.len() >= size).then_some(size)
}

/// Whether a record can have this header: a type that there is, any version {03,XX} (RFC 5246 E.1), a legal length.
fn is_record(header: &[u8]) -> bool {
    (20..=24).contains(&header[0]) && header[1] == 3 && body_size(header) <= RECORD_WIRE_MAX
}

/// Bytes that are missing before [`record_size`] can say more.
fn missing(bytes: &[u8]) -> usize {
    match bytes.len() {
        len @ 0..HEADER_SIZE => HEADER_SIZE - len,
        len => HEADER_SIZE + body_size(bytes) - len,
    }
}

fn body_size(header: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([header[3], header[4]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_measured_and_nonsense_is_passed_on() {
        assert_eq!(record_size(&[]), None);
        assert_eq!(record_size(&[22, 3, 1, 0]), None);
        assert_eq!(record_size(&[22, 3, 1, 0, 1]), None);
        assert_eq!(missing(&[22, 3]), 3);
        assert_eq!(missing(&[22, 3, 1, 0, 1]), 1);
        assert_eq!(record_size(&[22, 3, 1, 0, 1, 9]), Some(6));
        assert_eq!(record_size(&[22, 3, 1, 0, 0, 9, 9]), Some(5));
        assert_eq!(record_size(b"GET / HTTP/1.1\r\n"), Some(5));
        assert_eq!(record_size(&[22, 0, 2, 0, 1, 9, 9]), Some(5));
        for (size, expected) in [(RECORD_WIRE_MAX, None), (RECORD_WIRE_MAX + 1, Some(5))] {
            let [high, low] = (size as u16).to_be_bytes();
            assert_eq!(record_size(&[23, 3, 3, high, low, 0]), expected, "{size}");
        }
    }

    #[test]
    fn pieces_come_in_the_sizes_of_records() {
        let parts = [&b"ab"[..], b"", b"c", b"defgh", b"ij"];
        for size in 1..=12 {
            let mut pieces = Pieces::new(parts.into_iter());
            let mut gather = Vec::new();
            let mut all = Vec::new();
            loop {
                let record = pieces.take(size, &mut gather);
                if record.is_empty() {
                    break;
                }
                let is_last = all.len() + record.len() == 10;
                assert!(record.len() == size || is_last, "{size}");
                all.extend_from_slice(record);
            }
            assert_eq!(all, b"abcdefghij", "{size}");
        }
    }
}
