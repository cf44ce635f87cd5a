//! What a run over blocks counts beside requests and their latency.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::tally::{Latency, Tally};

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Put,
    Delete,
}

impl Method {
    const ALL: [Self; 3] = [Self::Get, Self::Put, Self::Delete];

    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Counters of one method, inside the window.
struct Count {
    tally: Tally,
    bytes: u64,
}

/// Counters of a run.
pub(super) struct Counts {
    by_method: [Count; 3],
    /// Answers by status, always.
    statuses: BTreeMap<u16, u64>,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            by_method: std::array::from_fn(|_| Count {
                tally: Tally::new(),
                bytes: 0,
            }),
            statuses: BTreeMap::new(),
        }
    }

    pub(super) fn open(&mut self, is_open: bool) {
        for count in &mut self.by_method {
            count.tally.is_open = is_open;
        }
    }

    pub(super) fn status(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    /// A request that was answered as it should be; the content it moved has so many bytes.
    pub(super) fn done(&mut self, method: Method, bytes: u64, latency_ns: u64) {
        let count = &mut self.by_method[method as usize];
        if count.tally.is_open {
            count.tally.message(latency_ns);
            count.bytes += bytes;
        }
    }

    pub(super) fn figures(&mut self, seconds: f64) -> Figures {
        let mut bytes = 0;
        let mut by_method = BTreeMap::new();
        for (method, count) in Method::ALL.into_iter().zip(&mut self.by_method) {
            if count.tally.messages == 0 {
                continue;
            }
            bytes += count.bytes;
            let figures = MethodFigures {
                requests: count.tally.messages,
                bytes: count.bytes,
                latency_ns: count.tally.latency(),
            };
            by_method.insert(method.name(), figures);
        }
        Figures {
            size_min: 0,
            stored_before: 0,
            bytes,
            bytes_per_second: if seconds > 0.0 {
                bytes as f64 / seconds
            } else {
                0.0
            },
            by_method,
            statuses: self.statuses.clone(),
            server_rss_beside_index: None,
        }
    }
}

/// The figures of a run over blocks. Field names are what programs read; sizes in bytes.
#[derive(Clone, Debug, Serialize)]
pub(in super::super) struct Figures {
    /// The shortest content; the longest is the report's size.
    pub(in super::super) size_min: usize,
    /// Blocks that were stored before the window.
    pub(in super::super) stored_before: usize,
    /// Of contents, in either direction.
    pub(in super::super) bytes: u64,
    pub(in super::super) bytes_per_second: f64,
    pub(in super::super) by_method: BTreeMap<&'static str, MethodFigures>,
    /// Answers by status, those before the window too.
    pub(in super::super) statuses: BTreeMap<u16, u64>,
    /// Resident memory of the server at the end without what it maps of its index.
    pub(in super::super) server_rss_beside_index: Option<u64>,
}

impl Figures {
    /// In a few words.
    pub(in super::super) fn shown(&self) -> String {
        let before = match self.stored_before {
            0 => String::new(),
            count => format!(", {count} blocks stored before"),
        };
        format!("{:.1} MB a second{before}", self.bytes_per_second / 1e6)
    }
}

/// The figures of one method.
#[derive(Clone, Debug, Serialize)]
pub(in super::super) struct MethodFigures {
    pub(in super::super) requests: u64,
    pub(in super::super) bytes: u64,
    pub(in super::super) latency_ns: Option<Latency>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_counted_apart_and_only_in_the_window() {
        let mut counts = Counts::new();
        counts.done(Method::Put, 100, 5);
        counts.open(true);
        counts.done(Method::Get, 10, 7);
        counts.done(Method::Get, 20, 9);
        counts.done(Method::Delete, 0, 3);
        counts.open(false);
        counts.done(Method::Get, 40, 9);
        counts.status(200);
        let figures = counts.figures(2.0);
        assert_eq!((figures.bytes, figures.bytes_per_second), (30, 15.0));
        let methods: Vec<_> = figures.by_method.keys().copied().collect();
        assert_eq!(methods, ["DELETE", "GET"]);
        let get = &figures.by_method["GET"];
        assert_eq!(get.requests, 2);
        assert_eq!(get.latency_ns.map(|latency| latency.max), Some(9));
        assert_eq!(figures.statuses, BTreeMap::from([(200, 1)]));
    }
}
