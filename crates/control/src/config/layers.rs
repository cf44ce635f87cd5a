//! Layers put on top of each other: defaults, then every entry of the sources in order.
//!
//! Must not know reload. Each entry is tried on its own, so that a refusal names the one at fault; all
//! problems are told at once. It costs one reading of the settings for each entry, at start and reload only.

use super::sources::{Entry, Name, Said, full_variable_of, parse_text, variable_of};
use super::{ConfigError, Origin, Problem, Settings, Sources, tree};
use serde_json::Value;
use std::collections::BTreeMap;

/// Names less alike than this are no hint.
const ALIKE_MIN: f64 = 0.7;

/// Settings with the place of everything that is not a default.
#[derive(Debug)]
pub(crate) struct Layered<S> {
    pub(crate) settings: S,
    pub(crate) tree: Value,
    pub(crate) origins: BTreeMap<String, Origin>,
}

/// The tree of a value of settings.
pub(crate) fn tree_of<S: Settings>(settings: &S) -> Value {
    serde_json::to_value(settings).expect("invariant: settings are plain data with text as keys")
}

/// All keys, in order. What the sources set does not change which keys there are.
pub(crate) fn keys<S: Settings>() -> Vec<String> {
    tree::leaves(&tree_of(&S::default())).into_keys().collect()
}

/// Reads all sources over the defaults.
pub(crate) fn read<S: Settings>(sources: &Sources) -> Result<Layered<S>, ConfigError> {
    let settings = S::default();
    let tree = tree_of(&settings);
    let keys = tree::leaves(&tree);
    for (key, _) in S::RESTART.iter().chain(S::FOR_NEW) {
        assert!(
            tree::at(&tree, key).is_some(),
            "{key} in RESTART or FOR_NEW is a key of the settings"
        );
    }
    let mut stack = Stack {
        layered: Layered {
            settings,
            tree,
            origins: BTreeMap::new(),
        },
        keys,
    };
    let entries = sources
        .read(|key| stack.keys.contains_key(key))
        .map_err(|problem| ConfigError::new(vec![*problem]))?;
    let mut problems: Vec<_> = entries
        .into_iter()
        .filter_map(|entry| stack.put(entry).err().map(|problem| *problem))
        .collect();
    let layered = stack.layered;
    if problems.is_empty() {
        problems.extend(
            check(&layered.settings, &layered.tree, &layered.origins)
                .err()
                .map(|problem| *problem),
        );
    }
    if problems.is_empty() {
        Ok(layered)
    } else {
        Err(ConfigError::new(problems))
    }
}

/// Lets the settings check themselves; a refusal is told with the place of the value.
pub(crate) fn check<S: Settings>(
    settings: &S,
    tree: &Value,
    origins: &BTreeMap<String, Origin>,
) -> Result<(), Box<Problem>> {
    settings.check().map_err(|invalid| {
        Box::new(Problem {
            origin: origins
                .get(&invalid.key)
                .cloned()
                .unwrap_or(Origin::Default),
            value: tree::at(tree, &invalid.key).cloned(),
            key: invalid.key,
            why: invalid.why,
            remedy: invalid.remedy,
        })
    })
}

struct Stack<S> {
    layered: Layered<S>,
    keys: BTreeMap<String, Value>,
}

impl<S: Settings> Stack<S> {
    /// Puts one entry on top. A text is taken literally where the setting is a text, and read as a value
    /// where it is not.
    fn put(&mut self, entry: Entry) -> Result<(), Box<Problem>> {
        let Entry {
            name,
            value,
            origin,
        } = entry;
        let key = match self.resolve(&name) {
            Ok(key) => key,
            Err((key, remedy)) => {
                let why = "there is no such setting".to_owned();
                return Err(Box::new(Problem {
                    origin,
                    key,
                    value: Some(shown(value)),
                    why,
                    remedy,
                }));
            }
        };
        let (literal, parsed) = match value {
            Said::Typed(value) => (value, None),
            Said::Text(text) => {
                let parsed = parse_text(&text);
                (Value::from(text), parsed)
            }
        };
        let refusal = match self.try_value(&key, literal.clone()) {
            Ok(()) => None,
            Err(why) => match parsed {
                None => Some(why),
                Some(parsed) => self
                    .try_value(&key, parsed)
                    .err()
                    .map(|other| telling(why, other)),
            },
        };
        if let Some(why) = refusal {
            let remedy = format!("the default is {}", self.keys[&key]);
            return Err(Box::new(Problem {
                origin,
                key,
                value: Some(literal),
                why,
                remedy,
            }));
        }
        self.layered.origins.insert(key, origin);
        Ok(())
    }

    fn try_value(&mut self, key: &str, value: Value) -> Result<(), String> {
        let mut tree = self.layered.tree.clone();
        tree::set(&mut tree, key, value);
        self.layered.settings = S::deserialize(&tree).map_err(|error| error.to_string())?;
        // As the settings write it: 1024 and "1KiB" are one value, and no change on reload.
        self.layered.tree = tree_of(&self.layered.settings);
        Ok(())
    }

    /// The key that is meant, or how it was called and what to do.
    fn resolve(&self, name: &Name) -> Result<String, (String, String)> {
        match name {
            Name::Key(key) if self.keys.contains_key(key) => Ok(key.clone()),
            Name::Key(key) if tree::at(&self.layered.tree, key).is_some() => Err((
                key.clone(),
                format!(
                    "this is a table: set the keys in it, as {}",
                    self.below(key)
                ),
            )),
            Name::Key(key) => Err((key.clone(), self.hint(key, str::to_owned))),
            Name::Variable(name) => {
                let found = self.keys.keys().find(|key| variable_of(key) == *name);
                found.cloned().ok_or_else(|| {
                    let key = name.to_ascii_lowercase();
                    let remedy = self.hint(&key, full_variable_of);
                    (key, remedy)
                })
            }
        }
    }

    /// The first key in a table.
    fn below(&self, key: &str) -> &str {
        let prefix = format!("{key}.");
        self.keys
            .keys()
            .find(|key| key.starts_with(&prefix))
            .map_or("", String::as_str)
    }

    /// What to do about an unknown key.
    fn hint(&self, unknown: &str, spelled: impl Fn(&str) -> String) -> String {
        let likeness = |key: &String| {
            strsim::normalized_damerau_levenshtein(&variable_of(key), &variable_of(unknown))
                .max(self.likeness_of_ends(key, unknown))
        };
        let nearest = self
            .keys
            .keys()
            .map(|key| (likeness(key), key))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((likeness, key)) if likeness >= ALIKE_MIN => {
                format!("did you mean {}?", spelled(key))
            }
            _ => "see the list of settings in the help text, or remove it".to_owned(),
        }
    }

    /// Likeness of the last names alone: a good key in the wrong table. Counts a little less.
    fn likeness_of_ends(&self, key: &str, unknown: &str) -> f64 {
        let end = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        0.95 * strsim::normalized_damerau_levenshtein(&end(key), &end(unknown))
    }
}

/// Of two refusals of one text, the one that says more: not merely that the type is another.
fn telling(literal: String, parsed: String) -> String {
    if parsed.starts_with("invalid type") && !literal.starts_with("invalid type") {
        literal
    } else {
        parsed
    }
}

fn shown(value: Said) -> Value {
    match value {
        Said::Typed(value) => value,
        Said::Text(text) => Value::from(text),
    }
}
