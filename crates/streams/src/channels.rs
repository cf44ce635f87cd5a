//! Channels inside a stream: 256 lanes, each with something to dispatch to, each let through or not.
//!
//! Channel 0 is for control: always there, always let through, and nobody's to add, remove or disable.
//!
//! ```text
//!  message's channel ─▶ is it there? ─▶ is it enabled? ─▶ value        two bits and one index: O(1)
//!        bitmaps          256 bits         256 bits        dense, in order of channels
//! ```
//!
//! Limits: 256 channels; a table costs 64 bytes and the values of the channels that are there. Dispatch takes
//! constant time; adding and removing move the values behind.

use std::fmt;

use crate::StreamUid;

/// A channel of a stream, as one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelUid {
    /// The stream.
    pub stream: StreamUid,
    /// The channel in it.
    pub channel: u8,
}

impl fmt::Display for ChannelUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stream, self.channel)
    }
}

/// Why channels were not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// Channel 0 is for control.
    Reserved,
    /// The channel is there already.
    Exists,
    /// The channel is not there.
    Missing,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChannelError::Reserved => "channel 0 is for control and stays as it is",
            ChannelError::Exists => "the channel is there already",
            ChannelError::Missing => "there is no such channel",
        })
    }
}

impl std::error::Error for ChannelError {}

/// What was done to the channels of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// A channel was added.
    Added(u8),
    /// A channel was removed.
    Removed(u8),
    /// All were removed.
    Cleared,
    /// A channel is let through from now on.
    Enabled(u8),
    /// A channel is not let through from now on.
    Disabled(u8),
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch<T> {
    /// To control.
    Control,
    /// To this.
    To(T),
    /// Nowhere: the channel is not let through.
    Disabled,
    /// Nowhere: there is no such channel.
    Missing,
}

/// 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bits([u64; 4]);

impl Bits {
    #[inline]
    fn has(&self, bit: u8) -> bool {
        self.0[usize::from(bit >> 6)] & 1 << (bit & 63) != 0
    }

    fn set(&mut self, bit: u8, value: bool) {
        let word = &mut self.0[usize::from(bit >> 6)];
        *word = *word & !(1 << (bit & 63)) | u64::from(value) << (bit & 63);
    }

    /// Bits set below this one.
    #[inline]
    fn rank(&self, bit: u8) -> usize {
        let word = usize::from(bit >> 6);
        let whole: u32 = self.0[..word].iter().map(|word| word.count_ones()).sum();
        let part = self.0[word] & ((1 << (bit & 63)) - 1);
        (whole + part.count_ones()) as usize
    }
}

/// The channels of one stream; `T` is what a channel dispatches to.
///
/// ```
/// use hioload_streams::{ChannelTable, Dispatch};
///
/// let mut channels = ChannelTable::new();
/// channels.add(7, "game")?;
/// assert_eq!(channels.dispatch(7), Dispatch::To("game"));
/// channels.set_enabled(7, false)?;
/// assert_eq!(channels.dispatch(7), Dispatch::Disabled);
/// assert_eq!(channels.dispatch(8), Dispatch::Missing);
/// assert_eq!(channels.dispatch(0), Dispatch::Control);
/// # Ok::<(), hioload_streams::ChannelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTable<T> {
    present: Bits,
    enabled: Bits,
    values: Vec<T>,
}

impl<T> Default for ChannelTable<T> {
    fn default() -> ChannelTable<T> {
        ChannelTable {
            present: Bits::default(),
            enabled: Bits::default(),
            values: Vec::new(),
        }
    }
}

impl<T: Copy> ChannelTable<T> {
    /// Channel 0.
    pub const CONTROL: u8 = 0;

    /// No channel but control.
    #[must_use]
    pub fn new() -> ChannelTable<T> {
        ChannelTable::default()
    }

    /// Adds a channel; it is let through.
    ///
    /// # Errors
    /// [`ChannelError::Reserved`], [`ChannelError::Exists`].
    pub fn add(&mut self, channel: u8, value: T) -> Result<ChannelEvent, ChannelError> {
        if channel == Self::CONTROL {
            return Err(ChannelError::Reserved);
        }
        if self.present.has(channel) {
            return Err(ChannelError::Exists);
        }
        self.values.insert(self.present.rank(channel), value);
        self.present.set(channel, true);
        self.enabled.set(channel, true);
        Ok(ChannelEvent::Added(channel))
    }

