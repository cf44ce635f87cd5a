//! One socket of a simulated driver.

use hioload_base::Time;

use super::stream::End;
use crate::op::Payload;

/// A socket's slot. Lives until `Closed`. An operation is *live* until the virtual kernel is done
/// with it, and *in flight* until the worker has seen its completion.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) end: End,
    /// Completions of one socket keep their order: none is due before this.
    pub(super) last_due: Time,
    /// Present from the submit of a send until its completion is reaped or the slot goes.
    pub(super) payload: Option<Payload>,
    /// The service wants input.
    pub(super) wanted: bool,
    /// A receive is in flight.
    pub(super) receiving: bool,
    /// The virtual kernel still receives.
    pub(super) recv_live: bool,
    /// Waits for a buffer.
    pub(super) starved: bool,
    /// Went on when there were buffers again; its share of them has not come.
    pub(super) owed: bool,
    /// A send is in flight.
    pub(super) sending: bool,
    /// The virtual kernel still tries to send.
    pub(super) send_live: bool,
    /// Its cancel was asked for.
    pub(super) send_cancelled: bool,
    /// A connect is in flight.
    pub(super) connecting: bool,
    /// Close or hand-over was asked for.
    pub(super) closing: bool,
}

impl Socket {
    pub(super) fn new(end: End) -> Self {
        Self {
            end,
            last_due: Time::ZERO,
            payload: None,
            wanted: false,
            receiving: false,
            recv_live: false,
            starved: false,
            owed: false,
            sending: false,
            send_live: false,
            send_cancelled: false,
            connecting: false,
            closing: false,
        }
    }

    /// Operations in flight.
    pub(super) fn in_flight(&self) -> u64 {
        u64::from(self.receiving) + u64::from(self.sending) + u64::from(self.connecting)
    }
}
