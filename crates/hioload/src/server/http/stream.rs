//! From a request to a session that reads events.

use hioload_http::{FieldList, Fields, Request, names, sse};
use hioload_live::Since;
use hioload_reactor::SocketId;
use hioload_ws::Keepalive;
use hioload_ws::handshake::OriginPolicy;

use super::Next;
use super::answer::Answer;
use super::own_names as own;
use super::poll::poll_path;
use crate::server::connection::{Facts, Phase};
use crate::server::core::Cx;
use crate::server::handshake::lists_websocket;
use crate::server::hub::Hub;
use crate::server::sse::CLASS;
use crate::session::Session;

/// A path that gives events whatever the client accepts: for those that do not say.
const EVENTS_PATH: &str = "/events";
/// The parameter of the query for clients that cannot set `Last-Event-ID`, as a browser on its first request.
const LAST_EVENT_ID: &str = "last_event_id";

/// Whether the answer to a request is a stream of events.
pub(super) fn asks_for_events(request: &Request<'_>, path: &str) -> bool {
    request.method() == "GET" && (path == EVENTS_PATH || request.values("Accept").any(sse::accepts))
}

/// Whether a head ends in `input`, which comes behind `kept`, where it did not: what is kept is not looked through again with
/// each part.
fn is_end(kept: &[u8], input: &[u8]) -> bool {
    let tail = &kept[kept.len().saturating_sub(3)..];
    let joint = [tail, &input[..input.len().min(3)]].concat();
    let has_end = |bytes: &[u8]| bytes.windows(4).any(|bytes| bytes == b"\r\n\r\n");
    has_end(&joint) || has_end(input)
}

/// Whether a head that has come in whole asks for events, at once or polled; it is held against the grammar later.
fn looks_like_events(head: &[u8]) -> bool {
    let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return false;
    };
    let Some(line) = head.iter().position(|&byte| byte == b'\n') else {
        return false;
    };
    let mut words = head[..line].split(|&byte| byte == b' ');
    if words.next() != Some(b"GET") {
        return false;
    }
    let target = words.next().unwrap_or_default();
    let path = target.split(|&byte| byte == b'?').next();
    let path = path.and_then(|path| str::from_utf8(path).ok());
    let is_path = path.is_some_and(|path| path == EVENTS_PATH || poll_path(path).is_some());
    let mut is_accepted = false;
    for (name, value) in Fields::new(&head[line + 1..end + 2]) {
        if name.eq_ignore_ascii_case(b"Upgrade") && lists_websocket(value) {
            return false;
        }
        is_accepted |= name.eq_ignore_ascii_case(b"Accept") && sse::accepts(value);
    }
    is_path || is_accepted
}

/// Where the client wants to go on, if it says so. What names no place is one of another life of the channel.
pub(super) fn last_event(request: &Request<'_>) -> Option<Since> {
    let from_query = || {
        let pairs = request.query()?.split('&');
        let found = pairs.filter_map(|pair| pair.split_once('='));
        let value = found
            .into_iter()
            .find(|(name, _)| *name == LAST_EVENT_ID)?
            .1;
        // A colon is often escaped.
        Some(value.replace("%3A", ":").replace("%3a", ":"))
    };
    let from_field = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    // What the client has seen on this URL since is newer than the URL.
    let text = request
        .header("Last-Event-ID")
        .map(from_field)
        .filter(|text| !text.is_empty())
        .or_else(from_query)
        .filter(|text| !text.is_empty())?;
    let nowhere = Since {
        epoch: 0,
        offset: 0,
    };
    Some(text.parse().unwrap_or(nowhere))
}

