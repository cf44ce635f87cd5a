//! A server: workers, each with its driver, listener and handler, and a handle to steer them.
//!
//! ```text
//!   Server::builder() ─ build ─▶ Server (bound) ─ run ─▶ one thread per worker: Worker<Hub>
//!                                   ├─ handle ─▶ shutdown, stats, settings (any thread)
//!                                   └─ control ─▶ the same for operators
//! ```

mod builder;
mod carrier;
mod certificates;
mod channel;
mod connection;
pub(crate) mod core;
mod custom;
mod drain;
mod encoder;
mod fanout;
mod h2;
mod handle;
mod handshake;
mod holding;
mod http;
pub(crate) mod hub;
mod input;
mod inspect;
pub(crate) mod listen;
pub(crate) mod message;
mod meters;
mod orders;
mod outlet;
mod output;
mod place;
pub(crate) mod poll;
mod publish;
mod recovery;
#[cfg(test)]
mod rig;
mod rule;
mod seat;
mod send;
mod settings;
pub(crate) mod shared;
pub(crate) mod sizes;
mod spares;
mod sse;
mod stats;
pub(crate) mod store;
pub(crate) mod streams;
mod subscribe;
mod table;
mod timing;
mod tls;

use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use hioload_reactor::{Address, TurnError};

pub(crate) use self::builder::KERNEL_BUFFER;
pub use self::builder::{DriverChoice, ServerBuilder};
pub(crate) use self::certificates::Certificates;
pub use self::certificates::TlsConfig;
pub use self::handle::ServerHandle;
pub use self::inspect::ChannelStats;
pub use self::rule::ChannelRule;
pub use self::settings::{ChannelSettings, EventSettings, Settings};
pub use self::stats::Stats;
pub use self::store::StoreConfig;

use self::store::ControllerThread;
use crate::control::Control;

/// A worker's thread.
type Thread = JoinHandle<Result<(), TurnError>>;

/// A bound server that does not accept yet.
pub struct Server {
    addr: SocketAddr,
    addr_clear: Option<SocketAddr>,
    threads: Vec<Option<Thread>>,
    /// Workers in the order in which they end.
    ended: mpsc::Receiver<usize>,
    addresses: Vec<Address>,
    go: Vec<mpsc::Sender<Vec<Address>>>,
    control: Control,
    /// The controller of the block store, if there is one.
    controller: Option<ControllerThread>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
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

    /// Where it listens in clear as well.
    #[must_use]
    pub fn local_addr_clear(&self) -> Option<SocketAddr> {
        self.addr_clear
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
        let mut addresses = self.addresses;
        if let Some(controller) = &self.controller {
            controller.go(addresses.iter().map(Address::waker).collect());
            addresses.push(controller.address.clone());
        }
        for go in &self.go {
            let _ = go.send(addresses.clone());
        }
        let mut threads = self.threads;
        let mut first = None;
        // Each tells once, so that the first one to fail ends the others whatever its number.
        let mut left = threads.len();
        while left > 0 {
            let index = self
                .ended
                .recv()
                .expect("invariant: whoever has not ended holds a sender");
            let Some(thread) = threads.get_mut(index) else {
                // The controller of the store, without being told to: nothing would be answered any more.
                self.control.shutdown();
                continue;
            };
            left -= 1;
            let thread = thread.take().expect("invariant: a worker ends once");
            let outcome = match thread.join() {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "panicked".to_owned(),
            };
            self.control.shutdown();
            // The others wait for each other's connections, not for those that ended with it.
            self.control.handle().forget_worker(index);
            first.get_or_insert(RunError {
                who: format!("worker {index}"),
                outcome,
            });
        }
        // Last: workers may have asked it for something until their end.
        if let Some(controller) = self.controller
            && let Err(outcome) = controller.end()
        {
            let who = "the block store".to_owned();
            first.get_or_insert(RunError { who, outcome });
        }
        first.map_or(Ok(()), Err)
    }
}

/// A worker, or the block store, failed.
#[derive(Debug)]
pub struct RunError {
    who: String,
    outcome: String,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.who, self.outcome)
    }
}

impl std::error::Error for RunError {}
