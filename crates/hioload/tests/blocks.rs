//! `hioload blocks` as people and scripts use it: on a running server, and on a directory.
#![cfg(all(unix, feature = "cli"))]

#[path = "blocks/kit.rs"]
mod kit;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use hioload_blocks::{
    Block, Class, Disk as _, Flags, Hash, Index as _, Record, Store, StoreOptions, Sums,
};
use rustix::process::{Pid, Signal, kill_process};

use self::kit::{Ended, Place, Server, content, hioload, ran, raw};

/// The same for a server's store, in clear and over TLS, and for a directory.
fn each_way(test: impl Fn(&Place, &[&str])) {
    let place = Place::new();
    test(&place, &["--data", place.data()]);
    let place = Place::new();
    let server = Server::start(place.data());
    test(&place, &["--url", server.url()]);
    let place = Place::new();
    let server = Server::start_tls(place.data());
    test(&place, &["--insecure", "--url", server.url()]);
}

/// `hioload blocks COMMAND` on the store at `at`.
fn blocks(command: &str, at: &[&str], rest: &[&str]) -> Ended {
    ran(&[&["blocks", command], at, rest].concat())
}

#[test]
fn a_directory_goes_in_and_comes_out() {
    each_way(|place, at| {
        let (small, large) = (content(1, 10), content(2, 1_200_000));
        place.write("in/b/small", &small);
        place.write("in/a-large", &large);
        place.write("in/c-empty", b"");
        std::os::unix::fs::symlink("b/small", place.path("in/link")).expect("a link");
        let root = place.path("in");
        let put = blocks("put", at, &[&root]);
        assert_eq!(put.code, 0, "{put:?}");
        for part in [
            "a-large: 1.14 MiB, cut into 3 blocks",
            "symbolic link",
            "4 stored, 0 already",
        ] {
            assert!(put.stderr.contains(part), "{part}: {}", put.stderr);
        }
        let pieces: Vec<&[u8]> = large.chunks(512 * 1024).chain([&small[..]]).collect();
        let mut lines: Vec<String> = pieces
            .iter()
            .map(|piece| format!("{}  {}  {root}/", Hash::of(piece), piece.len()))
            .collect();
        lines.iter_mut().take(3).for_each(|line| *line += "a-large");
        lines[3] += "b/small";
        lines.push(format!("-  0  {root}/c-empty"));
        assert_eq!(
            put.stdout.lines().collect::<Vec<_>>(),
            lines,
            "in the order of names"
        );

        let again = blocks("put", at, &["-q", &root]);
        assert_eq!((again.code, &*again.stderr), (0, ""));
        assert_eq!(again.stdout, put.stdout);
        let again = blocks("put", at, &[&root]);
        assert!(
            again.stderr.contains("0 stored, 4 already there"),
            "{again:?}"
        );

        // What `put` printed says what to get.
        let mut get = hioload(&[&["blocks", "get"], at, &["-"]].concat());
        let mut get = get
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut stdin = get.stdin.take().expect("piped");
        stdin.write_all(put.stdout.as_bytes()).expect("it reads");
        drop(stdin);
        let got = get.wait_with_output().expect("it ends");
        assert!(got.status.success());
        assert!(
            got.stdout == [&large[..], &small].concat(),
            "another content"
        );

        let out = place.path("out");
        fs::write(&out, "what was there").expect("a file");
        let name = Hash::of(&small).to_string();
        let get = blocks("get", at, &[&name, &name, "-o", &out]);
        assert_eq!((get.code, &*get.stdout), (0, ""), "{get:?}");
        assert_eq!(fs::read(&out).expect("a file"), small.repeat(2));
    });
}

