//! Bytes of what a worker keeps, for the memory plan.

use super::channel::{Channel, FeedSlot};
use super::connection::{Cold, Connection, Subscription};
use super::h2::{Multiplex, Stream};
use super::http::Exchange;
use super::hub::{SPARE_COUNT_MAX, SPARE_SIZE_MAX};
use super::poll::Poll;

/// An entry of the table of connections.
pub(crate) const CONNECTION: usize = size_of::<Option<(u32, Connection)>>();
/// What a connection that speaks TLS has beside its session.
pub(crate) const LINK: usize = super::tls::LINK_SIZE;
/// What only some connections have at a time.
pub(crate) const COLD: usize = size_of::<Cold>();
/// A request on a connection.
pub(crate) const EXCHANGE: usize = size_of::<Exchange>();
/// A connection of HTTP/2 beside its streams and the tables of its field compression.
pub(crate) const MULTIPLEX: usize = size_of::<Multiplex>();
/// A stream of an HTTP/2 connection, and the session or exchange on it.
pub(crate) const STREAM: usize = size_of::<Stream>() + CONNECTION + COLD + EXCHANGE;
/// A session that is polled.
pub(crate) const POLL: usize = size_of::<Poll>() + CONNECTION + COLD;
/// A subscription beside its slot in the feed.
pub(crate) const SUBSCRIPTION: usize = size_of::<Subscription>();
/// A channel and one feed of it.
pub(crate) const CHANNEL: usize = size_of::<Channel>() + size_of::<FeedSlot>();
/// Vectors that a worker keeps for messages of several pieces.
pub(crate) const SPARES: usize = SPARE_COUNT_MAX * SPARE_SIZE_MAX;
