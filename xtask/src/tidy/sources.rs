//! Rules about the text of files: header, length, words, `unsafe`, size, purity.

use std::fs;
use std::path::Path;

use super::rooms::{self, Room};
use crate::stop::{Outcome, Stop};

/// Lines of one Rust file without its tests. Above 600 ask whether two things live in one file.
const FILE_LINES_MAX: usize = 800;

/// Files allowed to be longer than [`FILE_LINES_MAX`], with the length they must not exceed.
/// The list may only shrink.
const LONG_FILES: &[(&str, usize)] = &[];

/// Size of a tracked file.
const FILE_SIZE_MAX: u64 = 256 * 1024;

/// Files allowed to be bigger than [`FILE_SIZE_MAX`].
const BIG_FILES: &[&str] = &["Cargo.lock", "fuzz/Cargo.lock"];

/// Words that must not be in any file, and why. Written in two halves, so that this file passes.
const FORBIDDEN_WORDS: &[(&str, &str, &str)] = &[
    ("to", "do!(", "unfinished code"),
    ("unimple", "mented!(", "unfinished code"),
    ("db", "g!(", "left from debugging"),
    ("FIX", "ME", "unfinished code"),
    ("<<<<", "<<< ", "unresolved merge"),
    ("/wo", "rk/", "path of one machine"),
    ("/ro", "ot/", "path of one machine"),
    ("/ho", "me/", "path of one machine"),
];

/// Rooms that may hold `unsafe` code, and in which files of theirs (a prefix under `src/`).
const UNSAFE_ROOMS: &[(&str, &str)] = &[("crates/mem/", "raw"), ("crates/reactor/", "")];

/// What a pure room has no business with.
const IMPURE_PATHS: &[&str] = &[
    "std::net",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "std::thread",
    "std::fs",
];

pub(super) fn check(root: &Path, paths: &[String], rooms: &[Room]) -> Outcome<Vec<String>> {
    let mut findings = Vec::new();
    for path in paths {
        let bytes = fs::read(root.join(path)).map_err(|error| Stop::io(path, &error))?;
        if bytes.len() as u64 > FILE_SIZE_MAX && !BIG_FILES.contains(&path.as_str()) {
            findings.push(format!(
                "{path}: {} bytes, at most {FILE_SIZE_MAX}",
                bytes.len()
            ));
        }
        // What is not text (images, corpora) has no words.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        findings.extend(forbidden_words(path, &text));
        if path.ends_with(".rs") {
            findings.extend(rust_file(path, &text, rooms));
        }
    }
    Ok(findings)
}

fn rust_file(path: &str, text: &str, rooms: &[Room]) -> Vec<String> {
    let mut findings = Vec::new();
    let code = without_tests(path, text);
    let line_count = code.lines().count();
    let allowed = LONG_FILES.iter().find(|(long, _)| *long == path);
    let line_count_max = allowed.map_or(FILE_LINES_MAX, |(_, line_count_max)| *line_count_max);
    if line_count > line_count_max {
        findings.push(format!(
            "{path}: {line_count} lines without tests, at most {line_count_max}"
        ));
    }
    if !has_header(text) {
        findings.push(format!(
            "{path}: no module header (`//!`) on the first line"
        ));
    }
    if is_crate_root(path) && !may_hold_unsafe(path) && !text.contains("#![forbid(unsafe_code)]") {
        findings.push(format!("{path}: `#![forbid(unsafe_code)]` is missing"));
    }
    if let Some((room, prefix)) = UNSAFE_ROOMS.iter().find(|(room, _)| path.starts_with(room)) {
        let file = path[room.len()..].strip_prefix("src/").unwrap_or_default();
        if !file.starts_with(prefix) && path.contains("/src/") {
            findings.extend(
                unsafe_lines(code)
                    .map(|line| format!("{path}:{line}: `unsafe` outside {room}src/{prefix}")),
            );
        }
    }
    findings.extend(impure_lines(path, code, rooms));
    findings
}

/// The part of a file before its test module, which stands last.
fn without_tests<'a>(path: &str, text: &'a str) -> &'a str {
    if path.contains("/tests/") || path.ends_with("tests.rs") {
        return "";
    }
    let marks = [
        "\n#[cfg(test)]\nmod ",
        "\n#[cfg(all(test, not(loom)))]\nmod ",
        "\n#[cfg(all(test, loom))]\nmod ",
    ];
    let ends = marks.iter().filter_map(|mark| {
        let at = text.find(mark)?;
        // `mod tests;` names a file; `mod tests {` holds the rest of this one.
        text[at + mark.len()..]
            .lines()
            .next()?
            .ends_with('{')
            .then_some(at)
    });
    &text[..ends.min().unwrap_or(text.len())]
}

fn has_header(text: &str) -> bool {
    // A fuzz target begins with `#![no_main]`, a script with its interpreter.
    let first = text
        .lines()
        .find(|line| !line.starts_with("#!") && !line.is_empty());
    first.is_some_and(|line| line.starts_with("//!"))
}

/// Whether a file is the root of a library or binary that ships or builds what ships.
fn is_crate_root(path: &str) -> bool {
    // A binary is a file of its own, or a directory with a main.rs.
    let binary = path.rsplit_once("src/bin/").map(|(_, binary)| binary);
    path.ends_with("src/lib.rs")
        || path.ends_with("src/main.rs")
        || binary.is_some_and(|file| !file.contains('/') || file.ends_with("/main.rs"))
}

