//! Settings as a tree of values, and the dotted keys that lead to its leaves.
//!
//! Must not know sources. An object with fields is inner, everything else is a leaf: one key.

use serde_json::Value;
use std::collections::BTreeMap;

/// Every key with its value.
pub(crate) fn leaves(tree: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(tree, String::new(), &mut found);
    found
}

fn collect(tree: &Value, key: String, found: &mut BTreeMap<String, Value>) {
    match tree {
        Value::Object(fields) if !fields.is_empty() || key.is_empty() => {
            for (name, value) in fields {
                collect(value, join(&key, name), found);
            }
        }
        _ => {
            found.insert(key, tree.clone());
        }
    }
}

pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// Puts a value in the place of the one at `key`; the key is one of the tree's.
pub(crate) fn set(tree: &mut Value, key: &str, value: Value) {
    *at_mut(tree, key).expect("invariant: only keys of the tree are set") = value;
}

fn at_mut<'a>(tree: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    key.split('.')
        .try_fold(tree, |place, name| place.get_mut(name))
}

/// The value at `key`.
pub(crate) fn at<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(tree, |place, name| place.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaves_are_scalars_lists_and_empty_maps() {
        let tree =
            json!({ "a": 1, "b": { "c": [1, 2], "d": {}, "e": null }, "f": { "g": { "h": "x" } } });
        let keys: Vec<_> = leaves(&tree).into_keys().collect();
        assert_eq!(keys, ["a", "b.c", "b.d", "b.e", "f.g.h"]);
        assert!(leaves(&json!({})).is_empty());
    }

    #[test]
    fn what_is_set_is_found() {
        let mut tree = json!({ "b": { "c": null } });
        set(&mut tree, "b.c", json!(7));
        assert_eq!(at(&tree, "b.c"), Some(&json!(7)));
        assert_eq!(at(&tree, "b.x"), None);
        assert_eq!(at(&tree, "b.c.x"), None);
    }
}
