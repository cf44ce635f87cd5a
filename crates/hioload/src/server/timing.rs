//! The one timer of a connection: what is due when it fires depends on the phase.

use hioload_base::Time;
use hioload_http::sse::KEEP_ALIVE;
use hioload_net::tls::Reason;
use hioload_reactor::SocketId;
use hioload_ws::handshake::Refusal;
use hioload_ws::{Action, CloseCode};

use super::connection::{Facts, Phase};
use super::core::{Core, Cx};
use super::hub::Hub;
use super::sse;
use crate::handler::CloseReason;

impl Core {
    /// Sets the timer of a connection that ends.
    pub(super) fn rearm_end(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let until_closed = cx.now() + self.settings.close_timeout;
        let deadline = self.answer_deadline(socket).unwrap_or(until_closed);
        self.set_timer(cx, socket, deadline);
    }

    /// Its last answers are out: only the peer's end is waited for.
    pub(super) fn parted(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let connection = self.table.get_mut(socket);
        let cold = connection.and_then(|connection| connection.cold.as_mut());
        if cold.is_some_and(|cold| cold.http.take().is_some()) {
            self.rearm_end(cx, socket);
        }
    }

    /// Until when the last answers of HTTP have to go on.
    fn answer_deadline(&self, socket: SocketId) -> Option<Time> {
        let exchange = self.table.get(socket)?.cold.as_ref()?.http.as_ref()?;
        Some(exchange.touched() + self.settings.body_timeout)
    }
}

impl Hub {
    /// Sets the timer of an open session to its next deadline.
    pub(super) fn rearm(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.core.table.get(socket) else {
            return;
        };
        let config = sse::keepalive_of(socket, connection, &self.core.settings);
        let deadline = connection.keepalive.next_deadline(cx.now(), &config);
        if let Some(deadline) = deadline {
            self.core.set_timer(cx, socket, deadline);
        } else if let Some(connection) = self.core.table.get_mut(socket)
            && let Some(timer) = connection.timer.take()
        {
            cx.cancel_timer(timer);
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.timer.set(None);
        match connection.phase {
            Phase::Handshake => {
                self.core.stats.handshakes_late += 1;
                self.core.count_unfinished(socket, Reason::TimedOut);
                self.refuse(
                    cx,
                    socket,
                    &Refusal::new(408, "the request head took too long"),
                );
            }
            // Our close frame was not answered in time.
            Phase::Open if connection.reason.is_some() => {
                self.core.end(cx, socket, CloseReason::Lost);
                self.core.close_socket(cx, socket);
            }
            Phase::Open => self.keep_alive(cx, socket),
            Phase::Http => self.http_due(cx, socket),
            Phase::H2 => self.h2_due(cx, socket),
            Phase::Closing | Phase::Lingering => match self.core.answer_deadline(socket) {
                Some(deadline) if cx.now() < deadline => {
                    self.core.set_timer(cx, socket, deadline);
                }
                _ => self.core.close_socket(cx, socket),
            },
        }
    }

    fn keep_alive(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let is_polled = self.core.is_polled(socket);
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        let config = sse::keepalive_of(socket, connection, &self.core.settings);
        // Time spent held back by a channel is ours, not the peer's silence. One that is held because
        // it does not take its output is heard of by what it takes.
        let is_backed_up = connection.output_size() >= self.core.settings.output_high;
        if (connection.facts.has(Facts::HELD) && !is_backed_up) || is_polled {
            connection.keepalive.heard(cx.now());
        }
        connection.trim();
        match connection.keepalive.poll(cx.now(), &config) {
            Action::None => {}
            Action::Ping if connection.facts.has(Facts::EVENTS) => {
                if self
                    .core
                    .cork
                    .write(&self.core.pool, KEEP_ALIVE, &[])
                    .is_err()
                {
                    return self.ping_later(cx, socket);
                }
            }
            Action::Ping => {
                if let Ok(frame) = connection.protocol.ping(&[], None)
                    && self.core.cork.write(&self.core.pool, &frame, &[]).is_err()
                {
                    return self.ping_later(cx, socket);
                }
            }
            Action::CloseIdle => {
                self.core.close(
                    cx,
                    socket,
                    CloseCode::GOING_AWAY,
                    "idle for too long",
                    CloseReason::Idle,
                );
                return self.core.flush(cx, socket);
            }
            Action::CloseLifetime => {
                let reason = CloseReason::Local(CloseCode::GOING_AWAY);
                self.core.close(
                    cx,
                    socket,
                    CloseCode::GOING_AWAY,
                    "open for too long",
                    reason,
                );
                return self.core.flush(cx, socket);
            }
        }
        self.core.flush(cx, socket);
        self.rearm(cx, socket);
    }

    /// There was no memory for a ping.
    fn ping_later(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        self.core.stats.no_memory += 1;
        if let Some(connection) = self.core.table.get_mut(socket) {
            connection.keepalive.ping_was_not_sent();
        }
        let again = cx.now() + self.sweep_interval();
        self.core.set_timer(cx, socket, again);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hioload_ws::KeepaliveConfig;

    use crate::Echo;
    use crate::server::rig::{Rig, frame};
    use crate::server::settings::Settings;

    fn rig() -> Rig {
        let settings = Settings {
            keepalive: KeepaliveConfig {
                ping_interval: Some(Duration::from_secs(1)),
                pong_timeout: Duration::from_secs(1),
                ..KeepaliveConfig::default()
            },
            ..Settings::default()
        };
        Rig::new(1, 1 << 20, settings, &|_| Box::new(Echo))
    }

    #[test]
    fn a_ping_that_was_not_sent_is_not_waited_for() {
        let mut rig = rig();
        let mut peer = rig.websocket("");
        let spent = rig.spend_cork(0);
        rig.pass(Duration::from_secs(5));
        assert_eq!(rig.hub(0).core.stats.sessions, 1);
        drop(spent);
        assert_eq!(rig.frame(&mut peer), (0x89, Vec::new()));
        peer.write(&frame(0x8A, &[]));
    }

    #[test]
    fn a_close_frame_needs_no_buffer() {
        let mut rig = rig();
        let mut peers = [rig.websocket(""), rig.websocket("")];
        let _spent = rig.spend_cork(0);
        // An answer, and an offence.
        peers[0].write(&frame(0x88, &1000_u16.to_be_bytes()));
        peers[1].write(&frame(0x83, &[]));
        let [answered, offended] = peers.each_mut().map(|peer| rig.frame(peer));
        assert_eq!(answered, (0x88, 1000_u16.to_be_bytes().to_vec()));
        assert_eq!(
            (offended.0, &offended.1[..2]),
            (0x88, &1002_u16.to_be_bytes()[..])
        );
    }
}
