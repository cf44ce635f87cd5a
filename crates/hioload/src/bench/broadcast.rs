//! Broadcast: one connection publishes, the others receive, and each of them proves what it got.
//!
//! ```text
//!  link 0 … N-1: subscribers (the last ones never read, when some are to be stalled)
//!  link N:       the publisher
//! ```
//!
//! A server may take a moment after the handshake before a client gets publications. So the
//! publisher probes until every subscriber has seen one; from its first publication on, a
//! subscriber is owed every later one, and [`Ledger`] says which it did not get.

use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_mem::{BufferPool, PoolConfig};
use hioload_ws::Kind;

use super::BenchError;
use super::engine::{Piece, Work};
use super::frames::{Publications, mask_key};
use super::io::Io;
use super::ledger::Ledger;
use super::options::Options;
use super::pace::Pace;
use super::stamp::{PUBLISHER_MAX, STAMP_SIZE, Stamp};
use super::tally::Tally;

/// Between two probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// Bytes of publications sent in one go.
const BATCH_SIZE: usize = 64 * 1024;

/// One subscriber's view.
#[derive(Default)]
struct Subscriber {
    ledger: Ledger,
    /// The stamp of a message that comes in pieces.
    head: [u8; STAMP_SIZE],
    is_damaged: bool,
}

/// What the publisher does at the time.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Nothing: not all links stand, or the run is over.
    Silent,
    /// One now and then until everybody has seen one; the next at this time.
    Probing(Time),
    /// So many a second.
    Paced(Pace),
    /// As fast as the socket takes it.
    FlatOut,
}

/// The broadcast load.
pub(super) struct Broadcast {
    subscribers: Vec<Subscriber>,
    stalled_count: usize,
    publications: Publications,
    pool: BufferPool,
    publisher: u32,
    /// The number of the next publication.
    sequence: u64,
    size: usize,
    rate: Option<f64>,
    mode: Mode,
    /// Subscribers that have not seen a publication yet.
    unseen_count: usize,
}

/// What the ledgers add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
}

impl Broadcast {
    pub(super) fn new(options: &Options, random: &mut Prng) -> Result<Self, BenchError> {
        let kind = if options.text {
            Kind::Text
        } else {
            Kind::Binary
        };
        let publications = Publications::new(kind, options.message_size(), mask_key(random));
        let frame_size = publications.frame_size();
        // Two batches, one in flight; a frame larger than a batch has one to itself.
        let config = PoolConfig::with_budget(16 << 20);
        let pool = BufferPool::new(config)
            .ok()
            .filter(|pool| pool.size_max() >= frame_size)
            .ok_or_else(|| {
                BenchError::usage(
                    format!("--size {}", options.message_size()),
                    "a publication is built in one buffer of at most 1 MiB",
                    "Use a --size below that",
                )
            })?;
        let stalled_count = options.stalled_count();
        Ok(Self {
            subscribers: (0..options.connections)
                .map(|_| Subscriber::default())
                .collect(),
            stalled_count,
            publications,
            pool,
            publisher: random.below(u64::from(PUBLISHER_MAX)) as u32,
            sequence: 0,
            size: options.message_size(),
            rate: options.rate,
            mode: Mode::Silent,
            unseen_count: options.connections - stalled_count,
        })
    }

    /// Subscribers that read.
    fn healthy_count(&self) -> usize {
        self.subscribers.len() - self.stalled_count
    }

