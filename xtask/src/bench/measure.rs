//! One measurement: a fresh server pinned to its core, the load generator on another.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::bars::{Contender, Figure, Work};
use crate::process::{Running, Server, command, output};
use crate::stop::{Outcome, Stop};

/// Connecting, warming up and closing may take this long beside the measured window.
const OVERHEAD_MAX: Duration = Duration::from_secs(90);

/// Load before the measured window.
const WARMUP_SECONDS: &str = "0.5";

/// How often open sockets are counted.
const COUNT_INTERVAL: Duration = Duration::from_millis(200);

/// What measurements share.
pub(super) struct Bench {
    pub(super) hioload: PathBuf,
    /// Directory of the peers' binaries.
    pub(super) peers: PathBuf,
    pub(super) server_cpu: usize,
    pub(super) load_cpu: usize,
    pub(super) seconds: u64,
}

/// What one measurement found.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// What each process of the load generator reported.
    reports: Vec<Value>,
    /// Peak of the server's resident memory, in bytes, as the kernel has it.
    rss_peak: u64,
    /// Connections open at the same time, at most, as the kernel has it.
    connections_peak: u64,
    /// Share of the machine's time that its host gave to others meanwhile.
    pub(super) stolen: f64,
    /// Total of the memory plan in bytes, where the server has one.
    pub(super) plan: Option<u64>,
}

impl Bench {
    /// Runs `work` once against `contender`.
    pub(super) fn measure(&self, work: &Work, contender: Contender) -> Outcome<Sample> {
        let plan = match contender {
            Contender::Hioload => self.plan(work),
            _ => None,
        };
        let mut server = Server::start(&mut self.server_command(work, contender))?;
        let cpu_ns_before = cpu_ns(server.pid())?;
        let sockets_before = socket_count();
        let time_before = MachineTime::now();
        let (reports, sockets_peak) = while_counting(|| self.load(work, &server))?;
        if server.has_ended() {
            return Err(Stop::Failed("the server ended under load".to_owned()));
        }
        let cpu_ns_total = cpu_ns(server.pid())? - cpu_ns_before;
        let cpu_ns_reported: f64 = reports
            .iter()
            .map(|report| number(report, "server_cpu_ns"))
            .sum::<Outcome<f64>>()?;
        // Several processes see the same server, each in a window of its own.
        if cpu_ns_reported > (cpu_ns_total as f64) * 1.01 * reports.len() as f64 {
            return Err(Stop::Failed(format!(
                "the load generator reports {cpu_ns_reported} ns of server CPU, the kernel has \
                 {cpu_ns_total} ns for the whole run"
            )));
        }
        Ok(Sample {
            stolen: MachineTime::now().stolen_since(&time_before),
            rss_peak: rss_peak(server.pid())?,
            // Both ends of a connection are on this machine.
            connections_peak: sockets_peak.saturating_sub(sockets_before) / 2,
            reports,
            plan,
        })
    }

    fn server_command(&self, work: &Work, contender: Contender) -> Command {
        let mut server = command("taskset");
        // A server of many workers has the machine; the others have one core.
        if work.load_process_count == 1 {
            server.args(["--cpu-list", &self.server_cpu.to_string()]);
        } else {
            server.args([
                "--cpu-list",
                &format!("{},{}", self.server_cpu, self.load_cpu),
            ]);
        }
        match contender.peer_binary() {
            Some(binary) => server.arg(self.peers.join(binary)),
            None => server
                .arg(&self.hioload)
                .args(work.server)
                .args(["--admin", "off"]),
        };
        server.args(["--addr", "127.0.0.1:0"]).stderr(Stdio::null());
        server
    }

    /// Total of the memory plan for the server of this work.
    fn plan(&self, work: &Work) -> Option<u64> {
        // The first word of the server's arguments is its subcommand.
        let arguments = work.server.get(1..)?;
        let text = output(
            command(&self.hioload)
                .args(["plan", "--json"])
                .args(arguments),
        )
        .ok()?;
        serde_json::from_str::<Value>(&text).ok()?["total_bytes"].as_u64()
    }

