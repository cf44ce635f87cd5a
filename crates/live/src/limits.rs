//! The limits of this room, one row each.

use hioload_base::Limit;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

pub(crate) const LOG_BUDGET: Limit = Limit {
    name: "live.log_budget",
    unit: "bytes",
    default: 4 * MIB,
    min: 4 * KIB,
    max: 1024 * MIB,
    reason: "memory of one channel's logs, history included",
    reached: "history is given up; then publishers wait until subscribers drain or are found stalled",
};

pub(crate) const CHUNK_SIZE: Limit = Limit {
    name: "live.chunk_size",
    unit: "bytes",
    default: 64 * KIB,
    min: KIB,
    max: MIB,
    reason: "a send is contiguous within a chunk; memory comes back chunk by chunk",
    reached: "the next chunk is opened; a bigger frame gets a chunk of its size",
};

pub(crate) const RATE_MIN: Limit = Limit {
    name: "live.rate_min",
    unit: "bytes/s",
    default: KIB,
    min: 1,
    max: u32::MAX as u64,
    reason: "who drains less over the window holds everybody back for too little",
    reached: "the subscriber is stalled and gets the policy of the channel",
};

pub(crate) const WINDOW: Limit = Limit {
    name: "live.window",
    unit: "ms",
    default: 2_000,
    min: 1,
    max: 3_600_000,
    reason: "how long a full log may wait for one subscriber",
    reached: "drained bytes are judged and the next window begins",
};

pub(crate) const SUBSCRIBERS: Limit = Limit {
    name: "live.feed_subscribers",
    unit: "subscribers",
    default: 1 << 20,
    min: 1,
    max: (1 << 24) - 1,
    reason: "a record names the sender by 24 bits",
    reached: "the subscription is refused",
};

pub(crate) const OWED_BUDGET: Limit = Limit {
    name: "live.owed_budget",
    unit: "bytes",
    default: 4 * MIB,
    min: 0,
    max: 1024 * MIB,
    reason: "frames which stalled subscribers of a worker have begun are finished from private copies",
    reached: "the subscriber is disconnected instead of skipped",
};

pub(crate) const CHANNELS: Limit = Limit {
    name: "live.channels",
    unit: "channels",
    default: 100_000,
    min: 1,
    max: u32::MAX as u64,
    reason: "names a worker has to know",
    reached: "opening one more is refused",
};

pub(crate) const NAME_SIZE: Limit = Limit {
    name: "live.channel_name_size",
    unit: "bytes",
    default: 255,
    min: 1,
    max: 65_535,
    reason: "names come from clients",
    reached: "the name is refused",
};

pub(crate) const LINGER: Limit = Limit {
    name: "live.channel_linger",
    unit: "ms",
    default: 10_000,
    min: 0,
    max: 86_400_000,
    reason: "a channel whose subscribers reconnect keeps its epoch and offsets",
    reached: "the empty channel is forgotten; the next one of its name has a new epoch",
};

/// All limits of the room.
pub const LIMITS: &[Limit] = &[
    LOG_BUDGET,
    CHUNK_SIZE,
    RATE_MIN,
    WINDOW,
    SUBSCRIBERS,
    OWED_BUDGET,
    CHANNELS,
    NAME_SIZE,
    LINGER,
];