#[test]
fn stdin_is_a_content() {
    each_way(|_, at| {
        let whole = content(3, 600_000);
        let mut put = hioload(&[&["blocks", "put"], at, &["-"]].concat());
        let piped = put
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut put = piped.spawn().expect("it runs");
        let mut stdin = put.stdin.take().expect("piped");
        stdin.write_all(&whole).expect("it reads");
        drop(stdin);
        let ended = Ended::of(&put.wait_with_output().expect("it ends"));
        assert_eq!(ended.code, 0, "{ended:?}");
        let lengths: Vec<&str> = ended.stdout.lines().map(|line| &line[66..]).collect();
        assert_eq!(lengths, ["524288  -", "75712  -"]);
        assert!(ended.stderr.contains("cut into 2 blocks"), "{ended:?}");
    });
}

#[test]
fn blocks_are_listed_counted_and_deleted() {
    each_way(|place, at| {
        let contents: Vec<Vec<u8>> = (1..=5).map(|n| content(n, 1000 * n as usize)).collect();
        for (number, content) in contents.iter().enumerate() {
            place.write(&format!("in/{number}"), content);
        }
        assert_eq!(blocks("put", at, &[&place.path("in")]).code, 0);
        let mut names: Vec<String> = contents.iter().map(|it| Hash::of(it).to_string()).collect();
        names.sort();

        let listed = |rest: &[&str]| {
            let ls = blocks("ls", at, rest);
            assert_eq!((ls.code, &*ls.stderr), (0, ""), "{ls:?}");
            let names = ls.stdout.lines().map(|line| line[..64].to_owned());
            names.collect::<Vec<String>>()
        };
        assert_eq!(listed(&[]), names);
        assert_eq!(listed(&["--limit", "2"]), names[..2]);
        assert_eq!(listed(&["--limit", "0"]), names[..0]);
        assert_eq!(listed(&["--after", &names[1]]), names[2..]);
        assert_eq!(listed(&["--after", &names[1], "--limit", "1"]), names[2..3]);
        assert_eq!(listed(&["--after", &"f".repeat(64)]), names[..0]);
        let line = blocks("ls", at, &["--limit", "1"]).stdout;
        assert!(
            line.contains("00  -  ") && line.ends_with(" GMT\n"),
            "{line}"
        );

        let figures: serde_json::Value =
            serde_json::from_str(&blocks("stat", at, &["--json"]).stdout).expect("JSON");
        let stat = blocks("stat", at, &[]);
        assert!(
            stat.code == 0 && stat.stdout.contains("contents    14.65 KiB"),
            "{stat:?}"
        );
        // A server shows them a few times a second.
        if at[0] == "--data" {
            assert_eq!(figures["controller"]["blocks"], 5);
        }

        let missing = Hash::of(b"never stored").to_string();
        let has = blocks("has", at, &[&names[0], &missing]);
        assert_eq!((has.code, has.stdout.lines().count()), (1, 2), "{has:?}");
        assert!(
            has.stdout.ends_with(&format!("{missing}  missing\n")),
            "{has:?}"
        );
        assert_eq!(blocks("has", at, &[&names[0], &names[1]]).code, 0);

        let verify = blocks("verify", at, &[]);
        assert_eq!((verify.code, &*verify.stdout), (0, ""), "{verify:?}");
        assert!(
            verify
                .stderr
                .contains("verified 5 blocks, 14.65 KiB: 0 damaged"),
            "{verify:?}"
        );
        let verify = blocks("verify", at, &[&names[0], &missing]);
        assert_eq!(
            (verify.code, &*verify.stdout),
            (1, &*format!("{missing}  missing\n"))
        );
        let scrub = blocks("scrub", at, &["--rate", "0", "--after", &names[2]]);
        assert!(
            scrub.code == 0 && scrub.stderr.contains("scrubbed 2 blocks"),
            "{scrub:?}"
        );

        let rm = blocks("rm", at, &[&names[0], &missing, &names[1]]);
        assert_eq!((rm.code, &*rm.stdout), (1, ""));
        assert_eq!(
            rm.stderr,
            format!("error: block {missing}: there is no such block\n")
        );
        assert_eq!(listed(&[]), names[2..]);
        let out = place.path("out");
        let get = blocks("get", at, &[&names[2], &names[0], "-o", &out]);
        assert_eq!(get.code, 1);
        assert_eq!(
            get.stderr,
            format!("error: block {}: there is no such block\n", names[0])
        );
        let left = fs::read_dir(place.path("")).expect("a directory");
        let left: Vec<String> = left
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .filter(|name| name.starts_with("out"))
            .collect();
        assert!(left.is_empty(), "half of it is left behind: {left:?}");
    });
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_stored() {
    each_way(|place, at| {
        place.write("good", b"good");
        let put = blocks("put", at, &[&place.path("nowhere"), &place.path("good")]);
        assert_eq!(put.code, 1, "{put:?}");
        assert!(put.stderr.contains("nowhere: No such file"), "{put:?}");
        assert!(
            put.stdout.starts_with(&Hash::of(b"good").to_string()),
            "{put:?}"
        );
    });
}

#[test]
fn references_hold_a_block() {
    let place = Place::new();
    place.write("held", b"held");
    let name = Hash::of(b"held").to_string();
    let held = "references hold the block; drop them first";
    {
        let server = Server::start(place.data());
        let at = &["--url", server.url()];
        assert_eq!(blocks("put", at, &[&place.path("held")]).code, 0);
        let request = format!(
            "PUT /blocks/{name}/refs/mine HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert!(raw(server.addr(), &request).starts_with("HTTP/1.1 201 "));
        let rm = blocks("rm", at, &[&name]);
        assert!(rm.code == 1 && rm.stderr.contains(held), "{rm:?}");
    }
    let rm = blocks("rm", &["--data", place.data()], &[&name]);
    assert!(rm.code == 1 && rm.stderr.contains(held), "{rm:?}");
    assert_eq!(blocks("has", &["--data", place.data()], &[&name]).code, 0);
    let rm = blocks("rm", &[], &["--force", &name]);
    assert!(rm.code == 2 && rm.stderr.contains("--data"), "{rm:?}");
    let on = &["--data", place.data()];
    let rm = blocks("rm", on, &["--force", &name]);
    assert_eq!(rm.code, 0, "{rm:?}");
    let check = blocks("check", on, &[]);
    assert!(
        check.code == 0 && check.stderr.contains("0 blocks, 0 B, 0 references"),
        "{check:?}"
    );
}

#[test]
fn wrong_words_end_with_code_2_and_what_fails_with_code_1() {
    let place = Place::new();
    let nowhere = place.path("nowhere");
    let name = Hash::of(b"a").to_string();
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").to_string()
    };
    for (args, code, part) in [
        (&["get"][..], 2, "HASH"),
        (&["put"], 2, "PATH"),
        (&["get", "abc"], 2, "64 hexadecimal digits"),
        (&["ls", "--after", "abc"], 2, "64 hexadecimal digits"),
        (&["ls", "--limit", "many"], 2, "--limit"),
        (&["scrub", "--rate", "fast"], 2, "whole number"),
        (&["ls", "--url", "ws://h"], 2, "http://HOST:PORT"),
        (&["ls", "--url", "http://h/blocks"], 2, "leave the path out"),
        (&["ls", "--connections", "0"], 2, "--connections"),
        (
            &["ls", "--data", "x", "--url", "http://h"],
            2,
            "cannot be used with",
        ),
        (&["ls", "--data", &nowhere], 2, "there is no store here"),
        (&["check", "--data", &nowhere], 2, "there is no store here"),
        (
            &["get", "--data", &nowhere, &name],
            2,
            "there is no store here",
        ),
        (&["check", "--url", "http://h"], 2, "--url"),
        (&["dance"], 2, "dance"),
        (&["ls", "--url", &nobody], 1, "Start `hioload serve` there"),
        (
            &["get", "--url", &nobody, &name],
            1,
            "Start `hioload serve` there",
        ),
        (&["put", "--url", &nobody, "/dev/null"], 0, "0 blocks"),
    ] {
        let ended = ran(&[&["blocks"], args].concat());
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(part), "{args:?}: {ended:?}");
    }
    assert!(!place.exists("nowhere"), "nothing is made by looking");
}

