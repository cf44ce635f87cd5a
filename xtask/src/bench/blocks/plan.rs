//! What is measured and what it must reach, as data, and how one round of each is made.

use serde_json::Value;

use super::super::bars::Bound;
use super::super::rows::{Lab, Nginx, Row, Sample, StoreServer, number, remove};
use super::{fio, wrk};
use crate::process::{command, output, run};
use crate::stop::{Outcome, Stop};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "put-512k",
        text: "PUT 512 KiB ×16 durable, × the lower of fio (a sync per batch) and SHA-256 on one core",
        unit: "MB/s",
        bound: Bound::AtLeast(0.8),
        measure: put_512k,
    },
    Row {
        name: "put-4k",
        text: "PUT 4 KiB ×64 durable, × fio (a sync per write, one at a time)",
        unit: "PUT/s",
        bound: Bound::AtLeast(3.0),
        measure: put_4k,
    },
    Row {
        name: "get-512k-uncached",
        text: "GET 512 KiB ×16 of 2 GiB, × fio random reads, 16 under way",
        unit: "MB/s",
        bound: Bound::AtLeast(0.9),
        measure: get_512k_uncached,
    },
    Row {
        name: "get-4k-hot",
        text: "GET 4 KiB ×64 hot, × nginx",
        unit: "GET per CPU-second",
        bound: Bound::AtLeast(1.0),
        measure: get_4k_hot,
    },
    Row {
        name: "get-512k-hot",
        text: "GET 512 KiB ×16 hot, × nginx",
        unit: "MB per CPU-second",
        bound: Bound::AtLeast(0.8),
        measure: get_512k_hot,
    },
    Row {
        name: "mixed-p99",
        text: "p99 of GET beside PUT and DELETE, × GET alone (1 KiB to 512 KiB, ×16)",
        unit: "µs",
        bound: Bound::AtMost(3.0),
        measure: mixed_p99,
    },
    Row {
        name: "memory",
        text: "resident memory beside the index, a million blocks, mixed load ×64",
        unit: "MiB",
        bound: Bound::AtMost(64.0),
        measure: memory,
    },
    Row {
        name: "start",
        text: "from start to listening, a million blocks, index not cached",
        unit: "s",
        bound: Bound::AtMost(5.0),
        measure: start,
    },
];

/// Blocks in the index of the rows that are about many.
const MANY_BLOCKS: &str = "1000000";

/// Blocks of 512 KiB that are more than any cache of the server: 2 GiB.
const UNCACHED_BLOCKS: u64 = 4096;

const PUT_512K: &[&str] = &["blocks-put", "-n", "16", "--size", "512KiB"];
const PUT_4K: &[&str] = &["blocks-put", "-n", "64", "--size", "4KiB"];
const GET_4K: &[&str] = &[
    "blocks-get",
    "-n",
    "64",
    "--size",
    "4KiB",
    "--blocks",
    "1000",
];
const GET_512K: &[&str] = &[
    "blocks-get",
    "-n",
    "16",
    "--size",
    "512KiB",
    "--blocks",
    "8",
];
const SPREAD: &[&str] = &["-n", "16", "--size", "1KiB..512KiB", "--blocks", "2000"];

const MEGABYTE: f64 = 1e6;

fn put_512k(lab: &Lab, _: usize) -> Outcome<Sample> {
    // fio has to know how many contents share a sync.
    let server = lab.serve(&[])?;
    let durable = server.load(lab, PUT_512K)?;
    let batch = number(&server.stats()?, &["controller", "batch", "mean"])?;
    drop(server);
    let per_sync = (batch.round() as u64).max(1);
    let (fio, sha256) = (fio::write_512k(lab, per_sync)?, sha256(lab)?);
    let relaxed = lab
        .serve(&["--durability", "relaxed"])?
        .load(lab, PUT_512K)?;
    Ok(Sample {
        ours: bytes_per_second(&durable)? / MEGABYTE,
        peer: Some(fio.min(sha256) / MEGABYTE),
        notes: vec![
            ("relaxed, MB/s", bytes_per_second(&relaxed)? / MEGABYTE),
            ("fio, MB/s", fio / MEGABYTE),
            ("SHA-256, MB/s", sha256 / MEGABYTE),
            ("PUTs of a batch", batch),
            ("server CPU of a PUT, µs", cpu_ns_each(&durable)? / 1e3),
            ("p99, ms", number(&durable, &["latency_ns", "p99"])? / 1e6),
        ],
    })
}

