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
mod inspect;
pub(crate) mod message;
mod meters;
mod outlet;
mod output;
mod place;
mod settings;
pub(crate) mod shared;
pub(crate) mod sizes;
mod stats;
mod table;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hioload_control::Config;
use hioload_mem::{BufferPool, PoolConfig};
use hioload_reactor::{
    Address, Affinity, Clock, Driver, DriverConfig, DriverKind, StartError, TurnError, Waker, Worker, WorkerConfig, poll,
};
use hioload_reactor::affinity::AffinityError;
use hioload_ring::{Port, Remote};

pub use self::inspect::ChannelStats;
pub use self::settings::{ChannelSettings, Settings};
pub use self::stats::Stats;

use self::hub::Hub;
use self::inspect::Inspection;
use self::message::Message;
use self::meters::Catalogue;
use self::place::{Machine, Place, Wish};
use self::shared::Shared;
use crate::config::{Driver as DriverName, ServerConfig};
use crate::control::{Control, Parts};
use crate::handler::Handler;
use crate::layer::Layer;
use crate::plan::{Limits, MemoryPlan};

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
    config: Option<Config<ServerConfig>>,
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
            config: None,
        }
    }
}

impl ServerBuilder {
    /// Takes everything the configuration says, and lets [`Control::reload`] read it again. What is
    /// set on the builder afterwards wins until then.
    #[must_use]
    pub fn config(mut self, config: &Config<ServerConfig>) -> Self {
        let current = config.current();
        let server = &current.server;
        self.pool.budget = current.memory();
        self.config = Some(config.clone());
        self.addr(server.addr.0)
            .workers(server.workers as usize)
            .pin(server.pin)
            .numa(server.numa.0)
            .driver(match server.driver {
                DriverName::Auto => DriverChoice::Auto,
                DriverName::Uring => DriverChoice::Uring,
                DriverName::Poll => DriverChoice::Poll,
            })
            .batch(server.batch as usize)
            .ring(server.ring as usize)
            .hugepages(server.hugepages)
            .settings(current.settings())
            .shutdown(current.shutdown.timeout, current.shutdown.pace)
    }

    /// The most the server can take.
    #[must_use]
    pub fn plan(&self) -> MemoryPlan {
        let workers = match self.workers {
            0 => Machine::detect().workers(self.wish()),
            count => count,
        };
        self.plan_for(workers)
    }

    fn plan_for(&self, workers: usize) -> MemoryPlan {
        MemoryPlan::new(&Limits {
            workers,
            ring: self.ring,
            sockets_max: self.sockets_max(),
            timers_max: self.timers_max(),
            pool: &self.pool,
            driver: &self.driver_config,
            settings: &self.settings,
        })
    }

    /// Sessions, and connections that are still closing while new ones come.
    fn sockets_max(&self) -> usize {
        self.driver_config.sockets_max.min(self.settings.sessions_max.saturating_add(1024))
    }

    /// One for each connection, and the worker's own.
    fn timers_max(&self) -> usize {
        self.worker_config.timers_max.min(self.sockets_max().saturating_add(64))
    }

    fn wish(&self) -> Wish {
        Wish { pin: self.pin, node: self.pool.numa_node }
    }

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
        let machine = Machine::detect();
        let count = match self.workers {
            0 => machine.workers(self.wish()),
            count => count,
        };
        let places = machine.places(self.wish(), count)?;
        let plan = self.plan_for(count);
        plan.check(&hioload_mem::Machine::detect())?;
        let use_uring = choose_driver(self.driver)?;
        check_port_free(self.addr)?;
        let shared = Arc::new(Shared::new(count));
        let mut ports = hioload_ring::mesh(count, self.ring);
        let remote = ports[0].remote();
        let mut addr = self.addr;
        let mut threads = Vec::with_capacity(count);
        let (ended_tx, ended_rx) = mpsc::channel();
        let mut addresses = Vec::with_capacity(count);
        let mut go = Vec::with_capacity(count);
        let (catalogue, registry, sheets) = Catalogue::build(count);
        let seat = Arc::new(Seat::new(&self, use_uring, places, catalogue, Arc::clone(&shared)));
        for ((index, port), sheet) in ports.drain(..).enumerate().zip(sheets) {
            let (bound_tx, bound_rx) = mpsc::channel();
            let (go_tx, go_rx) = mpsc::channel();
            let seat = Arc::clone(&seat);
            let end = End { index, ended: ended_tx.clone() };
            let thread = std::thread::Builder::new()
                .name(format!("hioload-{index}"))
                .spawn(move || {
                    let _end = end;
                    seat.sit(index, addr, port, sheet, &bound_tx, &go_rx)
                })
                .map_err(|error| no_thread(&error))?;
            let bound = bound_rx.recv().map_err(|_| no_worker())??;
            addr = bound.addr;
            addresses.push(bound.address);
            threads.push(thread);
            go.push(go_tx);
        }
        let shutdown = (self.shutdown_timeout, self.shutdown_pace);
        let handle = ServerHandle::of(remote, &addresses, shared, shutdown);
        let control = Control::new(Parts {
            handle,
            driver: if use_uring { DriverKind::Uring } else { DriverKind::Poll },
            registry,
            plan,
            config: self.config,
            settings: self.settings,
        });
        Ok(Server { addr, threads, ended: ended_rx, addresses, go, control })
    }
}

