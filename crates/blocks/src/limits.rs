//! The limits of this room, one row each. Tables whose size follows from others have none of their own.

use hioload_base::Limit;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

pub(crate) const SIZE_MAX: Limit = Limit {
    name: "blocks.size_max",
    unit: "bytes",
    default: 64 * GIB,
    min: MIB,
    max: 16 * 1024 * GIB,
    reason: "the data file must not take a whole disk; a block is addressed by 32 bits of 4 KiB",
    reached: "PUT is refused with 507; DELETE goes on",
};

pub(crate) const SIZE_INITIAL: Limit = Limit {
    name: "blocks.size_initial",
    unit: "bytes",
    default: 64 * MIB,
    min: 0,
    max: 16 * 1024 * GIB,
    reason: "space reserved at the start cannot be missing later",
    reached: "the file grows by steps",
};

pub(crate) const GROW_STEP: Limit = Limit {
    name: "blocks.grow_step",
    unit: "bytes",
    default: GIB,
    min: MIB,
    max: 64 * GIB,
    reason: "an eighth of the file, but no more than this: growing holds the controller up",
    reached: "the file grows again when it is used up",
};

pub(crate) const BATCH: Limit = Limit {
    name: "blocks.batch",
    unit: "requests",
    default: 4096,
    min: 1,
    max: 1 << 20,
    reason: "memory of a batch, and how long its first request waits",
    reached: "requests wait in the queues between worker and controller",
};

pub(crate) const PROMISES: Limit = Limit {
    name: "blocks.promises",
    unit: "blocks",
    default: 1 << 16,
    min: 1,
    max: 1 << 24,
    reason: "memory: 64 bytes for each block somebody was told is there",
    reached: "blocks:missing is refused with 503 until older promises end",
};

pub(crate) const REFERENCES: Limit = Limit {
    name: "blocks.references",
    unit: "references",
    default: 1024,
    min: 1,
    max: 1 << 16,
    reason: "of one block: they are counted when one is added, and listed in one answer",
    reached: "a further name is refused with 409; the values of those that are there may change",
};

pub(crate) const DAMAGED_LISTED: Limit = Limit {
    name: "blocks.damaged_listed",
    unit: "blocks",
    default: 1000,
    min: 1,
    max: 1 << 20,
    reason: "memory and length of GET /stats",
    reached: "further damaged blocks are counted and not listed",
};

pub(crate) const LEASES: Limit = Limit {
    name: "blocks.leases",
    unit: "blocks",
    default: 8192,
    min: 16,
    max: 1 << 20,
    reason: "what one worker holds is space nobody else can use",
    reached: "the worker's PUTs wait until it returns or uses some",
};

pub(crate) const RETIRED: Limit = Limit {
    name: "blocks.retired",
    unit: "blocks",
    default: 1 << 20,
    min: 1,
    max: 1 << 28,
    reason: "memory: 16 bytes for each freed block that a reader may still hold",
    reached: "DELETE is refused with 503 until readers finish",
};

pub(crate) const RELAXED_SYNC: Limit = Limit {
    name: "blocks.relaxed_sync",
    unit: "ms",
    default: 1000,
    min: 1,
    max: 600_000,
    reason: "what a power failure may cost in relaxed mode; otherwise, how old the oldest batch may be that the next start takes from the journal",
    reached: "the index is synced, in relaxed mode the data before it",
};

pub(crate) const LEASE_WAIT: Limit = Limit {
    name: "blocks.lease_wait",
    unit: "ms",
    default: 100,
    min: 0,
    max: 10_000,
    reason: "a full store has space as soon as readers of freed blocks finish and workers return what they have at hand",
    reached: "PUT is refused with 507",
};

pub(crate) const PUTS: Limit = Limit {
    name: "blocks.worker.puts",
    unit: "requests",
    default: 4096,
    min: 1,
    max: 1 << 20,
    reason: "memory: 0.5 KiB each, beside its buffers",
    reached: "503",
};

pub(crate) const GETS: Limit = Limit {
    name: "blocks.worker.gets",
    unit: "requests",
    default: 16_384,
    min: 1,
    max: 1 << 20,
    reason: "memory: 0.5 KiB each, beside its buffers",
    reached: "503",
};

pub(crate) const CALLS: Limit = Limit {
    name: "blocks.worker.calls",
    unit: "requests",
    default: 4096,
    min: 1,
    max: 1 << 20,
    reason: "deletes, references and lookups of many that wait for the controller",
    reached: "503",
};

pub(crate) const FILE_OPS: Limit = Limit {
    name: "blocks.worker.file_ops",
    unit: "operations",
    default: 512,
    min: 1,
    max: 1 << 16,
    reason: "depth of the disk's queue; the driver has a table of them",
    reached: "further reads and writes wait for one to end",
};

