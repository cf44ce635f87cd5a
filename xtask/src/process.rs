//! Running other programs: the project's root, cargo, children that never outlive their task.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stop::{Outcome, Stop};

/// How often a child with a time limit is asked whether it has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Directory of the workspace.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        manifest
            .parent()
            .expect("invariant: xtask lies in the workspace")
            .to_owned()
    });
    &ROOT
}

/// Where builds and caches go; outside the tree when the environment says so.
pub(crate) fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// `cargo`, run in the workspace.
pub(crate) fn cargo() -> Command {
    command("cargo")
}

/// Any program, run in the workspace.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command with its output shown; anything but success fails.
pub(crate) fn run(command: &mut Command) -> Outcome {
    eprintln!("$ {}", shown(command));
    let status = status(command)?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(command, status))
    }
}

/// The same for one of several that run at a time: with others beside it, its output is shown as a whole when it has ended.
pub(crate) fn run_one_of(count: usize, command: &mut Command) -> Outcome {
    if count < 2 {
        return run(command);
    }
    let output = command
        .output()
        .map_err(|error| Stop::io(shown(command), &error))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    eprintln!("$ {}\n{printed}{said}{}", shown(command), output.status);
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(command, output.status))
    }
}

/// Runs `lane` for each input at the same time; what came of each, in order.
pub(crate) fn beside<I: Send, T: Send>(
    inputs: impl IntoIterator<Item = I>,
    lane: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    let lane = &lane;
    thread::scope(|scope| {
        let inputs = inputs.into_iter();
        let lanes: Vec<_> = inputs
            .map(|input| scope.spawn(move || lane(input)))
            .collect();
        let ends = lanes.into_iter().map(thread::ScopedJoinHandle::join);
        ends.map(|end| end.expect("invariant: a lane does not panic"))
            .collect()
    })
}

/// Runs a command with its output shown and gives its status.
pub(crate) fn status(command: &mut Command) -> Outcome<ExitStatus> {
    command
        .status()
        .map_err(|error| Stop::io(shown(command), &error))
}

/// Runs a command and gives what it printed; anything but success fails with what it complained of.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = command
        .output()
        .map_err(|error| Stop::io(shown(command), &error))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(Stop::Failed(format!(
            "{}: {}\n{complaint}",
            shown(command),
            output.status
        )));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Stop::Failed(format!("{}: output is not UTF-8", shown(command))))
}

fn failed(command: &Command, status: ExitStatus) -> Stop {
    Stop::Failed(format!("{}: {status}", shown(command)))
}

/// Path of the product's binary: the one given, or a release build.
pub(crate) fn hioload(given: Option<String>) -> Outcome<PathBuf> {
    if let Some(path) = given {
        let path = std::env::current_dir()
            .map_err(|error| Stop::io("working directory", &error))?
            .join(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Stop::Usage(format!(
                "--hioload {}: no such file",
                path.display()
            )))
        };
    }
    run(cargo().args([
        "build",
        "--release",
        "--package",
        "hioload",
        "--bin",
        "hioload",
    ]))?;
    Ok(target_dir().join("release/hioload"))
}

/// A child process that is killed and reaped when dropped.
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Outcome<Self> {
        let name = shown(command);
        let child = command.spawn().map_err(|error| Stop::io(&name, &error))?;
        Ok(Self { child, name })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end; `None` when the time is up first.
    pub(crate) fn wait(&mut self, limit: Duration) -> Outcome<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self
                .child
                .try_wait()
                .map_err(|error| Stop::io(&self.name, &error))?;
            if ended.is_some() || Instant::now() >= deadline {
                return Ok(ended);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Everything the child prints, once it has ended, within a time limit.
    pub(crate) fn finish(mut self, limit: Duration) -> Outcome<String> {
        let stdout = self
            .child
            .stdout
            .take()
            .expect("invariant: spawned with a piped stdout");
        let reader = thread::spawn(move || std::io::read_to_string(stdout));
        let Some(status) = self.wait(limit)? else {
            return Err(Stop::Failed(format!(
                "{}: not done after {limit:?}",
                self.name
            )));
        };
        if !status.success() {
            return Err(Stop::Failed(format!("{}: {status}", self.name)));
        }
        let text = reader
            .join()
            .expect("invariant: reading text does not panic");
        text.map_err(|error| Stop::io(&self.name, &error))
    }

    /// The rest of the first output line that begins with `prefix`. Later output is thrown away,
    /// so the child never blocks on a full pipe.
    pub(crate) fn announced(&mut self, prefix: &'static str, limit: Duration) -> Outcome<String> {
        let stdout = self
            .child
            .stdout
            .take()
            .expect("invariant: spawned with a piped stdout");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix(prefix) {
                    // Refused only when nobody waits any more.
                    let _ = sender.send(rest.trim().to_owned());
                }
            }
        });
        receiver.recv_timeout(limit).map_err(|error| {
            let why = match error {
                RecvTimeoutError::Timeout => "did not say",
                RecvTimeoutError::Disconnected => "ended without saying",
            };
            Stop::Failed(format!("{} {why} \"{prefix}…\"", self.name))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server process that has said where it listens.
pub(crate) struct Server {
    process: Running,
    addr: String,
}

impl Server {
    /// Line by which every server of the project and of the comparison says it is ready.
    const READY: &str = "listening on ";
    const READY_TIME_MAX: Duration = Duration::from_secs(20);

    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        let mut process = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let addr = process.announced(Self::READY, Self::READY_TIME_MAX)?;
        Ok(Self { process, addr })
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = command("sh");
        command
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    #[test]
    fn a_server_is_ready_when_it_says_so() {
        let mut server = Server::start(&mut shell(
            "echo starting; echo listening on 127.0.0.1:7; exec cat",
        ))
        .expect("the line is there");
        assert_eq!(server.addr(), "127.0.0.1:7");
        // Its standard input is closed, so it ends by itself.
        assert!(
            server
                .process
                .wait(Duration::from_secs(10))
                .is_ok_and(|ended| ended.is_some())
        );
        assert!(server.has_ended());
    }

    #[test]
    fn a_server_that_ends_in_silence_is_an_error() {
        assert!(Server::start(&mut shell("exit 1")).is_err());
    }

    #[test]
    fn output_is_taken_only_from_success_in_time() {
        let text = Running::spawn(&mut shell("echo done"))
            .and_then(|run| run.finish(Duration::from_secs(10)));
        assert_eq!(text.ok().as_deref(), Some("done\n"));
        let failed = Running::spawn(&mut shell("exit 3"))
            .and_then(|run| run.finish(Duration::from_secs(10)));
        assert!(failed.is_err());
        let late =
            Running::spawn(&mut shell("exec sleep 60")).and_then(|run| run.finish(Duration::ZERO));
        assert!(late.is_err());
    }
}
