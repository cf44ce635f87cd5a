//! Running Autobahn's `wstest` for one group of cases.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::groups::Group;
use super::page::Role;
use super::verdict::{self, Verdict};
use crate::process::{Running, Server, command, target_dir};
use crate::stop::{Outcome, Stop};

/// Name under which the suite files its verdicts.
const AGENT: &str = "hioload";

/// Time for `wstest` to listen: it imports for a while.
const READY_TIME_MAX: Duration = Duration::from_secs(20);

/// Configuration of the server under test.
const SERVER_CONFIG: &str = "conformance/echo.toml";

/// The suite in its Python environment.
pub(crate) struct Suite {
    environment: PathBuf,
}

/// Our echo server on one driver.
pub(crate) fn our_server(binary: &Path, driver: &str) -> impl Fn() -> Command {
    move || {
        let mut server = command(binary);
        server.args([
            "echo",
            "--addr",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--driver",
            driver,
        ]);
        server.args(["--admin", "off", "--log", "warn", "--config", SERVER_CONFIG]);
        server
    }
}

/// Our client on one driver: runs every case that the suite has and asks for the report.
pub(crate) fn our_client(binary: &Path, driver: &str, group: &Group, addr: &str) -> Command {
    let mut client = command(binary);
    client.args([
        "autobahn-client",
        "--connect",
        addr,
        "--agent",
        AGENT,
        "--driver",
        driver,
    ]);
    if group.has_no_takeover {
        client.arg("--no-takeover");
    }
    client
}

impl Suite {
    pub(crate) fn new(environment: PathBuf) -> Self {
        Self { environment }
    }

    /// The suite as client, against the server that `server` starts.
    pub(crate) fn check_server(
        &self,
        driver: &str,
        group: &Group,
        server: &dyn Fn() -> Command,
    ) -> Outcome<Vec<Verdict>> {
        let mut server = Server::start(&mut server())?;
        let directory = fresh_directory(Role::Server, driver, group)?;
        let spec = json!({
            "servers": [{"agent": AGENT, "url": format!("ws://{}", server.addr())}],
            "outdir": directory.join("report"),
            "cases": [group.pattern()],
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        let mut client = self.wstest("fuzzingclient", &directory, &spec)?;
        if client.wait(group.time_max)?.is_none() {
            return Err(Stop::Failed(format!("not done after {:?}", group.time_max)));
        }
        if server.has_ended() {
            return Err(Stop::Failed("the server has ended".to_owned()));
        }
        verdicts(&directory)
    }

    /// The suite as server, for the client that `client` makes of its address.
    pub(crate) fn check_client(
        &self,
        driver: &str,
        group: &Group,
        client: &dyn Fn(&str) -> Command,
    ) -> Outcome<Vec<Verdict>> {
        let directory = fresh_directory(Role::Client, driver, group)?;
        let addr = free_addr()?;
        let spec = json!({
            "url": format!("ws://{addr}"),
            "outdir": directory.join("report"),
            "cases": [group.pattern()],
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        let mut server = self.wstest("fuzzingserver", &directory, &spec)?;
        wait_for(&addr, &mut server)?;
        let mut client = Running::spawn(client(&addr).stdin(Stdio::null()))?;
        match client.wait(group.time_max)? {
            None => Err(Stop::Failed(format!("not done after {:?}", group.time_max))),
            Some(status) if !status.success() => {
                Err(Stop::Failed(format!("the client ended with {status}")))
            }
            Some(_) => verdicts(&directory),
        }
    }

    fn wstest(&self, mode: &str, directory: &Path, spec: &Value) -> Outcome<Running> {
        let path = directory.join("spec.json");
        fs::write(&path, spec.to_string()).map_err(|error| Stop::io(path.display(), &error))?;
        let log = directory.join("wstest.log");
        let log = fs::File::create(&log).map_err(|error| Stop::io(log.display(), &error))?;
        let log_too = log
            .try_clone()
            .map_err(|error| Stop::io("wstest.log", &error))?;
        Running::spawn(
            command(self.environment.join("bin/python"))
                .arg(self.environment.join("bin/wstest"))
                .args(["--mode", mode, "--webport", "0", "--spec"])
                .arg(path)
                .current_dir(directory)
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(log_too),
        )
    }
}

/// Verdicts of the last run of a group.
pub(crate) fn kept(role: Role, driver: &str, group: &Group) -> Outcome<Vec<Verdict>> {
    verdicts(&directory(role, driver, group))
}

fn verdicts(directory: &Path) -> Outcome<Vec<Verdict>> {
    let path = directory.join("report/index.json");
    let index = fs::read_to_string(&path).map_err(|error| {
        Stop::Failed(format!(
            "{}: {error}; see wstest.log beside it",
            path.display()
        ))
    })?;
    verdict::parse(&index).map_err(Stop::Failed)
}

/// Where the report and the log of a group go.
fn directory(role: Role, driver: &str, group: &Group) -> PathBuf {
    let directory = target_dir().join("conformance").join(role.name());
    directory.join(driver).join(group.name)
}

fn fresh_directory(role: Role, driver: &str, group: &Group) -> Outcome<PathBuf> {
    let directory = directory(role, driver, group);
    // Fails when there is none from before, which is as good.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).map_err(|error| Stop::io(directory.display(), &error))?;
    Ok(directory)
}

/// An address nobody listens on now. The suite cannot choose a port itself.
fn free_addr() -> Outcome<String> {
    let addr = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    addr.map(|addr| addr.to_string())
        .map_err(|error| Stop::io("a free port", &error))
}

fn wait_for(addr: &str, server: &mut Running) -> Outcome {
    let deadline = Instant::now() + READY_TIME_MAX;
    while TcpStream::connect(addr).is_err() {
        if server.has_ended() || Instant::now() > deadline {
            return Err(Stop::Failed(format!("wstest does not listen on {addr}")));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