#[test]
fn a_server_without_a_store_is_told() {
    let server = Server::start("off");
    let place = Place::new();
    place.write("a", b"a");
    let at = &["--url", server.url()];
    let name = Hash::of(b"a").to_string();
    let path = place.path("a");
    for (command, rest) in [
        ("ls", ""),
        ("stat", ""),
        ("put", &path),
        ("get", &name),
        ("verify", ""),
    ] {
        let rest: &[&str] = if rest.is_empty() { &[] } else { &[rest] };
        let ended = blocks(command, at, rest);
        assert_eq!(ended.code, 1, "{command}: {ended:?}");
        assert!(
            ended.stderr.contains("this server keeps no blocks"),
            "{command}: {ended:?}"
        );
    }
}

#[test]
fn a_store_in_use_is_told_with_who_uses_it() {
    let place = Place::new();
    let server = Server::start(place.data());
    place.write("a", b"a");
    let told = format!(
        "is in use by process {}: stop it, or ask it over HTTP",
        server.pid()
    );
    let at = &["--data", place.data()];
    for (command, rest) in [
        ("ls", None),
        ("check", None),
        ("put", Some(place.path("a"))),
    ] {
        let rest: Vec<&str> = rest.as_deref().into_iter().collect();
        let ended = blocks(command, at, &rest);
        assert_eq!(ended.code, 2, "{command}: {ended:?}");
        assert!(ended.stderr.contains(&told), "{command}: {ended:?}");
    }
}

