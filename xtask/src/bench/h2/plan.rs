//! What is measured and what it must reach, as data, and how one round of each is made.

use super::super::bars::Bound;
use super::super::rows::{Lab, Nginx, Row, Sample, number};
use super::h2load::{self, Measured};
use super::peers::{Nghttpd, peer};
use super::tunnels;
use crate::process::Server;
use crate::stop::{Outcome, Stop};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "get-nghttpd",
        text: "h2load 8×32, GET 4 KiB, × nghttpd with a file",
        unit: "GET per CPU-second",
        bound: Bound::AtLeast(0.6),
        measure: |lab, round| get(lab, round, nghttpd),
    },
    Row {
        name: "get-nginx",
        text: "h2load 8×32, GET 4 KiB, × nginx with a file",
        unit: "GET per CPU-second",
        bound: Bound::AtLeast(3.0),
        measure: |lab, round| get(lab, round, nginx),
    },
    Row {
        name: "get-hyper",
        text: "h2load 8×32, GET 4 KiB, × hyper from memory",
        unit: "GET per CPU-second",
        bound: Bound::AtLeast(1.5),
        measure: |lab, round| get(lab, round, hyper),
    },
    Row {
        name: "tunnels",
        text: "100 tunnels on one connection, echo of 64 B, × hyper with fastwebsockets",
        unit: "messages per CPU-second",
        bound: Bound::AtLeast(1.5),
        measure: echo,
    },
    Row {
        name: "tunnel-beside-put",
        text: "p99 of 64 B beside PUTs of 512 KiB, × (twice the p99 alone and the time of a frame)",
        unit: "µs",
        bound: Bound::AtMost(1.0),
        measure: |lab, round| beside_put(lab, round, UPLOADS),
    },
    Row {
        name: "tunnel-beside-one-put",
        text: "the same, one PUT at a time",
        unit: "µs",
        bound: Bound::AtMost(1.0),
        measure: |lab, round| beside_put(lab, round, UPLOAD),
    },
];

const CONTENT: [u8; 4096] = [7; 4096];
/// Payload of the largest frame that needs nobody's consent.
const FRAME_SIZE: f64 = 16_384.0;

const TUNNELS: &[&str] = &["--tunnels", "100", "--size", "64"];
/// A server of broadcasts echoes nothing: one tunnel sends, another receives.
const RELAY: &[&str] = &["--tunnels", "2", "--relay", "--size", "64"];
/// Enough that one is always on its way while others wait for their answer.
const UPLOADS: &[&str] = &["--uploads", "4", "--upload-size", "524288"];
const UPLOAD: &[&str] = &["--uploads", "1", "--upload-size", "524288"];

fn get(lab: &Lab, round: usize, theirs: fn(&Lab) -> Outcome<Measured>) -> Outcome<Sample> {
    let ours = || {
        let server = lab.serve(&[])?;
        let path = server.store(&CONTENT)?;
        h2load::measure(lab, server.addr(), server.pid(), &path)
    };
    let (ours, theirs) = lab.both(round, ours, || theirs(lab))?;
    Ok(Sample {
        ours: ours.per_cpu_second,
        peer: Some(theirs.per_cpu_second),
        notes: vec![
            ("server CPU of a GET, µs", ours.cpu_ns_each / 1e3),
            ("the peer's, µs", theirs.cpu_ns_each / 1e3),
            ("GET/s", ours.per_second),
            ("GET/s of the peer", theirs.per_second),
        ],
    })
}

fn nghttpd(lab: &Lab) -> Outcome<Measured> {
    let nghttpd = Nghttpd::start(lab, &CONTENT)?;
    h2load::measure(lab, nghttpd.addr(), nghttpd.pid(), "/content")
}

fn nginx(lab: &Lab) -> Outcome<Measured> {
    let nginx = Nginx::start_h2(lab)?;
    let path = nginx.root().join("content");
    std::fs::write(&path, CONTENT).map_err(|error| Stop::io(path.display(), &error))?;
    h2load::measure(lab, nginx.addr(), nginx.pid(), "/content")
}

fn hyper(lab: &Lab) -> Outcome<Measured> {
    let hyper = peer(lab, "peer-hyper-h2")?;
    h2load::measure(lab, hyper.addr(), hyper.pid(), "/content")
}

fn echo(lab: &Lab, round: usize) -> Outcome<Sample> {
    let load = |server: &Server| tunnels::measure(lab, server.addr(), server.pid(), TUNNELS);
    let ours = || load(&lab.echo()?);
    let theirs = || load(&peer(lab, "peer-hyper-h2")?);
    let (ours, theirs) = lab.both(round, ours, theirs)?;
    let second = load(&peer(lab, "peer-h2")?)?;
    let cpu_ns_each = |report| number(report, &["server_cpu_ns_per_message"]);
    let (ours_each, theirs_each) = (cpu_ns_each(&ours)?, cpu_ns_each(&theirs)?);
    let second_each = cpu_ns_each(&second)?;
    Ok(Sample {
        ours: 1e9 / ours_each,
        peer: Some(1e9 / theirs_each),
        notes: vec![
            ("server CPU of a message, µs", ours_each / 1e3),
            ("hyper's, µs", theirs_each / 1e3),
            ("the h2 crate's without hyper, µs", second_each / 1e3),
            ("× the h2 crate without hyper", second_each / ours_each),
            ("messages/s", number(&ours, &["messages_per_second"])?),
            ("p99, µs", number(&ours, &["latency_ns", "p99"])? / 1e3),
        ],
    })
}

fn beside_put(lab: &Lab, round: usize, uploads: &[&str]) -> Outcome<Sample> {
    let load = |more: &[&str]| {
        let server = lab.serve(&[])?;
        let args = [RELAY, more].concat();
        tunnels::measure(lab, server.addr(), server.pid(), &args)
    };
    let (beside, alone) = lab.both(round, || load(uploads), || load(&[]))?;
    let p99 = |report| Ok::<_, Stop>(number(report, &["latency_ns", "p99"])? / 1e3);
    let (beside_p99, alone_p99) = (p99(&beside)?, p99(&alone)?);
    let bytes_per_second = number(&beside, &["uploaded_bytes_per_second"])?;
    let frame_time = FRAME_SIZE / bytes_per_second * 1e6;
    Ok(Sample {
        ours: beside_p99,
        peer: Some(2.0 * alone_p99 + frame_time),
        notes: vec![
            ("p99 alone, µs", alone_p99),
            ("time of a frame, µs", frame_time),
            (
                "p50 beside, µs",
                number(&beside, &["latency_ns", "p50"])? / 1e3,
            ),
            (
                "p50 alone, µs",
                number(&alone, &["latency_ns", "p50"])? / 1e3,
            ),
            ("uploads, MB/s", bytes_per_second / 1e6),
        ],
    })
}
