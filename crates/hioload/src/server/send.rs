//! Messages to single sessions: written into the cork, compressed where that was agreed.

use hioload_reactor::SocketId;
use hioload_ws::deflate::Deflater;
use hioload_ws::{Kind, Outgoing};

use super::connection::{Facts, Phase};
use super::core::Core;
use crate::session::SendError;

/// A payload at least so large is sent on from where it was received; smaller ones are copied, which
/// costs less than a second piece in the send.
pub(super) const FORWARD_MIN: usize = 4096;

/// Tells one slice from another.
pub(super) fn place_of(bytes: &[u8]) -> (usize, usize) {
    (bytes.as_ptr() as usize, bytes.len())
}

impl Core {
    /// Writes one message to the session at hand.
    #[inline]
    pub(crate) fn send(
        &mut self,
        socket: SocketId,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let Some(connection) = self.table.get_mut(socket) else {
            return Err(SendError::Closed);
        };
        if connection.phase != Phase::Open || connection.reason.is_some() {
            return Err(SendError::Closed);
        }
        if self.cork.len() + connection.output_size() >= self.settings.output_max {
            connection.facts.set(Facts::FULL);
            self.stats.send_refused += 1;
            return Err(SendError::Full);
        }
        if connection.facts.has(Facts::EVENTS | Facts::CUSTOM) {
            return self.send_unframed(socket, kind, payload);
        }
        if connection.protocol.is_deflate_agreed()
            && payload.len() >= self.settings.deflate_size_min
        {
            return self.send_deflated(socket, kind, payload);
        }
        let header = connection
            .protocol
            .frame_header(Outgoing::message(kind, payload.len()))
            .map_err(|_| SendError::Closed)?;
        if payload.len() >= FORWARD_MIN && self.shareable.take() == Some(place_of(payload)) {
            self.cork.forward(header, payload.len());
            self.stats.messages_sent += 1;
            return Ok(());
        }
        self.cork
            .write(&self.pool, &header, payload)
            .map_err(|_| self.no_memory(socket))?;
        self.stats.messages_sent += 1;
        Ok(())
    }

    /// Writes what is no frame of a WebSocket: an event, or bytes as they are.
    #[inline(never)]
    fn send_unframed(
        &mut self,
        socket: SocketId,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), SendError> {
        if !self.is_custom(socket) {
            return self.send_event(socket, kind, payload);
        }
        let written = self.cork.write(&self.pool, &[], payload);
        written.map_err(|_| self.no_memory(socket))?;
        self.stats.messages_sent += 1;
        Ok(())
    }

    #[inline(never)]
    fn send_deflated(
        &mut self,
        socket: SocketId,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let Some(connection) = self.table.get_mut(socket) else {
            return Err(SendError::Closed);
        };
        let subscribed = connection.facts.has(Facts::SUBSCRIBED);
        let class = connection.class;
        let deflate = connection
            .cold
            .as_mut()
            .and_then(|cold| cold.deflate.as_mut());
        // With context the engine is the connection's own, until channels mix in frames that no
        // context of this connection knows.
        let own = deflate
            .and_then(|deflate| deflate.deflater.as_mut())
            .filter(|_| !subscribed);
        let compressed = match own {
            Some(deflater) => {
                self.scratch.clear();
                deflater.compress(payload, &mut self.scratch, true);
                Some(&self.scratch[..])
            }
            None => self.encoder.compress(class, payload),
        };
        let is_compressed = compressed.is_some();
        let body = compressed.unwrap_or(payload);
        let frame = Outgoing {
            compressed: is_compressed,
            ..Outgoing::message(kind, body.len())
        };
        let header = connection
            .protocol
            .frame_header(frame)
            .map_err(|_| SendError::Closed)?;
        let written = self.cork.write(&self.pool, &header, body);
        if written.is_err() {
            self.forget_context(socket);
            return Err(self.no_memory(socket));
        }
        self.stats.messages_sent += 1;
        Ok(())
    }

