//! Samples to medians, ratios and verdicts; tables and JSON of them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::bars::Bound;
use super::super::report::{Spread, bound_shown, figure_shown};
use super::{Row, Sample};
use crate::stop::{Outcome, Stop};

/// All rounds of one row, and why there are no more.
pub(in crate::bench) struct Series {
    row: &'static Row,
    samples: Vec<Sample>,
    failure: Option<String>,
}

/// Everything measured.
#[derive(Default)]
pub(super) struct Results {
    series: Vec<Series>,
}

impl Series {
    /// Name of the row.
    pub(in crate::bench) fn name(&self) -> &'static str {
        self.row.name
    }

    /// Median of our figure.
    pub(in crate::bench) fn ours(&self) -> Option<f64> {
        Some(self.spread(|sample| sample.ours)?.median)
    }

    /// Median of a figure beside.
    pub(in crate::bench) fn beside(&self, name: &str) -> Option<f64> {
        Some(self.note(name)?.median)
    }

    fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let values: Vec<f64> = self.samples.iter().map(figure).collect();
        Spread::of(&values)
    }

    /// What the bar is about.
    fn measured(&self) -> Option<Spread> {
        self.spread(|sample| sample.ours / sample.peer.unwrap_or(1.0))
            .filter(|_| self.failure.is_none())
    }

    fn is_met(&self) -> bool {
        self.measured().is_some_and(|spread| match self.row.bound {
            Bound::AtMost(bound) => spread.median <= bound,
            Bound::AtLeast(bound) => spread.median >= bound,
        })
    }

    fn verdict(&self) -> &'static str {
        match self.measured() {
            None => "NOT MEASURED",
            Some(_) if self.is_met() => "met",
            Some(_) => "MISSED",
        }
    }

    fn has_peer(&self) -> bool {
        self.samples.iter().any(|sample| sample.peer.is_some())
    }

    fn note(&self, name: &str) -> Option<Spread> {
        let notes = self.samples.iter().flat_map(|sample| &sample.notes);
        let values: Vec<f64> = notes
            .filter(|(other, _)| *other == name)
            .map(|(_, value)| *value)
            .collect();
        Spread::of(&values)
    }
}

impl Results {
    pub(super) fn add(&mut self, row: &'static Row, result: Outcome<Sample>) {
        if self
            .series
            .last()
            .is_none_or(|last| last.row.name != row.name)
        {
            self.series.push(Series {
                row,
                samples: Vec::new(),
                failure: None,
            });
        }
        let series = self.series.last_mut().expect("invariant: just pushed");
        match result {
            Ok(sample) => series.samples.push(sample),
            Err(Stop::Failed(why) | Stop::Skipped(why) | Stop::Usage(why)) => {
                series.failure = Some(why);
            }
        }
    }

    pub(super) fn series(&self) -> &[Series] {
        &self.series
    }

    pub(super) fn missed_count(&self) -> usize {
        self.series.iter().filter(|series| !series.is_met()).count()
    }

