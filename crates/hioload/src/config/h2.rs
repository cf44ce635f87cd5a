//! `[h2]`: what one HTTP/2 connection may take. Ranges and reasons are those of `hioload_http::h2`.

use std::time::Duration;

use hioload_http::h2::Limits;
use serde::{Deserialize, Serialize};

use super::limits::ms;
use crate::server::Settings;

/// A section with a key for each limit, of the same name and type.
macro_rules! section {
    (counts: $($count:ident: $type:ty),+; times: $($time:ident),+;) => {
        /// `[h2]`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "each key is described in KEYS")]
        pub struct H2Section {
            pub streams_worker_max: u32,
            $(pub $count: $type,)+
            $(#[serde(with = "hioload_control::duration")] pub $time: Duration,)+
        }

        impl Default for H2Section {
            fn default() -> Self {
                let limits = Limits::default();
                Self {
                    streams_worker_max: Settings::default().streams_max as u32,
                    $($count: limits.$count,)+
                    $($time: limits.$time,)+
                }
            }
        }

        impl H2Section {
            /// What a connection works by.
            pub(super) fn limits(&self) -> Limits {
                Limits {
                    $($count: self.$count,)+
                    $($time: self.$time,)+
                }
            }

            pub(super) fn numbers(&self) -> Vec<(&'static str, u64)> {
                vec![
                    ("h2.streams_worker_max", self.streams_worker_max.into()),
                    $((concat!("h2.", stringify!($count)), self.$count.into()),)+
                    $((concat!("h2.", stringify!($time)), ms(self.$time)),)+
                ]
            }
        }
    };
}

section! {
    counts:
        streams_max: u16,
        tunnels_max: u16,
        streams_open_max: u16,
        stream_window: u32,
        connection_window: u32,
        data_size_max: u16,
        header_list_size_max: u32,
        headers_max: u32,
        continuations_max: u8,
        decoder_table_size: u16,
        encoder_table_size_max: u16,
        settings_max: u8,
        stall_progress_min: u32,
        reset_burst: u32,
        reset_per_s: u32,
        reset_half_streams: u32,
        error_resets_max: u32,
        ping_burst: u32,
        ping_per_s: u32,
        settings_burst: u32,
        settings_per_s: u32,
        empty_frames_max: u32,
        tiny_data_burst: u32,
        tiny_data_per_s: u32,
        glitch_burst: u32,
        glitch_per_s: u32,
        replies_max: u16;
    times:
        header_block_timeout,
        settings_timeout,
        ping_interval,
        ping_timeout,
        stall_timeout,
        drain_timeout;
}
