//! Content-addressed block store: allocator, on-disk format, index.
//!
//! A block is 1 byte to 512 KiB, named by its SHA-256, kept once in one preallocated data file. The index says where; what is
//! free is derived from it.
//!
//! | module | noun |
//! |---|---|
//! | `hash`, `sums` | the name of a content; the CRC-32 of each 4 KiB of it |
//! | `class`, `block` | sizes, and places in the data file |
//! | `buddy` | which places are free |
//! | `record` | what the index keeps of a block, as bytes |
//! | `index` | which blocks there are: libmdbx, and a model of it in memory |
//! | `file`, `medium` | the data file; what is asked of a file system |
//! | `check` | whether index, data file and free map agree |
//! | `format`, `store` | what a store says of itself; a store as a directory |
//!
//! Must not know sockets. Layout and assumptions about the medium: `docs/ondisk.md`.

#![forbid(unsafe_code)]

pub mod api;
mod block;
mod buddy;
mod check;
mod class;
mod config;
mod controller;
mod durability;
mod fault;
mod file;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod index;
mod limits;
mod local;
mod medium;
mod message;
mod pause;
mod pools;
mod record;
mod stats;
mod store;
mod sums;

pub use block::Block;
pub use buddy::{Buddy, BuddyError, FILE_SIZE_MAX, Inconsistency, MACRO, ORDER_COUNT, Space};
pub use check::{CheckEvent, CheckReport, Finding, OVERLAPS_NAMED_MAX, check};
pub use class::{BLOCK_SIZE_MAX, Class, UNIT};
pub use config::{ControllerConfig, LocalConfig, LookupBy, Verify};
pub use controller::{Controller, Disk, Next, Replies, StartError};
pub use durability::{Durability, DurabilitySyntax};
pub use fault::{Damage, Fault, PutError};
pub use file::{FileDisk, FileOptions};
pub use format::{FormatError, STORE_FORMAT, StoreId, Superblock};
pub use hash::{HASH_SIZE, Hash, HashSyntax, Hasher};
pub use index::{
    EachBlock, EachReference, INDEX_LIMITS, Index, IndexError, IndexReader, IndexSpace, Mdbx,
    MdbxIndex, MdbxOptions, MemoryIndex, MetaKey, REFERENCE_NAME_SIZE_MAX,
    REFERENCE_VALUE_SIZE_MAX, Table,
};
pub use limits::LIMITS;
pub use local::{Event, FileOp, GetBegin, GetHead, GetKey, GetPoll, LocalStore, PutKey};
pub use message::{Leased, Refer, Referred, Released, Reply, Request, RequestId, Stored, Unrefer};
pub use pause::{Pause, PauseConfig, Pauser};
pub use record::{Flags, RECORD_FORMAT, RECORD_SIZE_MAX, Record};
pub use stats::{
    ControllerStats, DamagedBlock, LocalStats, PauseStats, PoolStats, SpaceStats, Tally,
};
pub use store::{DATA_FILE, INDEX_FILE, LOCK_FILE, Store, StoreError, StoreLock, StoreOptions};
pub use sums::{CHUNK_SIZE, SUM_COUNT_MAX, SumMismatch, Sums, SumsBuilder};
