//! Connections and the requests that wait for them, by origin.
//!
//! ```text
//!   Connecting ─▶ Open ─▶ Closing ─▶ (gone)
//!       └─────────────────▲
//! ```
//!
//! Knows no request but by its key. A connection counts until its owner has closed it: what the limit is for is the
//! system's. The connection that was used last is used next, so that the others may grow old and go.

use std::collections::{HashMap, VecDeque};

use hioload_base::{Slab, Time, TimerKey};

use super::event::{ConnKey, Protocol, RequestKey};
use super::url::Origin;
use super::wire::{Terms, Wire};

/// Which versions a connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offer {
    /// What ALPN says: HTTP/2 before HTTP/1.1. In clear, HTTP/1.1.
    Any,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone: both sides know that beforehand (RFC 9113 3.3).
    Http2,
}

/// One connection.
pub(super) struct Conn {
    pub(super) origin: Origin,
    pub(super) state: ConnState,
    /// A request for which alone it is being made.
    pub(super) reserved: Option<RequestKey>,
    pub(super) offer: Offer,
    /// Answers that came on it.
    pub(super) answer_count: u64,
    /// When it became idle; while it is being made, when that was begun.
    pub(super) since: Time,
    /// Its owner was told to ask for output, and to look whether it is to be read.
    pub(super) is_noted: bool,
    pub(super) timer: Option<(TimerKey, Time)>,
}

pub(super) enum ConnState {
    Connecting,
    Open(Wire),
    /// Last words.
    Closing(Vec<u8>),
}

/// What is known of one origin.
#[derive(Default)]
struct Site {
    /// The one that became idle last stands last.
    conns: Vec<ConnKey>,
    waiting: VecDeque<RequestKey>,
    /// What was spoken last.
    speaks: Option<Protocol>,
}

/// All connections of an agent.
pub(super) struct Pool {
    pub(super) conns: Slab<Conn>,
    sites: HashMap<Origin, Site>,
}