/// What each worker's thread makes its worker from.
struct Seat {
    use_uring: bool,
    places: Vec<Place>,
    catalogue: Catalogue,
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
    fn new(
        builder: &ServerBuilder,
        use_uring: bool,
        places: Vec<Place>,
        catalogue: Catalogue,
        shared: Arc<Shared>,
    ) -> Self {
        let mut driver_config = builder.driver_config.clone();
        driver_config.clock = Clock::start();
        driver_config.sockets_max = builder.sockets_max();
        let mut worker_config = builder.worker_config.clone();
        worker_config.timers_max = builder.timers_max();
        Self {
            use_uring,
            places,
            catalogue,
            driver_config,
            worker_config,
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
        sheet: hioload_control::Seat,
        bound: &mpsc::Sender<Result<Bound, StartError>>,
        go: &mpsc::Receiver<Vec<Address>>,
    ) -> Result<(), TurnError> {
        let (driver, hub) = match self.prepare(index, addr) {
            Ok((driver, mut hub, addr)) => {
                hub.show_on(self.catalogue.meters(&sheet.take()));
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
        let Place { cpus, node } = &self.places[index];
        if !cpus.is_empty() {
            // For good: the thread ends with the worker. Before anything is allocated, so that its
            // memory is near.
            Affinity::pin(cpus).map_err(|error| not_pinned(index, &error))?;
        }
        let workers = self.places.len();
        let mut driver = self.driver()?;
        let listener = driver.listen(&hub::listen_spec(addr, workers > 1))?;
        let addr = driver.local_addr(listener).unwrap_or(addr);
        let pool = PoolConfig { numa_node: *node, ..self.pool };
        let pool = BufferPool::new(pool).map_err(|error| StartError {
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
            workers,
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

/// Tells of a thread's end when it is dropped, in a panic too.
struct End {
    index: usize,
    ended: mpsc::Sender<usize>,
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.ended.send(self.index);
    }
}

/// A bound server that does not accept yet.
pub struct Server {
    addr: SocketAddr,
    threads: Vec<JoinHandle<Result<(), TurnError>>>,
    /// The numbers of workers whose threads end, when they do.
    ended: mpsc::Receiver<usize>,
    addresses: Vec<Address>,
    go: Vec<mpsc::Sender<Vec<Address>>>,
    control: Control,
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
        self.control.handle().clone()
    }

    /// What an operator sees and changes: figures, probes, settings.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until [`ServerHandle::shutdown`] has closed every session.
    ///
    /// # Errors
    /// When a worker failed; the others are shut down first.
    pub fn run(self) -> Result<(), RunError> {
        for go in &self.go {
            let _ = go.send(self.addresses.clone());
        }
        let mut threads: Vec<_> = self.threads.into_iter().map(Some).collect();
        let mut first = None;
        // In the order in which they end: one that fails must not wait for the others.
        for index in self.ended {
            let Some(thread) = threads[index].take() else { continue };
            let outcome = match thread.join() {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "panicked".to_owned(),
            };
            self.control.shutdown();
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
    /// Timeout and pace of the shutdown to come.
    shutdown: Arc<Mutex<(Duration, u32)>>,
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerHandle({} workers)", self.wakers.len())
    }
}

impl ServerHandle {
    pub(crate) fn of(
        remote: Remote<Message>,
        addresses: &[Address],
        shared: Arc<Shared>,
        shutdown: (Duration, u32),
    ) -> Self {
        let wakers = addresses.iter().map(Address::waker).collect();
        Self { remote, wakers, shared, shutdown: Arc::new(Mutex::new(shutdown)) }
    }

    /// Stops accepting, closes every session with 1001 at the configured pace, lets out what is
    /// under way, and stops the workers within the configured time. Returns at once.
    pub fn shutdown(&self) {
        let (timeout, pace) = *self.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.set_draining();
        self.tell(|| Message::Shutdown { timeout, pace });
    }

    /// A shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// How a shutdown that has not begun will go; see [`ServerBuilder::shutdown`].
    pub fn set_shutdown(&self, timeout: Duration, pace: u32) {
        *self.shutdown.lock().unwrap_or_else(PoisonError::into_inner) = (timeout, pace);
    }

    /// New settings for all workers. Sessions and channels that exist keep the bounds they were
    /// made with. Listeners for reloads are told by [`Control::set_settings`] only.
    pub fn set_settings(&self, settings: Settings) {
        self.tell_settings(&Arc::new(settings));
    }

    pub(crate) fn tell_settings(&self, settings: &Arc<Settings>) {
        self.tell(|| Message::Settings(Arc::clone(settings)));
    }

    /// Asks each worker for its notable channels and sums those of one name; the most subscribers
    /// first.
    pub(crate) fn channels(&self, timeout: Duration) -> Vec<ChannelStats> {
        let (answer, answers) = mpsc::sync_channel(self.wakers.len());
        self.tell(|| Message::Inspect(answer.clone()));
        drop(answer);
        let deadline = Instant::now() + timeout;
        let mut sums: BTreeMap<String, ChannelStats> = BTreeMap::new();
        for _ in 0..self.wakers.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(Inspection { channels }) = answers.recv_timeout(left) else { break };
            for channel in channels {
                match sums.get_mut(&channel.name) {
                    Some(sum) => sum.add(&channel),
                    None => drop(sums.insert(channel.name.clone(), channel)),
                }
            }
        }
        let mut sums: Vec<ChannelStats> = sums.into_values().collect();
        sums.sort_by_key(|channel| Reverse((channel.subscribers, channel.lag_size_max)));
        sums
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

fn not_pinned(index: usize, error: &AffinityError) -> StartError {
    StartError {
        what: format!("cannot bind worker {index} to its processors"),
        cause: error.to_string(),
        remedy: "Leave server.pin (--pin) off and server.numa (--numa) at auto".to_owned(),
        errno: None,
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