/// Stores a content and changes one byte of it on the medium.
fn damage(place: &Place, content: &[u8], at: usize) {
    place.write("whole", content);
    let put = blocks(
        "put",
        &["--data", place.data()],
        &["-q", &place.path("whole")],
    );
    assert_eq!(put.code, 0, "{put:?}");
    place.flip(content, at);
}

#[test]
fn damage_is_found_told_and_repaired_by_the_same_content_on_a_server() {
    // In the first piece, which is told before anything is sent; and in the last, when most of it is out.
    for (length, at) in [(3000, 100), (400_000, 399_000)] {
        let place = Place::new();
        let whole = content(9, length);
        damage(&place, &whole, at);
        place.write("good", b"good");
        let name = Hash::of(&whole).to_string();
        let server = Server::start(place.data());
        let on = &["--url", server.url()];
        assert_eq!(blocks("put", on, &["-q", &place.path("good")]).code, 0);

        let get = blocks("get", on, &[&name, "-o", &place.path("out")]);
        assert_eq!(get.code, 1, "{get:?}");
        assert!(get.stderr.contains("damaged"), "{get:?}");
        assert!(
            get.stderr.contains("put the same content to repair it"),
            "{get:?}"
        );
        assert!(!place.exists("out"));

        // It is on record soon after it was told.
        let mut has = blocks("has", on, &[&name]);
        while has.code == 0 {
            has = blocks("has", on, &[&name]);
        }
        let told = format!("{name}  {length}  damaged\n");
        assert_eq!((has.code, &*has.stdout), (1, &*told));
        assert!(blocks("ls", on, &[]).stdout.contains("  damaged  "));
        for (command, done) in [("verify", "verified"), ("scrub", "scrubbed")] {
            let ended = blocks(command, on, &[]);
            assert_eq!(ended.code, 1, "{command}: {ended:?}");
            assert!(
                ended.stdout.starts_with(&format!("{name}  damaged: ")),
                "{ended:?}"
            );
            assert!(
                ended.stderr.contains(&format!("{done} 2 blocks")),
                "{ended:?}"
            );
            assert!(ended.stderr.contains("1 damaged"), "{ended:?}");
        }

        let put = blocks("put", on, &[&place.path("whole")]);
        assert!(
            put.code == 0 && put.stderr.contains("1 stored, 0 already"),
            "{put:?}"
        );
        assert_eq!(blocks("verify", on, &[]).code, 0);
        assert_eq!(blocks("has", on, &[&name]).code, 0);
        drop(server);
        let check = blocks("check", &["--data", place.data()], &["--contents"]);
        assert_eq!(check.code, 0, "{check:?}");
    }
}

