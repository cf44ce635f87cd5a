//! The reading side: names, and sums over all workers, as Prometheus text and as JSON.
//!
//! Must not know who counts what. Cells are laid out once, when all metrics are known, so that a
//! worker's figures are one row of numbers.
//!
//! The text is written by `prometheus-client` (OpenMetrics 1.0, which Prometheus reads); its own counters are
//! not used, since they are shared by all threads and pay a locked instruction for each count.

use super::histogram::{CELL_COUNT, Distribution};
use super::meter::Seat;
use super::sheet::Sheet;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use serde_json::{Map, Value};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The content type of [`Registry::to_prometheus`].
pub const OPEN_METRICS_CONTENT_TYPE: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names a counter among the metrics of one [`Registry`].
#[derive(Clone, Copy, Debug)]
pub struct CounterId(pub(crate) usize);

/// Names a gauge among the metrics of one [`Registry`].
#[derive(Clone, Copy, Debug)]
pub struct GaugeId(pub(crate) usize);

/// Names a histogram among the metrics of one [`Registry`].
#[derive(Clone, Copy, Debug)]
pub struct HistogramId(pub(crate) usize);

/// A metric that cannot be: a mistake of the program, found when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricError {
    /// The name has other characters than letters, digits and `_`, or starts with a digit.
    Name(String),
    /// There is a metric of this name.
    Taken(String),
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricError::Name(name) => write!(
                f,
                "{name:?} is no name of a metric: use letters, digits and underscores, a letter first"
            ),
            MetricError::Taken(name) => write!(f, "there is a metric {name} already"),
        }
    }
}

impl Error for MetricError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
struct Metric {
    name: String,
    help: String,
    kind: Kind,
    /// Its first cell.
    index: usize,
}

/// Collects the metrics of a process before its workers start.
///
/// Names carry their unit, and counters no `_total`: the text adds it.
///
/// ```
/// use hioload_control::Builder;
///
/// let mut builder = Builder::new();
/// let received = builder.counter("hioload_messages_received", "Messages received")?;
/// let (registry, seats) = builder.build(2);
///
/// let threads = seats.into_iter().map(|seat| {
///     std::thread::spawn(move || seat.take().counter(received).add(21))
/// });
/// for thread in threads.collect::<Vec<_>>() {
///     thread.join().expect("counting does not panic");
/// }
/// assert!(registry.to_prometheus().contains("hioload_messages_received_total 42\n"));
/// assert_eq!(registry.to_json()["hioload_messages_received"], 42);
/// # Ok::<(), hioload_control::MetricError>(())
/// ```
#[derive(Debug, Default)]
pub struct Builder {
    metrics: Vec<Metric>,
    cell_count: usize,
}

impl Builder {
    /// No metrics yet.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Adds a number that only grows.
    ///
    /// # Errors
    /// When the name is taken or is no name.
    pub fn counter(&mut self, name: &str, help: &str) -> Result<CounterId, MetricError> {
        self.add(name, help, Kind::Counter, 1).map(CounterId)
    }

    /// Adds a number that grows and shrinks; the workers' parts are added up.
    ///
    /// # Errors
    /// When the name is taken or is no name.
    pub fn gauge(&mut self, name: &str, help: &str) -> Result<GaugeId, MetricError> {
        self.add(name, help, Kind::Gauge, 1).map(GaugeId)
    }

    /// Adds a distribution of durations, shown in seconds; takes 1.2 KiB per worker.
    ///
    /// # Errors
    /// When the name is taken or is no name.
    pub fn histogram(&mut self, name: &str, help: &str) -> Result<HistogramId, MetricError> {
        self.add(name, help, Kind::Histogram, CELL_COUNT)
            .map(HistogramId)
    }

