//! Echo: every connection sends and waits for its message to come back.
//!
//! Closed loop: `--in-flight` messages per connection, each answer starts the next message.
//! Open loop: messages are due at fixed times and go round the connections; latency counts from
//! when a message was due, whether or not it could be sent then (coordinated omission).

use std::collections::VecDeque;

use hioload_base::{Prng, Time};
use hioload_mem::Segment;
use hioload_ws::Kind;

use super::engine::{Piece, Work, nanos};
use super::frames::{filler, mask_key, run};
use super::io::Io;
use super::options::Options;
use super::pace::Pace;
use super::tally::Tally;

/// What one connection has under way.
struct Lane {
    /// `run_length` times the same frame.
    run: Segment,
    payload: Vec<u8>,
    /// Messages to be sent.
    owed: usize,
    /// When the messages that are owed or under way were due, the oldest first.
    due: VecDeque<Time>,
    is_damaged: bool,
}

/// The echo load.
pub(super) struct Echo {
    lanes: Vec<Lane>,
    run_length: usize,
    frame_size: usize,
    rate: Option<f64>,
    pace: Option<Pace>,
    /// The lane that gets the next message of the open loop.
    lane_next: usize,
    is_stopped: bool,
}

impl Echo {
    pub(super) fn new(options: &Options, random: &mut Prng) -> Self {
        let kind = if options.text {
            Kind::Text
        } else {
            Kind::Binary
        };
        let run_length = options.run_length();
        let lane = |index| {
            // Its own payload: a message that came to the wrong connection shows.
            let payload = filler(options.message_size(), index);
            let run = run(kind, &payload, mask_key(random), run_length);
            Lane {
                run,
                payload,
                owed: 0,
                due: VecDeque::with_capacity(run_length),
                is_damaged: false,
            }
        };
        let lanes: Vec<Lane> = (0..options.connections).map(lane).collect();
        Self {
            frame_size: lanes[0].run.len() / run_length,
            lanes,
            run_length,
            rate: options.rate,
            pace: None,
            lane_next: 0,
            is_stopped: false,
        }
    }

    /// Messages sent, or due, that did not come back.
    pub(super) fn lost(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.due.len() as u64).sum()
    }

    fn owe(&mut self, lane: usize, due: Time) {
        self.lanes[lane].owed += 1;
        self.lanes[lane].due.push_back(due);
    }

    fn flush(&mut self, io: &mut Io, link: usize) {
        let lane = &mut self.lanes[link];
        let count = lane.owed.min(self.run_length);
        if count > 0 && io.is_open(link) && !io.is_sending(link) {
            lane.owed -= count;
            io.send(link, lane.run.slice(..count * self.frame_size));
        }
    }
}

impl Work for Echo {
    fn start(&mut self, io: &mut Io) {
        if let Some(rate) = self.rate {
            self.pace = Some(Pace::new(io.now(), rate));
            return;
        }
        for link in 0..self.lanes.len() {
            for _ in 0..self.run_length {
                self.owe(link, io.now());
            }
            self.flush(io, link);
        }
    }

    #[inline]
    fn data(&mut self, io: &mut Io, tally: &mut Tally, link: usize, piece: Piece<'_>) {
        let lane = &mut self.lanes[link];
        let expected = lane
            .payload
            .get(piece.offset..piece.offset + piece.payload.len());
        lane.is_damaged |= expected != Some(piece.payload);
        if !piece.is_last {
            return;
        }
        lane.is_damaged |= piece.offset + piece.payload.len() != lane.payload.len();
        tally.corrupted += u64::from(std::mem::take(&mut lane.is_damaged));
        let Some(due) = lane.due.pop_front() else {
            tally.unexpected += 1;
            return;
        };
        tally.message(nanos(io.now() - due));
        if self.rate.is_none() && !self.is_stopped {
            self.owe(link, io.now());
        }
    }

    fn received(&mut self, io: &mut Io, link: usize) {
        self.flush(io, link);
    }

    fn sent(&mut self, io: &mut Io, _: &mut Tally, link: usize) {
        self.flush(io, link);
    }

    fn tick(&mut self, io: &mut Io, _: &mut Tally) -> Option<Time> {
        let now = io.now();
        if self.is_stopped {
            return None;
        }
        while let Some(due) = self.pace.as_mut()?.take(now) {
            let lane = self.lane_next;
            self.lane_next = (lane + 1) % self.lanes.len();
            self.owe(lane, due);
            self.flush(io, lane);
        }
        self.pace.as_ref().map(Pace::next)
    }

    fn stop(&mut self) {
        self.is_stopped = true;
    }

    fn is_drained(&self, io: &Io) -> bool {
        let is_done = |(link, lane): (usize, &Lane)| lane.due.is_empty() || !io.is_open(link);
        self.lanes.iter().enumerate().all(is_done)
    }
}
