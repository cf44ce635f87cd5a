//! fio: what the file system gives to a program that does nothing else.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::rows::{Lab, found, number};
use crate::stop::{Outcome, Stop};

/// Bytes a second of contents of 512 KiB, past the page cache, sixteen under way, synced after each `batch`.
pub(super) fn write_512k(lab: &Lab, batch: u64) -> Outcome<f64> {
    let path = lab.directory.join("fio");
    let batch = format!("--fdatasync={batch}");
    let args = [
        "--rw=write",
        "--bs=512k",
        "--direct=1",
        "--ioengine=io_uring",
        "--iodepth=16",
        "--size=4g",
        &batch,
    ];
    let report = run(lab, &path, &args);
    // A fresh file each time, as the store's space is fresh.
    let _ = fs::remove_file(&path);
    number(&report?, &["write", "bw_bytes"])
}

/// Writes a second of 4 KiB, each synced before the next.
pub(super) fn write_4k(lab: &Lab) -> Outcome<f64> {
    let path = lab.directory.join("fio");
    let runtime = format!("--runtime={}", lab.seconds);
    let args = [
        "--rw=write",
        "--bs=4k",
        "--direct=1",
        "--ioengine=psync",
        "--fdatasync=1",
        "--size=1g",
        "--time_based",
        &runtime,
    ];
    let report = run(lab, &path, &args);
    let _ = fs::remove_file(&path);
    number(&report?, &["write", "iops"])
}

/// Bytes a second of random reads of 512 KiB from the first `size` bytes of a file, past the page cache, sixteen
/// under way.
pub(super) fn read_512k(lab: &Lab, path: &Path, size: u64) -> Outcome<f64> {
    let (runtime, size) = (
        format!("--runtime={}", lab.seconds),
        format!("--size={size}"),
    );
    let args = [
        "--readonly",
        "--rw=randread",
        "--bs=512k",
        "--direct=1",
        "--ioengine=io_uring",
        "--iodepth=16",
        "--time_based",
        &runtime,
        &size,
    ];
    number(&run(lab, path, &args)?, &["read", "bw_bytes"])
}

/// The report on the one job.
fn run(lab: &Lab, path: &Path, args: &[&str]) -> Outcome<Value> {
    let filename = format!("--filename={}", path.display());
    let mut fio = lab.on_server_core("fio");
    fio.args(["--name=peer", "--output-format=json", &filename])
        .args(args);
    let text = found("fio", "fio", &mut fio)?;
    // What it has to remark comes before the JSON.
    let start = text.find('{').unwrap_or_default();
    let mut report: Value = serde_json::from_str(&text[start..])
        .map_err(|error| Stop::Failed(format!("report of fio: {error}")))?;
    Ok(report["jobs"][0].take())
}
