//! The `hioload` binary as a process: what it prints, how it ends, what signals do to it.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes that long; a test that waits for nothing ends with this.
const PATIENCE: Duration = Duration::from_secs(30);

fn hioload(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hioload"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("HIOLOAD_"))
        {
            command.env_remove(name);
        }
    }
    command.env("HIOLOAD_BLOCKS_DATA", "off");
    command
}

fn output(args: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = hioload(args).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A server that is killed when the test ends.
struct Server {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = hioload(args);
        command.args([
            "--addr",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--driver",
            "poll",
        ]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = lines(child.stdout.take().expect("piped"));
        let stderr = lines(child.stderr.take().expect("piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it runs");
    }

    /// Where it listens; asked once.
    fn addr(&self) -> String {
        find(&self.stdout, "listening on ")
            .trim_start_matches("listening on ")
            .to_owned()
    }

    /// A connection that has just been upgraded; asked once.
    fn connect(&self) -> TcpStream {
        Self::connect_to(&self.addr())
    }

    fn connect_to(addr: &str) -> TcpStream {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("a request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(byte(&mut stream));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        stream
    }

    /// Where the admin listener is.
    fn admin(&self) -> String {
        let line = find(&self.stderr, "admin listener on http://");
        let (_, addr) = line.split_once("http://").expect("an address");
        addr.trim_end_matches('/').to_owned()
    }

    fn wait(mut self) -> ExitStatus {
        let (ended, end) = mpsc::channel();
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        let waiting = std::thread::spawn(move || ended.send(self.child.wait()));
        let status = end.recv_timeout(PATIENCE);
        if status.is_err() {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = waiting.join();
        status.expect("it ends by itself").expect("a status")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (line, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let all = BufReader::new(pipe).lines().map_while(Result::ok);
        all.map(|text| line.send(text))
            .take_while(Result::is_ok)
            .for_each(drop);
    });
    lines
}

/// The next line with this in it.
fn find(lines: &Receiver<String>, part: &str) -> String {
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if line.contains(part) => return line,
            Ok(_) => {}
            Err(_) => panic!("no line says {part:?}"),
        }
    }
}

fn byte(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("a byte");
    byte[0]
}

/// A frame without mask: opcode and payload.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let (first, size) = (byte(stream), byte(stream));
    let size = if size == 126 {
        u16::from_be_bytes([byte(stream), byte(stream)])
    } else {
        size.into()
    };
    let mut payload = vec![0; usize::from(size)];
    stream.read_exact(&mut payload).expect("a payload");
    (first & 15, payload)
}

/// A binary message of at least 126 bytes in one frame.
fn send(stream: &mut TcpStream, payload: &[u8]) {
    send_frame(stream, 0x82, payload);
}

/// A masked frame; the mask is zero, which leaves the payload as it is.
fn send_frame(stream: &mut TcpStream, first: u8, payload: &[u8]) {
    let size = u16::try_from(payload.len()).expect("a short payload");
    let mut bytes = vec![first];
    if size < 126 {
        bytes.push(0x80 | size.to_be_bytes()[1]);
    } else {
        bytes.push(0x80 | 126);
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    stream.write_all(&bytes).expect("a frame");
}

fn get(addr: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).expect("the admin listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    (
        head.lines().next().unwrap_or_default().to_owned(),
        body.to_owned(),
    )
}

fn json(addr: &str, path: &str) -> serde_json::Value {
    serde_json::from_str(&get(addr, path).1).expect("JSON")
}

/// A file of settings that the test rewrites.
struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = Self {
            path: dir.path().join("hioload.toml"),
            _dir: dir,
        };
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.path, text).expect("a file");
    }

    fn arg(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }
}

#[test]
fn help_is_for_people_and_lists_every_setting() {
    let (code, stdout, _) = output(&["serve", "--help"]);
    assert_eq!(code, Some(0));
    for part in [
        "--addr",
        "[default: 127.0.0.1:9002]",
        "--config",
        "SIGHUP",
        "channel.rate_min",
        "HIOLOAD_",
    ] {
        assert!(stdout.contains(part), "{part}");
    }
    let (code, stdout, _) = output(&["--help"]);
    assert!(code == Some(0) && stdout.contains("serve") && stdout.contains("plan"));
}

