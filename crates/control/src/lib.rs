//! What an operator changes and sees: typed configuration with hot reload, metrics, probes.
//!
//! Must not know any service: settings are a type parameter, metrics are names and numbers, probes are
//! closures. No HTTP, no signals, no threads: the facade serves what is rendered here, calls
//! [`Config::reload`] when it is told to, and tells its workers what came of it.
//!
//! ```text
//!  defaults < file < HIOLOAD_* < flags ─▶ Config<S> ── current ─▶ a snapshot, whole and immutable
//!                                            └─ reload ─▶ Report: applied (to what), needs restart (and why)
//!  worker 0: Meter ─┐
//!  worker 1: Meter ─┼─ relaxed, one writer each ─▶ Registry ── summed at scrape ─▶ Prometheus, JSON
//!  worker 2: Meter ─┘
//!  Probes::register(name, fn) ─▶ Probes ─▶ run one, panics contained
//! ```
//!
//! | room | what lives there |
//! |---|---|
//! | [`Config`], [`Sources`], [`Settings`] | layered settings, their origin, reload with a report per key |
//! | [`Registry`], [`Meter`], [`Counter`], [`Gauge`], [`Histogram`] | figures per worker |
//! | [`Probes`] | named closures that show the inside of a running process |
#![forbid(unsafe_code)]

mod config;
pub mod duration;
mod metrics;
mod probes;

pub use config::{
    Change, Config, ConfigError, Invalid, KeyChange, KeyReport, Origin, Problem, Report, Settings,
    Sources,
};
pub use metrics::{
    Builder, Counter, CounterId, Gauge, GaugeId, Histogram, HistogramId, Meter, MetricError,
    OPEN_METRICS_CONTENT_TYPE, Quantiles, Registry, Seat,
};
pub use probes::{ProbeError, Probes};
