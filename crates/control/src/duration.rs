//! Durations in settings, as people write them: `250ms`, `10s`, `1m 30s`.
//!
//! For fields of type [`Duration`]: `#[serde(with = "hioload_control::duration")]`.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Close {
//!     #[serde(with = "hioload_control::duration")]
//!     timeout: Duration,
//! }
//!
//! let close: Close = serde_json::from_str(r#"{ "timeout": "1m 30s" }"#)?;
//! assert_eq!(close.timeout, Duration::from_secs(90));
//! assert_eq!(serde_json::to_string(&close)?, r#"{"timeout":"1m 30s"}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Deserializer, Serializer, de};
use std::fmt;
use std::time::Duration;

/// Writes the duration with units.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads a duration with units. A bare number is refused, since it does not say of what.
///
/// # Errors
/// When the text is no duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text)
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 250ms, 10s, 1m 30s")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        let refused = |why| {
            E::custom(format!(
                "{why}; a duration is written as 250ms, 10s, 1m 30s"
            ))
        };
        humantime::parse_duration(text).map_err(refused)
    }
}
