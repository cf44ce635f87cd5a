//! Which room may know which: the dependency table of the architecture against the manifests.
//!
//! Only what ships counts: dev-dependencies may reach sideways for a test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::process::{cargo, output};
use crate::stop::{Outcome, Stop};

/// Where the table is.
const PAGE: &str = "ARCHITECTURE.md";

/// A room and the rooms it may depend on directly.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Room {
    name: String,
    may_know: Vec<String>,
    /// A pure room is a state machine: no sockets, clocks, threads or system calls.
    is_pure: bool,
}

/// The facade may know every room; it leaves the system to them.
pub(super) const FACADE: &str = "hioload";

/// Crates that speak to the operating system: not for pure rooms.
const SYSTEM_CRATES: &[&str] = &[
    "io-uring",
    "libc",
    "mio",
    "nix",
    "polling",
    "rustix",
    "socket2",
    "windows-sys",
];

/// Crates of the peers we measure against, and other runtimes: never part of the product. (The
/// admin listener is an optional feature on a side thread with tokio and hyper of its own.)
const FOREIGN_CRATES: &[&str] = &[
    "async-std",
    "fastwebsockets",
    "smol",
    "tokio-tungstenite",
    "tungstenite",
];

/// Direct dependencies of each workspace package: normal and build ones, whatever the target.
type Dependencies = BTreeMap<String, Vec<String>>;

/// The rooms as the architecture has them: a row for each, and a sentence that names the pure ones.
pub(super) fn read(root: &Path) -> Outcome<Vec<Room>> {
    let page = fs::read_to_string(root.join(PAGE)).map_err(|error| Stop::io(PAGE, &error))?;
    let rooms = parse(&page);
    if rooms.iter().any(|room| room.is_pure) && rooms.iter().any(|room| !room.is_pure) {
        return Ok(rooms);
    }
    let why = "no table of rooms, or no sentence `… are pure: …`";
    Err(Stop::Failed(format!("{PAGE}: {why}")))
}

pub(super) fn parse(page: &str) -> Vec<Room> {
    let ticked = |text: &str| -> Vec<String> {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let text = page.replace('\n', " ");
    let sentence = text.split_once(" are pure:").map(|(before, _)| before);
    let sentence = sentence.and_then(|before| before.rsplit(". ").next());
    let pure = ticked(sentence.unwrap_or_default());
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| `crates/")?.split(" | ").collect();
        let name = cells.first()?.trim_end_matches('`').to_owned();
        let may_know = cells.last()?.trim_end_matches(" |").split(", ");
        Some(Room {
            is_pure: pure.contains(&name),
            may_know: may_know.map(str::to_owned).collect(),
            name,
        })
    };
    page.lines()
        .filter_map(row)
        .filter(|room| room.name != FACADE)
        .collect()
}

