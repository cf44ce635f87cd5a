//! What values may be: ranges of single keys, and values that have to fit each other.

use std::time::Duration;

use hioload_base::Limit;
use hioload_control::Invalid;

use super::{ServerConfig, blocks, rules, streams, tls};

pub(super) const fn limit(
    name: &'static str,
    unit: &'static str,
    default: u64,
    min: u64,
    max: u64,
    reason: &'static str,
    reached: &'static str,
) -> Limit {
    Limit {
        name,
        unit,
        default,
        min,
        max,
        reason,
        reached,
    }
}

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
/// A day in milliseconds.
pub(super) const DAY: u64 = 86_400_000;
/// Stamps of sessions count milliseconds in 32 bits; 24 days leave room for comparing them.
const STAMP_MAX: u64 = 24 * DAY;

/// Limits that are set by configuration, besides those of the rooms.
pub const LIMITS: &[Limit] = &[
    limit(
        "server.workers",
        "workers",
        0,
        0,
        255,
        "a publication names its worker in 8 bits; 0: one per core",
        "refused at start",
    ),
    limit(
        "server.batch",
        "events",
        512,
        1,
        65_536,
        "bounds the time of one turn, and so the delay of everybody else",
        "the rest waits one turn",
    ),
    limit(
        "server.ring",
        "messages",
        2048,
        1,
        MIB,
        "each pair of workers has a queue of this size",
        "the sender tries again in its next turn",
    ),
    limit(
        "server.sessions_max",
        "connections",
        1 << 17,
        1,
        (1 << 24) - 1,
        "a subscriber is named in 24 bits; each takes memory of the plan",
        "the connection is closed as it comes; counted",
    ),
    limit(
        "server.memory",
        "bytes",
        128 * MIB,
        MIB,
        1 << 40,
        "buffers of one worker",
        "publishers are held back, sends refused; counted",
    ),
    limit(
        "server.send_buffer",
        "bytes",
        256 * KIB,
        4 * KIB,
        GIB,
        "kernel memory of a slow reader, which no budget here covers; below it a distant reader is slowed down",
        "the connection's log or output waits",
    ),
    limit(
        "server.recv_buffer",
        "bytes",
        256 * KIB,
        4 * KIB,
        GIB,
        "kernel memory of a publisher that is held back, and how long its messages lie there; below it a distant publisher is slowed down",
        "the peer's window closes",
    ),
    limit(
        "server.zero_copy",
        "bytes",
        // Off unless given.
        16 * KIB,
        4 * KIB,
        GIB,
        "pinning pages and a second completion cost more than copying a little",
        "shorter sends are copied",
    ),
    limit(
        "ws.assembly_max",
        "bytes",
        32 * MIB,
        64 * KIB,
        1 << 40,
        "unfinished messages of one worker",
        "close code 1013",
    ),
    limit(
        "ws.handshake_timeout",
        "ms",
        10_000,
        1,
        DAY,
        "a request that does not come takes a connection",
        "HTTP status 408",
    ),
    limit(
        "ws.close_timeout",
        "ms",
        5_000,
        1,
        DAY,
        "an answer that does not come takes a connection",
        "the connection is dropped",
    ),
    limit(
        "ws.ping_interval",
        "ms",
        25_000,
        100,
        STAMP_MAX,
        "below what gateways on the way allow (30 s), above what costs",
        "a ping",
    ),
    limit(
        "ws.pong_timeout",
        "ms",
        10_000,
        100,
        STAMP_MAX,
        "a client that is gone is not seen otherwise",
        "close code 1001",
    ),
    limit(
        "ws.idle_timeout",
        "ms",
        0,
        100,
        STAMP_MAX,
        "off: silence is no fault",
        "close code 1001",
    ),
    limit(
        "ws.lifetime",
        "ms",
        0,
        100,
        STAMP_MAX,
        "off: sessions last as long as both sides want",
        "close code 1001",
    ),
    limit(
        "ws.deflate_window_bits",
        "bits",
        15,
        9,
        15,
        "RFC 7692 7.1.2; zlib has no window of 8 bits",
        "the client is told to use less",
    ),
    limit(
        "ws.deflate_size_min",
        "bytes",
        64,
        0,
        GIB,
        "small messages grow",
        "sent as they are",
    ),
    limit(
        "ws.deflate_level",
        "level",
        1,
        0,
        9,
        "levels of zlib",
        "refused at start",
    ),
    limit(
        "output.high",
        "bytes",
        64 * KIB,
        1,
        GIB,
        "who does not read its answers asks no more",
        "the session is not read from until it is below",
    ),
    limit(
        "output.max",
        "bytes",
        2 * MIB,
        1,
        4 * GIB,
        "memory one session can take",
        "the send is refused",
    ),
    limit(
        "channel.count_max",
        "channels",
        65_536,
        1,
        MIB,
        "names a worker has to know",
        "opening one more is refused",
    ),
    limit(
        "channel.subscriptions_max",
        "channels",
        128,
        1,
        65_536,
        "memory one session can take",
        "the subscription is refused",
    ),
    limit(
        "channel.subscriptions_worker_max",
        "subscriptions",
        1 << 18,
        1,
        (1 << 24) - 1,
        "each takes memory of the plan",
        "the subscription is refused",
    ),
    limit(
        "channel.budget",
        "bytes",
        4 * MIB,
        4 * KIB,
        GIB,
        "memory of one channel's logs, history included",
        "history is given up; then publishers wait",
    ),
    limit(
        "channel.budget_worker",
        "bytes",
        64 * MIB,
        64 * KIB,
        1 << 40,
        "memory of all logs of a worker",
        "publishers wait",
    ),
    limit(
        "channel.rate_min",
        "bytes/s",
        1024,
        1,
        u32::MAX as u64,
        "who drains less holds everybody back for too little",
        "the subscriber is stalled and gets the policy",
    ),
    limit(
        "channel.window",
        "ms",
        2_000,
        1,
        3_600_000,
        "how long a full log may wait for one subscriber",
        "drained bytes are judged",
    ),
    limit(
        "channel.history_size",
        "bytes",
        0,
        0,
        GIB,
        "part of the channel's budget",
        "the oldest publication is forgotten",
    ),
    limit(
        "channel.history_age",
        "ms",
        0,
        0,
        STAMP_MAX,
        "who comes back later starts anew",
        "the publication is forgotten",
    ),
    limit(
        "channel.linger",
        "ms",
        60_000,
        0,
        DAY,
        "a channel whose subscribers reconnect keeps its offsets",
        "the empty channel is forgotten",
    ),
    limit(
        "channel.send_max",
        "bytes",
        256 * KIB,
        4 * KIB,
        GIB,
        "one send's share of a turn",
        "the rest leaves with the next send",
    ),
    limit(
        "channel.rules",
        "rules",
        0,
        0,
        64,
        "each channel that is made looks through all of them",
        "the configuration is refused",
    ),
    limit(
        "h2.streams_worker_max",
        "streams",
        1 << 12,
        1,
        (1 << 24) - 1,
        "each is a session or an exchange, and takes memory of the plan",
        "RST_STREAM(REFUSED_STREAM)",
    ),
    limit(
        "sse.keepalive",
        "ms",
        15_000,
        100,
        STAMP_MAX,
        "below what proxies on the way allow (30 s), above what costs",
        "a comment",
    ),
    limit(
        "sse.retry",
        "ms",
        3_000,
        1,
        DAY,
        "who comes back at once finds the same fault, and does not come alone",
        "the reader comes back",
    ),
    limit(
        "shutdown.timeout",
        "ms",
        10_000,
        0,
        DAY,
        "whoever does not answer is not waited for",
        "the connection is dropped",
    ),
];

