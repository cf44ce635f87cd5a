//! Settings from files, environment and flags: who wins, what is refused and how, what a reload does.

use hioload_base::ByteSize;
use hioload_control::{Config, Invalid, KeyChange, Origin, Settings, Sources};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Server {
    addr: String,
    workers: u16,
    origins: Vec<String>,
    label: Option<String>,
    tags: BTreeMap<String, String>,
    ws: Ws,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ws {
    message_size_max: ByteSize,
    frame_size_max: ByteSize,
    #[serde(with = "hioload_control::duration")]
    idle_timeout: Duration,
    deflate: bool,
    policy: Policy,
    ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Policy {
    Disconnect,
    Skip,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            addr: "127.0.0.1:9002".into(),
            workers: 2,
            origins: Vec::new(),
            label: None,
            tags: BTreeMap::new(),
            ws: Ws {
                message_size_max: ByteSize::mib(16),
                frame_size_max: ByteSize::mib(1),
                idle_timeout: Duration::from_secs(60),
                deflate: true,
                policy: Policy::Disconnect,
                ratio: 0.5,
            },
        }
    }
}

impl Settings for Server {
    const RESTART: &'static [(&'static str, &'static str)] = &[
        ("addr", "listeners are bound at start"),
        ("workers", "threads are started once"),
        ("ws.frame_size_max", "buffers are laid out at start"),
    ];
    const FOR_NEW: &'static [(&'static str, &'static str)] = &[("ws.policy", "new channels")];

    fn check(&self) -> Result<(), Invalid> {
        if self.ws.frame_size_max > self.ws.message_size_max {
            let why = "a frame cannot be larger than a message";
            let remedy = format!("use at least {}", self.ws.frame_size_max);
            return Err(Invalid::new("ws.message_size_max", why, remedy));
        }
        Ok(())
    }
}

