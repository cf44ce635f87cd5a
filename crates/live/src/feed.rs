//! A feed: one class log of a channel as the subscribers of one worker see it.
//!
//! ```text
//!  subscribe ─▶ cursor ──▶ next ──▶ (send) ──▶ sent ──▶ cursor moves, chunks nobody needs go
//!  append ─▶ held chunks ──┘          progress ─▶ owner: trimmed to, pressure
//!                                     sweep ─▶ who is stalled, what was done about it
//! ```
//!
//! A caller has at most one send under way for a subscriber: `next`, then `sent` with what the
//! kernel took (0 after a cancelled send), then `next` again. Whatever is in flight is still held, because
//! the cursor moves in `sent` only.
//!
//! # Invariants
//!
//! - A cursor that is not parked is counted in exactly one place of [`Held`]; `at_end` of them have
//!   read everything.
//! - `next`, `sent` and `append` visit no other subscriber. Only [`Feed::next_ready`] and
//!   [`Feed::sweep`] walk over subscribers, and both go on where they stopped.
//! - A subscriber which has published nothing lately pays one comparison for `exclude_sender`; one
//!   that has pays once for each publication it passes.
//!
//! It must not know what a frame is: bytes with an end are enough.

use crate::append::{Append, Attached, Offset, Progress};
use crate::held::{Held, Place};
use crate::pace::Pace;
use crate::record::RECORD_SIZE;
use crate::subscriber::{Flags, Subscriber, SubscriberKey};
use crate::sweep::{Latest, Owed};
use crate::{Class, Origin, limits};
use hioload_base::{Full, Slab, Time};
use hioload_mem::Segment;
use std::collections::HashMap;
use std::time::Duration;

/// Segments `next` gives at most: what a vectored send takes comfortably.
const SEGMENTS_MAX: usize = 16;
/// Records `next` looks at, at most, once it has found something for a subscriber that publishes.
const RECORDS_MAX: usize = 1024;

/// What becomes of a subscriber that is stalled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// It is to be disconnected.
    #[default]
    Disconnect,
    /// It finishes the frame it is in, misses what follows, is told, and goes on at the end.
    Skip,
    /// It finishes the frame it is in and then gets the latest publication only, until it keeps up.
    Latest,
}

/// How the subscribers of a feed are treated.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// This worker.
    pub worker: usize,
    /// The class log this feed follows.
    pub class: Class,
    /// The budget of the channel's log: half of it unread is pressure.
    pub budget: usize,
    /// What becomes of the stalled.
    pub policy: Policy,
    /// Bytes a second a subscriber with something unsent has to drain.
    pub rate_min: u32,
    /// The time over which that is judged.
    pub window: Duration,
    /// Whether a subscriber does not get its own publications.
    pub exclude_sender: bool,
    /// Subscribers at most.
    pub subscribers_max: usize,
    /// Bytes of private copies at most, for frames which stalled subscribers have to finish.
    pub owed_budget: usize,
}

impl Default for FeedConfig {
    fn default() -> FeedConfig {
        FeedConfig {
            worker: 0,
            class: Class::PLAIN,
            budget: limits::LOG_BUDGET.default as usize,
            policy: Policy::Disconnect,
            rate_min: limits::RATE_MIN.default as u32,
            window: Duration::from_millis(limits::WINDOW.default),
            exclude_sender: false,
            subscribers_max: limits::SUBSCRIBERS.default as usize,
            owed_budget: limits::OWED_BUDGET.default as usize,
        }
    }
}

/// Where a new subscriber starts.
#[derive(Clone, Debug)]
pub enum Start {
    /// With the next publication.
    Tail,
    /// With the history the owner found for it. Stands for [`Feed::attach`] too.
    History(Attached),
}

/// A walk over the subscribers which have something to read. Begins at the first with `default()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    index: u32,
}

