//! The limits of this room, one row each.

use hioload_base::Limit;

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
    IDLE_TIMEOUT,
    ADOPTED_MAX,
    EVENTS_MAX,
    FOREIGN_STREAM,
    FOREIGN_WORKER,
    TICKETS,
    PROXY_WINDOW,
];