pub(super) fn metadata() -> Outcome<Value> {
    let metadata = output(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    serde_json::from_str(&metadata)
        .map_err(|error| Stop::Failed(format!("cargo metadata: {error}")))
}

pub(super) fn check(rooms: &[Room], metadata: &Value) -> Outcome<Vec<String>> {
    let mut findings = findings(rooms, &dependencies(metadata));
    findings.extend(without_row(rooms, metadata));
    let tree = output(cargo().args([
        "tree",
        "--package",
        FACADE,
        "--edges=normal,build",
        "--target=all",
        "--prefix=none",
        "--format={p}",
    ]))?;
    findings.extend(foreign_crates(&tree));
    Ok(findings)
}

fn dependencies(metadata: &Value) -> Dependencies {
    let packages = metadata["packages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let names_of = |package: &Value| {
        let dependencies = package["dependencies"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let shipped = dependencies
            .iter()
            .filter(|dependency| dependency["kind"] != "dev");
        shipped
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect()
    };
    packages
        .iter()
        .filter_map(|package| Some((package["name"].as_str()?.to_owned(), names_of(package))))
        .collect()
}

fn findings(rooms: &[Room], dependencies: &Dependencies) -> Vec<String> {
    let mut findings = Vec::new();
    for room in rooms {
        let Some(names) = dependencies.get(&format!("hioload-{}", room.name)) else {
            findings.push(format!("{PAGE}: there is no crates/{}", room.name));
            continue;
        };
        for name in names {
            let other = name
                .strip_prefix("hioload-")
                .or((name == FACADE).then_some(FACADE));
            if other.is_some_and(|other| !room.may_know.iter().any(|known| known == other)) {
                findings.push(format!("crates/{}: must not know {name}", room.name));
            }
            if room.is_pure && SYSTEM_CRATES.contains(&name.as_str()) {
                findings.push(format!(
                    "crates/{}: pure, must not depend on {name}",
                    room.name
                ));
            }
        }
    }
    findings
}

fn without_row(rooms: &[Room], metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array();
    let paths = packages
        .into_iter()
        .flatten()
        .filter_map(|package| package["manifest_path"].as_str());
    let names = paths
        .filter_map(|path| path.rsplit_once("/crates/")?.1.strip_suffix("/Cargo.toml"))
        .filter(|name| *name != FACADE && !rooms.iter().any(|room| room.name == *name));
    names
        .map(|name| format!("{PAGE}: there is no row for crates/{name}"))
        .collect()
}

fn foreign_crates(tree: &str) -> Vec<String> {
    let names = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| FOREIGN_CRATES.contains(name))
        .map(|name| format!("crates/hioload: the product must not depend on {name}"))
        .collect()
}

/// Rooms whose sources must not mention sockets, clocks and threads.
pub(super) fn is_pure(rooms: &[Room], room: &str) -> bool {
    rooms
        .iter()
        .any(|entry| entry.name == room && entry.is_pure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
| room | what lives there | may know |
|---|---|---|
| `crates/base` | ids, time | nothing |
| `crates/mem` | buffers | base |
| `crates/ws` | sessions | base |
| `crates/live` | logs, `cursors` | base, mem |
| `crates/hioload` | server | all |

It is checked. `base`, `ws` and `live`
are pure: no socket.
";

    /// Those about rooms that depend on something.
    fn findings(dependencies: &Dependencies) -> Vec<String> {
        let is_there = |room: &Room| dependencies.contains_key(&format!("hioload-{}", room.name));
        let rooms: Vec<_> = parse(TABLE).into_iter().filter(is_there).collect();
        super::findings(&rooms, dependencies)
    }

    #[test]
    fn the_table_is_read_as_it_stands() {
        let rooms = parse(TABLE);
        let names: Vec<_> = rooms.iter().map(|room| room.name.as_str()).collect();
        assert_eq!(names, ["base", "mem", "ws", "live"]);
        assert_eq!(rooms[3].may_know, ["base", "mem"]);
        let pure: Vec<_> = rooms.iter().map(|room| room.is_pure).collect();
        assert_eq!(pure, [true, false, true, true]);
        assert!(
            !parse("| `crates/base` | a | nothing |")
                .iter()
                .any(|room| room.is_pure)
        );
    }

    #[test]
    fn a_room_without_a_row_is_found() {
        let metadata = serde_json::json!({"packages": [
            {"manifest_path": "/x/crates/new/Cargo.toml"},
            {"manifest_path": "/x/crates/base/Cargo.toml"},
            {"manifest_path": "/x/crates/hioload/Cargo.toml"},
            {"manifest_path": "/x/bench/Cargo.toml"},
        ]});
        assert_eq!(
            without_row(&parse(TABLE), &metadata),
            ["ARCHITECTURE.md: there is no row for crates/new"]
        );
        assert!(!super::findings(&parse(TABLE), &Dependencies::new()).is_empty());
    }

    fn dependencies_of(package: &str, names: &[&str]) -> Dependencies {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        BTreeMap::from([(package.to_owned(), names)])
    }

    #[test]
    fn a_room_may_know_what_the_table_says_and_no_more() {
        assert!(findings(&dependencies_of("hioload-live", &["hioload-base", "bytes"])).is_empty());
        assert_eq!(
            findings(&dependencies_of("hioload-live", &["hioload-ws"])).len(),
            1
        );
        assert_eq!(
            findings(&dependencies_of("hioload-base", &["hioload"])).len(),
            1
        );
    }

    #[test]
    fn a_pure_room_has_no_system_crates() {
        assert_eq!(
            findings(&dependencies_of("hioload-ws", &["rustix"])).len(),
            1
        );
        assert!(findings(&dependencies_of("hioload-mem", &["rustix"])).is_empty());
    }

    #[test]
    fn dev_dependencies_do_not_count() {
        let metadata = serde_json::json!({"packages": [{"name": "hioload-ws", "dependencies": [
            {"name": "hioload-mem", "kind": "dev"},
            {"name": "hioload-live", "kind": null},
            {"name": "hioload-control", "kind": "build"},
        ]}]});
        assert_eq!(findings(&dependencies(&metadata)).len(), 2);
    }

    #[test]
    fn peers_in_the_product_are_found() {
        assert_eq!(
            foreign_crates("hioload v0.1.0 (path)\nsmol v1.0.0\nbytes v1.0.0").len(),
            1
        );
    }
}
