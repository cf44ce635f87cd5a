//! Stalled subscribers: found by their progress, moved out of the log, and back in when they drain.
//!
//! ```text
//!            window over, need not drained              owed frame drained
//!  reading ─────────────────────────────▶ parked ─────────────────────────▶ reading, at the end
//!     │  (send under way: Cancel first)     │ holds nothing of the log
//!     └── Policy::Disconnect ──▶ dropped    └ is owed (the rest of) one frame, a private copy
//! ```
//!
//! A parked cursor is counted nowhere, so the log goes on without it, however long it stays. What it is
//! owed also finds out whether it drains again: without something to send nobody would ever know. The
//! frame it was in is always finished first. All copies of a worker stay within one budget; who
//! does not fit in is disconnected.
//!
//! Every publication which passes a parked subscriber is counted: by offsets when it comes back, less its
//! own. Only [`Feed::sweep`] parks and brings back, so it tells of everything that is dropped.

use crate::Origin;
use crate::append::Offset;
use crate::budget::Budget;
use crate::feed::{Feed, Policy};
use crate::held::{Held, Place};
use crate::pace::stamp;
use crate::subscriber::{Flags, SubscriberKey};
use hioload_base::Time;
use hioload_mem::Segment;

/// A run of publications that a subscriber did not get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The first one.
    pub from: Offset,
    /// The last one.
    pub to: Offset,
    /// How many of them it was entitled to: its own do not count. 0: nothing was missed.
    pub publications: u64,
}

/// What a sweep did about a subscriber, or wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It is stalled with a send under way: cancel that, report it with `sent`; the next sweep
    /// judges, and until then it gets nothing.
    Cancel,
    /// It is to be disconnected (WebSocket: 1013). It gets no more of the log but the rest of the
    /// frame it is in.
    Disconnect {
        /// Publications it will not get.
        publications: u64,
        /// It does not even get the rest of the frame it is in, for which there was no room: whatever was sent
        /// to it would be taken for a part of that.
        is_cut: bool,
    },
    /// It was moved over these and is told, if there were any. More may pass until it drains again.
    /// It may have something to read now: the frame it is owed.
    Skipped(Gap),
    /// The same, and it gets the latest publication before anything newer.
    Latest(Gap),
    /// It drains again and goes on, after these had passed. It may have something to read now.
    Resumed(Gap),
}

/// What a sweep found out about one subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stalled {
    /// The subscriber.
    pub key: SubscriberKey,
    /// The caller's name for it.
    pub user: u64,
    /// What was done, or is to be done.
    pub action: Action,
}

/// What a stalled subscriber has to get before anything else.
#[derive(Debug)]
pub(crate) struct Owed {
    /// A private copy; `None` once it is drained.
    pub(crate) rest: Option<Segment>,
    /// Bytes of its memory.
    size: usize,
    /// Nothing of the frame has been sent.
    is_whole: bool,
    /// The first publication which is neither given nor counted as dropped.
    from: Offset,
    /// Own publications since it was parked.
    pub(crate) own: u64,
}

impl Owed {
    pub(crate) fn size(&self) -> usize {
        self.rest.as_ref().map_or(0, |_| self.size)
    }

    pub(crate) fn to_boundary(&self) -> usize {
        match &self.rest {
            Some(rest) if !self.is_whole => rest.len(),
            _ => 0,
        }
    }
}

/// The latest publication, kept when the log lets it go while parked subscribers may want it. Where there is
/// no room for it, it counts as dropped for them.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    bytes: Vec<u8>,
    origin: Origin,
    offset: Offset,
}

