//! `[streams]`: what is known by its UID, and what may wait for it.

use std::time::Duration;

use hioload_base::{ByteSize, Limit};
use serde::{Deserialize, Serialize};

use super::limits::ms;
use super::size;
use super::values::switch;
use crate::streams::StreamSettings;

/// `[streams]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct StreamsSection {
    #[serde(with = "switch")]
    pub name_all: bool,
    pub worker_max: u64,
    pub total_max: u64,
    #[serde(with = "hioload_control::duration")]
    pub idle_timeout: Duration,
    pub foreign_stream: ByteSize,
    pub foreign_worker: ByteSize,
    pub proxy_window: ByteSize,
    pub socket_max: u64,
    pub websocket_max: u64,
    pub sse_max: u64,
    pub long_poll_max: u64,
    pub custom_max: u64,
    #[serde(with = "hioload_control::duration")]
    pub poll_timeout: Duration,
    #[serde(with = "hioload_control::duration")]
    pub poll_linger: Duration,
    pub poll_backlog: ByteSize,
    pub poll_worker: ByteSize,
}

impl Default for StreamsSection {
    fn default() -> Self {
        let settings = StreamSettings::default();
        Self {
            name_all: settings.name_all,
            worker_max: settings.worker_max.into(),
            total_max: settings.total_max,
            idle_timeout: settings.idle_timeout,
            foreign_stream: size(settings.foreign_stream),
            foreign_worker: size(settings.foreign_worker),
            proxy_window: ByteSize::new(settings.proxy_window),
            socket_max: settings.socket_max.into(),
            websocket_max: settings.websocket_max.into(),
            sse_max: settings.sse_max.into(),
            long_poll_max: settings.long_poll_max.into(),
            custom_max: settings.custom_max.into(),
            poll_timeout: settings.poll_timeout,
            poll_linger: settings.poll_linger,
            poll_backlog: size(settings.poll_backlog),
            poll_worker: size(settings.poll_worker),
        }
    }
}

impl StreamsSection {
    pub(super) fn settings(&self) -> StreamSettings {
        let count = |max: u64| u32::try_from(max).unwrap_or(u32::MAX);
        StreamSettings {
            worker_max: count(self.worker_max),
            socket_max: count(self.socket_max),
            websocket_max: count(self.websocket_max),
            sse_max: count(self.sse_max),
            long_poll_max: count(self.long_poll_max),
            custom_max: count(self.custom_max),
            poll_timeout: self.poll_timeout,
            poll_linger: self.poll_linger,
            poll_backlog: self.poll_backlog.bytes_usize(),
            poll_worker: self.poll_worker.bytes_usize(),
            total_max: self.total_max,
            idle_timeout: self.idle_timeout,
            foreign_stream: self.foreign_stream.bytes_usize(),
            foreign_worker: self.foreign_worker.bytes_usize(),
            proxy_window: self.proxy_window.bytes(),
            name_all: self.name_all,
        }
    }

    pub(super) fn numbers(&self) -> [(&'static str, u64); 15] {
        [
            ("streams.worker_max", self.worker_max),
            ("streams.total_max", self.total_max),
            ("streams.idle_timeout", ms(self.idle_timeout)),
            ("streams.foreign_stream", self.foreign_stream.bytes()),
            ("streams.foreign_worker", self.foreign_worker.bytes()),
            ("streams.proxy_window", self.proxy_window.bytes()),
            ("streams.socket_max", self.socket_max),
            ("streams.websocket_max", self.websocket_max),
            ("streams.sse_max", self.sse_max),
            ("streams.long_poll_max", self.long_poll_max),
            ("streams.custom_max", self.custom_max),
            ("streams.poll_timeout", ms(self.poll_timeout)),
            ("streams.poll_linger", ms(self.poll_linger)),
            ("streams.poll_backlog", self.poll_backlog.bytes()),
            ("streams.poll_worker", self.poll_worker.bytes()),
        ]
    }
}

/// The ranges of those keys: rows of the stream manager's own table.
pub(super) fn limits() -> impl Iterator<Item = &'static Limit> {
    let keys = StreamsSection::default().numbers().map(|(key, _)| key);
    hioload_streams::LIMITS
        .iter()
        .filter(move |limit| keys.contains(&limit.name))
}
