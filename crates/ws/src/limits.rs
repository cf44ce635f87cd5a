//! Every limit of this crate: unit, default, reason, and what happens when it is reached.
//!
//! [`Limits`] and [`HandshakeLimits`] hold the values in force, [`LIMITS`] describes the rows that
//! can be configured. The constants cannot: they size tables.

use hioload_base::Limit;

/// The most headers a head of a handshake may have: the size of the table they are parsed into.
pub const HEADERS_MAX: usize = 64;

/// The most subprotocols a client may offer: they are compared with each other and with ours.
pub const PROTOCOLS_MAX: usize = 32;

/// The most blocks marked as final in one compressed message: each costs a reset of the engine.
pub const FINAL_BLOCKS_MAX: usize = 16;

/// What one message may cost. Shared by all sessions of a server and passed by reference on each
/// call, so that a change takes effect with the next frame of every session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message in bytes, as it is on the wire. Callers that inflate pass it to
    /// [`Inflater::inflate`](crate::deflate::Inflater::inflate) as well.
    pub message_size_max: usize,
    /// The longest frame in bytes of payload.
    pub frame_size_max: usize,
    /// The most fragments one message may come in, at least 1.
    pub fragments_max: u32,
    /// The most fragments without payload one message may have, its last one not counted.
    pub fragments_empty_max: u16,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_size_max: MESSAGE_SIZE.default as usize,
            frame_size_max: FRAME_SIZE.default as usize,
            fragments_max: FRAGMENTS.default as u32,
            fragments_empty_max: FRAGMENTS_EMPTY.default as u16,
        }
    }
}

/// What the head of a handshake may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// The longest head in bytes, its empty line included.
    pub head_size_max: usize,
    /// The most headers, at most [`HEADERS_MAX`].
    pub headers_max: usize,
}

impl Default for HandshakeLimits {
    fn default() -> HandshakeLimits {
        HandshakeLimits {
            head_size_max: HEAD_SIZE.default as usize,
            headers_max: HEADERS.default as usize,
        }
    }
}

/// The limits that can be configured.
pub const LIMITS: &[Limit] = &[
    MESSAGE_SIZE,
    FRAME_SIZE,
    FRAGMENTS,
    FRAGMENTS_EMPTY,
    HEAD_SIZE,
    HEADERS,
];

const MESSAGE_SIZE: Limit = Limit {
    name: "ws.message_size_max",
    unit: "bytes",
    default: 1 << 20,
    min: 125,
    max: 1 << 30,
    reason: "a message is held in memory until it is whole, and again when it is inflated",
    reached: "close code 1009 by the header, before any payload is taken",
};

const FRAME_SIZE: Limit = Limit {
    name: "ws.frame_size_max",
    unit: "bytes",
    default: 1 << 20,
    min: 125,
    max: 1 << 30,
    reason: "nobody splits a message for us: a smaller limit than that of messages is a choice",
    reached: "close code 1009 by the header, before any payload is taken",
};

const FRAGMENTS: Limit = Limit {
    name: "ws.fragments_max",
    unit: "fragments",
    default: 4096,
    min: 1,
    max: 1 << 20,
    reason: "a fragment costs an event, however small it is; 4096 of 256 bytes make a full message",
    reached: "close code 1008",
};

const FRAGMENTS_EMPTY: Limit = Limit {
    name: "ws.fragments_empty_max",
    unit: "fragments",
    default: 16,
    min: 0,
    max: u16::MAX as u64,
    reason: "empty fragments bring a message no further",
    reached: "close code 1008",
};

const HEAD_SIZE: Limit = Limit {
    name: "ws.head_size_max",
    unit: "bytes",
    default: 8 * 1024,
    min: 256,
    max: 64 * 1024,
    reason: "a head is held in memory until it is whole; browsers with cookies stay below 8 KiB",
    reached: "HTTP status 431",
};

const HEADERS: Limit = Limit {
    name: "ws.headers_max",
    unit: "headers",
    default: HEADERS_MAX as u64,
    min: 5,
    max: HEADERS_MAX as u64,
    reason: "they are parsed into a table on the stack; a handshake needs 5, browsers send 15",
    reached: "HTTP status 431",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_bounds() {
        for limit in LIMITS {
            assert_eq!(
                limit.check(limit.default),
                Ok(limit.default),
                "{}",
                limit.name
            );
        }
    }
}
