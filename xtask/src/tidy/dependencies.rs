//! `docs/dependencies.md` against the manifests: every direct dependency has a row, and it names those that use it.
//!
//! The product's table counts what the library always has; parts that a feature brings have tables of their own.
//! Whatever else the workspace uses is around the product.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::rooms::FACADE;
use crate::stop::{Outcome, Stop};

const PAGE: &str = "docs/dependencies.md";

/// Packages that are no members of the workspace.
const OUTSIDE: &[&str] = &["fuzz"];

/// Of each crate, who uses it.
type Users = BTreeMap<String, BTreeSet<String>>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tables {
    product: Users,
    features: Users,
    around: Users,
}

pub(super) fn check(root: &Path, metadata: &Value) -> Outcome<Vec<String>> {
    let page = fs::read_to_string(root.join(PAGE)).map_err(|error| Stop::io(PAGE, &error))?;
    let (told, used) = (of_page(&page), of_manifests(metadata));
    let mut findings = differences(&told.product, &used.product);
    findings.extend(differences(&told.features, &used.features));
    findings.extend(differences(&told.around, &used.around));
    Ok(findings)
}

fn of_page(page: &str) -> Tables {
    let mut tables = Tables::default();
    let mut is_around = false;
    let mut is_feature = false;
    for line in page.lines() {
        is_around |= line.starts_with("## Around");
        is_feature = (is_feature || line.starts_with("With the feature")) && !is_around;
        if !line.starts_with("| `") {
            continue;
        }
        let mut cells = line.trim_matches('|').split('|');
        let crates = cells.next().unwrap_or_default();
        let users = cells.next().unwrap_or_default();
        // `name` with `its feature`
        let crates = crates.split(" with ").next().unwrap_or_default();
        let crates = crates.split('`').skip(1).step_by(2);
        let users: Vec<_> = match is_feature {
            true => vec![FACADE.to_owned()],
            false => users
                .split(',')
                .map(|user| user.trim().to_owned())
                .collect(),
        };
        let table = match (is_around, is_feature) {
            (true, _) => &mut tables.around,
            (_, true) => &mut tables.features,
            _ => &mut tables.product,
        };
        for name in crates {
            let inside = users
                .iter()
                .filter(|user| !OUTSIDE.contains(&user.as_str()));
            table
                .entry(name.to_owned())
                .or_default()
                .extend(inside.cloned());
        }
    }
    tables
}

fn of_manifests(metadata: &Value) -> Tables {
    let mut tables = Tables::default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for package in list(&metadata["packages"]) {
        let name = package["name"].as_str().unwrap_or_default();
        let room = name.strip_prefix("hioload-").unwrap_or(name);
        let path = package["manifest_path"].as_str().unwrap_or_default();
        for dependency in list(&package["dependencies"]) {
            let crate_name = dependency["name"].as_str().unwrap_or_default();
            if crate_name.starts_with(FACADE) {
                continue;
            }
            let ships = path.contains("/crates/")
                && dependency["kind"] != "dev"
                && dependency["target"] != "cfg(loom)";
            let table = match (ships, dependency["optional"] == true && name == FACADE) {
                (true, true) => &mut tables.features,
                (true, false) => &mut tables.product,
                (false, _) => &mut tables.around,
            };
            let users = table.entry(crate_name.to_owned()).or_default();
            users.insert(room.to_owned());
        }
    }
    tables
}

fn differences(told: &Users, used: &Users) -> Vec<String> {
    let none = BTreeSet::new();
    let names: BTreeSet<_> = told.keys().chain(used.keys()).collect();
    let list = |users: &BTreeSet<String>| match users.is_empty() {
        true => "nobody".to_owned(),
        false => users.iter().cloned().collect::<Vec<_>>().join(", "),
    };
    names
        .into_iter()
        .map(|name| {
            (
                name,
                told.get(name).unwrap_or(&none),
                used.get(name).unwrap_or(&none),
            )
        })
        // A row of somebody outside only.
        .filter(|(_, told, used)| told != used)
        .map(|(name, told, used)| {
            format!(
                "{PAGE}: {name} is used by {}, not by {}",
                list(used),
                list(told)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
## In the product
| crate | used by | what for |
|---|---|---|
| `a` with `b` | ws, http | this |
With the feature `cli`:
| `c` | that |
## Around the product
| `d`, `e` | bench, fuzz | peers |
| `f` | fuzz | fuzzing |
";

    fn metadata() -> Value {
        let package = |name: &str, place: &str, dependencies: Value| {
            let path = format!("/x/{place}/Cargo.toml");
            serde_json::json!({"name": name, "manifest_path": path, "dependencies": dependencies})
        };
        let used = |name: &str| serde_json::json!({"name": name, "kind": null, "optional": false});
        serde_json::json!({"packages": [
            package("hioload-ws", "crates/ws", serde_json::json!([used("a"), used("hioload-base")])),
            package("hioload-http", "crates/http", serde_json::json!([used("a")])),
            package("hioload", "crates/hioload", serde_json::json!([
                {"name": "c", "kind": null, "optional": true},
            ])),
            package("bench", "bench", serde_json::json!([used("d"), used("e")])),
        ]})
    }

    #[test]
    fn a_page_that_is_right_has_no_findings() {
        let (told, used) = (of_page(PAGE), of_manifests(&metadata()));
        assert_eq!((told.product, told.features), (used.product, used.features));
        assert_eq!(
            differences(&told.around, &used.around),
            Vec::<String>::new()
        );
    }

    #[test]
    fn who_is_missing_or_too_many_is_named() {
        let used = of_manifests(&metadata());
        let told = of_page(&PAGE.replace("ws, http", "ws, mem"));
        let expected = "docs/dependencies.md: a is used by http, ws, not by mem, ws";
        assert_eq!(differences(&told.product, &used.product), [expected]);
        let told = of_page(&PAGE.replace("| `c` | that |\n", ""));
        assert_eq!(differences(&told.features, &used.features).len(), 1);
    }
}
