//! What measurements share: servers on their core, loads on the other, a directory on the medium.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Running, Server, command, output, target_dir};
use crate::stop::{Outcome, Stop};

/// Storing what is read later, warming up and closing may take this long beside the window.
const OVERHEAD_MAX: Duration = Duration::from_secs(120);

/// Load before the measured window.
const WARMUP_SECONDS: &str = "0.5";

/// The default is made for connections of browsers.
const TUNNELS_MAX: &str = "128";

/// Figures of the store are shown this often.
const STATS_INTERVAL: Duration = Duration::from_millis(250);

/// What measurements share.
pub(in crate::bench) struct Lab {
    hioload: PathBuf,
    pub(in crate::bench) directory: PathBuf,
    pub(in crate::bench) server_cpu: usize,
    pub(in crate::bench) load_cpu: usize,
    pub(in crate::bench) seconds: u64,
    /// Server and load go before everything else on their cores.
    pub(in crate::bench) is_realtime: bool,
}

/// A server with a store, and where that is.
pub(in crate::bench) struct StoreServer {
    server: Server,
    pub(in crate::bench) directory: PathBuf,
    /// From its start until it listened.
    pub(in crate::bench) start_time: Duration,
    /// Removed with the server.
    is_temporary: bool,
}

impl Lab {
    pub(in crate::bench) fn new(
        hioload: PathBuf,
        directory: &Path,
        server_cpu: usize,
        load_cpu: usize,
        seconds: u64,
        is_realtime: bool,
    ) -> Outcome<Self> {
        fs::create_dir_all(directory)
            .and_then(|()| directory.canonicalize())
            .map(|directory| Self {
                hioload,
                directory,
                server_cpu,
                load_cpu,
                seconds,
                is_realtime,
            })
            .map_err(|error| Stop::io("--dir", &error))
    }

    /// Any program on the server's core.
    pub(in crate::bench) fn on_server_core(&self, program: impl AsRef<OsStr>) -> Command {
        self.on_core(self.server_cpu, program)
    }

    /// Any program on the core of the load.
    pub(in crate::bench) fn on_load_core(&self, program: impl AsRef<OsStr>) -> Command {
        self.on_core(self.load_cpu, program)
    }

    fn on_core(&self, cpu: usize, program: impl AsRef<OsStr>) -> Command {
        let cpu = ["taskset", "--cpu-list", &cpu.to_string()].map(str::to_owned);
        let mut pinned = if self.is_realtime {
            let mut first = command("chrt");
            first.args(["--rr", "1"]).args(cpu);
            first
        } else {
            let mut first = command(&cpu[0]);
            first.args(&cpu[1..]);
            first
        };
        pinned.arg(program);
        pinned
    }

    /// A helper of the project's own.
    pub(in crate::bench) fn helper(&self) -> Command {
        self.on_server_core(target_dir().join("release/blocks-peer"))
    }

    /// A fresh server that echoes, in so many tunnels of a connection as peers take.
    pub(in crate::bench) fn echo(&self) -> Outcome<Server> {
        let mut server = self.on_server_core(&self.hioload);
        server.args(["echo", "--workers", "1", "--addr", "127.0.0.1:0"]);
        server.env("HIOLOAD_H2_TUNNELS_MAX", TUNNELS_MAX);
        Server::start(server.args(["--admin", "off", "--log", "warn"]))
    }

    /// A fresh server with an empty store.
    pub(in crate::bench) fn serve(&self, args: &[&str]) -> Outcome<StoreServer> {
        let directory = self.directory.join("store");
        remove(&directory)?;
        let mut server = self.serve_in(&directory, args)?;
        server.is_temporary = true;
        Ok(server)
    }

    /// A server with the store in `directory`.
    pub(in crate::bench) fn serve_in(
        &self,
        directory: &Path,
        args: &[&str],
    ) -> Outcome<StoreServer> {
        let mut server = self.on_server_core(&self.hioload);
        server.args(["serve", "--workers", "1", "--addr", "127.0.0.1:0"]);
        server.args(["--admin", "off", "--log", "warn", "--data"]);
        server.arg(directory).args(args);
        let start = Instant::now();
        let server = Server::start(&mut server)?;
        Ok(StoreServer {
            server,
            directory: directory.to_owned(),
            start_time: start.elapsed(),
            is_temporary: false,
        })
    }

