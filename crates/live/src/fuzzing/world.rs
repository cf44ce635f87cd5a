//! One channel, up to three workers, mailboxes that deliver when the operations say so, and subscribers
//! that take what the operations let them.
//!
//! Checked at each step: every byte given against the model's queue, every gap against what it removes, who
//! is called stalled against what it drained, every count of the feeds, memory against the budget. Checked at the
//! end, when everybody alive has drained: nothing is pending, the log takes publications again although dead
//! readers remain, and when all is gone the pool has everything back.

use super::Bytes;
use super::model::{FakeFrames, Publication, Queue, encoded};
use crate::append::Offset;
use crate::{
    Action, Append, Ask, Attached, Budget, Class, Classes, Feed, FeedConfig, Gap, HistoryConfig,
    Owner, OwnerConfig, Policy, Progress, PublishError, Recovered, Scan, Since, Stalled, Start,
    SubscriberKey,
};
use hioload_base::Time;
use hioload_mem::{BufferPool, PoolConfig, Segment};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const CLASS_COUNT: usize = 2;
const SUBSCRIBER_COUNT_MAX: usize = 12;
const EPOCH: u64 = 7;

#[derive(Debug)]
enum ToWorker {
    /// With the subscriber it is for, if it asked for history.
    Attached(Attached, Option<u64>),
    Append(Append),
}

#[derive(Debug)]
enum ToOwner {
    /// With the subscriber it is for, if it wants history.
    Attach(Ask, Option<u64>),
    Detach(Class),
    Progress(Progress),
}

#[derive(Debug)]
struct Client {
    worker: usize,
    class: Class,
    /// `None` while its history is being fetched.
    key: Option<SubscriberKey>,
    queue: Queue,
    in_flight: Vec<Segment>,
    /// Never reads.
    is_dead: bool,
    /// The room wants it disconnected.
    is_dropped: bool,
}

#[derive(Debug, Default)]
struct Worker {
    feeds: [Option<Feed>; CLASS_COUNT],
    inbox: VecDeque<ToWorker>,
    outbox: VecDeque<ToOwner>,
}

