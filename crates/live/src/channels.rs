//! The channels one worker knows, by name.
//!
//! Every worker agrees on the owner of a name ([`owner_of`]) without asking anybody. What a worker keeps for
//! a channel is the caller's (`T`: an owner, feeds, whoever waits); this registry gives it a key, keeps the
//! limits, gives each life of a channel an epoch, and forgets a channel that was empty for the linger time.
//!
//! Limits: `count_max` channels, names of 1 to `name_size_max` bytes.

use crate::limits;
use hioload_base::{Key, Prng, Slab, Time};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// The worker that owns the channel of this name: the same on every worker, every run and machine.
///
/// # Panics
///
/// If there are no workers.
#[must_use]
pub fn owner_of(name: &str, workers: usize) -> usize {
    assert!(workers > 0, "a channel has an owner");
    // FNV-1a, then the finalizer of SplitMix64: FNV alone leaves the low bits of short names alike.
    let mut hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((hash ^ (hash >> 31)) % workers as u64) as usize
}

/// Names a channel on one worker. Never names another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChannelKey(Key);

impl ChannelKey {
    /// As one number.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0.to_bits()
    }

    /// Back from the number.
    #[must_use]
    pub fn from_bits(bits: u64) -> ChannelKey {
        ChannelKey(Key::from_bits(bits))
    }
}

/// Why a channel is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChannelError {
    /// A channel has a name.
    NameEmpty,
    /// The name is longer than allowed.
    NameTooLong {
        /// Bytes it has.
        size: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// There are as many channels as there may be.
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

impl std::fmt::Display for ChannelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ChannelError::NameEmpty => f.write_str("the name of a channel is not empty"),
            ChannelError::NameTooLong { size, max } => {
                write!(
                    f,
                    "the name of a channel has at most {max} bytes, not {size}"
                )
            }
            ChannelError::TooMany { max } => write!(f, "there are {max} channels already"),
        }
    }
}

impl std::error::Error for ChannelError {}

/// Limits of a registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelsConfig {
    /// Channels at most.
    pub count_max: usize,
    /// Bytes of a name at most.
    pub name_size_max: usize,
    /// How long an empty channel is kept.
    pub linger: Duration,
}

impl Default for ChannelsConfig {
    fn default() -> ChannelsConfig {
        ChannelsConfig {
            count_max: limits::CHANNELS.default as usize,
            name_size_max: limits::NAME_SIZE.default as usize,
            linger: Duration::from_millis(limits::LINGER.default),
        }
    }
}

#[derive(Debug)]
struct Channel<T> {
    name: Rc<str>,
    epoch: u64,
    /// Since when it is empty.
    idle_since: Option<Time>,
    /// It has a place in the queue of idle channels; never two.
    is_queued: bool,
    state: T,
}

/// The channels of one worker.
#[derive(Debug)]
pub struct Channels<T> {
    config: ChannelsConfig,
    names: HashMap<Rc<str>, Key>,
    channels: Slab<Channel<T>>,
    /// When to look at a channel which became empty, the earliest first. It may have been busy since.
    idle: VecDeque<(Time, Key)>,
    prng: Prng,
}

impl<T> Channels<T> {
    /// An empty registry. Epochs come from `prng`.
    #[must_use]
    pub fn new(config: ChannelsConfig, prng: Prng) -> Channels<T> {
        Channels {
            names: HashMap::new(),
            channels: Slab::with_limit(config.count_max),
            idle: VecDeque::new(),
            config,
            prng,
        }
    }

