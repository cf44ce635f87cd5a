//! Channel logs and cursors: fan-out, backpressure, history and recovery as one state machine.
//!
//! It knows no sockets, clocks, threads or frame formats: frames come from an [`Encode`] seam, time
//! is an argument, messages between workers are values which the caller carries in order.
//!
//! ```text
//!  publish ─▶ Owner ── one log a class, each frame encoded once ──┬─ Append ─▶ Feed (worker 0) ─▶ cursors
//!               ▲                                                 └─ Append ─▶ Feed (worker 1) ─▶ cursors
//!               └────────────── Progress: trimmed to, pressure ◀──────────────────┘
//! ```
//!
//! - [`Owner`] lives on the one worker that owns the channel. It gives every publication its offset,
//!   encodes it once for each [`Class`] in use into pooled chunks, keeps history, counts the budget.
//! - [`Feed`] lives on every worker with subscribers: the part of one class log that somebody
//!   here still has to read, and a cursor for each subscriber.
//! - [`Channels`] names channels on one worker and forgets those which stayed empty.
//!
//! # Invariants
//!
//! - All subscribers of a channel see its publications in the order of their offsets.
//! - A subscriber that drains at least the minimum rate loses nothing: when the log is full the
//!   publisher is refused, never the reader robbed.
//! - What one `Owner` counts covers whatever any worker still holds of its log, and never exceeds its
//!   budget, however many readers are slow.
//! - Each publication a subscriber was entitled to and did not get is counted and told.
//! - Between one `Owner` and one `Feed` messages stay in order; nothing else is asked of the carrier.
//!
//! # Example
//!
//! ```
//! use hioload_base::Time;
//! use hioload_live::{
//!     Class, Encode, Feed, FeedConfig, Origin, Owner, OwnerConfig, Scan, Start, Unencoded,
//! };
//! use hioload_mem::{BufferPool, PoolConfig};
//!
//! /// Frames are lines.
//! struct Lines;
//!
//! impl Encode for Lines {
//!     fn room(&self, _: Class, publication: &Unencoded<'_>) -> usize {
//!         publication.payload.len() + 1
//!     }
//!
//!     fn encode(&mut self, _: Class, publication: &Unencoded<'_>, out: &mut [u8]) -> usize {
//!         let payload = publication.payload;
//!         out[..payload.len()].copy_from_slice(payload);
//!         out[payload.len()] = b'\n';
//!         payload.len() + 1
//!     }
//! }
//!
//! let pool = BufferPool::new(PoolConfig::default())?;
//! let now = Time::ZERO;
//! let mut owner = Owner::new(OwnerConfig::default());
//! let mut feed = Feed::new(FeedConfig::default());
//! feed.attach(&owner.attach(0, feed.ask(None), now));
//! feed.subscribe(7, Start::Tail)?;
//!
//! owner.publish(&pool, &mut Lines, now, 0, b"one", Origin::NONE)?;
//! owner.publish(&pool, &mut Lines, now, 0, b"two", Origin::NONE)?;
//! while let Some(append) = owner.append_for(0, Class::PLAIN) {
//!     feed.append(append);
//! }
//!
//! let (mut scan, mut out) = (Scan::default(), Vec::new());
//! while let Some((subscriber, user)) = feed.next_ready(&mut scan) {
//!     let size = feed.next(subscriber, 64 * 1024, &mut out);
//!     assert_eq!((user, &out[0][..]), (7, &b"one\ntwo\n"[..]));
//!     feed.sent(subscriber, size, now);
//! }
//! if let Some(progress) = feed.progress(now) {
//!     owner.on_progress(0, progress, now);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! [`LIMITS`] lists every limit with unit, default and what happens when it is reached.
#![forbid(unsafe_code)]

mod append;
mod budget;
mod channels;
mod class;
mod class_log;
mod encode;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod held;
mod history;
mod limits;
mod origin;
mod owner;
mod pace;
mod reading;
mod record;
mod subscriber;
mod sweep;

pub use append::{Append, Ask, Attached, NoPlace, Offset, Progress, Recovered, Since};
pub use budget::Budget;
pub use channels::{ChannelError, ChannelKey, Channels, ChannelsConfig, owner_of};
pub use class::{Class, Classes};
pub use encode::{Encode, Unencoded};
pub use feed::{Feed, FeedConfig, FeedStats, Policy, Start};
pub use history::HistoryConfig;
pub use limits::LIMITS;
pub use origin::Origin;
pub use owner::{Owner, OwnerConfig, OwnerStats, PublishError};
pub use reading::Scan;
pub use subscriber::SubscriberKey;
pub use sweep::{Action, Gap, Stalled};
