//! The connections of a load and the driver under them.
//!
//! ```text
//!   New ─▶ Connecting ─▶ Handshake ─▶ Open ─▶ Closing ─▶ Gone
//!            └────────────────┴─────────┴───────────────▶ Gone   (failed or lost)
//! ```
//!
//! Knows nothing of what is measured. Invariant: one send in flight per link, and a send is one or
//! more whole frames, so a control frame fits between any two.

use std::collections::VecDeque;
use std::time::Duration;

use hioload::tls::{Failure, Session};
use hioload_base::Time;
use hioload_mem::Segment;
use hioload_reactor::{
    Completions, Connect, Driver, Op, OpId, Payload, Reject, SocketId, TurnError, Wait,
};

use super::secure::{self, Opened, Trust};

/// Where a link is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    Connecting,
    Handshake,
    Open,
    /// A close frame was sent or answered, or the socket is being closed.
    Closing,
    Gone,
}

/// One connection.
pub(super) struct Link {
    pub(super) state: State,
    socket: Option<SocketId>,
    is_sending: bool,
    /// Not read from.
    pub(super) is_paused: bool,
    /// When its connect was asked for.
    pub(super) started: Time,
    tls: Option<Box<Session>>,
    cold: Option<Box<Cold>>,
}

/// What few links have at a time.
#[derive(Default)]
struct Cold {
    /// The head of the response, as far as it came.
    head: Vec<u8>,
    /// What waits for the send in flight.
    control: VecDeque<Control>,
}

/// What is sent beside messages.
enum Control {
    /// A control frame.
    Frame(Segment),
    /// Records of the handshake.
    Records(Segment),
}

/// All links over one driver.
pub(super) struct Io {
    driver: Box<dyn Driver>,
    links: Vec<Link>,
    /// Link by the slot of its socket.
    by_slot: Vec<u32>,
    now: Time,
    /// Of links that speak TLS.
    trust: Option<Trust>,
}

impl Io {
    pub(super) fn new(driver: Box<dyn Driver>, link_count: usize) -> Self {
        let links = (0..link_count).map(|_| Link {
            state: State::New,
            socket: None,
            is_sending: false,
            is_paused: false,
            started: Time::ZERO,
            tls: None,
            cold: None,
        });
        let now = driver.now();
        Self {
            links: links.collect(),
            by_slot: Vec::new(),
            driver,
            now,
            trust: None,
        }
    }

    /// All links speak TLS.
    pub(super) fn speak_tls(&mut self, trust: Trust) {
        self.trust = Some(trust);
    }

    /// Begins the handshake of a link that stands; false when it speaks in clear.
    pub(super) fn begin_tls(&mut self, link: usize) -> bool {
        let Some(trust) = &self.trust else {
            return false;
        };
        if let Some((session, hello)) = trust.begin() {
            self.links[link].tls = Some(session);
            self.submit_send(link, hello);
        }
        true
    }

