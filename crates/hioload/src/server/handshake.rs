//! From a request head to an open session, or to a refusal with an HTTP status.

use std::sync::Arc;

use hioload_reactor::SocketId;
use hioload_ws::deflate::{Deflater, Inflater};
use hioload_ws::handshake::{Accepted, Refusal, Request, accept};
use hioload_ws::{Role, Session as Protocol};

use super::connection::{Deflate, Facts, Phase};
use super::core::Cx;
use super::encoder::class_of;
use super::h2::{PREFACE_SIZE, is_preface_part};
use super::hub::Hub;
use super::input::Input;
use crate::handler::CloseReason;
use crate::session::Session;

impl Hub {
    /// Bytes of a request head.
    pub(super) fn head(&mut self, cx: &mut Cx<'_>, socket: SocketId, mut input: Input<'_>) {
        if self.is_h2(socket, input.rest()) {
            return self.preface(cx, socket, input);
        }
        if self.store.is_some() || self.wants_events(socket, input.rest()) {
            return self.head_of_any(cx, socket, input);
        }
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        if connection
            .cold
            .as_ref()
            .is_none_or(|cold| cold.assembly.is_empty())
        {
            let taken = self.upgrade(cx, socket, input.rest());
            if let Some(taken) = taken {
                input.advance(taken);
                return self.frames(cx, socket, input);
            }
            return self.keep_head(cx, socket, input.rest().to_vec());
        }
        let mut whole = std::mem::take(&mut connection.cold().assembly);
        self.core.assembly_size -= whole.len();
        whole.extend_from_slice(input.rest());
        if let Some(taken) = self.upgrade(cx, socket, &whole) {
            self.frames(cx, socket, Input::Bytes(&mut whole[taken..]));
        } else {
            self.keep_head(cx, socket, whole);
        }
    }

    /// Whether a connection begins as HTTP/2 does, as far as it has come (RFC 9113 3.3: the client knows
    /// that it is spoken here).
    fn is_h2(&self, socket: SocketId, input: &[u8]) -> bool {
        let kept = self
            .core
            .table
            .get(socket)
            .and_then(|connection| connection.cold.as_ref());
        let kept = kept.map_or(&[][..], |cold| &cold.assembly);
        is_preface_part(0, kept) && is_preface_part(kept.len(), input)
    }

