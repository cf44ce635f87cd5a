//! What a server's store is made from.

use std::path::PathBuf;
use std::time::Duration;

use hioload_blocks::{ControllerConfig, Durability, LocalConfig, Verify};

/// A store of blocks, for [`ServerBuilder::store`](crate::ServerBuilder::store).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Its directory; made if it is not there.
    pub dir: PathBuf,
    /// Bytes the data file has at least from the start.
    pub size: u64,
    /// Bytes the data file may have.
    pub size_max: u64,
    /// Bytes it grows by.
    pub grow: u64,
    /// Bytes the index may have.
    pub index_size_max: u64,
    /// When a change is acknowledged.
    pub durability: Durability,
    /// What is verified before a whole block is sent.
    pub verify: Verify,
    /// Bytes of contents under way, of each worker.
    pub memory: usize,
    /// Bytes of contents kept for those who ask again, of each worker.
    pub cache: usize,
    /// Free blocks each worker has at hand, by size.
    pub pools: [u16; 8],
    /// How long a block that somebody was told of cannot be deleted.
    pub grace: Duration,
    /// The channel new hashes are published on.
    pub announce: Option<String>,
}

impl StoreConfig {
    /// The defaults, those of the default configuration, in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            size: 0,
            size_max: 1 << 40,
            grow: 256 << 20,
            index_size_max: 16 << 30,
            durability: Durability::default(),
            verify: Verify::default(),
            memory: 16 << 20,
            cache: 8 << 20,
            pools: LocalConfig::default().pool_targets,
            grace: Duration::from_secs(60),
            announce: None,
        }
    }

    /// `wall_zero_ms`: the milliseconds of Unix at the start of the reactor's clock.
    pub(crate) fn controller(&self, wall_zero_ms: u64) -> ControllerConfig {
        ControllerConfig {
            durability: self.durability,
            size_initial: self.size,
            size_max: self.size_max,
            grow_step: self.grow,
            wall_zero_ms,
            ..ControllerConfig::default()
        }
    }

    /// What a worker may take. Its pool of buffers bounds all of it together.
    pub(crate) fn local(&self) -> LocalConfig {
        LocalConfig {
            durability: self.durability,
            verify: self.verify,
            read_memory: self.memory,
            write_memory: self.memory / 2,
            gather_memory: self.memory / 2,
            cache_size: self.cache,
            pool_targets: self.pools,
            ..LocalConfig::default()
        }
    }
}
