//! What the API promises: each call, each status.

use std::time::Duration;

use hioload::DriverChoice;
use hioload_e2e::{Opcode, Web, Wire, hash_of};

use crate::kit::{Scene, content};

const MAX: usize = 512 * 1024;

pub(crate) fn a_block_is_put_read_and_deleted(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let content = content(1, 10_000);
    let hash = hash_of(&content);
    let tag = format!("\"{hash}\"");

    let stored = web.put(&content);
    assert_eq!((stored.status, stored.text()), (201, hash.clone()));
    assert_eq!(stored.field("ETag"), Some(&*tag));
    assert_eq!(stored.field("Location"), Some(&*format!("/blocks/{hash}")));
    assert_eq!(stored.field("Hioload-Durability"), Some("durable"));
    assert_eq!(web.put(&content).status, 200, "it is there");

    for path in [
        format!("/blocks/{hash}"),
        format!("/{hash}"),
        format!("/blocks/{}", hash.to_uppercase()),
    ] {
        let got = web.ask(&format!("GET {path}"), "", b"");
        assert_eq!((got.status, got.body == content), (200, true), "{path}");
        assert_eq!(got.field("ETag"), Some(&*tag));
        assert_eq!(got.field("Accept-Ranges"), Some("bytes"));
        assert_eq!(got.field("Content-Type"), Some("application/octet-stream"));
        assert!(
            got.field("Cache-Control")
                .is_some_and(|it| it.contains("immutable"))
        );
        // RFC 9530 3: the same hash, in base64.
        assert!(
            got.field("Repr-Digest")
                .is_some_and(|it| it.starts_with("sha-256=:") && it.ends_with("=:"))
        );
        assert!(got.field("Date").is_some_and(|it| it.ends_with(" GMT")));
    }

    let deleted = web.ask(&format!("DELETE /blocks/{hash}"), "", b"");
    assert_eq!(
        (deleted.status, deleted.field("Content-Length")),
        (204, None)
    );
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(
            web.ask(&format!("{method} /blocks/{hash}"), "", b"").status,
            404
        );
    }
    drop(web);
    scene.rests();
}

pub(crate) fn a_block_may_be_named_by_the_server(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    for (seed, line) in ["POST /blocks", "PUT /"].into_iter().enumerate() {
        let content = content(seed as u64, 5000);
        let stored = web.ask(line, "", &content);
        assert_eq!(
            (stored.status, stored.text()),
            (201, hash_of(&content)),
            "{line}"
        );
        assert_eq!(web.get(&hash_of(&content)).body, content);
        assert_eq!(web.ask(line, "", &content).status, 200);
    }
}

pub(crate) fn every_size_comes_back_and_no_larger_one_is_taken(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let sizes = [
        1,
        2,
        4095,
        4096,
        4097,
        65_535,
        65_536,
        65_537,
        131_072,
        300_000,
        MAX - 1,
        MAX,
    ];
    for size in sizes {
        let content = content(size as u64, size);
        assert_eq!(web.put(&content).status, 201, "{size}");
    }
    for size in sizes {
        let content = content(size as u64, size);
        let got = web.get(&hash_of(&content));
        assert!(
            got.status == 200 && got.body == content,
            "{size}: {}",
            got.head
        );
    }
    let empty = web.ask(
        &format!("PUT /blocks/{}", hash_of(b"")),
        "Content-Length: 0\r\n",
        b"",
    );
    assert_eq!(
        (empty.status, empty.text()),
        (400, "a block has at least one byte\n".to_owned())
    );
    let long = content(7, MAX + 1);
    let refused = scene.dial().put(&long);
    assert_eq!(refused.status, 413);
    assert_eq!(refused.text(), "a block has at most 524288 bytes\n");
    assert_eq!(
        scene
            .ask(&format!("GET /{}", hash_of(&long)), "", b"")
            .status,
        404
    );
    drop(web);
    scene.rests();
}