    fn add(
        &mut self,
        name: &str,
        help: &str,
        kind: Kind,
        cells: usize,
    ) -> Result<usize, MetricError> {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(MetricError::Name(name.to_owned()));
        }
        if self.metrics.iter().any(|metric| metric.name == name) {
            return Err(MetricError::Taken(name.to_owned()));
        }
        let index = self.cell_count;
        self.cell_count += cells;
        // The encoder writes the text as it is; OpenMetrics 1.0 wants these escaped.
        let help = help
            .replace('\\', r"\\")
            .replace('\n', r"\n")
            .replace('"', r#"\""#);
        self.metrics.push(Metric {
            name: name.to_owned(),
            help,
            kind,
            index,
        });
        Ok(index)
    }

    /// Lays the cells out: the registry to read, and a seat for each worker to write.
    pub fn build(self, workers: usize) -> (Registry, Vec<Seat>) {
        let sheets: Vec<_> = (0..workers)
            .map(|_| Arc::new(Sheet::new(self.cell_count)))
            .collect();
        let seat = |(worker, sheet): (usize, &Arc<Sheet>)| Seat {
            worker,
            sheet: sheet.clone(),
        };
        let seats = sheets.iter().enumerate().map(seat).collect();
        let figures = Arc::new(Figures {
            metrics: self.metrics,
            sheets,
        });
        let mut text = prometheus_client::registry::Registry::default();
        text.register_collector(Box::new(figures.clone()));
        (
            Registry {
                figures,
                text: Arc::new(text),
            },
            seats,
        )
    }
}

/// The figures of all workers. Clones read the same.
#[derive(Clone, Debug)]
pub struct Registry {
    figures: Arc<Figures>,
    text: Arc<prometheus_client::registry::Registry>,
}

impl Registry {
    /// Sums over all workers as OpenMetrics text, to be served as [`OPEN_METRICS_CONTENT_TYPE`].
    pub fn to_prometheus(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.text).expect("invariant: a string takes any text");
        out
    }

    /// Sums over all workers, by name; a histogram is an object with its quantiles.
    pub fn to_json(&self) -> Value {
        self.figures.json_of(&self.figures.sheets)
    }

    /// The same for each worker alone, in order of their numbers.
    pub fn to_json_by_worker(&self) -> Value {
        let one = |sheet| self.figures.json_of(std::slice::from_ref(sheet));
        self.figures.sheets.iter().map(one).collect()
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.figures.sheets.len()
    }
}

#[derive(Debug)]
struct Figures {
    metrics: Vec<Metric>,
    sheets: Vec<Arc<Sheet>>,
}

impl Figures {
    fn json_of(&self, sheets: &[Arc<Sheet>]) -> Value {
        let figure = |metric: &Metric| match metric.kind {
            Kind::Counter => Value::from(sum(sheets, metric.index)),
            Kind::Gauge => Value::from(sum(sheets, metric.index).cast_signed()),
            Kind::Histogram => distribution(sheets, metric.index).to_json(),
        };
        let all: Map<String, Value> = self
            .metrics
            .iter()
            .map(|metric| (metric.name.clone(), figure(metric)))
            .collect();
        Value::Object(all)
    }
}

fn sum(sheets: &[Arc<Sheet>], index: usize) -> u64 {
    sheets
        .iter()
        .fold(0, |sum, sheet| sum.wrapping_add(sheet.read(index)))
}