/// Bytes a second.
fn sha256(lab: &Lab) -> Outcome<f64> {
    let text = output(lab.helper().args(["sha256", &lab.seconds.to_string()]))?;
    let report: Value = serde_json::from_str(text.trim())
        .map_err(|error| Stop::Failed(format!("{text}: {error}")))?;
    number(&report, &["bytes_per_second"])
}

fn put_4k(lab: &Lab, round: usize) -> Outcome<Sample> {
    let ours = || {
        let server = lab.serve(&[])?;
        Ok((server.load(lab, PUT_4K)?, server.stats()?))
    };
    let ((report, stats), fio) = lab.both(round, ours, || fio::write_4k(lab))?;
    Ok(Sample {
        ours: number(&report, &["messages_per_second"])?,
        peer: Some(fio),
        notes: vec![
            (
                "PUTs of a batch",
                number(&stats, &["controller", "batch", "mean"])?,
            ),
            (
                "sync of the data, µs",
                number(&stats, &["controller", "sync_ns", "mean"])? / 1e3,
            ),
            (
                "commit of the index, µs",
                number(&stats, &["controller", "commit_ns", "mean"])? / 1e3,
            ),
            ("server CPU of a PUT, µs", cpu_ns_each(&report)? / 1e3),
            ("p99, ms", number(&report, &["latency_ns", "p99"])? / 1e6),
        ],
    })
}

fn get_512k_uncached(lab: &Lab, _: usize) -> Outcome<Sample> {
    let server = lab.serve(&[])?;
    let blocks = UNCACHED_BLOCKS.to_string();
    let args = [
        "blocks-get",
        "-n",
        "16",
        "--size",
        "512KiB",
        "--blocks",
        &blocks,
    ];
    let report = server.load(lab, &args)?;
    // The same file, while nobody asks the server for anything.
    let data = server.directory.join("blocks.dat");
    let fio = fio::read_512k(lab, &data, UNCACHED_BLOCKS << 19)?;
    Ok(Sample {
        ours: bytes_per_second(&report)? / MEGABYTE,
        peer: Some(fio / MEGABYTE),
        notes: vec![
            ("server CPU of a GET, µs", cpu_ns_each(&report)? / 1e3),
            ("p99, ms", number(&report, &["latency_ns", "p99"])? / 1e6),
        ],
    })
}

fn get_4k_hot(lab: &Lab, round: usize) -> Outcome<Sample> {
    let content = [7; 4096];
    let ours = || {
        let server = lab.serve(&[])?;
        let report = server.load(lab, GET_4K)?;
        let path = server.store(&content)?;
        let second = wrk::requests_per_cpu_second(lab, server.addr(), server.pid(), &path);
        Ok((report, optional(second)?))
    };
    let theirs = || {
        let nginx = Nginx::start(lab)?;
        let report = get_files(lab, &nginx, GET_4K)?;
        let path = nginx.root().join("one");
        std::fs::write(&path, content).map_err(|error| Stop::io(path.display(), &error))?;
        let second = wrk::requests_per_cpu_second(lab, nginx.addr(), nginx.pid(), "/one");
        Ok((report, optional(second)?))
    };
    let ((ours, our_second), (theirs, their_second)) = lab.both(round, ours, theirs)?;
    let mut notes = vec![
        ("GET/s", number(&ours, &["messages_per_second"])?),
        ("GET/s of nginx", number(&theirs, &["messages_per_second"])?),
        ("server CPU of a GET, µs", cpu_ns_each(&ours)? / 1e3),
        ("nginx's CPU of a GET, µs", cpu_ns_each(&theirs)? / 1e3),
    ];
    if let (Some(ours), Some(theirs)) = (our_second, their_second) {
        notes.push(("ratio by wrk", ours / theirs));
    }
    Ok(Sample {
        ours: 1e9 / cpu_ns_each(&ours)?,
        peer: Some(1e9 / cpu_ns_each(&theirs)?),
        notes,
    })
}

fn get_512k_hot(lab: &Lab, round: usize) -> Outcome<Sample> {
    let ours = || lab.serve(&[])?.load(lab, GET_512K);
    let theirs = || get_files(lab, &Nginx::start(lab)?, GET_512K);
    let (ours, theirs) = lab.both(round, ours, theirs)?;
    Ok(Sample {
        ours: bytes_per_cpu_second(&ours)? / MEGABYTE,
        peer: Some(bytes_per_cpu_second(&theirs)? / MEGABYTE),
        notes: vec![
            ("MB/s", bytes_per_second(&ours)? / MEGABYTE),
            ("MB/s of nginx", bytes_per_second(&theirs)? / MEGABYTE),
            ("server CPU of a GET, µs", cpu_ns_each(&ours)? / 1e3),
        ],
    })
}

