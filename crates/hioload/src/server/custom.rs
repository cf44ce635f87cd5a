//! Sessions of the application's own protocols: from the request that asks for one to its bytes.
//!
//! ```text
//!   head ─▶ offer ─▶ detect ─▶ handshake ─▶ UID ─▶ 101 or 200 ─▶ ready, open ─▶ received …
//!                      └ nobody's: a WebSocket's, or refused
//! ```
//!
//! Such a session is one like any other, but for four things: what comes and goes has no frames, no channel is read on
//! it (its log is in frames), nothing is said to end it but the end itself, and nobody pings: it ends when it is silent
//! both ways for `streams.idle_timeout`.
//!
//! Limits: [`FIELDS_MAX`] fields of an answer; [`CHUNK_MAX`] bytes handed over before its output is looked at.

use std::fmt::Write as _;

use hioload_http::h2::HeaderList;
use hioload_http::{Body, Request, h1};
use hioload_reactor::SocketId;
use hioload_streams::{End, Kind as StreamKind, StreamUid, UpgradeRequest};
use hioload_ws::handshake::Refusal;
use hioload_ws::{CloseCode, Keepalive, Kind};

use super::connection::{Facts, Phase};
use super::core::{Core, Cx};
use super::h2::text_fields;
use super::hub::Hub;
use super::input::Input;
use super::streams::Arrival;
use crate::handler::CloseReason;
use crate::session::Session;

/// Fields a protocol may add to an answer: an answer is small, whatever an application does.
const FIELDS_MAX: usize = 8;
/// Bytes handed over at a time.
const CHUNK_MAX: usize = 16 * 1024;

/// A protocol that has agreed.
struct Agreed {
    place: usize,
    uid: StreamUid,
    /// What it answers, as whole lines.
    fields: String,
}

impl Hub {
    /// Offers a whole head that asks for another protocol to those of the application. `None`: it is for none of them.
    /// Else what [`Hub::upgrade`] returns.
    pub(super) fn offer(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        head: &[u8],
    ) -> Option<Option<usize>> {
        if self.protocols.is_empty() {
            return None;
        }
        let end = head.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let mut whole = head[..end].to_vec();
        let limits = self.core.settings.http;
        let event = h1::Server::new().handle_input(&limits, &mut &mut whole[..]);
        let Ok(Some(h1::Event::Head(request))) = event else {
            return None;
        };
        if !request.wants_upgrade() {
            return None;
        }
        let (place, token) = self.detect(&request)?;
        let refusal = match self.agree(cx, socket, place, token, &request) {
            Ok(agreed) => {
                let line = format!("Upgrade: {token}\r\nConnection: Upgrade\r\n");
                let mut answer = String::new();
                h1::write_response_head(&mut answer, 101, &[&line, &agreed.fields], None);
                let core = &mut self.core;
                let written = core.cork.write(&core.pool, answer.as_bytes(), &[]);
                if written.is_err() {
                    self.give_up_custom(cx, socket, agreed.uid);
                    return Some(None);
                }
                self.open_custom(cx, socket, &agreed, request.path());
                return Some(Some(end));
            }
            Err(refusal) => refusal,
        };
        self.refuse(cx, socket, &refusal);
        Some(None)
    }

    /// RFC 8441: the stream carries the bytes of a protocol of the application. `Err`: it is refused.
    pub(super) fn h2_custom(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        token: &str,
        headers: &HeaderList,
    ) -> Result<(), Refusal> {
        // What follows is the protocol's: none of it is a body.
        let request = headers.request(true);
        let place = self.place_for(token, &request);
        let place = place.ok_or(Refusal::new(501, "no such protocol is spoken here"))?;
        let agreed = self.agree(cx, socket, place, token, &request);
        let agreed = agreed.inspect_err(|_| self.core.stats.handshakes_refused += 1)?;
        let fields = self.http.date.iter().chain(text_fields(&agreed.fields));
        if self.core.stream_respond(socket, 200, fields, false) {
            self.open_custom(cx, socket, &agreed, request.path());
            self.core.flush(cx, socket);
        } else {
            self.give_up_custom(cx, socket, agreed.uid);
        }
        Ok(())
    }

