//! Samples to medians, medians to ratios, ratios to verdicts; tables and JSON of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bars::{Against, BARS, Bar, Bound, Contender, Figure, WORKS, Work};
use super::measure::Sample;
use crate::stop::{Outcome, Stop};

/// Samples of one contender in one work, round by round, and why there are no more.
#[derive(Debug, Default)]
struct Series {
    samples: Vec<Sample>,
    failure: Option<String>,
}

/// Everything measured.
#[derive(Debug, Default)]
pub(super) struct Results {
    series: BTreeMap<(&'static str, Contender), Series>,
}

/// Median, smallest and largest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            min: self.min * factor,
            max: self.max * factor,
        }
    }

    pub(super) fn shown(self) -> String {
        if (self.max - self.min).abs() < f64::EPSILON {
            return figure_shown(self.median);
        }
        format!(
            "{} ({}–{})",
            figure_shown(self.median),
            figure_shown(self.min),
            figure_shown(self.max)
        )
    }
}

/// A bar and what became of it.
pub(super) struct Verdict {
    bar: &'static Bar,
    /// Measured value, or why there is none.
    measured: Result<Spread, String>,
}

impl Verdict {
    /// By the median; what was lost, by the worst round.
    pub(super) fn is_met(&self) -> bool {
        let is_loss = self.bar.figure == Figure::Lost;
        self.measured.as_ref().is_ok_and(|spread| {
            let value = if is_loss { spread.max } else { spread.median };
            match self.bar.bound {
                Bound::AtMost(bound) => value <= bound,
                Bound::AtLeast(bound) => value >= bound,
            }
        })
    }

    fn word(&self) -> &'static str {
        match &self.measured {
            Ok(_) if self.is_met() => "met",
            Ok(_) => "MISSED",
            Err(_) => "NOT MEASURED",
        }
    }
}

impl Results {
    pub(super) fn add(&mut self, work: &Work, contender: Contender, result: Outcome<Sample>) {
        let series = self.series.entry((work.name, contender)).or_default();
        match result {
            Ok(sample) => series.samples.push(sample),
            Err(Stop::Failed(why) | Stop::Skipped(why) | Stop::Usage(why)) => {
                series.failure = Some(why);
            }
        }
    }

    pub(super) fn has_failed(&self, work: &Work, contender: Contender) -> bool {
        self.series
            .get(&(work.name, contender))
            .is_some_and(|series| series.failure.is_some())
    }

