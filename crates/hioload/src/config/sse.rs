//! `[sse]`: sessions that read events.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{Span, switch};
use crate::server::EventSettings;

/// `[sse]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each key is described in KEYS")]
pub struct SseSection {
    pub keepalive: Span,
    #[serde(with = "hioload_control::duration")]
    pub retry: Duration,
    #[serde(with = "switch")]
    pub history: bool,
}

impl Default for SseSection {
    fn default() -> Self {
        let settings = EventSettings::default();
        Self {
            keepalive: Span(settings.keepalive),
            retry: settings.retry,
            history: settings.history,
        }
    }
}

impl SseSection {
    pub(super) fn to_settings(&self) -> EventSettings {
        EventSettings {
            keepalive: self.keepalive.0,
            retry: self.retry,
            history: self.history,
        }
    }
}