pub(crate) fn conditions_are_kept(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let content = content(1, 5000);
    let hash = hash_of(&content);
    let put = format!("PUT /blocks/{hash}");
    let only_new = "If-None-Match: *\r\n";
    assert_eq!(web.ask(&put, only_new, &content).status, 201);
    // RFC 9110 13.1.2. The body of what is refused is not read.
    assert_eq!(scene.ask(&put, only_new, &content).status, 412);
    assert_eq!(web.ask("POST /blocks", only_new, &content).status, 412);
    let get = format!("GET /blocks/{hash}");
    for (field, status) in [
        (format!("\"{hash}\""), 304),
        (format!("W/\"{hash}\""), 304),
        (format!("\"other\", \"{hash}\""), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
        (hash.clone(), 200),
    ] {
        let answer = web.ask(&get, &format!("If-None-Match: {field}\r\n"), b"");
        assert_eq!(answer.status, status, "{field}");
        assert_eq!(answer.field("ETag"), Some(&*format!("\"{hash}\"")));
    }
    // RFC 9110 5.3: a list may have several lines.
    let lines = |first: &str, second: &str| {
        format!("If-None-Match: {first}\r\nIf-None-Match: {second}\r\n")
    };
    let tag = format!("\"{hash}\"");
    for (more, status) in [
        (lines("\"other\"", &tag), 304),
        (lines(&tag, "\"other\""), 304),
        (lines("\"other\"", "\"more\""), 200),
    ] {
        assert_eq!(web.ask(&get, &more, b"").status, status, "{more}");
    }
    for (more, status) in [
        (lines("\"other\"", &tag), 412),
        (format!("If-None-Match: \"other\", W/{tag}\r\n"), 412),
        ("If-None-Match:  * \r\n".to_owned(), 412),
        (lines("\"other\"", "\"more\""), 200),
    ] {
        assert_eq!(scene.ask(&put, &more, &content).status, status, "{more}");
    }
    // RFC 9110 13.1.5: a weak tag never matches there.
    for (field, status) in [
        (format!("\"{hash}\""), 206),
        (format!("W/\"{hash}\""), 200),
        ("\"other\"".to_owned(), 200),
        ("Sat, 29 Oct 1994 19:43:31 GMT".to_owned(), 200),
    ] {
        let more = format!("Range: bytes=1-2\r\nIf-Range: {field}\r\n");
        assert_eq!(web.ask(&get, &more, b"").status, status, "{field}");
    }
    let missing = "GET /blocks/".to_owned() + &hash_of(b"another");
    assert_eq!(web.ask(&missing, "If-None-Match: *\r\n", b"").status, 404);
}

pub(crate) fn a_page_that_is_not_welcome_changes_nothing(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let content = content(1, 5000);
    let hash = scene.dial().put(&content).text();
    let other = "Origin: http://elsewhere.example\r\n";
    let same = "Origin: http://test\r\n";
    for (line, body) in [
        ("POST /blocks".to_owned(), &b"x"[..]),
        ("PUT /".to_owned(), b"x"),
        (format!("PUT /blocks/{hash}"), &content),
        (format!("DELETE /blocks/{hash}"), b""),
        ("POST /blocks:delete".to_owned(), hash.as_bytes()),
        ("POST /blocks:missing".to_owned(), hash.as_bytes()),
        (format!("PUT /blocks/{hash}/refs/a"), b"x"),
        (format!("DELETE /blocks/{hash}/refs/a"), b""),
    ] {
        for origin in [other, "Origin: null\r\n"] {
            let answer = scene.ask(&line, origin, body);
            assert_eq!(answer.status, 403, "{line} {origin}");
            assert_eq!(answer.text().lines().count(), 1);
        }
    }
    // What changes nothing is for browsers to keep from a page.
    assert_eq!(
        scene.ask(&format!("GET /blocks/{hash}"), other, b"").status,
        200
    );
    scene.rests_with(1);
    for origin in [same, ""] {
        assert_eq!(scene.ask("POST /blocks", origin, b"x").status / 100, 2);
    }
    let answer = scene.ask(&format!("DELETE /blocks/{hash}"), same, b"");
    assert_eq!(answer.status, 204);
}

pub(crate) fn a_content_is_described_the_same_however_it_is_answered(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let hash = web.put(b"hello").text();
    let get = format!("GET /blocks/{hash}");
    let tag = format!("\"{hash}\"");
    // RFC 9110 15.4.5: 304 has what a cache would need of 200.
    for (more, status) in [
        (String::new(), 200),
        ("Range: bytes=1-2\r\n".to_owned(), 206),
        (format!("If-None-Match: {tag}\r\n"), 304),
    ] {
        let answer = web.ask(&get, &more, b"");
        assert_eq!(answer.status, status);
        assert_eq!(answer.field("ETag"), Some(&*tag), "{status}");
        assert_eq!(
            answer.field("Cache-Control"),
            Some("public, max-age=31536000, immutable"),
            "{status}"
        );
        let has_content = status != 304;
        assert_eq!(
            answer.field("Accept-Ranges"),
            has_content.then_some("bytes"),
            "{status}"
        );
        assert_eq!(
            answer.field("Repr-Digest"),
            has_content.then_some("sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"),
            "{status}"
        );
    }
}

pub(crate) fn parts_of_a_block_are_served(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let content = content(1, 200_000);
    let hash = hash_of(&content);
    assert_eq!(web.put(&content).status, 201);
    let get = format!("GET /blocks/{hash}");
    for (range, first, last) in [
        ("0-0", 0, 0),
        ("0-", 0, 199_999),
        ("1-4095", 1, 4095),
        ("4095-4096", 4095, 4096),
        ("65535-65536", 65_535, 65_536),
        ("100000-999999999", 100_000, 199_999),
        ("199999-", 199_999, 199_999),
        ("-1", 199_999, 199_999),
        ("-200000", 0, 199_999),
        ("-999999", 0, 199_999),
    ] {
        let answer = web.ask(&get, &format!("Range: bytes={range}\r\n"), b"");
        let whole = format!("bytes {first}-{last}/200000");
        assert_eq!(
            (answer.status, answer.field("Content-Range")),
            (206, Some(&*whole)),
            "{range}"
        );
        assert!(answer.body == content[first..=last], "{range}");
    }
    for range in ["200000-", "200000-300000", "-0", "99999999999999999999-"] {
        let answer = web.ask(&get, &format!("Range: bytes={range}\r\n"), b"");
        // A number beyond what there is room for is no number: the field is ignored.
        if range.len() > 20 && answer.status == 200 {
            continue;
        }
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.field("Content-Range"), Some("bytes */200000"));
    }
    // RFC 9110 14.2: what is not understood is ignored.
    for range in [
        "bytes=5-4",
        "bytes=",
        "bytes=a-b",
        "lines=0-1",
        "bytes=0-1,5-6",
        "bytes 0-1",
    ] {
        let answer = web.ask(&get, &format!("Range: {range}\r\n"), b"");
        assert_eq!(
            (answer.status, answer.body.len()),
            (200, 200_000),
            "{range}"
        );
    }
}

