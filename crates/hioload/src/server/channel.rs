//! A channel as one worker sees it: the owner's part (on one worker), and feeds for subscribers here.

use std::collections::VecDeque;
use std::sync::Arc;

use hioload_live::{
    Append, Budget, Class, Classes, Feed, FeedConfig, Owner, OwnerConfig, Scan, SubscriberKey,
};
use hioload_reactor::SocketId;

use super::message::Publication;
use super::recovery::Waiting;
use super::rule::ChannelOptions;

/// Publications a worker may have under way to a channel owned elsewhere; more wait at their
/// session, which is not read from meanwhile.
pub(super) const CREDIT: u32 = 64;

/// The state.
pub(super) struct Channel {
    pub(super) name: Arc<str>,
    pub(super) owned: Option<Owned>,
    pub(super) feeds: Vec<FeedSlot>,
    /// Publications under way to the owner.
    pub(super) outstanding: u32,
    /// Sessions held back from publishing here.
    pub(super) held: Vec<SocketId>,
    /// Sessions that want history from an owner elsewhere; the first `asked` of them have asked.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) asked: usize,
    /// In the list of channels with work.
    pub(super) is_listed: bool,
}

/// What the owning worker keeps.
pub(super) struct Owned {
    pub(super) owner: Owner,
    /// Feeds on other workers.
    pub(super) remotes: Vec<Remote>,
    /// Publications of other workers that wait for room: at most [`CREDIT`] of each.
    pub(super) inbox: VecDeque<(usize, Publication)>,
}

/// A feed on another worker.
pub(super) struct Remote {
    pub(super) worker: usize,
    pub(super) class: Class,
    /// The channel's key there.
    pub(super) key: u64,
    /// An append that found the queue full.
    pub(super) unsent: Option<Append>,
}

/// A feed and where the walk over its subscribers stands.
pub(super) struct FeedSlot {
    pub(super) class: Class,
    /// Tells it from an earlier feed of the same channel and class, whose keys may be the same.
    pub(super) life: u64,
    pub(super) feed: Feed,
    pub(super) scan: Scan,
    /// A walk is under way.
    pub(super) is_walking: bool,
    /// Something was appended since the walk began.
    pub(super) is_dirty: bool,
    /// Subscribers who are told their place as soon as the owner has answered.
    pub(super) untold: Vec<(SocketId, SubscriberKey)>,
}

impl Channel {
    pub(super) fn new(name: &str, owned: Option<Owned>) -> Self {
        Self {
            name: Arc::from(name),
            owned,
            feeds: Vec::new(),
            outstanding: 0,
            held: Vec::new(),
            waiting: VecDeque::new(),
            asked: 0,
            is_listed: false,
        }
    }

    pub(super) fn feed(&mut self, class: Class) -> Option<&mut FeedSlot> {
        self.feeds.iter_mut().find(|slot| slot.class == class)
    }

    /// Nobody needs it here.
    pub(super) fn is_idle(&self) -> bool {
        self.feeds.is_empty()
            && self.outstanding == 0
            && self.held.is_empty()
            && self.waiting.is_empty()
            && self.owned.as_ref().is_none_or(|owned| {
                owned.owner.is_idle() && owned.remotes.is_empty() && owned.inbox.is_empty()
            })
    }
}

impl Owned {
    /// `kept`: the encodings in which history is there from the first publication.
    pub(super) fn new(
        options: &ChannelOptions,
        budget: usize,
        kept: Classes,
        epoch: u64,
        shared: &Budget,
    ) -> Self {
        let kept = if options.history.is_on() {
            kept
        } else {
            Classes::NONE
        };
        let config = OwnerConfig {
            budget,
            history: options.history,
            epoch,
            kept,
            shared: shared.clone(),
            ..OwnerConfig::default()
        };
        Self {
            owner: Owner::new(config),
            remotes: Vec::new(),
            inbox: VecDeque::new(),
        }
    }

    /// Notes a feed on another worker. What was made for it and found its queue full comes back.
    pub(super) fn attach_remote(
        &mut self,
        worker: usize,
        class: Class,
        key: u64,
    ) -> Option<Append> {
        let known = self
            .remotes
            .iter_mut()
            .find(|r| (r.worker, r.class) == (worker, class));
        if let Some(remote) = known {
            remote.key = key;
            return remote.unsent.take();
        }
        self.remotes.push(Remote {
            worker,
            class,
            key,
            unsent: None,
        });
        None
    }
}

impl FeedSlot {
    pub(super) fn new(
        options: &ChannelOptions,
        budget: usize,
        worker: usize,
        class: Class,
        life: u64,
        owed: &Budget,
    ) -> Self {
        let config = FeedConfig {
            worker,
            class,
            life,
            budget,
            policy: options.policy,
            rate_min: options.rate_min,
            window: options.window,
            exclude_sender: options.exclude_sender,
            owed: owed.clone(),
            ..FeedConfig::default()
        };
        Self {
            class,
            life,
            feed: Feed::new(config),
            scan: Scan::default(),
            is_walking: false,
            is_dirty: false,
            untold: Vec::new(),
        }
    }
}
