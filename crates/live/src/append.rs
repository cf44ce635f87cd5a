//! Messages between the owner of a channel and its feeds: small, by value, in order.
//!
//! The carrier keeps the order of what one worker sends to another, and nothing more. A message
//! which is late or still under way when its receiver is gone does no harm: a feed takes nothing before
//! the answer to its own question (`life`), an owner ignores progress from before the latest
//! attachment (`round`).

use crate::Class;
use hioload_mem::Segment;

/// Sequence number of a publication in its channel. The first is 1; 0 stands before all.
pub type Offset = u64;

/// All of a class log since the previous append to the same worker, as far as one chunk reaches.
#[derive(Clone, Debug)]
pub struct Append {
    pub(crate) frames: Segment,
    pub(crate) records: Segment,
    /// Position of the start of the owner's chunk, which the records count from.
    pub(crate) base: u64,
    /// Where `frames` starts in that chunk.
    pub(crate) start: u32,
    pub(crate) class: Class,
    /// The owner has no room left: report how far this feed has trimmed as soon as it has got here.
    pub(crate) asks: bool,
    pub(crate) first: Offset,
}

impl Append {
    /// The class log it continues.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The encoded frames.
    #[must_use]
    pub fn frames(&self) -> &Segment {
        &self.frames
    }

    /// Offset of the first publication in it.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        self.first
    }

    pub(crate) fn position(&self) -> u64 {
        self.base + u64::from(self.start)
    }

    pub(crate) fn end(&self) -> u64 {
        self.position() + self.frames.len() as u64
    }
}

/// A place in the history of a channel: what a client has seen last. As text it is `epoch:offset`, the
/// epoch as 16 hexadecimal digits.
///
/// ```
/// use hioload_live::Since;
///
/// let place = Since { epoch: 0xAB, offset: 7 };
/// assert_eq!(place.to_string(), "00000000000000ab:7");
/// assert_eq!("00000000000000ab:7".parse(), Ok(place));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Since {
    /// The life of the channel in which the offset was given.
    pub epoch: u64,
    /// The last publication seen.
    pub offset: Offset,
}

impl Since {
    /// Bytes of the longest text of a place.
    pub const TEXT_SIZE_MAX: usize = 16 + 1 + 20;
}

impl std::fmt::Display for Since {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}:{}", self.epoch, self.offset)
    }
}

/// A text that names no place in a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoPlace;

impl std::fmt::Display for NoPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a place in a channel, such as 0123456789abcdef:42")
    }
}

impl std::error::Error for NoPlace {}

impl std::str::FromStr for Since {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Since, NoPlace> {
        let (epoch, offset) = text.split_once(':').ok_or(NoPlace)?;
        let is_number = |digits: &str, is_digit: fn(&u8) -> bool| {
            !digits.is_empty() && digits.as_bytes().iter().all(is_digit)
        };
        // Numbers would be read with a sign, too.
        let is_place = epoch.len() == 16
            && is_number(epoch, u8::is_ascii_hexdigit)
            && is_number(offset, u8::is_ascii_digit);
        let epoch = u64::from_str_radix(epoch, 16).ok().filter(|_| is_place);
        Ok(Since {
            epoch: epoch.ok_or(NoPlace)?,
            offset: offset.parse().map_err(|_| NoPlace)?,
        })
    }
}

/// What a feed asks the owner: to be attached, or to find history for one more subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    pub(crate) class: Class,
    pub(crate) life: u64,
    pub(crate) since: Option<Since>,
}

impl Ask {
    /// The class log it is about.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }
}

/// Whether a recovery gives everything since the place asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recovered {
    /// Nothing was to be recovered: the subscriber starts at the end of the log.
    Tail,
    /// Every publication since the place asked for follows.
    Complete,
    /// The publications from `from` to `to`, both included, are gone; what comes after them follows.
    Gap {
        /// The first publication missed.
        from: Offset,
        /// The last publication missed.
        to: Offset,
    },
    /// The place belongs to another life of the channel: what was missed cannot be said.
    /// All that is kept of this life follows.
    OtherEpoch,
}

/// The owner's answer to an attachment: where the feed starts, and history for the subscriber who
/// asked for it. Goes to the worker in order with its appends.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The life of the channel.
    pub epoch: u64,
    /// The last publication of the channel at this moment.
    pub offset: Offset,
    /// Whether what follows is all that was asked for.
    pub recovered: Recovered,
    /// The first publication which follows.
    pub first: Offset,
    pub(crate) class: Class,
    pub(crate) life: u64,
    pub(crate) round: u32,
    /// Where the subscriber who asked starts.
    pub(crate) start: u64,
    /// The end of the log.
    pub(crate) end: u64,
    /// The log from `start`, or from where the worker was if that is earlier, to `end`.
    pub(crate) pieces: Box<[Append]>,
}

impl Attached {
    /// The class log attached to.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }
}

/// What a feed tells the owner: how much of the log it needs no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    pub(crate) class: Class,
    pub(crate) round: u32,
    pub(crate) trimmed: u64,
    pub(crate) is_pressed: bool,
}

impl Progress {
    /// The class log it is about.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Whether a subscriber which makes progress lags by more than half the budget.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.is_pressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_texts_and_back() {
        for (epoch, offset) in [(0, 0), (1, 10), (u64::MAX, u64::MAX)] {
            let place = Since { epoch, offset };
            let text = place.to_string();
            assert!(text.len() <= Since::TEXT_SIZE_MAX);
            assert_eq!(text.parse(), Ok(place));
        }
        for text in [
            "",
            ":",
            "1:1",
            "00000000000000ab",
            "00000000000000ab:",
            "00000000000000ab:-1",
            "00000000000000ab:+1",
            "+0000000000000ab:1",
            "000000000000000ab:1",
            "00000000000000ag:1",
            "00000000000000ab:18446744073709551616",
            "00000000000000ab:1 ",
        ] {
            assert_eq!(text.parse::<Since>(), Err(NoPlace), "{text:?}");
        }
    }
}
