//! One store, many who use it: at once, over restarts, beside WebSockets, on a damaged disk.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::thread;

use hioload::DriverChoice;
use hioload_e2e::{Opcode, Running, Web, Wire, hash_of, http_request};

use crate::kit::{Scene, builder, config, content};

pub(crate) fn many_clients_put_get_and_delete_one_block(driver: DriverChoice) {
    let dir = tempfile::tempdir().expect("a place for files");
    let server = Running::start(builder(driver, 2, config(&dir), |_, _| {}));
    let addr = server.addr();
    let scene = Scene { server, dir };
    let sizes = [100, 5000, 200_000];
    thread::scope(|scope| {
        for client in 0..6_u64 {
            scope.spawn(move || {
                let mut web = Web::dial(addr);
                let mut dice = client;
                for _ in 0..150 {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let content = content(3, sizes[(dice >> 40) as usize % sizes.len()]);
                    let hash = hash_of(&content);
                    match (dice >> 50) % 3 {
                        0 => assert!(matches!(web.put(&content).status, 200 | 201)),
                        1 => {
                            let got = web.get(&hash);
                            assert!(got.status == 404 || got.body == content, "{}", got.head);
                        }
                        _ => {
                            let status = web.ask(&format!("DELETE /{hash}"), "", b"").status;
                            assert!(matches!(status, 204 | 404), "{status}");
                        }
                    }
                }
            });
        }
    });
    let mut web = Web::dial(addr);
    for size in sizes {
        let content = content(3, size);
        assert!(matches!(web.put(&content).status, 200 | 201));
        assert!(web.get(&hash_of(&content)).body == content);
    }
    drop(web);
    scene.rests_with(3);
}

pub(crate) fn connections_on_several_workers_see_one_store(driver: DriverChoice) {
    let dir = tempfile::tempdir().expect("a place for files");
    let server = Running::start(builder(driver, 3, config(&dir), |_, _| {}));
    let mut webs: Vec<Web> = (0..9).map(|_| Web::dial(server.addr())).collect();
    for seed in 0..30 {
        let content = content(seed, 20_000);
        let hash = hash_of(&content);
        let (writer, reader, eraser) = (
            seed as usize % 9,
            seed as usize * 5 % 9,
            seed as usize * 7 % 9,
        );
        assert_eq!(webs[writer].put(&content).status, 201);
        assert!(webs[reader].get(&hash).body == content);
        assert_eq!(
            webs[eraser].ask(&format!("DELETE /{hash}"), "", b"").status,
            204
        );
        // Whoever looks after the answer finds nothing, in no cache either.
        for web in &mut webs {
            assert_eq!(web.get(&hash).status, 404);
        }
    }
}

pub(crate) fn sessions_and_blocks_share_a_port(driver: DriverChoice) {
    let scene = Scene::new(driver);
    let mut one = Wire::open(scene.addr(), "/");
    let mut two = Wire::open(scene.addr(), "/");
    let content = content(1, 100_000);
    let mut web = scene.dial();
    assert_eq!(web.put(&content).status, 201);
    one.frame(Opcode::Text, b"hello");
    assert_eq!(two.next().payload, b"hello");
    assert!(web.get(&hash_of(&content)).body == content);
}

pub(crate) fn blocks_outlive_the_server(driver: DriverChoice) {
    let dir = tempfile::tempdir().expect("a place for files");
    let contents: Vec<Vec<u8>> = (0..20)
        .map(|seed| content(seed, 1 + 9000 * seed as usize))
        .collect();
    let deleted = hash_of(&contents[7]);
    for life in 0..3 {
        let server = Running::start(builder(driver, 1, config(&dir), |_, _| {}));
        let mut web = Web::dial(server.addr());
        for content in &contents {
            let hash = hash_of(content);
            if life > 0 && hash != deleted {
                assert!(web.get(&hash).body == *content, "life {life}");
                assert_eq!(web.put(content).status, 200);
            } else if life == 0 {
                assert_eq!(web.put(content).status, 201);
            }
        }
        let status = web.ask(&format!("DELETE /{deleted}"), "", b"").status;
        assert_eq!(status, if life == 0 { 204 } else { 404 });
    }
}

