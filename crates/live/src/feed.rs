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

use crate::append::{Append, Ask, Attached, Offset, Progress, Since};
use crate::budget::Budget;
use crate::held::Held;
use crate::pace::Pace;
use crate::record::RECORD_SIZE;
use crate::subscriber::{Flags, Subscriber, SubscriberKey};
use crate::sweep::{Latest, Owed};
use crate::{Class, Origin, limits};
use hioload_base::{Full, Slab, Time};
use std::collections::HashMap;
use std::time::Duration;

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
    /// A number no earlier feed of this channel and class on this worker had, so that answers to that one are
    /// told from answers to this one.
    pub life: u64,
    /// Subscribers at most.
    pub subscribers_max: usize,
    /// Memory for private copies, shared by all feeds of the worker: frames which stalled subscribers have to
    /// finish, and the latest publication where the policy wants it.
    pub owed: Budget,
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
            life: 0,
            subscribers_max: limits::SUBSCRIBERS.default as usize,
            owed: Budget::new(limits::OWED_BUDGET.default as usize),
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
    pub(crate) pressed_at: Option<Time>,
    epoch: u64,
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
            epoch: 0,
            round: None,
            reported: Reported::default(),
            config,
        }
    }

    // From the owner.

    /// What to ask the owner: first of all without history to be attached, then, or at once, with
    /// `since` for each subscriber that wants history.
    #[must_use]
    pub fn ask(&self, since: Option<Since>) -> Ask {
        Ask {
            class: self.config.class,
            life: self.config.life,
            since,
        }
    }

    /// Whether the answer is to a question of this feed. One to an earlier feed of the same channel is ignored.
    #[must_use]
    pub fn is_answer(&self, attached: &Attached) -> bool {
        attached.class == self.config.class && attached.life == self.config.life
    }

    /// The owner's answer to a question without history, or whose subscriber is gone.
    pub fn attach(&mut self, attached: &Attached) {
        if !self.is_answer(attached) {
            return;
        }
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
        self.epoch = attached.epoch;
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
        if let Start::History(attached) = &start {
            self.attach(attached);
        }
        if self.subscribers.is_full() {
            return Err(Full(user));
        }
        let (position, number) = match start {
            Start::Tail => (self.held.end(), self.held.enter_at_end()),
            Start::History(attached) if !self.is_answer(&attached) => {
                (self.held.end(), self.held.enter_at_end())
            }
            Start::History(attached) => {
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
            self.repay(owed.size());
        }
        if subscriber.is_parked() {
            if !subscriber.flags.has(Flags::DROPPED) {
                self.unpark();
            }
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
        Origin::new(self.config.worker, self.config.class, self.config.life, key)
    }

    /// Whether subscribers do not get what they published.
    #[must_use]
    pub fn excludes_sender(&self) -> bool {
        self.config.exclude_sender
    }

    /// Lets go of what no cursor needs.
    pub(crate) fn let_go(&mut self) {
        if self.at_end < self.pinned {
            self.held.trim();
            return;
        }
        if self.parked > 0 && self.config.policy == Policy::Latest {
            self.latest.keep(&self.held, &self.config.owed);
        }
        self.held.clear(self.pinned);
    }

    /// One parked subscriber less that may come back: with the last of them goes what was kept for them.
    pub(crate) fn unpark(&mut self) {
        self.parked -= 1;
        if self.parked == 0 {
            self.latest.forget(&self.config.owed);
        }
    }

    /// A private copy is gone.
    pub(crate) fn repay(&mut self, size: usize) {
        self.owed_size -= size;
        self.config.owed.give_back(size);
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

    /// The channel's epoch, and the last publication that has come here: a subscriber who starts
    /// at the end gets what follows it. `None` until the owner has answered.
    #[must_use]
    pub fn position(&self) -> Option<(u64, Offset)> {
        self.round.map(|_| (self.epoch, self.held.offset()))
    }

    /// The first publication of which the subscriber has not got anything yet. Of a parked one: the first
    /// which is still to come.
    pub fn next_offset(&mut self, key: SubscriberKey) -> Offset {
        let next = self.held.offset() + 1;
        if self.lag_bytes(key) == 0 {
            return next;
        }
        self.standing(key)
            .map_or(next, |at| at.offset + Offset::from(at.is_partial))
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

    #[cfg(any(test, feature = "fuzzing"))]
    /// Panics unless every count agrees with what it counts.
    pub(crate) fn check(&self) {
        let end = self.held.end();
        let all = self.subscribers.iter().map(|(_, subscriber)| subscriber);
        let pinned: Vec<_> = all.filter(|subscriber| !subscriber.is_parked()).collect();
        let at_end = pinned
            .iter()
            .filter(|subscriber| subscriber.position == end)
            .count();
        assert_eq!(pinned.len(), self.pinned as usize, "pinned cursors");
        assert_eq!(at_end, self.at_end as usize, "cursors at the end");
        let owed: usize = self.owed.values().map(Owed::size).sum();
        assert_eq!(owed, self.owed_size, "bytes owed");
        assert!(
            owed + self.latest.size() <= self.config.owed.used(),
            "private copies are counted"
        );
        self.held.check(
            pinned
                .iter()
                .map(|subscriber| (subscriber.chunk, subscriber.position)),
        );
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.latest.forget(&self.config.owed);
        self.repay(self.owed_size);
    }
}
