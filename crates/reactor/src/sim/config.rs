//! How the virtual network behaves.

use std::time::Duration;

use super::fault::Fault;

/// Chances are out of so many.
pub const CHANCE_OF: u32 = 10_000;

/// Settings of a [`SimNet`](super::SimNet).
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Shortest time from one end to the other.
    pub latency_min: Duration,
    /// Longest; each segment draws its own, in order within a connection.
    pub latency_max: Duration,
    /// Bytes a socket takes before its send blocks, unless the listener says otherwise.
    pub send_buffer: usize,
    /// Bytes that may wait to be read before the sender is held back.
    pub recv_buffer: usize,
    /// Longest delay of a late completion.
    pub late_max: Duration,
    /// Longest pause of a slow reader.
    pub stop_max: Duration,
    /// Longest clock jump.
    pub pause_max: Duration,
    chances: [u32; Fault::ALL.len()],
}

impl SimConfig {
    /// A quick network without faults.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            latency_min: Duration::from_micros(20),
            latency_max: Duration::from_micros(80),
            send_buffer: 64 * 1024,
            recv_buffer: 64 * 1024,
            late_max: Duration::from_millis(20),
            stop_max: Duration::from_secs(2),
            pause_max: Duration::from_secs(3),
            chances: [0; Fault::ALL.len()],
        }
    }

    /// Every fault, often enough that each fires in a run of some thousand events, seldom enough
    /// that most connections live.
    #[must_use]
    pub fn stormy() -> Self {
        Self::calm()
            .with(Fault::ShortRead, 2000)
            .with(Fault::ShortWrite, 2000)
            .with(Fault::Reset, 10)
            .with(Fault::Late, 500)
            .with(Fault::Reordered, 1000)
            .with(Fault::NoBuffers, 300)
            .with(Fault::NoDescriptors, 500)
            .with(Fault::SlowReader, 20)
            .with(Fault::DeadReader, 3)
            .with(Fault::HalfClose, 5)
            .with(Fault::Refused, 300)
            .with(Fault::SlowConnect, 500)
            .with(Fault::CancelLost, 3000)
            .with(Fault::Pause, 5)
            .with(Fault::Interrupted, 100)
    }

    /// Sets the chance of one fault, out of [`CHANCE_OF`].
    ///
    /// # Panics
    /// When the chance is above certainty.
    #[must_use]
    pub fn with(mut self, fault: Fault, chance: u32) -> Self {
        assert!(
            chance <= CHANCE_OF,
            "misuse: a chance above {CHANCE_OF} of {CHANCE_OF}"
        );
        self.chances[fault as usize] = chance;
        self
    }

    /// The chance of one fault, out of [`CHANCE_OF`].
    #[must_use]
    pub fn chance(&self, fault: Fault) -> u32 {
        self.chances[fault as usize]
    }

    pub(super) fn heal(&mut self) {
        self.chances = [0; Fault::ALL.len()];
    }
}

impl Default for SimConfig {
    fn default() -> Self {
        Self::calm()
    }
}
