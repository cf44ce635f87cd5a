//! HTTP/1.1 (RFC 9112), one connection at a time.
//!
//! ```text
//!   Server::handle_input(bytes) ─▶ Head, Body…, End ─▶ (the answer is written) ─▶ response_done ─▶ next Head
//!   Client::handle_input(bytes) ─▶ Head, Body…, End ─▶ next response
//! ```
//!
//! A head is taken only when all of it is there: until then the input stays with the caller. Bodies are
//! handed out where they lie, without their framing. What is malformed is refused with a status, and the
//! connection is then of no further use: where one message ends and the next begins is not certain any
//! more (RFC 9112 11.2).

mod chunked;
mod client;
mod encode;
mod head;
mod limits;
mod refusal;
mod request;
mod response;
mod server;
mod target;

pub use client::{Client, ClientEvent};
pub use encode::{
    CHUNK_END, CHUNKED, CONTINUE, LAST_CHUNK, write_chunk_size, write_request_head,
    write_response_head,
};
pub use limits::{LIMITS, Limits};
pub use refusal::Refusal;
pub use response::{Response, ResponseError, reason_of};
pub use server::{Event, Server};
pub(crate) use target::{is_host, origin_form};

pub use crate::fields::Fields;
pub use crate::request::{Body, Request};
