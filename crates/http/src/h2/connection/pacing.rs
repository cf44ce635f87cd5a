//! Content beside tunnels: no more of it is under way than the time of a round trip is good for, so that a message of a
//! tunnel does not wait behind windows full of uploads.
//!
//! What came, and waits for us in the socket, is in order: a message behind it waits as long as it takes. A sender needs
//! a window of a round trip at the speed of the receiver; more is a queue in front of us and nothing else. So the window
//! of new streams is lowered by SETTINGS while tunnels are open and content comes, by the smallest round trip that was
//! seen; tunnels keep theirs. A connection without tunnels is not touched, and on a long way the windows stay as they are.
//!
//! Spec: RFC 9113 6.5.3, 6.9.2.

use std::time::Duration;

use hioload_base::Time;

use super::{Connection, WINDOW_INITIAL};
use crate::h2::frame;
use crate::h2::limits::{Limits, PACED_NS_PER_BYTE, PACED_WINDOW_MIN};
use crate::h2::settings::id;
use crate::h2::stream::Stream;

/// How long what was seen at most counts, and how often the round trip is looked at meanwhile.
const PERIOD: Duration = Duration::from_millis(200);

/// Windows grow again so long after they were changed at the soonest: SETTINGS are what a peer counts.
const GROWTH: Duration = Duration::from_secs(1);

/// The window that new streams have, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacing {
    /// What our last SETTINGS said.
    told: u32,
    /// What of that is in force.
    in_force: u32,
    /// When they were sent, and whether they are acknowledged.
    sent: Time,
    is_settled: bool,
    round_trip_min: Option<Duration>,
    /// Streams that content came on at a time at most: in this period, and in the one before.
    receiving: [usize; 2],
    period: Time,
}

impl Pacing {
    pub(super) fn new(limits: &Limits, now: Time) -> Self {
        Self {
            told: limits.stream_window,
            in_force: WINDOW_INITIAL,
            sent: now,
            is_settled: false,
            round_trip_min: None,
            receiving: [0; 2],
            period: now,
        }
    }

    /// What the peer takes for the window of a new stream.
    pub(super) fn window(&self) -> u32 {
        self.in_force
    }

    /// The peer has answered what it was sent so long ago.
    pub(super) fn answered(&mut self, round_trip: Duration) {
        let least = self
            .round_trip_min
            .map_or(round_trip, |least| least.min(round_trip));
        self.round_trip_min = Some(least);
    }

    /// Our SETTINGS are acknowledged: by how much all windows of streams have changed. `None`: there were none.
    pub(super) fn acknowledged(&mut self, now: Time) -> Option<i64> {
        if std::mem::replace(&mut self.is_settled, true) {
            return None;
        }
        self.answered(now - self.sent);
        let before = std::mem::replace(&mut self.in_force, self.told);
        Some(i64::from(self.in_force) - i64::from(before))
    }

    /// Content comes on so many streams now. True when a period began.
    fn count(&mut self, receiving: usize, now: Time) -> bool {
        let is_over = now - self.period >= PERIOD;
        if is_over {
            let is_recent = now - self.period < 2 * PERIOD;
            self.receiving = [0, if is_recent { self.receiving[0] } else { 0 }];
            self.period = now;
        }
        self.receiving[0] = self.receiving[0].max(receiving);
        is_over
    }

    /// What the window should be.
    fn wanted(&self, limits: &Limits) -> u32 {
        let Some(round_trip) = self.round_trip_min else {
            return limits.stream_window;
        };
        let bytes = round_trip.as_nanos() as u64 / PACED_NS_PER_BYTE;
        let streams = self.receiving[0].max(self.receiving[1]) as u64;
        if streams == 0 {
            return limits.stream_window;
        }
        let most = u64::from(limits.stream_window);
        let least = u64::from(PACED_WINDOW_MIN).min(most);
        (bytes / streams / 1024 * 1024).clamp(least, most) as u32
    }
}

impl Connection {
    /// A tunnel, or a stream that content comes on, was opened; or a tunnel is gone.
    pub(super) fn pace(&mut self) {
        let wanted = if self.tunnels == 0 {
            self.limits.stream_window
        } else {
            let receiving = self.streams.iter_mut();
            let receiving = receiving
                .filter(|(_, stream)| !stream.is_tunnel && stream.state.can_receive())
                .count();
            if self.pacing.count(receiving, self.now) {
                self.measure(self.now);
            }
            self.pacing.wanted(&self.limits)
        };
        let told = self.pacing.told;
        let is_full = wanted == self.limits.stream_window;
        // A small change is not worth a frame.
        let is_less = wanted < told - told / 4;
        let is_more = wanted > told + told / 2 || (is_full && wanted > told);
        let may_grow = self.now - self.pacing.sent >= GROWTH;
        let is_due = is_less || (is_more && may_grow);
        if !is_due || !self.pacing.is_settled || !self.is_open() {
            return;
        }
        frame::write_settings(&mut self.out, &[(id::INITIAL_WINDOW_SIZE, wanted)]);
        self.pacing.told = wanted;
        self.pacing.sent = self.now;
        self.pacing.is_settled = false;
        self.timers.settings_sent(&self.limits, self.now);
        if is_less {
            self.keep_windows(told - wanted, wanted);
        }
    }

    /// Less is to come ahead, `target` of each stream. Streams that are open keep what they have, and those with content
    /// use it up: a window below zero is within the rules (RFC 9113 6.9.2), and more than many a client is made for.
    fn keep_windows(&mut self, difference: u32, target: u32) {
        for (reference, stream) in self.streams.iter_mut() {
            if !stream.state.can_receive() {
                continue;
            }
            if let Some(told) = stream.receive.keep(difference, self.limits.stream_window) {
                frame::write_window_update(&mut self.out, reference.id, told);
            }
            if !stream.is_tunnel && !stream.has_own_window {
                stream.receive.set_target(target);
            }
        }
    }

    /// A tunnel opens: it has the window that others have without one, and the round trip is looked at.
    pub(super) fn widen(&mut self, tunnel: &mut Stream) {
        self.measure(self.now);
        // Else it gets it with the others, when what is under way is acknowledged.
        if self.pacing.is_settled {
            tunnel.receive.set_target(self.limits.stream_window);
            if let Some(increment) = tunnel.receive.announce() {
                frame::write_window_update(&mut self.out, tunnel.id, increment);
            }
        }
    }

    /// All windows of streams that are open change by what SETTINGS changed (RFC 9113 6.9.2). One that was opened
    /// meanwhile, and has sent more than it may now, gets so much that it stands at zero.
    pub(super) fn shift_receive_windows(&mut self, difference: i64) {
        let window = self.pacing.in_force;
        for (reference, stream) in self.streams.iter_mut() {
            stream.receive.shift(difference);
            if stream.is_tunnel && !stream.has_own_window {
                stream.receive.set_target(self.limits.stream_window);
            } else if !stream.has_own_window {
                stream.receive.set_target(window);
            }
            if stream.state.can_receive()
                && let Some(increment) = stream.receive.lift().or(stream.receive.announce())
            {
                frame::write_window_update(&mut self.out, reference.id, increment);
            }
        }
    }
}
