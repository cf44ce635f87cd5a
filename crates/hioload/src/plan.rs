//! The memory plan of a server: the most it can take, line by line, before it starts and before a reload.
//!
//! ```text
//!   ServerBuilder::plan() ─▶ MemoryPlan ─ check(&Machine) ─▶ start, or a refusal that names the
//!                              ├─ hioload plan                largest lines and their keys
//!   Control::reload() ─────────┘
//! ```
//!
//! Each line is a limit times the size of what it limits. User memory only: the kernel's own for each
//! socket (2 to 4 KiB and what its buffers hold) is not the process's and not in the plan.

use std::fmt;

use hioload_base::TimerWheel;
use hioload_mem::{Machine, Plan, PlanError, PlanLine, PoolConfig};
use hioload_net::tls::SESSION_SIZE;
use hioload_reactor::{DriverConfig, RecvPool, StartError};
use hioload_ring::mesh_size;
use serde_json::{Value, json};

use crate::server::message::Message;
use crate::server::{Settings, StoreConfig, sizes};

/// A socket's slot in a driver; asserted beside each driver.
const SOCKET_SIZE: usize = 56;
/// A subscriber's slot in a feed; asserted in `live`.
const SUBSCRIBER_SIZE: usize = 56;
/// zlib's memory for one direction each, at 15 bits (zconf.h): deflate 256 KiB, inflate 40 KiB.
const DEFLATE_SIZE: usize = 256 << 10;
const INFLATE_SIZE: usize = 40 << 10;
/// Windows of 9 to 15 bits: one shared compressor for each.
const DEFLATE_CLASSES: usize = 7;
/// A thread's stack as the standard library makes it.
const STACK_SIZE: usize = 2 << 20;
/// Threads besides the workers: main, signals, admin and its helpers.
const THREADS_MORE: usize = 8;
/// The program's code and data, what it reads and what it logs.
const PROGRAM_SIZE: usize = 16 << 20;
/// A name of a channel as the registry keeps it, twice, with the entries that lead to it.
const NAME_SIZE: usize = 2 * 255 + 128;

/// A stream with a UID in its worker's registry; asserted in `streams`.
const NAMED_STREAM_SIZE: usize = 200;

/// A batch of the controller, its promises and lists.
const CONTROLLER_SIZE: usize = 16 << 20;

/// A byte for each 4 KiB of the file as it is at the start.
fn free_map_size(store: &StoreConfig) -> usize {
    usize::try_from(store.size / 4096).unwrap_or(usize::MAX)
}

/// What the plan is made from beside settings: it stays while a server runs.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) workers: usize,
    pub(crate) ring: usize,
    pub(crate) sockets_max: usize,
    pub(crate) timers_max: usize,
    pub(crate) pool: PoolConfig,
    pub(crate) driver: DriverConfig,
    pub(crate) store: Option<StoreConfig>,
    pub(crate) has_tls: bool,
}

/// What a server may take, and which setting each line follows from.
///
/// ```
/// use hioload::Server;
///
/// let plan = Server::builder().workers(1).memory(128 << 20).plan();
/// assert!(plan.total_size() > 128 << 20);
/// println!("{plan}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    plan: Plan,
    /// In the order of the lines.
    keys: Vec<&'static str>,
    workers: usize,
}

impl MemoryPlan {
    pub(crate) fn new(limits: &Limits, settings: &Settings) -> Self {
        let empty = Self {
            plan: Plan::new(),
            keys: Vec::new(),
            workers: limits.workers,
        };
        empty
            .with_memory_of_messages(limits, settings)
            .with_memory_of_sessions(limits, settings)
            .with_memory_of_streams(limits, settings)
            .with_memory_of_store(limits)
            .with_memory_of_threads(limits)
    }

