//! From the bytes of a connection to its streams.

use hioload_http::h2;
use hioload_http::h2::{Event, HeadKind, HeaderList};
use hioload_reactor::{RecvEnd, SocketId};

use super::{Multiplex, OUTPUT_HIGH};
use crate::handler::CloseReason;
use crate::server::connection::{Facts, Phase};
use crate::server::core::{Core, Cx};
use crate::server::http::Work;
use crate::server::hub::Hub;
use crate::server::input::Input;
use crate::server::table::is_stream;

impl Core {
    /// The state of an HTTP/2 connection.
    pub(in crate::server) fn multiplex(&mut self, parent: SocketId) -> Option<&mut Multiplex> {
        self.table.get_mut(parent)?.cold.as_mut()?.h2.as_deref_mut()
    }

    /// The streams of a connection, as they are now.
    pub(in crate::server) fn streams_of(&mut self, parent: SocketId) -> Vec<SocketId> {
        let multiplex = self.multiplex(parent);
        multiplex.map_or(Vec::new(), |multiplex| multiplex.streams().collect())
    }

    /// Its output is seen to at the end of the turn.
    pub(in crate::server) fn list_multiplex(&mut self, parent: SocketId) {
        let Some(multiplex) = self.multiplex(parent) else {
            return;
        };
        if !std::mem::replace(&mut multiplex.is_listed, true) {
            self.h2.listed.push(parent);
        }
    }
}

impl Hub {
    /// The connection speaks HTTP/2 from its first byte on.
    pub(in crate::server) fn begin_h2(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        let now = cx.now();
        let machine = h2::Connection::server(&self.core.settings.h2, now);
        let Some(connection) = self.core.table.get_mut(parent) else {
            return;
        };
        connection.phase = Phase::H2;
        connection.cold().h2 = Some(Box::new(Multiplex::new(machine, now)));
        self.core.stats.h2_connections += 1;
        self.core.list_multiplex(parent);
    }

    /// Bytes of an HTTP/2 connection.
    pub(in crate::server) fn h2_input(
        &mut self,
        cx: &mut Cx<'_>,
        parent: SocketId,
        input: Input<'_>,
    ) {
        let mut headers = std::mem::take(&mut self.http.headers);
        self.take_h2(cx, parent, input, &mut headers);
        self.http.headers = headers;
        self.core.list_multiplex(parent);
    }

    fn take_h2(
        &mut self,
        cx: &mut Cx<'_>,
        parent: SocketId,
        mut input: Input<'_>,
        headers: &mut HeaderList,
    ) {
        loop {
            let now = cx.now();
            let Some(connection) = self.core.table.get_mut(parent) else {
                return;
            };
            if connection.phase != Phase::H2 {
                return;
            }
            // Input is taken only while there is room for what it may lead to.
            let is_backed_up = connection.output_size() >= OUTPUT_HIGH;
            if is_backed_up && !input.rest().is_empty() {
                self.core.hold(cx, parent);
                self.keep_input(cx, parent, input.rest());
                return;
            }
            let Some(multiplex) = connection.cold.as_mut().and_then(|cold| cold.h2.as_mut()) else {
                return;
            };
            let mut rest = input.rest();
            let before = rest.len();
            let outcome = multiplex.machine.handle_input(now, &mut rest, headers);
            let taken = before - rest.len();
            let goes_on = match outcome {
                Ok(Some(event)) => {
                    self.h2_event(cx, parent, event, headers);
                    true
                }
                Ok(None) => false,
                Err(offence) => {
                    self.h2_offence(cx, parent, offence);
                    false
                }
            };
            input.advance(taken);
            if !goes_on {
                return;
            }
        }
    }

    fn h2_event(
        &mut self,
        cx: &mut Cx<'_>,
        parent: SocketId,
        event: Event<'_>,
        headers: &HeaderList,
    ) {
        let name = |hub: &mut Self, stream| hub.core.multiplex(parent)?.name(stream);
        match event {
            Event::Head {
                stream,
                kind: HeadKind::Request,
                end_stream,
            } => {
                self.uncork(cx);
                self.h2_request(cx, parent, stream, end_stream, headers);
            }
            Event::Head {
                stream, end_stream, ..
            } => {
                if let Some(socket) = name(self, stream)
                    && end_stream
                {
                    self.stream_ended(cx, socket);
                }
            }
            Event::Data {
                stream,
                bytes,
                flow,
                end_stream,
            } => {
                let Some(socket) = name(self, stream) else {
                    if let Some(multiplex) = self.core.multiplex(parent) {
                        multiplex.machine.consumed(stream, flow);
                    }
                    return;
                };
                if self.is_corked_by_other(socket) {
                    self.uncork(cx);
                }
                if !bytes.is_empty() {
                    self.received(cx, socket, Input::Bytes(bytes));
                }
                self.give_back(parent, socket, stream, flow);
                if end_stream {
                    self.stream_ended(cx, socket);
                }
            }
            Event::Reset { stream, .. } => {
                let Some(socket) = name(self, stream) else {
                    if let Some(multiplex) = self.core.multiplex(parent) {
                        multiplex.machine.release(stream);
                    }
                    return;
                };
                self.uncork(cx);
                self.stream_reset(cx, socket);
            }
            // What is under way goes on; whoever leaves closes the connection.
            Event::Settings | Event::Pong { .. } | Event::GoAway { .. } => {}
        }
    }