#[test]
fn wrong_words_and_values_end_with_code_2_and_a_remedy() {
    let file = File::new("[server]\nworkers = 300\n[ws]\nmesage_size_max = 1\n");
    for (args, parts) in [
        (&["serve", "--no-such-flag"][..], &["--no-such-flag"][..]),
        (
            &["serve", "--batch", "0"],
            &["flag --batch: server.batch = 0", "use 1 to 65536"],
        ),
        (&["echo", "--numa", "4000000"], &["node 4000000", "--numa"]),
        (
            &["echo", "--config", "/nowhere"],
            &["/nowhere", "check the path"],
        ),
        (
            &["serve", "--config", file.arg()],
            &[
                "hioload.toml:4: ws.mesage_size_max",
                "did you mean ws.message_size_max?",
            ],
        ),
        (
            &["serve", "--set", "server.memory=1TiB"],
            &[
                "of memory are missing",
                "Lower server.memory",
                "hioload plan",
            ],
        ),
        (&["plan", "--memory", "1TiB"], &["Lower server.memory"]),
    ] {
        let (code, _, stderr) = output(args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        for part in parts {
            assert!(
                stderr.contains(part),
                "{args:?}: {part} is not in: {stderr}"
            );
        }
    }
}

#[test]
fn a_port_in_use_ends_with_code_2_and_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound").to_string();
    for (args, flag) in [
        (["serve", "--addr", &addr, "--admin", "off"], "--addr"),
        (
            ["serve", "--addr", "127.0.0.1:0", "--admin", &addr],
            "--admin",
        ),
    ] {
        let (code, _, stderr) = output(&args);
        assert_eq!(code, Some(2), "{stderr}");
        for part in [&addr, "another process listens there", flag] {
            assert!(stderr.contains(part), "{part} is not in: {stderr}");
        }
    }
}

#[test]
fn the_plan_follows_the_settings() {
    let total = |args: &[&str]| {
        let (code, stdout, stderr) = output(args);
        assert_eq!(code, Some(0), "{stderr}");
        let plan: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        plan["total_bytes"].as_u64().expect("a number")
    };
    let one = total(&["plan", "--json", "--workers", "1"]);
    let more = total(&[
        "plan",
        "--json",
        "--workers",
        "1",
        "--set",
        "channel.budget_worker=65MiB",
    ]);
    assert!(more > one && one > 100 << 20);
    let (code, stdout, _) = output(&["plan", "--workers", "1"]);
    assert!(
        code == Some(0) && stdout.contains("connections") && stdout.contains("sum"),
        "{stdout}"
    );
}

#[test]
fn a_signal_closes_sessions_and_ends_with_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&["serve", "--admin", "off"]);
        let mut client = server.connect();
        server.signal(signal);
        let (opcode, payload) = frame(&mut client);
        assert_eq!((opcode, &payload[..2]), (8, &1001_u16.to_be_bytes()[..]));
        // The answer, and with it the end of the session.
        client
            .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE9])
            .expect("a close frame");
        drop(client);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = Server::start(&[
        "serve",
        "--admin",
        "off",
        "--shutdown-timeout",
        "1h",
        "--set",
        "ws.close_timeout=1h",
    ]);
    let mut client = server.connect();
    server.signal(Signal::TERM);
    // It is closing, and this client never answers.
    assert_eq!(frame(&mut client).0, 8);
    server.signal(Signal::TERM);
    let status = server.wait();
    assert_eq!((status.code(), status.signal()), (Some(128 + 15), None));
}