    /// The protocol for the first token that has one, as the client prefers them (RFC 9110 7.8).
    fn detect<'a>(&self, request: &Request<'a>) -> Option<(usize, &'a str)> {
        let tokens = request.values("Upgrade");
        let tokens = tokens.flat_map(|value| value.split(|&byte| byte == b','));
        for token in tokens.filter_map(|token| str::from_utf8(token.trim_ascii()).ok()) {
            if token.eq_ignore_ascii_case("websocket") {
                return None;
            }
            if !token.is_empty()
                && let Some(place) = self.place_for(token, request)
            {
                return Some((place, token));
            }
        }
        None
    }

    fn place_for(&self, token: &str, request: &Request<'_>) -> Option<usize> {
        let field = |name: &str| request.header(name);
        self.protocols.detect(&asked(token, request, &field))
    }

    /// Lets a protocol answer, and gives it a UID.
    fn agree(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        place: usize,
        token: &str,
        request: &Request<'_>,
    ) -> Result<Agreed, Refusal> {
        if self.core.is_draining {
            return Err(Refusal::new(503, "the server is shutting down"));
        }
        // RFC 9113 8.5: a tunnel whose client has nothing to say ends at once.
        let has_ended = self.core.table.get(socket);
        let has_ended = has_ended.is_some_and(|connection| connection.facts.has(Facts::EOF));
        if request.body() != Body::None || has_ended {
            let line = "a request for another protocol has no body, and no end";
            return Err(Refusal::new(400, line));
        }
        let field = |name: &str| request.header(name);
        let request = asked(token, request, &field);
        let mut fields = Vec::new();
        let Some(protocol) = self.protocols.get_mut(place) else {
            return Err(Refusal::new(501, "no such protocol is spoken here"));
        };
        if let Err(refused) = protocol.handshake(&request, &mut fields) {
            let is_refusal = (400..600).contains(&refused.status);
            let status = if is_refusal { refused.status } else { 500 };
            return Err(Refusal::new(status, "the protocol refuses the request"));
        }
        let Some(fields) = lines_of(&fields) else {
            tracing::error!("the protocol for {token:?} answers with fields that are none");
            return Err(Refusal::new(500, "the protocol's answer is no answer"));
        };
        let uid = self.core.register_stream(cx, socket, StreamKind::Custom);
        let uid = uid.map_err(|rejected| {
            tracing::debug!("{rejected}");
            Refusal::new(503, "there are as many streams as there may be")
        })?;
        Ok(Agreed { place, uid, fields })
    }

    fn open_custom(&mut self, cx: &mut Cx<'_>, socket: SocketId, agreed: &Agreed, path: &str) {
        let now = cx.now();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.keepalive = Keepalive::new(now);
        connection.phase = Phase::Open;
        connection.facts.set(Facts::OPENED | Facts::CUSTOM);
        let cold = connection.cold();
        cold.protocol = Some(agreed.place);
        cold.path = (path != "/").then(|| path.into());
        self.core.stats.handshakes += 1;
        self.core.stats.sessions += 1;
        self.rearm(cx, socket);
        if let Some(protocol) = self.protocols.get_mut(agreed.place) {
            protocol.ready(agreed.uid);
            protocol.open(&mut Session::new(&mut self.core, cx.reborrow(), socket));
        }
    }

    /// There is no memory for the answer: it is as if it had never begun.
    fn give_up_custom(&mut self, cx: &mut Cx<'_>, socket: SocketId, uid: StreamUid) {
        self.core.stats.no_memory += 1;
        self.core.manager.registry.unregister(uid, End::Reset);
        self.core.lost(cx, socket);
    }

    /// Bytes for a session of a protocol, until it ends or is held.
    pub(super) fn take_bytes(&mut self, cx: &mut Cx<'_>, socket: SocketId, mut input: Input<'_>) {
        let output_high = self.core.settings.output_high;
        while !input.rest().is_empty() {
            let Some(connection) = self.core.table.get_mut(socket) else {
                return;
            };
            let has_room = connection.phase == Phase::Open
                && !connection.facts.has(Facts::HELD)
                && self.core.cork.len() + connection.output_size() < output_high;
            if !has_room {
                if self.make_room(cx, socket, &mut input) {
                    continue;
                }
                return;
            }
            if connection.reason.is_some() {
                // Closed from this side: what still comes is dropped.
                return;
            }
            connection.keepalive.heard(cx.now());
            let place = connection.cold.as_ref().and_then(|cold| cold.protocol);
            let size = input.rest().len().min(CHUNK_MAX);
            let bytes = &input.rest()[..size];
            self.core.stats.bytes_received += size as u64;
            let arrival = self.core.stream_message(cx, socket, Kind::Binary, bytes);
            if matches!(arrival, Arrival::Handler)
                && let Some(protocol) = place.and_then(|place| self.protocols.get_mut(place))
            {
                let session = &mut Session::new(&mut self.core, cx.reborrow(), socket);
                protocol.received(session, bytes);
            }
            input.advance(size);
        }
    }

    /// The peer sends no more on an open session.
    pub(super) fn session_eof(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        if self.core.is_custom(socket) {
            let reason = CloseReason::Peer(CloseCode::NO_STATUS);
            return self.end_after_flush(cx, socket, reason);
        }
        // Without a close frame this is an abnormal end (RFC 6455 7.1.5: 1006).
        self.core.lost(cx, socket);
    }

    /// There is room again for what a session has to send.
    pub(super) fn tell_drained(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        let place = self.core.custom_place(socket);
        let session = &mut Session::new(&mut self.core, cx.reborrow(), socket);
        match place.and_then(|place| self.protocols.get_mut(place)) {
            Some(protocol) => protocol.drained(session),
            None => self.handler.drained(session),
        }
    }

    /// A session is over.
    pub(super) fn tell_closed(&mut self, cx: &mut Cx<'_>, socket: SocketId, reason: CloseReason) {
        let place = self.core.custom_place(socket);
        let session = &mut Session::new(&mut self.core, cx.reborrow(), socket);
        match place.and_then(|place| self.protocols.get_mut(place)) {
            Some(protocol) => protocol.closed(session, reason),
            None => self.handler.close(session, reason),
        }
    }
}

