//! HTTP/2 (RFC 9113), one connection: both sides, extended CONNECT (RFC 8441), priorities (RFC 9218).
//!
//! ```text
//!   bytes ─▶ Connection::handle_input ─▶ Event (Head, Data, Reset, …)
//!                                            │ respond, open, trailers, queue, consumed, reset, release
//!   bytes ◀─ output ◀── control frames and header blocks, in their order
//!   bytes ◀─ data_header(grant) + content of the caller ◀── poll_send: whose turn it is
//!   time ──▶ handle_timeout, poll_timeout
//! ```
//!
//! Content is never copied and never kept: what comes lies in the caller's input, what goes stays with the caller until
//! both windows and the priorities grant it. What is queued in [`Connection::output`] has to be written before the frame
//! of a [`Grant`] that was given after it.
//!
//! A stream's slot is free when its owner says [`Connection::release`], not when the protocol has ended it: a peer that
//! resets what it asks for still waits for those who work for it.

mod abuse;
mod connection;
mod error_code;
mod event;
mod flow;
mod frame;
mod header_list;
mod limits;
mod offence;
mod priority;
mod scheduler;
mod settings;
mod stream;
mod streams;

pub use abuse::{Ledger, Reason};
pub use connection::Connection;
pub use error_code::ErrorCode;
pub use event::{Event, Grant, RequestHead, StreamRef};
pub use header_list::{HeadKind, HeaderList};
pub use limits::{DATA_TINY_SIZE, LIMITS, Limits};
pub use offence::{Misuse, Offence, OpenError, Scope};
pub use priority::Priority;
pub use settings::PeerSettings;
