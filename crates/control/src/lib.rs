//! What an operator changes and sees: typed configuration with hot reload, metrics, probes.
//!
//! Must not know any service: settings are a type parameter, metrics are names and numbers, probes are
//! closures. No HTTP, no signals, no threads: the facade serves what is rendered here and calls
//! [`Control::reload`] when it is told to.
//!
//! ```text
//!  defaults < file < HIOLOAD_* < flags ─▶ Config<S> ──swap──▶ Watch<S> on each worker
//!                                            └──▶ Report: applied, needs restart (and why)
//!  worker 0: Meter ─┐
//!  worker 1: Meter ─┼─ relaxed, one writer each ─▶ Registry ── summed at scrape ─▶ Prometheus, JSON
//!  worker 2: Meter ─┘
//!  register_probe(name, fn) ─▶ Probes ─▶ run one, panics contained
//! ```
//!
//! | room | what lives there |
//! |---|---|
//! | [`Config`], [`Sources`], [`Settings`] | layered settings, their origin, reload with a report per key |
//! | [`Registry`], [`Meter`], [`Counter`], [`Gauge`], [`Histogram`] | figures per worker |
//! | [`Probes`] | named closures that show the inside of a running process |
//! | [`Control`] | all of it behind one handle |
#![forbid(unsafe_code)]

mod config;
mod control;
pub mod duration;
mod metrics;
mod probes;

pub use config::{
    Change, Config, ConfigError, Invalid, KeyChange, KeyReport, Origin, Problem, Report, Settings,
    Sources, Watch,
};
pub use control::Control;
pub use metrics::{
    Builder, Counter, CounterId, Gauge, GaugeId, Histogram, HistogramId, Meter, MetricError,
    OPEN_METRICS_CONTENT_TYPE, Quantiles, Registry, Seat,
};
pub use probes::{ProbeError, Probes};
