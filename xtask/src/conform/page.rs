//! The summary of a run: a table on the terminal, and docs/conformance.md.

use std::fs;

use super::groups::Group;
use super::verdict::Verdict;
use crate::process::root;
use crate::stop::{Outcome, Stop};

const PATH: &str = "docs/conformance.md";

const INTRODUCTION: &str = "\
# Conformance

Autobahn's test suite (25.10.1) against `hioload echo` (role server) and against our client (role
client), on both drivers. Written by `cargo xtask conform`; every case must be OK, NON-STRICT or
INFORMATIONAL.

";

/// Which side of a connection is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// One group in one role on one driver.
pub(crate) struct Entry {
    role: Role,
    driver: String,
    group: &'static Group,
    verdicts: Vec<Verdict>,
    /// Why there are no verdicts, or fewer than cases.
    trouble: Option<String>,
}

impl Entry {
    pub(crate) fn new(
        role: Role,
        driver: &str,
        group: &'static Group,
        result: Outcome<Vec<Verdict>>,
    ) -> Self {
        let (verdicts, trouble) = match result {
            Ok(verdicts) if verdicts.len() == group.case_count => (verdicts, None),
            Ok(verdicts) => {
                let trouble = format!("{} verdicts, {} cases", verdicts.len(), group.case_count);
                (verdicts, Some(trouble))
            }
            Err(Stop::Failed(why) | Stop::Skipped(why) | Stop::Usage(why)) => {
                (Vec::new(), Some(why))
            }
        };
        Self {
            role,
            driver: driver.to_owned(),
            group,
            verdicts,
            trouble,
        }
    }

    /// Everything that does not conform, in words.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let place = format!("{} {} {}", self.role.name(), self.driver, self.group.name);
        let cases = self
            .verdicts
            .iter()
            .filter(|verdict| !verdict.is_accepted())
            .map(|verdict| {
                format!(
                    "{place}: case {}: {}, close {}",
                    verdict.case, verdict.behavior, verdict.close
                )
            });
        let trouble = self
            .trouble
            .iter()
            .map(|trouble| format!("{place}: {trouble}"));
        trouble.chain(cases).collect()
    }

    pub(crate) fn line(&self) -> String {
        let count = |behavior: &str| {
            self.verdicts
                .iter()
                .filter(|verdict| verdict.is_accepted() && verdict.behavior == behavior)
                .count()
        };
        let accepted_count = self
            .verdicts
            .iter()
            .filter(|verdict| verdict.is_accepted())
            .count();
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.role.name(),
            self.driver,
            self.group.name,
            self.group.about,
            self.group.case_count,
            count("OK"),
            count("NON-STRICT"),
            count("INFORMATIONAL"),
            self.group.case_count.saturating_sub(accepted_count),
        )
    }
}

pub(crate) fn table(entries: &[Entry]) -> String {
    let mut text =
        "| role | driver | group | about | cases | OK | NON-STRICT | INFORMATIONAL | other |\n\
                    |---|---|---|---|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for entry in entries {
        text += &entry.line();
        text.push('\n');
    }
    text
}

/// Writes the page: the table, and what did not conform.
pub(crate) fn write(entries: &[Entry]) -> Outcome {
    let mut text = INTRODUCTION.to_owned() + &table(entries);
    let complaints: Vec<String> = entries.iter().flat_map(Entry::complaints).collect();
    if !complaints.is_empty() {
        text += "\n## Not conforming\n\n";
        for complaint in complaints {
            text += &format!("- {complaint}\n");
        }
    }
    fs::write(root().join(PATH), text).map_err(|error| Stop::io(PATH, &error))?;
    println!("{PATH} written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::groups;
    use super::*;

    fn entry(result: Outcome<Vec<Verdict>>) -> Entry {
        let group = groups::select("10").expect("the group exists")[0];
        Entry::new(Role::Server, "uring", group, result)
    }

    fn verdict(behavior: &str, close: &str) -> Verdict {
        Verdict {
            case: "10.1.1".to_owned(),
            behavior: behavior.to_owned(),
            close: close.to_owned(),
        }
    }

    #[test]
    fn only_a_full_set_of_accepted_verdicts_has_no_complaints() {
        assert!(entry(Ok(vec![verdict("OK", "OK")])).complaints().is_empty());
        assert_eq!(
            entry(Ok(vec![verdict("OK", "WRONG CODE")]))
                .complaints()
                .len(),
            1
        );
        assert_eq!(entry(Ok(Vec::new())).complaints().len(), 1);
        assert_eq!(
            entry(Err(Stop::Failed("late".to_owned())))
                .complaints()
                .len(),
            1
        );
    }

    #[test]
    fn cases_without_a_verdict_are_counted_as_other() {
        assert!(
            entry(Ok(Vec::new()))
                .line()
                .ends_with("| 1 | 0 | 0 | 0 | 1 |")
        );
        assert!(
            entry(Ok(vec![verdict("NON-STRICT", "OK")]))
                .line()
                .ends_with("| 1 | 0 | 1 | 0 | 0 |")
        );
    }
}
