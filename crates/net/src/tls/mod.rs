//! TLS as a state machine: records in, plain bytes out, and back. No socket in here.
//!
//! ```text
//!   Acceptor (server: certificates, tickets) ──accept──┐
//!   Connector (client: roots) ─────────────────connect──┤
//!                                                       ▼
//!     records ──▶ Session::handle_input ──▶ Event (Handshake, Data, Closed)
//!     plain ────▶ Session::encrypt ───────▶ records
//! ```
//!
//! | module | noun |
//! |---|---|
//! | `session` | one connection: [`Session`], its [`Event`]s, the [`Inbox`] that plain bytes lie in |
//! | `acceptor`, `connector` | what all sessions of a server, or of a client, share |
//! | `certificates` | chains and keys from PEM, self-signed ones, the choice by SNI |
//! | `failure` | every way a session fails, by who is at fault; why a set-up is refused |
//! | `limits` | every bound |
//!
//! The protocol itself is rustls, with the primitives of ring (a C compiler is all it takes to build). Nothing of
//! either shows through: the rest of the product knows the handful of methods of [`Session`], so that their next
//! API is one file's work here.
//!
//! Both ends in one thread:
//!
//! ```
//! use hioload_net::tls::{self, Acceptor, AcceptorConfig, Connector, ConnectorConfig, Event, Inbox, Roots};
//!
//! let pair = tls::self_signed(&["localhost".to_owned()])?;
//! let acceptor = Acceptor::new(&AcceptorConfig::with_pem(&pair))?;
//! let connector = Connector::new(&ConnectorConfig {
//!     roots: Roots::Pem(pair.certificate.clone()),
//!     ..ConnectorConfig::default()
//! })?;
//! let (mut server, mut client) = (acceptor.accept()?, connector.connect("localhost")?);
//! let mut inbox = Inbox::default();
//! while client.is_handshaking() || server.is_handshaking() {
//!     let mut wire = Vec::new();
//!     client.poll_output(&mut wire);
//!     let mut input = &mut wire[..];
//!     while server.handle_input(&mut input, &mut inbox)?.is_some() {}
//!     wire.clear();
//!     server.poll_output(&mut wire);
//!     let mut input = &mut wire[..];
//!     while client.handle_input(&mut input, &mut inbox)?.is_some() {}
//! }
//! let mut records = [0; 256];
//! let sealed = client.encrypt([&b"hello"[..]], &mut Vec::new(), &mut records)?;
//! assert_eq!(sealed.plain, 5);
//! let mut input = &mut records[..sealed.cipher];
//! let event = server.handle_input(&mut input, &mut inbox)?;
//! assert_eq!(event, Some(Event::Data(&mut b"hello".to_vec())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acceptor;
mod certificates;
mod connector;
mod failure;
mod limits;
mod session;

pub use acceptor::{Acceptor, AcceptorConfig};
pub use certificates::{Identity, PemPair, self_signed};
pub use connector::{Connector, ConnectorConfig, Roots};
pub use failure::{Failure, Fault, Reason, SetupError};
pub use limits::{
    ALPN_COUNT, CHAINS, DATA_SIZE, FILE_SIZE, LIMITS, RECORD_OVERHEAD, SESSION_SIZE, SPILL_SIZE,
};
pub use session::{Event, Handshake, Inbox, Sealed, Session, Version};
