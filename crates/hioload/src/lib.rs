//! hioload: live connections on one io_uring reactor per core.
//!
//! A [`Server`] runs one worker per core; each worker owns its connections, its memory and its
//! instance of your [`Handler`], so that handlers need no locks. [`Layer`]s wrap handlers.
//!
//! ```no_run
//! use hioload::{Handler, Message, Server, Session};
//!
//! struct Shout;
//!
//! impl Handler for Shout {
//!     fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
//!         let loud = message.as_text().unwrap_or("?").to_uppercase();
//!         let _ = session.send(Message::text(&loud));
//!     }
//! }
//!
//! Server::builder().handler(|_worker| Shout).build()?.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![warn(unnameable_types)]

#[cfg(feature = "admin")]
pub mod admin;
pub mod client;
pub mod config;
mod context;
pub mod control;
mod handler;
pub mod http_client;
pub mod layer;
mod plan;
pub mod protocol;
mod recovery;
mod server;
mod session;
pub mod streams;

#[doc(hidden)]
pub mod simulation;

// What settings are made of.
pub use hioload_base::ByteSize;
pub use hioload_blocks::{Durability, DurabilitySyntax, Verify};
pub use hioload_http::h1::Limits as HttpLimits;
pub use hioload_http::h2::Limits as Http2Limits;
pub use hioload_live::{HistoryConfig, Policy};
pub use hioload_net::tls;
pub use hioload_reactor::{Clock, DriverConfig};
pub use hioload_ws::deflate::DeflatePolicy;
pub use hioload_ws::handshake::{AcceptPolicy, HandshakeLimits, OriginPolicy};
pub use hioload_ws::{KeepaliveConfig, Limits};

// What a server says, and what it is asked in.
pub use hioload_base::Time;
pub use hioload_live::ChannelError;
pub use hioload_mem::{Machine, PlanLine};
pub use hioload_reactor::{DriverKind, StartError};
pub use serde_json;

pub use client::{Client, ClientError, ClientSession};
pub use context::{Context, ContextFull, ContextKey, Scope};
pub use control::{Control, ReloadError};
pub use handler::{Broadcast, CloseCode, CloseReason, Echo, Handler, Kind, Message};
pub use http_client::HttpClient;
pub use layer::Layer;
pub use plan::MemoryPlan;
pub use protocol::Protocol;
pub use recovery::{Gap, Offset, Recovered, Recovery, Since};
pub use server::{
    ChannelRule, ChannelSettings, ChannelStats, DriverChoice, EventSettings, RunError, Server,
    ServerBuilder, ServerHandle, Settings, Stats, StoreConfig, TlsConfig,
};
pub use session::{PublishError, SendError, Session, SessionId, SubscribeError, WorkerContext};

/// The README's examples have to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
