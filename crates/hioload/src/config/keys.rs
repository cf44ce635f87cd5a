//! Every key of the configuration, in the order people read them: the source of help texts and of
//! `docs/configuration.md`.
//!
//! Must not know values: defaults come from [`ServerConfig`], ranges from [`super::LIMITS`].

use std::fmt::Write as _;

use hioload_control::{Config, Sources};

use super::{ServerConfig, limits};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct KeyDoc {
    /// `section.name`.
    pub key: &'static str,
    /// Its flag on the command line, where it has one, without the dashes, and the name of its value.
    pub flag: Option<(&'static str, &'static str)>,
    /// What it is for.
    pub doc: &'static str,
}

impl KeyDoc {
    /// The section the key stands in.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.split('.').next().unwrap_or(self.key)
    }

    /// Why a change waits for the next start; `None`: a reload applies it at once.
    #[must_use]
    pub fn restart_reason(&self) -> Option<&'static str> {
        RESTART
            .iter()
            .find(|(key, _)| *key == self.key)
            .map(|(_, reason)| *reason)
    }

    /// What a reload applies it to, such as `new channels`; `None`: to whatever comes next.
    #[must_use]
    pub fn for_new(&self) -> Option<&'static str> {
        FOR_NEW
            .iter()
            .find(|(key, _)| [self.key, self.section()].contains(key))
            .map(|(_, to)| *to)
    }

    /// `from 1 to 256`, where it is a number with bounds.
    fn range(&self) -> String {
        let limit = limits::all().find(|limit| limit.name == self.key);
        limit
            .map(|limit| format!("{} to {} {}", limit.min, limit.max, limit.unit))
            .unwrap_or_default()
    }
}

const THREADS: &str = "workers are started once";
const STORE: &str = "the store is opened at start";
const PLAN: &str = "tables and buffers are sized at start";

/// Keys that wait for the next start, and why.
pub(super) const RESTART: &[(&str, &str)] = &[
    ("server.addr", "listeners are bound at start"),
    ("server.addr_clear", "listeners are bound at start"),
    (
        "tls.pair",
        "listeners begin with TLS, or without it, at start; the files are read again",
    ),
    ("tls.names", "the certificate is made at start"),
    ("server.workers", THREADS),
    ("server.pin", THREADS),
    ("server.numa", THREADS),
    ("server.driver", "drivers are opened at start"),
    ("server.batch", "queues are sized at start"),
    ("server.ring", "queues are sized at start"),
    ("server.sessions_max", PLAN),
    ("server.memory", PLAN),
    ("server.hugepages", PLAN),
    (
        "server.send_buffer",
        "connections take it from their listener",
    ),
    (
        "server.recv_buffer",
        "connections take it from their listener",
    ),
    ("server.zero_copy", "drivers are opened at start"),
    ("ws.assembly_max", PLAN),
    ("ws.deflate_takeover", PLAN),
    ("channel.count_max", PLAN),
    ("channel.subscriptions_worker_max", PLAN),
    ("channel.budget_worker", PLAN),
    ("channel.linger", "the table of channels is made at start"),
    ("streams.long_poll_max", PLAN),
    ("h2.streams_worker_max", PLAN),
    ("blocks.data", STORE),
    ("blocks.size", STORE),
    ("blocks.size_max", STORE),
    ("blocks.grow", STORE),
    ("blocks.index_size_max", STORE),
    ("blocks.durability", STORE),
    ("blocks.verify", STORE),
    ("blocks.memory", PLAN),
    ("blocks.cache", PLAN),
    ("blocks.pools", STORE),
    ("blocks.grace", STORE),
    ("blocks.announce", STORE),
    ("admin.addr", "the admin listener is bound at start"),
];

const CHANNELS: &str = "new channels";

/// Keys whose new value holds only for what is made from then on: what there is keeps the value it was made with.
pub(super) const FOR_NEW: &[(&str, &str)] = &[
    ("channel.budget", CHANNELS),
    ("channel.policy", CHANNELS),
    ("channel.rate_min", CHANNELS),
    ("channel.window", CHANNELS),
    ("channel.exclude_sender", CHANNELS),
    ("channel.history_count", CHANNELS),
    ("channel.history_size", CHANNELS),
    ("channel.history_age", CHANNELS),
    ("channel.rules", CHANNELS),
    ("sse.history", CHANNELS),
    ("h2", "new connections"),
];