    /// The verdict on every bar whose work was measured.
    pub(super) fn judge(&self, bars: &'static [&'static [Bar]]) -> Vec<Verdict> {
        let all = bars.iter().copied().flatten();
        let measured = all.filter(|bar| self.series.keys().any(|(work, _)| *work == bar.work));
        measured
            .map(|bar| Verdict {
                bar,
                measured: self.value(bar),
            })
            .collect()
    }

    fn value(&self, bar: &Bar) -> Result<Spread, String> {
        let ours = self.figures(bar.work, Contender::Hioload, bar.figure)?;
        let values = match bar.against {
            Against::Absolute => ours,
            Against::Peer(peer) => ratios(&ours, &self.figures(bar.work, peer, bar.figure)?),
            Against::Work(other) => {
                ratios(&ours, &self.figures(other, Contender::Hioload, bar.figure)?)
            }
            Against::Plan => {
                let samples = &self.samples(bar.work, Contender::Hioload)?.samples;
                let plans: Option<Vec<f64>> = samples
                    .iter()
                    .map(|sample| sample.plan.map(|bytes| bytes as f64))
                    .collect();
                ratios(&ours, &plans.ok_or("the server tells no memory plan")?)
            }
            Against::SlopeFrom(other) => {
                let fewer = self.figures(other, Contender::Hioload, bar.figure)?;
                let step = connection_count(bar.work) - connection_count(other);
                ours.iter()
                    .zip(&fewer)
                    .map(|(more, fewer)| (more - fewer) / step)
                    .collect()
            }
        };
        Spread::of(&values).ok_or_else(|| "no samples".to_owned())
    }

    fn samples(&self, work: &str, contender: Contender) -> Result<&Series, String> {
        let mut keys = self.series.iter();
        let series = keys.find(|((name, who), _)| *name == work && *who == contender);
        let (_, series) = series.ok_or_else(|| format!("{work} was not run"))?;
        match &series.failure {
            Some(why) => Err(format!("{}: {why}", contender.name())),
            None => Ok(series),
        }
    }

    fn figures(
        &self,
        work: &str,
        contender: Contender,
        figure: Figure,
    ) -> Result<Vec<f64>, String> {
        let samples = &self.samples(work, contender)?.samples;
        let figures: Outcome<Vec<f64>> =
            samples.iter().map(|sample| sample.figure(figure)).collect();
        figures.map_err(|stop| match stop {
            Stop::Failed(why) | Stop::Skipped(why) | Stop::Usage(why) => why,
        })
    }

    /// One row for each contender in each work.
    pub(super) fn table(&self) -> String {
        let mut text =
            "\n| work | server | CPU µs/message | ours × | messages/CPU-s | messages/s | \
                        p50 µs | p99 µs | peak RSS MiB |\n\
                        |---|---|---:|---:|---:|---:|---:|---:|---:|\n"
                .to_owned();
        for work in WORKS {
            for contender in work.contenders() {
                if let Some(series) = self.series.get(&(work.name, contender)) {
                    text += &self.row(work, contender, series);
                }
            }
        }
        text
    }

    fn row(&self, work: &Work, contender: Contender, series: &Series) -> String {
        let column = |scale: f64, value: &dyn Fn(&Sample) -> Outcome<f64>| {
            let values: Vec<f64> = series
                .samples
                .iter()
                .filter_map(|sample| value(sample).ok())
                .collect();
            Spread::of(&values)
                .map_or_else(|| "–".to_owned(), |spread| spread.scaled(scale).shown())
        };
        let ours = self.figures(work.name, Contender::Hioload, Figure::CpuPerMessage);
        let theirs = self.figures(work.name, contender, Figure::CpuPerMessage);
        let ratio = ours.and_then(|ours| Ok(ratios(&ours, &theirs?)));
        let ratio = ratio.ok().and_then(|ratios| Spread::of(&ratios));
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            work.name,
            contender.name(),
            column(1e-3, &|sample| sample.figure(Figure::CpuPerMessage)),
            ratio.map_or_else(|| "–".to_owned(), |ratio| figure_shown(ratio.median)),
            column(1.0, &|sample| sample.figure(Figure::MessagesPerCpuSecond)),
            column(1.0, &Sample::messages_per_second),
            column(1e-3, &|sample| sample.latency_ns("p50")),
            column(1e-3, &|sample| sample.latency_ns("p99")),
            column(1.0 / 1024.0 / 1024.0, &|sample| sample
                .figure(Figure::RssPeak)),
        )
    }

    pub(super) fn to_json(&self, rounds: usize, seconds: u64, verdicts: &[Verdict]) -> Value {
        let series = self.series.iter().map(|((work, contender), series)| {
            let samples: Vec<Value> = series.samples.iter().map(Sample::to_json).collect();
            json!({
                "work": work,
                "server": contender.name(),
                "samples": samples,
                "failure": series.failure,
            })
        });
        let bars = verdicts.iter().map(|verdict| {
            let spread = verdict.measured.as_ref().ok();
            json!({
                "work": verdict.bar.work,
                "what": verdict.bar.text,
                "bar": bound_shown(verdict.bar.bound),
                "measured": spread.map(|spread| spread.median),
                "min": spread.map(|spread| spread.min),
                "max": spread.map(|spread| spread.max),
                "verdict": verdict.word(),
                "why": verdict.measured.as_ref().err(),
            })
        });
        json!({
            "rounds": rounds,
            "seconds": seconds,
            "series": series.collect::<Vec<_>>(),
            "bars": bars.collect::<Vec<_>>(),
        })
    }
}

/// Ours over theirs, round by round.
fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| ours / theirs)
        .collect()
}

