//! Every limit of this crate: unit, default, reason, and what happens when it is reached.

/// What one message may cost. Shared by all sessions of a server and passed by reference on each
/// call, so that a change takes effect with the next frame of every session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message in bytes, as it is on the wire (before inflating).
    pub message_size_max: usize,
    /// The longest frame in bytes of payload.
    pub frame_size_max: usize,
    /// The most fragments one message may come in, at least 1.
    pub fragments_max: u32,
    /// The most fragments without payload one message may have.
    pub fragments_empty_max: u16,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_size_max: 1 << 20,
            frame_size_max: 1 << 20,
            fragments_max: 4096,
            fragments_empty_max: 16,
        }
    }
}
