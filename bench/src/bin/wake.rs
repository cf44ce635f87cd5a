//! Waking a sleeping worker: by a message from ring to ring, or by its eventfd. Two workers throw a
//! ball to and fro; each sleeps on its own core while the other has it. Prints latency one way and CPU per throw.
//!
//! `cargo run --release -p hioload-bench --bin wake`

#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use hioload_reactor::affinity::Affinity;
use hioload_reactor::uring::UringDriver;
use hioload_reactor::{
    Address, Clock, Completion, Context, Driver, DriverConfig, Service, WakeBy, Worker,
    WorkerConfig,
};
use hioload_ring::Port;

/// Throws per round and way.
const THROWS: usize = 100_000;
/// Rounds; the ways take turns.
const ROUNDS: usize = 5;

/// One player. The ball is the time at which it was thrown, in nanoseconds.
struct Player {
    clock: Clock,
    serves: bool,
    latencies: Vec<u64>,
}

impl Player {
    fn throw(&self, cx: &mut Context<'_, u64>) {
        let other = 1 - cx.index();
        let thrown = self.clock.now().as_nanos();
        cx.send(other, thrown)
            .expect("one ball never fills a queue");
    }
}

impl Service for Player {
    type Message = u64;

    fn start(&mut self, cx: &mut Context<'_, u64>) {
        if self.serves {
            self.throw(cx);
        }
    }

    fn completion(&mut self, _: &mut Context<'_, u64>, _: Completion) {}

    fn timer(&mut self, _: &mut Context<'_, u64>, _: u64) {}

    fn message(&mut self, cx: &mut Context<'_, u64>, _: Option<usize>, thrown: u64) {
        self.latencies
            .push(self.clock.now().as_nanos().saturating_sub(thrown));
        if self.latencies.len() <= THROWS {
            self.throw(cx);
        }
        if self.latencies.len() >= THROWS {
            cx.stop();
        }
    }

    fn turn_end(&mut self, _: &mut Context<'_, u64>) -> bool {
        false
    }
}

/// What one player saw.
struct Score {
    latencies: Vec<u64>,
    cpu_ns: u64,
}

fn play(
    port: Port<u64>,
    clock: Clock,
    wake_by: WakeBy,
    told: &mpsc::Sender<(usize, Address)>,
    peers: &mpsc::Receiver<Vec<Address>>,
) -> Result<Score, Box<dyn Error + Send + Sync>> {
    Affinity::pin(&[port.index()]).map_err(|error| error.to_string())?;
    let config = DriverConfig {
        clock,
        gather: Duration::ZERO,
        ..DriverConfig::default()
    };
    let driver = UringDriver::new(config).map_err(|error| error.to_string())?;
    told.send((port.index(), driver.address()))?;
    let peers = peers.recv()?;
    let player = Player {
        clock,
        serves: port.index() == 0,
        latencies: Vec::with_capacity(THROWS + 1),
    };
    let config = WorkerConfig {
        wake_by,
        ..WorkerConfig::default()
    };
    let before = cpu_ns()?;
    let player = Worker::new(Box::new(driver), port, peers, config, player)
        .run()
        .map_err(|error| error.to_string())?;
    let cpu_ns = cpu_ns()? - before;
    Ok(Score {
        latencies: player.latencies,
        cpu_ns,
    })
}

/// CPU time of this thread so far.
fn cpu_ns() -> Result<u64, Box<dyn Error + Send + Sync>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().ok_or("an empty schedstat")?;
    Ok(first.parse()?)
}

fn round(wake_by: WakeBy) -> Result<(Vec<u64>, u64), Box<dyn Error + Send + Sync>> {
    let clock = Clock::start();
    let (told, addresses) = mpsc::channel();
    let mut threads = Vec::new();
    let mut go = Vec::new();
    for port in hioload_ring::mesh::<u64>(2, 64) {
        let (tell, peers) = mpsc::channel();
        let told = told.clone();
        go.push(tell);
        threads.push(std::thread::spawn(move || {
            play(port, clock, wake_by, &told, &peers)
        }));
    }
    let mut peers = [addresses.recv()?, addresses.recv()?];
    peers.sort_by_key(|(index, _)| *index);
    let peers: Vec<Address> = peers.into_iter().map(|(_, address)| address).collect();
    for tell in go {
        tell.send(peers.clone())?;
    }
    let (mut latencies, mut cpu_ns) = (Vec::new(), 0);
    for thread in threads {
        let score = thread.join().map_err(|_| "a player panicked")??;
        latencies.extend(score.latencies);
        cpu_ns += score.cpu_ns;
    }
    Ok((latencies, cpu_ns))
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let ways = [("MSG_RING", WakeBy::Ring), ("eventfd", WakeBy::Event)];
    println!(
        "{:<10} {:>10} {:>10} {:>14}",
        "way", "p50 us", "p99 us", "CPU us/throw"
    );
    for _ in 0..ROUNDS {
        for (name, way) in ways {
            let (mut latencies, cpu_ns) = round(way)?;
            latencies.sort_unstable();
            let at = |part: f64| {
                let place = (latencies.len() as f64 * part) as usize;
                latencies[place.min(latencies.len() - 1)] as f64 / 1000.0
            };
            let each = cpu_ns as f64 / latencies.len() as f64 / 1000.0;
            println!(
                "{name:<10} {:>10.1} {:>10.1} {each:>14.2}",
                at(0.5),
                at(0.99)
            );
        }
    }
    Ok(())
}
