//! The streams of one worker: born, found, let go, adopted, counted and ended here.
//!
//! Must not know what a stream is made of, nor other workers: what a stream really is the caller finds by
//! its [`handle`](Stream::handle).
//!
//! ```text
//!  register ─▶ opened ──detach──▶ autonomous ──attach──▶ adopted     at most one has it
//!                 │                  │  ▲                  │
//!                 │                  │  └─────detach───────┤
//!                 └───────────── unregister ◀──────────────┘
//! ```
//!
//! # UIDs
//!
//! A place (socket slot, stream slot) gives out 2²⁰ − 1 generations and then is retired; the socket slot goes
//! on with its other stream slots. A socket slot whose sockets have one stream at a time gives out 2³⁶ − 2¹⁶
//! UIDs before the first comes back, one whose sockets have n at a time about 2³⁶ ∕ n. Only a slot without
//! a living stream begins again, so that no living stream's UID is ever given out.
//!
//! # Limits
//!
//! Streams per socket, per worker, per kind and in total, in this order; each counted when it rejects.
//! Find, register, unregister, detach and attach take constant time; each walk looks at so
//! many places at most. A stream costs about 150 bytes here (`memory` tells), 400 at the very most.

mod places;
mod rejected;
mod stream;
mod walk;

use std::collections::VecDeque;
use std::time::Duration;

use hioload_base::Time;

pub use self::rejected::{AttachError, Rejected};
pub use self::stream::{New, Stream};
pub use self::walk::Step;

use self::places::Places;
use crate::filter::Cursor;
use crate::{End, Event, Kind, Stats, StreamInfo, StreamUid, Total, limits};

/// Limits of one worker's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Streams of one socket at most.
    pub socket_max: u32,
    /// Streams at most.
    pub worker_max: u32,
    /// Streams of each kind at most, by [`Kind::index`].
    pub kind_max: [u32; Kind::COUNT],
    /// How long an autonomous stream may be silent; zero: for ever.
    pub idle_timeout: Duration,
    /// Streams one stream may adopt.
    pub adopted_max: usize,
    /// Events kept until they are taken.
    pub events_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            socket_max: limits::SOCKET_MAX.default as u32,
            worker_max: limits::WORKER_MAX.default as u32,
            kind_max: limits::kind_max(),
            idle_timeout: Duration::from_millis(limits::IDLE_TIMEOUT.default),
            adopted_max: limits::ADOPTED_MAX.default as usize,
            events_max: limits::EVENTS_MAX.default as usize,
        }
    }
}

/// A stream that was unregistered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What it was.
    pub info: StreamInfo,
    /// What it had adopted, to be closed wherever it lives, if it is still [owned](Registry::is_owned_by).
    pub adopted: Vec<StreamUid>,
}

/// The streams of one worker.
#[derive(Debug)]
pub struct Registry {
    worker: u8,
    config: Config,
    total: Total,
    places: Places,
    count: u32,
    stats: Stats,
    /// Events are kept for somebody.
    is_observed: bool,
    events: VecDeque<Event>,
    /// Where the idle sweep goes on.
    sweep: Cursor,
}

impl Registry {
    /// The registry of this worker, empty. `total` is shared by all workers.
    #[must_use]
    pub fn new(worker: u8, config: Config, total: Total) -> Registry {
        Registry::with_generations(worker, config, total, StreamUid::GENERATION_MAX)
    }

    /// One whose places are used up sooner, to see what happens then.
    #[doc(hidden)]
    #[must_use]
    pub fn with_generations(
        worker: u8,
        config: Config,
        total: Total,
        generation_max: u32,
    ) -> Registry {
        Registry {
            worker,
            config,
            total,
            places: Places::new(generation_max),
            count: 0,
            stats: Stats::default(),
            is_observed: false,
            events: VecDeque::new(),
            sweep: Cursor::START,
        }
    }

    /// New limits; what exceeds them already lives on.
    pub fn set_config(&mut self, config: Config) {
        self.config = config;
    }

    /// Limits in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Gives a stream of the socket in this slot its UID.
    ///
    /// # Errors
    /// [`Rejected`] says by which limit; it was counted, nothing was registered.
    pub fn register(&mut self, socket: u32, new: New, now: Time) -> Result<StreamUid, Rejected> {
        let uid = self
            .try_register(socket, new, now)
            .inspect_err(|rejected| {
                self.stats.rejected[rejected.index()] += 1;
            })?;
        self.count += 1;
        self.stats.created += 1;
        self.stats.active[new.kind.index()] += 1;
        self.tell(uid, Event::Created);
        Ok(uid)
    }