pub(crate) fn a_head_request_has_no_body(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let content = content(1, 70_000);
    let hash = hash_of(&content);
    assert_eq!(web.put(&content).status, 201);
    let got = web.get(&hash);
    let head = web.ask(&format!("HEAD /blocks/{hash}"), "", b"");
    assert_eq!(
        (head.status, head.field("Content-Length")),
        (200, Some("70000"))
    );
    for name in [
        "ETag",
        "Accept-Ranges",
        "Cache-Control",
        "Repr-Digest",
        "Content-Type",
    ] {
        assert_eq!(head.field(name), got.field(name), "{name}");
    }
    // RFC 9110 14.2: a range is for GET alone.
    let head = web.ask(&format!("HEAD /blocks/{hash}"), "Range: bytes=0-9\r\n", b"");
    assert_eq!(
        (head.status, head.field("Content-Length")),
        (200, Some("70000"))
    );
    let head = web.ask(
        &format!("HEAD /blocks/{hash}"),
        &format!("If-None-Match: \"{hash}\"\r\n"),
        b"",
    );
    assert_eq!(head.status, 304);
    // Nothing of a body is on the connection: the next answer is a whole one.
    assert_eq!(web.ask("HEAD /stats", "", b"").status, 200);
    assert_eq!(web.ask("HEAD /openapi.json", "", b"").status, 200);
    assert_eq!(web.get(&hash).body, content);
}

