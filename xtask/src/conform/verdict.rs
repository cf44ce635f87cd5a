//! What the suite says of a case, read from its `index.json`.

use std::collections::BTreeMap;

use serde_json::Value;

/// Verdicts that conform.
pub(crate) const ACCEPTED: &[&str] = &["OK", "NON-STRICT", "INFORMATIONAL"];

/// One case: how it behaved, and how it closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) case: String,
    pub(crate) behavior: String,
    pub(crate) close: String,
}

impl Verdict {
    pub(crate) fn is_accepted(&self) -> bool {
        ACCEPTED.contains(&self.behavior.as_str()) && ACCEPTED.contains(&self.close.as_str())
    }
}

/// Reads the verdicts on the one agent of a report.
pub(crate) fn parse(index: &str) -> Result<Vec<Verdict>, String> {
    let index: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(index).map_err(|error| format!("index.json: {error}"))?;
    let text = |value: &Value| value.as_str().unwrap_or("missing").to_owned();
    let mut verdicts: Vec<Verdict> = index
        .into_values()
        .flatten()
        .map(|(case, entry)| Verdict {
            case,
            behavior: text(&entry["behavior"]),
            close: text(&entry["behaviorClose"]),
        })
        .collect();
    verdicts.sort_by_key(|verdict| number(&verdict.case));
    Ok(verdicts)
}

/// `7.10.2` comes after `7.9.1`.
fn number(case: &str) -> Vec<u32> {
    case.split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_in_order_and_judged() {
        let verdicts = parse(
            r#"{"hioload": {
                "7.10.1": {"behavior": "OK", "behaviorClose": "INFORMATIONAL"},
                "7.9.1": {"behavior": "NON-STRICT", "behaviorClose": "OK"},
                "7.9.2": {"behavior": "OK", "behaviorClose": "UNCLEAN"},
                "12.1.1": {"behavior": "UNIMPLEMENTED", "behaviorClose": "OK"},
                "9.1.1": {"behavior": "FAILED"}
            }}"#,
        )
        .expect("a valid report");
        let cases: Vec<_> = verdicts
            .iter()
            .map(|verdict| verdict.case.as_str())
            .collect();
        assert_eq!(cases, ["7.9.1", "7.9.2", "7.10.1", "9.1.1", "12.1.1"]);
        let accepted: Vec<_> = verdicts.iter().map(Verdict::is_accepted).collect();
        assert_eq!(accepted, [true, false, true, false, false]);
    }

    #[test]
    fn a_broken_report_is_no_verdict() {
        assert!(parse("{\"hioload\": 1}").is_err());
        assert!(parse("").is_err());
    }
}