    /// Beside the buffers: what is under way, and the map of free space. The index is mapped, and its
    /// pages are the system's to take back.
    fn with_memory_of_store(self, limits: &Limits) -> Self {
        let Some(store) = &limits.store else {
            return self;
        };
        let local = store.local();
        let buffers = local.read_memory + local.write_memory + local.gather_memory;
        let local_max = usize::try_from(local.bytes_max()).unwrap_or(usize::MAX);
        let beside = local_max.saturating_sub(buffers);
        let controller = CONTROLLER_SIZE.saturating_add(free_map_size(store));
        let pool = usize::try_from(PoolConfig::with_budget(store.memory).bytes_max());
        let pool = pool.unwrap_or(usize::MAX);
        self.line(
            "blocks.memory",
            "blocks",
            "contents under way",
            limits.workers,
            pool,
        )
        .line(
            "blocks.cache",
            "blocks",
            "contents kept, and requests",
            limits.workers,
            beside,
        )
        .line(
            "blocks.size",
            "blocks",
            "controller, free space at start",
            1,
            controller,
        )
    }

    fn line(
        mut self,
        key: &'static str,
        owner: &str,
        what: &str,
        count: usize,
        unit_size: usize,
    ) -> Self {
        self.plan = self.plan.line(owner, what, count as u64, unit_size as u64);
        self.keys.push(key);
        self
    }

    /// Buffers and queues.
    fn with_memory_of_messages(self, limits: &Limits, settings: &Settings) -> Self {
        let Limits {
            workers, driver, ..
        } = limits;
        let workers = *workers;
        let pool_size = usize::try_from(limits.pool.bytes_max()).unwrap_or(usize::MAX);
        let ports = workers + usize::from(limits.store.is_some());
        let mesh = usize::try_from(mesh_size::<Message>(ports, limits.ring)).unwrap_or(usize::MAX);
        let recv_size = RecvPool::bytes_max(driver.recv_buffer_size, driver.recv_buffer_count);
        let recv_size = usize::try_from(recv_size).unwrap_or(usize::MAX);
        // Vectors double as they grow.
        let assembly = settings.assembly_max.saturating_mul(2);
        let whole = settings.ws.message_size_max.saturating_mul(4);
        self.line(
            "server.memory",
            "mem",
            "buffers: channel logs and output",
            workers,
            pool_size,
        )
        .line(
            "server.workers",
            "reactor",
            "receive buffers and their spares",
            workers,
            recv_size,
        )
        .line(
            "channel.budget_worker",
            "live",
            "what stalled subscribers are owed",
            workers,
            settings.channel.owed_worker(),
        )
        .line(
            "ws.assembly_max",
            "ws",
            "unfinished and held input",
            workers,
            assembly,
        )
        .line(
            "server.workers",
            "ws",
            "spare vectors for messages",
            workers,
            sizes::SPARES,
        )
        .line(
            "ws.message_size_max",
            "ws",
            "one whole message, inflated",
            workers,
            whole,
        )
        .line("server.ring", "ring", "queues between workers", 1, mesh)
    }

    /// What grows with connections and channels.
    fn with_memory_of_sessions(self, limits: &Limits, settings: &Settings) -> Self {
        let workers = limits.workers;
        let all = |each: usize| workers.saturating_mul(each);
        let sessions = all(settings.sessions_max);
        let timer = TimerWheel::<u64>::entry_size();
        let subscriptions = all(settings.subscriptions_worker_max);
        let channel = sizes::CHANNEL + NAME_SIZE;
        let subscription = SUBSCRIBER_SIZE + sizes::SUBSCRIPTION;
        let plan = self
            .line(
                "server.sessions_max",
                "server",
                "connections",
                sessions,
                sizes::CONNECTION,
            )
            .line(
                "server.sessions_max",
                "server",
                "their parts that few need",
                sessions,
                sizes::COLD,
            )
            .line(
                "server.sessions_max",
                "server",
                "their requests",
                sessions,
                sizes::EXCHANGE,
            )
            .line(
                "server.sessions_max",
                "reactor",
                "sockets of the driver",
                all(limits.sockets_max),
                SOCKET_SIZE,
            )
            .line(
                "server.sessions_max",
                "reactor",
                "timers",
                all(limits.timers_max),
                timer,
            )
            .line(
                "channel.subscriptions_worker_max",
                "live",
                "subscriptions",
                subscriptions,
                subscription,
            )
            .line(
                "channel.count_max",
                "live",
                "channels",
                all(settings.channel.count_max),
                channel,
            );
        let plan = match limits.has_tls {
            true => plan.line(
                "server.sessions_max",
                "net",
                "TLS sessions",
                sessions,
                SESSION_SIZE + sizes::LINK,
            ),
            false => plan,
        };
        let Some(deflate) = &settings.accept.deflate else {
            return plan;
        };
        let shared = DEFLATE_CLASSES * DEFLATE_SIZE + INFLATE_SIZE;
        let plan = plan.line("ws.deflate", "ws", "shared compressors", workers, shared);
        if deflate.server_no_context_takeover && deflate.client_no_context_takeover {
            return plan;
        }
        plan.line(
            "ws.deflate_takeover",
            "ws",
            "compression contexts",
            sessions,
            DEFLATE_SIZE + INFLATE_SIZE,
        )
    }

