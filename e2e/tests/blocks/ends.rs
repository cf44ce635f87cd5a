//! Connections that end before they should, or never go on: nothing is stored, nothing is held.

use std::time::Duration;

use hioload::DriverChoice;
use hioload_e2e::{hash_of, http_request};

use crate::kit::{Scene, content};

/// A request of known length, and one in chunks.
fn requests(content: &[u8]) -> [Vec<u8>; 2] {
    let put = format!("PUT /blocks/{}", hash_of(content));
    let mut chunked = http_request(&put, "Transfer-Encoding: chunked\r\n", b"");
    for chunk in content.chunks(20) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    [http_request(&put, "", content), chunked]
}

pub(crate) fn an_early_close_at_every_byte_stores_nothing(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let content = content(1, 50);
    for request in requests(&content) {
        for cut in 0..request.len() {
            let mut web = scene.dial();
            web.send(&request[..cut]);
            web.finish();
            if let Ok(answer) = web.try_answer(false) {
                panic!("{} to the first {cut} bytes", answer.head);
            }
        }
    }
    nothing_is_there(&scene, &content);
}

pub(crate) fn a_reset_at_every_byte_stores_nothing(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let content = content(1, 50);
    for request in requests(&content) {
        for cut in 0..request.len() {
            let mut web = scene.dial();
            web.send(&request[..cut]);
            web.reset();
        }
    }
    // And in the middle of large ones, while they are written.
    let large = self::content(2, 400_000);
    for request in requests(&large) {
        for cut in (1..request.len()).step_by(request.len() / 37) {
            let mut web = scene.dial();
            web.send(&request[..cut]);
            web.reset();
        }
    }
    nothing_is_there(&scene, &large);
    nothing_is_there(&scene, &content);
}

fn nothing_is_there(scene: &Scene, content: &[u8]) {
    scene.rests_with(0);
    let mut web = scene.dial();
    assert_eq!(web.get(&hash_of(content)).status, 404);
    // The store is as good as new.
    assert_eq!(web.put(content).status, 201);
    assert!(web.get(&hash_of(content)).body == content);
    assert_eq!(
        web.ask(&format!("DELETE /{}", hash_of(content)), "", b"")
            .status,
        204
    );
}

pub(crate) fn a_body_that_stops_coming_is_408(driver: DriverChoice) {
    let scene = Scene::with(driver, |settings, _| {
        settings.body_timeout = Duration::from_millis(100);
    });
    let content = content(1, 100_000);
    for request in requests(&content) {
        for sent in [request.len() - 1, request.len() / 2] {
            let mut web = scene.dial();
            web.send(&request[..sent]);
            let answer = web.answer(false);
            assert_eq!(
                (answer.status, answer.field("Connection")),
                (408, Some("close"))
            );
            web.expect_end();
        }
    }
    scene.rests_with(0);
    scene
        .server
        .until_stats("all that were late", |stats| stats.requests_late == 4);
}

pub(crate) fn a_head_that_stops_coming_is_cut_off(driver: DriverChoice) {
    let scene = Scene::with(driver, |settings, _| {
        settings.handshake_timeout = Duration::from_millis(100);
    });
    // The first head of a connection, and a later one.
    let mut first = scene.dial();
    first.send(b"GET /stats HTTP/1.1\r\nHo");
    let mut later = scene.dial();
    assert_eq!(later.ask("GET /stats", "", b"").status, 200);
    later.send(b"GET /stats HTTP/1.1\r\nHo");
    for mut web in [first, later] {
        if let Ok(answer) = web.try_answer(false) {
            assert_eq!(answer.status, 408);
            web.expect_end();
        }
    }
    scene.rests();
}

pub(crate) fn one_that_asks_nothing_is_cut_off(driver: DriverChoice) {
    let scene = Scene::with(driver, |settings, _| {
        settings.handshake_timeout = Duration::from_millis(100);
        settings.http_idle_timeout = Duration::from_millis(100);
    });
    let mut silent = scene.dial();
    let mut idle = scene.dial();
    // A machine that is busy may be too late with the request itself: then it is cut off as silent.
    idle.try_send(&http_request("GET /stats", "", b""));
    if let Ok(answer) = idle.try_answer(false) {
        assert!(matches!(answer.status, 200 | 408), "{}", answer.head);
        idle.expect_end();
    }
    if let Ok(answer) = silent.try_answer(false) {
        assert_eq!(answer.status, 408);
        silent.expect_end();
    }
    scene.rests();
}

pub(crate) fn an_answer_that_nobody_takes_is_given_up(driver: DriverChoice) {
    let scene = Scene::with(driver, |settings, _| {
        settings.body_timeout = Duration::from_millis(200);
    });
    let content = content(1, 512 * 1024);
    assert_eq!(scene.dial().put(&content).status, 201);
    let get = http_request(&format!("GET /{}", hash_of(&content)), "", b"");
    let mut web = scene.dial();
    // More than any socket buffers.
    for _ in 0..64 {
        if !web.try_send(&get) {
            break;
        }
    }
    let stats = scene.rests();
    assert_eq!(stats["totals"]["gets"], 0);
    drop(web);
}