    /// Runs the load generator, in as many processes as the work wants, to its end.
    fn load(&self, work: &Work, server: &Server) -> Outcome<Vec<Value>> {
        let seconds = self.seconds.max(work.seconds_min);
        let mut processes = Vec::new();
        for index in 0..work.load_process_count {
            let mut load = command(&self.hioload);
            load.arg("bench").args(work.load).args([
                "--connect",
                server.addr(),
                "--server-pid",
                &server.pid().to_string(),
                "--seconds",
                &seconds.to_string(),
                "--cpu",
                &self.load_cpu.to_string(),
                "--warmup",
                WARMUP_SECONDS,
                "--json",
            ]);
            if work.load_process_count > 1 {
                load.args(["--source", &format!("127.0.1.{}", index + 1)]);
            }
            load.stdin(Stdio::null()).stdout(Stdio::piped());
            processes.push(Running::spawn(&mut load)?);
        }
        let limit = Duration::from_secs(seconds) + OVERHEAD_MAX;
        processes
            .into_iter()
            .map(|process| {
                let text = process.finish(limit)?;
                serde_json::from_str(text.trim())
                    .map_err(|error| Stop::Failed(format!("report of the load: {error}: {text}")))
            })
            .collect()
    }
}

impl Sample {
    /// Value of a figure, or why the sample has none.
    pub(super) fn figure(&self, figure: Figure) -> Outcome<f64> {
        let sum = |name| self.reports.iter().map(|report| number(report, name)).sum();
        match figure {
            Figure::CpuPerMessage => {
                let cpu_ns = number(&self.reports[0], "server_cpu_ns")?;
                if cpu_ns > 0.0 {
                    Ok(cpu_ns / self.messages()?)
                } else {
                    Err(Stop::Failed("no server CPU time reported".to_owned()))
                }
            }
            Figure::MessagesPerCpuSecond => Ok(1e9 / self.figure(Figure::CpuPerMessage)?),
            Figure::Lost => sum("lost"),
            Figure::LatencyP99 => self.latency_ns("p99"),
            Figure::RssPeak => Ok(self.rss_peak as f64),
            Figure::Held => {
                let held: f64 = sum("connections_held")?;
                Ok(held.min(self.connections_peak as f64))
            }
        }
    }

    pub(super) fn messages(&self) -> Outcome<f64> {
        let messages: f64 = self
            .reports
            .iter()
            .map(|report| number(report, "messages"))
            .sum::<Outcome<f64>>()?;
        if messages > 0.0 {
            Ok(messages)
        } else {
            Err(Stop::Failed("no messages".to_owned()))
        }
    }

    pub(super) fn messages_per_second(&self) -> Outcome<f64> {
        Ok(self.messages()? / number(&self.reports[0], "seconds")?)
    }

    pub(super) fn latency_ns(&self, quantile: &str) -> Outcome<f64> {
        number(&self.reports[0]["latency_ns"], quantile)
    }

    pub(super) fn to_json(&self) -> Value {
        serde_json::json!({
            "reports": self.reports,
            "server_rss_peak": self.rss_peak,
            "connections_peak": self.connections_peak,
            "stolen": self.stolen,
            "plan": self.plan,
        })
    }

    /// The sample in a few words.
    pub(super) fn line(&self) -> String {
        let cpu = self
            .figure(Figure::CpuPerMessage)
            .map(|ns| format!("{:.3} µs/message", ns / 1e3));
        format!(
            "{}, {} MiB",
            cpu.unwrap_or_else(|_| "idle".to_owned()),
            self.rss_peak >> 20
        )
    }
}

fn number(report: &Value, name: &str) -> Outcome<f64> {
    report[name]
        .as_f64()
        .ok_or_else(|| Stop::Failed(format!("the load reports no {name}")))
}

/// CPU time of all threads of a process, from the scheduler's own account.
pub(super) fn cpu_ns(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).map_err(|error| Stop::io(&path, &error))?;
    let texts =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    Ok(texts
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum())
}

/// Time of all cores since boot, in ticks.
pub(super) struct MachineTime {
    total: u64,
    /// What the host of a virtual machine gave to others while this one wanted to run.
    stolen: u64,
    /// What all processes computed, and of that this one with the children it has waited for.
    computed: u64,
    own: u64,
}