    fn preface(&mut self, cx: &mut Cx<'_>, socket: SocketId, mut input: Input<'_>) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        let kept = connection
            .cold
            .as_mut()
            .map(|cold| std::mem::take(&mut cold.assembly))
            .unwrap_or_default();
        self.core.assembly_size -= kept.len();
        if kept.len() + input.rest().len() < PREFACE_SIZE {
            let mut kept = kept;
            kept.extend_from_slice(input.rest());
            return self.keep_head(cx, socket, kept);
        }
        self.begin_h2(cx, socket);
        if !kept.is_empty() {
            let mut kept = kept;
            self.h2_input(cx, socket, Input::Bytes(&mut kept));
        }
        self.h2_input(cx, socket, input);
    }

    /// Where blocks are served too: a request that asks for no other protocol is HTTP's.
    fn head_of_any(&mut self, cx: &mut Cx<'_>, socket: SocketId, mut input: Input<'_>) {
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        let kept = connection
            .cold
            .as_mut()
            .map(|cold| std::mem::take(&mut cold.assembly))
            .unwrap_or_default();
        self.core.assembly_size -= kept.len();
        let mut whole = kept;
        let head = if whole.is_empty() {
            input.rest()
        } else {
            whole.extend_from_slice(input.rest());
            &mut whole[..]
        };
        let offered = offered(head);
        if offered.is_none() && head.len() < self.core.settings.handshake.head_size_max {
            let head = head.to_vec();
            return self.keep_head(cx, socket, head);
        }
        let answered = match offered {
            Some(Offered::WebSocket) => Some(self.upgrade(cx, socket, head)),
            Some(Offered::Others) => self.offer(cx, socket, head),
            Some(Offered::Nothing) | None => None,
        };
        if let Some(taken) = answered {
            let Some(taken) = taken else {
                return;
            };
            return if whole.is_empty() {
                input.advance(taken);
                self.frames(cx, socket, input);
            } else {
                self.frames(cx, socket, Input::Bytes(&mut whole[taken..]));
            };
        }
        // Whatever is wrong with it, HTTP says so.
        self.begin_http(cx, socket);
        if whole.is_empty() {
            self.http_input(cx, socket, input);
        } else {
            self.http_input(cx, socket, Input::Bytes(&mut whole));
        }
    }

    /// Keeps the part of a head that has come, unless it was refused.
    fn keep_head(&mut self, cx: &mut Cx<'_>, socket: SocketId, part: Vec<u8>) {
        let Some(connection) = self.core.table.get(socket) else {
            return;
        };
        if connection.phase != Phase::Handshake {
            return;
        }
        if !self.core.keep(part.len()) {
            return self.refuse(cx, socket, &Refusal::new(503, "no memory for the request"));
        }
        if let Some(connection) = self.core.table.get_mut(socket) {
            connection.cold().assembly = part;
        }
    }

    /// Answers a complete request head; returns its length when the session is open.
    fn upgrade(&mut self, cx: &mut Cx<'_>, socket: SocketId, head: &[u8]) -> Option<usize> {
        if let Some(answered) = self.offer(cx, socket, head) {
            return answered;
        }
        let settings = Arc::clone(&self.core.settings);
        let (request, taken) = match Request::parse(head, &settings.handshake) {
            Ok(found) => found?,
            Err(refusal) => {
                self.refuse(cx, socket, &refusal);
                return None;
            }
        };
        let mut response = std::mem::take(&mut self.core.scratch);
        response.clear();
        let accepted = accept(&request, &settings.accept, &mut response);
        let written = self.core.cork.write(&self.core.pool, &response, &[]);
        self.core.scratch = response;
        match accepted {
            Ok(accepted) if written.is_ok() => {
                self.open(cx, socket, &accepted, request.path());
                Some(taken)
            }
            Ok(_) => {
                self.core.stats.no_memory += 1;
                self.core.lost(cx, socket);
                None
            }
            Err(refusal) => {
                self.refuse(cx, socket, &refusal);
                None
            }
        }
    }

    pub(super) fn refuse(&mut self, cx: &mut Cx<'_>, socket: SocketId, refusal: &Refusal) {
        self.core.stats.handshakes_refused += 1;
        tracing::debug!(status = refusal.status, "{}", refusal.reason);
        let mut response = std::mem::take(&mut self.core.scratch);
        response.clear();
        refusal.to_response(&mut response);
        let _ = self.core.cork.write(&self.core.pool, &response, &[]);
        self.core.scratch = response;
        self.end_after_flush(cx, socket, CloseReason::Lost);
    }

    pub(super) fn open(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        accepted: &Accepted,
        path: &str,
    ) {
        let now = cx.now();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return;
        };
        connection.protocol = Protocol::new(Role::Server, accepted.deflate.is_some());
        connection.keepalive = hioload_ws::Keepalive::new(now);
        connection.phase = Phase::Open;
        connection.facts.set(Facts::OPENED);
        if path != "/" {
            connection.cold().path = Some(path.into());
        }
        if accepted.protocol.is_some() {
            connection.cold().protocol = accepted.protocol;
        }
        if let Some(params) = accepted.deflate {
            connection.class = class_of(&params);
            let deflater = (!params.server_no_context_takeover).then(|| {
                Deflater::new(
                    params.server_max_window_bits,
                    self.core.settings.deflate_level,
                )
            });
            let inflater = (!params.client_no_context_takeover)
                .then(|| Inflater::new(params.client_max_window_bits));
            if deflater.is_some() || inflater.is_some() {
                let deflate = Deflate { deflater, inflater };
                connection.cold().deflate = Some(Box::new(deflate));
            }
        }
        connection.trim();
        self.core.stats.handshakes += 1;
        self.core.stats.sessions += 1;
        self.rearm(cx, socket);
        if self.core.settings.streams.name_all {
            // Counted where it is rejected; the session lives without.
            let _ = self.core.name_stream(cx, socket);
        }
        self.handler
            .open(&mut Session::new(&mut self.core, cx.reborrow(), socket));
    }
}

/// What a head offers in `Upgrade`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offered {
    Nothing,
    /// WebSocket among others.
    WebSocket,
    /// Protocols that the application may speak. What nobody here speaks is ignored (RFC 9110 7.8).
    Others,
}

/// What a head offers; `None` while it is not complete.
fn offered(head: &[u8]) -> Option<Offered> {
    const NAME: &[u8] = b"upgrade:";
    let mut found = Offered::Nothing;
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        if matches!(line, b"\r\n" | b"\n") {
            return Some(found);
        }
        let Some((name, value)) = line.split_at_checked(NAME.len()) else {
            continue;
        };
        if name.eq_ignore_ascii_case(NAME) && found != Offered::WebSocket {
            found = if lists_websocket(value) {
                Offered::WebSocket
            } else {
                Offered::Others
            };
        }
    }
    None
}

/// Whether the value of a field `Upgrade` has WebSocket in it.
pub(super) fn lists_websocket(value: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrades_are_told_by_their_field() {
        use Offered::{Nothing, Others, WebSocket};
        for (head, found) in [
            ("GET / HTTP/1.1\r\nUPGRADE: x\r\n\r\n", Some(Others)),
            ("GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", Some(Others)),
            (
                "GET / HTTP/1.1\r\nUpgrade:WebSocket\r\n\r\n",
                Some(WebSocket),
            ),
            (
                "GET / HTTP/1.1\r\nUpgrade: h2c , websocket\r\n\r\n",
                Some(WebSocket),
            ),
            (
                "GET / HTTP/1.1\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
                Some(WebSocket),
            ),
            (
                "GET / HTTP/1.1\r\nUpgrade: websockets\r\n\r\n",
                Some(Others),
            ),
            (
                "GET /upgrade: HTTP/1.1\r\nX: upgrade:\r\n\r\nupgrade: x",
                Some(Nothing),
            ),
            ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n", None),
            ("", None),
        ] {
            assert_eq!(offered(head.as_bytes()), found, "{head:?}");
        }
    }
}