/// Connections of a work, all load processes together.
fn connection_count(name: &str) -> f64 {
    let work = WORKS.iter().find(|work| work.name == name);
    let count = work.and_then(|work| {
        let at = work.load.iter().position(|word| *word == "--connections")?;
        let count: usize = work.load.get(at + 1)?.parse().ok()?;
        Some((count * work.load_process_count) as f64)
    });
    count.expect("invariant: works that bars compare say how many connections they have")
}

/// Every bar with what was measured.
pub(super) fn bars_table(verdicts: &[Verdict]) -> String {
    let mut text =
        "| work | figure | measured | bar | verdict |\n|---|---|---:|---:|---|\n".to_owned();
    for verdict in verdicts {
        let measured = match &verdict.measured {
            Ok(spread) => spread.shown(),
            Err(why) => why.lines().next().unwrap_or_default().to_owned(),
        };
        text += &format!(
            "| {} | {} | {measured} | {} | {} |\n",
            verdict.bar.work,
            verdict.bar.text,
            bound_shown(verdict.bar.bound),
            verdict.word(),
        );
    }
    text += "\nAllocations per message have no row here: a test with a counting allocator shows \
             them to be zero.\n";
    text
}

/// The works with their commands and bars.
pub(super) fn list(works: &[&Work]) -> String {
    let mut text = String::new();
    for work in works {
        text += &format!(
            "{}\n  server  hioload {}\n  load    hioload bench {}\n",
            work.name,
            work.server.join(" "),
            work.load.join(" ")
        );
        for bar in BARS
            .iter()
            .copied()
            .flatten()
            .filter(|bar| bar.work == work.name)
        {
            text += &format!("  bar     {} {}\n", bar.text, bound_shown(bar.bound));
        }
    }
    text
}

pub(super) fn bound_shown(bound: Bound) -> String {
    match bound {
        Bound::AtMost(value) => format!("≤ {}", figure_shown(value)),
        Bound::AtLeast(value) => format!("≥ {}", figure_shown(value)),
    }
}

/// Three significant digits, or whole numbers where those are more.
pub(super) fn figure_shown(value: f64) -> String {
    let decimals = match value.abs() {
        magnitude if magnitude >= 100.0 || magnitude == 0.0 => 0,
        magnitude if magnitude >= 10.0 => 1,
        magnitude if magnitude >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).expect("there are values");
        assert_eq!(
            spread,
            Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            }
        );
        assert_eq!(
            Spread::of(&[1.0, 2.0]).map(|spread| spread.median),
            Some(1.5)
        );
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_taken_inside_a_round() {
        assert_eq!(ratios(&[2.0, 8.0], &[4.0, 4.0]), [0.5, 2.0]);
    }

    #[test]
    fn a_bar_is_met_at_its_bound_and_never_without_a_measurement() {
        let bar = &BARS[0][0];
        let verdict = |measured| Verdict { bar, measured };
        let at = |median| {
            Ok(Spread {
                median,
                min: median,
                max: median,
            })
        };
        assert!(verdict(at(0.75)).is_met());
        assert!(!verdict(at(0.751)).is_met());
        assert!(!verdict(Err("the server ended".to_owned())).is_met());
    }

    #[test]
    fn one_round_that_lost_something_is_enough_to_miss() {
        let bar = BARS
            .iter()
            .flat_map(|bars| bars.iter())
            .find(|bar| bar.figure == Figure::Lost)
            .expect("a bar on losses");
        let with = |max| Verdict {
            bar,
            measured: Ok(Spread {
                median: 0.0,
                min: 0.0,
                max,
            }),
        };
        assert!(with(0.0).is_met() && !with(1.0).is_met());
    }

    #[test]
    fn figures_have_three_digits() {
        let shown: Vec<_> = [0.0, 0.8767, 1.234, 12.34, 12345.6]
            .map(figure_shown)
            .to_vec();
        assert_eq!(shown, ["0", "0.877", "1.23", "12.3", "12346"]);
    }

    #[test]
    fn slopes_are_taken_over_the_difference_of_connections() {
        assert_eq!(
            connection_count("idle-15000") - connection_count("idle-2000"),
            13_000.0
        );
        assert_eq!(connection_count("idle-100000"), 100_000.0);
    }
}