#[test]
fn damage_is_found_told_and_repaired_by_the_same_content_in_a_directory() {
    for (command, rest) in [
        ("verify", ""),
        ("scrub", ""),
        ("check", "--contents"),
        ("get", ""),
    ] {
        let place = Place::new();
        let whole = content(9, 70_000);
        damage(&place, &whole, 69_999);
        let on = &["--data", place.data()];
        let name = Hash::of(&whole).to_string();
        // Without reading it nobody knows.
        assert_eq!(blocks("check", on, &[]).code, 0);

        let rest = match command {
            "get" => &name,
            _ => rest,
        };
        let rest: &[&str] = if rest.is_empty() { &[] } else { &[rest] };
        let found = blocks(command, on, rest);
        assert_eq!(found.code, 1, "{command}: {found:?}");
        let told = [&*found.stdout, &*found.stderr].concat();
        assert!(
            told.contains("damaged: the checksum of chunk 17"),
            "{command}: {told}"
        );

        // Now it is on record.
        let check = blocks("check", on, &[]);
        assert_eq!(check.code, 1, "{command}: {check:?}");
        assert!(
            check
                .stdout
                .contains(&format!("{name}  damaged, found earlier; put")),
            "{check:?}"
        );
        assert!(
            blocks("stat", on, &[])
                .stdout
                .contains(&format!("damaged     1\n  {name}"))
        );

        let put = blocks("put", on, &[&place.path("whole")]);
        assert!(
            put.stderr.contains("1 stored, 0 already"),
            "{command}: {put:?}"
        );
        assert_eq!(blocks("check", on, &["--contents"]).code, 0, "{command}");
    }
}

/// Changes one byte of the row of a block, wherever the file of the index has it.
fn damage_row(place: &Place, hash: &Hash) {
    let path = format!("{}/index.mdbx", place.data());
    let mut bytes = std::fs::read(&path).expect("it is there");
    let is_here = |at: &usize| bytes[*at..].starts_with(hash.as_bytes());
    let places: Vec<usize> = (0..bytes.len()).filter(is_here).collect();
    assert!(!places.is_empty(), "no row of {hash}");
    // The row is behind its key.
    places.iter().for_each(|at| bytes[at + 40] ^= 1);
    std::fs::write(&path, bytes).expect("it can be written");
}

#[test]
fn a_row_that_cannot_be_read_is_repaired_by_the_same_content() {
    for is_served in [false, true] {
        let place = Place::new();
        place.write("a", b"a");
        place.write("b", b"b");
        let on = &["--data", place.data()];
        let paths = [&*place.path("a"), &place.path("b")];
        assert_eq!(blocks("put", on, &paths).code, 0);
        damage_row(&place, &Hash::of(b"a"));
        let server = is_served.then(|| Server::start(place.data()));
        let at = server
            .as_ref()
            .map_or(*on, |server| ["--url", server.url()]);
        let put = blocks("put", &at, &paths);
        assert!(
            put.code == 0 && put.stderr.contains("1 stored, 1 already there"),
            "{put:?}"
        );
        let get = blocks("get", &at, &[&Hash::of(b"a").to_string()]);
        assert_eq!((get.code, &*get.stdout), (0, "a"), "{get:?}");
    }
}

#[test]
fn a_record_of_damage_that_is_none_is_taken_back() {
    let place = Place::new();
    let whole = content(9, 70_000);
    damage(&place, &whole, 5);
    let on = &["--data", place.data()];
    assert_eq!(blocks("verify", on, &[]).code, 1);
    place.flip_back(&whole, 5);
    assert_eq!(blocks("check", on, &[]).code, 1);
    assert_eq!(blocks("verify", on, &[]).code, 0);
    assert_eq!(blocks("check", on, &[]).code, 0);
}

