//! A server in this process, for the length of a test.

use std::net::SocketAddr;
use std::sync::{OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use hioload::{
    DeflatePolicy, DriverChoice, RunError, Server, ServerBuilder, ServerHandle, Settings, Stats,
};

use hioload_reactor::StartError;

use crate::until;

/// Whether io_uring is to be had here; says so once when it is not.
pub fn uring_works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let probe = Server::builder()
            .addr(any_port())
            .workers(1)
            .driver(DriverChoice::Uring);
        match Running::try_start(probe) {
            Ok(_) => true,
            Err(error) => {
                eprintln!("NOT RUN on io_uring: {error}");
                false
            }
        }
    })
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A server that serves; dropping it shuts it down and waits for its end.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Running {
    /// A builder with what tests have in common: any port, this driver, an end that waits for
    /// nobody for long, little memory.
    #[must_use]
    pub fn builder(driver: DriverChoice, workers: usize) -> ServerBuilder {
        Server::builder()
            .addr(any_port())
            .driver(driver)
            .workers(workers)
            .shutdown(Duration::from_millis(100), 0)
    }

    /// Settings whose counters are fresh (they are written several times in `channel.window`).
    #[must_use]
    pub fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.channel.window = Duration::from_secs(2);
        // A small plan, whatever the machine.
        settings.sessions_max = 1000;
        settings.accept.deflate = Some(DeflatePolicy::default());
        settings
    }

    /// Builds and serves.
    ///
    /// # Panics
    /// When the server does not start.
    #[must_use]
    pub fn start(builder: ServerBuilder) -> Self {
        Self::try_start(builder).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Builds and serves, if the server can be built.
    ///
    /// # Errors
    /// What the server says when it cannot start.
    pub fn try_start(builder: ServerBuilder) -> Result<Self, StartError> {
        let (built_tx, built_rx) = mpsc::channel();
        // Not on the caller's thread: a ring that is probed there leaves work behind, which then
        // interrupts the blocking reads of clients (EINTR).
        let thread = std::thread::spawn(move || {
            let server = match builder.build() {
                Ok(server) => server,
                Err(error) => {
                    let _ = built_tx.send(Err(error));
                    return Ok(());
                }
            };
            let _ = built_tx.send(Ok((server.local_addr(), server.handle())));
            server.run()
        });
        let (addr, handle) = built_rx.recv().expect("invariant: sent in either case")?;
        Ok(Self {
            addr,
            handle,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its handle.
    #[must_use]
    pub fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// Waits until its counters are as `wanted`.
    #[track_caller]
    pub fn until_stats(&self, what: &str, mut wanted: impl FnMut(&Stats) -> bool) {
        until(what, || wanted(&self.stats()));
    }

    /// Waits until `run` has returned; true when it returned without an error.
    ///
    /// # Panics
    /// When it does not return in time.
    pub fn ended(&mut self) -> bool {
        let thread = self.thread.take().expect("invariant: waited for once");
        until("the end of run()", || thread.is_finished());
        matches!(thread.join(), Ok(Ok(())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_none() {
            return;
        }
        self.handle.shutdown();
        if std::thread::panicking() {
            return;
        }
        assert!(self.ended(), "a worker failed");
    }
}
