//! What is measured and what it must reach, as data.

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contender {
    Hioload,
    Fastwebsockets,
    Tungstenite,
    TungsteniteHub,
    TokioRustls,
}

impl Contender {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hioload => "hioload",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Tungstenite => "tokio-tungstenite",
            Self::TungsteniteHub => "tokio-tungstenite hub",
            Self::TokioRustls => "tokio-rustls, tungstenite",
        }
    }

    /// Binary of a peer; ours has a subcommand for each work instead.
    pub(super) fn peer_binary(self) -> Option<&'static str> {
        match self {
            Self::Hioload => None,
            Self::Fastwebsockets => Some("peer-fastwebsockets-echo"),
            Self::Tungstenite => Some("peer-tungstenite-echo"),
            Self::TungsteniteHub => Some("peer-tungstenite-hub"),
            Self::TokioRustls => Some("peer-tokio-rustls-echo"),
        }
    }
}

/// One load on one kind of server.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: &'static str,
    /// Arguments of `hioload bench`.
    pub(super) load: &'static [&'static str],
    /// Arguments of `hioload` as server.
    pub(super) server: &'static [&'static str],
    pub(super) peers: &'static [Contender],
    /// Shortest window in which the figure means something.
    pub(super) seconds_min: u64,
    /// Processes the load is split among, each with a source address of its own.
    pub(super) load_process_count: usize,
    /// A figure without noise, or too long to repeat.
    pub(super) is_once: bool,
}

impl Work {
    /// Ours first.
    pub(super) fn contenders(&self) -> Vec<Contender> {
        std::iter::once(Contender::Hioload)
            .chain(self.peers.iter().copied())
            .collect()
    }
}

const ECHO: &[&str] = &["echo", "--workers", "1"];
const ECHO_TLS: &[&str] = &["echo", "--workers", "1", "--tls", "self-signed"];
const SERVE: &[&str] = &["serve", "--workers", "1", "--data", "off"];
/// Each ring's file table is bounded by the descriptor limit, so many connections need workers.
const SERVE_MANY: &[&str] = &["serve", "--workers", "8", "--data", "off"];
const ECHO_PEERS: &[Contender] = &[Contender::Fastwebsockets, Contender::Tungstenite];
const HUB_PEERS: &[Contender] = &[Contender::TungsteniteHub];

const fn work(
    name: &'static str,
    server: &'static [&'static str],
    peers: &'static [Contender],
    load: &'static [&'static str],
) -> Work {
    Work {
        name,
        load,
        server,
        peers,
        seconds_min: 0,
        load_process_count: 1,
        is_once: false,
    }
}

/// A figure of our own server, taken once.
const fn once(
    name: &'static str,
    server: &'static [&'static str],
    load: &'static [&'static str],
) -> Work {
    Work {
        is_once: true,
        ..work(name, server, &[], load)
    }
}

pub(super) const WORKS: &[Work] = &[
    work(
        "echo-100x20",
        ECHO,
        ECHO_PEERS,
        &[
            "echo",
            "--connections",
            "100",
            "--size",
            "20",
            "--in-flight",
            "1",
        ],
    ),
    work(
        "echo-1000x512",
        ECHO,
        ECHO_PEERS,
        &[
            "echo",
            "--connections",
            "1000",
            "--size",
            "512",
            "--in-flight",
            "1",
        ],
    ),
    work(
        "echo-200x16k",
        ECHO,
        ECHO_PEERS,
        &[
            "echo",
            "--connections",
            "200",
            "--size",
            "16384",
            "--in-flight",
            "1",
        ],
    ),
    work(
        "echo-pipelined",
        ECHO,
        ECHO_PEERS,
        &[
            "echo",
            "--connections",
            "100",
            "--size",
            "20",
            "--in-flight",
            "16",
        ],
    ),
    work(
        "broadcast-paced",
        SERVE,
        HUB_PEERS,
        &[
            "broadcast",
            "--connections",
            "1000",
            "--size",
            "64",
            "--rate",
            "100",
        ],
    ),
    work(
        "broadcast-flat-out",
        SERVE,
        HUB_PEERS,
        &["broadcast", "--connections", "1000", "--size", "64"],
    ),
    Work {
        seconds_min: 60,
        ..once(
            "slow-none",
            SERVE,
            &[
                "slow",
                "--connections",
                "1000",
                "--size",
                "64",
                "--slow-percent",
                "0",
            ],
        )
    },
    Work {
        seconds_min: 60,
        ..once(
            "slow-tenth",
            SERVE,
            &[
                "slow",
                "--connections",
                "1000",
                "--size",
                "64",
                "--slow-percent",
                "10",
            ],
        )
    },
    once("idle-2000", SERVE, &["idle", "--connections", "2000"]),
    once("idle-15000", SERVE, &["idle", "--connections", "15000"]),
    Work {
        seconds_min: 60,
        load_process_count: 8,
        ..once(
            "idle-100000",
            SERVE_MANY,
            &["idle", "--connections", "12500"],
        )
    },
    work(
        "connect-storm",
        ECHO,
        &[Contender::Tungstenite],
        &["connect", "--connections", "10000"],
    ),
    work(
        "tls-echo-100x1k",
        ECHO_TLS,
        &[Contender::TokioRustls],
        &[
            "echo",
            "--tls",
            "--connections",
            "100",
            "--size",
            "1024",
            "--in-flight",
            "1",
        ],
    ),
    work(
        "tls-connect-storm",
        ECHO_TLS,
        &[Contender::TokioRustls],
        &["connect", "--tls", "--connections", "5000"],
    ),
];

