//! The configuration of a server: one typed value from a TOML file, the environment and flags.
//!
//! Must not know how values are read and layered (that is `hioload_control`), nor who runs the
//! server. [`ServerConfig::settings`] and [`crate::ServerBuilder::config`] say what the values mean.
//!
//! ```text
//!   defaults < --config FILE < HIOLOAD_* < flags ─▶ Config<ServerConfig> ─▶ ServerBuilder
//!                                                      └── reload ─▶ Settings of all workers
//! ```
//!
//! Every key, with its default and whether it can change while the server runs: [`KEYS`], from
//! which help texts and `docs/configuration.md` are made.

mod blocks;
mod h2;
mod keys;
pub(crate) mod limits;
mod rules;
mod sse;
mod streams;
mod tls;
mod values;

use std::time::Duration;

use hioload_control::Invalid;
use hioload_ws::deflate::DeflatePolicy;
use hioload_ws::handshake::{AcceptPolicy, HandshakeLimits};
use hioload_ws::{KeepaliveConfig, Limits};
use serde::{Deserialize, Serialize};

pub use hioload_base::{ByteSize, Limit};

pub use self::blocks::{
    BlocksSection, Data, Durable, HttpSection, LIMITS as BLOCKS_LIMITS, Verify,
};
pub use self::h2::H2Section;
pub use self::keys::{KEYS, KeyDoc, to_markdown};
pub use self::limits::LIMITS;
pub use self::rules::RuleSection;
pub use self::sse::SseSection;
pub use self::streams::StreamsSection;
pub use self::tls::{PemFile, TlsPair, TlsSection, Words};
pub use self::values::{
    Addr, AdminAddr, Driver, Level, Numa, Origins, Overrun, Size, Span, Threshold,
};

use self::values::switch;
use crate::server::{ChannelSettings, KERNEL_BUFFER, Settings, StoreConfig, TlsConfig};

/// Bytes of `output.max` at least, where it follows from the longest message.
const OUTPUT_MAX_LEAST: usize = 1 << 20;

/// Settings of a server and of the process around it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerConfig {
    /// Listener, workers and their memory.
    pub server: ServerSection,
    /// What the server shows to clients, and whom it lets in.
    pub tls: TlsSection,
    /// The protocol.
    pub ws: WsSection,
    /// What waits to be sent to one session.
    pub output: OutputSection,
    /// Channels and their subscribers.
    pub channel: ChannelSection,
    /// Sessions that read events.
    pub sse: SseSection,
    /// Streams that are known by their UID.
    pub streams: StreamsSection,
    /// HTTP connections.
    pub http: HttpSection,
    /// HTTP/2 connections.
    pub h2: H2Section,
    /// The block store.
    pub blocks: BlocksSection,
    /// The admin listener.
    pub admin: AdminSection,
    /// How the server ends.
    pub shutdown: ShutdownSection,
    /// The log.
    pub log: LogSection,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct ServerSection {
    pub addr: Addr,
    pub addr_clear: AdminAddr,
    pub workers: u32,
    #[serde(with = "switch")]
    pub pin: bool,
    pub numa: Numa,
    pub driver: Driver,
    pub batch: u32,
    pub ring: u32,
    pub sessions_max: u32,
    pub memory: Size,
    #[serde(with = "switch")]
    pub hugepages: bool,
    pub send_buffer: Size,
    pub recv_buffer: Size,
    pub zero_copy: Threshold,
}

/// `[ws]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct WsSection {
    pub message_size_max: ByteSize,
    pub frame_size_max: Size,
    pub fragments_max: u32,
    pub fragments_empty_max: u16,
    pub assembly_max: Size,
    pub head_size_max: ByteSize,
    pub headers_max: u32,
    #[serde(with = "hioload_control::duration")]
    pub handshake_timeout: Duration,
    #[serde(with = "hioload_control::duration")]
    pub close_timeout: Duration,
    pub ping_interval: Span,
    #[serde(with = "hioload_control::duration")]
    pub pong_timeout: Duration,
    pub idle_timeout: Span,
    pub lifetime: Span,
    pub subprotocols: Vec<String>,
    pub origins: Origins,
    #[serde(with = "switch")]
    pub deflate: bool,
    #[serde(with = "switch")]
    pub deflate_takeover: bool,
    pub deflate_window_bits: u8,
    pub deflate_size_min: ByteSize,
    pub deflate_level: u32,
}

/// `[output]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct OutputSection {
    pub high: ByteSize,
    pub max: Size,
}

