//! What an operator and the program itself see and change while a server runs.
//!
//! ```text
//!   Server::control() ─▶ Control ─▶ stats, metrics, probes ─▶ the admin listener, or your own
//!                           └─ reload ─▶ Config ─▶ Settings of all workers ─▶ on_reload listeners
//! ```
//!
//! Must not know HTTP, signals or the command line. Everything here runs on the thread that asks; a
//! worker answers at most one message.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hioload_control::Registry;
use hioload_mem::Machine;
use hioload_net::tls::SetupError;
use hioload_reactor::{DriverKind, StartError};
use serde_json::{Map, Value, json};

use crate::config::ServerConfig;
use crate::plan::{Limits, MemoryPlan};
use crate::server::store::{self, Board};
use crate::server::streams::Streams;
use crate::server::{Certificates, ChannelStats, ServerHandle, Settings, Stats, TlsConfig};

pub use hioload_control::{
    Change, Config, ConfigError, Invalid, KeyChange, KeyReport, OPEN_METRICS_CONTENT_TYPE, Origin,
    ProbeError, Probes, Problem, Report, Sources,
};

/// How long workers may take to tell of their channels.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

type Listener = Arc<dyn Fn(&Settings) + Send + Sync>;

/// Shows and changes a running server. Clones share it.
///
/// ```
/// use hioload::Server;
/// use serde_json::json;
///
/// let server = Server::builder().addr("127.0.0.1:0".parse()?).workers(1).build()?;
/// let control = server.control();
/// control.register_probe("version", || json!("1.2.3"))?;
/// control.on_reload(|settings| println!("messages up to {} bytes", settings.ws.message_size_max));
/// assert_eq!(control.stats()["workers"], 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    handle: ServerHandle,
    driver: DriverKind,
    registry: Registry,
    limits: Limits,
    /// What the machine could give at the start.
    memory: Machine,
    started: Instant,
    config: Option<Config<ServerConfig>>,
    probes: Probes,
    settings: Mutex<Arc<Settings>>,
    board: Option<Arc<Board>>,
    certificates: Option<Certificates>,
    listeners: Mutex<Vec<Listener>>,
    /// What the last reload did.
    reloaded: Mutex<Value>,
}

/// Why nothing was reloaded.
#[derive(Clone, Debug, PartialEq)]
pub enum ReloadError {
    /// The server was built without a configuration: there is nothing to read again.
    NoConfig,
    /// Something in the sources is wrong.
    Refused(ConfigError),
    /// Certificates or keys cannot be used: those from before are shown on, and no other setting has changed either.
    Certificates(SetupError),
    /// With the new values the server could take more than the machine could give when it started.
    Memory(StartError),
}

impl From<ConfigError> for ReloadError {
    fn from(error: ConfigError) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfig => f.write_str(
                "the server was built without a configuration; there is nothing to reload",
            ),
            Self::Refused(error) => error.fmt(f),
            Self::Certificates(error) => write!(
                f,
                "nothing has changed, certificates cannot be used: {error}"
            ),
            Self::Memory(error) => write!(f, "nothing has changed: {error}"),
        }
    }
}

impl std::error::Error for ReloadError {}