    /// Opens what came, up to the next thing that matters.
    pub(super) fn open_records(
        &mut self,
        link: usize,
        input: &mut &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<Opened, Failure> {
        let (Some(trust), Some(session)) = (&mut self.trust, &mut self.links[link].tls) else {
            return Ok(Opened::Nothing);
        };
        let opened = trust.open(session, input, plain);
        if let Some(records) = secure::said(session) {
            self.send_records(link, records);
        }
        opened
    }

    pub(super) fn is_secure(&self) -> bool {
        self.trust.is_some()
    }

    /// The time of the turn.
    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// Waits at most so long for events.
    pub(super) fn turn(
        &mut self,
        wait: Duration,
        events: &mut Completions,
    ) -> Result<(), TurnError> {
        let wait = if wait.is_zero() {
            Wait::None
        } else {
            Wait::For(wait)
        };
        self.driver.turn(wait, events)?;
        self.now = self.driver.now();
        Ok(())
    }

    pub(super) fn link_count(&self) -> usize {
        self.links.len()
    }

    pub(super) fn link(&mut self, link: usize) -> &mut Link {
        &mut self.links[link]
    }

    pub(super) fn is_open(&self, link: usize) -> bool {
        self.links[link].state == State::Open
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.links.iter().filter(|link| link.state == state).count()
    }

    /// The link of a socket; `None` when the name is stale.
    #[inline]
    pub(super) fn find(&self, socket: SocketId) -> Option<usize> {
        let link = *self.by_slot.get(socket.key().index() as usize)? as usize;
        (self.links.get(link)?.socket == Some(socket)).then_some(link)
    }

    pub(super) fn connect(&mut self, link: usize, connect: Connect) -> Result<(), Reject> {
        let op = self.driver.submit(Op::Connect(connect))?;
        let socket = SocketId::from_key(op.key);
        let slot = op.key.index() as usize;
        if slot >= self.by_slot.len() {
            self.by_slot.resize(slot + 1, u32::MAX);
        }
        self.by_slot[slot] = u32::try_from(link).expect("invariant: links fit 32 bits");
        let entry = &mut self.links[link];
        entry.socket = Some(socket);
        entry.state = State::Connecting;
        entry.started = self.now;
        Ok(())
    }

    /// Starts to read.
    pub(super) fn receive(&mut self, link: usize) {
        self.links[link].is_paused = false;
        if let Some(socket) = self.links[link].socket {
            self.submit(Op::Recv { socket });
        }
    }

    /// Stops to read: the peer meets a full window sooner or later.
    pub(super) fn pause(&mut self, link: usize) {
        self.links[link].is_paused = true;
        if let Some(socket) = self.links[link].socket {
            self.driver.cancel(OpId::recv(socket));
        }
    }

    /// Whether a send is in flight.
    #[inline]
    pub(super) fn is_sending(&self, link: usize) -> bool {
        self.links[link].is_sending
    }

    /// Sends whole frames or requests. Only when nothing is in flight.
    #[inline]
    pub(super) fn send(&mut self, link: usize, payload: impl Into<Payload>) {
        let payload = payload.into();
        let (Some(trust), Some(session)) = (&mut self.trust, &mut self.links[link].tls) else {
            return self.submit_send(link, payload);
        };
        if let Some(records) = trust.seal(session, &payload) {
            self.submit_send(link, records);
        }
    }

    #[inline]
    fn submit_send(&mut self, link: usize, payload: impl Into<Payload>) {
        let entry = &mut self.links[link];
        assert!(!entry.is_sending, "misuse: one send at a time");
        let Some(socket) = entry.socket else { return };
        entry.is_sending = true;
        let payload = payload.into();
        if self.driver.submit(Op::Send { socket, payload }).is_err() {
            // The socket is closing: its end is on the way.
            self.links[link].is_sending = false;
        }
    }

    /// Sends a control frame as soon as the send in flight is through.
    pub(super) fn send_control(&mut self, link: usize, frame: &[u8]) {
        let frame = Segment::copy_from(frame);
        if self.links[link].is_sending {
            self.links[link]
                .cold
                .get_or_insert_default()
                .control
                .push_back(Control::Frame(frame));
        } else {
            self.send(link, frame);
        }
    }

    /// Handles the end of a send. True when the link may send again.
    pub(super) fn sent(&mut self, link: usize, taken: usize, payload: Payload) -> bool {
        let entry = &mut self.links[link];
        entry.is_sending = false;
        if taken < payload.len() {
            self.submit_send(link, rest(payload, taken));
            return false;
        }
        let cold = entry.cold.as_mut();
        match cold.and_then(|cold| cold.control.pop_front()) {
            Some(Control::Frame(frame)) => self.send(link, frame),
            Some(Control::Records(records)) => self.submit_send(link, records),
            None => return true,
        }
        false
    }

    /// Sends a request behind the handshake's last records.
    pub(super) fn send_first(&mut self, link: usize, request: Segment) {
        if self.links[link].is_sending {
            let cold = self.links[link].cold.get_or_insert_default();
            cold.control.push_back(Control::Frame(request));
        } else {
            self.send(link, request);
        }
    }

    /// Sends records as soon as the send in flight is through.
    fn send_records(&mut self, link: usize, records: Segment) {
        if self.links[link].is_sending {
            let cold = self.links[link].cold.get_or_insert_default();
            cold.control.push_back(Control::Records(records));
        } else {
            self.submit_send(link, records);
        }
    }

    /// The head of the response that came so far, to add to.
    pub(super) fn head(&mut self, link: usize) -> &mut Vec<u8> {
        &mut self.links[link].cold.get_or_insert_default().head
    }

    /// Forgets the head.
    pub(super) fn drop_head(&mut self, link: usize) {
        if let Some(cold) = &mut self.links[link].cold {
            cold.head = Vec::new();
        }
        let cold = self.links[link].cold.as_ref();
        if cold.is_some_and(|cold| cold.control.is_empty()) {
            self.links[link].cold = None;
        }
    }

    /// Closes the socket. `Closed` follows.
    pub(super) fn close(&mut self, link: usize) {
        if let Some(socket) = self.links[link].socket {
            self.links[link].state = State::Closing;
            self.submit(Op::Close { socket });
        }
    }

    /// The socket is gone.
    pub(super) fn closed(&mut self, link: usize) {
        let entry = &mut self.links[link];
        entry.socket = None;
        entry.state = State::Gone;
        entry.is_sending = false;
        entry.tls = None;
        entry.cold = None;
    }

    fn submit(&mut self, op: Op) {
        // Refused only when the socket is closing already or the same is in flight: both are what
        // was wanted.
        let _ = self.driver.submit(op);
    }
}

/// What is left of a payload of which `taken` bytes, fewer than all, went out.
fn rest(payload: Payload, mut taken: usize) -> Payload {
    let mut pieces = match payload {
        Payload::One(segment) => vec![segment],
        Payload::Many(segments) => segments,
    };
    pieces.retain_mut(|piece| {
        let here = taken.min(piece.len());
        piece.advance(here);
        taken -= here;
        !piece.is_empty()
    });
    Payload::Many(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_send_begins_where_it_stopped() {
        let pieces = || {
            let pieces = [&b"ab"[..], b"cde", b"f"];
            Payload::Many(pieces.map(Segment::copy_from).to_vec())
        };
        for taken in 0..6 {
            let rest = rest(pieces(), taken);
            assert!(rest.pieces().iter().all(|piece| !piece.is_empty()));
            let left: Vec<&[u8]> = rest.pieces().iter().map(Segment::as_slice).collect();
            assert_eq!(left.concat(), b"abcdef"[taken..]);
        }
        let one = rest(Payload::One(Segment::copy_from(b"abc")), 2);
        assert_eq!(one.pieces()[0].as_slice(), b"c");
    }
}
