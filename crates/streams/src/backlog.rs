//! Writes from elsewhere that wait for room in their stream: in order, bounded twice.
//!
//! ```text
//!  Command::Write ─▶ nothing waits and the stream has room ─▶ the stream
//!                └─▶ waits here ─▶ taken by the stream when there is room
//!                └─▶ refused: the sender is told                    (bytes of the stream, or of the worker)
//! ```
//!
//! The bound of a stream is a mark: one write of whatever size may wait below it, or a stream could never be sent a
//! message that is larger. The bound of the worker is a wall. What must not get lost goes past both, and is bounded by
//! whoever asks for it.
//!
//! Invariant: what waits for a stream leaves in the order it came, and nothing overtakes it: whoever writes
//! from elsewhere asks [`Backlog::is_waiting`] first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::{StreamUid, Ticket, limits};

/// Limits of a worker's backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogConfig {
    /// Once so many bytes wait for one stream, no more do.
    pub stream_size_max: usize,
    /// Bytes that may wait on the worker.
    pub size_max: usize,
}

impl Default for BacklogConfig {
    fn default() -> BacklogConfig {
        BacklogConfig {
            stream_size_max: limits::FOREIGN_STREAM.default as usize,
            size_max: limits::FOREIGN_WORKER.default as usize,
        }
    }
}

/// As many bytes wait as may; here is the write back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogFull<P>(pub P);

/// A write that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign<P> {
    /// Who sent it: its worker; `None` for another thread.
    pub from: Option<usize>,
    /// For the answer.
    pub ticket: Ticket,
    /// The message.
    pub payload: P,
    /// Bytes it counts for.
    pub size: usize,
}

#[derive(Debug)]
struct Queue<P> {
    writes: VecDeque<Foreign<P>>,
    size: usize,
}

/// A UID is its own hash, once its bits are mixed: nobody outside chooses UIDs.
#[derive(Default)]
struct UidHasher(u64);

impl Hasher for UidHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, bits: u64) {
        self.0 = (self.0 ^ bits)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_right(29);
    }
}

/// The writes that wait on one worker.
#[derive(Debug)]
pub struct Backlog<P> {
    config: BacklogConfig,
    queues: HashMap<StreamUid, Queue<P>, BuildHasherDefault<UidHasher>>,
    size: usize,
    /// An empty queue to be used again.
    spare: Option<VecDeque<Foreign<P>>>,
}

impl<P> Backlog<P> {
    /// What a write counts for beside its bytes.
    pub const WRITE_COST: usize = size_of::<Foreign<P>>();

    /// An empty one.
    #[must_use]
    pub fn new(config: BacklogConfig) -> Backlog<P> {
        Backlog {
            config,
            queues: HashMap::default(),
            size: 0,
            spare: None,
        }
    }

    /// New limits; what waits already goes on waiting.
    pub fn set_config(&mut self, config: BacklogConfig) {
        self.config = config;
    }

    /// Something waits for this stream: what comes now has to wait, too.
    #[inline]
    #[must_use]
    pub fn is_waiting(&self, uid: StreamUid) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(&uid)
    }

    /// Lets a write wait. A write costs at least a little, so that empty ones are bounded, too.
    ///
    /// # Errors
    /// [`BacklogFull`] with the write.
    pub fn push(
        &mut self,
        uid: StreamUid,
        write: Foreign<P>,
    ) -> Result<(), BacklogFull<Foreign<P>>> {
        let size = write.size + Self::WRITE_COST;
        let waiting = self.size_of(uid);
        if waiting >= self.config.stream_size_max || self.size + size > self.config.size_max {
            return Err(BacklogFull(write));
        }
        self.push_past(uid, write);
        Ok(())
    }

    /// Lets a write wait that must not be refused, however much waits. It counts as any other; whoever calls bounds
    /// how many there are.
    pub fn push_past(&mut self, uid: StreamUid, mut write: Foreign<P>) {
        write.size += Self::WRITE_COST;
        let spare = &mut self.spare;
        let queue = self.queues.entry(uid).or_insert_with(|| Queue {
            writes: spare.take().unwrap_or_default(),
            size: 0,
        });
        queue.size += write.size;
        self.size += write.size;
        queue.writes.push_back(write);
    }

    /// The write that has waited longest for this stream, to be looked at.
    #[must_use]
    pub fn front(&self, uid: StreamUid) -> Option<&Foreign<P>> {
        self.queues.get(&uid)?.writes.front()
    }

    /// Takes the write that has waited longest for this stream.
    pub fn pop(&mut self, uid: StreamUid) -> Option<Foreign<P>> {
        let queue = self.queues.get_mut(&uid)?;
        let write = queue.writes.pop_front()?;
        queue.size -= write.size;
        self.size -= write.size;
        if queue.writes.is_empty() {
            self.spare = self.queues.remove(&uid).map(|queue| queue.writes);
        }
        Some(write)
    }

    /// Bytes that wait for this stream.
    #[must_use]
    pub fn size_of(&self, uid: StreamUid) -> usize {
        self.queues.get(&uid).map_or(0, |queue| queue.size)
    }

    /// Bytes that wait.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Streams that something waits for.
    pub fn streams(&self) -> impl Iterator<Item = StreamUid> + '_ {
        self.queues.keys().copied()
    }
}