impl Pool {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            conns: Slab::with_limit(connections_max),
            sites: HashMap::new(),
        }
    }

    pub(super) fn get(&self, key: ConnKey) -> Option<&Conn> {
        self.conns.get(key.0)
    }

    pub(super) fn get_mut(&mut self, key: ConnKey) -> Option<&mut Conn> {
        self.conns.get_mut(key.0)
    }

    /// The connection's protocol, once it stands.
    pub(super) fn wire(&mut self, key: ConnKey) -> Option<&mut Wire> {
        match &mut self.conns.get_mut(key.0)?.state {
            ConnState::Open(wire) => Some(wire),
            _ => None,
        }
    }

    /// A new connection; `None` when there may be no more.
    pub(super) fn insert(
        &mut self,
        now: Time,
        origin: &Origin,
        offer: Offer,
        reserved: Option<RequestKey>,
    ) -> Option<ConnKey> {
        let conn = Conn {
            origin: origin.clone(),
            state: ConnState::Connecting,
            reserved,
            offer,
            answer_count: 0,
            since: now,
            is_noted: false,
            timer: None,
        };
        let key = ConnKey(self.conns.insert(conn).ok()?);
        self.sites
            .entry(origin.clone())
            .or_default()
            .conns
            .push(key);
        Some(key)
    }

    /// Takes a connection out of use; it still counts. False when it was out of use before.
    pub(super) fn retire(&mut self, key: ConnKey) -> bool {
        let Some(conn) = self.conns.get_mut(key.0) else {
            return false;
        };
        let mut words = Vec::new();
        match &mut conn.state {
            ConnState::Open(wire) => wire.goodbye(&mut words),
            ConnState::Connecting => {}
            ConnState::Closing(_) => return false,
        }
        conn.state = ConnState::Closing(words);
        let origin = conn.origin.clone();
        if let Some(site) = self.sites.get_mut(&origin) {
            site.conns.retain(|&conn| conn != key);
        }
        self.forget_site(&origin);
        true
    }

    /// What was retired is gone.
    pub(super) fn remove(&mut self, key: ConnKey) -> Option<Conn> {
        self.conns.remove(key.0)
    }

    pub(super) fn wait(&mut self, origin: &Origin, request: RequestKey, is_first: bool) {
        let site = self.sites.entry(origin.clone()).or_default();
        if is_first {
            site.waiting.push_front(request);
        } else {
            site.waiting.push_back(request);
        }
    }

    pub(super) fn waiting(&self, origin: &Origin) -> usize {
        self.sites.get(origin).map_or(0, |site| site.waiting.len())
    }

    pub(super) fn first_waiting(&self, origin: &Origin) -> Option<RequestKey> {
        self.sites.get(origin)?.waiting.front().copied()
    }

    pub(super) fn unwait(&mut self, origin: &Origin, request: RequestKey) {
        if let Some(site) = self.sites.get_mut(origin) {
            site.waiting.retain(|&key| key != request);
        }
        self.forget_site(origin);
    }

    /// Connections of an origin that stand or are being made.
    pub(super) fn count(&self, origin: &Origin) -> usize {
        self.sites.get(origin).map_or(0, |site| site.conns.len())
    }

    /// Connections that are being made for whoever waits.
    pub(super) fn connecting(&self, origin: &Origin) -> usize {
        let conns = self.sites.get(origin).map_or(&[][..], |site| &site.conns);
        let is_for_all = |key: &&ConnKey| {
            self.get(**key).is_some_and(|conn| {
                matches!(conn.state, ConnState::Connecting) && conn.reserved.is_none()
            })
        };
        conns.iter().filter(is_for_all).count()
    }

    /// A connection that takes a request: one with streams first, then the one used last.
    pub(super) fn find_room(&mut self, origin: &Origin, terms: &Terms<'_>) -> Option<ConnKey> {
        let conns = &self.sites.get(origin)?.conns;
        let rank = |key: &ConnKey| match &self.conns.get(key.0)?.state {
            ConnState::Open(wire) if wire.has_room(terms) => {
                Some(wire.protocol() == Protocol::Http2)
            }
            _ => None,
        };
        let ranked = conns.iter().filter_map(|&key| Some((rank(&key)?, key)));
        // Of equal ones the last.
        ranked
            .max_by_key(|&(has_streams, _)| has_streams)
            .map(|(_, key)| key)
    }

    /// It became idle.
    pub(super) fn rest(&mut self, now: Time, key: ConnKey) {
        let Some(conn) = self.conns.get_mut(key.0) else {
            return;
        };
        conn.since = now;
        let Some(site) = self.sites.get_mut(&conn.origin) else {
            return;
        };
        if let Some(place) = site.conns.iter().position(|&conn| conn == key) {
            site.conns.remove(place);
            site.conns.push(key);
        }
    }

    /// The connection that has been idle for longest, of whatever origin.
    pub(super) fn oldest_idle(&self) -> Option<ConnKey> {
        let idle = self.conns.iter().filter(|(_, conn)| match &conn.state {
            ConnState::Open(wire) => wire.is_idle(),
            _ => false,
        });
        idle.min_by_key(|(_, conn)| conn.since)
            .map(|(key, _)| ConnKey(key))
    }

    pub(super) fn speaks(&self, origin: &Origin) -> Option<Protocol> {
        self.sites.get(origin)?.speaks
    }

    pub(super) fn set_speaks(&mut self, origin: &Origin, protocol: Protocol) {
        if let Some(site) = self.sites.get_mut(origin) {
            site.speaks = Some(protocol);
        }
    }

    fn forget_site(&mut self, origin: &Origin) {
        let is_empty = |site: &Site| site.conns.is_empty() && site.waiting.is_empty();
        if self.sites.get(origin).is_some_and(is_empty) {
            self.sites.remove(origin);
        }
    }
}