macro_rules! keys {
    ($($key:literal $(--$flag:literal $value:literal)?: $doc:literal;)+) => {
        /// All keys.
        pub const KEYS: &[KeyDoc] = &[
            $(KeyDoc { key: $key, flag: keys!(@flag $($flag $value)?), doc: $doc }),+
        ];
    };
    (@flag) => { None };
    (@flag $flag:literal $value:literal) => { Some(($flag, $value)) };
}

keys! {
    "server.addr" --"addr" "HOST:PORT": "Where to listen; port 0 lets the system choose";
    "server.addr_clear" --"addr-clear" "HOST:PORT|off": "Where to listen in clear as well, when server.addr speaks TLS; off: nowhere";
    "server.workers" --"workers" "N": "Worker threads, each with its own event loop; 0: one per core, but no more than there is memory for";
    "server.pin" --"pin" "on|off": "Bind each worker to a core";
    "server.numa" --"numa" "NODE": "Take cores and memory of this NUMA node; auto: wherever the system puts them";
    "server.driver" --"driver" "auto|uring|poll": "How I/O is done; auto: io_uring where the system allows it, otherwise poll";
    "server.batch" --"batch" "N": "Events a worker handles in one turn at most";
    "server.ring" --"ring" "N": "Messages that may be under way from one worker to another";
    "server.sessions_max" --"sessions-max" "N": "Connections of each worker at most; more are closed as they come";
    "server.memory" --"memory" "SIZE": "Buffers of each worker at most; auto: the logs of its channels, and room for output beside them";
    "server.hugepages" --"hugepages" "on|off": "Take buffers from huge pages where the system has some";
    "server.send_buffer" --"send-buffer" "SIZE": "Kernel memory for what a connection was sent and has not taken; auto: as the system tunes it";
    "server.recv_buffer" --"recv-buffer" "SIZE": "Kernel memory for what came from a connection and was not received; auto: as the system tunes it";
    "server.zero_copy" --"zero-copy" "SIZE": "Send so much or more without a copy, with io_uring; off: never";
    "tls.pair" --"tls" "self-signed|FILE|off": "What server.addr shows to clients: a certificate made at start, or a PEM file with a chain and its key; off: in clear, unless there are tls.certificates";
    "tls.certificates" --"tls-cert" "FILE...": "PEM files with certificate chains, one for each key; the name that a client asks for picks one, the first is for all others";
    "tls.keys" --"tls-key" "FILE...": "PEM files with the keys of tls.certificates, in the same order";
    "tls.names": "Names and addresses that a self-signed certificate is for";
    "tls.client_ca" --"tls-client-ca" "FILE|off": "PEM file of authorities; clients without a certificate from one of them are refused";
    "tls.resumption": "Give clients tickets, with which they come back in one round trip and without a signature";
    "ws.message_size_max" --"message-size-max" "SIZE": "Longest message that is taken; a longer one ends its session with 1009";
    "ws.frame_size_max": "Longest frame that is taken; auto: as long as a message";
    "ws.fragments_max": "Fragments of one message at most; more end its session with 1008";
    "ws.fragments_empty_max": "Empty fragments of one message at most; more end its session with 1008";
    "ws.assembly_max": "Bytes that all unfinished and held back input of a worker may take; auto: four of the longest, at least 32MiB";
    "ws.head_size_max": "Longest request head; a longer one is answered with 431";
    "ws.headers_max": "Headers of a request at most; more are answered with 431";
    "ws.handshake_timeout": "How long a client may take for its request; then it is answered with 408";
    "ws.close_timeout": "How long a session that was closed may take to answer and to take what it was sent";
    "ws.ping_interval": "How long a client may be silent before it is pinged; off: it never is";
    "ws.pong_timeout": "How long a client may take to answer a ping before its session ends with 1001";
    "ws.idle_timeout": "How long a client may send no message before its session ends with 1001; off: forever";
    "ws.lifetime": "How long a session may last before it ends with 1001; off: forever";
    "ws.subprotocols": "Subprotocols spoken here, for clients that offer some";
    "ws.origins": "Pages that may connect: any, same-host, or a list such as [\"https://example.com\"]; others get 403";
    "ws.deflate" --"deflate" "on|off": "Compress for clients that offer it (permessage-deflate)";
    "ws.deflate_takeover": "Keep the compression context from message to message: smaller messages, 300 KiB for each session";
    "ws.deflate_window_bits": "Window of the compression at most, as a power of two";
    "ws.deflate_size_min": "Shorter messages are sent as they are";
    "ws.deflate_level": "0 (as is) over 1 (fast) to 9 (small)";
    "output.high": "A session with so many bytes of its own waiting to be sent is not read from";
    "output.max": "A session with so many bytes of its own waiting takes no more; auto: two of the longest messages, at least 1MiB";
    "channel.count_max": "Channels that a worker may know";
    "channel.subscriptions_max": "Channels that a session may be subscribed to";
    "channel.subscriptions_worker_max": "Subscriptions of all sessions of a worker; one more is refused";
    "channel.budget": "Bytes of log of one channel; half of it unread by a subscriber holds publishers back";
    "channel.budget_worker": "Bytes of log of all channels of a worker";
    "channel.policy": "What becomes of a subscriber that stalls: disconnect (1013), skip what it missed, or latest publication only";
    "channel.rate_min": "Bytes a second; a subscriber with something to read that takes less has stalled";
    "channel.window": "Over how long that is judged";
    "channel.exclude_sender": "A session does not get what it published itself";
    "channel.history_count": "Publications kept for those who come back with their position; 0: none";
    "channel.history_size": "Bytes kept for them, of each channel and encoding";
    "channel.history_age": "How long a publication is kept for them";
    "channel.linger": "How long a channel without subscribers is remembered";
    "channel.send_max": "Bytes of one send to a subscriber at most";
    "channel.rules": "Other policy, rate_min, window, exclude_sender, history_count, history_size or history_age for channels whose name begins with `prefix`: a list of tables; the longest prefix counts, the rest is as here. The shortest window of all says how often workers look at all of their channels";
    "sse.keepalive": "How long nothing may be sent to a session that reads events before it gets a comment, which keeps proxies from closing it; off: it gets none";
    "sse.retry": "How long a reader of events is told to wait before it comes back, and up to half of that more, another for each";
    "sse.history": "Keep the history of channels as events from the first publication on; off: from the first reader of events on";
    "streams.name_all": "Give every session a UID when it opens; off: when somebody asks for it";
    "streams.worker_max": "Streams with a UID on each worker at most; about 150 bytes each";
    "streams.total_max": "Streams with a UID on all workers together at most";
    "streams.idle_timeout": "How long an autonomous stream may be silent before it is closed; 0s: for ever";
    "streams.foreign_stream": "Once so many bytes of writes from elsewhere wait for a stream, more are refused";
    "streams.foreign_worker": "Bytes of writes from elsewhere that may wait on a worker";
    "streams.proxy_window": "Bytes on their way from one side of a proxy to the other before it is read no more";
    "streams.socket_max": "Streams with a UID of one connection of HTTP/2 at most";
    "streams.websocket_max": "WebSocket sessions with a UID on each worker at most";
    "streams.sse_max": "Sessions that read events with a UID on each worker at most";
    "streams.long_poll_max": "Sessions that are polled on each worker at most; each has a UID";
    "streams.custom_max": "Sessions of protocols of the application on each worker at most; each has a UID";
    "streams.poll_timeout": "How long a poll waits for something to be said before it is answered 204";
    "streams.poll_linger": "How long a session lives that nobody polls";
    "streams.poll_backlog": "Once so many bytes wait for the next poll of a session, it takes no more";
    "streams.poll_worker": "Bytes that may wait for polls on a worker";
    "http.idle_timeout": "How long a connection may wait for its next request before it is closed";
    "http.body_timeout": "How long 32KiB of a request body may take to come, or of an answer to be taken, before the connection is closed; a body that waits as long for memory is answered with 503";
    "h2.streams_worker_max": "Streams of all HTTP/2 connections of a worker; one more is refused";
    "h2.streams_max": "Streams that a client may have at a time on one connection";
    "h2.tunnels_max": "Of these, WebSockets; 0: none over HTTP/2";
    "h2.streams_open_max": "Streams that a client of ours has at a time, whatever its server allows";
    "h2.stream_window": "Bytes of one stream that may come ahead of whoever reads them";
    "h2.connection_window": "Bytes of all streams of a connection that may come ahead";
    "h2.data_size_max": "Content of one DATA frame that is sent: what a more urgent stream waits for";
    "h2.header_list_size_max": "Longest header list; a longer one is answered with 431";
    "h2.headers_max": "Headers of a request at most; more are answered with 431";
    "h2.continuations_max": "CONTINUATION frames of one header block at most";
    "h2.decoder_table_size": "Table of the field compression of what comes";
    "h2.encoder_table_size_max": "Table of the field compression of what is sent, at most";
    "h2.settings_max": "Settings in one frame at most";
    "h2.stall_progress_min": "Bytes to be taken within h2.stall_timeout to count as progress";
    "h2.reset_burst": "Streams a client may reset at once";
    "h2.reset_per_s": "Streams a client may reset every second";
    "h2.reset_half_streams": "Streams of a second after which no more than half may be reset";
    "h2.error_resets_max": "Streams of a connection that had to be reset for what the client did";
    "h2.ping_burst": "PING frames a client may send at once";
    "h2.ping_per_s": "PING frames a client may send every second";
    "h2.settings_burst": "SETTINGS frames a client may send at once";
    "h2.settings_per_s": "SETTINGS frames a client may send every second";
    "h2.empty_frames_max": "Empty DATA and HEADERS frames of a connection that end nothing";
    "h2.tiny_data_burst": "DATA frames of less than 256 bytes, outside tunnels, at once";
    "h2.tiny_data_per_s": "The same, every second";
    "h2.glitch_burst": "Legal and useless frames a client may send at once";
    "h2.glitch_per_s": "Legal and useless frames a client may send every second";
    "h2.replies_max": "Answers to frames that may wait to be sent";
    "h2.header_block_timeout": "How long a header block may take to come";
    "h2.settings_timeout": "How long a client may take for its preface, and to acknowledge settings";
    "h2.ping_interval": "How long a client may be silent before it is pinged; 0s: it never is";
    "h2.ping_timeout": "How long a client may take to answer that";
    "h2.stall_timeout": "How long content may wait for a client that leaves no room for it";
    "h2.drain_timeout": "How long streams may take to end when their connection does";
    "blocks.data" --"data" "DIR|off": "Where the block store lies, made if it is not there; off: no store";
    "blocks.size": "Space of the store that is set aside at start";
    "blocks.size_max": "Space of the store at most; more is answered with 507";
    "blocks.grow": "How much the store's file grows at a time";
    "blocks.index_size_max": "Size of the store's index at most";
    "blocks.durability" --"durability" "MODE": "When a PUT is answered: durable (it survives a power failure), group:MS (the same, synced at most every so many milliseconds) or relaxed (it survives the end of the process)";
    "blocks.verify": "What is checked before a whole block is sent: full (its SHA-256) or checksum (of every 4 KiB)";
    "blocks.memory": "Contents under way between sockets and the file, of each worker";
    "blocks.cache": "Contents that each worker keeps for those who ask again";
    "blocks.pools": "Free blocks that each worker has at hand, of 4 KiB, 8 KiB and so on to 512 KiB";
    "blocks.grace": "How long a block cannot be deleted after a client was told that it is not missing";
    "blocks.announce": "Channel on which the hashes of new blocks are published; empty: none";
    "blocks.origins": "Pages that may change blocks: any, same-host, or a list such as [\"https://example.com\"]; others get 403";
    "admin.addr" --"admin" "HOST:PORT|off": "Where health, figures and probes are served over HTTP; off: nowhere";
    "shutdown.timeout" --"shutdown-timeout" "TIME": "How long sessions may take to end on shutdown, such as 10s";
    "shutdown.pace" --"shutdown-pace" "N": "Sessions closed per second and worker on shutdown; 0: all at once";
    "log.level" --"log" "LEVEL": "What is logged to stderr: off, error, warn, info, debug (sessions too, when set at start) or trace";
}