    /// The channel of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ChannelKey> {
        self.names.get(name).copied().map(ChannelKey)
    }

    /// The channel of this name; if there is none, a new one with what `make` makes of its epoch.
    ///
    /// # Errors
    ///
    /// [`ChannelError`]: the name is not allowed, or there are too many.
    pub fn open(
        &mut self,
        name: &str,
        make: impl FnOnce(u64) -> T,
    ) -> Result<ChannelKey, ChannelError> {
        if let Some(key) = self.find(name) {
            return Ok(key);
        }
        if name.is_empty() {
            return Err(ChannelError::NameEmpty);
        }
        let (size, max) = (name.len(), self.config.name_size_max);
        if size > max {
            return Err(ChannelError::NameTooLong { size, max });
        }
        if self.channels.len() >= self.config.count_max {
            return Err(ChannelError::TooMany {
                max: self.config.count_max,
            });
        }
        let name: Rc<str> = name.into();
        // 0 is left for those who know no epoch.
        let epoch = self.prng.next_u64().max(1);
        let channel = Channel {
            name: name.clone(),
            epoch,
            idle_since: None,
            is_queued: false,
            state: make(epoch),
        };
        let key = self
            .channels
            .insert(channel)
            .map_err(|_| ChannelError::TooMany {
                max: self.config.count_max,
            })?;
        self.names.insert(name, key);
        Ok(ChannelKey(key))
    }

    /// What is kept for a channel.
    #[must_use]
    pub fn get(&self, key: ChannelKey) -> Option<&T> {
        self.channels.get(key.0).map(|channel| &channel.state)
    }

    /// What is kept for a channel.
    pub fn get_mut(&mut self, key: ChannelKey) -> Option<&mut T> {
        self.channels
            .get_mut(key.0)
            .map(|channel| &mut channel.state)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, key: ChannelKey) -> Option<&str> {
        self.channels.get(key.0).map(|channel| &*channel.name)
    }

    /// The number of its life.
    #[must_use]
    pub fn epoch(&self, key: ChannelKey) -> Option<u64> {
        self.channels.get(key.0).map(|channel| channel.epoch)
    }

    /// All channels, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelKey, &str, &T)> {
        self.channels
            .iter()
            .map(|(key, channel)| (ChannelKey(key), &*channel.name, &channel.state))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// The channel has neither subscribers nor history now: forget it after the linger time, unless
    /// [`mark_busy`](Channels::mark_busy) comes first.
    pub fn mark_idle(&mut self, key: ChannelKey, now: Time) {
        if let Some(channel) = self.channels.get_mut(key.0)
            && channel.idle_since.is_none()
        {
            channel.idle_since = Some(now);
            if !channel.is_queued {
                channel.is_queued = true;
                self.idle.push_back((now + self.config.linger, key.0));
            }
        }
    }

    /// Somebody uses the channel again.
    pub fn mark_busy(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.get_mut(key.0) {
            channel.idle_since = None;
        }
    }

    /// Forgets one channel which was empty for the linger time, and gives back what was kept for it. Call until
    /// `None`.
    pub fn expire(&mut self, now: Time) -> Option<(Rc<str>, T)> {
        while let Some((deadline, key)) = self.idle.front().copied()
            && deadline <= now
        {
            self.idle.pop_front();
            let Some(channel) = self.channels.get_mut(key) else {
                continue;
            };
            let Some(since) = channel.idle_since else {
                channel.is_queued = false;
                continue;
            };
            let deadline = since + self.config.linger;
            if deadline > now {
                // It was busy in between. Behind others it may be looked at late, by less than the
                // linger time.
                self.idle.push_back((deadline, key));
            } else if let Some(channel) = self.channels.remove(key) {
                self.names.remove(&channel.name);
                return Some((channel.name, channel.state));
            }
        }
        None
    }

    /// When [`expire`](Channels::expire) may have something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.idle.front().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(count_max: usize, name_size_max: usize) -> Channels<u64> {
        let linger = Duration::from_millis(100);
        Channels::new(
            ChannelsConfig {
                count_max,
                name_size_max,
                linger,
            },
            Prng::new(1),
        )
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn expired(channels: &mut Channels<u64>, millis: u64) -> Vec<String> {
        std::iter::from_fn(|| channels.expire(at(millis)))
            .map(|(name, _)| name.to_string())
            .collect()
    }

    #[test]
    fn the_owner_of_a_name_never_changes_and_names_spread() {
        assert_eq!(owner_of("anything", 1), 0);
        let owners = ["", "a", "b", "news", "chat:1"].map(|name| owner_of(name, 16));
        assert_eq!(
            owners,
            [11, 8, 5, 11, 11],
            "other builds and machines rely on these"
        );
        let mut counts = [0; 8];
        for number in 0..8000 {
            counts[owner_of(&format!("room:{number}"), 8)] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn names_are_held_to_their_limits() {
        let mut channels = channels(10, 3);
        assert_eq!(channels.open("", |_| 0), Err(ChannelError::NameEmpty));
        assert!(channels.open("a", |_| 0).is_ok() && channels.open("abc", |_| 0).is_ok());
        let too_long = ChannelError::NameTooLong { size: 4, max: 3 };
        assert_eq!(channels.open("abcd", |_| 0), Err(too_long));
        assert_eq!(
            channels.open("éé", |_| 0),
            Err(too_long),
            "bytes count, not letters"
        );
        assert_eq!(channels.len(), 2);
    }

    #[test]
    fn channels_are_held_to_their_limit() {
        for max in [0, 1, 3] {
            let mut channels = channels(max, 255);
            for number in 0..max {
                assert!(channels.open(&number.to_string(), |_| 0).is_ok());
            }
            assert_eq!(
                channels.open("more", |_| 0),
                Err(ChannelError::TooMany { max })
            );
            if max > 0 {
                assert!(channels.open("0", |_| panic!("it is there")).is_ok());
            }
        }
    }

    #[test]
    fn each_life_has_its_epoch() {
        let mut channels = channels(10, 255);
        let key = channels.open("a", |epoch| epoch).expect("below the limit");
        let epoch = channels.epoch(key).expect("it is there");
        assert_eq!(channels.get(key), Some(&epoch));
        assert_eq!(
            (channels.name(key), channels.find("a")),
            (Some("a"), Some(key))
        );
        channels.mark_idle(key, at(0));
        assert_eq!(expired(&mut channels, 100), ["a"]);
        assert_eq!((channels.get(key), channels.find("a")), (None, None));
        let again = channels.open("a", |epoch| epoch).expect("below the limit");
        assert_ne!(again, key);
        assert_ne!(channels.epoch(again), Some(epoch));
        assert_eq!(ChannelKey::from_bits(again.to_bits()), again);
    }

    #[test]
    fn empty_channels_linger_then_go() {
        let mut channels = channels(10, 255);
        let keys = ["a", "b", "c"].map(|name| channels.open(name, |_| 0).expect("below the limit"));
        for (millis, key) in keys.into_iter().enumerate() {
            channels.mark_idle(key, at(millis as u64));
            channels.mark_idle(key, at(50));
        }
        assert_eq!(channels.next_deadline(), Some(at(100)));
        assert_eq!(expired(&mut channels, 99), [""; 0]);
        channels.mark_busy(keys[1]);
        assert_eq!(expired(&mut channels, 101), ["a"]);
        assert_eq!(expired(&mut channels, 1000), ["c"]);
        channels.mark_idle(keys[1], at(1000));
        assert_eq!(expired(&mut channels, 1099), [""; 0]);
        assert_eq!(expired(&mut channels, 1100), ["b"]);
        assert!(channels.is_empty() && channels.next_deadline().is_none());
    }

    #[test]
    fn who_comes_and_goes_takes_one_place_in_the_queue() {
        let mut channels = channels(10, 255);
        let key = channels.open("a", |_| 0).expect("below the limit");
        for millis in 0..1000 {
            channels.mark_idle(key, at(millis));
            assert_eq!(expired(&mut channels, millis), [""; 0]);
            channels.mark_busy(key);
            assert!(channels.idle.len() <= 1);
        }
        channels.mark_idle(key, at(1000));
        assert_eq!(expired(&mut channels, 1100), ["a"]);
    }
}