    /// A stream was rejected by a limit that only the caller can see: it is counted.
    pub fn count_rejected(&mut self, rejected: Rejected) {
        self.stats.rejected[rejected.index()] += 1;
    }

    fn try_register(&mut self, socket: u32, new: New, now: Time) -> Result<StreamUid, Rejected> {
        let kind = new.kind;
        if socket >= StreamUid::SOCKETS {
            return Err(Rejected::Slot);
        }
        if self.places.live(socket) >= self.config.socket_max {
            return Err(Rejected::Socket);
        }
        if self.count >= self.config.worker_max {
            return Err(Rejected::Worker);
        }
        if self.stats.active[kind.index()] >= u64::from(self.config.kind_max[kind.index()]) {
            return Err(Rejected::Kind(kind));
        }
        if !self.total.take() {
            return Err(Rejected::Total);
        }
        let place = self.places.insert(socket, Stream::new(new, now));
        let Some((stream, generation, begins_again)) = place else {
            self.total.give_back();
            return Err(Rejected::Uids);
        };
        self.stats.slots_reused += u64::from(begins_again);
        let uid = StreamUid::new(self.worker, socket, stream, generation);
        Ok(uid.expect("invariant: places give out generations of a UID"))
    }

    /// The stream of this name, counted as found or missed.
    #[inline]
    pub fn find(&mut self, uid: StreamUid) -> Option<&Stream> {
        let found = if uid.worker() == self.worker {
            self.places.get(uid)
        } else {
            None
        };
        match found {
            Some(_) => self.stats.local_hits += 1,
            None => self.stats.misses += 1,
        }
        found
    }

    /// The stream of this name; not counted.
    #[inline]
    #[must_use]
    pub fn peek(&self, uid: StreamUid) -> Option<&Stream> {
        if uid.worker() == self.worker {
            self.places.get(uid)
        } else {
            None
        }
    }

    /// The stream of this name, to be changed; not counted.
    #[inline]
    pub fn stream_mut(&mut self, uid: StreamUid) -> Option<&mut Stream> {
        if uid.worker() == self.worker {
            self.places.get_mut(uid)
        } else {
            None
        }
    }

    /// True exactly while the stream lives, here.
    #[inline]
    #[must_use]
    pub fn exists(&self, uid: StreamUid) -> bool {
        self.peek(uid).is_some()
    }

    /// The first stream of the socket in this slot: its only one, as a rule.
    #[inline]
    #[must_use]
    pub fn first_of(&self, socket: u32) -> Option<StreamUid> {
        let (stream, generation, _) = self.places.first(socket)?;
        StreamUid::new(self.worker, socket, stream, generation)
    }

    /// Payload bytes came or went on this stream.
    #[inline]
    pub fn activity(&mut self, uid: StreamUid, bytes_in: u64, bytes_out: u64, now: Time) {
        if let Some(stream) = self.stream_mut(uid) {
            stream.moved(bytes_in, bytes_out, now);
        }
    }

    /// Payload bytes came or went on the first stream of the socket in this slot.
    #[inline]
    pub fn activity_of(&mut self, socket: u32, bytes_in: u64, bytes_out: u64, now: Time) {
        if let Some(stream) = self.places.first_mut(socket) {
            stream.moved(bytes_in, bytes_out, now);
        }
    }

    /// From now on the stream lives by itself: whoever opened or adopted it may go. False when there is no such stream.
    pub fn detach(&mut self, uid: StreamUid, now: Time) -> bool {
        let Some(stream) = self.stream_mut(uid) else {
            return false;
        };
        if !std::mem::replace(&mut stream.is_autonomous, true) {
            stream.owner = None;
            // Its time begins now, however long it was silent before.
            stream.moved(0, 0, now);
            self.stats.autonomous += 1;
            self.stats.detached += 1;
            self.tell(uid, Event::Detached);
        }
        true
    }

