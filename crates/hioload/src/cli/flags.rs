//! Flags of `serve`, `echo` and `plan`: made from the table of keys, so that a key, its flag and its
//! variable never disagree. Values are not judged here but with all other sources, by `config`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use hioload::config::{KEYS, KeyDoc, ServerConfig};
use hioload_control::{Config, ConfigError, Sources};

/// Names the file when no flag does.
const CONFIG_VARIABLE: &str = "HIOLOAD_CONFIG";

/// What the command line says about a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServeArgs {
    config: Option<PathBuf>,
    /// Flag, key, value; the later wins.
    values: Vec<(String, String, String)>,
}

impl ServeArgs {
    /// Reads file, environment and flags.
    pub(crate) fn load(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config<ServerConfig>, ConfigError> {
        let environment: Vec<_> = environment.into_iter().collect();
        let named = environment.iter().find(|(name, _)| name == CONFIG_VARIABLE);
        let named = named.map(|(_, path)| PathBuf::from(path));
        let mut sources = Sources::new().reserve(CONFIG_VARIABLE);
        if let Some(path) = self.config.clone().or(named) {
            sources = sources.file(path);
        }
        sources = sources.environment(environment);
        for (flag, key, value) in &self.values {
            sources = sources.flag(flag, key, value);
        }
        Config::load(sources)
    }
}

/// The environment of this process; what is not UTF-8 cannot be meant for us.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text)
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Settings from a TOML file, read again on SIGHUP [env: HIOLOAD_CONFIG]");
        let set = Arg::new("set")
            .long("set")
            .value_name("KEY=VALUE")
            .action(ArgAction::Append)
            .help("Any setting by its key, such as ws.idle_timeout=10m; --help lists them");
        let defaults = defaults();
        let flags = KEYS.iter().filter(|key| key.flag.is_some());
        let command = command.arg(config).arg(set);
        let command = flags.fold(command, |command, key| command.arg(flag(key, &defaults)));
        command.after_long_help(all_settings(&defaults))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut values = Vec::new();
        for key in KEYS {
            let Some((flag, _)) = key.flag else { continue };
            if let Some(given) = matches.get_many::<String>(flag) {
                let given: Vec<&str> = given.map(String::as_str).collect();
                values.push((format!("--{flag}"), key.key.to_owned(), given.join(",")));
            }
        }
        for pair in matches.get_many::<String>("set").unwrap_or_default() {
            let Some((key, value)) = pair.split_once('=') else {
                let told = format!(
                    "`--set {pair}` has no value: write --set KEY=VALUE, as in --set ws.idle_timeout=10m\n"
                );
                return Err(clap::Error::raw(ErrorKind::ValueValidation, told));
            };
            values.push((
                "--set".to_owned(),
                key.trim().to_owned(),
                value.trim().to_owned(),
            ));
        }
        Ok(Self {
            config: matches.get_one("config").cloned(),
            values,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag of a key.
fn flag(key: &KeyDoc, defaults: &Defaults) -> Arg {
    let (name, value_name) = key
        .flag
        .expect("invariant: only keys with a flag come here");
    let arg = Arg::new(name)
        .long(name)
        .value_name(value_name)
        // `--numa -1`
        .allow_negative_numbers(true)
        .help(format!("{} [default: {}]", key.doc, defaults.of(key)))
        .help_heading(heading(key.section()));
    if value_name == "on|off" {
        arg.num_args(0..=1).default_missing_value("on")
    } else if value_name.ends_with("...") {
        arg.value_name(value_name.trim_end_matches('.'))
            .action(ArgAction::Append)
    } else {
        arg
    }
}

fn heading(section: &str) -> &'static str {
    match section {
        "server" => "Server",
        "tls" => "TLS",
        "ws" => "Protocol",
        "shutdown" => "Shutdown",
        _ => "Operation",
    }
}

/// Defaults as they are written.
struct Defaults(Vec<(String, serde_json::Value, String)>);

fn defaults() -> Defaults {
    let config = Config::<ServerConfig>::load(Sources::new());
    Defaults(config.expect("invariant: the defaults are valid").keys())
}

impl Defaults {
    fn of(&self, key: &KeyDoc) -> String {
        let found = self.0.iter().find(|(name, ..)| name == key.key);
        let value = found
            .map(|(_, value, _)| value)
            .expect("invariant: each described key is one");
        match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Bool(true) => "on".to_owned(),
            serde_json::Value::Bool(false) => "off".to_owned(),
            value => value.to_string(),
        }
    }
}

/// The end of `--help`: every key there is.
fn all_settings(defaults: &Defaults) -> String {
    let mut out = String::from(
        "Settings come from the file, from the environment (HIOLOAD_WS_DEFLATE for ws.deflate) and from \
         flags; flags win over the environment, that over the file. On SIGHUP the file is read again; \
         settings marked * wait for the next start.\n\nAll settings:\n",
    );
    let width = KEYS.iter().map(|key| key.key.len()).max().unwrap_or(0);
    for key in KEYS {
        let mark = if key.restart_reason().is_some() {
            '*'
        } else {
            ' '
        };
        let (name, default) = (key.key, defaults.of(key));
        let _ = writeln!(out, "  {name:<width$} {mark} {} [{default}]", key.doc);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use hioload::config::{AdminAddr, Driver, Level, Numa};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn args(line: &str) -> Result<ServeArgs, clap::Error> {
        let words = std::iter::once("serve").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args)
    }

    fn load(line: &str, environment: &[(&str, &str)]) -> Result<ServerConfig, String> {
        let pairs = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = args(line)
            .expect("known flags")
            .load(pairs)
            .map_err(|error| error.to_string())?;
        Ok(ServerConfig::clone(&config.current()))
    }

    #[test]
    fn without_flags_there_are_the_defaults() {
        let config = load("", &[]).expect("defaults");
        assert_eq!(config, ServerConfig::default());
        assert!(config.server.addr.0.ip().is_loopback());
        assert_eq!(config.admin.addr.0.map(|addr| addr.port()), Some(9090));
    }

    #[test]
    fn every_flag_sets_its_key() {
        let config = load(
            "--addr 0.0.0.0:1 --workers 3 --pin --numa -1 --driver poll --batch 7 --ring 8 --sessions-max 9 \
             --memory 1GiB --hugepages --message-size-max 2MiB --deflate on --admin off --shutdown-timeout 3s \
             --shutdown-pace 4 --log warn --set ws.idle_timeout=10m",
            &[],
        );
        let config = config.expect("good values");
        let server = &config.server;
        assert_eq!(
            (
                server.workers,
                server.batch,
                server.ring,
                server.sessions_max
            ),
            (3, 7, 8, 9)
        );
        assert!(server.pin && server.hugepages && config.ws.deflate);
        assert_eq!((server.numa, server.driver), (Numa(None), Driver::Poll));
        assert_eq!(
            (config.admin.addr, config.log.level),
            (AdminAddr(None), Level::Warn)
        );
        assert_eq!(
            (config.shutdown.timeout.as_secs(), config.shutdown.pace),
            (3, 4)
        );
        assert_eq!(
            config.ws.idle_timeout.0.map(|span| span.as_secs()),
            Some(600)
        );
        let off = load("--pin=off --deflate off", &[]).expect("good values");
        assert!(!off.server.pin && !off.ws.deflate);
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("hioload.toml");
        std::fs::write(&path, "[server]\nworkers = 1\nbatch = 10\nring = 100\n").expect("a file");
        let path = path.display().to_string();
        let environment = [
            ("HIOLOAD_SERVER_BATCH", "20"),
            ("HIOLOAD_SERVER_RING", "200"),
            ("HIOLOAD_CONFIG", &*path),
        ];
        let server = load("--ring 300", &environment)
            .expect("good values")
            .server;
        assert_eq!((server.workers, server.batch, server.ring), (1, 20, 300));
        let missing = load("--config /nowhere/at/all", &environment).expect_err("no such file");
        assert!(
            missing.starts_with("/nowhere/at/all: "),
            "the flag names the file: {missing}"
        );
    }

    #[test]
    fn refusals_name_the_flag_the_variable_or_the_line() {
        for (line, environment, told) in [
            ("--batch 0", None, "flag --batch: server.batch = 0"),
            (
                "--addr localhost",
                None,
                "flag --addr: server.addr = \"localhost\": this is no IP address",
            ),
            (
                "--memory 3furlongs",
                None,
                "flag --memory: server.memory = \"3furlongs\"",
            ),
            (
                "--shutdown-timeout -1",
                None,
                "flag --shutdown-timeout: shutdown.timeout = \"-1\"",
            ),
            (
                "--deflate maybe",
                None,
                "flag --deflate: ws.deflate = \"maybe\": `maybe` is neither true (on)",
            ),
            (
                "--set ws.deflat=on",
                None,
                "flag --set: ws.deflat = \"on\": there is no such setting; did you mean ws.deflate?",
            ),
            (
                "",
                Some(("HIOLOAD_LOG_LEVEL", "loud")),
                "environment variable HIOLOAD_LOG_LEVEL: log.level = \"loud\"",
            ),
        ] {
            let refusal = load(line, environment.as_slice()).expect_err(told);
            assert!(refusal.starts_with(told), "{refusal}");
        }
    }

    #[test]
    fn wrong_words_end_with_code_2() {
        for line in ["--no-such-flag", "--addr", "--set ws.deflate", "word"] {
            assert_eq!(args(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn the_long_help_lists_every_key() {
        let help = all_settings(&defaults());
        for key in KEYS {
            assert!(
                help.contains(key.key) && help.contains(key.doc),
                "{}",
                key.key
            );
        }
    }
}
