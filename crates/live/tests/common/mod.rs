//! One channel and its feeds without a network between them.

#![allow(dead_code, reason = "each test uses a part")]

use hioload_base::Time;
use hioload_live::{
    Class, Encode, Feed, FeedConfig, Offset, Origin, Owner, OwnerConfig, PublishError, Since,
    Start, SubscriberKey, Unencoded,
};
use hioload_mem::{BufferPool, PoolConfig, Segment};

/// A frame is its payload behind one byte: the class and how often this encoder has been asked.
#[derive(Default)]
pub(crate) struct Bare {
    pub(crate) calls: usize,
    /// Where the last one stood.
    pub(crate) place: Option<Since>,
}

pub(crate) const HEADER_SIZE: usize = 1;

impl Encode for Bare {
    fn room(&self, _: Class, publication: &Unencoded<'_>) -> usize {
        HEADER_SIZE + publication.payload.len()
    }

    fn encode(&mut self, class: Class, publication: &Unencoded<'_>, out: &mut [u8]) -> usize {
        let payload = publication.payload;
        self.calls += 1;
        self.place = Some(publication.place);
        out[0] = class.number();
        out[HEADER_SIZE..HEADER_SIZE + payload.len()].copy_from_slice(payload);
        HEADER_SIZE + payload.len()
    }
}

pub(crate) struct Rig {
    pub(crate) pool: BufferPool,
    pub(crate) encode: Bare,
    pub(crate) owner: Owner,
    pub(crate) feed: Feed,
    pub(crate) now: Time,
    out: Vec<Segment>,
}

impl Rig {
    pub(crate) fn new(owner: OwnerConfig, feed: FeedConfig) -> Rig {
        let pool = BufferPool::new(PoolConfig {
            budget: 32 << 20,
            ..PoolConfig::default()
        });
        let mut rig = Rig {
            pool: pool.expect("32 MiB can be mapped"),
            encode: Bare::default(),
            owner: Owner::new(owner),
            feed: Feed::new(feed),
            now: Time::from_millis(1_000_000),
            out: Vec::new(),
        };
        let attached = rig.owner.attach(0, rig.feed.ask(None), rig.now);
        rig.feed.attach(&attached);
        rig
    }

    pub(crate) fn publish(&mut self, payload: &[u8]) -> Result<Offset, PublishError> {
        self.publish_from(Origin::NONE, payload)
    }

    pub(crate) fn publish_from(
        &mut self,
        origin: Origin,
        payload: &[u8],
    ) -> Result<Offset, PublishError> {
        self.owner
            .publish(&self.pool, &mut self.encode, self.now, 1, payload, origin)
    }

    pub(crate) fn subscribe(&mut self, user: u64) -> SubscriberKey {
        self.feed
            .subscribe(user, Start::Tail)
            .expect("below the limit")
    }

    /// With history since this place.
    pub(crate) fn recover(
        &mut self,
        user: u64,
        since: Since,
    ) -> (SubscriberKey, hioload_live::Recovered) {
        let attached = self.owner.attach(0, self.feed.ask(Some(since)), self.now);
        let recovered = attached.recovered;
        let key = self
            .feed
            .subscribe(user, Start::History(attached))
            .expect("below the limit");
        (key, recovered)
    }

    /// Carries messages both ways.
    pub(crate) fn exchange(&mut self) {
        while let Some(append) = self.owner.append_for(0, Class::PLAIN) {
            self.feed.append(append);
        }
        if let Some(progress) = self.feed.progress(self.now) {
            self.owner.on_progress(0, progress, self.now);
        }
    }

    /// What a send would carry, and in how many segments.
    pub(crate) fn peek(&mut self, key: SubscriberKey, bytes_max: usize) -> (Vec<u8>, usize) {
        self.out.clear();
        let size = self.feed.next(key, bytes_max, &mut self.out);
        let bytes: Vec<u8> = self
            .out
            .iter()
            .flat_map(|part| part.iter().copied())
            .collect();
        assert_eq!(bytes.len(), size);
        let count = self.out.len();
        self.out.clear();
        (bytes, count)
    }

    /// Reads up to so many bytes.
    pub(crate) fn read(&mut self, key: SubscriberKey, bytes_max: usize) -> Vec<u8> {
        let (bytes, _) = self.peek(key, bytes_max);
        self.feed.sent(key, bytes.len(), self.now);
        bytes
    }

    pub(crate) fn wait_ms(&mut self, millis: u64) {
        self.now += std::time::Duration::from_millis(millis);
    }

    pub(crate) fn sweep(&mut self) -> Vec<hioload_live::Action> {
        let mut found = Vec::new();
        self.feed.sweep(self.now, 1000, &mut found);
        found.into_iter().map(|stalled| stalled.action).collect()
    }
}
