//! How far long work has come: a bar on stderr when a person looks at it, nothing otherwise.

use std::io::IsTerminal as _;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::stop::{self, Stop};

/// Of known size: a bar. Of unknown size: what has been done.
const KNOWN: &str = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left  {wide_msg}";
const UNKNOWN: &str = "{spinner} {bytes}, {bytes_per_sec}  {wide_msg}";
const COUNT: &str = "{spinner} {human_pos} {wide_msg}";

/// A bar, or none.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Of bytes, so many in all if that is known.
    pub(super) fn of_bytes(total: Option<u64>) -> Self {
        match total {
            Some(total) => Self::shown(|| ProgressBar::new(total), KNOWN),
            None => Self::shown(ProgressBar::no_length, UNKNOWN),
        }
    }

    /// Of things that are counted.
    pub(super) fn of(things: &'static str) -> Self {
        let progress = Self::shown(ProgressBar::no_length, COUNT);
        progress.tell(things);
        progress
    }

    fn shown(bar: impl FnOnce() -> ProgressBar, template: &str) -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(template);
            bar().with_style(style.expect("invariant: the template is right"))
        }))
    }

    pub(super) fn add(&self, count: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(count);
        }
    }

    pub(super) fn set(&self, count: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(count);
        }
    }

    /// What is being done.
    pub(super) fn tell(&self, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_owned());
        }
    }

    /// Prints a line to stdout; above the bar, if that is where it goes.
    pub(super) fn say(&self, line: &str) -> Result<(), Stop> {
        if std::io::stdout().is_terminal() {
            self.aside(|| stop::say(line))
        } else {
            stop::say(line)
        }
    }

    /// Prints a line to stderr, above the bar.
    pub(super) fn note(&self, line: &str) {
        self.aside(|| eprintln!("{line}"));
    }

    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A number of bytes, rounded for people.
pub(super) fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A number of things.
pub(super) fn count(number: u64, one: &str) -> String {
    let many = if number == 1 { "" } else { "s" };
    format!("{number} {one}{many}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_right() {
        for template in [KNOWN, UNKNOWN, COUNT] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(
            (size(1536), count(1, "block")),
            ("1.50 KiB".into(), "1 block".into())
        );
        assert_eq!(count(0, "file"), "0 files");
    }
}