/// `docs/configuration.md`.
#[must_use]
pub fn to_markdown() -> String {
    let config =
        Config::<ServerConfig>::load(Sources::new()).expect("invariant: the defaults are valid");
    let values = config.keys();
    let mut out = String::from(HEAD);
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            let _ = write!(out, "\n## [{section}]\n\n{TABLE}");
        }
        let (_, default, variable) = values
            .iter()
            .find(|(name, ..)| name == key.key)
            .expect("invariant: a key of the settings");
        let name = key.key.rsplit('.').next().unwrap_or(key.key);
        let flag = key
            .flag
            .map(|(flag, _)| format!("`--{flag}`"))
            .unwrap_or_default();
        let reload = match (key.restart_reason(), key.for_new()) {
            (Some(reason), _) => format!("no: {reason}"),
            (None, Some(to)) => format!("for {to}"),
            (None, None) => "yes".to_owned(),
        };
        let (doc, range) = (key.doc.replace('|', "\\|"), key.range());
        let _ = writeln!(
            out,
            "| `{name}` | {flag} | `{variable}` | `{default}` | {range} | {doc} | {reload} |"
        );
    }
    out
}

const HEAD: &str = "\
# Configuration

`hioload serve` and `hioload echo` take their settings from a TOML file (`--config FILE` or
`HIOLOAD_CONFIG`), from the environment and from flags; flags win over the environment, that over the
file. Any key can be given as `--set KEY=VALUE`. Sizes are written as `64KiB`, `1MiB` or a number of
bytes, durations as `250ms`, `10s`, `1m 30s`. A wrong key or value is told with its place, why it is
refused and what to do; the server does not start then (exit code 2).

