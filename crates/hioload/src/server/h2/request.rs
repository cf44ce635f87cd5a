//! A request on a stream: a WebSocket session, or an HTTP exchange of one request.

use std::sync::Arc;

use hioload_http::Fields;
use hioload_http::h2::{ErrorCode, HeaderList, StreamRef};
use hioload_reactor::SocketId;
use hioload_ws::handshake::{Request as Handshake, accept_extended};
use hioload_ws::{Role, Session as Protocol};

use crate::server::connection::{Connection, Facts, Phase};
use crate::server::core::{Core, Cx};
use crate::server::http::Exchange;
use crate::server::hub::Hub;

/// Fields of an answer at most; none of ours has more than twelve.
const FIELDS_MAX: usize = 16;

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
                let date = std::mem::take(&mut self.http.date);
                let is_begun = self
                    .core
                    .stream_respond(socket, 200, &[&date, text], None, false);
                self.http.date = date;
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
        connection.cold().http = Some(Box::new(Exchange::on_stream(now, end_stream)));
        self.http_request(cx, socket, &headers.request(end_stream));
    }

    fn h2_refuse(&mut self, cx: &mut Cx<'_>, socket: SocketId, status: u16, line: &str) {
        let now = cx.now();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.phase = Phase::Http;
        connection.cold().http = Some(Box::new(Exchange::on_stream(now, true)));
        self.http_refuse(cx, socket, status, line);
    }
}

impl Core {
    /// Sends the head of an answer. False when nothing can be sent on the stream any more.
    pub(in crate::server) fn stream_respond(
        &mut self,
        socket: SocketId,
        status: u16,
        lines: &[&str],
        length: Option<u64>,
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
        let mut digits = [0; 20];
        let length = length.map(|length| (&b"content-length"[..], decimal(length, &mut digits)));
        // They are looked at more than once: the lines are taken apart here, and only here.
        let mut fields = [(&b""[..], &b""[..]); FIELDS_MAX];
        let mut count = 0;
        for lines in lines {
            for field in Fields::new(lines.as_bytes()) {
                fields[count] = field;
                count += 1;
            }
        }
        if let Some(length) = length {
            fields[count] = length;
            count += 1;
        }
        let fields = fields[..count].iter().copied();
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

/// The digits of a number.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_are_written_out() {
        for number in [0, 7, 10, 4096, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