    /// What did not come as it should, over the whole run and all that read. A publication that a
    /// subscriber would have got had its connection not been lost counts as lost.
    pub(super) fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        for Subscriber { ledger, .. } in &self.subscribers[..self.healthy_count()] {
            losses.lost += ledger.lost() + ledger.missing_until(self.sequence);
            losses.duplicated += ledger.duplicated();
            losses.reordered += ledger.reordered();
        }
        losses
    }

    fn publisher_link(&self) -> usize {
        self.subscribers.len()
    }

    fn is_free(&self, io: &Io) -> bool {
        io.is_open(self.publisher_link()) && !io.is_sending(self.publisher_link())
    }

    /// Sends the publications whose times `due` gives, as many as fit a batch.
    fn publish(&mut self, io: &mut Io, tally: &mut Tally, mut due: impl FnMut() -> Option<Time>) {
        let frame_size = self.publications.frame_size();
        let Some(mut buffer) = self.pool.take(BATCH_SIZE.max(frame_size)) else {
            return;
        };
        while buffer.room() >= frame_size
            && let Some(time) = due()
        {
            let stamp = Stamp {
                sequence: self.sequence,
                time_ns: time.as_nanos(),
                publisher: self.publisher,
            };
            self.publications.write(&mut buffer, stamp);
            self.sequence += 1;
            tally.publications += u64::from(tally.is_open);
        }
        if !buffer.is_empty() {
            io.send(self.publisher_link(), buffer.seal());
        }
    }

    /// Sends what is to be sent now.
    fn pump(&mut self, io: &mut Io, tally: &mut Tally) {
        let now = io.now();
        if !self.is_free(io) {
            return;
        }
        match self.mode {
            Mode::Silent => {}
            Mode::Probing(next) if now < next => {}
            Mode::Probing(_) => {
                let mut probe = Some(now);
                self.publish(io, tally, || probe.take());
                self.mode = Mode::Probing(now + PROBE_INTERVAL);
            }
            Mode::Paced(mut pace) => {
                self.publish(io, tally, || pace.take(now));
                self.mode = Mode::Paced(pace);
            }
            Mode::FlatOut => self.publish(io, tally, || Some(now)),
        }
    }

    fn take(&mut self, io: &Io, tally: &mut Tally, link: usize, stamp: Stamp) {
        let ledger = &mut self.subscribers[link].ledger;
        if stamp.publisher != self.publisher || stamp.sequence >= self.sequence {
            tally.unexpected += 1;
            return;
        }
        if !ledger.is_begun() {
            self.unseen_count -= 1;
        }
        ledger.take(stamp.sequence);
        tally.message(io.now().as_nanos().saturating_sub(stamp.time_ns));
    }
}

impl Work for Broadcast {
    /// A publisher that goes as fast as it is let fills whatever the kernel gives it, and so does a load
    /// that is slower than the server: latency would be the time that megabytes lie there, and one core that reads
    /// for a thousand gets back to each of them after seconds only.
    const KERNEL_BUFFER: Option<usize> = Some(64 << 10);

    fn start(&mut self, io: &mut Io) {
        for link in self.healthy_count()..self.subscribers.len() {
            io.pause(link);
        }
        self.mode = Mode::Probing(io.now());
    }

    fn is_ready(&self, _: &Io) -> bool {
        self.unseen_count == 0
    }

    #[inline]
    fn data(&mut self, io: &mut Io, tally: &mut Tally, link: usize, piece: Piece<'_>) {
        // The publisher may hear itself, and a stalled one is read at the end of the run only.
        if link >= self.healthy_count() {
            return;
        }
        let Piece {
            offset,
            payload,
            is_last,
        } = piece;
        if offset == 0
            && is_last
            && let Some((head, rest)) = payload.split_first_chunk()
        {
            if rest == self.publications.filler() {
                self.take(io, tally, link, Stamp::decode(head));
            } else {
                tally.corrupted += 1;
            }
            return;
        }
        let subscriber = &mut self.subscribers[link];
        let in_head = STAMP_SIZE.saturating_sub(offset).min(payload.len());
        let (head, rest) = payload.split_at(in_head);
        subscriber.head[STAMP_SIZE.min(offset)..][..in_head].copy_from_slice(head);
        let start = offset.max(STAMP_SIZE) - STAMP_SIZE;
        let expected = self.publications.filler().get(start..start + rest.len());
        subscriber.is_damaged |= expected != Some(rest);
        if is_last {
            let is_damaged = std::mem::take(&mut subscriber.is_damaged);
            if is_damaged || offset + payload.len() != self.size {
                tally.corrupted += 1;
            } else {
                let stamp = Stamp::decode(&subscriber.head);
                self.take(io, tally, link, stamp);
            }
        }
    }

    fn sent(&mut self, io: &mut Io, tally: &mut Tally, link: usize) {
        if link == self.publisher_link() {
            self.pump(io, tally);
        }
    }

    fn tick(&mut self, io: &mut Io, tally: &mut Tally) -> Option<Time> {
        if matches!(self.mode, Mode::Probing(_)) && self.unseen_count == 0 {
            self.mode = match self.rate {
                Some(rate) => Mode::Paced(Pace::new(io.now(), rate)),
                None => Mode::FlatOut,
            };
        }
        self.pump(io, tally);
        // While a send is in flight its end is what matters.
        match self.mode {
            _ if !self.is_free(io) => None,
            Mode::Probing(next) => Some(next),
            Mode::Paced(pace) => Some(pace.next()),
            Mode::Silent | Mode::FlatOut => None,
        }
    }

    fn stop(&mut self) {
        self.mode = Mode::Silent;
    }

    fn is_drained(&self, io: &Io) -> bool {
        let mut healthy = self.subscribers[..self.healthy_count()].iter().enumerate();
        self.is_free(io)
            && healthy.all(|(link, subscriber)| {
                subscriber.ledger.missing_until(self.sequence) == 0 || !io.is_open(link)
            })
    }
}