    /// Gives an autonomous stream to `owner`. Only one has it: a second is refused until it is detached again.
    ///
    /// # Errors
    /// [`AttachError`]; nothing has changed.
    pub fn attach(
        &mut self,
        uid: StreamUid,
        owner: StreamUid,
        now: Time,
    ) -> Result<(), AttachError> {
        let stream = self.stream_mut(uid).ok_or(AttachError::Gone)?;
        if !stream.is_autonomous {
            let owner = stream.owner;
            return Err(AttachError::Taken { owner });
        }
        stream.is_autonomous = false;
        stream.owner = Some(owner);
        stream.moved(0, 0, now);
        self.stats.autonomous -= 1;
        self.stats.attached += 1;
        self.tell(uid, Event::Attached);
        Ok(())
    }

    /// Notes at the owner, which lives here, that it is to have `uid`, wherever that lives: before asking for it. False
    /// when that was noted already.
    ///
    /// # Errors
    /// [`AttachError`]: there is no such owner, or it has as many as it may.
    pub fn adopt(&mut self, owner: StreamUid, uid: StreamUid) -> Result<bool, AttachError> {
        let max = self.config.adopted_max;
        let stream = self.stream_mut(owner).ok_or(AttachError::Gone)?;
        let adopted = &mut stream.extra.get_or_insert_default().adopted;
        if adopted.contains(&uid) {
            return Ok(false);
        }
        if adopted.len() >= max {
            return Err(AttachError::TooMany);
        }
        adopted.push(uid);
        Ok(true)
    }

    /// The owner does not have it, or has it no longer.
    pub fn disown(&mut self, owner: StreamUid, uid: StreamUid) {
        let extra = self
            .stream_mut(owner)
            .and_then(|stream| stream.extra.as_mut());
        if let Some(extra) = extra {
            extra.adopted.retain(|adopted| *adopted != uid);
        }
    }

    /// The stream lives here, belongs to this owner and is to end with it.
    #[must_use]
    pub fn is_owned_by(&self, uid: StreamUid, owner: StreamUid) -> bool {
        self.peek(uid)
            .is_some_and(|stream| stream.owner == Some(owner))
    }

    /// The stream is gone: its UID names nothing from here on.
    pub fn unregister(&mut self, uid: StreamUid, end: End) -> Option<Removed> {
        if uid.worker() != self.worker {
            return None;
        }
        let mut stream = self.places.remove(uid)?;
        self.total.give_back();
        self.count -= 1;
        self.stats.destroyed += 1;
        self.stats.active[stream.kind().index()] -= 1;
        self.stats.autonomous -= u64::from(stream.is_autonomous());
        self.stats.idle_closed += u64::from(end == End::Idle);
        let adopted = stream
            .extra
            .take()
            .map_or_else(Vec::new, |extra| extra.adopted);
        let info = stream.info(uid);
        self.push(Event::Destroyed(info, end));
        Some(Removed { info, adopted })
    }

    /// The socket in this slot is gone, after all its streams: memory of those beyond the first is given back.
    /// No effect while one of them lives.
    pub fn forget_socket(&mut self, socket: u32) {
        self.stats.slots_reused += u64::from(self.places.fold(socket));
    }

    /// Streams of the socket in this slot.
    #[must_use]
    pub fn count_of(&self, socket: u32) -> u32 {
        self.places.live(socket)
    }

    /// Streams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The counters of what is done beside the registry: lookups elsewhere, writes.
    pub fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// Bytes of memory in use, but for channels and lists of adopted streams.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.places.memory()
    }

    /// Events are kept from now on, or not.
    pub fn observe(&mut self, is_observed: bool) {
        self.is_observed = is_observed;
        if !is_observed {
            self.events = VecDeque::new();
        }
    }

    /// The oldest event that was not taken.
    #[inline]
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn tell(&mut self, uid: StreamUid, event: impl Fn(StreamInfo) -> Event) {
        if self.is_observed
            && let Some(stream) = self.places.get(uid)
        {
            self.push(event(stream.info(uid)));
        }
    }

    fn push(&mut self, event: Event) {
        if !self.is_observed {
            return;
        }
        if self.events.len() >= self.config.events_max {
            self.stats.events_lost += 1;
            // With no room at all it is the new one that is lost.
            if self.events.pop_front().is_none() {
                return;
            }
        }
        self.events.push_back(event);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Others go on with the same total.
        for _ in 0..self.count {
            self.total.give_back();
        }
    }
}
