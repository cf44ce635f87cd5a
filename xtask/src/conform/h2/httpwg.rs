//! httpwg's cases of RFC 9113, one connection each.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Running, Server, cargo, command, output, root, run, target_dir};
use crate::stop::{Outcome, Stop};

/// The package that runs the suite, apart from the workspace.
const MANIFEST: &str = "conformance/httpwg/Cargo.toml";
const BINARY: &str = "hioload-conformance-httpwg";

/// What is asked for: one case wants 200 for a POST, whose body is empty here.
const PATH: &str = "/blocks:missing";
/// Where nghttpd has a file.
const PATH_NGHTTPD: &str = "/";

/// For a frame that has to come. A case that waits for one in vain has failed, so a busy machine gets time.
const FRAME_TIME_MS: &str = "3000";
const RUN_TIME_MAX: Duration = Duration::from_secs(600);
const START_TIME_MAX: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Each case, and whether it passed.
pub(super) type Cases = BTreeMap<String, bool>;

/// The suite's binary.
pub(super) struct Httpwg {
    binary: PathBuf,
}

impl Httpwg {
    /// Built into the target directory, where there is a server to compare with.
    pub(super) fn build() -> Outcome<Self> {
        if output(command("which").arg("nghttpd")).is_err() {
            return Err(Stop::Skipped(
                "nghttpd is not in PATH, which our server is compared with \
                 (Debian: apt-get install nghttp2-server)"
                    .to_owned(),
            ));
        }
        let target = target_dir().join("conformance-httpwg");
        let mut build = cargo();
        build.args(["build", "--locked", "--release", "--manifest-path"]);
        build
            .arg(root().join(MANIFEST))
            .arg("--target-dir")
            .arg(&target);
        // What the suite needs is not what the product needs: a machine that cannot build it goes without, and says so.
        run(&mut build)
            .map_err(|_| Stop::Skipped(format!("{MANIFEST} could not be built, see above")))?;
        let binary = target.join("release").join(BINARY);
        Ok(Self { binary })
    }

    /// Every case against a server of ours.
    pub(super) fn check(&self, server: &Server) -> Outcome<Cases> {
        self.run(server.addr(), PATH)
    }

    /// Every case against nghttpd.
    pub(super) fn check_nghttpd(&self) -> Outcome<Cases> {
        let files = target_dir().join("conformance/nghttpd");
        fs::create_dir_all(&files)
            .and_then(|()| fs::write(files.join("index.html"), "a body\n"))
            .map_err(|error| Stop::io(files.display(), &error))?;
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let addr = addr.map_err(|error| Stop::io("a free port", &error))?;
        let mut nghttpd = command("nghttpd");
        nghttpd.args(["--no-tls", "--address", "127.0.0.1", "--htdocs"]);
        nghttpd.arg(&files).arg(addr.port().to_string());
        nghttpd.stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Running::spawn(&mut nghttpd)?;
        let deadline = Instant::now() + START_TIME_MAX;
        while TcpStream::connect(addr).is_err() {
            if process.has_ended() || Instant::now() > deadline {
                return Err(Stop::Failed("nghttpd does not start".to_owned()));
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.run(&addr.to_string(), PATH_NGHTTPD)
    }

    fn run(&self, addr: &str, path: &str) -> Outcome<Cases> {
        let log = target_dir().join("conformance/httpwg.log");
        let file = fs::create_dir_all(target_dir().join("conformance"))
            .and_then(|()| fs::File::create(&log))
            .map_err(|error| Stop::io(log.display(), &error))?;
        let mut httpwg = command(&self.binary);
        httpwg
            .args([addr, path, FRAME_TIME_MS])
            .env("RUST_BACKTRACE", "0");
        httpwg.stdin(Stdio::null()).stdout(Stdio::null());
        let mut running = Running::spawn(httpwg.stderr(file))?;
        if running.wait(RUN_TIME_MAX)?.is_none() {
            return Err(Stop::Failed(format!("not done after {RUN_TIME_MAX:?}")));
        }
        let text = fs::read(&log).map_err(|error| Stop::io(log.display(), &error))?;
        let cases = parse(&String::from_utf8_lossy(&text));
        if cases.is_empty() {
            return Err(Stop::Failed(format!("no cases; see {}", log.display())));
        }
        Ok(cases)
    }
}

fn parse(text: &str) -> Cases {
    let named = |prefix: &'static str| {
        text.lines()
            .filter_map(move |line| Some(line.strip_prefix(prefix)?.to_owned()))
    };
    let mut cases: Cases = named("Running test: ").map(|case| (case, false)).collect();
    cases.extend(named("Test passed: ").map(|case| (case, true)));
    cases
}

/// Our verdicts beside nghttpd's.
pub(super) struct Comparison {
    pub(super) driver: &'static str,
    pub(super) count: usize,
    pub(super) passed: usize,
    pub(super) passed_by_nghttpd: usize,
    /// Cases that nghttpd passes and we do not.
    pub(super) behind: Vec<String>,
    /// Cases that neither passes.
    pub(super) neither: Vec<String>,
    /// Cases that we pass and nghttpd does not.
    pub(super) ahead: Vec<String>,
}

impl Comparison {
    pub(super) fn new(driver: &'static str, ours: &Cases, theirs: &Cases) -> Self {
        let passed = ours.values().filter(|passed| **passed).count();
        let mut comparison = Self {
            driver,
            count: theirs.len(),
            passed,
            passed_by_nghttpd: theirs.values().filter(|passed| **passed).count(),
            behind: Vec::new(),
            neither: Vec::new(),
            ahead: Vec::new(),
        };
        for (case, is_passed_by_nghttpd) in theirs {
            // A case that did not run is not passed.
            let is_passed = ours.get(case).copied().unwrap_or(false);
            let list = match (is_passed, is_passed_by_nghttpd) {
                (true, true) => continue,
                (false, true) => &mut comparison.behind,
                (false, false) => &mut comparison.neither,
                (true, false) => &mut comparison.ahead,
            };
            list.push(case.clone());
        }
        comparison
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        let complaint = |case: &String| format!("{}: {case}", self.driver);
        self.behind.iter().map(complaint).collect()
    }

    pub(super) fn line(&self) -> String {
        format!(
            "httpwg {}: {} of {} cases, nghttpd {}",
            self.driver, self.passed, self.count, self.passed_by_nghttpd
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
Running test: RFC 9113 :: 5. streams :: a
Test passed: RFC 9113 :: 5. streams :: a
Running test: RFC 9113 :: 5. streams :: b
Test failed: RFC 9113 :: 5. streams :: b
Running test: RFC 9113 :: 6. frames :: c
The application panicked (crashed).
";

    #[test]
    fn a_case_passes_only_by_saying_so() {
        let cases = parse(LOG);
        let passed: Vec<_> = cases.values().copied().collect();
        assert_eq!(passed, [true, false, false]);
        assert!(cases.contains_key("RFC 9113 :: 6. frames :: c"));
    }

    #[test]
    fn only_what_nghttpd_passes_is_owed() {
        let cases = |passed: &[bool]| {
            let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
            names
                .into_iter()
                .zip(passed.iter().copied())
                .collect::<Cases>()
        };
        // The last two did not run against us.
        let ours = cases(&[true, false, true]);
        let comparison = Comparison::new("uring", &ours, &cases(&[true, false, false, true, true]));
        assert_eq!(comparison.complaints(), ["uring: d", "uring: e"]);
        assert_eq!(comparison.neither, ["b"]);
        assert_eq!(comparison.ahead, ["c"]);
        assert_eq!((comparison.passed, comparison.count), (2, 5));
    }
}
