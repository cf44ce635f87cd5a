//! What one connection may take: unit, default, reason, and what happens when it is reached.
//!
//! Bodies have no limit here: what is too much of one is known to whoever takes it, and a window is what bounds how much
//! of it is under way.
//!
//! A flood is told from use by its rate: `*_burst` at once, and `*_per_s` more every second.

use std::time::Duration;

use hioload_base::Limit;

use crate::hpack::ENCODER_TABLE_SIZE_MAX;

/// Limits of a connection. Copied when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams of the peer that are not released.
    pub streams_max: u16,
    /// Of these, tunnels of extended CONNECT. 0: it is not offered.
    pub tunnels_max: u16,
    /// Streams that a client opens, whatever the server allows.
    pub streams_open_max: u16,
    /// Bytes of a stream that the peer may send ahead.
    pub stream_window: u32,
    /// Bytes of all streams that may be under way.
    pub connection_window: u32,
    /// Bytes of the content of one DATA frame that we send, whatever the peer allows.
    pub data_size_max: u16,
    /// Bytes of a header list, as RFC 9113 6.5.2 counts them.
    pub header_list_size_max: u32,
    /// Fields of a header list.
    pub headers_max: u32,
    /// CONTINUATION frames of a header block.
    pub continuations_max: u8,
    /// Bytes of the table that the peer's field compression uses.
    pub decoder_table_size: u16,
    /// Bytes of the table that our field compression uses at most.
    pub encoder_table_size_max: u16,
    /// Entries of one SETTINGS frame.
    pub settings_max: u8,
    /// How long a header block may take.
    pub header_block_timeout: Duration,
    /// How long the preface, and the acknowledgement of our SETTINGS, may take.
    pub settings_timeout: Duration,
    /// How long the peer may be silent before it is pinged. Zero: it is not.
    pub ping_interval: Duration,
    /// How long the peer may be silent after that.
    pub ping_timeout: Duration,
    /// How long a stream may have content to send that the peer leaves no room for.
    pub stall_timeout: Duration,
    /// Bytes that have to be taken within that time to count as progress.
    pub stall_progress_min: u32,
    /// How long streams may take to end once the connection is shut down.
    pub drain_timeout: Duration,
    /// Resets by the peer, at once.
    pub reset_burst: u32,
    /// Resets by the peer, every second.
    pub reset_per_s: u32,
    /// Streams after which more than half of them may not be reset within a second.
    pub reset_half_streams: u32,
    /// Streams that we had to reset, in all.
    pub error_resets_max: u32,
    /// PINGs, at once.
    pub ping_burst: u32,
    /// PINGs, every second.
    pub ping_per_s: u32,
    /// SETTINGS frames, at once.
    pub settings_burst: u32,
    /// SETTINGS frames, every second.
    pub settings_per_s: u32,
    /// Empty DATA or HEADERS parts without an end, in all.
    pub empty_frames_max: u32,
    /// DATA frames of less than [`DATA_TINY_SIZE`] bytes of a stream that is no tunnel, at once.
    pub tiny_data_burst: u32,
    /// The same, every second.
    pub tiny_data_per_s: u32,
    /// Frames that bring nothing, at once.
    pub glitch_burst: u32,
    /// Frames that bring nothing, every second.
    pub glitch_per_s: u32,
    /// Replies that wait to be written.
    pub replies_max: u16,
}

/// DATA of fewer bytes without the end of its stream is tiny.
pub const DATA_TINY_SIZE: u32 = 256;

/// The largest frame that we take: what every peer may send (RFC 9113 4.2).
pub(super) const FRAME_SIZE_MAX: u32 = 16_384;

/// How many times the limit of a header list is decoded before its peer is given up: up to there the stream alone ends,
/// and the compression stays in step.
pub(super) const HEADER_LIST_FACTOR: u32 = 4;

/// Changes of priority that every stream seen, and the connection itself, is good for.
pub(super) const PRIORITIES_PER_STREAM: u64 = 100;

/// WINDOW_UPDATEs that a connection is good for, those for each stream and for each DATA frame sent apart.
pub(super) const WINDOW_UPDATES_BASE: u64 = 100;

