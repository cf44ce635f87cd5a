//! The writing side: one per worker, and by its type on one thread.
//!
//! Must not know how figures are added up or shown.

use super::histogram::Histogram;
use super::registry::{CounterId, GaugeId, HistogramId};
use super::sheet::Sheet;
use std::marker::PhantomData;
use std::sync::Arc;

/// A worker's place among the writers; becomes its [`Meter`] on the worker's thread.
#[derive(Debug)]
pub struct Seat {
    pub(crate) worker: usize,
    pub(crate) sheet: Arc<Sheet>,
}

impl Seat {
    /// The number of the worker.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The meter of this thread. What comes of it cannot leave the thread, so there is one writer:
    ///
    /// ```compile_fail,E0277
    /// # let mut builder = hioload_control::Builder::new();
    /// # let id = builder.counter("a", "").unwrap();
    /// # let (_registry, mut seats) = builder.build(1);
    /// let counter = seats.remove(0).take().counter(id);
    /// std::thread::spawn(move || counter.increment());
    /// ```
    pub fn take(self) -> Meter {
        Meter {
            sheet: self.sheet,
            stays: PhantomData,
        }
    }
}

/// Gives a worker's own counters, gauges and histograms.
#[derive(Clone, Debug)]
pub struct Meter {
    sheet: Arc<Sheet>,
    stays: PhantomData<*const ()>,
}

impl Meter {
    /// This worker's part of a counter.
    pub fn counter(&self, id: CounterId) -> Counter {
        Counter {
            sheet: self.sheet.clone(),
            index: id.0,
            stays: PhantomData,
        }
    }

    /// This worker's part of a gauge.
    pub fn gauge(&self, id: GaugeId) -> Gauge {
        Gauge {
            sheet: self.sheet.clone(),
            index: id.0,
            stays: PhantomData,
        }
    }

    /// This worker's part of a histogram.
    pub fn histogram(&self, id: HistogramId) -> Histogram {
        Histogram::new(self.sheet.clone(), id.0)
    }
}

/// One worker's part of a number that only grows.
#[derive(Clone, Debug)]
pub struct Counter {
    sheet: Arc<Sheet>,
    index: usize,
    stays: PhantomData<*const ()>,
}

impl Counter {
    /// One more.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    #[inline]
    pub fn add(&self, more: u64) {
        self.sheet.add(self.index, more);
    }

    /// Publishes a total that is counted elsewhere, once a turn for instance. It must not shrink.
    #[inline]
    pub fn publish(&self, total: u64) {
        self.sheet.set(self.index, total);
    }

    /// This worker's part of the total.
    #[inline]
    pub fn value(&self) -> u64 {
        self.sheet.read(self.index)
    }
}

/// One worker's part of a number that grows and shrinks.
#[derive(Clone, Debug)]
pub struct Gauge {
    sheet: Arc<Sheet>,
    index: usize,
    stays: PhantomData<*const ()>,
}

impl Gauge {
    /// The value from now on.
    #[inline]
    pub fn set(&self, value: i64) {
        self.sheet.set(self.index, value.cast_unsigned());
    }

    /// So many more, or fewer.
    #[inline]
    pub fn add(&self, more: i64) {
        self.sheet.add(self.index, more.cast_unsigned());
    }

    /// This worker's part of the sum.
    #[inline]
    pub fn value(&self) -> i64 {
        self.sheet.read(self.index).cast_signed()
    }
}
