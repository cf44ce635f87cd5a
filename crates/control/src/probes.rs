//! Named closures that show the inside of a running process.
//!
//! Must not know what they show. A probe runs on the thread that asks, never on a worker: what it reads
//! must be shared with it. A probe that panics is an answer, not the end of the process.

use serde_json::Value;
use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

type Probe = Arc<dyn Fn() -> Value + Send + Sync>;

/// Why a probe gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// There is no probe of this name.
    Unknown(String),
    /// There is a probe of this name already.
    Taken(String),
    /// It panicked, with this message.
    Panicked(String),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeError::Unknown(name) => write!(f, "there is no probe {name:?}"),
            ProbeError::Taken(name) => write!(f, "there is a probe {name:?} already"),
            ProbeError::Panicked(message) => write!(f, "the probe panicked: {message}"),
        }
    }
}

impl Error for ProbeError {}

/// The probes of a process. Clones share them.
///
/// ```
/// use hioload_control::Probes;
/// use serde_json::json;
///
/// let probes = Probes::new();
/// probes.register("answer", || json!({ "value": 42 }))?;
/// assert_eq!(probes.names(), ["answer"]);
/// assert_eq!(probes.run("answer")?["value"], 42);
/// # Ok::<(), hioload_control::ProbeError>(())
/// ```
#[derive(Clone, Default)]
pub struct Probes {
    probes: Arc<RwLock<BTreeMap<String, Probe>>>,
}

impl Probes {
    /// No probes.
    pub fn new() -> Probes {
        Probes::default()
    }

    /// Adds a probe.
    ///
    /// # Errors
    /// When the name is taken: a probe is never replaced in silence.
    pub fn register(
        &self,
        name: impl Into<String>,
        probe: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Result<(), ProbeError> {
        let name = name.into();
        let mut probes = self.probes.write().unwrap_or_else(PoisonError::into_inner);
        if probes.contains_key(&name) {
            return Err(ProbeError::Taken(name));
        }
        probes.insert(name, Arc::new(probe));
        Ok(())
    }

    /// Takes a probe away; false when there is none of this name. One that runs now runs to its end.
    pub fn remove(&self, name: &str) -> bool {
        self.probes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name)
            .is_some()
    }

    /// All names in order.
    pub fn names(&self) -> Vec<String> {
        self.probes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// Runs one probe. No lock is held while it runs, so it may register others.
    ///
    /// # Errors
    /// When there is no such probe, or it panicked.
    pub fn run(&self, name: &str) -> Result<Value, ProbeError> {
        let found = self
            .probes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        let probe = found.ok_or_else(|| ProbeError::Unknown(name.to_owned()))?;
        catch_unwind(AssertUnwindSafe(|| probe()))
            .map_err(|payload| ProbeError::Panicked(message_of(&*payload)))
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Probes").field(&self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_given_once() {
        let probes = Probes::new();
        assert_eq!(probes.register("a", || json!(1)), Ok(()));
        assert_eq!(
            probes.register("a", || json!(2)),
            Err(ProbeError::Taken("a".into()))
        );
        assert_eq!(probes.run("a"), Ok(json!(1)), "the first one stays");
        assert!(probes.remove("a"));
        assert!(!probes.remove("a"));
        assert_eq!(probes.run("a"), Err(ProbeError::Unknown("a".into())));
        assert_eq!(probes.register("a", || json!(2)), Ok(()));
    }

    #[test]
    fn a_panic_is_an_answer() {
        let probes = Probes::new();
        probes
            .register("text", || panic!("broken"))
            .expect("a free name");
        probes
            .register("formatted", || panic!("broken {}", 2))
            .expect("a free name");
        probes
            .register("other", || std::panic::panic_any(3))
            .expect("a free name");
        for (name, message) in [
            ("text", "broken"),
            ("formatted", "broken 2"),
            ("other", "no message"),
        ] {
            assert_eq!(probes.run(name), Err(ProbeError::Panicked(message.into())));
        }
        assert_eq!(probes.names(), ["formatted", "other", "text"]);
    }

    #[test]
    fn a_probe_may_register_others() {
        let probes = Probes::new();
        let inner = probes.clone();
        let probe = move || json!(inner.register("child", || json!(1)).is_ok());
        probes.register("parent", probe).expect("a free name");
        assert_eq!(probes.run("parent"), Ok(json!(true)));
        assert_eq!(probes.run("parent"), Ok(json!(false)));
        assert_eq!(probes.run("child"), Ok(json!(1)));
    }
}
