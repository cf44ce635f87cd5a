//! Sessions that are not read from for a while: what came is kept, and taken when that is over.
//!
//! ```text
//!   output backed up, or a channel held ─▶ HELD, receive cancelled, input stashed
//!   relieved ─▶ resume (end of the turn) ─▶ what was blocked, the stash, then reading on
//! ```

use hioload_reactor::SocketId;
use hioload_ws::CloseCode;

use super::connection::{Facts, Phase};
use super::core::Cx;
use super::hub::Hub;
use super::input::Input;

/// Bytes of input kept for a held connection; more is an attack on the pause.
const STASH_MAX: usize = 4 << 20;

impl Hub {
    pub(super) fn stash(&mut self, cx: &mut Cx<'_>, socket: SocketId, input: &[u8]) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        if connection.cold().stash.len() + input.len() > STASH_MAX || !self.core.keep(input.len()) {
            return self.fail_closed(cx, socket, CloseCode::TRY_AGAIN, "too much at once");
        }
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.cold().stash.extend_from_slice(input);
    }

    /// Sends what there is, or else holds the session. Whether another frame may be taken; if not, the
    /// input is kept.
    #[cold]
    pub(super) fn make_room(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        input: &mut Input<'_>,
    ) -> bool {
        let output_high = self.core.settings.output_high;
        let Some(connection) = self.core.table.get(socket) else {
            return false;
        };
        if connection.phase != Phase::Open {
            return false;
        }
        if self.core.cork.len() + connection.output_size() >= output_high {
            self.core.flush(cx, socket);
            let backed_up = self
                .core
                .table
                .get(socket)
                .is_some_and(|c| c.output_size() >= output_high);
            if backed_up {
                self.core.hold(cx, socket);
            }
        }
        let Some(connection) = self.core.table.get(socket) else {
            return false;
        };
        let is_held = connection.facts.has(Facts::HELD);
        if is_held && !input.rest().is_empty() {
            self.stash(cx, socket, input.rest());
        }
        !is_held
    }

    /// Goes on with connections that are held no more.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>) {
        let count = self.core.resume.len();
        for place in 0..count {
            let socket = self.core.resume[place];
            self.resume_one(cx, socket);
        }
        self.core.resume.drain(..count);
    }

    fn resume_one(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.facts.clear(Facts::RESUMING);
        match connection.phase {
            Phase::Open => {}
            Phase::Http => return self.http_resume(cx, socket),
            Phase::H2 => return self.h2_resume(cx, socket),
            Phase::Handshake | Phase::Closing | Phase::Lingering => return,
        }
        if connection.facts.has(Facts::FULL) {
            connection.facts.clear(Facts::FULL);
            self.core.stream_relieved(socket);
            self.tell_drained(cx, socket);
            self.core.flush(cx, socket);
        }
        let output_high = self.core.settings.output_high;
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        let backed_up = connection.output_size() >= output_high;
        if !connection.facts.has(Facts::HELD)
            || backed_up
            || self.core.is_stream_paused(socket)
            || !self.core.publish_blocked(cx, socket)
        {
            return;
        }
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.facts.clear(Facts::HELD);
        let stash = connection
            .cold
            .as_mut()
            .map(|cold| std::mem::take(&mut cold.stash));
        if let Some(mut stash) = stash
            && !stash.is_empty()
        {
            self.core.assembly_size -= stash.len();
            self.frames(cx, socket, Input::Bytes(&mut stash));
        }
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        if connection.facts.has(Facts::HELD) {
            return;
        }
        if connection.facts.has(Facts::EOF) && connection.phase == Phase::Open {
            return self.session_eof(cx, socket);
        }
        // Even if what was stashed has ended it: the peer's FIN is still to be seen.
        self.core.carrier_recv(cx, socket);
    }
}
