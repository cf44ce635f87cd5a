//! What the end-to-end tests stand on: a server in this process, and two kinds of clients.
//!
//! ```text
//!   Running (Server::builder … run, on threads) ◀── TCP ── tungstenite: a foreign implementation
//!                                               ◀── TCP ── Wire: bytes as the test wants them
//!                                               ◀── TCP ── Web: HTTP/1.1, requests as bytes, answers taken apart
//! ```
//!
//! Nothing here sleeps to wait for something: reads have a deadline ([`TIME_MAX`]) and conditions
//! are asked again until they hold ([`until`]). Ports are chosen by the system.

#![forbid(unsafe_code)]

mod foreign;
mod patience;
mod running;
mod web;
mod wire;

pub use foreign::{Foreign, connect, connect_small, connect_to, connect_with, expect_close};
pub use patience::Patience;
pub use running::{Running, uring_works};
pub use web::{Answer, Web, hash_of, request as http_request};
pub use wire::{Frame, Heard, KEY, Opcode, Wire, close_body, frame_bytes, request};

use std::time::Duration;

/// What a test waits at most for anything: turns a hang into a failure.
pub const TIME_MAX: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`TIME_MAX`] of time that was ours ([`Patience`]); `what` says what was waited for.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut patience = Patience::new();
    while !condition() {
        assert!(!patience.is_over(), "waited too long for: {what}");
        // Not a wait for the event, only for the processor that the server needs as well.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Makes a test of each script for each driver. Scripts take the driver.
#[expect(
    clippy::crate_in_macro_def,
    reason = "scripts are found in the crate of the caller"
)]
#[macro_export]
macro_rules! on_each_driver {
    ($($room:ident :: $script:ident),* $(,)?) => {
        mod uring {
            $(#[test]
            fn $script() {
                if $crate::uring_works() {
                    crate::$room::$script(hioload::DriverChoice::Uring);
                }
            })*
        }
        mod poll {
            $(#[test]
            fn $script() {
                crate::$room::$script(hioload::DriverChoice::Poll);
            })*
        }
    };
}