/// Counters of one feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FeedStats {
    /// Subscribers.
    pub subscribers: usize,
    /// Of them, stalled and parked.
    pub parked: usize,
    /// How far the slowest cursor lags at most: exact to a chunk.
    pub lag_bytes_max: u64,
    /// Bytes of log which this feed holds.
    pub held_bytes: usize,
    /// Bytes of private copies.
    pub owed_bytes: usize,
    /// Publications that subscribers were entitled to and did not get, summed over subscribers.
    pub dropped_publications: u64,
    /// Subscribers that were stalled under [`Policy::Disconnect`], or had no room to be owed their frame.
    pub dropped_subscribers: u64,
    /// How often a subscriber was moved on under [`Policy::Skip`] or [`Policy::Latest`].
    pub skips: u64,
}

/// One class log of a channel on one worker, and its subscribers there.
#[derive(Debug)]
pub struct Feed {
    pub(crate) config: FeedConfig,
    pub(crate) pace: Pace,
    pub(crate) held: Held,
    pub(crate) subscribers: Slab<Subscriber>,
    /// One past the highest slot ever used: walks end here.
    pub(crate) slots: u32,
    /// Cursors that are counted in `held`: all but the parked.
    pub(crate) pinned: u32,
    /// Of them, those which have read everything.
    pub(crate) at_end: u32,
    /// Parked cursors that may come back.
    pub(crate) parked: u32,
    /// By slot: few, and only while somebody is stalled.
    pub(crate) owed: HashMap<u32, Owed>,
    pub(crate) owed_size: usize,
    pub(crate) latest: Latest,
    pub(crate) sweep_index: u32,
    pub(crate) stats: FeedStats,
    /// When a subscriber last made progress under a lag of more than half the budget.
    pressed_at: Option<Time>,
    round: Option<u32>,
    reported: Reported,
}

/// What the owner knows, and whether it has to hear.
#[derive(Clone, Copy, Debug, Default)]
struct Reported {
    boundary: u64,
    is_pressed: bool,
    /// The owner asked to hear when this position is trimmed.
    asked: Option<u64>,
    is_due: bool,
}

impl Feed {
    /// A feed without subscribers. Until it is attached it takes no appends.
    ///
    /// # Panics
    ///
    /// If `worker` is 256 or more.
    #[must_use]
    pub fn new(config: FeedConfig) -> Feed {
        assert!(
            config.worker < Origin::WORKER_COUNT_MAX,
            "worker {} is beyond 255",
            config.worker
        );
        let subscribers_max = config.subscribers_max.min(Origin::SUBSCRIBER_COUNT_MAX);
        Feed {
            pace: Pace::new(config.rate_min, config.window),
            held: Held::new(),
            subscribers: Slab::with_limit(subscribers_max),
            slots: 0,
            pinned: 0,
            at_end: 0,
            parked: 0,
            owed: HashMap::new(),
            owed_size: 0,
            latest: Latest::default(),
            sweep_index: 0,
            stats: FeedStats::default(),
            pressed_at: None,
            round: None,
            reported: Reported::default(),
            config,
        }
    }

    // From the owner.

    /// The owner's answer to an attachment without history.
    pub fn attach(&mut self, attached: &Attached) {
        if self.round.is_none() {
            self.held.begin(attached.end, attached.offset);
            for (_, subscriber) in &mut self.subscribers {
                subscriber.position = attached.end;
            }
        } else {
            for piece in &attached.pieces {
                self.take(piece.clone());
            }
        }
        self.round = Some(attached.round);
        self.reported.is_due = true;
    }

    /// Takes what comes next in the log. Before the feed is attached it is left over from an earlier
    /// life of the feed, and ignored.
    ///
    /// # Panics
    ///
    /// If an append is missing between this one and the last.
    pub fn append(&mut self, append: Append) {
        if self.round.is_none() {
            return;
        }
        if append.asks {
            self.reported.asked = Some(append.position());
            return;
        }
        self.take(append);
    }

