//! Where a subscription begins, as its session is told: the position a client has to remember to
//! come back, and whether it got everything since the one it came back with.
//!
//! ```text
//!   subscribe ──────────────▶ Handler::recovered: Tail ─────────▶ publications from `first` on
//!   subscribe_since(place) ─▶ Handler::recovered: Complete, … ──▶ publications from `first` on
//! ```
//!
//! A WebSocket message carries no offset, so a client counts: it starts with what
//! [`Recovery::position`] gives and adds one for each publication of the channel that comes, or
//! goes to [`Gap::to`] when it is told of one. Where senders do not get their own publications
//! (`channel.exclude_sender`) those cannot be counted: such a channel has to number its messages itself.

use hioload_live::Attached;
pub use hioload_live::{Gap, Offset, Recovered, Since};

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The life of the channel. It ends when the server does, or when nobody used the channel and
    /// nothing of it was kept for `channel.linger`.
    pub epoch: u64,
    /// The last publication of the channel so far.
    pub offset: Offset,
    /// The first publication which follows: one past `offset`, unless history comes first.
    pub first: Offset,
    /// Whether that is everything that was asked for.
    pub outcome: Recovered,
}

impl Recovery {
    /// The place just before what follows: what a client remembers before the first publication.
    #[must_use]
    pub fn position(&self) -> Since {
        Since {
            epoch: self.epoch,
            offset: self.first - 1,
        }
    }

    /// A subscription without history.
    pub(crate) fn tail(epoch: u64, offset: Offset) -> Self {
        Self {
            epoch,
            offset,
            first: offset + 1,
            outcome: Recovered::Tail,
        }
    }

    pub(crate) fn of(attached: &Attached) -> Self {
        Self {
            epoch: attached.epoch,
            offset: attached.offset,
            first: attached.first,
            outcome: attached.recovered,
        }
    }
}
