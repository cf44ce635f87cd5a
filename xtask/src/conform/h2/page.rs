//! The section of docs/conformance.md about HTTP/2.

use super::super::page::{Entry, exceptions, table};
use super::httpwg::Comparison;

const HEADING: &str = "## HTTP/2";

const HTTPWG: &str = "\
[httpwg](https://crates.io/crates/httpwg) has cases for RFC 9113, run against `hioload serve` and, as a measure,
against nghttpd of nghttp2: what it passes we have to pass.

```sh
cargo xtask conform h2
```

";

const AUTOBAHN: &str = "\
Autobahn's groups about frames, through a bridge that takes WebSocket over HTTP/1.1 and passes its bytes on in tunnels of
RFC 8441, all of a group in one connection:

";

/// Cases of a comparison, of one kind.
type Kind = fn(&Comparison) -> &[String];

/// The section, with its heading.
pub(super) fn section(comparisons: &[Comparison], entries: &[Entry]) -> String {
    let mut text = format!("{HEADING}\n\n");
    if !comparisons.is_empty() {
        text += HTTPWG;
        text += "| | cases | passed | nghttpd |\n|---|---:|---:|---:|\n";
    }
    for comparison in comparisons {
        text += &format!(
            "| server, {} | {} | {} | {} |\n",
            comparison.driver, comparison.count, comparison.passed, comparison.passed_by_nghttpd
        );
    }
    let parts: [(&str, Kind); 3] = [
        ("Passed by nghttpd, not by us", |it| &it.behind),
        ("Passed by neither", |it| &it.neither),
        ("Passed by us, not by nghttpd", |it| &it.ahead),
    ];
    for (title, cases) in parts {
        text += &list(title, comparisons, cases);
    }
    if !entries.is_empty() {
        text += &format!("\n{AUTOBAHN}{}", table(entries));
        let exceptions = exceptions(entries);
        if !exceptions.is_empty() {
            text += &format!("\n{exceptions}");
        }
    }
    text
}

/// Cases of one kind, each with the drivers it is true of when that is not all of them.
fn list(title: &str, comparisons: &[Comparison], cases: Kind) -> String {
    let mut all: Vec<&String> = comparisons.iter().flat_map(cases).collect();
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{title}:\n\n");
    for case in all {
        let drivers: Vec<&str> = comparisons
            .iter()
            .filter(|comparison| cases(comparison).contains(case))
            .map(|comparison| comparison.driver)
            .collect();
        let drivers = if drivers.len() == comparisons.len() {
            String::new()
        } else {
            format!(" ({} only)", drivers.join(", "))
        };
        text += &format!("- {case}{drivers}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::httpwg::Cases;
    use super::*;

    #[test]
    fn a_case_of_one_driver_says_so() {
        let cases = |names: &[(&str, bool)]| -> Cases {
            names
                .iter()
                .map(|(name, is)| ((*name).to_owned(), *is))
                .collect()
        };
        let theirs = cases(&[("a", true), ("b", false)]);
        let comparisons = [
            Comparison::new("uring", &theirs, &theirs),
            Comparison::new("poll", &cases(&[("a", false), ("b", false)]), &theirs),
        ];
        let section = section(&comparisons, &[]);
        assert!(
            section.contains("| server, uring | 2 | 1 | 1 |\n"),
            "{section}"
        );
        assert!(
            section.contains("not by us:\n\n- a (poll only)\n"),
            "{section}"
        );
        assert!(section.contains("by neither:\n\n- b\n"), "{section}");
    }
}
