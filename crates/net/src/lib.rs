//! Transports: what lies between a socket's bytes and a protocol's.
//!
//! ```text
//!   socket ── bytes ──▶ tls::Session ── plain bytes ──▶ HTTP, WebSocket
//!          ◀─────────               ◀────────────────
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`tls`] | TLS 1.2 and 1.3 of one connection, either end, without a socket |
//!
//! Must not know services, sockets or clocks of its own: bytes in, bytes out.

#![forbid(unsafe_code)]

pub mod tls;

pub use tls::LIMITS;
