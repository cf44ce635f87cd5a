//! What a run found: JSON for programs, a table for people.

use std::collections::BTreeMap;
use std::fmt;

use hioload_base::Time;
use serde::Serialize;

use super::BenchError;
use super::blocks::Figures;
use super::hold::{Reading, slope};
use super::options::Options;
use super::process::Account;
use super::tally::{Latency, Tally};

/// Accounts at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    time: Time,
    server_cpu_ns: Option<u64>,
    server_rss: Option<u64>,
    server_rss_max: Option<u64>,
    load_cpu_ns: u64,
}

impl Snapshot {
    pub(super) fn take(server: Option<Account>, time: Time) -> Result<Self, BenchError> {
        Ok(Self {
            time,
            server_cpu_ns: server.map(Account::cpu_ns).transpose()?,
            server_rss: server.map(Account::rss).transpose()?,
            server_rss_max: server.map(Account::rss_max).transpose()?,
            load_cpu_ns: Account::own().cpu_ns()?,
        })
    }
}

/// The measured time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    pub(super) start: Snapshot,
    pub(super) end: Snapshot,
}

/// The figures of a run. Field names are what programs read; sizes in bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(super) work: &'static str,
    pub(super) server: String,
    pub(super) driver: String,
    pub(super) connections: usize,
    pub(super) size: usize,
    pub(super) in_flight: Option<usize>,
    pub(super) rate: Option<f64>,
    /// Length of the window.
    pub(super) seconds: f64,
    /// Echoes, deliveries or handshakes inside the window.
    pub(super) messages: u64,
    pub(super) messages_per_second: f64,
    /// Publications sent inside the window.
    pub(super) publications: u64,
    /// CPU time of the server inside the window.
    pub(super) server_cpu_ns: Option<u64>,
    pub(super) server_cpu_ns_per_message: Option<f64>,
    pub(super) server_rss_start: Option<u64>,
    pub(super) server_rss_end: Option<u64>,
    pub(super) server_rss_max: Option<u64>,
    /// CPU time of the load itself: near `seconds`, the load is what limits.
    pub(super) load_cpu_ns: u64,
    pub(super) latency_ns: Option<Latency>,
    /// Messages owed that never came; handshakes that failed. Over the whole run.
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    pub(super) corrupted: u64,
    pub(super) unexpected: u64,
    /// All that was under way at the end came, or nothing more did.
    pub(super) drained: bool,
    /// Most connections open at the same time.
    pub(super) connections_held: usize,
    pub(super) connections_failed: u64,
    pub(super) failure: Option<String>,
    /// Connections that the server ended before the load did.
    pub(super) connections_lost: u64,
    pub(super) close_codes: BTreeMap<u16, u64>,
    pub(super) stalled: usize,
    pub(super) stalled_close_codes: BTreeMap<u16, u64>,
    pub(super) readings: Vec<Reading>,
    pub(super) bytes_per_connection: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) blocks: Option<Figures>,
}

impl Report {
    /// The figures that every work has.
    pub(super) fn new(options: &Options, window: &Window, tally: &mut Tally) -> Self {
        let (start, end) = (window.start, window.end);
        let seconds = (end.time - start.time).as_secs_f64();
        let server_cpu_ns = start
            .server_cpu_ns
            .zip(end.server_cpu_ns)
            .map(|(from, to)| to.saturating_sub(from));
        let per_message = |ns: u64| ns as f64 / tally.messages as f64;
        Self {
            work: options.work.name(),
            server: String::new(),
            driver: String::new(),
            connections: options.connections,
            size: options.size_max(),
            in_flight: options.in_flight,
            rate: options.rate,
            seconds,
            messages: tally.messages,
            messages_per_second: if seconds > 0.0 {
                tally.messages as f64 / seconds
            } else {
                0.0
            },
            publications: tally.publications,
            server_cpu_ns,
            server_cpu_ns_per_message: server_cpu_ns
                .filter(|_| tally.messages > 0)
                .map(per_message),
            server_rss_start: start.server_rss,
            server_rss_end: end.server_rss,
            server_rss_max: end.server_rss_max,
            load_cpu_ns: end.load_cpu_ns.saturating_sub(start.load_cpu_ns),
            latency_ns: tally.latency(),
            lost: 0,
            duplicated: 0,
            reordered: 0,
            corrupted: tally.corrupted,
            unexpected: tally.unexpected,
            drained: true,
            connections_held: 0,
            connections_failed: tally.connections_failed,
            failure: tally.failure_first.clone(),
            connections_lost: tally.connections_lost,
            close_codes: tally.close_codes.clone(),
            stalled: 0,
            stalled_close_codes: tally.stalled_codes.clone(),
            readings: Vec::new(),
            bytes_per_connection: None,
            blocks: None,
        }
    }

    pub(super) fn with_readings(mut self, readings: &[Reading]) -> Self {
        self.readings = readings.to_vec();
        self.bytes_per_connection = slope(readings);
        self
    }