/// `[channel]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct ChannelSection {
    pub count_max: u32,
    pub subscriptions_max: u32,
    pub subscriptions_worker_max: u32,
    pub budget: ByteSize,
    pub budget_worker: ByteSize,
    pub policy: Overrun,
    pub rate_min: u32,
    #[serde(with = "hioload_control::duration")]
    pub window: Duration,
    #[serde(with = "switch")]
    pub exclude_sender: bool,
    pub history_count: u64,
    pub history_size: ByteSize,
    #[serde(with = "hioload_control::duration")]
    pub history_age: Duration,
    #[serde(with = "hioload_control::duration")]
    pub linger: Duration,
    pub send_max: ByteSize,
    pub rules: Vec<RuleSection>,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct AdminSection {
    pub addr: AdminAddr,
}

/// `[shutdown]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct ShutdownSection {
    #[serde(with = "hioload_control::duration")]
    pub timeout: Duration,
    pub pace: u32,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct LogSection {
    pub level: Level,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            addr: Addr(([127, 0, 0, 1], 9002).into()),
            addr_clear: AdminAddr(None),
            workers: 0,
            pin: false,
            numa: Numa(None),
            driver: Driver::Auto,
            batch: 512,
            ring: 2048,
            sessions_max: Settings::default().sessions_max as u32,
            memory: Size(None),
            hugepages: false,
            send_buffer: Size(Some(size(KERNEL_BUFFER))),
            recv_buffer: Size(Some(size(KERNEL_BUFFER))),
            zero_copy: Threshold(None),
        }
    }
}

impl Default for WsSection {
    fn default() -> Self {
        let settings = Settings::default();
        let deflate = DeflatePolicy::default();
        Self {
            message_size_max: size(settings.ws.message_size_max),
            frame_size_max: Size(None),
            fragments_max: settings.ws.fragments_max,
            fragments_empty_max: settings.ws.fragments_empty_max,
            assembly_max: Size(None),
            head_size_max: size(settings.handshake.head_size_max),
            headers_max: settings.handshake.headers_max as u32,
            handshake_timeout: settings.handshake_timeout,
            close_timeout: settings.close_timeout,
            ping_interval: Span(settings.keepalive.ping_interval),
            pong_timeout: settings.keepalive.pong_timeout,
            idle_timeout: Span(settings.keepalive.idle_timeout),
            lifetime: Span(settings.keepalive.lifetime),
            subprotocols: Vec::new(),
            origins: Origins::Any,
            deflate: settings.accept.deflate.is_some(),
            deflate_takeover: false,
            deflate_window_bits: deflate.server_max_window_bits,
            deflate_size_min: size(settings.deflate_size_min),
            deflate_level: settings.deflate_level,
        }
    }
}

impl Default for OutputSection {
    fn default() -> Self {
        Self {
            high: size(Settings::default().output_high),
            max: Size(None),
        }
    }
}

impl Default for ChannelSection {
    fn default() -> Self {
        let settings = ChannelSettings::default();
        Self {
            count_max: settings.count_max as u32,
            subscriptions_max: Settings::default().subscriptions_max as u32,
            subscriptions_worker_max: Settings::default().subscriptions_worker_max as u32,
            budget: size(settings.budget),
            budget_worker: size(settings.budget_worker),
            policy: Overrun::Disconnect,
            rate_min: settings.rate_min,
            window: settings.window,
            exclude_sender: settings.exclude_sender,
            history_count: settings.history.count,
            history_size: size(settings.history.size),
            history_age: settings.history.age,
            linger: settings.linger,
            send_max: size(settings.send_max),
            rules: Vec::new(),
        }
    }
}

impl Default for AdminSection {
    fn default() -> Self {
        Self {
            addr: AdminAddr(Some(([127, 0, 0, 1], 9090).into())),
        }
    }
}

impl Default for ShutdownSection {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            pace: 0,
        }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: Level::Info }
    }
}

fn size(bytes: usize) -> ByteSize {
    ByteSize::new(bytes as u64)
}

impl hioload_control::Settings for ServerConfig {
    const RESTART: &'static [(&'static str, &'static str)] = keys::RESTART;
    const FOR_NEW: &'static [(&'static str, &'static str)] = keys::FOR_NEW;

    fn check(&self) -> Result<(), Invalid> {
        limits::check(self)
    }
}

