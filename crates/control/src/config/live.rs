//! The configuration in effect, and its reload.
//!
//! Must not know who reloads, nor when. A snapshot is immutable and swapped as a whole: a reader sees all
//! of the old settings or all of the new ones. A reload that is refused changes nothing.
//!
//! Invariant: keys that need a restart keep the value they had at start in every snapshot.

use super::layers::{self, Layered};
use super::settings::{for_new, restart_reason};
use super::sources::full_variable_of;
use super::{ConfigError, KeyChange, KeyReport, Origin, Problem, Report, Settings, Sources, tree};
use arc_swap::ArcSwap;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// What a listener is told: the snapshots before and after, and the report.
#[derive(Debug)]
pub struct Change<'a, S> {
    /// The settings until now.
    pub old: &'a S,
    /// The settings in effect.
    pub new: &'a S,
    /// What changed.
    pub report: &'a Report,
}

type Listener<S> = Arc<dyn Fn(&Change<'_, S>) + Send + Sync>;

struct Snapshot<S> {
    settings: Arc<S>,
    tree: Value,
    /// Where each value in effect was set; defaults are left out.
    origins: BTreeMap<String, Origin>,
    version: u64,
}

struct Shared<S> {
    sources: Sources,
    current: ArcSwap<S>,
    /// One reload at a time. Workers never take it.
    state: Mutex<Snapshot<S>>,
    listeners: Mutex<Vec<Listener<S>>>,
}

/// The settings of a running process. Clones share them.
///
/// ```
/// use hioload_control::{Config, Settings, Sources};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Default, Serialize, Deserialize)]
/// struct Server {
///     batch: u32,
/// }
/// impl Settings for Server {}
///
/// let sources = Sources::new().flag("--batch", "batch", "256");
/// let config = Config::<Server>::load(sources)?;
/// assert_eq!(config.current().batch, 256);
///
/// let refused = Config::<Server>::load(Sources::new().flag("--bach", "bach", "256"));
/// assert_eq!(
///     refused.expect_err("no such key").to_string(),
///     r#"flag --bach: bach = "256": there is no such setting; did you mean batch?"#,
/// );
/// # Ok::<(), hioload_control::ConfigError>(())
/// ```
pub struct Config<S> {
    shared: Arc<Shared<S>>,
}

impl<S: Settings> Config<S> {
    /// Reads the sources.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    ///
    /// # Panics
    /// When [`Settings::RESTART`] or [`Settings::FOR_NEW`] names no key of the settings.
    pub fn load(sources: Sources) -> Result<Config<S>, ConfigError> {
        let Layered {
            settings,
            tree,
            origins,
        } = layers::read::<S>(&sources)?;
        let settings = Arc::new(settings);
        let shared = Shared {
            sources,
            current: ArcSwap::new(settings.clone()),
            state: Mutex::new(Snapshot {
                settings,
                tree,
                origins,
                version: 1,
            }),
            listeners: Mutex::new(Vec::new()),
        };
        Ok(Config {
            shared: Arc::new(shared),
        })
    }

    /// The settings in effect.
    pub fn current(&self) -> Arc<S> {
        self.shared.current.load_full()
    }

    /// Number of the snapshot in effect, from one.
    pub fn version(&self) -> u64 {
        self.state().version
    }

    /// Every key: its value in effect and the environment variable that sets it.
    pub fn keys(&self) -> Vec<(String, Value, String)> {
        let state = self.state();
        let describe = |key: String| {
            let value = tree::at(&state.tree, &key).cloned().unwrap_or_default();
            let variable = full_variable_of(&key);
            (key, value, variable)
        };
        layers::keys::<S>().into_iter().map(describe).collect()
    }

    /// Where the value in effect of a key was set.
    pub fn origin(&self, key: &str) -> Origin {
        let state = self.state();
        state.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The sources it is read from.
    pub fn sources(&self) -> &Sources {
        &self.shared.sources
    }

    /// Calls `listener` after each reload that applied something, on the thread that reloads. It must not
    /// reload itself. A panic in it is contained and counted in the report.
    pub fn on_reload(&self, listener: impl Fn(&Change<'_, S>) + Send + Sync + 'static) {
        let mut listeners = self
            .shared
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push(Arc::new(listener));
    }

    /// Reads the sources again and puts into effect what may change while the process runs.
    ///
    /// # Errors
    /// Everything that is wrong with the sources; the settings in effect stay as they are.
    pub fn reload(&self) -> Result<Report, ConfigError> {
        self.reload_with(|_| Ok(()))
    }

    /// The same, with a last word on what is about to be in effect: `prepare` is called once the sources are
    /// found to be right, whether or not a key has changed. It must not reload itself.
    ///
    /// # Errors
    /// Everything that is wrong with the sources, or what `prepare` says; the settings in effect stay as they are.
    pub fn reload_with<E: From<ConfigError>>(
        &self,
        prepare: impl FnOnce(&S) -> Result<(), E>,
    ) -> Result<Report, E> {
        let wanted = layers::read::<S>(&self.shared.sources)?;
        let mut state = self.state();
        let (tree, keys) = merge::<S>(&state.tree, &wanted);
        let mut report = Report {
            version: state.version,
            keys,
            listeners_failed: 0,
        };
        if report.applied().next().is_none() {
            prepare(&state.settings)?;
            state.take_origins(&report);
            return Ok(report);
        }
        let settings = Arc::new(with_running_values::<S>(&tree, &wanted.origins)?);
        prepare(&settings)?;
        state.take_origins(&report);
        state.version += 1;
        state.tree = tree;
        report.version = state.version;
        let old = std::mem::replace(&mut state.settings, settings.clone());
        self.shared.current.store(settings.clone());
        report.listeners_failed = self.tell(&Change {
            old: &old,
            new: &settings,
            report: &report,
        });
        Ok(report)
    }

    fn tell(&self, change: &Change<'_, S>) -> usize {
        let listeners = self
            .shared
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let fails =
            |listener: &&Listener<S>| catch_unwind(AssertUnwindSafe(|| listener(change))).is_err();
        listeners.iter().filter(fails).count()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Snapshot<S>> {
        // Each reload leaves the state whole before anything that may panic.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Snapshot<S> {
    /// The places of the values in effect after a reload; what waits for a restart is not in effect.
    fn take_origins(&mut self, report: &Report) {
        for key in &report.keys {
            match (&key.change, &key.origin) {
                (KeyChange::NeedsRestart { .. }, _) => {}
                (_, Origin::Default) => drop(self.origins.remove(&key.key)),
                (_, origin) => drop(self.origins.insert(key.key.clone(), origin.clone())),
            }
        }
    }
}

/// The next snapshot, keys that need a restart left as they are, and what became of each key.
fn merge<S: Settings>(running: &Value, wanted: &Layered<S>) -> (Value, Vec<KeyReport>) {
    let mut next = wanted.tree.clone();
    let value_in = |tree, key: &str| {
        tree::at(tree, key)
            .cloned()
            .expect("invariant: every tree has the keys of the defaults")
    };
    let keys = layers::keys::<S>().into_iter().map(|key| {
        let (old, new) = (value_in(running, &key), value_in(&wanted.tree, &key));
        let change = match restart_reason::<S>(&key) {
            _ if old == new => KeyChange::Unchanged,
            Some(reason) => {
                tree::set(&mut next, &key, old.clone());
                KeyChange::NeedsRestart {
                    running: old,
                    wanted: new,
                    reason,
                }
            }
            None => KeyChange::Applied {
                old,
                new,
                to: for_new::<S>(&key),
            },
        };
        let origin = wanted.origins.get(&key).cloned().unwrap_or(Origin::Default);
        KeyReport {
            key,
            origin,
            change,
        }
    });
    let keys = keys.collect();
    (next, keys)
}

/// New values beside running ones: they must fit each other too.
fn with_running_values<S: Settings>(
    tree: &Value,
    origins: &BTreeMap<String, Origin>,
) -> Result<S, ConfigError> {
    let settings = S::deserialize(tree).map_err(|error| {
        Box::new(Problem {
            origin: Origin::Default,
            key: String::new(),
            value: None,
            why: format!("the new values do not fit those that need a restart: {error}"),
            remedy: "restart to put all of them into effect".into(),
        })
    });
    settings
        .and_then(|settings| layers::check(&settings, tree, origins).map(|()| settings))
        .map_err(|problem| ConfigError::new(vec![*problem]))
}

impl<S> Clone for Config<S> {
    fn clone(&self) -> Config<S> {
        Config {
            shared: self.shared.clone(),
        }
    }
}

impl<S> fmt::Debug for Config<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("sources", &self.shared.sources)
            .finish_non_exhaustive()
    }
}