/// How often each outcome was seen. A run of tests in which one never happened has not tested it.
#[derive(Debug)]
pub(super) struct Seen(pub(super) [(&'static str, u32); OUTCOMES.len()]);

const OUTCOMES: [&str; 15] = [
    "published",
    "too large",
    "log full",
    "tail",
    "complete recovery",
    "gap in recovery",
    "other epoch",
    "held by pressure",
    "own publication passed",
    "partial send",
    "cancel",
    "disconnect",
    "skip",
    "latest",
    "resume",
];

impl Default for Seen {
    fn default() -> Seen {
        Seen(OUTCOMES.map(|what| (what, 0)))
    }
}

impl Seen {
    pub(super) fn count(&mut self, what: &str) {
        let known = self.0.iter_mut().find(|(name, _)| *name == what);
        known.expect("a known outcome").1 += 1;
    }

    #[cfg(test)]
    pub(super) fn add(&mut self, other: &Seen) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            mine.1 += theirs.1;
        }
    }
}

pub(super) struct World {
    seen: Seen,
    pool: BufferPool,
    owner: Owner,
    shared: Budget,
    feed_config: FeedConfig,
    budget: usize,
    workers: Vec<Worker>,
    clients: BTreeMap<u64, Client>,
    next_user: u64,
    publications: Vec<Publication>,
    now: Time,
    stalled: Vec<Stalled>,
}

fn class(index: usize) -> Class {
    Class::new(index as u8).expect("two classes")
}

impl World {
    pub(super) fn new(bytes: &mut Bytes<'_>) -> World {
        let budget = [4, 8, 16, 64][bytes.below(4)] * 1024;
        let history = match bytes.below(4) {
            0 => HistoryConfig::OFF,
            1 => HistoryConfig {
                count: 3,
                size: budget,
                age: Duration::from_secs(60),
            },
            2 => HistoryConfig {
                count: 1000,
                size: budget / 4,
                age: Duration::from_secs(60),
            },
            _ => HistoryConfig {
                count: 1000,
                size: budget,
                age: Duration::from_millis(300),
            },
        };
        let shared = Budget::new(budget);
        let owner = Owner::new(OwnerConfig {
            budget,
            history,
            epoch: EPOCH,
            chunk_size: [1024, 4096, 65536][bytes.below(3)],
            kept: if bytes.below(2) == 0 {
                Classes::NONE
            } else {
                Classes::PLAIN
            },
            shared: shared.clone(),
        });
        let feed_config = FeedConfig {
            budget,
            policy: [Policy::Disconnect, Policy::Skip, Policy::Latest][bytes.below(3)],
            rate_min: [100, 1000, 100_000][bytes.below(3)],
            window: Duration::from_millis([20, 200][bytes.below(2)]),
            exclude_sender: bytes.below(4) > 0,
            subscribers_max: SUBSCRIBER_COUNT_MAX,
            owed: Budget::new([0, 600, 64 * 1024][bytes.below(3)]),
            ..FeedConfig::default()
        };
        World {
            seen: Seen::default(),
            pool: BufferPool::new(PoolConfig {
                budget: 8 << 20,
                ..PoolConfig::default()
            })
            .expect("8 MiB can be mapped"),
            owner,
            shared,
            feed_config,
            budget,
            workers: (0..=bytes.below(3)).map(|_| Worker::default()).collect(),
            clients: BTreeMap::new(),
            next_user: 1,
            publications: Vec::new(),
            now: Time::from_millis(1),
            stalled: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(16) {
            0..=2 => self.publish_some(bytes),
            3 => self.subscribe(bytes),
            4 => self.unsubscribe(bytes),
            5 | 6 => {
                for worker in 0..self.workers.len() {
                    self.flush(worker, usize::MAX);
                    self.deliver(worker, usize::MAX);
                }
            }
            7 => {
                let worker = bytes.below(self.workers.len());
                self.deliver(worker, 1 + bytes.below(4));
            }
            8 => {
                let worker = bytes.below(self.workers.len());
                self.flush(worker, 1 + bytes.below(4));
            }
            9 => self.hear(bytes.below(self.workers.len()), usize::MAX),
            10 => self.hear(bytes.below(self.workers.len()), 1),
            11 => self.give(bytes.below(self.workers.len()), 1 + bytes.next() * 16),
            12 => self.take_some(bytes),
            13 => self.now += Duration::from_millis(bytes.next() as u64),
            14 => {
                let worker = bytes.below(self.workers.len());
                self.sweep(worker, bytes.below(SUBSCRIBER_COUNT_MAX));
            }
            _ => self.owner.expire(self.now),
        }
    }

    fn now_ms(&self) -> u64 {
        self.now.as_millis()
    }

    // Publishing.

    fn publish_some(&mut self, bytes: &mut Bytes<'_>) {
        let publisher = self
            .clients
            .keys()
            .copied()
            .nth(bytes.below(SUBSCRIBER_COUNT_MAX));
        let size = match bytes.below(8) {
            0 => 0,
            1 => 700 + bytes.next() * 8,
            2 => self.budget / 2,
            _ => bytes.below(80),
        };
        for _ in 0..=bytes.below(4) {
            let _ = self.publish(publisher, size);
        }
    }

    fn publish(&mut self, publisher: Option<u64>, size: usize) -> Result<Offset, PublishError> {
        let origin = publisher
            .and_then(|user| self.clients.get(&user))
            .and_then(|client| {
                let feed =
                    self.workers[client.worker].feeds[client.class.number() as usize].as_ref()?;
                Some(feed.origin(client.key?))
            })
            .unwrap_or_default();
        let offset = self.publications.len() as Offset + 1;
        let payload: Vec<u8> = offset
            .to_be_bytes()
            .into_iter()
            .cycle()
            .take(size)
            .map(|byte| byte ^ 0x5a)
            .collect();
        let result = self
            .owner
            .publish(&self.pool, &mut FakeFrames, self.now, 1, &payload, origin);
        self.seen.count(match result {
            Ok(_) => "published",
            Err(PublishError::TooLarge { .. }) => "too large",
            Err(_) => "log full",
        });
        match result {
            Ok(given) => {
                assert_eq!(given, offset, "offsets have no holes");
                self.publications.push(Publication { payload, origin });
            }
            Err(PublishError::TooLarge { size, max }) => assert!(size > max || max == self.budget),
            Err(PublishError::LogFull) => {
                assert!(self.owner.is_held(), "a full log holds publishers");
            }
            Err(PublishError::BudgetSpent | PublishError::PoolEmpty) => {
                panic!("the pool and the worker have room for a full log")
            }
        }
        result
    }

    fn frame(publications: &[Publication], class: Class, offset: Offset) -> Vec<u8> {
        encoded(class, 1, &publications[offset as usize - 1].payload)
    }

    // Subscribing.

    fn subscribe(&mut self, bytes: &mut Bytes<'_>) {
        if self.clients.len() == SUBSCRIBER_COUNT_MAX {
            return;
        }
        let worker = bytes.below(self.workers.len());
        let class = class(bytes.below(CLASS_COUNT));
        let wish = bytes.next();
        let user = self.next_user;
        self.next_user += 1;
        let config = FeedConfig {
            worker,
            class,
            life: user,
            ..self.feed_config.clone()
        };
        let state = &mut self.workers[worker];
        let is_new = state.feeds[class.number() as usize].is_none();
        let feed = state.feeds[class.number() as usize].get_or_insert_with(|| Feed::new(config));
        let mut client = Client {
            worker,
            class,
            key: None,
            queue: Queue::new(),
            in_flight: Vec::new(),
            is_dead: wish >= 224,
            is_dropped: false,
        };
        if wish.is_multiple_of(2) {
            client.key = Some(feed.subscribe(user, Start::Tail).expect("below the limit"));
            if is_new {
                state
                    .outbox
                    .push_back(ToOwner::Attach(feed.ask(None), None));
            }
        } else {
            let epoch = if wish % 16 == 1 { EPOCH + 1 } else { EPOCH };
            let offset =
                (self.publications.len() as Offset + 1).saturating_sub(wish as Offset / 16);
            let since = Since { epoch, offset };
            state
                .outbox
                .push_back(ToOwner::Attach(feed.ask(Some(since)), Some(user)));
        }
        self.clients.insert(user, client);
    }

    fn unsubscribe(&mut self, bytes: &mut Bytes<'_>) {
        let Some(user) = self
            .clients
            .keys()
            .copied()
            .nth(bytes.below(SUBSCRIBER_COUNT_MAX))
        else {
            return;
        };
        self.remove(user);
    }

    fn remove(&mut self, user: u64) {
        // Who waits for history stays until it came: a caller would do the same or ignore the answer.
        let Some(key) = self.clients.get(&user).and_then(|client| client.key) else {
            return;
        };
        let Some(client) = self.clients.remove(&user) else {
            return;
        };
        let index = client.class.number() as usize;
        let is_wanted = self
            .clients
            .values()
            .any(|other| other.worker == client.worker && other.class == client.class);
        let state = &mut self.workers[client.worker];
        let feed = state.feeds[index].as_mut().expect("it has subscribers");
        assert_eq!(feed.dropped(key), client.queue.dropped, "drops are counted");
        assert!(feed.unsubscribe(key) && !feed.unsubscribe(key), "once");
        if !is_wanted {
            state.feeds[index] = None;
            state.outbox.push_back(ToOwner::Detach(client.class));
        }
    }

    // Messages.

    fn flush(&mut self, worker: usize, count: usize) {
        for index in 0..CLASS_COUNT {
            let mut left = count;
            while left > 0
                && let Some(append) = self.owner.append_for(worker, class(index))
            {
                self.workers[worker]
                    .inbox
                    .push_back(ToWorker::Append(append));
                left -= 1;
            }
        }
    }

    fn hear(&mut self, worker: usize, count: usize) {
        let now = self.now;
        let state = &mut self.workers[worker];
        for feed in state.feeds.iter_mut().flatten() {
            state
                .outbox
                .extend(feed.progress(now).map(ToOwner::Progress));
        }
        for _ in 0..count {
            let Some(message) = self.workers[worker].outbox.pop_front() else {
                return;
            };
            match message {
                ToOwner::Progress(progress) if progress.is_pressed() => {
                    self.seen.count("held by pressure");
                    self.owner.on_progress(worker, progress, now);
                }
                ToOwner::Progress(progress) => self.owner.on_progress(worker, progress, now),
                ToOwner::Detach(class) => self.owner.detach(worker, class, now),
                ToOwner::Attach(ask, user) => {
                    let attached = self.owner.attach(worker, ask, now);
                    self.seen.count(match attached.recovered {
                        Recovered::Tail => "tail",
                        Recovered::Complete => "complete recovery",
                        Recovered::Gap { .. } => "gap in recovery",
                        Recovered::OtherEpoch => "other epoch",
                    });
                    self.judge_recovery(ask.since, &attached);
                    self.workers[worker]
                        .inbox
                        .push_back(ToWorker::Attached(attached, user));
                }
            }
        }
    }

    fn judge_recovery(&self, since: Option<Since>, attached: &Attached) {
        let last = self.publications.len() as Offset;
        assert_eq!((attached.epoch, attached.offset), (EPOCH, last));
        match (since, attached.recovered) {
            (None, Recovered::Tail) => assert_eq!(attached.first, last + 1),
            (Some(since), Recovered::Complete) => {
                assert_eq!((since.epoch, since.offset + 1), (EPOCH, attached.first));
            }
            (Some(since), Recovered::Gap { from, to }) => {
                assert_eq!((since.epoch, since.offset + 1), (EPOCH, from));
                assert!(
                    from <= to && to + 1 == attached.first,
                    "a gap ends where history begins"
                );
            }
            (Some(since), Recovered::OtherEpoch) => {
                assert!(since.epoch != EPOCH || since.offset > last);
            }
            (since, recovered) => panic!("{since:?} cannot give {recovered:?}"),
        }
    }

    fn deliver(&mut self, worker: usize, count: usize) {
        for _ in 0..count {
            let Some(message) = self.workers[worker].inbox.pop_front() else {
                return;
            };
            let class = match &message {
                ToWorker::Attached(attached, _) => attached.class(),
                ToWorker::Append(append) => append.class(),
            };
            let feed = self.workers[worker].feeds[class.number() as usize].as_mut();
            let Some(feed) = feed else { continue };
            let is_attached = feed.is_attached();
            let before = feed.held.offset();
            let mut recovered = None;
            match message {
                ToWorker::Append(append) => feed.append(append),
                ToWorker::Attached(attached, None) => feed.attach(&attached),
                ToWorker::Attached(attached, Some(user)) => {
                    let first = attached.first;
                    let key = feed.subscribe(user, Start::History(attached));
                    recovered = Some((user, key.expect("below the limit"), first));
                }
            }
            let after = feed.held.offset();
            let from = if is_attached { before + 1 } else { after + 1 };
            self.queue_up(worker, class, from, after, None);
            if let Some((user, key, first)) = recovered {
                let client = self.clients.get_mut(&user).expect("it waits for history");
                client.key = Some(key);
                self.queue_up(worker, class, first, after, Some(user));
            }
        }
    }

    /// The model: these have come for everybody there, or for one.
    fn queue_up(
        &mut self,
        worker: usize,
        class: Class,
        from: Offset,
        to: Offset,
        only: Option<u64>,
    ) {
        let feed = self.workers[worker].feeds[class.number() as usize].as_ref();
        let Some(feed) = feed else { return };
        for (user, client) in &mut self.clients {
            let Some(key) = client.key else { continue };
            let is_meant = only.is_none_or(|only| only == *user);
            if (client.worker, client.class) != (worker, class) || !is_meant || client.is_dropped {
                continue;
            }
            for offset in from..=to {
                let origin = self.publications[offset as usize - 1].origin;
                if !self.feed_config.exclude_sender || origin != feed.origin(key) {
                    client.queue.push(offset);
                } else {
                    self.seen.count("own publication passed");
                }
            }
        }
    }

    // Reading.

    /// Starts sends for all who have something to read.
    fn give(&mut self, worker: usize, bytes_max: usize) {
        for index in 0..CLASS_COUNT {
            let Some(feed) = self.workers[worker].feeds[index].as_mut() else {
                continue;
            };
            let mut scan = Scan::default();
            while let Some((key, user)) = feed.next_ready(&mut scan) {
                let client = self.clients.get_mut(&user).expect("it subscribes");
                assert_eq!(client.key, Some(key));
                client.in_flight.clear();
                let boundary = feed.to_boundary(key);
                let size = feed.next(key, bytes_max, &mut client.in_flight);
                let given: Vec<u8> = client
                    .in_flight
                    .iter()
                    .flat_map(|part| part.to_vec())
                    .collect();
                assert_eq!(given.len(), size);
                assert!(size <= bytes_max);
                let class = client.class;
                let frame = |offset| World::frame(&self.publications, class, offset);
                let expected = client.queue.stream(frame, size);
                if client.is_dropped {
                    assert_eq!(
                        size,
                        boundary.min(bytes_max),
                        "the rest of its frame, no more"
                    );
                    continue;
                }
                assert_eq!(given, expected[..size], "the bytes of the model");
                let partial = client.queue.partial();
                let rest = client
                    .queue
                    .first()
                    .map_or(0, |offset| frame(offset).len() - partial);
                assert_eq!(
                    boundary,
                    if partial > 0 { rest } else { 0 },
                    "the end of the frame"
                );
            }
        }
    }

    fn take_some(&mut self, bytes: &mut Bytes<'_>) {
        let nth = bytes.below(SUBSCRIBER_COUNT_MAX);
        let Some(user) = self.clients.keys().copied().nth(nth) else {
            return;
        };
        let client = &self.clients[&user];
        let size: usize = client.in_flight.iter().map(|part| part.len()).sum();
        if !client.is_dead {
            let taken = match bytes.below(4) {
                0 => bytes.next() * 4 % (size + 1),
                _ => size,
            };
            self.take(user, taken);
        }
    }

    /// The kernel took so many bytes of the send under way.
    fn take(&mut self, user: u64, size: usize) {
        let client = self.clients.get_mut(&user).expect("it subscribes");
        let (Some(key), false) = (client.key, client.in_flight.is_empty()) else {
            return;
        };
        let given: usize = client.in_flight.iter().map(|part| part.len()).sum();
        if (1..given).contains(&size) {
            self.seen.count("partial send");
        }
        client.in_flight.clear();
        let class = client.class;
        if !client.is_dropped {
            let frame = |offset| World::frame(&self.publications, class, offset);
            client.queue.take(frame, size, self.now.as_millis());
        }
        let feed = self.workers[client.worker].feeds[class.number() as usize].as_mut();
        feed.expect("it has subscribers").sent(key, size, self.now);
    }

    // Stalling.

    fn sweep(&mut self, worker: usize, limit: usize) {
        for index in 0..CLASS_COUNT {
            let mut stalled = std::mem::take(&mut self.stalled);
            if let Some(feed) = self.workers[worker].feeds[index].as_mut() {
                feed.sweep(self.now, limit, &mut stalled);
            }
            for found in stalled.drain(..) {
                self.judge_stalled(worker, index, found);
            }
            self.stalled = stalled;
        }
    }

    fn judge_stalled(&mut self, worker: usize, index: usize, found: Stalled) {
        self.seen.count(match found.action {
            Action::Cancel => "cancel",
            Action::Disconnect { .. } => "disconnect",
            Action::Skipped(_) => "skip",
            Action::Latest(_) => "latest",
            Action::Resumed(_) => "resume",
        });
        let now_ms = self.now_ms();
        let client = self.clients.get_mut(&found.user).expect("it subscribes");
        assert_eq!(client.key, Some(found.key));
        if !matches!(found.action, Action::Resumed(_)) {
            let window = self.feed_config.window;
            let quota = u128::from(self.feed_config.rate_min) * window.as_millis();
            let drained = client
                .queue
                .drained_since(now_ms.saturating_sub(window.as_millis() as u64));
            assert!(
                (drained as u128) * 1000 < quota,
                "who keeps the rate is not stalled"
            );
            assert!(
                !client.queue.is_empty(),
                "who has read everything is not stalled"
            );
        }
        let feed = self.workers[worker].feeds[index]
            .as_ref()
            .expect("it has subscribers");
        match found.action {
            Action::Cancel => {
                assert!(!client.in_flight.is_empty(), "there is something to cancel");
                self.take(found.user, 0);
            }
            Action::Disconnect {
                publications,
                is_cut,
            } => {
                let is_owed = feed.to_boundary(found.key) > 0;
                let is_partial = client.queue.partial() > 0;
                assert_eq!(is_cut, is_partial && !is_owed, "a cut frame is told of");
                assert!(!is_owed || is_partial, "only a frame in progress is owed");
                let pending = client.queue.len() - usize::from(is_owed);
                assert_eq!(
                    publications, pending as u64,
                    "what it will not get is counted"
                );
                client.queue.dropped += publications;
                client.is_dropped = true;
            }
            Action::Skipped(gap) | Action::Latest(gap) => client.queue.drop_gap(gap),
            Action::Resumed(gap) => World::judge_resumed(client, gap),
        }
    }

    fn judge_resumed(client: &mut Client, gap: Gap) {
        client.queue.drop_gap(gap);
        assert!(client.queue.len() <= 1, "at most the latest is left");
    }

    // Judging.

    pub(super) fn check(&self) {
        let stats = self.owner.stats();
        assert!(stats.memory <= self.budget, "the log is within its budget");
        assert_eq!(
            stats.memory,
            self.shared.used(),
            "the worker counts the same"
        );
        let mut is_stale = false;
        for worker in &self.workers {
            for feed in worker.feeds.iter().flatten() {
                feed.check();
            }
            // What is under way to a feed that is gone, or not yet there again, is counted by nobody.
            is_stale |= worker.inbox.iter().any(|message| {
                let class = match message {
                    ToWorker::Attached(attached, _) => attached.class(),
                    ToWorker::Append(append) => append.class(),
                };
                let feed = &worker.feeds[class.number() as usize];
                !feed.as_ref().is_some_and(Feed::is_attached)
            });
            is_stale |= worker
                .outbox
                .iter()
                .any(|message| matches!(message, ToOwner::Detach(_)));
        }
        let in_use = self.pool.stats().bytes_in_use;
        assert!(
            is_stale || in_use <= stats.memory,
            "{in_use} bytes out, {stats:?}"
        );
    }

    /// One round of everything, with nothing held up.
    fn turn(&mut self) {
        for worker in 0..self.workers.len() {
            self.hear(worker, usize::MAX);
            self.flush(worker, usize::MAX);
            self.deliver(worker, usize::MAX);
            self.give(worker, 100_000);
            let users: Vec<u64> = self.clients.keys().copied().collect();
            for user in users {
                let client = &self.clients[&user];
                let size = client.in_flight.iter().map(|part| part.len()).sum();
                if !client.is_dead {
                    self.take(user, size);
                }
            }
            self.sweep(worker, SUBSCRIBER_COUNT_MAX);
            self.hear(worker, usize::MAX);
        }
        self.check();
        self.now += self.feed_config.window / 2;
    }

    pub(super) fn finish(mut self) -> Seen {
        for _ in 0..60 {
            self.turn();
        }
        for client in self
            .clients
            .values()
            .filter(|client| !client.is_dead && !client.is_dropped)
        {
            assert!(client.key.is_some(), "it got its history");
            assert!(
                client.queue.is_empty(),
                "all of it was read: {:?}",
                client.queue
            );
        }
        // Whatever dead readers there are: it goes on.
        for size in [10, self.budget / 16, 10] {
            let mut result = self.publish(None, size);
            for _ in 0..12 {
                if result.is_ok() {
                    break;
                }
                self.turn();
                result = self.publish(None, size);
            }
            assert!(
                result.is_ok(),
                "{size} bytes: {result:?}, {:?}",
                self.owner.stats()
            );
        }
        self.turn();
        let users: Vec<u64> = self.clients.keys().copied().collect();
        for user in users {
            self.remove(user);
        }
        assert!(self.clients.is_empty());
        for _ in 0..3 {
            self.turn();
        }
        self.now += Duration::from_secs(61);
        self.owner.expire(self.now);
        assert!(
            self.owner.is_idle(),
            "nothing is kept: {:?}",
            self.owner.stats()
        );
        assert!(!self.owner.is_held());
        assert_eq!(
            (self.owner.stats().memory, self.pool.stats().bytes_in_use),
            (0, 0),
            "all is given back"
        );
        self.seen
    }
}