#[test]
fn a_reload_takes_effect_and_says_so() {
    let file = File::new("[ws]\nmessage_size_max = 1024\n");
    let server = Server::start(&["echo", "--admin", "127.0.0.1:0", "--config", file.arg()]);
    let admin = server.admin();
    let mut client = server.connect();
    send(&mut client, &[7; 126]);
    assert_eq!(frame(&mut client), (2, vec![7; 126]));
    let key = |key: &str| json(&admin, "/debug/config")["keys"][key].clone();
    assert_eq!(key("ws.message_size_max")["value"], "1KiB");
    assert_eq!(key("server.workers")["origin"], "flag --workers");

    file.write("[ws]\nmessage_size_max = 125\n[server]\nring = 4096\n");
    server.signal(Signal::HUP);
    assert!(
        find(&server.stderr, "server.ring: needs restart").contains("queues are sized at start")
    );
    let applied = find(&server.stderr, "ws.message_size_max: applied");
    assert!(
        applied.contains("\"1KiB\" -> \"125B\"") && applied.contains("hioload.toml:2"),
        "{applied}"
    );
    find(&server.stderr, "configuration 2 in effect");
    assert_eq!(key("ws.message_size_max")["value"], "125B");
    assert_eq!(key("server.ring")["value"], 2048);
    let (status, body) = get(&admin, "/debug/config");
    assert!(
        status.contains("200") && body.contains("queues are sized at start"),
        "{body}"
    );

    // The open session is held to it with its next frame.
    send(&mut client, &[7; 126]);
    let (opcode, payload) = frame(&mut client);
    assert_eq!((opcode, &payload[..2]), (8, &1009_u16.to_be_bytes()[..]));

    file.write("[ws]\nmessage_size_max = \"many\"\n");
    server.signal(Signal::HUP);
    find(&server.stderr, "refused and nothing has changed");
    find(&server.stderr, "ws.message_size_max = \"many\"");
    assert_eq!(key("ws.message_size_max")["value"], "125B");
}

#[test]
fn the_admin_listener_tells_of_the_server() {
    let server = Server::start(&["serve", "--admin", "127.0.0.1:0"]);
    let admin = server.admin();
    let _client = server.connect();
    assert_eq!(
        get(&admin, "/healthz"),
        ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned())
    );
    let stats = json(&admin, "/stats");
    assert_eq!(
        (&stats["state"], &stats["driver"], &stats["workers"]),
        (&"serving".into(), &"poll".into(), &1.into())
    );
    assert_eq!(stats["channels"][0]["subscribers"], 1, "{stats}");
    assert!(
        get(&admin, "/metrics")
            .1
            .contains("# TYPE hioload_sessions gauge\n")
    );
    let probes = json(&admin, "/debug/probes");
    assert_eq!(
        probes["probes"],
        serde_json::json!(["connections", "memory_plan", "total_messages"])
    );
    assert!(json(&admin, "/debug/probes/memory_plan")["total_bytes"].is_u64());
}

#[test]
fn unfinished_input_is_bounded_and_given_back() {
    let limits = [
        "--message-size-max",
        "64KiB",
        "--set",
        "ws.assembly_max=64KiB",
        "--set",
        "ws.head_size_max=64KiB",
    ];
    let server = Server::start(&[&["echo", "--admin", "off"][..], &limits].concat());
    let addr = server.addr();
    let half = vec![7; 40_000];
    // What is unfinished when the ping is answered has been taken in.
    let begin = |stream: &mut TcpStream| {
        send_frame(stream, 0x02, &half);
        send_frame(stream, 0x89, b"");
        frame(stream)
    };
    for round in 0..3 {
        let (mut first, mut second) = (Server::connect_to(&addr), Server::connect_to(&addr));
        assert_eq!(begin(&mut first), (10, vec![]), "round {round}");
        let (opcode, payload) = begin(&mut second);
        assert_eq!((opcode, &payload[..2]), (8, &1013_u16.to_be_bytes()[..]));
        send_frame(&mut first, 0x80, b"end");
        let (opcode, payload) = frame(&mut first);
        assert_eq!((opcode, payload.len()), (2, half.len() + 3));
    }
    // A head that does not fit is refused, too.
    let mut first = Server::connect_to(&addr);
    assert_eq!(begin(&mut first), (10, vec![]));
    let mut late = TcpStream::connect(&addr).expect("it listens");
    late.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(late, "GET / HTTP/1.1\r\nX-Filler: {}", "x".repeat(30_000)).expect("a part");
    let mut answer = [0; 12];
    late.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 503");
}