    /// Adds several, or none when one of them cannot be added.
    ///
    /// # Errors
    /// [`ChannelError`], of the first that cannot.
    pub fn add_all(&mut self, channels: &[(u8, T)]) -> Result<(), ChannelError> {
        for (place, &(channel, value)) in channels.iter().enumerate() {
            if let Err(error) = self.add(channel, value) {
                for &(added, _) in &channels[..place] {
                    let _ = self.remove(added);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes a channel.
    ///
    /// # Errors
    /// [`ChannelError::Reserved`], [`ChannelError::Missing`].
    pub fn remove(&mut self, channel: u8) -> Result<ChannelEvent, ChannelError> {
        self.check(channel)?;
        self.values.remove(self.present.rank(channel));
        self.present.set(channel, false);
        self.enabled.set(channel, false);
        Ok(ChannelEvent::Removed(channel))
    }

    /// Removes all but control.
    pub fn clear(&mut self) -> ChannelEvent {
        *self = ChannelTable::default();
        ChannelEvent::Cleared
    }

    /// Lets a channel through, or not.
    ///
    /// # Errors
    /// [`ChannelError::Reserved`], [`ChannelError::Missing`].
    pub fn set_enabled(
        &mut self,
        channel: u8,
        is_enabled: bool,
    ) -> Result<ChannelEvent, ChannelError> {
        self.check(channel)?;
        self.enabled.set(channel, is_enabled);
        Ok(if is_enabled {
            ChannelEvent::Enabled(channel)
        } else {
            ChannelEvent::Disabled(channel)
        })
    }

    fn check(&self, channel: u8) -> Result<(), ChannelError> {
        if channel == Self::CONTROL {
            return Err(ChannelError::Reserved);
        }
        if self.present.has(channel) {
            Ok(())
        } else {
            Err(ChannelError::Missing)
        }
    }

    /// Where a message on this channel goes.
    #[inline]
    #[must_use]
    pub fn dispatch(&self, channel: u8) -> Dispatch<T> {
        if self.enabled.has(channel) {
            return Dispatch::To(self.values[self.present.rank(channel)]);
        }
        if channel == Self::CONTROL {
            Dispatch::Control
        } else if self.present.has(channel) {
            Dispatch::Disabled
        } else {
            Dispatch::Missing
        }
    }

    /// The channel is there and let through. Control always is.
    #[must_use]
    pub fn is_enabled(&self, channel: u8) -> bool {
        channel == Self::CONTROL || self.enabled.has(channel)
    }

    /// The channels that are there, but for control, each with what it dispatches to and whether it is let through.
    pub fn iter(&self) -> impl Iterator<Item = (u8, T, bool)> + '_ {
        let channels = (1..=u8::MAX).filter(|channel| self.present.has(*channel));
        let enabled = |channel| self.enabled.has(channel);
        channels
            .zip(&self.values)
            .map(move |(channel, value)| (channel, *value, enabled(channel)))
    }

    /// Channels, but for control.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// There is none but control.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hioload_base::Prng;

    use super::*;

    #[test]
    fn control_stays_as_it_is() {
        let mut channels = ChannelTable::new();
        assert_eq!(channels.dispatch(0), Dispatch::<u32>::Control);
        assert_eq!(channels.add(0, 1), Err(ChannelError::Reserved));
        assert_eq!(channels.remove(0), Err(ChannelError::Reserved));
        assert_eq!(channels.set_enabled(0, false), Err(ChannelError::Reserved));
        channels.clear();
        assert!(channels.is_enabled(0));
        assert_eq!(channels.dispatch(0), Dispatch::Control);
    }

    #[test]
    fn all_or_none_are_added() {
        let mut channels = ChannelTable::new();
        channels.add(9, 'x').expect("free");
        for refused in [
            [(1, 'a'), (9, 'b')],
            [(1, 'a'), (0, 'b')],
            [(1, 'a'), (1, 'b')],
        ] {
            assert!(channels.add_all(&refused).is_err());
            assert_eq!(channels.iter().collect::<Vec<_>>(), [(9, 'x', true)]);
        }
        channels.add_all(&[(255, 'c'), (1, 'a')]).expect("free");
        let all: Vec<_> = channels
            .iter()
            .map(|(channel, value, _)| (channel, value))
            .collect();
        assert_eq!(all, [(1, 'a'), (9, 'x'), (255, 'c')]);
    }

    /// Against a map, over all channels.
    #[test]
    fn a_table_is_a_map() {
        let mut prng = Prng::new(3);
        let mut channels = ChannelTable::new();
        let mut model: BTreeMap<u8, (u32, bool)> = BTreeMap::new();
        for number in 0..20_000 {
            let channel = prng.below(256) as u8;
            let is_there = model.contains_key(&channel);
            match prng.below(8) {
                0..=3 => {
                    let added = channels.add(channel, number).is_ok();
                    assert_eq!(added, channel != 0 && !is_there);
                    if added {
                        model.insert(channel, (number, true));
                    }
                }
                4 | 5 => {
                    let expected = model.remove(&channel);
                    assert_eq!(channels.remove(channel).is_ok(), expected.is_some());
                }
                6 => {
                    let is_enabled = prng.below(2) == 0;
                    let changed = channels.set_enabled(channel, is_enabled);
                    assert_eq!(changed.is_ok(), is_there);
                    if let Some(entry) = model.get_mut(&channel) {
                        entry.1 = is_enabled;
                    }
                }
                _ if prng.below(500) == 0 => {
                    channels.clear();
                    model.clear();
                }
                _ => {}
            }
            let expected = match model.get(&channel) {
                _ if channel == 0 => Dispatch::Control,
                None => Dispatch::Missing,
                Some((_, false)) => Dispatch::Disabled,
                Some((value, true)) => Dispatch::To(*value),
            };
            assert_eq!(channels.dispatch(channel), expected);
            assert_eq!(channels.len(), model.len());
        }
        let all: Vec<_> = channels
            .iter()
            .map(|(channel, value, on)| (channel, (value, on)))
            .collect();
        assert_eq!(all, model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_channel_of_a_stream_has_a_name() {
        let stream = StreamUid::new(0, 0, 0, 1).expect("in range");
        let name = ChannelUid { stream, channel: 7 };
        assert_eq!(name.to_string(), "0000000000000001.7");
    }
}
