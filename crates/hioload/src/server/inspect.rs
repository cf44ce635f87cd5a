//! What a worker tells of its channels when somebody asks: nothing is kept for that, and nobody who
//! does not ask pays.

use hioload_live::ChannelKey;

use super::channel::Channel;
use super::core::Core;

/// Channels looked at for one answer, so that it takes a worker no longer than a turn.
const LOOKED_AT_MAX: usize = 16_384;
/// Channels told of: so many with the most subscribers, and so many with the longest lag.
const TOLD_MAX: usize = 10;

/// A worker's answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inspection {
    pub(crate) channels: Vec<ChannelStats>,
}

/// One channel: on one worker, or summed over those that were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelStats {
    /// Its name.
    pub name: String,
    /// Subscribers.
    pub subscribers: u64,
    /// How far the slowest subscriber lags; bytes, exact to a chunk.
    pub lag_size_max: u64,
    /// Publications that stalled subscribers missed.
    pub dropped_publications: u64,
    /// Subscribers disconnected because they did not keep up.
    pub dropped_subscribers: u64,
    /// Publications taken so far; at the channel's owner.
    pub publications: u64,
    /// Bytes of log held; at the channel's owner.
    pub log_size: u64,
}

impl ChannelStats {
    fn of(name: &str, channel: &Channel) -> Self {
        let mut stats = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        for slot in &channel.feeds {
            let feed = slot.feed.stats();
            stats.subscribers += feed.subscribers as u64;
            stats.lag_size_max = stats.lag_size_max.max(feed.lag_bytes_max);
            stats.dropped_publications += feed.dropped_publications;
            stats.dropped_subscribers += feed.dropped_subscribers;
        }
        if let Some(owned) = &channel.owned {
            let owner = owned.owner.stats();
            stats.publications = owner.publications;
            stats.log_size = owner.memory as u64;
        }
        stats
    }

    /// The same channel on another worker.
    pub(crate) fn add(&mut self, other: &Self) {
        self.subscribers += other.subscribers;
        self.lag_size_max = self.lag_size_max.max(other.lag_size_max);
        self.dropped_publications += other.dropped_publications;
        self.dropped_subscribers += other.dropped_subscribers;
        self.publications += other.publications;
        self.log_size += other.log_size;
    }
}

/// Of each entry its key, subscribers and lag: the keys of those worth telling of.
fn notable<K: Copy + PartialEq>(mut entries: Vec<(K, u64, u64)>) -> Vec<K> {
    entries.sort_by_key(|(_, subscribers, _)| std::cmp::Reverse(*subscribers));
    let mut keys: Vec<K> = entries
        .iter()
        .take(TOLD_MAX)
        .map(|(key, ..)| *key)
        .collect();
    entries.sort_by_key(|(_, _, lag)| std::cmp::Reverse(*lag));
    let lagging = entries.iter().take(TOLD_MAX).filter(|(_, _, lag)| *lag > 0);
    for (key, ..) in lagging {
        if !keys.contains(key) {
            keys.push(*key);
        }
    }
    keys
}

impl Core {
    /// The channels with the most subscribers and with the longest lag.
    pub(super) fn inspect(&self) -> Inspection {
        let entry = |(key, _, channel): (ChannelKey, &str, &Channel)| {
            let feeds = channel.feeds.iter().map(|slot| slot.feed.stats());
            let (subscribers, lag) = feeds.fold((0, 0), |(count, lag), feed| {
                (count + feed.subscribers as u64, feed.lag_bytes_max.max(lag))
            });
            (key, subscribers, lag)
        };
        let entries = self
            .channels
            .iter()
            .take(LOOKED_AT_MAX)
            .map(entry)
            .collect();
        let tell = |key| {
            let channel = self.channels.get(key)?;
            Some(ChannelStats::of(self.channels.name(key)?, channel))
        };
        Inspection {
            channels: notable(entries).into_iter().filter_map(tell).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_of_are_the_large_and_the_slow_each_once() {
        let entries: Vec<(u64, u64, u64)> = (0..100)
            .map(|n| (n, n, if n == 3 || n == 99 { 5 } else { 0 }))
            .collect();
        let keys = notable(entries);
        assert_eq!(keys, [99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 3]);
        assert_eq!(notable(vec![(7, 0, 0)]), [7]);
        assert!(notable::<u64>(Vec::new()).is_empty());
    }

    #[test]
    fn workers_add_up() {
        let one = ChannelStats {
            name: "a".to_owned(),
            subscribers: 2,
            lag_size_max: 9,
            ..ChannelStats::default()
        };
        let mut sum = ChannelStats {
            subscribers: 1,
            lag_size_max: 4,
            publications: 8,
            ..one.clone()
        };
        sum.add(&one);
        assert_eq!(
            (sum.subscribers, sum.lag_size_max, sum.publications),
            (3, 9, 8)
        );
    }
}
