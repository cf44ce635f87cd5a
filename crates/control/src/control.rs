//! Configuration, metrics and probes behind one handle.
//!
//! Must not know who asks: an admin listener, a signal, a test.

use crate::{Change, Config, ConfigError, ProbeError, Probes, Registry, Report, Settings};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// What an operator and the program itself see and change while it runs. Clones share it.
///
/// ```
/// use hioload_control::{Builder, Config, Control, Settings, Sources};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Clone, Default, Serialize, Deserialize)]
/// struct Server {
///     batch: u32,
/// }
/// impl Settings for Server {}
///
/// let (registry, _seats) = Builder::new().build(1);
/// let control = Control::new(Config::<Server>::load(Sources::new())?, registry);
/// control.register_probe("build", || json!({ "version": "0.1.0" }))?;
/// control.on_reload(|change| println!("batch: {} -> {}", change.old.batch, change.new.batch));
///
/// assert_eq!(control.stats()["config_version"], 1);
/// assert_eq!(control.reload()?.to_string(), "1 unchanged");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Control<S> {
    config: Config<S>,
    registry: Registry,
    probes: Probes,
}

impl<S: Settings> Control<S> {
    /// The control of a process with this configuration and these figures.
    pub fn new(config: Config<S>, registry: Registry) -> Control<S> {
        Control {
            config,
            registry,
            probes: Probes::new(),
        }
    }

    /// All figures: `config_version`, `workers`, and under `metrics` the sums over all workers.
    pub fn stats(&self) -> Value {
        json!({
            "config_version": self.config.version(),
            "workers": self.registry.workers(),
            "metrics": self.registry.to_json(),
        })
    }

    /// The settings in effect.
    pub fn settings(&self) -> Arc<S> {
        self.config.current()
    }

    /// The configuration.
    pub fn config(&self) -> &Config<S> {
        &self.config
    }

    /// The figures.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The probes.
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Adds a probe.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn register_probe(
        &self,
        name: impl Into<String>,
        probe: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Result<(), ProbeError> {
        self.probes.register(name, probe)
    }

    /// Calls `listener` after each reload that applied something; see [`Config::on_reload`].
    pub fn on_reload(&self, listener: impl Fn(&Change<'_, S>) + Send + Sync + 'static) {
        self.config.on_reload(listener);
    }

    /// Reads the sources again.
    ///
    /// # Errors
    /// Everything that is wrong with them; nothing has changed then.
    pub fn reload(&self) -> Result<Report, ConfigError> {
        self.config.reload()
    }
}

impl<S> Clone for Control<S> {
    fn clone(&self) -> Control<S> {
        Control {
            config: self.config.clone(),
            registry: self.registry.clone(),
            probes: self.probes.clone(),
        }
    }
}

impl<S> fmt::Debug for Control<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("config", &self.config)
            .field("probes", &self.probes)
            .finish_non_exhaustive()
    }
}
