//! What the stream manager of a worker works by.

use std::time::Duration;

use hioload_streams::{BacklogConfig, Config, Kind};

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
    /// Bytes on their way from one side of a proxy to the other before it is read no more; `foreign_stream` if that is
    /// less.
    pub proxy_window: u64,
    /// Streams with a UID of one connection of HTTP/2 at most.
    pub socket_max: u32,
    /// WebSocket sessions with a UID at most, per worker.
    pub websocket_max: u32,
    /// Sessions that read events with a UID at most, per worker.
    pub sse_max: u32,
    /// Sessions that are polled at most, per worker: each has a UID. Not to be raised while the server runs, for timers are sized
    /// by it.
    pub long_poll_max: u32,
    /// Sessions of protocols of the application at most, per worker: each has a UID.
    pub custom_max: u32,
    /// How long a poll waits for something to be said.
    pub poll_timeout: Duration,
    /// How long a session lives that nobody polls.
    pub poll_linger: Duration,
    /// Once so many bytes wait for the next poll of a session, it takes no more.
    pub poll_backlog: usize,
    /// Bytes that may wait for polls on a worker.
    pub poll_worker: usize,
    /// Every session gets a UID when it opens; otherwise when somebody asks for it.
    pub name_all: bool,
}

impl Default for StreamSettings {
    fn default() -> Self {
        let kind_max = |kind: Kind| Config::default().kind_max[kind.index()];
        let (config, backlog) = (Config::default(), BacklogConfig::default());
        Self {
            worker_max: config.worker_max,
            total_max: 4 << 20,
            idle_timeout: config.idle_timeout,
            foreign_stream: backlog.stream_size_max,
            foreign_worker: backlog.size_max,
            proxy_window: 128 << 10,
            socket_max: config.socket_max,
            websocket_max: kind_max(Kind::WebSocket),
            sse_max: kind_max(Kind::Sse),
            long_poll_max: kind_max(Kind::LongPoll),
            custom_max: kind_max(Kind::Custom),
            poll_timeout: Duration::from_secs(25),
            poll_linger: Duration::from_secs(60),
            poll_backlog: 64 << 10,
            poll_worker: 512 << 10,
            name_all: false,
        }
    }
}

impl StreamSettings {
    pub(super) fn registry(&self) -> Config {
        let mut kind_max = Config::default().kind_max;
        for (kind, max) in [
            (Kind::WebSocket, self.websocket_max),
            (Kind::Sse, self.sse_max),
            (Kind::LongPoll, self.long_poll_max),
            (Kind::Custom, self.custom_max),
        ] {
            kind_max[kind.index()] = max;
        }
        Config {
            socket_max: self.socket_max,
            kind_max,
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
