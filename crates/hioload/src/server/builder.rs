//! What a server is made from, and how it comes up: settings on a builder, then threads that bind.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hioload_control::Config;
use hioload_mem::PoolConfig;
use hioload_reactor::{Clock, DriverConfig, DriverKind, StartError, WorkerConfig};

use super::listen::{KernelBuffers, listen_spec};
use super::meters::Catalogue;
use super::place::{Machine, Wish};
use super::seat::{MakeHandler, MakeProtocol, Seat, TellEnd};
use super::shared::Shared;
use super::store::{ControllerThread, Opened, StoreConfig};
use super::{Certificates, Server, ServerHandle, Settings, TlsConfig};
use crate::config::{Driver as DriverName, ServerConfig};
use crate::control::{Control, Parts};
use crate::handler::Handler;
use crate::layer::Layer;
use crate::plan::{Limits, MemoryPlan};
use crate::protocol::Protocol;

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

/// Kernel memory of one connection in each direction, unless told.
pub(crate) const KERNEL_BUFFER: usize = 256 * 1024;

/// Settings of a server before it is built.
pub struct ServerBuilder {
    addr: SocketAddr,
    workers: usize,
    driver: DriverChoice,
    pub(super) driver_config: DriverConfig,
    pub(super) worker_config: WorkerConfig,
    ring: usize,
    pub(super) pool: PoolConfig,
    pub(super) buffers: KernelBuffers,
    pin: bool,
    pub(super) settings: Settings,
    pub(super) layers: Vec<Arc<dyn Layer>>,
    pub(super) handler: Option<MakeHandler>,
    pub(super) protocols: Vec<MakeProtocol>,
    shutdown_timeout: Duration,
    shutdown_pace: u32,
    config: Option<Config<ServerConfig>>,
    pub(super) store: Option<StoreConfig>,
    tls: Option<TlsConfig>,
    pub(super) addr_clear: Option<SocketAddr>,
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
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
            buffers: KernelBuffers {
                send: Some(KERNEL_BUFFER),
                recv: Some(KERNEL_BUFFER),
            },
            pin: false,
            settings,
            layers: Vec::new(),
            handler: None,
            protocols: Vec::new(),
            shutdown_timeout: Duration::from_secs(10),
            shutdown_pace: 0,
            config: None,
            store: None,
            tls: None,
            addr_clear: None,
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
            .send_buffer(server.send_buffer.0.map(|size| size.bytes() as usize))
            .recv_buffer(server.recv_buffer.0.map(|size| size.bytes() as usize))
            .zero_copy(server.zero_copy.0.map(|size| size.bytes() as usize))
            .settings(current.settings())
            .store(current.store())
            .tls(current.tls())
            .addr_clear(server.addr_clear.0)
            .shutdown(current.shutdown.timeout, current.shutdown.pace)
    }

    /// The most the server can take.
    #[must_use]
    pub fn plan(&self) -> MemoryPlan {
        let cores = Machine::detect().workers(self.wish());
        let count = self.worker_count(cores, &hioload_mem::Machine::detect());
        MemoryPlan::new(&self.limits(count), &self.settings)
    }

    /// As many as told; else one per core, but no more than there is memory for.
    fn worker_count(&self, cores: usize, memory: &hioload_mem::Machine) -> usize {
        let plan = |count| MemoryPlan::new(&self.limits(count), &self.settings);
        let fits = |count: &usize| plan(*count).check(memory).is_ok();
        match self.workers {
            0 => (2..=cores).rev().find(fits).unwrap_or(1),
            count => count,
        }
    }

    fn limits(&self, workers: usize) -> Limits {
        Limits {
            workers,
            ring: self.ring,
            sockets_max: self.sockets_max(),
            timers_max: self.timers_max(),
            pool: self.pool,
            driver: self.driver_config.clone(),
            store: self.store.clone(),
            has_tls: self.tls.is_some(),
        }
    }

    /// Sessions, and connections that are still closing while new ones come.
    pub(super) fn sockets_max(&self) -> usize {
        self.driver_config
            .sockets_max
            .min(self.settings.sessions_max.saturating_add(1024))
    }

    /// One for each connection and each session that is polled, and the worker's own.
    pub(super) fn timers_max(&self) -> usize {
        let polls = self.settings.streams.long_poll_max as usize;
        self.worker_config
            .timers_max
            .min(self.sockets_max().saturating_add(64 + polls))
    }

    fn wish(&self) -> Wish {
        Wish {
            pin: self.pin,
            node: self.pool.numa_node,
        }
    }

    /// Where to listen; port 0 lets the system choose. 127.0.0.1:9002 unless told.
    #[must_use]
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// Workers, one thread each; 0: one per core, but no more than there is memory for.
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

    /// Kernel memory for what one connection was sent and has not taken; `None`: as the system
    /// tunes it, which may be megabytes for each slow reader. 256 KiB unless told.
    #[must_use]
    pub fn send_buffer(mut self, bytes: Option<usize>) -> Self {
        self.buffers.send = bytes;
        self
    }

    /// Kernel memory for what came from one connection and was not received; `None`: as the system
    /// tunes it, which may be megabytes for each publisher that is held back. 256 KiB unless told.
    #[must_use]
    pub fn recv_buffer(mut self, bytes: Option<usize>) -> Self {
        self.buffers.recv = bytes;
        self
    }

    /// Sends payloads of at least so many bytes without copying them, where the driver and the device
    /// can; `None`, the default: never. What a peer has not acknowledged then stays in the
    /// worker's buffers, and counts towards [`memory`](Self::memory).
    #[must_use]
    pub fn zero_copy(mut self, bytes: Option<usize>) -> Self {
        self.driver_config.zero_copy_min = bytes;
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

    /// Stores blocks, and serves them over HTTP at the same address; `None`, the default, does not.
    /// The store is opened, or made, by [`build`](Self::build).
    #[must_use]
    pub fn store(mut self, store: Option<StoreConfig>) -> Self {
        self.store = store;
        self
    }

    /// Speaks TLS at [`addr`](Self::addr); `None`, the default: everything is in clear.
    #[must_use]
    pub fn tls(mut self, tls: Option<TlsConfig>) -> Self {
        self.tls = tls;
        self
    }

    /// Listens here in clear as well, when [`addr`](Self::addr) speaks TLS; nowhere by default.
    #[must_use]
    pub fn addr_clear(mut self, addr: Option<SocketAddr>) -> Self {
        self.addr_clear = addr;
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

    /// Adds a protocol that connections may ask for instead of HTTP and WebSocket: made once per worker, on its thread.
    /// Those added before are asked first.
    #[must_use]
    pub fn protocol<P: Protocol>(
        mut self,
        make: impl Fn(usize) -> P + Send + Sync + 'static,
    ) -> Self {
        self.protocols
            .push(Arc::new(move |worker| Box::new(make(worker))));
        self
    }

    /// Starts the workers' threads and binds their listeners; [`Server::run`] begins to accept.
    ///
    /// # Errors
    /// What was refused, why, and what to do.
    pub fn build(self) -> Result<Server, StartError> {
        let machine = Machine::detect();
        let memory = hioload_mem::Machine::detect();
        let cores = machine.workers(self.wish());
        let count = self.worker_count(cores, &memory);
        if self.workers == 0 && count < cores {
            tracing::info!(
                "{count} workers on {cores} cores: there is no memory for more; `hioload plan --workers {cores}` shows why"
            );
        }
        let places = machine.places(self.wish(), count)?;
        let limits = self.limits(count);
        MemoryPlan::new(&limits, &self.settings).check(&memory)?;
        let use_uring = choose_driver(self.driver)?;
        check_port_free(self.addr)?;
        let certificates = self.tls.as_ref().map(Certificates::open).transpose()?;
        let mut addr_clear = self.addr_clear.filter(|_| certificates.is_some());
        if let Some(addr) = addr_clear {
            check_port_free(addr)?;
        }
        let shared = Arc::new(Shared::new(count));
        // The controller of the store has the last port.
        let ports_max = count + usize::from(self.store.is_some());
        let mut ports = hioload_ring::mesh(ports_max, self.ring);
        let remote = ports[0].remote();
        let mut addr = self.addr;
        let mut threads = Vec::with_capacity(count);
        let mut addresses = Vec::with_capacity(count);
        let mut go = Vec::with_capacity(count);
        let (catalogue, registry, sheets) = Catalogue::build(count, self.store.is_some());
        let opened = self.store.clone().map(Opened::open).transpose()?;
        let shares = opened.as_ref().map(|opened| opened.shares(count));
        let mut shares = shares.transpose()?.unwrap_or_default().into_iter();
        let clock = Clock::start();
        let (ended_tx, ended) = mpsc::channel();
        let controller = match (opened, &mut ports) {
            (Some(opened), ports) => {
                let port = ports.pop().expect("invariant: a port more than workers");
                let ended = TellEnd {
                    index: count,
                    to: ended_tx.clone(),
                };
                Some(ControllerThread::start(opened, port, count, clock, ended)?)
            }
            (None, _) => None,
        };
        let board = controller.as_ref().map(|thread| Arc::clone(&thread.board));
        let seat = Arc::new(Seat::new(
            &self,
            use_uring,
            places,
            catalogue,
            Arc::clone(&shared),
            clock,
            board.clone(),
            certificates.as_ref().map(Certificates::acceptor),
        ));
        for ((index, port), sheet) in ports.drain(..).enumerate().zip(sheets) {
            let (bound_tx, bound_rx) = mpsc::channel();
            let (go_tx, go_rx) = mpsc::channel();
            let seat = Arc::clone(&seat);
            let share = shares.next();
            let ended = TellEnd {
                index,
                to: ended_tx.clone(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("hioload-{index}"))
                .spawn(move || {
                    let _ended = ended;
                    seat.sit(
                        index,
                        (addr, addr_clear),
                        port,
                        sheet,
                        share,
                        &bound_tx,
                        &go_rx,
                    )
                })
                .map_err(|error| no_thread(&error))?;
            let bound = bound_rx.recv().map_err(|_| no_worker())??;
            (addr, addr_clear) = bound.addrs;
            addresses.push(bound.address);
            threads.push(Some(thread));
            go.push(go_tx);
        }
        let shutdown = (self.shutdown_timeout, self.shutdown_pace);
        let handle = ServerHandle::of(remote, &addresses, shared, shutdown);
        let control = Control::new(Parts {
            handle,
            driver: if use_uring {
                DriverKind::Uring
            } else {
                DriverKind::Poll
            },
            registry,
            limits,
            memory,
            config: self.config,
            settings: self.settings,
            board,
            certificates,
        });
        Ok(Server {
            addr,
            addr_clear,
            threads,
            ended,
            addresses,
            go,
            control,
            controller,
        })
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
    let spec = listen_spec(addr, false, KernelBuffers::default());
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

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_control::Sources;

    /// Everything but the application and the store.
    fn facts(builder: &ServerBuilder) -> Vec<String> {
        let all: [&dyn fmt::Debug; 14] = [
            &builder.addr,
            &builder.addr_clear,
            &builder.workers,
            &builder.driver,
            &builder.driver_config,
            &builder.worker_config,
            &builder.ring,
            &builder.pool,
            &builder.buffers,
            &builder.pin,
            &builder.settings,
            &builder.tls,
            &builder.shutdown_timeout,
            &builder.shutdown_pace,
        ];
        all.iter().map(|fact| format!("{fact:#?}")).collect()
    }

    #[test]
    fn there_are_no_more_workers_than_there_is_memory_for() {
        let memory = |memory_available| hioload_mem::Machine {
            memory_available,
            bound_by: "a test".to_owned(),
        };
        let builder = Server::builder();
        let plan = |count| MemoryPlan::new(&builder.limits(count), &builder.settings);
        let needs = |count| plan(count).total_size();
        for (available, count) in [
            (needs(16), 16),
            (needs(16) - 1, 15),
            (needs(3), 3),
            (needs(2) - 1, 1),
            // Then the start is refused.
            (0, 1),
        ] {
            assert_eq!(builder.worker_count(16, &memory(available)), count);
        }
        let told = Server::builder().workers(16);
        assert_eq!(told.worker_count(2, &memory(needs(3))), 16);
    }

    #[test]
    fn the_defaults_of_the_library_are_those_of_the_configuration() {
        let config = Config::<ServerConfig>::load(Sources::new()).expect("nothing is set");
        let mut configured = Server::builder().config(&config);
        let mut plain = Server::builder();
        plain.driver_config.clock = configured.driver_config.clock;
        assert_eq!(facts(&plain), facts(&configured));
        // The library stores no blocks unless it is told where.
        assert_eq!(plain.store, None);
        let dir = configured.store.as_ref().expect("on").dir.clone();
        assert_eq!(configured.store.take(), Some(StoreConfig::new(dir)));
    }
}
