//! Production workers that are stepped by hand, on any driver: for simulation in one thread.
//!
//! Not part of the API. It makes what [`ServerBuilder::build`](crate::ServerBuilder::build) makes, without
//! threads and without choosing a driver; everything else is the code that serves.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hioload_base::Time;
use hioload_mem::{BufferPool, PoolConfig};
use hioload_reactor::{
    Address, Driver, DriverStats, StartError, TurnError, Wait, Worker, WorkerConfig,
};

use crate::handler::Handler;
use crate::server::hub::Hub;
use crate::server::listen::{KernelBuffers, listen_spec};
use crate::server::message::Message;
use crate::server::shared::Shared;
use crate::server::{ServerHandle, Settings, Stats};

/// What the workers of a group have in common.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Where all of them listen.
    pub addr: SocketAddr,
    /// What sessions and channels work by.
    pub settings: Settings,
    /// Sizes of the loop.
    pub worker: WorkerConfig,
    /// Messages between two workers that may be under way.
    pub ring: usize,
    /// Buffers of each worker.
    pub pool: PoolConfig,
    /// For channel epochs.
    pub seed: u64,
    /// How long a shutdown may take.
    pub shutdown_timeout: Duration,
    /// Sessions a shutdown closes per second and worker; 0: all at once.
    pub shutdown_pace: u32,
}

/// One worker of a group.
pub struct SteppedWorker(Worker<Hub>);

impl fmt::Debug for SteppedWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes one worker for each driver, all listening at the same address, and a handle to them.
///
/// # Errors
/// When a driver cannot listen there, or there is no memory for buffers.
pub fn workers(
    config: &GroupConfig,
    mut drivers: Vec<Box<dyn Driver>>,
    make_handler: &dyn Fn(usize) -> Box<dyn Handler>,
) -> Result<(Vec<SteppedWorker>, ServerHandle), StartError> {
    let count = drivers.len();
    let shared = Arc::new(Shared::new(count));
    let settings = Arc::new(config.settings.clone());
    let ports = hioload_ring::mesh::<Message>(count, config.ring);
    let remote = ports[0].remote();
    let addresses: Vec<Address> = drivers.iter().map(|driver| driver.address()).collect();
    let mut workers = Vec::with_capacity(count);
    for (index, port) in ports.into_iter().enumerate() {
        let mut driver = drivers.remove(0);
        let listener = driver.listen(&listen_spec(
            config.addr,
            count > 1,
            KernelBuffers::default(),
        ))?;
        let pool = BufferPool::new(config.pool).map_err(|error| StartError {
            what: "no memory for buffers".to_owned(),
            cause: error.to_string(),
            remedy: "Give the pool another size".to_owned(),
            errno: None,
        })?;
        let seed = config.seed.wrapping_add(index as u64);
        let handler = make_handler(index);
        let mut hub = Hub::new(
            handler,
            Arc::clone(&settings),
            pool,
            Arc::clone(&shared),
            count,
            seed,
        );
        hub.listen_on(listener);
        let worker = Worker::new(driver, port, addresses.clone(), config.worker.clone(), hub);
        workers.push(SteppedWorker(worker));
    }
    let shutdown = (config.shutdown_timeout, config.shutdown_pace);
    Ok((
        workers,
        ServerHandle::of(remote, &addresses, shared, shutdown),
    ))
}

impl SteppedWorker {
    /// One turn; see [`Worker::turn`].
    ///
    /// # Errors
    /// When the driver broke.
    pub fn turn(&mut self, wait_max: Wait) -> Result<usize, TurnError> {
        self.0.turn(wait_max)
    }

    /// When its next timer is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.0.next_deadline()
    }

    /// Its thread would have ended.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }

    /// Its counters, and its gauges as they stand.
    #[must_use]
    pub fn stats(&mut self) -> Stats {
        let driver = self.0.driver().stats();
        self.0.service().stats(&driver)
    }

    /// The counters of its driver.
    #[must_use]
    pub fn driver_stats(&self) -> DriverStats {
        self.0.driver().stats()
    }
}
