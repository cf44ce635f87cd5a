//! A server: workers, each with its driver, listener and handler, and a handle to steer them.
//!
//! ```text
//!   Server::builder() ─ build ─▶ Server (bound) ─ run ─▶ one thread per worker: Worker<Hub>
//!                                   └─ handle ─▶ shutdown, stats, settings (any thread)
//! ```

mod channel;
mod connection;
pub(crate) mod core;
mod encoder;
mod fanout;
pub(crate) mod hub;
pub(crate) mod message;
mod outlet;
mod output;
mod settings;
pub(crate) mod shared;
mod stats;
mod table;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use hioload_mem::{BufferPool, PoolConfig};
use hioload_reactor::{
    Address, Clock, Driver, DriverConfig, StartError, TurnError, Waker, Worker, WorkerConfig, poll,
};
use hioload_ring::{Port, Remote};

pub use self::settings::{ChannelSettings, Settings};
pub use self::stats::Stats;

use self::hub::Hub;
use self::message::Message;
use self::shared::Shared;
use crate::handler::Handler;
use crate::layer::Layer;

/// Which driver a server uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where it works, else poll; one log line says why.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// Readiness: works everywhere.
    Poll,
}

/// Makes the handler of each worker.
type MakeHandler = Arc<dyn Fn(usize) -> Box<dyn Handler> + Send + Sync>;

/// Settings of a server before it is built.
pub struct ServerBuilder {
    addr: SocketAddr,
    workers: usize,
    driver: DriverChoice,
    driver_config: DriverConfig,
    worker_config: WorkerConfig,
    ring: usize,
    pool: PoolConfig,
    pin: bool,
    settings: Settings,
    layers: Vec<Arc<dyn Layer>>,
    handler: Option<MakeHandler>,
    shutdown_timeout: Duration,
    shutdown_pace: u32,
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Default for ServerBuilder {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 9002)),
            workers: 0,
            driver: DriverChoice::Auto,
            driver_config: DriverConfig::default(),
            worker_config: WorkerConfig::default(),
            ring: 2048,
            pool: PoolConfig::with_budget(settings.channel.budget_worker + (64 << 20)),
            pin: false,
            settings,
            layers: Vec::new(),
            handler: None,
            shutdown_timeout: Duration::from_secs(10),
            shutdown_pace: 0,
        }
    }
}

impl ServerBuilder {
    /// Where to listen; port 0 lets the system choose. 127.0.0.1:9002 unless told.
    #[must_use]
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// Workers, one thread each; 0: one per core.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Which driver.
    #[must_use]
    pub fn driver(mut self, driver: DriverChoice) -> Self {
        self.driver = driver;
        self
    }

    /// Sizes of the driver.
    #[must_use]
    pub fn driver_config(mut self, config: DriverConfig) -> Self {
        self.driver_config = config;
        self
    }

    /// Events handled per turn at most.
    #[must_use]
    pub fn batch(mut self, batch: usize) -> Self {
        self.driver_config.batch = batch.max(1);
        self.worker_config.batch = batch.max(1);
        self
    }

    /// Messages between two workers that may be under way.
    #[must_use]
    pub fn ring(mut self, ring: usize) -> Self {
        self.ring = ring.max(1);
        self
    }

