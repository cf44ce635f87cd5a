//! `[[channel.rules]]`: what holds for channels whose name begins with a prefix.

use std::time::Duration;

use hioload_control::Invalid;
use hioload_live::{ChannelsConfig, HistoryConfig};
use serde::{Deserialize, Serialize};

use super::values::{Overrun, given_duration, given_switch};
use super::{ByteSize, ChannelSection, ServerConfig};
use crate::server::ChannelRule;

/// One of `[[channel.rules]]`; what it does not say is as `[channel]` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "each key but prefix is described in KEYS, for [channel]"
)]
pub struct RuleSection {
    /// What the names begin with; of several rules that fit, the one with the longest counts.
    pub prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Overrun>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_min: Option<u32>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "given_duration"
    )]
    pub window: Option<Duration>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "given_switch"
    )]
    pub exclude_sender: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_size: Option<ByteSize>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "given_duration"
    )]
    pub history_age: Option<Duration>,
}

impl RuleSection {
    /// `[channel]` as it is for these names.
    fn over(&self, channel: &ChannelSection) -> ChannelSection {
        ChannelSection {
            policy: self.policy.unwrap_or(channel.policy),
            rate_min: self.rate_min.unwrap_or(channel.rate_min),
            window: self.window.unwrap_or(channel.window),
            exclude_sender: self.exclude_sender.unwrap_or(channel.exclude_sender),
            history_count: self.history_count.unwrap_or(channel.history_count),
            history_size: self.history_size.unwrap_or(channel.history_size),
            history_age: self.history_age.unwrap_or(channel.history_age),
            rules: Vec::new(),
            ..channel.clone()
        }
    }

    pub(super) fn to_rule(&self, channel: &ChannelSection) -> ChannelRule {
        let is_history = self.history_count.is_some()
            || self.history_size.is_some()
            || self.history_age.is_some();
        let channel = self.over(channel);
        ChannelRule {
            prefix: self.prefix.clone(),
            policy: self.policy.map(Overrun::policy),
            rate_min: self.rate_min,
            window: self.window,
            exclude_sender: self.exclude_sender,
            history: is_history.then(|| channel.history()),
        }
    }
}

impl ChannelSection {
    pub(super) fn history(&self) -> HistoryConfig {
        HistoryConfig {
            count: self.history_count,
            size: self.history_size.bytes_usize(),
            age: self.history_age,
        }
    }
}

/// Refuses rules that no channel can be under, and those with values that `[channel]` would not be given: `check` tells.
pub(super) fn check(
    config: &ServerConfig,
    check: impl Fn(&ServerConfig) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    let rules = &config.channel.rules;
    let refused = |why: String, remedy: &str| Err(Invalid::new("channel.rules", why, remedy));
    for (at, rule) in rules.iter().enumerate() {
        let prefix = &rule.prefix;
        if prefix.is_empty() {
            let why = "a rule without prefix is for every channel".to_owned();
            return refused(why, "set it in [channel], or say what the names begin with");
        }
        let name_size_max = ChannelsConfig::default().name_size_max;
        if prefix.len() > name_size_max {
            let why = format!("no name begins with the {} bytes of a prefix", prefix.len());
            return refused(why, &format!("use at most {name_size_max}"));
        }
        if rules[..at].iter().any(|other| other.prefix == *prefix) {
            let why = format!("there are two rules for {prefix:?}");
            return refused(why, "make one of them");
        }
        let these = ServerConfig {
            channel: rule.over(&config.channel),
            ..config.clone()
        };
        check(&these).map_err(|invalid| {
            invalid.within("channel.rules", format!("the rule for {prefix:?}"))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use hioload_control::{Config, Sources};
    use hioload_live::Policy;

    use super::*;

    fn load(text: &str) -> Result<Config<ServerConfig>, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("room");
        Config::load(Sources::new().file(file.path())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_takes_the_rest_from_the_section() {
        let text = r#"
            [channel]
            history_size = "64KiB"
            history_age = "1m"
            history_count = 10
            rate_min = 2000

            [[channel.rules]]
            prefix = "ticker:"
            policy = "latest"
            window = "500ms"
            exclude_sender = "off"

            [[channel.rules]]
            prefix = "chat:"
            history_count = 100
        "#;
        let config = load(text).expect("valid").current();
        let channel = config.settings().channel;
        let ticker = ChannelRule {
            policy: Some(Policy::Latest),
            window: Some(Duration::from_millis(500)),
            exclude_sender: Some(false),
            ..ChannelRule::new("ticker:")
        };
        let chat = ChannelRule {
            history: Some(HistoryConfig {
                count: 100,
                size: 64 << 10,
                age: Duration::from_secs(60),
            }),
            ..ChannelRule::new("chat:")
        };
        assert_eq!(channel.rules, [ticker, chat]);
        assert_eq!((channel.rate_min, channel.history.count), (2000, 10));
    }

    #[test]
    fn rules_are_one_value_elsewhere() {
        let rules = r#"[{ prefix = "a", policy = "skip" }]"#;
        let environment = ("HIOLOAD_CHANNEL_RULES".to_owned(), rules.to_owned());
        for sources in [
            Sources::new().flag("--set", "channel.rules", rules),
            Sources::new().environment([environment]),
        ] {
            let config = Config::<ServerConfig>::load(sources).expect("valid");
            assert_eq!(
                config.current().channel.rules[0].policy,
                Some(Overrun::Skip)
            );
        }
    }

    #[test]
    fn refusals_say_which_rule_and_why() {
        let many = |count| -> String {
            let rule = |n| format!("{{ prefix = \"{n}\" }},");
            (0..count).map(rule).collect()
        };
        let prefixed = |size| format!("{{ prefix = \"{}\" }}", "a".repeat(size));
        for most in [many(64), prefixed(255)] {
            load(&format!("channel.rules = [{most}]")).expect("as many as may be");
        }
        for (rules, parts) in [
            (r#"{ policy = "skip" }"#, ["missing field", "prefix"]),
            (r#"{ prefix = "" }"#, ["for every channel", "[channel]"]),
            (
                r#"{ prefix = "a" }, { prefix = "a" }"#,
                ["two rules", "\"a\""],
            ),
            (r#"{ prefix = "a", polcy = "skip" }"#, ["polcy", "policy"]),
            (
                r#"{ prefix = "a", policy = "drop" }"#,
                ["drop", "disconnect, skip, latest"],
            ),
            (r#"{ prefix = "a", window = 5 }"#, ["window", "duration"]),
            (
                r#"{ prefix = "a", rate_min = 0 }"#,
                ["the rule for \"a\"", "channel.rate_min"],
            ),
            (
                r#"{ prefix = "a", window = "2h" }"#,
                ["the rule for \"a\"", "channel.window"],
            ),
            (
                r#"{ prefix = "a", history_count = 5 }"#,
                ["the rule for \"a\"", "set all three"],
            ),
            (
                r#"{ prefix = "a", history_count = 5, history_age = "1s", history_size = "1GiB" }"#,
                ["the rule for \"a\"", "at most channel.budget"],
            ),
            (&many(65), ["out of range", "use 0 to 64 rules"]),
            (&prefixed(256), ["256 bytes of a prefix", "use at most 255"]),
        ] {
            let refused = load(&format!("channel.rules = [{rules}]")).expect_err(rules);
            for part in parts {
                assert!(refused.contains(part), "{part} is not in: {refused}");
            }
            assert!(refused.contains(":1: channel.rules"), "{refused}");
        }
    }
}
