//! The groups of the suite, how many cases each has and how long it may take.

use std::time::Duration;

use crate::stop::{Outcome, Stop};

/// Cases run together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The suite's number, such as `7` or `12.1`.
    pub(crate) name: &'static str,
    /// What the cases are about.
    pub(crate) about: &'static str,
    /// Cases in it. Fewer verdicts mean that cases did not run.
    pub(crate) case_count: usize,
    /// Time after which the group has failed.
    pub(crate) time_max: Duration,
    /// Whether it belongs to a quick run.
    pub(crate) is_quick: bool,
    /// Whether a client has to offer to do without context takeover: the suite's server accepts
    /// nothing else here.
    pub(crate) has_no_takeover: bool,
}

impl Group {
    /// The suite's pattern for its cases.
    pub(crate) fn pattern(&self) -> String {
        format!("{}.*", self.name)
    }
}

/// Seconds, and each for something of its own.
const fn quick(name: &'static str, about: &'static str, case_count: usize) -> Group {
    Group {
        name,
        about,
        case_count,
        time_max: Duration::from_secs(180),
        is_quick: true,
        has_no_takeover: false,
    }
}

/// A minute each, and much alike.
const fn slow(name: &'static str, about: &'static str, case_count: usize) -> Group {
    Group {
        name,
        about,
        case_count,
        time_max: Duration::from_secs(600),
        is_quick: false,
        has_no_takeover: false,
    }
}

/// A slow one without context takeover.
const fn contextless(name: &'static str, about: &'static str, case_count: usize) -> Group {
    Group {
        has_no_takeover: true,
        ..slow(name, about, case_count)
    }
}

pub(crate) const GROUPS: &[Group] = &[
    quick("1", "framing", 16),
    quick("2", "pings and pongs", 11),
    quick("3", "reserved bits", 7),
    quick("4", "opcodes", 10),
    quick("5", "fragmentation", 20),
    quick("6", "UTF-8", 145),
    quick("7", "close handshake", 37),
    quick("9", "limits and performance", 54),
    quick("10", "automatic fragmentation", 1),
    slow("12.1", "deflate: JSON", 18),
    slow("12.2", "deflate: bitmap", 18),
    slow("12.3", "deflate: prose", 18),
    slow("12.4", "deflate: HTML", 18),
    slow("12.5", "deflate: PDF", 18),
    slow("13.1", "deflate: default offer", 18),
    contextless("13.2", "deflate: no context takeover", 18),
    slow("13.3", "deflate: window of 9 bits", 18),
    slow("13.4", "deflate: window of 15 bits", 18),
    contextless("13.5", "deflate: no takeover, window of 9 bits", 18),
    contextless("13.6", "deflate: no takeover, window of 15 bits", 18),
    quick("13.7", "deflate: several offers", 18),
];

/// The groups that `choice` names: `all`, `quick`, or numbers, where `12` means all of 12.
pub(crate) fn select(choice: &str) -> Outcome<Vec<&'static Group>> {
    let mut selected: Vec<&Group> = Vec::new();
    for word in choice.split(',') {
        let matches = |group: &&Group| match word {
            "all" => true,
            "quick" => group.is_quick,
            number => group.name == number || group.name.split('.').next() == Some(number),
        };
        let count_before = selected.len();
        selected.extend(GROUPS.iter().filter(matches));
        if selected.len() == count_before {
            let known: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
            return Err(Stop::Usage(format!(
                "no group {word}; there are: {}",
                known.join(", ")
            )));
        }
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(choice: &str) -> Vec<&'static str> {
        select(choice)
            .expect("groups exist")
            .iter()
            .map(|group| group.name)
            .collect()
    }

    #[test]
    fn a_number_selects_its_groups() {
        assert_eq!(names("1,10"), ["1", "10"]);
        assert_eq!(names("12").len(), 5);
        assert_eq!(names("12.3"), ["12.3"]);
        assert_eq!(names("all").len(), GROUPS.len());
        assert!(!names("quick").contains(&"12.1"));
    }

    #[test]
    fn what_the_suite_does_not_have_is_refused() {
        for choice in ["8", "", "1,", "12.6", "fast"] {
            assert!(select(choice).is_err(), "{choice:?}");
        }
    }
}
