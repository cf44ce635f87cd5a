//! Production workers that are stepped by hand, on any driver: for simulation in one thread.
//!
//! Not part of the API. It makes what [`ServerBuilder::build`](crate::ServerBuilder::build) makes, without
//! threads and without choosing a driver; everything else is the code that serves. A store of blocks lies
//! on any index and disk.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hioload_base::Time;
use hioload_blocks::{
    Controller, ControllerStats, Disk, Fault, Inconsistency, Index, LocalStats, Next,
};
use hioload_mem::{BufferPool, PoolConfig};
use hioload_reactor::sim::SimFile;
use hioload_reactor::{
    Address, Completions, Driver, DriverStats, FileHandle, StartError, TurnError, Wait, Worker,
    WorkerConfig,
};
use hioload_ring::Port;

use crate::handler::Handler;
use crate::server::hub::Hub;
use crate::server::listen::{KernelBuffers, listen_spec};
use crate::server::message::Message;
use crate::server::shared::Shared;
use crate::server::store::{Board, Store, Turns, refused};
use crate::server::{ServerHandle, Settings, Stats, StoreConfig};

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

/// What a group keeps blocks on.
pub struct GroupStore {
    /// How it is run.
    pub config: StoreConfig,
    /// Which blocks there are.
    pub index: Box<dyn Index>,
    /// The data file as the controller sees it.
    pub disk: Box<dyn Disk>,
    /// The same file as the workers see it.
    pub file: SimFile,
    /// What the controller sleeps on.
    pub driver: Box<dyn Driver>,
}

impl fmt::Debug for GroupStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupStore")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Workers that belong together.
#[derive(Debug)]
pub struct Group {
    /// One for each driver.
    pub workers: Vec<SteppedWorker>,
    /// Of the store, if there is one.
    pub controller: Option<SteppedController>,
    /// Steers the workers.
    pub handle: ServerHandle,
}

/// One worker of a group.
pub struct SteppedWorker(Worker<Hub>);

impl fmt::Debug for SteppedWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The controller of a group's store.
pub struct SteppedController {
    turns: Turns,
    driver: Box<dyn Driver>,
    events: Completions,
}

impl fmt::Debug for SteppedController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteppedController").finish_non_exhaustive()
    }
}

/// Makes one worker for each driver, all listening at the same address; with a store, its controller.
///
/// # Errors
/// When a driver cannot listen there, there is no memory for buffers, or the store cannot be opened.
pub fn group(
    config: &GroupConfig,
    mut drivers: Vec<Box<dyn Driver>>,
    make_handler: &dyn Fn(usize) -> Box<dyn Handler>,
    store: Option<GroupStore>,
) -> Result<Group, StartError> {
    let count = drivers.len();
    let shared = Arc::new(Shared::new(count));
    let settings = Arc::new(config.settings.clone());
    let mut ports =
        hioload_ring::mesh::<Message>(count + usize::from(store.is_some()), config.ring);
    let remote = ports[0].remote();
    let mut addresses: Vec<Address> = drivers.iter().map(|driver| driver.address()).collect();
    let handle = ServerHandle::of(
        remote,
        &addresses,
        Arc::clone(&shared),
        (config.shutdown_timeout, config.shutdown_pace),
    );
    let parts = match store {
        Some(store) => {
            let port = ports.pop().expect("invariant: a port more than workers");
            Some(StoreParts::new(store, port, &mut addresses)?)
        }
        None => None,
    };
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
        if let Some(parts) = &parts {
            let store = parts.share(&mut *driver, config.pool, count)?;
            hub.keep_store(store);
        }
        let worker = Worker::new(driver, port, addresses.clone(), config.worker.clone(), hub);
        workers.push(SteppedWorker(worker));
    }
    Ok(Group {
        workers,
        controller: parts.map(|parts| parts.controller),
        handle,
    })
}

/// A store while its group is made.
struct StoreParts {
    controller: SteppedController,
    file: SimFile,
    config: Arc<StoreConfig>,
    board: Arc<Board>,
}

impl StoreParts {
    /// Opens the store; `addresses` are those of the workers, the controller's comes behind them.
    fn new(
        store: GroupStore,
        port: Port<Message>,
        addresses: &mut Vec<Address>,
    ) -> Result<Self, StartError> {
        let GroupStore {
            config,
            index,
            disk,
            file,
            driver,
        } = store;
        let count = addresses.len();
        let controller = Controller::new(index, disk, config.controller(0), count)
            .map_err(|error| refused(&config, &error.to_string()))?;
        let board = Arc::new(Board::new(count));
        let wakers = addresses.iter().map(Address::waker).collect();
        addresses.push(driver.address());
        Ok(Self {
            controller: SteppedController {
                turns: Turns::new(controller, port, wakers, Arc::clone(&board)),
                driver,
                events: Completions::new(),
            },
            file,
            config: Arc::new(config),
            board,
        })
    }

    /// A worker's part.
    fn share(
        &self,
        driver: &mut dyn Driver,
        pool: PoolConfig,
        place: usize,
    ) -> Result<Store, StartError> {
        let reader = self
            .controller
            .turns
            .reader()
            .map_err(|error| refused(&self.config, &error.to_string()))?;
        Store::on(
            FileHandle::Sim(self.file.clone()),
            reader,
            Arc::clone(&self.config),
            driver,
            pool,
            place,
            Arc::clone(&self.board),
        )
    }
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

    #[cfg(test)]
    pub(crate) fn hub(&mut self) -> &mut Hub {
        self.0.service()
    }

    /// The figures of its part of the store, if there is one.
    #[must_use]
    pub fn store_stats(&mut self) -> Option<LocalStats> {
        self.0.service().local_stats()
    }
}

impl SteppedController {
    /// One turn of its thread; waits at most `wait_max`. True when there was anything to do.
    ///
    /// # Errors
    /// When the driver broke.
    pub fn turn(&mut self, wait_max: Duration) -> Result<bool, TurnError> {
        let Self {
            turns,
            driver,
            events,
        } = self;
        let (had_work, next) = turns.turn(&mut || driver.now());
        let wait = match next {
            _ if had_work || !turns.prepare_sleep() => Wait::None,
            Next::Again => Wait::None,
            Next::At(at) => Wait::For((at - driver.now()).min(wait_max)),
            Next::Idle => Wait::For(wait_max),
        };
        let turned = driver.turn(wait, events);
        turns.awake();
        events.clear();
        turned.map(|()| had_work)
    }

    /// The end of its thread: what was committed is made durable.
    ///
    /// # Errors
    /// [`Fault::Poisoned`].
    pub fn finish(&mut self) -> Result<(), Fault> {
        let driver = &self.driver;
        self.turns.finish(&mut || driver.now())
    }

    /// Its figures.
    #[must_use]
    pub fn stats(&self) -> ControllerStats {
        self.turns.stats()
    }

    /// Free map, leases and counts agree.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), Inconsistency> {
        self.turns.check()
    }
}
