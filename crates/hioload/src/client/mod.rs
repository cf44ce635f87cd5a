//! Clients: one that waits, and a state machine for any event loop.
//!
//! ```text
//!   Client (socket, TLS, timeouts) ─┐
//!   reactor worker, event loop ─────┴─▶ ClientSession ─▶ ws: handshake, Session, deflate
//! ```
//!
//! [`Client`] is for programs that do one thing at a time; [`ClientSession`] is the same without
//! the socket: bytes in, events out. `wss://` is TLS: the client shakes hands by itself, around a session
//! put [`crate::tls::Session`]. Server-sent events are read by [`HttpClient::events`](crate::HttpClient::events).
//!
//! A `ClientSession` in a loop of one's own; any source of bytes will do:
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! use hioload::Message;
//! use hioload::client::{ClientEvent, ClientOptions, ClientSession};
//!
//! let url = "ws://127.0.0.1:9002/".parse()?;
//! let mut session = ClientSession::new(&url, ClientOptions::default())?;
//! let mut socket = std::net::TcpStream::connect((url.host(), url.port()))?;
//! let mut buffer = vec![0; 64 * 1024];
//! while !session.is_over() {
//!     socket.write_all(&session.take_output())?;
//!     let size = socket.read(&mut buffer)?;
//!     if size == 0 {
//!         session.handle_eof()?;
//!     }
//!     let mut input = &mut buffer[..size];
//!     while let Some(event) = session.handle_input(&mut input)? {
//!         match event {
//!             ClientEvent::Open => session.send(Message::text("hello"))?,
//!             ClientEvent::Message(kind, payload) => println!("{kind:?} of {} bytes", payload.len()),
//!             ClientEvent::Pong(_) => {}
//!             ClientEvent::Closed(closing) => println!("closed: {closing}"),
//!         }
//!     }
//! }
//! socket.write_all(&session.take_output())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocking;
mod error;
mod keys;
mod options;
mod session;
mod stream;
mod url;

pub use blocking::{Client, ClientBuilder, Incoming, Messages};
pub use error::{ClientError, Closing, UrlFault};
pub use getrandom::Error as EntropyError;
pub use hioload_ws::deflate::DeflateOffer;
pub use hioload_ws::handshake::{Established, HandshakeError, HandshakeLimits};
pub use hioload_ws::{Limits, Misuse, Offence};
pub use keys::Entropy;
pub use options::ClientOptions;
pub use session::{ClientEvent, ClientSession, Payload};
pub use url::Url;