    pub(super) fn tables(&self) -> String {
        let mut text = "\n| row | what | ours | peer | measured | bar | verdict |\n\
                        |---|---|---:|---:|---:|---:|---|\n"
            .to_owned();
        for series in &self.series {
            let dash = || "–".to_owned();
            let ours = series.spread(|sample| sample.ours);
            let peer = series
                .spread(|sample| sample.peer.unwrap_or_default())
                .filter(|_| series.has_peer());
            let measured = match &series.failure {
                Some(why) => why.lines().next().unwrap_or_default().to_owned(),
                None => series.measured().map_or_else(dash, Spread::shown),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} {} | {} | {measured} | {} | {} |",
                series.row.name,
                series.row.text,
                ours.map_or_else(dash, |spread| figure_shown(spread.median)),
                series.row.unit,
                peer.map_or_else(dash, |spread| figure_shown(spread.median)),
                bound_shown(series.row.bound),
                series.verdict(),
            );
        }
        text += "\n| row | beside | median (least–most) |\n|---|---|---:|\n";
        for series in &self.series {
            let first = series.samples.first().map(|sample| &sample.notes);
            for (name, _) in first.into_iter().flatten() {
                let shown = series.note(name).map_or_else(String::new, Spread::shown);
                let _ = writeln!(text, "| {} | {name} | {shown} |", series.row.name);
            }
        }
        text
    }

    pub(super) fn to_json(&self, rounds: usize, seconds: u64) -> Value {
        let rows = self.series.iter().map(|series| {
            let samples = series.samples.iter().map(|sample| {
                let notes: serde_json::Map<_, _> = sample
                    .notes
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), json!(value)))
                    .collect();
                json!({ "ours": sample.ours, "peer": sample.peer, "beside": notes })
            });
            let measured = series.measured();
            json!({
                "row": series.row.name,
                "what": series.row.text,
                "unit": series.row.unit,
                "bar": bound_shown(series.row.bound),
                "measured": measured.map(|spread| spread.median),
                "min": measured.map(|spread| spread.min),
                "max": measured.map(|spread| spread.max),
                "verdict": series.verdict(),
                "why": series.failure,
                "samples": samples.collect::<Vec<_>>(),
            })
        });
        json!({ "rounds": rounds, "seconds": seconds, "rows": rows.collect::<Vec<_>>() })
    }
}

/// One round in a few words.
pub(super) fn progress(result: &Outcome<Sample>) -> String {
    match result {
        Ok(Sample {
            ours,
            peer: Some(peer),
            ..
        }) => format!(
            "{} beside {}: {}",
            figure_shown(*ours),
            figure_shown(*peer),
            figure_shown(ours / peer)
        ),
        Ok(sample) => figure_shown(sample.ours),
        Err(Stop::Skipped(why)) => format!("SKIPPED: {why}"),
        Err(Stop::Failed(why) | Stop::Usage(why)) => why.clone(),
    }
}

/// The rows with their bars.
pub(super) fn list(rows: &[&Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let _ = writeln!(
            text,
            "{}\n  {} {}",
            row.name,
            row.text,
            bound_shown(row.bound)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: Row = Row {
        name: "put",
        text: "PUT, × fio",
        unit: "MB/s",
        bound: Bound::AtLeast(0.8),
        measure: |_, _| Err(Stop::Failed("never measured here".to_owned())),
    };

    fn sample(ours: f64, peer: f64) -> Sample {
        Sample {
            ours,
            peer: Some(peer),
            notes: vec![("relaxed, MB/s", 2.0 * ours)],
        }
    }

    #[test]
    fn a_ratio_is_taken_inside_a_round_and_judged_at_its_median() {
        let mut results = Results::default();
        // 0.5, 0.8 and 2 of the peer.
        for (ours, peer) in [(1.0, 2.0), (8.0, 10.0), (10.0, 5.0)] {
            results.add(&PUT, Ok(sample(ours, peer)));
        }
        assert_eq!(results.missed_count(), 0);
        let tables = results.tables();
        assert!(
            tables.contains("0.800 (0.500–2.00) | ≥ 0.800 | met"),
            "{tables}"
        );
        let [series] = results.series() else {
            panic!("one row");
        };
        assert_eq!(series.ours(), Some(8.0));
        assert_eq!(series.beside("relaxed, MB/s"), Some(16.0));
        assert_eq!(series.beside("synced, MB/s"), None);
    }

    #[test]
    fn a_row_that_was_not_measured_is_not_met() {
        let mut results = Results::default();
        results.add(&PUT, Ok(sample(10.0, 1.0)));
        results.add(&PUT, Err(Stop::Skipped("fio is not in PATH".to_owned())));
        assert_eq!(results.missed_count(), 1);
        let tables = results.tables();
        assert!(
            tables.contains("fio is not in PATH | ≥ 0.800 | NOT MEASURED"),
            "{tables}"
        );
    }
}
