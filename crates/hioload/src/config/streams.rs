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
        }
    }
}

impl StreamsSection {
    pub(super) fn settings(&self) -> StreamSettings {
        StreamSettings {
            worker_max: u32::try_from(self.worker_max).unwrap_or(u32::MAX),
            total_max: self.total_max,
            idle_timeout: self.idle_timeout,
            foreign_stream: self.foreign_stream.bytes_usize(),
            foreign_worker: self.foreign_worker.bytes_usize(),
            proxy_window: self.proxy_window.bytes(),
            name_all: self.name_all,
        }
    }

    pub(super) fn numbers(&self) -> [(&'static str, u64); 6] {
        [
            ("streams.worker_max", self.worker_max),
            ("streams.total_max", self.total_max),
            ("streams.idle_timeout", ms(self.idle_timeout)),
            ("streams.foreign_stream", self.foreign_stream.bytes()),
            ("streams.foreign_worker", self.foreign_worker.bytes()),
            ("streams.proxy_window", self.proxy_window.bytes()),
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
