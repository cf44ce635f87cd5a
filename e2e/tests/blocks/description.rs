//! The description of the API, held against what is answered.

use std::collections::{BTreeMap, BTreeSet};

use hioload::{DriverChoice, Durability};
use hioload_e2e::hash_of;
use serde_json::Value;

use crate::kit::Scene;

/// Statuses that only a machine in trouble gives, or a peer that is too slow.
const UNDER_STRESS: [u16; 4] = [408, 500, 503, 507];
/// Fields that an answer has sometimes.
const SOMETIMES: [&str; 2] = ["Retry-After", "Hioload-Damaged"];

const FOREIGN: &str = "Origin: http://elsewhere.example\r\n";
const ONLY_NEW: &str = "If-None-Match: *\r\n";
const EMPTY: &str = "Content-Length: 0\r\n";
const LONG: &str = "Content-Length: 2000000\r\n";

/// Method, path, more fields, body: everything that leads to another status.
fn requests(hash: &str, other: &str) -> Vec<(&'static str, String, String, &'static [u8])> {
    let block = format!("/blocks/{hash}");
    let absent = format!("/blocks/{other}");
    let (refs, named) = (format!("{block}/refs"), format!("{block}/refs/a"));
    let known = format!("If-None-Match: \"{hash}\"\r\n");
    let mut all = Vec::new();
    let mut add = |method, path: &str, cases: &[(&str, &'static [u8])]| {
        for (more, body) in cases {
            all.push((method, path.to_owned(), (*more).to_owned(), *body));
        }
    };
    let put: &[(&str, &[u8])] = &[
        (FOREIGN, b"x"),
        ("", b""),
        (EMPTY, b""),
        (LONG, b""),
        ("", b"x"),
        ("", b"x"),
        (ONLY_NEW, b"x"),
    ];
    add("PUT", &block, put);
    add("PUT", &block, &[("", b"y")]);
    add("PUT", "/blocks/x", &[("", b"x")]);
    add("HEAD", &block, &[("", b""), (&known, b"")]);
    let parts: &[(&str, &[u8])] = &[
        ("", b""),
        (&known, b""),
        ("Range: bytes=0-\r\n", b""),
        ("Range: bytes=9-\r\n", b""),
    ];
    add("GET", &block, parts);
    add("GET", "/x", &[("", b"")]);
    for method in ["GET", "HEAD"] {
        for path in [&*absent, "/blocks/x", &*refs, "/blocks/x/refs"] {
            add(method, path, &[("", b"")]);
        }
        add(method, &format!("{absent}/refs"), &[("", b"")]);
        add(method, &format!("{refs}/none"), &[("", b"")]);
        add(method, &format!("{refs}/%"), &[("", b"")]);
        for path in ["/blocks", "/blocks?limit=0", "/stats", "/openapi.json"] {
            add(method, path, &[("", b"")]);
        }
        for path in ["/stats", "/openapi.json"] {
            add(method, path, &[("", b"body")]);
        }
    }
    let set: &[(&str, &[u8])] = &[
        (FOREIGN, b""),
        ("", b"v"),
        ("", b"w"),
        (ONLY_NEW, b"v"),
        (LONG, b""),
    ];
    add("PUT", &named, set);
    add("PUT", &format!("{refs}/%"), &[("", b"v")]);
    add("PUT", &format!("{absent}/refs/a"), &[("", b"v")]);
    add("GET", &named, &[("", b"")]);
    add("HEAD", &named, &[("", b"")]);
    add("DELETE", &block, &[("", b"")]);
    add("DELETE", &named, &[(FOREIGN, b""), ("", b""), ("", b"")]);
    add("DELETE", &format!("{refs}/%"), &[("", b"")]);
    add("DELETE", &block, &[(FOREIGN, b""), ("", b""), ("", b"")]);
    add("DELETE", "/blocks/x", &[("", b"")]);
    let list: &[(&str, &[u8])] = &[
        (FOREIGN, b""),
        ("", b""),
        (EMPTY, b""),
        ("", b"x"),
        (LONG, b""),
    ];
    add("POST", "/blocks:missing", list);
    add("POST", "/blocks:delete", list);
    for (method, path, body) in [("PUT", "/", b"1"), ("POST", "/blocks", b"2")] {
        let put = [put, &[("", &body[..]), ("", body), (ONLY_NEW, body)]].concat();
        add(method, path, &put);
    }
    all
}

/// The path in the description.
fn template(path: &str) -> &'static str {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path[1..].split('/').collect();
    match parts[..] {
        [""] => "/",
        ["blocks"] => "/blocks",
        ["blocks:missing"] => "/blocks:missing",
        ["blocks:delete"] => "/blocks:delete",
        ["stats"] => "/stats",
        ["openapi.json"] => "/openapi.json",
        [_] | ["blocks", _] => "/blocks/{hash}",
        ["blocks", _, "refs"] => "/blocks/{hash}/refs",
        _ => "/blocks/{hash}/refs/{name}",
    }
}

/// What a place in the description says, there or where it points to.
fn resolved<'a>(all: &'a Value, place: &'a Value) -> &'a Value {
    match place["$ref"].as_str() {
        Some(there) => all.pointer(&there[1..]).expect("the place it names"),
        None => place,
    }
}

pub(crate) fn what_is_answered_is_described(driver: DriverChoice) {
    let scene = Scene::with(driver, |_, store| {
        store.durability = Durability::Relaxed;
    });
    // A block that has as many references as it may.
    let (mut web, full) = (scene.dial(), hash_of(b"full"));
    assert_eq!(web.put(b"full").status, 201);
    for name in 0..1024 {
        let line = format!("PUT /blocks/{full}/refs/{name}");
        assert_eq!(web.ask(&line, "", b"").status, 201);
    }
    let one_more = format!("/blocks/{full}/refs/one-more");
    let one_more = ("PUT", one_more, String::new(), &b""[..]);
    let described = scene.ask("GET /openapi.json", "", b"").json();
    let mut answered: BTreeMap<(&str, String), BTreeSet<u16>> = BTreeMap::new();
    let requests = requests(&hash_of(b"x"), &hash_of(b"absent"));
    for (method, path, more, body) in requests.into_iter().chain([one_more]) {
        let answer = scene.ask(&format!("{method} {path}"), &more, body);
        let (place, operation) = (template(&path), method.to_lowercase());
        let responses = &described["paths"][place][&operation]["responses"];
        let response = &responses[answer.status.to_string()];
        let request = format!("{method} {path} {more:?} {body:?}: {}", answer.head);
        assert!(response.is_object(), "{request}");
        let fields = resolved(&described, response)["headers"].as_object();
        for name in fields.into_iter().flat_map(|fields| fields.keys()) {
            let is_there = answer.field(name).is_some() || SOMETIMES.contains(&&**name);
            assert!(is_there, "no {name} in {request}");
        }
        answered
            .entry((place, operation))
            .or_default()
            .insert(answer.status);
    }
    for (path, operations) in described["paths"].as_object().expect("paths") {
        let operations = operations.as_object().expect("operations");
        for (method, operation) in operations {
            let Some(responses) = operation["responses"].as_object() else {
                continue;
            };
            let statuses = responses.keys().map(|status| status.parse::<u16>());
            let statuses: BTreeSet<u16> = statuses
                .map(|status| status.expect("a status"))
                .filter(|status| !UNDER_STRESS.contains(status))
                .collect();
            let seen = answered.get(&(&**path, method.clone()));
            assert_eq!(seen, Some(&statuses), "{method} {path}");
        }
    }
}
