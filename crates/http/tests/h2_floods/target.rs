//! Who is attacked, and how an attack is held against its limit.

use std::time::Duration;

use hioload_http::h2::{HeadKind, Limits, Offence, Reason};

use crate::h2_kit::wire::*;
use crate::h2_kit::{Seen, Side};

/// More than any attack here brings.
pub(crate) const NO_LIMIT: u32 = u32::MAX;

/// A server, and a peer that writes its frames by hand.
pub(crate) struct Target {
    pub(crate) side: Side,
    /// The number of the next stream.
    pub(crate) next: u32,
    /// A request that has nothing to do with the attack, and waits for its answer.
    pub(crate) healthy: u32,
}

impl Target {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut side = Side::server(limits);
        side.feed(&hello()).expect("sound");
        let mut target = Self {
            side,
            next: 1,
            healthy: 1,
        };
        target.healthy = target.open(GET, END_STREAM).expect("sound");
        target.side.take_wire();
        target.side.take_seen();
        target
    }

    /// Input; what is said to it is read.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Offence> {
        let outcome = self.side.feed(bytes);
        if outcome.is_ok() {
            self.side.take_wire();
        }
        outcome
    }

    pub(crate) fn number(&mut self) -> u32 {
        let id = self.next;
        self.next += 2;
        id
    }

    /// Another stream.
    pub(crate) fn open(&mut self, fields: &[(&str, &str)], flags: u8) -> Result<u32, Offence> {
        let id = self.number();
        self.feed(&head(id, fields, flags)).map(|()| id)
    }

    /// What was answered to these frames.
    pub(crate) fn answer(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.side.take_wire();
        self.side.feed(bytes).expect("taken");
        frames(&self.side.take_wire())
    }

    pub(crate) fn count(&self, reason: Reason) -> u32 {
        self.side.connection.abuse().count(reason)
    }

    /// How many heads of requests the owner was given.
    pub(crate) fn heads(&self) -> usize {
        let is_head = |seen: &&Seen| matches!(seen, Seen::Head(_, HeadKind::Request, ..));
        self.side.seen.iter().filter(is_head).count()
    }

    pub(crate) fn sleep(&mut self, duration: Duration) {
        self.side.now += duration;
    }

    pub(crate) fn timeout(&mut self) -> Result<(), Offence> {
        let now = self.side.now;
        self.side.connection.handle_timeout(now)?;
        self.feed(b"")
    }

    /// The request of before is answered, whatever went on beside it.
    pub(crate) fn assert_serves(&mut self) {
        let id = self.healthy;
        assert!(
            !self
                .side
                .seen
                .iter()
                .any(|seen| matches!(seen, Seen::Reset(reset, ..) if *reset == id))
        );
        self.side.respond(id, 200, false);
        self.side.send(id, &[b'a'; 4096], true);
        let answer = frames(&self.side.take_wire());
        let [.., head, data] = &answer[..] else {
            panic!("{answer:?}");
        };
        assert_eq!((head.kind, head.stream), (HEADERS, id));
        assert_eq!((data.kind, data.flags, data.stream), (DATA, END_STREAM, id));
        assert_eq!(data.payload.len(), 4096);
        self.side.release(id);
    }

    /// The connection ended by this offence, in one word and for good.
    pub(crate) fn assert_ended(&mut self, offence: Offence) {
        let last = frames(&self.side.take_wire()).pop().expect("a last word");
        assert_eq!((last.kind, last.code()), (GOAWAY, offence.code()));
        assert!(self.side.connection.is_closed());
        assert_eq!(self.side.feed(&frame(PING, 0, 0, &[0; 8])), Err(offence));
        assert_eq!(self.side.take_wire(), []);
    }
}

pub(crate) type Outcome = Result<(), Offence>;

/// One of several, and what it is called.
pub(crate) type Named<T> = (&'static str, T);

/// Frames that have to do with this stream.
pub(crate) type Frames = fn(u32) -> Vec<u8>;

/// One step of an attack, on a stream.
pub(crate) type Step = fn(&mut Target, u32) -> Outcome;

/// `limits` take the attack `count` times and no more; `raised`, which differ by one limit, take it three times as often.
pub(crate) fn holds(
    limits: &Limits,
    raised: &Limits,
    (count, reason, offence): (u32, Reason, Offence),
    attack: impl Fn(&mut Target) -> Outcome,
) {
    let mut target = Target::new(limits);
    let before = target.count(reason);
    for number in 0..count {
        assert_eq!(attack(&mut target), Ok(()), "{number} of {count}");
    }
    assert_eq!(target.count(reason) - before, count);
    target.assert_serves();
    assert_eq!(attack(&mut target), Err(offence));
    target.assert_ended(offence);

    let mut target = Target::new(raised);
    for number in 0..3 * count {
        assert_eq!(attack(&mut target), Ok(()), "{number} without a limit");
    }
    target.assert_serves();
}

pub(crate) fn with(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
