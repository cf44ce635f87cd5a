//! What the stream manager of a worker works by.

use std::time::Duration;

use hioload_streams::{BacklogConfig, Config};

/// Settings of streams that are known by their UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Streams with a UID at most, per worker.
    pub worker_max: u32,
    /// Streams with a UID at most, of all workers together.
    pub total_max: u64,
    /// How long an autonomous stream may be silent; zero: for ever.
    pub idle_timeout: Duration,
    /// Once so many bytes of writes from elsewhere wait for one stream, more are refused.
    pub foreign_stream: usize,
    /// Bytes of writes from elsewhere that may wait on a worker.
    pub foreign_worker: usize,
    /// Bytes on their way from one side of a proxy to the other before it is read no more.
    pub proxy_window: u64,
    /// Every session gets a UID when it opens; otherwise when somebody asks for it.
    pub name_all: bool,
}

impl Default for StreamSettings {
    fn default() -> Self {
        let (config, backlog) = (Config::default(), BacklogConfig::default());
        Self {
            worker_max: config.worker_max,
            total_max: 4 << 20,
            idle_timeout: config.idle_timeout,
            foreign_stream: backlog.stream_size_max,
            foreign_worker: backlog.size_max,
            proxy_window: 128 << 10,
            name_all: false,
        }
    }
}

impl StreamSettings {
    pub(super) fn registry(&self) -> Config {
        Config {
            worker_max: self.worker_max,
            idle_timeout: self.idle_timeout,
            ..Config::default()
        }
    }

    pub(super) fn backlog(&self) -> BacklogConfig {
        BacklogConfig {
            stream_size_max: self.foreign_stream,
            size_max: self.foreign_worker,
        }
    }
}
