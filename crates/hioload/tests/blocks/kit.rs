//! Processes, a place for their files, and contents that are found again on the medium.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The binary with these words, and nothing of this process's settings.
pub(crate) fn hioload(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hioload"));
    command.args(args).stdin(Stdio::null());
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("HIOLOAD_")) {
        command.env_remove(name);
    }
    command
}

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().expect("no signal"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

pub(crate) fn ran(args: &[&str]) -> Ended {
    Ended::of(&hioload(args).output().expect("the binary runs"))
}

/// A server with its store in a directory, or with `off`. It ends in good order when it is dropped.
pub(crate) struct Server {
    child: Child,
    url: String,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(data: &str) -> Self {
        Self::start_with("http", data, &[])
    }

    pub(crate) fn start_tls(data: &str) -> Self {
        Self::start_with("https", data, &["--tls", "self-signed"])
    }

    fn start_with(scheme: &str, data: &str, more: &[&str]) -> Self {
        let args = [
            "serve",
            "--data",
            data,
            "--addr",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--admin",
            "off",
            "--log",
            "off",
        ];
        let mut child = hioload(&[&args[..], more].concat())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let addr = line
            .trim()
            .strip_prefix("listening on ")
            .expect("an address");
        Self {
            url: format!("{scheme}://{addr}"),
            child,
            _stdout: stdout,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn addr(&self) -> &str {
        &self.url["http://".len()..]
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.child.wait();
    }
}

/// What a server answers to these bytes before it closes.
pub(crate) fn raw(addr: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A directory for files and a store.
pub(crate) struct Place {
    dir: TempDir,
    data: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a place for files");
        let data = dir.path().join("data");
        Self {
            data: data.to_str().expect("UTF-8").to_owned(),
            dir,
        }
    }

    /// Where the store is.
    pub(crate) fn data(&self) -> &str {
        &self.data
    }

    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.dir.path().join(name).exists()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, content).expect("a file");
    }

    /// Changes byte `at` of a stored content on the medium.
    pub(crate) fn flip(&self, content: &[u8], at: usize) {
        self.change(content, at, !content[at]);
    }

    pub(crate) fn flip_back(&self, content: &[u8], at: usize) {
        self.change(content, at, content[at]);
    }

    fn change(&self, content: &[u8], at: usize, byte: u8) {
        use std::os::unix::fs::FileExt as _;

        let path = Path::new(&self.data).join("blocks.dat");
        let data = fs::read(&path).expect("the data file");
        // Of its beginning and its end one has not changed.
        let (first, last) = (&content[..512], &content[content.len() - 512..]);
        let begins = |place: &usize| {
            let here = &data[*place..][..content.len().min(data.len() - place)];
            here.starts_with(first) || here.ends_with(last)
        };
        let place = (0..data.len())
            .step_by(4096)
            .find(begins)
            .expect("it is stored");
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("it opens");
        file.write_all_at(&[byte], (place + at) as u64)
            .expect("it writes");
        file.sync_all().expect("it syncs");
    }
}

/// A content that is like no other.
pub(crate) fn content(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = |_| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(next).collect()
}
