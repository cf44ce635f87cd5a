//! What `hioload bench` is asked to do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hioload_blocks::BLOCK_SIZE_MAX;

use super::secure::Trust;
use super::sizes::Sizes;
use super::stamp::STAMP_SIZE;
use super::{BenchError, blocks};
use crate::cli::DriverArg;

/// Connections from one source address: above it the kernel's search for a free port gets slow.
const SOURCE_CONNECTIONS_MAX: usize = 14_000;

/// Bytes of a message, and of a block, unless told.
const MESSAGE_SIZE: usize = 64;
const BLOCK_SIZE: usize = 4096;

/// Prebuilt frames of all connections, bytes at most.
const FRAMES_SIZE_MAX: usize = 1 << 30;

/// What the load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Every connection sends and waits for its message to come back
    Echo,
    /// One connection publishes, the others receive and check every publication
    Broadcast,
    /// Connections that do nothing: what does one cost the server?
    Idle,
    /// Broadcast with subscribers that never read (10 % unless --stalled says otherwise)
    Slow,
    /// Handshakes as fast as possible
    Connect,
    /// New contents are stored, each different from all others
    #[value(alias = "put")]
    BlocksPut,
    /// Blocks are stored first, then read at random
    #[value(alias = "get")]
    BlocksGet,
    /// 70 % GET, 25 % PUT, 5 % DELETE
    #[value(alias = "mixed")]
    BlocksMixed,
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Broadcast => "broadcast",
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::Connect => "connect",
            Self::BlocksPut => "blocks-put",
            Self::BlocksGet => "blocks-get",
            Self::BlocksMixed => "blocks-mixed",
        }
    }

    /// The subcommand of a server that serves this work.
    pub(super) fn server(self) -> &'static str {
        match self {
            Self::Echo | Self::Connect => "echo",
            Self::Broadcast | Self::Idle | Self::Slow => "serve",
            Self::BlocksPut | Self::BlocksGet | Self::BlocksMixed => "serve",
        }
    }

    /// Whether it is about the block store.
    pub(crate) fn is_blocks(self) -> bool {
        matches!(self, Self::BlocksPut | Self::BlocksGet | Self::BlocksMixed)
    }

    fn is_broadcast(self) -> bool {
        matches!(self, Self::Broadcast | Self::Slow)
    }
}

/// How links that speak TLS begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Handshake {
    /// With a signature
    Full,
    /// With a ticket
    Resumed,
}

