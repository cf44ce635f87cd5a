//! One connection: the protocol's state, what is in flight, and a box for what few have.
//!
//! ```text
//!   Handshake ──101──▶ Open ──close frame or end──▶ Closing ──drained, FIN──▶ Lingering ──▶ gone
//!       ├─── any other request ──▶ Http ──last answer──▲
//!       └─── preface ──▶ H2 ──drained────────────────────┘
//! ```
//!
//! What carries it is a socket, or a stream of a connection in phase `H2`; then it begins as `Open` or
//! `Http`.

use std::collections::VecDeque;
use std::sync::Arc;

use hioload_base::{Time, TimerKey};
use hioload_live::{ChannelKey, Class, Since, SubscriberKey};
use hioload_mem::Segment;
use hioload_ws::deflate::{Deflater, Inflater};
use hioload_ws::{Keepalive, Kind, Session as Protocol};

use super::h2::Multiplex;
use super::http::{Exchange, Work};
use super::recovery::Ticket;
use crate::context::Context;
use crate::handler::CloseReason;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The request head is coming in.
    Handshake,
    /// Messages flow.
    Open,
    /// Requests and answers flow.
    Http,
    /// Frames of HTTP/2 flow; each stream is a connection of its own.
    H2,
    /// The session is over; what is queued (a close frame, a refusal) still goes out.
    Closing,
    /// Our FIN is sent; input is dropped until theirs.
    Lingering,
}

/// A set of single facts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts(u16);

impl Facts {
    /// A send is in flight.
    pub(super) const SENDING: u16 = 1;
    /// Not read from: its output is backed up, or a channel it publishes to is held.
    pub(super) const HELD: u16 = 2;
    /// It speaks TLS: its session is in [`super::tls`].
    pub(super) const SECURE: u16 = 4;
    /// The peer sends no more.
    pub(super) const EOF: u16 = 8;
    /// `drained` is owed to the handler.
    pub(super) const FULL: u16 = 16;
    /// The handler knows this session.
    pub(super) const OPENED: u16 = 32;
    /// It had a subscription: its sends are compressed one by one.
    pub(super) const SUBSCRIBED: u16 = 64;
    /// In the list of those that are to be resumed.
    pub(super) const RESUMING: u16 = 128;
    /// The send in flight starts with channel bytes (the rest of a frame), then its own.
    pub(super) const CHANNEL_FIRST: u16 = 256;
    /// Close was submitted.
    pub(super) const CLOSED: u16 = 512;
    /// Channel bytes are in flight.
    pub(super) const CHANNEL: u16 = 1024;
    /// The active channel is left as soon as its frame is complete.
    pub(super) const LEAVING: u16 = 2048;
    /// It is closed as soon as everything that waits for it has gone out.
    pub(super) const ENDING: u16 = 4096;
    /// It is to be told its place in a channel, at the end of the turn; nothing is sent until then.
    pub(super) const UNTOLD: u16 = 8192;
    /// The session reads events, and sends nothing.
    pub(super) const EVENTS: u16 = 16_384;
    /// The session speaks a protocol of the application: bytes, not messages.
    pub(super) const CUSTOM: u16 = 32_768;

    #[inline]
    pub(super) fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    #[inline]
    pub(super) fn set(&mut self, bits: u16) {
        self.0 |= bits;
    }

    #[inline]
    pub(super) fn clear(&mut self, bits: u16) {
        self.0 &= !bits;
    }
}

/// The connection's timer, if one runs. Eight bytes, where an option would take twelve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer(u64);

impl Timer {
    /// No timer runs. The bits of no key: a wheel never has 2^32 entries.
    pub(super) const NONE: Self = Self(u64::MAX);

    /// A timer runs from now on.
    pub(super) fn set(&mut self, key: Option<TimerKey>) {
        self.0 = key.map_or(Self::NONE.0, TimerKey::to_bits);
    }

    /// The timer that runs; none from now on.
    pub(super) fn take(&mut self) -> Option<TimerKey> {
        let bits = std::mem::replace(&mut self.0, Self::NONE.0);
        (bits != Self::NONE.0).then(|| TimerKey::from_bits(bits))
    }
}

/// A place in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) channel: ChannelKey,
    pub(super) subscriber: SubscriberKey,
}

/// A place in a channel that a session waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovering {
    pub(super) channel: ChannelKey,
    /// What the owner's answer bears; none while the channel is still being left.
    pub(super) ticket: Ticket,
    /// Where in the history it begins; `None`: where it was, it did not want to leave after all.
    pub(super) since: Option<Since>,
}

/// The state of one connection. Its size is what an idle connection costs here.
pub(super) struct Connection {
    pub(super) protocol: Protocol,
    pub(super) keepalive: Keepalive,
    pub(super) timer: Timer,
    /// Its only subscription as a rule; more are in `cold`.
    pub(super) subscription: Option<Subscription>,
    pub(super) cold: Option<Box<Cold>>,
    /// The channel whose bytes are in flight, while [`Facts::CHANNEL`] is set.
    pub(super) active: ChannelKey,
    /// Own bytes of the send in flight.
    pub(super) own_in_flight: u32,
    pub(super) facts: Facts,
    pub(super) phase: Phase,
    /// The encoding it takes channels in.
    pub(super) class: Class,
    /// Why it ended, once it has.
    pub(super) reason: Option<CloseReason>,
}

