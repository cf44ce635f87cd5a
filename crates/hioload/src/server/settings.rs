//! What a worker works by: one immutable value, swapped as a whole on reload.

use std::time::Duration;

use hioload_live::{HistoryConfig, Policy};
use hioload_ws::handshake::{AcceptPolicy, HandshakeLimits, OriginPolicy};
use hioload_ws::{KeepaliveConfig, Limits};

use super::rule::ChannelRule;
use super::streams::StreamSettings;

/// Settings of all sessions and channels of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sizes of frames and messages.
    pub ws: Limits,
    /// Sizes of request heads.
    pub handshake: HandshakeLimits,
    /// How long a client may take for its request head.
    pub handshake_timeout: Duration,
    /// Sizes of HTTP messages.
    pub http: hioload_http::h1::Limits,
    /// HTTP/2.
    pub h2: hioload_http::h2::Limits,
    /// Streams of all HTTP/2 connections at most, per worker.
    pub streams_max: usize,
    /// How long a connection may wait for its next HTTP request.
    pub http_idle_timeout: Duration,
    /// How long an HTTP body may stand still, or an answer not be taken.
    pub body_timeout: Duration,
    /// Subprotocols, origins, deflate.
    pub accept: AcceptPolicy,
    /// Pages that may change blocks.
    pub blocks_origins: OriginPolicy,
    /// Smaller messages are sent as they are, even where deflate was agreed; bytes.
    pub deflate_size_min: usize,
    /// 0 (as is) over 1 (fast) to 9 (small).
    pub deflate_level: u32,
    /// Pings, idle timeout, lifetime.
    pub keepalive: KeepaliveConfig,
    /// A session with this many bytes of its own waiting to be sent is not read from; bytes.
    pub output_high: usize,
    /// A session with this many bytes of its own waiting refuses more; bytes.
    pub output_max: usize,
    /// Bytes that all input of a worker which is not dealt with yet may take together: unfinished
    /// messages and heads, what came for sessions that are held back.
    pub assembly_max: usize,
    /// How long a closing session may take to answer, and to take what it was sent.
    pub close_timeout: Duration,
    /// Sessions at most, per worker.
    pub sessions_max: usize,
    /// Subscriptions of one session at most.
    pub subscriptions_max: usize,
    /// Subscriptions of all sessions of a worker at most.
    pub subscriptions_worker_max: usize,
    /// Channels.
    pub channel: ChannelSettings,
    /// Sessions that read events.
    pub events: EventSettings,
    /// Streams that are known by their UID.
    pub streams: StreamSettings,
}

/// Settings of sessions that read events.
#[derive(Clone, Copy, Debug)]
pub struct EventSettings {
    /// How long nothing may be sent before a comment is; `None`: forever.
    pub keepalive: Option<Duration>,
    /// How long readers are told to wait before they come back, and up to half of that more.
    pub retry: Duration,
    /// History is kept as events from the first publication on, not only from the first reader on.
    pub history: bool,
}

/// Settings of every channel, and rules for some.
#[derive(Clone, Debug)]
pub struct ChannelSettings {
    /// Channels at most, per worker.
    pub count_max: usize,
    /// Bytes of log that a channel may hold.
    pub budget: usize,
    /// Bytes of log that all channels of a worker may hold.
    pub budget_worker: usize,
    /// What becomes of stalled subscribers.
    pub policy: Policy,
    /// A subscriber with something to read that drains less than this is stalled; bytes a second.
    pub rate_min: u32,
    /// Over which time that is judged.
    pub window: Duration,
    /// A session does not get what it published itself.
    pub exclude_sender: bool,
    /// What is kept for those who come back with
    /// [`Session::subscribe_since`](crate::Session::subscribe_since). All three limits hold, and
    /// the budget above all of them.
    pub history: HistoryConfig,
    /// How long an empty channel is remembered.
    pub linger: Duration,
    /// Bytes of one send at most.
    pub send_max: usize,
    /// What holds for some channels in place of policy, rate, window, sender and history above.
    pub rules: Vec<ChannelRule>,
}

impl ChannelSettings {
    /// Bytes that a worker may take for private copies of what stalled subscribers are owed: beside the logs, and
    /// at least one frame.
    pub(crate) fn owed_worker(&self) -> usize {
        (self.budget_worker / 16).max(1 << 20)
    }
}

/// Those of the default configuration.
impl Default for Settings {
    fn default() -> Self {
        let ws = Limits::default();
        let handshake = HandshakeLimits::default();
        Self {
            ws,
            handshake,
            handshake_timeout: Duration::from_secs(10),
            // A request head has one limit, whatever it asks for.
            http: hioload_http::h1::Limits {
                head_size_max: handshake.head_size_max,
                headers_max: handshake.headers_max,
                ..hioload_http::h1::Limits::default()
            },
            h2: hioload_http::h2::Limits::default(),
            streams_max: 1 << 12,
            http_idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            accept: AcceptPolicy::default(),
            blocks_origins: OriginPolicy::SameHost,
            deflate_size_min: 64,
            deflate_level: 1,
            keepalive: KeepaliveConfig::default(),
            output_high: 64 * 1024,
            output_max: 2 * ws.message_size_max,
            assembly_max: 32 << 20,
            close_timeout: Duration::from_secs(5),
            sessions_max: 1 << 17,
            subscriptions_max: 128,
            subscriptions_worker_max: 1 << 18,
            channel: ChannelSettings::default(),
            events: EventSettings::default(),
            streams: StreamSettings::default(),
        }
    }
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            keepalive: Some(Duration::from_secs(15)),
            retry: Duration::from_secs(3),
            history: false,
        }
    }
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self {
            count_max: 65_536,
            budget: 4 << 20,
            budget_worker: 64 << 20,
            policy: Policy::Disconnect,
            rate_min: 1024,
            window: Duration::from_secs(2),
            exclude_sender: true,
            history: HistoryConfig::OFF,
            linger: Duration::from_secs(60),
            send_max: 256 * 1024,
            rules: Vec::new(),
        }
    }
}