/// Options of `hioload bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// What to do
    pub(crate) work: Work,

    /// The server; without it one of our own is started for the run
    #[arg(long, value_name = "ADDR", help_heading = "Server")]
    pub(crate) connect: Option<SocketAddr>,

    /// The server's process, for its CPU time and memory
    #[arg(
        long,
        value_name = "PID",
        requires = "connect",
        help_heading = "Server"
    )]
    pub(crate) server_pid: Option<u32>,

    /// Core of the server that is started for the run
    #[arg(
        long,
        value_name = "CORE",
        conflicts_with = "connect",
        help_heading = "Server"
    )]
    pub(crate) server_cpu: Option<usize>,

    /// TLS: with a full handshake for each connection, or with tickets from the second one on. No certificate is
    /// looked at
    #[arg(
        long,
        value_name = "HANDSHAKE",
        num_args = 0..=1,
        default_missing_value = "full",
        help_heading = "Server"
    )]
    pub(crate) tls: Option<Handshake>,

    /// Path of the request
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/",
        help_heading = "Server"
    )]
    pub(crate) path: String,

    /// Arguments for the server that is started for the run, after `--`
    #[arg(last = true, value_name = "SERVER ARGS", conflicts_with = "connect")]
    pub(crate) server_args: Vec<String>,

    /// Connections; for broadcast this many subscribers, and the publisher on top
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value_t = 100,
        help_heading = "Load"
    )]
    pub(crate) connections: usize,

    /// Payload of a message (64), content of a block (4096; MIN..MAX: each doubling as likely), bytes
    #[arg(long, value_name = "BYTES", help_heading = "Load")]
    pub(crate) size: Option<Sizes>,

    /// Blocks that are stored before others are read (blocks-get, blocks-mixed)
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Load")]
    pub(crate) blocks: u64,

    /// The server is one of files, and DIR its root: blocks are written there as DIR/blocks/NAME (blocks-get)
    #[arg(long, value_name = "DIR", requires = "connect", help_heading = "Load")]
    pub(crate) static_files: Option<PathBuf>,

    /// Messages under way per connection (echo), handshakes at a time (connect: 256)
    #[arg(long, value_name = "K", help_heading = "Load")]
    pub(crate) in_flight: Option<usize>,

    /// Open loop: messages (echo) or publications (broadcast) a second in total; latency counts
    /// from the moment a message was due
    #[arg(long, value_name = "PER SECOND", help_heading = "Load")]
    pub(crate) rate: Option<f64>,

    /// Percentage of subscribers that never read
    #[arg(
        long,
        alias = "slow-percent",
        value_name = "PERCENT",
        help_heading = "Load"
    )]
    pub(crate) stalled: Option<u8>,

    /// Text messages instead of binary ones
    #[arg(long, help_heading = "Load")]
    pub(crate) text: bool,

    /// First source address; the third byte counts up every 14,000 connections. Loopback servers
    /// with more connections than that are reached from 127.0.1.1 on by default
    #[arg(long, alias = "source-addresses", value_name = "IP", num_args = 0..=1,
          default_missing_value = "127.0.1.1", help_heading = "Load")]
    pub(crate) source: Option<Ipv4Addr>,

    /// Core of the load
    #[arg(long, value_name = "CORE", help_heading = "Load")]
    pub(crate) cpu: Option<usize>,

    /// How the load does its own I/O
    #[arg(long, value_enum, default_value_t = DriverArg::Auto, help_heading = "Load")]
    pub(crate) driver: DriverArg,

    /// Length of the measured window, seconds
    #[arg(
        short = 's',
        long,
        value_name = "S",
        default_value_t = 5.0,
        help_heading = "Time"
    )]
    pub(crate) seconds: f64,

    /// Load before the window, seconds
    #[arg(long, value_name = "S", default_value_t = 1.0, help_heading = "Time")]
    pub(crate) warmup: f64,

    /// After the window, wait at most so long for what is under way, seconds
    #[arg(long, value_name = "S", default_value_t = 60.0, help_heading = "Time")]
    pub(crate) drain: f64,

    /// Idle: hold the connections so long, seconds (as --seconds)
    #[arg(long, value_name = "S", help_heading = "Time")]
    pub(crate) hold: Option<f64>,

    /// Idle: memory is first read at this many connections
    #[arg(long, value_name = "N", default_value_t = 2000, help_heading = "Time")]
    pub(crate) base: usize,

    /// Write the figures as JSON to FILE, or to stdout instead of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-",
          help_heading = "Output")]
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// What links that speak TLS share.
    pub(super) fn trust(&self) -> Result<Option<Trust>, BenchError> {
        let trust = |handshake| Trust::new(handshake == Handshake::Resumed);
        self.tls.map(trust).transpose()
    }

    /// Refuses what cannot be done.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        let refuse =
            |what: String, cause: &str, remedy: &str| Err(BenchError::usage(what, cause, remedy));
        if self.connections == 0 {
            return refuse(
                "--connections 0".into(),
                "there is nothing to do",
                "Use 1 or more",
            );
        }
        if self.in_flight == Some(0) {
            return refuse(
                "--in-flight 0".into(),
                "nothing would ever be sent",
                "Use 1 or more",
            );
        }
        if self.tls.is_some() && self.work.is_blocks() {
            return refuse(
                "--tls".into(),
                "the works over blocks speak HTTP in clear",
                "Use echo, broadcast, idle, slow or connect",
            );
        }
        self.check_sizes()?;
        if self.work.is_broadcast() && self.message_size() < STAMP_SIZE {
            return refuse(
                format!("--size {}", self.message_size()),
                "every publication carries its publisher, number and time in 20 bytes",
                "Use --size 20 or more",
            );
        }
        let frames_size = self
            .connections
            .saturating_mul(self.run_length())
            .saturating_mul(self.message_size());
        if self.work == Work::Echo && frames_size > FRAMES_SIZE_MAX {
            return refuse(
                format!("--connections × --in-flight × --size is {frames_size} bytes"),
                "the messages are built before the run, 1 GiB of them at most",
                "Lower one of the three",
            );
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e9)) {
            return refuse(
                "--rate".into(),
                "it is a number above 0, up to 1e9",
                "Leave it out for a closed loop",
            );
        }
        if self.stalled.is_some_and(|percent| percent > 100) {
            return refuse(
                "--stalled".into(),
                "a percentage ends at 100",
                "Use 0 to 100",
            );
        }
        for (name, seconds) in [
            ("--seconds", self.seconds),
            ("--warmup", self.warmup),
            ("--drain", self.drain),
            ("--hold", self.hold.unwrap_or(0.0)),
        ] {
            if !(0.0..=1e6).contains(&seconds) {
                return refuse(
                    format!("{name} {seconds}"),
                    "it is not a length of time",
                    "Use seconds from 0 to 1000000",
                );
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), BenchError> {
        let refuse =
            |what: String, cause: &str, remedy: &str| Err(BenchError::usage(what, cause, remedy));
        if !self.work.is_blocks() {
            if let Some(sizes) = self.size
                && sizes.is_range()
            {
                return refuse(
                    format!("--size {sizes}"),
                    "messages are all of one size",
                    "Name one",
                );
            }
            return Ok(());
        }
        let sizes = self.block_sizes();
        if sizes.min < blocks::STAMP_SIZE || sizes.max > BLOCK_SIZE_MAX as usize {
            return refuse(
                format!("--size {sizes}"),
                "a block has at most 512 KiB, and contents differ in their first 16 bytes",
                "Use sizes from 16 to 524288",
            );
        }
        if self.work == Work::BlocksGet && self.blocks == 0 {
            return refuse(
                "--blocks 0".into(),
                "there would be nothing to read",
                "Use 1 or more",
            );
        }
        if self.static_files.is_some() && self.work != Work::BlocksGet {
            return refuse(
                "--static-files".into(),
                "a server of files stores nothing",
                "Use it with blocks-get",
            );
        }
        Ok(())
    }

    /// Bytes of a message.
    pub(super) fn message_size(&self) -> usize {
        self.size.map_or(MESSAGE_SIZE, |sizes| sizes.max)
    }

    /// Bytes of a block.
    pub(super) fn block_sizes(&self) -> Sizes {
        self.size.unwrap_or(Sizes::one(BLOCK_SIZE))
    }

    /// The largest size of what is sent or received.
    pub(super) fn size_max(&self) -> usize {
        if self.work.is_blocks() {
            self.block_sizes().max
        } else {
            self.message_size()
        }
    }

    /// Subscribers that never read.
    pub(super) fn stalled_count(&self) -> usize {
        let percent = self
            .stalled
            .unwrap_or(if self.work == Work::Slow { 10 } else { 0 });
        self.connections * usize::from(percent) / 100
    }

    /// Messages a connection sends in one go at most.
    pub(super) fn run_length(&self) -> usize {
        self.in_flight.unwrap_or(1)
    }

    /// How long connections are held once they stand, where connecting is what is measured.
    pub(super) fn hold_seconds(&self) -> f64 {
        let default = if self.work == Work::Idle {
            self.seconds
        } else {
            0.0
        };
        self.hold.unwrap_or(default)
    }

    /// Where connection `link` comes from; `None` leaves it to the system.
    pub(super) fn source(&self, link: usize, to: SocketAddr) -> Option<SocketAddr> {
        let is_spread =
            to.ip().is_loopback() && to.is_ipv4() && self.connections > SOURCE_CONNECTIONS_MAX;
        let first = self
            .source
            .or(is_spread.then_some(Ipv4Addr::new(127, 0, 1, 1)))?;
        let step = u32::try_from(link / SOURCE_CONNECTIONS_MAX).unwrap_or(u32::MAX);
        let source = Ipv4Addr::from_bits(first.to_bits().wrapping_add(step << 8));
        Some(SocketAddr::new(IpAddr::V4(source), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Line::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .options
    }

    #[test]
    fn impossible_wishes_are_refused() {
        for line in [
            "echo --connections 0",
            "echo --in-flight 0",
            "broadcast --size 19",
            "slow --size 0",
            "echo --rate 0",
            "echo --rate nan",
            "slow --stalled 101",
            "echo --seconds=-1",
            "echo --hold inf",
            "echo -n 1000000 --size 1000000",
            "echo --size 1..2",
            "blocks-put --size 15",
            "blocks-put --size 524289",
            "blocks-get --blocks 0",
            "blocks-put --connect 127.0.0.1:9 --static-files d",
        ] {
            assert!(options(line).check().is_err(), "{line}");
        }
        for line in [
            "echo --size 0",
            "broadcast --size 20",
            "slow --stalled 100",
            "idle -n 1",
            "blocks-put --size 16..524288",
            "put --blocks 0",
            "get --blocks 1",
            "get --connect 127.0.0.1:9 --static-files d",
        ] {
            assert!(options(line).check().is_ok(), "{line}");
        }
    }

    #[test]
    fn slow_stalls_a_tenth_unless_told() {
        assert_eq!(options("slow -n 1000").stalled_count(), 100);
        assert_eq!(options("slow -n 1000 --slow-percent 0").stalled_count(), 0);
        assert_eq!(options("broadcast -n 1000").stalled_count(), 0);
        assert_eq!(options("broadcast -n 1000 --stalled 1").stalled_count(), 10);
    }

    #[test]
    fn many_connections_come_from_many_addresses() {
        let to: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        let source = |line: &str, link| options(line).source(link, to).map(|addr| addr.to_string());
        assert_eq!(source("idle -n 14000", 0), None);
        assert_eq!(source("idle -n 14001", 13_999), Some("127.0.1.1:0".into()));
        assert_eq!(source("idle -n 14001", 14_000), Some("127.0.2.1:0".into()));
        assert_eq!(
            source("idle -n 5 --source 127.0.9.2", 4),
            Some("127.0.9.2:0".into())
        );
        assert_eq!(
            source("idle -n 5 --source-addresses", 4),
            Some("127.0.1.1:0".into())
        );
    }

    #[test]
    fn json_goes_to_stdout_unless_a_file_is_named() {
        assert_eq!(options("echo").json, None);
        assert_eq!(options("echo --json").json, Some("-".into()));
        assert_eq!(options("echo --json x.json").json, Some("x.json".into()));
        assert_eq!(options("echo --json -").json, Some("-".into()));
    }

    #[test]
    fn what_follows_two_dashes_is_for_the_server() {
        assert_eq!(
            options("echo -n 2 -- --workers 2").server_args,
            ["--workers", "2"]
        );
    }
}
