//! What carries a session or an exchange: a socket of the driver, a stream of an HTTP/2 connection, or, for sessions that
//! are asked for what they have to say, a poll.
//!
//! The four things asked of it are the same, and so are the events that come of them; only here is it
//! known which of the three it is.

use hioload_reactor::{Op, OpId, Payload, SocketId};

use super::core::{Core, Cx};
use super::table::{is_poll, is_stream};

impl Core {
    /// Sends; `Sent` follows. False when nothing can be sent any more.
    #[inline]
    pub(super) fn carrier_send(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        payload: Payload,
    ) -> bool {
        if is_stream(socket) {
            self.stream_send(socket, payload)
        } else if is_poll(socket) {
            self.poll_send(socket, payload)
        } else {
            cx.submit(Op::Send { socket, payload }).is_ok()
        }
    }

    /// Takes back what is being sent, as far as it has not gone; `Sent` tells.
    pub(super) fn carrier_cancel_send(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        if is_stream(socket) {
            self.stream_cancel_send(socket);
        } else if is_poll(socket) {
            self.poll_cancel_send(socket);
        } else {
            cx.cancel(OpId::send(socket));
        }
    }

    /// Reads on. False when that cannot be.
    pub(super) fn carrier_recv(&mut self, cx: &mut Cx<'_>, socket: SocketId) -> bool {
        if is_stream(socket) {
            self.stream_recv(socket)
        } else if is_poll(socket) {
            // Nothing ever comes.
            true
        } else {
            cx.submit(Op::Recv { socket }).is_ok()
        }
    }

    /// Stops reading.
    pub(super) fn carrier_pause(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        if is_stream(socket) {
            self.stream_pause(socket);
        } else if is_poll(socket) {
            // Nothing ever comes.
        } else {
            cx.cancel(OpId::recv(socket));
        }
    }

    /// Says that nothing more will be sent.
    pub(super) fn carrier_shutdown(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        if is_stream(socket) {
            self.stream_shutdown(socket);
        } else if is_poll(socket) {
            self.poll_shutdown(socket);
        } else {
            let _ = cx.submit(Op::Shutdown { socket });
        }
    }

    /// Ends it; `Closed` follows. `is_orderly`: everything that was to be sent was.
    pub(super) fn carrier_close(&mut self, cx: &mut Cx<'_>, socket: SocketId, is_orderly: bool) {
        if is_stream(socket) {
            self.stream_close(socket, is_orderly);
        } else if is_poll(socket) {
            self.poll_close(socket);
        } else {
            let _ = cx.submit(Op::Close { socket });
        }
    }
}
