//! RFC 6455 WebSocket and RFC 7692 permessage-deflate as pure state machines.
//!
//! Bytes in, events out; commands in, bytes out. There is no socket, no clock, no thread and no
//! buffer in here: time and randomness are arguments, and payload stays where the caller read it.
//!
//! ```text
//!             handshake::Request::parse ─▶ handshake::accept
//!  bytes ──▶                                      │ DeflateParams
//!             Session::handle_input ─▶ Event ─────┴─▶ deflate::Inflater ─▶ utf8::is_valid
//!             deflate::Deflater ─▶ Session::frame_header ─▶ bytes
//!  time ───▶  Keepalive::poll ─▶ Action
//! ```
//!
//! | module | noun |
//! |---|---|
//! | `session` | one connection: what may come, what may go |
//! | `frame`, `control`, `close` | what is on the wire |
//! | `mask`, [`utf8`] | the two things done to every byte |
//! | [`handshake`] | HTTP/1.1 upgrade, both ends |
//! | [`deflate`] | permessage-deflate: negotiation and engines |
//! | `keepalive` | pings, idleness, lifetime |
//! | `limits`, `offence` | every limit; every way to break a rule, with its close code |
//!
//! An error says who is at fault: [`Offence`] the peer, [`Misuse`] the caller,
//! [`handshake::Refusal`] and [`handshake::HandshakeError`] the other end of a handshake.
//!
//! An echo server's inner loop:
//!
//! ```
//! use hioload_ws::{CloseCode, Event, Limits, Offence, Outgoing, Role, Session};
//!
//! /// Answers each message with itself. (A real one also joins messages that come in pieces.)
//! fn echo(session: &mut Session, limits: &Limits, mut input: &mut [u8], out: &mut Vec<u8>) {
//!     loop {
//!         match session.handle_input(limits, &mut input) {
//!             Ok(None) => break,
//!             Ok(Some(Event::Data { kind, payload, first: true, last: true, .. })) => {
//!                 if let Ok(header) = session.frame_header(Outgoing::message(kind, payload.len())) {
//!                     out.extend_from_slice(&header);
//!                     out.extend_from_slice(payload);
//!                 }
//!             }
//!             Ok(Some(Event::Ping(payload))) => {
//!                 out.extend(session.pong(&payload, None).iter().flat_map(|frame| frame.iter()));
//!             }
//!             Ok(Some(Event::Close(_))) => {
//!                 let reply = session.close(CloseCode::NORMAL, "", None);
//!                 out.extend(reply.iter().flat_map(|frame| frame.iter()));
//!             }
//!             Ok(Some(_)) => {}
//!             Err(offence) => {
//!                 let reply = session.close(offence.code(), offence.reason(), None);
//!                 out.extend(reply.iter().flat_map(|frame| frame.iter()));
//!                 break;
//!             }
//!         }
//!     }
//! }
//!
//! let mut session = Session::new(Role::Server, false);
//! let mut out = Vec::new();
//! let mut input = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i', 0x89, 0x80, 0, 0, 0, 0];
//! echo(&mut session, &Limits::default(), &mut input, &mut out);
//! assert_eq!(out, [0x81, 2, b'h', b'i', 0x8A, 0]);
//! ```

#![forbid(unsafe_code)]

mod close;
mod control;
pub mod deflate;
mod frame;
pub mod handshake;
mod keepalive;
mod limits;
mod list;
mod mask;
mod offence;
mod session;
pub mod utf8;

pub use close::{CloseCode, CloseFrame};
pub use control::{CONTROL_FRAME_SIZE_MAX, CONTROL_PAYLOAD_SIZE_MAX, ControlFrame, ControlPayload};
pub use frame::{HEADER_SIZE_MAX, Header, Kind, Opcode, Outgoing, encode_header, header_size};
pub use keepalive::{Action, Keepalive, KeepaliveConfig, SPAN_MAX};
pub use limits::{FINAL_BLOCKS_MAX, HEADERS_MAX, LIMITS, Limits, PROTOCOLS_MAX};
pub use mask::mask;
pub use offence::{Misuse, Offence, OffenceKind};
pub use session::{Event, Role, Session};