pub(crate) fn other_methods_and_paths_are_refused(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let hash = hash_of(b"x");
    let blocks = format!("/blocks/{hash}");
    let named = format!("/blocks/{hash}/refs/a");
    for (method, path, allow) in [
        ("POST", &*blocks, "GET, HEAD, PUT, DELETE"),
        ("PATCH", &*blocks, "GET, HEAD, PUT, DELETE"),
        ("BREW", &*blocks, "GET, HEAD, PUT, DELETE"),
        ("get", &*blocks, "GET, HEAD, PUT, DELETE"),
        ("POST", &*named, "GET, HEAD, PUT, DELETE"),
        ("GET", "/blocks:missing", "POST"),
        ("GET", "/blocks:delete", "POST"),
        ("DELETE", "/stats", "GET, HEAD"),
        ("PUT", "/openapi.json", "GET, HEAD"),
    ] {
        let answer = web.ask(&format!("{method} {path}"), "", b"");
        assert_eq!(
            (answer.status, answer.field("Allow")),
            (405, Some(allow)),
            "{method} {path}"
        );
        assert_eq!(answer.text().lines().count(), 1);
    }
    for (method, path, status) in [
        ("POST", "/elsewhere", 404),
        ("DELETE", "/elsewhere", 404),
        ("GET", "/elsewhere", 426),
        ("GET", "/", 426),
    ] {
        let answer = web.ask(&format!("{method} {path}"), "", b"");
        assert_eq!(answer.status, status, "{method} {path}");
        let upgrade = (status == 426).then_some("websocket");
        // RFC 9110 15.5.22: it says to what.
        assert_eq!(answer.field("Upgrade"), upgrade, "{method} {path}");
    }
}

pub(crate) fn a_name_is_64_hexadecimal_digits(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let hash = hash_of(b"x");
    for name in [
        "",
        "abc",
        &hash[1..],
        &format!("{hash}0"),
        &format!("g{}", &hash[1..]),
        &format!("%{}", &hash[1..]),
    ] {
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = web.ask(&format!("{method} /blocks/{name}"), "", b"");
            assert_eq!(answer.status, 400, "{method} {name:?}");
        }
        assert_eq!(
            scene.ask(&format!("PUT /blocks/{name}"), "", b"x").status,
            400,
            "{name:?}"
        );
    }
    drop(web);
    scene.rests_with(0);
}

pub(crate) fn a_body_that_is_something_else_is_not_stored(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    for size in [1, 5000, 100_000, MAX] {
        let (named, sent) = (content(1, size), content(2, size));
        let answer = web.ask(&format!("PUT /blocks/{}", hash_of(&named)), "", &sent);
        assert_eq!(answer.status, 422, "{size}");
        assert_eq!(
            answer.text(),
            format!("the content has the hash {}\n", hash_of(&sent))
        );
        // The connection goes on.
        for hash in [hash_of(&named), hash_of(&sent)] {
            assert_eq!(web.get(&hash).status, 404, "{size}");
        }
    }
    drop(web);
    scene.rests_with(0);
}

pub(crate) fn a_body_needs_a_length(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let put = format!("PUT /blocks/{}", hash_of(b"x"));
    for line in [
        &*put,
        "PUT /",
        "POST /blocks",
        "POST /blocks:missing",
        "POST /blocks:delete",
    ] {
        assert_eq!(web.ask(line, "", b"").status, 411, "{line}");
    }
    // What has no use for a body does not take one.
    let get = format!("GET /blocks/{}", hash_of(b"x"));
    assert_eq!(scene.ask(&get, "", b"body").status, 400);
}

