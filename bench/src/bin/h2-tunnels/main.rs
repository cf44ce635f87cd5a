//! Load for WebSocket over HTTP/2 (RFC 8441), for any server of it: one connection, N tunnels, a message on its way in
//! each, judged when it arrives.
//!
//! ```text
//! h2-tunnels --connect ADDR --server-pid PID --tunnels N --size BYTES --seconds S [--warmup S] [--path PATH]
//!            [--relay] [--uploads N --upload-size BYTES]
//! ```
//!
//! - `--relay`: what the first of two tunnels sends arrives in the second, as a server of broadcasts does it;
//! - `--uploads`: so many `POST /blocks` at a time on the same connection, as fast as the server takes them.
//!
//! It prints one JSON object with the names that `hioload bench` has.

#![forbid(unsafe_code)]

mod connection;
mod load;
mod tunnel;
mod uploads;
mod wire;

use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crate::load::{Load, Measured, Plan};
use crate::tunnel::{SIZE_MAX, SIZE_MIN};

/// What the command line says.
struct Options {
    plan: Plan,
    server_pid: u32,
    time: Duration,
    warmup: Duration,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.and_then(|runtime| runtime.block_on(measure(options))) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("h2-tunnels: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: Options) -> io::Result<String> {
    let mut load = Load::open(options.plan).await?;
    load.run(options.warmup).await?;
    let cpu_ns_before = cpu_ns(options.server_pid)?;
    let measured = load.run(options.time).await?;
    let cpu_ns = cpu_ns(options.server_pid)? - cpu_ns_before;
    let lost = load.drain().await?;
    Ok(report(measured, cpu_ns, lost))
}

fn report(measured: Measured, cpu_ns: u64, lost: usize) -> String {
    let mut sorted = measured.latencies_ns;
    sorted.sort_unstable();
    let at = |share: f64| {
        let index = (sorted.len() as f64 * share) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1)))
    };
    let at = |share| at(share).copied().unwrap_or_default();
    let (messages, seconds) = (sorted.len(), measured.time.as_secs_f64());
    let cpu_ns_each = cpu_ns as f64 / messages.max(1) as f64;
    format!(
        "{{\"messages\":{messages},\"seconds\":{seconds},\"messages_per_second\":{},\"server_cpu_ns\":{cpu_ns},\
         \"server_cpu_ns_per_message\":{cpu_ns_each},\"lost\":{lost},\"uploaded_bytes_per_second\":{},\
         \"latency_ns\":{{\"p50\":{},\"p99\":{},\"p999\":{},\"max\":{}}}}}",
        messages as f64 / seconds,
        measured.uploaded as f64 / seconds,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    )
}

/// CPU time of all threads of a process, from the scheduler's own account.
fn cpu_ns(pid: u32) -> io::Result<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))?;
    let texts =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    let times = texts.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    Ok(times.sum())
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut plan = Plan {
        addr: String::new(),
        path: "/".to_owned(),
        tunnels: 1,
        size: 64,
        is_relay: false,
        uploads: 0,
        upload_size: 512 * 1024,
    };
    let (mut server_pid, mut seconds, mut warmup) = (None, 1.0, 0.5);
    while let Some(arg) = args.next() {
        if arg == "--relay" {
            plan.is_relay = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        let wrong = |_| format!("{arg} {value}: not a number");
        let number = || value.parse::<usize>().map_err(wrong);
        let time = || {
            let seconds = value.parse::<f64>();
            seconds.map_err(|_| format!("{arg} {value}: not a time"))
        };
        match arg.as_str() {
            "--connect" => plan.addr.clone_from(&value),
            "--path" => plan.path.clone_from(&value),
            "--tunnels" => plan.tunnels = number()?,
            "--size" => plan.size = number()?,
            "--uploads" => plan.uploads = number()?,
            "--upload-size" => plan.upload_size = number()?.max(8),
            "--server-pid" => server_pid = Some(number()? as u32),
            "--seconds" => seconds = time()?,
            "--warmup" => warmup = time()?,
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    if !(SIZE_MIN..=SIZE_MAX).contains(&plan.size) {
        return Err(format!("--size is from {SIZE_MIN} to {SIZE_MAX}"));
    }
    if plan.is_relay && plan.tunnels != 2 {
        return Err("--relay is for two tunnels".to_owned());
    }
    Ok(Options {
        plan,
        server_pid: server_pid.ok_or("--server-pid is missing")?,
        time: Duration::from_secs_f64(seconds),
        warmup: Duration::from_secs_f64(warmup),
    })
}