/// The page that asks, if it is welcome; `None`: no page does.
///
/// # Errors
/// It is not welcome.
pub(super) fn page_of<'a>(
    request: &Request<'a>,
    policy: &OriginPolicy,
) -> Result<Option<&'a str>, ()> {
    let Some(origin) = request.header("Origin") else {
        return Ok(None);
    };
    let origin = str::from_utf8(origin).map_err(drop)?;
    let is_welcome = match policy {
        OriginPolicy::Any => true,
        OriginPolicy::List(list) => list.iter().any(|one| one.eq_ignore_ascii_case(origin)),
        OriginPolicy::SameHost => {
            let host = request.header("Host").unwrap_or_default();
            origin.split_once("://").is_some_and(|(scheme, authority)| {
                let is_tls = scheme.eq_ignore_ascii_case("https");
                let port = if is_tls { ":443" } else { ":80" };
                let host = String::from_utf8_lossy(host);
                let without_port = |text: &str| {
                    let text = text.strip_suffix(port).unwrap_or(text);
                    text.to_ascii_lowercase()
                };
                without_port(authority) == without_port(&host)
            })
        }
    };
    if is_welcome {
        Ok(Some(origin))
    } else {
        Err(())
    }
}

/// Whether a page may read: with the field that tells its browser so, or not.
pub(super) fn origin_field(request: &Request<'_>, policy: &OriginPolicy) -> Result<FieldList, ()> {
    let mut fields = FieldList::new();
    if let Some(origin) = page_of(request, policy)? {
        fields.push(&names::ALLOW_ORIGIN, origin);
        fields.push(&names::VARY, "Origin");
    }
    Ok(fields)
}

impl Hub {
    /// Whether a request that has come in whole, on a server without any other use of HTTP, asks for events.
    pub(in crate::server) fn wants_events(&self, socket: SocketId, input: &[u8]) -> bool {
        let kept = self
            .core
            .table
            .get(socket)
            .and_then(|connection| connection.cold.as_ref())
            .map_or(&[][..], |cold| &cold.assembly);
        if kept.is_empty() {
            return looks_like_events(input);
        }
        is_end(kept, input) && looks_like_events(&[kept, input].concat())
    }

    /// Answers with a stream of events: a session, as far as the handler is concerned.
    pub(super) fn begin_events(
        &mut self,
        cx: &mut Cx<'_>,
        socket: SocketId,
        request: &Request<'_>,
    ) -> Next {
        if self.core.is_draining {
            let answer = Answer::text(503, "the server is shutting down").last();
            return self.answer(cx, socket, &answer);
        }
        let Ok(mut fields) = origin_field(request, &self.core.settings.accept.origins) else {
            let answer = Answer::text(403, "this origin may not connect here").last();
            return self.answer(cx, socket, &answer);
        };
        let (path, since) = (request.path(), last_event(request));
        if let Some(exchange) = self.exchange(socket) {
            // The end of the connection is the end of the stream.
            exchange.is_last = true;
        }
        let mut greeting = Vec::new();
        let retry = self.retry_of(socket);
        sse::Outgoing::fields()
            .retry(retry)
            .append_to(&mut greeting);
        fields.push(&names::CONTENT_TYPE, "text/event-stream");
        fields.push(&names::CACHE_CONTROL, "no-store");
        fields.push(&own::X_ACCEL_BUFFERING, "no");
        if !self.write_head(cx, socket, 200, &fields, None, &greeting) {
            return Next::Stop;
        }
        let now = cx.now();
        let Some(connection) = self.core.table.get_mut(socket) else {
            return Next::Stop;
        };
        connection.keepalive = Keepalive::new(now);
        connection.phase = Phase::Open;
        connection.facts.set(Facts::OPENED | Facts::EVENTS);
        connection.class = CLASS;
        let cold = connection.cold();
        cold.http = None;
        cold.since = since;
        cold.path = (path != "/").then(|| path.into());
        connection.trim();
        self.open_reader(cx, socket);
        Next::Stop
    }

    /// A session that reads events has begun.
    pub(super) fn open_reader(&mut self, cx: &mut Cx<'_>, socket: SocketId) {
        self.core.stats.sessions += 1;
        self.core.stats.event_streams += 1;
        self.core.stats.event_streams_opened += 1;
        self.rearm(cx, socket);
        self.handler
            .open(&mut Session::new(&mut self.core, cx.reborrow(), socket));
        self.core.flush(cx, socket);
    }