#[test]
fn verify_and_scrub_see_the_medium_and_not_what_the_server_keeps() {
    for command in ["verify", "scrub"] {
        let place = Place::new();
        let server = Server::start(place.data());
        let on = &["--url", server.url()];
        let whole = content(9, 3000);
        place.write("whole", &whole);
        let name = Hash::of(&whole).to_string();
        assert_eq!(blocks("put", on, &[&place.path("whole")]).code, 0);
        assert_eq!(blocks("get", on, &[&name]).code, 0);
        place.flip(&whole, 7);
        assert_eq!(blocks("get", on, &[&name]).code, 0, "it is kept");
        assert_eq!(blocks(command, on, &[]).code, 1, "{command}");
    }
}

#[test]
fn a_scrub_goes_at_its_rate_and_on_where_a_signal_ended_it() {
    let place = Place::new();
    let mut names = Vec::new();
    for number in 0..4 {
        let content = content(number, 1000);
        place.write(&format!("in/{number}"), &content);
        names.push(Hash::of(&content).to_string());
    }
    names.sort();
    let server = Server::start(place.data());
    let on = &["--url", server.url()];
    assert_eq!(blocks("put", on, &[&place.path("in")]).code, 0);
    // A thousand seconds for each.
    let mut scrub = hioload(&[&["blocks", "scrub", "--rate", "1"], &on[..]].concat());
    let scrub = scrub
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    loop {
        let stat = blocks("stat", on, &["--json"]).stdout;
        let figures: serde_json::Value = serde_json::from_str(&stat).expect("JSON");
        if figures["totals"]["found"] == 1 {
            break;
        }
    }
    // What it has read it may not have got yet.
    let pid = Pid::from_raw(scrub.id().cast_signed()).expect("a process");
    kill_process(pid, Signal::INT).expect("it runs");
    let ended = Ended::of(&scrub.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("scrubbed 1 block,"), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains(&format!("go on with --after {}", names[0])),
        "{ended:?}"
    );
    let scrub = blocks("scrub", on, &["--rate", "1MiB", "--after", &names[0]]);
    assert!(
        scrub.code == 0 && scrub.stderr.contains("scrubbed 3 blocks"),
        "{scrub:?}"
    );
}

/// Changes the index of a store that nobody has open.
fn with_index(place: &Place, change: impl FnOnce(&mut dyn hioload_blocks::Index)) {
    let path = std::path::Path::new(place.data());
    let store = Store::open(path, StoreOptions::default()).expect("it opens");
    let mut index = store.index.writer();
    change(&mut index);
    index.commit(true).expect("it commits");
}

fn record(unit: u32, length: u32) -> Record {
    let class = Class::for_length(length).expect("a block's");
    Record {
        block: Block::new(unit, class).expect("aligned"),
        length,
        created: 1,
        flags: Flags::NONE,
        sums: Sums::of(&vec![0; length as usize]),
    }
}

#[test]
fn check_says_what_does_not_agree_where_and_what_to_do() {
    let place = Place::new();
    place.write("a", b"a");
    let on = &["--data", place.data()];
    assert_eq!(blocks("put", on, &["-q", &place.path("a")]).code, 0);
    let sound = blocks("check", on, &[]);
    assert_eq!((sound.code, &*sound.stdout), (0, ""));
    assert!(
        sound.stderr.contains("1 block, 1 B, 0 references"),
        "{sound:?}"
    );
    assert!(sound.stderr.contains("0 findings, 0 damaged"), "{sound:?}");

    let (outside, overlapping) = (Hash::of(b"outside"), Hash::of(b"overlapping"));
    with_index(&place, |index| {
        let taken = index
            .block(&Hash::of(b"a"))
            .expect("read")
            .expect("it is there");
        index
            .put_block(&outside, &record(1 << 30, 7))
            .expect("room");
        let same = record(taken.block.unit(), 9);
        index.put_block(&overlapping, &same).expect("room");
        index
            .put_reference(&Hash::of(b"gone"), b"lost", b"")
            .expect("room");
    });
    let check = blocks("check", on, &[]);
    assert_eq!(check.code, 1, "{check:?}");
    for part in [
        &*format!("block {outside}: "),
        "is outside the data file",
        "restore blocks.dat if it was cut off",
        " overlaps block ",
        "verify both",
        &*format!(
            "reference lost of block {}: there is no such block",
            Hash::of(b"gone")
        ),
        "put the block again, or delete the reference",
    ] {
        assert!(check.stdout.contains(part), "{part}: {check:?}");
    }
    assert!(check.stderr.contains("3 findings"), "{check:?}");

    // What it says can be done, without a server, which would not start.
    let verify = blocks("verify", on, &[]);
    assert!(
        verify.code == 1 && verify.stdout.contains("beyond the end"),
        "{verify:?}"
    );
    let rm = blocks("rm", on, &[&outside.to_string(), &overlapping.to_string()]);
    assert_eq!(rm.code, 0, "{rm:?}");
    let rm = blocks("rm", on, &["--force", &Hash::of(b"gone").to_string()]);
    assert_eq!(rm.code, 0, "{rm:?}");
    assert_eq!(blocks("check", on, &["--contents"]).code, 0);

    damage_row(&place, &Hash::of(b"a"));
    let check = blocks("check", on, &[]);
    assert!(
        check.code == 1 && check.stdout.contains("--drop-damaged-rows"),
        "{check:?}"
    );
    let check = blocks("check", on, &["--drop-damaged-rows"]);
    assert!(
        check.code == 0 && check.stderr.contains("1 damaged row deleted"),
        "{check:?}"
    );
}

