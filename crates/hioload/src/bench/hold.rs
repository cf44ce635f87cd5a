//! Connections as such: how fast they are made (connect), and what one costs that does nothing
//! (idle).

use std::time::Duration;

use hioload_base::Time;

use super::BenchError;
use super::engine::{Piece, Work};
use super::io::Io;
use super::process::Account;
use super::tally::Tally;

/// What the server may still have to do for the last connections before its memory is read.
const SETTLE_TIME: Duration = Duration::from_millis(500);

/// Resident memory of the server at a number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Reading {
    pub(super) connections: usize,
    pub(super) rss: u64,
}

/// Connections that are opened and held.
pub(super) struct Hold {
    server: Option<Account>,
    connects_in_flight: usize,
    /// Numbers of connections at which the server's memory is read, ascending.
    stages: Vec<usize>,
    readings: Vec<Reading>,
    /// Since when the present stage stands.
    standing_since: Option<Time>,
}

impl Hold {
    /// Connections as fast as possible.
    pub(super) fn storm(connects_in_flight: usize) -> Self {
        Self {
            server: None,
            connects_in_flight,
            stages: Vec::new(),
            readings: Vec::new(),
            standing_since: None,
        }
    }

    /// Connections up to `base`, then up to `count`; memory is read at both.
    pub(super) fn idle(
        server: Option<Account>,
        connects_in_flight: usize,
        base: usize,
        count: usize,
    ) -> Self {
        let stages = if base < count {
            vec![base, count]
        } else {
            vec![count]
        };
        Self {
            server,
            stages,
            ..Self::storm(connects_in_flight)
        }
    }

    /// What was read at each stage.
    pub(super) fn readings(&self) -> &[Reading] {
        &self.readings
    }

    fn read(&mut self, connections: usize) -> Result<(), BenchError> {
        if let Some(server) = self.server {
            self.readings.push(Reading {
                connections,
                rss: server.rss()?,
            });
        }
        Ok(())
    }
}

/// Bytes a connection, from the first reading to the last.
pub(super) fn slope(readings: &[Reading]) -> Option<f64> {
    let (first, last) = (readings.first()?, readings.last()?);
    let connections = last
        .connections
        .checked_sub(first.connections)
        .filter(|count| *count > 0)?;
    Some((last.rss as f64 - first.rss as f64) / connections as f64)
}

impl Work for Hold {
    const MEASURES_CONNECTING: bool = true;

    fn connects_in_flight(&self) -> usize {
        self.connects_in_flight
    }

    fn link_target(&mut self, io: &Io, open_count: usize) -> Result<usize, BenchError> {
        let Some(&target) = self.stages.first() else {
            return Ok(io.link_count());
        };
        if open_count < target {
            return Ok(target);
        }
        let since = *self.standing_since.get_or_insert(io.now());
        if io.now() - since >= SETTLE_TIME {
            self.read(target)?;
            self.standing_since = None;
            self.stages.remove(0);
        }
        Ok(target)
    }

    fn is_ready(&self, _: &Io) -> bool {
        self.stages.is_empty()
    }

    fn connected(&mut self, tally: &mut Tally, latency_ns: u64) {
        tally.message(latency_ns);
    }

    fn start(&mut self, _: &mut Io) {}

    fn data(&mut self, _: &mut Io, tally: &mut Tally, _: usize, _: Piece<'_>) {
        tally.unexpected += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(connections: usize, rss: u64) -> Reading {
        Reading { connections, rss }
    }

    #[test]
    fn the_slope_needs_two_different_readings() {
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[reading(10, 10)]), None);
        assert_eq!(slope(&[reading(10, 10), reading(10, 20)]), None);
        assert_eq!(slope(&[reading(10, 1000), reading(20, 4000)]), Some(300.0));
        assert_eq!(slope(&[reading(10, 1000), reading(20, 900)]), Some(-10.0));
    }
}
