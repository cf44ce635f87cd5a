//! One request on its way: where it is, what of it was sent, what came back.
//!
//! Knows no connection beyond its key. A request may be sent several times: after a redirect, and again when a
//! connection that had been idle turned out to be gone. What belongs to one sending is an [`Attempt`].

use std::time::Duration;

use hioload_base::{Time, TimerKey};

use super::event::{ConnKey, Progress};
use super::limits::Limits;
use super::outgoing::Outgoing;
use super::redirect::{Hop, RedirectPolicy, Redirects};
use super::request::{BodyMode, Request};
use super::url::Origin;
use crate::h2::StreamRef;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits for a connection, in the line of its origin.
    Waiting,
    /// A connection is being made for it alone.
    Reserved(ConnKey),
    /// It is under way.
    On(ConnKey, Option<StreamRef>),
}

/// What kind of connection a request has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Any,
    /// One on which nothing was sent before: an older one has failed it.
    Fresh,
    /// A fresh one that does not speak HTTP/2: there, the peer takes no tunnels.
    Http1,
}

/// One sending of a request.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// Something had been answered on the connection before.
    pub(super) is_reused: bool,
    /// A byte of the answer has come.
    pub(super) is_answered: bool,
    /// Its head has come.
    pub(super) has_head: bool,
    /// All of the request was handed to the connection.
    pub(super) is_sent: bool,
    /// The rest of the body is not wanted.
    pub(super) is_stopped: bool,
    /// The body waits for `100 Continue`, until then.
    pub(super) held_until: Option<Time>,
    /// Interim answers.
    pub(super) interim_count: u32,
    /// Body bytes that an HTTP/2 connection was told of, and whether it knows the end.
    pub(super) queued: u64,
    pub(super) is_end_queued: bool,
    /// The other protocol is spoken.
    pub(super) is_tunnel: bool,
    /// Bytes of the body of a redirect that were dropped.
    pub(super) drained: u64,
}

/// One request.
#[derive(Debug)]
pub(super) struct Exchange {
    /// As it is sent now: redirects change it.
    pub(super) request: Request,
    pub(super) redirects: Redirects,
    pub(super) outgoing: Outgoing,
    pub(super) place: Place,
    pub(super) need: Need,
    pub(super) attempt: Attempt,
    /// Where it goes once the answer that says so has been read.
    pub(super) hop: Option<Hop>,
    pub(super) retry_count: u8,
    /// The body, when it is gathered.
    pub(super) collected: Vec<u8>,
    pub(super) received: u64,
    pub(super) total: Option<u64>,
    /// Bytes that were handed out and not used yet.
    pub(super) outstanding: usize,
    /// The owner was told that there is no room for the body.
    pub(super) wants_room: bool,
    /// When the peer last did something.
    pub(super) progress_at: Time,
    pub(super) read_timeout: Duration,
    pub(super) deadline: Option<Time>,
    pub(super) timer: Option<(TimerKey, Time)>,
}

impl Exchange {
    pub(super) fn new(
        mut request: Request,
        now: Time,
        redirects: RedirectPolicy,
        limits: &Limits,
        total_timeout: Option<Duration>,
    ) -> Self {
        let policy = request.redirects.unwrap_or(redirects);
        let total_timeout = request.total_timeout.or(total_timeout);
        Self {
            redirects: Redirects::new(policy, request.method.clone(), request.url.clone()),
            outgoing: Outgoing::new(std::mem::take(&mut request.body)),
            place: Place::Waiting,
            need: Need::Any,
            attempt: Attempt::default(),
            hop: None,
            retry_count: 0,
            collected: Vec::new(),
            received: 0,
            total: None,
            outstanding: 0,
            wants_room: false,
            progress_at: now,
            read_timeout: request.read_timeout.unwrap_or(limits.read_timeout),
            deadline: total_timeout.map(|timeout| now + timeout),
            timer: None,
            request,
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        self.request.url.origin()
    }

    pub(super) fn is_tunnel_request(&self) -> bool {
        self.request.tunnel.is_some()
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            sent: self.outgoing.taken(),
            received: self.received,
            total: self.total,
        }
    }

    /// Bytes of the answer's body that are gathered at most; `None` when it is streamed.
    pub(super) fn collect_max(&self, limits: &Limits) -> Option<u64> {
        match self.request.mode {
            BodyMode::Collect { size_max } => Some(size_max.unwrap_or(limits.body_size_max)),
            BodyMode::Stream => None,
        }
    }

    /// The body may flow: nobody is waited for, and it is wanted.
    pub(super) fn may_send_body(&self) -> bool {
        let attempt = &self.attempt;
        let is_open = !self.is_tunnel_request() || attempt.is_tunnel;
        attempt.held_until.is_none() && !attempt.is_stopped && is_open
    }

    /// The owner does not use what came: nothing more is read for it.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.outstanding >= limits.window_size
    }

    /// It is the peer's turn: to answer, to send the next part, or to take what we send.
    fn awaits_peer(&self, limits: &Limits) -> bool {
        if !matches!(self.place, Place::On(..)) || self.attempt.is_tunnel {
            return false;
        }
        if self.is_full(limits) && self.hop.is_none() {
            return false;
        }
        // The owner's turn to hand over the body.
        let attempt = &self.attempt;
        let owes_body = !attempt.is_sent && !attempt.has_head && self.may_send_body();
        !(owes_body && self.outgoing.available() == 0 && !self.outgoing.is_last())
    }

    /// When something is due, and what the time is then for: reading, or all of it.
    pub(super) fn next_deadline(&self, limits: &Limits) -> Option<Time> {
        let read = self
            .awaits_peer(limits)
            .then(|| self.progress_at + self.read_timeout);
        let total = self.deadline.filter(|_| !self.attempt.is_tunnel);
        [read, total, self.attempt.held_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// The peer has been silent for too long.
    pub(super) fn is_read_overdue(&self, limits: &Limits, now: Time) -> bool {
        self.awaits_peer(limits) && self.progress_at + self.read_timeout <= now
    }

    pub(super) fn is_overdue(&self, now: Time) -> bool {
        !self.attempt.is_tunnel && self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Goes where the answer sent it.
    pub(super) fn follow(&mut self, hop: Hop) {
        let is_private = |name: &str| {
            ["authorization", "cookie", "proxy-authorization"]
                .iter()
                .any(|private| name.eq_ignore_ascii_case(private))
        };
        if hop.drops_credentials {
            self.request.drop_fields(is_private);
        }
        if hop.drops_body {
            // RFC 9110 15.4: what describes the content goes with it.
            self.request.drop_fields(|name| {
                name.get(..8)
                    .is_some_and(|start| start.eq_ignore_ascii_case("content-"))
            });
            self.request.expects_continue = false;
            self.outgoing = Outgoing::new(super::request::RequestBody::None);
        } else {
            self.outgoing.rewind();
        }
        self.request.url = hop.url;
        self.request.method = hop.method;
        self.restart();
    }

    /// Forgets what was sent and what came.
    pub(super) fn restart(&mut self) {
        self.attempt = Attempt::default();
        self.place = Place::Waiting;
        self.received = 0;
        self.total = None;
        self.outstanding = 0;
        self.collected.clear();
    }
}