    /// What is known by a UID, and what HTTP/2 carries.
    fn with_memory_of_streams(self, limits: &Limits, settings: &Settings) -> Self {
        let workers = limits.workers;
        let Settings { h2, streams, .. } = settings;
        let all = |each: usize| workers.saturating_mul(each);
        let total_max = usize::try_from(streams.total_max).unwrap_or(usize::MAX);
        // Each has a socket, a stream of HTTP/2 or a poll.
        let carriers = limits
            .sockets_max
            .saturating_add(settings.streams_max)
            .saturating_add(streams.long_poll_max as usize);
        let named = all(carriers.min(streams.worker_max as usize)).min(total_max);
        let tables = usize::from(h2.decoder_table_size) + usize::from(h2.encoder_table_size_max);
        self.line(
            "h2.streams_worker_max",
            "server",
            "streams of HTTP/2 connections",
            all(settings.streams_max),
            sizes::STREAM,
        )
        .line(
            "h2.streams_worker_max",
            "http",
            "HTTP/2 connections that have one",
            all(settings.streams_max.min(settings.sessions_max)),
            sizes::MULTIPLEX + tables,
        )
        .line(
            "streams.worker_max",
            "streams",
            "streams with a UID",
            named,
            NAMED_STREAM_SIZE,
        )
        .line(
            "streams.foreign_worker",
            "streams",
            "writes from elsewhere",
            workers,
            streams.foreign_worker,
        )
        .line(
            "streams.long_poll_max",
            "server",
            "sessions that are polled",
            all(streams.long_poll_max as usize),
            sizes::POLL,
        )
        .line(
            "streams.poll_worker",
            "server",
            "what waits for polls",
            workers,
            streams.poll_worker,
        )
    }

    fn with_memory_of_threads(self, limits: &Limits) -> Self {
        self.line(
            "server.workers",
            "server",
            "stacks of threads",
            limits.workers + THREADS_MORE,
            STACK_SIZE,
        )
        .line(
            "server.workers",
            "server",
            "the program itself",
            1,
            PROGRAM_SIZE,
        )
    }

    /// Bytes of all lines.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        self.plan.total()
    }

    /// Each line with the key of the configuration it follows from.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, &PlanLine)> {
        self.keys.iter().copied().zip(self.plan.lines())
    }

    /// As one object: `total_bytes`, and `lines` with their keys.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let line = |(key, line): (&str, &PlanLine)| {
            json!({
                "owner": line.owner,
                "what": line.what,
                "count": line.count,
                "unit_bytes": line.unit_size,
                "bytes": line.size(),
                "key": key,
            })
        };
        let lines: Vec<Value> = self.lines().map(line).collect();
        json!({ "total_bytes": self.total_size(), "workers": self.workers, "lines": lines })
    }

    /// The same for a server that runs: whether it fits what the machine could give when it started.
    pub(crate) fn check_running(&self, at_start: &Machine) -> Result<(), StartError> {
        self.plan.check(at_start).map_err(|error| StartError {
            what: missing(&error),
            cause: format!(
                "the new plan needs {}, {} were available at the start ({})",
                mib(self.total_size()),
                mib(at_start.memory_available),
                at_start.bound_by
            ),
            // Most of what is large waits for the next start, and so does a machine that has more by now.
            remedy: "Take back what was raised, or start the server anew".to_owned(),
            errno: None,
        })
    }

    /// Whether the machine can give what the plan says.
    ///
    /// # Errors
    /// How much is missing, what takes the most, and which keys to lower.
    pub fn check(&self, machine: &Machine) -> Result<(), StartError> {
        let Err(error) = self.plan.check(machine) else {
            return Ok(());
        };
        let mut largest: Vec<_> = self.lines().collect();
        largest.sort_by_key(|(_, line)| std::cmp::Reverse(line.size()));
        let mut keys: Vec<&str> = Vec::new();
        for (key, _) in &largest {
            if keys.len() < 2 && !keys.contains(key) {
                keys.push(key);
            }
        }
        let workers = self.workers;
        let fewer = if workers > 1 {
            format!(", run fewer workers than {workers} (server.workers)")
        } else {
            String::new()
        };
        Err(StartError {
            what: missing(&error),
            cause: format!(
                "the plan needs {}, {} are available ({})",
                mib(self.total_size()),
                mib(machine.memory_available),
                machine.bound_by
            ),
            remedy: format!(
                "Lower {}{fewer}, or give the process more; `hioload plan` shows each line",
                keys.join(" or ")
            ),
            errno: None,
        })
    }
}

