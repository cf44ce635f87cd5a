//! One connection of an engine: its socket, its TLS, what is being sent.
//!
//! ```text
//!   Resolving ─▶ Connecting (several addresses, see `race`) ─▶ Securing (TLS) ─▶ Open ─▶ Closing ─▶ gone
//! ```
//!
//! Knows no HTTP. Invariants: one send and one receive in flight; TLS seals only what is sent next.

use hioload_base::Time;
use hioload_http::client::{ConnKey, Offer, Origin};
use hioload_mem::Segment;
use hioload_net::tls::{Inbox, RECORD_OVERHEAD, Session};
use hioload_reactor::{Driver, Op, OpId, Payload, SocketId};

use super::race::Race;

/// Plain bytes of one TLS record.
const RECORD_SIZE: usize = 16 << 10;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Resolving,
    Connecting,
    Securing,
    Open,
    /// Last words go out until then.
    Closing(Time),
}

/// One connection.
pub(super) struct Link {
    pub(super) conn: ConnKey,
    pub(super) origin: Origin,
    pub(super) offer: Offer,
    pub(super) state: State,
    pub(super) socket: Option<SocketId>,
    /// Addresses, while it is connecting.
    pub(super) race: Race,
    /// What the system said to the last one.
    pub(super) last_error: String,
    pub(super) tls: Option<Box<Session>>,
    pub(super) is_sending: bool,
    pub(super) is_receiving: bool,
    /// The peer sends no more.
    pub(super) is_ended: bool,
}

impl Link {
    pub(super) fn new(conn: ConnKey, origin: Origin, offer: Offer) -> Self {
        Self {
            conn,
            origin,
            offer,
            state: State::Resolving,
            socket: None,
            race: Race::default(),
            last_error: "the name has no address".to_owned(),
            tls: None,
            is_sending: false,
            is_receiving: false,
            is_ended: false,
        }
    }

    /// It has this socket, or tries it.
    pub(super) fn has(&self, socket: SocketId) -> bool {
        self.socket == Some(socket) || self.race.has(socket)
    }

    /// Reads, or stops to.
    pub(super) fn receive(&mut self, driver: &mut dyn Driver, wants_input: bool) {
        let Some(socket) = self.socket else { return };
        if wants_input && !self.is_receiving && !self.is_ended {
            // Refused when it is closing: its end is on the way.
            self.is_receiving = driver.submit(Op::Recv { socket }).is_ok();
        } else if !wants_input && self.is_receiving {
            driver.cancel(OpId::recv(socket));
        }
    }

    /// Sends these bytes, sealed if need be, after what TLS itself has to say. Only when nothing is being sent.
    pub(super) fn send(&mut self, driver: &mut dyn Driver, plain: Vec<u8>) {
        let bytes = match &mut self.tls {
            Some(tls) => seal(tls, &plain),
            None => plain,
        };
        self.submit(driver, bytes);
    }

    /// Sends the last bytes, and over TLS that they are the last.
    pub(super) fn send_last(&mut self, driver: &mut dyn Driver, plain: Vec<u8>) {
        let bytes = match &mut self.tls {
            Some(tls) => {
                let mut bytes = seal(tls, &plain);
                tls.close_notify();
                let mut last = Vec::new();
                tls.poll_output(&mut last);
                bytes.append(&mut last);
                bytes
            }
            None => plain,
        };
        self.submit(driver, bytes);
    }

    fn submit(&mut self, driver: &mut dyn Driver, bytes: Vec<u8>) {
        if let Some(socket) = self.socket
            && !bytes.is_empty()
        {
            let payload = Payload::One(Segment::from_vec(bytes));
            self.is_sending = driver.submit(Op::Send { socket, payload }).is_ok();
        }
    }

    /// A send is over. What was not taken goes first.
    pub(super) fn sent(&mut self, driver: &mut dyn Driver, taken: usize, payload: Payload) {
        self.is_sending = false;
        let (Payload::One(mut rest), Some(socket)) = (payload, self.socket) else {
            return;
        };
        if taken < rest.len() {
            rest.advance(taken);
            let payload = Payload::One(rest);
            self.is_sending = driver.submit(Op::Send { socket, payload }).is_ok();
        }
    }

    /// Has the socket closed, once and for all.
    pub(super) fn close(&mut self, driver: &mut dyn Driver) {
        if let Some(socket) = self.socket {
            // Refused when it is closing already.
            let _ = driver.submit(Op::Close { socket });
        }
    }
}

/// The records of `plain`, after what the session itself has to send.
fn seal(tls: &mut Session, plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    tls.poll_output(&mut bytes);
    if plain.is_empty() {
        return bytes;
    }
    let records = plain.len().div_ceil(RECORD_SIZE) + 1;
    let (start, mut done) = (bytes.len(), 0);
    bytes.resize(start + plain.len() + records * RECORD_OVERHEAD, 0);
    let mut end = start;
    while done < plain.len() {
        // Keys that are used up end the session; it says so with the next input.
        let sealed = tls.encrypt([&plain[done..]], &mut Vec::new(), &mut bytes[end..]);
        let Ok(sealed) = sealed else { break };
        if sealed.plain == 0 {
            break;
        }
        done += sealed.plain;
        end += sealed.cipher;
    }
    bytes.truncate(end);
    bytes
}

/// Where TLS puts what it has opened; one for all connections of an engine.
pub(super) type Opened = Inbox;
