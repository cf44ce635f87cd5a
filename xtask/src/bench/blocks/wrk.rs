//! wrk: a second opinion on what a request costs a server.

use super::super::rows::{Lab, found};
use crate::bench::measure::cpu_ns;
use crate::stop::{Outcome, Stop};

/// Requests per CPU-second of the server, 64 connections asking for the same thing.
pub(super) fn requests_per_cpu_second(lab: &Lab, addr: &str, pid: u32, path: &str) -> Outcome<f64> {
    let mut wrk = lab.on_load_core("wrk");
    wrk.args(["--threads", "1", "--connections", "64"]);
    wrk.args(["--duration", &format!("{}s", lab.seconds)]);
    wrk.arg(format!("http://{addr}{path}"));
    let before = cpu_ns(pid)?;
    let text = found("wrk", "wrk", &mut wrk)?;
    let cpu_ns = cpu_ns(pid)? - before;
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(Stop::Failed(format!("wrk met errors: {text}")));
    }
    let requests = requests(&text).ok_or_else(|| Stop::Failed(format!("wrk said: {text}")))?;
    Ok(requests as f64 * 1e9 / cpu_ns as f64)
}

/// From the line `  N requests in T, B read`.
fn requests(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_requests_is_found() {
        let text =
            "  Thread Stats   Avg\n  1234 requests in 2.00s, 5.00MB read\nRequests/sec: 617\n";
        assert_eq!(requests(text), Some(1234));
        assert_eq!(requests("unable to connect"), None);
    }
}
