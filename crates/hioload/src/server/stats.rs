//! What a worker counts. Plain numbers on the worker, copied out for readers.

use hioload_reactor::DriverStats;

use super::hub::Hub;

macro_rules! stats {
    ($(#[doc = $help:literal] $name:ident),+ $(,)?) => {
        /// Counters and gauges of one worker, or of all together.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $(#[doc = $help] pub $name: u64,)+
        }

        impl Stats {
            /// How many there are.
            pub(crate) const COUNT: usize = [$(stringify!($name)),+].len();

            /// Names in the order of [`Stats::values`].
            #[must_use]
            pub fn names() -> [&'static str; Self::COUNT] {
                [$(stringify!($name)),+]
            }

            /// What each is, in the order of [`Stats::names`].
            pub(crate) fn helps() -> [&'static str; Self::COUNT] {
                [$($help.trim_ascii()),+]
            }

            /// Values in the order of [`Stats::names`].
            #[must_use]
            pub fn values(&self) -> [u64; Self::COUNT] {
                [$(self.$name),+]
            }

            pub(crate) fn from_values(values: [u64; Self::COUNT]) -> Self {
                let [$($name),+] = values;
                Self { $($name),+ }
            }
        }
    };
}

stats! {
    /// Connections now, in any phase.
    connections,
    /// Sessions open now.
    sessions,
    /// Sessions that read events, open now.
    event_streams,
    /// Sessions that read events, opened.
    event_streams_opened,
    /// Times a session that reads events was told that something is missing.
    event_gaps,
    /// Connections accepted.
    accepted,
    /// Connections refused: the table was full or descriptors ran out.
    accept_refused,
    /// Connections given to another worker to even the load.
    handed_over,
    /// Handshakes completed.
    handshakes,
    /// Handshakes refused with an HTTP status.
    handshakes_refused,
    /// Handshakes that took too long.
    handshakes_late,
    /// TLS sessions now, handshakes included.
    tls_sessions,
    /// TLS handshakes completed.
    tls_handshakes,
    /// TLS handshakes that resumed an earlier session.
    tls_resumed,
    /// TLS sessions failed: what came was not TLS.
    tls_failed_not_tls,
    /// TLS sessions failed: no version or cipher in common.
    tls_failed_incompatible,
    /// TLS sessions failed: no application protocol in common.
    tls_failed_protocol,
    /// TLS sessions failed: the client's certificate is missing or not trusted.
    tls_failed_certificate,
    /// TLS sessions failed: the client ended it; as a rule it does not trust our certificate.
    tls_failed_alert,
    /// TLS sessions failed: a record was damaged on its way.
    tls_failed_damaged,
    /// TLS sessions failed: the client broke the protocol.
    tls_failed_offence,
    /// TLS sessions failed: the connection ended within the handshake.
    tls_failed_truncated,
    /// TLS sessions failed: the handshake took too long.
    tls_failed_timed_out,
    /// TLS sessions failed: no randomness, or keys used up.
    tls_failed_local,
    /// HTTP requests whose head was good.
    requests,
    /// HTTP requests refused before they were served.
    requests_refused,
    /// HTTP requests that took too long.
    requests_late,
    /// HTTP answers.
    responses,
    /// HTTP/2 connections begun.
    h2_connections,
    /// Streams of HTTP/2 connections now.
    h2_streams,
    /// HTTP/2 connections ended for breaking the protocol, or for being too much.
    h2_offences,
    /// New blocks that found no room on the channel that announces them.
    announcements_dropped,
    /// Messages received.
    messages_received,
    /// Payload bytes of messages received.
    bytes_received,
    /// Messages sent to single sessions.
    messages_sent,
    /// Publications accepted by channels owned here.
    publications,
    /// Publications refused: too large for the channel, or there was no room to let them wait; or lost with their session while they waited.
    publications_refused,
    /// Sends completed.
    sends,
    /// Bytes the kernel took.
    bytes_sent,
    /// Pings received.
    pings,
    /// Sessions ended by a close frame of the peer.
    closed_by_peer,
    /// Sessions ended here in order.
    closed_here,
    /// Sessions ended for breaking the protocol.
    closed_offence,
    /// Connections lost without a close frame.
    closed_lost,
    /// Sessions ended because they were silent.
    closed_idle,
    /// Subscribers disconnected because they did not keep up.
    closed_stalled,
    /// Publications that stalled subscribers missed.
    dropped_publications,
    /// Times a session was refused because its output was full.
    send_refused,
    /// Times a worker had no memory for a frame or a message.
    no_memory,
    /// Times a session was not read from because of backpressure.
    held,
    /// Messages above a rate limit.
    rate_limited,
    /// Panics of handlers that were contained.
    panics,
    /// Turns of the driver.
    turns,
    /// System calls of the driver.
    enters,
    /// Completions reaped.
    completions,
    /// Receives re-armed for want of buffers.
    no_buffers,
    /// Completions that were stale.
    stale,
    /// Bytes mapped for buffers.
    pool_mapped,
    /// Bytes of buffers in use.
    pool_in_use,
    /// Times a buffer was refused because the budget was spent.
    pool_refused,
    /// Bytes of channel logs owned here.
    log_size,
    /// Bytes of request heads and messages that are coming in.
    assembly_size,
    /// Times a message to another worker found its queue full.
    mailbox_full,
    /// Channels known.
    channels,
    /// Subscriptions.
    subscriptions,
    /// Streams with a UID now.
    streams,
    /// Streams that live by themselves now.
    streams_autonomous,
    /// Streams given a UID.
    streams_created,
    /// Streams with a UID that ended.
    streams_destroyed,
    /// Streams that got no UID because of a limit.
    streams_rejected,
    /// Those whose connection had as many as it may.
    streams_rejected_socket,
    /// Those whose worker had.
    streams_rejected_worker,
    /// Those that found as many as all workers together may have.
    streams_rejected_total,
    /// Those that found as many of their kind as may be.
    streams_rejected_kind,
    /// Streams that lived by themselves and ended because they were silent.
    streams_idle_closed,
    /// Streams found by their UID, on their worker.
    stream_hits,
    /// UIDs that another worker was asked about.
    stream_lookups_elsewhere,
    /// UIDs that named nothing.
    stream_misses,
    /// Messages by UID that streams took.
    stream_writes,
    /// Messages by UID that were refused.
    stream_writes_refused,
    /// Commands for streams that found the mailbox of their worker full.
    stream_commands_full,
    /// Messages on channels of a stream that were not let through.
    stream_channel_drops,
}

