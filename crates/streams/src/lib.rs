//! The stream manager: long-lived streams by a 64-bit UID, found and acted on from any worker.
//!
//! It knows no sockets, clocks, threads or protocols: time is an argument, commands between workers
//! are values which the caller carries in order, what a stream really is stays with the caller (a `handle`).
//!
//! ```text
//!  any worker ── Router::route(uid) ─┬─ Here ──────────────▶ Registry::find ─▶ handle ─▶ the caller's stream
//!                                    └─ There(worker) ─ Command ─▶ that worker's mailbox ─▶ the same, over there
//!                                                       ◀─ Reply ─ told: done, refused, found
//!  Registry:  socket slot ─▶ page ─▶ first stream inline │ others boxed       one per worker, nothing shared
//! ```
//!
//! | noun | what it is |
//! |---|---|
//! | [`StreamUid`] | worker, socket slot, stream slot, generation: valid exactly while the stream lives |
//! | [`Registry`] | the streams of one worker: register, find, detach, attach, list, sweep |
//! | [`Total`] | the bound on streams of all workers together |
//! | [`Command`], [`Reply`] | what is asked of another worker's stream, and the answer |
//! | [`Router`], [`Tickets`] | where a UID lives; who asked |
//! | [`Backlog`] | writes from elsewhere that wait for room in their stream, bounded |
//! | [`ChannelTable`] | channels 0 to 255 inside a stream |
//! | [`Proxy`] | two streams joined, both ways, with backpressure |
//! | [`Placement`] | the worker for an outgoing connection |
//! | [`Upgrade`] | a custom protocol: detect, handshake, ready |
//!
//! # Invariants
//!
//! - A UID names one stream, from its birth to its end; no stream alive has the UID of another one, and a UID
//!   comes back only after its socket slot has given out all its UIDs ([`registry`] says how many those are).
//! - Nobody holds a pointer into another worker's state: what is asked from elsewhere is done by the owner.
//! - Commands of one sender to one stream are carried out in the order sent; what is refused is told.
//! - Each walk over streams is bounded and can be resumed; a stream that lives all the while is met exactly once.
//!
//! # Example
//!
//! ```
//! use hioload_base::Time;
//! use hioload_streams::{Config, End, Kind, New, Registry, Total};
//!
//! let now = Time::ZERO;
//! let mut registry = Registry::new(0, Config::default(), Total::new(1000));
//! let uid = registry.register(7, New::of(Kind::WebSocket), now)?;
//! assert!(registry.exists(uid));
//! registry.detach(uid, now);
//! assert!(registry.find(uid).is_some_and(|stream| stream.is_autonomous()));
//! registry.unregister(uid, End::Closed);
//! assert!(!registry.exists(uid));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! [`LIMITS`] lists every limit with unit, default and what happens when it is reached.
#![forbid(unsafe_code)]

mod backlog;
mod channels;
mod command;
mod event;
mod filter;
mod info;
mod kind;
mod limits;
mod placement;
mod proxy;
pub mod registry;
mod router;
mod stats;
mod tickets;
mod total;
mod uid;
mod upgrade;

pub use backlog::{Backlog, BacklogConfig, BacklogFull, Foreign};
pub use channels::{ChannelError, ChannelEvent, ChannelTable, ChannelUid, Dispatch};
pub use command::{Command, Refusal, Reply};
pub use event::{End, Event};
pub use filter::{Cursor, Filter, PeerFilter};
pub use info::StreamInfo;
pub use kind::Kind;
pub use limits::LIMITS;
pub use placement::Placement;
pub use proxy::{Action, Proxy, Side};
pub use registry::{AttachError, Config, New, Registry, Rejected, Removed, Step, Stream};
pub use router::{Route, Router};
pub use stats::Stats;
pub use tickets::{Ticket, Tickets};
pub use total::Total;
pub use uid::{ParseUidError, StreamUid};
pub use upgrade::{Upgrade, UpgradeRefusal, UpgradeRequest, Upgrades};