pub(crate) fn references_hold_a_block(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let content = content(1, 5000);
    let hash = hash_of(&content);
    let refs = format!("/blocks/{hash}/refs");
    let lock = format!("{refs}/lock");
    let delete = format!("DELETE /blocks/{hash}");
    assert_eq!(
        web.ask(&format!("PUT {lock}"), "", b"mine").status,
        404,
        "no such block"
    );
    assert_eq!(web.put(&content).status, 201);
    assert_eq!(web.ask(&format!("PUT {lock}"), "", b"mine").status, 201);
    assert_eq!(
        web.ask(&format!("PUT {lock}"), "", b"still mine").status,
        204
    );
    assert_eq!(web.ask(&format!("GET {lock}"), "", b"").body, b"still mine");
    assert_eq!(web.ask(&format!("GET {refs}/other"), "", b"").status, 404);
    // A reference may have no value.
    assert_eq!(
        web.ask(&format!("PUT {refs}/empty"), "Content-Length: 0\r\n", b"")
            .status,
        201
    );
    let list = web.ask(&format!("GET {refs}"), "", b"").json();
    assert_eq!(list["references"], serde_json::json!(["empty", "lock"]));
    assert_eq!(web.ask(&delete, "", b"").status, 409);
    assert_eq!(web.get(&hash).status, 200);
    assert_eq!(web.ask(&format!("DELETE {lock}"), "", b"").status, 204);
    assert_eq!(web.ask(&format!("DELETE {lock}"), "", b"").status, 404);
    assert_eq!(web.ask(&delete, "", b"").status, 409, "one is left");
    assert_eq!(
        web.ask(&format!("DELETE {refs}/empty"), "", b"").status,
        204
    );
    assert_eq!(web.ask(&delete, "", b"").status, 204);

    assert_eq!(web.put(&content).status, 201);
    let named = |length: usize| format!("{refs}/{}", "n".repeat(length));
    for (line, body, status) in [
        (format!("PUT {}", named(128)), 1024, 201),
        (format!("PUT {}", named(129)), 1, 400),
        (format!("PUT {lock}"), 1025, 413),
        (format!("PUT {refs}/a%20b"), 1, 400),
        (format!("PUT {refs}/"), 1, 400),
        (format!("PUT {refs}/a/b"), 1, 400),
    ] {
        assert_eq!(
            scene.ask(&line, "", &vec![b'v'; body]).status,
            status,
            "{line}"
        );
    }
}

pub(crate) fn a_reference_is_a_lock(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let content = content(1, 5000);
    let hash = hash_of(&content);
    let lock = format!("/blocks/{hash}/refs/lock");
    let only_new = "If-None-Match: *\r\n";
    let take =
        |web: &mut Web, value: &[u8]| web.ask(&format!("PUT {lock}"), only_new, value).status;
    let (mut one, mut other) = (scene.dial(), scene.dial());
    assert_eq!(take(&mut one, b"one"), 404, "no such block");
    assert_eq!(one.put(&content).status, 201);
    assert_eq!(take(&mut one, b"one"), 201);
    assert_eq!(take(&mut other, b"other"), 412);
    assert_eq!(take(&mut one, b"one"), 412, "whoever has it");
    assert_eq!(other.ask(&format!("GET {lock}"), "", b"").body, b"one");
    assert_eq!(one.ask(&format!("DELETE {lock}"), "", b"").status, 204);
    assert_eq!(take(&mut other, b"other"), 201);
    assert_eq!(one.ask(&format!("GET {lock}"), "", b"").body, b"other");
    // References have no tags.
    let tagged = one.ask(
        &format!("PUT {lock}"),
        &format!("If-None-Match: \"{hash}\"\r\n"),
        b"one",
    );
    assert_eq!(tagged.status, 204);
    // Of two at once one has it.
    assert_eq!(one.ask(&format!("DELETE {lock}"), "", b"").status, 204);
    let bytes = hioload_e2e::http_request(&format!("PUT {lock}"), only_new, b"x");
    one.send(&bytes);
    other.send(&bytes);
    let mut statuses = [one.answer(false).status, other.answer(false).status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412]);
}

