//! h2-tunnels: WebSocket over HTTP/2 on one connection, and uploads beside it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::super::rows::Lab;
use crate::process::{Running, target_dir};
use crate::stop::{Outcome, Stop};

/// Opening, warming up and closing may take this long beside the window.
const OVERHEAD_MAX: Duration = Duration::from_secs(30);

/// The report of one run in which no message was lost.
pub(super) fn measure(lab: &Lab, addr: &str, pid: u32, args: &[&str]) -> Outcome<Value> {
    let mut load = lab.on_load_core(target_dir().join("release/h2-tunnels"));
    load.args(["--connect", addr, "--server-pid", &pid.to_string()]);
    load.args(["--seconds", &lab.seconds.to_string()])
        .args(args);
    load.stdin(Stdio::null()).stdout(Stdio::piped());
    let limit = Duration::from_secs(lab.seconds) + OVERHEAD_MAX;
    let text = Running::spawn(&mut load)?.finish(limit)?;
    let report: Value = serde_json::from_str(text.trim())
        .map_err(|error| Stop::Failed(format!("report of the load: {error}: {text}")))?;
    if report["lost"].as_u64() != Some(0) {
        return Err(Stop::Failed(format!("lost: {}", report["lost"])));
    }
    Ok(report)
}
