//! Servers of others that speak HTTP/2 with prior knowledge.

use std::fs;
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::super::rows::{Lab, found, free_addr};
use crate::process::{Running, Server, command, target_dir};
use crate::stop::{Outcome, Stop};

const START_TIME_MAX: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// nghttpd with one worker and a directory of files.
pub(super) struct Nghttpd {
    process: Running,
    addr: String,
}

impl Nghttpd {
    /// Serves `content` at `/content`.
    pub(super) fn start(lab: &Lab, content: &[u8]) -> Outcome<Self> {
        found(
            "nghttpd",
            "nghttp2-server",
            command("nghttpd").arg("--version"),
        )?;
        let root = lab.directory.join("nghttpd");
        let path = root.join("content");
        fs::create_dir_all(&root)
            .and_then(|()| fs::write(&path, content))
            .map_err(|error| Stop::io(path.display(), &error))?;
        let addr = free_addr()?;
        let (host, port) = addr.rsplit_once(':').unwrap_or_default();
        let mut nghttpd = lab.on_server_core("nghttpd");
        nghttpd.args(["--no-tls", "--address", host, "--htdocs"]);
        nghttpd.arg(&root).arg(port);
        nghttpd.stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Running::spawn(&mut nghttpd)?;
        let deadline = Instant::now() + START_TIME_MAX;
        while TcpStream::connect(&addr).is_err() {
            if process.has_ended() || Instant::now() > deadline {
                return Err(Stop::Failed("nghttpd does not start".to_owned()));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(Self { process, addr })
    }

    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// A server of the package `hioload-bench`: 4 KiB for every request, an echo for every tunnel.
pub(super) fn peer(lab: &Lab, name: &str) -> Outcome<Server> {
    let binary = target_dir().join("release").join(name);
    Server::start(lab.on_server_core(binary).args(["--addr", "127.0.0.1:0"]))
}
