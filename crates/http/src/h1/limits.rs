//! What one message may take: unit, default, reason, and what happens when it is reached.
//!
//! Bodies have no limit here: what is too much of one is known to whoever takes it.

use hioload_base::Limit;

/// Limits of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, its first line and its last empty one included.
    pub head_size_max: usize,
    /// Fields of a head.
    pub headers_max: usize,
    /// Bytes of the size line of a chunk, extensions included.
    pub chunk_line_max: u16,
    /// Bytes of the extensions of all chunks of a body.
    pub chunk_extensions_max: u32,
    /// Bytes of all fields after the last chunk.
    pub trailer_size_max: u16,
}

/// Fields of a head there is room for at all.
pub(super) const HEADERS_MAX: usize = 128;

const HEAD_SIZE: Limit = Limit {
    name: "http.head_size_max",
    unit: "bytes",
    default: 16 * 1024,
    min: 64,
    max: 1 << 20,
    reason: "a head is kept whole until its end has come",
    reached: "HTTP status 431, or 414 within the first line; the connection is closed",
};
const HEADERS: Limit = Limit {
    name: "http.headers_max",
    unit: "headers",
    default: 100,
    min: 1,
    max: HEADERS_MAX as u64,
    reason: "each is looked at for every request",
    reached: "HTTP status 431; the connection is closed",
};
const CHUNK_LINE: Limit = Limit {
    name: "http.chunk_line_max",
    unit: "bytes",
    default: 256,
    min: 3,
    max: 65_535,
    reason: "extensions are skipped, and cost time without bringing content",
    reached: "HTTP status 400; the connection is closed",
};
const CHUNK_EXTENSIONS: Limit = Limit {
    name: "http.chunk_extensions_max",
    unit: "bytes",
    default: 16 * 1024,
    min: 0,
    max: u32::MAX as u64,
    reason: "with many small chunks, lines within their limit bring little content, too",
    reached: "HTTP status 400; the connection is closed",
};
const TRAILER_SIZE: Limit = Limit {
    name: "http.trailer_size_max",
    unit: "bytes",
    default: 4096,
    min: 0,
    max: 65_535,
    reason: "trailers are dropped, and cost time without bringing content",
    reached: "HTTP status 431; the connection is closed",
};

/// The rows of `docs/limits.md`.
pub const LIMITS: &[Limit] = &[
    HEAD_SIZE,
    HEADERS,
    CHUNK_LINE,
    CHUNK_EXTENSIONS,
    TRAILER_SIZE,
];

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_size_max: HEAD_SIZE.default as usize,
            headers_max: HEADERS.default as usize,
            chunk_line_max: CHUNK_LINE.default as u16,
            chunk_extensions_max: CHUNK_EXTENSIONS.default as u32,
            trailer_size_max: TRAILER_SIZE.default as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_bounds() {
        for limit in LIMITS {
            let checked = limit.check(limit.default);
            assert_eq!(checked, Ok(limit.default), "{}", limit.name);
        }
    }
}
