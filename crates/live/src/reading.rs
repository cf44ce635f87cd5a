//! Reading from a feed: who has something to read, what comes next, what was taken of it.
//!
//! Own publications are passed over here. A subscriber below whose `own_until` mark nothing is left to pass
//! reads chunk by chunk without looking at records. Otherwise records are looked at one by one: those of
//! its own that it stands at are passed for good, so each is paid for once; between others it reads
//! runs, and `sent` passes what lies between the runs it took.

use crate::feed::Feed;
use crate::held::{Held, Place};
use crate::pace::stamp;
use crate::subscriber::{Flags, Subscriber, SubscriberKey};
use crate::sweep::Owed;
use hioload_base::Time;
use hioload_mem::Segment;

/// Records `next` looks at, at most, once it has found something for a subscriber that publishes.
const RECORDS_MAX: usize = 1024;

/// A walk over the subscribers which have something to read. Begins at the first with `default()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    index: u32,
}

impl Feed {
    /// Segments [`next`](Feed::next) gives at most: what a vectored send takes comfortably.
    pub const SEGMENTS_MAX: usize = 16;

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
            let is_busy = flags.has(Flags::IN_FLIGHT.or(Flags::CANCEL));
            if (has_log || flags.has(Flags::OWED)) && !is_busy {
                return Some((SubscriberKey(key), subscriber.user));
            }
        }
        None
    }

    /// Gives the bytes at the cursor, straight from the log: at most `bytes_max`, as few segments
    /// as they lie in, at most [`Feed::SEGMENTS_MAX`]. Returns their number; 0: there is nothing to read. The cursor
    /// moves over own publications at most; asked again before [`sent`](Feed::sent), it gives the same.
    /// Between [`Action::Cancel`](crate::Action::Cancel) and the sweep after it there is nothing.
    pub fn next(&mut self, key: SubscriberKey, bytes_max: usize, out: &mut Vec<Segment>) -> usize {
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return 0;
        };
        let (mut given, mut segments_max) = (0, Feed::SEGMENTS_MAX);
        if subscriber.flags.has(Flags::CANCEL) {
            return 0;
        }
        if subscriber.flags.has(Flags::OWED)
            && let Some(rest) = self
                .owed
                .get(&key.index())
                .and_then(|owed| owed.rest.as_ref())
        {
            given = rest.len().min(bytes_max);
            if given > 0 {
                out.push(rest.slice(0..given));
                segments_max -= 1;
            }
        }
        let left = bytes_max - given;
        if left > 0 && subscriber.position < self.held.end() && !subscriber.is_parked() {
            given += if subscriber.own_until > subscriber.position {
                self.next_of_others(key, left, segments_max, out)
            } else {
                Feed::next_of_all(&mut self.held, subscriber, left, segments_max, out)
            };
        }
        if given > 0
            && let Some(subscriber) = self.subscribers.get_mut(key.0)
        {
            subscriber.flags.set(Flags::IN_FLIGHT);
        }
        given
    }

    /// Gives the rest of the frame the cursor is in, to one who leaves: also between
    /// [`Action::Cancel`](crate::Action::Cancel) and the sweep after it. Returns its bytes; 0: it is at a
    /// boundary.
    pub fn rest(&mut self, key: SubscriberKey, out: &mut Vec<Segment>) -> usize {
        if let Some(subscriber) = self.subscribers.get_mut(key.0) {
            subscriber.flags.clear(Flags::CANCEL);
        }
        match self.to_boundary(key) {
            0 => 0,
            size => self.next(key, size, out),
        }
    }

    fn next_of_all(
        held: &mut Held,
        subscriber: &mut Subscriber,
        bytes_max: usize,
        segments_max: usize,
        out: &mut Vec<Segment>,
    ) -> usize {
        subscriber.chunk = held.follow(subscriber.chunk, subscriber.position);
        held.trim();
        let Place::Chunk(first) = held.place(subscriber.chunk) else {
            return 0;
        };
        let mut position = subscriber.position;
        let mut left = bytes_max as u64;
        for chunk in held.chunks.range(first..).take(segments_max) {
            let to = chunk.end().min(position.saturating_add(left));
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
        segments_max: usize,
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
                if left == 0 || segments == segments_max || records_left == 0 {
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
                let to = position.min(from.saturating_add(left));
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
            self.move_to(key, position, 0);
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
        if bytes == 0 || subscriber.is_parked() {
            return;
        }
        let unpaid = (bytes - paid) as u64;
        let position = if subscriber.own_until > subscriber.position {
            self.position_after(key, unpaid)
        } else {
            subscriber.position + unpaid
        };
        debug_assert!(position <= self.held.end(), "more was sent than there is");
        self.move_to(key, position.min(self.held.end()), paid);
        self.judge_progress(key, now);
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
            if left == 0 {
                break;
            }
            let mut index = chunk.record_at(position);
            while position < chunk.end() && left > 0 {
                let is_past_own = position >= subscriber.own_until;
                let end = if is_past_own {
                    chunk.end()
                } else {
                    chunk.frame_end(index)
                };
                if !is_past_own && chunk.records().origin(index) == own {
                    position = end;
                } else {
                    let to = end.min(position.saturating_add(left));
                    left -= to - position;
                    position = to;
                }
                index += usize::from(position == end);
            }
        }
        position
    }

    /// Moves a cursor forward; `paid` bytes were drained beside the log.
    fn move_to(&mut self, key: SubscriberKey, position: u64, paid: usize) {
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return;
        };
        let moved = position - subscriber.position;
        let drained = u32::try_from(moved + paid as u64).unwrap_or(u32::MAX);
        subscriber.need = subscriber.need.saturating_sub(drained);
        if moved == 0 {
            return;
        }
        subscriber.position = position;
        subscriber.chunk = self.held.follow(subscriber.chunk, position);
        if position == self.held.end() {
            subscriber.end_window();
            self.at_end += 1;
        }
        self.let_go();
    }

    /// After a subscriber has drained something: begins its next window when this one is done, and
    /// notes whether somebody who keeps the pace lags far.
    fn judge_progress(&mut self, key: SubscriberKey, now: Time) {
        let Some(subscriber) = self.subscribers.get_mut(key.0) else {
            return;
        };
        let lag = self.held.end() - subscriber.position;
        if lag == 0 {
            return;
        }
        if subscriber.need == 0 || !subscriber.flags.has(Flags::WINDOW) {
            subscriber.start_window(&self.pace, lag, now);
        }
        let half = self.config.budget / 2;
        if self.held.weight() > half
            && self.held.weight_of(lag) > half
            && self
                .pace
                .is_kept(subscriber.need, subscriber.since, stamp(now))
        {
            self.pressed_at = Some(now);
        }
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
}
