//! `[http]` and `[blocks]`: the block store and the HTTP connections that reach it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hioload_base::{ByteSize, Limit};
use hioload_blocks::{Durability, DurabilitySyntax};
use hioload_control::Invalid;
use serde::{Deserialize, Serialize};

use super::limits::{DAY, GIB, MIB, limit, ms};
use super::size;
use super::values::{Origins, words};
use crate::server::{Settings, StoreConfig};

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct HttpSection {
    #[serde(with = "hioload_control::duration")]
    pub idle_timeout: Duration,
    #[serde(with = "hioload_control::duration")]
    pub body_timeout: Duration,
}

/// `[blocks]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct BlocksSection {
    pub data: Data,
    pub size: ByteSize,
    pub size_max: ByteSize,
    pub grow: ByteSize,
    pub index_size_max: ByteSize,
    pub durability: Durable,
    pub verify: Verify,
    pub memory: ByteSize,
    pub cache: ByteSize,
    pub pools: Vec<u16>,
    #[serde(with = "hioload_control::duration")]
    pub grace: Duration,
    pub announce: String,
    pub origins: Origins,
}

impl Default for HttpSection {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            idle_timeout: settings.http_idle_timeout,
            body_timeout: settings.body_timeout,
        }
    }
}

impl Default for BlocksSection {
    fn default() -> Self {
        let store = StoreConfig::new("hioload-data");
        Self {
            data: Data(Some(store.dir)),
            size: ByteSize::new(store.size),
            size_max: ByteSize::new(store.size_max),
            grow: ByteSize::new(store.grow),
            index_size_max: ByteSize::new(store.index_size_max),
            durability: Durable(store.durability),
            verify: match store.verify {
                hioload_blocks::Verify::Full => Verify::Full,
                hioload_blocks::Verify::Sums => Verify::Checksum,
            },
            memory: size(store.memory),
            cache: size(store.cache),
            pools: store.pools.to_vec(),
            grace: store.grace,
            announce: store.announce.unwrap_or_default(),
            origins: Origins::SameHost,
        }
    }
}

/// Where the block store lies, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data(pub Option<PathBuf>);

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => path.display().fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for Data {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("this is neither `off` nor a directory; write ./off for one of that name"),
            "off" => Ok(Self(None)),
            path => Ok(Self(Some(PathBuf::from(path)))),
        }
    }
}

/// When a PUT is answered: `durable`, `group:MS` or `relaxed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durable(pub Durability);

impl fmt::Display for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Durable {
    type Err = DurabilitySyntax;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

words! {
    /// What is checked before a whole block is sent.
    Verify {
        /// Its SHA-256, and the checksum of every 4 KiB.
        Full = "full",
        /// The checksum of every 4 KiB.
        Checksum = "checksum",
    }
}

/// Limits of the two sections.
pub const LIMITS: &[Limit] = &[
    limit(
        "http.idle_timeout",
        "ms",
        75_000,
        1,
        DAY,
        "a connection that asks nothing takes memory",
        "the connection is closed",
    ),
    limit(
        "http.body_timeout",
        "ms",
        30_000,
        1,
        DAY,
        "a body that stops coming, or an answer nobody takes, occupies buffers",
        "HTTP status 408 where an answer is still possible; the connection is closed",
    ),
    limit(
        "blocks.size",
        "bytes",
        0,
        0,
        1 << 44,
        "space that is set aside at the start cannot run out later",
        "the file grows by blocks.grow",
    ),
    limit(
        "blocks.size_max",
        "bytes",
        1 << 40,
        MIB,
        1 << 44,
        "a block is named by its place in 32 bits, in units of 4 KiB",
        "PUT is answered with 507; DELETE goes on",
    ),
    limit(
        "blocks.grow",
        "bytes",
        256 * MIB,
        MIB,
        64 * GIB,
        "growing costs a sync; space grown too early is not there for others",
        "the next step is taken",
    ),
    limit(
        "blocks.index_size_max",
        "bytes",
        16 * GIB,
        MIB,
        1 << 43,
        "address space of the index",
        "PUT is answered with 507; DELETE goes on",
    ),
    limit(
        "blocks.memory",
        "bytes",
        16 * MIB,
        2 * MIB,
        64 * GIB,
        "contents under way between sockets and the file, of one worker",
        "bodies are not read, and blocks not fetched, until there is room",
    ),
    limit(
        "blocks.cache",
        "bytes",
        8 * MIB,
        0,
        1 << 40,
        "contents a worker keeps for those who ask again",
        "what was not asked for gives way",
    ),
    limit(
        "blocks.grace",
        "ms",
        60_000,
        0,
        DAY,
        "a client that was told a block is there needs time to refer to it",
        "DELETE is answered with 409 until then",
    ),
];

/// Blocks of one class that a worker has at hand at most.
const POOL_MAX: u16 = 4096;

pub(super) fn numbers(http: &HttpSection, blocks: &BlocksSection) -> [(&'static str, u64); 9] {
    [
        ("http.idle_timeout", ms(http.idle_timeout)),
        ("http.body_timeout", ms(http.body_timeout)),
        ("blocks.size", blocks.size.bytes()),
        ("blocks.size_max", blocks.size_max.bytes()),
        ("blocks.grow", blocks.grow.bytes()),
        ("blocks.index_size_max", blocks.index_size_max.bytes()),
        ("blocks.memory", blocks.memory.bytes()),
        ("blocks.cache", blocks.cache.bytes()),
        ("blocks.grace", ms(blocks.grace)),
    ]
}

/// Refuses what does not fit together.
pub(super) fn check(blocks: &BlocksSection) -> Result<(), Invalid> {
    if blocks.size > blocks.size_max {
        let why = "more would be set aside than the store may ever have";
        let remedy = format!("use at most blocks.size_max, {}", blocks.size_max);
        return Err(Invalid::new("blocks.size", why, remedy));
    }
    if blocks.pools.len() != 8 || blocks.pools.iter().any(|&count| count > POOL_MAX) {
        let why = "each of the eight sizes of blocks, 4 KiB to 512 KiB, has its own pool";
        let remedy = format!("use a list of eight numbers, each at most {POOL_MAX}");
        return Err(Invalid::new("blocks.pools", why, remedy));
    }
    let channel = &blocks.announce;
    if channel.len() > 255 {
        let why = "the name of a channel has at most 255 bytes";
        return Err(Invalid::new("blocks.announce", why, "use a shorter one"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_off_or_somewhere() {
        assert_eq!("off".parse(), Ok(Data(None)));
        assert_eq!("./off".parse(), Ok(Data(Some(PathBuf::from("./off")))));
        assert!("".parse::<Data>().is_err());
    }

    #[test]
    fn pools_are_eight_bounded_numbers() {
        let with = |pools: Vec<u16>| BlocksSection {
            pools,
            ..BlocksSection::default()
        };
        assert!(check(&with(vec![0; 8])).is_ok() && check(&with(vec![POOL_MAX; 8])).is_ok());
        assert!(check(&with(vec![POOL_MAX + 1; 8])).is_err());
        assert!(check(&with(vec![1; 7])).is_err() && check(&with(vec![1; 9])).is_err());
        let size = BlocksSection {
            size: ByteSize::new(2 * MIB),
            size_max: ByteSize::new(MIB + 1),
            ..BlocksSection::default()
        };
        assert!(check(&size).is_err());
    }
}