impl Latest {
    pub(crate) fn keep(&mut self, held: &Held, budget: &Budget) {
        let Some((bytes, origin)) = last_frame(held) else {
            return;
        };
        if self.bytes.capacity() < bytes.len() {
            self.forget(budget);
            if !budget.has_room(bytes.len()) {
                return;
            }
            self.bytes = Vec::with_capacity(bytes.len());
            budget.take(self.bytes.capacity());
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.origin = origin;
        self.offset = held.offset();
    }

    pub(crate) fn forget(&mut self, budget: &Budget) {
        budget.give_back(self.size());
        self.bytes = Vec::new();
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity()
    }
}

fn last_frame(held: &Held) -> Option<(&[u8], Origin)> {
    let chunk = held.chunks.back()?;
    let index = chunk.records().count() - 1;
    let from = (chunk.frame_start(index) - chunk.start) as usize;
    Some((&chunk.frames[from..], chunk.records().origin(index)))
}

/// Where a cursor that has something to read stands.
pub(crate) struct Standing {
    position: u64,
    frame_end: u64,
    /// Index of the chunk.
    chunk: usize,
    pub(crate) offset: Offset,
    pub(crate) is_partial: bool,
    has_owed: bool,
}

impl Feed {
    /// Judges up to `limit` subscribers, going on where the last sweep stopped, and appends what it
    /// found to `out`. Returns how many slots it looked at: 0 when nobody lags. Call with a timer, so that each
    /// subscriber is seen a few times a window.
    pub fn sweep(&mut self, now: Time, limit: usize, out: &mut Vec<Stalled>) -> usize {
        let (mut seen, slots) = (0, self.slots);
        while seen < limit.min(slots as usize) && (self.at_end < self.pinned || self.parked > 0) {
            if self.sweep_index >= slots {
                self.sweep_index = 0;
            }
            let key = self.subscribers.key_at(self.sweep_index).map(SubscriberKey);
            self.sweep_index += 1;
            seen += 1;
            if let Some(key) = key
                && let Some(user) = self.user(key)
                && let Some(action) = self.judge(key, now)
            {
                out.push(Stalled { key, user, action });
            }
        }
        seen
    }

    fn judge(&mut self, key: SubscriberKey, now: Time) -> Option<Action> {
        let flags = self.subscribers.get(key.0)?.flags;
        if flags.has(Flags::DROPPED) {
            return None;
        }
        if flags.has(Flags::PARKED) {
            let is_drained = !flags.has(Flags::OWED.or(Flags::IN_FLIGHT));
            return if is_drained { self.resume(key) } else { None };
        }
        if !flags.has(Flags::IN_FLIGHT) {
            self.pass_own(key);
        }
        let pace = self.pace;
        let end = self.held.end();
        let subscriber = self.subscribers.get_mut(key.0)?;
        let lag = end - subscriber.position;
        if lag == 0 {
            return None;
        }
        if !subscriber.flags.has(Flags::WINDOW) || subscriber.need == 0 {
            subscriber.start_window(&pace, lag, now);
            return None;
        }
        if !pace.is_over(subscriber.since, stamp(now)) {
            return None;
        }
        if !subscriber.flags.has(Flags::IN_FLIGHT) {
            return self.park(key);
        }
        let is_told = subscriber.flags.has(Flags::CANCEL);
        subscriber.flags.set(Flags::CANCEL);
        (!is_told).then_some(Action::Cancel)
    }

    pub(crate) fn standing(&mut self, key: SubscriberKey) -> Option<Standing> {
        let subscriber = self.subscribers.get_mut(key.0)?;
        subscriber.chunk = self.held.follow(subscriber.chunk, subscriber.position);
        let Place::Chunk(index) = self.held.place(subscriber.chunk) else {
            return None;
        };
        let chunk = &self.held.chunks[index];
        let record = chunk.record_at(subscriber.position);
        Some(Standing {
            position: subscriber.position,
            frame_end: chunk.frame_end(record),
            chunk: index,
            offset: chunk.first + record as Offset,
            is_partial: chunk.frame_start(record) < subscriber.position,
            has_owed: subscriber.flags.has(Flags::OWED),
        })
    }