/// What a server gives its control when it is built.
pub(crate) struct Parts {
    pub(crate) handle: ServerHandle,
    pub(crate) driver: DriverKind,
    pub(crate) registry: Registry,
    pub(crate) limits: Limits,
    /// What the machine could give before the start.
    pub(crate) memory: Machine,
    pub(crate) config: Option<Config<ServerConfig>>,
    pub(crate) settings: Settings,
    /// Figures of the block store, if there is one.
    pub(crate) board: Option<Arc<Board>>,
    /// What it shows to clients, if it speaks TLS.
    pub(crate) certificates: Option<Certificates>,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            handle,
            driver,
            registry,
            limits,
            memory,
            config,
            settings,
            board,
            certificates,
        } = parts;
        Self {
            inner: Arc::new(Inner {
                handle,
                driver,
                registry,
                limits,
                memory,
                started: Instant::now(),
                config,
                probes: Probes::new(),
                settings: Mutex::new(Arc::new(settings)),
                board,
                certificates,
                listeners: Mutex::new(Vec::new()),
                reloaded: Mutex::new(Value::Null),
            }),
        }
    }

    /// All figures: `state`, `totals`, `by_worker`, and the channels with the most subscribers and the
    /// longest lag. Counters are as of each worker's last quarter of a second.
    #[must_use]
    pub fn stats(&self) -> Value {
        let by_worker = self.inner.handle.worker_stats();
        let totals = self.totals();
        let channels: Vec<Value> = self.channels().iter().map(channel_json).collect();
        json!({
            "state": if self.is_draining() { "draining" } else { "serving" },
            "uptime_seconds": self.inner.started.elapsed().as_secs(),
            "driver": self.inner.driver.to_string(),
            "workers": by_worker.len(),
            "config_version": self.inner.config.as_ref().map(Config::version),
            "memory_plan_bytes": self.plan().total_size(),
            "totals": stats_json(&totals),
            "by_worker": by_worker.iter().map(stats_json).collect::<Vec<Value>>(),
            "channels": channels,
            "blocks": self.inner.board.as_ref().map(|board| store::to_json(board)),
        })
    }

    /// The counters of all workers together, as of the last quarter of a second.
    #[must_use]
    pub fn totals(&self) -> Stats {
        self.inner.handle.stats()
    }

    /// Number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.inner.registry.workers()
    }

    /// Sums over all workers as OpenMetrics text, to be served as
    /// [`OPEN_METRICS_CONTENT_TYPE`].
    #[must_use]
    pub fn metrics(&self) -> String {
        self.inner.registry.to_prometheus()
    }

    /// The channels with the most subscribers and the longest lag on each worker, summed by name;
    /// those with the most subscribers first. A worker that does not answer at once is left out.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelStats> {
        self.inner.handle.channels(ANSWER_TIMEOUT)
    }

    /// Streams by their UID: found, listed, written to, closed.
    #[must_use]
    pub fn streams(&self) -> Streams {
        self.inner.handle.streams()
    }

    /// Adds a probe: what it returns is shown under its name, on demand. It runs on the thread that
    /// asks, so what it reads must be shared with that.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn register_probe(
        &self,
        name: impl Into<String>,
        probe: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Result<(), ProbeError> {
        self.inner.probes.register(name, probe)
    }

    /// The probes.
    #[must_use]
    pub fn probes(&self) -> &Probes {
        &self.inner.probes
    }

    /// What workers work by.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.inner.settings))
    }

    /// Gives all workers new settings and tells the listeners of [`Control::on_reload`]. They are not held against what memory
    /// there is: [`Control::plan`] says what they may take.
    pub fn set_settings(&self, settings: Settings) {
        let settings = Arc::new(settings);
        *lock(&self.inner.settings) = Arc::clone(&settings);
        self.inner.handle.tell_settings(&settings);
        let listeners = lock(&self.inner.listeners).clone();
        for listener in listeners {
            if catch_unwind(AssertUnwindSafe(|| listener(&settings))).is_err() {
                tracing::error!("a listener for reloads panicked");
            }
        }
    }

    /// Calls `listener` after each change of the settings, on the thread that changes them. A panic
    /// in it is contained.
    pub fn on_reload(&self, listener: impl Fn(&Settings) + Send + Sync + 'static) {
        lock(&self.inner.listeners).push(Arc::new(listener));
    }

    /// Reads the configuration and all certificates again and puts into effect what may change while the server runs.
    ///
    /// # Errors
    /// When there is no configuration, when something is wrong in it or in a certificate, or when there is no memory for what
    /// it says: then nothing has changed.
    pub fn reload(&self) -> Result<Report, ReloadError> {
        let config = self.inner.config.as_ref().ok_or(ReloadError::NoConfig)?;
        let reloaded = config.reload_with(|settings| {
            self.check_memory(&settings.settings())?;
            // Swapped in whole or not at all, and nothing after it can fail.
            self.reload_certificates(settings.tls().as_ref())
                .map_err(ReloadError::Certificates)
        });
        let report = reloaded.inspect_err(|error| {
            let problems: Vec<String> = match error {
                ReloadError::Refused(error) => {
                    error.problems().iter().map(ToString::to_string).collect()
                }
                error => vec![error.to_string()],
            };
            *lock(&self.inner.reloaded) = json!({ "refused": problems });
        })?;
        *lock(&self.inner.reloaded) = report.to_json();
        if report.applied().next().is_some() {
            let current = config.current();
            self.inner
                .handle
                .set_shutdown(current.shutdown.timeout, current.shutdown.pace);
            self.set_settings(current.settings());
        }
        Ok(report)
    }

    /// Refuses settings with which the server could take more than now, and more than there was at the start.
    fn check_memory(&self, settings: &Settings) -> Result<(), ReloadError> {
        let plan = MemoryPlan::new(&self.inner.limits, settings);
        if plan.total_size() <= self.plan().total_size() {
            return Ok(());
        }
        let checked = plan.check_running(&self.inner.memory);
        checked.map_err(ReloadError::Memory)
    }

    /// Shows other certificates, or those of the same files read anew, to whoever connects from now on. Sessions that are
    /// open go on.
    ///
    /// # Errors
    /// What is wrong with them; those from before are shown on.
    pub fn reload_certificates(&self, config: Option<&TlsConfig>) -> Result<(), SetupError> {
        match (&self.inner.certificates, config) {
            (None, None) => Ok(()),
            (Some(certificates), Some(config)) => certificates.reload(config),
            (Some(_), None) => Err(SetupError {
                what: "no certificate is left".to_owned(),
                cause: "the server speaks TLS until it ends".to_owned(),
                remedy: "Give a certificate, or start the server anew",
            }),
            (None, Some(_)) => Err(SetupError {
                what: "certificates are given".to_owned(),
                cause: "the server speaks no TLS until it ends".to_owned(),
                remedy: "Start the server anew",
            }),
        }
    }

    /// The configuration the server was built from, if there was one.
    #[must_use]
    pub fn config(&self) -> Option<&Config<ServerConfig>> {
        self.inner.config.as_ref()
    }

    /// Every key: its value in effect, where that was set, and why a change would need a restart;
    /// beside them what the last reload did. `null` without a configuration.
    #[must_use]
    pub fn config_json(&self) -> Value {
        let Some(config) = &self.inner.config else {
            return Value::Null;
        };
        let restart = |key: &str| {
            let doc = crate::config::KEYS.iter().find(|doc| doc.key == key)?;
            doc.restart_reason()
        };
        let entry = |(key, value, variable): (String, Value, String)| {
            let origin = config.origin(&key).to_string();
            let entry = json!({
                "value": value, "origin": origin, "variable": variable, "needs_restart": restart(&key),
            });
            (key, entry)
        };
        let keys: Map<String, Value> = config.keys().into_iter().map(entry).collect();
        let reloaded = lock(&self.inner.reloaded).clone();
        json!({ "version": config.version(), "keys": keys, "last_reload": reloaded })
    }

    /// What the server may take at most, by the settings in effect. What was made before they were, such as sessions that
    /// compress, keeps its size until it ends.
    #[must_use]
    pub fn plan(&self) -> MemoryPlan {
        MemoryPlan::new(&self.inner.limits, &self.settings())
    }

    /// The driver its workers run on.
    #[must_use]
    pub fn driver(&self) -> DriverKind {
        self.inner.driver
    }

    /// A shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.handle.is_draining()
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.inner.handle
    }

    /// Begins a shutdown; see [`ServerHandle::shutdown`].
    pub fn shutdown(&self) {
        self.inner.handle.shutdown();
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("server", &self.inner.handle)
            .finish_non_exhaustive()
    }
}