    /// Bytes of buffers each worker may map.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.pool.budget = bytes;
        self
    }

    /// Takes buffers from huge pages where the system gives them.
    #[must_use]
    pub fn hugepages(mut self, hugepages: bool) -> Self {
        self.pool.hugepages = hugepages;
        self
    }

    /// Places buffers and pins workers on this NUMA node.
    #[must_use]
    pub fn numa(mut self, node: Option<u32>) -> Self {
        self.pool.numa_node = node;
        self
    }

    /// Pins each worker to a core.
    #[must_use]
    pub fn pin(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// What sessions and channels work by.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How long a shutdown may take, and how many sessions per second and worker it closes (0: all
    /// at once).
    #[must_use]
    pub fn shutdown(mut self, timeout: Duration, pace: u32) -> Self {
        self.shutdown_timeout = timeout;
        self.shutdown_pace = pace;
        self
    }

    /// Adds a layer inside those added before.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// The application: called once per worker, on its thread.
    #[must_use]
    pub fn handler<H: Handler>(
        mut self,
        make: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> Self {
        self.handler = Some(Arc::new(move |worker| Box::new(make(worker))));
        self
    }

    /// Starts the workers' threads and binds their listeners; [`Server::run`] begins to accept.
    ///
    /// # Errors
    /// What was refused, why, and what to do.
    pub fn build(self) -> Result<Server, StartError> {
        let count = match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let use_uring = choose_driver(self.driver)?;
        check_port_free(self.addr)?;
        let shared = Arc::new(Shared::new(count));
        let mut ports = hioload_ring::mesh(count, self.ring);
        let remote = ports[0].remote();
        let mut addr = self.addr;
        let mut threads = Vec::with_capacity(count);
        let mut addresses = Vec::with_capacity(count);
        let mut go = Vec::with_capacity(count);
        let seat = Arc::new(Seat::new(&self, use_uring, count, Arc::clone(&shared)));
        for (index, port) in ports.drain(..).enumerate() {
            let (bound_tx, bound_rx) = mpsc::channel();
            let (go_tx, go_rx) = mpsc::channel();
            let seat = Arc::clone(&seat);
            let thread = std::thread::Builder::new()
                .name(format!("hioload-{index}"))
                .spawn(move || seat.sit(index, addr, port, &bound_tx, &go_rx))
                .map_err(|error| no_thread(&error))?;
            let bound = bound_rx.recv().map_err(|_| no_worker())??;
            addr = bound.addr;
            addresses.push(bound.address);
            threads.push(thread);
            go.push(go_tx);
        }
        let shutdown = (self.shutdown_timeout, self.shutdown_pace);
        let handle = ServerHandle::of(remote, &addresses, shared, shutdown);
        Ok(Server { addr, threads, addresses, go, handle })
    }
}

/// What each worker's thread makes its worker from.
struct Seat {
    use_uring: bool,
    workers: usize,
    driver_config: DriverConfig,
    worker_config: WorkerConfig,
    pool: PoolConfig,
    settings: Arc<Settings>,
    layers: Vec<Arc<dyn Layer>>,
    handler: Option<MakeHandler>,
    shared: Arc<Shared>,
    seed: u64,
}

struct Bound {
    addr: SocketAddr,
    address: Address,
}

impl Seat {
    fn new(builder: &ServerBuilder, use_uring: bool, workers: usize, shared: Arc<Shared>) -> Self {
        let mut driver_config = builder.driver_config.clone();
        driver_config.clock = Clock::start();
        Self {
            use_uring,
            workers,
            driver_config,
            worker_config: builder.worker_config.clone(),
            pool: builder.pool,
            settings: Arc::new(builder.settings.clone()),
            layers: builder.layers.clone(),
            handler: builder.handler.clone(),
            shared,
            seed: seed(),
        }
    }

    /// A worker's thread: bind, tell, wait for the word, run.
    fn sit(
        &self,
        index: usize,
        addr: SocketAddr,
        port: Port<Message>,
        bound: &mpsc::Sender<Result<Bound, StartError>>,
        go: &mpsc::Receiver<Vec<Address>>,
    ) -> Result<(), TurnError> {
        let (driver, hub) = match self.prepare(index, addr) {
            Ok((driver, hub, addr)) => {
                let address = driver.address();
                let _ = bound.send(Ok(Bound { addr, address }));
                (driver, hub)
            }
            Err(error) => {
                let _ = bound.send(Err(error));
                return Ok(());
            }
        };
        let Ok(peers) = go.recv() else { return Ok(()) };
        Worker::new(driver, port, peers, self.worker_config.clone(), hub).run().map(drop)
    }

    fn prepare(&self, index: usize, addr: SocketAddr) -> Result<(Box<dyn Driver>, Hub, SocketAddr), StartError> {
        let mut driver = self.driver()?;
        let listener = driver.listen(&hub::listen_spec(addr, self.workers > 1))?;
        let addr = driver.local_addr(listener).unwrap_or(addr);
        let pool = BufferPool::new(self.pool).map_err(|error| StartError {
            what: "no memory for buffers".to_owned(),
            cause: error.to_string(),
            remedy: "Lower the memory budget, or give the machine more".to_owned(),
            errno: None,
        })?;
        for line in pool.fallbacks() {
            tracing::warn!("{line}");
        }
        let mut hub = Hub::new(
            self.make_handler(index),
            Arc::clone(&self.settings),
            pool,
            Arc::clone(&self.shared),
            self.workers,
            self.seed.wrapping_add(index as u64),
        );
        hub.listen_on(listener);
        Ok((driver, hub, addr))
    }

    fn driver(&self) -> Result<Box<dyn Driver>, StartError> {
        let config = self.driver_config.clone();
        #[cfg(target_os = "linux")]
        if self.use_uring {
            return Ok(Box::new(hioload_reactor::uring::UringDriver::new(config)?));
        }
        Ok(Box::new(poll::PollDriver::new(config)?))
    }

    fn make_handler(&self, index: usize) -> Box<dyn Handler> {
        let inner: Box<dyn Handler> = match &self.handler {
            Some(make) => make(index),
            None => Box::new(crate::handler::Broadcast::default()),
        };
        self.layers.iter().rev().fold(inner, |inner, layer| layer.wrap(inner))
    }
}

/// A bound server that does not accept yet.
pub struct Server {
    addr: SocketAddr,
    threads: Vec<JoinHandle<Result<(), TurnError>>>,
    addresses: Vec<Address>,
    go: Vec<mpsc::Sender<Vec<Address>>>,
    handle: ServerHandle,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Server {
    /// A server's settings, to be filled in.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until [`ServerHandle::shutdown`] has closed every session.
    ///
    /// # Errors
    /// When a worker failed; the others are shut down first.
    pub fn run(self) -> Result<(), RunError> {
        for go in &self.go {
            let _ = go.send(self.addresses.clone());
        }
        let mut first = None;
        for (index, thread) in self.threads.into_iter().enumerate() {
            let outcome = match thread.join() {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "panicked".to_owned(),
            };
            self.handle.shutdown();
            first.get_or_insert(RunError { worker: index, outcome });
        }
        first.map_or(Ok(()), Err)
    }
}

/// A worker failed.
#[derive(Debug)]
pub struct RunError {
    worker: usize,
    outcome: String,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} failed: {}", self.worker, self.outcome)
    }
}