    /// How long this client is to wait before it comes back: another time for each, so that those of a server
    /// that ends do not all come at once.
    fn retry_of(&self, socket: SocketId) -> std::time::Duration {
        let retry = self.core.settings.events.retry;
        let spread = socket.key().to_bits().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        retry + (retry / 2).mul_f64(spread as f64 / f64::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use hioload_http::Body;

    use super::*;

    #[test]
    fn requests_for_events_are_told_from_others() {
        for (head, wants) in [
            ("GET / HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n", true),
            (
                "GET /a HTTP/1.1\r\nHost: a\r\naccept: a/b, text/event-stream\r\n\r\n",
                true,
            ),
            ("GET /events HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET /poll/a?b=c HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET /polling HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET /events?last_event_id=1 HTTP/1.0\r\n\r\n", true),
            ("GET /eventsource HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", false),
            ("POST /events HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET /events HTTP/1.1\r\nHost: a\r\n", false),
            (
                "GET /events HTTP/1.1\r\nUpgrade: websocket\r\nHost: a\r\n\r\n",
                false,
            ),
            (
                "GET /events HTTP/1.1\r\nUpgrade: h2c\r\nHost: a\r\n\r\n",
                true,
            ),
            ("", false),
        ] {
            assert_eq!(looks_like_events(head.as_bytes()), wants, "{head:?}");
        }
    }

    #[test]
    fn a_head_ends_with_its_last_byte_however_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n";
        for cut in 0..head.len() {
            let (kept, input) = head.split_at(cut);
            assert!(is_end(kept, input), "{cut}");
            assert!(is_end(kept, &[input, b"more"].concat()), "{cut}");
            assert!(!is_end(kept, &input[..input.len() - 1]), "{cut}");
        }
    }

    #[test]
    fn the_place_to_go_on_from() {
        let place = |epoch, offset| Some(Since { epoch, offset });
        for (target, fields, since) in [
            ("/", "", None),
            ("/", "last-event-id: \r\n", None),
            ("/", "last-event-id: 00000000000000ab:7\r\n", place(0xAB, 7)),
            ("/?last_event_id=00000000000000ab:7", "", place(0xAB, 7)),
            (
                "/?a=b&last_event_id=00000000000000ab%3A7&c",
                "",
                place(0xAB, 7),
            ),
            (
                "/?last_event_id=00000000000000ab:7",
                "Last-Event-ID: 00000000000000ab:9\r\n",
                place(0xAB, 9),
            ),
            ("/?last_event_id=", "", None),
            ("/", "last-event-id: 17\r\n", place(0, 0)),
        ] {
            let request = Request::from_parts("GET", target, fields.as_bytes(), Body::None);
            assert_eq!(last_event(&request), since, "{target} {fields}");
        }
    }

    #[test]
    fn origins_are_those_of_websockets() {
        let with = |fields: &str, policy: &OriginPolicy| {
            let request = Request::from_parts("GET", "/", fields.as_bytes(), Body::None);
            origin_field(&request, policy).map(|field| !field.is_empty())
        };
        let same = "origin: https://A.example\r\nhost: a.example:443\r\n";
        let other = "origin: https://b.example\r\nhost: a.example\r\n";
        let list = OriginPolicy::List(vec!["https://b.example".to_owned()]);
        assert_eq!(with("host: a\r\n", &OriginPolicy::SameHost), Ok(false));
        assert_eq!(with(same, &OriginPolicy::SameHost), Ok(true));
        assert_eq!(with(other, &OriginPolicy::SameHost), Err(()));
        assert_eq!(with(other, &OriginPolicy::Any), Ok(true));
        assert_eq!(with(other, &list), Ok(true));
        assert_eq!(with(same, &list), Err(()));
    }
}