    /// Takes a stalled cursor out of the log.
    fn park(&mut self, key: SubscriberKey) -> Option<Action> {
        let at = self.standing(key)?;
        let own = self.origin(key);
        let last = self.held.offset();
        let mut policy = self.config.policy;
        // What it is owed, and the first publication it does not get.
        let (mut rest, mut from) = self.rest_for(&at, policy, own);
        let mut is_cut = false;
        if rest.as_ref().is_some_and(|rest| !self.can_owe(rest.len())) {
            (rest, from) = (None, at.offset);
            policy = Policy::Disconnect;
            is_cut = at.is_partial;
        }
        let to = match policy {
            Policy::Latest if self.is_latest_foreign(own) => last - 1,
            _ => last,
        };
        let gap = self.drop_range(key, from, to);
        let has_probe = rest.is_some() || at.has_owed;
        // The latest publication is either in `rest` or still to be given.
        let next = if at.is_partial || at.has_owed || to == last {
            to.max(from - 1) + 1
        } else {
            last + 1
        };
        self.unpin(key, policy == Policy::Disconnect, has_probe);
        if let Some(rest) = rest {
            self.owe(key, Some(rest), !at.is_partial, next);
        } else if at.has_owed
            && let Some(owed) = self.owed.get_mut(&key.index())
        {
            (owed.from, owed.own) = (next, 0);
        }
        self.let_go();
        if policy == Policy::Disconnect {
            self.stats.dropped_subscribers += 1;
            return Some(Action::Disconnect {
                publications: gap.publications,
                is_cut,
            });
        }
        self.stats.skips += 1;
        Some(if policy == Policy::Skip {
            Action::Skipped(gap)
        } else {
            Action::Latest(gap)
        })
    }

    /// A copy of what a cursor which is to be parked has to get first, and the first publication
    /// after it.
    fn rest_for(&self, at: &Standing, policy: Policy, own: Origin) -> (Option<Segment>, Offset) {
        if at.has_owed {
            return (None, at.offset);
        }
        let frame = || {
            let bytes = self.held.chunks[at.chunk].slice(at.position, at.frame_end);
            Some(Segment::copy_from(&bytes))
        };
        match policy {
            _ if at.is_partial => (frame(), at.offset + 1),
            Policy::Disconnect => (None, at.offset),
            Policy::Skip => (frame(), at.offset + 1),
            Policy::Latest => {
                let latest = last_frame(&self.held).filter(|(_, origin)| *origin != own);
                (
                    latest.map(|(bytes, _)| Segment::copy_from(bytes)),
                    at.offset,
                )
            }
        }
    }

    fn is_latest_foreign(&self, own: Origin) -> bool {
        self.latest_frame().is_some_and(|(_, origin)| origin != own)
    }

    fn latest_frame(&self) -> Option<(&[u8], Origin)> {
        last_frame(&self.held).or_else(|| {
            let latest = &self.latest;
            (latest.offset == self.held.offset() && !latest.bytes.is_empty())
                .then_some((latest.bytes.as_slice(), latest.origin))
        })
    }

    /// Takes the cursor out of `held`. With nothing to find out by whether it drains, it starts again at
    /// the end instead of being parked.
    fn unpin(&mut self, key: SubscriberKey, is_dropped: bool, has_probe: bool) {
        let end = self.held.end();
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return;
        };
        subscriber.end_window();
        subscriber.position = end;
        self.held.leave(subscriber.chunk);
        if !is_dropped && !has_probe {
            subscriber.chunk = self.held.enter_at_end();
            self.at_end += 1;
            return;
        }
        subscriber.flags.set(Flags::PARKED);
        self.pinned -= 1;
        if is_dropped {
            subscriber.flags.set(Flags::DROPPED);
        } else {
            self.parked += 1;
        }
    }

