//! Content-addressed block store: allocator, on-disk format, index, controller, and the side of it that each worker has.
//!
//! A block is 1 byte to 512 KiB, named by its SHA-256, kept once in one preallocated data file. The index says where; what is
//! free is derived from it.
//!
//! ```text
//!  bodies, contents          worker 0 … n                                 controller (one thread)
//!  ────────────────▶ LocalStore ── Request ─────────────────────────────▶ Controller ─┬─ Index, the only writer
//!                     │  │  ▲ └── IndexReader: where is this block?          │        ├─ free map, leases
//!     events ◀────────┘  │  └──── Reply ◀─────────────────────────────────────┘        └─ Disk: size, sync
//!                        ▼
//!                   file operations ─▶ the worker's driver ─▶ data file
//! ```
//!
//! A **PUT** takes a block that was leased to its worker in advance. Each piece of the body is copied once, summed while it is
//! in the cache, and written; meanwhile it is hashed, beside those of other bodies. When all is written and the hash is
//! right the controller is asked to name the block: one sync and one commit of the index for everybody who asked
//! meanwhile, then the replies. What is written is never what is live, so there is nothing to undo: a block that is not in
//! the index is free.
//!
//! A **GET** looks the address up on its worker, reads pieces as far as the socket takes them, and gives out nothing that was
//! not verified: the checksum of each 4 KiB, kept in the index, and of a whole block its hash before the last piece. A
//! read that is wrong is repeated once; then the content is damaged, told, listed, and mended by the next PUT of it.
//!
//! A **DELETE** frees the block in the index. It is given out again when every worker has said that no read begun before is
//! left: a reader never sees another content, and never waits.
//!
//! | module | noun |
//! |---|---|
//! | `hash`, `sums` | the name of a content; the CRC-32 of each 4 KiB of it |
//! | `lanes` | SHA-256 of several contents at the same time |
//! | `class`, `block` | sizes, and places in the data file |
//! | `buddy` | which places are free |
//! | `record` | what the index keeps of a block, as bytes |
//! | `index` | which blocks there are: libmdbx, and a model of it in memory |
//! | `file`, `medium` | the data file; what is asked of a file system |
//! | `check` | whether index, data file and free map agree |
//! | `format`, `store` | what a store says of itself; a store as a directory |
//! | `message` | what workers and the controller tell each other |
//! | `controller` | batches, leases, growth, freed blocks, promises, poison |
//! | `pause` | how the controller's thread waits |
//! | `local`, `pools` | PUT, GET and all else on one worker; blocks leased in advance |
//! | `durability`, `fault`, `stats` | what an answer has survived; what is in the way; figures |
//! | `config`, `limits` | what may be set, and its bounds |
//!
//! # Invariants
//!
//! - An acknowledged PUT is on the medium, data before index, unless the mode says otherwise.
//! - Live data is never overwritten. A byte that was not verified is never given out.
//! - Every block of the file is free, leased, stored, waiting for readers, or set aside as suspect; leases and free space are
//!   in memory only, so that no crash can lose any.
//! - After a failed sync or commit nothing changes until the store is opened again; reads go on.
//! - Want of space refuses what needs space, never a DELETE.
//! - Each request has exactly one answer. Every queue, table and budget has a limit that says what happens there ([`LIMITS`]).
//!
//! Must not know sockets, threads or clocks: messages and file operations are values that others carry, time is an argument.
//! Layout and assumptions about the medium: `docs/ondisk.md`.
//!
//! # Example
//!
//! A worker and a controller on one thread, with a disk and an index in memory:
//!
//! ```
//! use hioload_base::Time;
//! use hioload_blocks::{
//!     Controller, ControllerConfig, Disk, Event, FileOp, GetBegin, GetPoll, Hash, Index, LocalConfig, LocalStore,
//!     MemoryIndex, Next, Replies,
//! };
//! use hioload_mem::{BufferPool, PoolConfig};
//!
//! /// The size of a file that others read and write.
//! struct Size(u64);
//!
//! impl Disk for Size {
//!     fn size(&self) -> u64 {
//!         self.0
//!     }
//!     fn grow(&mut self, to: u64) -> std::io::Result<()> {
//!         self.0 = to;
//!         Ok(())
//!     }
//!     fn read(&mut self, _: u64, into: &mut [u8]) -> std::io::Result<()> {
//!         into.fill(0);
//!         Ok(())
//!     }
//!     fn write(&mut self, _: u64, _: &[u8]) -> std::io::Result<()> {
//!         Ok(())
//!     }
//!     fn sync(&mut self) -> std::io::Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! let now = Time::ZERO;
//! let index = MemoryIndex::new();
//! let mut file = vec![0; 64 << 20];
//! let config = ControllerConfig { size_initial: 64 << 20, ..ControllerConfig::default() };
//! let mut controller = Controller::new(Box::new(index.clone()), Box::new(Size(0)), config, 1)?;
//! let buffers = BufferPool::new(PoolConfig::default())?;
//! let mut store = LocalStore::new(LocalConfig::default(), index.reader()?, buffers)?;
//!
//! /// Carries requests, replies and file operations until something has happened.
//! fn carry(store: &mut LocalStore, controller: &mut Controller, file: &mut [u8]) {
//!     let now = Time::ZERO;
//!     while !store.has_events() {
//!         store.poll(now);
//!         while let Some(request) = store.next_request() {
//!             controller.push(0, request);
//!         }
//!         let mut replies = Replies::new();
//!         while controller.cycle(&mut || now, &mut replies) == Next::Again {}
//!         replies.drain(..).for_each(|(_, reply)| store.handle_reply(now, reply));
//!         while let Some(op) = store.next_file_op() {
//!             match op {
//!                 FileOp::Write { token, offset, content } => {
//!                     file[offset as usize..][..content.len()].copy_from_slice(&content);
//!                     store.handle_written(now, token, Ok(content.len()));
//!                 }
//!                 FileOp::Read { token, offset, len, mut buffer } => {
//!                     buffer.spare_mut()[..len].copy_from_slice(&file[offset as usize..][..len]);
//!                     buffer.advance(len);
//!                     store.handle_read(now, token, Ok(len), buffer);
//!                 }
//!             }
//!         }
//!     }
//! }
//!
//! let put = store.put_begin(now, 1, None, Some(5))?;
//! assert_eq!(store.put_data(now, put, b"hello"), 5);
//! store.put_end(now, put);
//! carry(&mut store, &mut controller, &mut file);
//! assert!(matches!(store.next_event(), Some(Event::Added { .. })));
//! assert!(matches!(store.next_event(), Some(Event::Stored { user: 1, length: 5, .. })));
//!
//! let Ok(GetBegin::Found(get, head)) = store.get_begin(now, 2, &Hash::of(b"hello")) else {
//!     panic!("it was acknowledged");
//! };
//! let mut content = Vec::new();
//! store.get_start(get, 0..head.length);
//! while store.get_poll(now, get, 64 * 1024, &mut content) != GetPoll::Done {
//!     carry(&mut store, &mut controller, &mut file);
//!     assert!(matches!(store.next_event(), Some(Event::GetReady { user: 2, .. })));
//! }
//! assert_eq!(content[0], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod index;
mod journal;
mod lanes;
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
pub use journal::{JournalError, Replayed, recover};
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
