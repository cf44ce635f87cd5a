//! The command line of a task: flags and values taken by name, leftovers refused.

use std::str::FromStr;

use crate::stop::{Outcome, Stop};

/// Arguments not taken yet.
pub(crate) struct Args {
    left: Vec<String>,
}

impl Args {
    pub(crate) fn from_env() -> Self {
        Self {
            left: std::env::args().skip(1).collect(),
        }
    }

    /// Takes the next argument that is not an option.
    pub(crate) fn positional(&mut self) -> Option<String> {
        let is_next = self.left.first().is_some_and(|arg| !arg.starts_with('-'));
        is_next.then(|| self.left.remove(0))
    }

    /// Takes the next argument if it is `word`.
    pub(crate) fn takes(&mut self, word: &str) -> bool {
        let is_next = self.left.first().is_some_and(|arg| arg == word);
        if is_next {
            self.left.remove(0);
        }
        is_next
    }

    /// Takes `name` wherever it stands.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let count_before = self.left.len();
        self.left.retain(|arg| arg != name);
        self.left.len() < count_before
    }

    /// Takes the value of the first `name VALUE` or `name=VALUE`.
    pub(crate) fn value(&mut self, name: &str) -> Outcome<Option<String>> {
        let Some(index) = self.left.iter().position(|arg| {
            arg.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        }) else {
            return Ok(None);
        };
        let arg = self.left.remove(index);
        if let Some((_, value)) = arg.split_once('=') {
            return Ok(Some(value.to_owned()));
        }
        if index == self.left.len() {
            return Err(Stop::Usage(format!("{name} needs a value")));
        }
        Ok(Some(self.left.remove(index)))
    }

    /// Takes every `name VALUE`.
    pub(crate) fn values(&mut self, name: &str) -> Outcome<Vec<String>> {
        let mut values = Vec::new();
        while let Some(value) = self.value(name)? {
            values.push(value);
        }
        Ok(values)
    }

    /// Takes and parses the value of `name`, or gives `default`.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str, default: T) -> Outcome<T> {
        match self.value(name)? {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| Stop::Usage(format!("{name} {text}: not a valid value"))),
        }
    }

    /// Everything not taken, for a command that is passed through.
    pub(crate) fn rest(self) -> Vec<String> {
        self.left
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Outcome {
        match self.left.first() {
            None => Ok(()),
            Some(arg) => Err(Stop::Usage(format!("unknown argument {arg}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args {
            left: line.split_whitespace().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn values_are_taken_in_both_spellings() {
        let mut args = args("--seconds 5 --cpu=1");
        assert_eq!(args.parsed("--seconds", 0).ok(), Some(5));
        assert_eq!(args.parsed("--cpu", 0).ok(), Some(1));
        assert_eq!(args.parsed("--rounds", 7).ok(), Some(7));
        assert!(args.finish().is_ok());
    }

    #[test]
    fn a_name_that_only_begins_like_an_option_is_another_option() {
        assert_eq!(args("--seconds-max 5").value("--seconds").ok(), Some(None));
    }

    #[test]
    fn what_nobody_took_is_refused() {
        assert!(args("--secnds 5").finish().is_err());
        assert!(args("--seconds").value("--seconds").is_err());
        assert!(args("--seconds x").parsed("--seconds", 1).is_err());
    }
}
