//! The binary as people and scripts use it: servers, `pub`, `sub` and `bench` as processes.
#![cfg(feature = "cli")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_hioload");

fn hioload(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null());
    command.env("HIOLOAD_BLOCKS_DATA", "off");
    command
}

fn output(args: &[&str]) -> Output {
    hioload(args).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server process; ended when dropped.
struct Server {
    child: Child,
    addr: String,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(command: &str) -> Self {
        let args = [
            command,
            "--addr",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--admin",
            "off",
            "--log",
            "off",
        ];
        let mut child = hioload(&args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let addr = line
            .trim()
            .strip_prefix("listening on ")
            .expect("an address")
            .to_owned();
        Self {
            child,
            addr,
            _stdout: stdout,
        }
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Publishes lines until a reader has printed three of them and ends: those that follow each other.
fn three_lines_are_printed(server: &Server, reader: &[&str]) {
    let mut reader = hioload(reader)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut writer = hioload(&["pub", &server.addr])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut lines = writer.stdin.take().expect("piped");
    // The reader connects at some time; from then on it gets every line.
    let mut number = 0;
    while reader.try_wait().expect("a child").is_none() {
        writeln!(lines, "line {number}").expect("pub reads");
        number += 1;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    drop(lines);
    assert!(writer.wait().expect("a child").success());
    let mut printed = String::new();
    let mut stdout = reader.stdout.take().expect("piped");
    stdout.read_to_string(&mut printed).expect("text");
    let numbers: Vec<u32> = printed
        .lines()
        .map(|line| line["line ".len()..].parse().expect("a number"))
        .collect();
    assert_eq!(numbers.len(), 3);
    let is_next = |pair: &[u32]| pair[1] == pair[0] + 1;
    assert!(numbers.windows(2).all(is_next), "{numbers:?}");
}

#[test]
fn what_is_published_is_printed() {
    let server = Server::start("serve");
    three_lines_are_printed(&server, &["sub", &server.addr, "-n", "3"]);
}

#[test]
fn events_are_printed_in_order() {
    let server = Server::start("serve");
    let reader = ["sub", "--sse", "--reconnect", &server.addr, "-n", "3"];
    three_lines_are_printed(&server, &reader);

    let refused = output(&["sub", "--sse", "ws://127.0.0.1:1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("write http://"),
        "{refused:?}"
    );
}

#[test]
fn the_bench_reports_an_echo_server_as_json() {
    let server = Server::start("echo");
    let output = output(&[
        "bench",
        "echo",
        "-n",
        "4",
        "--size",
        "20",
        "--in-flight",
        "2",
        "-s",
        "0.2",
        "--warmup",
        "0",
        "--connect",
        &server.addr,
        "--server-pid",
        &server.pid(),
        "--json",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["work"], "echo");
    assert!(
        report["messages"].as_u64().is_some_and(|count| count > 0),
        "{report}"
    );
    assert_eq!(report["lost"], 0);
    assert_eq!(report["corrupted"], 0);
    assert!(
        report["latency_ns"]["p99"]
            .as_u64()
            .is_some_and(|ns| ns > 0),
        "{report}"
    );
    if cfg!(target_os = "linux") {
        assert!(
            report["server_cpu_ns"].as_u64().is_some_and(|ns| ns > 0),
            "{report}"
        );
    }
}

#[test]
fn the_bench_starts_and_ends_a_server_of_its_own() {
    let output = output(&[
        "bench",
        "broadcast",
        "-n",
        "3",
        "--rate",
        "200",
        "-s",
        "0.2",
        "--warmup",
        "0",
        "--",
        "--workers",
        "2",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(
        table.contains("0 lost, 0 duplicated, 0 reordered"),
        "{table}"
    );
    assert!(table.contains("deliveries"), "{table}");
}

#[test]
fn every_handshake_of_a_storm_is_counted() {
    let server = Server::start("echo");
    let output = output(&[
        "bench",
        "connect",
        "-n",
        "200",
        "--connect",
        &server.addr,
        "--json",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (name, value) in [("messages", 200), ("connections_held", 200), ("lost", 0)] {
        assert_eq!(report[name], value, "{name}: {report}");
    }
}

#[test]
fn subscribers_that_never_read_are_told_from_the_others() {
    let server = Server::start("serve");
    let output = output(&[
        "bench",
        "slow",
        "-n",
        "10",
        "--stalled",
        "20",
        "--rate",
        "100",
        "-s",
        "0.2",
        "--warmup",
        "0",
        "--connect",
        &server.addr,
        "--json",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&report["stalled"], &report["lost"]),
        (&2.into(), &0.into()),
        "{report}"
    );
    let per_publication = report["messages"].as_f64().expect("a number")
        / report["publications"].as_f64().expect("a number");
    assert!(
        (7.0..9.0).contains(&per_publication),
        "eight of ten read: {report}"
    );
}

#[test]
fn what_cannot_work_is_told_apart_from_what_failed() {
    for (args, code, reason) in [
        (
            &["pub", "wss://127.0.0.1:1", "--ca", "/no/such/file", "x"][..],
            2,
            "/no/such/file",
        ),
        (
            &["sub", "http://127.0.0.1:1"],
            2,
            "does not start with ws://",
        ),
        (&["bench", "echo", "--size"], 2, "--size"),
        (&["bench", "dance"], 2, "dance"),
        (&["bench", "broadcast", "--size", "3"], 2, "20 bytes"),
        (
            &[
                "bench",
                "echo",
                "--path",
                "nowhere",
                "--connect",
                "127.0.0.1:1",
            ],
            2,
            "starts with /",
        ),
        (&["sub", "127.0.0.1:1"], 1, "Nothing listens there"),
        (
            &["bench", "echo", "-n", "1", "--connect", "127.0.0.1:1"],
            1,
            "refused",
        ),
    ] {
        let output = output(args);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(reason), "{args:?}: {told}");
    }
}

#[test]
fn a_subscriber_is_told_how_its_connection_ended() {
    let mut server = Server::start("serve");
    let mut reader = hioload(&["sub", &server.addr])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // Something it prints shows that it is connected.
    let mut printed = BufReader::new(reader.stdout.take().expect("piped"));
    let mut writer = hioload(&["pub", &server.addr])
        .stdin(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut lines = writer.stdin.take().expect("piped");
    let feeder = std::thread::spawn(move || {
        while writeln!(lines, "x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let mut line = String::new();
    printed.read_line(&mut line).expect("a line");
    server.child.kill().expect("a child");
    let _ = server.child.wait();
    // Read on, so that it never waits for its stdout.
    std::io::copy(&mut printed, &mut std::io::sink()).expect("its end");
    let output = reader.wait_with_output().expect("a child");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("connect"),
        "{}",
        text(&output.stderr)
    );
    let _ = writer.wait();
    feeder.join().expect("no panic");
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_bench_ends_its_server() {
    let bench = hioload(&["bench", "echo", "-n", "1", "-s", "3600"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let children = format!("/proc/{0}/task/{0}/children", bench.id());
    let server = loop {
        let text = std::fs::read_to_string(&children).expect("the bench runs");
        if let Some(pid) = text.split_whitespace().next() {
            break pid.to_owned();
        }
        std::thread::yield_now();
    };
    let kill = |pid: &str| {
        Command::new("kill")
            .args(["-TERM", pid])
            .status()
            .expect("kill")
    };
    assert!(kill(&bench.id().to_string()).success());
    let output = bench.wait_with_output().expect("a child");
    let told = text(&output.stderr);
    assert!(
        output.status.code() == Some(1) && told.contains("interrupted"),
        "{told}"
    );
    assert!(
        !std::path::Path::new(&format!("/proc/{server}")).exists(),
        "the server is still there"
    );
}