pub(crate) fn every_mode_says_what_it_promises(driver: DriverChoice) {
    for (mode, promise) in [
        ("durable", "durable"),
        ("group:5", "group"),
        ("relaxed", "relaxed"),
    ] {
        let scene = Scene::with(driver, |_, store| {
            store.durability = mode.parse().expect("a mode");
        });
        let content = content(1, 5000);
        let mut web = scene.dial();
        let answer = web.put(&content);
        assert_eq!(
            (answer.status, answer.field("Hioload-Durability")),
            (201, Some(promise))
        );
        assert_eq!(web.get(&hash_of(&content)).body, content);
        let block = format!("/blocks/{}", hash_of(&content));
        let named = format!("{block}/refs/a");
        for (line, body, status) in [
            (format!("PUT {named}"), &b"x"[..], 201),
            (format!("PUT {named}"), b"y", 204),
            (format!("DELETE {named}"), b"", 204),
            (format!("DELETE {block}"), b"", 204),
            (
                "POST /blocks:delete".to_owned(),
                hash_of(&content).as_bytes(),
                200,
            ),
        ] {
            let answer = web.ask(&line, "", body);
            assert_eq!(
                (answer.status, answer.field("Hioload-Durability")),
                (status, Some(promise)),
                "{line}"
            );
        }
        for line in [format!("DELETE {named}"), format!("DELETE {block}")] {
            let answer = web.ask(&line, "", b"");
            assert_eq!(
                (answer.status, answer.field("Hioload-Durability")),
                (404, None),
                "{line}"
            );
        }
        assert_eq!(
            web.ask("GET /stats", "", b"").json()["controller"]["durability"],
            mode
        );
    }
}

pub(crate) fn damage_is_told_and_mended(driver: DriverChoice) {
    let dir = tempfile::tempdir().expect("a place for files");
    let contents = [content(1, 3000), content(2, 200_000), content(3, 500_000)];
    let server = Running::start(builder(driver, 1, config(&dir), |_, _| {}));
    let mut web = Web::dial(server.addr());
    for content in &contents {
        assert_eq!(web.put(content).status, 201);
    }
    drop((web, server));
    // In the last one near its end: when that is found, a part of it is out.
    for (content, place) in contents.iter().zip([0, 5000, 490_000]) {
        spoil(dir.path(), &content[place..place + 2000]);
    }
    let server = Running::start(builder(driver, 1, config(&dir), |_, _| {}));
    let scene = Scene { server, dir };
    for content in &contents {
        let hash = hash_of(content);
        let mut web = scene.dial();
        web.send(&http_request(&format!("GET /{hash}"), "", b""));
        match web.try_answer(false) {
            Ok(answer) => {
                assert_eq!(answer.status, 500, "{}", answer.head);
                let text = answer.text();
                assert!(text.contains("damaged") && text.contains("PUT"), "{text}");
            }
            // RFC 9112 8: nobody takes the part for the whole.
            Err(part) => assert!(
                content.starts_with(&part) && part.len() < content.len(),
                "{} bytes",
                part.len()
            ),
        }
        hioload_e2e::until("the damage to be listed", || {
            let stats = scene.ask("GET /stats", "", b"").json();
            let listed = stats["controller"]["damaged_list"].as_array().cloned();
            listed.is_some_and(|listed| listed.iter().any(|it| it["hash"] == *hash))
        });
        let mut web = scene.dial();
        let mended = web.put(content);
        assert_eq!(mended.status, 201, "it is wanted again");
        assert!(web.get(&hash).body == *content);
    }
    hioload_e2e::until("nothing to be damaged", || {
        scene.ask("GET /stats", "", b"").json()["controller"]["damaged"] == 0
    });
    let stats = scene.rests();
    assert_eq!(stats["controller"]["repaired"], 3);
}

/// Flips a bit of the data file where `bytes` are.
fn spoil(dir: &std::path::Path, bytes: &[u8]) {
    let path = dir.join("blocks.dat");
    let all = std::fs::read(&path).expect("the data file");
    let place = all.windows(bytes.len()).position(|window| window == bytes);
    let place = place.expect("contents lie there as they are") + bytes.len() / 2;
    let file = OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("the data file");
    file.write_all_at(&[all[place] ^ 1], place as u64)
        .expect("a byte");
}
