//! What a seed draws: the swarm. Each run has its own choice of faults and sizes, so that rare
//! mixtures come up which a single fixed mixture would never show.
//!
//! See "Swarm Testing" (Groce et al., ISSTA 2012): leaving features out finds bugs that using all of
//! them at once hides.

use std::fmt;
use std::time::Duration;

use hioload::{ChannelSettings, Settings};
use hioload_base::Prng;
use hioload_live::{HistoryConfig, Policy};
use hioload_mem::PoolConfig;
use hioload_reactor::sim::{Fault, SimConfig};
use hioload_reactor::{DriverConfig, WorkerConfig};
use hioload_ws::KeepaliveConfig;
use hioload_ws::deflate::DeflatePolicy;

const KIB: usize = 1024;

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Every message comes back to its sender.
    Echo,
    /// Publishers and subscribers of a few channels.
    Broadcast,
}

/// Everything that one seed decides before the run starts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the server does.
    pub scenario: Scenario,
    /// Workers, 1 to 4.
    pub workers: usize,
    /// Queue length between two workers.
    pub ring: usize,
    /// Bytes of buffers per worker.
    pub memory: usize,
    /// Settings of the server.
    pub settings: Settings,
    /// Sizes of the drivers.
    pub driver: DriverConfig,
    /// Sizes of the workers' loop.
    pub worker: WorkerConfig,
    /// The network and its faults.
    pub network: SimConfig,
    /// A worker stands still at a step with this chance, out of 10,000.
    pub stall_chance: u64,
    /// Friendly clients.
    pub clients: usize,
    /// Of them, in a broadcast, how many publish.
    pub publishers: usize,
    /// Messages of each client that sends.
    pub messages: u32,
    /// Payload bytes of one message at most.
    pub message_size_max: usize,
    /// Hostile clients.
    pub hostile: usize,
    /// Clients read slowly, pause, or stop.
    pub has_slow_readers: bool,
    /// Clients leave, reset and come back.
    pub has_churn: bool,
    /// Clients offer permessage-deflate.
    pub has_deflate: bool,
    /// How long faults last.
    pub storm: Duration,
    /// The server shuts down while clients are connected.
    pub shutdown_busy: bool,
    /// Sessions per second and worker that a shutdown closes; 0: all at once.
    pub shutdown_pace: u32,
}

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn draw(prng: &mut Prng) -> Self {
        let scenario = if prng.chance(2, 5) {
            Scenario::Echo
        } else {
            Scenario::Broadcast
        };
        let is_calm = prng.chance(1, 8);
        let is_tight = !is_calm && prng.chance(1, 3);
        let workers = pick(prng, &[1, 1, 2, 2, 3, 4]);
        let memory = match (is_tight, scenario) {
            (false, _) => 8 * KIB * KIB,
            (true, Scenario::Echo) => pick(prng, &[256, 512, 2048]) * KIB,
            (true, Scenario::Broadcast) => pick(prng, &[512, 1024, 2048]) * KIB,
        };
        let pool = PoolConfig::with_budget(memory);
        let budget = pick(prng, &[16, 64, 256, 1024]) * KIB;
        let mut size_max = pick(prng, &[100, 2000, 20_000, 100_000]);
        if scenario == Scenario::Broadcast {
            // Larger ones would be refused, which is not a fault.
            size_max = size_max.min(budget / 8).min(memory / 32);
        }
        let size_max = size_max.min(pool.size_max() - 64);
        let publishers = 1 + prng.below(4) as usize;
        let others_max = pick(prng, &[4, 12, 30]);
        Self {
            scenario,
            workers,
            ring: if is_tight {
                pick(prng, &[1, 2, 4])
            } else {
                pick(prng, &[8, 64, 1024])
            },
            memory,
            settings: settings(prng, budget),
            driver: driver(prng),
            worker: WorkerConfig {
                batch: pick(prng, &[1, 4, 64, 1024]),
                ..WorkerConfig::default()
            },
            network: if is_calm {
                SimConfig::calm()
            } else {
                network(prng)
            },
            stall_chance: if is_calm {
                0
            } else {
                pick(prng, &[0, 0, 20, 200])
            },
            clients: publishers + 1 + prng.below(others_max) as usize,
            publishers,
            messages: 5 + prng.below(150) as u32,
            message_size_max: size_max,
            hostile: if is_calm {
                0
            } else {
                pick(prng, &[0, 0, 2, 6])
            },
            has_slow_readers: !is_calm && prng.chance(1, 2),
            has_churn: !is_calm && prng.chance(1, 2),
            has_deflate: prng.chance(1, 2),
            storm: Duration::from_millis(500 + prng.below(8000)),
            shutdown_busy: prng.chance(1, 2),
            shutdown_pace: pick(prng, &[0, 0, 50, 500]),
        }
    }

    /// Buffers of one worker.
    #[must_use]
    pub fn pool(&self) -> PoolConfig {
        PoolConfig::with_budget(self.memory)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory, channel) = (self.memory / KIB, &self.settings.channel);
        write!(
            f,
            "{:?}, {} workers, ring {}, {memory} KiB, {} clients, {} hostile, deflate {}, {:?}, log {} KiB, send {} KiB",
            self.scenario,
            self.workers,
            self.ring,
            self.clients,
            self.hostile,
            self.has_deflate,
            channel.policy,
            channel.budget / KIB,
            channel.send_max / KIB
        )
    }
}