/// Refuses what is out of range or does not fit together.
pub(super) fn check(config: &ServerConfig) -> Result<(), Invalid> {
    check_values(config)?;
    rules::check(config, check_values)
}

fn check_values(config: &ServerConfig) -> Result<(), Invalid> {
    for (key, value) in numbers(config) {
        let limit = all().find(|limit| limit.name == key);
        limit
            .expect("invariant: each number has its limit")
            .check(value)?;
    }
    check_sizes(config)?;
    blocks::check(&config.blocks)?;
    tls::check(&config.tls)?;
    check_history(config)
}

/// The limits of all keys.
pub(crate) fn all() -> impl Iterator<Item = &'static Limit> {
    LIMITS
        .iter()
        .chain(blocks::LIMITS)
        .chain(streams::limits())
        .chain(hioload_ws::LIMITS)
        .chain(hioload_http::h2::LIMITS)
}

fn numbers(config: &ServerConfig) -> Vec<(&'static str, u64)> {
    let ServerConfig {
        server,
        ws,
        output,
        channel,
        shutdown,
        ..
    } = config;
    let mut numbers = vec![
        ("server.workers", server.workers.into()),
        ("server.batch", server.batch.into()),
        ("server.ring", server.ring.into()),
        ("server.sessions_max", server.sessions_max.into()),
        ("ws.message_size_max", ws.message_size_max.bytes()),
        ("ws.fragments_max", ws.fragments_max.into()),
        ("ws.fragments_empty_max", ws.fragments_empty_max.into()),
        ("ws.head_size_max", ws.head_size_max.bytes()),
        ("ws.headers_max", ws.headers_max.into()),
        ("ws.handshake_timeout", ms(ws.handshake_timeout)),
        ("ws.close_timeout", ms(ws.close_timeout)),
        ("ws.pong_timeout", ms(ws.pong_timeout)),
        ("ws.deflate_window_bits", ws.deflate_window_bits.into()),
        ("ws.deflate_size_min", ws.deflate_size_min.bytes()),
        ("ws.deflate_level", ws.deflate_level.into()),
        ("output.high", output.high.bytes()),
        ("channel.count_max", channel.count_max.into()),
        (
            "channel.subscriptions_max",
            channel.subscriptions_max.into(),
        ),
        (
            "channel.subscriptions_worker_max",
            channel.subscriptions_worker_max.into(),
        ),
        ("channel.budget", channel.budget.bytes()),
        ("channel.budget_worker", channel.budget_worker.bytes()),
        ("channel.rate_min", channel.rate_min.into()),
        ("channel.window", ms(channel.window)),
        ("channel.history_size", channel.history_size.bytes()),
        ("channel.history_age", ms(channel.history_age)),
        ("channel.linger", ms(channel.linger)),
        ("channel.send_max", channel.send_max.bytes()),
        ("channel.rules", channel.rules.len() as u64),
        ("sse.retry", ms(config.sse.retry)),
        ("shutdown.timeout", ms(shutdown.timeout)),
    ];
    // Those that may be left to follow from others, be unbounded, or be off.
    let sizes = [
        ("server.memory", server.memory.0),
        ("server.send_buffer", server.send_buffer.0),
        ("server.recv_buffer", server.recv_buffer.0),
        ("server.zero_copy", server.zero_copy.0),
        ("ws.frame_size_max", ws.frame_size_max.0),
        ("ws.assembly_max", ws.assembly_max.0),
        ("output.max", output.max.0),
    ];
    numbers.extend(
        sizes
            .iter()
            .filter_map(|(key, size)| Some((*key, (*size)?.bytes()))),
    );
    let spans = [
        ("ws.ping_interval", ws.ping_interval),
        ("ws.idle_timeout", ws.idle_timeout),
        ("ws.lifetime", ws.lifetime),
        ("sse.keepalive", config.sse.keepalive),
    ];
    numbers.extend(config.streams.numbers());
    numbers.extend(blocks::numbers(&config.http, &config.blocks));
    numbers.extend(config.h2.numbers());
    numbers.extend(
        spans
            .iter()
            .filter_map(|(key, span)| Some((*key, ms(span.0?)))),
    );
    numbers
}