    /// The peer never gets what was compressed last, and no later message may refer to it. To refer to nothing
    /// is always allowed.
    fn forget_context(&mut self, socket: SocketId) {
        let connection = self.table.get_mut(socket);
        let Some(connection) = connection.filter(|c| !c.facts.has(Facts::SUBSCRIBED)) else {
            return;
        };
        let bits = connection.class.number();
        let cold = connection.cold.as_mut();
        if let Some(deflater) = cold
            .and_then(|cold| cold.deflate.as_mut())
            .and_then(|deflate| deflate.deflater.as_mut())
        {
            *deflater = Deflater::new(bits, self.settings.deflate_level);
        }
    }

    pub(super) fn no_memory(&mut self, socket: SocketId) -> SendError {
        self.stats.no_memory += 1;
        if let Some(connection) = self.table.get_mut(socket) {
            connection.facts.set(Facts::FULL);
            self.starved.insert(socket.key().to_bits());
        }
        SendError::NoMemory
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hioload_ws::deflate::{DeflatePolicy, Inflater};
    use hioload_ws::handshake::AcceptPolicy;

    use super::*;
    use crate::handler::{Handler, Message};
    use crate::server::rig::{Notes, Rig, noise};
    use crate::server::settings::Settings;
    use crate::session::Session;

    #[derive(Debug, PartialEq)]
    enum Note {
        Sent(Result<(), SendError>),
        Drained,
    }

    /// Answers with the same message, and notes what came of it.
    struct Answers(Notes<Note>);

    impl Handler for Answers {
        fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
            let sent = Note::Sent(session.send(message));
            self.0.lock().expect("whole").push(sent);
        }

        fn drained(&mut self, _: &mut Session<'_>) {
            self.0.lock().expect("whole").push(Note::Drained);
        }
    }

    const NO_MEMORY: Note = Note::Sent(Err(SendError::NoMemory));

    #[test]
    fn a_message_that_was_not_sent_is_not_referred_to() {
        let settings = Settings {
            accept: AcceptPolicy {
                deflate: Some(DeflatePolicy {
                    server_no_context_takeover: false,
                    ..DeflatePolicy::default()
                }),
                ..AcceptPolicy::default()
            },
            ..Settings::default()
        };
        let notes = Notes::default();
        let mut rig = Rig::new(1, 1 << 20, settings, &|_| Box::new(Answers(notes.clone())));
        let mut peer = rig.websocket("Sec-WebSocket-Extensions: permessage-deflate\r\n");
        let payload = noise(20_000, 1);
        let spent = rig.spend_pool(0);
        peer.send(&payload);
        rig.until("it is refused", |_| {
            !notes.lock().expect("whole").is_empty()
        });
        assert_eq!(*notes.lock().expect("whole"), [NO_MEMORY]);
        drop(spent);
        peer.send(&payload);
        let (first, body) = rig.frame(&mut peer);
        assert_eq!(first, 0xC2);
        let mut inflated = Vec::new();
        let outcome = Inflater::new(15).inflate(&body, &mut inflated, 1 << 20, true);
        assert_eq!(outcome, Ok(()));
        assert!(inflated == payload);
    }

    #[test]
    fn who_found_no_memory_is_told_when_to_try_again() {
        let notes = Notes::default();
        let mut rig = Rig::new(1, 1 << 20, Settings::default(), &|_| {
            Box::new(Answers(notes.clone()))
        });
        let mut peer = rig.websocket("");
        // Until nothing is in flight any more.
        rig.pass(Duration::from_millis(10));
        let spent = rig.spend_cork(0);
        peer.send(&[7; FORWARD_MIN - 1]);
        rig.until("it is told", |_| notes.lock().expect("whole").len() == 2);
        assert_eq!(*notes.lock().expect("whole"), [NO_MEMORY, Note::Drained]);
        drop(spent);
    }
}
