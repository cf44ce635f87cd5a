//! The server as a process: its account in `/proc`, its core, and its life when it is our child.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::BenchError;

/// How long a server may take to end after SIGTERM before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(2);

/// What the kernel has on a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pid: u32,
}

impl Account {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// The account of this process.
    pub(super) fn own() -> Self {
        Self::new(std::process::id())
    }

    /// CPU time of all its threads, nanoseconds.
    pub(super) fn cpu_ns(self) -> Result<u64, BenchError> {
        let path = format!("/proc/{}/task", self.pid);
        let tasks = fs::read_dir(&path).map_err(|_| self.gone())?;
        let mut sum = 0;
        let mut seen_count = 0;
        for task in tasks.flatten() {
            // A thread that ended between the two reads has no figure; its time is lost to us.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            if let Some(cpu_ns) = parse_schedstat(&text) {
                sum += cpu_ns;
                seen_count += 1;
            }
        }
        if seen_count > 0 {
            return Ok(sum);
        }
        // Kernels without CONFIG_SCHED_INFO have ticks only.
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        parse_stat_ticks(&text)
            .map(|ticks| ticks * tick_ns)
            .ok_or_else(|| self.gone())
    }

    /// Resident memory now, bytes.
    pub(super) fn rss(self) -> Result<u64, BenchError> {
        // The sum over the mappings is exact; the figure in `status` lags by pages per core.
        let rollup = self.kib("smaps_rollup", "Rss:");
        rollup
            .or_else(|| self.kib("status", "VmRSS:"))
            .ok_or_else(|| self.gone())
    }

    /// Highest resident memory it ever had, bytes.
    pub(super) fn rss_max(self) -> Result<u64, BenchError> {
        self.kib("status", "VmHWM:").ok_or_else(|| self.gone())
    }

    /// Resident memory now without what it maps of the file of this name, bytes.
    pub(super) fn rss_beside(self, name: &str) -> Result<u64, BenchError> {
        let text = fs::read_to_string(format!("/proc/{}/smaps", self.pid));
        text.map(|text| rss_beside(&text, name))
            .map_err(|_| self.gone())
    }

    fn kib(self, file: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid)).ok()?;
        parse_kib(&text, name)
    }

    fn gone(self) -> BenchError {
        BenchError::failed(
            format!("process {} has no account in /proc", self.pid),
            "the server ended, or --server-pid is not the server",
            "See the server's own output for the reason; it has to outlive the run",
        )
    }
}

fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// User and system time in ticks. The name in parentheses may itself have spaces and parentheses.
fn parse_stat_ticks(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Resident bytes of all mappings in `smaps` but those of the file of this name.
fn rss_beside(smaps: &str, name: &str) -> u64 {
    let mut is_other = true;
    let mut sum = 0;
    for line in smaps.lines() {
        if let Some(kib) = parse_kib(line, "Rss:") {
            sum += if is_other { kib } else { 0 };
        } else if line
            .split_whitespace()
            .next()
            .is_some_and(|word| !word.ends_with(':'))
        {
            // The first line of a mapping: addresses, …, and the path last.
            is_other = line.rsplit('/').next() != Some(name);
        }
    }
    sum
}

/// Binds the calling thread to one core.
pub(super) fn pin_thread(cpu: usize) -> Result<(), BenchError> {
    pin(None, cpu)
}

fn pin(pid: Option<Pid>, cpu: usize) -> Result<(), BenchError> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(no_such_cpu(cpu));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(pid, &set).map_err(|_| no_such_cpu(cpu))
}

fn no_such_cpu(cpu: usize) -> BenchError {
    BenchError::usage(
        format!("cannot run on core {cpu}"),
        "the machine or this process's cpuset does not have it",
        "`nproc` and `taskset -p $$` show what there is; see --cpu and --server-cpu",
    )
}

/// A server of our own: this binary, started for the run and ended after it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) addr: SocketAddr,
    /// Held open, so that what the server may still print does not fail.
    stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts `hioload ARGS --addr 127.0.0.1:0` on `cpu` and waits until it listens.
    pub(super) fn start(args: &[String], cpu: Option<usize>) -> Result<Self, BenchError> {
        let refused = |why: String| {
            BenchError::failed(
                "cannot start a server for the run".to_owned(),
                why,
                "Start one yourself and name it by --connect ADDR --server-pid PID",
            )
        };
        let binary = std::env::current_exe().map_err(|error| refused(error.to_string()))?;
        let mut child = Command::new(binary)
            .args(args)
            .args(["--addr", "127.0.0.1:0"])
            // No store where the run happens to be started, unless the arguments ask for one.
            .env("HIOLOAD_BLOCKS_DATA", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| refused(error.to_string()))?;
        let stdout = child.stdout.take().expect("invariant: stdout is piped");
        // From here on the child is ended whatever happens.
        let mut server = Self {
            child,
            addr: SocketAddr::from(([0; 4], 0)),
            stdout: None,
        };
        if let Some(cpu) = cpu {
            pin(Pid::from_raw(server.pid().cast_signed()), cpu)?;
        }
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        stdout
            .read_line(&mut line)
            .map_err(|error| refused(error.to_string()))?;
        server.stdout = Some(stdout);
        server.addr = parse_listening(&line)
            .ok_or_else(|| refused(format!("`hioload {}` does not listen", args.join(" "))))?;
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// The address of a line `listening on ADDR`.
fn parse_listening(line: &str) -> Option<SocketAddr> {
    line.trim().strip_prefix("listening on ")?.parse().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.pid().cast_signed()) {
            // An error means that it has ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END_TIME_MAX;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_schedstat("1234567 89 10\n"), Some(1_234_567));
        assert_eq!(parse_schedstat(""), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 25 17 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse_stat_ticks(stat), Some(42));
        assert_eq!(parse_stat_ticks("7 (a) S 1"), None);
        let status = "VmPeak:\t  200 kB\nVmHWM:\t    120 kB\nVmRSS:\t     64 kB\n";
        assert_eq!(parse_kib(status, "VmRSS:"), Some(64 * 1024));
        assert_eq!(parse_kib(status, "VmSwap:"), None);
    }

    #[test]
    fn a_mapped_file_can_be_left_out() {
        let smaps = "5580-5590 r-xp 00000000 fe:00 12 /usr/bin/hioload\nSize: 64 kB\nRss:   8 kB\n\
                     7f00-7f10 rw-s 00000000 fe:00 13 /data/index.mdbx\nRss: 100 kB\nPss: 1 kB\n\
                     7f20-7f30 rw-p 00000000 00:00 0\nRss: 4 kB\nVmFlags: rd wr\n";
        assert_eq!(rss_beside(smaps, "index.mdbx"), 12 * 1024);
        assert_eq!(rss_beside(smaps, "other"), 112 * 1024);
        assert!(
            Account::own()
                .rss_beside("other")
                .is_ok_and(|bytes| bytes > 4096)
        );
    }

    #[test]
    fn this_process_has_an_account() {
        let own = Account::own();
        assert!(own.cpu_ns().is_ok_and(|ns| ns > 0));
        assert!(own.rss().is_ok_and(|bytes| bytes > 4096));
        assert!(own.rss_max().is_ok_and(|bytes| bytes > 4096));
    }

    #[test]
    fn the_line_of_a_listening_server_is_understood() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9002));
        assert_eq!(parse_listening("listening on 127.0.0.1:9002\n"), Some(addr));
        assert_eq!(parse_listening("error: port in use"), None);
        assert_eq!(parse_listening(""), None);
    }
}
