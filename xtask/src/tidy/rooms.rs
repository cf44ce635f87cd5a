//! Which room may know which: the dependency table of the architecture against the manifests.
//!
//! Only what ships counts: dev-dependencies may reach sideways for a test.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::process::{cargo, output};
use crate::stop::{Outcome, Stop};

/// A room and the rooms it may depend on directly.
struct Room {
    name: &'static str,
    may_know: &'static [&'static str],
    /// A pure room is a state machine: no sockets, clocks, threads or system calls.
    is_pure: bool,
}

const ROOMS: &[Room] = &[
    Room {
        name: "base",
        may_know: &[],
        is_pure: true,
    },
    Room {
        name: "mem",
        may_know: &["base"],
        is_pure: false,
    },
    Room {
        name: "ring",
        may_know: &["base"],
        is_pure: false,
    },
    Room {
        name: "ws",
        may_know: &["base"],
        is_pure: true,
    },
    Room {
        name: "http",
        may_know: &["base"],
        is_pure: true,
    },
    Room {
        name: "reactor",
        may_know: &["base", "mem", "ring"],
        is_pure: false,
    },
    Room {
        name: "net",
        may_know: &["base", "mem", "ring", "reactor"],
        is_pure: false,
    },
    Room {
        name: "live",
        may_know: &["base", "mem"],
        is_pure: true,
    },
    Room {
        name: "streams",
        may_know: &["base", "ring"],
        is_pure: true,
    },
    Room {
        name: "blocks",
        may_know: &["base", "mem", "ring", "http"],
        is_pure: false,
    },
    Room {
        name: "control",
        may_know: &["base"],
        is_pure: false,
    },
];

/// The facade may know every room; it leaves the system to them.
const FACADE: &str = "hioload";

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

pub(super) fn check() -> Outcome<Vec<String>> {
    let metadata = output(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata = serde_json::from_str(&metadata)
        .map_err(|error| Stop::Failed(format!("cargo metadata: {error}")))?;
    let mut findings = findings(&dependencies(&metadata));
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

fn findings(dependencies: &Dependencies) -> Vec<String> {
    let mut findings = Vec::new();
    for room in ROOMS {
        let Some(names) = dependencies.get(&format!("hioload-{}", room.name)) else {
            continue;
        };
        for name in names {
            let other = name
                .strip_prefix("hioload-")
                .or((name == FACADE).then_some(FACADE));
            if other.is_some_and(|other| !room.may_know.contains(&other)) {
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
pub(super) fn is_pure(room: &str) -> bool {
    ROOMS
        .iter()
        .any(|entry| entry.name == room && entry.is_pure)
}

#[cfg(test)]
mod tests {
    use super::*;

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
