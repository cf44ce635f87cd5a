//! What a reader of a stream puts up with: unit, default, reason, and what happens when it is reached.

use std::time::Duration;

use hioload_base::Limit;

/// Limits of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a line, without its end.
    pub line_size_max: usize,
    /// Bytes of the data of an event, the ends of lines between them included.
    pub event_size_max: usize,
    /// Bytes of an id.
    pub id_size_max: usize,
    /// The longest time a server may ask to wait before the next request.
    pub retry_max: Duration,
}

const LINE_SIZE: Limit = Limit {
    name: "sse.line_size_max",
    unit: "bytes",
    default: 4 << 20,
    min: 16,
    max: 1 << 30,
    reason: "a line is kept until its end has come",
    reached: "the stream is given up",
};
const EVENT_SIZE: Limit = Limit {
    name: "sse.event_size_max",
    unit: "bytes",
    default: 16 << 20,
    min: 1,
    max: 1 << 30,
    reason: "an event is kept until its last line has come",
    reached: "the stream is given up",
};
const ID_SIZE: Limit = Limit {
    name: "sse.id_size_max",
    unit: "bytes",
    default: 1024,
    min: 1,
    max: 65_535,
    reason: "it is sent back in the head of a request, which servers limit",
    reached: "the stream is given up: without the id, what follows could not be resumed",
};
const RETRY: Limit = Limit {
    name: "sse.retry_max",
    unit: "ms",
    default: 3_600_000,
    min: 1,
    max: 86_400_000,
    reason: "a server that errs by some zeros would never see its clients again",
    reached: "the client waits that long",
};

/// The rows of `docs/limits.md`.
pub const LIMITS: &[Limit] = &[LINE_SIZE, EVENT_SIZE, ID_SIZE, RETRY];

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_size_max: LINE_SIZE.default as usize,
            event_size_max: EVENT_SIZE.default as usize,
            id_size_max: ID_SIZE.default as usize,
            retry_max: Duration::from_millis(RETRY.default),
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
