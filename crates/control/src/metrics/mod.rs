//! Figures that workers keep without contention and a scrape adds up.

mod histogram;
mod meter;
mod registry;
mod sheet;

pub use histogram::{Histogram, Quantiles};
pub use meter::{Counter, Gauge, Meter, Seat};
pub use registry::{
    Builder, CounterId, GaugeId, HistogramId, MetricError, OPEN_METRICS_CONTENT_TYPE, Registry,
};