    fn take(&mut self, mut append: Append) {
        let end = self.held.end();
        assert!(
            append.position() <= end,
            "an append was lost on its way to the feed"
        );
        if append.end() <= end {
            return;
        }
        if append.position() < end {
            let size = (end - append.position()) as usize;
            let records = crate::record::Records::new(&append.records);
            let count = records.index_at((end - append.base) as u32);
            append.frames = append.frames.slice(size..append.frames.len());
            append.records = append
                .records
                .slice(count * RECORD_SIZE..append.records.len());
            append.start += size as u32;
            append.first += count as Offset;
        }
        if self.config.exclude_sender {
            self.mark_own(&append);
        }
        self.held.push(append);
        self.at_end = 0;
        if self.pinned == 0 {
            self.let_go();
        }
    }

    /// Tells the subscribers which published something how far they have to look for it.
    fn mark_own(&mut self, append: &Append) {
        let records = crate::record::Records::new(&append.records);
        for index in 0..records.count() {
            let origin = records.origin(index);
            let Some(slot) = origin.slot_in(self.config.worker, self.config.class) else {
                continue;
            };
            let Some(key) = self.subscribers.key_at(slot).map(SubscriberKey) else {
                continue;
            };
            if self.origin(key) != origin {
                continue;
            }
            if let Some(subscriber) = self.subscribers.get_mut(key.0) {
                subscriber.own_until = append.base + u64::from(records.end(index));
                if subscriber.is_parked()
                    && let Some(owed) = self.owed.get_mut(&slot)
                {
                    owed.own += 1;
                }
            }
        }
    }

    /// What the owner has to hear, if anything: call at the end of a turn in which something was
    /// appended, sent, swept or unsubscribed.
    pub fn progress(&mut self, now: Time) -> Option<Progress> {
        let round = self.round?;
        let (trimmed, boundary) = (self.held.front(), self.held.boundary());
        let is_pressed = self.under_pressure(now);
        let is_asked = self.reported.asked.is_some_and(|asked| trimmed >= asked);
        let is_due = self.reported.is_due
            || is_asked
            || boundary > self.reported.boundary
            || is_pressed != self.reported.is_pressed;
        if !is_due {
            return None;
        }
        let asked = self.reported.asked.filter(|_| !is_asked);
        self.reported = Reported {
            boundary,
            is_pressed,
            asked,
            is_due: false,
        };
        Some(Progress {
            class: self.config.class,
            round,
            trimmed,
            is_pressed,
        })
    }

    /// Whether a subscriber which makes progress lags by more than half the budget.
    #[must_use]
    pub fn under_pressure(&self, now: Time) -> bool {
        self.held.weight() > self.config.budget / 2
            && self
                .pressed_at
                .is_some_and(|at| now - at < self.pace.pressure_hold())
    }

    // Subscribers.

    /// Adds a subscriber. `user` is the caller's name for it.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the caller's name back: there are as many as there may be.
    pub fn subscribe(&mut self, user: u64, start: Start) -> Result<SubscriberKey, Full<u64>> {
        let (position, number) = match start {
            _ if self.subscribers.len() == self.subscribers.limit() => return Err(Full(user)),
            Start::Tail => (self.held.end(), self.held.enter_at_end()),
            Start::History(attached) => {
                self.attach(&attached);
                self.held.push_front(&attached.pieces);
                if attached.start < self.held.end() {
                    (attached.start, self.held.enter_at(attached.start))
                } else {
                    (self.held.end(), self.held.enter_at_end())
                }
            }
        };
        let subscriber = Subscriber::new(user, position, number);
        let key = self
            .subscribers
            .insert(subscriber)
            .map_err(|_| Full(user))?;
        self.slots = self.slots.max(key.index() + 1);
        self.pinned += 1;
        self.at_end += u32::from(position == self.held.end());
        self.let_go();
        Ok(SubscriberKey(key))
    }

