//! The summary of a run: a table on the terminal, and docs/conformance.md.

use std::collections::HashSet;
use std::fs;

use super::groups::Group;
use super::verdict::{ACCEPTED, Verdict};
use crate::process::root;
use crate::stop::{Outcome, Stop};

const PATH: &str = "docs/conformance.md";
/// What is written by a task of its own begins here.
const SECTION: &str = "\n## HTTP/2";
const SUITE: &str = "conformance/requirements.txt";

const INTRODUCTION: &str = "\
# Conformance

Autobahn's test suite, against `hioload echo` (server) and against our client (client), on both
drivers. Every case must be OK, NON-STRICT or INFORMATIONAL, both in how it behaves and in how it
closes.

```sh
cargo xtask conform                  # everything; writes this page
cargo xtask conform --groups quick   # what every change is checked with
```

Compression keeps its context from message to message wherever the suite lets it: in what our server
sends, and in what our client sends and receives. Groups 13.2, 13.5 and 13.6 are without. The suite's
client always gives its own context up; that our server follows one is tested in `e2e/`.

";

/// Which side of a connection is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
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

    /// Where it ran, and how it went.
    pub(crate) fn line(&self) -> String {
        let (role, group) = (self.role.name(), self.group);
        format!("{role} {} {}: {}", self.driver, group.name, self.result())
    }

    /// How many cases have which verdict, such as `52 OK, 2 NON-STRICT`.
    fn result(&self) -> String {
        let count = |behavior: &str| {
            let is_such =
                |verdict: &&Verdict| verdict.is_accepted() && verdict.behavior == behavior;
            self.verdicts.iter().filter(is_such).count()
        };
        let mut parts = Vec::new();
        let mut left = self.group.case_count;
        for behavior in ACCEPTED {
            let count = count(behavior);
            left = left.saturating_sub(count);
            if count > 0 {
                parts.push(format!("{count} {behavior}"));
            }
        }
        if left > 0 {
            parts.push(format!("**{left} not conforming**"));
        }
        parts.join(", ")
    }

    fn column(&self) -> String {
        format!("{}, {}", self.role.name(), self.driver)
    }
}

pub(crate) fn table(entries: &[Entry]) -> String {
    let mut columns: Vec<String> = entries.iter().map(Entry::column).collect();
    let mut seen = HashSet::new();
    columns.retain(|column| seen.insert(column.clone()));
    let mut rows: Vec<(&Group, Vec<&Entry>)> = Vec::new();
    for entry in entries {
        match rows.iter_mut().find(|(group, _)| *group == entry.group) {
            Some((_, row)) => row.push(entry),
            None => rows.push((entry.group, vec![entry])),
        }
    }
    let mut text = format!("| group | about | cases | {} |\n", columns.join(" | "));
    text += &format!("|---|---|---:|{}\n", "---|".repeat(columns.len()));
    for (group, row) in rows {
        let cells: Vec<String> = row.iter().map(|entry| entry.result()).collect();
        text += &format!(
            "| {} | {} | {} | {} |\n",
            group.name,
            group.about,
            group.case_count,
            cells.join(" | ")
        );
    }
    text
}

/// Cases that the suite judges other than OK, each with where it was judged so.
pub(crate) fn exceptions(entries: &[Entry]) -> String {
    let mut text = String::new();
    for behavior in ACCEPTED.iter().filter(|behavior| **behavior != "OK") {
        for entry in entries {
            let cases: Vec<&str> = entry
                .verdicts
                .iter()
                .filter(|verdict| verdict.is_accepted() && verdict.behavior == *behavior)
                .map(|verdict| verdict.case.as_str())
                .collect();
            if !cases.is_empty() {
                text += &format!("- {behavior}, {}: {}\n", entry.column(), cases.join(", "));
            }
        }
    }
    text
}

/// Writes what the page says before its sections: the table, and what did not conform.
pub(crate) fn write(entries: &[Entry]) -> Outcome {
    let suite = fs::read_to_string(root().join(SUITE)).map_err(|error| Stop::io(SUITE, &error))?;
    let mut text = INTRODUCTION.to_owned();
    text += &format!("Version: `{}`.\n\n{}", suite.trim(), table(entries));
    let exceptions = exceptions(entries);
    if !exceptions.is_empty() {
        text += &format!("\n## Conforming, but not simply OK\n\n{exceptions}");
    }
    let complaints: Vec<String> = entries.iter().flat_map(Entry::complaints).collect();
    if !complaints.is_empty() {
        text += "\n## Not conforming\n\n";
        for complaint in complaints {
            text += &format!("- {complaint}\n");
        }
    }
    let sections = page()?;
    let sections = sections.find(SECTION).map_or("", |at| &sections[at..]);
    replace(&(text + sections))
}

/// Writes the one section, the last of the page.
pub(crate) fn write_section(section: &str) -> Outcome {
    let page = page()?;
    let before = page.find(SECTION).map_or(page.as_str(), |at| &page[..at]);
    replace(&format!("{}\n\n{section}", before.trim_end()))
}

fn page() -> Outcome<String> {
    fs::read_to_string(root().join(PATH)).map_err(|error| Stop::io(PATH, &error))
}

fn replace(text: &str) -> Outcome {
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
        assert_eq!(entry(Ok(Vec::new())).result(), "**1 not conforming**");
        assert_eq!(
            entry(Ok(vec![verdict("NON-STRICT", "OK")])).result(),
            "1 NON-STRICT"
        );
    }

    #[test]
    fn a_group_is_one_row() {
        let ours = |driver| {
            let group = groups::select("10").expect("the group exists")[0];
            Entry::new(Role::Client, driver, group, Ok(vec![verdict("OK", "OK")]))
        };
        let table = table(&[ours("uring"), ours("poll")]);
        let mut lines = table.lines();
        assert_eq!(
            lines.next(),
            Some("| group | about | cases | client, uring | client, poll |")
        );
        assert_eq!(
            lines.nth(1),
            Some("| 10 | automatic fragmentation | 1 | 1 OK | 1 OK |")
        );
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn what_is_not_simply_ok_is_named() {
        let entries = [
            entry(Ok(vec![verdict("OK", "OK")])),
            entry(Ok(vec![verdict("INFORMATIONAL", "OK")])),
        ];
        assert_eq!(
            exceptions(&entries),
            "- INFORMATIONAL, server, uring: 10.1.1\n"
        );
    }
}