pub(crate) fn a_connection_closes_after_what_says_so(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut web = scene.dial();
    let answer = web.ask("GET /stats", "Connection: close\r\n", b"");
    assert_eq!(
        (answer.status, answer.field("Connection")),
        (200, Some("close"))
    );
    web.expect_end();
    // RFC 9112 9.3: what comes behind is not served.
    let mut web = scene.dial();
    let mut bytes = http_request("GET /stats", "Connection: close\r\n", b"");
    bytes.extend(http_request("GET /stats", "", b""));
    web.send(&bytes);
    assert_eq!(web.answer(false).status, 200);
    web.expect_end();
    // A peer that sends FIN behind its request still gets its answer.
    let mut web = scene.dial();
    web.send(&http_request("GET /stats", "", b""));
    web.finish();
    assert_eq!(web.answer(false).status, 200);
    web.expect_end();
    scene.rests();
}

pub(crate) fn a_last_answer_is_taken_as_slowly_as_any(driver: DriverChoice) {
    let scene = Scene::with(driver, |settings, _| {
        settings.close_timeout = Duration::from_millis(20);
    });
    let content = content(1, 512 * 1024);
    assert_eq!(scene.dial().put(&content).status, 201);
    let line = format!("GET /{}", hash_of(&content));
    // What the kernels keep is full when the last answer is begun.
    let mut bytes = http_request(&line, "", b"").repeat(15);
    bytes.extend(http_request(&line, "Connection: close\r\n", b""));
    let mut web = scene.dial();
    web.send(&bytes);
    for _ in 0..16 {
        let answer = web.slow_answer(16 * 1024, Duration::from_millis(2));
        assert!(answer.status == 200 && answer.body == content);
    }
    web.expect_end();
    scene.rests();
}

pub(crate) fn uploads_that_send_nothing_hold_up_nobody(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let content = content(1, 100_000);
    let length = "Content-Length: 100000\r\n";
    let mut heads = Vec::new();
    for more in [length, "Transfer-Encoding: chunked\r\n"] {
        for _ in 0..100 {
            let mut web = scene.dial();
            web.send(&http_request("POST /blocks", more, b""));
            heads.push(web);
        }
    }
    scene
        .server
        .until_stats("all heads", |stats| stats.requests >= 200);
    let [plain, chunked] = requests(&content);
    for (request, status) in [(plain, 201), (chunked, 200)] {
        let mut web = scene.dial();
        web.send(&request);
        assert_eq!(web.answer(false).status, status);
    }
    drop(heads);
    scene.rests_with(1);
}

pub(crate) fn who_is_held_back_is_not_late(driver: DriverChoice) {
    let patience = Duration::from_secs(1);
    let scene = Scene::with(driver, |settings, _| settings.body_timeout = patience);
    // They have the memory, and make what counts as progress: half a piece each time.
    let mut slow: Vec<_> = (0..40).map(|_| scene.dial()).collect();
    for web in &mut slow {
        let head = http_request("POST /blocks", "Content-Length: 500000\r\n", b"");
        web.send(&[&head[..], b"begun"].concat());
    }
    scene
        .server
        .until_stats("all heads", |stats| stats.requests >= 40);
    let content = content(1, 100_000);
    let [plain, _] = requests(&content);
    let mut held = scene.dial();
    held.send(&plain);
    std::thread::sleep(patience / 2);
    for web in &mut slow {
        web.try_send(&[7; 32 * 1024]);
    }
    let answer = held.answer(false);
    // On a machine that stood still the others were late before.
    assert!(matches!(answer.status, 201 | 503), "{}", answer.head);
    if answer.status == 503 {
        assert_eq!(answer.field("Retry-After"), Some("1"));
        assert_eq!(answer.field("Connection"), Some("close"));
        held.expect_end();
    }
    drop(held);
    for mut web in slow {
        assert!(matches!(web.answer(false).status, 408 | 503));
        web.expect_end();
    }
    assert!(scene.dial().put(&content).status < 300);
    scene.rests_with(1);
}

pub(crate) fn who_still_sends_a_refused_body_gets_the_answer(driver: DriverChoice) {
    let scene = Scene::with(driver, |settings, _| {
        // What lingers longer than it must fails the test.
        settings.close_timeout = Duration::from_secs(3600);
    });
    let hash = hash_of(b"something else");
    for _ in 0..20 {
        let mut web = scene.dial();
        let mut bytes = http_request("GET /stats", "", b"");
        bytes.extend(http_request(
            &format!("PUT /{hash}"),
            "Content-Length: 600000\r\n",
            b"",
        ));
        web.try_send(&bytes);
        web.try_send(&content(1, 600_000));
        assert_eq!(web.answer(false).status, 200);
        assert_eq!(web.answer(false).status, 413);
        web.expect_end();
    }
    scene.rests();
}
