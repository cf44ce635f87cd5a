//! What a type of settings says about itself.
//!
//! Must not know where values come from.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// A type of settings: plain data, read and written by serde, with a default for everything.
///
/// The *keys* are the paths to its fields, joined by dots (`ws.message_size_max`), as serde names them. A
/// map that is empty by default, and anything that is no struct or map, is one key.
///
/// ```
/// use hioload_control::{Invalid, Settings};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Server {
///     addr: String,
///     batch: u32,
/// }
///
/// impl Default for Server {
///     fn default() -> Server {
///         Server { addr: "127.0.0.1:9002".into(), batch: 128 }
///     }
/// }
///
/// impl Settings for Server {
///     const RESTART: &'static [(&'static str, &'static str)] =
///         &[("addr", "listeners are bound at start")];
///
///     fn check(&self) -> Result<(), Invalid> {
///         if self.batch == 0 {
///             return Err(Invalid::new("batch", "a turn handles at least one completion", "use 1 to 4096"));
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Settings: Serialize + DeserializeOwned + Clone + Default + Send + Sync + 'static {
    /// Keys that take effect at the next start only, each with the reason. A key stands for all keys
    /// below it. All others take effect on reload.
    const RESTART: &'static [(&'static str, &'static str)] = &[];

    /// Keys whose new value holds only for what is made from then on, each with what that is: `new channels`. A key
    /// stands for all keys below it.
    const FOR_NEW: &'static [(&'static str, &'static str)] = &[];

    /// What the types cannot say: ranges, and values that must fit each other.
    ///
    /// # Errors
    /// The key at fault, why, and what to do instead.
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// A value that [`Settings::check`] refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub(crate) key: String,
    pub(crate) why: String,
    pub(crate) remedy: String,
}

impl Invalid {
    /// Refuses the value of `key`: why, and what to do.
    pub fn new(
        key: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Invalid {
        Invalid {
            key: key.into(),
            why: why.into(),
            remedy: remedy.into(),
        }
    }

    /// The same of a value within that of `key`: `place` says where in it.
    #[must_use]
    pub fn within(self, key: impl Into<String>, place: impl fmt::Display) -> Invalid {
        let why = format!("{place}: {}: {}", self.key, self.why);
        Invalid::new(key, why, self.remedy)
    }
}

impl From<hioload_base::LimitError> for Invalid {
    fn from(error: hioload_base::LimitError) -> Invalid {
        let limit = error.limit();
        Invalid::new(
            limit.name,
            format!("out of range: {}", limit.reason),
            format!("use {} to {} {}", limit.min, limit.max, limit.unit),
        )
    }
}

/// Why a change of `key` waits for the next start.
pub(crate) fn restart_reason<S: Settings>(key: &str) -> Option<&'static str> {
    said_of(key, S::RESTART)
}

/// What a change of `key` holds for, if not for everything.
pub(crate) fn for_new<S: Settings>(key: &str) -> Option<&'static str> {
    said_of(key, S::FOR_NEW)
}

fn said_of(key: &str, list: &[(&'static str, &'static str)]) -> Option<&'static str> {
    let covers = |prefix: &str| {
        key.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    list.iter()
        .find(|(prefix, _)| covers(prefix))
        .map(|(_, said)| *said)
}