/// What only some connections have at a time.
#[derive(Default)]
pub(super) struct Cold {
    /// Own bytes waiting to be sent.
    pub(super) outbox: VecDeque<Segment>,
    pub(super) outbox_size: usize,
    /// The message, or request head, that is coming in.
    pub(super) assembly: Vec<u8>,
    /// Input that came while the connection was held.
    pub(super) stash: Vec<u8>,
    /// Publications that found no room, at most [`BLOCKED_MAX`]; taken before anything else is read.
    pub(super) blocked: VecDeque<Blocked>,
    pub(super) context: Option<Context>,
    pub(super) path: Option<Box<str>>,
    /// The subprotocol, or the protocol of the application, by its place.
    pub(super) protocol: Option<usize>,
    /// Of a session that reads events: where its subscription is to begin.
    pub(super) since: Option<Since>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) recovering: Vec<Recovering>,
    pub(super) deflate: Option<Box<Deflate>>,
    /// Of a connection that speaks HTTP; while it closes, how its last answers go out.
    pub(super) http: Option<Box<Exchange>>,
    /// Of a connection that speaks HTTP/2.
    pub(super) h2: Option<Box<Multiplex>>,
}

/// Publications a session may make while it is held: what one message leads to.
pub(super) const BLOCKED_MAX: usize = 64;

/// A publication to be repeated.
pub(super) struct Blocked {
    /// Not a key: the channel may be forgotten meanwhile.
    pub(super) channel: Arc<str>,
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
}

/// permessage-deflate of one connection; the engines are there only with context takeover.
pub(super) struct Deflate {
    pub(super) deflater: Option<Deflater>,
    pub(super) inflater: Option<Inflater>,
}

impl Connection {
    pub(super) fn new(protocol: Protocol, now: Time) -> Self {
        Self {
            protocol,
            keepalive: Keepalive::new(now),
            timer: Timer::NONE,
            subscription: None,
            cold: None,
            active: ChannelKey::from_bits(0),
            own_in_flight: 0,
            facts: Facts::default(),
            phase: Phase::Handshake,
            class: Class::PLAIN,
            reason: None,
        }
    }

    pub(super) fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// A message came. False after the session was closed from this side: what still comes is dropped (RFC 6455 7.1.6).
    #[inline]
    pub(super) fn takes_message(&mut self, now: Time) -> bool {
        self.keepalive.heard(now);
        self.reason.is_none()
    }

    /// Own bytes queued or in flight.
    pub(super) fn output_size(&self) -> usize {
        self.own_in_flight as usize + self.cold.as_ref().map_or(0, |cold| cold.outbox_size)
    }

    /// Its subscription in `channel`.
    pub(super) fn subscription_in(&self, channel: ChannelKey) -> Option<Subscription> {
        self.subscriptions()
            .find(|subscription| subscription.channel == channel)
    }

    pub(super) fn subscriptions(&self) -> impl Iterator<Item = Subscription> + '_ {
        let more = self
            .cold
            .as_ref()
            .map_or(&[][..], |cold| &cold.subscriptions);
        self.subscription.iter().chain(more).copied()
    }

    /// Its subscription ends as soon as a frame of `channel` is complete.
    pub(super) fn is_leaving(&self, channel: ChannelKey) -> bool {
        self.active == channel && self.facts.has(Facts::LEAVING)
    }

    /// The places it waits for.
    pub(super) fn recovering(&self) -> &[Recovering] {
        self.cold.as_ref().map_or(&[], |cold| &cold.recovering)
    }

    /// It waits for a place in `channel`.
    pub(super) fn is_recovering(&self, channel: ChannelKey) -> bool {
        self.recovering()
            .iter()
            .any(|recovering| recovering.channel == channel)
    }

    pub(super) fn recovering_by(&self, ticket: Ticket) -> Option<Recovering> {
        self.recovering()
            .iter()
            .find(|recovering| recovering.ticket == ticket)
            .copied()
    }

    /// Takes it out of `channel`.
    pub(super) fn forget(&mut self, channel: ChannelKey) {
        let more = self.cold.as_mut().map(|cold| &mut cold.subscriptions);
        if self
            .subscription
            .is_some_and(|subscription| subscription.channel == channel)
        {
            self.subscription = more.and_then(Vec::pop);
        } else if let Some(more) = more {
            more.retain(|subscription| subscription.channel != channel);
        }
    }

    /// Gives back the cold part when it holds nothing worth keeping.
    pub(super) fn trim(&mut self) {
        if self.cold.as_ref().is_some_and(|cold| cold.is_empty()) {
            self.cold = None;
        }
    }
}

impl Cold {
    /// No more answers are made: from here on it is seen how the last ones go out. What was under way comes back.
    pub(super) fn end_http(&mut self, now: Time) -> Work {
        let exchange = self
            .http
            .get_or_insert_with(|| Box::new(Exchange::new(now)));
        exchange.touch(now);
        std::mem::take(&mut exchange.work)
    }

    /// Bytes of input that is not dealt with yet; counted in [`super::core::Core::assembly_size`].
    pub(super) fn unfinished_size(&self) -> usize {
        let blocked: usize = self
            .blocked
            .iter()
            .map(|blocked| blocked.payload.len())
            .sum();
        self.assembly.len() + self.stash.len() + blocked
    }

    fn is_empty(&self) -> bool {
        self.outbox.is_empty()
            && self.assembly.is_empty()
            && self.stash.is_empty()
            && self.blocked.is_empty()
            && self.context.is_none()
            && self.path.is_none()
            && self.protocol.is_none()
            && self.since.is_none()
            && self.subscriptions.is_empty()
            && self.recovering.is_empty()
            && self.deflate.is_none()
            && self.http.is_none()
            && self.h2.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_fits_the_budget() {
        // 320 bytes in all: this, its generation (4), the driver's slot (56), timer (32), subscriber (56).
        let size = size_of::<Option<Connection>>();
        assert!(size <= 144, "{size} bytes");
    }
}