impl MachineTime {
    pub(super) fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        // user nice system idle iowait irq softirq steal; what follows is counted in these already.
        let ticks: Vec<u64> = text
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|word| word.parse().ok())
            .collect();
        Self {
            total: ticks.iter().sum(),
            stolen: ticks.get(7).copied().unwrap_or(0),
            computed: ticks.iter().take(2).sum(),
            own: own_ticks(&fs::read_to_string("/proc/self/stat").unwrap_or_default()),
        }
    }

    /// Share of the machine's time in which processes that are not ours computed. Exact when all children
    /// of the time between have ended; what the kernel did for them is not in it.
    pub(super) fn foreign_since(&self, before: &Self) -> f64 {
        let own = self.own - before.own;
        let foreign = (self.computed - before.computed).saturating_sub(own);
        foreign as f64 / (self.total - before.total).max(1) as f64
    }

    pub(super) fn stolen_since(&self, before: &Self) -> f64 {
        (self.stolen - before.stolen) as f64 / (self.total - before.total).max(1) as f64
    }
}

/// User time in ticks of a process and of the children it has waited for. The name in parentheses may
/// itself have spaces and parentheses.
fn own_ticks(stat: &str) -> u64 {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return 0;
    };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u64>().ok())
    };
    ticks(11).unwrap_or(0) + ticks(13).unwrap_or(0)
}

/// Highest resident memory a process ever had.
fn rss_peak(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| Stop::io(&path, &error))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| Stop::Failed(format!("{path} has no VmHWM")))
}

/// TCP sockets in use on this machine.
fn socket_count() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("TCP: inuse "));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Runs `work` and gives its result with the highest number of sockets seen meanwhile.
fn while_counting<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, u64)> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let counter = scope.spawn(|| {
            let mut peak = 0;
            // Pairs with the release below; only the end of the loop depends on it.
            while !is_done.load(Ordering::Acquire) {
                peak = socket_count().max(peak);
                thread::sleep(COUNT_INTERVAL);
            }
            peak
        });
        let result = work();
        is_done.store(true, Ordering::Release);
        let peak = counter.join().expect("invariant: counting does not panic");
        Ok((result?, peak))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(report: Value) -> Sample {
        Sample {
            reports: vec![report],
            rss_peak: 0,
            connections_peak: 7,
            stolen: 0.0,
            plan: None,
        }
    }

    #[test]
    fn figures_come_from_the_report() {
        let sample = sample(serde_json::json!({
            "messages": 1000, "seconds": 2.0, "server_cpu_ns": 5_000_000, "lost": 3,
            "latency_ns": {"p99": 80_000}, "connections_held": 9,
        }));
        assert_eq!(sample.figure(Figure::CpuPerMessage).ok(), Some(5000.0));
        assert_eq!(
            sample.figure(Figure::MessagesPerCpuSecond).ok(),
            Some(200_000.0)
        );
        assert_eq!(sample.figure(Figure::Lost).ok(), Some(3.0));
        assert_eq!(sample.figure(Figure::LatencyP99).ok(), Some(80_000.0));
        assert_eq!(sample.messages_per_second().ok(), Some(500.0));
        // Held is what the kernel confirms.
        assert_eq!(sample.figure(Figure::Held).ok(), Some(7.0));
    }

    #[test]
    fn what_the_report_lacks_is_no_figure() {
        let idle = sample(serde_json::json!({"messages": 10, "server_cpu_ns": 0}));
        assert!(idle.figure(Figure::CpuPerMessage).is_err());
        let sample = sample(serde_json::json!({"messages": 0, "server_cpu_ns": 1}));
        assert!(sample.figure(Figure::CpuPerMessage).is_err());
        assert!(sample.figure(Figure::Lost).is_err());
        assert!(sample.figure(Figure::LatencyP99).is_err());
    }

    #[test]
    fn what_children_computed_is_our_own() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 25 17 300 4 20 0 1 0 5 6 7";
        assert_eq!(own_ticks(stat), 325);
        assert_eq!(own_ticks(""), 0);
        let time = |computed, own| MachineTime {
            total: computed * 2,
            stolen: 0,
            computed,
            own,
        };
        assert!((time(200, 90).foreign_since(&time(100, 0)) - 0.05).abs() < 1e-9);
        // Ticks of one clock may run ahead of the other's.
        assert!(time(200, 101).foreign_since(&time(100, 0)).abs() < 1e-9);
    }

    #[test]
    fn the_kernel_accounts_for_this_process() {
        let pid = std::process::id();
        assert!(cpu_ns(pid).is_ok_and(|ns| ns > 0));
        assert!(rss_peak(pid).is_ok_and(|bytes| bytes > 4096));
        let time = MachineTime::now();
        assert!(time.total > time.stolen);
        assert!((0.0..=1.0).contains(&MachineTime::now().stolen_since(&time)));
    }
}