/// Beside tunnels a byte of content may be under way for so many nanoseconds of a round trip: 500 MB/s, about half of
/// what one core takes.
pub(super) const PACED_NS_PER_BYTE: u64 = 2;

/// But each stream has so much: with less, frames cost more than what they carry.
pub(super) const PACED_WINDOW_MIN: u32 = 6144;

/// Bytes of a request that are taken and dropped after its answer is complete.
pub(super) const ABANDONED_SIZE_MAX: u32 = 65_536;

/// How long they are.
pub(super) const ABANDONED_TIMEOUT: Duration = Duration::from_secs(1);

/// Priorities of streams that were not opened yet, which are kept.
pub(super) const EARLY_PRIORITIES_MAX: usize = 16;

const fn row(
    name: &'static str,
    unit: &'static str,
    (default, min, max): (u64, u64, u64),
    reason: &'static str,
    reached: &'static str,
) -> Limit {
    Limit {
        name,
        unit,
        default,
        min,
        max,
        reason,
        reached,
    }
}

const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const CALM: &str = "GOAWAY(ENHANCE_YOUR_CALM)";

const STREAMS: Limit = row(
    "h2.streams_max",
    "streams",
    (128, 1, 10_000),
    "each may be a handler at work: it counts until the handler has ended, whatever the peer says (CVE-2023-44487, CVE-2025-8671)",
    "RST_STREAM(REFUSED_STREAM)",
);
const TUNNELS: Limit = row(
    "h2.tunnels_max",
    "streams",
    (64, 0, 10_000),
    "tunnels stay: without a limit of their own they would leave no room for requests",
    "RST_STREAM(REFUSED_STREAM); at 0 extended CONNECT is not offered",
);
const STREAMS_OPEN: Limit = row(
    "h2.streams_open_max",
    "streams",
    (1024, 1, 10_000),
    "a server may allow any number; each costs its slot",
    "opening fails until a stream is released",
);
const STREAM_WINDOW: Limit = row(
    "h2.stream_window",
    "bytes",
    (65_536, 1, (1 << 31) - 1),
    "so much of a stream is held for whoever does not read it; less beside tunnels, by the round trip",
    "the peer waits; RST_STREAM(FLOW_CONTROL_ERROR) if it does not",
);
const CONNECTION_WINDOW: Limit = row(
    "h2.connection_window",
    "bytes",
    (1 << 20, 65_535, (1 << 31) - 1),
    "so much may be under way; it is given back as it comes, and so no stream that waits stops the others: what is held is bounded by the windows of the streams",
    "the peer waits; GOAWAY(FLOW_CONTROL_ERROR) if it does not",
);
const DATA_SIZE: Limit = row(
    "h2.data_size_max",
    "bytes",
    (16_384, 1, 16_384),
    "a frame is what a more urgent stream waits for",
    "the rest is sent in the next frame",
);
const HEADER_LIST_SIZE: Limit = row(
    "h2.header_list_size_max",
    "bytes",
    (16 * 1024, 256, 1 << 20),
    "a list is kept whole until its end has come (CVE-2024-27316)",
    "HTTP status 431; above four times as much GOAWAY(ENHANCE_YOUR_CALM)",
);
const HEADERS: Limit = row(
    "h2.headers_max",
    "headers",
    (100, 8, 10_000),
    "each is looked at for every request",
    "HTTP status 431",
);
const CONTINUATIONS: Limit = row(
    "h2.continuations_max",
    "frames",
    (8, 0, 255),
    "a header block comes in as few frames as it needs (CVE-2024-27316)",
    CALM,
);
const DECODER_TABLE: Limit = row(
    "h2.decoder_table_size",
    "bytes",
    (4096, 0, U16),
    "kept for the connection, and what a byte of input can become",
    "older entries leave",
);
const ENCODER_TABLE: Limit = row(
    "h2.encoder_table_size_max",
    "bytes",
    (
        ENCODER_TABLE_SIZE_MAX as u64,
        0,
        ENCODER_TABLE_SIZE_MAX as u64,
    ),
    "kept for the connection, whatever the peer offers",
    "older entries leave",
);
const SETTINGS: Limit = row(
    "h2.settings_max",
    "settings",
    (32, 1, 255),
    "there are ten (CVE-2019-9515)",
    CALM,
);
const HEADER_BLOCK_TIMEOUT: Limit = row(
    "h2.header_block_timeout",
    "ms",
    (10_000, 100, DAY_MS),
    "nothing else can come before its end",
    CALM,
);
const SETTINGS_TIMEOUT: Limit = row(
    "h2.settings_timeout",
    "ms",
    (10_000, 100, DAY_MS),
    "our limits are in force only when they are acknowledged",
    "GOAWAY(SETTINGS_TIMEOUT)",
);
const PING_INTERVAL: Limit = row(
    "h2.ping_interval",
    "ms",
    (30_000, 0, DAY_MS),
    "a peer that is gone says nothing; 0: no PING",
    "PING",
);
const PING_TIMEOUT: Limit = row(
    "h2.ping_timeout",
    "ms",
    (15_000, 100, DAY_MS),
    "a peer that answers nothing is gone",
    "GOAWAY(NO_ERROR), and the connection is closed",
);
const STALL_TIMEOUT: Limit = row(
    "h2.stall_timeout",
    "ms",
    (60_000, 100, DAY_MS),
    "content is held for a peer that leaves no room for it (CVE-2019-9511, CVE-2019-9517)",
    "RST_STREAM(ENHANCE_YOUR_CALM)",
);
const STALL_PROGRESS: Limit = row(
    "h2.stall_progress_min",
    "bytes",
    (1024, 1, U32),
    "a window opened byte by byte is no progress",
    "see h2.stall_timeout",
);
const DRAIN_TIMEOUT: Limit = row(
    "h2.drain_timeout",
    "ms",
    (30_000, 0, DAY_MS),
    "a shutdown ends, whatever streams do",
    "RST_STREAM(CANCEL) for each that is left",
);
const RESET_BURST: Limit = row(
    "h2.reset_burst",
    "resets",
    (200, 1, U32),
    "pages that are left cancel what they asked for, now and then (CVE-2023-44487)",
    CALM,
);
const RESET_PER_S: Limit = row(
    "h2.reset_per_s",
    "resets",
    (33, 0, U32),
    "see h2.reset_burst",
    CALM,
);
const RESET_HALF: Limit = row(
    "h2.reset_half_streams",
    "streams",
    (100, 1, U32),
    "whoever cancels most of what it asks for at once wants the work, not the answers",
    "GOAWAY(ENHANCE_YOUR_CALM) once more than half of so many were reset within a second of their beginning",
);
const ERROR_RESETS: Limit = row(
    "h2.error_resets_max",
    "resets",
    (1024, 1, U32),
    "a peer can make us reset its streams (CVE-2025-8671)",
    CALM,
);
const PING_BURST: Limit = row(
    "h2.ping_burst",
    "frames",
    (1000, 1, U32),
    "each has to be answered (CVE-2019-9512)",
    CALM,
);
const PING_PER_S: Limit = row(
    "h2.ping_per_s",
    "frames",
    (100, 0, U32),
    "see h2.ping_burst",
    CALM,
);
const SETTINGS_BURST: Limit = row(
    "h2.settings_burst",
    "frames",
    (100, 1, U32),
    "each has to be answered, and may touch every stream (CVE-2019-9515)",
    CALM,
);
const SETTINGS_PER_S: Limit = row(
    "h2.settings_per_s",
    "frames",
    (10, 0, U32),
    "see h2.settings_burst",
    CALM,
);
const EMPTY_FRAMES: Limit = row(
    "h2.empty_frames_max",
    "frames",
    (100, 0, U32),
    "they cost time, and no window (CVE-2019-9518)",
    CALM,
);
const TINY_BURST: Limit = row(
    "h2.tiny_data_burst",
    "frames",
    (10_000, 1, U32),
    "a frame costs more than its few bytes of window; tunnels are bounded by what they carry",
    CALM,
);
const TINY_PER_S: Limit = row(
    "h2.tiny_data_per_s",
    "frames",
    (2000, 0, U32),
    "see h2.tiny_data_burst",
    CALM,
);
const GLITCH_BURST: Limit = row(
    "h2.glitch_burst",
    "frames",
    (10_000, 1, U32),
    "unknown frames, and frames for streams that are closed, are legal and useless",
    CALM,
);
const GLITCH_PER_S: Limit = row(
    "h2.glitch_per_s",
    "frames",
    (330, 0, U32),
    "see h2.glitch_burst",
    CALM,
);
const REPLIES: Limit = row(
    "h2.replies_max",
    "frames",
    (1000, 1, U16),
    "replies to a peer that does not read pile up (CVE-2019-9512, -9514, -9515)",
    CALM,
);