#[test]
fn the_longest_page_is_one_answer_and_all_pages_are_the_list() {
    const COUNT: u32 = 10_001;
    let place = Place::new();
    {
        let path = std::path::Path::new(place.data());
        let options = StoreOptions {
            creates: true,
            ..StoreOptions::default()
        };
        let mut store = Store::open(path, options).expect("it opens");
        store.disk.grow(64 << 20).expect("room");
        let mut index = store.index.writer();
        for unit in 0..COUNT {
            let hash = Hash::of(&unit.to_le_bytes());
            index.put_block(&hash, &record(unit, 1)).expect("room");
        }
        index.commit(true).expect("it commits");
    }
    let server = Server::start(place.data());
    let page = |query: &str| {
        let answer = raw(
            server.addr(),
            &format!("GET /blocks{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        );
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let page: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let count = page["blocks"].as_array().expect("a list").len();
        (count, page["next"].as_str().map(str::to_owned))
    };
    let (count, next) = page("?limit=10000");
    assert_eq!(count, 10_000);
    let next = next.expect("one is left");
    assert_eq!(page(&format!("?after={next}")), (1, None));
    assert_eq!(page("").0, 1000);
    let answer = raw(
        server.addr(),
        "GET /blocks?limit=10001 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let ls = blocks("ls", &["--url", server.url()], &[]);
    assert_eq!(ls.stdout.lines().count(), COUNT as usize);
    let mut lines: Vec<&str> = ls.stdout.lines().collect();
    lines.dedup();
    assert!(lines.is_sorted() && lines.len() == COUNT as usize);
}

#[test]
fn a_pipe_that_is_closed_ends_a_list_and_not_what_is_stored() {
    let place = Place::new();
    for number in 0..2000u32 {
        place.write(&format!("in/{number}"), &number.to_le_bytes());
    }
    let on = &["--data", place.data()];
    let unread = |args: &[&str]| {
        let mut process = hioload(&[&["blocks"], args].concat());
        let piped = process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = piped.spawn().expect("it runs");
        drop(process.stdout.take());
        Ended::of(&process.wait_with_output().expect("it ends"))
    };
    let put = unread(&[&["put"], &on[..], &[&place.path("in")]].concat());
    assert!(
        put.code == 0 && put.stderr.contains("2000 stored"),
        "{put:?}"
    );
    let ls = unread(&[&["ls"], &on[..]].concat());
    assert_eq!((ls.code, &*ls.stderr), (0, ""));
    let missing = Hash::of(b"never stored").to_string();
    let has = unread(&[&["has"], &on[..], &[&missing]].concat());
    assert_eq!((has.code, &*has.stderr), (1, ""));
    assert_eq!(blocks("ls", on, &[]).stdout.lines().count(), 2000);
}