pub(crate) const REQUESTS: Limit = Limit {
    name: "blocks.worker.requests",
    unit: "requests",
    default: 1024,
    min: 1,
    max: 1 << 20,
    reason: "a controller that does not keep up is told by PUTs that wait",
    reached: "no further body is taken from sockets until the queue is shorter",
};

pub(crate) const PIECE: Limit = Limit {
    name: "blocks.worker.piece",
    unit: "bytes",
    default: 64 * KIB,
    min: 4 * KIB,
    max: 512 * KIB,
    reason: "one read or write; a power of two. Larger ones hold more memory, smaller ones cost more calls. A body of known length is written four times as much at a time while half of the memory for writes is free",
    reached: "the next piece begins",
};

pub(crate) const DEPTH: Limit = Limit {
    name: "blocks.worker.depth",
    unit: "pieces",
    default: 8,
    min: 1,
    max: 64,
    reason: "of one request: those that are read, or not yet both hashed and written",
    reached: "the next waits for one to end",
};

pub(crate) const WRITE_MEMORY: Limit = Limit {
    name: "blocks.worker.write_memory",
    unit: "bytes",
    default: 8 * MIB,
    min: 512 * KIB,
    max: 16 * GIB,
    reason: "buffers of bodies being written",
    reached: "further bodies wait in their sockets",
};

pub(crate) const GATHER_MEMORY: Limit = Limit {
    name: "blocks.worker.gather_memory",
    unit: "bytes",
    default: 4 * MIB,
    min: 512 * KIB,
    max: 16 * GIB,
    reason: "bodies held whole: of unknown length, or of a content that seems to be stored already",
    reached: "bodies of unknown length wait in their sockets, others are written",
};

pub(crate) const READ_MEMORY: Limit = Limit {
    name: "blocks.worker.read_memory",
    unit: "bytes",
    default: 8 * MIB,
    min: 512 * KIB,
    max: 16 * GIB,
    reason: "buffers of reads in flight, and of what was read and not yet taken by a socket",
    reached: "further reads wait",
};

pub(crate) const CACHE: Limit = Limit {
    name: "blocks.worker.cache",
    unit: "bytes",
    default: 8 * MIB,
    min: 0,
    max: 1024 * GIB,
    reason: "verified contents of blocks asked for again and again",
    reached: "a content that was not asked for lately makes room",
};

pub(crate) const CACHE_BLOCK: Limit = Limit {
    name: "blocks.worker.cache_block",
    unit: "bytes",
    default: 512 * KIB,
    min: 0,
    max: 512 * KIB,
    reason: "a large block would take the place of many small ones",
    reached: "longer contents are read each time",
};

pub(crate) const HASHES_PER_CALL: Limit = Limit {
    name: "blocks.hashes_per_call",
    unit: "hashes",
    default: 10_000,
    min: 1,
    max: 1 << 16,
    reason: "one call must not hold up the others of its worker",
    reached: "413",
};

pub(crate) const POOL_FACTOR: Limit = Limit {
    name: "blocks.worker.pool_factor",
    unit: "times",
    default: 8,
    min: 1,
    max: 64,
    reason: "pools of leased blocks grow under load to so many times their target",
    reached: "PUTs wait for a lease",
};

pub(crate) const RETRIES: Limit = Limit {
    name: "blocks.worker.retries",
    unit: "operations",
    default: 16,
    min: 1,
    max: 255,
    reason: "short and interrupted reads and writes in a row that bring nothing",
    reached: "the operation has failed",
};

/// All limits of the room.
pub const LIMITS: &[Limit] = &[
    SIZE_MAX,
    SIZE_INITIAL,
    GROW_STEP,
    BATCH,
    PROMISES,
    REFERENCES,
    DAMAGED_LISTED,
    LEASES,
    RETIRED,
    RELAXED_SYNC,
    LEASE_WAIT,
    PUTS,
    GETS,
    CALLS,
    FILE_OPS,
    REQUESTS,
    PIECE,
    DEPTH,
    WRITE_MEMORY,
    GATHER_MEMORY,
    READ_MEMORY,
    CACHE,
    CACHE_BLOCK,
    HASHES_PER_CALL,
    POOL_FACTOR,
    RETRIES,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_bounds_and_names_are_unique() {
        for (at, limit) in LIMITS.iter().enumerate() {
            assert_eq!(
                limit.check(limit.default),
                Ok(limit.default),
                "{}",
                limit.name
            );
            let is_same = |other: &Limit| other.name == limit.name;
            assert!(!LIMITS[..at].iter().any(is_same), "{} twice", limit.name);
        }
    }
}