/// One of several, each equally likely.
pub(crate) fn pick<T: Copy>(prng: &mut Prng, from: &[T]) -> T {
    from[prng.below(from.len() as u64) as usize]
}

/// Small sizes are likelier than large ones: each power of two up to the limit alike.
pub(crate) fn size(prng: &mut Prng, max: usize) -> usize {
    let bits = prng.below(u64::from(usize::BITS - max.leading_zeros()) + 1);
    prng.below((1 << bits).min(max as u64 + 1)) as usize
}

fn settings(prng: &mut Prng, budget: usize) -> Settings {
    let mut settings = Settings {
        handshake_timeout: Duration::from_millis(1500),
        close_timeout: Duration::from_secs(2),
        keepalive: KeepaliveConfig {
            ping_interval: Some(Duration::from_secs(pick(prng, &[1, 3]))),
            pong_timeout: Duration::from_secs(15),
            idle_timeout: None,
            lifetime: None,
        },
        output_high: pick(prng, &[1, 16, 64]) * KIB,
        deflate_size_min: pick(prng, &[0, 64, 1024]),
        channel: ChannelSettings {
            budget,
            // Below twice a budget, channels that are used at the same time starve each other.
            budget_worker: budget * pick(prng, &[2, 4, 8]),
            policy: pick(
                prng,
                &[
                    Policy::Disconnect,
                    Policy::Disconnect,
                    Policy::Skip,
                    Policy::Latest,
                ],
            ),
            rate_min: pick(prng, &[256, 1024]),
            window: Duration::from_millis(pick(prng, &[500, 1000, 4000])),
            linger: Duration::from_millis(pick(prng, &[0, 50, 1000])),
            send_max: pick(prng, &[1, 16, 256]) * KIB,
            history: HistoryConfig::OFF,
            ..ChannelSettings::default()
        },
        ..Settings::default()
    };
    if prng.chance(1, 2) {
        settings.accept.deflate = Some(DeflatePolicy {
            server_no_context_takeover: prng.chance(1, 2),
            client_no_context_takeover: prng.chance(1, 2),
            server_max_window_bits: pick(prng, &[9, 12, 15]),
            client_max_window_bits: pick(prng, &[9, 12, 15]),
        });
    }
    settings
}

fn driver(prng: &mut Prng) -> DriverConfig {
    DriverConfig {
        batch: pick(prng, &[1, 8, 64, 512]),
        sockets_max: pick(prng, &[50, 64, 1024]),
        recv_buffer_size: pick(prng, &[64, 512, 4096, 65_536]),
        recv_buffer_count: pick(prng, &[1, 2, 8, 32]),
        ..DriverConfig::default()
    }
}

/// Each fault is on or off; strong, middling or weak.
pub(crate) fn network(prng: &mut Prng) -> SimConfig {
    let all = SimConfig::stormy();
    let mut config = SimConfig::calm();
    for fault in Fault::ALL {
        if prng.chance(1, 2) {
            let chance = all.chance(fault) * pick(prng, &[1, 4, 8]) / 4;
            config = config.with(fault, chance.max(1));
        }
    }
    config.latency_max = Duration::from_micros(pick(prng, &[80, 1000, 20_000]));
    config.send_buffer = pick(prng, &[512, 4096, 65_536]);
    config.recv_buffer = pick(prng, &[512, 4096, 65_536]);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_reach_both_ends() {
        let mut prng = Prng::new(1);
        let sizes: Vec<usize> = (0..10_000).map(|_| size(&mut prng, 1000)).collect();
        assert!(sizes.contains(&0) && sizes.iter().any(|size| *size > 900));
        assert!(sizes.iter().all(|size| *size <= 1000));
        assert!(
            sizes.iter().filter(|size| **size < 32).count() > 3000,
            "mostly small"
        );
    }

    #[test]
    fn the_swarm_has_calm_and_stormy_runs() {
        let plans: Vec<Plan> = (0..200)
            .map(|seed| Plan::draw(&mut Prng::new(seed)))
            .collect();
        let faults = |plan: &Plan| {
            Fault::ALL
                .into_iter()
                .filter(|fault| plan.network.chance(*fault) > 0)
                .count()
        };
        assert!(plans.iter().any(|plan| faults(plan) == 0));
        assert!(plans.iter().any(|plan| faults(plan) > 10));
    }
}