fn may_hold_unsafe(path: &str) -> bool {
    UNSAFE_ROOMS.iter().any(|(room, _)| path.starts_with(room))
}

/// Numbers of the lines that use the keyword as code.
fn unsafe_lines(code: &str) -> impl Iterator<Item = usize> {
    code.lines().enumerate().filter_map(|(index, line)| {
        let line = line.split("//").next().unwrap_or_default();
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words
            .into_iter()
            .any(|word| word == "unsafe")
            .then_some(index + 1)
    })
}

fn impure_lines(path: &str, code: &str, rooms: &[Room]) -> Vec<String> {
    let room = path
        .strip_prefix("crates/")
        .and_then(|rest| rest.split_once("/src/"));
    if !room.is_some_and(|(room, _)| rooms::is_pure(rooms, room)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for impure in IMPURE_PATHS.iter().filter(|impure| line.contains(**impure)) {
            findings.push(format!(
                "{path}:{}: a pure room must not use {impure}",
                index + 1
            ));
        }
    }
    findings
}

fn forbidden_words(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (head, tail, why) in FORBIDDEN_WORDS {
        let word = format!("{head}{tail}");
        for (index, _) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.contains(&word))
        {
            findings.push(format!("{path}:{}: {word} ({why})", index + 1));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "//! A file.\n";

    fn rust_file(path: &str, text: &str) -> Vec<String> {
        let page = "`live` is one. `ws` and `live` are pure: no clock.\n\
            | `crates/live` | logs | base |\n| `crates/reactor` | drivers | base |\n";
        super::rust_file(path, text, &rooms::parse(page))
    }

    fn long(line_count: usize) -> String {
        HEADER.to_owned() + &"fn f() {}\n".repeat(line_count - 1)
    }

    #[test]
    fn length_counts_code_and_not_tests() {
        assert!(rust_file("crates/hioload/src/a.rs", &long(FILE_LINES_MAX)).is_empty());
        assert_eq!(
            rust_file("crates/hioload/src/a.rs", &long(FILE_LINES_MAX + 1)).len(),
            1
        );
        let tests = "\n#[cfg(test)]\nmod tests {\n".to_owned() + &"x\n".repeat(FILE_LINES_MAX);
        assert!(rust_file("crates/hioload/src/a.rs", &(long(2) + &tests)).is_empty());
        let elsewhere = "\n#[cfg(test)]\nmod tests;\n".to_owned() + &"x\n".repeat(FILE_LINES_MAX);
        assert_eq!(
            rust_file("crates/hioload/src/a.rs", &(long(2) + &elsewhere)).len(),
            1
        );
    }

    #[test]
    fn a_header_comes_first() {
        assert!(has_header("//! What it is.\nuse x;"));
        assert!(has_header("#![no_main]\n//! What it is."));
        assert!(!has_header("use x;\n//! Too late."));
        assert!(!has_header(""));
    }

    #[test]
    fn unsafe_stays_in_its_rooms() {
        let text = format!("{HEADER}fn f() {{ unsafe {{ g() }} }}\n");
        assert_eq!(rust_file("crates/mem/src/pool.rs", &text).len(), 1);
        assert!(rust_file("crates/mem/src/raw.rs", &text).is_empty());
        assert!(rust_file("crates/reactor/src/op.rs", &text).is_empty());
        let words = format!("{HEADER}#![deny(unsafe_code)] // unsafe\n");
        assert!(rust_file("crates/mem/src/lib.rs", &words).is_empty());
    }

    #[test]
    fn a_crate_without_unsafe_says_so() {
        assert_eq!(rust_file("crates/ws/src/lib.rs", HEADER).len(), 1);
        assert!(rust_file("crates/ws/src/lib.rs", "//! A.\n#![forbid(unsafe_code)]\n").is_empty());
        assert_eq!(rust_file("crates/ring/src/lib.rs", HEADER).len(), 1);
        assert!(rust_file("crates/reactor/src/lib.rs", HEADER).is_empty());
        assert!(rust_file("crates/ws/src/frame.rs", HEADER).is_empty());
        assert_eq!(rust_file("bench/src/bin/a.rs", HEADER).len(), 1);
        assert_eq!(rust_file("bench/src/bin/a/main.rs", HEADER).len(), 1);
        assert!(rust_file("bench/src/bin/a/b.rs", HEADER).is_empty());
    }

    #[test]
    fn a_pure_room_has_no_clock_outside_its_tests() {
        let line = "let now = std::time::Instant::now();\n";
        assert!(!rust_file("crates/live/src/a.rs", &format!("{HEADER}{line}")).is_empty());
        assert!(rust_file("crates/reactor/src/a.rs", &format!("{HEADER}{line}")).is_empty());
        let test = format!("{HEADER}\n#[cfg(test)]\nmod tests {{\n{line}}}\n");
        assert!(rust_file("crates/live/src/a.rs", &test).is_empty());
    }

    #[test]
    fn words_are_found_with_their_line() {
        let text = format!("fine\nto{}\"later\")\n", "do!(");
        assert!(
            forbidden_words("a.rs", &text)
                .iter()
                .all(|finding| finding.starts_with("a.rs:2:"))
        );
        assert_eq!(forbidden_words("a.rs", &text).len(), 1);
    }
}
