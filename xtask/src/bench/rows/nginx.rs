//! nginx with static files: one worker on the server's core, configured for speed.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::lab::{Lab, found, remove};
use crate::process::{Running, command};
use crate::stop::{Outcome, Stop};

const START_TIME_MAX: Duration = Duration::from_secs(10);
const END_TIME_MAX: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running nginx. It is ended when dropped.
pub(in crate::bench) struct Nginx {
    master: Running,
    worker: u32,
    addr: String,
    directory: PathBuf,
}

impl Nginx {
    /// Over HTTP/1.1, with sendfile.
    pub(in crate::bench) fn start(lab: &Lab) -> Outcome<Self> {
        Self::start_with(lab, "", "sendfile on;")
    }

    /// Over HTTP/2 with prior knowledge.
    pub(in crate::bench) fn start_h2(lab: &Lab) -> Outcome<Self> {
        Self::start_with(lab, "http2", "sendfile on;")
    }

    /// With a word for its listener, and lines for its configuration.
    fn start_with(lab: &Lab, protocol: &str, lines: &str) -> Outcome<Self> {
        found("nginx", "nginx", command("nginx").arg("-v"))?;
        let directory = lab.directory.join("nginx");
        remove(&directory)?;
        let root = directory.join("root");
        fs::create_dir_all(&root).map_err(|error| Stop::io("nginx's directory", &error))?;
        let addr = free_addr()?;
        let config = directory.join("nginx.conf");
        fs::write(&config, configuration(&directory, &addr, protocol, lines))
            .map_err(|error| Stop::io(config.display(), &error))?;
        let mut nginx = lab.on_server_core("nginx");
        nginx
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(directory.join("error.log"));
        let mut master = Running::spawn(nginx.stdin(Stdio::null()))?;
        let deadline = Instant::now() + START_TIME_MAX;
        let worker = loop {
            let worker = child(master.pid());
            if let Some(worker) = worker
                && TcpStream::connect(&addr).is_ok()
            {
                break worker;
            }
            if master.has_ended() || Instant::now() > deadline {
                let log = fs::read_to_string(directory.join("error.log")).unwrap_or_default();
                return Err(Stop::Failed(format!("nginx does not start: {log}")));
            }
            thread::sleep(POLL_INTERVAL);
        };
        Ok(Self {
            master,
            worker,
            addr,
            directory,
        })
    }

    pub(in crate::bench) fn addr(&self) -> &str {
        &self.addr
    }

    /// The process that serves.
    pub(in crate::bench) fn pid(&self) -> u32 {
        self.worker
    }

    /// Where its files are.
    pub(in crate::bench) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A master that is killed leaves its worker behind.
        let pid = self.master.pid().to_string();
        let _ = command("kill").args(["-TERM", &pid]).status();
        let _ = self.master.wait(END_TIME_MAX);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn configuration(directory: &Path, addr: &str, protocol: &str, lines: &str) -> String {
    let at = directory.display();
    // A worker that is somebody else could not read the files.
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let user = if is_root { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/error.log;\n\
         events {{ worker_connections 4096; multi_accept on; }}\n\
         http {{\n  access_log off;\n  default_type application/octet-stream;\n  {lines}\n  \
         tcp_nopush on;\n  keepalive_timeout 1h;\n  keepalive_requests 1000000000;\n  \
         open_file_cache max=100000 inactive=1h;\n  open_file_cache_valid 1h;\n  \
         client_body_temp_path {at}/body;\n  proxy_temp_path {at}/proxy;\n  \
         fastcgi_temp_path {at}/fastcgi;\n  uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n  \
         server {{ listen {addr} {protocol}; root {at}/root; }}\n}}\n"
    )
}

/// An address nobody listens on right now.
pub(in crate::bench) fn free_addr() -> Outcome<String> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound
        .map(|addr| addr.to_string())
        .map_err(|error| Stop::io("a free port", &error))
}

/// The first child of a process.
fn child(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}