impl ServerConfig {
    /// What workers work by.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let ws = &self.ws;
        Settings {
            ws: Limits {
                message_size_max: ws.message_size_max.bytes_usize(),
                frame_size_max: self.frame_size_max(),
                fragments_max: ws.fragments_max,
                fragments_empty_max: ws.fragments_empty_max,
            },
            handshake: HandshakeLimits {
                head_size_max: ws.head_size_max.bytes_usize(),
                headers_max: ws.headers_max as usize,
            },
            handshake_timeout: ws.handshake_timeout,
            http: hioload_http::h1::Limits {
                head_size_max: ws.head_size_max.bytes_usize(),
                headers_max: ws.headers_max as usize,
                ..hioload_http::h1::Limits::default()
            },
            h2: self.h2.limits(),
            streams_max: self.h2.streams_worker_max as usize,
            http_idle_timeout: self.http.idle_timeout,
            body_timeout: self.http.body_timeout,
            accept: self.accept_policy(),
            blocks_origins: self.blocks.origins.policy(),
            deflate_size_min: ws.deflate_size_min.bytes_usize(),
            deflate_level: ws.deflate_level,
            keepalive: KeepaliveConfig {
                ping_interval: ws.ping_interval.0,
                pong_timeout: ws.pong_timeout,
                idle_timeout: ws.idle_timeout.0,
                lifetime: ws.lifetime.0,
            },
            output_high: self.output.high.bytes_usize(),
            output_max: self.output_max(),
            assembly_max: self.assembly_max(),
            close_timeout: ws.close_timeout,
            sessions_max: self.server.sessions_max as usize,
            subscriptions_max: self.channel.subscriptions_max as usize,
            subscriptions_worker_max: self.channel.subscriptions_worker_max as usize,
            channel: self.channel_settings(),
            events: self.sse.to_settings(),
            streams: self.streams.settings(),
        }
    }

    /// The block store, if there is to be one.
    #[must_use]
    pub fn store(&self) -> Option<StoreConfig> {
        let blocks = &self.blocks;
        let mut pools = [0; 8];
        for (pool, count) in pools.iter_mut().zip(&blocks.pools) {
            *pool = *count;
        }
        Some(StoreConfig {
            dir: blocks.data.0.clone()?,
            size: blocks.size.bytes(),
            size_max: blocks.size_max.bytes(),
            grow: blocks.grow.bytes(),
            index_size_max: blocks.index_size_max.bytes(),
            durability: blocks.durability.0,
            verify: match blocks.verify {
                Verify::Full => hioload_blocks::Verify::Full,
                Verify::Checksum => hioload_blocks::Verify::Sums,
            },
            memory: blocks.memory.bytes_usize(),
            cache: blocks.cache.bytes_usize(),
            pools,
            grace: blocks.grace,
            announce: Some(blocks.announce.clone()).filter(|channel| !channel.is_empty()),
        })
    }

    /// How the server speaks TLS, if it is to.
    #[must_use]
    pub fn tls(&self) -> Option<TlsConfig> {
        self.tls.to_config()
    }

    fn channel_settings(&self) -> ChannelSettings {
        let channel = &self.channel;
        ChannelSettings {
            count_max: channel.count_max as usize,
            budget: channel.budget.bytes_usize(),
            budget_worker: channel.budget_worker.bytes_usize(),
            policy: channel.policy.policy(),
            rate_min: channel.rate_min,
            window: channel.window,
            exclude_sender: channel.exclude_sender,
            history: channel.history(),
            linger: channel.linger,
            send_max: channel.send_max.bytes_usize(),
            rules: (channel.rules.iter())
                .map(|rule| rule.to_rule(channel))
                .collect(),
        }
    }

    fn accept_policy(&self) -> AcceptPolicy {
        let ws = &self.ws;
        let deflate = DeflatePolicy {
            server_no_context_takeover: !ws.deflate_takeover,
            client_no_context_takeover: !ws.deflate_takeover,
            server_max_window_bits: ws.deflate_window_bits,
            client_max_window_bits: ws.deflate_window_bits,
        };
        AcceptPolicy {
            protocols: ws.subprotocols.clone(),
            origins: ws.origins.policy(),
            deflate: ws.deflate.then_some(deflate),
        }
    }

    /// A message in one frame, unless frames are bounded on their own; bytes.
    #[must_use]
    pub fn frame_size_max(&self) -> usize {
        self.ws
            .frame_size_max
            .0
            .unwrap_or(self.ws.message_size_max)
            .bytes_usize()
    }

    /// Room for four of the longest messages, and for many short ones; bytes.
    #[must_use]
    pub fn assembly_max(&self) -> usize {
        let auto = self.ws.message_size_max.bytes_usize().saturating_mul(4);
        let auto = auto.max(Settings::default().assembly_max);
        self.ws.assembly_max.0.map_or(auto, ByteSize::bytes_usize)
    }

    /// Room for two of the longest messages, and for many short ones; bytes.
    #[must_use]
    pub fn output_max(&self) -> usize {
        let auto = self.ws.message_size_max.bytes_usize().saturating_mul(2);
        let auto = auto
            .max(OUTPUT_MAX_LEAST)
            .max(self.output.high.bytes_usize());
        self.output.max.0.map_or(auto, ByteSize::bytes_usize)
    }

    /// Bytes of buffers of each worker: all its channels' logs, and output beside them.
    #[must_use]
    pub fn memory(&self) -> usize {
        let beside = self.output_max().saturating_mul(4).max(64 << 20);
        let auto = self
            .channel
            .budget_worker
            .bytes_usize()
            .saturating_add(beside);
        self.server.memory.0.map_or(auto, ByteSize::bytes_usize)
    }
}