fn distribution(sheets: &[Arc<Sheet>], index: usize) -> Distribution {
    Distribution::read(sheets.iter().map(|sheet| &**sheet), index)
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Metric {
            name,
            help,
            kind,
            index,
        } in &self.metrics
        {
            let kind_shown = match kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind_shown)?;
            match kind {
                Kind::Counter => {
                    metric
                        .encode_counter::<NoLabelSet, _, u64>(&sum(&self.sheets, *index), None)?;
                }
                Kind::Gauge => metric.encode_gauge(&sum(&self.sheets, *index).cast_signed())?,
                Kind::Histogram => {
                    let total = distribution(&self.sheets, *index);
                    let (sum, count) = (total.sum_seconds(), total.count());
                    metric.encode_histogram::<NoLabelSet>(sum, count, &total.shown(), None)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn names_are_checked() {
        let mut builder = Builder::new();
        for name in ["", "1a", "a-b", "a b", "a\n", "ä"] {
            let refusal = builder.counter(name, "").map(|_| ());
            assert_eq!(refusal, Err(MetricError::Name(name.to_owned())));
        }
        assert!(builder.counter("a_1", "").is_ok());
        assert_eq!(
            builder.gauge("a_1", "").map(|_| ()),
            Err(MetricError::Taken("a_1".into()))
        );
    }

    #[test]
    fn workers_are_added_up() {
        for workers in [0, 1, 3] {
            let mut builder = Builder::new();
            let before: Vec<_> = (0..20)
                .map(|n| builder.counter(&format!("c{n}"), "").expect("a free name"))
                .collect();
            let gauge = builder.gauge("g", "").expect("a free name");
            let (registry, seats) = builder.build(workers);
            let n = workers as u64;
            for seat in seats {
                let part = i64::try_from(seat.worker()).expect("few workers") - 10;
                let meter = seat.take();
                for (more, id) in (1..).zip(&before) {
                    meter.counter(*id).add(more);
                    meter.counter(*id).increment();
                    assert_eq!(meter.counter(*id).value(), more + 1);
                }
                meter.gauge(gauge).add(1000);
                meter.gauge(gauge).set(part);
                meter.gauge(gauge).add(-5);
            }
            let figures = registry.to_json();
            for (more, id) in (1..).zip(0..20) {
                assert_eq!(figures[format!("c{id}")], n * (more + 1));
            }
            let expected: i64 = (0..workers as i64).map(|worker| worker - 15).sum();
            assert_eq!(figures["g"], expected);
            assert_eq!(
                registry.to_json_by_worker().as_array().map(Vec::len),
                Some(workers)
            );
        }
    }

    #[test]
    fn each_worker_is_shown_alone() {
        let mut builder = Builder::new();
        let id = builder.counter("c", "").expect("a free name");
        let (registry, seats) = builder.build(2);
        for seat in seats {
            let total = 5 + seat.worker() as u64;
            seat.take().counter(id).publish(total);
        }
        assert_eq!(
            registry.to_json_by_worker(),
            serde_json::json!([{ "c": 5 }, { "c": 6 }])
        );
        assert_eq!(registry.to_json(), serde_json::json!({ "c": 11 }));
    }

    #[test]
    fn the_text_is_open_metrics() {
        let mut builder = Builder::new();
        let counter = builder.counter("a", "All of\n\"a\"").expect("a free name");
        let gauge = builder.gauge("b", "Now").expect("a free name");
        let histogram = builder.histogram("c_seconds", "Time").expect("a free name");
        let (registry, mut seats) = builder.build(1);
        let meter = seats.pop().expect("one worker").take();
        meter.counter(counter).add(7);
        meter.gauge(gauge).set(-3);
        meter.histogram(histogram).observe(Duration::from_millis(1));
        let text = registry.to_prometheus();
        for line in [
            r#"# HELP a All of\n\"a\""#,
            "# TYPE a counter",
            "a_total 7",
            "# HELP b Now",
            "# TYPE b gauge",
            "b -3",
            "# TYPE c_seconds histogram",
            "c_seconds_sum 0.001",
            "c_seconds_count 1",
            "c_seconds_bucket{le=\"0.000262144\"} 0",
            "c_seconds_bucket{le=\"0.001048576\"} 1",
            "c_seconds_bucket{le=\"+Inf\"} 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(
            text.lines().filter(|line| line.starts_with('"')).count(),
            0,
            "{text}"
        );
        assert_eq!(registry.to_json()["c_seconds"]["count"], 1);
    }
}
