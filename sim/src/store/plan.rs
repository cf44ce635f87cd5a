//! What a seed draws for a run with a store: the swarm of [`crate::plan`], with a disk.

use std::time::Duration;

use hioload::{Settings, StoreConfig};
use hioload_base::Prng;
use hioload_blocks::{BLOCK_SIZE_MAX, Durability};
use hioload_mem::PoolConfig;
use hioload_reactor::sim::{DiskConfig, DiskFault, SimConfig};
use hioload_reactor::{DriverConfig, WorkerConfig};

use super::asker::Habits;
use crate::plan::{network, pick};

const KIB: usize = 1024;
const MIB: u64 = 1 << 20;

/// Everything that one seed decides before the run starts.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) workers: usize,
    pub(super) ring: usize,
    /// Bytes of buffers per worker.
    pub(super) memory: usize,
    pub(super) settings: Settings,
    pub(super) driver: DriverConfig,
    pub(super) worker: WorkerConfig,
    pub(super) network: SimConfig,
    pub(super) disk: DiskConfig,
    pub(super) store: StoreConfig,
    /// Rows the index has room for; `None`: as many as come.
    pub(super) rows_max: Option<usize>,
    /// A commit of a life of the server fails with this chance, out of 100.
    pub(super) commit_failure_chance: u64,
    /// Some commits of a round find no room with this chance, out of 100.
    pub(super) commit_refusal_chance: u64,
    /// A worker or the controller stands still at a step with this chance, out of 10,000.
    pub(super) stall_chance: u64,
    pub(super) clients: usize,
    pub(super) contents: usize,
    pub(super) size_max: usize,
    /// Requests of each client and round.
    pub(super) asks: u32,
    pub(super) rounds: u32,
    /// Time of a round at most.
    pub(super) storm: Duration,
    pub(super) habits: Habits,
    pub(super) has_slow_readers: bool,
    /// No faults at all.
    pub(super) is_calm: bool,
    /// There may not be space for all.
    pub(super) is_small: bool,
}

impl Plan {
    pub(super) fn draw(prng: &mut Prng) -> Self {
        let is_calm = prng.chance(1, 8);
        let is_tight = !is_calm && prng.chance(1, 3);
        let is_small = prng.chance(1, 5);
        let clients = 1 + prng.below(8) as usize;
        let workers = pick(prng, &[1, 1, 2, 2, 3]);
        let store = store(prng, is_small);
        let memory = if is_tight {
            store.memory + pick(prng, &[512, 1024]) * KIB
        } else {
            store.memory + store.cache + 8 * KIB * KIB
        };
        let contents = clients + pick(prng, &[4, 12, 30]);
        Self {
            workers,
            ring: if is_tight {
                pick(prng, &[1, 1, 2])
            } else {
                pick(prng, &[8, 64, 1024])
            },
            memory,
            settings: settings(prng, is_calm),
            driver: DriverConfig {
                batch: pick(prng, &[1, 8, 64, 512]),
                sockets_max: pick(prng, &[50, 64, 1024]),
                recv_buffer_size: pick(prng, &[512, 4096, 65_536]),
                recv_buffer_count: pick(prng, &[2, 8, 32]),
                file_ops_max: pick(prng, &[1, 4, 64, 1024]),
                ..DriverConfig::default()
            },
            worker: WorkerConfig {
                batch: pick(prng, &[1, 4, 64, 1024]),
                ..WorkerConfig::default()
            },
            network: if is_calm {
                SimConfig::calm()
            } else {
                let mut config = network(prng);
                config.latency_max = Duration::from_micros(pick(prng, &[80, 80, 1000, 5000]));
                config.send_buffer = pick(prng, &[4096, 65_536, 65_536]);
                config.recv_buffer = pick(prng, &[4096, 65_536, 65_536]);
                config
            },
            disk: disk(prng, is_calm, is_small),
            store,
            rows_max: (!is_calm && prng.chance(1, 8))
                .then(|| 2 + prng.below(contents as u64) as usize),
            commit_failure_chance: if is_calm {
                0
            } else {
                pick(prng, &[0, 0, 20, 50])
            },
            commit_refusal_chance: if is_calm {
                0
            } else {
                pick(prng, &[0, 0, 0, 50])
            },
            stall_chance: if is_calm {
                0
            } else {
                pick(prng, &[0, 0, 20, 200])
            },
            clients,
            contents,
            size_max: pick(prng, &[5000, 70_000, BLOCK_SIZE_MAX as usize]),
            asks: 4 + prng.below(30) as u32,
            rounds: 1 + prng.below(4) as u32,
            storm: Duration::from_millis(200 + prng.below(3000)),
            habits: Habits {
                pipeline_max: pick(prng, &[1, 2, 8]),
                pause_max: Duration::from_micros(pick(prng, &[0, 500, 20_000])),
                has_cuts: !is_calm && prng.chance(1, 2),
                has_slow_writers: !is_calm && prng.chance(1, 3),
                hot: pick(prng, &[0, 1, 3]),
                clients,
            },
            has_slow_readers: !is_calm && prng.chance(1, 3),
            is_calm,
            is_small,
        }
    }

