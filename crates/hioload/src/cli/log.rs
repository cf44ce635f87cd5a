//! The log: lines on stderr, from a level on that can change while the process runs.

use std::io::IsTerminal as _;

use hioload::config::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, registry, reload};

/// Changes the level.
#[derive(Clone)]
pub(crate) struct Log(reload::Handle<LevelFilter, Registry>);

impl Log {
    /// Starts logging. Once per process.
    pub(crate) fn start(level: Level) -> Self {
        let (filter, handle) = reload::Layer::new(filter_of(level));
        let lines = fmt::layer()
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        registry().with(filter).with(lines).init();
        Self(handle)
    }

    /// Logs from this level on.
    pub(crate) fn set(&self, level: Level) {
        // Fails only when the subscriber is gone, and then nothing is logged anyway.
        let _ = self.0.reload(filter_of(level));
    }
}

fn filter_of(level: Level) -> LevelFilter {
    match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}