pub(crate) fn many_are_asked_for_and_deleted(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let there: Vec<String> = (0..3)
        .map(|seed| web.put(&content(seed, 3000)).text())
        .collect();
    let absent = hash_of(b"absent");
    let all = [&there[..], std::slice::from_ref(&absent)].concat();
    let lists = [
        format!("{{\"hashes\": [\"{}\"]}}", all.join("\", \"")),
        format!("[\"{}\"]", all.join("\",\"")),
        all.join("\n"),
        format!("{}\r\n", all.join("\r\n")),
    ];
    for list in &lists {
        let answer = web.ask("POST /blocks:missing", "", list.as_bytes());
        assert_eq!(
            (answer.status, &answer.json()["missing"]),
            (200, &serde_json::json!([absent])),
            "{list}"
        );
    }
    for list in ["", "[]", "{\"hashes\": []}", "\n"] {
        let body = if list.is_empty() {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        let answer = web.ask("POST /blocks:missing", body, list.as_bytes());
        assert_eq!(
            (answer.status, answer.text()),
            (200, "{\"missing\":[]}".to_owned()),
            "{list:?}"
        );
    }
    for list in [
        "abc",
        "[\"abc\"]",
        "{\"names\": []}",
        "[",
        &format!("{absent} {absent}"),
    ] {
        assert_eq!(
            web.ask("POST /blocks:missing", "", list.as_bytes()).status,
            400,
            "{list}"
        );
    }
    let many = |count: usize| vec![&*absent; count].join("\n");
    assert_eq!(
        web.ask("POST /blocks:missing", "", many(10_000).as_bytes())
            .status,
        200
    );
    assert_eq!(
        web.ask("POST /blocks:missing", "", many(10_001).as_bytes())
            .status,
        413
    );
    assert_eq!(
        scene
            .ask("POST /blocks:missing", "", many(20_000).as_bytes())
            .status,
        413,
        "a megabyte"
    );

    assert_eq!(
        web.ask(&format!("PUT /blocks/{}/refs/a", there[1]), "", b"x")
            .status,
        201
    );
    let answer = web
        .ask("POST /blocks:delete", "", lists[0].as_bytes())
        .json();
    assert_eq!(answer["deleted"], serde_json::json!([there[0], there[2]]));
    assert_eq!(answer["missing"], serde_json::json!([absent]));
    assert_eq!(answer["kept"], serde_json::json!([there[1]]));
    assert_eq!(answer["failed"], serde_json::json!([]));
    assert_eq!(web.get(&there[0]).status, 404);
    assert_eq!(web.get(&there[1]).status, 200);
    drop(web);
    scene.rests_with(1);
}

pub(crate) fn who_was_told_that_a_block_is_there_finds_it(driver: DriverChoice) {
    let grace = Duration::from_millis(300);
    let scene = Scene::with(driver, |_, store| store.grace = grace);
    let mut web = scene.dial();
    let hash = web.put(&content(1, 3000)).text();
    let asked = std::time::Instant::now();
    let answer = web.ask("POST /blocks:missing", "", hash.as_bytes());
    assert_eq!(answer.json()["missing"], serde_json::json!([]));
    let delete = format!("DELETE /blocks/{hash}");
    let refused = web.ask(&delete, "", b"");
    if asked.elapsed() < grace {
        assert_eq!(
            (refused.status, refused.field("Retry-After")),
            (409, Some("1"))
        );
        assert_eq!(web.get(&hash).status, 200);
    }
    hioload_e2e::until("the end of the grace period", || {
        web.ask(&delete, "", b"").status == 204
    });
    assert!(asked.elapsed() >= grace);
}

pub(crate) fn figures_and_the_description_are_served(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    web.put(&content(1, 3000));
    drop(web);
    let stats = scene.rests_with(1);
    let controller = &stats["controller"];
    assert_eq!(
        (&controller["blocks"], &controller["is_poisoned"]),
        (&1.into(), &false.into())
    );
    assert_eq!(controller["space"]["content_bytes"], 3000);
    assert_eq!(controller["durability"], "durable");
    assert_eq!(stats["totals"]["stored"], 1);
    assert_eq!(stats["by_worker"].as_array().map(Vec::len), Some(1));
    let answer = scene.ask("GET /openapi.json", "", b"");
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    let api = answer.json();
    for path in [
        "/blocks/{hash}",
        "/blocks:missing",
        "/blocks/{hash}/refs/{name}",
        "/stats",
    ] {
        assert!(api["paths"][path].is_object(), "{path}: {api}");
    }
}

pub(crate) fn a_new_block_is_announced_once(driver: DriverChoice) {
    let scene = Scene::with(driver, |_, store| {
        store.announce = Some("blocks".to_owned());
    });
    let mut subscriber = Wire::open(scene.addr(), "/");
    let mut web = Web::dial(scene.addr());
    let (first, second) = (content(1, 100), content(2, 100_000));
    for (content, status) in [(&first, 201), (&first, 200), (&second, 201)] {
        assert_eq!(web.put(content).status, status);
    }
    for content in [&first, &second] {
        let frame = subscriber.next();
        assert_eq!(frame.opcode(), Opcode::Text as u8);
        assert_eq!(frame.payload, hash_of(content).as_bytes());
    }
}
