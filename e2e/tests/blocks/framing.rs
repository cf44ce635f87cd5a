//! Where requests begin and end (RFC 9112): legal framing in any pieces, illegal framing refused.

use hioload::DriverChoice;
use hioload_e2e::{hash_of, http_request};

use crate::kit::{Scene, content};

pub(crate) fn a_peer_that_waits_for_100_gets_it(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let content = content(1, 10_000);
    let put = format!("PUT /blocks/{}", hash_of(&content));
    let expects = format!(
        "Content-Length: {}\r\nExpect: 100-continue\r\n",
        content.len()
    );
    web.send(&http_request(&put, &expects, b""));
    assert_eq!(web.answer(false).status, 100);
    web.send(&content);
    assert_eq!(web.answer(false).status, 201);

    // RFC 9110 10.1.1: the final status comes at once, and the body need not be sent.
    for (more, status) in [
        ("Content-Length: 600000\r\nExpect: 100-continue\r\n", 413),
        ("Content-Length: 10\r\nExpect: a miracle\r\n", 417),
        (
            "Content-Length: 10000\r\nIf-None-Match: *\r\nExpect: 100-continue\r\n",
            412,
        ),
    ] {
        let mut web = scene.dial();
        web.send(&http_request(&put, more, b""));
        let answer = web.answer(false);
        assert_eq!(
            (answer.status, answer.field("Connection")),
            (status, Some("close")),
            "{more}"
        );
        web.expect_end();
    }
}

/// RFC 9110 7.8: what a server does not speak it ignores; clients that would like HTTP/2 ask like this.
pub(crate) fn an_offer_of_a_protocol_nobody_speaks_is_ignored(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let content = content(1, 3000);
    let hash = hash_of(&content);
    let offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                 HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    for (line, body, status) in [
        (format!("PUT /blocks/{hash}"), &content[..], 201),
        (format!("GET /blocks/{hash}"), b"", 200),
        ("POST /blocks:missing".to_owned(), hash.as_bytes(), 200),
        (format!("DELETE /blocks/{hash}"), b"", 204),
    ] {
        let answer = scene.ask(&line, offer, body);
        assert_eq!(answer.status, status, "{line}: {}", answer.head);
        assert_eq!(answer.field("Connection"), None, "{line}");
    }
    // As the first request of a connection, and as a later one.
    let mut web = scene.dial();
    for _ in 0..2 {
        let answer = web.ask("GET /stats", offer, b"");
        assert_eq!((answer.status, answer.field("Upgrade")), (200, None));
    }
}

pub(crate) fn pipelined_requests_are_answered_in_order(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let contents: Vec<Vec<u8>> = [10, 5000, 70_000, 300_000]
        .into_iter()
        .map(|size| content(size as u64, size))
        .collect();
    let mut bytes = Vec::new();
    for content in &contents {
        let hash = hash_of(content);
        bytes.extend(http_request(&format!("GET /{hash}"), "", b""));
        bytes.extend(http_request(&format!("PUT /{hash}"), "", content));
        bytes.extend(http_request(&format!("GET /{hash}"), "", b""));
        bytes.extend(http_request(&format!("HEAD /{hash}"), "", b""));
        bytes.extend(http_request(&format!("DELETE /{hash}"), "", b""));
        bytes.extend(http_request(&format!("DELETE /{hash}"), "", b""));
    }
    web.send(&bytes);
    for content in &contents {
        assert_eq!(web.answer(false).status, 404);
        assert_eq!(web.answer(false).status, 201);
        let got = web.answer(false);
        assert!(got.status == 200 && got.body == *content);
        assert_eq!(web.answer(true).status, 200);
        assert_eq!(web.answer(false).status, 204);
        assert_eq!(web.answer(false).status, 404);
    }
}

