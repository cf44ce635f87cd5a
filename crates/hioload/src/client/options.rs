//! What a client asks for and what it puts up with.

use hioload_ws::Limits;
use hioload_ws::deflate::DeflateOffer;
use hioload_ws::handshake::HandshakeLimits;

/// Wishes and limits of one client. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Subprotocols, the one liked best first.
    pub protocols: Vec<String>,
    /// The `Origin` header.
    pub origin: Option<String>,
    /// More headers, such as `Authorization`.
    pub headers: Vec<(String, String)>,
    /// Compression to offer; `None` offers none.
    pub deflate: Option<DeflateOffer>,
    /// Smaller messages are sent as they are, even where compression was agreed.
    pub deflate_size_min: usize,
    /// 0 (fast) to 9 (small).
    pub deflate_level: u32,
    /// Sizes of frames and messages that are taken.
    pub limits: Limits,
    /// Sizes of the response's head.
    pub handshake: HandshakeLimits,
    /// Output that may wait to be written to the socket.
    pub output_size_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            protocols: Vec::new(),
            origin: None,
            headers: Vec::new(),
            deflate: None,
            deflate_size_min: 64,
            deflate_level: 1,
            limits: Limits::default(),
            handshake: HandshakeLimits::default(),
            output_size_max: 64 << 20,
        }
    }
}
