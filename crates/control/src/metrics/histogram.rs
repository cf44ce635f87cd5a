//! Durations counted by size.
//!
//! Must not know what is measured. Not `hdrhistogram`: its buckets are plain numbers, which no other
//! thread may read while the worker writes, so each scrape would have to stop it.
//!
//! A bucket is a power of two of nanoseconds cut into four, so a quantile is at most a quarter above the
//! true value. Durations up to 7 ns have a bucket each and those from 2³⁷ ns (137 s) share the last.
//!
//! Cells: one for each bucket, then the sum of all durations in nanoseconds.

use super::sheet::Sheet;
use serde_json::{Value, json};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Bits of the duration below its highest that choose the part of a power of two.
const PART_BITS: u32 = 2;
const PART_COUNT: usize = 1 << PART_BITS;
/// Durations of so many bits share the last bucket.
const BITS_MAX: u32 = 37;
const BUCKET_COUNT: usize = (BITS_MAX as usize - PART_BITS as usize + 1) * PART_COUNT + 1;
const SUM: usize = BUCKET_COUNT;

/// Cells that a histogram takes.
pub(crate) const CELL_COUNT: usize = BUCKET_COUNT + 1;

/// The upper bounds shown to Prometheus, as exponents of two: 1 µs to 69 s by fours. They are sharp to
/// one nanosecond: a duration that equals a bound counts above it.
const SHOWN_BITS: std::ops::RangeInclusive<u32> = 10..=36;
const SHOWN_STEP: usize = 2;

/// One worker's part of a distribution of durations.
#[derive(Clone, Debug)]
pub struct Histogram {
    sheet: Arc<Sheet>,
    start: usize,
    stays: PhantomData<*const ()>,
}

impl Histogram {
    pub(crate) fn new(sheet: Arc<Sheet>, start: usize) -> Histogram {
        Histogram {
            sheet,
            start,
            stays: PhantomData,
        }
    }

    /// Counts one duration. Costs two loads and two stores.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        self.observe_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts one duration in nanoseconds.
    #[inline]
    pub fn observe_ns(&self, nanos: u64) {
        self.sheet.add(self.start + bucket_of(nanos), 1);
        self.sheet.add(self.start + SUM, nanos);
    }
}

/// The bucket of a duration.
#[inline]
fn bucket_of(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.leading_zeros();
    if bits > BITS_MAX {
        return BUCKET_COUNT - 1;
    }
    if bits <= PART_BITS {
        return nanos as usize;
    }
    let power = bits - PART_BITS;
    let part = (nanos >> (power - 1)) as usize % PART_COUNT;
    power as usize * PART_COUNT + part
}

/// The largest duration of a bucket.
fn bucket_end(bucket: usize) -> u64 {
    let (power, part) = (bucket / PART_COUNT, bucket % PART_COUNT);
    match power {
        0 => part as u64,
        _ if bucket >= BUCKET_COUNT - 1 => u64::MAX,
        _ => (((PART_COUNT + part + 1) as u64) << (power - 1)) - 1,
    }
}

/// The figures of a distribution, at most a quarter above the true ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantiles {
    /// Half of the durations are no longer.
    pub p50: Duration,
    /// Nine of ten are no longer.
    pub p90: Duration,
    /// 99 of 100 are no longer.
    pub p99: Duration,
    /// 999 of 1000 are no longer.
    pub p999: Duration,
    /// None is longer.
    pub max: Duration,
}

/// All workers' parts of a histogram added up.
#[derive(Debug)]
pub(crate) struct Distribution {
    buckets: [u64; BUCKET_COUNT],
    sum_ns: u64,
}