/// Each change under these locks is whole before anything that may panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stats_json(stats: &Stats) -> Value {
    let pairs = Stats::names().into_iter().zip(stats.values());
    pairs
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect::<Map<String, Value>>()
        .into()
}

fn channel_json(channel: &ChannelStats) -> Value {
    json!({
        "name": channel.name,
        "subscribers": channel.subscribers,
        "lag_bytes_max": channel.lag_size_max,
        "dropped_publications": channel.dropped_publications,
        "dropped_subscribers": channel.dropped_subscribers,
        "publications": channel.publications,
        "log_bytes": channel.log_size,
    })
}

#[cfg(test)]
mod tests {
    use hioload_control::Sources;

    use super::*;
    use crate::{Echo, Server};

    #[test]
    fn a_reload_that_there_is_no_memory_for_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("toml");
        let write = |size: &str| {
            let text = format!("[streams]\nforeign_worker = \"{size}\"\npoll_worker = \"1MiB\"\n");
            std::fs::write(&path, text).expect("a file");
        };
        write("1MiB");
        let sources = Sources::new()
            .file(&path)
            .flag("--addr", "server.addr", "127.0.0.1:0")
            .flag("--data", "blocks.data", "off")
            .flag("--workers", "server.workers", "2");
        let config = Config::<ServerConfig>::load(sources).expect("valid");
        let builder = Server::builder().config(&config).handler(|_| Echo);
        let mut control = builder.build().expect("a server").control();
        let planned = control.plan().total_size();
        let inner = Arc::get_mut(&mut control.inner).expect("the server is gone");
        inner.memory.memory_available = planned + (2 << 20);

        write("3MiB");
        let error = control.reload().expect_err("2 MiB too much");
        assert!(matches!(error, ReloadError::Memory(_)), "{error}");
        let told = error.to_string();
        assert!(
            told.contains("nothing has changed: 2 MiB of memory are missing")
                && told.contains("were available at the start")
                && told.contains("Take back what was raised"),
            "{told}"
        );
        assert_eq!(control.config_json()["last_reload"]["refused"][0], told);
        assert_eq!(control.settings().streams.foreign_worker, 1 << 20);
        assert_eq!(
            (config.version(), control.plan().total_size()),
            (1, planned)
        );

        // Less than now is never too much, whatever there was.
        let inner = Arc::get_mut(&mut control.inner).expect("nobody else has it");
        let available = std::mem::take(&mut inner.memory.memory_available);
        write("1MiB");
        control.reload().expect("no more than now");
        let inner = Arc::get_mut(&mut control.inner).expect("nobody else has it");
        inner.memory.memory_available = available;

        write("2MiB");
        control.reload().expect("it fits");
        assert_eq!(control.settings().streams.foreign_worker, 2 << 20);
        assert_eq!(control.plan().total_size(), planned + (2 << 20));
        assert_eq!(control.stats()["memory_plan_bytes"], planned + (2 << 20));
    }
}