fn get_files(lab: &Lab, nginx: &Nginx, args: &[&str]) -> Outcome<Value> {
    let root = nginx.root().display().to_string();
    let args = [args, &["--static-files", &root]].concat();
    lab.load(nginx.addr(), nginx.pid(), &args)
}

fn mixed_p99(lab: &Lab, round: usize) -> Outcome<Sample> {
    let load = |work| {
        let args = [&[work], SPREAD].concat();
        lab.serve(&[])?.load(lab, &args)
    };
    let (mixed, alone) = lab.both(round, || load("blocks-mixed"), || load("blocks-get"))?;
    let p99 = |report: &Value, method| {
        let path = ["blocks", "by_method", method, "latency_ns", "p99"];
        Ok(number(report, &path)? / 1e3)
    };
    Ok(Sample {
        ours: p99(&mixed, "GET")?,
        peer: Some(p99(&alone, "GET")?),
        notes: vec![
            ("p99 of PUT, µs", p99(&mixed, "PUT")?),
            ("requests/s", number(&mixed, &["messages_per_second"])?),
            ("GET/s alone", number(&alone, &["messages_per_second"])?),
        ],
    })
}

fn memory(lab: &Lab, _: usize) -> Outcome<Sample> {
    let server = start_with_many(lab, false)?;
    let load = ["-n", "64", "--size", "1KiB..512KiB", "--blocks", "2000"];
    let report = server.load(lab, &[&["blocks-mixed"], &load[..]].concat())?;
    let beside = number(&report, &["blocks", "server_rss_beside_index"])?;
    let mebibyte = f64::from(1 << 20);
    Ok(Sample {
        ours: beside / mebibyte,
        peer: None,
        notes: vec![(
            "with the index, MiB",
            number(&report, &["server_rss_max"])? / mebibyte,
        )],
    })
}

fn start(lab: &Lab, _: usize) -> Outcome<Sample> {
    let cold = start_with_many(lab, true)?.start_time;
    let warm = start_with_many(lab, false)?.start_time;
    Ok(Sample {
        ours: cold.as_secs_f64(),
        peer: None,
        notes: vec![("again, s", warm.as_secs_f64())],
    })
}

/// A server whose index has many blocks, of which nothing is in memory when it starts `cold`.
fn start_with_many(lab: &Lab, is_cold: bool) -> Outcome<StoreServer> {
    let directory = lab.directory.join("many");
    let done = lab.directory.join("many.done");
    if !done.exists() {
        remove(&directory)?;
        run(lab.helper().arg("fill").arg(&directory).arg(MANY_BLOCKS))?;
        std::fs::write(&done, "").map_err(|error| Stop::io(done.display(), &error))?;
    }
    if is_cold {
        let index = format!("if={}", directory.join("index.mdbx").display());
        // Of all its options, this one asks the kernel to forget the whole file.
        output(command("dd").args([&index, "iflag=nocache", "count=0"]))?;
    }
    lab.serve_in(&directory, &[])
}

/// A second opinion may be missing, with a loud word.
fn optional(second: Outcome<f64>) -> Outcome<Option<f64>> {
    match second {
        Ok(figure) => Ok(Some(figure)),
        Err(Stop::Skipped(why)) => {
            eprintln!("NO SECOND OPINION: {why}");
            Ok(None)
        }
        Err(stop) => Err(stop),
    }
}

fn bytes_per_second(report: &Value) -> Outcome<f64> {
    number(report, &["blocks", "bytes_per_second"])
}

fn cpu_ns_each(report: &Value) -> Outcome<f64> {
    number(report, &["server_cpu_ns_per_message"])
}

fn bytes_per_cpu_second(report: &Value) -> Outcome<f64> {
    Ok(number(report, &["blocks", "bytes"])? * 1e9 / number(report, &["server_cpu_ns"])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rows_are_unique() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(
                !ROWS[..index].iter().any(|other| other.name == row.name),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn figures_come_from_the_report() {
        let report = serde_json::json!({
            "server_cpu_ns": 5_000, "server_cpu_ns_per_message": 50.0, "blocks": {"bytes": 10, "bytes_per_second": 4},
        });
        assert_eq!(cpu_ns_each(&report).ok(), Some(50.0));
        assert_eq!(bytes_per_second(&report).ok(), Some(4.0));
        assert_eq!(bytes_per_cpu_second(&report).ok(), Some(2_000_000.0));
        assert!(bytes_per_second(&serde_json::json!({})).is_err());
    }
}
