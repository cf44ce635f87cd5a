//! Shutting down: no more connections, every session told 1001 at a set pace, then the end.

use std::time::Duration;

use hioload_reactor::OpId;
use hioload_ws::handshake::Refusal;

use super::connection::Phase;
use super::core::Cx;
use super::hub::{Hub, TIMER_DRAIN, TIMER_DRAINED};
use crate::handler::CloseReason;

/// How often the next few sessions are closed in a paced shutdown.
const DRAIN_TICK: Duration = Duration::from_millis(20);

impl Hub {
    pub(super) fn start_drain(&mut self, cx: &mut Cx<'_>, timeout: Duration, pace: u32) {
        if self.core.is_draining {
            return;
        }
        self.core.is_draining = true;
        for listener in [self.listener, self.listener_clear].into_iter().flatten() {
            cx.cancel(OpId::accept(listener));
        }
        let ticks = u32::try_from(1000 / DRAIN_TICK.as_millis()).unwrap_or(50);
        self.drain_step = if pace == 0 {
            u32::MAX
        } else {
            pace.div_ceil(ticks)
        };
        let deadline = cx.now() + timeout;
        cx.timer(deadline, TIMER_DRAINED);
        // Not at once: what other workers have published is on its way here.
        cx.timer(cx.now() + DRAIN_TICK, TIMER_DRAIN);
    }

    /// Closes the next few sessions with 1001, each behind what was published to it.
    pub(super) fn drain(&mut self, cx: &mut Cx<'_>) {
        let mut left = self.drain_step;
        while left > 0
            && let Some(socket) = self.core.table.next_from(self.drain_from)
        {
            self.drain_from = socket.key().index() + 1;
            left -= 1;
            let Some(connection) = self.core.table.get(socket) else {
                continue;
            };
            match connection.phase {
                Phase::Handshake => self.refuse(
                    cx,
                    socket,
                    &Refusal::new(503, "the server is shutting down"),
                ),
                Phase::Http => self.drain_http(cx, socket),
                Phase::H2 => self.drain_h2(cx, socket),
                _ => {
                    self.core.end_when_sent(cx, socket);
                    self.core.drain_poll(socket);
                }
            }
        }
        cx.timer(cx.now() + DRAIN_TICK, TIMER_DRAIN);
    }

    pub(super) fn end_drain(&mut self, cx: &mut Cx<'_>) {
        let mut from = 0;
        while let Some(socket) = self.core.table.next_from(from) {
            from = socket.key().index() + 1;
            self.core.end(cx, socket, CloseReason::Shutdown);
            self.core.close_socket(cx, socket);
        }
        self.tell_ended(cx);
        self.tell_streams(cx);
        cx.stop();
    }
}
