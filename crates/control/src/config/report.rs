//! What a reload did, key by key.

use super::Origin;
use serde_json::{Value, json};
use std::fmt;

/// What became of one key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyChange {
    /// The same value as before.
    Unchanged,
    /// The new value is in effect.
    Applied {
        /// The value until now.
        old: Value,
        /// The value from now on.
        new: Value,
        /// What it holds for, such as `new channels`; `None`: for everything.
        to: Option<&'static str>,
    },
    /// The process goes on with the old value; the new one takes effect at the next start.
    NeedsRestart {
        /// The value in effect.
        running: Value,
        /// The value configured.
        wanted: Value,
        /// Why it cannot change while the process runs.
        reason: &'static str,
    },
}

/// One key of a [`Report`].
#[derive(Clone, Debug, PartialEq)]
pub struct KeyReport {
    /// The key.
    pub key: String,
    /// Where its configured value comes from.
    pub origin: Origin,
    /// What became of it.
    pub change: KeyChange,
}

/// What a reload did: every key, in order of the keys.
///
/// The text names the keys that changed or wait for a restart, and counts the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Number of the snapshot in effect; grows by one whenever something was applied.
    pub version: u64,
    /// Every key.
    pub keys: Vec<KeyReport>,
    /// Listeners that panicked when they were told.
    pub listeners_failed: usize,
}

impl Report {
    /// Keys whose new value is in effect, if only for what is new.
    pub fn applied(&self) -> impl Iterator<Item = &KeyReport> {
        self.keys
            .iter()
            .filter(|key| matches!(key.change, KeyChange::Applied { .. }))
    }

    /// Keys whose new value waits for the next start.
    pub fn needs_restart(&self) -> impl Iterator<Item = &KeyReport> {
        self.keys
            .iter()
            .filter(|key| matches!(key.change, KeyChange::NeedsRestart { .. }))
    }

    /// For the admin listener; keys that did not change are left out.
    pub fn to_json(&self) -> Value {
        let applied: Value = self.applied().map(KeyReport::to_json).collect();
        let needs_restart: Value = self.needs_restart().map(KeyReport::to_json).collect();
        json!({
            "version": self.version,
            "applied": applied,
            "needs_restart": needs_restart,
            "unchanged": self.unchanged_count(),
            "listeners_failed": self.listeners_failed,
        })
    }

    fn unchanged_count(&self) -> usize {
        self.keys
            .iter()
            .filter(|key| key.change == KeyChange::Unchanged)
            .count()
    }
}

impl KeyReport {
    fn to_json(&self) -> Value {
        let origin = self.origin.to_string();
        match &self.change {
            KeyChange::Unchanged => json!({ "key": self.key, "origin": origin }),
            KeyChange::Applied { old, new, to } => json!({
                "key": self.key, "origin": origin, "old": old, "new": new, "to": to.unwrap_or("everything"),
            }),
            KeyChange::NeedsRestart {
                running,
                wanted,
                reason,
            } => json!({
                "key": self.key, "origin": origin, "running": running, "wanted": wanted, "reason": reason,
            }),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for KeyReport {
            key,
            origin,
            change,
        } in &self.keys
        {
            match change {
                KeyChange::Unchanged => {}
                KeyChange::Applied { old, new, to } => {
                    let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
                    writeln!(f, "{key}: applied{to}, {old} -> {new} ({origin})")?;
                }
                KeyChange::NeedsRestart {
                    running,
                    wanted,
                    reason,
                } => {
                    writeln!(
                        f,
                        "{key}: needs restart, {running} -> {wanted} ({origin}): {reason}"
                    )?;
                }
            }
        }
        write!(f, "{} unchanged", self.unchanged_count())?;
        if self.listeners_failed > 0 {
            write!(f, "; {} listeners panicked", self.listeners_failed)?;
        }
        Ok(())
    }
}