    /// Forgets a subscriber. Whether it was one.
    pub fn unsubscribe(&mut self, key: SubscriberKey) -> bool {
        let Some(subscriber) = self.subscribers.remove(key.0) else {
            return false;
        };
        if let Some(owed) = self.owed.remove(&key.index()) {
            self.owed_size -= owed.size();
        }
        if subscriber.is_parked() {
            self.parked -= u32::from(!subscriber.flags.has(Flags::DROPPED));
            return true;
        }
        self.pinned -= 1;
        self.at_end -= u32::from(subscriber.position == self.held.end());
        self.held.leave(subscriber.chunk);
        self.let_go();
        true
    }

    /// The origin to publish with so that this subscriber does not get its own publications.
    #[must_use]
    pub fn origin(&self, key: SubscriberKey) -> Origin {
        Origin::new(self.config.worker, self.config.class, key)
    }

    /// The next subscriber of the walk which has something to read and no send under way. `None`: the
    /// walk is over.
    pub fn next_ready(&mut self, scan: &mut Scan) -> Option<(SubscriberKey, u64)> {
        let end = self.held.end();
        while scan.index < self.slots {
            let key = self.subscribers.key_at(scan.index);
            scan.index += 1;
            let Some((key, subscriber)) =
                key.and_then(|key| Some((key, self.subscribers.get(key)?)))
            else {
                continue;
            };
            let flags = subscriber.flags;
            let has_log = subscriber.position < end && !flags.has(Flags::PARKED);
            if (has_log || flags.has(Flags::OWED)) && !flags.has(Flags::IN_FLIGHT) {
                return Some((SubscriberKey(key), subscriber.user));
            }
        }
        None
    }