fn missing(error: &PlanError) -> String {
    format!("{} of memory are missing", mib(error.missing()))
}

/// Rounded up.
fn mib(size: u64) -> String {
    format!("{} MiB", size.div_ceil(1 << 20))
}

impl fmt::Display for MemoryPlan {
    /// The lines as a table, the sum last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Server;
    use crate::config::{KEYS, ServerConfig, limits};
    use hioload_control::{Config, Sources};

    fn machine(memory_available: u64) -> Machine {
        Machine {
            memory_available,
            bound_by: "a test".to_owned(),
        }
    }

    fn plan(workers: &str, set: &[(&str, &str)]) -> MemoryPlan {
        let sources = Sources::new().flag("--workers", "server.workers", workers);
        let sources = set.iter().fold(sources, |sources, (key, value)| {
            sources.flag("--set", *key, *value)
        });
        let config = Config::<ServerConfig>::load(sources).expect("valid");
        Server::builder().config(&config).plan()
    }

    fn bytes(plan: &MemoryPlan, what: &str) -> u64 {
        plan.lines()
            .find(|(_, line)| line.what == what)
            .expect(what)
            .1
            .size()
    }

    #[test]
    fn lines_are_limits_times_sizes() {
        let plan = plan(
            "3",
            &[
                ("server.sessions_max", "1000"),
                ("server.memory", "80MiB"),
                ("server.ring", "10"),
                ("blocks.data", "off"),
            ],
        );
        assert_eq!(
            bytes(&plan, "connections"),
            3 * 1000 * sizes::CONNECTION as u64
        );
        let pool = PoolConfig::with_budget(80 << 20).bytes_max();
        assert_eq!(bytes(&plan, "buffers: channel logs and output"), 3 * pool);
        // Eight of 256 KiB, as many spares, and a header for each 256 bytes.
        assert_eq!(
            bytes(&plan, "receive buffers and their spares"),
            3 * (4 << 20) * (256 + 32) / 256
        );
        assert_eq!(
            bytes(&plan, "what stalled subscribers are owed"),
            3 * (4 << 20)
        );
        assert_eq!(
            bytes(&plan, "queues between workers"),
            mesh_size::<Message>(3, 10)
        );
        let sum: u64 = plan.lines().map(|(_, line)| line.size()).sum();
        assert_eq!(plan.total_size(), sum);
        assert_eq!(plan.to_json()["total_bytes"], sum);
        assert_eq!(plan.to_json()["lines"][0]["key"], "server.memory");
    }

    #[test]
    fn an_idle_session_with_a_subscription_takes_at_most_320_bytes() {
        let timer = TimerWheel::<u64>::entry_size();
        let size = sizes::CONNECTION + SOCKET_SIZE + timer + SUBSCRIBER_SIZE;
        assert!(size <= 320, "{size} bytes");
    }

    /// Counts of what takes memory.
    const COUNTS: &[&str] = &[
        "channel.count_max",
        "channel.subscriptions_worker_max",
        "h2.streams_worker_max",
        "server.ring",
        "server.sessions_max",
        "server.workers",
        "streams.long_poll_max",
    ];

