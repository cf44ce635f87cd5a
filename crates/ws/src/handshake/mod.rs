//! The opening handshake over HTTP/1.1, both ends: bytes in, a verdict and bytes out; over HTTP/2 (RFC
//! 8441), fields in and fields out.
//!
//! ```text
//! server: Request::parse ─▶ accept ─▶ 101 in `out`, or a Refusal with its HTTP status
//! client: ClientRequest::encode ─▶ (network) ─▶ ClientRequest::check_response ─▶ Established
//!         ClientRequest::encode_extended ─▶ (HTTP/2) ─▶ ClientRequest::check_extended ─▶ Established
//! ```
//!
//! Knows no socket and no randomness: the client's nonce is an argument.
//!
//! Spec: RFC 6455 4, 9.1, 11.3; RFC 9110 5.6, 7.8; RFC 9112 2 to 5; RFC 7692 5, 7.1; RFC 8441 4, 5.

mod accept;
mod client;
mod extended;
mod head;
mod refusal;
mod request;

pub use accept::{AcceptPolicy, Accepted, OriginPolicy, accept, accept_extended};
pub use client::{ClientRequest, Established, HandshakeError};
pub use refusal::Refusal;
pub use request::Request;

use crate::limits::HEADERS_MAX;
pub use crate::limits::HandshakeLimits;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The length of a `Sec-WebSocket-Accept` value: 20 bytes in base64.
const ACCEPT_LEN: usize = 28;

/// The proof that a server read the key (RFC 6455 4.2.2, step 5.4).
fn accept_value(key: &[u8]) -> [u8; ACCEPT_LEN] {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut value = [0; ACCEPT_LEN];
    STANDARD
        .encode_slice(sha1.finalize(), &mut value)
        .expect("invariant: 20 bytes make 28");
    value
}