impl Distribution {
    pub(crate) fn read<'a>(sheets: impl Iterator<Item = &'a Sheet>, start: usize) -> Distribution {
        let mut total = Distribution {
            buckets: [0; BUCKET_COUNT],
            sum_ns: 0,
        };
        for sheet in sheets {
            for (offset, bucket) in total.buckets.iter_mut().enumerate() {
                *bucket = bucket.wrapping_add(sheet.read(start + offset));
            }
            total.sum_ns = total.sum_ns.wrapping_add(sheet.read(start + SUM));
        }
        total
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// The duration that `share` of a thousand are not above.
    fn quantile(&self, share: u64) -> Duration {
        let rank = (u128::from(self.count()) * u128::from(share)).div_ceil(1000);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank && *count > 0 {
                return Duration::from_nanos(bucket_end(bucket));
            }
        }
        Duration::ZERO
    }

    /// `None` while nothing was counted.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        (self.count() > 0).then(|| Quantiles {
            p50: self.quantile(500),
            p90: self.quantile(900),
            p99: self.quantile(990),
            p999: self.quantile(999),
            max: self.quantile(1000),
        })
    }

    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Upper bounds in seconds, each with what is above the bound before.
    pub(crate) fn shown(&self) -> Vec<(f64, u64)> {
        let mut rest = self.buckets.iter().enumerate().peekable();
        let mut shown = Vec::new();
        for bits in SHOWN_BITS.step_by(SHOWN_STEP) {
            let mut count = 0;
            while let Some((_, more)) = rest.next_if(|(bucket, _)| bucket_end(*bucket) < 1 << bits)
            {
                count += more;
            }
            shown.push(((1u64 << bits) as f64 / 1e9, count));
        }
        shown.push((f64::INFINITY, rest.map(|(_, count)| count).sum()));
        shown
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut figures = json!({ "count": self.count(), "sum_seconds": self.sum_seconds() });
        if let Some(quantiles) = self.quantiles() {
            let Quantiles {
                p50,
                p90,
                p99,
                p999,
                max,
            } = quantiles;
            for (name, value) in [
                ("p50", p50),
                ("p90", p90),
                ("p99", p99),
                ("p999", p999),
                ("max", max),
            ] {
                figures[format!("{name}_seconds")] = json!(value.as_secs_f64());
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(durations: &[u64]) -> Distribution {
        let sheet = Arc::new(Sheet::new(CELL_COUNT + 3));
        let histogram = Histogram::new(sheet.clone(), 3);
        for nanos in durations {
            histogram.observe_ns(*nanos);
        }
        Distribution::read([&*sheet].into_iter(), 3)
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        let mut start = 0;
        for bucket in 0..BUCKET_COUNT {
            let end = bucket_end(bucket);
            assert_eq!(
                (bucket_of(start), bucket_of(end)),
                (bucket, bucket),
                "{start}..={end}"
            );
            start = end.wrapping_add(1);
        }
        assert_eq!(start, 0, "the last bucket ends with the last number");
    }

    #[test]
    fn no_bucket_is_wider_than_a_quarter_of_its_start() {
        for bucket in 1..BUCKET_COUNT - 1 {
            let start = bucket_end(bucket - 1) + 1;
            assert!(
                bucket_end(bucket) - start < start.div_ceil(4),
                "bucket {bucket}"
            );
        }
    }

    #[test]
    fn quantiles_are_at_most_a_quarter_too_high() {
        let durations: Vec<u64> = (1..=1000).map(|n| n * 1000).collect();
        let quantiles = filled(&durations)
            .quantiles()
            .expect("a thousand durations");
        for (figure, truth) in [
            (quantiles.p50, 500_000),
            (quantiles.p90, 900_000),
            (quantiles.p99, 990_000),
            (quantiles.p999, 999_000),
            (quantiles.max, 1_000_000),
        ] {
            let figure = figure.as_nanos();
            assert!(
                (truth..=truth * 5 / 4).contains(&figure),
                "{figure} for {truth}"
            );
        }
        assert_eq!(filled(&[]).quantiles(), None);
        assert_eq!(
            filled(&[0]).quantiles().map(|q| q.p50),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn shown_bounds_hold_every_duration_once() {
        let durations = [0, 1023, 1024, 4095, 4096, 1 << 36, u64::MAX / 2];
        let total = filled(&durations);
        let shown = total.shown();
        assert_eq!(shown.iter().map(|(_, count)| count).sum::<u64>(), 7);
        assert_eq!(shown[0], (1024e-9, 2));
        assert_eq!(shown[1], (4096e-9, 2));
        assert_eq!(shown.last(), Some(&(f64::INFINITY, 2)));
        assert_eq!(filled(&[1_500_000_000]).sum_seconds(), 1.5);
    }
}
