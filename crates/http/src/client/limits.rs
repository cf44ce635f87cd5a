//! What a client takes upon itself: unit, default, reason, and what happens when it is reached.
//!
//! The sizes of a head are those of HTTP/1.1 ([`h1::LIMITS`](crate::h1::LIMITS)).

use std::time::Duration;

use hioload_base::Limit;

/// Limits of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that wait or are under way.
    pub requests_max: usize,
    /// Connections, idle and closing ones included.
    pub connections_max: usize,
    /// Connections to one origin.
    pub connections_per_origin_max: usize,
    /// Requests under way on one HTTP/2 connection; the peer may allow fewer.
    pub streams_per_connection_max: usize,
    /// Bytes of a body that is gathered, unless the request says otherwise.
    pub body_size_max: u64,
    /// Interim answers before the one that counts.
    pub interim_max: u32,
    /// Times a request is sent again by itself.
    pub retries_max: u8,
    /// Bytes of the body of a redirect that are read so that its connection can be used again.
    pub drain_size_max: u64,
    /// Bytes of a body that were handed out and not used yet, per request.
    pub window_size: usize,
    /// Bytes of a streamed request body that wait to be sent, per request.
    pub upload_buffer_size: usize,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
    /// How long a connection may take to stand, TLS included.
    pub connect_timeout: Duration,
    /// How long a peer may leave us waiting: for a head, and for each part of a body.
    pub read_timeout: Duration,
    /// How long a body waits for `100 Continue`.
    pub continue_timeout: Duration,
}

const REQUESTS: Limit = Limit {
    name: "client.requests_max",
    unit: "requests",
    default: 1024,
    min: 1,
    max: 1 << 20,
    reason: "each is held until it has been answered",
    reached: "the request is refused",
};
const CONNECTIONS: Limit = Limit {
    name: "client.connections_max",
    unit: "connections",
    default: 256,
    min: 1,
    max: 1 << 20,
    reason: "descriptors and, over TLS, keys",
    reached: "the one that was idle longest is closed; without one, requests wait",
};
const PER_ORIGIN: Limit = Limit {
    name: "client.connections_per_origin_max",
    unit: "connections",
    default: 6,
    min: 1,
    max: 1 << 16,
    reason: "what browsers open: servers are made for it",
    reached: "requests wait for an answer to end",
};
const STREAMS: Limit = Limit {
    name: "client.streams_per_connection_max",
    unit: "requests",
    default: 100,
    min: 1,
    max: 1 << 16,
    reason: "what servers allow as a rule (RFC 9113 6.5.2)",
    reached: "another connection is opened, or requests wait",
};
const BODY_SIZE: Limit = Limit {
    name: "client.body_size_max",
    unit: "bytes",
    default: 10 << 20,
    min: 0,
    max: 1 << 40,
    reason: "a body that is gathered is held in memory",
    reached: "the request fails, by the head if the length is stated; longer ones are streamed",
};
const INTERIM: Limit = Limit {
    name: "client.interim_max",
    unit: "answers",
    default: 16,
    min: 0,
    max: 1 << 16,
    reason: "each gives the answer new time to come",
    reached: "the request fails and its connection is closed",
};
const RETRIES: Limit = Limit {
    name: "client.retries_max",
    unit: "retries",
    default: 2,
    min: 0,
    max: 16,
    reason: "RFC 9110 9.2.2: a retry that failed is not to be retried; a second one is for requests never looked at",
    reached: "the request fails",
};
const DRAIN: Limit = Limit {
    name: "client.drain_size_max",
    unit: "bytes",
    default: 64 << 10,
    min: 0,
    max: 1 << 30,
    reason: "reading on is cheaper than a new connection only for so long",
    reached: "the connection is closed, the stream reset",
};
const WINDOW: Limit = Limit {
    name: "client.window_size",
    unit: "bytes",
    default: 256 << 10,
    min: 1,
    max: 1 << 30,
    reason: "a body is not read faster than it is used",
    reached: "HTTP/1.1: the connection is not read; HTTP/2: the stream's window is not opened",
};
const UPLOAD: Limit = Limit {
    name: "client.upload_buffer_size",
    unit: "bytes",
    default: 64 << 10,
    min: 1,
    max: 1 << 30,
    reason: "a body is not taken faster than it is sent",
    reached: "the rest is not taken; an event tells when there is room",
};
const IDLE: Limit = Limit {
    name: "client.idle_timeout",
    unit: "ms",
    default: 30_000,
    min: 0,
    max: 86_400_000,
    reason: "servers close idle connections, too: the longer ago the last answer, the likelier a retry",
    reached: "the connection is closed",
};
const CONNECT: Limit = Limit {
    name: "client.connect_timeout",
    unit: "ms",
    default: 20_000,
    min: 1,
    max: 86_400_000,
    reason: "four attempts of TCP",
    reached: "the requests that wait for the connection fail",
};
const READ: Limit = Limit {
    name: "client.read_timeout",
    unit: "ms",
    default: 5_000,
    min: 1,
    max: 86_400_000,
    reason: "a peer that is silent for longer is most likely gone",
    reached: "the request fails and its connection is closed, its stream reset",
};
const CONTINUE: Limit = Limit {
    name: "client.continue_timeout",
    unit: "ms",
    default: 1_000,
    min: 0,
    max: 86_400_000,
    reason: "RFC 9110 10.1.1: a client does not wait for ever, since there are servers that never say it",
    reached: "the body is sent",
};
/// Redirects followed for one request.
pub(super) const HOPS: Limit = Limit {
    name: "client.redirects_max",
    unit: "redirects",
    default: 5,
    min: 0,
    max: 255,
    reason: "RFC 9110 15.4: five was once the recommended maximum, and is still enough",
    reached: "the request fails; with 0, a redirect is an answer as any other",
};

/// The rows of `docs/limits.md`.
pub const LIMITS: &[Limit] = &[
    REQUESTS,
    CONNECTIONS,
    PER_ORIGIN,
    STREAMS,
    BODY_SIZE,
    INTERIM,
    RETRIES,
    DRAIN,
    WINDOW,
    UPLOAD,
    HOPS,
    IDLE,
    CONNECT,
    READ,
    CONTINUE,
];

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_max: REQUESTS.default as usize,
            connections_max: CONNECTIONS.default as usize,
            connections_per_origin_max: PER_ORIGIN.default as usize,
            streams_per_connection_max: STREAMS.default as usize,
            body_size_max: BODY_SIZE.default,
            interim_max: INTERIM.default as u32,
            retries_max: RETRIES.default as u8,
            drain_size_max: DRAIN.default,
            window_size: WINDOW.default as usize,
            upload_buffer_size: UPLOAD.default as usize,
            idle_timeout: Duration::from_millis(IDLE.default),
            connect_timeout: Duration::from_millis(CONNECT.default),
            read_timeout: Duration::from_millis(READ.default),
            continue_timeout: Duration::from_millis(CONTINUE.default),
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