impl<P> Default for Backlog<P> {
    fn default() -> Backlog<P> {
        Backlog::new(BacklogConfig::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: u32) -> StreamUid {
        StreamUid::new(0, number, 0, 1).expect("in range")
    }

    fn write(payload: u32, size: usize) -> Foreign<u32> {
        Foreign {
            from: None,
            ticket: Ticket::NONE,
            payload,
            size,
        }
    }

    const COST: usize = Backlog::<u32>::WRITE_COST;

    fn backlog(stream_size_max: usize, size_max: usize) -> Backlog<u32> {
        Backlog::new(BacklogConfig {
            stream_size_max,
            size_max,
        })
    }

    #[test]
    fn a_stream_is_held_to_its_bytes() {
        for max in [1, 100] {
            let mut backlog = backlog(max + COST, usize::MAX);
            assert!(backlog.push(uid(1), write(1, max - 1)).is_ok(), "{max}");
            assert!(
                backlog.push(uid(1), write(2, 10_000)).is_ok(),
                "below the mark"
            );
            let refused = backlog.push(uid(1), write(3, 0)).expect_err("full");
            assert_eq!(refused.0.payload, 3);
            assert!(
                backlog.push(uid(2), write(4, max)).is_ok(),
                "another stream has its own"
            );
            assert!(backlog.push(uid(2), write(5, 0)).is_err(), "at the mark");
        }
        assert!(
            backlog(0, usize::MAX).push(uid(1), write(1, 0)).is_err(),
            "nothing is free"
        );
    }

    #[test]
    fn a_worker_is_held_to_its_bytes() {
        let mut backlog = backlog(usize::MAX, 2 * (COST + 10));
        assert!(backlog.push(uid(1), write(1, 10)).is_ok());
        assert!(backlog.push(uid(2), write(2, 10)).is_ok());
        assert!(backlog.push(uid(3), write(3, 0)).is_err());
        assert_eq!(backlog.size(), 2 * (COST + 10));
        assert!(backlog.pop(uid(1)).is_some());
        assert!(backlog.push(uid(3), write(3, 0)).is_ok());
    }

    #[test]
    fn what_goes_past_the_bounds_waits_in_its_turn_and_counts() {
        let mut backlog = backlog(1, COST);
        assert!(backlog.push(uid(1), write(1, 0)).is_ok());
        backlog.push_past(uid(1), write(2, 0));
        assert_eq!(
            (backlog.size(), backlog.size_of(uid(1))),
            (2 * COST, 2 * COST)
        );
        assert!(backlog.push(uid(2), write(3, 0)).is_err());
        let order = [1, 2].map(|_| backlog.pop(uid(1)).map(|write| write.payload));
        assert_eq!(order, [Some(1), Some(2)]);
        assert_eq!((backlog.size(), backlog.is_empty()), (0, true));
    }

    #[test]
    fn writes_leave_in_the_order_they_came() {
        let mut backlog = Backlog::default();
        for number in 0..100 {
            assert!(backlog.push(uid(number % 3), write(number, 1)).is_ok());
        }
        for stream in 0..3 {
            assert!(backlog.is_waiting(uid(stream)));
            let first = backlog.front(uid(stream)).map(|write| write.payload);
            let order: Vec<u32> = std::iter::from_fn(|| backlog.pop(uid(stream)))
                .map(|write| write.payload)
                .collect();
            assert_eq!(first, order.first().copied());
            assert!(order.iter().is_sorted() && order.iter().all(|number| number % 3 == stream));
            assert!(!backlog.is_waiting(uid(stream)));
        }
        assert_eq!((backlog.size(), backlog.is_empty()), (0, true));
    }
}
