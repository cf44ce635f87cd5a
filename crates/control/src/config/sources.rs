//! Where settings come from, in order: file, environment, flags; and what they say, still as text.
//!
//! Must not know what the settings mean: a source yields keys, values and places. The environment and
//! the flags are those given at start; the file is read again at each reload.

use super::tree::join;
use super::{Origin, Problem};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Environment variables that start so are settings, unless reserved.
const PREFIX: &str = "HIOLOAD_";

/// A file bigger than this is no configuration.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// What one source says about one key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) value: Said,
    pub(crate) origin: Origin,
}

/// How the source names the setting.
#[derive(Debug)]
pub(crate) enum Name {
    Key(String),
    /// `WS_MESSAGE_SIZE_MAX`: which underscores are dots, only the known keys tell.
    Variable(String),
}

/// How the source gives the value.
#[derive(Debug)]
pub(crate) enum Said {
    /// With a type.
    Typed(Value),
    /// As text, which may be meant as a number.
    Text(String),
}

/// The layers of a configuration, later ones over earlier ones.
///
/// ```
/// use hioload_control::Sources;
///
/// let sources = Sources::new()
///     .reserve("HIOLOAD_CONFIG")
///     .environment(std::env::vars_os().filter_map(|(name, value)| {
///         Some((name.into_string().ok()?, value.into_string().ok()?))
///     }))
///     .flag("--batch", "batch", "256");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    variables: Vec<(String, String)>,
    reserved: BTreeSet<String>,
    flags: Vec<(String, String, String)>,
}

impl Sources {
    /// No sources: defaults alone.
    pub fn new() -> Sources {
        Sources::default()
    }

    /// A TOML file of at most 1 MiB, read at start and at each reload.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Sources {
        self.file = Some(path.into());
        self
    }

    /// The environment. Of its variables, those named `HIOLOAD_…` are settings: the key in capitals,
    /// with `_` for each dot and dash.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Sources {
        let ours = |(name, _): &(String, String)| name.starts_with(PREFIX);
        self.variables.extend(variables.into_iter().filter(ours));
        self.variables.sort();
        self
    }

    /// Takes a variable out of the settings, because something else reads it.
    #[must_use]
    pub fn reserve(mut self, variable: impl Into<String>) -> Sources {
        self.reserved.insert(variable.into());
        self
    }

    /// A flag as it is written on the command line, the key it sets, and its value.
    #[must_use]
    pub fn flag(
        mut self,
        flag: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Sources {
        self.flags.push((flag.into(), key.into(), value.into()));
        self
    }

    /// The file that is read, if any.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Everything the sources say, weakest first. `is_key` tells which tables of a file are values.
    pub(crate) fn read(&self, is_key: impl Fn(&str) -> bool) -> Result<Vec<Entry>, Box<Problem>> {
        let mut entries = Vec::new();
        if let Some(path) = &self.file {
            read_file(path, &is_key, &mut entries)?;
        }
        for (variable, value) in &self.variables {
            if !self.reserved.contains(variable) {
                entries.push(Entry {
                    name: Name::Variable(variable[PREFIX.len()..].to_owned()),
                    value: Said::Text(value.clone()),
                    origin: Origin::Environment(variable.clone()),
                });
            }
        }
        for (flag, key, value) in &self.flags {
            entries.push(Entry {
                name: Name::Key(key.clone()),
                value: Said::Text(value.clone()),
                origin: Origin::Flag(flag.clone()),
            });
        }
        Ok(entries)
    }
}

/// The name of a key as an environment variable, without the prefix.
pub(crate) fn variable_of(key: &str) -> String {
    key.replace(['.', '-'], "_").to_ascii_uppercase()
}

/// The name of a key as an environment variable.
pub(crate) fn full_variable_of(key: &str) -> String {
    format!("{PREFIX}{}", variable_of(key))
}

fn read_file(
    path: &Path,
    is_key: &dyn Fn(&str) -> bool,
    entries: &mut Vec<Entry>,
) -> Result<(), Box<Problem>> {
    let text = read_text(path)?;
    let table = DeTable::parse(&text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        Problem {
            origin: Origin::File {
                path: path.to_owned(),
                line: line_at(&text, offset),
            },
            key: String::new(),
            value: None,
            why: format!("this is not TOML: {}", error.message().trim_end()),
            remedy: "correct the line (strings are quoted, as in addr = \"127.0.0.1:9002\")".into(),
        }
    })?;
    let file = File {
        path,
        text: &text,
        is_key,
    };
    file.collect(table.get_ref(), "", entries);
    Ok(())
}

fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    let problem = |why: String, remedy: &str| {
        Box::new(Problem {
            origin: Origin::File {
                path: path.to_owned(),
                line: 0,
            },
            key: String::new(),
            value: None,
            why,
            remedy: remedy.to_owned(),
        })
    };
    let unreadable = |error: std::io::Error| {
        let remedy = match error.kind() {
            ErrorKind::NotFound => "check the path, or leave the option out to run with defaults",
            ErrorKind::PermissionDenied => "let this user read the file",
            ErrorKind::InvalidData => "save the file as UTF-8",
            _ => "check the path and the file",
        };
        problem(format!("the configuration cannot be read: {error}"), remedy)
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_SIZE_MAX {
        let why = format!("the file has {size} bytes, a configuration at most {FILE_SIZE_MAX}");
        return Err(problem(why, "check that this is the right file"));
    }
    fs::read_to_string(path).map_err(unreadable)
}

/// A parsed file on its way to entries.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    is_key: &'a dyn Fn(&str) -> bool,
}

impl File<'_> {
    fn collect(&self, table: &DeTable<'_>, prefix: &str, entries: &mut Vec<Entry>) {
        for (name, value) in table {
            let key = join(prefix, name.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if !(self.is_key)(&key) => self.collect(inner, &key, entries),
                other => {
                    let line = line_at(self.text, name.span().start);
                    entries.push(Entry {
                        name: Name::Key(key),
                        value: Said::Typed(to_value(other)),
                        origin: Origin::File {
                            path: self.path.to_owned(),
                            line,
                        },
                    });
                }
            }
        }
    }
}

/// The line of the byte at `offset`, counted from one.
fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

fn to_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Integer(number) => {
            let radix = number.radix();
            i64::from_str_radix(number.as_str(), radix)
                .map(Value::from)
                .or_else(|_| u64::from_str_radix(number.as_str(), radix).map(Value::from))
                // Beyond 64 bits: as text, for which the type of the setting then has no use.
                .unwrap_or_else(|_| Value::from(number.as_str()))
        }
        DeValue::Float(number) => {
            let parsed: Option<f64> = number.as_str().parse().ok();
            // Not finite: as text, likewise.
            parsed
                .and_then(serde_json::Number::from_f64)
                .map_or_else(|| Value::from(number.as_str()), Value::Number)
        }
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_value(item.get_ref())).collect(),
        DeValue::Table(fields) => fields
            .iter()
            .map(|(name, value)| (name.get_ref().to_string(), to_value(value.get_ref())))
            .collect(),
    }
}

/// The value that a text stands for when it is not meant literally: `5`, `true`, `["a", "b"]`.
pub(crate) fn parse_text(text: &str) -> Option<Value> {
    let parsed = DeValue::parse(text).ok()?;
    Some(to_value(parsed.get_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_every_type_are_taken_over() {
        for (text, value) in [
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("+1_000", json!(1000)),
            ("0x10", json!(16)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!("18446744073709551616")),
            ("1.5", json!(1.5)),
            ("inf", json!("inf")),
            ("true", json!(true)),
            ("\"text\"", json!("text")),
            ("[1, \"a\"]", json!([1, "a"])),
            ("{ a = 1 }", json!({ "a": 1 })),
            ("1979-05-27", json!("1979-05-27")),
        ] {
            assert_eq!(parse_text(text), Some(value), "{text}");
        }
        assert_eq!(parse_text("127.0.0.1:9002"), None);
    }

    #[test]
    fn lines_count_from_one() {
        let text = "a\nbc\n";
        let lines: Vec<_> = (0..7).map(|offset| line_at(text, offset)).collect();
        assert_eq!(lines, [1, 1, 2, 2, 2, 3, 3]);
    }

    #[test]
    fn variables_are_keys_in_capitals() {
        assert_eq!(
            full_variable_of("ws.message-size_max"),
            "HIOLOAD_WS_MESSAGE_SIZE_MAX"
        );
    }
}