    /// Gives the bytes at the cursor, straight from the log: at most `bytes_max`, as few segments
    /// as they lie in, at most 16. Returns their number; 0: there is nothing to read. The cursor
    /// moves over own publications at most; asked again before [`sent`](Feed::sent), it gives the same.
    pub fn next(&mut self, key: SubscriberKey, bytes_max: usize, out: &mut Vec<Segment>) -> usize {
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return 0;
        };
        let mut given = 0;
        if subscriber.flags.has(Flags::OWED)
            && let Some(rest) = self
                .owed
                .get(&key.index())
                .and_then(|owed| owed.rest.as_ref())
        {
            given = rest.len().min(bytes_max);
            if given > 0 {
                out.push(rest.slice(0..given));
            }
        }
        let left = bytes_max - given;
        if left > 0 && subscriber.position < self.held.end() && !subscriber.is_parked() {
            given += if subscriber.own_until > subscriber.position {
                self.next_of_others(key, left, out)
            } else {
                Feed::next_of_all(&mut self.held, subscriber, left, out)
            };
        }
        if given > 0
            && let Some(subscriber) = self.subscribers.get_mut(key.0)
        {
            subscriber.flags.set(Flags::IN_FLIGHT);
        }
        given
    }

    fn next_of_all(
        held: &mut Held,
        subscriber: &mut Subscriber,
        bytes_max: usize,
        out: &mut Vec<Segment>,
    ) -> usize {
        subscriber.chunk = held.follow(subscriber.chunk, subscriber.position);
        held.trim();
        let Place::Chunk(first) = held.place(subscriber.chunk) else {
            return 0;
        };
        let mut position = subscriber.position;
        let mut left = bytes_max as u64;
        for chunk in held.chunks.range(first..).take(SEGMENTS_MAX) {
            let to = chunk.end().min(position + left);
            out.push(chunk.slice(position, to));
            left -= to - position;
            position = to;
            if left == 0 {
                break;
            }
        }
        (position - subscriber.position) as usize
    }

    /// The same for a subscriber which has own publications ahead: passes over those it is at, once
    /// and for all, and gives the runs between the next ones.
    fn next_of_others(
        &mut self,
        key: SubscriberKey,
        bytes_max: usize,
        out: &mut Vec<Segment>,
    ) -> usize {
        self.pass_own(key);
        let own = self.origin(key);
        let Some(subscriber) = self.subscribers.get(key.0) else {
            return 0;
        };
        let Place::Chunk(first) = self.held.place(subscriber.chunk) else {
            return 0;
        };
        let mut position = subscriber.position;
        let (mut left, mut segments, mut records_left) = (bytes_max as u64, 0, RECORDS_MAX);
        for chunk in self.held.chunks.range(first..) {
            while position < chunk.end() {
                if left == 0 || segments == SEGMENTS_MAX || records_left == 0 {
                    return (bytes_max as u64 - left) as usize;
                }
                let from = position;
                if position >= subscriber.own_until {
                    position = chunk.end();
                } else {
                    let records = chunk.records();
                    let mut index = chunk.record_at(position);
                    while index < records.count()
                        && records_left > 0
                        && records.origin(index) != own
                    {
                        position = chunk.frame_end(index);
                        index += 1;
                        records_left -= 1;
                        if position - from >= left {
                            break;
                        }
                    }
                    if position == from && index < records.count() && records_left > 0 {
                        position = chunk.frame_end(index);
                        records_left -= 1;
                        continue;
                    }
                }
                let to = position.min(from + left);
                if to > from {
                    out.push(chunk.slice(from, to));
                    segments += 1;
                    left -= to - from;
                }
            }
        }
        (bytes_max as u64 - left) as usize
    }

    /// Moves a cursor over the own publications it is at.
    pub(crate) fn pass_own(&mut self, key: SubscriberKey) {
        let own = self.origin(key);
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return;
        };
        let from = subscriber.position;
        let mut position = from;
        loop {
            subscriber.chunk = self.held.follow(subscriber.chunk, position);
            if position >= subscriber.own_until || position >= self.held.end() {
                break;
            }
            let Place::Chunk(index) = self.held.place(subscriber.chunk) else {
                break;
            };
            let chunk = &self.held.chunks[index];
            let records = chunk.records();
            let first = chunk.record_at(position);
            if chunk.frame_start(first) != position {
                break;
            }
            let next = (first..records.count()).find(|index| records.origin(*index) != own);
            position = next.map_or(chunk.end(), |index| chunk.frame_start(index));
            if next.is_some() {
                break;
            }
        }
        if position > from {
            self.move_to(key, position, None);
        }
    }

    /// The kernel took `bytes` of what [`next`](Feed::next) gave. 0 after a send that failed or was
    /// cancelled.
    pub fn sent(&mut self, key: SubscriberKey, bytes: usize, now: Time) {
        let paid = self.pay(key, bytes);
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return;
        };
        subscriber.flags.clear(Flags::IN_FLIGHT);
        let bytes = (bytes - paid) as u64;
        if bytes == 0 || subscriber.is_parked() {
            return;
        }
        let position = if subscriber.own_until > subscriber.position {
            self.position_after(key, bytes)
        } else {
            subscriber.position + bytes
        };
        debug_assert!(position <= self.held.end(), "more was sent than there is");
        self.move_to(key, position.min(self.held.end()), Some(now));
    }

    /// Where the cursor stands after so many bytes that are not its own.
    fn position_after(&self, key: SubscriberKey, bytes: u64) -> u64 {
        let own = self.origin(key);
        let Some(subscriber) = self.subscribers.get(key.0) else {
            return 0;
        };
        let mut position = subscriber.position;
        let Place::Chunk(first) = self.held.place(subscriber.chunk) else {
            return position;
        };
        let mut left = bytes;
        for chunk in self.held.chunks.range(first..) {
            while position < chunk.end() {
                if left == 0 {
                    return position;
                }
                if position >= subscriber.own_until {
                    let to = chunk.end().min(position + left);
                    left -= to - position;
                    position = to;
                    continue;
                }
                let index = chunk.record_at(position);
                let end = chunk.frame_end(index);
                if chunk.records().origin(index) == own {
                    position = end;
                } else {
                    let to = end.min(position + left);
                    left -= to - position;
                    position = to;
                }
            }
        }
        position
    }

    /// Moves a cursor forward. With a time it is progress; without, own publications were passed.
    fn move_to(&mut self, key: SubscriberKey, position: u64, now: Option<Time>) {
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return;
        };
        let moved = u32::try_from(position - subscriber.position).unwrap_or(u32::MAX);
        subscriber.position = position;
        subscriber.chunk = self.held.follow(subscriber.chunk, position);
        subscriber.need = subscriber.need.saturating_sub(moved);
        let lag = self.held.end() - position;
        if lag == 0 {
            subscriber.end_window();
            self.at_end += 1;
        } else if let Some(now) = now {
            if subscriber.need == 0 || !subscriber.flags.has(Flags::WINDOW) {
                subscriber.start_window(&self.pace, lag, now);
            }
            let stamp = crate::pace::stamp(now);
            if self.held.weight() > self.config.budget / 2
                && self.held.weight_of(lag) > self.config.budget / 2
                && self.pace.is_kept(subscriber.need, subscriber.since, stamp)
            {
                self.pressed_at = Some(now);
            }
        }
        self.let_go();
    }

    /// Lets go of what no cursor needs.
    pub(crate) fn let_go(&mut self) {
        if self.at_end < self.pinned {
            self.held.trim();
            return;
        }
        if self.parked > 0 && self.config.policy == Policy::Latest {
            self.latest.keep(&self.held);
        }
        self.held.clear(self.pinned);
    }

    /// Bytes to the end of the frame the cursor is in; 0 at a boundary. Control frames go in
    /// only there.
    #[must_use]
    pub fn to_boundary(&self, key: SubscriberKey) -> usize {
        let Some(subscriber) = self.subscribers.get(key.0) else {
            return 0;
        };
        if subscriber.flags.has(Flags::OWED) {
            return self.owed.get(&key.index()).map_or(0, Owed::to_boundary);
        }
        if subscriber.is_parked() || subscriber.position == self.held.end() {
            return 0;
        }
        let Place::Chunk(index) = self.held.place(subscriber.chunk) else {
            return 0;
        };
        let chunk = &self.held.chunks[index];
        if subscriber.position >= chunk.end() {
            return 0;
        }
        let record = chunk.record_at(subscriber.position);
        if chunk.frame_start(record) == subscriber.position {
            return 0;
        }
        (chunk.frame_end(record) - subscriber.position) as usize
    }

    /// The caller's name for a subscriber.
    #[must_use]
    pub fn user(&self, key: SubscriberKey) -> Option<u64> {
        self.subscribers
            .get(key.0)
            .map(|subscriber| subscriber.user)
    }

    /// Bytes of the log a subscriber has not got yet; own publications ahead are counted too.
    #[must_use]
    pub fn lag_bytes(&self, key: SubscriberKey) -> u64 {
        match self.subscribers.get(key.0) {
            Some(subscriber) if !subscriber.is_parked() => self.held.end() - subscriber.position,
            _ => 0,
        }
    }

    /// Publications dropped for a subscriber.
    #[must_use]
    pub fn dropped(&self, key: SubscriberKey) -> u64 {
        self.subscribers
            .get(key.0)
            .map_or(0, |subscriber| u64::from(subscriber.dropped))
    }

    /// Whether the owner has answered.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.round.is_some()
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Whether nobody subscribes: the owner may be told to detach.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> FeedStats {
        FeedStats {
            subscribers: self.subscribers.len(),
            parked: self.parked as usize,
            lag_bytes_max: self.held.end() - self.held.front(),
            held_bytes: self.held.weight(),
            owed_bytes: self.owed_size,
            ..self.stats
        }
    }
}
