//! The block API over HTTP: what a request asks for, and what is answered. No I/O, no HTTP machine.
//!
//! ```text
//!   method, path ─▶ route ─▶ Call | Refused         outcome ─▶ Answer: status, one line, headers
//! ```
//!
//! The description for programs is [`OPEN_API`]; a test holds it to [`ROUTES`].

mod hashes;
mod list;
mod route;

pub use hashes::{HASHES_MAX, HashesError, parse_hashes, write_hashes};
pub use list::{LIST_DEFAULT, LIST_MAX, ListQuery, ListWriter, Listing};
pub use route::{Call, NAME_SIZE_MAX, ROUTES, Refused, VALUE_SIZE_MAX, route};

/// The OpenAPI 3.1 description, served at `/openapi.json`.
pub const OPEN_API: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_knows_every_route() {
        let described: serde_json::Value = serde_json::from_str(OPEN_API).expect("JSON");
        let paths = described["paths"].as_object().expect("paths");
        for (path, methods) in ROUTES {
            let mut known = paths.get(*path).unwrap_or_else(|| panic!("{path}"));
            if let Some(same) = known["$ref"].as_str() {
                let pointer = same.strip_prefix('#').expect("a place in this document");
                known = described.pointer(pointer).expect("the place it names");
            }
            for method in methods.split(", ") {
                let operation = &known[method.to_ascii_lowercase()];
                assert!(operation["responses"].is_object(), "{method} {path}");
            }
        }
        assert_eq!(paths.len(), ROUTES.len());
    }

    #[test]
    fn the_description_names_what_it_has() {
        fn names(value: &serde_json::Value, found: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(map) => {
                    for (key, value) in map {
                        match value.as_str() {
                            Some(name) if key == "$ref" => found.push(name.to_owned()),
                            _ => names(value, found),
                        }
                    }
                }
                serde_json::Value::Array(list) => list.iter().for_each(|one| names(one, found)),
                _ => {}
            }
        }
        let described: serde_json::Value = serde_json::from_str(OPEN_API).expect("JSON");
        let mut found = Vec::new();
        names(&described, &mut found);
        for name in found {
            let pointer = name.strip_prefix('#').expect("a place in this document");
            assert!(described.pointer(pointer).is_some(), "{name}");
        }
    }
}
