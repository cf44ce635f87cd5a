//! Which streams a walk is about, and where it is.

use core::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hioload_base::Time;

use crate::Kind;
use crate::registry::Stream;

/// Which peers a walk is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerFilter {
    /// All.
    #[default]
    Any,
    /// Those at this address, whatever their port.
    Ip(IpAddr),
    /// This one.
    Exact(SocketAddr),
}

/// Which streams a walk is about: those that meet all of it. The default is all streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this kind only.
    pub kind: Option<Kind>,
    /// With this peer only.
    pub peer: PeerFilter,
    /// Silent for at least so long.
    pub idle_min: Option<Duration>,
    /// Autonomous ones only.
    pub autonomous_only: bool,
}

impl Filter {
    /// Those silent for `duration` and longer.
    #[must_use]
    pub fn inactive(duration: Duration) -> Filter {
        Filter {
            idle_min: Some(duration),
            ..Filter::default()
        }
    }

    /// The stream meets all of it.
    #[inline]
    #[must_use]
    pub fn matches(&self, stream: &Stream, now: Time) -> bool {
        self.kind.is_none_or(|kind| kind == stream.kind())
            && (!self.autonomous_only || stream.is_autonomous())
            && self
                .idle_min
                .is_none_or(|idle| now - stream.active() >= idle)
            && match self.peer {
                PeerFilter::Any => true,
                PeerFilter::Ip(ip) => stream.peer().is_some_and(|peer| peer.ip() == ip),
                PeerFilter::Exact(addr) => stream.peer() == Some(addr),
            }
    }
}

/// Where a walk over one registry goes on. Good for as long as one likes: it is a place, not a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

impl Cursor {
    /// Before the first stream.
    pub const START: Cursor = Cursor(0);

    /// As one number.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Back from the number; every value is a place.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Cursor {
        Cursor(bits)
    }

    /// At this stream slot, of this socket slot.
    pub(crate) const fn at(socket: u32, stream: u32) -> Cursor {
        // A stream slot one past the last is the next socket's first.
        Cursor(((socket as u64) << 16) + stream as u64)
    }

    /// Socket slot; beyond all that there are when the walk is over.
    pub(crate) const fn socket(self) -> u64 {
        self.0 >> 16
    }

    pub(crate) const fn stream(self) -> u32 {
        (self.0 & 0xffff) as u32
    }
}