On SIGHUP the file is read again. Keys marked *yes* take effect at once, from the next frame, request or
handshake on. Keys marked *for new channels* or *for new connections* hold for those that are made from then
on: what there is keeps the value it was made with. A channel that no one uses is forgotten after
`channel.linger`, and new when it is next used; its part on a worker is new when the first subscriber of its
encoding comes there. Others wait for the next start and say why. The log tells what became of each key
that changed, and `/debug/config` of the admin listener shows what is in effect and where it was set. A file
with anything wrong in it, or with more than there was memory for at the start, or a certificate that cannot be
used, changes nothing.

Channels can differ. A rule holds for all whose name begins with its prefix, the one with the longest prefix
if several fit; what it does not say is as `[channel]` says:

```toml
[channel]
policy = \"disconnect\"

[[channel.rules]]
prefix = \"ticker:\"
policy = \"latest\"

[[channel.rules]]
prefix = \"chat:\"
exclude_sender = false
history_count = 100
history_size = \"256KiB\"
history_age = \"1h\"
```

This page is generated: `UPDATE_DOCS=1 cargo test -p hioload --test pages`.
";

const TABLE: &str = "\
| key | flag | environment | default | range | what | reloads |
|---|---|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_described_once() {
        let config = Config::<ServerConfig>::load(Sources::new()).expect("defaults");
        let mut known: Vec<_> = config.keys().into_iter().map(|(key, ..)| key).collect();
        let mut described: Vec<_> = KEYS.iter().map(|key| key.key.to_owned()).collect();
        known.sort();
        described.sort();
        assert_eq!(described, known);
    }

    #[test]
    fn what_channels_are_made_with_holds_for_new_ones() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("toml");
        std::fs::write(&path, "").expect("a file");
        let config = Config::<ServerConfig>::load(Sources::new().file(&path)).expect("defaults");
        let text = "[channel]\npolicy = \"skip\"\nsend_max = 65536\n[h2]\nping_burst = 7\n\
            [[channel.rules]]\nprefix = \"a\"\n";
        std::fs::write(&path, text).expect("a file");
        let report = config.reload().expect("valid").to_string();
        for told in [
            "channel.policy: applied to new channels, ",
            "channel.rules: applied to new channels, ",
            "channel.send_max: applied, ",
            "h2.ping_burst: applied to new connections, ",
        ] {
            assert!(report.contains(told), "{told} is not in: {report}");
        }
    }

    #[test]
    fn flags_are_named_once() {
        let mut flags: Vec<_> = KEYS
            .iter()
            .filter_map(|key| key.flag)
            .map(|(flag, _)| flag)
            .collect();
        let count = flags.len();
        flags.sort_unstable();
        flags.dedup();
        assert_eq!(flags.len(), count);
    }

    #[test]
    fn limits_are_those_of_keys() {
        for limit in super::super::LIMITS
            .iter()
            .chain(super::super::BLOCKS_LIMITS)
        {
            assert!(
                KEYS.iter().any(|key| key.key == limit.name),
                "{}",
                limit.name
            );
        }
    }
}
