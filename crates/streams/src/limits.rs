//! The limits of this room, one row each.

use hioload_base::Limit;

use crate::Kind;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

pub(crate) const SOCKET_MAX: Limit = Limit {
    name: "streams.socket_max",
    unit: "streams",
    default: 256,
    min: 1,
    max: 65_536,
    reason: "one connection must not use up what all share",
    reached: "the stream is rejected where it is born",
};

pub(crate) const WORKER_MAX: Limit = Limit {
    name: "streams.worker_max",
    unit: "streams",
    default: 1 << 20,
    min: 1,
    max: u32::MAX as u64,
    reason: "memory of one worker's registry, about 150 bytes a stream",
    reached: "the stream is rejected where it is born",
};

pub(crate) const TOTAL_MAX: Limit = Limit {
    name: "streams.total_max",
    unit: "streams",
    default: 4 << 20,
    min: 1,
    max: u32::MAX as u64,
    reason: "streams of all workers together",
    reached: "the stream is rejected where it is born",
};

pub(crate) const KIND_MAX: Limit = Limit {
    name: "streams.kind_max",
    unit: "streams",
    default: u32::MAX as u64,
    min: 0,
    max: u32::MAX as u64,
    reason: "streams of one kind on a worker: each kind has its own",
    reached: "the stream is rejected where it is born",
};

const fn of_kind(name: &'static str, default: u64, reason: &'static str) -> Limit {
    Limit {
        name,
        default,
        reason,
        ..KIND_MAX
    }
}

pub(crate) const WEBSOCKET_MAX: Limit = of_kind(
    "streams.websocket_max",
    1 << 20,
    "sessions of WebSocket that have a UID, on a worker",
);

pub(crate) const SSE_MAX: Limit = of_kind(
    "streams.sse_max",
    1 << 20,
    "sessions that read events and have a UID, on a worker",
);

pub(crate) const LONG_POLL_MAX: Limit = Limit {
    max: 1 << 18,
    ..of_kind(
        "streams.long_poll_max",
        512,
        "sessions that are polled outlive their connections, so that no bound of a connection holds; on a worker",
    )
};

pub(crate) const CUSTOM_MAX: Limit = of_kind(
    "streams.custom_max",
    1 << 20,
    "sessions of protocols of the application, on a worker",
);

/// Each kind's own, by its place.
pub(crate) fn kind_max() -> [u32; Kind::COUNT] {
    let mut max = [KIND_MAX.default as u32; Kind::COUNT];
    for (kind, limit) in [
        (Kind::WebSocket, WEBSOCKET_MAX),
        (Kind::Sse, SSE_MAX),
        (Kind::LongPoll, LONG_POLL_MAX),
        (Kind::Custom, CUSTOM_MAX),
    ] {
        max[kind.index()] = limit.default as u32;
    }
    max
}

pub(crate) const POLL_TIMEOUT: Limit = Limit {
    name: "streams.poll_timeout",
    unit: "ms",
    default: 25_000,
    min: 1,
    max: 3_600_000,
    reason: "what stands between gives up on requests that are not answered, many after 30 s",
    reached: "the poll is answered 204, and may come again",
};

pub(crate) const POLL_LINGER: Limit = Limit {
    name: "streams.poll_linger",
    unit: "ms",
    default: 60_000,
    min: 1,
    max: 604_800_000,
    reason: "a session that nobody polls holds memory",
    reached: "it is closed and its end told",
};

pub(crate) const POLL_BACKLOG: Limit = Limit {
    name: "streams.poll_backlog",
    unit: "bytes",
    default: 64 * KIB,
    min: 1,
    max: 1024 * MIB,
    reason: "what waits for the next poll of one session",
    reached: "one send more fits; then it counts as one whose peer does not read",
};

pub(crate) const POLL_WORKER: Limit = Limit {
    name: "streams.poll_worker",
    unit: "bytes",
    default: 512 * KIB,
    min: 0,
    max: 64 * 1024 * MIB,
    reason: "what waits for the polls of all sessions of one worker",
    reached: "sessions take nothing until a poll waits for it",
};

pub(crate) const IDLE_TIMEOUT: Limit = Limit {
    name: "streams.idle_timeout",
    unit: "ms",
    default: 600_000,
    min: 0,
    max: 604_800_000,
    reason: "nobody waits for an autonomous stream any more; 0: they may be silent for ever",
    reached: "the stream is closed and its end told",
};

pub(crate) const ADOPTED_MAX: Limit = Limit {
    name: "streams.adopted_max",
    unit: "streams",
    default: 64,
    min: 0,
    max: 65_536,
    reason: "streams one stream has adopted: they end with it",
    reached: "the adoption is refused",
};

pub(crate) const EVENTS_MAX: Limit = Limit {
    name: "streams.events_max",
    unit: "events",
    default: 65_536,
    min: 1,
    max: 1 << 24,
    reason: "what waits to be told to an observer",
    reached: "the oldest is forgotten and counted",
};

pub(crate) const FOREIGN_STREAM: Limit = Limit {
    name: "streams.foreign_stream",
    unit: "bytes",
    default: 256 * KIB,
    min: 0,
    max: 1024 * MIB,
    reason: "writes from elsewhere that wait for room in one stream",
    reached: "the next write is refused and its sender told",
};

pub(crate) const FOREIGN_WORKER: Limit = Limit {
    name: "streams.foreign_worker",
    unit: "bytes",
    default: 64 * MIB,
    min: 0,
    max: 64 * 1024 * MIB,
    reason: "writes from elsewhere that wait on one worker",
    reached: "the write is refused and its sender told",
};

pub(crate) const TICKETS: Limit = Limit {
    name: "streams.tickets",
    unit: "questions",
    default: 65_536,
    min: 1,
    max: 1 << 24,
    reason: "questions of one worker that others have not answered",
    reached: "the question is refused at once",
};

pub(crate) const PROXY_WINDOW: Limit = Limit {
    name: "streams.proxy_window",
    unit: "bytes",
    default: 128 * KIB,
    min: 1,
    max: 1024 * MIB,
    reason: "bytes taken from one side of a proxy that have not left on the other",
    reached: "that side is not read from until half of them have",
};

/// All limits of the room.
pub const LIMITS: &[Limit] = &[
    SOCKET_MAX,
    WORKER_MAX,
    TOTAL_MAX,
    KIND_MAX,
    WEBSOCKET_MAX,
    SSE_MAX,
    LONG_POLL_MAX,
    CUSTOM_MAX,
    POLL_TIMEOUT,
    POLL_LINGER,
    POLL_BACKLOG,
    POLL_WORKER,
    IDLE_TIMEOUT,
    ADOPTED_MAX,
    EVENTS_MAX,
    FOREIGN_STREAM,
    FOREIGN_WORKER,
    TICKETS,
    PROXY_WINDOW,
];