impl std::error::Error for RunError {}

/// Steers a server from any thread.
#[derive(Clone)]
pub struct ServerHandle {
    remote: Remote<Message>,
    wakers: Arc<[Waker]>,
    shared: Arc<Shared>,
    shutdown_timeout: Duration,
    shutdown_pace: u32,
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerHandle({} workers)", self.wakers.len())
    }
}

impl ServerHandle {
    /// A handle for workers that are stepped by hand.
    pub(crate) fn of(
        remote: Remote<Message>,
        addresses: &[Address],
        shared: Arc<Shared>,
        shutdown: (Duration, u32),
    ) -> Self {
        let wakers = addresses.iter().map(Address::waker).collect();
        Self { remote, wakers, shared, shutdown_timeout: shutdown.0, shutdown_pace: shutdown.1 }
    }

    /// Stops accepting, closes every session with 1001 at the configured pace, lets out what is
    /// under way, and stops the workers within the configured time. Returns at once.
    pub fn shutdown(&self) {
        let (timeout, pace) = (self.shutdown_timeout, self.shutdown_pace);
        self.tell(|| Message::Shutdown { timeout, pace });
    }

    /// New settings for all workers. Sessions and channels that exist keep the bounds they were
    /// made with.
    pub fn set_settings(&self, settings: Settings) {
        let settings = Arc::new(settings);
        self.tell(|| Message::Settings(Arc::clone(&settings)));
    }

    /// The counters of each worker, as of its last quarter of a second.
    #[must_use]
    pub fn worker_stats(&self) -> Vec<Stats> {
        self.shared.stats()
    }

    /// The counters of all workers together.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.worker_stats() {
            sum += stats;
        }
        sum
    }

    fn tell(&self, message: impl Fn() -> Message) {
        for (index, waker) in self.wakers.iter().enumerate() {
            // The inbox for outside threads is full only while a worker stands still; it is asked
            // again until it moves, and a worker that ended has nothing to be told.
            for _ in 0..1000 {
                if self.remote.try_send(index, message()).is_ok() {
                    break;
                }
                waker.wake();
                std::thread::yield_now();
            }
            waker.wake();
        }
    }
}

/// Whether to use io_uring.
fn choose_driver(choice: DriverChoice) -> Result<bool, StartError> {
    #[cfg(target_os = "linux")]
    match (choice, choice != DriverChoice::Poll) {
        (_, false) => return Ok(false),
        (DriverChoice::Uring, _) => return hioload_reactor::uring::probe().map(|()| true),
        (_, _) => match hioload_reactor::uring::probe() {
            Ok(()) => return Ok(true),
            Err(error) => tracing::warn!("using the poll driver: {error}"),
        },
    }
    #[cfg(not(target_os = "linux"))]
    if choice == DriverChoice::Uring {
        return Err(StartError {
            what: "io_uring is not available".to_owned(),
            cause: "it exists on Linux only".to_owned(),
            remedy: "Use --driver poll".to_owned(),
            errno: None,
        });
    }
    Ok(false)
}

/// Shared ports would let two servers bind the same address and split its connections: ask without
/// sharing first.
fn check_port_free(addr: SocketAddr) -> Result<(), StartError> {
    if addr.port() == 0 {
        return Ok(());
    }
    let spec = hub::listen_spec(addr, false);
    hioload_reactor::listen_socket(&spec).map(drop)
}

fn no_thread(error: &std::io::Error) -> StartError {
    StartError {
        what: "cannot start a worker's thread".to_owned(),
        cause: error.to_string(),
        remedy: "Raise the limit of threads (`ulimit -u`) or lower --workers".to_owned(),
        errno: error.raw_os_error(),
    }
}

fn no_worker() -> StartError {
    StartError {
        what: "a worker ended while it started".to_owned(),
        cause: "its handler or layer panicked".to_owned(),
        remedy: "See the panic's message above".to_owned(),
        errno: None,
    }
}

/// Unlike from start to start; for channel epochs.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