pub(crate) fn a_request_may_come_in_any_two_parts(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let content = content(1, 40);
    let hash = hash_of(&content);
    let mut body = Vec::new();
    for chunk in content.chunks(15) {
        body.extend(format!("{:X};ext=\"a;b\"\r\n", chunk.len()).into_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"000\r\nTrailer: dropped\r\n\r\n");
    let head = http_request(
        &format!("PUT /blocks/{hash}"),
        "Transfer-Encoding: chunked\r\n",
        b"",
    );
    let chunked = [head, body].concat();
    let plain = http_request(&format!("PUT /blocks/{hash}"), "", &content);
    for request in [chunked, plain] {
        for cut in 1..request.len() {
            web.send(&request[..cut]);
            web.send(&request[cut..]);
            let answer = web.answer(false);
            assert!(
                matches!(answer.status, 200 | 201),
                "cut at {cut}: {}",
                answer.head
            );
            assert_eq!(answer.text(), hash, "cut at {cut}");
        }
    }
    assert_eq!(web.get(&hash).body, content);
}

pub(crate) fn chunks_of_any_size_make_one_body(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    // Lengths at which a piece, a unit or a block is exactly full, too.
    for size in [4, 4096, 65_536, 131_072, 524_288] {
        for chunk in [1021, 4096, 65_536, 524_288] {
            let content = content((size * 7 + chunk) as u64, size);
            let line = format!("PUT /blocks/{}", hash_of(&content));
            web.send(&chunked(&line, &content, chunk));
            assert_eq!(web.answer(false).status, 201, "{size} in chunks of {chunk}");
            assert!(
                web.get(&hash_of(&content)).body == content,
                "{size} in chunks of {chunk}"
            );
        }
    }
    let long = content(9, 524_289);
    for chunk in [65_536, 524_289] {
        let mut web = scene.dial();
        web.try_send(&chunked("POST /blocks", &long, chunk));
        assert_eq!(web.answer(false).status, 413);
    }
    let mut web = scene.dial();
    web.send(&http_request(
        "POST /blocks",
        "Transfer-Encoding: chunked\r\n",
        b"",
    ));
    web.send(b"0\r\n\r\n");
    assert_eq!(web.answer(false).status, 400, "nothing at all");
}

fn chunked(line: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = http_request(line, "Transfer-Encoding: chunked\r\n", b"");
    for chunk in body.chunks(size) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// Heads that two servers could read in two ways. A request is hidden behind each; it must not be served.
pub(crate) fn requests_are_not_smuggled(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let victim = scene.dial().put(b"victim").text();
    let hidden = http_request(&format!("DELETE /blocks/{victim}"), "", b"");
    let hidden = String::from_utf8(hidden).expect("ASCII");
    let chunk = format!("0\r\n\r\n{hidden}");
    let fields: &[(&str, u16)] = &[
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: -5\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5a\r\n", 400),
        ("Content-Length: \r\n", 400),
        ("Content-Length: 99999999999999999999\r\n", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            400,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: chunked, gzip\r\n", 501),
        ("Transfer-Encoding: identity\r\n", 501),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding: \x0bchunked\r\n", 400),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Content-Length : 5\r\n", 400),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", 400),
        ("X: y\r\n\tContent-Length: 5\r\n", 400),
        ("X: y\nTransfer-Encoding: chunked\r\n", 400),
        ("X: y\rTransfer-Encoding: chunked\r\n", 400),
        ("X: \0\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer Encoding: chunked\r\n", 400),
        (": chunked\r\n", 400),
        ("Host: again\r\n", 400),
    ];
    for (field, status) in fields {
        let head = format!("POST /blocks HTTP/1.1\r\nHost: test\r\n{field}\r\n{chunk}");
        let (answered, line) = scene.refused(head.as_bytes());
        assert_eq!(answered, *status, "{field:?}: {line}");
        assert_eq!(line.lines().count(), 1, "{field:?}: {line}");
    }
    for (line, more, status) in [
        ("POST /blocks HTTP/1.1", "", 400),
        (
            "POST /blocks HTTP/1.0",
            "Transfer-Encoding: chunked\r\n",
            400,
        ),
        (
            "POST /blocks HTTP/2.0",
            "Host: a\r\nContent-Length: 5\r\n",
            505,
        ),
        ("POST  /blocks HTTP/1.1", "Host: a\r\n", 400),
        ("POST /blocks HTTP/1.1 ", "Host: a\r\n", 400),
        ("POST /blocks", "Host: a\r\n", 400),
        ("POST blocks HTTP/1.1", "Host: a\r\n", 400),
        ("POST /bl\x01ocks HTTP/1.1", "Host: a\r\n", 400),
        ("CONNECT elsewhere:80 HTTP/1.1", "Host: a\r\n", 501),
        ("\0\0\0\0", "", 400),
    ] {
        let head = format!("{line}\r\n{more}\r\n{hidden}");
        let (answered, text) = scene.refused(head.as_bytes());
        assert_eq!(answered, status, "{line:?}: {text}");
    }
    assert_eq!(
        scene.dial().get(&victim).status,
        200,
        "no hidden request was served"
    );
    let stats = scene.rests_with(1);
    assert_eq!(
        (&stats["controller"]["blocks"], &stats["totals"]["stored"]),
        (&1.into(), &1.into())
    );
}

pub(crate) fn broken_chunks_are_400(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let long = "a".repeat(10_000);
    let bodies: &[(&str, u16)] = &[
        ("x\r\n", 400),
        ("0x5\r\nhello\r\n", 400),
        ("-5\r\nhello\r\n", 400),
        ("+5\r\nhello\r\n", 400),
        (" 5\r\nhello\r\n", 400),
        ("5\nhello\n", 400),
        ("5\r\nhello", 0),
        ("5\r\nhelloX\r\n", 400),
        ("5\r\nhello\n0\r\n\r\n", 400),
        ("ffffffffffffffffff\r\nhello\r\n", 400),
        ("fffffffffffffff\r\nhello\r\n", 0),
        ("\r\nhello\r\n", 400),
        ("5\r\nhello\r\n0\r\nX\0: y\r\n\r\n", 400),
    ];
    for (body, status) in bodies {
        let head = http_request("POST /blocks", "Transfer-Encoding: chunked\r\n", b"");
        let mut web = scene.dial();
        web.try_send(&[&head, body.as_bytes()].concat());
        web.finish();
        match web.try_answer(false) {
            Ok(answer) => assert_eq!(answer.status, *status, "{body:?}: {}", answer.text()),
            Err(rest) => assert!(*status == 0 && rest.is_empty(), "{body:?}: no answer"),
        }
    }
    let (status, _) = scene.refused(
        &[
            &http_request("POST /blocks", "Transfer-Encoding: chunked\r\n", b"")[..],
            format!("5;{long}\r\n").as_bytes(),
        ]
        .concat(),
    );
    assert_eq!(status, 400, "a line without end");
    let (status, _) = scene.refused(
        &[
            &http_request("POST /blocks", "Transfer-Encoding: chunked\r\n", b"")[..],
            format!("1\r\nx\r\n0\r\nX: {long}\r\n").as_bytes(),
        ]
        .concat(),
    );
    assert_eq!(status, 431, "trailers without end");
    scene.rests_with(0);
}

pub(crate) fn heads_have_bounds(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let long = format!("X: {}\r\n", "a".repeat(64 * 1024));
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    for more in [&long, &many] {
        let (status, _) = scene.refused(&http_request("GET /stats", more, b""));
        assert_eq!(status, 431);
    }
    let path = format!("GET /{}", "a".repeat(64 * 1024));
    let (status, _) = scene.refused(&http_request(&path, "", b""));
    assert!(matches!(status, 414 | 431), "{status}");
    // Empty lines before a request are let pass (RFC 9112 2.2).
    let mut web = scene.dial();
    web.send(b"\r\n");
    assert_eq!(web.ask("GET /stats", "", b"").status, 200);
    web.send(b"\r\n\r\n");
    assert_eq!(web.ask("GET /stats", "", b"").status, 200);
}

pub(crate) fn what_follows_a_body_is_the_next_request(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let content = content(1, 100);
    let put = format!("PUT /blocks/{}", hash_of(&content));
    let mut bytes = http_request(&put, "", &content);
    bytes.extend_from_slice(b"\x01\x02 more than was said\r\n\r\n");
    let mut web = scene.dial();
    web.try_send(&bytes);
    assert_eq!(web.answer(false).status, 201, "what was said is stored");
    let answer = web.answer(false);
    assert_eq!(
        (answer.status, answer.field("Connection")),
        (400, Some("close"))
    );
    web.expect_end();
    assert_eq!(scene.dial().get(&hash_of(&content)).body, content);
}

pub(crate) fn an_old_client_gets_one_answer(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let hash = scene.dial().put(b"content").text();
    let mut web = scene.dial();
    web.send(format!("GET /blocks/{hash} HTTP/1.0\r\n\r\n").as_bytes());
    let answer = web.answer(false);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"content"[..]));
    web.expect_end();
    let mut web = scene.dial();
    for _ in 0..2 {
        web.send(
            format!("GET /blocks/{hash} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").as_bytes(),
        );
        let answer = web.answer(false);
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.field("Connection").map(str::to_lowercase).as_deref(),
            Some("keep-alive")
        );
    }
}
