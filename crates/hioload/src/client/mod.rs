//! Clients: one that waits, and a state machine for any event loop.
//!
//! ```text
//!   Client (TcpStream, timeouts) ─┐
//!   reactor worker, event loop ───┴─▶ ClientSession ─▶ ws: handshake, Session, deflate
//! ```
//!
//! [`Client`] is for programs that do one thing at a time; [`ClientSession`] is the same without
//! the socket: bytes in, events out. TLS is not built in: `wss://` is refused with an error.

mod blocking;
mod error;
mod keys;
mod options;
mod session;
mod url;

pub use blocking::{Client, ClientBuilder, Incoming, Messages};
pub use error::{ClientError, Closing, UrlFault};
pub use hioload_ws::deflate::DeflateOffer;
pub use hioload_ws::handshake::{HandshakeError, HandshakeLimits};
pub use hioload_ws::{Limits, Misuse, Offence};
pub use keys::Entropy;
pub use options::ClientOptions;
pub use session::{ClientEvent, ClientSession, Payload};
pub use url::Url;
