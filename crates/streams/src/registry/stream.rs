//! One stream as its registry knows it.

use core::net::SocketAddr;

use hioload_base::Time;

use crate::channels::ChannelTable;
use crate::{Kind, StreamInfo, StreamUid};

/// What a registry keeps of one stream. First what lookups and messages touch: they lie together.
#[derive(Debug)]
#[repr(C)]
pub struct Stream {
    kind: Kind,
    pub(super) is_autonomous: bool,
    handle: u64,
    active: Time,
    bytes_in: u64,
    bytes_out: u64,
    created: Time,
    pub(super) extra: Option<Box<Extra>>,
    /// Whoever adopted it.
    pub(super) owner: Option<StreamUid>,
    peer: Option<SocketAddr>,
}

/// What only some streams have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) channels: Option<ChannelTable<u32>>,
    /// Streams that end with this one, wherever they live.
    pub(super) adopted: Vec<StreamUid>,
}

/// A stream to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct New {
    /// What it carries.
    pub kind: Kind,
    /// The other end, if it is known.
    pub peer: Option<SocketAddr>,
    /// What its worker knows it by; nobody else looks at it.
    pub handle: u64,
}

impl New {
    /// A stream of this kind, of which nothing else is known.
    #[must_use]
    pub const fn of(kind: Kind) -> New {
        New {
            kind,
            peer: None,
            handle: 0,
        }
    }
}

impl Stream {
    pub(super) fn new(new: New, now: Time) -> Stream {
        Stream {
            created: now,
            active: now,
            bytes_in: 0,
            bytes_out: 0,
            handle: new.handle,
            peer: new.peer,
            owner: None,
            extra: None,
            kind: new.kind,
            is_autonomous: false,
        }
    }

    /// What it carries.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The other end, if it is known.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// What its worker knows it by.
    #[inline]
    #[must_use]
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// It lives on by itself: neither whoever opened it nor anybody else has it.
    #[inline]
    #[must_use]
    pub fn is_autonomous(&self) -> bool {
        self.is_autonomous
    }

    /// Whoever adopted it.
    #[must_use]
    pub fn owner(&self) -> Option<StreamUid> {
        self.owner
    }

    /// When something last came or went.
    #[inline]
    #[must_use]
    pub fn active(&self) -> Time {
        self.active
    }

    /// Its channels, if it ever had any.
    #[inline]
    #[must_use]
    pub fn channels(&self) -> Option<&ChannelTable<u32>> {
        self.extra.as_ref()?.channels.as_ref()
    }

    /// Its channels, to be changed; they are made when first asked for.
    pub fn channels_mut(&mut self) -> &mut ChannelTable<u32> {
        let extra = self.extra.get_or_insert_default();
        extra.channels.get_or_insert_default()
    }

    #[inline]
    pub(super) fn moved(&mut self, bytes_in: u64, bytes_out: u64, now: Time) {
        self.active = now;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
    }

    /// Everything known of it.
    #[must_use]
    pub fn info(&self, uid: StreamUid) -> StreamInfo {
        StreamInfo {
            uid,
            kind: self.kind,
            is_autonomous: self.is_autonomous,
            owner: self.owner,
            peer: self.peer,
            created: self.created,
            active: self.active,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            handle: self.handle,
        }
    }
}