/// A file that the test rewrites.
struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("hioload.toml")
    }

    fn write(&self, text: &str) -> Sources {
        fs::write(self.path(), text).expect("a writable directory");
        Sources::new().file(self.path())
    }

    /// The text of the refusal, with the path shortened.
    fn refusal(&self, sources: Sources) -> String {
        let error = Config::<Server>::load(sources).expect_err("refused");
        error
            .to_string()
            .replace(&self.0.path().display().to_string(), "DIR")
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn load(sources: Sources) -> Server {
    let config = Config::<Server>::load(sources).expect("accepted");
    Server::clone(&config.current())
}

#[test]
fn without_sources_there_are_the_defaults() {
    assert_eq!(load(Sources::new()), Server::default());
    assert_eq!(load(Dir::new().write("")), Server::default());
}

#[test]
fn later_layers_win_key_by_key() {
    let dir = Dir::new();
    let file = dir.write("addr = \"file\"\nworkers = 3\n[ws]\ndeflate = false\n");
    assert_eq!(load(file.clone()).addr, "file");
    let environment = file.environment(variables(&[("HIOLOAD_ADDR", "env"), ("PATH", "/bin")]));
    assert_eq!(load(environment.clone()).addr, "env");
    let flags = environment.flag("--addr", "addr", "flag");
    let server = load(flags);
    assert_eq!(
        (&*server.addr, server.workers, server.ws.deflate),
        ("flag", 3, false)
    );
}

#[test]
fn every_type_comes_from_a_file() {
    let server = load(Dir::new().write(
        r#"
        origins = ["a", "b"]
        label = "x"
        tags = { zone = "eu", rack = "7" }
        [ws]
        message_size_max = "64MiB"
        frame_size_max = 4096
        idle_timeout = "1m 30s"
        policy = "skip"
        ratio = 1.5
        "#,
    ));
    assert_eq!(server.origins, ["a", "b"]);
    assert_eq!(server.label.as_deref(), Some("x"));
    assert_eq!(server.tags["zone"], "eu");
    assert_eq!(server.ws.message_size_max, ByteSize::mib(64));
    assert_eq!(server.ws.frame_size_max, ByteSize::kib(4));
    assert_eq!(server.ws.idle_timeout, Duration::from_secs(90));
    assert_eq!((server.ws.policy, server.ws.ratio), (Policy::Skip, 1.5));
}

#[test]
fn every_type_comes_from_a_text() {
    let server = load(Sources::new().environment(variables(&[
        ("HIOLOAD_WORKERS", "8"),
        ("HIOLOAD_ADDR", "5"),
        ("HIOLOAD_ORIGINS", r#"["a", "b"]"#),
        ("HIOLOAD_LABEL", "true"),
        ("HIOLOAD_WS_DEFLATE", "false"),
        ("HIOLOAD_WS_MESSAGE_SIZE_MAX", "2097152"),
        ("HIOLOAD_WS_IDLE_TIMEOUT", "250ms"),
        ("HIOLOAD_WS_POLICY", "skip"),
        ("HIOLOAD_WS_RATIO", "2"),
    ])));
    assert_eq!((server.workers, &*server.addr), (8, "5"));
    assert_eq!(server.origins, ["a", "b"]);
    assert_eq!(server.label.as_deref(), Some("true"));
    assert!(!server.ws.deflate);
    assert_eq!(server.ws.message_size_max, ByteSize::mib(2));
    assert_eq!(server.ws.idle_timeout, Duration::from_millis(250));
    assert_eq!((server.ws.policy, server.ws.ratio), (Policy::Skip, 2.0));
}

#[test]
fn a_refusal_says_where_what_why_and_what_to_do() {
    let dir = Dir::new();
    for (text, refusal) in [
        (
            "\nworkers = \"many\"\n",
            "DIR/hioload.toml:2: workers = \"many\": invalid type: string \"many\", expected u16; \
             the default is 2",
        ),
        (
            "workers = 65536",
            "DIR/hioload.toml:1: workers = 65536: invalid value: integer `65536`, expected u16; \
             the default is 2",
        ),
        (
            "[ws]\n\npolicy = \"drop\"",
            "DIR/hioload.toml:3: ws.policy = \"drop\": unknown variant `drop`, expected \
             `disconnect` or `skip`; the default is \"disconnect\"",
        ),
        (
            "[ws]\nmesage_size_max = 1",
            "DIR/hioload.toml:2: ws.mesage_size_max = 1: there is no such setting; \
             did you mean ws.message_size_max?",
        ),
        (
            "deflate = true",
            "DIR/hioload.toml:1: deflate = true: there is no such setting; did you mean ws.deflate?",
        ),
        (
            "ws.idle_timeout = 10",
            "DIR/hioload.toml:1: ws.idle_timeout = 10: invalid type: integer `10`, expected \
             a duration such as 250ms, 10s, 1m 30s; the default is \"1m\"",
        ),
        (
            "colour = 1",
            "DIR/hioload.toml:1: colour = 1: there is no such setting; \
             see the list of settings in the help text, or remove it",
        ),
        (
            "ws = 1",
            "DIR/hioload.toml:1: ws = 1: there is no such setting; \
             this is a table: set the keys in it, as ws.deflate",
        ),
        (
            "[ws]\nmessage_size_max = \"4KiB\"",
            "DIR/hioload.toml:2: ws.message_size_max = \"4KiB\": \
             a frame cannot be larger than a message; use at least 1MiB",
        ),
    ] {
        assert_eq!(dir.refusal(dir.write(text)), refusal);
    }
    let refusal = dir.refusal(dir.write("workers = 1\naddr = 127.0.0.1\n"));
    assert!(
        refusal.starts_with("DIR/hioload.toml:2: this is not TOML: "),
        "{refusal}"
    );
}

#[test]
fn a_text_that_is_refused_names_its_variable_or_flag() {
    let dir = Dir::new();
    let environment = |name, value| Sources::new().environment(variables(&[(name, value)]));
    for (sources, refusal) in [
        (
            environment("HIOLOAD_WORKERS", "many"),
            "environment variable HIOLOAD_WORKERS: workers = \"many\": \
             invalid type: string \"many\", expected u16; the default is 2",
        ),
        (
            environment("HIOLOAD_WORKERS", "-1"),
            "environment variable HIOLOAD_WORKERS: workers = \"-1\": \
             invalid value: integer `-1`, expected u16; the default is 2",
        ),
        (
            environment("HIOLOAD_WS_DEFLAT", "true"),
            "environment variable HIOLOAD_WS_DEFLAT: ws_deflat = \"true\": \
             there is no such setting; did you mean HIOLOAD_WS_DEFLATE?",
        ),
        (
            Sources::new().flag("--idle", "ws.idle_timeout", "10"),
            "flag --idle: ws.idle_timeout = \"10\": time unit needed, for example 10sec or 10ms; \
             a duration is written as 250ms, 10s, 1m 30s; the default is \"1m\"",
        ),
    ] {
        let told = dir.refusal(sources);
        assert_eq!(told, refusal);
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let dir = Dir::new();
    let sources = dir
        .write("worker = 1\nworkers = -1\n")
        .environment(variables(&[("HIOLOAD_WS_RATIO", "x")]))
        .flag("--deflate", "ws.deflate", "maybe");
    let error = Config::<Server>::load(sources).expect_err("refused");
    let keys: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| &*problem.key)
        .collect();
    assert_eq!(keys, ["worker", "workers", "ws.ratio", "ws.deflate"]);
    assert_eq!(error.to_string().lines().count(), 4);
}

#[test]
fn reserved_variables_are_no_settings() {
    let sources = Sources::new().environment(variables(&[("HIOLOAD_CONFIG", "x.toml")]));
    assert!(Config::<Server>::load(sources.clone()).is_err());
    assert!(Config::<Server>::load(sources.reserve("HIOLOAD_CONFIG")).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let dir = Dir::new();
    let refusal = dir.refusal(Sources::new().file(dir.path()));
    assert!(
        refusal.starts_with("DIR/hioload.toml: the configuration cannot be read: "),
        "{refusal}"
    );
    assert!(refusal.contains("check the path"), "{refusal}");
    fs::write(dir.path(), [0xff, 0xfe]).expect("a writable directory");
    let refusal = dir.refusal(Sources::new().file(dir.path()));
    assert!(refusal.contains("save the file as UTF-8"), "{refusal}");
    for (size, is_accepted) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let sources = dir.write(&"#".repeat(size));
        assert_eq!(
            Config::<Server>::load(sources).is_ok(),
            is_accepted,
            "{size}"
        );
    }
}

#[test]
fn a_reload_reports_every_key() {
    let dir = Dir::new();
    let config =
        Config::<Server>::load(dir.write("workers = 3\n[ws]\nratio = 0.1\n")).expect("accepted");
    dir.write("workers = 4\n\n[ws]\nratio = 0.2\nframe_size_max = \"2MiB\"\n");
    let report = config.reload().expect("accepted");
    assert_eq!((report.version, config.version()), (2, 2));
    assert_eq!(report.keys.len(), 11);
    let of = |key: &str| {
        report
            .keys
            .iter()
            .find(|report| report.key == key)
            .expect("a known key")
    };
    assert_eq!(
        of("ws.ratio").change,
        KeyChange::Applied {
            old: json!(0.1),
            new: json!(0.2),
            to: None,
        }
    );
    assert_eq!(
        of("ws.ratio").origin,
        Origin::File {
            path: dir.path(),
            line: 4
        }
    );
    assert_eq!(of("addr").change, KeyChange::Unchanged);
    assert_eq!(of("addr").origin, Origin::Default);
    let needs_restart = KeyChange::NeedsRestart {
        running: json!(3),
        wanted: json!(4),
        reason: "threads are started once",
    };
    assert_eq!(of("workers").change, needs_restart);
    let server = config.current();
    assert_eq!((server.workers, server.ws.ratio), (3, 0.2));
    assert_eq!(server.ws.frame_size_max, ByteSize::mib(1));
    let text = report
        .to_string()
        .replace(&dir.path().display().to_string(), "FILE");
    assert_eq!(
        text,
        "workers: needs restart, 3 -> 4 (FILE:1): threads are started once\n\
         ws.frame_size_max: needs restart, \"1MiB\" -> \"2MiB\" (FILE:5): buffers are laid out at start\n\
         ws.ratio: applied, 0.1 -> 0.2 (FILE:4)\n\
         8 unchanged",
    );
    assert_eq!(report.to_json()["needs_restart"][0]["key"], "workers");
    assert_eq!(report.to_json()["unchanged"], 8);
}

#[test]
fn what_holds_for_the_new_only_is_reported_as_that() {
    let dir = Dir::new();
    let config = Config::<Server>::load(dir.write("")).expect("accepted");
    dir.write("[ws]\npolicy = \"skip\"\n");
    let report = config.reload().expect("accepted");
    assert_eq!((report.version, config.version()), (2, 2));
    assert_eq!(report.to_json()["applied"][0]["to"], "new channels");
    let text = report.to_string();
    let told = "ws.policy: applied to new channels, \"disconnect\" -> \"skip\"";
    assert!(text.starts_with(told), "{text}");
}

#[test]
fn a_key_that_needs_a_restart_stays_pending() {
    let dir = Dir::new();
    let config = Config::<Server>::load(dir.write("workers = 3")).expect("accepted");
    dir.write("workers = 4");
    for _ in 0..2 {
        let report = config.reload().expect("accepted");
        assert_eq!(report.needs_restart().count(), 1);
        assert_eq!((report.version, config.current().workers), (1, 3));
    }
    dir.write("workers = 3");
    assert_eq!(
        config.reload().expect("accepted").to_string(),
        "11 unchanged"
    );
}

#[test]
fn a_key_taken_out_goes_back_to_its_default() {
    let dir = Dir::new();
    let config =
        Config::<Server>::load(dir.write("label = \"x\"\ntags = { a = \"b\" }")).expect("accepted");
    dir.write("");
    let report = config.reload().expect("accepted");
    assert_eq!(
        report.applied().map(|key| &*key.key).collect::<Vec<_>>(),
        ["label", "tags"]
    );
    assert_eq!(*config.current(), Server::default());
}

#[test]
fn a_refused_reload_changes_nothing() {
    let dir = Dir::new();
    let config = Config::<Server>::load(dir.write("[ws]\nratio = 0.1")).expect("accepted");
    let told = Arc::new(Mutex::new(0));
    let listener_told = told.clone();
    config.on_reload(move |_| *listener_told.lock().expect("no panic") += 1);
    let before = config.current();
    for text in [
        "[ws]\nratio = 0.2\npolicy = \"drop\"",
        "no toml",
        "[ws]\nmessage_size_max = 1",
    ] {
        dir.write(text);
        assert!(config.reload().is_err(), "{text}");
    }
    fs::remove_file(dir.path()).expect("the file is there");
    assert!(config.reload().is_err());
    assert!(Arc::ptr_eq(&before, &config.current()));
    assert_eq!((config.version(), *told.lock().expect("no panic")), (1, 0));
}

#[test]
fn new_values_must_fit_those_that_wait_for_a_restart() {
    // The pair is fine for a fresh start, but the frame size goes on as it was.
    let dir = Dir::new();
    let config = Config::<Server>::load(dir.write("")).expect("accepted");
    let sources = dir.write("[ws]\nmessage_size_max = \"8KiB\"\nframe_size_max = \"4KiB\"\n");
    assert!(Config::<Server>::load(sources).is_ok());
    let refusal = config.reload().expect_err("refused").to_string();
    assert!(
        refusal.contains(":2: ws.message_size_max = \"8KiB\": a frame cannot"),
        "{refusal}"
    );
    assert_eq!(*config.current(), Server::default());
}

#[test]
fn listeners_see_both_snapshots_and_a_panic_is_contained() {
    let dir = Dir::new();
    let config = Config::<Server>::load(dir.write("[ws]\nratio = 0.1")).expect("accepted");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener_seen = seen.clone();
    config.on_reload(|_| panic!("a listener at fault"));
    config.on_reload(move |change| {
        let ratios = (
            change.old.ws.ratio,
            change.new.ws.ratio,
            change.report.applied().count(),
        );
        listener_seen.lock().expect("no panic").push(ratios);
    });
    dir.write("[ws]\nratio = 0.2");
    assert_eq!(config.reload().expect("accepted").listeners_failed, 1);
    assert_eq!(
        config.reload().expect("accepted").applied().count(),
        0,
        "nothing to tell"
    );
    assert_eq!(*seen.lock().expect("no panic"), [(0.1, 0.2, 1)]);
}

#[test]
fn a_snapshot_never_changes() {
    let dir = Dir::new();
    let config = Config::<Server>::load(dir.write("")).expect("accepted");
    let before = config.current();
    assert!(Arc::ptr_eq(&before, &config.current()));
    dir.write("[ws]\nratio = 0.75");
    config.reload().expect("accepted");
    assert_eq!(config.current().ws.ratio, 0.75);
    assert_eq!(before.ws.ratio, 0.5);
}

#[test]
fn every_key_is_listed_with_its_variable() {
    let config =
        Config::<Server>::load(Sources::new().flag("--workers", "workers", "9")).expect("accepted");
    let keys = config.keys();
    assert_eq!(keys.len(), 11);
    assert!(keys.contains(&("workers".into(), json!(9), "HIOLOAD_WORKERS".into())));
    assert!(keys.contains(&("ws.ratio".into(), json!(0.5), "HIOLOAD_WS_RATIO".into())));
}

#[test]
fn the_origin_is_that_of_the_value_in_effect() {
    let dir = Dir::new();
    let sources = dir.write("workers = 3\n[ws]\nratio = 0.1\n");
    let config = Config::<Server>::load(sources).expect("accepted");
    let at = |line| Origin::File {
        path: dir.path(),
        line,
    };
    assert_eq!(
        (config.origin("workers"), config.origin("ws.ratio")),
        (at(1), at(3))
    );
    assert_eq!(config.origin("addr"), Origin::Default);
    dir.write("addr = \"x\"\n\nworkers = 4\n");
    config.reload().expect("accepted");
    assert_eq!(config.origin("workers"), at(1), "3 goes on");
    assert_eq!(config.origin("ws.ratio"), Origin::Default);
    dir.write("\nworkers = 3\n");
    config.reload().expect("accepted");
    assert_eq!(
        config.origin("workers"),
        at(2),
        "the same value in another line"
    );
}

#[test]
fn another_spelling_of_a_value_is_no_change() {
    let dir = Dir::new();
    let sources = dir.write("[ws]\nmessage_size_max = \"16MiB\"\nidle_timeout = \"60s\"\n");
    let config = Config::<Server>::load(sources).expect("accepted");
    dir.write("[ws]\nmessage_size_max = 16777216\nidle_timeout = \"1m\"\n");
    let report = config.reload().expect("accepted");
    assert_eq!((report.applied().count(), report.version), (0, 1));
    let value = |key: &str| {
        let found = config.keys().into_iter().find(|(name, ..)| name == key);
        found.expect("a known key").1
    };
    assert_eq!(value("ws.message_size_max"), "16MiB");
}
