//! A server with a store in a directory of its own.

use std::net::SocketAddr;
use std::time::Duration;

use hioload::{Broadcast, DriverChoice, ServerBuilder, Settings, StoreConfig};
use hioload_e2e::{Answer, Patience, Running, Web, http_request, until};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than the time-out of a body (30 s): Linux 6.18 was seen to leave a multishot receive armed on a socket that TCP had
/// long given up after a reset, once in some hundred runs of a busy machine. Such a connection ends by its time-out.
const REST_TIME_MAX: Duration = Duration::from_secs(45);

/// A server and the directory of its store, which goes with it.
pub(crate) struct Scene {
    pub(crate) server: Running,
    #[expect(dead_code, reason = "kept for its end")]
    pub(crate) dir: TempDir,
}

impl Scene {
    pub(crate) fn new(driver: DriverChoice) -> Self {
        Self::with(driver, |_, _| {})
    }

    /// With other settings.
    pub(crate) fn with(
        driver: DriverChoice,
        tweak: impl FnOnce(&mut Settings, &mut StoreConfig),
    ) -> Self {
        let dir = tempfile::tempdir().expect("a place for files");
        let server = Running::start(builder(driver, 1, config(&dir), tweak));
        Self { server, dir }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    pub(crate) fn dial(&self) -> Web {
        Web::dial(self.addr())
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, line: &str, more: &str, body: &[u8]) -> Answer {
        self.dial().ask(line, more, body)
    }

    /// What is answered to bytes, after which the connection ends.
    #[track_caller]
    pub(crate) fn refused(&self, bytes: &[u8]) -> (u16, String) {
        let mut web = self.dial();
        web.try_send(bytes);
        let answer = web.answer(false);
        assert_eq!(answer.field("Connection"), Some("close"), "{}", answer.head);
        web.expect_end();
        (answer.status, answer.text())
    }

    /// Waits until nothing is under way, and so many blocks are stored: figures are shown a moment later.
    #[track_caller]
    pub(crate) fn rests_with(&self, blocks: u64) -> Value {
        let mut found = Value::Null;
        until("the blocks that are stored", || {
            found = self.rests();
            found["controller"]["blocks"] == blocks
        });
        found
    }

    /// Waits until nothing is under way: no block is leased but those at hand, no connection is open but
    /// the one that asks.
    #[track_caller]
    pub(crate) fn rests(&self) -> Value {
        let mut web = self.dial();
        let mut found = Value::Null;
        let mut is_at_rest = || {
            web.try_send(&http_request("GET /stats", "", b""));
            let answer = web.try_answer(false).ok();
            let Some(answer) = answer.filter(|answer| answer.status == 200) else {
                // Where time-outs are short and the machine is busy, the one that asks is cut off, too.
                web = self.dial();
                return false;
            };
            found = answer.json();
            let totals = &found["totals"];
            let sum = |values: &Value, key: Option<&str>| -> u64 {
                let values = values.as_object().expect("by size").values();
                let number = |value: &Value| match key {
                    Some(key) => value[key].as_u64(),
                    None => value.as_u64(),
                };
                values.map(|value| number(value).expect("a number")).sum()
            };
            let busy = [
                "puts",
                "calls",
                "writes_in_flight",
                "write_memory",
                "gather_memory",
            ];
            let space = &found["controller"]["space"];
            busy.iter().all(|key| totals[key] == 0)
                && sum(&space["leased"], None) == sum(&totals["pools"], Some("free"))
                && sum(&space["retired"], None) == 0
                && self.server.stats().connections == 1
        };
        let mut patience = Patience::of(REST_TIME_MAX);
        while !is_at_rest() {
            assert!(!patience.is_over(), "{:?} {found}", self.server.stats());
            std::thread::sleep(Duration::from_millis(2));
        }
        found
    }
}

/// A store in that directory.
pub(crate) fn config(dir: &TempDir) -> StoreConfig {
    StoreConfig {
        // Deletes are not held up by questions, but where a test says so.
        grace: Duration::ZERO,
        memory: 4 << 20,
        cache: 1 << 20,
        size: 0,
        grow: 1 << 20,
        index_size_max: 64 << 20,
        ..StoreConfig::new(dir.path())
    }
}

/// A server with a store, not yet built.
pub(crate) fn builder(
    driver: DriverChoice,
    workers: usize,
    mut store: StoreConfig,
    tweak: impl FnOnce(&mut Settings, &mut StoreConfig),
) -> ServerBuilder {
    let mut settings = Running::settings();
    tweak(&mut settings, &mut store);
    Running::builder(driver, workers)
        .settings(settings)
        .store(Some(store))
        .handler(|_| Broadcast::new("blocks"))
}

/// Bytes that no other call with another seed gives.
pub(crate) fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