    /// Brings a parked subscriber back which has drained what it was owed.
    fn resume(&mut self, key: SubscriberKey) -> Option<Action> {
        let own = self.origin(key);
        let owed = self.owed.remove(&key.index())?;
        debug_assert_eq!(owed.size(), 0, "it is drained");
        let last = self.held.offset();
        let latest = match self.config.policy {
            Policy::Latest if last >= owed.from => self
                .latest_frame()
                .filter(|(bytes, origin)| *origin != own && self.can_owe(bytes.len()))
                .map(|(bytes, _)| Segment::copy_from(bytes)),
            _ => None,
        };
        let to = if latest.is_some() { last - 1 } else { last };
        let gap = self.count_gap(key, owed.from, to, owed.own);
        self.unpark();
        let subscriber = self.subscribers.get_mut(key.0)?;
        subscriber.flags.clear(Flags::PARKED);
        subscriber.position = self.held.end();
        subscriber.chunk = self.held.enter_at_end();
        self.pinned += 1;
        self.at_end += 1;
        if latest.is_some() {
            self.owe(key, latest, true, last + 1);
        }
        self.let_go();
        Some(Action::Resumed(gap))
    }

    fn can_owe(&self, size: usize) -> bool {
        self.config.owed.has_room(size)
    }

    fn owe(&mut self, key: SubscriberKey, rest: Option<Segment>, is_whole: bool, from: Offset) {
        let owed = Owed {
            size: rest.as_ref().map_or(0, |rest| rest.len()),
            rest,
            is_whole,
            from,
            own: 0,
        };
        self.owed_size += owed.size();
        self.config.owed.take(owed.size());
        self.owed.insert(key.index(), owed);
        if let Some(subscriber) = self.subscribers.get_mut(key.0) {
            subscriber.flags.set(Flags::OWED);
        }
    }

    /// Takes sent bytes off what is owed. How many it was.
    pub(crate) fn pay(&mut self, key: SubscriberKey, bytes: usize) -> usize {
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return 0;
        };
        if bytes == 0 || !subscriber.flags.has(Flags::OWED) {
            return 0;
        }
        let Some(owed) = self.owed.get_mut(&key.index()) else {
            return 0;
        };
        let Some(rest) = &mut owed.rest else { return 0 };
        let paid = bytes.min(rest.len());
        rest.advance(paid);
        owed.is_whole = false;
        if rest.is_empty() {
            let size = owed.size;
            owed.rest = None;
            subscriber.flags.clear(Flags::OWED);
            if !subscriber.is_parked() {
                self.owed.remove(&key.index());
            }
            self.repay(size);
        }
        paid
    }

    /// Counts publications that are still held as dropped.
    fn drop_range(&mut self, key: SubscriberKey, from: Offset, to: Offset) -> Gap {
        let own = self.own_between(key, from, to);
        self.count_gap(key, from, to, own)
    }

    fn count_gap(&mut self, key: SubscriberKey, from: Offset, to: Offset, own: u64) -> Gap {
        let publications = (to + 1).saturating_sub(from).saturating_sub(own);
        self.stats.dropped_publications += publications;
        if let Some(subscriber) = self.subscribers.get_mut(key.0) {
            subscriber.count_dropped(publications);
        }
        Gap {
            from,
            to,
            publications,
        }
    }

    fn own_between(&self, key: SubscriberKey, from: Offset, to: Offset) -> u64 {
        let Some(subscriber) = self.subscribers.get(key.0) else {
            return 0;
        };
        if subscriber.own_until <= subscriber.position {
            return 0;
        }
        let own = self.origin(key);
        let mut count = 0;
        for chunk in &self.held.chunks {
            let records = chunk.records();
            let first = from
                .saturating_sub(chunk.first)
                .min(records.count() as Offset) as usize;
            let end = (to + 1)
                .saturating_sub(chunk.first)
                .min(records.count() as Offset) as usize;
            count += (first..end)
                .filter(|index| records.origin(*index) == own)
                .count() as u64;
        }
        count
    }
}
