//! A request on a stream: a WebSocket session, or an HTTP exchange of one request.

use std::sync::Arc;

use hioload_http::h2::{ErrorCode, HeaderList, StreamRef};
use hioload_http::{FieldName, Fields};
use hioload_reactor::SocketId;
use hioload_ws::handshake::{Request as Handshake, accept_extended};
use hioload_ws::{Role, Session as Protocol};

use crate::server::connection::{Connection, Facts, Phase};
use crate::server::core::{Core, Cx};
use crate::server::http::Exchange;
use crate::server::hub::Hub;

impl Hub {
    /// The head of a request is complete.
    pub(super) fn h2_request(
        &mut self,
        cx: &mut Cx<'_>,
        parent: SocketId,
        stream: StreamRef,
        end_stream: bool,
        headers: &HeaderList,
    ) {
        let now = cx.now();
        let Some(socket) = self.core.h2.insert(parent, stream) else {
            // RFC 9113 8.7: nothing was done, the client may ask again.
            if let Some(multiplex) = self.core.multiplex(parent) {
                multiplex.machine.reset(stream, ErrorCode::REFUSED_STREAM);
                multiplex.machine.release(stream);
            }
            self.core.stats.requests_refused += 1;
            return;
        };
        let mut connection = Connection::new(Protocol::new(Role::Server, false), now);
        if end_stream {
            connection.facts.set(Facts::EOF);
        }
        if let Some(state) = self.core.h2.get_mut(socket) {
            state.has_ended = end_stream;
        }
        self.core.table.insert(socket, connection);
        if let Some(multiplex) = self.core.multiplex(parent) {
            multiplex.set_name(stream, Some(socket));
        }
        match headers.protocol() {
            Some("websocket") => self.h2_websocket(cx, socket, headers),
            Some(token) => {
                if let Err(refusal) = self.h2_custom(cx, socket, token, headers) {
                    self.h2_refuse(cx, socket, refusal.status, refusal.reason);
                }
            }
            None if headers.method() == Some("CONNECT") => {
                self.h2_refuse(cx, socket, 501, "this is no proxy");
            }
            None => self.h2_exchange(cx, socket, end_stream, headers),
        }
    }

    /// RFC 8441: the stream is a WebSocket from here on.
    fn h2_websocket(&mut self, cx: &mut Cx<'_>, socket: SocketId, headers: &HeaderList) {
        let settings = Arc::clone(&self.core.settings);
        let target = headers.path().unwrap_or("/");
        let fields = headers
            .fields()
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
        let mut lines = std::mem::take(&mut self.core.scratch);
        lines.clear();
        let agreed = Handshake::extended(target, fields, &settings.handshake).and_then(|request| {
            let accepted = accept_extended(&request, &settings.accept, &mut lines)?;
            Ok((request, accepted))
        });
        match agreed {
            Ok((request, accepted)) => {
                let text = std::str::from_utf8(&lines).unwrap_or_default();
                let fields = self.http.date.iter().chain(text_fields(text));
                let is_begun = self.core.stream_respond(socket, 200, fields, false);
                if is_begun {
                    self.open(cx, socket, &accepted, request.path());
                    self.core.flush(cx, socket);
                } else {
                    self.core.lost(cx, socket);
                }
            }
            Err(refusal) => {
                self.core.stats.handshakes_refused += 1;
                self.h2_refuse(cx, socket, refusal.status, refusal.reason);
            }
        }
        self.core.scratch = lines;
    }

    fn h2_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        end_stream: bool,
        headers: &HeaderList,
    ) {
        let now = cx.now();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.phase = Phase::Http;
        let exchange = Exchange::on_stream(now, end_stream);
        debug_assert!(connection.cold.is_none(), "the stream has just begun");
        connection.cold = Some(self.core.stream_spares.give(exchange));
        self.http_request(cx, socket, &headers.request(end_stream));
    }

    fn h2_refuse(&mut self, cx: &mut Cx<'_>, socket: SocketId, status: u16, line: &str) {
        let now = cx.now();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.phase = Phase::Http;
        let exchange = Exchange::on_stream(now, true);
        debug_assert!(connection.cold.is_none(), "the stream has just begun");
        connection.cold = Some(self.core.stream_spares.give(exchange));
        self.http_refuse(cx, socket, status, line);
    }
}

impl Core {
    /// Sends the head of an answer. False when nothing can be sent on the stream any more.
    pub(in crate::server) fn stream_respond<'f>(
        &mut self,
        socket: SocketId,
        status: u16,
        fields: impl Iterator<Item = (FieldName<'f>, &'f [u8])> + Clone,
        is_end: bool,
    ) -> bool {
        let Some(stream) = self.h2.get_mut(socket) else {
            return false;
        };
        if stream.is_reset || stream.is_shut {
            return false;
        }
        if is_end {
            (stream.is_shut, stream.is_sent) = (true, true);
        }
        let (parent, of) = (stream.parent, stream.stream);
        let Some(multiplex) = self.multiplex(parent) else {
            return false;
        };
        let answered = multiplex.machine.respond(of, status, fields, is_end);
        self.list_multiplex(parent);
        answered.is_ok()
    }

    /// Sends an interim answer (RFC 9110 15.2).
    pub(in crate::server) fn stream_inform(&mut self, socket: SocketId, status: u16) {
        let Some(stream) = self.h2.get_mut(socket) else {
            return;
        };
        let (parent, of) = (stream.parent, stream.stream);
        if let Some(multiplex) = self.multiplex(parent) {
            let _ = multiplex.machine.inform(of, status, std::iter::empty());
        }
        self.list_multiplex(parent);
    }
}

/// Lines as fields.
pub(in crate::server) fn text_fields(
    lines: &str,
) -> impl Iterator<Item = (FieldName<'_>, &[u8])> + Clone {
    Fields::new(lines.as_bytes()).map(|(name, value)| (FieldName::Text(name), value))
}
