//! h2load: many streams on a few connections, all asking for the same thing.

use super::super::measure::cpu_ns;
use super::super::rows::{Lab, found};
use crate::stop::{Outcome, Stop};

/// Connections, and streams on each.
const SHAPE: [&str; 2] = ["--clients=8", "--max-concurrent-streams=32"];
/// Requests that nobody counts: caches fill, processors wake.
const WARMUP: &str = "--requests=20000";

/// What one run gave.
pub(super) struct Measured {
    pub(super) per_cpu_second: f64,
    pub(super) per_second: f64,
    /// CPU time of the server for one request, in ns.
    pub(super) cpu_ns_each: f64,
}

/// Requests for one path, of a server whose CPU time is that of `pid`.
pub(super) fn measure(lab: &Lab, addr: &str, pid: u32, path: &str) -> Outcome<Measured> {
    let url = format!("http://{addr}{path}");
    run(lab, &url, WARMUP)?;
    let before = cpu_ns(pid)?;
    let text = run(lab, &url, &format!("--duration={}", lab.seconds))?;
    // The whole run counts on both sides: connecting is eight connections, and what is under way at the end is
    // neither more than at the beginning nor much.
    let cpu_ns = cpu_ns(pid)? - before;
    let requests = requests(&text).ok_or_else(|| Stop::Failed(format!("h2load said: {text}")))?;
    let requests = requests as f64;
    Ok(Measured {
        per_cpu_second: requests * 1e9 / cpu_ns as f64,
        per_second: requests / lab.seconds as f64,
        cpu_ns_each: cpu_ns as f64 / requests,
    })
}

fn run(lab: &Lab, url: &str, amount: &str) -> Outcome<String> {
    let mut h2load = lab.on_load_core("h2load");
    h2load.args(SHAPE).args([amount, url]);
    found("h2load", "nghttp2-client", &mut h2load)
}

/// Requests that were answered with 2xx, when all were. Heads of answers that were not whole at the end count in the status
/// codes alone.
fn requests(text: &str) -> Option<u64> {
    let field = |line: &str, unit: &str| {
        let text = text.lines().find(|text| text.starts_with(line))?;
        let field = text[line.len()..]
            .split(',')
            .find(|it| it.ends_with(unit))?;
        field.trim().split(' ').next()?.parse::<u64>().ok()
    };
    let done = field("requests: ", " done")?;
    let good = field("status codes: ", " 2xx")?;
    let mut bad = 0;
    for unit in [" failed", " errored", " timeout"] {
        bad += field("requests: ", unit)?;
    }
    for unit in [" 3xx", " 4xx", " 5xx"] {
        bad += field("status codes: ", unit)?;
    }
    (good >= done && bad == 0 && done > 0).then_some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
finished in 2.00s, 640062.50 req/s, 2.46GB/s
requests: 1280125 total, 1280381 started, 1280125 done, 1280125 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 1280125 2xx, 0 3xx, 0 4xx, 0 5xx
";

    #[test]
    fn the_count_of_requests_is_found() {
        assert_eq!(requests(GOOD), Some(1_280_125));
        let under_way = GOOD.replace("1280125 2xx", "1280130 2xx");
        assert_eq!(requests(&under_way), Some(1_280_125));
    }

    #[test]
    fn a_run_with_errors_is_no_figure() {
        assert_eq!(requests(&GOOD.replace(" 0 failed", " 3 failed")), None);
        assert_eq!(requests(&GOOD.replace(" 0 5xx", " 1 5xx")), None);
        assert_eq!(requests(&GOOD.replace("1280125 2xx", "0 2xx")), None);
        assert_eq!(requests("Could not connect"), None);
    }
}