    pub(super) fn pool(&self) -> PoolConfig {
        PoolConfig::with_budget(self.memory)
    }

    /// An acknowledged change may be lost with the power.
    pub(super) fn is_relaxed(&self) -> bool {
        self.store.durability == Durability::Relaxed
    }

    pub(super) fn durability(&self) -> &'static str {
        match self.store.durability {
            Durability::Durable => "durable",
            Durability::Group(_) => "group",
            Durability::Relaxed => "relaxed",
        }
    }
}

fn settings(prng: &mut Prng, is_calm: bool) -> Settings {
    let short = if is_calm {
        30_000
    } else {
        pick(prng, &[800, 3000, 30_000])
    };
    Settings {
        handshake_timeout: Duration::from_millis(1500),
        http_idle_timeout: Duration::from_millis(short),
        body_timeout: Duration::from_millis(short),
        ..Settings::default()
    }
}

fn store(prng: &mut Prng, is_small: bool) -> StoreConfig {
    StoreConfig {
        size: pick(prng, &[0, 0, MIB]),
        size_max: if is_small {
            pick(prng, &[1, 2, 4]) * MIB
        } else {
            1 << 40
        },
        grow: pick(prng, &[1, 4, 64]) * MIB,
        durability: pick(
            prng,
            &[
                Durability::Durable,
                Durability::Durable,
                Durability::Durable,
                Durability::Group(Duration::from_millis(2)),
                Durability::Relaxed,
            ],
        ),
        verify: pick(
            prng,
            &[hioload_blocks::Verify::Full, hioload_blocks::Verify::Sums],
        ),
        memory: pick(prng, &[2, 4]) << 20,
        cache: pick(prng, &[0, 64 * KIB, 1 << 20]),
        pools: pick(prng, &[[0; 8], [1; 8], [10, 10, 10, 5, 5, 3, 2, 2]]),
        grace: Duration::from_millis(pick(prng, &[0, 5, 300])),
        announce: prng.chance(1, 3).then(|| "blocks".to_owned()),
        ..StoreConfig::new("a virtual disk")
    }
}

/// Each fault is on or off; strong, middling or weak.
fn disk(prng: &mut Prng, is_calm: bool, is_small: bool) -> DiskConfig {
    let all = DiskConfig::stormy();
    let mut config = DiskConfig::calm();
    config.latency_max = Duration::from_micros(pick(prng, &[200, 2000, 10_000]));
    if is_small && prng.chance(1, 3) {
        config.capacity = pick(prng, &[3, 6]) * MIB;
    }
    if is_calm {
        return config;
    }
    for fault in DiskFault::ALL {
        if !fault.is_by_crash() && prng.chance(1, 3) {
            let chance = all.chance(fault) * pick(prng, &[1, 4, 8]) / 4;
            config = config.with(fault, chance.max(1));
        }
    }
    config
}
