//! What an answered PUT or DELETE has survived.
//!
//! Must not know who syncs: the controller reads the mode, replies and `GET /stats` say it.

use std::fmt;
use std::time::Duration;

/// When changes are made durable, and whether their replies wait for it.
///
/// ```
/// use hioload_blocks::Durability;
/// use std::time::Duration;
///
/// assert_eq!("group:2".parse(), Ok(Durability::Group(Duration::from_millis(2))));
/// assert_eq!(Durability::default().to_string(), "durable");
/// assert!("group:0".parse::<Durability>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A reply is sent when data and index are on the medium. What waits is synced together, nobody waits for more to come.
    #[default]
    Durable,
    /// The same, and a batch stays open for so long: fewer syncs, later replies.
    Group(Duration),
    /// Replies do not wait. Data and index are synced about once a second: a power failure loses what came after the last
    /// time, as if it had never been. What is damaged by that is found by its checksums and not served.
    Relaxed,
}

impl Durability {
    /// Shortest and longest time of a group, in milliseconds.
    pub const GROUP_MS: std::ops::RangeInclusive<u64> = 1..=1000;

    /// Whether an acknowledged change has survived a power failure.
    #[inline]
    pub const fn is_durable(self) -> bool {
        !matches!(self, Durability::Relaxed)
    }

    /// How long a batch stays open for more.
    #[inline]
    pub const fn gather(self) -> Duration {
        match self {
            Durability::Group(interval) => interval,
            Durability::Durable | Durability::Relaxed => Duration::ZERO,
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Durable => f.write_str("durable"),
            Durability::Group(interval) => write!(f, "group:{}", interval.as_millis()),
            Durability::Relaxed => f.write_str("relaxed"),
        }
    }
}

impl std::str::FromStr for Durability {
    type Err = DurabilitySyntax;

    fn from_str(text: &str) -> Result<Durability, DurabilitySyntax> {
        if let Some(millis) = text.strip_prefix("group:") {
            let millis = millis.parse().map_err(|_| DurabilitySyntax)?;
            if !Durability::GROUP_MS.contains(&millis) {
                return Err(DurabilitySyntax);
            }
            return Ok(Durability::Group(Duration::from_millis(millis)));
        }
        match text {
            "durable" => Ok(Durability::Durable),
            "relaxed" => Ok(Durability::Relaxed),
            _ => Err(DurabilitySyntax),
        }
    }
}

/// Not one of the modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurabilitySyntax;

impl fmt::Display for DurabilitySyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = Durability::GROUP_MS.into_inner();
        write!(
            f,
            "durability is `durable`, `relaxed`, or `group:` with {min} to {max} ms"
        )
    }
}

impl std::error::Error for DurabilitySyntax {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        for mode in [
            Durability::Durable,
            Durability::Relaxed,
            Durability::Group(Duration::from_millis(1)),
            Durability::Group(Duration::from_millis(1000)),
        ] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for text in [
            "",
            "Durable",
            "group",
            "group:",
            "group:0",
            "group:1001",
            "group:-1",
        ] {
            assert_eq!(text.parse::<Durability>(), Err(DurabilitySyntax), "{text}");
        }
    }
}
