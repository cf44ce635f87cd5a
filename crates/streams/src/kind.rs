//! What a stream carries.

use std::fmt;
use std::str::FromStr;

/// What a stream carries; limits and counters are kept by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// One request and its answer.
    Http,
    /// Messages both ways (RFC 6455), whatever carries them.
    WebSocket,
    /// Server-sent events.
    Sse,
    /// A request whose answer waits until there is something to say.
    LongPoll,
    /// Bytes both ways (CONNECT).
    Tunnel,
    /// A stream opened from here to somebody else.
    Client,
    /// A protocol of the application ([`Upgrade`](crate::Upgrade)).
    Custom,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Kind; 7] = [
        Kind::Http,
        Kind::WebSocket,
        Kind::Sse,
        Kind::LongPoll,
        Kind::Tunnel,
        Kind::Client,
        Kind::Custom,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its place in [`Kind::ALL`].
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name, as filters and figures have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::WebSocket => "websocket",
            Kind::Sse => "sse",
            Kind::LongPoll => "long-poll",
            Kind::Tunnel => "tunnel",
            Kind::Client => "client",
            Kind::Custom => "custom",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Kind, UnknownKind> {
        let mut kinds = Kind::ALL.into_iter();
        kinds.find(|kind| kind.name() == text).ok_or(UnknownKind)
    }
}

/// No kind has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind;

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kind of a stream is one of")?;
        for kind in Kind::ALL {
            write!(f, " {}", kind.name())?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), place);
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!("WebSocket".parse::<Kind>(), Err(UnknownKind));
        assert!(UnknownKind.to_string().ends_with("client custom"));
    }
}
