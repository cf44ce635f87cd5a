//! Two streams joined: what comes on one leaves on the other, and who is slow slows the other down.
//!
//! ```text
//!   a ──received──▶ [ in flight, at most a window and one read ] ──written──▶ b
//!   a ◀──written── [ in flight, at most a window and one read ] ◀──received── b
//! ```
//!
//! Must not know what streams are, nor hold a byte: the caller moves the bytes, tells what it moved, and does
//! what [`Proxy::poll`] says.
//!
//! | one side | the other |
//! |---|---|
//! | sends faster than the other takes | it is paused at a window in flight, resumed at half of it |
//! | ends (FIN) | is ended when everything before has left; the way back stays open |
//! | is reset | is reset at once, whatever is in flight |
//!
//! Invariants: bytes in flight of a side never exceed the window plus what was read when it was below; a
//! side is told to end at most once, and only after all that came before it has left; after a reset nothing
//! but the other's reset is said; `Done` is said once, and last.

use crate::limits;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// What the caller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read no more from it.
    Pause(Side),
    /// Read from it again.
    Resume(Side),
    /// Tell it that nothing more comes; go on reading from it.
    End(Side),
    /// End it now.
    Reset(Side),
    /// Nothing is left to do.
    Done,
}

/// What comes from one side.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    in_flight: u64,
    total: u64,
    /// The side was told to pause.
    is_paused: bool,
    /// The side has said all.
    has_ended: bool,
    /// The other side was told so.
    is_end_told: bool,
    /// The side is gone.
    is_reset: bool,
    /// The side was told to go.
    is_reset_told: bool,
}

/// Two streams joined.
///
/// ```
/// use hioload_streams::{Action, Proxy, Side};
///
/// let mut proxy = Proxy::with_window(1000);
/// proxy.received(Side::A, 1200);
/// assert_eq!(proxy.poll(), Some(Action::Pause(Side::A)));
/// proxy.written(Side::B, 700);
/// assert_eq!(proxy.poll(), Some(Action::Resume(Side::A)), "half of the window is free again");
/// proxy.ended(Side::A);
/// assert_eq!(proxy.poll(), None, "500 bytes are still on their way");
/// proxy.written(Side::B, 500);
/// assert_eq!(proxy.poll(), Some(Action::End(Side::B)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Proxy {
    window: u64,
    /// By where they come from.
    flows: [Flow; 2],
    is_done: bool,
}

impl Default for Proxy {
    fn default() -> Proxy {
        Proxy::with_window(limits::PROXY_WINDOW.default)
    }
}

impl Proxy {
    /// A pair, with so many bytes in flight each way before the sender is paused.
    #[must_use]
    pub fn with_window(window: u64) -> Proxy {
        Proxy {
            window: window.max(1),
            flows: [Flow::default(); 2],
            is_done: false,
        }
    }

    /// So many bytes came from this side and are on their way to the other.
    pub fn received(&mut self, from: Side, size: u64) {
        let flow = &mut self.flows[from.index()];
        flow.in_flight += size;
        flow.total += size;
    }

    /// So many bytes of the other side have left on this one.
    pub fn written(&mut self, to: Side, size: u64) {
        let flow = &mut self.flows[to.other().index()];
        // Whoever counts frames on one side and payload on the other must not end up below nothing.
        flow.in_flight = flow.in_flight.saturating_sub(size);
    }

    /// This side has said all it wanted; it still listens.
    pub fn ended(&mut self, side: Side) {
        self.flows[side.index()].has_ended = true;
    }

    /// This side is gone.
    pub fn reset(&mut self, side: Side) {
        self.flows[side.index()].is_reset = true;
    }

    /// What to do next; `None` until something happens. Call until then.
    pub fn poll(&mut self) -> Option<Action> {
        if self.is_done {
            return None;
        }
        if self.flows.iter().any(|flow| flow.is_reset) {
            return Some(self.poll_reset());
        }
        for from in [Side::A, Side::B] {
            let (window, flow) = (self.window, &mut self.flows[from.index()]);
            if !flow.is_paused && !flow.has_ended && flow.in_flight >= window {
                flow.is_paused = true;
                return Some(Action::Pause(from));
            }
            if flow.is_paused && flow.in_flight <= window / 2 {
                flow.is_paused = false;
                return Some(Action::Resume(from));
            }
            if flow.has_ended && flow.in_flight == 0 && !flow.is_end_told {
                flow.is_end_told = true;
                return Some(Action::End(from.other()));
            }
        }
        self.is_done = self.flows.iter().all(|flow| flow.is_end_told);
        self.is_done.then_some(Action::Done)
    }

    fn poll_reset(&mut self) -> Action {
        for side in [Side::A, Side::B] {
            let flow = &mut self.flows[side.index()];
            if !flow.is_reset && !flow.is_reset_told {
                flow.is_reset_told = true;
                return Action::Reset(side);
            }
        }
        self.is_done = true;
        Action::Done
    }

    /// Bytes that came from this side and have not left on the other.
    #[must_use]
    pub fn in_flight(&self, from: Side) -> u64 {
        self.flows[from.index()].in_flight
    }

    /// Bytes that came from this side so far.
    #[must_use]
    pub fn total(&self, from: Side) -> u64 {
        self.flows[from.index()].total
    }

    /// The side is not to be read from.
    #[must_use]
    pub fn is_paused(&self, side: Side) -> bool {
        self.flows[side.index()].is_paused
    }

    /// `Done` was said.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }
}