    /// The report of one load, whose every answer was as it should be.
    pub(in crate::bench) fn load(&self, addr: &str, pid: u32, args: &[&str]) -> Outcome<Value> {
        let mut load = self.on_load_core(&self.hioload);
        load.arg("bench").args(args).args([
            "--connect",
            addr,
            "--server-pid",
            &pid.to_string(),
            "--cpu",
            &self.load_cpu.to_string(),
            "--seconds",
            &self.seconds.to_string(),
            "--warmup",
            WARMUP_SECONDS,
            "--json",
        ]);
        load.stdin(Stdio::null()).stdout(Stdio::piped());
        let limit = Duration::from_secs(self.seconds) + OVERHEAD_MAX;
        let text = Running::spawn(&mut load)?.finish(limit)?;
        let report: Value = serde_json::from_str(text.trim())
            .map_err(|error| Stop::Failed(format!("report of the load: {error}: {text}")))?;
        for fault in ["lost", "corrupted", "unexpected", "connections_lost"] {
            if report[fault].as_u64() != Some(0) {
                let statuses = &report["blocks"]["statuses"];
                return Err(Stop::Failed(format!(
                    "{fault}: {}; answers by status: {statuses}",
                    report[fault]
                )));
            }
        }
        Ok(report)
    }

    /// Ours and theirs; who begins changes from round to round.
    pub(in crate::bench) fn both<A, B>(
        &self,
        round: usize,
        ours: impl FnOnce() -> Outcome<A>,
        theirs: impl FnOnce() -> Outcome<B>,
    ) -> Outcome<(A, B)> {
        if round.is_multiple_of(2) {
            let ours = ours()?;
            Ok((ours, theirs()?))
        } else {
            let theirs = theirs()?;
            Ok((ours()?, theirs))
        }
    }
}

impl StoreServer {
    pub(in crate::bench) fn addr(&self) -> &str {
        self.server.addr()
    }

    pub(in crate::bench) fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub(in crate::bench) fn load(&self, lab: &Lab, args: &[&str]) -> Outcome<Value> {
        lab.load(self.addr(), self.pid(), args)
    }

    /// What `GET /stats` says once the figures of everything that was done are shown.
    pub(in crate::bench) fn stats(&self) -> Outcome<Value> {
        std::thread::sleep(STATS_INTERVAL);
        let (_, body) = request(self.addr(), "GET", "/stats", b"")?;
        serde_json::from_slice(&body).map_err(|error| Stop::Failed(format!("/stats: {error}")))
    }

    /// Stores a content and gives its path.
    pub(in crate::bench) fn store(&self, content: &[u8]) -> Outcome<String> {
        let (head, body) = request(self.addr(), "POST", "/blocks", content)?;
        if !head.starts_with("HTTP/1.1 20") {
            return Err(Stop::Failed(format!("a content is refused: {head}")));
        }
        Ok(format!("/blocks/{}", String::from_utf8_lossy(&body)))
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        if self.is_temporary {
            // The files may still be open: they are gone with the process, right after this.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Head and body of the answer to one request.
fn request(addr: &str, method: &str, path: &str, body: &[u8]) -> Outcome<(String, Vec<u8>)> {
    let exchange = || {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let length = match method {
            "GET" => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{length}\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| Stop::io(path, &error))?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| Stop::Failed(format!("{path}: no HTTP")))?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    Ok((head, answer[end + 4..].to_vec()))
}

/// Removes a directory that may not be there.
pub(in crate::bench) fn remove(directory: &Path) -> Outcome {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Stop::io(directory.display(), &error))
        }
        _ => Ok(()),
    }
}

/// A number of a report, by the names that lead to it.
pub(in crate::bench) fn number(report: &Value, path: &[&str]) -> Outcome<f64> {
    let value = path.iter().fold(report, |value, name| &value[*name]);
    value
        .as_f64()
        .ok_or_else(|| Stop::Failed(format!("no {} is reported", path.join("."))))
}

/// What a program of a package that may be absent prints.
pub(in crate::bench) fn found(program: &str, package: &str, run: &mut Command) -> Outcome<String> {
    if output(command("which").arg(program)).is_err() {
        return Err(Stop::Skipped(format!(
            "{program} is not in PATH (Debian: apt-get install {package})"
        )));
    }
    output(run)
}