    /// One line of JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: numbers and strings have a JSON form")
    }

    /// The size of what was sent or received, or least and most.
    fn sizes(&self) -> String {
        match &self.blocks {
            Some(blocks) if blocks.size_min != self.size => {
                format!("{}..{}", blocks.size_min, self.size)
            }
            _ => self.size.to_string(),
        }
    }

    /// What a message is in this work.
    fn unit(&self) -> &'static str {
        match self.work {
            "echo" => "echoes",
            "connect" | "idle" => "handshakes",
            _ if self.blocks.is_some() => "requests",
            _ => "deliveries",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22}{value}");
        let load = self.rate.map_or_else(
            || "closed loop".to_owned(),
            |rate| format!("{rate} a second"),
        );
        row(
            "work",
            format!(
                "{}, {} connections, {} bytes, {load}",
                self.work,
                self.connections,
                self.sizes()
            ),
        )?;
        row(
            "server",
            format!("{} (load by {})", self.server, self.driver),
        )?;
        row("window", format!("{:.2} s", self.seconds))?;
        if self.publications > 0 {
            row("publications", grouped(self.publications))?;
        }
        row(
            self.unit(),
            format!(
                "{} ({} a second)",
                grouped(self.messages),
                grouped(self.messages_per_second as u64)
            ),
        )?;
        if let Some(blocks) = &self.blocks {
            row("contents", blocks.shown())?;
        }
        if let (Some(ns), Some(each)) = (self.server_cpu_ns, self.server_cpu_ns_per_message) {
            let share = ns as f64 / (self.seconds * 1e7);
            row(
                "server CPU",
                format!("{:.3} µs each, {share:.0} % of a core", each / 1e3),
            )?;
        }
        row(
            "load CPU",
            format!(
                "{:.0} % of a core",
                self.load_cpu_ns as f64 / (self.seconds * 1e7)
            ),
        )?;
        if let Some(latency) = self.latency_ns {
            row(
                "latency",
                format!(
                    "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
                    short(latency.p50),
                    short(latency.p90),
                    short(latency.p99),
                    short(latency.p999),
                    short(latency.max)
                ),
            )?;
        }
        if let Some(blocks) = &self.blocks
            && blocks.by_method.len() > 1
        {
            for (method, figures) in &blocks.by_method {
                let latency = figures.latency_ns.map_or_else(String::new, |latency| {
                    format!(", p50 {}, p99 {}", short(latency.p50), short(latency.p99))
                });
                row(method, format!("{}{latency}", grouped(figures.requests)))?;
            }
        }
        if let Some(rss) = self.server_rss_max {
            let beside = self
                .blocks
                .as_ref()
                .and_then(|blocks| blocks.server_rss_beside_index);
            let beside = beside.map_or_else(String::new, |rss| {
                format!(", {} beside the index at the end", mib(rss))
            });
            row("server memory", format!("{} at most{beside}", mib(rss)))?;
        }
        for reading in &self.readings {
            row(
                "server memory",
                format!(
                    "{} bytes with {} connections",
                    grouped(reading.rss),
                    reading.connections
                ),
            )?;
        }
        if let Some(bytes) = self.bytes_per_connection {
            row("memory/connection", format!("{bytes:.0} bytes"))?;
        }
        if let Some(blocks) = &self.blocks {
            let each = blocks.statuses.iter();
            let each: Vec<_> = each
                .map(|(status, count)| format!("{count} with {status}"))
                .collect();
            row("answers", each.join(", "))?;
        }
        let proof = format!(
            "{} lost, {} duplicated, {} reordered, {} corrupted, {} unexpected",
            self.lost, self.duplicated, self.reordered, self.corrupted, self.unexpected
        );
        row(
            "proof",
            if self.drained {
                proof
            } else {
                format!("{proof}; the end was not reached")
            },
        )?;
        if let Some(failure) = &self.failure {
            row(
                "failed connections",
                format!("{}; the first: {failure}", self.connections_failed),
            )?;
        }
        if self.connections_lost > 0 {
            row(
                "ended by the server",
                format!("{} {}", self.connections_lost, codes(&self.close_codes)),
            )?;
        }
        if self.stalled > 0 {
            row(
                "stalled",
                format!(
                    "{}; thrown out: {}",
                    self.stalled,
                    codes(&self.stalled_close_codes)
                ),
            )?;
        }
        Ok(())
    }
}

fn codes(codes: &BTreeMap<u16, u64>) -> String {
    let each: Vec<_> = codes
        .iter()
        .map(|(code, count)| format!("{count} with {code}"))
        .collect();
    format!(
        "({})",
        if each.is_empty() {
            "none".to_owned()
        } else {
            each.join(", ")
        }
    )
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Nanoseconds in a unit that leaves few digits.
fn short(ns: u64) -> String {
    match ns as f64 {
        ns if ns < 1e3 => format!("{ns} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(short(999), "999 ns");
        assert_eq!(short(1_500), "1.5 µs");
        assert_eq!(short(2_500_000), "2.5 ms");
        assert_eq!(short(3_000_000_000), "3.00 s");
    }

    #[test]
    fn close_codes_are_listed() {
        assert_eq!(codes(&BTreeMap::new()), "(none)");
        assert_eq!(
            codes(&BTreeMap::from([(1006, 2), (1013, 1)])),
            "(2 with 1006, 1 with 1013)"
        );
    }
}