/// Those that fall again; all others only grow.
pub(super) const GAUGES: &[&str] = &[
    "connections",
    "sessions",
    "event_streams",
    "tls_sessions",
    "pool_mapped",
    "pool_in_use",
    "log_size",
    "assembly_size",
    "channels",
    "subscriptions",
    "streams",
    "streams_autonomous",
];

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        let mut sum = self.values();
        for (value, more) in sum.iter_mut().zip(other.values()) {
            *value = value.saturating_add(more);
        }
        *self = Self::from_values(sum);
    }
}

impl Hub {
    /// The counters, and the gauges as they stand.
    pub(crate) fn stats(&mut self, driver: &DriverStats) -> Stats {
        self.core.show_streams();
        let pool = self.core.pool.stats();
        let stats = &mut self.core.stats;
        stats.connections = self.core.table.len() as u64;
        stats.h2_streams = self.core.h2.len() as u64;
        stats.channels = self.core.channels.len() as u64;
        stats.tls_sessions = self.core.secure.len() as u64;
        stats.turns = driver.turns;
        stats.enters = driver.enters;
        stats.completions = driver.completions;
        stats.no_buffers = driver.no_buffers;
        stats.stale = driver.stale;
        stats.pool_mapped = pool.bytes_mapped as u64;
        stats.pool_in_use = pool.bytes_in_use as u64;
        stats.pool_refused = pool.refusals;
        stats.log_size = self.core.budget.used() as u64;
        stats.assembly_size = self.core.assembly_size as u64;
        stats.mailbox_full = self.core.outlet.full_count();
        *stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up() {
        let mut sum = Stats {
            accepted: 1,
            ..Stats::default()
        };
        sum += Stats {
            accepted: 2,
            panics: 1,
            ..Stats::default()
        };
        assert_eq!((sum.accepted, sum.panics, sum.sends), (3, 1, 0));
        assert_eq!(Stats::names()[0], "connections");
        assert_eq!(Stats::helps()[0], "Connections now, in any phase.");
        assert!(GAUGES.iter().all(|gauge| Stats::names().contains(gauge)));
    }
}
