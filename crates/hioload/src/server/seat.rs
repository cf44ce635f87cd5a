//! The thread of a worker: it takes its place, binds, says so, waits for the word, and runs.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use hioload_mem::{BufferPool, PoolConfig};
use hioload_net::tls::Acceptor;
use hioload_reactor::affinity::AffinityError;
use hioload_reactor::{
    Address, Affinity, Clock, Driver, DriverConfig, StartError, TurnError, Worker, WorkerConfig,
    poll,
};
use hioload_ring::Port;

use super::ServerBuilder;
use super::Settings;
use super::hub::Hub;
use super::listen::{KernelBuffers, listen_spec};
use super::message::Message;
use super::meters::Catalogue;
use super::place::Place;
use super::shared::Shared;
use super::store::{Board, Share, Store};
use crate::handler::Handler;
use crate::layer::Layer;
use crate::protocol::Protocol;

/// Makes the handler of each worker.
pub(super) type MakeHandler = Arc<dyn Fn(usize) -> Box<dyn Handler> + Send + Sync>;

/// Makes a protocol of the application for each worker.
pub(super) type MakeProtocol = Arc<dyn Fn(usize) -> Box<dyn Protocol> + Send + Sync>;

/// What each worker's thread makes its worker from.
pub(super) struct Seat {
    use_uring: bool,
    places: Vec<Place>,
    catalogue: Catalogue,
    driver_config: DriverConfig,
    worker_config: WorkerConfig,
    pool: PoolConfig,
    buffers: KernelBuffers,
    settings: Arc<Settings>,
    layers: Vec<Arc<dyn Layer>>,
    handler: Option<MakeHandler>,
    protocols: Vec<MakeProtocol>,
    shared: Arc<Shared>,
    /// Figures of the store, if there is one.
    board: Option<Arc<Board>>,
    /// Makes the sessions of connections, if they speak TLS.
    acceptor: Option<Acceptor>,
    seed: u64,
}

/// Says which worker's thread has ended, however it did; the store's controller comes after the workers.
pub(super) struct TellEnd {
    pub(super) index: usize,
    pub(super) to: mpsc::Sender<usize>,
}

impl Drop for TellEnd {
    fn drop(&mut self) {
        // Nobody may be listening: a server that never ran.
        let _ = self.to.send(self.index);
    }
}

/// Where a server listens, and where in clear as well.
pub(super) type Addrs = (SocketAddr, Option<SocketAddr>);

/// What a worker that is bound tells.
pub(super) struct Bound {
    pub(super) addrs: Addrs,
    pub(super) address: Address,
}

impl Seat {
    #[expect(clippy::too_many_arguments, reason = "what all workers share")]
    pub(super) fn new(
        builder: &ServerBuilder,
        use_uring: bool,
        places: Vec<Place>,
        catalogue: Catalogue,
        shared: Arc<Shared>,
        clock: Clock,
        board: Option<Arc<Board>>,
        acceptor: Option<Acceptor>,
    ) -> Self {
        let mut driver_config = builder.driver_config.clone();
        driver_config.clock = clock;
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
            buffers: builder.buffers,
            settings: Arc::new(builder.settings.clone()),
            layers: builder.layers.clone(),
            handler: builder.handler.clone(),
            protocols: builder.protocols.clone(),
            shared,
            board,
            acceptor,
            seed: seed(),
        }
    }

    /// A worker's thread: bind, tell, wait for the word, run.
    #[expect(
        clippy::too_many_arguments,
        reason = "what one worker has and others have not"
    )]
    pub(super) fn sit(
        &self,
        index: usize,
        addrs: Addrs,
        port: Port<Message>,
        sheet: hioload_control::Seat,
        share: Option<Share>,
        bound: &mpsc::Sender<Result<Bound, StartError>>,
        go: &mpsc::Receiver<Vec<Address>>,
    ) -> Result<(), TurnError> {
        let (driver, hub) = match self.prepare(index, addrs, share) {
            Ok((driver, mut hub, addrs)) => {
                hub.show_on(self.catalogue.meters(&sheet.take()));
                let address = driver.address();
                let _ = bound.send(Ok(Bound { addrs, address }));
                (driver, hub)
            }
            Err(error) => {
                let _ = bound.send(Err(error));
                return Ok(());
            }
        };
        let Ok(peers) = go.recv() else { return Ok(()) };
        Worker::new(driver, port, peers, self.worker_config.clone(), hub)
            .run()
            .map(drop)
    }

    fn prepare(
        &self,
        index: usize,
        (addr, addr_clear): Addrs,
        share: Option<Share>,
    ) -> Result<(Box<dyn Driver>, Hub, Addrs), StartError> {
        let Place { cpus, node } = &self.places[index];
        if !cpus.is_empty() {
            // For good: the thread ends with the worker. Before anything is allocated, so that its
            // memory is near.
            Affinity::pin(cpus).map_err(|error| not_pinned(index, &error))?;
        }
        let workers = self.places.len();
        let mut driver = self.driver()?;
        let mut listen = |addr| {
            let listener = driver.listen(&listen_spec(addr, workers > 1, self.buffers))?;
            Ok((listener, driver.local_addr(listener).unwrap_or(addr)))
        };
        let (listener, addr) = listen(addr)?;
        let (clear, addr_clear) = addr_clear.map(listen).transpose()?.unzip();
        let memory = PoolConfig {
            numa_node: *node,
            ..self.pool
        };
        let pool = BufferPool::new(memory).map_err(|error| StartError {
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
        for make in &self.protocols {
            hub.speak(make(index));
        }
        if let Some(acceptor) = &self.acceptor {
            hub.speak_tls(acceptor.clone(), clear);
        }
        if let (Some(share), Some(board)) = (share, &self.board) {
            let board = Arc::clone(board);
            let store = Store::open(share, &mut *driver, memory, workers, board)?;
            hub.keep_store(store);
        }
        Ok((driver, hub, (addr, addr_clear)))
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
        self.layers
            .iter()
            .rev()
            .fold(inner, |inner, layer| layer.wrap(inner))
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

/// Unlike from start to start; for channel epochs.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