impl Core {
    /// Whether a session speaks a protocol of the application.
    pub(super) fn is_custom(&self, socket: SocketId) -> bool {
        let connection = self.table.get(socket);
        connection.is_some_and(|connection| connection.facts.has(Facts::CUSTOM))
    }

    /// The place of the protocol a session speaks, if it is one of the application.
    fn custom_place(&self, socket: SocketId) -> Option<usize> {
        let connection = self.table.get(socket);
        let connection = connection.filter(|connection| connection.facts.has(Facts::CUSTOM))?;
        connection.cold.as_ref()?.protocol
    }
}

fn asked<'a>(
    token: &'a str,
    request: &Request<'a>,
    field: &'a dyn Fn(&str) -> Option<&'a [u8]>,
) -> UpgradeRequest<'a> {
    UpgradeRequest {
        token,
        method: request.method(),
        path: request.path(),
        field,
    }
}

/// Fields as lines. `None`: one of them is none, is the server's to say, or there are too many: what an application makes
/// of a request must not become another answer.
fn lines_of(fields: &[(String, String)]) -> Option<String> {
    const OWN: [&str; 6] = [
        "connection",
        "content-length",
        "transfer-encoding",
        "upgrade",
        "keep-alive",
        "date",
    ];
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_text = |byte: u8| byte == b'\t' || (b' '..0x7F).contains(&byte);
    let mut lines = String::new();
    for (name, value) in fields {
        let is_name = !name.is_empty() && name.bytes().all(is_token);
        let is_own = OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
        if !is_name || is_own || !value.bytes().all(is_text) {
            return None;
        }
        // RFC 9113 8.2.1: in lower case.
        let _ = write!(lines, "{}: {}\r\n", name.to_ascii_lowercase(), value);
    }
    (fields.len() <= FIELDS_MAX).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(fields: &[(&str, &str)]) -> Option<String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        lines_of(&fields.iter().map(own).collect::<Vec<_>>())
    }

    #[test]
    fn fields_of_an_answer_are_fields() {
        assert_eq!(lines(&[]).as_deref(), Some(""));
        let two = lines(&[("A-B", "c d"), ("e", "")]);
        assert_eq!(two.as_deref(), Some("a-b: c d\r\ne: \r\n"));
        for wrong in [
            ("a", "b\r\nc: d"),
            ("a", "\0"),
            ("a:", "b"),
            ("a b", "c"),
            ("", "a"),
            ("Connection", "close"),
            ("content-length", "7"),
        ] {
            assert_eq!(lines(&[wrong]), None, "{wrong:?}");
        }
        assert!(lines(&[("a", "b"); FIELDS_MAX]).is_some());
        assert_eq!(lines(&[("a", "b"); FIELDS_MAX + 1]), None);
    }
}
