//! What holds for one channel: the settings of all, and the rules for some.
//!
//! ```text
//!   "ticker:EURUSD" ─▶ the rule with the longest prefix of the name ─▶ what it says, else what [`ChannelSettings`] say
//! ```
//!
//! Must not know channels, only their names. A channel, and each of its feeds, keeps what held when it was
//! made: rules that change meanwhile hold for the next.

use std::time::Duration;

use hioload_live::{HistoryConfig, Policy};

use super::settings::ChannelSettings;

/// What holds for channels whose name begins with a prefix, in place of what [`ChannelSettings`] say; `None`: as they say.
///
/// ```
/// use hioload::{ChannelRule, Policy, Settings};
///
/// let mut settings = Settings::default();
/// settings.channel.rules.push(ChannelRule {
///     policy: Some(Policy::Latest),
///     ..ChannelRule::new("ticker:")
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelRule {
    /// What the names begin with. Of several that fit, the longest counts, and of equals the first.
    pub prefix: String,
    /// What becomes of stalled subscribers.
    pub policy: Option<Policy>,
    /// A subscriber with something to read that drains less than this is stalled; bytes a second.
    pub rate_min: Option<u32>,
    /// Over which time that is judged.
    pub window: Option<Duration>,
    /// A session does not get what it published itself.
    pub exclude_sender: Option<bool>,
    /// What is kept for those who come back.
    pub history: Option<HistoryConfig>,
}

impl ChannelRule {
    /// A rule that says nothing yet.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            ..Self::default()
        }
    }
}

/// What holds for one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ChannelOptions {
    pub(super) policy: Policy,
    pub(super) rate_min: u32,
    pub(super) window: Duration,
    pub(super) exclude_sender: bool,
    pub(super) history: HistoryConfig,
}

impl ChannelSettings {
    /// What holds for the channel of this name.
    pub(super) fn options_of(&self, name: &str) -> ChannelOptions {
        let fits = self
            .rules
            .iter()
            .filter(|rule| name.starts_with(&rule.prefix));
        // Of equals the first: `max_by_key` would take the last.
        let rule = fits.rev().max_by_key(|rule| rule.prefix.len());
        let none = &ChannelRule::default();
        let rule = rule.unwrap_or(none);
        ChannelOptions {
            policy: rule.policy.unwrap_or(self.policy),
            rate_min: rule.rate_min.unwrap_or(self.rate_min),
            window: rule.window.unwrap_or(self.window),
            exclude_sender: rule.exclude_sender.unwrap_or(self.exclude_sender),
            history: rule.history.unwrap_or(self.history),
        }
    }

    /// The shortest time over which any channel judges its subscribers.
    pub(super) fn window_min(&self) -> Duration {
        let windows = self.rules.iter().filter_map(|rule| rule.window);
        windows.fold(self.window, Duration::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Echo;
    use crate::server::rig::Rig;
    use crate::server::settings::Settings;

    #[test]
    fn the_longest_prefix_counts_and_says_only_what_it_says() {
        let history = HistoryConfig {
            count: 7,
            size: 4096,
            age: Duration::from_secs(60),
        };
        let settings = ChannelSettings {
            rules: vec![
                ChannelRule {
                    policy: Some(Policy::Skip),
                    window: Some(Duration::from_secs(9)),
                    ..ChannelRule::new("ticker:")
                },
                ChannelRule {
                    policy: Some(Policy::Latest),
                    history: Some(history),
                    ..ChannelRule::new("ticker:fx:")
                },
                ChannelRule {
                    policy: Some(Policy::Skip),
                    ..ChannelRule::new("ticker:fx:")
                },
                ChannelRule {
                    rate_min: Some(5),
                    exclude_sender: Some(false),
                    window: Some(Duration::from_millis(100)),
                    ..ChannelRule::new("chat")
                },
            ],
            ..ChannelSettings::default()
        };
        let all = ChannelOptions {
            policy: Policy::Disconnect,
            rate_min: 1024,
            window: Duration::from_secs(2),
            exclude_sender: true,
            history: HistoryConfig::OFF,
        };
        for (name, options) in [
            ("", all),
            ("ticker", all),
            ("a ticker:fx:", all),
            (
                "ticker:",
                ChannelOptions {
                    policy: Policy::Skip,
                    window: Duration::from_secs(9),
                    ..all
                },
            ),
            (
                // Nothing comes from the shorter prefix.
                "ticker:fx:EURUSD",
                ChannelOptions {
                    policy: Policy::Latest,
                    history,
                    ..all
                },
            ),
            (
                "chat",
                ChannelOptions {
                    rate_min: 5,
                    exclude_sender: false,
                    window: Duration::from_millis(100),
                    ..all
                },
            ),
        ] {
            assert_eq!(settings.options_of(name), options, "{name}");
        }
    }

    #[test]
    fn the_shortest_window_of_all_sets_the_pace() {
        let mut settings = Settings::default();
        for (windows, pace) in [(&[][..], 250), (&[9000, 400, 800], 50), (&[80], 20)] {
            let rule = |ms: &u64| ChannelRule {
                window: Some(Duration::from_millis(*ms)),
                ..ChannelRule::new("a")
            };
            settings.channel.rules = windows.iter().map(rule).collect();
            let mut rig = Rig::new(1, 96 << 20, settings.clone(), &|_| Box::new(Echo));
            assert_eq!(rig.hub(0).sweep_interval(), Duration::from_millis(pace));
        }
    }
}