    /// What was taken of a stream may be sent again; not yet while it is held.
    fn give_back(&mut self, parent: SocketId, socket: SocketId, stream: h2::StreamRef, flow: u32) {
        if let Some(state) = self.core.h2.get_mut(socket)
            && state.is_paused
        {
            state.owed += flow;
            return;
        }
        if let Some(multiplex) = self.core.multiplex(parent) {
            multiplex.machine.consumed(stream, flow);
        }
    }

    /// The peer sends no more on a stream.
    fn stream_ended(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        if let Some(stream) = self.core.h2.get_mut(socket) {
            stream.has_ended = true;
        }
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        if connection.phase != Phase::Http {
            return self.recv_ended(cx, socket, RecvEnd::Eof);
        }
        connection.facts.set(Facts::EOF);
        let is_held = connection.facts.has(Facts::HELD);
        if let Some(exchange) = self.exchange(socket) {
            exchange.end_of_input();
        }
        if !is_held {
            self.http_input(cx, socket, Input::Bytes(&mut []));
        }
    }

    /// Nothing more can be sent or received on a stream.
    fn stream_reset(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        if let Some(stream) = self.core.h2.get_mut(socket) {
            stream.is_reset = true;
        }
        // The slot is taken until the work is done: a client cannot begin more by taking back what it
        // began (CVE-2023-44487, CVE-2025-8671).
        let waits = self
            .exchange(socket)
            .is_some_and(|exchange| matches!(exchange.work, Work::Asked(_) | Work::Page(_)));
        if !waits {
            self.recv_ended(cx, socket, RecvEnd::Failed(libc::ECONNRESET));
        }
    }

    /// The peer broke the protocol: told by GOAWAY, then gone.
    pub(super) fn h2_offence(&mut self, cx: &mut Cx<'_>, parent: SocketId, offence: h2::Offence) {
        tracing::debug!(rfc = offence.rfc(), "HTTP/2: {}", offence.reason());
        self.core.stats.h2_offences += 1;
        self.end_h2(cx, parent, CloseReason::Lost);
    }

    /// The connection ends: all its streams do, and what it has to say goes out.
    pub(super) fn end_h2(&mut self, cx: &mut Cx<'_>, parent: SocketId, reason: CloseReason) {
        self.lose_streams(cx, parent);
        self.write_h2(cx, parent);
        self.end_after_flush(cx, parent, reason);
    }

    /// All streams of a connection that is gone are gone, too.
    pub(in crate::server) fn lose_streams(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        for socket in self.core.streams_of(parent) {
            if let Some(stream) = self.core.h2.get_mut(socket) {
                stream.is_reset = true;
            }
            self.recv_ended(cx, socket, RecvEnd::Failed(libc::ECONNRESET));
        }
    }

    /// The peer sends no more on the connection. What it asked for is still answered; streams whose end is
    /// missing will not get it.
    pub(in crate::server) fn h2_eof(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        if let Some(connection) = self.core.table.get_mut(parent) {
            connection.facts.set(Facts::EOF);
        }
        let sockets = self.core.streams_of(parent);
        for socket in sockets {
            if self
                .core
                .h2
                .get_mut(socket)
                .is_some_and(|stream| !stream.has_ended)
            {
                self.stream_reset(cx, socket);
            }
        }
        let is_unused = |multiplex: &mut Multiplex| multiplex.streams().next().is_none();
        if self.core.multiplex(parent).is_some_and(is_unused) {
            self.end_h2(cx, parent, CloseReason::Lost);
        }
    }

    /// What was read meanwhile is taken, and the socket is read again.
    pub(in crate::server) fn h2_resume(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        let Some(connection) = self.core.table.get_mut(parent) else {
            return;
        };
        if !connection.facts.has(Facts::HELD) {
            return;
        }
        connection.facts.clear(Facts::HELD);
        let mut stash = connection
            .cold
            .as_mut()
            .map(|cold| std::mem::take(&mut cold.stash))
            .unwrap_or_default();
        self.core.assembly_size -= stash.len();
        self.h2_input(cx, parent, Input::Bytes(&mut stash));
        let Some(connection) = self.core.table.get_mut(parent) else {
            return;
        };
        if connection.facts.has(Facts::HELD) {
            return;
        }
        if connection.facts.has(Facts::EOF) && connection.phase == Phase::H2 {
            return self.h2_eof(cx, parent);
        }
        self.core.carrier_recv(cx, parent);
    }

    /// A stream is over: its slot is free.
    pub(in crate::server) fn stream_closed(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        debug_assert!(is_stream(socket), "a socket has no slot");
        let Some(stream) = self.core.h2.remove(socket) else {
            return;
        };
        let now = cx.now();
        let (parent, of, owed) = (stream.parent, stream.stream, stream.owed);
        let Some(multiplex) = self.core.multiplex(parent) else {
            return;
        };
        multiplex.set_name(of, None);
        if !stream.is_waiting {
            multiplex.fetched -= stream.fetched;
        }
        if owed > 0 {
            multiplex.machine.consumed(of, owed);
        }
        multiplex.machine.release(of);
        multiplex.idle_since = now;
        self.core.list_multiplex(parent);
    }
}