/// Rounded up, so that nothing above zero counts as zero.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn check_sizes(config: &ServerConfig) -> Result<(), Invalid> {
    let high = config.output.high;
    if config.output_max() < high.bytes_usize() {
        let why = "a session would be refused before it is held back";
        return Err(Invalid::new(
            "output.max",
            why,
            format!("use at least output.high, {high}"),
        ));
    }
    let channel = &config.channel;
    if channel.budget > channel.budget_worker {
        let why = "one channel would get more than all of them together";
        let remedy = format!(
            "use at most channel.budget_worker, {}",
            channel.budget_worker
        );
        return Err(Invalid::new("channel.budget", why, remedy));
    }
    let least = channel.budget_worker.bytes().saturating_add(1 << 20);
    if (config.memory() as u64) < least {
        let why = "the logs of channels alone may take channel.budget_worker of it";
        let remedy = format!("use auto or at least {least} bytes, or lower channel.budget_worker");
        return Err(Invalid::new("server.memory", why, remedy));
    }
    if config.assembly_max() < config.ws.message_size_max.bytes_usize() {
        let why = "the longest message would never fit";
        let remedy = format!(
            "use auto or at least ws.message_size_max, {}",
            config.ws.message_size_max
        );
        return Err(Invalid::new("ws.assembly_max", why, remedy));
    }
    Ok(())
}