/// The rows of `docs/limits.md`.
pub const LIMITS: &[Limit] = &[
    STREAMS,
    TUNNELS,
    STREAMS_OPEN,
    STREAM_WINDOW,
    CONNECTION_WINDOW,
    DATA_SIZE,
    HEADER_LIST_SIZE,
    HEADERS,
    CONTINUATIONS,
    DECODER_TABLE,
    ENCODER_TABLE,
    SETTINGS,
    HEADER_BLOCK_TIMEOUT,
    SETTINGS_TIMEOUT,
    PING_INTERVAL,
    PING_TIMEOUT,
    STALL_TIMEOUT,
    STALL_PROGRESS,
    DRAIN_TIMEOUT,
    RESET_BURST,
    RESET_PER_S,
    RESET_HALF,
    ERROR_RESETS,
    PING_BURST,
    PING_PER_S,
    SETTINGS_BURST,
    SETTINGS_PER_S,
    EMPTY_FRAMES,
    TINY_BURST,
    TINY_PER_S,
    GLITCH_BURST,
    GLITCH_PER_S,
    REPLIES,
];

impl Default for Limits {
    fn default() -> Self {
        let ms = |limit: Limit| Duration::from_millis(limit.default);
        Self {
            streams_max: STREAMS.default as u16,
            tunnels_max: TUNNELS.default as u16,
            streams_open_max: STREAMS_OPEN.default as u16,
            stream_window: STREAM_WINDOW.default as u32,
            connection_window: CONNECTION_WINDOW.default as u32,
            data_size_max: DATA_SIZE.default as u16,
            header_list_size_max: HEADER_LIST_SIZE.default as u32,
            headers_max: HEADERS.default as u32,
            continuations_max: CONTINUATIONS.default as u8,
            decoder_table_size: DECODER_TABLE.default as u16,
            encoder_table_size_max: ENCODER_TABLE.default as u16,
            settings_max: SETTINGS.default as u8,
            header_block_timeout: ms(HEADER_BLOCK_TIMEOUT),
            settings_timeout: ms(SETTINGS_TIMEOUT),
            ping_interval: ms(PING_INTERVAL),
            ping_timeout: ms(PING_TIMEOUT),
            stall_timeout: ms(STALL_TIMEOUT),
            stall_progress_min: STALL_PROGRESS.default as u32,
            drain_timeout: ms(DRAIN_TIMEOUT),
            reset_burst: RESET_BURST.default as u32,
            reset_per_s: RESET_PER_S.default as u32,
            reset_half_streams: RESET_HALF.default as u32,
            error_resets_max: ERROR_RESETS.default as u32,
            ping_burst: PING_BURST.default as u32,
            ping_per_s: PING_PER_S.default as u32,
            settings_burst: SETTINGS_BURST.default as u32,
            settings_per_s: SETTINGS_PER_S.default as u32,
            empty_frames_max: EMPTY_FRAMES.default as u32,
            tiny_data_burst: TINY_BURST.default as u32,
            tiny_data_per_s: TINY_PER_S.default as u32,
            glitch_burst: GLITCH_BURST.default as u32,
            glitch_per_s: GLITCH_PER_S.default as u32,
            replies_max: REPLIES.default as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_bounds() {
        for limit in LIMITS {
            let checked = limit.check(limit.default);
            assert_eq!(checked, Ok(limit.default), "{}", limit.name);
        }
    }
}