/// A figure of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// Server CPU time per message (echo), delivery (broadcast) or handshake (connect).
    CpuPerMessage,
    /// The inverse.
    MessagesPerCpuSecond,
    /// Messages or handshakes that never arrived.
    Lost,
    /// 99th percentile of latency.
    LatencyP99,
    /// Peak of the server's resident memory.
    RssPeak,
    /// Connections open at the same time.
    Held,
}

/// What a figure is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Against {
    /// The same figure of a peer in the same round.
    Peer(Contender),
    /// Our figure in another work.
    Work(&'static str),
    /// Nothing: the figure itself.
    Absolute,
    /// The total of the server's memory plan.
    Plan,
    /// The slope of resident memory from another work to this one, a connection.
    SlopeFrom(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What a work must reach.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) work: &'static str,
    pub(super) figure: Figure,
    pub(super) against: Against,
    pub(super) bound: Bound,
    /// What it says, for a person.
    pub(super) text: &'static str,
}

const fn bar(
    work: &'static str,
    figure: Figure,
    against: Against,
    bound: Bound,
    text: &'static str,
) -> Bar {
    Bar {
        work,
        figure,
        against,
        bound,
        text,
    }
}

/// Two bars that every unpipelined echo has.
const fn echo_bars(work: &'static str) -> [Bar; 2] {
    use Against::Peer;
    [
        bar(
            work,
            Figure::CpuPerMessage,
            Peer(Contender::Tungstenite),
            Bound::AtMost(0.75),
            "server CPU per message, × tokio-tungstenite",
        ),
        bar(
            work,
            Figure::CpuPerMessage,
            Peer(Contender::Fastwebsockets),
            Bound::AtMost(0.88),
            "server CPU per message, × fastwebsockets",
        ),
    ]
}

/// The bars, one group a kind of work.
pub(super) const BARS: &[&[Bar]] = &[
    &echo_bars("echo-100x20"),
    &echo_bars("echo-1000x512"),
    &echo_bars("echo-200x16k"),
    &[bar(
        "echo-pipelined",
        Figure::MessagesPerCpuSecond,
        Against::Peer(Contender::Fastwebsockets),
        Bound::AtLeast(14.0),
        "messages per server CPU-second, × fastwebsockets",
    )],
    &[
        bar(
            "broadcast-paced",
            Figure::CpuPerMessage,
            Against::Peer(Contender::TungsteniteHub),
            Bound::AtMost(0.88),
            "server CPU per delivery, × hub",
        ),
        bar(
            "broadcast-flat-out",
            Figure::MessagesPerCpuSecond,
            Against::Peer(Contender::TungsteniteHub),
            Bound::AtLeast(2.5),
            "deliveries per server CPU-second, × hub",
        ),
        bar(
            "broadcast-flat-out",
            Figure::Lost,
            Against::Absolute,
            Bound::AtMost(0.0),
            "deliveries lost by subscribers that keep reading",
        ),
    ],
    &[
        bar(
            "slow-tenth",
            Figure::LatencyP99,
            Against::Work("slow-none"),
            Bound::AtMost(1.5),
            "p99 of the healthy, × run without slow ones",
        ),
        bar(
            "slow-tenth",
            Figure::RssPeak,
            Against::Plan,
            Bound::AtMost(1.0),
            "peak RSS, × memory plan",
        ),
        bar(
            "slow-tenth",
            Figure::Lost,
            Against::Absolute,
            Bound::AtMost(0.0),
            "deliveries lost by the healthy",
        ),
    ],
    &[
        bar(
            "idle-15000",
            Figure::RssPeak,
            Against::SlopeFrom("idle-2000"),
            Bound::AtMost(320.0),
            "user memory per idle connection, bytes",
        ),
        bar(
            "idle-100000",
            Figure::Held,
            Against::Absolute,
            Bound::AtLeast(100_000.0),
            "connections held at the same time",
        ),
    ],
    &[
        bar(
            "connect-storm",
            Figure::MessagesPerCpuSecond,
            Against::Peer(Contender::Tungstenite),
            Bound::AtLeast(1.3),
            "handshakes per server CPU-second, × tokio-tungstenite",
        ),
        bar(
            "connect-storm",
            Figure::Lost,
            Against::Absolute,
            Bound::AtMost(0.0),
            "handshakes lost",
        ),
    ],
    &[
        bar(
            "tls-echo-100x1k",
            Figure::CpuPerMessage,
            Against::Peer(Contender::TokioRustls),
            Bound::AtMost(0.9),
            "server CPU per message, × tokio-rustls and tokio-tungstenite",
        ),
        bar(
            "tls-connect-storm",
            Figure::Lost,
            Against::Absolute,
            Bound::AtMost(0.0),
            "handshakes lost",
        ),
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_names_works_and_peers_that_are_measured() {
        for bar in BARS.iter().copied().flatten() {
            let work = WORKS.iter().find(|work| work.name == bar.work);
            let work = work.unwrap_or_else(|| panic!("no work {}", bar.work));
            match bar.against {
                Against::Peer(peer) => assert!(work.peers.contains(&peer), "{bar:?}"),
                Against::Work(other) | Against::SlopeFrom(other) => {
                    assert!(WORKS.iter().any(|work| work.name == other), "{bar:?}");
                }
                Against::Absolute | Against::Plan => {}
            }
        }
    }

    #[test]
    fn names_of_works_are_unique() {
        for (index, work) in WORKS.iter().enumerate() {
            assert!(
                !WORKS[..index].iter().any(|other| other.name == work.name),
                "{}",
                work.name
            );
        }
    }
}