    /// Sizes that take no memory of their own, and why.
    const ELSEWHERE: &[(&str, &str)] = &[
        ("blocks.grow", "on the medium"),
        ("blocks.index_size_max", "mapped: the system takes it back"),
        (
            "blocks.size_max",
            "the map of what is free grows with what the file has",
        ),
        ("channel.budget", "within channel.budget_worker"),
        ("channel.history_size", "within channel.budget"),
        ("channel.send_max", "a part of what is in the log"),
        (
            "h2.connection_window",
            "within ws.assembly_max and blocks.memory",
        ),
        ("h2.data_size_max", "a part of what is queued"),
        ("h2.header_list_size_max", "within ws.assembly_max"),
        ("h2.stall_progress_min", "a threshold"),
        ("h2.stream_window", "within h2.connection_window"),
        ("output.high", "within output.max"),
        ("server.recv_buffer", "the kernel's"),
        ("server.send_buffer", "the kernel's"),
        ("server.zero_copy", "a threshold"),
        ("streams.foreign_stream", "within streams.foreign_worker"),
        ("streams.poll_backlog", "within streams.poll_worker"),
        ("streams.proxy_window", "within streams.foreign_worker"),
        (
            "streams.worker_max",
            "each has a session, a stream or a poll",
        ),
        ("ws.deflate_size_min", "a threshold"),
        ("ws.frame_size_max", "within ws.assembly_max"),
        ("ws.head_size_max", "within ws.assembly_max"),
    ];

    #[test]
    fn every_key_that_costs_memory_moves_the_plan() {
        let least = plan("1", &[]).total_size();
        let is_key = |name| KEYS.iter().any(|key| key.key == name);
        let keys: Vec<_> = limits::all().filter(|limit| is_key(limit.name)).collect();
        let elsewhere = |name| ELSEWHERE.iter().any(|(key, _)| *key == name);
        for (key, _) in ELSEWHERE {
            assert!(keys.iter().any(|limit| limit.name == *key), "{key}");
        }
        let mut moved = 0;
        for limit in keys {
            let name = limit.name;
            let is_counted = limit.unit == "bytes" || COUNTS.contains(&name);
            if !is_counted || elsewhere(name) {
                continue;
            }
            // Beyond what other keys make of it when it is left to them; where there is no more, less.
            let more = (limit.default.max(256 << 10) * 64).min(limit.max);
            let value = if more > limit.default {
                more
            } else {
                limit.min
            };
            let total = plan("1", &[(name, &value.to_string())]).total_size();
            assert_eq!(total > least, value > limit.default, "{name}");
            assert_ne!(total, least, "{name}");
            moved += 1;
        }
        assert!(moved > COUNTS.len(), "{moved}");
        assert!(plan("1", &[("streams.worker_max", "1")]).total_size() < least);
        let deflate = plan("1", &[("ws.deflate", "on")]).total_size();
        assert!(deflate > least);
        let takeover = [("ws.deflate", "on"), ("ws.deflate_takeover", "on")];
        assert!(plan("1", &takeover).total_size() > deflate);
    }

    #[test]
    fn the_defaults_fit_a_small_machine() {
        // Of 2 GiB a system leaves about 1.8 to others, of 4 GiB 3.6.
        for (workers, available) in [("1", 1_800 << 20), ("2", 1_800 << 20), ("4", 3_600 << 20)] {
            let plan = plan(workers, &[]);
            assert_eq!(
                plan.check(&machine(available))
                    .map_err(|error| error.to_string()),
                Ok(()),
                "\n{plan}"
            );
        }
    }

    #[test]
    fn a_refusal_says_what_why_and_what_to_do() {
        let plan = plan("2", &[("ws.deflate", "on"), ("ws.deflate_takeover", "on")]);
        let total = plan.total_size();
        assert!(plan.check(&machine(total)).is_ok());
        let refusal = plan
            .check(&machine(total - 1))
            .expect_err("a byte short")
            .to_string();
        for part in [
            "1 MiB of memory are missing: the plan needs",
            "(a test)",
            "Lower ws.deflate_takeover or ",
            "server.workers",
            "hioload plan",
        ] {
            assert!(refusal.contains(part), "{part} is not in: {refusal}");
        }
    }
}