fn check_history(config: &ServerConfig) -> Result<(), Invalid> {
    let channel = &config.channel;
    let parts = [
        ("channel.history_count", channel.history_count > 0),
        ("channel.history_size", channel.history_size.bytes() > 0),
        ("channel.history_age", !channel.history_age.is_zero()),
    ];
    let missing = parts.iter().find(|(_, is_set)| !is_set);
    if let Some((key, _)) = missing
        && parts.iter().any(|(_, is_set)| *is_set)
    {
        let why =
            "nothing is kept unless history_count, history_size and history_age are all above zero";
        return Err(Invalid::new(*key, why, "set all three, or none"));
    }
    if channel.history_size > channel.budget {
        let why = "history is a part of the channel's log";
        let remedy = format!("use at most channel.budget, {}", channel.budget);
        return Err(Invalid::new("channel.history_size", why, remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hioload_control::{Config, Sources};

    use super::*;

    fn refusal(set: &[(&str, &str)]) -> Option<String> {
        let sources = set.iter().fold(Sources::new(), |sources, (key, value)| {
            sources.flag("--set", *key, *value)
        });
        Config::<ServerConfig>::load(sources)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn every_range_holds_at_its_ends() {
        for limit in all() {
            let written = |value: u64| {
                if limit.unit == "ms" {
                    format!("{value}ms")
                } else {
                    value.to_string()
                }
            };
            let too_large = [(limit.name, &*written(limit.max + 1))];
            let refused = refusal(&too_large).expect(limit.name);
            assert!(refused.contains(limit.name), "{refused}");
            assert!(
                refused.contains("use ") || refused.contains("the default is"),
                "{refused}"
            );
            if limit.min > 0 {
                assert!(
                    refusal(&[(limit.name, &written(limit.min - 1))]).is_some(),
                    "{}",
                    limit.name
                );
            }
        }
        for (key, value) in [
            ("server.workers", "0"),
            ("server.workers", "255"),
            ("server.batch", "1"),
            ("server.batch", "65536"),
            ("server.ring", "1"),
            ("ws.message_size_max", "125"),
            ("ws.message_size_max", "1GiB"),
            ("ws.deflate_level", "9"),
            ("ws.deflate_window_bits", "9"),
            ("ws.idle_timeout", "100ms"),
            ("shutdown.timeout", "0s"),
            ("channel.window", "1ms"),
        ] {
            assert_eq!(refusal(&[(key, value)]), None, "{key} = {value}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_limits() {
        let config = ServerConfig::default();
        for (key, value) in numbers(&config) {
            let limit = all().find(|limit| limit.name == key);
            assert_eq!(limit.map(|limit| limit.default), Some(value), "{key}");
        }
    }

    #[test]
    fn values_have_to_fit_each_other() {
        for (set, key, why) in [
            (
                &[("output.max", "64KiB"), ("output.high", "65537")][..],
                "output.max",
                "before it is held back",
            ),
            (
                &[("channel.budget", "65MiB")],
                "channel.budget",
                "more than all of them",
            ),
            (
                &[("server.memory", "64MiB")],
                "server.memory",
                "channel.budget_worker of it",
            ),
            (
                &[("ws.message_size_max", "2MiB"), ("ws.assembly_max", "1MiB")],
                "ws.assembly_max",
                "never fit",
            ),
            (
                &[("channel.history_count", "10")],
                "channel.history_size",
                "all above zero",
            ),
            (
                &[
                    ("channel.history_count", "9"),
                    ("channel.history_size", "5MiB"),
                    ("channel.history_age", "1m"),
                ],
                "channel.history_size",
                "part of the channel's log",
            ),
        ] {
            let refused = refusal(set).expect(key);
            assert!(
                refused.contains(&format!("{key} = ")) && refused.contains(why),
                "{refused}"
            );
            assert!(
                refused.contains("; use ") || refused.contains("; set all"),
                "{refused}"
            );
        }
        for set in [
            &[("output.max", "64KiB"), ("output.high", "64KiB")][..],
            &[("channel.budget", "64MiB")],
            &[("server.memory", "65MiB")],
            &[("ws.message_size_max", "2MiB"), ("ws.assembly_max", "2MiB")],
            &[
                ("channel.history_count", "9"),
                ("channel.history_size", "4MiB"),
                ("channel.history_age", "1m"),
            ],
        ] {
            assert_eq!(refusal(set), None);
        }
    }
}
