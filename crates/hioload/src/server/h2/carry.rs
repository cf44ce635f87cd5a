//! What is asked of a stream as it would be asked of a socket.

use hioload_http::h2::ErrorCode;
use hioload_reactor::{Completion, Payload, SocketId};

use crate::server::core::Core;

impl Core {
    /// Sends. False when nothing can be sent any more.
    pub(in crate::server) fn stream_send(&mut self, socket: SocketId, payload: Payload) -> bool {
        let Some(stream) = self.h2.get_mut(socket) else {
            return false;
        };
        if stream.is_reset || stream.is_shut {
            return false;
        }
        let (parent, of, len) = (stream.parent, stream.stream, payload.len());
        stream.begin_send(payload);
        if let Some(multiplex) = self.multiplex(parent) {
            // Refused only where a reset is on its way here.
            let _ = multiplex.machine.queue(of, len, false);
        }
        self.list_multiplex(parent);
        true
    }

    /// Takes back what is being sent, as far as it is not framed.
    pub(in crate::server) fn stream_cancel_send(&mut self, socket: SocketId) {
        let Some(stream) = self.h2.get_mut(socket) else {
            return;
        };
        let (parent, of) = (stream.parent, stream.stream);
        if let Some(multiplex) = self.multiplex(parent) {
            multiplex.machine.unqueue(of);
        }
        self.end_stream_send(socket);
    }

    /// Tells how much of what was being sent has been framed; the rest is not sent.
    fn end_stream_send(&mut self, socket: SocketId) {
        let Some(stream) = self.h2.get_mut(socket) else {
            return;
        };
        if let Some((payload, framed)) = stream.end_send() {
            let result = if framed > 0 {
                Ok(framed)
            } else {
                Err(libc::ECANCELED)
            };
            self.h2.tell(Completion::Sent {
                socket,
                result,
                payload,
            });
        }
    }

    /// Gives back the window of what was kept meanwhile, and reads on. False when there is no such stream.
    pub(in crate::server) fn stream_recv(&mut self, socket: SocketId) -> bool {
        let Some(stream) = self.h2.get_mut(socket) else {
            return false;
        };
        stream.is_paused = false;
        let owed = std::mem::take(&mut stream.owed);
        let (parent, of) = (stream.parent, stream.stream);
        if owed > 0 {
            if let Some(multiplex) = self.multiplex(parent) {
                multiplex.machine.consumed(of, owed);
            }
            self.list_multiplex(parent);
        }
        true
    }

    /// The window of what comes is not given back for now.
    pub(in crate::server) fn stream_pause(&mut self, socket: SocketId) {
        if let Some(stream) = self.h2.get_mut(socket) {
            stream.is_paused = true;
        }
    }

    /// END_STREAM goes with the last byte that is being sent, or alone.
    pub(in crate::server) fn stream_shutdown(&mut self, socket: SocketId) {
        let Some(stream) = self.h2.get_mut(socket) else {
            return;
        };
        if stream.is_shut || stream.is_reset {
            return;
        }
        stream.is_shut = true;
        let (parent, of) = (stream.parent, stream.stream);
        if let Some(multiplex) = self.multiplex(parent) {
            let _ = multiplex.machine.queue(of, 0, true);
        }
        self.list_multiplex(parent);
    }

    /// Ends it; if everything that was to be sent was, in order.
    pub(in crate::server) fn stream_close(&mut self, socket: SocketId, is_orderly: bool) {
        if is_orderly {
            self.stream_shutdown(socket);
        }
        let Some(stream) = self.h2.get_mut(socket) else {
            return;
        };
        if stream.is_closing {
            return;
        }
        stream.is_closing = true;
        let waits = is_orderly && !stream.is_reset && !stream.is_sent;
        if waits {
            return;
        }
        // What is left of a request that is answered is passed over when the stream is released.
        let is_cut = !stream.is_sent && !stream.is_reset;
        let (parent, of) = (stream.parent, stream.stream);
        stream.is_reset = true;
        if is_cut {
            if let Some(multiplex) = self.multiplex(parent) {
                multiplex.machine.reset(of, ErrorCode::CANCEL);
            }
            self.list_multiplex(parent);
        }
        self.end_stream_send(socket);
        self.h2.tell(Completion::Closed { socket });
    }
}
